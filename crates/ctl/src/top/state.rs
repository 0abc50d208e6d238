//! Everything `herder top` knows, and what a message makes of it.
//!
//! Pure: no clock, no terminal, no connection. [`State::update`] takes a message and may give an order,
//! [`view`](super::view) draws what there is.

use super::columns::Sort;
use super::dialog::{Closed, Dialog};
use super::input::Key;
use super::keys::{self, Command};
use super::pane::{Link, Pane};
use super::view;
use herder_wire::control::Method;
use herder_wire::status::Status;
use ratatui::layout::Size;
use std::time::Duration;

/// How long an answer is shown; one that says no is shown longer.
const SHOWN: Duration = Duration::from_secs(15);
const BAD_SHOWN: Duration = Duration::from_secs(60);

/// What happens.
#[derive(Clone, Debug)]
pub enum Message {
    /// Time has passed.
    Tick,
    /// The terminal has another size.
    Resized(Size),
    Key(Key),
    /// There is a connection to an instance.
    Connected {
        pane: usize,
    },
    /// An instance says how it is.
    Heard {
        pane: usize,
        status: Box<Status>,
    },
    /// The connection to an instance is gone, or cannot be made.
    Lost {
        pane: usize,
        why: String,
    },
    /// How a call is coming along.
    Progress {
        call: u64,
        text: String,
    },
    /// What came of a call.
    Answered {
        call: u64,
        outcome: Result<String, String>,
    },
}

/// What the terminal and the connections are to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    Quit,
    /// Give the terminal back for a while.
    Suspend,
    /// Draw everything afresh.
    Redraw,
    /// Call a method.
    Call {
        call: u64,
        pane: usize,
        method: Method,
    },
    /// Watch with this interval.
    Watch(Duration),
}

/// The moment, in both ways it is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since `herder top` started.
    pub monotonic: Duration,
    /// In microseconds since 1970.
    pub wall_usec: u64,
}

/// What is on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// The instances.
    List,
    /// One of them.
    Instance(usize),
}

/// What came of something, on the last line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    pub tone: Tone,
    since: Duration,
}

/// How it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Bad,
    /// It is not over.
    Busy,
}

/// A call that is not answered yet.
#[derive(Clone, Debug)]
struct Asked {
    call: u64,
    pane: usize,
    label: String,
    /// The number of workers it is to bring.
    workers: Option<u32>,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct State {
    pub panes: Vec<Pane>,
    pub screen: Screen,
    /// The instance chosen in the list.
    pub chosen: usize,
    pub dialog: Option<Dialog>,
    pub sort: Sort,
    pub interval: Duration,
    pub paused: bool,
    pub size: Size,
    pub now: Now,
    notice: Option<Notice>,
    asked: Vec<Asked>,
    calls: u64,
}

impl State {
    /// One instance is shown at once; of several, the list.
    pub fn new(panes: Vec<Pane>, interval: Duration, size: Size, now: Now) -> State {
        State {
            screen: if panes.len() == 1 { Screen::Instance(0) } else { Screen::List },
            panes,
            chosen: 0,
            dialog: None,
            sort: Sort::default(),
            interval,
            paused: false,
            size,
            now,
            notice: None,
            asked: Vec::new(),
            calls: 0,
        }
    }

    /// The instance that is shown.
    pub fn pane(&self) -> Option<&Pane> {
        match self.screen {
            Screen::List => None,
            Screen::Instance(at) => self.panes.get(at),
        }
    }

    /// What the last line says, if there is news.
    pub fn notice(&self) -> Option<&Notice> {
        self.notice.as_ref()
    }

    /// Takes a message in.
    pub fn update(&mut self, now: Now, message: Message) -> Option<Order> {
        self.now = now;
        let (monotonic, interval, paused) = (now.monotonic, self.interval, self.paused);
        let mut order = None;
        match message {
            Message::Tick => {}
            Message::Resized(size) => self.size = size,
            Message::Key(key) => order = self.key(key),
            Message::Connected { pane } => {
                if let Some(pane) = self.panes.get_mut(pane) {
                    pane.link = Link::New { since: monotonic };
                }
            }
            Message::Heard { pane, status } => {
                if let Some(pane) = self.panes.get_mut(pane) {
                    pane.hear(*status, monotonic, interval, paused);
                }
            }
            Message::Lost { pane, why } => {
                if let Some(pane) = self.panes.get_mut(pane) {
                    pane.link = Link::Lost(why);
                }
            }
            Message::Progress { call, text } => {
                if let Some(asked) = self.asked.iter().find(|asked| asked.call == call) {
                    self.say(Tone::Busy, format!("{}: {text}", asked.label));
                }
            }
            Message::Answered { call, outcome } => self.answered(call, outcome),
        }
        self.forget_old_news();
        self.keep_in_view();
        order
    }

    fn answered(&mut self, call: u64, outcome: Result<String, String>) {
        let Some(at) = self.asked.iter().position(|asked| asked.call == call) else { return };
        let asked = self.asked.remove(at);
        match outcome {
            Ok(text) => self.say(Tone::Good, format!("{}: {text}", asked.label)),
            Err(text) => self.say(Tone::Bad, format!("{}: {text}", asked.label)),
        }
    }

    fn say(&mut self, tone: Tone, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), tone, since: self.now.monotonic });
    }

    fn forget_old_news(&mut self) {
        let Some(notice) = &self.notice else { return };
        let shown = match notice.tone {
            Tone::Good => SHOWN,
            Tone::Bad => BAD_SHOWN,
            Tone::Busy if self.asked.is_empty() => Duration::ZERO,
            Tone::Busy => Duration::MAX,
        };
        if self.now.monotonic.saturating_sub(notice.since) > shown {
            self.notice = None;
        }
    }

    fn keep_in_view(&mut self) {
        let (sort, height) = (self.sort, view::table_height(self));
        let Screen::Instance(at) = self.screen else { return };
        if let Some(pane) = self.panes.get_mut(at) {
            pane.keep_in_view(sort, height);
        }
    }

    fn key(&mut self, key: Key) -> Option<Order> {
        match key {
            Key::Ctrl('c') => return Some(Order::Quit),
            Key::Ctrl('z') => return Some(Order::Suspend),
            Key::Ctrl('l') => return Some(Order::Redraw),
            _ => {}
        }
        if let Some(mut dialog) = self.dialog.take() {
            return match dialog.key(key) {
                None => {
                    self.dialog = Some(dialog);
                    None
                }
                Some(closed) => self.closed(closed),
            };
        }
        let command = keys::command(key)?;
        match (command, self.screen) {
            (Command::Quit, _) => return Some(Order::Quit),
            (Command::Help, _) => self.dialog = Some(Dialog::Help),
            (Command::Pause, _) => self.pause(),
            (Command::Interval, _) => self.dialog = Some(Dialog::interval(self.interval)),
            (Command::Back, _) if self.notice.is_some() => self.notice = None,
            (command, Screen::List) => self.in_list(command),
            (command, Screen::Instance(at)) => return self.in_instance(command, at),
        }
        None
    }

    fn pause(&mut self) {
        self.paused = !self.paused;
        if !self.paused {
            self.panes.iter_mut().for_each(Pane::resume);
        }
    }

    fn closed(&mut self, closed: Closed) -> Option<Order> {
        match (closed, self.screen) {
            (Closed::Interval(interval), _) => {
                self.interval = interval;
                self.panes.iter_mut().for_each(|pane| pane.history.forget());
                return Some(Order::Watch(interval));
            }
            (Closed::Sort(sort), _) => self.sort = sort,
            (Closed::Call(method), Screen::Instance(at)) => return Some(self.ask(at, method)),
            (Closed::Call(_), Screen::List) | (Closed::Nothing, _) => {}
        }
        None
    }

    fn in_list(&mut self, command: Command) {
        let last = self.panes.len().saturating_sub(1);
        let page = usize::from(self.size.height).saturating_sub(4).max(1);
        match command {
            Command::Select(step) => self.chosen = step.from(self.chosen, page, last),
            Command::Open if self.chosen <= last => self.screen = Screen::Instance(self.chosen),
            _ => {}
        }
    }

    fn in_instance(&mut self, command: Command, at: usize) -> Option<Order> {
        let (sort, height) = (self.sort, view::table_height(self));
        let pane = self.panes.get_mut(at)?;
        match command {
            Command::Select(step) => pane.go(step, sort, height),
            Command::Back if pane.selected.is_some() => pane.selected = None,
            Command::Back if self.panes.len() > 1 => self.screen = Screen::List,
            Command::SortShifted(steps) => self.sort = sort.shifted(steps),
            Command::SortBy(column) => self.sort = Sort::by(column),
            Command::SortReverse => self.sort.reversed = !sort.reversed,
            Command::SortChoose => self.dialog = Some(Dialog::sort(sort)),
            command => return self.change(command, at),
        }
        None
    }

    /// What changes the instance: at once if it is small, after a question if it is not.
    fn change(&mut self, command: Command, at: usize) -> Option<Order> {
        let Some(status) = self.panes[at].status.as_ref() else {
            self.say(Tone::Bad, "nothing is known of this instance yet");
            return None;
        };
        let (name, wanted, reloads) = (status.name.clone(), status.wanted, status.reload.is_some());
        let selected = self.panes[at].selected;
        let coming = self
            .asked
            .iter()
            .rev()
            .filter(|asked| asked.pane == at)
            .find_map(|asked| asked.workers);
        let scale = |workers: Option<u32>| workers.map(|workers| Method::Scale { workers });
        let method = match command {
            Command::Reload => {
                let question = format!("Reload {name}: replace {} one by one?", all(wanted));
                self.dialog = Some(Dialog::confirm(question, Method::Reload { previous: false }));
                None
            }
            Command::ReloadPrevious => {
                let question = format!("Reload {name} with the settings of the generation before?");
                self.dialog = Some(Dialog::confirm(question, Method::Reload { previous: true }));
                None
            }
            Command::Abort if !reloads => {
                self.say(Tone::Good, "no reload is under way");
                None
            }
            Command::Abort => {
                let question =
                    format!("Abort the reload of {name} and put the settings before back?");
                self.dialog = Some(Dialog::confirm(question, Method::AbortReload));
                None
            }
            Command::RecycleAll => {
                let question = format!("Recycle {}, one by one?", all(wanted));
                self.dialog = Some(Dialog::confirm(question, Method::Recycle { slot: None }));
                None
            }
            Command::Scale => {
                self.dialog = Some(Dialog::workers(wanted));
                None
            }
            Command::Stop => match selected {
                Some(selected) => {
                    let question =
                        format!("Stop worker {} in slot {}?", selected.worker, selected.slot);
                    let method = Method::StopWorker { worker: selected.worker };
                    self.dialog = Some(Dialog::confirm(question, method));
                    None
                }
                None => self.select_first("stop"),
            },
            Command::Recycle => match selected {
                Some(selected) => Some(Method::Recycle { slot: Some(selected.slot) }),
                None => self.select_first("recycle"),
            },
            Command::More => scale(coming.unwrap_or(wanted).checked_add(1)),
            Command::Fewer => scale(coming.unwrap_or(wanted).checked_sub(1)),
            _ => None,
        };
        method.map(|method| self.ask(at, method))
    }

    fn select_first(&mut self, what: &str) -> Option<Method> {
        self.say(Tone::Bad, format!("select the worker to {what} first, with Up and Down"));
        None
    }

    fn ask(&mut self, pane: usize, method: Method) -> Order {
        let mut workers = None;
        let label = match &method {
            Method::Reload { previous: false } => "reload".to_owned(),
            Method::Reload { previous: true } => "reload --previous".to_owned(),
            Method::AbortReload => "abort".to_owned(),
            Method::Scale { workers: count } => {
                workers = Some(*count);
                format!("scale to {count}")
            }
            Method::Recycle { slot: Some(slot) } => format!("recycle slot {slot}"),
            Method::Recycle { slot: None } => "recycle".to_owned(),
            Method::StopWorker { worker } => format!("stop worker {worker}"),
            other => format!("{other:?}"),
        };
        self.calls += 1;
        self.say(Tone::Busy, format!("{label}: asked"));
        self.asked.push(Asked { call: self.calls, pane, label, workers });
        Order::Call { call: self.calls, pane, method }
    }
}

fn all(workers: u32) -> String {
    match workers {
        1 => "the one worker".to_owned(),
        count => format!("all {count} workers"),
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
