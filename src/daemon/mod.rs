//! The loop: the only place that knows both the core, which decides, and the system, which does.
//!
//! A turn is: feed the core everything that has happened, one event after the other; carry out
//! what it orders, whose outcomes are events again; when there are none left, answer clients, write
//! the log, and wait for the next deadline or descriptor. Nothing in it blocks but the start of a
//! worker, for as long as its exec takes; where thousands are to be started, a turn starts some of them.
//!
//! Reports are written at the end of a turn, so that a replacement never waits for the journal.

mod calendar;
mod calls;
mod children;
mod clients;
mod describe;
mod effects;
mod figures;
mod generations;
mod helper;
mod http;
mod limits;
mod load;
mod looks;
mod own;
mod precheck;
mod probes;
mod queues;
mod snapshot;
mod source;
mod start;
mod starts;
mod streams;
mod systemd;
mod token;
mod weights;

pub use source::machine;
pub use start::{Options, run};

use crate::log::{Log, LogLevel};
use calendar::Calendar;
use calls::Calls;
use children::Children;
use effects::Effects;
use figures::Figures;
use generations::Generations;
use herder_core::{
    Action, Cause, Event, Generation, Herd, Manner, Notice, Report, SpawnFailure, Time,
};
use herder_linux::control::Server;
use herder_linux::http::Server as HttpServer;
use herder_linux::poll::{self, Interest, Poll};
use herder_linux::runtime::RuntimeDir;
use herder_linux::signals::Signals;
use herder_linux::sockets::Socket;
use herder_linux::{give_back_code, give_back_heap};
use load::Loads;
use looks::Looks;
use precheck::Precheck;
use probes::Probes;
use queues::Queues;
use source::{Source, Spec};
use starts::Starts;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use streams::Streams;
use systemd::Systemd;
use token::Token;

/// How long memory that is not needed is kept after some was given back, in microseconds.
const SPARE_KEPT: u64 = 50_000;

/// One running instance.
struct Daemon {
    name: String,
    herd: Herd,
    /// What has happened and the core has not been told yet.
    events: VecDeque<Event>,
    /// Reports to be written at the end of the turn.
    reports: Vec<Report>,
    source: Source,
    generations: Generations,
    sockets: Vec<Socket>,
    queues: Queues,
    /// Sockets handed over for herder itself, as far as nothing here serves them.
    _own: Vec<Socket>,
    children: Children,
    /// Workers that were ordered and not started yet.
    starts: Starts,
    looks: Looks,
    weights: Looks,
    loads: Loads,
    probes: Probes,
    effects: Effects,
    figures: Figures,
    calendar: Calendar,
    precheck: Option<Precheck>,
    server: Server,
    /// Serves the sockets named `herder-metrics`.
    http: Option<HttpServer>,
    calls: Calls,
    streams: Streams,
    signals: Signals,
    systemd: Systemd,
    log: Log,
    poll: Poll,
    /// Under systemd, the command that brings a failed instance back.
    recovery: Option<String>,
    /// A terminal's hang-up stops; without one SIGHUP reloads.
    has_terminal: bool,
    /// Code was used that waiting and respawning do not need.
    has_spare_code: bool,
    /// When such code is next given back, in microseconds.
    spare_kept_until: u64,
    exit: Option<u8>,
    /// Dropped last: the lock on the instance's name.
    runtime: RuntimeDir,
}

impl Daemon {
    /// Until the core says that it is over; the exit status.
    fn run(mut self, first: Vec<Action>) -> io::Result<u8> {
        self.starts.begin_turn(poll::now());
        self.perform(first);
        let mut ready = Vec::new();
        loop {
            self.starts.begin_turn(poll::now());
            self.settle();
            if let Some(code) = self.exit {
                self.queues.end(&self.sockets);
                return Ok(code);
            }
            let gives_back = self.has_spare_memory();
            let timeout = self.timeout();
            if gives_back {
                // As the last thing, or the rest of the turn would fetch half of it again.
                give_back_heap();
                give_back_code();
            }
            if self.poll.wait(&mut ready, timeout)? {
                self.events.push_back(Event::Resumed);
            }
            let mut sources: Vec<Token> =
                ready.iter().filter_map(|source| Token::of(source.token)).collect();
            sources.sort_by_key(|token| token.rank());
            for token in sources {
                self.receive(token);
                // The next of the kin waits until this one's replacement runs.
                self.feed();
            }
            let now = poll::now();
            self.systemd.retry(now);
            self.children.unmute(&self.poll, now);
            if self.herd.deadline().is_some_and(|deadline| deadline.0 <= now) {
                self.events.push_back(Event::Tick);
            }
        }
    }

    /// Whether memory that was needed for a moment is to be given back now. Not more often than every so
    /// often: with thousands of workers to be replaced, most turns need something of it.
    fn has_spare_memory(&mut self) -> bool {
        let now = poll::now();
        let is_due = self.has_spare_code && self.spare_kept_until <= now;
        if is_due {
            self.has_spare_code = false;
            self.spare_kept_until = now + SPARE_KEPT;
        }
        is_due
    }

    /// Feeds the core until there is nothing it has not heard of, then does what can wait.
    fn settle(&mut self) {
        self.feed();
        let gone = self.children.search();
        // Perhaps the last of the old workers that a reload has left.
        self.has_spare_code |= !gone.is_empty();
        self.events.extend(gone);
        self.look_at_one();
        self.weigh_some();
        self.sample_load();
        let is_looking = self.figures.deadline().is_some();
        self.figures.look_on();
        self.has_spare_code |= is_looking;
        self.expire_probes();
        self.feed();
        self.serve_clients();
        self.serve_http_if_due();
        self.feed();
        let mut actions = Vec::new();
        self.herd.tell(Time(poll::now()), &mut actions);
        self.perform(actions);
        self.children.prepare();
        for (priority, note) in self.children.notes() {
            self.log.say(priority, note);
        }
        for report in std::mem::take(&mut self.reports) {
            self.effects.note(&report);
            let pid = report.worker().and_then(|worker| self.children.pid(worker));
            let entry = self.log.report(&report, pid);
            self.streams.happened(&entry);
            // Some old worker has drained: perhaps the last that a reload has left.
            self.has_spare_code |= matches!(report, Report::Ended { manner: Manner::Ordered, .. });
        }
        self.look_at_sockets_if_due();
        if let Some(lost) = self.systemd.recovered() {
            self.log.say(
                LogLevel::Warning,
                format_args!("systemd takes notifications again; {lost} came late or never"),
            );
        }
        self.tell_streams();
    }

    fn feed(&mut self) {
        let mut actions = Vec::new();
        self.start_some();
        while let Some(event) = self.events.pop_front() {
            if self.log.wants(LogLevel::Debug) {
                self.log.say(LogLevel::Debug, format_args!("event: {event}"));
            }
            if !is_routine(&event) {
                self.streams.note_change();
            }
            self.herd.handle(Time(poll::now()), event, &mut actions);
            self.note_progress();
            self.perform(std::mem::take(&mut actions));
            self.start_some();
        }
    }

    /// Until when nothing has to be done, if nothing happens.
    fn timeout(&self) -> Option<Duration> {
        let now = poll::now();
        let herd = self.herd.deadline().map(|deadline| deadline.0);
        let clients = self.server.deadline().and_then(|at| u64::try_from(at.as_micros()).ok());
        let streams = self.streams.deadline(self.calls.want_news());
        let spare = self.has_spare_code.then_some(self.spare_kept_until);
        let parts = [self.starts.deadline(), self.figures.deadline(), spare];
        let told = [herd, clients, streams, self.http_deadline(), self.looks.deadline()];
        let later = [self.effects.deadline(), self.weights.deadline(), self.probes.deadline()];
        let asked = [self.children.deadline(), self.systemd.deadline(), self.loads.deadline()];
        let next = told.into_iter().chain(parts).chain(later).chain(asked).flatten().min()?;
        Some(Duration::from_micros(next.saturating_sub(now)))
    }

    fn receive(&mut self, token: Token) {
        let now = poll::now();
        match token {
            Token::Signals => self.take_signals(),
            Token::Control => self.clients_ready(),
            Token::Http => self.serve_http(),
            Token::Knock => self.knocked(),
            Token::Probe(worker) => self.probe_ready(worker),
            Token::Process(worker) => self.events.extend(self.children.ended(worker, now)),
            Token::Inbox(worker) => {
                let said = |daemon: &Daemon| {
                    daemon.streams.are_watched().then(|| daemon.children.status(worker))
                };
                let before = said(self);
                self.events.extend(self.children.hear(&self.poll, worker, now));
                if said(self) != before {
                    self.streams.note_change();
                }
            }
            Token::Group(worker) => self.events.extend(self.children.emptied(worker)),
            Token::Memory => self.events.extend(self.children.memory_changed(&self.poll, now)),
            Token::Queue(queue) => self.queue_waits(queue),
            Token::Check => {
                let outcome = self.precheck.as_mut().and_then(Precheck::outcome);
                if outcome.is_some() {
                    self.end_precheck();
                }
                self.events.extend(outcome);
            }
        }
    }

    fn take_signals(&mut self) {
        while let Ok(Some(received)) = self.signals.read() {
            match received.signal {
                libc::SIGCHLD => self.children.something_ended(),
                libc::SIGTERM | libc::SIGQUIT | libc::SIGINT => self.events.push_back(Event::Stop),
                libc::SIGHUP if self.has_terminal => self.events.push_back(Event::Stop),
                libc::SIGHUP => self.reload(false, None),
                libc::SIGTTIN => self.events.push_back(Event::Scale { by: 1 }),
                libc::SIGTTOU => self.events.push_back(Event::Scale { by: -1 }),
                libc::SIGUSR1 => self.reopen_logs(),
                signal => {
                    let name = u8::try_from(signal).map(herder_core::signal_name);
                    let name = name.unwrap_or_else(|_| format!("signal {signal}"));
                    self.log
                        .say(LogLevel::Notice, format_args!("{name} has no use here, ignoring"));
                }
            }
        }
    }

    fn reopen_logs(&mut self) {
        let set = |spec: &Spec| spec.settings.reopen_signal.is_some();
        match self.children.reopen() {
            0 if !self.spec_in_service().is_some_and(|spec| set(spec)) => {
                self.log.say(LogLevel::Notice, "SIGUSR1: `reopen-signal` is not set, ignoring");
            }
            0 => self.log.say(LogLevel::Notice, "SIGUSR1: no worker runs whose logs to reopen"),
            told => self.log.say(
                LogLevel::Notice,
                format_args!("SIGUSR1: told {told} workers to reopen their logs"),
            ),
        }
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            if self.log.wants(LogLevel::Debug) {
                self.log.say(LogLevel::Debug, format_args!("action: {action}"));
            }
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action) {
        let shows = !matches!(
            action,
            Action::Look { .. }
                | Action::Weigh { .. }
                | Action::Listen { .. }
                | Action::Probe { .. }
                | Action::Sample
                | Action::Watch
                | Action::Notify(Notice::Watchdog | Notice::Extend)
        );
        if shows {
            self.streams.note_change();
        }
        match action {
            Action::Spawn { worker, slot, generation, queues } => {
                let Some(spec) = self.generations.get(generation) else {
                    // A bug, but one that must not leave the core waiting for an answer.
                    let text = format!("there are no settings of {generation}");
                    let failure = SpawnFailure { cause: Cause::System, text };
                    return self.events.push_back(Event::SpawnFailed { worker, failure });
                };
                // The settings as of now: they may be forgotten by the time it is started.
                let spec = Rc::clone(spec);
                self.starts.order(starts::Start { worker, slot, generation, queues, spec });
            }
            Action::Steer { closed } => self.steer(&closed),
            Action::WatchQueues { queues } => self.watch_queues(&queues),
            Action::Look { worker } => self.looks.order(worker),
            Action::Weigh { worker } => self.weights.order(worker),
            Action::Probe { worker } => self.start_probe(worker),
            Action::Sample => self.loads.order(),
            Action::Watch => self.watch_sockets(),
            Action::Listen { worker } => self.events.extend(self.children.listen(worker)),
            Action::Drain { worker } => self.children.drain(worker),
            Action::Abort { worker } => self.children.abort(worker),
            Action::Kill { worker } => self.events.extend(self.children.kill(worker)),
            Action::Sweep { worker, kill } => {
                self.events.extend(self.children.sweep(&self.poll, worker, kill));
            }
            Action::Abandon { worker } => self.children.abandon(worker),
            Action::Check { generation } => self.start_precheck(generation),
            Action::Forget { generation } => {
                self.tell_what_goes(generation);
                self.generations.forget(generation, self.herd.generation());
                if self.precheck.as_ref().is_some_and(|check| check.generation() == generation) {
                    self.end_precheck();
                }
            }
            Action::Notify(notice) => {
                let notice = self.with_recovery(notice);
                self.systemd.tell(&notice, poll::now());
                // Starting up, or a reload, is over: what only that needed can go.
                self.has_spare_code |= notice == Notice::Ready;
            }
            Action::Report(report) => self.reports.push(report),
            Action::Answer { request, outcome } => self.answer_request(request, outcome),
            Action::Exit { code } => self.exit = Some(code),
        }
    }

    /// The last line of an instance that gives up says how it comes back: systemd shows it for as
    /// long as the unit has failed.
    fn with_recovery(&self, notice: Notice) -> Notice {
        match (notice, &self.recovery) {
            (Notice::Status(text), Some(recovery)) if self.herd.gives_up() => {
                Notice::Status(format!("{text}. Recover with: {recovery}"))
            }
            (notice, _) => notice,
        }
    }

    fn start_precheck(&mut self, generation: Generation) {
        self.end_precheck();
        let Some(spec) = self.generations.get(generation) else { return };
        match Precheck::start(&self.poll, generation, spec, self.children.inheritance()) {
            Ok(precheck) => {
                self.children.helpers.insert(precheck.pid());
                self.precheck = Some(precheck);
            }
            Err(why) => self.events.push_back(Event::Checked { generation, outcome: Err(why) }),
        }
    }

    fn end_precheck(&mut self) {
        if let Some(precheck) = self.precheck.take() {
            self.children.helpers.remove(&precheck.pid());
        }
    }
}

/// What changes nothing that anybody is shown, unless there is a report of it.
fn is_routine(event: &Event) -> bool {
    matches!(
        event,
        Event::Tick
            | Event::Alive { .. }
            | Event::Listened { .. }
            | Event::Sampled(_)
            | Event::Knocked
            | Event::Resumed
            | Event::Probed { .. }
    )
}

/// Watches what is there from the beginning.
fn watch(
    poll: &Poll,
    signals: &Signals,
    server: &Server,
    http: Option<&HttpServer>,
) -> io::Result<()> {
    poll.add(signals, Token::Signals.into(), Interest::Read)?;
    poll.add(server, Token::Control.into(), Interest::Read)?;
    http.map_or(Ok(()), |http| poll.add(http, Token::Http.into(), Interest::Read))
}
