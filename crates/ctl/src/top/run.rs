//! The loop: waits for the terminal, signals and connections, and hands what comes to the state.

use super::calls::Call;
use super::feed::Feed;
use super::state::{Message, Now, Order, Screen, State};
use super::terminal::{Ask, Console};
use super::theme::Theme;
use super::{pane, view};
use crate::find::Places;
use herder_linux::error::Error;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often the screen is drawn when nothing happens: spans on it grow.
const TICK: Duration = Duration::from_secs(1);

/// How often to look for further instances, where all are shown.
const LOOK_AROUND: Duration = Duration::from_secs(5);

/// Everything that is not pure.
pub struct Shell {
    state: State,
    theme: Theme,
    started: Instant,
    looked_around: Instant,
    feeds: Vec<Feed>,
    calls: Vec<Call>,
    console: Console,
}

/// What is ready, by its place in its list.
#[derive(Default)]
struct Ready {
    keyboard: bool,
    signals: bool,
    feeds: Vec<usize>,
    calls: Vec<usize>,
}

impl Shell {
    /// Takes the terminal over.
    ///
    /// # Errors
    ///
    /// [`Error::System`] if the terminal refuses.
    pub fn open(feeds: Vec<Feed>, interval: Duration, theme: Theme) -> Result<Shell, Error> {
        let console = Console::open()?;
        let size = console.size().map_err(lost_terminal)?;
        let started = Instant::now();
        let panes = feeds.iter().map(|feed| new_pane(feed, Duration::ZERO)).collect();
        let state = State::new(panes, interval, size, now(started));
        let calls = Vec::new();
        Ok(Shell { state, theme, started, looked_around: started, feeds, calls, console })
    }

    /// Runs until the user quits.
    ///
    /// # Errors
    ///
    /// [`Error::System`] if the terminal is gone.
    pub fn run(mut self, first: Option<Message>) -> Result<(), Error> {
        let mut quit = first.is_some_and(|first| self.tell(first));
        while !quit {
            quit = self.turn().map_err(lost_terminal)?;
        }
        Ok(())
    }

    /// One round; whether it was the last.
    fn turn(&mut self) -> io::Result<bool> {
        let size = self.console.size()?;
        if size != self.state.size {
            self.tell(Message::Resized(size));
        }
        let (state, theme) = (&self.state, self.theme);
        self.console.draw(|frame| view::render(state, theme, frame))?;

        let ready = self.wait()?;
        let mut messages = vec![Message::Tick];
        if ready.signals {
            while let Some(ask) = self.console.asked()? {
                match ask {
                    Ask::Quit => return Ok(true),
                    Ask::Suspend => self.console.suspend()?,
                    Ask::Resume => self.console.redraw()?,
                    Ask::Look => {}
                }
            }
        }
        if ready.keyboard {
            match self.console.typed()? {
                None => return Ok(true),
                Some(keys) => messages.extend(keys.into_iter().map(Message::Key)),
            }
        }
        for at in ready.feeds {
            messages.extend(self.feeds[at].read(at));
        }
        // From the last: those that are over leave no gap before others.
        for at in ready.calls.into_iter().rev() {
            let (said, over) = self.calls[at].read();
            messages.extend(said);
            if over {
                self.calls.remove(at);
            }
        }
        let interval = self.state.interval;
        for (at, feed) in self.feeds.iter_mut().enumerate() {
            if feed.due().is_some_and(|due| due <= Instant::now()) {
                messages.push(feed.connect_again(at, interval));
            }
        }
        self.look_around();
        Ok(messages.into_iter().any(|message| self.tell(message)))
    }

    /// Tells the state, and does what it orders; whether that is to quit.
    fn tell(&mut self, message: Message) -> bool {
        let mut next = vec![message];
        while let Some(message) = next.pop() {
            match self.state.update(now(self.started), message) {
                None => {}
                Some(Order::Quit) => return true,
                // Without a terminal, the next round ends.
                Some(Order::Suspend) => drop(self.console.suspend()),
                Some(Order::Redraw) => drop(self.console.redraw()),
                Some(Order::Call { call, pane, method }) => {
                    match Call::make(call, &self.feeds[pane].instance, method) {
                        Ok(call) => self.calls.push(call),
                        Err(message) => next.push(message),
                    }
                }
                Some(Order::Watch(interval)) => {
                    let feeds = self.feeds.iter_mut().enumerate();
                    next.extend(feeds.map(|(at, feed)| feed.connect_again(at, interval)));
                }
            }
        }
        false
    }

    /// Instances that were not there before join the list.
    fn look_around(&mut self) {
        if self.state.screen != Screen::List || self.looked_around.elapsed() < LOOK_AROUND {
            return;
        }
        self.looked_around = Instant::now();
        for instance in Places::of_system().all().instances {
            if self.feeds.iter().all(|feed| feed.instance.control != instance.control) {
                let feed = Feed::new(instance);
                self.state.panes.push(new_pane(&feed, self.started.elapsed()));
                self.feeds.push(feed);
            }
        }
    }

    fn wait(&self) -> io::Result<Ready> {
        let stdin = io::stdin();
        let mut fds: Vec<BorrowedFd<'_>> = vec![stdin.as_fd(), self.console.signals()];
        let open: Vec<usize> =
            (0..self.feeds.len()).filter(|at| self.feeds[*at].fd().is_some()).collect();
        fds.extend(open.iter().filter_map(|at| self.feeds[*at].fd()));
        fds.extend(self.calls.iter().map(Call::fd));
        let mut fds: Vec<PollFd<'_>> =
            fds.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();

        let due = self.feeds.iter().filter_map(Feed::due).min();
        let left = due.map_or(TICK, |due| due.saturating_duration_since(Instant::now()).min(TICK));
        // Rounded up: what is due in half a millisecond is not due now.
        let timeout =
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO);
        match poll(&mut fds, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Ready::default()),
            Err(error) => return Err(error.into()),
        }
        let is_ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        let (feeds, calls) = is_ready[2..].split_at(open.len());
        let places = |ready: &[bool]| {
            let ready = ready.iter().enumerate().filter(|(_, ready)| **ready);
            ready.map(|(at, _)| at).collect::<Vec<_>>()
        };
        Ok(Ready {
            keyboard: is_ready[0],
            signals: is_ready[1],
            feeds: places(feeds).into_iter().map(|at| open[at]).collect(),
            calls: places(calls),
        })
    }
}

fn new_pane(feed: &Feed, now: Duration) -> pane::Pane {
    pane::Pane::new(&feed.instance.name, feed.instance.how_to_recover(), now)
}

fn now(started: Instant) -> Now {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now {
        monotonic: started.elapsed(),
        wall_usec: u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX),
    }
}

fn lost_terminal(why: io::Error) -> Error {
    Error::system("use the terminal", why)
}
