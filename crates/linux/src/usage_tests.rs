#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use super::super::child;
use super::super::testing::{Shell, until};
use super::*;
use std::process::Command;

fn of(shell: &Shell) -> Usage {
    let subject = Subject { pid: shell.pid, cgroup: None };
    of_workers(&[subject])[0]
}

/// What ps(1) says of one process, in the unit of its column.
fn ps(pid: u32, column: &str) -> u64 {
    let arguments = ["-o", &format!("{column}="), "-p", &pid.to_string()];
    let output = Command::new("ps").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn a_worker_that_computes_uses_cpu_time() {
    let burner = Shell::start("while :; do :; done");
    let idle = Shell::start("exec sleep 1000");
    idle.until_it_is("sleep");
    let cpu = |shell| of(shell).cpu_usec.unwrap();
    until("half a second of computing", || cpu(&burner) > 500_000);
    let (before, ours, after) = {
        let times = || ps(burner.pid as u32, "cputimes") * 1_000_000;
        (times(), cpu(&burner), times())
    };
    // Whole seconds only.
    assert!((before..after + 1_000_000).contains(&ours), "{before} <= {ours} < {after} + 1 s");
    assert!(cpu(&idle) < 100_000);
}

#[test]
fn everything_a_worker_started_counts() {
    // One computes for a while and is waited for, one stays.
    let script =
        "i=0; (while [ $i -lt 300000 ]; do i=$((i+1)); done); sleep 1000 & exec sleep 1001";
    let shell = Shell::start(script);
    shell.until_it_is("sleep");
    until("two processes", || of(&shell).tasks == Some(2));
    assert!(of(&shell).cpu_usec.unwrap() >= 50_000, "{:?}", of(&shell));
    // A program that begins has more open for a moment.
    until("input, output and error of each", || of(&shell).file_descriptors == Some(6));
    let alone = Shell::start("exec sleep 1000");
    alone.until_it_is("sleep");
    until("the memory of two", || {
        of(&shell).memory_bytes.unwrap() > of(&alone).memory_bytes.unwrap() * 3 / 2
    });
    child::signal_session(shell.pid, libc::SIGKILL).unwrap();
}

#[test]
fn a_worker_that_holds_memory_is_seen_to() {
    const HELD: u64 = 100 << 20;
    // It reads into a buffer of that size, without end.
    let shell = Shell::start(&format!("exec dd if=/dev/zero of=/dev/null bs={HELD} 2>&-"));
    until("100 MB", || of(&shell).memory_bytes >= Some(HELD));
    let usage = of(&shell);
    assert!(usage.memory_bytes < Some(HELD + (20 << 20)), "{usage:?}");
    assert!(usage.memory_peak_bytes >= Some(HELD), "{usage:?}");
}

#[test]
fn a_worker_that_is_gone_costs_nothing_known() {
    let gone = Subject { pid: i32::MAX, cgroup: None };
    assert_eq!(of_workers(&[gone]), [Usage::default()]);
    let elsewhere = Subject { pid: i32::MAX, cgroup: Some("/nonexistent".into()) };
    assert_eq!(of_workers(&[elsewhere]), [Usage::default()]);
}

#[test]
fn a_zombie_is_still_counted() {
    let shell = Shell::start("exit 0");
    shell.wait();
    let usage = of(&shell);
    assert_eq!((usage.tasks, usage.memory_bytes), (Some(1), None), "{usage:?}");
    assert!(usage.cpu_usec.is_some());
}

/// Files with the names and contents of a cgroup's (cgroups(7)), so that this is tested where
/// there are no controllers.
#[test]
fn a_cgroup_tells_what_it_can_and_proc_the_rest() {
    let shell = Shell::start("exec sleep 1000");
    shell.until_it_is("sleep");
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("cpu.stat", "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\n");
    write("cgroup.procs", &format!("{}\n", shell.pid));
    let look = || {
        let cgroup = Some(directory.path().to_owned());
        of_workers(&[Subject { pid: shell.pid, cgroup }])[0]
    };
    // Without controllers. The program may still be loading: so until two looks agree.
    let agreed = (0..1000).any(|_| {
        let session = of(&shell);
        session.file_descriptors == Some(3)
            && look() == Usage { cpu_usec: Some(1_234_567), ..session }
    });
    assert!(agreed, "{:?} is not {:?}", look(), of(&shell));

    write("memory.current", "5000000\n");
    write("pids.current", "7\n");
    let with_memory = Usage {
        cpu_usec: Some(1_234_567),
        cpu_share: None,
        cpu_share_over_usec: None,
        memory_bytes: Some(5_000_000),
        memory_peak_bytes: None, // before Linux 5.19
        tasks: Some(7),
        file_descriptors: Some(3),
    };
    assert_eq!(look(), with_memory);
    write("memory.peak", "6000000\n");
    assert_eq!(look(), Usage { memory_peak_bytes: Some(6_000_000), ..with_memory });

    // The worker has divided its cgroup, and sits in a part of it.
    write("cgroup.procs", "");
    fs::create_dir(directory.path().join("part")).unwrap();
    write("part/cgroup.procs", &format!("{}\n", shell.pid));
    assert_eq!(look().file_descriptors, Some(3));
}

#[test]
fn herder_measures_itself() {
    let usage = of_herder();
    let resident = ps(std::process::id(), "rss") * 1024;
    let ours = usage.memory_bytes.unwrap();
    assert!(ours.abs_diff(resident) < 4 << 20, "{ours} and {resident}");
    assert!(usage.memory_peak_bytes.unwrap() >= ours);
    assert!(usage.file_descriptors.unwrap() >= 3);
    assert!(usage.cpu_usec.unwrap() > 0);
}

#[test]
fn descriptors_are_counted_the_same_way_whoever_counts() {
    let counted = fs::read_dir("/proc/1/fd").map(Iterator::count);
    let Ok(counted) = counted else { return };
    let told = Look::default().descriptors("/proc/1").unwrap();
    assert_eq!(told, counted as u64);
}

/// Cheap enough for a loop that must not be held up: one walk, whichever workers are asked about.
#[test]
fn one_walk_serves_all() {
    let shells: Vec<Shell> = (0..20).map(|_| Shell::start("exec sleep 1000")).collect();
    let subjects: Vec<Subject> =
        shells.iter().map(|shell| Subject { pid: shell.pid, cgroup: None }).collect();
    let survey = |subjects: &[Subject]| {
        let mut survey = Survey::new(subjects.to_vec());
        let known = survey.advance(|| false);
        assert!(survey.is_complete());
        (survey.look.processes, known)
    };
    let (walked, known) = survey(&subjects);
    let (one, _) = survey(&subjects[..1]);
    assert!(walked.abs_diff(one) < 100, "{walked} processes for twenty, {one} for one");
    assert!(known.iter().all(|(_, usage)| usage.tasks == Some(1)));
    assert_eq!(known.len(), shells.len());
}

#[test]
fn a_survey_in_parts_says_each_thing_once() {
    let shells = ["exec sleep 1000", "exec sleep 1000"].map(Shell::start);
    let subject = |shell: &Shell| Subject { pid: shell.pid, cgroup: None };
    let mut survey = Survey::new(shells.iter().map(subject).collect());
    let (mut known, mut parts) = (Vec::new(), 0);
    while !survey.is_complete() {
        known.extend(survey.advance(|| true));
        parts += 1;
    }
    // One for each worker, and one at least for each of their processes.
    assert!(parts >= 4, "{parts}");
    known.sort_by_key(|(index, _)| *index);
    assert!(matches!(known[..], [(0, _), (1, _)]), "{known:?}");
    assert!(known.iter().all(|(_, usage)| usage.memory_bytes.is_some()));
}

/// A directory with the files a cgroup has.
#[test]
fn the_weight_of_a_worker_leaves_out_files_that_are_not_used() {
    let group = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| std::fs::write(group.path().join(name), text).unwrap();
    file("cpu.stat", "usage_usec 500\nuser_usec 400\n");
    file("memory.current", "3000\n");
    file(
        "memory.stat",
        "anon 100\nfile 2000\ninactive_anon 7\ninactive_file 1200\nactive_file 800\n",
    );
    let subject = Subject { pid: 1, cgroup: Some(group.path().to_owned()) };
    let load = |cpu_usec| [Weighable { subject: subject.clone(), cpu_usec }];
    let weight = |memory_bytes| [Weight { cpu_usec: Some(500), memory_bytes }];
    assert_eq!(weigh(&load(None)), weight(Some(1800)));
    assert_eq!(weigh(&load(Some(499))), weight(Some(1800)));
    // It has used no CPU time since: its memory is not read again.
    assert_eq!(weigh(&load(Some(500))), weight(None));
}

#[test]
fn the_weight_of_a_worker_without_a_cgroup_is_that_of_its_session() {
    let session = nix::unistd::getsid(None).unwrap().as_raw();
    let load = |cpu_usec| Weighable { subject: Subject { pid: session, cgroup: None }, cpu_usec };
    let [weight] = weigh(&[load(None)])[..] else { panic!("one for one") };
    assert!(weight.memory_bytes.is_some_and(|bytes| bytes > 100_000), "{weight:?}");
    assert!(weight.cpu_usec.is_some());
    assert_eq!(weigh(&[]), []);
}
