//! The figures of a status report for costs and queues, compared with readings of other programs.

use crate::systemd::{Herder, Unit};
use crate::wait::until;
use crate::workers::{misbehave, shell};
use herder_wire::status::{Status, Worker};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

/// What a program prints.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What ps(1) says of a process, in the unit of its column.
fn ps(worker: &Worker, column: &str) -> u64 {
    let pid = worker.pid.unwrap().to_string();
    output("ps", &["-o", &format!("{column}="), "-p", &pid]).trim().parse().unwrap()
}

fn serving(command: &str) -> Herder {
    Unit::new(&format!("workers = 1\nready = \"exec\"\n{command}")).start()
}

fn worker(status: &Status) -> &Worker {
    &status.workers[0]
}

#[test]
fn a_worker_that_computes_is_seen_to() {
    let herder = serving(&shell("while :; do :; done"));
    let cpu = |status: &Status| worker(status).usage.cpu_usec.unwrap_or(0);
    let status = herder.is("a second of CPU time", |status| cpu(status) > 1_000_000);
    // ps rounds to whole seconds, and is read later.
    assert!(cpu(&status) < (ps(worker(&status), "cputimes") + 1) * 1_000_000, "{status:#?}");
    // The worker is not idle, however little CPU time it gets on a busy machine.
    assert!(worker(&status).usage.cpu_share.unwrap() > 0.02, "{status:#?}");
    assert!(status.usage.cpu_share.unwrap() < 0.5, "{status:#?}");
    assert!(worker(&status).usage.cpu_share_over_usec.unwrap() >= 100_000, "{status:#?}");
}

#[test]
fn a_worker_that_holds_memory_is_seen_to() {
    const HELD: u64 = 100 << 20;
    let herder = serving(&shell(&format!("exec dd if=/dev/zero of=/dev/null bs={HELD} 2>&-")));
    let holds = |status: &Status| worker(status).usage.memory_bytes >= Some(HELD);
    let status = herder.is("100 MB are held", holds);
    let worker = worker(&status);
    let resident = ps(worker, "rss") * 1024;
    let ours = worker.usage.memory_bytes.unwrap();
    assert!(ours.abs_diff(resident) < 2 << 20, "{ours} and {resident}");
    assert!(worker.usage.memory_peak_bytes.unwrap() >= ours);
}

#[test]
fn all_of_a_worker_counts_and_herder_apart() {
    let herder = serving(&shell("sleep 1000 & sleep 1000 & exec sleep 1000"));
    let status = herder.is("three processes", |status| worker(status).usage.tasks == Some(3));
    let directory = format!("/proc/{}/fd", herder.pid());
    let mine = std::fs::read_dir(&directory).unwrap().count() as u64;
    // herder has one descriptor more while a client is connected.
    let ours = status.usage.file_descriptors.unwrap();
    assert!(ours.abs_diff(mine) <= 2, "{ours} and {mine}");
    let resident = output("ps", &["-o", "rss=", "-p", &herder.pid().to_string()]);
    let resident = resident.trim().parse::<u64>().unwrap() * 1024;
    let ours = status.usage.memory_bytes.unwrap();
    assert!(ours.abs_diff(resident) < 2 << 20, "{ours} and {resident}");
}

/// What `ss` says of the queue of the listening socket at this address: how many wait, and how many may.
fn ss(option: &str, address: &str) -> Option<(u64, u64)> {
    let list = output("ss", &["--no-header", "--listening", option]);
    let line = list.lines().find(|line| line.split_whitespace().any(|word| word == address))?;
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[test]
fn connections_that_wait_are_counted() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web");
    let unix = UnixListener::bind(&path).unwrap();
    let settings = format!("workers = 1\nready = \"notify\"\n{}", misbehave("ready"));
    let unit = Unit::new(&settings).socket("web", tcp).socket("admin", unix);
    let mut herder = unit.start();
    herder.hears("READY=1");

    let clients: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect(address).unwrap()).collect();
    let others: Vec<UnixStream> = (0..3).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let waiting = |status: &Status| -> Vec<_> {
        status.sockets.iter().map(|socket| socket.waiting).collect()
    };
    let status = herder.is("5 and 3 wait", |status| waiting(status) == [Some(5), Some(3)]);
    let [web, admin] = &status.sockets[..] else { panic!("{status:#?}") };
    assert_eq!((web.name.as_str(), web.kind.as_str(), web.dropped), ("web", "stream", Some(0)));
    assert_eq!((admin.name.as_str(), admin.dropped), ("admin", None));
    if Command::new("ss").arg("--version").output().is_err() {
        eprintln!("in part skipped: there is no ss(8) to compare with");
        return;
    }
    let numbers = |socket: &herder_wire::status::Socket| socket.waiting.zip(socket.limit);
    assert_eq!(ss("-tn", &address.to_string()), numbers(web));
    assert_eq!(ss("-xn", path.to_str().unwrap()), numbers(admin));
    drop((clients, others));
}

/// herder's time is for its workers, however often clients ask for the status.
#[test]
fn looking_at_many_workers_is_cheap() {
    let settings = format!("workers = 100\nready = \"exec\"\n{}", shell("exec sleep 1000"));
    let herder = Unit::new(&settings).start();
    herder.serves(100);
    let cpu = || herder.status().usage.cpu_usec.unwrap();
    until("a fresh look", {
        let before = cpu();
        move || cpu() > before
    });
    let before = cpu();
    for _ in 0..100 {
        assert_eq!(herder.status().workers.len(), 100);
    }
    let each = (cpu() - before) / 100;
    assert!(each < 20_000, "{each} µs of CPU time for each look");
}

/// A monitoring system that compares start times would take a changed one for a restart.
#[test]
fn a_date_stays_as_it_is_however_often_one_looks() {
    let herder = serving(&shell("[ $HERDER_WORKER = 1 ] && exit 1; exec sleep 1000"));
    let dates = |status: &Status| {
        let ended = worker(status).last_exit.as_ref().map(|last| last.at_usec);
        (status.started_at_usec, ended)
    };
    let first = dates(&herder.is("the first has ended", |status| {
        status.workers.first().is_some_and(|worker| worker.id > 1 && worker.last_exit.is_some())
    }));
    for _ in 0..200 {
        assert_eq!(dates(&herder.status()), first);
    }
}
