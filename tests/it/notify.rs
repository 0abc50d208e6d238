//! What workers say to herder, and that nothing of it gets any further.

use crate::systemd::Unit;
use crate::wait::until;
use crate::workers::{kill, misbehave, shell};
use nix::sys::signal::Signal;
use std::time::Duration;

fn unit(steps: &str) -> Unit {
    Unit::new(&format!("workers = 1\nready = \"notify\"\n{}", misbehave(steps)))
}

#[test]
fn the_status_of_a_worker_is_shown() {
    let herder = unit("notify READY=1\\nSTATUS=ready_to_serve").start();
    let worker = herder.serves(1).remove(0);
    assert_eq!(worker.status.as_deref(), Some("ready_to_serve"));
}

/// Trap 20: with a line break in it, a STATUS would become an order to systemd.
#[test]
fn messages_of_workers_do_not_reach_systemd() {
    let steps = "notify STATUS=evil\\nMAINPID=1\\nWATCHDOG_USEC=5\\nNOTIFYACCESS=all\\nFDSTORE=1 \
                 notify STATUS=\u{2028}MAINPID=1\u{1b}[2J ready wait 100 exit 3";
    let mut herder = unit(steps).start();
    herder.logs("exited with status 3");
    herder.hears("STATUS=");
    assert_eq!(herder.stops(), 0);
    for datagram in herder.heard() {
        for line in datagram.text.lines() {
            let name = line.split('=').next().unwrap();
            let own = ["READY", "STATUS", "STOPPING", "EXTEND_TIMEOUT_USEC"];
            assert!(own.contains(&name), "{datagram:?}");
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }
    assert!(!herder.log().contains('\x1b'));
}

/// A line break in a program's name does not become one in STATUS=, where systemd would read an assignment after it.
#[test]
fn a_reason_with_line_breaks_is_one_line() {
    let unit = unit("ready");
    let mut herder = unit.start();
    herder.hears("READY=1");
    herder.settings("workers = 1\ncommand = [\"/nowhere/a\\nMAINPID=1\"]\n");
    assert_eq!(herder.reload().code, 1);
    herder.hears("STATUS=1/1 ready, generation 1; reload refused: ");
    assert!(herder.heard().iter().all(|datagram| !datagram.says("MAINPID")));
}

#[test]
fn a_status_of_ten_thousand_bytes_is_cut() {
    let mut herder = unit("status-of 10000 ready").start();
    herder.hears("READY=1");
    let status = herder.serves(1)[0].status.clone().unwrap();
    assert!(status.chars().count() <= 257 && status.starts_with("xxx"), "{status}");
}

/// Trap 22, from the other side: a flood fills the queue of the worker that sends it, and takes little of herder's time.
#[test]
fn a_flood_does_not_stop_respawns() {
    let command = shell(
        "[ $HERDER_SLOT = 0 ] && exec $EXAMPLES/misbehave ready flood 100000000; exec $EXAMPLES/misbehave ready",
    );
    let settings = "workers = 2\nready = \"notify\"\nmin-lifetime = \"1us\"\n";
    let herder = Unit::new(&format!("{settings}{command}")).start();
    herder.serves(2);
    let victim = || herder.status().workers.into_iter().find(|worker| worker.slot == 1);
    for _ in 0..3 {
        let before = victim().unwrap();
        kill(before.pid, Signal::SIGKILL);
        until("the victim is replaced", || {
            victim().is_some_and(|now| now.id != before.id && now.evidence.is_some())
        });
    }
    let flooder = &herder.status().workers[0];
    assert_eq!((flooder.slot, flooder.id), (0, 1), "it floods, and that is all");
}

/// BARRIER=1 and FDSTORE=1 come with descriptors; a worker could use up herder's.
#[test]
fn descriptors_that_workers_send_are_closed() {
    let script = "import os, socket, time\n\
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
        s.connect(os.environ['NOTIFY_SOCKET'])\n\
        read, write = os.pipe()\n\
        for text in (b'BARRIER=1', b'FDSTORE=1\\nFDNAME=mine'):\n\
        \x20 for i in range(20): socket.send_fds(s, [text], [write] * 200)\n\
        os.close(write)\n\
        os.read(read, 1)\n\
        s.send(b'READY=1')\n\
        time.sleep(60)\n";
    let unit =
        Unit::new("workers = 1\nready = \"notify\"\ncommand = [\"python3\", \"$DIR/worker.py\"]\n");
    std::fs::write(unit.path("worker.py"), script).unwrap();
    let mut herder = unit.env("PATH", &std::env::var("PATH").unwrap()).start();
    // The worker goes on only when the last copy of the pipe is closed.
    herder.hears("READY=1");
    let count = std::fs::read_dir(format!("/proc/{}/fd", herder.pid())).unwrap().count();
    assert!(count < 32, "herder holds {count} descriptors");
    // No descriptor was passed on to systemd's store.
    assert!(herder.heard().iter().all(|datagram| !datagram.text.contains("FD")));
}

#[test]
fn the_last_words_of_a_worker_count() {
    // READY and the end may be seen in the same turn.
    let settings = "workers = 1\nready = \"notify\"\nsuccess-exit-status = [0]\n";
    let herder =
        Unit::new(&format!("{settings}{}", misbehave("note $DIR/pids ready exit 0"))).start();
    herder.lines("pids", 3);
    let status = herder.status();
    assert_eq!((status.counters.failures, status.counters.crashes), (0, 0), "{status:#?}");
}

#[test]
fn a_worker_that_says_it_stops_is_replaced_before_it_does() {
    let steps = "ready wait 100 notify STOPPING=1 wait 500 note $DIR/retired exit 0";
    let mut herder = unit(steps).start();
    herder.hears("READY=1");
    herder.is("its replacement is ready while it retires", |status| {
        status.workers.len() == 2 && status.ready == 1
    });
    herder.lines("retired", 1);
    let status = herder.is("it is gone", |status| status.workers.iter().all(|w| w.id > 1));
    assert_eq!((status.counters.failures, status.counters.crashes), (0, 0), "{status:#?}");
    herder.logs("is retiring, starting its replacement");
    assert!(herder.next(Duration::ZERO).is_none_or(|datagram| !datagram.says("STOPPING")));
}
