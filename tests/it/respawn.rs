//! A worker that dies is replaced: at once if it had proved itself, later if not.

use crate::systemd::Unit;
use crate::wait::until;
use crate::workers::{kill, misbehave, shell};
use nix::sys::signal::Signal;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

#[test]
fn a_proved_worker_is_replaced_at_once() {
    let settings = "workers = 2\nready = \"notify\"\nmin-lifetime = \"1us\"\n";
    let herder = Unit::new(&format!("{settings}{}", misbehave("note $DIR/pids ready"))).start();
    let workers = herder.serves(2);
    herder.lines("pids", 2);
    kill(workers[0].pid, Signal::SIGKILL);
    herder.lines("pids", 3);
    let status = herder.is("two are ready again", |status| status.ready == 2);
    assert_eq!(status.counters.crashes, 1, "{status:#?}");
    assert_eq!((status.counters.failures, status.counters.respawns), (0, 1));
    assert_eq!(status.workers[0].last_exit.as_ref().unwrap().text, "was killed by SIGKILL");
    assert_eq!((status.workers[0].id, status.workers[0].slot), (3, 0));
    assert!(!herder.log().contains("next try in"));
}

#[test]
fn workers_that_die_together_are_replaced_together() {
    let settings = "workers = 8\nready = \"notify\"\nmin-lifetime = \"1us\"\n";
    let herder = Unit::new(&format!("{settings}{}", misbehave("ready"))).start();
    for worker in herder.serves(8) {
        kill(worker.pid, Signal::SIGKILL);
    }
    let status = herder.is("eight others are ready", |status| {
        status.ready == 8 && status.workers.iter().all(|worker| worker.id > 8)
    });
    assert_eq!(status.counters.crashes, 8);
}

/// A zero exit can be a crash loop.
#[test]
fn an_exit_with_zero_is_a_failure_all_the_same() {
    let herder = Unit::new(&format!("workers = 1\n{}", misbehave("exit 0"))).start();
    herder.logs("exited with status 0 before it was ready");
    herder.logs("failed 2 times in a row, next try in");
    let status = herder.status();
    assert_eq!(status.counters.crashes, 0);
}

#[test]
fn each_failure_doubles_the_wait() {
    let settings = "workers = 2\nready = \"notify\"\n";
    let command = shell(
        "[ $HERDER_SLOT = 0 ] && exec $EXAMPLES/misbehave ready; \
         date +%s%N >> $DIR/times; exec $EXAMPLES/misbehave exit 1",
    );
    let mut herder = Unit::new(&format!("{settings}{command}")).start();
    let times: Vec<u64> =
        herder.lines("times", 5).iter().map(|time| time.parse().unwrap()).collect();
    let waits: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]) / 1_000_000).collect();
    for (wait, least) in waits.iter().zip([100, 200, 400, 800]) {
        // Jitter takes up to a quarter; a busy machine only adds.
        assert!(*wait * 4 >= least * 3, "{waits:?}");
    }
    // A worker serves, so herder stays, and reports the slot that fails.
    herder.hears("READY=1");
    let told = herder.hears("STATUS=degraded 1/2: slot 1 exited with status 1 before it was ready");
    assert!(told.text.contains("next try in"), "{told:?}");
    herder.logs("degraded 1/2");
}

#[test]
fn a_recovery_is_told_and_the_failures_are_forgotten() {
    let settings = "workers = 2\nready = \"notify\"\nmin-lifetime = \"100ms\"\n";
    let command =
        shell("[ $HERDER_SLOT = 0 ] || [ -e $DIR/good ] || exit 1; exec $EXAMPLES/misbehave ready");
    let mut herder = Unit::new(&format!("{settings}{command}")).start();
    herder.hears("STATUS=degraded 1/2");
    std::fs::write(herder.path("good"), "").unwrap();
    herder.hears("STATUS=2/2 ready, generation 1");
    herder.logs("recovered: 2/2 workers ready again");
    std::fs::remove_file(herder.path("good")).unwrap();
    let worker = herder.status().workers.into_iter().find(|worker| worker.slot == 1).unwrap();
    herder.is("it has proved itself", |status| {
        status.workers.iter().any(|now| now.id == worker.id && now.age_usec > 300_000)
    });
    let before = herder.log().len();
    kill(worker.pid, Signal::SIGKILL);
    until("the next failure is logged", || herder.log()[before..].contains("next try in"));
    let log = &herder.log()[before..];
    assert!(log.contains("killed by SIGKILL after serving"), "{log}");
    assert!(log.contains("slot 1 failed once"), "counting starts anew: {log}");
}

#[test]
fn a_worker_that_dies_young_is_a_failure() {
    let herder = Unit::new(&format!("workers = 1\n{}", misbehave("ready wait 20 die 9"))).start();
    herder.logs("killed by SIGKILL soon after it was ready");
    herder
        .is("it is counted", |status| status.counters.failures > 0 && status.counters.crashes == 0);
}

/// EAGAIN and similar errors of the system may pass: herder tries again. (A text file that is written to
/// cannot be executed, ETXTBSY.)
#[test]
fn a_passing_failure_to_execute_is_tried_again() {
    let unit = Unit::new(
        "workers = 1\nready = \"exec\"\nmin-lifetime = \"1h\"\ncommand = [\"$DIR/program\", \"60\"]\n",
    );
    let program = unit.path("program");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let writing = std::fs::OpenOptions::new().append(true).open(&program).unwrap();
    let herder = unit.start();
    herder.logs("Text file busy");
    herder.logs("next try in");
    drop(writing);
    herder.serves(1);
}

#[test]
fn a_killed_worker_does_not_take_its_siblings_with_it() {
    let settings = "workers = 3\nready = \"notify\"\nmin-lifetime = \"1us\"\n";
    let herder = Unit::new(&format!("{settings}{}", misbehave("ready"))).start();
    let before = herder.serves(3);
    kill(before[1].pid, Signal::SIGTERM);
    let after = herder.is("it is replaced", |status| {
        status.ready == 3 && status.workers.iter().all(|worker| worker.id != before[1].id)
    });
    let ids: Vec<u64> = after.workers.iter().map(|worker| worker.id).collect();
    assert_eq!(ids, [1, 4, 3]);
    assert!(Duration::from_micros(after.workers[1].age_usec) < Duration::from_secs(20));
}

/// herder goes on with the workers that it could start, and still answers clients.
#[test]
fn running_out_of_descriptors_is_survived() {
    let settings = "workers = 20\nready = \"notify\"\n";
    let unit = Unit::new(&format!("{settings}{}", misbehave("ready")));
    let mut herder = unit.through(&["/usr/bin/prlimit", "--nofile=32"]).start();
    herder.hears("READY=1");
    herder.logs("there are no file descriptors left for another worker (LimitNOFILE=)");
    assert!(herder.status().ready > 0, "no worker is ready");
    let pid = herder.pid();
    let times = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let ticks = |stat: &str| -> u64 {
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks(&times());
    // A connection that cannot be accepted must not wake the loop again and again.
    let connect = || std::os::unix::net::UnixStream::connect(herder.path("run/control")).unwrap();
    let clients = [(); 16].map(|()| connect());
    herder.logs("failed 3 times in a row");
    drop(clients);
    assert!(ticks(&times()) - before < 50, "half a second of work");
    assert_eq!(herder.stops(), 0);
}

/// Servers that use select(2) break where descriptors above 1024 can come; herder needs some for each worker.
#[test]
fn the_soft_limit_of_descriptors_is_for_workers_and_not_for_herder() {
    let settings = "workers = 30\nready = \"notify\"\n";
    let unit = Unit::new(&format!("{settings}{}", misbehave("ready")));
    // Three descriptors for each worker are more than the soft limit.
    let herder = unit.through(&["/usr/bin/prlimit", "--nofile=64:1000"]).start();
    let workers = herder.serves(30);
    let limit = |pid: i32| {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        line.split_whitespace().skip(3).take(2).collect::<Vec<_>>().join(" to ")
    };
    assert_eq!(limit(herder.pid()), "1000 to 1000");
    for worker in workers {
        assert_eq!(limit(worker.pid.unwrap() as i32), "64 to 1000");
    }
}

/// Clients of the control socket and of the metrics leave the descriptors that workers need.
#[test]
fn clients_cannot_use_up_the_descriptors_for_workers() {
    let settings = "workers = 2\nready = \"notify\"\nmin-lifetime = \"1us\"\n";
    let unit = Unit::new(&format!("{settings}{}", misbehave("ready")));
    let metrics = unit.path("metrics");
    let socket = UnixListener::bind(&metrics).unwrap();
    let unit = unit.socket("herder-metrics", socket).through(&["/usr/bin/prlimit", "--nofile=128"]);
    let mut herder = unit.start();
    herder.hears("READY=1");
    let connect = |path: &Path| -> Vec<UnixStream> {
        (0..150).map(|_| UnixStream::connect(path).unwrap()).collect()
    };
    let _clients = (connect(&herder.path("run/control")), connect(&metrics));
    for _ in 0..3 {
        // A new client is answered, too, although all places for clients are taken.
        let worker = herder.serves(2).remove(0);
        kill(worker.pid, Signal::SIGKILL);
        herder.is("it is replaced", |status| {
            status.ready == 2 && status.workers.iter().all(|other| other.id != worker.id)
        });
    }
    assert_eq!(herder.status().counters.failures, 0);
}
