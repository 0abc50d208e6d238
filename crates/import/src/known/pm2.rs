//! What pm2's ecosystem file can say, as of pm2 7.

use super::{Directive, Fate, JOURNAL, PID_FILE, fate};

const DEPLOY: Fate = Fate::Lost(
    "deploy by directories of releases and a link to the current one, then `systemctl reload`; herder(8) shows how",
);
const WATCH: Fate =
    Fate::Lost("herder watches no files; a .path unit of systemd's can start `systemctl reload`");
const MONITOR: Fate =
    Fate::Needless("it is for pm2's own monitoring; herder-metrics(1) is herder's");
/// What an app can say; names are pm2's, aliases and camelCase become them.
pub const APP: &[Directive] = &[
    Directive {
        names: &[
            "script",
            "args",
            "exec_interpreter",
            "node_args",
            "cwd",
            "name",
            "instances",
            "exec_mode",
            "env",
            "env_*",
            "port",
            "increment_var",
            "instance_var",
            "kill_timeout",
            "listen_timeout",
            "min_uptime",
            "max_restarts",
            "max_memory_restart",
            "uid",
            "gid",
            "autostart",
            "autorestart",
            "cmd",
            "command",
        ],
        fate: Fate::Carried,
    },
    Directive {
        names: &["wait_ready"],
        fate: Fate::Lost(
            "herder sees by itself when an app waits on its socket (`ready`). There is no process.send() to say so: the \
             app has to do without, if (process.send) …",
        ),
    },
    Directive {
        names: &["shutdown_with_message"],
        fate: Fate::Lost("there is no channel for a message: the app stops at a signal"),
    },
    Directive {
        names: &[
            "out_file",
            "error_file",
            "log_file",
            "disable_logs",
            "log_type",
            "log_date_format",
            "merge_logs",
            "time",
        ],
        fate: JOURNAL,
    },
    Directive { names: &["pid_file"], fate: PID_FILE },
    Directive {
        names: &["cron_restart"],
        fate: Fate::Lost(
            "let a .timer unit run `herder recycle NAME`, which starts each new worker first",
        ),
    },
    Directive { names: &["watch", "watch_delay", "ignore_watch", "watch_options"], fate: WATCH },
    Directive {
        names: &["restart_delay", "exp_backoff_restart_delay"],
        fate: Fate::Needless(
            "a worker that had served is replaced at once, one that fails ever more slowly",
        ),
    },
    Directive {
        names: &["stop_exit_codes"],
        fate: Fate::Lost(
            "a worker that ends is always replaced; success-exit-status only says that this is no crash",
        ),
    },
    Directive {
        names: &["treekill", "kill_retry_time"],
        fate: Fate::Needless("what a worker has started ends with it, by its cgroup"),
    },
    Directive {
        names: &["source_map_support", "disable_source_map_support"],
        fate: Fate::Lost(
            "pm2 loads a module for it; node has it built in: --enable-source-maps in `command`",
        ),
    },
    Directive {
        names: &["filter_env"],
        fate: Fate::Needless(
            "workers get little but what the settings say, not the environment of a shell",
        ),
    },
    Directive {
        names: &["namespace", "name_prefix", "append_env_to_name"],
        fate: Fate::Needless("instances are told apart by their names"),
    },
    Directive {
        names: &["execute_command", "force", "write", "username", "windowsHide", "install_url"],
        fate: Fate::Needless("it is for pm2's command line, or another system"),
    },
    Directive { names: &["post_update", "vizion"], fate: DEPLOY },
    Directive {
        names: &[
            "pmx",
            "automation",
            "trace",
            "disable_trace",
            "v8",
            "event_loop_inspector",
            "deep_monitoring",
            "io",
        ],
        fate: MONITOR,
    },
];

/// What stands beside the apps.
pub const TOP: &[Directive] = &[
    Directive { names: &["apps", "pm2"], fate: Fate::Carried },
    Directive { names: &["deploy"], fate: DEPLOY },
    Directive {
        names: &["static"],
        fate: Fate::Lost("files are served by a web server such as nginx"),
    },
];

const ALIASES: [(&str, &str); 17] = [
    ("exec", "script"),
    ("interpreter", "exec_interpreter"),
    ("interpreter_args", "node_args"),
    ("out", "out_file"),
    ("output", "out_file"),
    ("out_log", "out_file"),
    ("error", "error_file"),
    ("err", "error_file"),
    ("err_file", "error_file"),
    ("err_log", "error_file"),
    ("log", "log_file"),
    ("pid", "pid_file"),
    ("cron", "cron_restart"),
    ("combine_logs", "merge_logs"),
    ("user", "uid"),
    ("cmd", "script"),
    ("command", "script"),
];

/// Every name, for the manual's sake.
pub fn names() -> impl Iterator<Item = &'static str> {
    APP.iter().chain(TOP).flat_map(|directive| directive.names).copied()
}

/// pm2's own spelling of a name.
pub fn canonical(name: &str) -> String {
    if name.starts_with("env_") {
        return name.to_owned();
    }
    let known = |name: &str| fate(APP, name).is_some();
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    let spelled = if known(name) { name } else { &snake };
    let alias = ALIASES.iter().find(|(alias, _)| *alias == spelled).map(|(_, name)| *name);
    alias.unwrap_or(spelled).to_owned()
}
