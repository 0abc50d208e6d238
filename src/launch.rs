//! What a generation's workers are started with: settings and the sockets at hand, made into one
//! [`Launch`] that stays as it is while files around it change.
//!
//! Starts nothing; it only looks at the file system: where symbolic links lead, what is in
//! environment files, whether the program can be executed. The non-obvious fact is what is
//! pinned: symbolic links in the directory and in the directories of the program's path are
//! followed once, here, so that a worker replaced in the middle of a deploy is still one of the
//! old release. The last part of the program's path is kept as it is, because programs such as
//! those of a Python virtual environment find their files by it; and `argv[0]` is that same path,
//! because that is where they look.

mod environment;
mod file;
mod group;
mod preset;
mod program;
mod queues;
mod sockets;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use environment::Environment;
use herder_config::{Bound, ListenPid, Problems, Settings, Stdin, Template};
use herder_core::{Generation, QueueId, Ready, SlotId, WorkerId};
use herder_wire::url::Url;
use queues::Places;
use sockets::Selection;

pub use file::read_small_file;
pub use group::ControlGroup;
pub use sockets::Offered;

/// What herder itself was started with, as far as workers inherit it.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The instance's name, for messages.
    pub instance: String,
    /// herder's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// herder's working directory.
    pub directory: PathBuf,
    /// herder's own program, which is also the demonstration worker.
    pub executable: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_this_process(instance: &str) -> io::Result<Surroundings> {
        Ok(Surroundings {
            instance: instance.to_owned(),
            environment: std::env::vars_os().collect(),
            directory: std::env::current_dir()?,
            executable: std::env::current_exe()?,
        })
    }
}

/// A generation's specification: all that does not differ from worker to worker is ready made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Where workers work; `None` is where herder does.
    pub directory: Option<CString>,
    /// The sockets that workers get, as indices into those offered.
    pub sockets: Vec<usize>,
    /// The groups of sockets of which each worker gets its share.
    pub queues: Vec<Vec<QueueId>>,
    /// Whether a worker's first socket is also its standard input.
    pub stdin: bool,
    /// Whether LISTEN_PID is to be set.
    pub listen_pid: bool,
    /// Whether WATCHDOG_PID is to be set.
    pub watchdog_pid: bool,
    /// Whether a worker gets a socket that it can be seen waiting on.
    pub can_be_seen: bool,
    /// What has to succeed before a reload starts its first worker.
    pub check: Option<Check>,
    /// How it is found out whether workers are well.
    pub probe: Option<Probe>,
    /// Who may change the instance, beside root and herder's own user.
    pub control_group: Option<ControlGroup>,
    path: CString,
    argv: Vec<Piece>,
    environment: Environment,
    identifier: Option<Bound>,
    places: Places,
}

/// `probe`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Its URL.
    Http(Bound),
    /// Its command.
    Exec(Check),
}

/// `check`, or another command of herder's own, ready to be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The program.
    pub path: CString,
    /// Its arguments, `argv[0]` first.
    pub argv: Vec<CString>,
}

/// One worker's share of a [`Launch`]. What is the same for every worker is borrowed: a replacement
/// does not wait for copies of a whole environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered<'a> {
    /// The program.
    pub path: &'a CStr,
    /// Its arguments, `argv[0]` first.
    pub argv: Vec<Cow<'a, CStr>>,
    /// Its environment, without LISTEN_PID and WATCHDOG_PID: the pid is known only after the fork.
    pub env: Vec<Cow<'a, CStr>>,
}

/// A C string, or what makes one for a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Fixed(CString),
    Varying(Bound),
}

impl Piece {
    fn new(bound: Bound) -> Piece {
        match bound.fixed() {
            Some(text) => Piece::Fixed(c_string(text)),
            None => Piece::Varying(bound),
        }
    }

    fn render(&self, slot: SlotId, worker: WorkerId, generation: Generation) -> Cow<'_, CStr> {
        match self {
            Piece::Fixed(text) => Cow::Borrowed(text),
            Piece::Varying(bound) => {
                Cow::Owned(c_string(bound.render(slot.0, worker.0, generation.0)))
            }
        }
    }
}

impl Launch {
    /// Makes the specification of a generation, or says everything that is in its way.
    pub fn new(
        settings: &Settings,
        offered: &[Offered<'_>],
        surroundings: &Surroundings,
    ) -> Result<Launch, Problems> {
        let mut problems = Problems::default();
        let sockets = Selection::new(settings, offered, &surroundings.instance, &mut problems);
        let launch = Launch::build(settings, &sockets, surroundings, &mut problems);
        match launch {
            Some(launch) => problems.none_or(launch),
            None => Err(problems),
        }
    }

    /// As [`Launch::new`], for `herder check`: with the sockets that `listen` and `sockets` let
    /// expect, and placeholders left as they are where these are not known.
    pub fn preview(
        settings: &Settings,
        surroundings: &Surroundings,
        problems: &mut Problems,
    ) -> Option<Launch> {
        Launch::build(settings, &Selection::expected(settings), surroundings, problems)
    }

    /// `None` if there is a problem, which is then noted.
    fn build(
        settings: &Settings,
        sockets: &Selection,
        surroundings: &Surroundings,
        problems: &mut Problems,
    ) -> Option<Launch> {
        let before = problems.0.len();
        let environment = Environment::new(settings, sockets, surroundings, problems);
        let directory = program::directory(settings, surroundings, problems);
        let words = bind("command", settings.command.iter(), settings, sockets, problems);
        let identifier = settings.syslog_identifier.iter();
        let identifier = bind("syslog-identifier", identifier, settings, sockets, problems).pop();
        let stdin = stdin(settings, sockets, problems);
        preset::has_its_programs(settings, problems);
        preset::has_its_sockets(settings, sockets, &surroundings.instance, problems);
        accepts_on_something(settings, sockets, problems);
        sees_load_on_something(settings, sockets, problems);
        queues::check(settings, sockets, &surroundings.instance, problems);
        let control_group = group::find(settings, problems);
        let base = directory.as_deref().unwrap_or(&surroundings.directory);
        let check = settings.check.as_deref();
        let check = bind_command("check", check, settings, base, environment.path(), problems);
        let probe = bind_probe(settings, sockets, base, environment.path(), problems);
        let (path, argv) = match words.as_slice() {
            [] => (surroundings.executable.clone(), demonstration()),
            [first, arguments @ ..] => {
                let program = fixed(settings, first, problems)?;
                let search = environment.path();
                let path = program::find(settings, "command", program, base, search, problems)?;
                let zeroth = Piece::Fixed(c_string(path.as_os_str().as_bytes()));
                let arguments = arguments.iter().cloned().map(Piece::new);
                (path, std::iter::once(zeroth).chain(arguments).collect())
            }
        };
        (problems.0.len() == before).then(|| Launch {
            directory: directory.map(|path| c_string(path.as_os_str().as_bytes())),
            sockets: sockets.indices(),
            queues: sockets.places().groups(),
            places: sockets.places(),
            stdin,
            can_be_seen: sockets.can_be_seen(),
            listen_pid: settings.listen_pid == ListenPid::Set && !sockets.is_empty(),
            watchdog_pid: settings.policy.watchdog.is_some()
                && settings.listen_pid == ListenPid::Set,
            path: c_string(path.as_os_str().as_bytes()),
            argv,
            environment,
            identifier,
            check,
            probe,
            control_group,
        })
    }

    /// The name of the worker's own journal stream, if it is to have one.
    pub fn identifier(
        &self,
        slot: SlotId,
        worker: WorkerId,
        generation: Generation,
    ) -> Option<String> {
        self.identifier.as_ref().map(|bound| bound.render(slot.0, worker.0, generation.0))
    }

    /// The sockets of a worker that has these queues, as indices into those offered: they become 3, 4, ….
    pub fn sockets_of(&self, queues: &[QueueId]) -> Vec<usize> {
        self.places.of(queues).map(|(_, index)| index).collect()
    }

    /// What the worker of this id gets; its notify socket is at `notify_socket`.
    pub fn render(
        &self,
        slot: SlotId,
        worker: WorkerId,
        generation: Generation,
        notify_socket: &Path,
        queues: &[QueueId],
    ) -> Rendered<'_> {
        let varies = !self.queues.is_empty();
        let own_sockets = varies.then(|| self.places.of(queues).map(|(name, _)| name).collect());
        Rendered {
            path: &self.path,
            argv: self.argv.iter().map(|piece| piece.render(slot, worker, generation)).collect(),
            env: self.environment.render(slot, worker, generation, notify_socket, own_sockets),
        }
    }
}

/// Fills in the sockets' placeholders of a setting.
fn bind<'a>(
    key: &'static str,
    templates: impl Iterator<Item = &'a Template>,
    settings: &Settings,
    sockets: &Selection,
    problems: &mut Problems,
) -> Vec<Bound> {
    let mut bind =
        |template: &Template| match template.bind(|field, name| sockets.value(field, name)) {
            Ok(bound) => Some(bound),
            Err(error) => {
                problems.add(settings.origins.get(key), key, format!("`{key}`: {error}"));
                None
            }
        };
    templates.filter_map(&mut bind).collect()
}

/// The program of a command, which has to be the same for every worker.
fn fixed<'a>(settings: &Settings, program: &'a Bound, problems: &mut Problems) -> Option<&'a str> {
    let written = program.fixed();
    if written.is_none() {
        problems.advise(
            settings.origins.get("command"),
            "command",
            "`command`: the program differs from worker to worker",
            "use {slot}, {worker} and {generation} only in its arguments",
        );
    }
    written
}

fn bind_probe(
    settings: &Settings,
    sockets: &Selection,
    base: &Path,
    search: &OsStr,
    problems: &mut Problems,
) -> Option<Probe> {
    const HTTP: &str = "probe.http";
    let exec = settings.probe.exec.as_deref();
    if let Some(exec) = bind_command("probe.exec", exec, settings, base, search, problems) {
        return Some(Probe::Exec(exec));
    }
    let url = bind(HTTP, settings.probe.http.iter(), settings, sockets, problems).pop()?;
    let example = url.render(0, 1, 1);
    // What sockets will say may not be known yet.
    let wrong = Url::parse(&example).err().filter(|_| !example.contains('{'));
    if let Some(why) = wrong {
        let at = settings.origins.get(HTTP);
        problems.add(at, HTTP, format!("`{HTTP}` is `{}`, which {why}", example.escape_debug()));
    }
    Some(Probe::Http(url))
}

fn bind_command(
    key: &'static str,
    argv: Option<&[String]>,
    settings: &Settings,
    base: &Path,
    search: &OsStr,
    problems: &mut Problems,
) -> Option<Check> {
    let (program, arguments) = argv?.split_first()?;
    let path = program::find(settings, key, program, base, search, problems)?;
    let path = c_string(path.as_os_str().as_bytes());
    let arguments = arguments.iter().map(|argument| c_string(argument.as_bytes()));
    Some(Check { argv: std::iter::once(path.clone()).chain(arguments).collect(), path })
}

fn stdin(settings: &Settings, sockets: &Selection, problems: &mut Problems) -> bool {
    if settings.stdin == Stdin::Null {
        return false;
    }
    if sockets.is_empty() && !sockets.is_assumed() {
        problems.advise(
            settings.origins.get("stdin"),
            "stdin",
            "`stdin` is \"socket\", and there is no socket",
            "hand one over (a .socket unit, or `--listen`), or remove `stdin`",
        );
    }
    !sockets.is_empty()
}

fn sees_load_on_something(settings: &Settings, sockets: &Selection, problems: &mut Problems) {
    if settings.policy.scaling.is_some() && sockets.is_empty() && !sockets.is_assumed() {
        problems.advise(
            settings.origins.get("workers"),
            "workers",
            "`workers` has bounds, and workers get no socket to see load on",
            "hand one over (a .socket unit, or `--listen`), or write one number",
        );
    }
}

fn accepts_on_something(settings: &Settings, sockets: &Selection, problems: &mut Problems) {
    let accepting = settings.policy.ready == Ready::Accepting;
    if accepting && !sockets.can_be_seen() && !sockets.is_assumed() {
        problems.advise(
            settings.origins.get("ready"),
            "ready",
            "`ready` is \"accepting\", and workers get no socket to be seen waiting on",
            "hand one over (a .socket unit, or `--listen`), or choose another `ready`",
        );
    }
}

/// `herder demo-worker`
fn demonstration() -> Vec<Piece> {
    ["herder", "demo-worker"].map(|word| Piece::Fixed(c_string(word))).into()
}

/// Settings hold no NUL bytes, and neither does what the kernel hands over as strings; without
/// them this cannot fail.
fn c_string(text: impl AsRef<[u8]>) -> CString {
    let bytes: Vec<u8> = text.as_ref().iter().copied().filter(|byte| *byte != 0).collect();
    CString::new(bytes).unwrap_or_default()
}
