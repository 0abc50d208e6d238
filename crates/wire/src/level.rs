//! How important a log entry is, in the words of syslog(3): the one type that the command line, the control socket and
//! the log share.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How important a log entry is. The numbers are those of syslog(3); a more important level compares as smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// herder cannot do what it is for; a person should look.
    Error = 3,
    /// Something failed, and herder copes.
    Warning = 4,
    /// Something that operators of the service want to know.
    Notice = 5,
    /// The normal life of workers.
    Info = 6,
    /// Every event and action, for developing and debugging herder.
    Debug = 7,
}

impl LogLevel {
    /// Every level, the most important first.
    pub const ALL: [LogLevel; 5] =
        [LogLevel::Error, LogLevel::Warning, LogLevel::Notice, LogLevel::Info, LogLevel::Debug];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warning => "warning",
            LogLevel::Notice => "notice",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The error lists the names there are.
impl FromStr for LogLevel {
    type Err = String;

    fn from_str(name: &str) -> Result<LogLevel, String> {
        LogLevel::ALL.into_iter().find(|level| level.name() == name).ok_or_else(|| {
            format!("expected one of {}", LogLevel::ALL.map(LogLevel::name).join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for level in LogLevel::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        let error = "loud".parse::<LogLevel>().unwrap_err();
        assert_eq!(error, "expected one of error, warning, notice, info, debug");
    }
}
