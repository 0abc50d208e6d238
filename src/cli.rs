//! The command line: what can be said there, and the help that explains it.
//!
//! Only shapes and words: settings stay texts here and are checked with those of the file, in
//! [`crate::config`], so that one set of messages serves both.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Overrides, parse_span};
use crate::herd::Span;

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

Files:
  /etc/herder/NAME.toml      settings of herder@NAME.service
  /run/herder/NAME/control   control socket (`herder reload`, `herder status`, varlinkctl(1))

Exit status of `run` and `check`:
  0 stopped as asked, or nothing wrong    64 wrong command line
  69 workers keep dying                   70 a bug in herder
  71 the system refused                   75 no worker became ready in time
  78 settings wrong, or the command cannot be executed
Exit status of `reload` and `status`:
  0 done                                  1 failed or refused
  3 not running                           4 no such instance, or no permission
  64 wrong command line

Manual: herder(8), herder.toml(5)";

/// What herder can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run workers until told to stop
    Run(Run),
    /// Check settings and show what they mean, without starting anything
    Check(Check),
    /// Replace every worker of a running herder, one by one
    Reload(Reload),
    /// Show how a running herder is doing
    Status(Status),
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
    #[arg(long, value_enum, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
    /// The least important entries to log
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
}

const RUN_HELP: &str = "\
Sockets come from systemd (sd_listen_fds(3)); --listen is for where there is none. Workers get them as \
descriptors 3, 4, … with LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID, and a NOTIFY_SOCKET of their own.

Placeholders in CMD and in `environment`:
  {slot} {worker} {generation}           this worker
  {fd} {host} {port} {addr} {path}       the first socket
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
will run, where and as whom, which sockets they expect, and how many processes there can be.

Example:
  herder check /etc/herder/web.toml --set workers=8")]
pub struct Check {
    /// Settings file, such as /etc/herder/web.toml (herder.toml(5))
    pub file: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub settings: SettingsOptions,
}

/// The options that are settings, and win over those in the file.
#[derive(Debug, Args)]
pub struct SettingsOptions {
    /// Listen here where systemd hands no socket over: `[HOST:]PORT`, `/path` or `@abstract`;
    /// repeatable. A port alone is every address, IPv6 and IPv4
    #[arg(short, long, value_name = "[NAME=]ADDR")]
    pub listen: Vec<String>,
    /// How many workers [default: auto, which is $WEB_CONCURRENCY or the number of CPUs]
    #[arg(short, long, value_name = "N|auto")]
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

/// `herder reload`
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the settings again and replaces every worker, one by one, without dropping a connection. Returns \
when all new workers are ready (0), or when the reload failed and the old ones were put back (1, with \
the reason). `systemctl reload herder@NAME` does the same.

Exit status: 0 done, 1 failed or refused, 3 not running, 4 no such instance or no permission")]
pub struct Reload {
    /// NAME, herder@NAME.service, or a runtime directory [default: the only one running]
    pub instance: Option<String>,
    /// Give up waiting after this long; the reload itself goes on
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub timeout: Option<Span>,
}

/// `herder status`
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 shown, 1 failed, 3 not running, 4 no such instance or no permission")]
pub struct Status {
    /// NAME, herder@NAME.service, or a runtime directory [default: the only one running]
    pub instance: Option<String>,
    /// Print JSON, for programs
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

Exit status: 0 done, 1 failed, 3 not running, 4 no such instance or no permission")]
pub struct Metrics {
    /// NAME, herder@NAME.service, or a runtime directory [default: all there are]
    pub instance: Option<String>,
    /// How to write them [default: openmetrics; with --output prometheus]
    #[arg(long, value_enum)]
    pub format: Option<MetricsFormat>,
    /// Replace this file in one step, instead of printing: for the textfile collector of node_exporter
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Answer HTTP requests for /, /metrics and /status.json on sockets from systemd; leave when nobody asks
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

/// `--log-format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// The journal when standard error is connected to it, else text
    Auto,
    /// Structured entries in the journal
    Journal,
    /// Lines for people
    Text,
    /// Lines for programs
    Json,
}

/// `--log-level`, as syslog(3) has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogLevel {
    /// herder cannot do what it is for
    Error,
    /// Something failed, and herder copes
    Warning,
    /// Something to know about
    Notice,
    /// What happens
    Info,
    /// Every event and action
    Debug,
}

fn span(text: &str) -> Result<Span, String> {
    parse_span(text)
        .map_err(|error| format!("the time span {error}; write `90`, `1min 30s` or `500ms`"))
}

/// The exit status for what clap answers: help and version that were asked for are no mistake.
pub fn exit_status(answer: &clap::Error) -> u8 {
    if answer.use_stderr() { EX_USAGE } else { 0 }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_takes_a_file_options_and_a_command() {
        let line = "herder run web.toml -n shop -l 80 --listen a=@b -w auto -s x=1 --log-format json -- /bin/x -w {fd}";
        let Ok(Command::Run(run)) = parse(line) else { panic!() };
        assert_eq!(run.file, Some("web.toml".into()));
        assert_eq!((run.name.as_deref(), run.log_format), (Some("shop"), LogFormat::Json));
        let texts =
            |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            run.settings.overrides(),
            Overrides {
                listen: texts(&["80", "a=@b"]),
                workers: Some("auto".into()),
                set: texts(&["x=1"]),
                command: texts(&["/bin/x", "-w", "{fd}"]),
            }
        );
    }

    #[test]
    fn a_file_and_a_command_are_told_apart() {
        let Ok(Command::Run(run)) = parse("herder run -- /bin/x y") else { panic!() };
        assert_eq!((run.file, run.settings.command), (None, vec!["/bin/x".to_owned(), "y".into()]));
    }

    #[test]
    fn clients_take_an_instance() {
        let Ok(Command::Reload(reload)) = parse("herder reload web --timeout 90") else { panic!() };
        assert_eq!(
            (reload.instance.as_deref(), reload.timeout),
            (Some("web"), Some(Span::secs(90)))
        );
        let Ok(Command::Status(status)) = parse("herder status --json") else { panic!() };
        assert!(status.json && status.instance.is_none());
        assert!(matches!(parse("herder demo-worker"), Ok(Command::DemoWorker)));
    }

    #[test]
    fn mistakes_are_usage_errors_and_help_is_none() {
        for (line, status) in [
            ("herder", 64),
            ("herder rum", 64),
            ("herder run --no-such-option", 64),
            ("herder check", 64),
            ("herder reload --timeout soon", 64),
            ("herder run a b", 64),
            ("herder --help", 0),
            ("herder run --help", 0),
            ("herder --version", 0),
        ] {
            assert_eq!(exit_status(&parse(line).unwrap_err()), status, "{line}");
        }
    }

    #[test]
    fn every_exit_status_and_placeholder_is_in_the_help() {
        let help = Cli::command().render_long_help().to_string();
        for status in ["0 ", "64 ", "69 ", "70 ", "71 ", "75 ", "78 ", "1 ", "3 ", "4 "] {
            assert!(help.contains(&format!(" {status}")), "{status}");
        }
        for placeholder in ["slot", "worker", "generation", "fd", "host", "port", "addr", "path"] {
            assert!(RUN_HELP.contains(&format!("{{{placeholder}}}")), "{placeholder}");
            assert!(crate::config::Template::parse(&format!("{{{placeholder}}}")).is_ok());
        }
    }
}
