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
//! | [`herder_ctl`] | the operator's side: `herder status`, `herder top`, `herder reload` and the others | `core`, `linux`, `wire` |
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
//! # Words
//!
//! Each has one meaning, here and in the manual.
//!
//! | word | meaning |
//! | --- | --- |
//! | instance | one running herder with one settings file |
//! | slot | one of N stable places for workers, numbered from 0 |
//! | worker | one process's life in a slot; its id counts up and is never used again |
//! | wanted | how many slots are to have a worker now |
//! | surplus | a slot beyond those wanted that still has a worker |
//! | generation | one accepted set of settings |
//! | good settings | those of the last complete generation, which the service falls back to |
//! | incoming settings | those that a reload under way is to bring |
//! | ready | there is evidence that the worker serves |
//! | canary | the first worker of incoming settings |
//! | trial | the time for which a new worker is watched before it replaces others |
//! | surge | workers more than wanted while others are replaced |
//! | drain | to tell a worker to stop, and wait until it has finished its work |
//! | retire | a worker leaves of its own accord, after STOPPING=1 |
//! | sweep | to stop what a dead worker has left behind |
//! | respawn | to start a worker in the place of one that has ended without having been told to |
//! | back-off | the wait before the next try after failures in a row |
//! | proved | ready for `min-lifetime`: earlier failures of the slot no longer count |
//! | worn | beyond `max-age` or `max-memory`: to be replaced |
//! | recycle | to replace serving workers without new settings |
//! | hung | a worker runs and does nothing: its watchdog, its sockets or its probe show it |
//! | trouble | the time since a proved worker was last ready |
//! | escalate | to exit non-zero, so that systemd decides: `Restart=`, `StartLimit*`, `OnFailure=` |
//! | queue | the connections that wait in one socket |
//! | order | what the core tells the shell to do; its outcome comes back as an event |
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
