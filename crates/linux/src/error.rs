//! The errors on which herder itself cannot act: each says what was tried, on what, and why it failed.

use std::fmt;
use std::io;

/// An error that ends a command, with the exit status that says where to look for the cause.
#[derive(Debug)]
pub enum Error {
    /// The command line is wrong (64, EX_USAGE).
    Usage(String),
    /// The settings are wrong, or name something that cannot be used (78, EX_CONFIG).
    Config(String),
    /// The system refused (71, EX_OSERR).
    System {
        /// What was tried, on which path or setting.
        tried: String,
        /// What the kernel answered.
        why: io::Error,
    },
    /// A running herder refused or failed to do what was asked (1).
    Failed(String),
    /// No herder runs there (3).
    NotRunning(String),
    /// No such instance, or no permission to talk to it (4).
    Denied(String),
}

impl Error {
    /// A [`Error::System`] from the last thing tried.
    pub fn system(tried: impl Into<String>, why: impl Into<io::Error>) -> Error {
        Error::System { tried: tried.into(), why: why.into() }
    }

    /// The exit status, as herder(8) lists them.
    pub fn exit_status(&self) -> u8 {
        match self {
            Error::Usage(_) => 64,
            Error::Config(_) => 78,
            Error::System { .. } => 71,
            Error::Failed(_) => 1,
            Error::NotRunning(_) => 3,
            Error::Denied(_) => 4,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(text)
            | Error::Config(text)
            | Error::Failed(text)
            | Error::NotRunning(text)
            | Error::Denied(text) => f.write_str(text),
            Error::System { tried, why } => write!(f, "cannot {tried}: {why}"),
        }
    }
}

impl std::error::Error for Error {}
