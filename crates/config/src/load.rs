//! Puts the sources together, each over the one before: defaults, the preset, the file, the command line.
//! Scalars and lists replace, tables merge by key.

use super::draft::{Count, Draft};
use super::keys::KEYS;
use super::keys::scaling::IDLE_TIMEOUT;
use super::problem::{Place, Problems};
use super::read::Reader;
use super::settings::Settings;
use super::value::{Assignment, Data, Value, from_file, from_option};
use super::{cross, preset, unknown};
use herder_core::{Scaling, Span};
use herder_wire::control::MOST_WORKERS;

/// What `workers = "auto"` depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The CPUs that affinity and the cgroup quota leave, at least 1.
    pub cpus: u32,
    /// WEB_CONCURRENCY in herder's environment.
    pub web_concurrency: Option<String>,
}

/// What the command line says, as written there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`, each `[NAME=]ADDR`.
    pub listen: Vec<String>,
    /// `--workers`
    pub workers: Option<String>,
    /// `--set`, each `KEY=VALUE`.
    pub set: Vec<String>,
    /// What stands after `--`.
    pub command: Vec<String>,
}

/// Workers for each CPU with `max = "auto"`. More than one, because workers that need scaling usually wait for
/// something other than the CPU.
const PER_CPU: u32 = 4;

/// Puts defaults, a settings file (its path as shown, and its text) and the command line
/// together, or says everything that is wrong with them.
pub fn load(
    file: Option<(&str, &str)>,
    overrides: &Overrides,
    machine: &Machine,
) -> Result<Settings, Problems> {
    let (settings, problems) = assess(file, overrides, machine);
    problems.none_or(settings)
}

/// As [`load`], but returns the settings even if there are problems, so that callers can check more.
pub fn assess(
    file: Option<(&str, &str)>,
    overrides: &Overrides,
    machine: &Machine,
) -> (Settings, Problems) {
    let mut problems = Problems::default();
    let mut draft = Draft::default();
    let mut written = match file {
        Some((path, text)) => from_file(path, text, &mut problems),
        None => Vec::new(),
    };
    written.extend(command_line(overrides, &mut problems));
    let preset = chosen_preset(&written).map_or_else(Vec::new, preset::Preset::entries);
    for entry in preset.iter().chain(&written) {
        apply(entry, "", &mut draft, &mut problems);
    }
    let mut settings = finish(draft, machine, &mut problems);
    settings.policy.check = settings.check.is_some();
    settings.policy.probe = settings.probe.rules();
    complete_command(&mut settings, &mut problems);
    cross::check(&settings, &mut problems);
    (settings, problems)
}

/// Sets what depends on several sources: the number of workers, its bounds, `crash-limit.after`.
pub(super) fn finish(draft: Draft, machine: &Machine, problems: &mut Problems) -> Settings {
    let mut settings = draft.settings;
    if draft.max_starting_auto {
        settings.policy.max_starting = Some(machine.cpus.max(2));
    }
    settings.policy.workers = match draft.workers.unwrap_or_default() {
        Count::Number(workers) => workers,
        Count::Auto => automatic(machine, &mut settings, problems),
    };
    let least = settings.policy.workers;
    settings.policy.scaling = draft.most_workers.map(|most| Scaling {
        max: match most {
            Count::Number(most) => most,
            Count::Auto => machine.cpus.max(1).saturating_mul(PER_CPU).max(least),
        },
        idle_timeout: settings.idle_timeout.unwrap_or(IDLE_TIMEOUT),
        exit_idle_time: settings.exit_idle_time,
    });
    settings.policy.crash_after =
        draft.crash_after.unwrap_or(settings.policy.start_timeout + Span::secs(30));
    settings
}

/// The preset of the last source that names one. A wrong name is reported when the entry is applied.
fn chosen_preset(written: &[Assignment]) -> Option<&'static preset::Preset> {
    let last = written.iter().rfind(|entry| entry.name == "preset")?;
    match &last.value.data {
        Data::Text(name) => preset::find(name).ok(),
        Data::Integer(_) | Data::Scalar(..) | Data::List(_) | Data::Table(_) => None,
    }
}

/// Adds the arguments that the preset's server needs to `command`.
fn complete_command(settings: &mut Settings, problems: &mut Problems) {
    let Some(preset) = settings.preset else { return };
    let at = settings.origins.get("command");
    if !settings.command.is_empty() {
        settings.added = preset::complete(preset, &mut settings.command, at, problems);
    } else if at.is_none() {
        problems.advise(
            settings.origins.get("preset"),
            "preset",
            format!(
                "preset {} is about a server, and there is no `command` that runs it",
                preset.name
            ),
            format!("write one, as `herder presets {}` shows", preset.name),
        );
    }
}

/// The command line's settings; what has an option of its own comes after `--set`.
fn command_line(overrides: &Overrides, problems: &mut Problems) -> Vec<Assignment> {
    let mut entries: Vec<_> = overrides
        .set
        .iter()
        .flat_map(|option| from_option(option, "--set", Place::CommandLine, problems))
        .collect();
    let mut add = |name: &str, option: &str, value: fn(Place, &Overrides) -> Value| {
        let at = Place::CommandLine(option.to_owned());
        entries.push(Assignment {
            name: name.to_owned(),
            at: at.clone(),
            value: value(at, overrides),
        });
    };
    if !overrides.listen.is_empty() {
        add("listen", "--listen", |at, given| Value::list(at, &given.listen));
    }
    if overrides.workers.is_some() {
        add("workers", "--workers", |at, given| {
            Value::text(at, given.workers.as_deref().unwrap_or_default())
        });
    }
    if !overrides.command.is_empty() {
        add("command", "after `--`", |at, given| Value::list(at, &given.command));
    }
    entries
}

/// Stores one entry, or everything in it if it is a table of settings.
pub(super) fn apply(entry: &Assignment, table: &str, draft: &mut Draft, problems: &mut Problems) {
    let name = format!("{table}{}", entry.name);
    if let Some(key) = KEYS.iter().find(|key| key.name == name) {
        if !key.is_map() {
            draft.settings.origins.insert(name, entry.at.clone());
        }
        (key.read)(draft, &mut Reader { key, value: &entry.value, problems });
        return;
    }
    let within = format!("{name}.");
    let known = KEYS.iter().find(|key| key.name.starts_with(&within));
    match (&entry.value.data, known) {
        // `probe = "http://…"` for short.
        (Data::Text(_), Some(_)) if name == "probe" => {
            let short = Assignment { name: "http".to_owned(), ..entry.clone() };
            apply(&short, &within, draft, problems);
        }
        (Data::Table(inner), Some(_)) => {
            for entry in inner {
                apply(entry, &within, draft, problems);
            }
        }
        (_, Some(key)) => problems.advise(
            Some(&entry.value.at),
            &name,
            format!("`{name}` is {}, and has to be a table", entry.value.noun()),
            format!("for example `{} = {}`", key.name, key.example),
        ),
        (Data::Table(inner), None) => unknown::table(entry, &name, inner, problems),
        (_, None) => unknown::key(entry, &name, problems),
    }
}

/// `workers = "auto"`.
fn automatic(machine: &Machine, settings: &mut Settings, problems: &mut Problems) -> u32 {
    const VARIABLE: &str = "WEB_CONCURRENCY";
    let given = machine.web_concurrency.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let Some(text) = given else { return machine.cpus.max(1) };
    let place = Place::Environment(VARIABLE.to_owned());
    let number = text.parse().ok().filter(|number| (1..=MOST_WORKERS).contains(number));
    if number.is_none() {
        problems.advise(
            Some(&place),
            "workers",
            format!("`{}` is no number of workers from 1 to {}", text.escape_debug(), MOST_WORKERS),
            "correct WEB_CONCURRENCY, unset it, or set `workers`",
        );
    }
    settings.origins.insert("workers".to_owned(), place);
    number.unwrap_or(1)
}
