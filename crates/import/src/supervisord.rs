//! supervisord.conf: each `[program:x]` and `[fcgi-program:x]` becomes an instance, `numprocs` its workers.
//!
//! supervisord gives a program no sockets but those of an fcgi-program, so a program opens its own; known
//! servers are made to take theirs from systemd instead (`server`). Python's `%(…)s` is expanded where what it
//! stands for is known here; what only herder's environment will know is left to a shell.

use super::ini::{self, Assignment, Ini, Section};
use super::instance::{Instance, Sockets, Value, instance_name};
use super::known::supervisord::{DAEMON, FCGI, PROGRAM, SECTIONS};
use super::known::{ENABLED, Fate, OFF, fate, is_off};
use super::notes::Origin;
use super::percent::{Expanded, Values, pairs};
use super::server::{self, as_systemd_writes};
use super::words::{Mark, for_shell, is_name, split, template};
use super::{Import, Source};

pub fn import(source: &Source<'_>) -> Result<Import, String> {
    let ini = ini::python(source.text);
    let mut import = Import::of(source);
    for (line, text) in &ini.strange {
        import.strange(*line, text);
    }
    let daemon = Daemon::read(&ini, source);
    for section in &ini.sections {
        let name = section.name.as_str();
        let of_type = |(known, _): &&(&str, Fate)| match known.strip_suffix(':') {
            Some(_) => name.starts_with(known),
            None => name == *known,
        };
        if let Some(program) = name.strip_prefix("program:") {
            import.add(
                Program { name: program, section, fcgi: false, daemon: &daemon }.instance(source),
            );
        } else if let Some(program) = name.strip_prefix("fcgi-program:") {
            import.add(
                Program { name: program, section, fcgi: true, daemon: &daemon }.instance(source),
            );
        } else if name == "supervisord" {
            whole_file(section, &mut import);
        } else if let Some((_, fate)) = SECTIONS.iter().find(of_type) {
            let files = section.get("files").map_or("", |entry| entry.value.as_str());
            let text =
                format!("[{name}] {}", files.split_whitespace().collect::<Vec<_>>().join(" "));
            let origin = Origin {
                text: text.trim().to_owned(),
                name: format!("[{name}]"),
                line: section.line,
            };
            match fate {
                Fate::Lost(why) => import.lose(&origin, *why),
                Fate::Needless(why) => import.need_not(&origin, why),
                Fate::Carried => {}
            }
        } else {
            let origin =
                Origin { text: format!("[{name}]"), name: name.to_owned(), line: section.line };
            import.unknown(&origin);
        }
    }
    match import.is_empty() {
        false => Ok(import),
        true => Err(format!(
            "{}: there is no [program:x] in it{}",
            source.name,
            if ini.sections.iter().any(|section| section.name == "include") {
                "; import the files that [include] names"
            } else {
                ""
            }
        )),
    }
}

fn whole_file(section: &Section, import: &mut Import) {
    for entry in &section.entries {
        let origin = origin_of(entry);
        match fate(DAEMON, &entry.name) {
            Some(Fate::Carried) => {}
            Some(Fate::Needless(why)) => import.need_not(&origin, why),
            Some(Fate::Lost(why)) => import.lose(&origin, why),
            None => import.unknown(&origin),
        }
    }
}

fn origin_of(entry: &Assignment) -> Origin {
    Origin::new(&entry.name, &entry.value, entry.line)
}

/// What `[supervisord]` says for all programs.
struct Daemon<'a> {
    environment: Vec<(String, String)>,
    section: Option<&'a Section>,
    /// Each group and the programs in it.
    groups: Vec<(&'a str, &'a str)>,
}

impl<'a> Daemon<'a> {
    fn read(ini: &'a Ini, source: &Source<'_>) -> Daemon<'a> {
        let section = ini.sections.iter().find(|section| section.name == "supervisord");
        let groups = ini.sections.iter().filter_map(|section| {
            Some((section.name.strip_prefix("group:")?, section.get("programs")?.value.as_str()))
        });
        let mut daemon = Daemon { environment: Vec::new(), section, groups: groups.collect() };
        if let Some(entry) = section.and_then(|section| section.get("environment")) {
            let here = source.directory;
            let values = Values { program: "", group: "", processes: 1, here, known: Vec::new() };
            let expanded = values.expand(&entry.value).text;
            daemon.environment = pairs(&expanded).unwrap_or_default();
        }
        daemon
    }

    fn group_of(&self, program: &'a str) -> &'a str {
        let has = |programs: &str| programs.split([',', '\n']).any(|name| name.trim() == program);
        let group = self.groups.iter().find(|(_, programs)| has(programs)).map(|(name, _)| *name);
        group.unwrap_or(program)
    }

    fn get(&self, name: &str) -> Option<&'a Assignment> {
        self.section?.get(name)
    }
}

/// One `[program:x]` or `[fcgi-program:x]`.
struct Program<'a> {
    name: &'a str,
    section: &'a Section,
    fcgi: bool,
    daemon: &'a Daemon<'a>,
}

impl Program<'_> {
    fn instance(&self, source: &Source<'_>) -> Instance {
        let title =
            format!("[{}] of {}, line {}", self.section.name, source.name, self.section.line);
        let mut instance = Instance::new(instance_name(self.name), title);
        let processes = self.section.get("numprocs").and_then(|entry| entry.value.parse().ok());
        let mut values = Values {
            program: self.name,
            group: self.daemon.group_of(self.name),
            processes: processes.unwrap_or(1),
            here: source.directory,
            known: self.daemon.environment.clone(),
        };
        instance.set("workers", Value::Number("1"), None);
        for name in ["directory", "user", "umask", "environment"] {
            let own = self.section.get(name);
            for entry in
                self.daemon.get(name).into_iter().filter(|_| own.is_none() || name == "environment")
            {
                self.carry(entry, &mut values, &mut instance);
            }
            // Before the command, which may stand on them.
            if let Some(entry) = own {
                self.carry(entry, &mut values, &mut instance);
            }
        }
        for entry in &self.section.entries {
            let origin = origin_of(entry);
            let known = fate(PROGRAM, &entry.name)
                .or_else(|| fate(FCGI, &entry.name).filter(|_| self.fcgi));
            match known {
                Some(Fate::Carried) => match entry.name.as_str() {
                    "directory" | "user" | "umask" | "environment" | "command" => {}
                    _ => self.carry(entry, &mut values, &mut instance),
                },
                Some(Fate::Needless(why)) => instance.need_not(&origin, why),
                Some(Fate::Lost(_)) if is_off(&entry.value) => instance.need_not(&origin, OFF),
                Some(Fate::Lost(why)) => instance.lose(&origin, why),
                None => instance.lose(&origin, super::UNKNOWN),
            }
        }
        match self.section.get("command") {
            Some(entry) => self.command(entry, &values, &mut instance),
            None => {
                instance.advise("It has no command, so herder would run its demonstration worker.")
            }
        }
        if instance.preset().is_some() {
            instance.suggest_only("stop-signal", OWN_SIGNAL);
        }
        self.sockets(&mut instance);
        instance
    }

    fn carry(&self, entry: &Assignment, values: &mut Values<'_>, instance: &mut Instance) {
        let origin = origin_of(entry);
        let Expanded { text, trouble } = values.expand(&entry.value);
        trouble.into_iter().for_each(|why| instance.lose(&origin, why));
        if Mark::has_variable(&text) && entry.name != "environment" {
            return instance
                .lose(&origin, "a variable of supervisord's own environment: write its value");
        }
        let from = Some(&origin);
        match entry.name.as_str() {
            "numprocs" => instance.set("workers", Value::Number(&text), from),
            "numprocs_start" if text.trim() == "0" => instance.need_not(&origin, "slots are numbered from 0"),
            "numprocs_start" => instance.lose(&origin, "slots are numbered from 0; what is made of {slot} changes"),
            "startsecs" if text.trim() == "0" => instance.set("ready", Value::Text("exec"), from),
            "startsecs" => instance.set("ready-after", Value::Seconds(&text), from),
            "startretries" => match text.trim().parse::<u32>() {
                // The first try is none of them.
                Ok(retries) => instance.set("crash-limit.burst", Value::Number(&(u64::from(retries) + 1).to_string()), from),
                Err(_) => instance.lose(&origin, "no number: write it as crash-limit.burst"),
            },
            "autostart" => {
                instance.by_hand = is_false(&text);
                instance.need_not(&origin, ENABLED);
            }
            "autorestart" if text == "true" => {
                instance.need_not(&origin, "a worker that ends is always replaced");
            }
            "autorestart" => instance.lose(&origin, ALWAYS),
            "exitcodes" => {
                let codes: Vec<_> = text.split(',').map(|code| code.trim().to_owned()).collect();
                instance.set("success-exit-status", Value::List(&codes), from);
            }
            "stopsignal" => instance.set("stop-signal", Value::Text(&text.to_uppercase()), from),
            "stopwaitsecs" => instance.set("stop-timeout", Value::Seconds(&text), from),
            "stopasgroup" if is_false(&text) => {
                instance.need_not(&origin, "the stop signal goes to the program alone");
            }
            "stopasgroup" => instance.lose(
                &origin,
                "the stop signal goes to the program alone, and to what it has started when it has ended; a program \
                 behind a shell is to be run with exec",
            ),
            "user" => instance.runs_as("User", &text, from),
            "umask" => instance.in_service("UMask", &text, from),
            "directory" => {
                let path = match (text.starts_with('/'), values.here) {
                    (false, Some(here)) => format!("{here}/{text}"),
                    _ => text,
                };
                instance.set_directory(&path, from);
            }
            "priority" => instance.lose(&origin, "Before= and After= in drop-ins of the services say what starts first"),
            "environment" => self.environment(&text, &origin, values, instance),
            "socket" => self.socket(&text, &origin, instance),
            "socket_owner" => {
                let (user, group) = text.split_once(':').map_or((text.as_str(), None), |(u, g)| (u, Some(g)));
                instance.in_socket("SocketUser", user, from);
                if let Some(group) = group {
                    instance.in_socket("SocketGroup", group, from);
                }
            }
            "socket_mode" => instance.in_socket("SocketMode", &text, from),
            "socket_backlog" => instance.in_socket("Backlog", &text, from),
            _ => instance.lose(&origin, super::UNKNOWN),
        }
    }

    /// Variables with a value; those that need a variable of herder's environment go to the command's shell.
    fn environment(
        &self,
        text: &str,
        origin: &Origin,
        values: &mut Values<'_>,
        instance: &mut Instance,
    ) {
        let Some(pairs) = pairs(text) else {
            return instance
                .lose(origin, "no list such as A=\"1\",B=\"2\": write it as `environment`");
        };
        for (name, value) in pairs {
            // A wrong name, too, so that it is refused with the reason.
            if !Mark::has_variable(&value) || !is_name(&name) {
                instance.set_variable(&name, &template(&value), Some(origin));
            }
            if is_name(&name) {
                values.known.push((name, value));
            }
        }
    }

    fn command(&self, entry: &Assignment, values: &Values<'_>, instance: &mut Instance) {
        let origin = origin_of(entry);
        let Expanded { text, trouble } = values.expand(&entry.value);
        trouble.into_iter().for_each(|why| instance.lose(&origin, why));
        let words = match split(&text) {
            Ok(words) => words,
            Err(_) => {
                instance.lose(&origin, "a quote has no end");
                text.split_whitespace().map(str::to_owned).collect()
            }
        };
        let exported: Vec<_> =
            values.known.iter().filter(|(_, value)| Mark::has_variable(value)).collect();
        let in_shell = !exported.is_empty() || words.iter().any(|word| Mark::has_variable(word));
        let words: Vec<_> = match in_shell {
            false => {
                let words = server::adopt(&words, None, instance, &origin);
                words.iter().map(|word| template(word)).collect()
            }
            true => {
                // A preset cannot add to what a shell runs, so the server stays as it is.
                if server::listens(&words) {
                    instance.advise(
                        "It opens its own port as before. With the values written out, `herder import` gives it a \
                         socket of systemd's, and a preset.",
                    );
                }
                instance.advise(
                    "A shell runs it, for variables of supervisord's environment: herder has them if its service does \
                     (Environment= or PassEnvironment= in a drop-in), or write out their values.",
                );
                let exports = exported
                    .iter()
                    .map(|(name, value)| format!("export {name}={}; ", for_shell(value)));
                let words: Vec<_> = words.iter().map(|word| for_shell(word)).collect();
                let script = format!("{}exec {}", exports.collect::<String>(), words.join(" "));
                ["/bin/sh", "-c", &template(&script)].map(str::to_owned).to_vec()
            }
        };
        instance.set("command", Value::List(&words), Some(&origin));
    }

    /// `unix:///path` or `tcp://host:port`, given to programs as their standard input.
    fn socket(&self, text: &str, origin: &Origin, instance: &mut Instance) {
        let address = as_systemd_writes(text, instance);
        instance.listen(&address, Some(origin));
        instance.set("stdin", Value::Text("socket"), Some(origin));
    }

    fn sockets(&self, instance: &mut Instance) {
        if self.fcgi {
            instance.sockets = Sockets::FromSystemd;
            // supervisord's default is its own user; systemd's is a socket that every user may connect to.
            let has = |key: &str| instance.socket.iter().any(|line| line.key == key);
            if instance.listens_on_path() {
                let user = instance.service.iter().find(|line| line.key == "User");
                let owner = user.map(|line| line.value.clone()).filter(|_| !has("SocketUser"));
                if !has("SocketMode") {
                    instance.in_socket("SocketMode", "0700", None);
                }
                if let Some(owner) = owner {
                    instance.in_socket("SocketUser", &owner, None);
                }
            }
            if !instance.is_listening() {
                instance.listen_somewhere("The program has no `socket`");
            }
        }
        if instance.sockets == Sockets::None {
            instance.set("sockets", Value::Toml("[]"), None);
            instance.suggest(
                "max-surge",
                "0",
                "supervisord gave it no socket. If it opens a port of its own, that port is taken until the old worker of \
                 a slot has gone, so let the old one go first:",
            );
            instance.suggest("max-unavailable", "1", "");
        }
    }
}

const OWN_SIGNAL: &str = "The preset says which signal lets requests finish. supervisord sent this one, at which a server \
                          may drop them:";

const ALWAYS: &str = "a worker that ends is always replaced, also one that ends as `exitcodes` says; a program that \
                      ends when it is done is a service of its own, or a .timer";

fn is_false(text: &str) -> bool {
    matches!(text.to_lowercase().as_str(), "false" | "no" | "off" | "0")
}
