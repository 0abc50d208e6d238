//! What supervisord.conf can say, by the kind of its sections, as of Supervisor 4.3.

use super::{CONTROL, Directive, FOREGROUND, Fate, JOURNAL, PID_FILE};

/// `[program:x]` and `[fcgi-program:x]`
pub const PROGRAM: &[Directive] = &[
    Directive {
        names: &[
            "command",
            "numprocs",
            "numprocs_start",
            "startsecs",
            "startretries",
            "autostart",
            "autorestart",
            "exitcodes",
            "stopsignal",
            "stopwaitsecs",
            "stopasgroup",
            "user",
            "environment",
            "directory",
            "umask",
            "priority",
        ],
        fate: Fate::Carried,
    },
    Directive {
        names: &["process_name"],
        fate: Fate::Needless(
            "a worker is known by its slot and its id; syslog-identifier names it in the journal",
        ),
    },
    Directive {
        names: &["killasgroup"],
        fate: Fate::Needless("SIGKILL always goes to everything that a worker has started"),
    },
    Directive {
        names: &[
            "redirect_stderr",
            "stdout_logfile",
            "stdout_logfile_maxbytes",
            "stdout_logfile_backups",
            "stdout_syslog",
            "stderr_logfile",
            "stderr_logfile_maxbytes",
            "stderr_logfile_backups",
            "stderr_syslog",
        ],
        fate: JOURNAL,
    },
    Directive {
        names: &[
            "stdout_capture_maxbytes",
            "stdout_events_enabled",
            "stderr_capture_maxbytes",
            "stderr_events_enabled",
        ],
        fate: LISTENER,
    },
    Directive { names: &["serverurl"], fate: CONTROL },
];

/// Only `[fcgi-program:x]`
pub const FCGI: &[Directive] = &[Directive {
    names: &["socket", "socket_owner", "socket_mode", "socket_backlog"],
    fate: Fate::Carried,
}];

/// `[supervisord]`
pub const DAEMON: &[Directive] = &[
    Directive { names: &["environment", "user", "umask", "directory"], fate: Fate::Carried },
    Directive {
        names: &[
            "logfile",
            "logfile_maxbytes",
            "logfile_backups",
            "loglevel",
            "childlogdir",
            "nocleanup",
            "strip_ansi",
            "silent",
        ],
        fate: JOURNAL,
    },
    Directive { names: &["pidfile"], fate: PID_FILE },
    Directive { names: &["nodaemon"], fate: FOREGROUND },
    Directive {
        names: &["minfds", "minprocs"],
        fate: Fate::Lost(
            "it is what supervisord itself needs; a worker's own are limits.nofile and tasks-max",
        ),
    },
    Directive {
        names: &["identifier"],
        fate: Fate::Needless("each instance has a name of its own"),
    },
];

const LISTENER: Fate = Fate::Lost(
    "there are no event listeners; `herder events --json` tells what happens, OnFailure= of systemd.unit(5) and \
     alerts on herder-metrics(1) act on it",
);

/// Sections that are about supervisord itself, or have no counterpart, each with what they can say.
pub const SECTIONS: &[(&str, Fate)] = &[
    ("unix_http_server", CONTROL),
    (
        "inet_http_server",
        Fate::Needless(
            "there is nothing to steer over the network; herder-metrics.socket has a status page",
        ),
    ),
    ("supervisorctl", CONTROL),
    ("rpcinterface:", CONTROL),
    ("ctlplugin:", CONTROL),
    ("eventlistener:", LISTENER),
    (
        "group:",
        Fate::Lost(
            "each program is an instance of its own; systemctl takes patterns (`systemctl restart 'herder@a*'`), and a \
         .target of your own can want several",
        ),
    ),
    ("include", Fate::Lost("other files are imported each by itself: `herder import` them, too")),
];

/// Every name, for the manual's sake.
pub fn names() -> impl Iterator<Item = &'static str> {
    let settings =
        PROGRAM.iter().chain(FCGI).chain(DAEMON).flat_map(|directive| directive.names).copied();
    settings.chain(SECTIONS.iter().map(|(name, _)| *name))
}
