//! A line that tells how far something is, in a terminal; nothing anywhere else.

use super::human::{fit, one_line, terminal_width};
use herder_wire::control::Answer;
use herder_wire::units;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// The columns of a whole bar.
const BAR: u64 = 20;

/// What is shown on standard error while a command waits.
#[derive(Debug)]
pub struct Progress {
    in_terminal: bool,
    since: Instant,
    last: Option<Answer>,
}

impl Progress {
    /// Of something that begins now.
    pub fn new() -> Progress {
        Progress { in_terminal: io::stderr().is_terminal(), since: Instant::now(), last: None }
    }

    /// How often the line should be shown again, to see that time goes by.
    pub fn interval(&self) -> Option<Duration> {
        self.in_terminal.then_some(Duration::from_secs(1))
    }

    /// This is where it is.
    pub fn reached(&mut self, answer: Answer) {
        self.last = Some(answer);
        self.show();
    }

    /// Shows the line again.
    pub fn show(&self) {
        if let Some(last) = self.last.as_ref().filter(|_| self.in_terminal) {
            // The last column would move the cursor to the next line.
            let width = terminal_width().unwrap_or(80) - 1;
            write(&format!("\r{}\x1b[K", fit(&line(last, self.since.elapsed()), width)));
        }
    }

    /// Makes room for what is said next.
    pub fn clear(&self) {
        if self.in_terminal && self.last.is_some() {
            write("\r\x1b[K");
        }
    }
}

/// `[##########..........]  2/4  12s  reload 2/4 to generation 8`
fn line(answer: &Answer, elapsed: Duration) -> String {
    let bar = match (answer.reached, answer.wanted) {
        (Some(reached), Some(wanted)) => {
            let full = match u64::from(wanted) {
                0 => BAR,
                wanted => (u64::from(reached) * BAR / wanted).min(BAR),
            };
            let part =
                |sign: &str, columns: u64| sign.repeat(usize::try_from(columns).unwrap_or(0));
            format!("[{}{}]  {reached}/{wanted}  ", part("#", full), part(".", BAR - full))
        }
        _ => String::new(),
    };
    format!(
        "{bar}{}  {}",
        units::duration(Duration::from_secs(elapsed.as_secs())),
        one_line(&answer.message)
    )
}

/// An error is ignored: standard error is the only place where it could be shown.
fn write(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_a_bar_the_time_and_what_herder_says() {
        let answer = |reached, wanted| Answer {
            message: "reload\x1b[2J".to_owned(),
            generation: None,
            reached,
            wanted,
        };
        let shown = |reached, wanted| line(&answer(reached, wanted), Duration::from_millis(12_900));
        assert_eq!(shown(Some(1), Some(4)), "[#####...............]  1/4  12s  reload\\u{1b}[2J");
        assert_eq!(shown(Some(0), Some(0)), "[####################]  0/0  12s  reload\\u{1b}[2J");
        assert_eq!(shown(Some(9), Some(4)), "[####################]  9/4  12s  reload\\u{1b}[2J");
        assert_eq!(shown(None, None), "12s  reload\\u{1b}[2J");
    }
}
