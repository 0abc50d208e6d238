//! Scaling with the load: takes samples, asks for more workers or fewer, and has herder leave when there is nothing to
//! do. *How many* is the [`Scaler`]'s decision.

use crate::fleet::{Fleet, Worker};
use crate::ids::WorkerId;
use crate::load::Load;
use crate::policies::Policies;
use crate::policy::Scaling;
use crate::report::Report;
use crate::sampling::Needs;
use crate::scale::{BUSY, Hold, Scaler, Scene, Step};
use crate::time::{Span, Time};
use crate::turn::Turn;
use alloc::collections::BTreeMap;

/// What is known of the load.
#[derive(Debug)]
pub(crate) struct Elastic {
    scaler: Scaler,
    /// The last step up, until its workers are ready: from how many workers, and for how many connections.
    going_up: Option<(u32, u32)>,
    strain: Option<Strain>,
    /// That there may be no more workers was reported, and there have not been fewer since.
    limit_reported: bool,
    /// Since when there has been nothing to do, and no worker to do it.
    rest_since: Option<Time>,
    /// The rest was long enough: the sample on its way is the last.
    leaving: bool,
}

/// Why connections wait, as long as they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strain {
    /// There may be no more workers.
    Full,
    /// More workers would make it worse.
    Held(Hold),
}

/// What follows from a sample for herder itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    Stay,
    /// There was nothing to do for this long: herder leaves until the next connection.
    Leave {
        after: Span,
    },
}

impl Elastic {
    pub fn new() -> Elastic {
        Elastic {
            scaler: Scaler::new(),
            going_up: None,
            strain: None,
            limit_reported: false,
            rest_since: None,
            leaving: false,
        }
    }

    /// The watch has gone off: something waits in a socket.
    pub fn knocked(&mut self, fleet: &Fleet, now: Time) {
        self.scaler.knocked(now, fleet.active() == 0);
    }

    /// A sample has come. `at_rest`: nothing is wanted, nothing is there, and no request is open. `scaling`: the rules,
    /// unless herder is to end or the number is fixed.
    pub fn sampled(
        &mut self,
        load: &Load,
        scaling: Option<Scaling>,
        at_rest: bool,
        fleet: &Fleet,
        policies: &mut Policies,
        turn: &mut Turn,
    ) -> Outlook {
        let leaving = core::mem::take(&mut self.leaving);
        let Some(scaling) = scaling else {
            self.scaler.ignore();
            return Outlook::Stay;
        };
        if leaving && load.waiting == 0 && at_rest {
            self.scaler.ignore();
            return Outlook::Leave { after: scaling.exit_idle_time.unwrap_or_default() };
        }
        let from = policies.wanted();
        let scene = scene(load, scaling, fleet, policies);
        let step = self.scaler.note(turn.now(), load, &scene);
        self.strain = match step {
            Step::To(to) => {
                policies.set_load(to);
                if to > from {
                    turn.report(Report::ScaledUp { from, to, waiting: load.waiting });
                    self.going_up = Some((from, load.waiting));
                } else {
                    turn.report(Report::ScaledDown { from, to });
                }
                None
            }
            Step::Full => Some(Strain::Full),
            Step::Held(hold) => Some(Strain::Held(hold)),
            // Connections that wait for workers which are starting still wait.
            Step::Stay => self.strain.filter(|_| load.waiting > 0),
        };
        self.limit_reported &= from == policies.bounds().1;
        if self.strain == Some(Strain::Full) && !core::mem::replace(&mut self.limit_reported, true)
        {
            turn.report(Report::ScaleLimit { most: from, waiting: load.waiting });
        }
        Outlook::Stay
    }

    /// What is needed to know of the load.
    pub fn needs(
        &mut self,
        scaling: Option<Scaling>,
        at_rest: bool,
        fleet: &Fleet,
        policies: &Policies,
        now: Time,
    ) -> Needs {
        let Some(scaling) = scaling else {
            self.rest_since = None;
            self.scaler.rest();
            return Needs::default();
        };
        let wanted = policies.wanted();
        if self.going_up.is_some() && fleet.ready_in(wanted) == wanted {
            self.going_up = None;
        }
        let rest = scaling.exit_idle_time.is_some() && at_rest;
        self.rest_since = rest.then(|| self.rest_since.unwrap_or(now));
        self.scaler.plan(now, wanted > policies.bounds().0);
        if self.leave_at(scaling).is_some_and(|at| at <= now) {
            self.leaving = true;
            self.scaler.sample_at(now);
        }
        self.scaler.needs(now)
    }

    /// When the rest has been long enough.
    fn leave_at(&self, scaling: Scaling) -> Option<Time> {
        let after = scaling.exit_idle_time?;
        let since = self.rest_since.filter(|_| !self.leaving)?;
        Some(since + after).filter(|&at| at != Time(u64::MAX))
    }

    pub fn deadline(&self, scaling: Option<Scaling>) -> Option<Time> {
        let leave = self.leave_at(scaling?);
        self.scaler.deadline().into_iter().chain(leave).min()
    }

    /// From how many workers the last step up went, and for how many connections, until its workers are ready.
    pub fn going_up(&self, fleet: &Fleet, wanted: u32) -> Option<(u32, u32)> {
        self.going_up.filter(|(from, _)| fleet.ready_in(wanted) < wanted && wanted > *from)
    }

    /// Why connections go on waiting.
    pub fn strain(&self) -> Option<Strain> {
        self.strain
    }
}

fn scene(load: &Load, scaling: Scaling, fleet: &Fleet, policies: &Policies) -> Scene {
    let (wanted, (least, most)) = (policies.wanted(), policies.bounds());
    let known: BTreeMap<WorkerId, u32> = load.workers.iter().copied().collect();
    // A worker of which nothing is known has time.
    let share = |worker: &Worker| known.get(&worker.id()).map_or(0, |share| (*share).min(1000));
    let (mut ready, mut idle, mut busy, mut last) = (0, 0, 0, None);
    for (_, slot) in fleet.slots().take(wanted as usize) {
        last = slot.ready_worker().map(share);
        if let Some(share) = last {
            ready += 1;
            idle += u32::from(share < BUSY);
            busy += share;
        }
    }
    Scene {
        least,
        most,
        wanted,
        ready,
        idle,
        busy,
        last_is_busy: last.is_some_and(|share| share >= BUSY),
        may_shrink: policies.incoming().is_none(),
        idle_timeout: scaling.idle_timeout,
    }
}
