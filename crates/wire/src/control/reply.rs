//! What is answered: replies and errors, as the daemon writes them and a client reads them.

use super::super::level::LogLevel;
use super::super::status::{Event, InstanceDescription, Status};
use super::super::varlink;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The parameters of a reply.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub enum Reply<'a> {
    /// To `Describe`.
    Description {
        /// What the instance is.
        description: &'a InstanceDescription,
    },
    /// To `Status` and `Watch`.
    Status {
        /// How it is doing.
        status: &'a Status,
    },
    /// To `Events`.
    Event {
        /// What happened.
        event: &'a Event,
    },
    /// To `Reload`.
    Reloaded {
        /// The generation it brings.
        generation: u64,
        /// How things stand, in a line.
        message: &'a str,
        /// Workers of it that are ready.
        replaced: u32,
        /// Workers wanted.
        wanted: u32,
    },
    /// To `Scale`.
    Scaled {
        /// How things stand, in a line.
        message: &'a str,
        /// Workers that serve.
        ready: u32,
        /// Workers wanted.
        wanted: u32,
    },
    /// To `Recycle`.
    Recycled {
        /// How things stand, in a line.
        message: &'a str,
        /// Workers that were replaced.
        replaced: u32,
        /// How many are to be.
        wanted: u32,
    },
    /// To `AbortReload`, `StopWorker` and `Set`.
    Done {
        /// How things stand, in a line.
        message: &'a str,
    },
    /// To `io.systemd.service.GetLogLevel`.
    LogLevel {
        /// From [`Reply::syslog`].
        level: u8,
    },
    /// To what is only done.
    Nothing {},
}

impl Reply<'_> {
    /// The message, if it is the only one, or the last of several.
    pub fn last(&self) -> Vec<u8> {
        varlink::reply(self)
    }

    /// The message, if others follow.
    pub fn one_of_several(&self) -> Vec<u8> {
        varlink::reply_of_several(self)
    }

    /// How syslog(3) numbers it.
    pub fn syslog(level: LogLevel) -> u8 {
        match level {
            LogLevel::Error => 3,
            LogLevel::Warning => 4,
            LogLevel::Notice => 5,
            LogLevel::Info => 6,
            LogLevel::Debug => 7,
        }
    }
}

/// What `Reload`, `AbortReload`, `Scale`, `Recycle`, `StopWorker` and `Set` answer, as a client reads it: on
/// the way, if it asked for that, and in the end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// How things stand, in a line.
    pub message: String,
    /// The generation a reload brings.
    pub generation: Option<u64>,
    /// How many workers are as they should be …
    #[serde(alias = "replaced", alias = "ready")]
    pub reached: Option<u32>,
    /// … of how many.
    pub wanted: Option<u32>,
}

impl Answer {
    /// Reads the parameters of a reply; `None` if they are no such answer.
    pub fn read(parameters: Map<String, Value>) -> Option<Answer> {
        serde_json::from_value(Value::Object(parameters)).ok()
    }
}

/// Answers a call that came to nothing.
pub fn failed(failure: &Failure) -> Vec<u8> {
    let parameters = match failure {
        Failure::ReloadFailed { generation, reason, pid } => {
            json!({ "generation": generation, "reason": reason, "pid": pid })
        }
        Failure::Failed { reason, pid } => json!({ "reason": reason, "pid": pid }),
        Failure::ReloadRefused { reason }
        | Failure::NotFound { reason }
        | Failure::NotPermitted { reason } => json!({ "reason": reason }),
        Failure::Stopped => json!({}),
    };
    varlink::error(failure.name(), &parameters)
}

/// The errors of `io.herder.Control`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The settings were accepted, but the reload did not succeed.
    ReloadFailed {
        /// The generation it was to bring.
        generation: Option<u64>,
        /// What failed, and where things stand now.
        reason: String,
        /// The worker that failed, if one did: its last lines are in the journal.
        pid: Option<u32>,
    },
    /// The settings were not accepted; nothing has changed.
    ReloadRefused {
        /// What to change.
        reason: String,
    },
    /// It was tried, and came to nothing.
    Failed {
        /// What failed, and where things stand now.
        reason: String,
        /// The worker that failed, if one did: its last lines are in the journal.
        pid: Option<u32>,
    },
    /// There is no such slot, worker or generation.
    NotFound {
        /// What there is.
        reason: String,
    },
    /// herder was asked to stop before it was done.
    Stopped,
    /// The caller may not do this.
    NotPermitted {
        /// Which users may.
        reason: String,
    },
}

impl Failure {
    fn name(&self) -> &'static str {
        match self {
            Failure::ReloadFailed { .. } => "io.herder.Control.ReloadFailed",
            Failure::ReloadRefused { .. } => "io.herder.Control.ReloadRefused",
            Failure::Failed { .. } => "io.herder.Control.Failed",
            Failure::NotFound { .. } => "io.herder.Control.NotFound",
            Failure::Stopped => "io.herder.Control.Stopped",
            Failure::NotPermitted { .. } => "io.herder.Control.NotPermitted",
        }
    }

    /// Reads an error reply; `None` if it is not one of these.
    pub fn read(name: &str, parameters: &Map<String, Value>) -> Option<Failure> {
        let reason = || parameters.get("reason").and_then(Value::as_str).unwrap_or(name).to_owned();
        let number = |key| parameters.get(key).and_then(Value::as_u64);
        let pid = || number("pid").and_then(|pid| u32::try_from(pid).ok());
        match name {
            "io.herder.Control.ReloadFailed" => Some(Failure::ReloadFailed {
                generation: number("generation"),
                reason: reason(),
                pid: pid(),
            }),
            "io.herder.Control.ReloadRefused" => Some(Failure::ReloadRefused { reason: reason() }),
            "io.herder.Control.Failed" => Some(Failure::Failed { reason: reason(), pid: pid() }),
            "io.herder.Control.NotFound" => Some(Failure::NotFound { reason: reason() }),
            "io.herder.Control.Stopped" => Some(Failure::Stopped),
            "io.herder.Control.NotPermitted" => Some(Failure::NotPermitted { reason: reason() }),
            _ => None,
        }
    }
}
