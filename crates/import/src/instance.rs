//! An instance of herder while it is built: its settings file, its drop-ins, and notes on what could not be
//! carried over.
//!
//! Whatever is put in is checked here, by herder's own reader of settings, so that what comes out is right:
//! a value that herder would refuse becomes a note with the reason it would give.

use super::notes::{Notes, Origin};
use herder_config::{Machine, Overrides, Problem, load, quote};
use herder_wire::address::Address;

/// Only the number for `workers = "auto"` depends on the machine, and it is not used here.
const ANY_MACHINE: Machine = Machine { cpus: 1, web_concurrency: None };

/// A line of a file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub key: String,
    /// As it is written in the file.
    pub value: String,
    pub comment: String,
}

/// A value of a setting. What a file says cannot be more than one.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Text(&'a str),
    /// Digits; anything else becomes a text, for herder to object to.
    Number(&'a str),
    /// As a time span.
    Seconds(&'a str),
    Milliseconds(&'a str),
    /// A list of texts, or of numbers if all are.
    List(&'a [String]),
    /// `{ min, max }`, both as numbers.
    Bounds(&'a str, &'a str),
    /// As it is written in TOML, by this program itself.
    Toml(&'static str),
}

impl Value<'_> {
    fn in_toml(self) -> String {
        let is_number = |text: &str| text.parse::<u32>().is_ok() && !text.starts_with('+');
        match self {
            Value::Text(text) => quote(text),
            Value::Number(text) if is_number(text.trim()) => text.trim().to_owned(),
            Value::Number(text) => quote(text),
            Value::Seconds(text) => quote(format!("{}s", text.trim())),
            Value::Milliseconds(text) => quote(format!("{}ms", text.trim())),
            Value::List(items) if items.iter().all(|item| is_number(item)) => list(items.to_vec()),
            Value::List(items) => list(items.iter().map(quote).collect()),
            Value::Bounds(min, max) => {
                let (min, max) = (Value::Number(min).in_toml(), Value::Number(max).in_toml());
                format!("{{ min = {min}, max = {max} }}")
            }
            Value::Toml(value) => value.to_owned(),
        }
    }
}

/// A list of values, on lines of their own where one would be long.
fn list(items: Vec<String>) -> String {
    const LONGEST_LINE: usize = 90;
    let line = format!("[{}]", items.join(", "));
    match line.chars().count() > LONGEST_LINE {
        true => format!("[\n    {},\n]", items.join(",\n    ")),
        false => line,
    }
}

/// How the workers come by their sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sockets {
    /// They have none, or open their own.
    #[default]
    None,
    /// From `herder@NAME.socket`.
    FromSystemd,
}

/// One settings file with its drop-ins.
#[derive(Clone, Debug, Default)]
pub struct Instance {
    pub name: String,
    /// What it was: “pool [www]”.
    pub title: String,
    /// What to know before it is used.
    pub advice: Vec<String>,
    pub settings: Vec<Setting>,
    /// Settings to be used if they fit, commented out.
    pub suggestions: Vec<Setting>,
    pub environment: Vec<Setting>,
    pub sockets: Sockets,
    /// `[Socket]`
    pub socket: Vec<Setting>,
    /// `[Service]`
    pub service: Vec<Setting>,
    pub notes: Notes,
    /// It is not to be started at boot.
    pub by_hand: bool,
    /// `directory`, as a text.
    directory: Option<String>,
}

impl Instance {
    pub fn new(name: String, title: String) -> Instance {
        Instance { name, title, ..Instance::default() }
    }

    /// Sets a key; a second time replaces the first.
    pub fn set(&mut self, key: &str, value: Value<'_>, origin: Option<&Origin>) {
        let value = value.in_toml();
        match refused(key, &value) {
            None => {
                self.settings.retain(|setting| setting.key != key);
                let comment = origin.map(Origin::short).unwrap_or_default();
                self.settings.push(Setting { key: key.to_owned(), value, comment });
            }
            Some(why) => self.refuse(key, &value, &why, origin),
        }
    }

    /// Whether a key was set, and not refused.
    pub fn has(&self, key: &str) -> bool {
        self.settings.iter().any(|setting| setting.key == key)
    }

    pub fn set_directory(&mut self, path: &str, origin: Option<&Origin>) {
        self.directory = Some(path.to_owned());
        self.set("directory", Value::Text(path), origin);
    }

    /// A path as it is seen from `directory`.
    pub fn absolute(&self, path: &str) -> String {
        match &self.directory {
            Some(directory) if !path.starts_with(['/', '@']) => {
                format!("{}/{path}", directory.trim_end_matches('/'))
            }
            _ => path.to_owned(),
        }
    }

    /// The preset, if it has one.
    pub fn preset(&self) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == "preset")
    }

    /// Takes the preset away again if its settings and the command are not in order with it; `settings` is the
    /// file as it would be written.
    pub fn check_preset(&mut self, settings: &str) {
        let Some(preset) = self.preset().cloned() else { return };
        let problems = load(Some(("", settings)), &Overrides::default(), &ANY_MACHINE).err();
        if let Some(problem) = problems.and_then(|problems| problems.0.into_iter().next()) {
            self.settings.retain(|setting| setting.key != "preset");
            let origin = Origin::new("preset", &preset.value, 0);
            self.lose(&origin, reason(problem));
        }
    }

    /// Comments a setting out, as a suggestion.
    pub fn suggest_only(&mut self, key: &str, comment: &str) {
        if let Some(at) = self.settings.iter().position(|setting| setting.key == key) {
            let setting = self.settings.remove(at);
            self.suggest(key, &setting.value, comment);
        }
    }

    /// Why is in the comment; it can be uncommented as it is.
    pub fn suggest(&mut self, key: &str, value: &str, comment: &str) {
        let (key, value, comment) = (key.to_owned(), value.to_owned(), comment.to_owned());
        self.suggestions.push(Setting { key, value, comment });
    }

    /// A variable of the workers; placeholders in `value`.
    pub fn set_variable(&mut self, name: &str, value: &str, origin: Option<&Origin>) {
        let (key, value) = (bare_or_quoted(name), quote(value));
        match refused(&format!("environment.{key}"), &value) {
            None => {
                self.environment.retain(|setting| setting.key != key);
                let comment = origin.map(Origin::short).unwrap_or_default();
                self.environment.push(Setting { key, value, comment });
            }
            Some(why) => self.refuse(&format!("environment.{key}"), &value, &why, origin),
        }
    }

    fn refuse(&mut self, key: &str, value: &str, why: &str, origin: Option<&Origin>) {
        match origin {
            Some(origin) => self.lose(origin, why),
            None => self.lose(&Origin::new(key, value, 0), why),
        }
    }

    /// A line of `[Socket]` in the drop-in; nothing in it is a specifier of systemd's.
    pub fn in_socket(&mut self, key: &str, value: &str, origin: Option<&Origin>) {
        if let Some(setting) = self.unit_line(key, value, origin) {
            self.socket.push(setting);
        }
    }

    /// A line of `[Service]` in the drop-in.
    pub fn in_service(&mut self, key: &str, value: &str, origin: Option<&Origin>) {
        if let Some(setting) = self.unit_line(key, value, origin) {
            self.service.retain(|known| known.key != setting.key);
            self.service.push(setting);
        }
    }

    fn unit_line(&mut self, key: &str, value: &str, origin: Option<&Origin>) -> Option<Setting> {
        if value.is_empty() || value.contains(char::is_control) || value.ends_with('\\') {
            self.refuse(key, value, &format!("no value for {key}= of the unit"), origin);
            return None;
        }
        let comment = origin.map(Origin::short).unwrap_or_default();
        Some(Setting { key: key.to_owned(), value: value.replace('%', "%%"), comment })
    }

    /// `User=` or `Group=`: the shipped unit has a dynamic user, and a number cannot be one.
    pub fn runs_as(&mut self, key: &str, name: &str, origin: Option<&Origin>) {
        self.in_service(key, name, origin);
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
            // A user by number cannot be a dynamic one.
            self.in_service("DynamicUser", "no", origin);
        }
    }

    /// Listens on an address as systemd writes it, or says why it cannot.
    pub fn listen(&mut self, address: &str, origin: Option<&Origin>) {
        self.sockets = Sockets::FromSystemd;
        match address.parse::<Address>() {
            // A port alone stays one: systemd writes it as `[::]:80`.
            Ok(_) if address.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.in_socket("ListenStream", address, origin);
            }
            Ok(parsed) => self.in_socket("ListenStream", &parsed.to_string(), origin),
            Err(error) => {
                let why = format!(
                    "no address that systemd listens on: {error}; write it into the drop-in"
                );
                self.refuse("ListenStream", address, &why, origin);
            }
        }
    }

    /// The instance has a socket whose address is not known: the drop-in has a line to fill in.
    pub fn listen_somewhere(&mut self, why: &str) {
        self.sockets = Sockets::FromSystemd;
        self.advise(format!(
            "{why}: write the address into the drop-in of the socket (ListenStream=)."
        ));
    }

    pub fn is_listening(&self) -> bool {
        self.socket.iter().any(|line| line.key == "ListenStream")
    }

    /// Whether it listens on a path, which has an owner and a mode.
    pub fn listens_on_path(&self) -> bool {
        self.socket.iter().any(|line| line.key == "ListenStream" && line.value.starts_with('/'))
    }

    pub fn lose(&mut self, origin: &Origin, why: impl Into<String>) {
        self.notes.lose(origin, why);
    }

    pub fn need_not(&mut self, origin: &Origin, why: &str) {
        self.notes.need_not(origin, why);
    }

    pub fn advise(&mut self, advice: impl Into<String>) {
        let advice = advice.into();
        if !self.advice.contains(&advice) {
            self.advice.push(advice);
        }
    }
}

/// Why herder would refuse `key = value`.
fn refused(key: &str, value: &str) -> Option<String> {
    // It is about the command, and looked at with that.
    if key == "preset" {
        return None;
    }
    // With a fixed number of workers the setting has no effect.
    let beside = if key == "idle-timeout" { "workers = { min = 0 }\n" } else { "" };
    let line = format!("{beside}{key} = {value}\n");
    let problems = load(Some(("", &line)), &Overrides::default(), &ANY_MACHINE).err()?;
    problems.0.into_iter().next().map(reason)
}

fn reason(problem: Problem) -> String {
    match problem.suggestion {
        Some(suggestion) => format!("{}; {suggestion}", problem.message),
        None => problem.message,
    }
}

fn bare_or_quoted(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { quote(key) }
}

/// A name that an instance, a unit and a file can have, made from any other.
pub fn instance_name(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let name: String = name.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    match name.trim_matches(['-', '.']) {
        "" => "app".to_owned(),
        // Sockets named so would be herder's own.
        name if name.starts_with("herder-") => format!("app-{name}"),
        name => name.chars().take(60).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin::new("there", "x", 7)
    }

    #[test]
    fn what_herder_would_refuse_is_named_instead() {
        let mut instance = Instance::new("a".into(), "x".into());
        instance.set("workers", Value::Number("5"), Some(&origin()));
        instance.set("workers", Value::Number("70000"), Some(&origin()));
        instance.set("workers", Value::Number("1\ncheck = [\"evil\"]"), Some(&origin()));
        instance.set("stop-signal", Value::Text("SIGNOTHING"), Some(&origin()));
        instance.set_variable("LISTEN_FDS", "1", Some(&origin()));
        instance.set_variable("A B", "1", Some(&origin()));
        instance.set_variable("A", "{slot}", None);
        assert_eq!(instance.settings.len(), 1);
        assert_eq!(instance.settings[0].value, "5");
        assert_eq!(instance.environment.len(), 1, "{:?}", instance.environment);
        assert_eq!(instance.notes.lost.len(), 5, "{:?}", instance.notes.lost);
        let there = [("there = x".to_owned(), 7)];
        assert!(instance.notes.lost.iter().all(|lost| lost.settings == there));
    }

    #[test]
    fn addresses_are_those_systemd_takes() {
        for (address, listens) in [
            ("/run/a.sock", true),
            ("127.0.0.1:80", true),
            ("[::1]:80", true),
            ("80", true),
            ("db.example:80", false),
            ("relative.sock", false),
        ] {
            let mut instance = Instance::new("a".into(), "x".into());
            instance.listen(address, Some(&origin()));
            assert_eq!(instance.is_listening(), listens, "{address}");
            assert_eq!(instance.notes.lost.len(), usize::from(!listens), "{address}");
        }
    }

    #[test]
    fn lines_of_units_cannot_hold_others() {
        let mut instance = Instance::new("a".into(), "x".into());
        instance.in_service("User", "www\nExecStart=/bin/evil", Some(&origin()));
        instance.in_service("User", "", Some(&origin()));
        instance.in_service("User", "50%", None);
        instance.runs_as("User", "1000", None);
        let lines: Vec<_> =
            instance.service.iter().map(|line| (line.key.as_str(), line.value.as_str())).collect();
        assert_eq!(lines, [("User", "1000"), ("DynamicUser", "no")]);
        assert_eq!(instance.notes.count_lost(), 1, "{:?}", instance.notes);
    }

    #[test]
    fn names_become_names_of_units_and_files() {
        for (name, valid) in [
            ("web", "web"),
            ("my app/1", "my-app-1"),
            ("..", "app"),
            ("@scope/api", "scope-api"),
            ("herder-x", "app-herder-x"),
            ("é", "app"),
        ] {
            assert_eq!(instance_name(name), valid);
        }
    }
}
