//! The Varlink interface `io.herder.Control`: what it says of itself, its types, its messages.
//!
//! Both ends are here: the daemon reads calls with [`receive`] and answers with a [`Reply`] or a
//! [`Failure`]; the client makes calls with [`Method::request`] and reads [`Answer`] and [`Failure`]
//! back. The daemon decides which client may call which method. The generic `io.systemd.service`, which
//! systemd's own services have, is other names for some of the same methods. The descriptions and
//! the types are held together by a test.

mod reply;

pub use reply::{Answer, Failure, Reply, failed};

use super::level::LogLevel;
use super::varlink::{self, Info, Request};
use serde_json::{Map, Value, json};

/// The name of the interface.
pub const INTERFACE: &str = "io.herder.Control";

/// What `varlinkctl introspect` shows.
pub const DESCRIPTION: &str = include_str!("io.herder.Control.varlink");

/// The interface that systemd's services have in common.
pub const GENERIC: &str = "io.systemd.service";

/// What `varlinkctl introspect` shows of that.
pub const GENERIC_DESCRIPTION: &str = include_str!("io.systemd.service.varlink");

/// The most workers that can be asked for: beyond it is a mistake, not a machine.
pub const MOST_WORKERS: u32 = 10_000;

/// The shortest interval of a `Watch`, in microseconds.
pub const SHORTEST_INTERVAL: u64 = 100_000;

const INFO: Info<'_> = Info {
    vendor: "herder",
    product: "herder",
    version: env!("CARGO_PKG_VERSION"),
    url: "man:herder(8)",
    interfaces: &[(INTERFACE, DESCRIPTION), (GENERIC, GENERIC_DESCRIPTION)],
};

/// What to do about a message from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A call that needs the daemon.
    Call(Call),
    /// Everything is said: send this (nothing, when the call was `oneway`).
    Reply(Vec<u8>),
    /// Not Varlink: hang up.
    Garbage,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is asked.
    pub method: Method,
    /// The caller wants no reply: answer with no bytes.
    pub oneway: bool,
    /// The caller takes several replies.
    pub more: bool,
    /// It was made by [`GENERIC`], whose changes are answered with [`Reply::Nothing`], once.
    pub generic: bool,
}

/// A method, as [`DESCRIPTION`] explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// Tell what the instance is. Every client may ask.
    Describe,
    /// Tell how things are. Every client may ask.
    Status,
    /// Tell how things are, again and again. Every client may ask.
    Watch {
        /// In microseconds, at least [`SHORTEST_INTERVAL`]; none is for changes only.
        interval: Option<u64>,
    },
    /// Tell what happens. Every client may ask.
    Events,
    /// Read the settings again and replace every worker. Changes things, as all that follow but the
    /// last: check the caller.
    Reload {
        /// With the settings of the generation before instead.
        previous: bool,
    },
    /// Roll back the reload under way.
    AbortReload,
    /// Run so many workers.
    Scale {
        /// At most [`MOST_WORKERS`].
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
    /// Change settings that need no new workers, until the next reload that succeeds.
    Set {
        /// Each `KEY=VALUE`, as `herder run --set` takes it.
        settings: Vec<String>,
    },
    /// Log more or less.
    SetLogLevel {
        /// The least important entries to write.
        level: LogLevel,
    },
    /// Tell how much is logged; only in [`GENERIC`]. Every client may ask.
    GetLogLevel,
}

impl Method {
    /// `INTERFACE.METHOD`
    pub fn name(&self) -> &'static str {
        match self {
            Method::Describe => "io.herder.Control.Describe",
            Method::Status => "io.herder.Control.Status",
            Method::Watch { .. } => "io.herder.Control.Watch",
            Method::Events => "io.herder.Control.Events",
            Method::Reload { .. } => "io.herder.Control.Reload",
            Method::AbortReload => "io.herder.Control.AbortReload",
            Method::Scale { .. } => "io.herder.Control.Scale",
            Method::Recycle { .. } => "io.herder.Control.Recycle",
            Method::StopWorker { .. } => "io.herder.Control.StopWorker",
            Method::Set { .. } => "io.herder.Control.Set",
            Method::SetLogLevel { .. } => "io.herder.Control.SetLogLevel",
            Method::GetLogLevel => "io.systemd.service.GetLogLevel",
        }
    }

    /// Whether it changes the instance, so that not every client may call it.
    pub fn changes(&self) -> bool {
        match self {
            Method::Describe
            | Method::Status
            | Method::Watch { .. }
            | Method::Events
            | Method::GetLogLevel => false,
            Method::Reload { .. }
            | Method::AbortReload
            | Method::Scale { .. }
            | Method::Recycle { .. }
            | Method::StopWorker { .. }
            | Method::Set { .. }
            | Method::SetLogLevel { .. } => true,
        }
    }

    /// The call, for a client; with `more` it takes several replies.
    pub fn request(&self, more: bool) -> Request {
        let parameters = match self {
            Method::Describe
            | Method::Status
            | Method::Events
            | Method::AbortReload
            | Method::GetLogLevel
            | Method::Watch { interval: None }
            | Method::Reload { previous: false }
            | Method::Recycle { slot: None } => None,
            Method::Watch { interval: Some(usec) } => Some(("intervalUSec", json!(usec))),
            Method::Reload { previous: true } => Some(("previous", json!(true))),
            Method::Scale { workers } => Some(("workers", json!(workers))),
            Method::Recycle { slot: Some(slot) } => Some(("slot", json!(slot))),
            Method::StopWorker { worker } => Some(("worker", json!(worker))),
            Method::Set { settings } => Some(("settings", json!(settings))),
            Method::SetLogLevel { level } => Some(("level", json!(level))),
        };
        let parameters = parameters.map(|(name, value)| Map::from_iter([(name.to_owned(), value)]));
        Request { parameters, more, ..Request::new(self.name()) }
    }
}

type Parameters = Map<String, Value>;

/// A row for each method that can be called: its name, its parameters, and how they are read. The
/// error is the name of the parameter that is missing or wrong.
type Row = (&'static str, &'static [&'static str], fn(&Parameters) -> Result<Method, &'static str>);

const METHODS: [Row; 14] = [
    ("io.herder.Control.Describe", &[], |_| Ok(Method::Describe)),
    ("io.herder.Control.Status", &[], |_| Ok(Method::Status)),
    ("io.herder.Control.Watch", &["intervalUSec"], |given| {
        let interval = number(given, "intervalUSec", SHORTEST_INTERVAL, u64::MAX)?;
        Ok(Method::Watch { interval })
    }),
    ("io.herder.Control.Events", &[], |_| Ok(Method::Events)),
    ("io.herder.Control.Reload", &["previous"], |given| {
        let previous = match value(given, "previous") {
            None => false,
            Some(value) => value.as_bool().ok_or("previous")?,
        };
        Ok(Method::Reload { previous })
    }),
    ("io.herder.Control.AbortReload", &[], |_| Ok(Method::AbortReload)),
    ("io.herder.Control.Scale", &["workers"], |given| {
        let workers = number(given, "workers", 0, MOST_WORKERS)?.ok_or("workers")?;
        Ok(Method::Scale { workers })
    }),
    ("io.herder.Control.Recycle", &["slot"], |given| {
        Ok(Method::Recycle { slot: number(given, "slot", 0, u32::MAX)? })
    }),
    ("io.herder.Control.StopWorker", &["worker"], |given| {
        let worker = number(given, "worker", 0, u64::MAX)?.ok_or("worker")?;
        Ok(Method::StopWorker { worker })
    }),
    ("io.herder.Control.Set", &["settings"], |given| {
        let list = value(given, "settings").and_then(Value::as_array).ok_or("settings")?;
        let texts = list.iter().map(|text| text.as_str().map(str::to_owned));
        let settings: Option<Vec<String>> = texts.collect();
        let settings = settings.filter(|settings| !settings.is_empty()).ok_or("settings")?;
        Ok(Method::Set { settings })
    }),
    ("io.herder.Control.SetLogLevel", &["level"], |given| {
        let level =
            value(given, "level").and_then(|word| serde_json::from_value(word.clone()).ok());
        Ok(Method::SetLogLevel { level: level.ok_or("level")? })
    }),
    ("io.systemd.service.Reload", &[], |_| Ok(Method::Reload { previous: false })),
    ("io.systemd.service.SetLogLevel", &["level"], |given| {
        let level = match number(given, "level", 0, 7u8)?.ok_or("level")? {
            0..=3 => LogLevel::Error,
            4 => LogLevel::Warning,
            5 => LogLevel::Notice,
            6 => LogLevel::Info,
            _ => LogLevel::Debug,
        };
        Ok(Method::SetLogLevel { level })
    }),
    ("io.systemd.service.GetLogLevel", &[], |_| Ok(Method::GetLogLevel)),
];

/// Null is as good as nothing.
fn value<'a>(given: &'a Parameters, name: &str) -> Option<&'a Value> {
    given.get(name).filter(|value| !value.is_null())
}

fn number<T: TryFrom<u64> + PartialOrd>(
    given: &Parameters,
    name: &'static str,
    least: T,
    most: T,
) -> Result<Option<T>, &'static str> {
    let Some(value) = value(given, name) else { return Ok(None) };
    let number = value.as_u64().and_then(|number| T::try_from(number).ok());
    number.filter(|number| (least..=most).contains(number)).map(Some).ok_or(name)
}

/// Reads a message; answers what needs no knowledge of the herd.
pub fn receive(message: &[u8]) -> Received {
    let Some(request) = Request::parse(message) else { return Received::Garbage };
    match read(&request) {
        Ok(call) => Received::Call(call),
        Err(_) if request.oneway => Received::Reply(Vec::new()),
        Err(reply) => Received::Reply(reply),
    }
}

/// The call, or all there is to say about it.
fn read(request: &Request) -> Result<Call, Vec<u8>> {
    if request.upgrade {
        return Err(varlink::invalid_parameter("upgrade"));
    }
    let name = request.method.as_str();
    let (interface, member) = request.split();
    let known = METHODS.iter().find(|(known, ..)| *known == name);
    let Some((_, parameters, method)) = known else {
        return Err(match interface {
            varlink::SERVICE => varlink::answer_service(request, &INFO),
            GENERIC if member == "Ping" => match request.unknown_parameter(&[]) {
                Some(unknown) => varlink::invalid_parameter(unknown),
                None => Reply::Nothing {}.last(),
            },
            INTERFACE | GENERIC => varlink::method_not_found(name),
            _ => varlink::interface_not_found(interface),
        });
    };
    if let Some(unknown) = request.unknown_parameter(parameters) {
        return Err(varlink::invalid_parameter(unknown));
    }
    let none = Parameters::new();
    let method = method(request.parameters.as_ref().unwrap_or(&none));
    let method = method.map_err(varlink::invalid_parameter)?;
    if method == Method::Events && !request.more {
        return Err(varlink::expected_more());
    }
    let generic = interface == GENERIC;
    Ok(Call { method, oneway: request.oneway, more: request.more && !generic, generic })
}

#[cfg(test)]
#[path = "control/tests.rs"]
mod tests;
