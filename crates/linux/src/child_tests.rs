//! Real processes that end in every way, and leave others behind.

use super::super::testing::{Shell, alone, until};
use super::*;

fn ended(shell: &Shell) -> Option<(i32, i32)> {
    peek(shell.pidfd()).unwrap().map(|exit| (exit.code, exit.status))
}

/// Real-time signals too: nix loses a child that one of them has killed.
#[test]
fn every_signal_is_reported_as_it_is_and_the_zombie_stays_until_it_is_reaped() {
    let ignored = [libc::SIGCHLD, libc::SIGURG, libc::SIGWINCH, libc::SIGCONT];
    let stopping = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
    for number in 1..=sys::LAST_SIGNAL {
        let worker = Shell::start("ulimit -c 0; exec sleep 1000");
        worker.until_it_is("sleep");
        signal(worker.pidfd(), number).unwrap();
        let expected = if ignored.contains(&number) || stopping.contains(&number) {
            assert_eq!(ended(&worker), None, "signal {number}");
            signal(worker.pidfd(), libc::SIGKILL).unwrap();
            libc::SIGKILL
        } else {
            number
        };
        worker.wait();
        let expected = Some((libc::CLD_KILLED, expected));
        assert_eq!(ended(&worker), expected, "signal {number}");
        assert_eq!(ended(&worker), expected, "peek is no reap");
        signal(worker.pidfd(), libc::SIGTERM).unwrap(); // a zombie needs no signal
        assert!(reap(worker.pidfd()).unwrap().is_some());
        let again = reap(worker.pidfd()).unwrap_err();
        assert_eq!(again.raw_os_error(), Some(libc::ECHILD));
        signal(worker.pidfd(), libc::SIGTERM).unwrap(); // neither does one that is gone
    }
}

#[test]
fn every_exit_status_is_reported_as_it_is() {
    for status in [0, 1, 2, 64, 69, 75, 78, 127, 128, 143, 255] {
        let worker = Shell::start(&format!("exit {status}"));
        worker.wait();
        assert_eq!(ended(&worker), Some((libc::CLD_EXITED, status)));
    }
}

#[test]
fn groups_that_mean_something_else_to_kill_are_refused() {
    for group in [i32::MIN, -2, -1, 0, 1] {
        let error = signal_group(group, 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}

#[test]
fn a_process_may_call_itself_anything() {
    let stat = b"12 (a) R 1 (\xff) Z 34 56 78 0 -1";
    let process = Process::parse(stat).unwrap();
    let Process { state, parent, group, session } = process;
    assert_eq!((state, parent, group, session), ('Z', 34, 56, 78));
    for broken in [&b""[..], b"12 (a", b"12 (a)", b"12 (a) R", b"12 (a) R 1 2", b"1 (a) R x 2 3"] {
        assert!(Process::parse(broken).is_none());
    }
}

#[test]
fn the_children_of_herder_are_found_with_and_without_help_from_the_kernel() {
    alone(
        "child::tests::the_children_of_herder_are_found_with_and_without_help_from_the_kernel",
        "exec \"$@\"",
        || {
            assert!(children().unwrap().is_empty());
            let [running, dead] = ["exec sleep 1000", "exit 1"].map(Shell::start);
            dead.wait();
            let mut expected = vec![running.pid, dead.pid];
            expected.sort();
            for find in [children, children_by_search] {
                let mut found = find().unwrap();
                found.sort();
                assert_eq!(found, expected);
            }
        },
    );
}

/// Two workers. One dies and leaves behind: two children in its group, of which one ignores the stop
/// signal, one in a group of its own with a child there (timeout(1) does that), and one in a
/// session of its own. The other worker is dead too, and was not reaped yet.
#[test]
fn what_a_worker_leaves_is_found_signalled_and_reaped_and_no_other_worker_with_it() {
    let name = "child::tests::what_a_worker_leaves_is_found_signalled_and_reaped_and_no_other_worker_with_it";
    alone(name, "exec \"$@\"", || {
        adopt_orphans().unwrap();
        let other = Shell::start("exit 7");
        other.wait();
        let worker = Shell::start(
            "sleep 1000 & (trap '' TERM; exec sleep 1000) & timeout 1000 sleep 1000 & \
             setsid -f sleep 1000; wait",
        );
        let known = |pid: i32| pid == worker.pid || pid == other.pid;
        let orphans = || reap_orphans(known).unwrap();
        let has_leftovers = |worker: i32| running_sessions().unwrap().contains(&worker);
        // Then each is where it wants to be. The one in its own session is an orphan from the start.
        until("three of the session sleep, the fourth waits for one, the fifth has left", || {
            let named = |pid: i32| fs::read_to_string(format!("/proc/{pid}/comm"));
            let members = members(worker.pid).unwrap();
            let sleeping = |pid: &&i32| named(**pid).is_ok_and(|name| name == "sleep\n");
            members.iter().filter(sleeping).count() == 3 && members.len() == 5 && orphans() == 1
        });
        signal(worker.pidfd(), libc::SIGKILL).unwrap();
        worker.wait();
        assert_eq!(orphans(), 4, "three of the session, and the one that left it");
        assert!(has_leftovers(worker.pid));
        assert!(!has_leftovers(other.pid));

        signal_group(worker.pid, libc::SIGTERM).unwrap();
        until("the one in the group that listens is gone", || orphans() == 3);
        assert!(signal_session(worker.pid, libc::SIGTERM).unwrap() >= 2);
        until("only the one that ignores it is there", || orphans() == 2);
        assert!(has_leftovers(worker.pid));
        until("it is gone, too", || signal_session(worker.pid, libc::SIGKILL).unwrap() == 0);
        assert!(!has_leftovers(worker.pid));
        until("only the one that left the session is there", || orphans() == 1);

        // Neither dead worker was touched, and the numbers are still theirs.
        assert_eq!(ended(&worker), Some((libc::CLD_KILLED, libc::SIGKILL)));
        assert_eq!(ended(&other), Some((libc::CLD_EXITED, 7)));
        let escaped = children().unwrap().into_iter().find(|pid| !known(*pid)).unwrap();
        assert_eq!(session_of(escaped), Some(escaped));
        signal_group(escaped, libc::SIGKILL).unwrap();
        until("no orphan is left", || orphans() == 0);
        assert_eq!(session_of(escaped), None);
    });
}

/// setsid(2) leaves a session, not the ancestors; and a process that is left behind gets herder as its parent.
#[test]
fn all_that_a_worker_starts_descends_from_herder() {
    alone("child::tests::all_that_a_worker_starts_descends_from_herder", "exec \"$@\"", || {
        adopt_orphans().unwrap();
        let herder = nix::unistd::getpid().as_raw();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let note = format!("echo $$ >{0}.new; mv {0}.new {0}; exec sleep 1000", path.display());
        let worker = Shell::start(&format!("setsid -f sh -c '{note}'; exec sleep 1000"));
        until("the escaped process has written its pid", || path.exists());
        let escaped: i32 = fs::read_to_string(&path).unwrap().trim().parse().unwrap();
        assert_eq!(session_of(escaped), Some(escaped));
        for pid in [worker.pid, escaped] {
            assert_eq!(descends_from(pid, herder), Some(true));
            assert_eq!(descends_from(herder, pid), Some(false));
        }
        assert_eq!(descends_from(herder, herder), Some(false));
        assert!(running_sessions().unwrap().is_superset(&[worker.pid, escaped].into()));
        signal_group(escaped, libc::SIGKILL).unwrap();
        until("it is gone", || reap_orphans(|pid| pid == worker.pid).unwrap() == 0);
        assert_eq!(descends_from(escaped, herder), None);
        assert!(!running_sessions().unwrap().contains(&escaped));
    });
}
