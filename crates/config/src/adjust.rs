//! Settings that are changed while herder is running: `herder set`.
//!
//! Only settings that need no new workers ([`Applies::AtOnce`]). The others stay as they are until a reload.

use super::cross;
use super::draft::{Count, Draft};
use super::key::Applies;
use super::keys::KEYS;
use super::load::{Machine, apply, finish};
use super::problem::{Place, Problems};
use super::settings::Settings;
use super::value::{Assignment, Data, from_option};

/// Returns `settings` with each `KEY=VALUE` of `assignments` applied.
///
/// # Errors
///
/// All problems, one for each wrong value and for each key that needs a reload or a restart.
pub fn adjust(
    settings: &Settings,
    assignments: &[String],
    machine: &Machine,
) -> Result<Settings, Problems> {
    let mut problems = Problems::default();
    let policy = &settings.policy;
    let mut draft = Draft {
        settings: settings.clone(),
        workers: Some(Count::Number(policy.workers)),
        most_workers: policy.scaling.map(|scaling| Count::Number(scaling.max)),
        crash_after: Some(policy.crash_after),
        max_starting_auto: false,
    };
    for assignment in assignments {
        for entry in from_option(assignment, "herder set", Place::RunTime, &mut problems) {
            match needs_more(&entry, "") {
                Some((key, advice)) => refuse(&entry, &key, advice, &mut problems),
                None => apply(&entry, "", &mut draft, &mut problems),
            }
        }
    }
    let mut adjusted = finish(draft, machine, &mut problems);
    adjusted.policy.probe = adjusted.probe.rules();
    cross::check(&adjusted, &mut problems);
    problems.none_or(adjusted)
}

/// Reports a setting that `herder set` cannot change.
fn refuse(entry: &Assignment, key: &str, advice: &str, problems: &mut Problems) {
    let message = format!("`{key}` cannot be changed while herder is running");
    problems.advise(Some(&entry.at), key, message, advice);
}

/// The first setting in the entry that does not apply at once, and what to do to change it. Unknown
/// keys are reported when they are applied.
fn needs_more(entry: &Assignment, table: &str) -> Option<(String, &'static str)> {
    let name = format!("{table}{}", entry.name);
    let in_map = |map: &str| name.strip_prefix(map).is_some_and(|rest| rest.starts_with('.'));
    let row = KEYS.iter().find(|key| key.name == name || key.is_map() && in_map(key.name));
    match (row.map(|key| key.applies), &entry.value.data) {
        (Some(Applies::AtOnce), _) => None,
        (Some(Applies::AtReload), _) => Some((
            name,
            "workers have to be replaced for it: write it into the settings file, and reload",
        )),
        (Some(Applies::AtRestart), _) => {
            Some((name, "write it into the settings file, and restart herder"))
        }
        (None, Data::Table(inner)) => {
            inner.iter().find_map(|entry| needs_more(entry, &format!("{name}.")))
        }
        (None, Data::Text(_) | Data::Integer(_) | Data::Scalar(..) | Data::List(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Overrides, effective, load};
    use super::*;
    use herder_core::Span;

    fn machine() -> Machine {
        Machine { cpus: 4, web_concurrency: None }
    }

    fn settings(file: &str) -> Settings {
        load(Some(("web.toml", file)), &Overrides::default(), &machine()).unwrap()
    }

    fn set(settings: &Settings, assignments: &[&str]) -> Result<Settings, String> {
        let assignments: Vec<String> = assignments.iter().map(ToString::to_string).collect();
        adjust(settings, &assignments, &machine()).map_err(|problems| problems.to_string())
    }

    #[test]
    fn only_what_is_said_is_another() {
        let before = settings("command = [\"/bin/x\"]\nworkers = 3\nstart-timeout = \"5s\"\n");
        let after = set(&before, &["stop-timeout=2min", "crash-limit.burst = 9"]).unwrap();
        let lines = |settings| -> Vec<(String, Option<String>, String)> {
            let shown = effective(settings).into_iter();
            let line = |line: super::super::Line<'_>| {
                (line.key, line.value, line.origin.map(ToString::to_string).unwrap_or_default())
            };
            shown.map(line).collect()
        };
        let after_lines = lines(&after);
        let changed: Vec<_> =
            after_lines.iter().filter(|line| !lines(&before).contains(line)).cloned().collect();
        let line = |key: &str, value: &str| {
            (key.to_owned(), Some(value.to_owned()), format!("herder set {key}"))
        };
        assert_eq!(changed, [line("crash-limit.burst", "9"), line("stop-timeout", "\"2min\"")]);
        assert_eq!(set(&before, &["workers=auto"]).unwrap().policy.workers, 4);
        let bounds = set(&before, &["workers=2..16"]).unwrap().policy;
        assert_eq!((bounds.workers, bounds.scaling.map(|scaling| scaling.max)), (2, Some(16)));
    }

    /// The value of `workers` after the assignments, which differs from the one before exactly if the policy does.
    fn workers(file: &str, assignments: &[&str]) -> String {
        let before = settings(&format!("command = [\"/bin/x\"]\n{file}"));
        let after =
            set(&before, assignments).unwrap_or_else(|why| panic!("{assignments:?}: {why}"));
        let line = |settings| effective(settings).into_iter().find(|line| line.key == "workers");
        let (was, is) = (line(&before).unwrap(), line(&after).unwrap());
        assert_eq!(is.value != was.value, after.policy != before.policy, "{assignments:?}");
        is.value.unwrap()
    }

    #[test]
    fn bounds_are_set_as_a_whole_or_one_of_them() {
        const BOUNDS: &str = "workers = { min = 2, max = 16 }";
        for (file, assignments, is) in [
            ("workers = 4", &["workers={min=1,max=4}"][..], "{ min = 1, max = 4 }"),
            ("workers = 4", &["workers=1..8"], "{ min = 1, max = 8 }"),
            ("workers = 4", &["workers.max=8"], "{ min = 4, max = 8 }"),
            ("workers = 4", &["workers.min=2"], "{ min = 2, max = 4 }"),
            // A shell has taken the braces.
            ("workers = 4", &["workers=min=1", "workers=max=9"], "{ min = 1, max = 9 }"),
            (BOUNDS, &["workers=4"], "4"),
            (BOUNDS, &["workers.max=32"], "{ min = 2, max = 32 }"),
            (BOUNDS, &["workers.max=auto"], "{ min = 2, max = 16 }"),
            (BOUNDS, &["workers.min=0"], "{ min = 0, max = 16 }"),
            (BOUNDS, &["workers={max=3}"], "{ min = 2, max = 3 }"),
            (BOUNDS, &["workers.min=20", "workers.max=30"], "{ min = 20, max = 30 }"),
        ] {
            assert_eq!(workers(file, assignments), is, "{file}, {assignments:?}");
        }
        let before = settings(BOUNDS);
        for (assignment, advice) in [
            ("workers.min=17", "`workers` has a `min` of 17 and a `max` of 16"),
            ("workers.most=17", "unknown key `workers.most`"),
            ("workers=2...", "has to be a number"),
            ("workers=..", "has to be a number"),
        ] {
            let problems = set(&before, &[assignment]).unwrap_err();
            assert!(problems.contains(advice), "{assignment}: {problems}");
        }
    }

    #[test]
    fn another_number_is_no_contradiction_to_what_the_file_says_of_scaling() {
        let file = "workers = { min = 0, max = 9 }\nidle-timeout = \"5s\"\nexit-idle-time = \"1h\"";
        assert_eq!(workers(file, &["workers.min=2"]), "{ min = 2, max = 9 }");
        assert_eq!(workers(file, &["workers=2"]), "2");
        let kept = set(&settings(file), &["workers=1..3"]).unwrap().policy.scaling.unwrap();
        assert_eq!(
            (kept.idle_timeout, kept.exit_idle_time),
            (Span::secs(5), Some(Span::secs(3600)))
        );
        let problems = set(&settings("workers = 3"), &["idle-timeout=1min"]).unwrap_err();
        assert!(problems.contains("means nothing with a fixed number"), "{problems}");
        let problems = set(&settings("workers = { min = 1 }"), &["exit-idle-time=1h"]).unwrap_err();
        assert!(problems.contains("there are always 1 workers"), "{problems}");
    }

    #[test]
    fn what_was_set_can_be_no_limit_again() {
        let before = settings("max-age = \"1h\"\nmax-memory = \"1G\"\nstall-timeout = \"1min\"");
        let none = set(&before, &["max-age=infinity", "max-memory=infinity", "stall-timeout=0"]);
        let policy = none.unwrap().policy;
        assert_eq!((policy.max_age, policy.max_memory, policy.stall_timeout), (None, None, None));
    }

    #[test]
    fn a_probe_is_asked_by_what_is_set() {
        let before = settings("probe = \"http://127.0.0.1/\"");
        let after = set(&before, &["probe.failures=9", "probe.timeout=2s"]).unwrap();
        let probe = after.policy.probe.unwrap();
        assert_eq!((probe.failures, probe.timeout), (9, Span::secs(2)));
        assert_eq!(probe.interval, before.policy.probe.unwrap().interval);
    }

    #[test]
    fn what_needs_new_workers_or_is_wrong_is_refused_with_what_to_do() {
        let before = settings("command = [\"/bin/x\"]\n");
        for (assignment, advice) in [
            ("command=[\"/bin/y\"]", "write it into the settings file, and reload"),
            ("environment.A=1", "`environment` cannot be changed while herder is running"),
            ("listen=[\"80\"]", "and restart herder"),
            ("nice=5", "write it into the settings file, and reload"),
            ("watchdog=30s", "write it into the settings file, and reload"),
            ("probe.http=http://127.0.0.1/", "write it into the settings file, and reload"),
            ("wrokers=3", "did you mean `workers`?"),
            ("stop-timeout=soon", "herder set stop-timeout: "),
            ("stop-timeout", "write `herder set stop-timeout=VALUE`"),
            ("max-surge=0", "a reload could replace nothing"),
        ] {
            let problems = set(&before, &[assignment, "workers=2"]).unwrap_err();
            assert!(problems.contains(advice), "{assignment}: {problems}");
        }
    }
}
