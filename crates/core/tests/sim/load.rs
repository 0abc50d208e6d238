//! The load of the simulated workers: a queue of connections, and which worker serves which connection until when.
//! Checks that the herd scales by it as it should.

use super::chance::Dice;
use herder_core::{
    Action, Condition, Event, Herd, Load, Report, Span, Time, WorkerId, WorkerState,
};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Work {
    pub waiting: u32,
    /// The next connection is reported to the herd.
    armed: bool,
    /// A sample was ordered and has not been answered.
    pub asked: bool,
    /// Until when each worker is busy.
    busy: BTreeMap<WorkerId, Time>,
    knocked: bool,
    last_up: Option<Time>,
    last_down: Option<Time>,
}

impl Work {
    /// Connections arrive. Returns whether this is reported to the herd at once.
    pub fn arrive(&mut self, count: u32, dice: &mut Dice) -> bool {
        self.waiting += count;
        // A worker may accept so quickly that herder does not see the connection wait.
        self.armed && dice.below(4) > 0 && self.knock()
    }

    pub fn knock(&mut self) -> bool {
        self.knocked |= self.armed;
        std::mem::take(&mut self.armed)
    }

    /// Each idle ready worker accepts a connection. Returns how long each of them is busy with it.
    pub fn serve(&mut self, now: Time, herd: &Herd, dice: &mut Dice) -> Vec<Span> {
        self.busy.retain(|_, until| *until > now);
        let mut takes = Vec::new();
        for worker in herd.view().filter(|worker| worker.state == WorkerState::Ready) {
            if self.waiting > 0 && !self.busy.contains_key(&worker.id) {
                let takes_so_long = Span::millis(1 + dice.below(3_000));
                self.waiting -= 1;
                self.busy.insert(worker.id, now + takes_so_long);
                takes.push(takes_so_long);
            }
        }
        takes
    }

    /// Reports connections that still wait at the end of the turn.
    pub fn is_noticed(&mut self) -> bool {
        self.waiting > 0 && self.knock()
    }

    pub fn sample(&mut self, now: Time, dice: &mut Dice, calm: bool) -> Load {
        self.asked = false;
        let workers =
            self.busy.iter().map(|(&id, &until)| (id, if until > now { 1000 } else { 0 }));
        Load {
            waiting: self.waiting,
            limit: Some(128),
            workers: workers.collect(),
            memory_pressure: !calm && dice.below(10) == 0,
            cpu_starved: !calm && dice.below(10) == 0,
            ..Load::default()
        }
    }

    pub fn after(
        &mut self,
        now: Time,
        herd: &Herd,
        (before, stalls): (u32, bool),
        event: &Event,
        actions: &[Action],
    ) {
        let (least, most) = herd.bounds();
        let (wanted, _) = herd.strength();
        assert!(least <= wanted && wanted <= most, "{least} <= {wanted} <= {most}");
        for action in actions {
            match action {
                Action::Sample => {
                    assert!(!self.asked, "a sample is ordered twice");
                    let resting = wanted == 0 && herd.view().next().is_none();
                    // A connection has waited lately, or there are more workers than the lower bound.
                    let cause =
                        self.knocked || before > least || wanted > least || resting || stalls;
                    assert!(cause, "a sample at rest");
                    self.asked = true;
                }
                Action::Watch => self.armed = true,
                Action::Report(report) => self.reported(now, report),
                _ => {}
            }
        }
        if matches!(event, Event::Sampled(load) if load.waiting == 0) {
            self.knocked = false;
        }
        // The herd has to notice every connection that arrives from now on.
        let hears = self.armed || self.asked || self.knocked;
        let deaf = !hears && herd.deadline().is_none();
        assert!(
            !deaf || least == most || herd.condition() == Condition::Stopping,
            "the next connection would not be noticed"
        );
    }

    /// Scaling down follows scaling up by `idle-timeout` at least, so the number does not oscillate.
    fn reported(&mut self, now: Time, report: &Report) {
        match report {
            Report::ScaledUp { from, to, waiting } => {
                assert!(from < to && *waiting > 0 && to - from <= *waiting);
                self.last_up = Some(now);
            }
            Report::ScaledDown { from, to } => {
                assert_eq!(*from, to + 1, "more than one worker less at once");
                // The shortest `idle-timeout` here.
                assert!(self.last_up.is_none_or(|up| up + Span::secs(2) <= now), "down after up");
                assert!(self.last_down.is_none_or(|down| down + Span::millis(500) <= now));
                self.last_down = Some(now);
            }
            Report::LeavingIdle { .. } => {
                assert_eq!(self.waiting, 0, "herder leaves while a connection waits")
            }
            _ => {}
        }
    }
}
