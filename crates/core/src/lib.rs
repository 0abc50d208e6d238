//! **Decides**: the pure, deterministic state machine. Events in, orders out, time is an argument.
//!
//! [`Herd::handle`] is told what happened and answers with orders; [`Herd::deadline`] says when it wants to be told that
//! time has passed. The core touches nothing: no clock, descriptor, pid, environment, log or random source, which is why
//! `tests/sim` can run it through millions of crashes, reloads and stops under simulated time.
//!
//! It is a composition of parts. Each part owns its fields, so that one module can write them:
//!
//! | part | what it knows | what it answers |
//! | --- | --- | --- |
//! | `fleet` | slots, workers, their states, sums over them | “this happened to that worker”: its next state, and what others have to know |
//! | `policies` | the good and the incoming settings, a number asked for, the load's number | which settings count, and how many workers are wanted |
//! | `reload` | the reload under way, and past ones | which settings a slot is to have, and when the reload is over |
//! | `requests` | what operators wait for | when that is done, or has failed |
//! | `recycle`, `wear` | max-age, max-memory | which serving worker is replaced next |
//! | `elastic`, `scale` | samples of load | how many workers the load needs |
//! | `watchdog`, `stall`, `probe`, `asking` | pings, waiting connections, probes | which worker hangs |
//! | `queues` | per-worker queues | which slot has which queue, and which queues get new connections |
//! | `settle` | the bound on processes | what to start and what to drain: the difference between wanted and there |
//! | `escalation` | how long there has been trouble | when herder gives up, and how it ends |
//! | `condition` | nothing of its own | what clients get right now, and the line for people |
//! | `notifier` | what systemd was told | what systemd is told next |
//! | `herd` | the parts | the order in which they are asked |
//!
//! The states of a worker, and what may follow what, are in `fleet/state.rs`; which settings count during a reload is the
//! table in `policies.rs`; the stages of an event are [`Herd::handle`].

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::wildcard_enum_match_arm)]

extern crate alloc;

mod action;
mod asking;
mod backoff;
mod condition;
mod counters;
mod elastic;
mod escalation;
mod event;
mod exit;
mod fleet;
mod herd;
mod ids;
mod jitter;
mod load;
mod notifier;
mod policies;
mod policy;
mod probe;
mod queues;
mod reason;
mod recycle;
mod reload;
mod report;
mod requests;
mod sampling;
mod scale;
mod settle;
mod shown;
mod size;
mod stall;
mod time;
mod turn;
mod watchdog;
mod wear;
mod words;

pub use action::{Action, Notice, RequestOutcome};
pub use backoff::Backoff;
pub use counters::Counters;
pub use event::{Cause, Event, Request, Sight, SpawnFailure};
pub use exit::{Exit, ExitSet, signal_name, signal_number};
pub use herd::Herd;
pub use ids::{Generation, QueueId, RequestId, SlotId, WorkerId};
pub use load::{Load, Queue, Weight};
pub use policy::{Amount, Policy, Probe, Ready, ReadyWhen, Scaling, ServiceWatchdog};
pub use reason::{Ending, Evidence, Hang, Manner, PastLife, Wear};
pub use report::Report;
pub use shown::{
    Condition, Outcome, PastReload, Progress, ReloadPhase, WorkerLine, WorkerState, WorkerView,
};
pub use size::Size;
pub use time::{Span, Time};
