//! Writes instances out: a settings file, a drop-in for the socket, a drop-in for the service.
//!
//! The order in a settings file is that of its reader: what to know first, then what runs, then what could
//! not be carried over. `[environment]` is last, because in TOML nothing can follow a table.

use super::instance::{Instance, Setting, Sockets};
use super::notes::{Lost, Needless, Notes};
use super::{File, Import};

/// Lines of comments are no longer.
const WIDTH: usize = 110;

/// The keys in the order of herder.toml(5), as far as it matters to a reader.
const FIRST: [&str; 7] =
    ["preset", "command", "directory", "environment-file", "stdin", "sockets", "workers"];

pub fn files(instance: &Instance) -> Vec<File> {
    let name = &instance.name;
    let units = "/etc/systemd/system";
    let mut files = vec![File {
        path: format!("/etc/herder/{name}.toml"),
        text: settings(instance),
        private: !instance.environment.is_empty(),
    }];
    if instance.sockets == Sockets::FromSystemd {
        let path = format!("{units}/herder@{name}.socket.d/listen.conf");
        files.push(File { path, text: socket(instance), private: false });
    }
    if !instance.service.is_empty() {
        let path = format!("{units}/herder@{name}.service.d/service.conf");
        files.push(File { path, text: service(instance), private: false });
    }
    files
}

pub fn everything(import: &Import) -> String {
    let mut text = preamble(import);
    for file in import.files() {
        text.push_str(&format!("\n# {}\n# {}\n\n{}", "=".repeat(WIDTH - 2), file.path, file.text));
    }
    text
}

pub fn preamble(import: &Import) -> String {
    let mut text = String::new();
    let names: Vec<_> = import.names().collect();
    comment(
        &mut text,
        &format!("{}, as `herder import` reads it: {}.", import.source, names.join(", ")),
        "",
    );
    notes(&mut text, &import.notes);
    text.push_str("#\n");
    comment(&mut text, "Read the comments in each file, stop what runs now, and then:", "");
    for instance in &import.instances {
        text.push_str(&format!("#   herder check /etc/herder/{}.toml\n", instance.name));
    }
    text.push_str("#   systemctl daemon-reload\n");
    for instance in &import.instances {
        let verb = if instance.by_hand { "start" } else { "enable --now" };
        let unit = match instance.sockets {
            Sockets::FromSystemd => "socket",
            Sockets::None => "service",
        };
        text.push_str(&format!("#   systemctl {verb} herder@{}.{unit}\n", instance.name));
    }
    text
}

pub fn settings(instance: &Instance) -> String {
    let mut text = String::new();
    comment(&mut text, &format!("{}.", instance.title), "");
    for advice in &instance.advice {
        text.push_str("#\n");
        comment(&mut text, advice, "");
    }
    text.push('\n');
    let place = |setting: &&Setting| {
        FIRST.iter().position(|key| *key == setting.key).unwrap_or(FIRST.len())
    };
    let mut ordered: Vec<_> = instance.settings.iter().collect();
    ordered.sort_by_key(place);
    for setting in ordered {
        line(&mut text, setting, " = ");
    }
    if !instance.suggestions.is_empty() {
        text.push('\n');
    }
    for Setting { key, value, comment: why } in &instance.suggestions {
        if !why.is_empty() {
            comment(&mut text, why, "");
        }
        text.push_str(&format!("#{key} = {value}\n"));
    }
    if instance.notes != Notes::default() {
        text.push('\n');
    }
    notes(&mut text, &instance.notes);
    if !instance.environment.is_empty() {
        text.push_str("\n[environment]\n");
    }
    for setting in &instance.environment {
        line(&mut text, setting, " = ");
    }
    text
}

fn socket(instance: &Instance) -> String {
    let mut text = String::from("[Socket]\n");
    if !instance.is_listening() {
        comment(
            &mut text,
            "Where it listens is to be said here: a port, an address and a port, or a path.",
            "",
        );
        text.push_str("#ListenStream=8080\n");
    }
    unit_lines(&mut text, &instance.socket);
    text
}

fn service(instance: &Instance) -> String {
    let mut text = String::from("[Service]\n");
    unit_lines(&mut text, &instance.service);
    text.push('\n');
    comment(
        &mut text,
        "The unit shows workers a file system they cannot write to, and a /tmp of their own. What they write to is to be \
         named here, or let systemd make a directory, /var/lib/NAME:",
        "",
    );
    text.push_str("#ReadWritePaths=/srv/app/uploads\n#StateDirectory=%i\n");
    text
}

/// A setting and where it came from, behind it if there is room.
fn line(text: &mut String, setting: &Setting, equals: &str) {
    let Setting { key, value, comment: origin } = setting;
    let written = format!("{key}{equals}{value}");
    let behind = format!("{written:<40}  # {}", one_line(origin));
    match (origin.is_empty(), value.contains('\n') || behind.chars().count() > WIDTH) {
        (true, _) => text.push_str(&written),
        (false, false) => text.push_str(&behind),
        (false, true) => {
            comment(text, origin, "");
            text.push_str(&written);
        }
    }
    text.push('\n');
}

/// In units a comment is a line of its own, here for all the lines that it is about.
fn unit_lines(text: &mut String, settings: &[Setting]) {
    let mut before = "";
    for setting in settings {
        if !setting.comment.is_empty() && setting.comment != before {
            comment(text, &setting.comment, "");
        }
        before = &setting.comment;
        text.push_str(&format!("{}={}\n", setting.key, setting.value));
    }
}

fn notes(text: &mut String, notes: &Notes) {
    if !notes.lost.is_empty() {
        text.push_str("# Not carried over:\n");
    }
    for Lost { settings, why } in &notes.lost {
        for (what, line) in settings {
            let place = if *line == 0 { String::new() } else { format!("line {line}: ") };
            comment(text, &format!("- {place}{what}"), "  ");
        }
        comment(text, &format!("  {why}"), "");
    }
    for Needless { names, why } in &notes.needless {
        comment(text, &format!("Not needed: {}: {why}", names.join(", ")), "  ");
    }
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// A comment of as many lines as it takes; those after the first are indented further.
fn comment(text: &mut String, words: &str, indent: &str) {
    let lead = &words[..words.len() - words.trim_start_matches(' ').len()];
    let mut line = format!("#{}", if lead.is_empty() { "" } else { lead });
    let mut is_empty = true;
    for word in one_line(words).split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = format!("#{lead}{indent}");
        }
        line.push(' ');
        line.push_str(word);
        is_empty = false;
    }
    text.push_str(&line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::instance::Value;
    use super::*;

    #[test]
    fn comments_are_wrapped_and_stay_comments() {
        let mut text = String::new();
        comment(&mut text, &"word ".repeat(50), "  ");
        comment(&mut text, "a\nExecStart=/bin/evil\r\u{b}x", "");
        comment(&mut text, &"x".repeat(200), "");
        assert!(text.lines().all(|line| line.starts_with('#')), "{text}");
        assert!(text.lines().take(3).all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("\n#   word"), "{text}");
    }

    #[test]
    fn settings_come_in_an_order_and_the_environment_last() {
        let mut instance = Instance::new("a".into(), "x".into());
        instance.set_variable("A", "1", None);
        instance.set("workers", Value::Number("2"), None);
        instance.set("stop-timeout", Value::Number("3"), None);
        instance.set("command", Value::List(&["x".into()]), None);
        instance.suggest("max-surge", "0", "why");
        let text = settings(&instance);
        let places: Vec<_> =
            ["command =", "workers =", "stop-timeout =", "#max-surge = 0", "[environment]\nA ="]
                .iter()
                .map(|part| text.find(part).unwrap_or_else(|| panic!("{part} in {text}")))
                .collect();
        assert!(places.is_sorted(), "{text}");
    }
}
