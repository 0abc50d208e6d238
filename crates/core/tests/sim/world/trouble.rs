//! Random interventions: an operator reloads, scales, kills and stops, names workers and slots that do not exist, and
//! overwrites files.

use super::*;

impl World {
    pub(super) fn intervene(&mut self, at: Span) {
        let event = match self.dice.below(72) {
            0..=13 => self.any_reload(),
            14..=15 => Event::Refused { reason: "line 3: unknown key".to_owned() },
            16..=21 => Event::Scale { by: self.dice.below(5) as i32 - 2 },
            22..=23 => Event::Scale { by: [-100, 7][self.dice.below(2) as usize] },
            24 => Event::Stop,
            25..=33 => Event::Exited { worker: self.any_worker(), exit: Exit::Code(1) },
            34 => Event::Spawned { worker: self.any_worker() },
            35 => Event::Ready { worker: self.any_worker() },
            56 => {
                let sights = [Sight::Waiting, Sight::NotYet("?".into())];
                let sight = sights[self.dice.below(2) as usize].clone();
                Event::Seen { worker: self.any_worker(), sight }
            }
            36 => Event::Stopping { worker: self.any_worker() },
            59 => Event::Weighed { worker: self.any_worker(), weight: Weight::Is(Size::MAX) },
            37 => Event::Extend { worker: self.any_worker(), by: Span::MAX },
            38..=50 => self.any_request(),
            51..=54 => {
                Event::OutOfMemory { worker: self.any_worker(), processes: self.dice.below(3) }
            }
            57 => Event::Stuck { worker: self.any_worker() },
            58 => {
                let interval = [Span::ZERO, Span::secs(1), Span::MAX][self.dice.below(3) as usize];
                Event::Interval { worker: self.any_worker(), interval }
            }
            // Which generation, and what of these settings it takes, is decided when it happens.
            65..=71 => {
                Event::Adjusted { generation: Generation(0), policy: any_policy(&mut self.dice) }
            }
            63 => Event::Knocked,
            64 => Event::Sampled(Load { waiting: 9, ..Load::default() }),
            55 => Event::Checked { generation: Generation(self.dice.below(9)), outcome: Ok(()) },
            _ => Event::Gone { worker: self.any_worker() },
        };
        self.later(at, event);
    }

    /// A random request. Like a reload, it gets its number when it is made.
    pub(super) fn any_request(&mut self) -> Event {
        let what = match self.dice.below(12) {
            0..=2 => Request::Scale { workers: [0, 1, 2, 4, 9][self.dice.below(5) as usize] },
            3..=4 => Request::Recycle { slot: None },
            5..=6 => Request::Recycle { slot: Some(SlotId(self.dice.below(5) as u32)) },
            7..=9 => Request::StopWorker { worker: self.any_worker() },
            _ => Request::AbortReload,
        };
        Event::Asked { request: RequestId(0), what }
    }

    /// An operator that stops a worker mostly names one that exists.
    pub(super) fn aim(&mut self, what: Request) -> Request {
        let there: Vec<WorkerId> =
            self.herd.iter().flat_map(|herd| herd.view().map(|worker| worker.id)).collect();
        match what {
            Request::StopWorker { .. } if !there.is_empty() && self.dice.below(4) > 0 => {
                let worker = there[self.dice.below(there.len() as u64) as usize];
                Request::StopWorker { worker }
            }
            Request::Reload { policy, .. } => self.number(policy),
            other => other,
        }
    }

    pub(super) fn any_worker(&mut self) -> WorkerId {
        WorkerId(self.dice.below(40))
    }

    /// Settings without a number yet: reloads are numbered in the order in which they come.
    pub(super) fn any_reload(&mut self) -> Event {
        let queues = self.queues.groups.clone();
        let policy = Policy { queues, ..any_policy(&mut self.dice) };
        let what = Request::Reload { generation: Generation(0), policy };
        Event::Asked { request: RequestId(0), what }
    }

    /// Some settings change in place: of the generation in force, of one that is being brought in, of an earlier
    /// one that may still have workers, or of one that never was.
    pub(super) fn adjust(&mut self, other: &Policy) -> Event {
        let coming = self.herd.as_ref().and_then(|herd| herd.progress());
        let good = self.herd.as_ref().map_or(Generation(1), Herd::generation);
        let generation = match (self.dice.below(8), coming) {
            (0, _) => Generation(self.dice.below(self.generation.0 + 2)),
            (1..=4, Some(coming)) => coming.generation,
            _ => good,
        };
        let old = self.policies.get(&generation).unwrap_or(other).clone();
        Event::Adjusted { generation, policy: adjusted(old, other, &mut self.dice) }
    }

    pub(super) fn number(&mut self, policy: Policy) -> Request {
        self.generation = Generation(self.generation.0 + 1);
        let mut quality = any_quality(&mut self.dice, 6);
        if self.calm && matches!(quality, Quality::Flaky(_)) {
            quality = Quality::Good;
        }
        self.lose_files();
        self.qualities.insert(self.generation, quality);
        self.patience.insert(self.generation, policy.stop_timeout);
        self.policies.insert(self.generation, policy.clone());
        Request::Reload { generation: self.generation, policy }
    }

    /// From here on every worker that is started works, unless its files are broken.
    pub(super) fn calm_down(&mut self) {
        self.trace.push(format!("{} calm", self.now));
        self.calm = true;
        for quality in self.qualities.values_mut() {
            if matches!(quality, Quality::Flaky(_)) {
                *quality = Quality::Good;
            }
        }
    }

    /// The fault “the old files no longer start either”: overwritten in place by a deploy.
    pub(super) fn lose_files(&mut self) {
        if self.files_lost && self.dice.below(2) == 0 {
            for quality in self.qualities.values_mut() {
                *quality = Quality::Broken(Fault::DiesAtOnce);
            }
        }
    }
}
