//! Names of settings in other launchers: an unknown key that is one of them is answered with herder's name
//! for the same thing.

/// Names elsewhere (lower case, without `-`, `_` and `.`), and what to do instead.
const FOREIGN: &[(&[&str], &str)] = &[
    (
        &[
            "bind",
            "address",
            "addr",
            "endpoint",
            "host",
            "port",
            "url",
            "http",
            "httpsocket",
            "listenaddress",
            "listenstream",
        ],
        "herder calls it `listen`",
    ),
    (
        &["timeout", "timeoutsec", "harakiri"],
        "write `start-timeout` (from start to ready), `stop-timeout` (from the stop signal to SIGKILL) or `stall-timeout` (connections wait and none is accepted)",
    ),
    (
        &[
            "timeoutstartsec",
            "starttimeoutsec",
            "readytimeout",
            "startuptimeout",
            "listentimeout",
            "workerboottimeout",
        ],
        "herder calls it `start-timeout`",
    ),
    (
        &[
            "gracefultimeout",
            "killtimeout",
            "stopwaitsecs",
            "timeoutstopsec",
            "shutdowntimeout",
            "workershutdowntimeout",
            "gracefulshutdowntimeout",
            "terminationgraceperiodseconds",
            "stopgraceperiod",
            "draintimeout",
            "exittimeout",
        ],
        "herder calls it `stop-timeout`",
    ),
    (
        &[
            "instances",
            "processes",
            "process",
            "nproc",
            "nprocs",
            "numprocs",
            "numprocesses",
            "numworkers",
            "workercount",
            "workerprocesses",
            "concurrency",
            "webconcurrency",
            "pmmaxchildren",
            "maxchildren",
            "children",
            "replicas",
            "scale",
        ],
        "herder calls it `workers`",
    ),
    (
        &[
            "exec",
            "cmd",
            "execstart",
            "program",
            "script",
            "args",
            "argv",
            "entrypoint",
            "commandline",
            "run",
        ],
        "herder calls it `command`, a list with the program first",
    ),
    (
        &["cwd", "chdir", "workingdirectory", "workingdir", "workdir", "dir", "root"],
        "herder calls it `directory`",
    ),
    (&["env", "environ", "rawenv", "envvars", "variables"], "herder calls it `environment`"),
    (&["envfile", "envfiles", "dotenv"], "herder calls it `environment-file`"),
    (&["killsignal", "killsig", "signal", "termsignal"], "herder calls it `stop-signal`"),
    (&["exitcodes", "exitcode", "stopexitcodes"], "herder calls it `success-exit-status`"),
    (&["type", "readiness", "waitready", "notify"], "herder calls it `ready`"),
    (&["watchdogsec", "watchdogusec"], "herder calls it `watchdog`"),
    (
        &["healthcheck", "healthcheckpath", "healthcheckurl", "livenessprobe", "liveness"],
        "write `probe.http` or `probe.exec`",
    ),
    (&["minuptime"], "herder calls it `min-lifetime`"),
    (
        &["startsecs"],
        "write `ready-after` (alive for so long is ready) or `min-lifetime` (after that its death is no failure)",
    ),
    (&["startretries", "maxrestarts", "startlimitburst"], "herder calls it `crash-limit.burst`"),
    (&["startlimitintervalsec", "startlimitinterval"], "herder calls it `crash-limit.after`"),
    (
        &[
            "restart",
            "autorestart",
            "respawn",
            "restartsec",
            "restartdelay",
            "backoff",
            "exponentialbackoff",
        ],
        "remove it: a worker that dies is always replaced; `min-lifetime` and `crash-limit` say when that is a crash loop",
    ),
    (&["limitas", "rlimitas"], "herder calls it `limits.as`"),
    (&["limitcore", "rlimitcore"], "herder calls it `limits.core`"),
    (&["limitcpu", "rlimitcpu"], "herder calls it `limits.cpu`"),
    (&["limitdata", "rlimitdata"], "herder calls it `limits.data`"),
    (&["limitfsize", "rlimitfsize"], "herder calls it `limits.fsize`"),
    (&["limitlocks", "rlimitlocks"], "herder calls it `limits.locks`"),
    (&["limitmemlock", "rlimitmemlock"], "herder calls it `limits.memlock`"),
    (&["limitmsgqueue", "rlimitmsgqueue"], "herder calls it `limits.msgqueue`"),
    (&["limitnice", "rlimitnice"], "herder calls it `limits.nice`"),
    (
        &["limitnofile", "rlimitnofile", "rlimitfiles", "workerrlimitnofile", "minfds", "maxfds"],
        "herder calls it `limits.nofile`",
    ),
    (
        &["limitnproc", "rlimitnproc", "minprocs"],
        "write `tasks-max`, for each worker, or `limits.nproc`, for the user",
    ),
    (&["limitrss", "rlimitrss"], "herder calls it `limits.rss`"),
    (&["limitrtprio", "rlimitrtprio"], "herder calls it `limits.rtprio`"),
    (&["limitrttime", "rlimitrttime"], "herder calls it `limits.rttime`"),
    (&["limitsigpending", "rlimitsigpending"], "herder calls it `limits.sigpending`"),
    (&["limitstack", "rlimitstack"], "herder calls it `limits.stack`"),
    (&["rlimit", "rlimits", "ulimit", "ulimits"], "write `limits.nofile` and the like"),
    (
        &[
            "maxmemoryrestart",
            "reloadonrss",
            "reloadonas",
            "evilreloadonrss",
            "evilreloadonas",
            "workersmaxrss",
            "workermaxmemory",
            "maxmemoryperchild",
            "passengermemorylimit",
            "pumaworkerkiller",
            "workerkiller",
        ],
        "herder calls it `max-memory`",
    ),
    (
        &[
            "maxworkerlifetime",
            "maxworkerlifetimedelta",
            "workerslifetime",
            "maxlifetime",
            "runtimemaxsec",
            "rollingrestartfrequency",
        ],
        "herder calls it `max-age`",
    ),
    (
        &[
            "maxrequests",
            "maxrequestsjitter",
            "maxrequestsdelta",
            "pmmaxrequests",
            "maxrequestsperchild",
            "maxconnectionsperchild",
            "limitmaxrequests",
            "passengermaxrequests",
        ],
        "herder does not see requests: leave it to the server, which is replaced when it ends; or write `max-age` \
         or `max-memory`",
    ),
    (&["processpriority", "priority", "niceness"], "herder calls it `nice`"),
    (&["oomscoreadj", "oomscore", "oomadj"], "herder calls it `oom-score-adjust`"),
    (&["memorylimit", "memlimit"], "herder calls it `memory-max`"),
    (&["cpushares", "cpuquotapersec"], "write `cpu-weight` (a share) or `cpu-quota` (a limit)"),
    (&["fds", "listenfdnames", "socketnames"], "herder calls it `sockets`"),
    (
        &["user", "group", "uid", "gid", "umask"],
        "remove it, and set it in the unit: `systemctl edit herder@NAME.service`",
    ),
    (
        &[
            "stdout",
            "stderr",
            "stdoutlogfile",
            "stderrlogfile",
            "logfile",
            "accesslog",
            "errorlog",
            "outfile",
            "errorfile",
        ],
        "remove it: workers write to the journal (`journalctl -u herder@NAME.service`), or where herder's own output goes",
    ),
    (
        &["loglevel", "logformat"],
        "it is an option of the command line, `herder run --log-level` or `--log-format`",
    ),
    (&["name", "appname", "instance"], "it is an option of the command line, `herder run --name`"),
];

/// What to write instead of a key that belongs to another launcher.
pub fn advice(key: &str) -> Option<&'static str> {
    let bare = bare(key);
    FOREIGN.iter().find(|(names, _)| names.contains(&bare.as_str())).map(|(_, advice)| *advice)
}

/// A key without what differs between `stop-timeout`, `stop_timeout` and `StopTimeout`.
pub fn bare(key: &str) -> String {
    key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::keys::KEYS;
    use super::*;

    #[test]
    fn foreign_names_are_not_our_own_and_lead_to_names_that_are() {
        for (names, advice) in FOREIGN {
            for name in *names {
                assert_eq!(&bare(name), name);
                assert!(KEYS.iter().all(|key| bare(key.name) != *name), "{name}");
            }
            let mentioned =
                advice.split('`').skip(1).step_by(2).filter(|word| !word.contains([' ', '@']));
            for word in mentioned.filter(|word| *word != "--log-format") {
                assert!(
                    KEYS.iter()
                        .any(|key| key.name == word || key.name.starts_with(&format!("{word}."))),
                    "`{word}` in {advice:?}"
                );
            }
        }
    }

    #[test]
    fn spelling_does_not_matter() {
        for key in [
            "pm.max_children",
            "ExecStart",
            "exec_start",
            "kill_timeout",
            "working-directory",
            "env",
        ] {
            assert!(advice(key).is_some(), "{key}");
        }
        assert_eq!(advice("queues"), None);
    }
}
