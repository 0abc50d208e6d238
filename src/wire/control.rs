//! The Varlink interface `io.herder.Control`: what it says of itself, its types, its messages.
//!
//! Both ends are here: the daemon reads calls with [`receive`] and answers with the functions
//! beside it, the client reads [`Status`] and [`Failure`] back. Who may call what is decided by
//! the daemon. The description and the types are held together by a test.

use super::status::{LogLevel, Status};
use super::varlink::{self, Info, Request};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The name of the interface.
pub const INTERFACE: &str = "io.herder.Control";

/// The method that reloads.
pub const RELOAD: &str = "io.herder.Control.Reload";

/// The method that tells how things are.
pub const STATUS: &str = "io.herder.Control.Status";

/// What `varlinkctl introspect` shows.
pub const DESCRIPTION: &str = include_str!("io.herder.Control.varlink");

const INFO: Info<'_> = Info {
    vendor: "herder",
    product: "herder",
    version: env!("CARGO_PKG_VERSION"),
    url: "man:herder(8)",
    interfaces: &[(INTERFACE, DESCRIPTION)],
};

/// What to do about a message from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A call that needs the daemon.
    Call {
        /// What is asked.
        method: Method,
        /// The caller wants no reply: answer with no bytes.
        oneway: bool,
    },
    /// Everything is said: send this (nothing, when the call was `oneway`).
    Reply(Vec<u8>),
    /// Not Varlink: hang up.
    Garbage,
}

/// A method of `io.herder.Control`, as [`DESCRIPTION`] explains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Tell what the instance is. Anybody who can connect may ask.
    Describe,
    /// Tell how things are. Anybody who can connect may ask.
    Status,
    /// Tell how things are, again and again. Anybody who can connect may ask.
    Watch {
        /// In microseconds; none is for changes only.
        interval: Option<u64>,
    },
    /// Tell what happens. Anybody who can connect may ask.
    Events,
    /// Read the settings again and replace every worker. Changes things, as all that follow: check the caller.
    Reload {
        /// With the settings of the generation before instead.
        previous: bool,
    },
    /// Roll back the reload under way.
    AbortReload,
    /// Run so many workers.
    Scale {
        /// At most 10,000.
        workers: u32,
    },
    /// Replace workers, the new one first.
    Recycle {
        /// Only this slot's; none is every slot, one at a time.
        slot: Option<u32>,
    },
    /// Tell a worker to stop.
    StopWorker {
        /// Its id.
        worker: u64,
    },
    /// Log more or less.
    SetLogLevel {
        /// The least important entries to write.
        level: LogLevel,
    },
}

/// Reads a message; answers what needs no knowledge of the herd.
pub fn receive(message: &[u8]) -> Received {
    let Some(request) = Request::parse(message) else { return Received::Garbage };
    let oneway = request.oneway;
    let reply = match (request.split().0, request.method.as_str()) {
        _ if request.upgrade => varlink::invalid_parameter("upgrade"),
        (varlink::SERVICE, _) => varlink::answer_service(&request, &INFO),
        (INTERFACE, name) => {
            let method = match name {
                RELOAD => Some(Method::Reload { previous: false }),
                STATUS => Some(Method::Status),
                _ => None,
            };
            match (method, request.unknown_parameter(&[])) {
                (Some(method), None) => return Received::Call { method, oneway },
                (Some(_), Some(parameter)) => varlink::invalid_parameter(parameter),
                (None, _) => varlink::method_not_found(name),
            }
        }
        (interface, _) => varlink::interface_not_found(interface),
    };
    Received::Reply(if oneway { Vec::new() } else { reply })
}

/// Answers `Status`.
pub fn status(status: &Status) -> Vec<u8> {
    #[derive(Serialize)]
    struct Parameters<'a> {
        status: &'a Status,
    }
    varlink::reply(&Parameters { status })
}

/// Answers a `Reload` that succeeded; `message` says what happened in a line.
pub fn reloaded(generation: u64, message: &str) -> Vec<u8> {
    varlink::reply(
        &json!({ "generation": generation, "message": message, "replaced": 0, "wanted": 0 }),
    )
}

/// Answers a call that came to nothing.
pub fn failed(failure: &Failure) -> Vec<u8> {
    match failure {
        Failure::ReloadFailed { generation, reason, pid } => varlink::error(
            "io.herder.Control.ReloadFailed",
            &json!({ "generation": generation, "reason": reason, "pid": pid }),
        ),
        Failure::ReloadRefused { reason } => {
            varlink::error("io.herder.Control.ReloadRefused", &json!({ "reason": reason }))
        }
        Failure::Stopped => varlink::error("io.herder.Control.Stopped", &json!({})),
        Failure::NotPermitted { reason } => {
            varlink::error("io.herder.Control.NotPermitted", &json!({ "reason": reason }))
        }
    }
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
    /// herder is stopping; the reload came to nothing.
    Stopped,
    /// The caller may not do this.
    NotPermitted {
        /// Who may.
        reason: String,
    },
}

impl Failure {
    /// Reads an error reply; `None` if it is not one of these.
    pub fn read(name: &str, parameters: &Map<String, Value>) -> Option<Failure> {
        let reason = || parameters.get("reason").and_then(Value::as_str).unwrap_or(name).to_owned();
        let number = |key| parameters.get(key).and_then(Value::as_u64);
        match name {
            "io.herder.Control.ReloadFailed" => Some(Failure::ReloadFailed {
                generation: number("generation"),
                reason: reason(),
                pid: number("pid").and_then(|pid| u32::try_from(pid).ok()),
            }),
            "io.herder.Control.ReloadRefused" => Some(Failure::ReloadRefused { reason: reason() }),
            "io.herder.Control.Stopped" => Some(Failure::Stopped),
            "io.herder.Control.NotPermitted" => Some(Failure::NotPermitted { reason: reason() }),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
