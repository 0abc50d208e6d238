//! One herd that is moved step by step: the helpers with which scenarios are written.

use herder_core::{
    Action, Event, Exit, Generation, Herd, Notice, Policy, Ready, Report, Request, RequestId,
    RequestOutcome, Span, Time, WorkerId,
};
use std::collections::BTreeMap;

/// A herd and all its orders, under a clock that the scenario moves.
pub struct Story {
    pub herd: Herd,
    pub now: Time,
    pub actions: Vec<Action>,
    pub generation: Generation,
    requests: u64,
    /// Requests for reloads, with the generation that each is to bring.
    reloads: BTreeMap<RequestId, u64>,
}

/// How a reload ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Done,
    Failed { reason: String, worker: Option<WorkerId> },
    Superseded { by: Generation },
    Stopped,
}

impl Verdict {
    fn of(outcome: &RequestOutcome) -> Verdict {
        match outcome.clone() {
            RequestOutcome::Done(_) => Verdict::Done,
            RequestOutcome::Failed { reason, worker } => Verdict::Failed { reason, worker },
            RequestOutcome::Superseded { by } => Verdict::Superseded { by },
            RequestOutcome::Stopped => Verdict::Stopped,
            RequestOutcome::NotFound(why) => panic!("a reload was not found: {why}"),
        }
    }
}

pub const CRASH: Exit = Exit::Code(1);

pub fn policy(workers: u32) -> Policy {
    Policy { workers, ready: Ready::Notify, ..Policy::default() }
}

impl Story {
    pub fn begin(policy: Policy) -> Story {
        let mut actions = Vec::new();
        let (now, generation) = (Time(1_000_000), Generation(1));
        let watchdog = Some(Span::secs(30));
        let mut herd = Herd::start(now, 1, generation, policy, watchdog, &mut actions);
        herd.tell(now, &mut actions);
        Story { herd, now, actions, generation, requests: 0, reloads: BTreeMap::new() }
    }

    /// Begins with every worker proved, and without the orders until then.
    pub fn serving(policy: Policy) -> Story {
        let workers = policy.workers;
        let mut story = Story::begin(policy);
        for worker in 1..=u64::from(workers) {
            story.up(worker);
        }
        story.pass(Span::secs(20));
        story.actions.clear();
        story
    }

    pub fn tell(&mut self, event: Event) {
        self.herd.handle(self.now, event, &mut self.actions);
        self.herd.tell(self.now, &mut self.actions);
    }

    pub fn up(&mut self, id: u64) {
        let worker = WorkerId(id);
        self.tell(Event::Spawned { worker });
        self.tell(Event::Ready { worker });
    }

    pub fn dies(&mut self, id: u64, exit: Exit) {
        let worker = WorkerId(id);
        self.tell(Event::Exited { worker, exit });
        self.tell(Event::Gone { worker });
    }

    pub fn reload(&mut self, policy: Policy) {
        self.generation = Generation(self.generation.0 + 1);
        let generation = self.generation;
        let request = self.ask(Request::Reload { generation, policy });
        self.reloads.insert(request, generation.0);
    }

    /// Lets time pass, with a turn at each deadline.
    pub fn pass(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(deadline) = self.herd.deadline().filter(|&deadline| deadline <= end) {
            self.now = self.now.max(deadline);
            self.tell(Event::Tick);
        }
        self.now = end;
    }

    pub fn spawned(&self) -> Vec<(u64, u32, u64)> {
        let spawn = |action: &Action| match action {
            Action::Spawn { worker, slot, generation, .. } => {
                Some((worker.0, slot.0, generation.0))
            }
            _ => None,
        };
        self.actions.iter().filter_map(spawn).collect()
    }

    pub fn drained(&self) -> Vec<u64> {
        let drain = |action: &Action| match action {
            Action::Drain { worker } => Some(worker.0),
            _ => None,
        };
        self.actions.iter().filter_map(drain).collect()
    }

    /// How reloads ended, each with its generation.
    pub fn verdicts(&self) -> Vec<(u64, Verdict)> {
        let answer = |action: &Action| match action {
            Action::Answer { request, outcome } => {
                Some((*self.reloads.get(request)?, Verdict::of(outcome)))
            }
            _ => None,
        };
        self.actions.iter().filter_map(answer).collect()
    }

    pub fn notices(&self) -> Vec<Notice> {
        let notice = |action: &Action| match action {
            Action::Notify(notice) => Some(notice.clone()),
            _ => None,
        };
        self.actions.iter().filter_map(notice).collect()
    }

    pub fn exit(&self) -> Option<u8> {
        self.actions.iter().find_map(|action| match action {
            Action::Exit { code } => Some(*code),
            _ => None,
        })
    }

    /// Makes a request, and returns the number of its answer.
    pub fn ask(&mut self, what: Request) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.tell(Event::Asked { request, what });
        request
    }

    /// The answer to the request, if there is one yet.
    pub fn answer(&self, id: RequestId) -> Option<RequestOutcome> {
        let answer = |action: &Action| match action {
            Action::Answer { request, outcome } if *request == id => Some(outcome.clone()),
            _ => None,
        };
        let mut answers = self.actions.iter().filter_map(answer);
        let first = answers.next();
        assert_eq!(answers.next(), None, "{id} is answered twice");
        first
    }

    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.actions.iter().filter_map(|action| match action {
            Action::Report(report) => Some(report),
            _ => None,
        })
    }
}
