//! Settings: `herder.toml` and the command line, as checked and complete [`Settings`].
//!
//! Pure: texts in, settings or [`Problems`] out. Whether a program, a directory or a socket
//! exists is checked by the program (`launch`). Everything wrong is told at once, each
//! with its line and column. The non-obvious fact is that one table, [`KEYS`], is all there is:
//! a setting is a row in it, and a key without a row is an error.
//!
//! A text becomes places and values (`value`), each value is read by its row's type (`keys`,
//! `read`), later sources over earlier ones (`load`), and what only contradicts together is found
//! last (`cross`). A preset ([`preset`]) is a source like a file, and completes the command.

mod adjust;
mod cross;
mod draft;
#[cfg(test)]
mod elastic_tests;
mod foreign;
mod in_toml;
mod key;
mod keys;
mod limits;
mod load;
pub mod preset;
mod problem;
mod read;
mod settings;
mod show;
mod sockets;
mod status;
mod suggest;
mod template;
#[cfg(test)]
mod tests;
mod unknown;
mod value;

pub use adjust::adjust;
pub use in_toml::quote;
pub use key::{Applies, Key};
pub use keys::environment::is_set_by_herder;
pub use keys::{KEYS, key};
pub use limits::{Memory, Percent, Resource, ResourceLimit, WorkerLimits};
pub use load::{Machine, Overrides, assess, load};
pub use problem::{Place, Problem, Problems};
pub use settings::{
    Balance, CpuAffinity, EnvironmentFile, Listen, ListenPid, Queues, SIGTERM, Settings, Stdin,
};
pub use show::{Line, effective};
pub use template::{Bound, SocketField, Template, TemplateError};
