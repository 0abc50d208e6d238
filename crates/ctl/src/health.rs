//! `herder health`: one line and an exit status, for load balancers and monitoring.

use super::ask::{connect, read_status, status};
use super::find::Places;
use super::human::one_line;
use super::{complain, print, soon};
use herder_linux::error::Error;
use herder_wire::status::{State, Status};

/// How well an instance serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Serving,
    Degraded,
    NotServing,
}

/// `herder health [INSTANCE]`: 0 if it serves, 1 if it is degraded, 2 if it does not serve or cannot be asked.
///
/// # Errors
///
/// Only [`Error::Usage`], if it is not clear which instance is meant.
pub fn health(instance: Option<&str>) -> Result<u8, Error> {
    match ask(instance) {
        Ok(status) => {
            let health = of(&status);
            print(&(line(&status, health) + "\n"))?;
            Ok(match health {
                Health::Serving => 0,
                Health::Degraded => 1,
                Health::NotServing => 2,
            })
        }
        Err(error @ Error::Usage(_)) => Err(error),
        Err(error) => {
            complain(&error);
            Ok(2)
        }
    }
}

fn ask(instance: Option<&str>) -> Result<Status, Error> {
    let deadline = soon();
    let instance = Places::of_system().find(instance)?;
    let mut connection = connect(&instance, deadline)?;
    read_status(&instance, status(&mut connection, &instance, deadline)?)
}

fn of(status: &Status) -> Health {
    let none_ready = status.ready == 0 && status.wanted > 0;
    match status.state {
        State::Starting | State::Stopping => Health::NotServing,
        State::Serving | State::Degraded | State::Reloading if none_ready => Health::NotServing,
        // In a reload there may be fewer for a while, on purpose.
        State::Serving | State::Reloading => Health::Serving,
        State::Degraded => Health::Degraded,
    }
}

/// `web: degraded 3/4: slot 2 exited with status 1`
fn line(status: &Status, health: Health) -> String {
    let word = match health {
        Health::Serving => "serving",
        Health::Degraded => "degraded",
        Health::NotServing => "not serving",
    };
    let (name, said) = (one_line(&status.name), one_line(&status.status));
    if said.starts_with(word) {
        format!("{name}: {said}")
    } else {
        format!("{name}: {word}, {said}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Herder};
    use herder_wire::control::Reply;
    use herder_wire::status::example::example;

    fn status(state: State, ready: u32, wanted: u32) -> Status {
        Status { state, ready, wanted, ..example(3) }
    }

    #[test]
    fn an_instance_is_healthy_while_it_serves_and_is_not_about_to_end() {
        for (state, ready, wanted, expected) in [
            (State::Serving, 4, 4, Health::Serving),
            (State::Serving, 0, 0, Health::Serving),
            (State::Reloading, 3, 4, Health::Serving),
            (State::Reloading, 0, 4, Health::NotServing),
            (State::Degraded, 3, 4, Health::Degraded),
            (State::Degraded, 0, 4, Health::NotServing),
            (State::Starting, 3, 4, Health::NotServing),
            (State::Stopping, 4, 4, Health::NotServing),
        ] {
            assert_eq!(of(&status(state, ready, wanted)), expected, "{state} {ready}/{wanted}");
        }
    }

    #[test]
    fn the_line_says_it_once() {
        let degraded = example(3);
        assert_eq!(
            line(&degraded, Health::Degraded),
            "web: degraded 2/3: slot 0 was killed for want of memory"
        );
        let serving = Status { status: "3/3 ready\nand\x1b[2J".to_owned(), ..example(3) };
        assert_eq!(line(&serving, Health::Serving), "web: serving, 3/3 ready and\\u{1b}[2J");
    }

    #[test]
    fn the_exit_status_tells_and_one_that_cannot_be_asked_does_not_serve() {
        let herder = Herder::saying(Reply::Status { status: &example(3) }.last());
        assert_eq!(health(herder.path()).unwrap(), 1);
        let herder = Herder::answering(vec![Answer::LastWords(vec![])]);
        assert_eq!(health(herder.path()).unwrap(), 2);
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(health(empty.path().to_str()).unwrap(), 2);
        assert_eq!(health(Some("..")).unwrap_err().exit_status(), 64);
    }
}
