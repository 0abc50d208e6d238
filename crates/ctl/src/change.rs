//! What changes an instance: `herder reload`, `scale`, `recycle`, `stop-worker`, `set` and `log-level`.
//!
//! All work alike: herder is asked, reports its progress, and its last reply is the outcome. herder goes on
//! when the client disconnects, so a `--timeout` only ends the waiting.

use super::ask::{connect, reach, trouble};
use super::client::{Connection, Trouble};
use super::find::{Instance, Places};
use super::progress::Progress;
use super::{complain, print, soon};
use herder_linux::error::Error;
use herder_wire::control::{Answer, Failure, Method};
use herder_wire::level::LogLevel;
use herder_wire::text::harmless;
use nix::sys::signal::{SigSet, Signal};
use std::time::{Duration, Instant};

/// After this time without a reply, check whether herder still answers.
const SILENCE: Duration = Duration::from_secs(10);

/// `herder reload [INSTANCE]`, with the settings of the file or of the generation before.
///
/// # Errors
///
/// Of this and the other commands: [`Error::Failed`] with the reason if it failed or was refused, and
/// what the failed worker last said, or if it was not over within `timeout`; [`Error::NotRunning`] or
/// [`Error::Denied`] if herder could not be asked.
pub fn reload(
    instance: Option<&str>,
    previous: bool,
    timeout: Option<Duration>,
) -> Result<(), Error> {
    carry_out(instance, Method::Reload { previous }, timeout)
}

/// `herder reload --abort [INSTANCE]`
///
/// # Errors
///
/// As [`reload`].
pub fn abort_reload(instance: Option<&str>, timeout: Option<Duration>) -> Result<(), Error> {
    carry_out(instance, Method::AbortReload, timeout)
}

/// `herder scale INSTANCE N`
///
/// # Errors
///
/// As [`reload`].
pub fn scale(instance: &str, workers: u32, timeout: Option<Duration>) -> Result<(), Error> {
    carry_out(Some(instance), Method::Scale { workers }, timeout)
}

/// `herder recycle [INSTANCE]`, one slot or all.
///
/// # Errors
///
/// As [`reload`].
pub fn recycle(
    instance: Option<&str>,
    slot: Option<u32>,
    timeout: Option<Duration>,
) -> Result<(), Error> {
    carry_out(instance, Method::Recycle { slot }, timeout)
}

/// `herder stop-worker INSTANCE ID`
///
/// # Errors
///
/// As [`reload`].
pub fn stop_worker(instance: &str, worker: u64, timeout: Option<Duration>) -> Result<(), Error> {
    carry_out(Some(instance), Method::StopWorker { worker }, timeout)
}

/// `herder set INSTANCE KEY=VALUE...`
///
/// # Errors
///
/// As [`reload`].
pub fn set(instance: &str, settings: Vec<String>) -> Result<(), Error> {
    carry_out(Some(instance), Method::Set { settings }, None)
}

/// `herder log-level INSTANCE LEVEL`
///
/// # Errors
///
/// As [`reload`].
pub fn log_level(instance: &str, level: LogLevel) -> Result<(), Error> {
    let patience = soon();
    let instance = Places::of_system().find(Some(instance))?;
    let mut connection = connect(&instance, patience)?;
    let request = Method::SetLogLevel { level }.request(false);
    connection.call(&request, Some(patience)).map_err(|why| trouble(&instance, why))?;
    print(&format!("{}: the log has entries up to {}\n", instance.name, level))
}

/// Asks for a change, waits until it is made, at most `timeout`, and says what came of it.
fn carry_out(
    instance: Option<&str>,
    method: Method,
    timeout: Option<Duration>,
) -> Result<(), Error> {
    // systemd gives MAINPID to ExecReload= and the like. When it stops a unit that is reloading, it
    // sends SIGTERM there too, and takes any end but a clean one for a failure of the service.
    let for_systemd = std::env::var_os("MAINPID").is_some();
    if for_systemd {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTERM);
        signals.thread_block().map_err(|why| Error::system("block SIGTERM", why))?;
    }
    let patience = soon();
    let instance = Places::of_system().find(instance)?;
    let mut connection = reach(&instance, patience)?;
    let mut progress = Progress::new();
    let outcome = await_outcome(&mut connection, &instance, &method, timeout, &mut progress);
    progress.clear();
    match outcome {
        Ok(answer) => {
            let outcome = harmless(&answer.message);
            print(&format!("{}: {}{outcome}\n", instance.name, done(&method)))
        }
        Err(Trouble::Failure(Failure::Stopped)) if for_systemd => Ok(()),
        Err(why) => Err(came_to_nothing(&instance, &method, timeout, why)),
    }
}

/// The last of herder's replies.
fn await_outcome(
    connection: &mut Connection,
    instance: &Instance,
    method: &Method,
    timeout: Option<Duration>,
    progress: &mut Progress,
) -> Result<Answer, Trouble> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    connection.send(&method.request(true))?;
    let mut quiet_since = Instant::now();
    let mut is_told = false;
    loop {
        let pause = Instant::now() + progress.interval().unwrap_or(SILENCE);
        match connection.next(Some(deadline.map_or(pause, |deadline| deadline.min(pause)))) {
            Ok(reply) => {
                let answer = Answer::read(reply.parameters)
                    .ok_or_else(|| Trouble::Foreign("its answer is incomplete".to_owned()))?;
                if !reply.continues {
                    return Ok(answer);
                }
                progress.reached(answer);
                (quiet_since, is_told) = (Instant::now(), false);
            }
            Err(Trouble::Late) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {
                progress.show();
                if !is_told && quiet_since.elapsed() >= SILENCE {
                    is_told = tell_if_it_hangs(instance, progress);
                    quiet_since = Instant::now();
                }
            }
            Err(why) => return Err(why),
        }
    }
}

/// Checks over a second connection whether herder still answers: a change that takes long may be under way, or
/// herder hangs.
fn tell_if_it_hangs(instance: &Instance, progress: &Progress) -> bool {
    match reach(instance, soon()) {
        // If no process listens any more, the first connection ends by itself.
        Ok(_) | Err(Error::NotRunning(_)) => false,
        Err(error) => {
            progress.clear();
            complain(&error);
            true
        }
    }
}

fn what(method: &Method) -> &'static str {
    match method {
        Method::Reload { .. } => "the reload",
        Method::AbortReload => "the roll-back",
        Method::Scale { .. } => "the change",
        Method::Recycle { .. } => "the replacement",
        Method::StopWorker { .. } => "the worker's stop",
        Method::Set { .. } => "the setting",
        Method::Describe
        | Method::Status
        | Method::Watch { .. }
        | Method::Events
        | Method::SetLogLevel { .. }
        | Method::GetLogLevel => "the call",
    }
}

/// What to say before the outcome, where that only says how things are now.
fn done(method: &Method) -> &'static str {
    match method {
        Method::Reload { previous: false } => "reloaded: ",
        Method::Reload { previous: true } => "back to the settings before: ",
        _ => "",
    }
}

fn came_to_nothing(
    instance: &Instance,
    method: &Method,
    timeout: Option<Duration>,
    why: Trouble,
) -> Error {
    let (name, what) = (&instance.name, what(method));
    match why {
        Trouble::Late => Error::Failed(format!(
            "{name}: {what} was not over within {:?}, and goes on; look at it with: \
             herder status {}",
            timeout.unwrap_or_default(),
            instance.argument()
        )),
        Trouble::Closed => Error::Failed(format!(
            "{name}: herder closed the connection before {what} was over: too many clients, or it has \
             just stopped; try again, or see what it said last with: {}",
            instance.how_to_look()
        )),
        why => trouble(instance, why),
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
