//! **systemd owns the sockets, herder owns the workers, the kernel carries the traffic.**
//!
//! herder receives pre-bound sockets by socket activation, starts workers that inherit them,
//! replaces those that die, and is never in the data path. This page is the map.
//!
//! Each room is a crate, so that the compiler holds the borders and each can be built and tested alone:
//!
//! | crate | what lives there | what it may depend on |
//! | --- | --- | --- |
//! | [`herder_core`] | **decides**: the state machine. Events in, orders out, time is an argument | nothing |
//! | [`herder_wire`] | **speaks**: bytes to types and back, no transport | nothing |
//! | [`herder_linux`] | **does**: one kernel interface a file; all `unsafe` is in `linux::sys` | `wire` |
//! | [`herder_config`] | `herder.toml` and the command line become checked settings | `core`, `wire` |
//! | [`herder_ctl`] | the operator's side: `herder status`, `herder top`, `herder reload` and the others | `linux`, `wire` |
//! | [`herder_import`] | **translates**: other managers' files become settings and drop-ins | `config`, `core`, `wire` |
//! | `herder`, this one | the program, below | all of them |
//!
//! | module of the program | what lives there |
//! | --- | --- |
//! | [`daemon`] | the loop of `herder run`, the only place that knows both what was decided and how it is done |
//! | [`launch`] | settings and sockets become what a worker is started with |
//! | [`log`] | the launcher's log: the journal, a terminal, JSON |
//! | [`cli`], [`complete`] | the command line, and how a shell completes it |
//! | [`check`], [`presets`], [`demo`] | `herder check`, `herder presets`, the demonstration worker |
//! | [`migrate`] | `herder import`: the files that `import` reads and writes |
//!
//! Arrows point one way: nothing imports [`daemon`], and `core` and `wire` import nothing of the workspace. Cargo and
//! `tests/architecture.rs` hold the source to that.

pub mod check;
pub mod cli;
pub mod complete;
pub mod daemon;
pub mod demo;
pub mod launch;
pub mod log;
pub mod migrate;
pub mod presets;
