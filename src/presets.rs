//! `herder presets`: the servers herder knows, and what it does for each.
//!
//! Shows what [`herder_config::preset`] holds, and adds nothing to it.

use herder_config::preset::{self, DESCRIBED, IMPOSSIBLE, PRESETS, Preset};
use herder_linux::error::Error;
use std::fmt::Write as _;

/// What is left to do.
const START: &str = "herder check /etc/herder/NAME.toml\nsystemctl daemon-reload\nsystemctl enable --now herder@NAME.socket";

/// How wide a line may be.
const WIDTH: usize = 100;

/// All presets, a line each, or everything about one. The error says why there is none.
pub fn presets(name: Option<&str>) -> Result<String, Error> {
    match name {
        None => Ok(all()),
        Some(name) => preset::find(name)
            .map(one)
            .map_err(|(message, advice)| Error::Failed(format!("{message}; {advice}"))),
    }
}

fn all() -> String {
    let mut text = String::new();
    for preset in PRESETS {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "{:<10}{}", preset.name, preset.about);
    }
    let impossible: Vec<_> = IMPOSSIBLE.iter().map(|server| server.name).collect();
    let _ = writeln!(
        text,
        "\n`herder presets NAME` shows what it does, and settings that work; and of {}\n\
         why they cannot be workers. /usr/share/doc/herder/examples/servers has settings for\n\
         {}.",
        impossible.join(", "),
        DESCRIBED.join(", ")
    );
    text
}

/// A settings file with comments, and a drop-in, as a person would want to copy them.
fn one(preset: &'static Preset) -> String {
    let Preset { name, about, .. } = preset;
    let mut text = format!("{name}: {about}\n\n/etc/herder/NAME.toml:\n\n");
    indented(&mut text, &preset.settings_file());
    text.push_str("\n/etc/systemd/system/herder@NAME.socket.d/listen.conf:\n\n");
    indented(&mut text, &format!("[Socket]\n{}", preset.example.socket));
    text.push_str("\nThen, with a name of yours for NAME:\n\n");
    indented(&mut text, START);
    text.push_str("\nWhat the preset sets, where the file does not:\n\n");
    for setting in preset.settings {
        item(&mut text, &format!("{} = {}", setting.key, setting.value), setting.reason);
    }
    if preset.settings.is_empty() {
        text.push_str("  nothing: herder's defaults are right\n");
    }
    if preset.program.adapter.is_some() || !preset.arguments.is_empty() {
        text.push_str("\nWhat it adds to `command`, where it is missing:\n\n");
    }
    if let Some(adapter) = preset.program.adapter {
        item(&mut text, adapter, "behind a Python that is given neither a file nor a module");
    }
    for argument in preset.arguments {
        item(&mut text, &argument.words.join(" "), argument.reason);
    }
    if !preset.refused.is_empty() {
        text.push_str("\nWhat it refuses there:\n\n");
    }
    for refused in preset.refused {
        let except = refused.except.map(|value| format!(" (but {value})")).unwrap_or_default();
        item(&mut text, &format!("{}{except}", refused.options.join(", ")), refused.why);
    }
    text.push_str("\nTo know:\n\n");
    if preset.sockets.one {
        note(&mut text, "It serves one socket.");
    }
    if let Some(why) = preset.sockets.not_unix {
        note(&mut text, &format!("No UNIX sockets: it {why}."));
    }
    for text_of_note in preset.notes {
        note(&mut text, text_of_note);
    }
    text
}

fn indented(into: &mut String, text: &str) {
    for line in text.lines() {
        let _ = writeln!(into, "  {line}");
    }
}

fn item(into: &mut String, what: &str, reason: &str) {
    let _ = writeln!(into, "  {what}");
    wrapped(into, "      ", "      ", reason);
}

fn note(into: &mut String, text: &str) {
    wrapped(into, "  - ", "    ", text);
}

fn wrapped(into: &mut String, first: &str, other: &str, text: &str) {
    let mut line = first.to_owned();
    let mut begun = false;
    for word in text.split_whitespace() {
        if begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(into, "{line}");
            line = other.to_owned();
            begun = false;
        }
        if begun {
            line.push(' ');
        }
        line.push_str(word);
        begun = true;
    }
    let _ = writeln!(into, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_listed_and_shown_whole() {
        let list = presets(None).unwrap();
        for preset in PRESETS {
            assert!(list.contains(&format!("{:<10}{}\n", preset.name, preset.about)), "{list}");
            let text = presets(Some(preset.name)).unwrap();
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let shown = words(&text);
            let reasons = preset.settings.iter().map(|setting| setting.reason);
            let reasons = reasons.chain(preset.arguments.iter().map(|argument| argument.reason));
            for part in reasons.chain(preset.notes.iter().copied()) {
                assert!(shown.contains(&words(part)), "{part} in:\n{text}");
            }
            assert!(text.contains("\n  [Socket]\n  "), "{text}");
            assert!(text.contains("\n  systemctl enable --now herder@NAME.socket\n"), "{text}");
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(120), "{text}");
        }
        assert!(list.contains("granian, bun"), "{list}");
    }

    #[test]
    fn a_server_without_a_preset_is_answered_with_a_reason_and_an_alternative() {
        for (name, parts) in [
            ("granian", ["takes no socket", "`preset = \"uvicorn\"`"]),
            ("bun", ["random port", "`preset = \"node\"`"]),
            ("daphne", ["no preset for daphne", "examples/servers/daphne.toml"]),
            ("unicron", ["no preset is called `unicron`", "did you mean `unicorn`?"]),
            ("tomcat", ["no preset is called `tomcat`", "there are uvicorn, "]),
        ] {
            let told = presets(Some(name)).unwrap_err();
            assert_eq!(told.exit_status(), 1);
            let told = told.to_string();
            assert!(parts.iter().all(|part| told.contains(part)), "{told}");
        }
    }
}
