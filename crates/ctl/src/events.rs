//! `herder events`: what happens, as it happens.
//!
//! Of one instance until it ends; or of all instances, and those that start later, until standard output is
//! closed. A thread for each connection listens and one thread writes, so lines are never mixed.

use super::ask::{reach, trouble};
use super::client::Trouble;
use super::find::{Instance, Places};
use super::human::one_line;
use super::paint::{Paint, Tone};
use super::{complain, soon};
use herder_linux::error::Error;
use herder_wire::control::Method;
use herder_wire::status::Event;
use herder_wire::text::timestamp;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// How often new instances are looked for.
const NEWCOMERS: Duration = Duration::from_secs(1);

/// From the thread that listens to an instance.
#[derive(Debug)]
enum Heard {
    /// Something has happened there: an [`Event`], as it came.
    Event(Instance, Value),
    /// Nothing more will be heard, for this reason; and whether anything could be at all.
    End(Instance, Error, bool),
}

/// `herder events [INSTANCE]`: a line for each event, or with `json` an object.
///
/// # Errors
///
/// [`Error::NotRunning`] when the instance has ended, or if there is none; [`Error::Denied`] or
/// [`Error::Failed`] if it cannot be heard.
pub fn events(instance: Option<&str>, json: bool) -> Result<(), Error> {
    let places = Places::of_system();
    let only = match instance {
        None if !places.is_inside_unit() => {
            if places.running().is_empty() {
                return Err(places.none_runs());
            }
            None
        }
        instance => Some(places.find(instance)?),
    };
    let form = Form { json, paint: Paint::on(&io::stdout()), with_name: only.is_none() };
    let (sender, receiver) = channel();
    let mut known: BTreeSet<PathBuf> = BTreeSet::new();
    loop {
        let here = only.clone().map_or_else(|| places.all().instances, |only| vec![only]);
        for instance in here {
            if known.insert(instance.control.clone()) {
                let sender = sender.clone();
                thread::spawn(move || listen(instance, &sender));
            }
        }
        match receiver.recv_timeout(NEWCOMERS) {
            Ok(Heard::Event(instance, event)) => {
                if !write(&form.line(&instance, event)?)? {
                    return Ok(());
                }
            }
            Ok(Heard::End(_, error, _)) if only.is_some() => return Err(error),
            Ok(Heard::End(instance, error, was_heard)) => {
                // A socket that a dead herder has left behind is not reported.
                let is_dead = matches!(error, Error::NotRunning(_)) && !was_heard;
                if !is_dead {
                    complain(&error);
                }
                if is_dead || was_heard {
                    known.remove(&instance.control);
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
}

/// Passes events on until the connection ends or the receiver is gone.
fn listen(instance: Instance, to: &Sender<Heard>) {
    let mut connection = match reach(&instance, soon()) {
        Ok(connection) => connection,
        Err(error) => return drop(to.send(Heard::End(instance, error, false))),
    };
    let herder = connection.peer().pid();
    let sent = connection.send(&Method::Events.request(true));
    let why = loop {
        match sent.as_ref().ok().map(|()| connection.next(None)) {
            Some(Ok(mut reply)) => {
                let event = reply.parameters.remove("event").unwrap_or_default();
                if to.send(Heard::Event(instance.clone(), event)).is_err() {
                    return;
                }
            }
            Some(Err(why)) => break why,
            None => break Trouble::Closed,
        }
    };
    let error = match why {
        Trouble::Closed => gone(&instance, herder),
        why => trouble(&instance, why),
    };
    let _ = to.send(Heard::End(instance, error, true));
}

/// Why herder has closed the connection: it has ended, or this client was too slow.
fn gone(instance: &Instance, herder: i32) -> Error {
    let name = &instance.name;
    match reach(instance, soon()) {
        Ok(connection) if connection.peer().pid() == herder => Error::Failed(format!(
            "{name}: herder has hung up, because events were not read as fast as they came; ask again"
        )),
        Ok(_) => Error::NotRunning(format!("{name} has ended, and was started anew; ask again")),
        Err(_) => Error::NotRunning(format!(
            "{name} has ended; see what it said last with: {}",
            instance.how_to_look()
        )),
    }
}

/// How events are shown.
struct Form {
    json: bool,
    paint: Paint,
    /// Events of several instances are mixed, so each line names its instance.
    with_name: bool,
}

impl Form {
    fn line(&self, instance: &Instance, mut event: Value) -> Result<String, Error> {
        if self.json {
            if let Value::Object(object) = &mut event {
                object.insert("instance".to_owned(), instance.name.clone().into());
            }
            return Ok(format!("{event}\n"));
        }
        let event: Event = serde_json::from_value(event)
            .map_err(|error| super::ask::foreign(instance, &error.to_string()))?;
        let (level, tone) = match event.priority {
            0..=3 => ("error", Tone::Bad),
            4 => ("warning", Tone::Warning),
            5 => ("notice", Tone::Strong),
            6 => ("info", Tone::Plain),
            _ => ("debug", Tone::Dim),
        };
        let time = timestamp(event.at_usec);
        let name = if self.with_name { format!("{}: ", instance.name) } else { String::new() };
        let message = one_line(&format!("{name}{}", event.message));
        Ok(format!(
            "{} {} {}\n",
            self.paint.paint(Tone::Dim, &time),
            self.paint.paint(tone, &format!("{level:<7}")),
            self.paint.paint(tone, &message)
        ))
    }
}

/// Writes to standard output; `false` if its reader has closed it.
fn write(text: &str) -> Result<bool, Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::system("write to standard output", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Herder};
    use herder_wire::control::Reply;
    use std::collections::BTreeMap;

    fn event() -> Event {
        Event {
            at_usec: 1_795_420_740_250_000,
            kind: "worker_ended".to_owned(),
            priority: 4,
            message: "worker 3\n\x1b[2Jended".to_owned(),
            message_id: "822bf6189fec44ddb6f605ef22136af3".to_owned(),
            fields: BTreeMap::from([("HERDER_SLOT".to_owned(), "2".to_owned())]),
        }
    }

    fn line(json: bool, colour: bool, with_name: bool) -> String {
        let control = PathBuf::from("/run/herder/web/control");
        let instance = Instance { name: "web".to_owned(), control, is_system: true };
        let event = serde_json::to_value(event()).unwrap();
        Form { json, paint: Paint(colour), with_name }.line(&instance, event).unwrap()
    }

    #[test]
    fn an_event_is_a_line_whatever_it_says() {
        assert_eq!(
            line(false, false, false),
            "2026-11-23T07:59:00.250Z warning worker 3 \\u{1b}[2Jended\n"
        );
        assert!(line(false, false, true).contains(" warning web: worker 3"));
        assert!(line(false, true, false).contains("\x1b[33mwarning\x1b[0m"));
    }

    #[test]
    fn for_programs_it_is_an_object_that_names_the_instance() {
        let line = line(true, true, false);
        assert_eq!(line.matches('\n').count(), 1);
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["instance"], "web");
        assert_eq!(object["fields"]["HERDER_SLOT"], "2");
        assert_eq!(serde_json::from_value::<Event>(object).unwrap(), event());
    }

    #[test]
    fn one_instance_is_followed_until_it_ends() {
        let event = event();
        let reply = Reply::Event { event: &event }.one_of_several();
        let herder = Herder::answering(vec![Answer::LastWords(vec![reply.clone(), reply])]);
        let error = events(herder.path(), true).unwrap_err();
        assert_eq!(error.exit_status(), 3);
        assert!(error.to_string().contains("has ended; see what it said last with"), "{error}");
        assert_eq!(herder.methods(), ["Events"]);
    }

    #[test]
    fn one_that_hangs_up_and_lives_on_was_not_listened_to() {
        let herder = Herder::answering(vec![Answer::LastWords(vec![]), Answer::Silence]);
        let error = events(herder.path(), false).unwrap_err();
        assert_eq!(error.exit_status(), 1);
        assert!(error.to_string().contains("not read as fast as they came"), "{error}");
    }
}
