//! Puts the sources together, each over the one before: defaults, the preset, the file, the command line.
//! Scalars and lists replace, tables merge by key.

use super::keys::KEYS;
use super::keys::scaling::IDLE_TIMEOUT;
use super::problem::{Place, Problems};
use super::read::{Reader, environment_name, unknown};
use super::settings::Settings;
use super::template::Template;
use super::value::{Data, Entry, Value, from_file, from_option};
use super::{Key, Machine, Overrides, cross, preset};
use herder_core::{Scaling, Span};

/// A number of workers, as written.
#[derive(Clone, Copy, Default)]
pub enum Count {
    #[default]
    Auto,
    Number(u32),
}

/// Settings on their way, with what can only be decided at the end.
#[derive(Default)]
pub struct Draft {
    pub settings: Settings,
    /// `workers`, or its `min`; `None` as long as nothing is said.
    pub workers: Option<Count>,
    /// `workers.max`; `None` is a fixed number.
    pub most_workers: Option<Count>,
    /// `max-starting = "auto"`, which depends on the machine.
    pub max_starting_auto: bool,
    /// `crash-limit.after`; `None` depends on `start-timeout`.
    pub crash_after: Option<Span>,
}

/// `max = "auto"`: so many workers for each CPU. They wait for something else most of the time, or there
/// were no use in more than CPUs.
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

/// As [`load`], with whatever could be read beside the problems, so that more can be found.
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

/// Decides what could not be decided before all was read.
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

/// The preset that is written last, which is the one that counts. That another is written wrongly is
/// told when it is applied.
fn chosen_preset(written: &[Entry]) -> Option<&'static preset::Preset> {
    let last = written.iter().rfind(|entry| entry.name == "preset")?;
    match &last.value.data {
        Data::Text(name) => preset::find(name).ok(),
        Data::Integer(_) | Data::Scalar(..) | Data::List(_) | Data::Table(_) => None,
    }
}

/// What the preset's server needs in its command. A command that could not be read is told already.
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
fn command_line(overrides: &Overrides, problems: &mut Problems) -> Vec<Entry> {
    let mut entries: Vec<_> = overrides
        .set
        .iter()
        .flat_map(|option| from_option(option, "--set", Place::CommandLine, problems))
        .collect();
    let mut add = |name: &str, option: &str, value: fn(Place, &Overrides) -> Value| {
        let at = Place::CommandLine(option.to_owned());
        entries.push(Entry { name: name.to_owned(), at: at.clone(), value: value(at, overrides) });
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
pub(super) fn apply(entry: &Entry, table: &str, draft: &mut Draft, problems: &mut Problems) {
    let name = format!("{table}{}", entry.name);
    if let Some(key) = KEYS.iter().find(|key| key.name == name) {
        if name != "environment" {
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
            let short = Entry { name: "http".to_owned(), ..entry.clone() };
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
        (Data::Table(inner), None) => unknown_table(entry, &name, inner, problems),
        (_, None) => unknown_key(entry, &name, problems),
    }
}

fn unknown_key(entry: &Entry, name: &str, problems: &mut Problems) {
    let message = format!("unknown key `{}`", name.escape_debug());
    match unknown(name, KEYS).or_else(|| unknown(&entry.name, KEYS)) {
        Some(advice) => problems.advise(Some(&entry.at), name, message, advice),
        None => problems.add(Some(&entry.at), name, message),
    }
}

/// A table nobody knows: its keys may be another launcher's (`pm.max_children`), or ours put one
/// level too deep.
fn unknown_table(entry: &Entry, name: &str, inner: &[Entry], problems: &mut Problems) {
    let foreign =
        |entry: &&Entry| super::foreign::advice(&format!("{name}.{}", entry.name)).is_some();
    let mut strangers = inner.iter().filter(foreign).peekable();
    if strangers.peek().is_some() {
        for stranger in strangers {
            unknown_key(stranger, &format!("{name}.{}", stranger.name), problems);
        }
        return;
    }
    let message = format!("unknown table `{}`", name.escape_debug());
    let ours: Vec<_> = inner
        .iter()
        .filter(|entry| KEYS.iter().any(|key| key.name.split('.').next() == Some(&entry.name)))
        .map(|entry| format!("`{}`", entry.name))
        .collect();
    match unknown(name, KEYS) {
        _ if !ours.is_empty() => {
            let advice =
                format!("{} belongs at the top level, above the first [table]", ours.join(", "));
            problems.advise(Some(&entry.at), name, message, advice);
        }
        Some(advice) => problems.advise(Some(&entry.at), name, message, advice),
        None => problems.add(Some(&entry.at), name, message),
    }
}

/// Reads `environment`, variable by variable, over what is there.
pub fn read_environment(draft: &mut Draft, reader: &mut Reader<'_>) {
    let Data::Table(entries) = &reader.value.data else { return reader.wrong_type() };
    for entry in entries {
        let key = format!("environment.{}", entry.name);
        if let Err(message) = environment_name(&entry.name, KEYS) {
            reader.problems.add(Some(&entry.at), &key, message);
            continue;
        }
        let text = match &entry.value.data {
            Data::Text(text) | Data::Scalar(_, text) => text.clone(),
            Data::Integer(number) => number.to_string(),
            Data::List(_) | Data::Table(_) => {
                let message = format!("`{key}` is {}, and has to be a string", entry.value.noun());
                reader.problems.add(Some(&entry.value.at), &key, message);
                continue;
            }
        };
        if text.contains('\0') {
            reader.problems.add(Some(&entry.value.at), &key, format!("`{key}` holds a NUL byte"));
        } else if let Some(template) = template(reader, &key, &text, &entry.value.at) {
            draft.settings.environment.insert(entry.name.clone(), template);
            draft.settings.origins.insert(key, entry.at.clone());
        }
    }
}

fn template(reader: &mut Reader<'_>, key: &str, text: &str, at: &Place) -> Option<Template> {
    reader.template(text, at).or_else(|| {
        // The problem just noted is about this variable, not the whole table.
        if let Some(problem) = reader.problems.0.last_mut() {
            problem.key = key.to_owned();
            problem.message = problem.message.replacen("`environment`", &format!("`{key}`"), 1);
        }
        None
    })
}

/// `workers = "auto"`.
fn automatic(machine: &Machine, settings: &mut Settings, problems: &mut Problems) -> u32 {
    const VARIABLE: &str = "WEB_CONCURRENCY";
    let given = machine.web_concurrency.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let Some(text) = given else { return machine.cpus.max(1) };
    let place = Place::Environment(VARIABLE.to_owned());
    let number = text.parse().ok().filter(|number| (1..=super::MOST_WORKERS).contains(number));
    if number.is_none() {
        problems.advise(
            Some(&place),
            "workers",
            format!(
                "`{}` is no number of workers from 1 to {}",
                text.escape_debug(),
                super::MOST_WORKERS
            ),
            "correct WEB_CONCURRENCY, unset it, or set `workers`",
        );
    }
    settings.origins.insert("workers".to_owned(), place);
    number.unwrap_or(1)
}

/// The row of a setting.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}
