//! `herder status`: how instances are doing, for people and for programs.

use super::ask::{self, connect, each, read_status};
use super::find::{Instance, Places};
use super::human::{terminal_width, wrap};
use super::paint::{Paint, Tone};
use super::{complain, detail, overview, print, soon};
use herder_linux::error::Error;
use herder_wire::status::Status;
use serde_json::{Value, json};
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// The time between two readings, when the first has no CPU shares.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// A CPU share measured over more than this says little about the present.
const LONG: Duration = Duration::from_secs(60);

/// What an instance has said, as it came and as it is understood.
type Answer = Result<(Value, Status), Error>;

/// `herder status [INSTANCE]`: a table of one instance or of all, or with `json` the status as the Varlink
/// interface describes it.
///
/// # Errors
///
/// [`Error::NotRunning`], [`Error::Denied`], or [`Error::Failed`] if there is no sensible answer in
/// time. Without a name each instance this is true of is named, and the worst of these is the error.
pub fn status(instance: Option<&str>, json: bool) -> Result<(), Error> {
    let deadline = soon();
    let places = Places::of_system();
    if instance.is_none() && !places.is_inside_unit() {
        return all(&places, json, deadline);
    }
    let instance = places.find(instance)?;
    let (object, status) = look(&instance, deadline)?;
    print(&if json { text_of(&object) } else { page_of(&status) })
}

fn all(places: &Places, json: bool, deadline: Instant) -> Result<(), Error> {
    let seen = places.all();
    let answers = each(seen.instances, |instance| look(instance, deadline));
    if json {
        print(&text_of(&objects(&answers)))?;
    } else if !answers.iter().all(|(_, answer)| answer.is_err()) {
        print(&(tables(&answers) + &stopped(&places.configured(), &answers)))?;
    }
    if answers.is_empty() && seen.unseen.is_empty() {
        return Err(places.none_runs());
    }
    conclude(seen.unseen.into_iter().chain(answers.into_iter().filter_map(|answer| answer.1.err())))
}

/// Asks for the status, and once more if the first one has no current CPU shares.
fn look(instance: &Instance, deadline: Instant) -> Answer {
    let mut connection = connect(instance, deadline)?;
    let mut object = ask::status(&mut connection, instance, deadline)?;
    let mut status = read_status(instance, object.clone())?;
    if is_vague(&status) {
        sleep(BETWEEN_LOOKS.min(deadline.saturating_duration_since(Instant::now())));
        // If it is gone by now, what it said before is better than nothing.
        if let Ok(second) = ask::status(&mut connection, instance, deadline) {
            status = read_status(instance, second.clone())?;
            object = second;
        }
    }
    Ok((object, status))
}

/// Whether the CPU shares are missing or of too long a time: herder measures them from the reading before,
/// so a second reading a little later is better.
fn is_vague(status: &Status) -> bool {
    let is_long = |over: Option<u64>| over.is_none_or(|over| u128::from(over) > LONG.as_micros());
    let mut usages = status.workers.iter().map(|worker| worker.usage);
    usages.any(|usage| usage.cpu_usec.is_some() && is_long(usage.cpu_share_over_usec))
}

fn text_of(object: &Value) -> String {
    format!("{object:#}\n")
}

fn page_of(status: &Status) -> String {
    detail::render(status, SystemTime::now(), terminal_width(), Paint::on(&io::stdout()))
}

/// `{"instances": [ … ]}`, with `name` and `error` for those that are silent.
fn objects(answers: &[(Instance, Answer)]) -> Value {
    let objects = answers.iter().map(|(instance, answer)| match answer {
        Ok((object, _)) => object.clone(),
        Err(error) => json!({ "name": instance.name, "error": error.to_string() }),
    });
    json!({ "instances": objects.collect::<Vec<Value>>() })
}

fn tables(answers: &[(Instance, Answer)]) -> String {
    if let [(_, Ok((_, status)))] = answers {
        return page_of(status);
    }
    let lines: Vec<overview::Line<'_>> = answers
        .iter()
        .map(|(instance, answer)| {
            (instance.name.as_str(), answer.as_ref().map(|(_, status)| status))
        })
        .collect();
    overview::render(&lines, terminal_width(), Paint::on(&io::stdout()))
}

/// The settings files without a running instance.
fn stopped(configured: &[String], answers: &[(Instance, Answer)]) -> String {
    let runs = |name: &String| {
        answers.iter().any(|(instance, _)| instance.is_system && instance.name == *name)
    };
    let names: Vec<&str> =
        configured.iter().filter(|name| !runs(name)).map(String::as_str).collect();
    if names.is_empty() {
        return String::new();
    }
    let lines = wrap(&format!("not running: {}", names.join(", ")), terminal_width());
    let paint = Paint::on(&io::stdout());
    lines.iter().fold("\n".to_owned(), |text, line| text + &paint.paint(Tone::Dim, line) + "\n")
}

/// Reports the instances without a status; instances that this user may ask and that do not answer come last.
fn conclude(troubles: impl Iterator<Item = Error>) -> Result<(), Error> {
    let (mut denied, failed): (Vec<Error>, Vec<Error>) =
        troubles.partition(|trouble| matches!(trouble, Error::Denied(_)));
    denied.extend(failed);
    let worst = denied.pop();
    denied.iter().for_each(complain);
    worst.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use herder_wire::status::example::example;
    use std::path::PathBuf;

    fn instance(name: &str, is_system: bool) -> Instance {
        Instance { name: name.to_owned(), control: PathBuf::from("/control"), is_system }
    }

    fn answers() -> Vec<(Instance, Answer)> {
        let object = json!({ "name": "web", "tomorrow": 1 });
        vec![
            (instance("web", true), Ok((object, example(3)))),
            (instance("api", false), Err(Error::Failed("api hangs".to_owned()))),
        ]
    }

    #[test]
    fn for_programs_the_silent_are_in_the_list_with_the_reason() {
        // Fields that this version does not know are passed on.
        let expected = json!({ "instances": [
            { "name": "web", "tomorrow": 1 },
            { "name": "api", "error": "api hangs" },
        ]});
        assert_eq!(objects(&answers()), expected);
        assert_eq!(objects(&[]), json!({ "instances": [] }));
    }

    #[test]
    fn one_is_shown_as_a_page_and_several_as_a_table() {
        let answers = answers();
        assert!(tables(&answers[..1]).starts_with("web: degraded, 2 of 3"));
        assert!(tables(&answers).starts_with("NAME"));
    }

    #[test]
    fn those_with_settings_that_do_not_run_are_named() {
        let configured = ["api", "batch", "web"].map(str::to_owned);
        // A user's own herder of that name does not run with the settings in /etc/herder.
        assert_eq!(stopped(&configured, &answers()), "\nnot running: api, batch\n");
        assert_eq!(stopped(&configured[2..], &answers()), "");
    }

    #[test]
    fn the_worst_is_the_end() {
        let (denied, failed) = (|| Error::Denied("d".to_owned()), || Error::Failed("f".to_owned()));
        let status = |troubles: Vec<Error>| {
            conclude(troubles.into_iter()).map_err(|error| error.exit_status())
        };
        assert_eq!(status(vec![]), Ok(()));
        assert_eq!(status(vec![denied(), denied()]), Err(4));
        assert_eq!(status(vec![failed(), denied()]), Err(1));
    }

    #[test]
    fn a_second_look_is_taken_only_if_it_helps() {
        let mut status = example(2);
        assert!(!is_vague(&status));
        status.workers[1].usage.cpu_share_over_usec = Some(3_600_000_000);
        assert!(is_vague(&status));
        status.workers[1].usage.cpu_share_over_usec = None;
        assert!(is_vague(&status));
        status.workers[1].usage.cpu_usec = None;
        assert!(!is_vague(&status));
    }
}
