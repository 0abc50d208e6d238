//! Settings that are changed while herder is running: `herder set`.
//!
//! Only those that need no new workers; what a worker was started with stays as it is until a reload.

use super::keys::KEYS;
use super::load::{Count, Draft, apply, finish};
use super::problem::{Place, Problems};
use super::settings::Settings;
use super::value::{Data, Entry, from_option};
use super::{Machine, cross};

/// The keys that take effect without new workers.
pub const SETTABLE: &[&str] = &[
    "workers",
    "ready-after",
    "ready-when",
    "start-timeout",
    "min-ready-time",
    "min-lifetime",
    "max-starting",
    "crash-limit.burst",
    "crash-limit.after",
    "idle-timeout",
    "exit-idle-time",
    "stall-timeout",
    "probe.interval",
    "probe.timeout",
    "probe.failures",
    "max-surge",
    "max-unavailable",
    "max-draining",
    "stop-timeout",
    "stop-delay",
    "service-watchdog",
    "max-age",
    "max-memory",
    "memory-high",
    "memory-max",
    "memory-swap-max",
    "cpu-weight",
    "cpu-quota",
    "tasks-max",
];

/// `settings` with each `KEY=VALUE` of `assignments` over it.
///
/// # Errors
///
/// Everything that is wrong with that; a key that needs new workers, or a new herder, included.
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
                Some(refusal) => refusal.tell(&entry, &mut problems),
                None => apply(&entry, "", &mut draft, &mut problems),
            }
        }
    }
    let mut adjusted = finish(draft, machine, &mut problems);
    adjusted.policy.probe = adjusted.probe.rules();
    cross::check(&adjusted, &mut problems);
    problems.none_or(adjusted)
}

/// A setting that does not take effect at once.
struct Refusal {
    key: String,
    reloadable: bool,
}

impl Refusal {
    fn tell(&self, entry: &Entry, problems: &mut Problems) {
        let Refusal { key, reloadable } = self;
        let message = format!("`{key}` cannot be changed while herder is running");
        let advice = match reloadable {
            true => {
                "workers have to be replaced for it: write it into the settings file, and reload"
            }
            false => "write it into the settings file, and restart herder",
        };
        problems.advise(Some(&entry.at), key, message, advice);
    }
}

/// The first setting in there that is known, and no matter of a moment.
fn needs_more(entry: &Entry, table: &str) -> Option<Refusal> {
    let name = format!("{table}{}", entry.name);
    let is_here =
        |key: &str| key == name || key == "environment" && name.starts_with("environment.");
    if let Some(key) = KEYS.iter().find(|key| is_here(key.name)) {
        let refused = !SETTABLE.contains(&key.name);
        return refused.then_some(Refusal { key: name, reloadable: key.reloadable });
    }
    match &entry.value.data {
        Data::Table(inner) => inner.iter().find_map(|entry| needs_more(entry, &format!("{name}."))),
        Data::Text(_) | Data::Integer(_) | Data::Scalar(..) | Data::List(_) => None,
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

    /// What `workers` is when this is set, and whether it is told as another than in the file.
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

    #[test]
    fn what_can_be_set_is_a_setting() {
        for key in SETTABLE {
            assert!(KEYS.iter().any(|known| known.name == *key && known.reloadable), "{key}");
        }
    }
}
