//! **Speaks**: bytes to types and back, no transport. Pure, like the core.

#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod address;
pub mod control;
pub mod diag;
pub mod envfile;
pub mod host;
pub mod http;
pub mod journal;
pub mod level;
pub mod listen;
pub mod notify;
pub mod openmetrics;
pub mod page;
pub mod proc;
pub mod site;
pub mod status;
pub mod steer;
pub mod text;
pub mod units;
pub mod url;
pub mod varlink;
