//! **systemd owns the sockets, herder owns the workers, the kernel carries the traffic.**
//!
//! herder receives pre-bound sockets by socket activation, starts workers that inherit them,
//! replaces those that die, and is never in the data path. This page is the map.
//!
//! | module | what lives there | what it may touch |
//! | --- | --- | --- |
//! | [`herd`] | **decides**: the state machine. Events in, orders out, time is an argument | nothing |
//! | [`wire`] | **speaks**: bytes to types and back | nothing |
//! | [`config`] | `herder.toml` and the command line become checked settings | `herd`'s policy, `wire` |
//! | [`launch`] | settings and sockets become what a worker is started with | the file system |
//! | [`linux`] | **does**: processes, sockets, epoll, transports; all `unsafe` is in `linux::sys` | `wire` |
//! | [`log`] | the journal, a terminal, JSON | `linux`, `herd`'s reports |
//! | [`daemon`] | the loop, the only place that knows both sides | everything |
//! | [`ctl`] | `herder status`, `herder reload` and the others: the other end of the control socket | `wire` |
//! | [`cli`], [`complete`] | the command line, and how a shell completes it | |
//! | [`diagnostics`] | what commands that may block report, to the journal or standard error | `linux` |
//! | [`check`], [`presets`], [`demo`] | `herder check`, `herder presets`, the demonstration worker | |
//! | [`import`] | **translates**: other managers' files become settings and drop-ins | `config`, `wire` |
//! | [`migrate`] | `herder import`: the files that `import` reads and writes | the file system |
//!
//! Arrows point one way: nothing imports [`daemon`], and [`herd`] and [`wire`] import nothing of
//! the crate. `tests/architecture.rs` holds the source to that.

pub mod check;
pub mod cli;
pub mod complete;
pub mod config;
pub mod ctl;
pub mod daemon;
pub mod demo;
pub mod diagnostics;
pub mod error;
pub mod herd;
pub mod import;
pub mod launch;
pub mod linux;
pub mod log;
pub mod migrate;
pub mod presets;
pub mod wire;
