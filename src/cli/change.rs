//! The commands that change a running instance.

use clap::Args;

use super::{log_level, span};
use herder_wire::control::MOST_WORKERS;
use herder_wire::level::LogLevel;
use std::time::Duration;

/// For how long to wait.
#[derive(Debug, Args)]
pub struct Wait {
    /// Give up waiting after this long, such as `90` or `1min 30s`; what was begun goes on
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub timeout: Option<Duration>,
}

/// `herder reload`
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the settings again and replaces every worker, one by one, without dropping a connection. Returns \
when all new workers are ready (0), or when the reload failed and the old ones were put back (1, with \
the reason). `systemctl reload herder@NAME` does the same.

Exit status: 0 done, 1 failed or refused, 3 not running, 4 no such instance or no permission

Examples:
  herder reload web
  herder reload web --previous

Manual: herder-reload(1)")]
pub struct Reload {
    /// NAME, herder@NAME.service, or a runtime directory [default: the only one running]
    pub instance: Option<String>,
    /// Go back to the settings of the generation before, whatever the file says now
    #[arg(long)]
    pub previous: bool,
    /// End the reload under way, and put the generation before back in force
    #[arg(long, conflicts_with = "previous")]
    pub abort: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub wait: Wait,
}

/// `herder scale`
#[derive(Debug, Args)]
#[command(after_help = "\
Lasts until the next reload that succeeds: `workers` in the settings file is what stays. Returns when as \
many are ready, and those that are too many were told to stop.

Exit status: 0 done, 1 failed or refused, 3 not running, 4 no such instance or no permission

Example:
  herder scale web 8

Manual: herder-scale(1)")]
pub struct Scale {
    /// NAME, herder@NAME.service, or a runtime directory
    pub instance: String,
    /// How many workers there are to be
    // `-1` is a wrong number, not an unknown option.
    #[arg(value_name = "N", value_parser = workers, allow_negative_numbers = true)]
    pub workers: u32,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub wait: Wait,
}

/// `herder recycle`
#[derive(Debug, Args)]
#[command(after_help = "\
One at a time: each new worker is ready before the old one is told to stop. Settings are not read again; \
`herder reload` does that.

Exit status: 0 done, 1 failed or refused, 3 not running, 4 no such instance or no permission

Example:
  herder recycle web --slot 3

Manual: herder-recycle(1)")]
pub struct Recycle {
    /// NAME, herder@NAME.service, or a runtime directory [default: the only one running]
    pub instance: Option<String>,
    /// Only the worker of this slot
    #[arg(long, value_name = "N")]
    pub slot: Option<u32>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub wait: Wait,
}

/// `herder stop-worker`
#[derive(Debug, Args)]
#[command(after_help = "\
For a worker that is stuck. It gets `stop-signal` and, after `stop-timeout`, SIGKILL; its replacement is \
started at once, and this returns when the old one has ended. To replace one that works, `herder recycle \
--slot` is kinder: the new one is ready first.

Exit status: 0 done, 1 failed or refused, 3 not running, 4 no such instance or no permission

Example:
  herder stop-worker web 17

Manual: herder-stop-worker(1)")]
pub struct StopWorker {
    /// NAME, herder@NAME.service, or a runtime directory
    pub instance: String,
    /// The worker's id, as `herder status` and the log have it; not a slot, and not a process id
    #[arg(value_name = "WORKER")]
    pub worker: u64,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub wait: Wait,
}

/// `herder set`
#[derive(Debug, Args)]
#[command(after_help = "\
For what needs no new workers: counts, limits, thresholds, time-outs. It takes effect at once, shows in \
`herder status`, and lasts until the next reload that succeeds: the settings file is what stays.

Exit status: 0 done, 1 failed or refused, 3 not running, 4 no such instance or no permission

Example:
  herder set web stop-timeout=2min max-surge=4

Manual: herder-set(1)")]
pub struct Set {
    /// NAME, herder@NAME.service, or a runtime directory
    pub instance: String,
    /// A setting and its value, as in herder.toml(5)
    #[arg(id = "setting", value_name = "KEY=VALUE", required = true)]
    pub settings: Vec<String>,
}

/// `herder log-level`
#[derive(Debug, Args)]
#[command(after_help = "\
Until herder ends, or is told otherwise; `--log-level` of `herder run` is what it begins with.

Exit status: 0 done, 1 failed or refused, 3 not running, 4 no such instance or no permission

Example:
  herder log-level web debug

Manual: herder-log-level(1)")]
pub struct SetLogLevel {
    /// NAME, herder@NAME.service, or a runtime directory
    pub instance: String,
    /// The least important entries to log
    #[arg(value_parser = log_level())]
    pub level: LogLevel,
}

/// `+1` is refused: it would read as 1, and the user probably means one more.
fn workers(text: &str) -> Result<u32, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|&number| digits && number <= MOST_WORKERS);
    number.ok_or_else(|| format!("give the number there is to be, from 0 to {MOST_WORKERS}"))
}
