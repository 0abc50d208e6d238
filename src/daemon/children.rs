//! The workers as processes: what carries out the core's orders about them, and hears from them.
//!
//! Decides nothing. The non-obvious fact: a worker that has ended is not reaped until nothing is
//! left of its session, so that its pid, which is also the session's number, cannot become
//! somebody else's while it is still signalled.

use super::source::Spec;
use super::token::Token;
use crate::herd::{Cause, Event, Exit, Generation, SlotId, Span, SpawnFailure, WorkerId};
use crate::linux::child::{self, RawExit};
use crate::linux::notify::Inbox;
use crate::linux::poll::{Interest, Poll};
use crate::linux::sockets::Socket;
use crate::linux::spawn::{self, Program, SpawnError, Stage};
use crate::wire::notify::{MAX_DATAGRAM, Message};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

/// Datagrams read from one worker in one turn. A worker that sends more is not listened to for a
/// while: its own queue fills, and it waits or loses, as it likes.
const DATAGRAMS_PER_TURN: usize = 16;
const MUTED_FOR: Span = Span::millis(20);

/// Pids of workers that are gone, for whoever asks about a failure.
const REMEMBERED: usize = 64;

const SIGKILL: i32 = 9;

/// The end of a worker of which nobody can say how it ended.
const UNKNOWN: Exit = Exit::Code(255);

/// What is the same for every worker this herder starts.
#[derive(Clone, Copy, Debug)]
pub struct Inheritance {
    /// Outside systemd nobody else would end them.
    pub die_with_herder: bool,
    /// As systemd gave it (`IgnoreSIGPIPE=`).
    pub ignore_sigpipe: bool,
    /// herder is protected from the OOM killer; workers are not.
    pub reset_oom_score: bool,
}

#[derive(Debug)]
struct Child {
    process: spawn::Child,
    inbox: Inbox,
    stop_signal: i32,
    reopen_signal: Option<i32>,
    status: Option<String>,
    /// Not listened to before this time, in microseconds.
    muted_until: Option<u64>,
    state: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Running,
    /// Ended, and not reaped: the core has not ordered it swept yet.
    Ended,
    /// Ended; what it left behind was sent its stop signal.
    Swept,
    /// Ended; what it left behind was sent SIGKILL.
    SweptHard,
}

/// Every worker that has not been reaped.
#[derive(Debug)]
pub struct Children {
    inboxes: PathBuf,
    /// Made in advance, to be quick when a worker dies.
    spare: Option<Inbox>,
    inheritance: Inheritance,
    children: BTreeMap<WorkerId, Child>,
    /// A process of herder's own that is not a worker: the `check` command.
    pub helper: Option<i32>,
    past: VecDeque<(WorkerId, i32)>,
    /// Datagrams that were not listened to: too long, or not from the worker whose socket it was.
    pub dropped: u64,
}

impl Children {
    pub fn new(inboxes: PathBuf, inheritance: Inheritance) -> Children {
        let spare = Inbox::bind(&inboxes).ok();
        Children {
            inboxes,
            spare,
            inheritance,
            children: BTreeMap::new(),
            helper: None,
            past: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Starts a worker, and says what came of it.
    pub fn spawn(
        &mut self,
        poll: &Poll,
        worker: WorkerId,
        slot: SlotId,
        generation: Generation,
        spec: &Spec,
        sockets: &[Socket],
    ) -> Event {
        match self.try_spawn(poll, worker, slot, generation, spec, sockets) {
            Ok(()) => Event::Spawned { worker },
            Err(failure) => Event::SpawnFailed { worker, failure },
        }
    }

    fn try_spawn(
        &mut self,
        poll: &Poll,
        worker: WorkerId,
        slot: SlotId,
        generation: Generation,
        spec: &Spec,
        sockets: &[Socket],
    ) -> Result<(), SpawnFailure> {
        let system = |tried: &str| {
            let text = format!("cannot {tried}");
            move |error: io::Error| SpawnFailure {
                cause: Cause::System,
                text: format!("{text}: {error}"),
            }
        };
        let inbox = match self.spare.take() {
            Some(inbox) => inbox,
            None => Inbox::bind(&self.inboxes).map_err(system("make its notify socket"))?,
        };
        let launch = &spec.launch;
        let rendered = launch.render(slot, worker, generation, inbox.path());
        let program = Program {
            path: Cow::Borrowed(rendered.path),
            argv: rendered.argv,
            env: rendered.env,
            directory: launch.directory.as_deref().map(Cow::Borrowed),
            listen_pid: launch.listen_pid,
            stdin: launch.stdin.map(|index| sockets[index].fd.as_raw_fd()),
            output: None,
            die_with_herder: self.inheritance.die_with_herder,
            ignore_sigpipe: self.inheritance.ignore_sigpipe,
            reset_oom_score: self.inheritance.reset_oom_score,
        };
        let fds: Vec<_> = launch.sockets.iter().map(|&index| sockets[index].fd.as_fd()).collect();
        let process = spawn::spawn(&program, &fds)
            .map_err(|error| SpawnFailure { cause: cause(error), text: error.explain(&program) })?;
        let watched = poll
            .add(&process.pidfd, Token::Process(worker).into(), Interest::Read)
            .and_then(|()| poll.add(&inbox, Token::Inbox(worker).into(), Interest::Read));
        if let Err(error) = watched {
            // A worker that cannot be watched cannot be kept.
            let _ = child::signal(process.pidfd.as_fd(), SIGKILL);
            return Err(system("watch its process")(error));
        }
        let child = Child {
            process,
            inbox,
            stop_signal: spec.settings.stop_signal.into(),
            reopen_signal: spec.settings.reopen_signal.map(i32::from),
            status: None,
            muted_until: None,
            state: Life::Running,
        };
        self.children.insert(worker, child);
        Ok(())
    }

    /// Makes what the next spawn will need, while nobody waits for it.
    pub fn prepare(&mut self) {
        if self.spare.is_none() {
            self.spare = Inbox::bind(&self.inboxes).ok();
        }
    }

    /// Sends a worker its stop signal.
    pub fn drain(&self, worker: WorkerId) {
        if let Some(child) = self.children.get(&worker) {
            // It may have ended a moment ago: then the news is on its way.
            let _ = child::signal(child.process.pidfd.as_fd(), child.stop_signal);
        }
    }

    /// SIGKILL to a worker and its group, or, once it is swept, to what it left behind; then it may
    /// be ordered as often as the core likes. Says what is over with that.
    pub fn kill(&mut self, worker: WorkerId) -> Option<Event> {
        let child = self.children.get_mut(&worker)?;
        match child.state {
            // The rest of its session has its turn when it is swept: to look for that now would
            // take a look at every process of the machine for each of many workers.
            Life::Running | Life::Ended => {
                let _ = child::signal(child.process.pidfd.as_fd(), SIGKILL);
                let _ = child::signal_group(child.process.pid, SIGKILL);
                None
            }
            Life::Swept | Life::SweptHard => {
                child.state = Life::SweptHard;
                self.clear(worker, SIGKILL)
            }
        }
    }

    /// Sends what a dead worker left behind its stop signal, or SIGKILL, and reaps the worker if
    /// that is nothing.
    pub fn sweep(&mut self, poll: &Poll, worker: WorkerId, kill: bool) -> Option<Event> {
        let child = self.children.get_mut(&worker)?;
        let (state, signal) =
            if kill { (Life::SweptHard, SIGKILL) } else { (Life::Swept, child.stop_signal) };
        child.state = state;
        // The pidfd of the dead stays readable for ever.
        let _ = poll.remove(&child.process.pidfd);
        self.clear(worker, signal)
    }

    /// Signals what a dead worker left in its session, and reaps the worker if that is nothing.
    fn clear(&mut self, worker: WorkerId, signal: i32) -> Option<Event> {
        let pid = self.children.get(&worker)?.process.pid;
        // Without /proc nobody can tell; what is left then is left to the unit's own clean-up.
        if child::has_leftovers(pid, |pid| self.is_known(pid)).unwrap_or(false) {
            // Not only to its group: a worker's own helpers may have groups of their own.
            let _ = child::signal_session(pid, signal);
            return None;
        }
        self.bury(worker)
    }

    /// Gives a worker up that not even SIGKILL ends.
    pub fn abandon(&mut self, worker: WorkerId) {
        // Its descriptors close, and with them nobody watches it. When it does end, it is reaped as
        // any other orphan.
        self.children.remove(&worker);
    }

    /// Reaps a swept worker of whose session nothing is left.
    fn bury(&mut self, worker: WorkerId) -> Option<Event> {
        let child = self.children.remove(&worker)?;
        let _ = child::reap(child.process.pidfd.as_fd());
        self.past.push_back((worker, child.process.pid));
        if self.past.len() > REMEMBERED {
            self.past.pop_front();
        }
        Some(Event::Gone { worker })
    }

    /// SIGCHLD: something ended, perhaps the last of what a worker left behind.
    pub fn reap(&mut self) -> Vec<Event> {
        let orphans = child::reap_orphans(|pid| self.is_known(pid)).unwrap_or(0);
        let swept = |child: &Child| matches!(child.state, Life::Swept | Life::SweptHard);
        if !self.children.values().any(swept) {
            return Vec::new();
        }
        // Whatever a dead worker left has an ancestor among the orphans: without one nothing is left.
        // Else one look at all processes serves all workers, however many were swept.
        let still = match orphans {
            0 => BTreeSet::new(),
            _ => child::running_sessions().unwrap_or_default(),
        };
        let mut over = Vec::new();
        for (&worker, child) in self.children.iter().filter(|(_, child)| swept(child)) {
            if !still.contains(&child.process.pid) {
                over.push(worker);
            } else if child.state == Life::SweptHard {
                // They may have forked in the meantime.
                let _ = child::signal_session(child.process.pid, SIGKILL);
            }
        }
        over.into_iter().filter_map(|worker| self.bury(worker)).collect()
    }

    fn is_known(&self, pid: i32) -> bool {
        self.helper == Some(pid) || self.children.values().any(|child| child.process.pid == pid)
    }

    /// A worker's process has ended, and how.
    pub fn ended(&mut self, worker: WorkerId) -> Option<Event> {
        let child = self.children.get_mut(&worker)?;
        if child.state != Life::Running {
            return None;
        }
        let exit = match child::peek(child.process.pidfd.as_fd()) {
            Ok(exit) => how(exit?),
            // Somebody else has reaped it (waitid(2), ECHILD). It is gone all the same, and its
            // pidfd, readable for ever, must not keep the loop busy.
            Err(_) => UNKNOWN,
        };
        child.state = Life::Ended;
        Some(Event::Exited { worker, exit })
    }

    /// What a worker has to say.
    pub fn hear(&mut self, poll: &Poll, worker: WorkerId, now: u64) -> Vec<Event> {
        let mut events = Vec::new();
        let Some(child) = self.children.get_mut(&worker) else { return events };
        let mut buffer = [0; MAX_DATAGRAM];
        for _ in 0..DATAGRAMS_PER_TURN {
            let Ok(Some(datagram)) = child.inbox.recv(&mut buffer) else { return events };
            let pid = child.process.pid;
            let is_its_own = datagram.pid == pid || child::session_of(datagram.pid) == Some(pid);
            if !is_its_own {
                self.dropped += 1;
                continue;
            }
            let mut message = Message::parse(&buffer[..datagram.len]);
            if datagram.truncated {
                // A text that was cut still says something; a number says something else.
                message.extend = None;
            }
            if message.status.is_some() {
                child.status.clone_from(&message.status);
            }
            if let Some(usec) = message.extend {
                events.push(Event::Extend { worker, by: Span(usec) });
            }
            if message.ready {
                events.push(Event::Ready { worker });
            }
            if message.stopping {
                events.push(Event::Stopping { worker });
            }
        }
        child.muted_until = Some(now + MUTED_FOR.0);
        let _ = poll.remove(&child.inbox);
        events
    }

    /// Listens again to workers that were muted for long enough.
    pub fn unmute(&mut self, poll: &Poll, now: u64) {
        for (&worker, child) in &mut self.children {
            if child.muted_until.is_some_and(|until| until <= now) {
                child.muted_until = None;
                let _ = poll.add(&child.inbox, Token::Inbox(worker).into(), Interest::Read);
            }
        }
    }

    /// When [`unmute`](Children::unmute) is due.
    pub fn deadline(&self) -> Option<u64> {
        self.children.values().filter_map(|child| child.muted_until).min()
    }

    /// Passes `reopen-signal` on to those started with one, and says to how many.
    pub fn reopen(&self) -> usize {
        let running = self.children.values().filter(|child| child.state == Life::Running);
        let told = running.filter(|child| {
            child
                .reopen_signal
                .is_some_and(|signal| child::signal(child.process.pidfd.as_fd(), signal).is_ok())
        });
        told.count()
    }

    /// The worker's pid; of one that is gone, for a while.
    pub fn pid(&self, worker: WorkerId) -> Option<u32> {
        let past = || self.past.iter().find(|(id, _)| *id == worker).map(|(_, pid)| *pid);
        let pid = self.children.get(&worker).map(|child| child.process.pid).or_else(past)?;
        u32::try_from(pid).ok()
    }

    /// Whether workers ignore SIGPIPE, as systemd gave it.
    pub fn ignores_sigpipe(&self) -> bool {
        self.inheritance.ignore_sigpipe
    }

    /// What the worker said of itself with STATUS=.
    pub fn status(&self, worker: WorkerId) -> Option<String> {
        self.children.get(&worker)?.status.clone()
    }
}

/// Whose turn it is after a failure to start.
fn cause(error: SpawnError) -> Cause {
    let about_files = matches!(error.stage, Stage::Execute | Stage::ChangeDirectory);
    match error.errno {
        libc::ENOENT | libc::EACCES | libc::ENOEXEC | libc::ENOTDIR | libc::ELOOP
            if about_files =>
        {
            Cause::Settings
        }
        _ => Cause::System,
    }
}

fn how(exit: RawExit) -> Exit {
    let number = u8::try_from(exit.status).unwrap_or(u8::MAX);
    match exit.code {
        libc::CLD_EXITED => Exit::Code(number),
        code => Exit::Signal { number, core: code == libc::CLD_DUMPED },
    }
}
