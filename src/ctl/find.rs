//! Which instance is meant, and where its control socket is.

use super::client::Connection;
use crate::error::Error;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A running herder, as far as the file system tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// `NAME` of `herder@NAME.service`, or the last part of its directory's path.
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

    fn at(&self, path: &Path) -> Result<Instance, Error> {
        let there = fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Denied(format!("{} does not exist", path.display())),
            _ => Error::Denied(format!("cannot look at {}: {error}", path.display())),
        })?;
        // Both the directory and the socket in it will do.
        match path.parent() {
            Some(parent) if !there.is_dir() && path.ends_with("control") => {
                Ok(self.instance(parent))
            }
            _ => Ok(self.instance(path)),
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
            0 => Err(self.missing(name)),
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

    fn missing(&self, name: &str) -> Error {
        if self.settings.join(format!("{name}.toml")).exists() {
            return Error::NotRunning(format!(
                "{name} is not running; start it with: systemctl start herder@{name}.socket"
            ));
        }
        let running: Vec<String> = self.running().into_keys().collect();
        let known = if running.is_empty() { "none runs".to_owned() } else { running.join(", ") };
        Error::Denied(format!("there is no instance called {name} (running: {known})"))
    }

    fn only_one(&self) -> Result<Instance, Error> {
        let mut running: Vec<(String, PathBuf)> = self.running().into_iter().collect();
        match running.len() {
            0 => {
                let places: Vec<String> =
                    self.parents.iter().map(|parent| parent.display().to_string()).collect();
                Err(Error::NotRunning(format!("no herder is running in {}", places.join(" or "))))
            }
            1 => Ok(self.instance(&running.remove(0).1)),
            _ => {
                let names: Vec<String> = running.into_iter().map(|(name, _)| name).collect();
                Err(Error::Usage(format!("which instance? Running are: {}", names.join(", "))))
            }
        }
    }

    /// The instances that run, by what to call them: the name, or the path if two have it.
    fn running(&self) -> BTreeMap<String, PathBuf> {
        let mut running = BTreeMap::new();
        for parent in &self.parents {
            let Ok(entries) = fs::read_dir(parent) else { continue };
            for dir in entries.flatten().map(|entry| entry.path()) {
                if somebody_listens(&dir.join("control")) {
                    let name = name_of(&dir);
                    let taken = running.contains_key(&name);
                    running.insert(if taken { dir.display().to_string() } else { name }, dir);
                }
            }
        }
        running
    }

    fn instance(&self, dir: &Path) -> Instance {
        let is_system = dir.parent() == self.parents.first().map(PathBuf::as_path);
        Instance { name: name_of(dir), control: dir.join("control"), is_system }
    }
}

fn name_of(dir: &Path) -> String {
    dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned()
}

/// A herder that hangs counts: its queue may be full, but there is one.
fn somebody_listens(control: &Path) -> bool {
    match Connection::open(control, Instant::now() + Duration::from_millis(100)) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Why the instance cannot be asked, and what to do.
pub fn unreachable(instance: &Instance, error: &io::Error) -> Error {
    let name = &instance.name;
    let control = instance.control.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            let start = if instance.is_system {
                format!("; start it with: systemctl start herder@{name}.socket")
            } else {
                String::new()
            };
            Error::NotRunning(format!("{name} is not running: nobody listens at {control}{start}"))
        }
        io::ErrorKind::PermissionDenied => Error::Denied(format!(
            "no permission to connect to {control}; try again as root, or as the user {name} runs as"
        )),
        io::ErrorKind::WouldBlock => Error::Failed(format!(
            "{name}: herder runs, but takes no connections: it is stopped or hangs; \
             see what it said last with: {}",
            instance.how_to_look()
        )),
        _ => Error::system(format!("connect to {control}"), io::Error::from(error.kind())),
    }
}

#[cfg(test)]
#[path = "find_tests.rs"]
mod tests;
