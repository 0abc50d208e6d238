//! `herder reload`: replaces every worker, and waits for what comes of it.

use super::ask::{reach, trouble};
use super::client::Trouble;
use super::find::{Instance, Places};
use super::{print, soon, unit};
use crate::error::Error;
use crate::log::harmless;
use crate::wire::control::{Failure, Method};
use nix::sys::signal::{SigSet, Signal};
use serde_json::Value;
use std::time::{Duration, Instant};

/// `herder reload [INSTANCE]`: waits until the reload is over, at most `timeout`, and says what came of it.
///
/// # Errors
///
/// [`Error::Failed`] with the reason if it failed or was refused, and what the failed worker last
/// said; [`Error::NotRunning`] or [`Error::Denied`] if nobody could be asked.
pub fn reload(instance: Option<&str>, timeout: Option<Duration>) -> Result<(), Error> {
    let patience = soon();
    let instance = Places::of_system().find(instance)?;
    // systemd gives MAINPID to ExecReload= and the like. When it stops a unit that is reloading, it
    // sends SIGTERM there too, and takes any end but a clean one for a failure of the service.
    let for_systemd = std::env::var_os("MAINPID").is_some();
    if for_systemd {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTERM);
        signals.thread_block().map_err(|why| Error::system("block SIGTERM", why))?;
    }
    let mut connection = reach(&instance, patience)?;
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let reply = match connection.call(&Method::Reload { previous: false }.request(false), deadline)
    {
        Ok(reply) => reply,
        Err(Trouble::Failure(Failure::Stopped)) if for_systemd => return Ok(()),
        Err(why) => return Err(came_to_nothing(&instance, timeout, why)),
    };
    let message = reply.get("message").and_then(Value::as_str).unwrap_or("reloaded");
    print(&format!("{}: {}\n", instance.name, harmless(message)))
}

fn came_to_nothing(instance: &Instance, timeout: Option<Duration>, why: Trouble) -> Error {
    let name = &instance.name;
    match why {
        Trouble::Failure(Failure::ReloadFailed { generation: _, reason, pid }) => {
            let said = pid.map(|pid| unit::last_lines(pid, soon())).unwrap_or_default();
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
        other => trouble(instance, other),
    }
}
