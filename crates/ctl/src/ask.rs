//! Asks a running herder, and says in a sentence why there is no answer and what to do about it.

use super::client::{Connection, Trouble};
use super::find::Instance;
use super::{PATIENCE, soon, unit};
use herder_linux::error::Error;
use herder_wire::control::{Failure, Method};
use herder_wire::status::Status;
use herder_wire::text::harmless;
use herder_wire::varlink::Request;
use serde_json::Value;
use std::io;
use std::thread;
use std::time::Instant;

/// Connects to the instance, and makes sure that herder is what listens there. Fails at the deadline.
pub fn connect(instance: &Instance, deadline: Instant) -> Result<Connection, Error> {
    let connection = Connection::open(&instance.control, deadline)
        .map_err(|error| unreachable(instance, &error))?;
    unit::check_peer(instance, connection.peer(), deadline)?;
    Ok(connection)
}

/// As [`connect`], and makes sure that herder answers: for use before a call that may take long.
pub fn reach(instance: &Instance, deadline: Instant) -> Result<Connection, Error> {
    let mut connection = connect(instance, deadline)?;
    connection
        .call(&Request::new("org.varlink.service.GetInfo"), Some(deadline))
        .map_err(|why| trouble(instance, why))?;
    Ok(connection)
}

/// How the instance is doing, as it says.
pub fn status(
    connection: &mut Connection,
    instance: &Instance,
    deadline: Instant,
) -> Result<Value, Error> {
    let mut reply = connection
        .call(&Method::Status.request(false), Some(deadline))
        .map_err(|why| trouble(instance, why))?;
    Ok(reply.remove("status").unwrap_or_default())
}

/// The object as it is understood here.
pub fn read_status(instance: &Instance, object: Value) -> Result<Status, Error> {
    serde_json::from_value(object).map_err(|error| foreign(instance, &error.to_string()))
}

/// Asks all instances at the same time, so that several that hang take no longer than one. Instances that do
/// not run are left out.
pub fn each<T: Send>(
    instances: Vec<Instance>,
    ask: impl Fn(&Instance) -> Result<T, Error> + Sync,
) -> Vec<(Instance, Result<T, Error>)> {
    let answers: Vec<Option<Result<T, Error>>> = thread::scope(|scope| {
        let asked: Vec<_> =
            instances.iter().map(|instance| scope.spawn(|| ask(instance))).collect();
        asked.into_iter().map(|answer| answer.join().ok()).collect()
    });
    let answers = instances.into_iter().zip(answers);
    answers
        .filter_map(|(instance, answer)| Some((instance, answer?)))
        .filter(|(_, answer)| !matches!(answer, Err(Error::NotRunning(_))))
        .collect()
}

/// Why the instance cannot be asked, and what to do.
fn unreachable(instance: &Instance, error: &io::Error) -> Error {
    let name = &instance.name;
    let control = instance.control.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            let start = if instance.is_system {
                format!("; start it with: systemctl start {}", instance.unit())
            } else {
                String::new()
            };
            Error::NotRunning(format!(
                "{name} is not running: no process listens at {control}{start}"
            ))
        }
        io::ErrorKind::PermissionDenied => Error::Denied(format!(
            "no permission to connect to {control}; try again as root, or as the user {name} runs as"
        )),
        io::ErrorKind::WouldBlock => Error::Failed(format!(
            "{name}: herder runs, but takes no connections: it is stopped or hangs; {}",
            instance.how_to_recover()
        )),
        _ => Error::system(format!("connect to {control}"), io::Error::from(error.kind())),
    }
}

/// Why there is no answer, or none that can be used, and what to do.
pub fn trouble(instance: &Instance, trouble: Trouble) -> Error {
    let name = &instance.name;
    match trouble {
        Trouble::Failure(Failure::NotPermitted { reason }) => {
            Error::Denied(format!("{name}: not permitted: {}", harmless(&reason)))
        }
        Trouble::Failure(Failure::ReloadFailed { generation: _, reason, pid }) => {
            let said = last_lines(pid);
            Error::Failed(format!("{name}: reload failed: {}{said}", harmless(&reason)))
        }
        Trouble::Failure(Failure::Failed { reason, pid }) => {
            let said = last_lines(pid);
            Error::Failed(format!("{name}: {}{said}", harmless(&reason)))
        }
        Trouble::Failure(Failure::ReloadRefused { reason }) => Error::Failed(format!(
            "{name}: reload refused, nothing has changed: {}",
            harmless(&reason)
        )),
        Trouble::Failure(Failure::NotFound { reason }) => {
            Error::Failed(format!("{name}: {}", harmless(&reason)))
        }
        Trouble::Failure(Failure::Stopped) => {
            Error::Failed(format!("{name}: herder is stopping; this came to nothing"))
        }
        Trouble::Late => Error::Failed(format!(
            "{name}: herder runs, but has not answered within {PATIENCE:?}: it is stopped or hangs; {}",
            instance.how_to_recover()
        )),
        Trouble::Closed => Error::Failed(format!(
            "{name}: herder closed the connection without an answer: too many clients, or it has just \
             stopped; try again, or see what it said last with: {}",
            instance.how_to_look()
        )),
        Trouble::Foreign(what) => foreign(instance, &what),
        Trouble::System(why) => {
            Error::system(format!("talk to {}", instance.control.display()), why)
        }
    }
}

/// What the worker that failed wrote, if one did.
fn last_lines(pid: Option<u32>) -> String {
    pid.map(|pid| unit::last_lines(pid, soon())).unwrap_or_default()
}

/// Not an answer of this herder.
pub fn foreign(instance: &Instance, what: &str) -> Error {
    Error::Failed(format!(
        "{}: what answers at {} is not this version of herder: {}",
        instance.name,
        instance.control.display(),
        harmless(what)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Herder};
    use herder_wire::control::Reply;
    use herder_wire::status::example::example;
    use std::path::Path;

    fn instance(dir: &Path) -> Instance {
        Instance { name: "web".to_owned(), control: dir.join("control"), is_system: true }
    }

    #[test]
    fn what_cannot_be_reached_says_what_to_do() {
        let instance = instance(Path::new("/run/herder/web"));
        for (kind, status, advice) in [
            (io::ErrorKind::NotFound, 3, "systemctl start herder@web.service"),
            (io::ErrorKind::ConnectionRefused, 3, "systemctl start herder@web.service"),
            (io::ErrorKind::PermissionDenied, 4, "as root"),
            (io::ErrorKind::WouldBlock, 1, "journalctl -e -u herder@web.service"),
        ] {
            let error = unreachable(&instance, &io::Error::from(kind));
            assert_eq!(error.exit_status(), status);
            let text = error.to_string();
            assert!(text.contains(advice), "{text}");
            assert!(kind == io::ErrorKind::WouldBlock || text.contains("/run/herder/web"));
        }
    }

    #[test]
    fn all_are_asked_at_once_and_the_dead_left_out() {
        let serving = Herder::saying(Reply::Status { status: &example(1) }.last());
        let hanging =
            [Herder::answering(vec![Answer::Silence]), Herder::answering(vec![Answer::Silence])];
        let empty = tempfile::tempdir().unwrap();
        let dirs = [hanging[0].dir.path(), serving.dir.path(), empty.path(), hanging[1].dir.path()];
        let start = Instant::now();
        let deadline = start + PATIENCE;
        let answers = each(dirs.map(instance).into(), |instance| {
            let object = status(&mut connect(instance, deadline)?, instance, deadline)?;
            read_status(instance, object)
        });
        assert!(start.elapsed() < PATIENCE * 2);
        let [(_, Err(first)), (_, Ok(status)), (_, Err(second))] = answers.as_slice() else {
            panic!("{answers:?}")
        };
        assert_eq!(*status, example(1));
        for error in [first, second] {
            assert!(error.to_string().contains("has not answered within 1.5s"), "{error}");
        }
    }
}
