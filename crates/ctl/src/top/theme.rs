//! How things look: the terminal's own palette, so that it reads on light and dark alike.
//!
//! Nothing is said by colour alone: there is always a word, too. Of the sixteen colours, bright red and
//! bright blue are those that read on black and on white, whichever terminal it is; the others are only
//! backgrounds under black.

use herder_wire::status::{ExitCause, State, WorkerState};
use ratatui::style::{Color, Modifier, Style};

/// The looks, with or without colour.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    colour: bool,
}

impl Theme {
    /// Without `colour` there is only bold, dim, underlined and reversed (<https://no-color.org>).
    pub fn new(colour: bool) -> Theme {
        Theme { colour }
    }

    fn text(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    fn badge(self, colour: Color) -> Style {
        if self.colour {
            Style::new().fg(Color::Black).bg(colour).add_modifier(Modifier::BOLD)
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }

    /// What matters most.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What only helps to read the rest.
    pub fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// A figure or state that needs attention.
    pub fn bad(self) -> Style {
        self.text(Color::LightRed).add_modifier(Modifier::BOLD)
    }

    /// What is under way.
    pub fn busy(self) -> Style {
        self.text(Color::LightBlue)
    }

    /// The row that is chosen, or a question: in one colour, as reversed ones are blots.
    pub fn chosen(self) -> Style {
        Style::reset().add_modifier(Modifier::REVERSED)
    }

    /// The headings of a table.
    pub fn heading(self, sorted: bool) -> Style {
        let style = Style::new().add_modifier(Modifier::UNDERLINED);
        if sorted { style.add_modifier(Modifier::BOLD) } else { style }
    }

    /// A key to press.
    pub fn key(self) -> Style {
        self.strong()
    }

    /// The state of an instance.
    pub fn state(self, state: State) -> Style {
        self.badge(match state {
            State::Serving => Color::Green,
            State::Degraded => Color::Yellow,
            State::Starting | State::Reloading => Color::Cyan,
            State::Stopping => Color::Magenta,
        })
    }

    /// Something is wrong with the connection, or the view stands still.
    pub fn alarm(self) -> Style {
        self.badge(Color::Yellow)
    }

    /// The state of a worker.
    pub fn worker(self, state: WorkerState) -> Style {
        match state {
            WorkerState::Ready => Style::new(),
            WorkerState::Starting => self.busy(),
            WorkerState::Retiring | WorkerState::Draining | WorkerState::Ended => self.faint(),
        }
    }

    /// How a worker ended.
    pub fn exit(self, cause: ExitCause, exit_status: Option<u8>) -> Style {
        match cause {
            ExitCause::Exited if exit_status == Some(0) => Style::new(),
            ExitCause::Exited
            | ExitCause::Killed
            | ExitCause::Dumped
            | ExitCause::OutOfMemory
            | ExitCause::TimedOut
            | ExitCause::Hung
            | ExitCause::NotStarted => self.text(Color::LightRed),
        }
    }
}
