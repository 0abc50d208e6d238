//! **Does**: everything that touches the system, one kernel interface per file.
//!
//! Nothing here decides, logs or knows of slots and generations: the functions do what they are
//! told and return what happened. Descriptors are close-on-exec from birth; what a worker gets is
//! decided in [`spawn`], explicitly.

#[allow(unsafe_code)]
mod sys;

pub mod cgroup;
pub mod child;
pub mod clients;
pub mod control;
mod diag;
pub mod error;
pub mod fetch;
pub mod http;
pub mod journal;
pub mod limits;
pub mod load;
pub mod nature;
pub mod notify;
pub mod poll;
pub mod queue;
pub mod runtime;
pub mod sight;
pub mod signals;
pub mod sockets;
pub mod spawn;
pub mod steer;
pub mod usage;

#[cfg(test)]
mod testing;

pub use sys::allowed_cpus;
pub use sys::code::{give_back_code, give_back_heap};
