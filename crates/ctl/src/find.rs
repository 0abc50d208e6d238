//! Which instance is meant, and where its control socket is.

use super::PATIENCE;
use super::client::Connection;
use super::start::how_to_start;
use herder_linux::error::Error;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A running herder, as far as the file system tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// `NAME` of `herder@NAME.service`, or the last part of its path.
    pub name: String,
    /// Its control socket.
    pub control: PathBuf,
    /// It may be `herder@NAME.service` of the system.
    pub is_system: bool,
}

impl Instance {
    /// Its runtime directory.
    pub fn directory(&self) -> &Path {
        self.control.parent().unwrap_or(&self.control)
    }

    /// What to call it on a command line.
    pub fn argument(&self) -> String {
        if self.is_system { self.name.clone() } else { self.directory().display().to_string() }
    }

    /// The unit it would be.
    pub fn unit(&self) -> String {
        format!("herder@{}.service", self.name)
    }

    /// The command that shows what it last said.
    pub fn how_to_look(&self) -> String {
        if self.is_system {
            format!("journalctl -e -u {}", self.unit())
        } else {
            "journalctl -e -t herder".to_owned()
        }
    }

    /// What to do about one that hangs.
    pub fn how_to_recover(&self) -> String {
        let look = self.how_to_look();
        if self.is_system {
            let unit = self.unit();
            format!(
                "see what it said last with: {look}; start it anew with: systemctl restart {unit}"
            )
        } else {
            format!("see what it said last with: {look}")
        }
    }
}

/// What there is on this machine, as far as this caller may look.
#[derive(Debug)]
pub struct Seen {
    /// By name. One whose herder has died may be among them: whoever asks it is told so.
    pub instances: Vec<Instance>,
    /// Where instances may be that cannot be seen, and what to do about it.
    pub unseen: Vec<Error>,
}

/// Where instances may be.
#[derive(Clone, Debug)]
pub struct Places {
    /// The directory of the unit this is called from.
    own: Option<PathBuf>,
    /// Directories of runtime directories; the system's is the first.
    parents: Vec<PathBuf>,
    /// Where the system's settings files are.
    settings: PathBuf,
    /// What to say of one with settings that does not run.
    how_to_start: fn(&str) -> String,
}

impl Places {
    /// As the environment says (systemd.exec(5), `RuntimeDirectory=`; pam_systemd(8)).
    pub fn of_system() -> Places {
        let own = std::env::var("RUNTIME_DIRECTORY").ok();
        let own = own.as_deref().and_then(|list| list.split(':').next()).map(PathBuf::from);
        let mut parents = vec![PathBuf::from("/run/herder")];
        let user = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        parents.extend(user.filter(|dir| dir.is_absolute()).map(|dir| dir.join("herder")));
        Places {
            own: own.filter(|dir| dir.is_absolute()),
            parents,
            settings: PathBuf::from("/etc/herder"),
            how_to_start,
        }
    }

    /// The instance that is meant: by name, unit or path; without any, the one this is called
    /// from, else the only one that runs.
    pub fn find(&self, instance: Option<&str>) -> Result<Instance, Error> {
        match instance {
            Some(path) if path.contains('/') => self.at(Path::new(path)),
            Some(name) => self.named(name),
            None => match &self.own {
                Some(own) => Ok(self.instance(own)),
                None => self.only_one(),
            },
        }
    }

    /// Whether this is called from an instance's unit, which then is meant.
    pub fn is_inside_unit(&self) -> bool {
        self.own.is_some()
    }

    /// Every instance there is. One that this caller has no permission for, or that hangs, is among
    /// them; of two with the same name the second is called by its path.
    pub fn all(&self) -> Seen {
        let mut found: BTreeMap<String, Instance> = BTreeMap::new();
        let mut unseen = Vec::new();
        for parent in &self.parents {
            let entries = match fs::read_dir(parent) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    unseen.push(Error::Denied(format!(
                        "cannot look into {}: {error}; try again as root",
                        parent.display()
                    )));
                    continue;
                }
            };
            for dir in entries.flatten().map(|entry| entry.path()) {
                let mut instance = self.instance(&dir);
                // What cannot be looked at is one that this caller may not ask.
                let absent = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
                let looked_up = fs::symlink_metadata(&instance.control);
                if looked_up.is_err_and(|error| absent.contains(&error.kind())) {
                    continue;
                }
                if found.contains_key(&instance.name) {
                    instance.name = dir.display().to_string();
                }
                found.insert(instance.name.clone(), instance);
            }
        }
        Seen { instances: found.into_values().collect(), unseen }
    }

    /// The names of the system's settings files: instances that run, or could.
    pub fn configured(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.settings).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".toml")?.to_owned()))
            .filter(|name| !name.is_empty() && !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    fn at(&self, path: &Path) -> Result<Instance, Error> {
        let there = fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Denied(format!("{} does not exist", path.display())),
            _ => Error::Denied(format!(
                "cannot look at {}: {error}; try again as root",
                path.display()
            )),
        })?;
        if there.is_dir() {
            return Ok(self.instance(path));
        }
        // The socket in a directory will do too, and one that systemd made, wherever it is.
        match path.parent() {
            Some(parent) if path.ends_with("control") => Ok(self.instance(parent)),
            _ => Ok(Instance { name: name_of(path), control: path.to_owned(), is_system: false }),
        }
    }

    fn named(&self, given: &str) -> Result<Instance, Error> {
        let name = given.strip_prefix("herder@").unwrap_or(given);
        let name = name.strip_suffix(".service").unwrap_or(name);
        if name.is_empty() || name.starts_with('.') {
            return Err(Error::Usage(format!(
                "`{given}` is not an instance: give NAME, herder@NAME.service, or the path of a runtime directory"
            )));
        }
        if let Some(own) = self.own.as_ref().filter(|own| own.ends_with(name)) {
            return Ok(self.instance(own));
        }
        let mut found = Vec::new();
        for dir in self.parents.iter().map(|parent| parent.join(name)) {
            match fs::metadata(&dir) {
                Ok(_) => found.push(self.instance(&dir)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(Error::Denied(format!(
                        "cannot look at {}: {error}; try again as root",
                        dir.display()
                    )));
                }
            }
        }
        match found.len() {
            0 => self.late_or_missing(name),
            1 => Ok(found.remove(0)),
            _ => {
                let paths: Vec<String> =
                    found.iter().map(|found| found.directory().display().to_string()).collect();
                Err(Error::Usage(format!(
                    "there are two instances called {name}; name one by its path: {}",
                    paths.join(" or ")
                )))
            }
        }
    }

    /// One that was not there a moment ago, when there was a look for it.
    fn late_or_missing(&self, name: &str) -> Result<Instance, Error> {
        let settings = self.settings.join(format!("{name}.toml"));
        if settings.exists() {
            let how = (self.how_to_start)(name);
            return Err(Error::NotRunning(format!("{name} is not running{how}")));
        }
        let mut running = self.running();
        if let Some(late) = running.iter().position(|found| found.name == name) {
            return Ok(running.swap_remove(late));
        }
        let mut known = self.configured();
        known.extend(running.into_iter().map(|found| found.name));
        known.sort();
        known.dedup();
        let known = match known.is_empty() {
            true => "there is no other either".to_owned(),
            false => format!("there are: {}", known.join(", ")),
        };
        let settings = settings.display();
        Err(Error::Denied(format!(
            "there is no instance called {name}: nothing of that name runs, and {settings} does not exist; {known}"
        )))
    }

    fn only_one(&self) -> Result<Instance, Error> {
        let mut running = self.running();
        match running.len() {
            0 => Err(self.none_runs()),
            1 => Ok(running.remove(0)),
            _ => {
                let names: Vec<String> = running.into_iter().map(|found| found.name).collect();
                Err(Error::Usage(format!("which instance? Running are: {}", names.join(", "))))
            }
        }
    }

    /// Says where nobody is, and how to start somebody.
    pub fn none_runs(&self) -> Error {
        let places: Vec<String> =
            self.parents.iter().map(|parent| parent.display().to_string()).collect();
        let places = places.join(" or ");
        Error::NotRunning(match self.configured().as_slice() {
            [] => format!(
                "no herder is running in {places}, and there are no settings in {}; to see one, \
                 without any: herder run --listen 127.0.0.1:8000",
                self.settings.display()
            ),
            [name] => format!(
                "no herder is running in {places}; {name} is not running{}",
                (self.how_to_start)(name)
            ),
            names => format!(
                "no herder is running in {places}; how to start one is told for each: herder status NAME, \
                 with NAME one of {}",
                names.join(", ")
            ),
        })
    }

    /// Those of [`all`](Places::all) that run and may be asked; if there are none, those that may
    /// not, so that this is what is said.
    pub fn running(&self) -> Vec<Instance> {
        let deadline = Instant::now() + PATIENCE / 2;
        let (mut open, mut closed) = (Vec::new(), Vec::new());
        for instance in self.all().instances {
            let soon = deadline.min(Instant::now() + Duration::from_millis(100));
            match Connection::open(&instance.control, soon).map_err(|error| error.kind()) {
                // One that hangs counts: its queue may be full, but there is a herder.
                Ok(_) | Err(io::ErrorKind::WouldBlock) => open.push(instance),
                Err(io::ErrorKind::PermissionDenied) => closed.push(instance),
                Err(_) => {}
            }
        }
        if open.is_empty() { closed } else { open }
    }

    fn instance(&self, dir: &Path) -> Instance {
        let is_system = dir.parent() == self.parents.first().map(PathBuf::as_path);
        Instance { name: name_of(dir), control: dir.join("control"), is_system }
    }
}

fn name_of(dir: &Path) -> String {
    dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
#[path = "find_tests.rs"]
mod tests;
