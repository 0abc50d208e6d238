//! `herder reload` and `herder status`: the operator's side of the control socket.
//!
//! Plain blocking code in a process of its own; every wait is bounded, except for the reload
//! itself, which takes the time it takes. Nothing a running herder answers is trusted to be
//! harmless on a terminal.

mod client;
mod command;
mod find;
mod table;
mod unit;

use crate::error::Error;
use crate::log::harmless;
use crate::wire::control::{Failure, Method};
use crate::wire::status::Status;
use client::{Connection, Trouble};
use find::{Instance, Places};
use nix::sys::signal::{SigSet, Signal};
use serde_json::Value;
use std::io::{self, Write};
use std::time::{Duration, Instant, SystemTime};

/// How long a running herder may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// `herder reload [INSTANCE]`: waits until the reload is over, at most `timeout`, and says what came of it.
///
/// # Errors
///
/// [`Error::Failed`] with the reason if it failed or was refused, and what the failed worker last
/// said; [`Error::NotRunning`] or [`Error::Denied`] if nobody could be asked.
pub fn reload(instance: Option<&str>, timeout: Option<Duration>) -> Result<(), Error> {
    let instance = Places::of_system().find(instance)?;
    // systemd gives MAINPID to ExecReload= and the like. When it stops a unit that is reloading, it
    // sends SIGTERM there too, and takes any end but a clean one for a failure of the service.
    let for_systemd = std::env::var_os("MAINPID").is_some();
    if for_systemd {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTERM);
        signals.thread_block().map_err(|why| Error::system("block SIGTERM", why))?;
    }
    let mut connection = connect(&instance)?;
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let reply = match connection.call(&Method::Reload { previous: false }.request(false), deadline)
    {
        Ok(reply) => reply,
        Err(Trouble::Failure(Failure::Stopped)) if for_systemd => return Ok(()),
        Err(trouble) => return Err(reload_trouble(&instance, timeout, trouble)),
    };
    let message = reply.get("message").and_then(Value::as_str).unwrap_or("reloaded");
    print(&format!("{}: {}\n", instance.name, harmless(message)))
}

/// `herder status [INSTANCE]`: a table, or with `json` the status as the Varlink interface describes it.
///
/// # Errors
///
/// [`Error::NotRunning`], [`Error::Denied`], or [`Error::Failed`] if there is no sensible answer in time.
pub fn status(instance: Option<&str>, json: bool) -> Result<(), Error> {
    let instance = Places::of_system().find(instance)?;
    let mut connection = connect(&instance)?;
    let mut reply = connection
        .call(&Method::Status.request(false), Some(Instant::now() + PATIENCE))
        .map_err(|trouble| status_trouble(&instance, trouble))?;
    let object = reply.remove("status").unwrap_or_default();
    if json {
        return print(&format!("{object:#}\n"));
    }
    let status: Status =
        serde_json::from_value(object).map_err(|error| foreign(&instance, &error.to_string()))?;
    print(&table::render(&status, SystemTime::now(), table::width()))
}

fn connect(instance: &Instance) -> Result<Connection, Error> {
    let connection = Connection::open(&instance.control, Instant::now() + PATIENCE)
        .map_err(|error| find::unreachable(instance, &error))?;
    unit::check_peer(instance, connection.peer())?;
    Ok(connection)
}

fn reload_trouble(instance: &Instance, timeout: Option<Duration>, trouble: Trouble) -> Error {
    let name = &instance.name;
    match trouble {
        Trouble::Failure(Failure::ReloadFailed { generation: _, reason, pid }) => {
            let said = pid.map(unit::last_lines).unwrap_or_default();
            Error::Failed(format!("{name}: reload failed: {}{said}", harmless(&reason)))
        }
        Trouble::Failure(Failure::ReloadRefused { reason }) => Error::Failed(format!(
            "{name}: reload refused, nothing has changed: {}",
            harmless(&reason)
        )),
        Trouble::Late => Error::Failed(format!(
            "{name}: the reload was not over within {:?}, and goes on; look at it with: herder status {name}",
            timeout.unwrap_or_default(),
        )),
        Trouble::Closed => Error::Failed(format!(
            "{name}: herder closed the connection before the reload was over: too many clients, or it has \
             just stopped; try again, or see what it said last with: {}",
            instance.how_to_look()
        )),
        other => general_trouble(instance, other),
    }
}

fn status_trouble(instance: &Instance, trouble: Trouble) -> Error {
    let name = &instance.name;
    match trouble {
        Trouble::Late => Error::Failed(format!(
            "{name}: herder runs, but has not answered within {PATIENCE:?}: it is stopped or hangs; \
             see what it said last with: {}",
            instance.how_to_look()
        )),
        Trouble::Closed => Error::Failed(format!(
            "{name}: herder closed the connection without an answer: too many clients, or it has just \
             stopped; try again, or see what it said last with: {}",
            instance.how_to_look()
        )),
        other => general_trouble(instance, other),
    }
}

fn general_trouble(instance: &Instance, trouble: Trouble) -> Error {
    let name = &instance.name;
    match trouble {
        Trouble::Failure(Failure::NotPermitted { reason }) => {
            Error::Denied(format!("{name}: not permitted: {}", harmless(&reason)))
        }
        Trouble::Failure(
            Failure::ReloadFailed { reason, .. }
            | Failure::ReloadRefused { reason }
            | Failure::Failed { reason, .. }
            | Failure::NotFound { reason },
        ) => Error::Failed(format!("{name}: {}", harmless(&reason))),
        Trouble::Failure(Failure::Stopped) => {
            Error::Failed(format!("{name}: herder is stopping, the reload came to nothing"))
        }
        Trouble::Foreign(what) => foreign(instance, &what),
        Trouble::Late | Trouble::Closed => {
            Error::Failed(format!("{name}: no answer from {}", instance.control.display()))
        }
        Trouble::System(why) => {
            Error::system(format!("talk to {}", instance.control.display()), why)
        }
    }
}

fn foreign(instance: &Instance, what: &str) -> Error {
    Error::Failed(format!(
        "{}: what answers at {} is not this version of herder: {}",
        instance.name,
        instance.control.display(),
        harmless(what)
    ))
}

/// To standard output. A reader that has seen enough is no error.
fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::system("write to standard output", error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
