//! The instances of a host as they answer: what `herder metrics` and the status page show.
//!
//! `/status.json` is a [`Host`] of one where an instance speaks for itself.

use super::status::Status;
use serde::{Deserialize, Serialize};

/// What the instances of a host say of themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Those that have answered, each with a name of its own.
    pub instances: Vec<Status>,
    /// Those that have not.
    pub silent: Vec<Silent>,
}

/// An instance that has not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silent {
    /// The instance's name.
    pub name: String,
    /// Why it could not be asked, and what to do.
    pub reason: String,
}

impl Host {
    /// An instance on its own.
    pub fn of_one(status: Status) -> Host {
        Host { instances: vec![status], silent: Vec::new() }
    }
}
