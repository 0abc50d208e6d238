//! Workers in cgroups of their own, in a tree that is handed over as systemd does it (`Delegate=`).
//! What only controllers can show (limits, kills for want of memory) is in tests/system.

use crate::systemd::{Herder, Unit};
use crate::wait::{PATIENCE, until};
use crate::workers::{kill, misbehave, shell};
use nix::sys::signal::Signal;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const SETTINGS: &str =
    "workers = 1\nready = \"notify\"\nmin-lifetime = \"1us\"\nstop-timeout = \"300ms\"\n";

/// A part of the tree for one unit, gone with everything in it when the test ends.
struct Delegated(PathBuf);

impl Delegated {
    /// None where the machine has no tree that this user may change.
    fn new() -> Option<Delegated> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
        let unified = |path: &&Path| {
            statfs(*path).is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC)
        };
        let path = mounts.into_iter().find(unified);
        let path = path.map(|path| path.join(format!("herder-it-{}-{count}", std::process::id())));
        let Some(path) = path.filter(|path| fs::create_dir(path).is_ok()) else {
            eprintln!("skipped: there is no cgroup version 2 tree that this user may change");
            return None;
        };
        let tree = Delegated(path);
        let mark = "import os, sys; os.setxattr(sys.argv[1], 'user.delegate', b'1')";
        let marked = Command::new("python3").args(["-c", mark]).arg(&tree.0).status().unwrap();
        assert!(marked.success());
        Some(tree)
    }

    /// As the unit's main process, which begins in the unit's own directory.
    fn start(&self, unit: Unit) -> Herder {
        let enter = format!(
            "echo 0 > {}/cgroup.procs && SYSTEMD_EXEC_PID=$$ exec \"$@\"",
            self.0.display()
        );
        unit.through(&["/bin/sh", "-c", &enter, "sh"]).start()
    }

    fn groups(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap().map(Result::unwrap);
        let directories = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        let mut names: Vec<String> =
            directories.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn pids(&self, group: &str) -> Vec<u32> {
        let text = fs::read_to_string(self.0.join(group).join("cgroup.procs")).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        while !fs::read_to_string(self.0.join("cgroup.events")).unwrap().contains("populated 0")
            && Instant::now() < deadline
        {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        for group in self.groups() {
            let _ = fs::remove_dir(self.0.join(group));
        }
        let removed = fs::remove_dir(&self.0);
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

fn unit(steps: &str) -> Unit {
    Unit::new(&format!("{SETTINGS}{}", misbehave(steps)))
}

#[test]
fn every_worker_has_a_cgroup_and_leaves_none_behind() {
    let Some(tree) = Delegated::new() else { return };
    let settings = format!("{SETTINGS}{}", misbehave("ready"));
    let unit = Unit::new(&settings.replace("workers = 1", "workers = 3"));
    let mut herder = tree.start(unit);
    let workers = herder.serves(3);
    assert_eq!(tree.pids("supervisor"), [herder.pid().unsigned_abs()]);
    for worker in &workers {
        let group = format!("worker-{}", worker.id);
        assert_eq!(tree.pids(&group), [worker.pid.unwrap()]);
        let told = worker.cgroup.clone().unwrap();
        assert!(told.starts_with('/') && told.ends_with(&group), "{told}");
        assert!(tree.0.join(&group).ends_with(&told[1..]), "{told}");
    }
    kill(workers[1].pid, Signal::SIGKILL);
    let status = herder.is("it is replaced", |status| {
        status.ready == 3 && status.workers.iter().all(|worker| worker.id != workers[1].id)
    });
    assert_eq!(tree.pids("worker-4"), [status.workers[1].pid.unwrap()]);
    // One empty cgroup is made in advance, so that the next start is quick.
    let names = ["supervisor", "worker-1", "worker-3", "worker-4", "worker-5"];
    until("no others are there", || tree.groups() == names);
    assert_eq!(herder.stops(), 0);
    assert_eq!(tree.groups(), ["supervisor"]);
    assert!(!herder.log().contains("cannot"), "{}", herder.log());
}

#[test]
fn processes_that_left_the_session_are_stopped_then_killed() {
    let Some(tree) = Delegated::new() else { return };
    let command = shell(
        "setsid sh -c 'trap \"echo asked >> $DIR/asked\" TERM; echo $$ > $DIR/daemon; while :; do sleep 0.01; done' & \
         until [ -s $DIR/daemon ]; do sleep 0.01; done; exec $EXAMPLES/misbehave ready",
    );
    let herder = tree.start(Unit::new(&format!("{SETTINGS}{command}")));
    let worker = herder.serves(1).remove(0);
    assert!(tree.pids("worker-1").len() >= 2);
    kill(worker.pid, Signal::SIGKILL);
    herder.lines("asked", 1);
    herder.logs("killing processes that worker 1");
    herder.is("it is gone", |status| status.workers.iter().all(|now| now.id != worker.id));
    until("its group is, too", || !tree.groups().contains(&"worker-1".to_owned()));
}

#[test]
fn a_leftover_that_obeys_is_not_killed() {
    let Some(tree) = Delegated::new() else { return };
    let command = shell(
        "setsid sh -c 'trap \"echo asked >> $DIR/asked; exit\" TERM; echo $$ > $DIR/daemon; while :; do sleep 0.01; done' & \
         until [ -s $DIR/daemon ]; do sleep 0.01; done; exec $EXAMPLES/misbehave ready",
    );
    let settings = SETTINGS.replace("300ms", "1h");
    let herder = tree.start(Unit::new(&format!("{settings}{command}")));
    let worker = herder.serves(1).remove(0);
    kill(worker.pid, Signal::SIGKILL);
    herder.lines("asked", 1);
    herder.is("it is gone", |status| status.workers.iter().all(|now| now.id != worker.id));
    assert!(!herder.log().contains("killing processes"));
}

#[test]
fn a_worker_that_does_not_stop_is_killed_with_all_it_started() {
    let Some(tree) = Delegated::new() else { return };
    let command = shell(
        "trap '' TERM; setsid sh -c 'echo $$ > $DIR/daemon; while :; do sleep 0.01; done' & \
         until [ -s $DIR/daemon ]; do sleep 0.01; done; exec $EXAMPLES/misbehave ready",
    );
    let mut herder = tree.start(Unit::new(&format!("{SETTINGS}{command}")));
    herder.serves(1);
    assert_eq!(herder.stops(), 0);
    assert!(herder.log().contains("killed by SIGKILL as ordered"));
    assert!(herder.processes().is_empty(), "{:?}", herder.processes());
    assert_eq!(tree.groups(), ["supervisor"]);
}

#[test]
fn a_helper_outside_the_session_may_send_ready_for_its_worker() {
    let Some(tree) = Delegated::new() else { return };
    let command = shell("setsid $EXAMPLES/misbehave ready & wait");
    let herder = tree.start(Unit::new(&format!("{SETTINGS}{command}")));
    herder.serves(1);
    assert_eq!(herder.status().counters.notify_dropped, 0);
}

/// SIGKILL, or a bug: under `KillMode=process` its workers would still be there.
#[test]
fn workers_of_an_earlier_herder_are_ended() {
    let Some(tree) = Delegated::new() else { return };
    let mut first = tree.start(unit("ignore-term ready grandchild"));
    first.serves(1);
    first.signal(Signal::SIGKILL);
    assert_eq!(first.exits(), -9);
    until("they live on", || tree.pids("worker-1").len() == 2);
    let left = tree.pids("worker-1");
    let second = tree.start(unit("ready"));
    let worker = second.serves(1).remove(0);
    assert_eq!((worker.id, tree.pids("worker-1")), (1, vec![worker.pid.unwrap()]));
    let runs =
        |pid: &u32| !fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default().is_empty();
    until("none of them is there", || !left.iter().any(runs));
}

#[test]
fn workers_start_without_a_cgroup_if_none_can_be_made() {
    let Some(tree) = Delegated::new() else { return };
    // The supervisor's and one more.
    fs::write(tree.0.join("cgroup.max.descendants"), "2").unwrap();
    let settings = format!("{SETTINGS}{}", misbehave("ready"));
    let unit = Unit::new(&settings.replace("workers = 1", "workers = 3"));
    let mut herder = tree.start(unit);
    let workers = herder.serves(3);
    assert!(workers[0].cgroup.is_some() && workers[1].cgroup.is_none());
    kill(workers[2].pid, Signal::SIGKILL);
    herder.is("it is replaced", |status| {
        status.ready == 3 && status.workers.iter().all(|worker| worker.id != workers[2].id)
    });
    assert_eq!(herder.log().matches("cannot make a cgroup for worker 2").count(), 1);
    assert_eq!(herder.log().matches("cannot make a cgroup").count(), 1, "said once");
    assert_eq!(herder.stops(), 0);
    assert_eq!(tree.groups(), ["supervisor"]);
}

#[test]
fn under_systemd_a_missing_tree_is_said_with_its_remedy_and_elsewhere_not() {
    for (unit, warnings) in [(unit("ready"), 0), (unit("ready").by_systemd_itself(), 1)] {
        let mut herder = unit.start();
        herder.hears("READY=1");
        let log = herder.log();
        assert_eq!(log.matches("workers get no cgroups of their own").count(), warnings, "{log}");
        let remedy =
            "add Delegate=cpu memory pids io to [Service] (systemctl edit herder@it.service)";
        assert_eq!(log.matches(remedy).count(), warnings, "{log}");
    }
}
