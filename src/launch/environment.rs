//! The environment of workers, later sources over earlier ones: herder's own environment without the variables
//! about herder, `environment`, `environment-file` (as in systemd.exec(5)), the command line's variables, and the
//! variables that herder sets.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use super::sockets::Selection;
use super::{Surroundings, c_string, read_small_file};
use herder_config::{Bound, EnvironmentFile, Place, Problems, Settings, is_set_by_herder};
use herder_core::{Generation, SlotId, Span, WorkerId};
use herder_wire::envfile;
use herder_wire::listen::Handover;

/// Where programs are searched when PATH is not set, as systemd does (systemd.exec(5)).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The variable that `workers = "auto"` may come from.
const WEB_CONCURRENCY: &str = "WEB_CONCURRENCY";

/// A generation's environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    fixed: Vec<CString>,
    varying: Vec<(String, Bound)>,
    path: OsString,
}

enum Variable {
    Fixed(OsString),
    Varying(Bound),
}

/// Where a variable of `environment` was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    File,
    CommandLine,
}

impl Environment {
    pub fn new(
        settings: &Settings,
        sockets: &Selection,
        surroundings: &Surroundings,
        problems: &mut Problems,
    ) -> Environment {
        let mut variables = inherited(settings, surroundings);
        add_settings(settings, Source::File, sockets, &mut variables, problems);
        for file in &settings.environment_file {
            add_file(settings, file, surroundings, &mut variables, problems);
        }
        add_settings(settings, Source::CommandLine, sockets, &mut variables, problems);
        let path = match variables.get(OsStr::new("PATH")) {
            Some(Variable::Fixed(path)) => path.clone(),
            _ => DEFAULT_PATH.into(),
        };
        // Without a socket there is no LISTEN_FDS either, as under systemd.
        if !sockets.is_empty() && sockets.places().groups().is_empty() {
            for (name, value) in Handover::compose(sockets.names()) {
                variables.insert(name.into(), Variable::Fixed(value.into()));
            }
        }
        if let Some(Span(usec)) = settings.policy.watchdog {
            variables.insert("WATCHDOG_USEC".into(), Variable::Fixed(usec.to_string().into()));
        }
        let mut environment = Environment { path, ..Environment::default() };
        for (name, variable) in variables {
            match variable {
                Variable::Fixed(value) => environment.fixed.push(assignment(&name, &value)),
                // Its name is from the settings, so it is UTF-8.
                Variable::Varying(bound) => {
                    environment.varying.push((name.to_string_lossy().into_owned(), bound));
                }
            }
        }
        environment
    }

    /// PATH of the workers.
    pub fn path(&self) -> &OsStr {
        &self.path
    }

    /// One worker's environment; `own_sockets` are the names of its sockets if they differ between workers.
    pub fn render(
        &self,
        slot: SlotId,
        worker: WorkerId,
        generation: Generation,
        notify_socket: &Path,
        own_sockets: Option<Vec<&str>>,
    ) -> Vec<Cow<'_, CStr>> {
        let mut env = Vec::with_capacity(self.fixed.len() + self.varying.len() + 6);
        env.extend(self.fixed.iter().map(|variable| Cow::Borrowed(variable.as_c_str())));
        for (name, bound) in &self.varying {
            let value = bound.render(slot.0, worker.0, generation.0);
            env.push(Cow::Owned(c_string(format!("{name}={value}"))));
        }
        let own = [
            assignment(OsStr::new("NOTIFY_SOCKET"), notify_socket.as_os_str()),
            c_string(format!("HERDER_SLOT={}", slot.0)),
            c_string(format!("HERDER_WORKER={}", worker.0)),
            c_string(format!("HERDER_GENERATION={}", generation.0)),
        ];
        env.extend(own.map(Cow::Owned));
        for (name, value) in own_sockets.into_iter().flat_map(Handover::compose) {
            env.push(Cow::Owned(assignment(OsStr::new(name), OsStr::new(&value))));
        }
        env
    }
}

fn assignment(name: &OsStr, value: &OsStr) -> CString {
    c_string([name.as_bytes(), b"=", value.as_bytes()].concat())
}

/// herder's environment without the variables about herder's own process. JOURNAL_STREAM stays, because a
/// worker's standard error is herder's unless `syslog-identifier` sets both anew. WEB_CONCURRENCY is removed
/// if it has set the number of workers: each worker would start as many processes again.
fn inherited(settings: &Settings, surroundings: &Surroundings) -> BTreeMap<OsString, Variable> {
    let counted = matches!(settings.origins.get("workers"), Some(Place::Environment(_)));
    surroundings
        .environment
        .iter()
        .filter(|(name, _)| !name.to_str().is_some_and(is_set_by_herder))
        .filter(|(name, _)| !(counted && name == WEB_CONCURRENCY))
        .map(|(name, value)| (name.clone(), Variable::Fixed(value.clone())))
        .collect()
}

fn add_settings(
    settings: &Settings,
    source: Source,
    sockets: &Selection,
    variables: &mut BTreeMap<OsString, Variable>,
    problems: &mut Problems,
) {
    for (name, template) in &settings.environment {
        let key = format!("environment.{name}");
        let place = settings.origins.get(&key);
        let by_command_line = matches!(place, Some(Place::CommandLine(_)));
        if by_command_line != (source == Source::CommandLine) {
            continue;
        }
        match template.bind(|field, socket| sockets.value(field, socket)) {
            Ok(bound) => {
                let variable = match bound.fixed() {
                    Some(text) => Variable::Fixed(text.into()),
                    None => Variable::Varying(bound),
                };
                variables.insert(name.into(), variable);
            }
            Err(error) => {
                problems.add(place, &key, format!("`{key}`: {error}"));
            }
        }
    }
}

fn add_file(
    settings: &Settings,
    file: &EnvironmentFile,
    surroundings: &Surroundings,
    variables: &mut BTreeMap<OsString, Variable>,
    problems: &mut Problems,
) {
    let path = surroundings.directory.join(&file.path);
    let mut wrong = |message: String| {
        let place = settings.origins.get("environment-file");
        problems.add(place, "environment-file", format!("`environment-file`: {message}"));
    };
    let text = match read_small_file(&path) {
        Ok(text) => text,
        Err(error) if file.optional && error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return wrong(format!("cannot read {}: {error}", path.display())),
    };
    match envfile::parse(&text) {
        Err(error) => wrong(format!("{}, {error}", path.display())),
        Ok(pairs) => {
            for (name, value) in pairs {
                if is_set_by_herder(&name) {
                    wrong(format!("{}: `{name}` is set by herder; remove it", path.display()));
                } else {
                    let value = OsString::from_vec(value.into_bytes());
                    variables.insert(name.into(), Variable::Fixed(value));
                }
            }
        }
    }
}
