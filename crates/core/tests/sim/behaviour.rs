//! How simulated workers behave.

use super::chance::Dice;
use herder_core::{Exit, Span};

/// How well workers of a generation work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// Every worker starts and serves.
    Good,
    /// Each worker may fail in any way, once in `n`.
    Flaky(u64),
    /// Every worker fails.
    Broken(Fault),
}

/// One way in which a worker fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    ExecFails,
    SystemRefuses,
    DiesAtOnce,
    /// The slow failures of real applications: 8, 20, 60 s.
    DiesAfter(u64),
    NeverReady,
    ReadyThenDies(u64),
    /// The worker serves for this many seconds and then hangs.
    ReadyThenHangs(u64),
}

/// What one worker does during its life, drawn when it is started.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    pub exec: Result<(), bool>,
    pub ready_after: Option<Span>,
    /// It dies of its own accord this long after its start.
    pub dies: Option<(Span, Exit)>,
    /// It says STOPPING=1 this long after its start, and leaves soon after.
    pub retires: Option<Span>,
    /// This long after its start the worker hangs, and ignores its stop signal.
    pub hangs: Option<Span>,
    /// How long the worker takes to end after SIGABRT; `None`: SIGABRT does not end it.
    pub aborts: Option<Span>,
    pub asks_for_time: bool,
    /// How long the worker takes to end after its stop signal; `None`: it ignores the signal.
    pub obeys: Option<Span>,
    /// SIGKILL does not end it.
    pub unkillable: bool,
    /// Its memory when it starts (`max-memory` is 1,000), and by how much it grows in a second.
    pub weight: u64,
    pub leak: u64,
    /// Processes that are left in the worker's cgroup when it has ended.
    pub leaves: Option<Leftover>,
}

/// Processes that outlive the worker that forked them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    Obeys,
    /// Ends at the second SIGKILL only, because it had forked before the first one.
    Clings,
    /// Not even SIGKILL ends it.
    Stays,
}

const OOM: Exit = Exit::OutOfMemory;
const REALTIME: Exit = Exit::Signal { number: 40, core: false };
const SEGV: Exit = Exit::Signal { number: 11, core: true };

impl Fault {
    pub fn any(dice: &mut Dice) -> Fault {
        match dice.below(9) {
            0 => Fault::ExecFails,
            1 => Fault::SystemRefuses,
            2 | 3 => Fault::DiesAtOnce,
            4 => Fault::DiesAfter([8, 20, 60][dice.below(3) as usize]),
            5 => Fault::NeverReady,
            6 => Fault::ReadyThenHangs([2, 40][dice.below(2) as usize]),
            _ => Fault::ReadyThenDies(2),
        }
    }
}

impl Behaviour {
    pub fn of(quality: Quality, calm: bool, dice: &mut Dice) -> Behaviour {
        let mut behaviour = Behaviour::good(calm, dice);
        match quality {
            Quality::Good => {}
            Quality::Flaky(n) if dice.below(n) > 0 => {}
            Quality::Flaky(_) => behaviour.suffer(Fault::any(dice), dice),
            Quality::Broken(fault) => behaviour.suffer(fault, dice),
        }
        behaviour
    }

    fn good(calm: bool, dice: &mut Dice) -> Behaviour {
        let obeys = match dice.below(6) {
            0 if !calm => None,
            1 => Some(Span::ZERO),
            _ => Some(Span::millis(dice.below(4_000))),
        };
        Behaviour {
            exec: Ok(()),
            ready_after: Some(Span::millis(dice.below(3_000))),
            dies: (!calm && dice.below(12) == 0).then(|| {
                (Span::millis(dice.below(60_000)), [OOM, REALTIME, SEGV][dice.below(3) as usize])
            }),
            retires: (!calm && dice.below(10) == 0).then(|| Span::millis(dice.below(40_000))),
            hangs: (!calm && dice.below(12) == 0).then(|| Span::millis(dice.below(60_000))),
            aborts: (dice.below(3) > 0).then(|| Span::millis(dice.below(4_000))),
            asks_for_time: dice.below(8) == 0,
            obeys,
            unkillable: !calm && dice.below(200) == 0,
            weight: [100, 100, 800, 1_100][dice.below(4) as usize],
            leak: [0, 0, 1, 30][dice.below(4) as usize],
            leaves: match dice.below(24) {
                0 | 1 => Some(Leftover::Obeys),
                2 => Some(Leftover::Clings),
                3 if !calm => Some(Leftover::Stays),
                _ => None,
            },
        }
    }

    fn suffer(&mut self, fault: Fault, dice: &mut Dice) {
        let exit = [Exit::Code(0), Exit::Code(1), Exit::Code(7), SEGV][dice.below(4) as usize];
        match fault {
            Fault::ExecFails => self.exec = Err(true),
            Fault::SystemRefuses => self.exec = Err(false),
            Fault::DiesAtOnce => {
                self.ready_after = None;
                self.dies = Some((Span::millis(dice.below(60)), exit));
            }
            Fault::DiesAfter(seconds) => {
                self.ready_after = None;
                self.dies = Some((Span::secs(seconds), exit));
            }
            Fault::NeverReady => {
                self.ready_after = None;
                self.dies = None;
            }
            Fault::ReadyThenHangs(seconds) => {
                self.hangs = Some(self.ready_after.unwrap_or_default() + Span::secs(seconds));
            }
            Fault::ReadyThenDies(seconds) => {
                let ready = self.ready_after.unwrap_or_default();
                self.dies = Some((ready + Span::secs(seconds), exit));
            }
        }
    }
}
