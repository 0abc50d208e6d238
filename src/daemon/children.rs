//! The workers as processes: what carries out the core's orders about them, and hears from them.
//!
//! Decides nothing. The non-obvious fact: a worker that has ended is not reaped until nothing is
//! left of it, so that its pid, which is also the session's number, cannot be given to another process
//! while it is still signalled. What belongs to a worker is what is in its cgroup; where it has none,
//! what is in its session or process group.

mod groups;
mod hearing;
mod looking;
mod memory;
mod output;
mod remains;
mod starts;

pub use starts::Start;

use super::limits;
use super::token::Token;
use crate::log::LogLevel;
use groups::Groups;
use herder_config::CpuAffinity;
use herder_core::{Cause, Event, Exit, Generation, SlotId, SpawnFailure, WorkerId};
use herder_linux::allowed_cpus;
use herder_linux::cgroup::{Group, Tree, Watch};
use herder_linux::child::{self, RawExit};
use herder_linux::control;
use herder_linux::http;
use herder_linux::limits::OpenFiles;
use herder_linux::notify::Inbox;
use herder_linux::poll::{self, Interest, Poll};
use herder_linux::sockets::Socket;
use herder_linux::spawn::{self, Program, SpawnError, Stage};
use herder_linux::usage::Subject;
use memory::{Kills, Memory};
use output::Output;
use remains::Search;
use starts::Starts;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

/// Descriptors that herder has open for a worker at most: its process, its notify socket, its cgroup.
/// (A probe for which there is none left is not asked.)
const PER_WORKER: usize = 3;

/// Descriptors that are not spent on workers or clients but on herder itself; at most a quarter of all.
const KEPT_BACK: u64 = 32;

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGCONT: i32 = 18;

/// The end of a worker of which the system does not say how it ended.
const UNKNOWN: Exit = Exit::Code(255);

/// What is the same for every worker this herder starts.
#[derive(Clone, Copy, Debug)]
pub struct Inheritance {
    /// Outside systemd nothing else would end them.
    pub die_with_herder: bool,
    /// As systemd gave it (`IgnoreSIGPIPE=`).
    pub ignore_sigpipe: bool,
    /// herder is protected from the OOM killer; workers are not.
    pub reset_oom_score: bool,
    /// What herder was given, before it raised its own.
    pub open_files: Option<OpenFiles>,
}

#[derive(Debug)]
struct Child {
    slot: SlotId,
    generation: Generation,
    process: spawn::Child,
    inbox: Inbox,
    group: Option<Group>,
    /// Set once it has ended and left processes behind in its group.
    watch: Option<Watch>,
    kills: Kills,
    /// The sockets it was given, as they are counted in herder.
    sockets: Vec<usize>,
    listen_pid: bool,
    stop_signal: i32,
    reopen_signal: Option<i32>,
    status: Option<String>,
    /// The CPU time it had used when it was last weighed.
    weighed_at_cpu: Option<u64>,
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

impl Child {
    /// Whether this process is the worker, or one of its helpers.
    fn owns(&self, pid: i32) -> bool {
        let worker = self.process.pid;
        pid == worker
            || child::session_of(pid) == Some(worker)
            || self.group.as_ref().is_some_and(|group| group.has(pid))
    }
}

/// Every worker that has not been reaped.
#[derive(Debug)]
pub struct Children {
    inboxes: PathBuf,
    /// Made in advance, to be quick when a worker dies.
    spare: Option<Inbox>,
    groups: Groups,
    memory: Option<Memory>,
    output: Output,
    /// The worker that will be asked for next, as ids count up.
    next: WorkerId,
    inheritance: Inheritance,
    /// herder's own limit.
    most_open_files: Option<u64>,
    children: BTreeMap<WorkerId, Child>,
    /// The same by their pids.
    pids: HashMap<i32, WorkerId>,
    /// How many of each generation have not ended.
    running: BTreeMap<Generation, u32>,
    /// Workers that are not listened to before this time, in microseconds.
    muted: BTreeSet<(u64, WorkerId)>,
    search: Search,
    /// Workers that were ordered and are not started yet.
    starts: Starts,
    /// Processes of herder's own that are not workers: the `check` command, probes.
    helpers: BTreeSet<i32>,
    past: VecDeque<(WorkerId, i32)>,
    /// Datagrams that were not listened to: too long, or not from the worker whose socket it was.
    dropped: u64,
}

impl Children {
    /// `tree` is where workers get cgroups of their own, if they do.
    pub fn new(
        inboxes: PathBuf,
        inheritance: Inheritance,
        tree: Option<Tree>,
        poll: &Poll,
    ) -> Children {
        let mut children = Children {
            inboxes,
            spare: None,
            memory: tree.as_ref().and_then(|tree| Memory::watch(tree, poll)),
            groups: Groups::new(tree),
            output: Output::new(),
            next: WorkerId(1),
            inheritance,
            most_open_files: OpenFiles::now().ok().map(|limit| limit.soft),
            children: BTreeMap::new(),
            pids: HashMap::new(),
            running: BTreeMap::new(),
            muted: BTreeSet::new(),
            search: Search::new(),
            starts: Starts::default(),
            helpers: BTreeSet::new(),
            past: VecDeque::new(),
            dropped: 0,
        };
        children.prepare();
        children
    }

    /// A turn begins now.
    pub fn begin_turn(&mut self, now: u64) {
        self.starts.begin_turn(now);
    }

    /// A worker is to be started, in this turn or a later one.
    pub fn order_start(&mut self, start: Start) {
        self.starts.order(start);
    }

    /// herder ends: no worker is started any more. Returns the outcome of each start that was ordered.
    pub fn withdraw_starts(&mut self) -> Vec<Event> {
        self.starts.withdraw()
    }

    /// Starts workers until none is left to be started, or the turn's time for that is over. Returns what came of each.
    pub fn start_some(&mut self, poll: &Poll, sockets: &[Socket]) -> Vec<Event> {
        let mut events = Vec::new();
        while !self.starts.is_empty() {
            let Some(start) = self.starts.take(poll::now()) else { break };
            let worker = start.worker;
            events.push(match self.spawn(poll, &start, sockets) {
                Ok(()) => Event::Spawned { worker },
                Err(failure) => Event::SpawnFailed { worker, failure },
            });
        }
        events
    }

    fn spawn(
        &mut self,
        poll: &Poll,
        start: &Start,
        sockets: &[Socket],
    ) -> Result<(), SpawnFailure> {
        let Start { worker, slot, generation, ref queues, ref spec } = *start;
        let system = |tried: &str| {
            let text = format!("cannot {tried}");
            move |error: io::Error| SpawnFailure {
                cause: Cause::System,
                text: format!("{text}: {error}"),
            }
        };
        if !self.has_room(sockets.len()) {
            let text = "there are no file descriptors left for another worker (LimitNOFILE=)";
            return Err(SpawnFailure { cause: Cause::System, text: text.to_owned() });
        }
        let inbox = match self.spare.take() {
            Some(inbox) => inbox,
            None => Inbox::bind(&self.inboxes).map_err(system("make its notify socket"))?,
        };
        self.next = WorkerId(worker.0 + 1);
        let launch = &spec.launch;
        let limits = &spec.limits;
        let home = self.groups.take(worker, &limits.group).map_err(|(tried, why)| {
            SpawnFailure { cause: limits::cause(&why), text: format!("cannot {tried}: {why}") }
        })?;
        let mut rendered = launch.render(slot, worker, generation, inbox.path(), queues);
        let identifier = launch.identifier(slot, worker, generation);
        let stream = identifier.and_then(|name| self.output.open(worker, &name));
        if let Some(stream) = &stream {
            output::announce(stream, &mut rendered.env);
        }
        let own = launch.sockets_of(queues);
        let first = own.first().filter(|_| launch.stdin);
        let mut program = Program {
            path: Cow::Borrowed(rendered.path),
            argv: rendered.argv,
            env: rendered.env,
            directory: launch.directory.as_deref().map(Cow::Borrowed),
            listen_pid: launch.listen_pid,
            watchdog_pid: launch.watchdog_pid,
            stdin: first.map(|&index| sockets[index].fd.as_raw_fd()),
            output: stream.as_ref().map(|stream| stream.socket.as_raw_fd()),
            die_with_herder: self.inheritance.die_with_herder,
            ignore_sigpipe: self.inheritance.ignore_sigpipe,
            reset_oom_score: self.inheritance.reset_oom_score,
            open_files: self.inheritance.open_files,
            limits: Some(&limits.process),
            cpu: cpu(spec.settings.cpu_affinity, slot),
            cgroup: home.as_ref().map(|home| &home.entrance),
        };
        let fds: Vec<_> = own.iter().map(|&index| sockets[index].fd.as_fd()).collect();
        let mut started = spawn::spawn(&program, &fds);
        let may_be_outside = program.cgroup.is_some() && limits.group.is_empty();
        let refused = started.as_ref().err().filter(|why| {
            may_be_outside && matches!(why.stage, Stage::CreateProcess | Stage::JoinCgroup)
        });
        if let Some(&why) = refused {
            program.cgroup = None;
            let again = spawn::spawn(&program, &fds);
            if again.is_ok() {
                self.groups.refused(worker, why);
            }
            started = again;
        }
        let is_inside = started.is_ok() && program.cgroup.is_some();
        let started = started
            .map_err(|error| SpawnFailure { cause: cause(error), text: error.explain(&program) });
        let group = home.map(|home| home.group).and_then(|group| {
            if is_inside {
                return Some(group);
            }
            self.groups.leave(group);
            None
        });
        let process = started?;
        let watched = poll
            .add(&process.pidfd, Token::Process(worker).into(), Interest::Read)
            .and_then(|()| poll.add(&inbox, Token::Inbox(worker).into(), Interest::Read));
        if let Err(error) = watched {
            // A worker that cannot be watched cannot be kept.
            let _ = child::signal(process.pidfd.as_fd(), SIGKILL);
            group.into_iter().for_each(|group| self.groups.leave(group));
            return Err(system("watch its process")(error));
        }
        let child = Child {
            slot,
            generation,
            process,
            inbox,
            group,
            watch: None,
            kills: Kills::default(),
            sockets: own,
            listen_pid: launch.listen_pid,
            stop_signal: spec.settings.stop_signal.into(),
            reopen_signal: spec.settings.reopen_signal.map(i32::from),
            status: None,
            weighed_at_cpu: None,
            muted_until: None,
            state: Life::Running,
        };
        self.pids.insert(child.process.pid, worker);
        *self.running.entry(generation).or_insert(0) += 1;
        self.children.insert(worker, child);
        Ok(())
    }

    /// Nothing more is expected of a worker.
    fn forget(&mut self, worker: WorkerId) -> Option<Child> {
        let child = self.children.remove(&worker)?;
        self.pids.remove(&child.process.pid);
        if child.state == Life::Running {
            self.stopped_running(child.generation);
        }
        self.search.forget(worker);
        if let Some(until) = child.muted_until {
            self.muted.remove(&(until, worker));
        }
        Some(child)
    }

    fn stopped_running(&mut self, generation: Generation) {
        if let Some(count) = self.running.get_mut(&generation) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(&generation);
            }
        }
    }

    /// The generations of the workers that have not ended.
    pub fn generations(&self) -> impl Iterator<Item = Generation> {
        self.running.keys().copied()
    }

    /// The slot a worker is in, and the generation of the settings it was started with.
    pub fn place(&self, worker: WorkerId) -> Option<(SlotId, Generation)> {
        let child = self.children.get(&worker)?;
        Some((child.slot, child.generation))
    }

    /// Whether one more worker leaves enough descriptors for everything else.
    fn has_room(&self, sockets: usize) -> bool {
        let needed = ((self.children.len() + 1) * PER_WORKER + sockets) as u64;
        // So that it can always be asked what is wrong.
        let clients = (control::places() + http::places()) as u64;
        self.most_open_files.is_none_or(|most| needed + clients + KEPT_BACK.min(most / 4) <= most)
    }

    /// Makes what the next spawn will need, and removes what is no longer needed, while no replacement waits for it.
    pub fn prepare(&mut self) {
        if self.spare.is_none() {
            self.spare = Inbox::bind(&self.inboxes).ok();
        }
        self.groups.prepare(self.next);
    }

    /// Sends a worker its stop signal.
    pub fn drain(&self, worker: WorkerId) {
        if let Some(child) = self.children.get(&worker) {
            // It may have ended a moment ago: then the news is on its way.
            let _ = child::signal(child.process.pidfd.as_fd(), child.stop_signal);
        }
    }

    /// Ends a worker that hangs in a way that shows where: SIGABRT to its process, which must not stay
    /// stopped for that.
    pub fn abort(&self, worker: WorkerId) {
        if let Some(child) = self.children.get(&worker) {
            let _ = child::signal(child.process.pidfd.as_fd(), SIGABRT);
            let _ = child::signal(child.process.pidfd.as_fd(), SIGCONT);
        }
    }

    /// This process is herder's own and no worker.
    pub fn helper_started(&mut self, pid: i32) {
        self.helpers.insert(pid);
    }

    pub fn helper_ended(&mut self, pid: i32) {
        self.helpers.remove(&pid);
    }

    /// Datagrams that were not listened to: too long, or not from the worker whose socket it was.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn is_known(&self, pid: i32) -> bool {
        self.pids.contains_key(&pid) || self.helpers.contains(&pid)
    }

    /// A worker's process has ended, and how; and what else has become known with that.
    pub fn ended(&mut self, worker: WorkerId, now: u64) -> Vec<Event> {
        let Some(child) = self.children.get_mut(&worker) else { return Vec::new() };
        if child.state != Life::Running {
            return Vec::new();
        }
        let raw = match child::peek(child.process.pidfd.as_fd()) {
            Ok(None) => return Vec::new(),
            Ok(Some(raw)) => Some(raw),
            // It was reaped elsewhere (waitid(2), ECHILD). It is gone all the same, and its
            // pidfd, readable for ever, must not keep the loop busy.
            Err(_) => None,
        };
        child.state = Life::Ended;
        let generation = child.generation;
        self.stopped_running(generation);
        let Some(raw) = raw else { return vec![Event::Exited { worker, exit: UNKNOWN }] };
        let mut events = self.count_kills_at_end(worker, raw, now);
        let starved = self.children.get(&worker).is_some_and(|c| c.ran_out_of_memory(raw, now));
        let exit = if starved { Exit::OutOfMemory } else { how(raw) };
        events.push(Event::Exited { worker, exit });
        events
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

    /// The same, but only as long as no other process can have it: until the worker is reaped.
    pub fn unreaped(&self, worker: WorkerId) -> Option<i32> {
        Some(self.children.get(&worker)?.process.pid)
    }

    /// What is to be measured: every worker that is not reaped.
    pub fn subjects(&self) -> impl Iterator<Item = (WorkerId, Subject)> + Clone {
        self.children.iter().map(|(&worker, child)| {
            let cgroup = child.group.as_ref().map(|group| group.path().to_owned());
            (worker, Subject { pid: child.process.pid, cgroup })
        })
    }

    /// What is the same for every worker, and for every other process that herder starts.
    pub fn inheritance(&self) -> Inheritance {
        self.inheritance
    }

    /// Where workers get cgroups of their own, if they do.
    pub fn tree(&self) -> Option<&Tree> {
        self.groups.tree()
    }

    /// The worker's cgroup, where its `cpu.stat`, `memory.current` and so on are.
    pub fn group(&self, worker: WorkerId) -> Option<&Group> {
        self.children.get(&worker)?.group.as_ref()
    }

    /// The worker's cgroup, below the mount point of all.
    pub fn cgroup(&self, worker: WorkerId) -> Option<String> {
        Some(self.tree()?.group_in_mount(self.group(worker)?))
    }

    /// How many of the worker's processes the kernel has killed for want of memory; none where that
    /// is not known.
    pub fn oom_kills(&self, worker: WorkerId) -> Option<u64> {
        let child = self.children.get(&worker)?;
        let group = child.group.as_ref()?;
        // Where the kernel says that there are more, they have been counted.
        if self.memory.is_some() { Some(child.kills.told()) } else { group.oom_kills() }
    }

    /// The worker this process belongs to, if it belongs to one.
    pub fn owner(&self, pid: i32) -> Option<WorkerId> {
        let by_group = self.groups.worker_of(pid).filter(|id| self.children.contains_key(id));
        by_group.or_else(|| self.pids.get(&child::session_of(pid)?).copied())
    }

    /// The CPU time the worker had used when it was last weighed, in microseconds.
    pub fn cpu_when_weighed(&self, worker: WorkerId) -> Option<u64> {
        self.children.get(&worker)?.weighed_at_cpu
    }

    /// The worker was weighed, and has used so much CPU time by now.
    pub fn was_weighed(&mut self, worker: WorkerId, cpu_usec: Option<u64>) {
        if let Some(child) = self.children.get_mut(&worker) {
            child.weighed_at_cpu = cpu_usec;
        }
    }

    /// What operators should know of how workers are started, for the log.
    pub fn notes(&mut self) -> Vec<(LogLevel, String)> {
        let warning = self.groups.warning().map(|text| (LogLevel::Warning, text));
        warning.into_iter().chain(self.output.notes()).collect()
    }

    /// What the worker said of itself with STATUS=.
    pub fn status(&self, worker: WorkerId) -> Option<String> {
        self.children.get(&worker)?.status.clone()
    }
}

/// The CPU that workers of a slot are kept on, if they are.
fn cpu(affinity: CpuAffinity, slot: SlotId) -> Option<usize> {
    match affinity {
        CpuAffinity::Off => None,
        // As it is now: a reload, or systemd, may have changed what herder may use.
        CpuAffinity::Slot => {
            let cpus = allowed_cpus().ok()?;
            cpus.get(slot.0 as usize % cpus.len().max(1)).copied()
        }
    }
}

/// What has to change after a failure to start.
fn cause(error: SpawnError) -> Cause {
    let about_files = matches!(error.stage, Stage::Execute | Stage::ChangeDirectory);
    let about_limits = matches!(error.stage, Stage::Nice(_) | Stage::OomScore(_) | Stage::Limit(_));
    match error.errno {
        libc::EPERM | libc::EACCES | libc::EINVAL if about_limits => Cause::Settings,
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
