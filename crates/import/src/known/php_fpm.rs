//! What php-fpm.conf and its pools can say, as of PHP 8.2.

use super::{Directive, FOREGROUND, Fate, JOURNAL, PID_FILE};

pub const SCALE: &str = "the number of workers follows the connections that wait, within the bounds of `workers`; \
                         there are no spare ones to set";
const STATUS: Fate = Fate::Lost(
    "php-cgi has no status page; `herder status NAME`, `herder health NAME` and herder-metrics(1) tell how the \
     workers are",
);
const WEB_SERVER: Fate =
    Fate::Lost("php-cgi writes no access log: the web server in front has one");
const SLOW: Fate = Fate::Lost("php-cgi has no log of slow requests; a profiler of PHP's has");
const TERMINATE: Fate = Fate::Lost(
    "herder does not know of requests: set max_execution_time in php.ini (CPU time), and the web server's own \
     timeout",
);
const SAME: Fate = Fate::Carried;
pub const UNSET: &str = "this value leaves the system's own";

/// `[global]`
pub const GLOBAL: &[Directive] = &[
    Directive { names: &["pid"], fate: PID_FILE },
    Directive {
        names: &[
            "error_log",
            "syslog.ident",
            "syslog.facility",
            "log_buffering",
            "log_level",
            "log_limit",
        ],
        fate: JOURNAL,
    },
    Directive {
        names: &["emergency_restart_threshold", "emergency_restart_interval"],
        fate: Fate::Needless("a worker that crashes is replaced alone; they share no memory"),
    },
    Directive {
        names: &["process_control_timeout", "process.priority", "rlimit_files", "rlimit_core"],
        fate: SAME,
    },
    Directive {
        names: &["process.max"],
        fate: Fate::Lost(
            "each instance has a number of its own; TasksMax= in the drop-in of a slice bounds them all",
        ),
    },
    Directive { names: &["daemonize"], fate: FOREGROUND },
    Directive { names: &["events.mechanism"], fate: Fate::Needless("herder has one, epoll") },
    Directive {
        names: &["systemd_interval"],
        fate: Fate::Needless("herder tells systemd when something changes"),
    },
    Directive { names: &["include"], fate: SAME },
];

/// `[POOL]`; `env[…]`, `php_value[…]` and the like are by their first word.
pub const POOL: &[Directive] = &[
    Directive {
        names: &[
            "prefix",
            "user",
            "group",
            "listen",
            "listen.backlog",
            "listen.owner",
            "listen.group",
            "listen.mode",
            "listen.acl_users",
            "listen.acl_groups",
            "listen.allowed_clients",
            "process.priority",
            "pm.max_children",
            "pm.min_spare_servers",
            "pm.process_idle_timeout",
            "pm.max_requests",
            "rlimit_files",
            "rlimit_core",
            "chdir",
            "env",
            "php_value",
            "php_flag",
            "php_admin_value",
            "php_admin_flag",
            "security.limit_extensions",
            "pm",
        ],
        fate: SAME,
    },
    Directive {
        names: &["pm.start_servers", "pm.max_spare_servers", "pm.max_spawn_rate"],
        fate: Fate::Needless(SCALE),
    },
    Directive {
        names: &["pm.status_path", "pm.status_listen", "ping.path", "ping.response"],
        fate: STATUS,
    },
    Directive { names: &["access.log", "access.format", "access.suppress_path"], fate: WEB_SERVER },
    Directive {
        names: &["slowlog", "request_slowlog_timeout", "request_slowlog_trace_depth"],
        fate: SLOW,
    },
    Directive {
        names: &["request_terminate_timeout", "request_terminate_timeout_track_finished"],
        fate: TERMINATE,
    },
    Directive {
        names: &["process.dumpable"],
        fate: Fate::Needless("workers start as their user, and so can be traced and dumped by it"),
    },
    Directive { names: &["catch_workers_output", "decorate_workers_output"], fate: JOURNAL },
    Directive {
        names: &["clear_env"],
        fate: Fate::Needless(
            "under systemd a worker's environment has little but what the settings say",
        ),
    },
    Directive {
        names: &["chroot"],
        fate: Fate::Lost(
            "php-cgi does not change its root; RootDirectory= of systemd.exec(5) does for the whole service, \
                          herder and PHP have to be below it then",
        ),
    },
    Directive { names: &["listen.setfib"], fate: Fate::Needless("it is for FreeBSD") },
    Directive {
        names: &["apparmor_hat"],
        fate: Fate::Lost(
            "a hat is a part of a profile; AppArmorProfile= in the drop-in sets a whole one",
        ),
    },
];

/// Every name, for the manual's sake.
pub fn names() -> impl Iterator<Item = &'static str> {
    GLOBAL.iter().chain(POOL).flat_map(|directive| directive.names).copied()
}
