//! The command line: what can be said there, and the help that explains it.
//!
//! Only shapes and words: settings stay texts here and are checked with those of the file, in
//! [`herder_config`], so that one set of messages serves both.

mod change;
mod import;

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::log::Format;
use herder_config::Overrides;
use herder_wire::level::LogLevel;
use herder_wire::units::parse_span;
use std::time::Duration;

pub use change::{Recycle, Reload, Scale, Set, SetLogLevel, StopWorker, Wait};
pub use import::{Import, ImportFrom};

/// Exit status for a wrong command line (EX_USAGE, sysexits.h(3head)).
const EX_USAGE: u8 = 64;

/// Run N workers on the sockets systemd hands over, and keep them running.
///
/// systemd owns the sockets, herder owns the workers, the kernel carries the traffic: herder
/// starts workers on sockets it was given (or binds itself), replaces those that die, reloads
/// without dropping a connection, and tells systemd how it goes.
#[derive(Debug, Parser)]
#[command(name = "herder", version, max_term_width = 100, after_help = AFTER_HELP, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  herder run --listen 127.0.0.1:8000
        Try it: a demonstration server with a worker for each CPU
  herder run --listen 127.0.0.1:8000 --workers 4 -- /srv/app/run --fd {fd}
        Four workers of a program, in a terminal or a container
  systemctl edit herder@web.socket; systemctl enable --now herder@web.socket
        As a service, with /etc/herder/web.toml and the address in a drop-in
  systemctl reload herder@web
        Replace every worker, one by one; if the new ones fail, so does this, with the reason
  herder status
        How all instances are doing; `herder status web`: one, with each of its workers

Files:
  /etc/herder/NAME.toml      settings of herder@NAME.service
  /run/herder/NAME/control   control socket (`herder reload`, `herder status`, varlinkctl(1))

Exit status of `run` and `check`:
  0 stopped as asked, or nothing wrong    64 wrong command line
  69 workers keep dying                   70 a bug in herder
  71 the system refused                   75 no worker became ready in time
  78 settings wrong, or the command cannot be executed
Exit status of the others:
  0 done                                  1 failed or refused
  3 not running                           4 no such instance, or no permission
  64 wrong command line
`health`: 0 serving, 1 degraded, 2 not serving

Manual: herder(8), herder.toml(5), herder-status(1) and the like for the other commands";

/// What herder can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run workers until told to stop
    Run(Run),
    /// Check settings and show what they mean, without starting anything
    Check(Check),
    /// List the servers herder knows, or show what one of them needs
    Presets(Presets),
    /// Make settings of another manager's file: php-fpm, pm2, supervisord, a Procfile
    Import(Import),
    /// Show how instances are doing, and what each worker costs
    Status(Status),
    /// Watch instances and their workers on the screen, and steer them
    Top(Top),
    /// Tell by the exit status whether an instance serves
    Health(Health),
    /// Show what happens, as it happens
    Events(Events),
    /// Replace every worker, one by one, with new settings
    Reload(Reload),
    /// Set the number of workers
    Scale(Scale),
    /// Replace workers by new ones with the same settings, the new one first
    Recycle(Recycle),
    /// Tell one worker to stop; its slot gets a new one at once
    StopWorker(StopWorker),
    /// Change settings that need no new workers, until the next reload
    Set(Set),
    /// Log more or less
    LogLevel(SetLogLevel),
    /// Print figures about all instances, for Prometheus and its kin
    Metrics(Metrics),
    /// What `run` starts when no command is given
    #[command(hide = true)]
    DemoWorker,
}

/// `herder run`
#[derive(Debug, Args)]
#[command(after_help = RUN_HELP)]
pub struct Run {
    /// Settings file, such as /etc/herder/web.toml (herder.toml(5)); none is needed
    pub file: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub settings: SettingsOptions,
    /// Name of this instance, for `herder status` and the runtime directory [default: the file's
    /// name without .toml, else run-PID]
    #[arg(short, long)]
    pub name: Option<String>,
    /// Where log entries go, and how: `auto` is the journal under systemd, else text
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    pub log_format: Format,
    /// The least important entries to log
    #[arg(long, value_parser = log_level(), default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
}

const RUN_HELP: &str = "\
Sockets come from systemd (sd_listen_fds(3)); --listen is for where there is none. Workers get them as \
descriptors 3, 4, … with LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID, and a NOTIFY_SOCKET of their own.

Placeholders in CMD and in `environment`:
  {slot} {worker} {generation}           this worker
  {fd} {host} {port} {addr} {path} {backlog}
                                         the first socket
  {fd:NAME} {port:NAME} …                the socket of that name
  {{ and }}                              braces

Signals:
  SIGTERM, SIGQUIT, SIGINT   let workers finish, then stop; twice: stop at once
  SIGHUP                     reload
  SIGTTIN, SIGTTOU           one worker more, one fewer
  SIGUSR1                    passed to workers as `reopen-signal`

Examples:
  herder run /etc/herder/web.toml
  herder run --listen 8000 -w 2 -s ready=notify -- /srv/app/run
  herder run -l web=127.0.0.1:8000 -l admin=/run/admin.sock -- /srv/app/run {fd:web}
  herder run -w 8 -- /srv/app/queue-worker --id {slot}

Manual: herder(8), herder.toml(5)";

/// `herder check`
#[derive(Debug, Args)]
#[command(after_help = "\
Every problem is told at once, with its line and column, and the exit status is 78. Otherwise the \
settings in effect are printed as TOML, each with where it came from, and after them what workers \
will run, where and as which user, which sockets they expect, and how many processes there can be.

Example:
  herder check /etc/herder/web.toml --set workers=8")]
pub struct Check {
    /// Settings file, such as /etc/herder/web.toml (herder.toml(5))
    pub file: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub settings: SettingsOptions,
}

/// `herder presets`
#[derive(Debug, Args)]
#[command(after_help = "\
A preset is a line in the settings, `preset = \"uvicorn\"`: settings that the server needs, and arguments that are \
added to `command` where they are missing. Whatever else is written wins over it; `herder check FILE` shows the outcome.

Exit status: 0 shown, 1 no such preset, or a server that cannot be one of several on a socket

Examples:
  herder presets
  herder presets uvicorn
  herder run -l 127.0.0.1:8000 -s preset=uvicorn -- venv/bin/python mysite.asgi:application

Manual: herder-presets(1)")]
pub struct Presets {
    /// The name of a preset, for everything about it [default: list all]
    pub preset: Option<String>,
}

/// The options that are settings, and win over those in the file.
#[derive(Debug, Args)]
pub struct SettingsOptions {
    /// Listen here where systemd hands no socket over: `[HOST:]PORT`, `/path` or `@abstract`;
    /// repeatable. A port alone is every address, IPv6 and IPv4
    #[arg(short, long, value_name = "[NAME=]ADDR")]
    pub listen: Vec<String>,
    /// How many workers, or between which bounds as the load asks for [default: auto, which is
    /// $WEB_CONCURRENCY or the number of CPUs]
    #[arg(short, long, value_name = "N|MIN..MAX|auto")]
    pub workers: Option<String>,
    /// Set any key of herder.toml(5), such as `stop-timeout=5min`, `crash-limit.burst=3` or
    /// `environment.DEBUG=1`; repeatable
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// What a worker runs, without a shell [default: `command` of the file, else a demonstration
    /// server]
    #[arg(last = true, value_name = "CMD [ARG]...")]
    pub command: Vec<String>,
}

impl SettingsOptions {
    /// The same, as settings take it.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
            workers: self.workers.clone(),
            set: self.set.clone(),
            command: self.command.clone(),
        }
    }
}

/// `herder status`
#[derive(Debug, Args)]
#[command(after_help = "\
Without a name and with several instances: a line for each. With a name, or if there is only one: what \
it is about, and a line for each worker. Columns that do not fit the terminal are left out.

Exit status: 0 shown, 1 an instance did not answer, 3 not running, 4 no such instance or no permission

Examples:
  herder status
  herder status web
  herder status web --json

Manual: herder-status(1)")]
pub struct Status {
    /// NAME, herder@NAME.service, or a runtime directory [default: all]
    pub instance: Option<String>,
    /// Print JSON, for programs
    #[arg(long)]
    pub json: bool,
}

/// `herder health`
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 serving; 1 degraded: some workers fail, connections wait and none is accepted, or a probe fails; \
2 not serving: it starts, stops, does not run, has no worker or does not answer; 64 wrong command line

Example:
  herder health web || echo 'look at it'

Manual: herder-health(1)")]
pub struct Health {
    /// NAME, herder@NAME.service, or a runtime directory [default: the only one running]
    pub instance: Option<String>,
}

/// `herder events`
#[derive(Debug, Args)]
#[command(after_help = "\
Without a name: of all instances, also of those that start later. With a name: until it ends (3). What has \
been is in the journal: journalctl -u herder@NAME.service

Exit status: 0 the output was closed, 1 failed, 3 not running, or ended, 4 no such instance or no permission

Example:
  herder events web --json

Manual: herder-events(1)")]
pub struct Events {
    /// NAME, herder@NAME.service, or a runtime directory [default: all]
    pub instance: Option<String>,
    /// Print a JSON object for each event, on a line of its own
    #[arg(long)]
    pub json: bool,
}

/// `herder metrics`
#[derive(Debug, Args)]
#[command(after_help = "\
Without INSTANCE all instances of this machine are asked at the same time, for at most 1.5 s; the label `name` \
tells them apart, and herder_up is 0 for one that does not answer.

Examples:
  herder metrics web
  herder metrics --output /var/lib/prometheus/node-exporter/herder.prom
  herder metrics --serve --listen 127.0.0.1:14373
        The same over HTTP, with a status page; herder-metrics.socket does this for a machine

Manual: herder-metrics(1)

Exit status: 0 done, 1 failed, 3 not running, 4 no such instance or no permission, 71 the system refused")]
pub struct Metrics {
    /// NAME, herder@NAME.service, or a runtime directory [default: all there are]
    pub instance: Option<String>,
    /// How to write them [default: openmetrics; with --output prometheus]
    #[arg(long, value_enum)]
    pub format: Option<MetricsFormat>,
    /// Replace this file in one step, instead of printing: for the textfile collector of node_exporter
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Answer HTTP requests for /, /metrics and /status.json on sockets from systemd; end when no request comes
    #[arg(long, conflicts_with_all = ["output", "format"])]
    pub serve: bool,
    /// Serve here where systemd hands no socket over: `[HOST:]PORT`, `/path` or `@abstract`; repeatable
    #[arg(long, value_name = "ADDR", requires = "serve")]
    pub listen: Vec<String>,
}

/// `--format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MetricsFormat {
    /// OpenMetrics 1.0
    Openmetrics,
    /// The text format of Prometheus, 0.0.4
    Prometheus,
}

/// `herder top`
#[derive(Debug, Args)]
#[command(after_help = "\
Press ? for the keys. Where several run, the list comes first.

Exit status: 0 quit, 1 no answer, 3 not running, 4 no such instance or no permission, 64 no terminal,
71 the terminal failed

Example:
  herder top web

Manual: herder-top(1)")]
pub struct Top {
    /// NAME, herder@NAME.service, or a runtime directory [default: all that run]
    pub instance: Option<String>,
    /// How often to look at figures; what happens is seen at once
    #[arg(short = 'd', long, value_name = "SPAN", value_parser = span, default_value = "1s")]
    pub interval: Duration,
}

/// How the command line reads a [`LogLevel`], with what `--help` says of each.
fn log_level() -> impl TypedValueParser<Value = LogLevel> {
    PossibleValuesParser::new(LogLevel::ALL.map(|level| {
        PossibleValue::new(level.name()).help(match level {
            LogLevel::Error => "herder cannot do what it is for",
            LogLevel::Warning => "Something failed, and herder copes",
            LogLevel::Notice => "Something to know about",
            LogLevel::Info => "What happens",
            LogLevel::Debug => "Every event and action",
        })
    }))
    .try_map(|name| name.parse())
}

fn span(text: &str) -> Result<Duration, String> {
    parse_span(text)
        .map(Duration::from_micros)
        .map_err(|error| format!("the time span {error}; write `90`, `1min 30s` or `500ms`"))
}

/// The exit status for what clap answers: help and version that were asked for are no mistake.
pub fn exit_status(answer: &clap::Error) -> u8 {
    if answer.use_stderr() { EX_USAGE } else { 0 }
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
