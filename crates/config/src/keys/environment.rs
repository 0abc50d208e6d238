//! `environment`: which variables it may hold, and how they are read.

use super::super::draft::Draft;
use super::super::problem::Place;
use super::super::read::Reader;
use super::super::template::Template;
use super::super::value::Data;
use super::KEYS;
use herder_wire::listen::HERDERS_OWN;

/// Reads `environment`, variable by variable, over what is there.
pub fn read(draft: &mut Draft, reader: &mut Reader<'_>) {
    let Data::Table(entries) = &reader.value.data else { return reader.wrong_type() };
    for entry in entries {
        let key = format!("environment.{}", entry.name);
        if let Err(message) = check_name(&entry.name) {
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

/// Refuses what cannot name a variable of `[environment]`.
fn check_name(name: &str) -> Result<(), String> {
    if KEYS.iter().any(|key| key.name == name) {
        return Err(format!(
            "`{name}` stands in `environment`, where it would only be a variable; move it above the first [table]"
        ));
    }
    if !herder_wire::envfile::is_variable_name(name) {
        return Err(format!(
            "`{}` cannot name an environment variable: use letters, digits and `_`, and no digit first",
            name.escape_debug()
        ));
    }
    if is_set_by_herder(name) {
        return Err(format!("`{name}` is set by herder, for each worker; remove it"));
    }
    Ok(())
}

/// Variables that speak of herder's own process, or that herder sets for each worker: none of
/// them is passed on (sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3), systemd.exec(5)).
pub fn is_set_by_herder(name: &str) -> bool {
    HERDERS_OWN.contains(&name) || name.starts_with("HERDER_")
}
