//! Every event in every state of a worker: what the worker's next state is, that an event which comes too late
//! changes nothing at all, and that the properties of the random runs hold.

use super::census::Kind;
use super::lives::Life;
use super::properties::Watch;
use super::story::{CRASH, policy};
use herder_core::{
    Action, Cause, Event, Generation, Herd, Load, Policy, QueueId, Ready, Request, RequestId,
    Sight, Size, SlotId, Span, SpawnFailure, Time, Weight, WorkerId,
};
use std::collections::{BTreeMap, BTreeSet};

const WORKER: WorkerId = WorkerId(1);
const STATES: [Life; 9] = [
    Life::Spawning,
    Life::Starting,
    Life::Ready,
    Life::Retiring,
    Life::Draining,
    Life::Aborting,
    Life::Killing,
    Life::Sweeping,
    Life::Burying,
];

/// One herd, and the properties that are checked after each turn.
struct Watched {
    herd: Option<Herd>,
    now: Time,
    watch: Watch,
    policies: BTreeMap<Generation, Policy>,
    /// What was ordered by the last event.
    actions: Vec<Action>,
    spawned: BTreeSet<WorkerId>,
}

impl Watched {
    fn begin(policy: Policy) -> Watched {
        let (now, generation) = (Time(1_000_000), Generation(1));
        let mut actions = Vec::new();
        let herd = Herd::start(now, 1, generation, policy.clone(), None, &mut actions);
        let policies = [(generation, policy)].into();
        let (watch, spawned) = (Watch::default(), BTreeSet::new());
        let mut watched = Watched { herd: Some(herd), now, watch, policies, actions, spawned };
        watched.look(&Event::Tick);
        watched
    }

    fn tell(&mut self, event: Event) {
        let Some(herd) = &mut self.herd else { return };
        self.actions.clear();
        self.watch.before(self.now, herd, &event, &self.policies);
        match &event {
            Event::Asked { what: Request::Reload { generation, policy }, .. } => {
                self.policies.insert(*generation, policy.clone());
            }
            Event::Adjusted { generation, policy } => {
                if let Some(old) = self.policies.get_mut(generation) {
                    self.watch.adjusted(self.now, *generation, old, policy);
                    *old = policy.clone();
                }
            }
            _ => {}
        }
        herd.handle(self.now, event.clone(), &mut self.actions);
        self.look(&event);
    }

    /// Ends the turn, and lets the properties look at it.
    fn look(&mut self, event: &Event) {
        let Some(herd) = &mut self.herd else { return };
        herd.tell(self.now, &mut self.actions);
        self.watch.turn_ends = true;
        self.watch.after(self.now, herd, event, &self.actions, &self.policies);
        for action in &self.actions {
            if let Action::Spawn { worker, .. } = action {
                assert!(self.spawned.insert(*worker), "{worker} is not a new one");
            }
        }
        if let Some(exit) = self.actions.iter().position(|a| matches!(a, Action::Exit { .. })) {
            assert_eq!(exit + 1, self.actions.len(), "something was ordered after the exit");
            assert_eq!(herd.deadline(), None);
            self.herd = None;
        }
    }

    fn pass(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(deadline) = self.herd.as_ref().and_then(Herd::deadline) {
            if deadline > end {
                break;
            }
            self.now = self.now.max(deadline);
            self.tell(Event::Tick);
        }
        self.now = end;
    }

    /// Leads the worker into a state.
    fn lead(policy: Policy, state: Life) -> Watched {
        let mut watched = Watched::begin(policy);
        let worker = WORKER;
        let stop = Event::Asked { request: RequestId(1), what: Request::StopWorker { worker } };
        let (spawned, ready) = (Event::Spawned { worker }, Event::Ready { worker });
        let exited = Event::Exited { worker, exit: CRASH };
        let events = match state {
            Life::Spawning => vec![],
            Life::Starting => vec![spawned],
            Life::Ready => vec![spawned, ready],
            Life::Retiring => vec![spawned, ready, Event::Stopping { worker }],
            Life::Draining | Life::Killing | Life::Burying => vec![spawned, ready, stop],
            Life::Aborting => vec![spawned, ready, Event::Stuck { worker }],
            Life::Sweeping => vec![spawned, ready, exited.clone()],
        };
        events.into_iter().for_each(|event| watched.tell(event));
        if matches!(state, Life::Killing | Life::Burying) {
            watched.pass(watched.policies[&Generation(1)].stop_timeout);
        }
        if state == Life::Burying {
            watched.tell(exited);
        }
        watched.now = watched.now + Span(1);
        watched
    }
}

/// At least one event of each kind.
fn events(rules: &Policy) -> Vec<Event> {
    let worker = WORKER;
    let failure = |cause| SpawnFailure { cause, text: "cannot execute /srv/app".to_owned() };
    let asked = |number, what| Event::Asked { request: RequestId(number), what };
    let (generation, other) = (Generation(2), Generation(7));
    let second = Span::secs(1);
    let short = Policy { stop_timeout: second, start_timeout: second, ..rules.clone() };
    let seen = |sight| Event::Seen { worker, sight };
    vec![
        Event::Tick,
        Event::Spawned { worker },
        Event::SpawnFailed { worker, failure: failure(Cause::System) },
        Event::SpawnFailed { worker, failure: failure(Cause::Settings) },
        Event::SpawnFailed { worker, failure: failure(Cause::Withdrawn) },
        Event::Ready { worker },
        seen(Sight::Waiting),
        seen(Sight::NotYet("it loads".to_owned())),
        seen(Sight::Astray("it listens elsewhere".to_owned())),
        seen(Sight::Unreadable("it hides".to_owned())),
        Event::Weighed { worker, weight: Weight::Is(Size::MAX) },
        Event::Weighed { worker, weight: Weight::Same },
        Event::Weighed { worker, weight: Weight::Unknown },
        Event::Stopping { worker },
        Event::Extend { worker, by: Span::MAX },
        Event::Alive { worker },
        Event::Stuck { worker },
        Event::Interval { worker, interval: Span::secs(1) },
        Event::Listened { worker },
        Event::Exited { worker, exit: CRASH },
        Event::Gone { worker },
        Event::Checked { generation, outcome: Ok(()) },
        Event::Checked { generation, outcome: Err("no".to_owned()) },
        asked(7, Request::Reload { generation, policy: policy(1) }),
        asked(8, Request::Reload { generation, policy: Policy { check: true, ..policy(2) } }),
        Event::Adjusted { generation: Generation(1), policy: short },
        Event::Adjusted { generation: other, policy: policy(9) },
        Event::Refused { reason: "line 3: unknown key".to_owned() },
        Event::Scale { by: -1 },
        Event::Scale { by: i32::MIN },
        Event::Scale { by: 1 },
        asked(2, Request::Scale { workers: 2 }),
        asked(3, Request::Recycle { slot: None }),
        asked(4, Request::StopWorker { worker }),
        asked(5, Request::AbortReload),
        asked(6, Request::Recycle { slot: Some(SlotId(9)) }),
        Event::QueueWaits { queue: QueueId(0) },
        Event::OutOfMemory { worker, processes: 1 },
        Event::OutOfMemory { worker, processes: 0 },
        Event::Sampled(Load { waiting: 9, ..Load::default() }),
        Event::Knocked,
        Event::Probed { worker: Some(worker), outcome: Err("no answer".to_owned()) },
        Event::Probed { worker: None, outcome: Err("no answer".to_owned()) },
        Event::Resumed,
        Event::Stop,
    ]
}

/// The effect of an event on a worker in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// The worker is in this state next.
    Becomes(Life),
    /// The worker is forgotten.
    Forgotten,
    /// The worker stays in its state; something is noted or ordered.
    Stays,
    /// The event is ignored: the herd goes on as if only time had passed.
    Nothing,
}

/// The table. A row is an event; each says what it does in the states in which it does something.
fn effect(state: Life, event: &Event) -> Effect {
    use Effect::{Becomes, Forgotten, Nothing, Stays};
    use Life::{
        Aborting, Burying, Draining, Killing, Ready, Retiring, Spawning, Starting, Sweeping,
    };
    match event {
        Event::Tick => Nothing,
        Event::Spawned { .. } => match state {
            Spawning => Becomes(Starting),
            Starting | Ready | Retiring | Draining | Aborting | Killing => Nothing,
            Sweeping | Burying => Nothing,
        },
        Event::SpawnFailed { .. } => match state {
            Spawning => Forgotten,
            Starting | Ready | Retiring | Draining | Aborting | Killing => Nothing,
            Sweeping | Burying => Nothing,
        },
        Event::Ready { .. } => match state {
            Starting => Becomes(Ready),
            Spawning | Ready | Retiring | Draining | Aborting | Killing => Nothing,
            Sweeping | Burying => Nothing,
        },
        Event::Stopping { .. } => match state {
            Ready => Becomes(Retiring),
            Spawning | Starting | Retiring | Draining | Aborting | Killing => Nothing,
            Sweeping | Burying => Nothing,
        },
        Event::Extend { .. } => match state {
            Starting => Stays,
            Spawning | Ready | Retiring | Draining | Aborting | Killing => Nothing,
            Sweeping | Burying => Nothing,
        },
        Event::Stuck { .. } => match state {
            Starting | Ready => Becomes(Aborting),
            Spawning | Retiring | Draining | Aborting | Killing | Sweeping | Burying => Nothing,
        },
        Event::Exited { .. } => match state {
            Spawning | Starting | Ready | Retiring | Draining | Aborting => Becomes(Sweeping),
            Killing => Becomes(Burying),
            Sweeping | Burying => Nothing,
        },
        Event::Gone { .. } => match state {
            Sweeping | Burying => Forgotten,
            Spawning | Starting | Ready | Retiring | Draining | Aborting | Killing => Nothing,
        },
        Event::OutOfMemory { processes: 0, .. } => Nothing,
        Event::OutOfMemory { .. } => Stays,
        // These are outcomes of orders that were not given here, or messages of a watchdog, which these workers do not
        // have.
        Event::Seen { .. }
        | Event::Weighed { .. }
        | Event::Listened { .. }
        | Event::Probed { .. }
        | Event::Checked { .. }
        | Event::Sampled(_)
        | Event::Knocked
        | Event::QueueWaits { .. }
        | Event::Alive { .. }
        | Event::Interval { .. }
        | Event::Resumed => Nothing,
        Event::Adjusted { generation: Generation(1), .. } => Stays,
        Event::Adjusted { .. } => Nothing,
        // Before the first READY=1 new settings replace the old at once; after it the old worker serves on while
        // the first new one starts.
        Event::Asked { what: Request::Reload { .. }, .. } => match state {
            Starting => Becomes(Draining),
            Spawning | Ready | Retiring | Draining | Aborting | Killing => Stays,
            Sweeping | Burying => Stays,
        },
        Event::Scale { by } if *by < 0 => match state {
            Starting | Ready => Becomes(Draining),
            Spawning | Retiring | Draining | Aborting | Killing | Sweeping | Burying => Stays,
        },
        Event::Asked { what: Request::StopWorker { .. }, .. } => match state {
            Starting | Ready => Becomes(Draining),
            Spawning | Retiring | Draining | Aborting | Killing | Sweeping | Burying => Stays,
        },
        Event::Refused { .. } | Event::Scale { .. } | Event::Asked { .. } => Stays,
        Event::Stop => match state {
            Starting | Ready => Becomes(Draining),
            Spawning | Retiring | Draining | Aborting | Killing | Sweeping | Burying => Stays,
        },
    }
}

/// Settings for workers that send READY=1, and for workers that herder looks at.
fn settings() -> [Policy; 2] {
    let seen = Policy { ready: Ready::Auto, has_socket: true, ..policy(1) };
    [policy(1), seen]
}

#[test]
fn there_is_an_event_of_every_kind() {
    let kinds: BTreeSet<&str> = events(&policy(1)).iter().map(Kind::name).collect();
    let all: BTreeSet<&str> = Event::NAMES.iter().copied().collect();
    assert_eq!(kinds, all);
    let states: BTreeSet<&str> = STATES.iter().map(Kind::name).collect();
    assert_eq!(states, Life::NAMES.iter().copied().collect());
}

#[test]
fn every_event_in_every_state_has_its_effect() {
    for (rules, state) in
        settings().into_iter().flat_map(|rules| STATES.map(|s| (rules.clone(), s)))
    {
        for event in events(&rules) {
            let mut watched = Watched::lead(rules.clone(), state);
            assert_eq!(watched.watch.lives.of(WORKER), Some(state), "the way into the state");
            watched.tell(event.clone());
            let next = watched.watch.lives.of(WORKER);
            let what = format!("{event} in {state:?}");
            match effect(state, &event) {
                Effect::Becomes(life) => assert_eq!(next, Some(life), "{what}"),
                Effect::Forgotten => assert_eq!(next, None, "{what}"),
                Effect::Stays => assert_eq!(next, Some(state), "{what}"),
                Effect::Nothing => {
                    let mut without = Watched::lead(rules.clone(), state);
                    without.tell(Event::Tick);
                    assert_eq!(watched.actions, without.actions, "{what}");
                    let after = |watched: &Watched| {
                        let herd = watched.herd.as_ref().expect("it goes on");
                        let view: Vec<_> = herd.view().collect();
                        (view, herd.deadline(), herd.counters(), herd.status_line())
                    };
                    assert_eq!(after(&watched), after(&without), "{what}");
                }
            }
            watched.pass(Span::secs(100));
        }
    }
}

/// Every two events in every state: nothing panics, and every property holds until long after.
#[test]
fn every_two_events_in_every_state_keep_the_properties() {
    for (rules, state) in
        settings().into_iter().flat_map(|rules| STATES.map(|s| (rules.clone(), s)))
    {
        for first in events(&rules) {
            for second in events(&rules) {
                let mut watched = Watched::lead(rules.clone(), state);
                // Both events may have the same request or generation, so the second gets another number.
                let second = match second {
                    Event::Asked { request, what } => {
                        let what = match what {
                            Request::Reload { policy, .. } => {
                                Request::Reload { generation: Generation(3), policy }
                            }
                            what => what,
                        };
                        Event::Asked { request: RequestId(request.0 + 100), what }
                    }
                    other => other,
                };
                watched.tell(first.clone());
                watched.tell(second);
                watched.pass(Span::secs(100));
            }
        }
    }
}
