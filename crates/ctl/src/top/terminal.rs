//! The terminal and the signals that concern it: taken over, given back, whatever happens.
//!
//! Signals are read from a descriptor (signalfd(2)), so none interrupts a half-drawn screen. A panic
//! does not unwind here, so a hook gives the terminal back before the message is printed.

use super::input::{Decoder, Key};
use herder_linux::error::Error;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, read};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::layout::Size;
use ratatui::{Frame, Terminal};
use std::io::{self, BufWriter, IsTerminal, Stdout};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic;

/// What is not left to its default effect, which would leave the terminal as it is.
const WATCHED: [Signal; 7] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGTSTP,
    Signal::SIGCONT,
    Signal::SIGWINCH,
];

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Quit,
    Suspend,
    /// Something else was on the screen meanwhile.
    Resume,
    /// The size may be another.
    Look,
}

/// The screen and the keyboard, taken over while this lives.
pub struct Console {
    screen: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    signals: SignalFd,
    decoder: Decoder,
}

impl Console {
    /// Takes the terminal over.
    ///
    /// # Errors
    ///
    /// [`Error::System`] if the terminal refuses.
    pub fn open() -> Result<Console, Error> {
        let failed = |why: io::Error| Error::system("take over the terminal", why);
        let mask = SigSet::from_iter(WATCHED);
        mask.thread_block().map_err(|why| Error::system("block signals", why))?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(|why| Error::system("watch signals", why))?;
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        take_over().map_err(failed)?;
        match fresh() {
            Ok(screen) => Ok(Console { screen, signals, decoder: Decoder::default() }),
            Err(why) => {
                give_back();
                Err(failed(why))
            }
        }
    }

    /// Draws what has changed.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.screen.draw(render).map(drop)
    }

    /// As it is now.
    pub fn size(&self) -> io::Result<Size> {
        self.screen.size()
    }

    /// Forgets what is on the screen, so that all of it is drawn again.
    pub fn redraw(&mut self) -> io::Result<()> {
        give_back();
        take_over()?;
        self.screen = fresh()?;
        Ok(())
    }

    /// Gives the terminal back, stops until somebody wants this to go on, and takes it over again. Who
    /// else is in the process group (sudo(8), a script) stops with it, as if the terminal had said so.
    pub fn suspend(&mut self) -> io::Result<()> {
        give_back();
        let stop = SigSet::from_iter([Signal::SIGTSTP]);
        stop.thread_unblock()?;
        kill(Pid::from_raw(0), Signal::SIGTSTP)?;
        stop.thread_block()?;
        take_over()?;
        self.screen = fresh()?;
        Ok(())
    }

    /// What signals ask for, if there are any.
    pub fn asked(&self) -> io::Result<Option<Ask>> {
        let Some(info) = self.signals.read_signal()? else { return Ok(None) };
        let signal = Signal::try_from(info.ssi_signo as i32).ok();
        Ok(Some(match signal {
            Some(Signal::SIGTSTP) => Ask::Suspend,
            Some(Signal::SIGCONT) => Ask::Resume,
            Some(Signal::SIGWINCH) => Ask::Look,
            _ => Ask::Quit,
        }))
    }

    /// Signals can be read here.
    pub fn signals(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    /// What was typed; none if the terminal is gone.
    pub fn typed(&mut self) -> io::Result<Option<Vec<Key>>> {
        let mut buffer = [0; 1024];
        match read(io::stdin(), &mut buffer)? {
            0 => Ok(None),
            length => Ok(Some(self.decoder.keys(&buffer[..length]))),
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        give_back();
    }
}

/// Whether there is a terminal to take over: to read from, to draw on, and one that can place text.
pub fn is_there() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb
}

/// Whether colours are wanted (<https://no-color.org>).
pub fn is_colourful() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn fresh() -> io::Result<Terminal<CrosstermBackend<BufWriter<Stdout>>>> {
    // A frame in one piece, as far as possible.
    Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(1 << 16, io::stdout())))
}

fn take_over() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen)
}

/// There is nobody to tell if that does not work.
fn give_back() {
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}
