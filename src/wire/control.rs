//! The Varlink interface `io.herder.Control`: what it says of itself, its types, its messages.
//!
//! Both ends are here: the daemon reads calls with [`receive`] and answers with the functions
//! beside it, the client reads [`Status`] and [`Failure`] back. Who may call what is decided by
//! the daemon. The description and the types are held together by a test.

use super::varlink::{self, Info, Request};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;

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

/// A method of `io.herder.Control`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read the settings again and replace every worker. Changes things: check the caller.
    Reload,
    /// Tell how things are. Anybody who can connect may ask.
    Status,
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
                RELOAD => Some(Method::Reload),
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
    varlink::reply(&json!({ "generation": generation, "message": message }))
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

/// How an instance is doing. Field by field as [`DESCRIPTION`] explains it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The instance's name.
    pub name: String,
    /// herder's process.
    pub pid: u32,
    /// herder's version.
    pub version: String,
    /// The generation in service, or being rolled out.
    pub generation: u64,
    /// What the instance is about.
    pub state: State,
    /// The line systemd shows.
    pub status: String,
    /// Workers wanted.
    pub wanted: u32,
    /// Workers that serve.
    pub ready: u32,
    /// Workers on the way there.
    pub starting: u32,
    /// Workers told to stop.
    pub draining: u32,
    /// What the workers serve on.
    pub sockets: Vec<Socket>,
    /// The last reload that is over, whatever came of it.
    pub last_reload: Option<LastReload>,
    /// What has happened since herder started.
    pub counters: Counters,
    /// Every process there is.
    pub workers: Vec<Worker>,
}

/// What an instance is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Before systemd was told READY=1.
    Starting,
    /// All is well.
    Serving,
    /// Fewer workers are ready than wanted, because of failures.
    Degraded,
    /// Workers are being replaced.
    Reloading,
    /// herder was asked to stop, or gives up.
    Stopping,
}

/// A socket handed to the workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Socket {
    /// As in LISTEN_FDNAMES.
    pub name: String,
    /// As systemd writes it; none for what has no address.
    pub address: Option<String>,
    /// `stream`, `datagram`, `fifo`, …
    pub kind: String,
}

/// A reload that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastReload {
    /// The generation it was to bring; none if it was refused.
    pub generation: Option<u64>,
    /// When it ended, in microseconds since 1970.
    #[serde(rename = "atUSec")]
    pub at_usec: u64,
    /// How it went.
    pub verdict: Verdict,
    /// Why, unless it was done.
    pub reason: Option<String>,
}

/// How a reload went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every worker was replaced.
    Done,
    /// A worker failed; the settings before it are back in force.
    Failed,
    /// The settings were not accepted.
    Refused,
    /// A newer reload took over.
    Superseded,
    /// herder was stopped meanwhile.
    Stopped,
}

/// Sums since herder started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Workers started to take the place of one that had ended by itself.
    pub respawns: u64,
    /// Workers that ended by themselves after they had proved themselves.
    pub crashes: u64,
    /// Workers that could not be started, were not ready in time, or died young.
    pub failures: u64,
    /// Messages to notify sockets that did not come from the socket's worker.
    pub notify_dropped: u64,
    /// Log entries nobody took.
    pub log_lost: u64,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// Counts up for ever.
    pub id: u64,
    /// Its place.
    pub slot: u32,
    /// Its process; none before it has one.
    pub pid: Option<u32>,
    /// Where it is in its life.
    pub state: WorkerState,
    /// The settings it was started with.
    pub generation: u64,
    /// Why it counts as ready.
    pub evidence: Option<Evidence>,
    /// Since it was started, in microseconds.
    #[serde(rename = "ageUSec")]
    pub age_usec: u64,
    /// How often its slot got a new worker because the one before had ended by itself.
    pub respawns_of_slot: u64,
    /// How the one before it in this slot ended, in words.
    pub last_exit: Option<String>,
    /// What it said of itself with STATUS=.
    pub status: Option<String>,
}

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Not ready yet.
    Starting,
    /// Serving.
    Ready,
    /// It said that it is about to leave.
    Retiring,
    /// Told to stop.
    Draining,
    /// Its process has ended; what it left behind is being stopped.
    Ended,
}

/// Why a worker counts as ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// It said READY=1.
    Notified,
    /// It was executed, and that is enough by the settings.
    Executed,
    /// It stayed alive; nobody has seen it serve.
    Assumed,
}

/// The words of the wire, for people too.
macro_rules! display_as_serialised {
    ($($type:ty { $($variant:ident => $word:literal),+ $(,)? })+) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(<$type>::$variant => $word),+ })
            }
        }
    )+};
}

display_as_serialised! {
    State {
        Starting => "starting", Serving => "serving", Degraded => "degraded",
        Reloading => "reloading", Stopping => "stopping",
    }
    WorkerState {
        Starting => "starting", Ready => "ready", Retiring => "retiring",
        Draining => "draining", Ended => "ended",
    }
    Verdict {
        Done => "done", Failed => "failed", Refused => "refused",
        Superseded => "superseded", Stopped => "stopped",
    }
    Evidence { Notified => "notified", Executed => "executed", Assumed => "assumed" }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
