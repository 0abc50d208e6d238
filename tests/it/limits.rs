//! What workers may use, on real processes; what needs a cgroup's controllers is in tests/system.

use crate::systemd::{Herder, Unit};
use crate::workers::misbehave;
use std::fs;
use std::os::unix::fs::chown;

const SETTINGS: &str = "workers = 1\nready = \"notify\"\n";

fn unit(more: &str) -> Unit {
    Unit::new(&format!("{}{SETTINGS}{more}", misbehave("ready")))
}

fn proc(herder: &Herder, file: &str) -> String {
    let pid = herder.serves(1)[0].pid.unwrap();
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap()
}

/// Soft and hard.
fn limit(limits: &str, name: &str) -> [String; 2] {
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    [words.next().unwrap(), words.next().unwrap()]
}

#[test]
fn workers_are_held_to_what_the_settings_say_and_herder_is_not() {
    let more = "oom-score-adjust = 300\nnice = 15\n[limits]\nnofile = \"64:100\"\ncore = 0\nfsize = \"1G\"\n";
    let herder = unit(more).start();
    let limits = proc(&herder, "limits");
    assert_eq!(limit(&limits, "Max open files"), ["64", "100"]);
    assert_eq!(limit(&limits, "Max core file size"), ["0", "0"]);
    assert_eq!(limit(&limits, "Max file size"), ["1073741824", "1073741824"]);
    assert_eq!(proc(&herder, "oom_score_adj"), "300\n");
    let niceness = |stat: String| {
        stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().to_owned()
    };
    assert_eq!(niceness(proc(&herder, "stat")), "15");
    let own = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", herder.pid())).unwrap();
    assert_ne!(niceness(own("stat")), "15");
    assert_ne!(limit(&own("limits"), "Max open files")[1], "100");
    assert_ne!(own("oom_score_adj"), "300\n");
}

/// Others may lower niceness and raise limits only as far as they were allowed to.
#[test]
fn a_limit_that_may_not_be_set_fails_the_start_or_the_reload() {
    let as_nobody = ["/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let give = |unit: &Unit| {
        let run = unit.path("run");
        fs::create_dir_all(&run).unwrap();
        for path in [run.parent().unwrap(), &run, &unit.path("notify")] {
            chown(path, Some(65534), Some(65534)).unwrap();
        }
    };
    let first = unit("nice = -20\n").through(&as_nobody);
    give(&first);
    let mut herder = first.start();
    assert_eq!(herder.exits(), 78);
    let why =
        "cannot set its nice value to -20: Permission denied; herder may do that with LimitNICE=";
    assert!(herder.log().contains(why), "{}", herder.log());

    let second = unit("").through(&as_nobody);
    give(&second);
    let mut herder = second.start();
    let before = herder.serves(1)[0].id;
    herder.settings(&format!("{}{SETTINGS}limits.nofile = 2000000000\n", misbehave("ready")));
    herder.signal(nix::sys::signal::Signal::SIGHUP);
    herder.hears("RELOADING=1");
    herder.hears("READY=1");
    herder.logs("rolled back to generation 1");
    let log = herder.log();
    assert!(log.contains("reload to generation 2 failed"), "{log}");
    assert!(log.contains("cannot set limits.nofile to 2000000000:2000000000: "), "{log}");
    assert!(log.contains("LimitNOFILE= in herder's unit"), "{log}");
    assert_eq!(herder.serves(1)[0].id, before);
}

#[test]
fn limits_of_cgroups_that_are_not_there_are_an_error_that_says_what_to_change() {
    let mut herder = unit("memory-max = \"64M\"\n").start();
    assert_eq!(herder.exits(), 78);
    let log = herder.log();
    assert!(
        log.contains("`memory-max` is a limit of the workers' cgroups, and they get none here"),
        "{log}"
    );
    assert!(log.contains("elsewhere remove the key"), "{log}");

    let mut herder = unit("tasks-max = 9\n").by_systemd_itself().start();
    assert_eq!(herder.exits(), 78);
    let log = herder.log();
    assert!(log.contains("add Delegate=cpu memory pids io to [Service]"), "{log}");

    let mut herder = unit("").start();
    let before = herder.serves(1)[0].id;
    herder.settings(&format!("{}{SETTINGS}cpu-weight = 50\n", misbehave("ready")));
    herder.signal(nix::sys::signal::Signal::SIGHUP);
    herder.logs("reload refused, nothing changed");
    herder.logs("`cpu-weight` is a limit of the workers' cgroups");
    assert_eq!(herder.serves(1)[0].id, before);
    assert_eq!(herder.stops(), 0);
}
