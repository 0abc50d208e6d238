//! Colours, where a person looks at a terminal and has not said `NO_COLOR` (<https://no-color.org>).

use std::io::IsTerminal;

/// What a text is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Plain,
    /// To be looked at first.
    Strong,
    /// Not so important.
    Dim,
    /// Not as it should be.
    Warning,
    /// Wrong.
    Bad,
}

/// Whether escape sequences make sense there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// For what is written there.
    pub fn on(stream: &impl IsTerminal) -> Paint {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Paint(stream.is_terminal() && !unwanted)
    }

    /// The text in the colour that its tone has in herder's log.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let start = match tone {
            _ if !self.0 => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Strong => "\x1b[1m",
            Tone::Dim => "\x1b[2m",
            Tone::Warning => "\x1b[33m",
            Tone::Bad => "\x1b[1;31m",
        };
        format!("{start}{text}\x1b[0m")
    }
}
