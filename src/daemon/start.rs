//! From the command line to a running loop: settings, sockets, runtime directory, first orders.
//!
//! Everything that can be wrong is found here, before a worker exists, and ends herder with a
//! sentence that says what to change.

use super::Daemon;
use super::calendar::Calendar;
use super::children::{Children, Inheritance};
use super::instance::Instance;
use super::limits;
use super::operators::Operators;
use super::page::Page;
use super::probes::Probes;
use super::sampler::Sampler;
use super::settings::{Configuration, Source, Spec};
use super::sockets::{self as given, Sockets};
use super::sources::Sources;
use super::spare::Spare;
use super::systemd::Systemd;
use super::token::Token;
use crate::launch::Surroundings;
use crate::log::{self, Format, Log, LogLevel};
use herder_config::{self, Overrides, Settings};
use herder_core::{Herd, Notice, Time};
use herder_linux::cgroup::{NoTree, Tree};
use herder_linux::child;
use herder_linux::control::Server;
use herder_linux::error::Error;
use herder_linux::limits::OpenFiles;
use herder_linux::notify::Manager;
use herder_linux::poll::{self, Interest, Poll};
use herder_linux::runtime::RuntimeDir;
use herder_linux::signals::{self, Signals};
use herder_linux::sockets::{self, Socket};
use herder_wire::address::Address;
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What `herder run` was asked to do.
#[derive(Debug)]
pub struct Options {
    /// The settings file; none means that the command line says it all.
    pub file: Option<PathBuf>,
    /// `--name`
    pub name: Option<String>,
    /// What the command line says of settings.
    pub overrides: Overrides,
    /// `--log-format`
    pub log_format: Format,
    /// `--log-level`
    pub log_level: LogLevel,
}

/// Runs an instance until it ends; its exit status.
///
/// # Errors
///
/// What kept it from starting.
pub fn run(options: Options) -> Result<u8, Error> {
    let environment = |name: &str| std::env::var(name).ok();
    // The sockets first: no descriptor of our own may stand where systemd put one.
    let handed_over = sockets::receive(&environment);
    let mut systemd = Systemd::new(match environment("NOTIFY_SOCKET") {
        Some(address) => Some(Manager::new(&address)?),
        None => None,
    });
    let name = name(&options);
    let started = handed_over.and_then(|sockets| start(options, sockets));
    match started {
        Ok((mut daemon, first)) => {
            daemon.systemd = systemd;
            daemon.run(first).map_err(|why| Error::system("wait for events", why))
        }
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            systemd.tell(&Notice::Status(format!("cannot start: {first}")), poll::now());
            Err(with_recovery(error, &name))
        }
    }
}

type Started = (Daemon, Vec<herder_core::Action>);

fn start(options: Options, handed_over: Vec<Socket>) -> Result<Started, Error> {
    let environment = |name: &str| std::env::var(name).ok();
    let signals = Signals::block_and_watch().map_err(|why| Error::system("watch signals", why))?;
    child::adopt_orphans().map_err(|why| Error::system("become a subreaper", why))?;

    let name = name(&options);
    let instance = Instance::new(name.clone(), is_systemds_child());
    let mut log =
        Log::open(options.log_format, options.log_level, &name, instance.is_under_systemd())
            .map_err(|why| Error::system("open the log", why))?;
    let surroundings = Surroundings::of_this_process(&name)
        .map_err(|why| Error::system("find its own program and directory", why))?;
    let (handed_over, mut own) = given::split(handed_over);
    let systemd_listens = !handed_over.is_empty();
    let source = Source::new(options.file, options.overrides, surroundings, systemd_listens);
    let settings = source.settings().map_err(Error::Config)?;
    let sockets = sockets_for(&settings, handed_over)?;
    if settings.command.is_empty() && sockets.is_empty() {
        return Err(Error::Config(
            "there is nothing to run: give a command (`command` in the settings file, or \
             `-- CMD ARG…`), or an address for the built-in demonstration (`--listen 127.0.0.1:8000`)"
                .to_owned(),
        ));
    }
    let runtime = RuntimeDir::open(&name, &environment).map_err(permission_is_a_setting)?;
    let spec = source.bind(settings, &sockets).map_err(Error::Config)?;
    given::blocks(&spec, &sockets, &name).map_err(Error::Config)?;
    let control = runtime.control();
    let mut server = Server::listen(&control)
        .map_err(|why| Error::system(format!("listen on {}", control.display()), why))?;
    given::serve_control(&mut server, &mut own)?;
    let operators = Operators::new(server);
    let page = Page::new(given::serve_metrics(&mut own)?);
    let poll = Poll::new().map_err(|why| Error::system("make an epoll set", why))?;
    poll.add(&signals, Token::Signals.into(), Interest::Read)
        .and_then(|()| operators.watch(&poll))
        .and_then(|()| page.watch(&poll))
        .map_err(|why| Error::system("watch its sockets", why))?;

    let inheritance = Inheritance {
        die_with_herder: !instance.is_under_systemd(),
        ignore_sigpipe: signals::sigpipe_was_ignored(),
        reset_oom_score: is_protected_from_oom(),
        // Fewer workers than there could be is no reason not to start.
        open_files: OpenFiles::raise().ok(),
    };
    let tree = tree(&mut log, &instance);
    limits::can_be_set(&spec, tree.as_ref(), &instance).map_err(Error::Config)?;
    let children = Children::new(runtime.notify().to_owned(), inheritance, tree, &poll);
    announce(&mut log, &name, &spec, &sockets, &control);
    let sockets = Sockets::new(sockets, own, &spec);
    for text in sockets.obstacles() {
        log.say(LogLevel::Warning, text);
    }

    let policy = spec.settings.policy.clone();
    let settings = Configuration::new(source, spec);
    // An interval that is shorter than any systemd would use is a mistake, and would keep herder busy.
    let shortest = Duration::from_millis(1);
    let watchdog = sd_notify::watchdog_enabled().filter(|interval| *interval >= shortest);
    let watchdog = watchdog.map(Into::into);
    let mut first = Vec::new();
    let now = Time(poll::now());
    let herd = Herd::start(now, seed(), settings.newest(), policy, watchdog, &mut first);
    let daemon = Daemon {
        instance,
        herd,
        events: VecDeque::new(),
        reports: Vec::new(),
        settings,
        sockets,
        children,
        probes: Probes::default(),
        sampler: Sampler::default(),
        operators,
        page,
        systemd: Systemd::new(None),
        calendar: Calendar::now(),
        signals,
        sources: Sources::default(),
        spare: Spare::default(),
        log,
        poll,
        exit: None,
        runtime,
    };
    Ok((daemon, first))
}

/// The part of the cgroup tree that was handed over. Workers do without one, less well.
fn tree(log: &mut Log, instance: &Instance) -> Option<Tree> {
    let (name, under_systemd) = (instance.name(), instance.is_under_systemd());
    let tree = match Tree::claim(under_systemd) {
        Ok(tree) => tree,
        Err(why) => {
            // Elsewhere herder was not promised any.
            let priority = if under_systemd { LogLevel::Warning } else { LogLevel::Debug };
            let remedy = match &why {
                NoTree::NotDelegated => format!(
                    ": to have it, add Delegate=cpu memory pids io to [Service] \
                     (systemctl edit herder@{name}.service)"
                ),
                NoTree::Unusable { why, .. } if why.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                    ": remove ProtectControlGroups= from [Service]".to_owned()
                }
                NoTree::Unsupported(_) | NoTree::Taken | NoTree::Unusable { .. } => String::new(),
            };
            log.say(
                priority,
                format_args!(
                    "{why}, so workers get no cgroups of their own: what they start and leave behind is \
                     known by its session only, and what they cost by their own process{remedy}"
                ),
            );
            return None;
        }
    };
    for (controller, why) in tree.refused() {
        log.say(
            LogLevel::Warning,
            format_args!(
                "cannot switch on the {controller} controller for workers: {why}, going on without"
            ),
        );
    }
    let controllers = match tree.controllers() {
        [] => "no controllers (version 1 has them, or ProtectControlGroups=private hides them)"
            .to_owned(),
        controllers => controllers.join(", "),
    };
    let path = tree.path_in_mount();
    log.say(
        LogLevel::Info,
        format_args!("workers get cgroups of their own in {path}, with {controllers}"),
    );
    Some(tree)
}

/// A directory one may not use stays that way however often herder is started again.
fn permission_is_a_setting(error: Error) -> Error {
    match error {
        Error::System { ref why, .. } if why.kind() == io::ErrorKind::PermissionDenied => {
            Error::Config(error.to_string())
        }
        error => error,
    }
}

/// Under systemd a start that fails also ends in a start limit, which closes the port: the message
/// says how to come back from there.
fn with_recovery(error: Error, name: &str) -> Error {
    if !is_systemds_child() {
        return error;
    }
    let hint = |text| format!("{text}\nwhen it is corrected: {}", log::recovery(name));
    match error {
        Error::Config(text) => Error::Config(hint(text)),
        Error::System { tried, why } => {
            Error::System { why: io::Error::new(why.kind(), hint(why.to_string())), tried }
        }
        error => error,
    }
}

/// `--name`, else the settings file's stem, else `run-PID`.
fn name(options: &Options) -> String {
    let stem = options.file.as_deref().and_then(Path::file_stem);
    let stem = stem.map(|stem| stem.to_string_lossy().into_owned());
    options.name.clone().or(stem).unwrap_or_else(|| format!("run-{}", std::process::id()))
}

/// Those systemd handed over, else those the settings name, bound here.
fn sockets_for(settings: &Settings, handed_over: Vec<Socket>) -> Result<Vec<Socket>, Error> {
    if handed_over.is_empty() {
        return bind(settings);
    }
    for listen in &settings.listen {
        let matches = |socket: &Socket| socket.address.as_ref() == Some(&listen.address);
        if !handed_over.iter().any(matches) {
            let there: Vec<String> = handed_over.iter().map(ToString::to_string).collect();
            return Err(Error::Config(format!(
                "`listen` names {}, but systemd handed over {}: remove `listen`, \
                 or make the .socket unit's ListenStream= say the same",
                listen.address,
                there.join(", "),
            )));
        }
    }
    Ok(handed_over)
}

/// Binds what `listen` names; with queues of their own, once for each worker.
fn bind(settings: &Settings) -> Result<Vec<Socket>, Error> {
    let mut bound = Vec::new();
    for listen in &settings.listen {
        match (settings.queues, &listen.address) {
            (herder_config::Queues::PerWorker, Address::Inet(_)) => {
                let members = settings.policy.most_workers().max(1);
                bound.extend(sockets::bind_group(&listen.name, &listen.address, members)?);
            }
            (herder_config::Queues::PerWorker | herder_config::Queues::Shared, _) => {
                bound.push(sockets::bind(&listen.name, &listen.address)?);
            }
        }
    }
    Ok(bound)
}

fn announce(log: &mut Log, name: &str, spec: &Spec, sockets: &[Socket], control: &Path) {
    let list: Vec<String> = sockets.iter().map(ToString::to_string).collect();
    let list = if list.is_empty() { "no sockets".to_owned() } else { list.join(", ") };
    let version = env!("CARGO_PKG_VERSION");
    let policy = &spec.settings.policy;
    let workers = match (policy.workers, policy.most_workers()) {
        (1, 1) => "1 worker".to_owned(),
        (least, most) if least < most => format!("{least} to {most} workers"),
        (workers, _) => format!("{workers} workers"),
    };
    log.say(LogLevel::Notice, format_args!("herder {version} runs {name}: {workers} on {list}"));
    log.say(
        LogLevel::Info,
        format_args!("ask it with `herder status {name}`, control socket {}", control.display()),
    );
}

/// Whether systemd itself started this process (systemd.exec(5), SYSTEMD_EXEC_PID); a shell under
/// systemd inherits the other variables.
fn is_systemds_child() -> bool {
    std::env::var("SYSTEMD_EXEC_PID").is_ok_and(|pid| pid == std::process::id().to_string())
}

fn is_protected_from_oom() -> bool {
    let score = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    score.trim().parse::<i32>().is_ok_and(|score| score < 0)
}

/// For the jitter of back-off: any number that differs from instance to instance will do.
fn seed() -> u64 {
    u64::from(std::process::id()) ^ poll::now()
}
