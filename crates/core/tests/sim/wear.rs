//! Workers that exceed `max-age` or `max-memory`: properties that every run has to keep, and scenarios.

use super::story::{CRASH, Story, Verdict, policy};
use herder_core::{
    Action, Event, Generation, Herd, Policy, Report, Request, Size, SlotId, Span, Time, Wear,
    Weight, WorkerId, WorkerState,
};
use std::collections::{BTreeMap, BTreeSet};

const EVERY: Span = Span::secs(10);

/// What the checks know of the workers whose memory was measured.
#[derive(Default)]
pub struct Wears {
    ready: BTreeMap<WorkerId, Time>,
    /// When the memory of each worker was last ordered to be measured, and whether the answer has come.
    weighed: BTreeMap<WorkerId, (Time, bool)>,
    /// How many times in a row the measured memory of a worker was not clearly below the limit.
    heavy: BTreeMap<WorkerId, u32>,
    /// Why each worn worker is to be replaced.
    worn: BTreeMap<WorkerId, Wear>,
    /// The settings of these workers have changed since they were last weighed.
    adjusted: BTreeSet<WorkerId>,
    generations: BTreeMap<WorkerId, Generation>,
}

impl Wears {
    /// When the limits change, a worker is measured as if the new ones had applied from its start.
    pub fn adjusted(&mut self, generation: Generation, old: &Policy, new: &Policy) {
        if (old.max_age, old.max_memory) == (new.max_age, new.max_memory) {
            return;
        }
        for (worker, its) in &self.generations {
            if *its == generation {
                self.heavy.remove(worker);
                self.adjusted.insert(*worker);
            }
        }
    }

    pub fn after(
        &mut self,
        now: Time,
        herd: &Herd,
        event: &Event,
        actions: &[Action],
        policies: &BTreeMap<Generation, Policy>,
    ) {
        if let Event::Weighed { worker, weight } = event {
            if let Some((_, answered @ false)) = self.weighed.get_mut(worker) {
                *answered = true;
                let view = herd.view().find(|view| view.id == *worker);
                let most = view.and_then(|view| policies[&view.generation].max_memory);
                let heavy = self.heavy.entry(*worker).or_default();
                match (weight, most) {
                    (Weight::Is(size), Some(most)) if size.0.saturating_mul(10) <= most.0 * 9 => {
                        *heavy = 0
                    }
                    (Weight::Is(_) | Weight::Same, _) => *heavy += 1,
                    (Weight::Unknown, _) => {}
                }
            }
        }
        self.wear(now, herd, policies);
        for action in actions {
            match action {
                Action::Report(Report::Ready { worker, generation, .. }) => {
                    self.ready.insert(*worker, now);
                    self.generations.insert(*worker, *generation);
                }
                Action::Weigh { worker } => {
                    let view = herd.view().find(|view| view.id == *worker).expect("it is known");
                    assert!(policies[&view.generation].max_memory.is_some(), "{worker}");
                    let before = self.weighed.insert(*worker, (now, false));
                    // A herder that was held up may measure late, and then measures on time again.
                    let span = |time: Time| time.0 / EVERY.0;
                    let afresh = self.adjusted.remove(worker);
                    let in_time = before
                        .is_none_or(|(at, answered)| (answered || afresh) && span(now) > span(at));
                    assert!(in_time, "{worker} is weighed too often: {before:?}");
                }
                Action::Report(Report::Recycled { worker, why, .. }) if *why != Wear::Asked => {
                    assert_eq!(self.worn.get(worker), Some(why), "{worker} was not worn so");
                }
                _ => {}
            }
        }
    }

    /// A worker becomes worn by the settings in force, and stays so.
    fn wear(&mut self, now: Time, herd: &Herd, policies: &BTreeMap<Generation, Policy>) {
        for view in herd.view() {
            let Some(why) = view.worn else { continue };
            let (id, policy) = (view.id, &policies[&view.generation]);
            if let Some(before) = self.worn.insert(id, why) {
                assert_eq!(before, why, "{id} is worn for another reason than before");
                continue;
            }
            match why {
                Wear::Asked => panic!("{id} is worn because it was asked for"),
                Wear::Age { served } => {
                    let most = policy.max_age.expect("it is set");
                    assert!(served >= most.part(10).times(9), "{id}: {served}");
                    assert!(now >= self.ready[&id] + served);
                }
                Wear::Memory { memory, most, .. } => {
                    assert!(memory > most && Some(most) <= policy.max_memory);
                    assert!(self.heavy.get(&id) >= Some(&3), "{id} was not heavy for long");
                }
            }
        }
    }

    /// Long after the last fault no worn worker is left.
    pub fn at_the_end(&self, now: Time, herd: &Herd, policies: &BTreeMap<Generation, Policy>) {
        let policy = &policies[&herd.generation()];
        // The time until the next try after a failure, and then the time to replace one slot after the other.
        let slack = Span::secs(300 + 12 * u64::from(herd.strength().0));
        for worker in herd.view().filter(|worker| worker.state == WorkerState::Ready) {
            let ready = self.ready[&worker.id];
            let most = policy.max_age.unwrap_or(Span::MAX);
            assert!(now <= ready + most + slack, "{} is ready since {ready}", worker.id);
        }
    }
}

fn wearing(workers: u32, age: Option<Span>, memory: Option<u64>) -> Policy {
    Policy { max_age: age, max_memory: memory.map(Size), ..policy(workers) }
}

/// Begins with every worker ready, before the first measurement of memory.
fn begin(policy: Policy) -> Story {
    let workers = policy.workers;
    let mut story = Story::begin(policy);
    for worker in 1..=u64::from(workers) {
        story.up(worker);
    }
    story.actions.clear();
    story
}

/// Lets time pass. `weight` gives the memory of a worker when it is measured; a started worker is ready after a second.
fn live(story: &mut Story, span: Span, weight: impl Fn(u64) -> Weight) {
    let end = story.now + span;
    let mut seen = story.actions.len();
    let mut starting: Vec<(Time, u64)> = Vec::new();
    loop {
        while seen < story.actions.len() {
            let action = story.actions[seen].clone();
            seen += 1;
            match action {
                Action::Spawn { worker, .. } => {
                    starting.push((story.now + Span::secs(1), worker.0))
                }
                Action::Weigh { worker } => {
                    story.tell(Event::Weighed { worker, weight: weight(worker.0) });
                }
                _ => {}
            }
        }
        let ready = starting.iter().map(|(at, _)| *at).min();
        let next = story.herd.deadline().into_iter().chain(ready).min();
        let Some(next) = next.filter(|&next| next <= end) else {
            story.now = end;
            return;
        };
        story.now = story.now.max(next);
        match starting.iter().position(|(at, _)| *at <= story.now) {
            Some(one) => {
                let (_, worker) = starting.remove(one);
                story.up(worker);
            }
            None => story.tell(Event::Tick),
        }
    }
}

fn recycled(story: &Story) -> Vec<(u64, Wear)> {
    let recycled = story.reports().filter_map(|report| match report {
        Report::Recycled { worker, why, .. } => Some((worker.0, *why)),
        _ => None,
    });
    recycled.collect()
}

#[test]
fn workers_that_started_together_are_replaced_at_different_times() {
    let mut story = Story::serving(wearing(8, Some(Span::secs(3600)), None));
    let begin = story.now;
    live(&mut story, Span::secs(3200), |_| Weight::Unknown);
    assert_eq!(recycled(&story), []);
    live(&mut story, Span::secs(410), |_| Weight::Unknown);
    let gone = recycled(&story);
    let mut served: Vec<u64> = gone
        .iter()
        .map(|(_, why)| match why {
            Wear::Age { served } => served.0 / 1_000_000,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(gone.len(), 8, "{gone:?} since {begin}");
    served.sort_unstable();
    assert!(served[0] >= 3240 && served[7] <= 3600, "{served:?}");
    assert!(served[7] - served[0] > 100, "{served:?}: they went together");
    assert_eq!(story.herd.strength(), (8, 8));
    let counters = story.herd.counters();
    assert_eq!((counters.recycled, counters.recycled_for_age, counters.respawns), (8, 8, 0));
    assert_eq!((counters.failures(), counters.crashes), (0, 0));
}

#[test]
fn a_worker_above_max_memory_in_three_measurements_is_replaced() {
    let mut story = begin(wearing(3, None, Some(1_000)));
    live(&mut story, Span::secs(600), |worker| {
        Weight::Is(Size(if worker == 2 { 1_001 } else { 500 }))
    });
    let gone = recycled(&story);
    let [(2, Wear::Memory { memory: Size(1_001), most, soon: 1, .. })] = gone[..] else {
        panic!("{gone:?}")
    };
    assert!((900..=1_000).contains(&most.0), "{most}");
    assert_eq!(story.herd.counters().recycled_for_memory, 1);
    let report = story.reports().find(|report| report.kind() == "worker_recycled").unwrap();
    let text = report.to_string();
    assert!(text.starts_with("worker 2 (slot 1) is recycled after "), "{text}");
    assert!(text.contains(", it uses 1001B, more than its 9"), "{text}");
    assert!(text.ends_with(" of max-memory, worker 4 serves in its place"), "{text}");
}

/// Here `max-memory` is less than what the program needs.
#[test]
fn workers_above_max_memory_from_the_start_are_replaced_ever_less_often() {
    let mut story = begin(wearing(1, None, Some(1_000)));
    live(&mut story, Span::secs(3600), |_| Weight::Is(Size(2_000)));
    let gone = recycled(&story);
    assert!((7..=12).contains(&gone.len()), "{} times in an hour", gone.len());
    let text = story.reports().filter(|report| report.kind() == "worker_recycled").last().unwrap();
    assert!(text.to_string().ends_with("is max-memory too low?"), "{text}");
    assert_eq!(story.herd.strength(), (1, 1));
}

#[test]
fn the_memory_of_an_idle_worker_is_seldom_measured() {
    let mut story = begin(wearing(2, None, Some(1_000)));
    live(&mut story, Span::secs(3600), |_| Weight::Same);
    let looks =
        story.actions.iter().filter(|action| matches!(action, Action::Weigh { .. })).count();
    assert!((120..=126).contains(&looks), "{looks} measurements of two workers in an hour");
    assert_eq!(recycled(&story), []);
}

#[test]
fn a_worn_worker_serves_on_until_a_replacement_works() {
    let mut story = Story::serving(wearing(2, Some(Span::secs(3600)), None));
    story.pass(Span::secs(3600));
    let mut failed = 0;
    while failed < 4 {
        let (worker, ..) = *story.spawned().last().expect("it was tried");
        story.tell(Event::Spawned { worker: WorkerId(worker) });
        story.dies(worker, CRASH);
        failed += 1;
        assert_eq!(story.spawned().len(), failed, "it waits");
        assert_eq!((story.herd.strength(), story.drained()), ((2, 2), vec![]));
        assert_eq!(story.herd.condition(), herder_core::Condition::Serving);
        story.pass(Span::secs(5 << (failed - 1)));
        assert_eq!(story.spawned().len(), failed + 1, "it is tried again");
    }
    // Both slots were tried.
    let slots: Vec<u32> = story.spawned().iter().map(|(_, slot, _)| *slot).collect();
    assert!(slots.contains(&0) && slots.contains(&1), "{slots:?}");
    let (worker, ..) = *story.spawned().last().unwrap();
    story.up(worker);
    let (next, ..) = *story.spawned().last().unwrap();
    story.up(next);
    assert_eq!(recycled(&story).len(), 2);
    let kept = story.reports().filter(|report| report.kind() == "worker_not_recycled").count();
    assert_eq!(kept, 4);
}

#[test]
fn worn_workers_are_left_to_a_reload_under_way() {
    let mut story = Story::serving(wearing(2, Some(Span::secs(3600)), None));
    story.pass(Span::secs(3000));
    story.reload(wearing(2, Some(Span::secs(3600)), None));
    story.up(3);
    story.pass(Span::secs(900));
    assert_eq!(story.spawned().len(), 2, "another worker is started: {:?}", story.spawned());
    story.up(4);
    assert!(matches!(story.verdicts()[..], [(2, Verdict::Done)]), "{:?}", story.verdicts());
    assert_eq!(recycled(&story), []);
}

#[test]
fn a_request_to_recycle_joins_a_replacement_under_way() {
    let mut story = Story::serving(wearing(2, Some(Span::secs(3600)), None));
    story.pass(Span::secs(3600));
    let (worker, slot, _) = *story.spawned().last().unwrap();
    let request = story.ask(Request::Recycle { slot: Some(SlotId(slot)) });
    assert_eq!(story.spawned().len(), 1);
    story.up(worker);
    assert!(story.answer(request).is_some());
    assert_eq!(recycled(&story)[0].1, Wear::Asked);
}

/// Sending a message to systemd, or an answer to a client, takes time, too.
#[test]
fn a_deadline_that_passes_while_systemd_is_told_is_not_forgotten() {
    let mut story = Story::serving(wearing(1, Some(Span::secs(3600)), None));
    story.pass(Span::secs(3600));
    story.tell(Event::Spawned { worker: WorkerId(2) });
    story.dies(2, CRASH);
    let due = story.herd.deadline().expect("it is tried again");
    let mut actions = Vec::new();
    story.herd.tell(due + Span::millis(1), &mut actions);
    assert!(story.herd.deadline().is_some_and(|time| time <= due), "{:?}", story.herd.deadline());
}
