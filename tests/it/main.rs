//! The real `herder` with real workers, and a stand-in for systemd. Needs neither root nor a
//! running systemd; what only the real one can tell is in tests/system.
//!
//! Each test starts a herder of its own, in a directory of its own, and waits for what it expects
//! (a datagram, a line, a status), never for time to pass. “Trap N” in a comment means the Nth of the
//! ways in which launchers under systemd are known to go wrong.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod client;
mod systemd;
mod wait;
mod workers;

mod accepting;
mod adapters;
mod cgroups;
mod commands;
mod contract;
mod control;
mod control_calls;
mod control_permissions;
mod control_streams;
mod effects;
mod elastic;
mod endings;
mod escalation;
mod figures;
mod hangs;
mod http;
mod limits;
mod logs;
mod notify;
mod presets;
mod probes;
mod queues;
mod quiet;
mod readiness;
mod recycling;
mod reload;
mod respawn;
mod rollback;
mod set;
mod signals;
mod sockets;
mod startup;
mod told;
