//! Settings: `herder.toml` and the command line, as checked and complete [`Settings`].
//!
//! Pure: texts in, settings or [`Problems`] out. Whether a program, a directory or a socket
//! exists is not asked here but in the program's `launch`. Everything wrong is told at once, each
//! with its line and column. The non-obvious fact is that one table, [`KEYS`], is all there is:
//! a setting is a row in it, and a key without a row is an error.
//!
//! A text becomes places and values (`value`), each value is read by its row's type (`keys`,
//! `read`), later sources over earlier ones (`load`), and what only contradicts together is found
//! last (`cross`). A preset ([`preset`]) is a source like a file, and completes the command.

mod adjust;
mod cross;
#[cfg(test)]
mod elastic_tests;
mod foreign;
mod key;
mod keys;
mod limits;
mod load;
pub mod preset;
mod problem;
mod read;
mod settings;
mod show;
mod size;
mod sockets;
mod span;
mod status;
mod suggest;
mod template;
#[cfg(test)]
mod tests;
mod value;

pub use adjust::{SETTABLE, adjust};
pub use key::Key;
pub use keys::{KEYS, MOST_WORKERS};
pub use limits::{Limits, Memory, Percent, Resource, ResourceLimit};
pub use load::{assess, key, load};
pub use problem::{Place, Problem, Problems};
pub use read::{is_set_by_herder, quote};
pub use settings::{
    Balance, CpuAffinity, EnvironmentFile, Listen, ListenPid, Queues, SIGTERM, Settings, Stdin,
};
pub use show::{Line, effective};
pub use span::parse as parse_span;
pub use template::{Bound, SocketField, Template, TemplateError};

/// The machine herder runs on, as far as `workers = "auto"` asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The CPUs that affinity and the cgroup quota leave, at least 1.
    pub cpus: u32,
    /// WEB_CONCURRENCY in herder's environment.
    pub web_concurrency: Option<String>,
}

/// What the command line says, as written there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`, each `[NAME=]ADDR`.
    pub listen: Vec<String>,
    /// `--workers`
    pub workers: Option<String>,
    /// `--set`, each `KEY=VALUE`.
    pub set: Vec<String>,
    /// What stands after `--`.
    pub command: Vec<String>,
}
