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
    "start-timeout",
    "min-ready-time",
    "min-lifetime",
    "max-starting",
    "crash-limit.burst",
    "crash-limit.after",
    "idle-timeout",
    "exit-idle-time",
    "max-surge",
    "max-unavailable",
    "max-draining",
    "stop-timeout",
    "stop-delay",
    "service-watchdog",
    "stall-timeout",
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
        workers: Count::Number(policy.workers),
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
    let adjusted = finish(draft, machine, &mut problems);
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

    #[test]
    fn what_needs_new_workers_or_is_wrong_is_refused_with_what_to_do() {
        let before = settings("command = [\"/bin/x\"]\n");
        for (assignment, advice) in [
            ("command=[\"/bin/y\"]", "write it into the settings file, and reload"),
            ("environment.A=1", "`environment` cannot be changed while herder is running"),
            ("listen=[\"80\"]", "and restart herder"),
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
