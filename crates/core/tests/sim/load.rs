//! What the simulated workers have to do: a queue of connections, and who serves them. And what must hold
//! of a herd that looks at it.

use super::chance::Dice;
use herder_core::{
    Action, Condition, Event, Herd, Load, Report, Span, Time, WorkerId, WorkerState,
};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Work {
    pub waiting: u32,
    /// The next connection is to be told.
    armed: bool,
    /// A sample is on its way.
    pub asked: bool,
    /// Until when each is busy.
    busy: BTreeMap<WorkerId, Time>,
    knocked: bool,
    last_up: Option<Time>,
    last_down: Option<Time>,
}

impl Work {
    /// Connections come. Whether the herd is told at once.
    pub fn arrive(&mut self, count: u32, dice: &mut Dice) -> bool {
        self.waiting += count;
        // Somebody may be so quick that nobody sees them wait.
        self.armed && dice.below(4) > 0 && self.knock()
    }

    pub fn knock(&mut self) -> bool {
        self.knocked |= self.armed;
        std::mem::take(&mut self.armed)
    }

    /// Whoever serves and has time takes a connection, and is busy with it for so long.
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

    /// Whoever still waits is noticed.
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
                    // Lately there was something to see, or more workers than need be.
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
        // Nothing can come that the herd does not hear of.
        let hears = self.armed || self.asked || self.knocked;
        let deaf = !hears && herd.deadline().is_none();
        assert!(
            !deaf || least == most || herd.condition() == Condition::Stopping,
            "nobody listens"
        );
    }

    /// Not up and down all the time.
    fn reported(&mut self, now: Time, report: &Report) {
        match report {
            Report::ScaledUp { from, to, waiting } => {
                assert!(from < to && *waiting > 0 && to - from <= *waiting);
                self.last_up = Some(now);
            }
            Report::ScaledDown { from, to } => {
                assert_eq!(*from, to + 1, "one at a time");
                // The shortest `idle-timeout` here.
                assert!(self.last_up.is_none_or(|up| up + Span::secs(2) <= now), "down after up");
                assert!(self.last_down.is_none_or(|down| down + Span::millis(500) <= now));
                self.last_down = Some(now);
            }
            Report::LeavingIdle { .. } => assert_eq!(self.waiting, 0, "somebody waits"),
            _ => {}
        }
    }
}
