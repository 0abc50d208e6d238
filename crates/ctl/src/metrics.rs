//! `herder metrics`: the status of instances as metrics, for monitoring systems.
//!
//! Without a name it speaks for the whole host: all instances are asked at the same time, and one that
//! does not answer in time is `herder_up` 0 and does not delay the others.

use super::ask::{self, connect, read_status};
use super::find::{Instance, Places};
use super::{complain, print, soon};
use herder_linux::error::Error;
use herder_wire::host::{Host, Silent};
use herder_wire::openmetrics::{self, Format};
use herder_wire::status::Status;
use herder_wire::text::harmless;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// `herder metrics [INSTANCE]`: to standard output, or into a file that is there as a whole or not at all.
///
/// # Errors
///
/// Those of [`status`](super::status()) for the instance that was named; [`Error::System`] if the file
/// cannot be written.
pub fn metrics(instance: Option<&str>, format: Format, output: Option<&Path>) -> Result<(), Error> {
    let host = survey(&Places::of_system(), instance)?;
    host.silent.iter().for_each(|silent| complain(&silent.reason));
    let text = openmetrics::render_host(&host, format);
    match output {
        None => print(&text),
        Some(path) => replace(path, text.as_bytes())
            .map_err(|why| Error::system(format!("write {}", path.display()), why)),
    }
}

/// What the instance that was named says of itself, or every instance of the host.
pub fn survey(places: &Places, instance: Option<&str>) -> Result<Host, Error> {
    if let Some(name) = instance {
        return status_of(&places.find(Some(name))?, soon()).map(Host::of_one);
    }
    let seen = places.all();
    seen.unseen.iter().for_each(complain);
    Ok(ask_all(seen.instances, soon()))
}

fn ask_all(instances: Vec<Instance>, deadline: Instant) -> Host {
    let mut host = Host::default();
    for (instance, answer) in ask::each(instances, |one| status_of(one, deadline)) {
        match answer {
            Ok(status) => host.instances.push(status),
            Err(error) => {
                let reason = harmless(&error.to_string());
                host.silent.push(Silent { name: instance.name, reason });
            }
        }
    }
    host
}

/// The metrics carry the name by which the instance was found, not the one it reports: the former is unique, and
/// is the same when the instance does not answer.
fn status_of(instance: &Instance, deadline: Instant) -> Result<Status, Error> {
    let mut connection = connect(instance, deadline)?;
    let status = read_status(instance, ask::status(&mut connection, instance, deadline)?)?;
    Ok(Status { name: instance.name.clone(), ..status })
}

/// Replaces a file by one that every user may read. A process that reads it meanwhile gets all of the old
/// one or all of the new one (rename(2)).
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    // Not a name that the textfile collector of Prometheus would read: *.prom.
    let beside = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
    let part = Part(path.with_file_name(beside));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part.0)?;
    file.write_all(text)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    fs::rename(&part.0, path)
}

/// A temporary file, removed when it is dropped unless it was renamed.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
