//! The loop: the only place that knows both the core, which decides, and the system, which does.
//!
//! It is a composition of parts. Each part owns its fields, so that one module can write them; it takes what it needs of
//! others as arguments, and returns events or answers:
//!
//! | part | what it knows | what it does |
//! | --- | --- | --- |
//! | `children` | every worker's process, notify socket and cgroup; workers to be started | starts, signals, listens, reaps |
//! | `probes` | questions on their way | asks workers whether they are well |
//! | `sampler` | what was measured, and when | measures memory, load, readiness and figures, each with a rest after it |
//! | `sockets` | the sockets, their queues, and what workers did to them | opens and closes queues, notices changes |
//! | `settings` | the settings of each generation, and their source | reads, checks and changes them, runs `check` |
//! | `operators` | clients of the control socket, their calls and streams | answers, and says what is new |
//! | `page` | clients of the metrics sockets | serves metrics and the status page |
//! | `systemd` | what systemd was told and what it is owed | sends notifications |
//! | `sources` | descriptors that are ready | says which is served next |
//! | `spare` | whether memory was used that waiting does not need | says when it is given back |
//! | `calendar` | the difference between the clocks | dates |
//! | `instance` | the name, and how herder was started | advice in messages |
//!
//! [`snapshot`] puts together what clients are shown.

mod calendar;
mod children;
mod helper;
mod instance;
mod limits;
mod operators;
mod pacer;
mod page;
mod probes;
mod sampler;
mod settings;
mod snapshot;
mod sockets;
mod sources;
mod spare;
mod start;
mod systemd;
mod token;

pub use settings::machine;
pub use start::{Options, run};

use crate::log::{Log, LogLevel};
use calendar::Calendar;
use children::{Children, Start};
use herder_core::{
    Action, Cause, Event, Generation, Herd, Manner, Notice, Policy, Report, Request, SpawnFailure,
    Time, WorkerId,
};
use herder_linux::cgroup::{Group, limit_all};
use herder_linux::poll::{self, Poll};
use herder_linux::runtime::RuntimeDir;
use herder_linux::signals::Signals;
use herder_linux::{give_back_code, give_back_heap};
use herder_wire::control::{Failure, Reply};
use instance::Instance;
use operators::{Asked, Caller, Change, Operators, Shown};
use page::Page;
use probes::Probes;
use sampler::Sampler;
use settings::{Configuration, Spec};
use snapshot::Snapshot;
use sockets::Sockets;
use sources::Sources;
use spare::Spare;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use systemd::Systemd;
use token::Token;

/// One running instance.
struct Daemon {
    instance: Instance,
    herd: Herd,
    /// What has happened and the core has not been told yet.
    events: VecDeque<Event>,
    /// Reports to be written at the end of the turn.
    reports: Vec<Report>,
    settings: Configuration,
    sockets: Sockets,
    children: Children,
    probes: Probes,
    sampler: Sampler,
    operators: Operators,
    page: Page,
    systemd: Systemd,
    calendar: Calendar,
    signals: Signals,
    sources: Sources,
    spare: Spare,
    log: Log,
    poll: Poll,
    /// The exit status, once the core has ordered the end.
    exit: Option<u8>,
    /// Dropped last: the lock on the instance's name.
    runtime: RuntimeDir,
}

/// The loop and its stages.
impl Daemon {
    /// Until the core says that it is over; the exit status.
    ///
    /// Nothing in a turn blocks but the start of a worker, for as long as its exec takes. What may take long, because there
    /// are thousands of workers, is done for a share of the turn's time and goes on in the next one.
    fn run(mut self, first: Vec<Action>) -> io::Result<u8> {
        let mut ready = Vec::new();
        self.children.begin_turn(poll::now());
        self.perform(first);
        loop {
            // 1. The core hears of everything that has happened, and its orders are carried out: first of all, because
            //    replacements are among them.
            self.feed();
            // 2. What was ordered to be found out is found out, for a share of the time each. The answers are events.
            self.find_out();
            self.feed();
            // 3. Clients come after workers. What they ask for is fed at once, so that its effects are told in this turn.
            self.serve_clients();
            self.feed();
            // 4. systemd is told what is true now that there are no more events.
            self.tell_systemd();
            // 5. What the next replacement needs is made in advance, while none waits for it.
            self.children.prepare();
            // 6. The log is written last of all work for workers: a replacement never waits for the journal.
            self.write_log();
            // 7. Streams tell what the log now says.
            self.tell_streams();
            // 8. Only after that does herder end: the last entries and news have left.
            if let Some(code) = self.exit {
                self.sockets.end();
                return Ok(code);
            }
            // 9. Memory is given back as the last thing, or the rest of the turn would fetch half of it again.
            let timeout = self.give_back_memory();
            // 10. herder waits. Everything after this is the next turn.
            if self.poll.wait(&mut ready, timeout)? {
                self.events.push_back(Event::Resumed);
            }
            self.children.begin_turn(poll::now());
            // 11. What is ready is served one by one, and the core is fed after each: the replacement of one worker does not
            //     wait for the death of the next to be read.
            self.serve_sources(&ready);
            // 12. What time alone has made due.
            self.expire();
        }
    }

    fn feed(&mut self) {
        let mut actions = Vec::new();
        self.start_some();
        while let Some(event) = self.events.pop_front() {
            if self.log.wants(LogLevel::Debug) {
                self.log.say(LogLevel::Debug, format_args!("event: {event}"));
            }
            if !is_routine(&event) {
                self.operators.note_change();
            }
            self.herd.handle(Time(poll::now()), event, &mut actions);
            self.operators.note_progress(&self.herd);
            self.perform(std::mem::take(&mut actions));
            self.start_some();
        }
    }

    fn start_some(&mut self) {
        self.events.extend(self.children.start_some(&self.poll, self.sockets.all()));
    }

    fn find_out(&mut self) {
        let gone = self.children.search();
        // Perhaps the last of the old workers that a reload has left.
        self.spare.note_use(!gone.is_empty());
        self.events.extend(gone);
        self.events.extend(self.sampler.look(&self.children, self.sockets.all()));
        self.events.extend(self.sampler.weigh(&mut self.children));
        let (sampler, mut scene) = self.sampling();
        let sample = sampler.sample(&mut scene);
        self.events.extend(sample);
        self.spare.note_use(self.sampler.measure_on());
        self.events.extend(self.probes.expire(&self.poll, &mut self.children));
    }

    fn serve_clients(&mut self) {
        let mut shown = Shown::default();
        for call in self.operators.calls() {
            self.spare.note_use(true);
            let group = self.settings.in_service(&self.herd);
            let group = group.and_then(|spec| spec.launch.control_group.as_ref());
            let permits = || operators::permits(&call, group, &self.children);
            match self.operators.receive(&call, permits, &mut self.log) {
                Some(Asked::Look(client, asked)) => {
                    let (operators, _, mut snapshot) = self.telling();
                    operators.show(client, asked, &mut shown, &mut snapshot);
                }
                Some(Asked::Change(change, caller)) => self.change(change, caller),
                None => {}
            }
        }
        self.operators.expire();
        if self.page.deadline().is_some_and(|due| due <= poll::now()) {
            self.serve_page();
        }
    }

    fn serve_page(&mut self) {
        let (_, page, mut snapshot) = self.telling();
        let has_served = page.serve(&mut snapshot);
        self.spare.note_use(has_served);
    }

    fn tell_systemd(&mut self) {
        let mut actions = Vec::new();
        self.herd.tell(Time(poll::now()), &mut actions);
        self.perform(actions);
    }

    fn write_log(&mut self) {
        for (priority, note) in self.children.notes() {
            self.log.say(priority, note);
        }
        for report in std::mem::take(&mut self.reports) {
            self.sockets.note(&report);
            let pid = report.worker().and_then(|worker| self.children.pid(worker));
            let entry = self.log.report(&report, pid);
            self.operators.happened(&entry);
            // An old worker has drained: perhaps the last that a reload has left.
            self.spare.note_use(matches!(report, Report::Ended { manner: Manner::Ordered, .. }));
        }
        let (herd, settings, children) = (&self.herd, &self.settings, &self.children);
        let has_to_block = |socket| settings.needs_blocking(socket, children.generations(), herd);
        self.sockets.look_if_due(self.exit.is_some(), &has_to_block, &self.instance);
        for entry in self.sockets.take_news() {
            let entry = self.log.write(entry);
            self.operators.happened(&entry);
        }
        if let Some(lost) = self.systemd.recovered() {
            self.log.say(
                LogLevel::Warning,
                format_args!("systemd takes notifications again; {lost} came late or never"),
            );
        }
    }

    fn tell_streams(&mut self) {
        let is_last = self.exit.is_some();
        let (operators, _, mut snapshot) = self.telling();
        operators.tell(&mut snapshot, is_last);
    }

    /// Returns how long herder may wait.
    fn give_back_memory(&mut self) -> Option<Duration> {
        let now = poll::now();
        let gives_back = self.spare.take(now);
        let timeout = self.deadline().map(|at| Duration::from_micros(at.saturating_sub(now)));
        if gives_back {
            give_back_heap();
            give_back_code();
        }
        timeout
    }

    fn serve_sources(&mut self, ready: &[poll::Readiness]) {
        self.sources.begin_turn(ready, poll::now());
        while let Some(token) = self.sources.next(poll::now()) {
            self.receive(token);
            self.feed();
        }
    }

    fn expire(&mut self) {
        let now = poll::now();
        self.systemd.retry(now);
        self.children.unmute(&self.poll, now);
        if self.herd.deadline().is_some_and(|deadline| deadline.0 <= now) {
            self.events.push_back(Event::Tick);
        }
    }

    /// When something has to be done even if nothing happens: the one list of what can wake herder up.
    fn deadline(&self) -> Option<u64> {
        let all = [
            self.herd.deadline().map(|deadline| deadline.0),
            self.children.deadline(),
            self.probes.deadline(),
            self.sampler.deadline(),
            self.sockets.deadline(),
            self.operators.deadline(),
            self.page.deadline(),
            self.systemd.deadline(),
            self.sources.deadline(),
            self.spare.deadline(),
        ];
        all.into_iter().flatten().min()
    }
}

/// What has happened, passed on to the part that it is about.
impl Daemon {
    fn receive(&mut self, token: Token) {
        let (poll, children) = (&self.poll, &mut self.children);
        let now = poll::now();
        match token {
            Token::Signals => self.take_signals(),
            Token::Control => {
                let spec = self.settings.in_service(&self.herd);
                let group = spec.and_then(|spec| spec.launch.control_group.as_ref());
                self.spare.note_use(self.operators.ready(group));
            }
            Token::Http => self.serve_page(),
            Token::Knock => self.events.push_back(self.sampler.knocked(poll)),
            Token::Probe(worker) => self.events.extend(self.probes.ready(worker, poll, children)),
            Token::Process(worker) => self.events.extend(children.ended(worker, now)),
            Token::Inbox(worker) => {
                let (events, has_other_status) = children.hear(poll, worker, now);
                self.events.extend(events);
                if has_other_status {
                    self.operators.note_change();
                }
            }
            Token::Group(worker) => self.events.extend(children.emptied(worker)),
            Token::Memory => self.events.extend(children.memory_changed(poll, now)),
            Token::Queue(queue) => self.events.push_back(Event::QueueWaits { queue }),
            Token::Check => self.events.extend(self.settings.check_ready(children)),
        }
    }

    fn take_signals(&mut self) {
        while let Ok(Some(received)) = self.signals.read() {
            match received.signal {
                libc::SIGCHLD => self.children.something_ended(),
                libc::SIGTERM | libc::SIGQUIT | libc::SIGINT => self.events.push_back(Event::Stop),
                libc::SIGHUP if self.instance.has_terminal() => self.events.push_back(Event::Stop),
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
        let set = |spec: &Rc<Spec>| spec.settings.reopen_signal.is_some();
        match self.children.reopen() {
            0 if !self.settings.in_service(&self.herd).is_some_and(set) => {
                self.log.say(LogLevel::Notice, "SIGUSR1: `reopen-signal` is not set, ignoring");
            }
            0 => self.log.say(LogLevel::Notice, "SIGUSR1: no worker runs whose logs to reopen"),
            told => self.log.say(
                LogLevel::Notice,
                format_args!("SIGUSR1: told {told} workers to reopen their logs"),
            ),
        }
    }
}

/// What the core orders, passed on to the part that does it.
impl Daemon {
    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            if self.log.wants(LogLevel::Debug) {
                self.log.say(LogLevel::Debug, format_args!("action: {action}"));
            }
            if !is_unseen(&action) {
                self.operators.note_change();
            }
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action) {
        let (poll, children) = (&self.poll, &mut self.children);
        match action {
            Action::Spawn { worker, slot, generation, queues } => {
                match self.settings.get(generation) {
                    Some(spec) => {
                        let spec = Rc::clone(spec);
                        children.order_start(Start { worker, slot, generation, queues, spec });
                    }
                    None => self.events.push_back(unknown(worker, generation)),
                }
            }
            Action::Steer { closed } => {
                let obstacles = self.sockets.steer(&closed);
                self.warn(obstacles);
            }
            Action::WatchQueues { queues } => self.sockets.watch_queues(&queues, poll),
            Action::Look { worker } => self.sampler.order_look(worker),
            Action::Weigh { worker } => self.sampler.order_weight(worker),
            Action::Probe { worker } => {
                let (probes, mut scene) = self.probing();
                let outcome = probes.start(worker, &mut scene);
                self.events.extend(outcome);
            }
            Action::Sample => self.sampler.order_sample(),
            Action::Watch => {
                let (sampler, mut scene) = self.sampling();
                sampler.watch(&mut scene);
            }
            Action::Listen { worker } => self.events.extend(children.listen(worker)),
            Action::Drain { worker } => children.drain(worker),
            Action::Abort { worker } => children.abort(worker),
            Action::Kill { worker } => self.events.extend(children.kill(worker)),
            Action::Sweep { worker, kill } => {
                self.events.extend(children.sweep(poll, worker, kill));
            }
            Action::Abandon { worker } => children.abandon(worker),
            Action::Check { generation } => {
                self.events.extend(self.settings.start_check(generation, poll, children));
            }
            Action::Forget { generation } => {
                self.settings.cancel_check(generation, children);
                let over = self.settings.forget(generation, &self.herd);
                self.tell_what_is_over(generation, &over);
            }
            Action::Notify(notice) => self.notify(notice),
            Action::Report(report) => self.reports.push(report),
            Action::Answer { request, outcome } => {
                self.operators.answer_request(request, outcome, &self.herd, children);
            }
            Action::Exit { code } => self.exit = Some(code),
        }
    }

    fn notify(&mut self, notice: Notice) {
        // Starting up, or a reload, is over: what only that needed can go.
        self.spare.note_use(notice == Notice::Ready);
        if notice == Notice::Stopping {
            self.events.extend(self.children.withdraw_starts());
        }
        let notice = match self.herd.gives_up() {
            true => self.instance.last_words(notice),
            false => notice,
        };
        self.systemd.tell(&notice, poll::now());
    }

    fn tell_what_is_over(&mut self, generation: Generation, keys: &[String]) {
        if !keys.is_empty() {
            let keys = keys.join(", ");
            self.log.say(
                LogLevel::Notice,
                format_args!(
                    "what was set while {generation} was in force is over with it: {keys}"
                ),
            );
        }
    }

    fn warn(&mut self, texts: Vec<String>) {
        for text in texts {
            self.log.say(LogLevel::Warning, text);
        }
    }
}

/// What operators ask for, passed on to the parts that it concerns.
impl Daemon {
    fn change(&mut self, change: Change, caller: Option<Caller>) {
        let outcome = match change {
            Change::Reload { previous } => return self.reload(previous, caller),
            Change::Request(what) => return self.request(*what, caller),
            Change::LogLevel(level) => {
                self.log.set_level(level);
                Ok(None)
            }
            Change::Settings(assignments) => self.set(&assignments).map(Some),
        };
        let Some(caller) = caller else { return };
        match outcome {
            Ok(None) => self.operators.answer(&caller, Ok(Reply::Nothing {})),
            Ok(Some(message)) => {
                let done = Reply::Done { message: &message };
                self.operators.answer(&caller, Ok(done));
            }
            Err(reason) => {
                let failure = Failure::Failed { reason, pid: None };
                self.operators.answer(&caller, Err(&failure));
            }
        }
    }

    /// Passes a request on to the core; the caller, if there is one, waits for its outcome.
    fn request(&mut self, what: Request, caller: Option<Caller>) {
        let request = self.operators.await_request(&what, caller);
        self.events.push_back(Event::Asked { request, what });
    }

    /// Brings in the settings as they are now, or those that were in service before; the caller
    /// waits for how it goes.
    fn reload(&mut self, previous: bool, caller: Option<Caller>) {
        match self.accept(previous) {
            Ok((generation, policy)) => {
                self.request(Request::Reload { generation, policy }, caller);
            }
            Err(failure) => {
                if let Failure::ReloadRefused { reason } = &failure {
                    let reason = reason.lines().collect::<Vec<_>>().join(" | ");
                    self.events.push_back(Event::Refused { reason });
                }
                if let Some(caller) = caller {
                    self.operators.answer(&caller, Err(&failure));
                }
            }
        }
    }

    fn accept(&mut self, previous: bool) -> Result<(Generation, Policy), Failure> {
        let (herd, settings, children) = (&self.herd, &self.settings, &self.children);
        let spec = settings.candidate(previous, herd, self.sockets.all())?;
        let has_to_block = |socket| settings.needs_blocking(socket, children.generations(), herd);
        self.sockets.keeps_apart(&spec, &has_to_block, &self.instance)?;
        limits::can_be_set(&spec, children.tree(), &self.instance)
            .map_err(|reason| Failure::ReloadRefused { reason })?;
        let obstacles = self.sockets.steer_also(&spec);
        self.warn(obstacles);
        let policy = spec.settings.policy.clone();
        Ok((self.settings.accept(spec), policy))
    }

    /// Changes settings in force, and those of a reload under way: all that is asked for, or nothing.
    /// Returns what has changed, as a sentence.
    fn set(&mut self, assignments: &[String]) -> Result<String, String> {
        let adjusted = self.settings.adjusted(assignments, &self.herd)?;
        for (_, spec) in &adjusted {
            limits::can_be_set(spec, self.children.tree(), &self.instance)?;
        }
        self.limit_workers(&adjusted)?;
        let (events, message) = self.settings.adjust(adjusted, &self.herd);
        self.events.extend(events);
        Ok(message)
    }

    /// Sets the limits that have changed on the cgroups of the workers that run: on all of them, or on none.
    fn limit_workers(&self, adjusted: &settings::Adjusted) -> Result<(), String> {
        let mut changes = Vec::new();
        for (generation, spec) in adjusted {
            let before = self.settings.get(*generation).map(|spec| spec.limits.group.as_slice());
            let before = before.unwrap_or_default();
            let workers = self.herd.workers().filter(|worker| worker.generation == *generation);
            let groups = workers.filter_map(|worker| self.children.group(worker.id));
            let groups: Vec<&Group> = groups.collect();
            for limit in spec.limits.group.iter().filter(|limit| !before.contains(limit)) {
                changes.extend(groups.iter().map(|group| (*group, limit)));
            }
        }
        limit_all(&changes)
    }
}

/// What a part needs of the others, lent to it.
impl Daemon {
    fn telling(&mut self) -> (&mut Operators, &mut Page, Snapshot<'_>) {
        let snapshot = Snapshot {
            instance: &self.instance,
            runtime_directory: self.runtime.path(),
            herd: &self.herd,
            settings: &self.settings,
            children: &self.children,
            systemd: &self.systemd,
            log: &self.log,
            sockets: &mut self.sockets,
            sampler: &mut self.sampler,
            calendar: &mut self.calendar,
        };
        (&mut self.operators, &mut self.page, snapshot)
    }

    fn sampling(&mut self) -> (&mut Sampler, sampler::Scene<'_>) {
        let scene = sampler::Scene {
            herd: &self.herd,
            spec: self.settings.in_service(&self.herd),
            sockets: self.sockets.all(),
            children: &self.children,
            poll: &self.poll,
            log: &mut self.log,
        };
        (&mut self.sampler, scene)
    }

    fn probing(&mut self) -> (&mut Probes, probes::Scene<'_>) {
        let scene = probes::Scene {
            herd: &self.herd,
            settings: &self.settings,
            children: &mut self.children,
            poll: &self.poll,
            log: &mut self.log,
        };
        (&mut self.probes, scene)
    }
}

/// Events that change nothing of what clients are shown, unless there is a report of it.
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

/// Orders that change nothing of what clients are shown.
fn is_unseen(action: &Action) -> bool {
    matches!(
        action,
        Action::Look { .. }
            | Action::Weigh { .. }
            | Action::Listen { .. }
            | Action::Probe { .. }
            | Action::Sample
            | Action::Watch
            | Action::Notify(Notice::Watchdog | Notice::Extend)
    )
}

/// The answer to an order to start a worker with settings that are not there: a bug, but one that must not leave the core
/// waiting for an answer.
fn unknown(worker: WorkerId, generation: Generation) -> Event {
    let text = format!("there are no settings of {generation}");
    Event::SpawnFailed { worker, failure: SpawnFailure { cause: Cause::System, text } }
}
