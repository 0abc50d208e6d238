//! pm2's ecosystem file, as JSON: each app becomes an instance.
//!
//! The one thing that cannot be carried over is pm2's cluster mode itself: there node's own cluster module
//! stands between an app and its port, here the app takes the socket that it is handed.

use serde_json::value::RawValue;

use super::instance::{Instance, Sockets, Value, instance_name};
use super::json::{Object, line, text};
use super::known::pm2::{APP, TOP, canonical};
use super::known::{ENABLED, Fate, OFF, fate, is_off};
use super::notes::Origin;
use super::recognise::AS_JSON;
use super::server;
use super::words::{split, template};
use super::{Import, Source};
use herder_config::quote;

pub fn import(source: &Source<'_>) -> Result<Import, String> {
    let mut import = Import::of(source);
    let not_json = |error: serde_json::Error| {
        format!(
            "{}: no JSON: {error}; pm2 reads JavaScript here, with comments and the like, herder does not: let it be \
             printed as JSON, as in {AS_JSON}",
            source.name
        )
    };
    let whole: &RawValue = serde_json::from_str(source.text).map_err(not_json)?;
    let Some(top) = Object::of(whole) else {
        let apps: Vec<&RawValue> = serde_json::from_str(source.text)
            .map_err(|_| format!("{}: neither an object nor a list of apps", source.name))?;
        return apps_of(&apps, source, import);
    };
    let Some((_, apps)) = top.0.iter().find(|(name, _)| matches!(name.as_str(), "apps" | "pm2"))
    else {
        // One app alone.
        return apps_of(&[whole], source, import);
    };
    for (name, value) in &top.0 {
        let origin = Origin::new(name, value.get(), line(source.text, value));
        match fate(TOP, name) {
            Some(Fate::Carried) => {}
            Some(Fate::Needless(why)) => import.need_not(&origin, why),
            Some(Fate::Lost(why)) => import.lose(&origin, why),
            None => import.unknown(&origin),
        }
    }
    match serde_json::from_str::<Vec<&RawValue>>(apps.get()) {
        Ok(apps) => apps_of(&apps, source, import),
        Err(_) => apps_of(&[apps], source, import),
    }
}

fn apps_of(apps: &[&RawValue], source: &Source<'_>, mut import: Import) -> Result<Import, String> {
    for app in apps {
        let Some(object) = Object::of(app) else {
            return Err(format!(
                "{}:{}: an app has to be an object with a `script`",
                source.name,
                line(source.text, app)
            ));
        };
        let app = App::read(&object, source, line(source.text, app))?;
        import.add(app.instance(source));
    }
    match import.is_empty() {
        false => Ok(import),
        true => Err(format!("{}: there are no apps in it", source.name)),
    }
}

/// An app: what it says, by pm2's names.
struct App<'a> {
    line: usize,
    members: Vec<(String, Origin, &'a RawValue)>,
}

impl<'a> App<'a> {
    fn read(object: &Object<'a>, source: &Source<'_>, at: usize) -> Result<App<'a>, String> {
        let members = object.0.iter().map(|(name, value)| {
            (canonical(name), Origin::new(name, &text(value), line(source.text, value)), *value)
        });
        let app = App { line: at, members: members.collect() };
        match app.text("script") {
            Some(_) => Ok(app),
            None => Err(format!("{}:{at}: an app without a `script`", source.name)),
        }
    }

    fn get(&self, name: &str) -> Option<&(String, Origin, &'a RawValue)> {
        self.members.iter().rev().find(|(known, ..)| known == name)
    }

    fn text(&self, name: &str) -> Option<String> {
        let (.., value) = self.get(name)?;
        Some(text(value)).filter(|text| !text.is_empty() && text != "null")
    }

    fn origin(&self, name: &str) -> Option<&Origin> {
        self.get(name).map(|(_, origin, _)| origin)
    }

    /// A list, or a text that is one with spaces between.
    fn words(&self, name: &str) -> Vec<String> {
        let Some((.., value)) = self.get(name) else { return Vec::new() };
        match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
            Ok(items) => items.iter().map(|item| text(item)).collect(),
            Err(_) => {
                let line = text(value);
                split(&line)
                    .unwrap_or_else(|_| line.split_whitespace().map(str::to_owned).collect())
            }
        }
    }

    fn name(&self) -> String {
        let script = self.text("script").unwrap_or_default();
        let file = script.rsplit('/').next().unwrap_or_default();
        let stem = file.split_once('.').map_or(file, |(stem, _)| stem).to_owned();
        self.text("name").unwrap_or(stem)
    }

    fn instance(&self, source: &Source<'_>) -> Instance {
        let title = format!("The app {} of {}, line {}", self.name(), source.name, self.line);
        let mut instance = Instance::new(instance_name(&self.name()), title);
        match (self.text("cwd"), source.directory) {
            (Some(cwd), _) if cwd.starts_with('/') => {
                instance.set_directory(&cwd, self.origin("cwd"))
            }
            (Some(cwd), Some(directory)) => {
                let path = format!("{directory}/{}", cwd.trim_start_matches("./"));
                instance.set_directory(&path, self.origin("cwd"));
            }
            (None, Some(directory)) => instance.set_directory(directory, None),
            (_, None) => instance
                .advise("Where it runs is not known: set `directory`, or import with --directory."),
        }
        instance.set("workers", Value::Number("1"), None);
        if self.is_cluster() || self.port().is_some() {
            instance.sockets = Sockets::FromSystemd;
        }
        self.command(&mut instance);
        match instance.preset() {
            Some(_) => instance.suggest("stop-signal", "\"SIGINT\"", OWN_SIGNAL),
            // pm2's, which apps are written for.
            None => instance.set("stop-signal", Value::Text("SIGINT"), None),
        }
        for (name, origin, value) in &self.members {
            match fate(APP, if name.starts_with("env_") { "env_*" } else { name }) {
                Some(Fate::Carried) => self.carry(name, origin, value, source, &mut instance),
                Some(Fate::Needless(why)) => instance.need_not(origin, why),
                Some(Fate::Lost(_)) if is_off(&text(value)) => instance.need_not(origin, OFF),
                Some(Fate::Lost(why)) => instance.lose(origin, why),
                None => instance.lose(origin, super::UNKNOWN),
            }
        }
        self.sockets(&mut instance);
        instance
    }

    fn command(&self, instance: &mut Instance) {
        let script = self.text("script").unwrap_or_default();
        let origin = self
            .origin("script")
            .cloned()
            .unwrap_or_else(|| Origin::new("script", &script, self.line));
        let mut words = Vec::new();
        if script.contains(' ') {
            // pm2 gives it to a shell, which is to become the program here.
            words.extend(["/bin/sh".to_owned(), "-c".to_owned(), format!("exec {script}")]);
        } else {
            words.extend(self.interpreter(&script));
            words.extend(if words.is_empty() { Vec::new() } else { self.words("node_args") });
            // pm2 looks in the directory first, herder in PATH.
            let is_in_path = server::is_known(&script);
            words.push(match script.contains('/') || !words.is_empty() || is_in_path {
                true => script.clone(),
                false => instance.absolute(&script),
            });
            words.extend(self.words("args"));
        }
        let port = self.port().map(|(port, _)| port);
        let words = server::adopt(&words, port.as_deref(), instance, &origin);
        let words: Vec<_> = words.iter().map(|word| template(word)).collect();
        instance.set("command", Value::List(&words), Some(&origin));
    }

    /// By name, else by the script's extension, as pm2 does.
    fn interpreter(&self, script: &str) -> Option<String> {
        if let Some(named) = self.text("exec_interpreter") {
            return (named != "none").then_some(named);
        }
        let (_, extension) = script.rsplit('/').next()?.rsplit_once('.')?;
        let interpreter = match extension {
            "js" | "cjs" | "mjs" => "node",
            "sh" => "bash",
            "py" => "python3",
            "rb" => "ruby",
            "php" => "php",
            "pl" => "perl",
            "ts" | "tsx" => "bun",
            "coffee" => "coffee",
            "ls" => "lsc",
            _ => return None,
        };
        Some(interpreter.to_owned())
    }

    /// The port it says in `port` or in PORT.
    fn port(&self) -> Option<(String, Origin)> {
        let of_env = || {
            let (_, origin, value) = self.get("env")?;
            let variables = Object::of(value)?;
            let (_, port) = variables.0.into_iter().find(|(name, _)| name == "PORT")?;
            Some((text(port), origin.clone()))
        };
        let own = self.text("port").zip(self.origin("port").cloned()).or_else(of_env);
        own.filter(|(port, _)| port.parse::<u16>().is_ok())
    }

    fn is_cluster(&self) -> bool {
        match self.text("exec_mode") {
            Some(mode) => mode.starts_with("cluster"),
            None => self.get("instances").is_some(),
        }
    }

    fn carry(
        &self,
        name: &str,
        origin: &Origin,
        value: &RawValue,
        source: &Source<'_>,
        instance: &mut Instance,
    ) {
        let text = text(value);
        let from = Some(origin);
        match name {
            "instances" => match text.parse::<i64>() {
                Ok(number) if number > 0 => instance.set("workers", Value::Number(&number.to_string()), from),
                Ok(number) if number < 0 => {
                    instance.set("workers", Value::Text("auto"), from);
                    instance.lose(origin, format!("“all CPUs but {}” is said as a number: workers", -number));
                }
                // 0 and "max"
                _ => instance.set("workers", Value::Text("auto"), from),
            },
            "exec_mode" if self.is_cluster() => instance
                .need_not(origin, "workers share the socket without node's cluster module"),
            "exec_mode" => instance.need_not(origin, "each worker is a process of its own"),
            "kill_timeout" => instance.set("stop-timeout", Value::Milliseconds(&text), from),
            "listen_timeout" => instance.lose(
                origin,
                "pm2 goes on after that with an app that does not listen yet; herder gives a worker up that is not ready within \
                 start-timeout, 1min unless set, and keeps those it has",
            ),
            "min_uptime" => match text.ends_with(['h', 'm', 's']) {
                true => instance.set("min-lifetime", Value::Text(&text), from),
                false => instance.set("min-lifetime", Value::Milliseconds(&text), from),
            },
            "max_restarts" => instance.set("crash-limit.burst", Value::Number(&text), from),
            "max_memory_restart" if is_off(&text) => instance.need_not(origin, OFF),
            "max_memory_restart" => instance.set("max-memory", Value::Text(&text), from),
            "uid" => instance.runs_as("User", &text, from),
            "gid" => instance.runs_as("Group", &text, from),
            "autostart" => {
                instance.by_hand = text == "false";
                instance.need_not(origin, ENABLED);
            }
            "autorestart" if text == "false" => instance.lose(
                origin,
                "herder replaces every worker that ends; a program that ends when it is done is a service of its own, \
                 or a .timer",
            ),
            "autorestart" => instance.need_not(origin, "a worker that ends is always replaced"),
            "instance_var" => instance.set_variable(&text, "{slot}", from),
            "increment_var" => instance.lose(
                origin,
                "workers share one socket, so there is one port; {slot} in `environment` tells them apart",
            ),
            "env" => self.environment(origin, value, source, instance),
            _ if name.starts_with("env_") => other_environment(origin, value, instance),
            // Read with the command and the socket.
            _ => {}
        }
    }

    fn environment(
        &self,
        origin: &Origin,
        value: &RawValue,
        source: &Source<'_>,
        instance: &mut Instance,
    ) {
        let Some(variables) = Object::of(value) else {
            return instance.lose(origin, "no object: write it as `environment`");
        };
        for (name, value) in variables.0 {
            let origin = Origin::new(&name, &text(value), line(source.text, value));
            let value = text(value);
            // The port is that of the socket, below.
            if name != "PORT" || value.parse::<u16>().is_err() {
                instance.set_variable(&name, &template(&value), Some(&origin));
            }
        }
    }

    fn sockets(&self, instance: &mut Instance) {
        if self.is_cluster() && self.get("instance_var").is_none() {
            instance.set_variable("NODE_APP_INSTANCE", "{slot}", None);
        }
        if let Some((port, origin)) = self.port() {
            if !instance.is_listening() {
                instance.listen(&port, Some(&origin));
            }
            instance.set_variable("PORT", "{port}", Some(&origin));
        } else if self.is_cluster() && !instance.is_listening() {
            instance.listen_somewhere("The app says itself where it listens");
        }
        if instance.sockets == Sockets::None {
            instance.set("sockets", Value::Toml("[]"), None);
            instance.advise("No port is named, so it is taken for an app that listens nowhere. If it does, remove \
                             `sockets`, and say where in a drop-in of the socket (herder-migrate(7)).");
        }
    }
}

const OWN_SIGNAL: &str = "At SIGTERM, the default, the preset lets requests finish and then ends the app. If the app \
                          handles SIGINT, which is pm2's signal, and has more to do than that:";

/// `env_NAME`, which pm2 uses only with `--env NAME`. The file does not say whether that option is given.
fn other_environment(origin: &Origin, value: &RawValue, instance: &mut Instance) {
    let variables = Object::of(value).unwrap_or_default().0;
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| format!("{name} = {}", quote(template(&text(value)))))
        .collect();
    let name = origin.name.trim_start_matches("env_");
    let origin = Origin { text: origin.name.clone(), ..origin.clone() };
    let why = format!(
        "only `pm2 start --env {name}` has it; if that is how it runs, put into [environment]: {}",
        variables.join(", ")
    );
    instance.lose(&origin, why);
}
