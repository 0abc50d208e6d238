//! The number of workers follows the load: none without load, more while connections wait, and fewer later.

use crate::commands::said;
use crate::quiet::sleeps;
use crate::systemd::{Herder, Unit};
use crate::wait::until;
use crate::workers::{listener, shell};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::{Duration, Instant};

/// A worker that serves one connection after the other, each for as long as it is told, and waits for them in
/// select. On SIGTERM it finishes the one it has.
const SERVE: &str = "exec python3 -c '
import os, select, signal, socket, sys, time
listener = socket.socket(fileno=3)
listener.setblocking(False)
end, told = os.pipe()
os.set_blocking(told, False)
signal.set_wakeup_fd(told)
signal.signal(signal.SIGTERM, lambda *_: None)
while not end in select.select([listener, end], [], [])[0]:
    try:
        client, _ = listener.accept()
    except BlockingIOError:
        continue
    client.setblocking(True)
    time.sleep(float(client.recv(99)))
    client.sendall(os.environ[\"HERDER_WORKER\"].encode())
    client.close()
'";

fn unit(settings: &str) -> (Unit, SocketAddr) {
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let unit = Unit::new(&format!("ready = \"accepting\"\n{settings}\n{}", shell(SERVE)));
    (unit.socket("web", listener), address)
}

/// Sends a request that takes this long, and returns the worker that served it.
fn ask(address: SocketAddr, takes: &str) -> u64 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(takes.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.parse().unwrap_or_else(|_| panic!("answered {answer:?}"))
}

fn at_rest(herder: &Herder) {
    herder.is("no worker is wanted or there", |status| {
        status.wanted == 0 && status.workers.is_empty()
    });
}

#[test]
fn at_rest_there_is_no_worker_and_herder_sleeps() {
    let (unit, address) = unit("workers = { min = 0, max = 2 }\nidle-timeout = \"1s\"");
    let mut herder = unit.start();
    herder.hears("READY=1");
    herder.has_said("STATUS=no worker needed, generation 1");
    let status = herder.status();
    assert_eq!((status.wanted, status.min, status.max), (0, 0, 2));
    assert!(status.workers.is_empty());
    // herder gives memory back a moment after it has answered.
    until("all is done", || herder.next(Duration::from_millis(500)).is_none());
    // This test is about the time in which nothing may happen.
    let before = sleeps(&herder);
    assert!(herder.next(Duration::from_secs(2)).is_none());
    assert_eq!(sleeps(&herder) - before, 0);
    // The same holds after a worker has come and gone.
    assert_eq!(ask(address, "0"), 1);
    at_rest(&herder);
    until("all is told", || herder.next(Duration::from_millis(1500)).is_none());
    let before = sleeps(&herder);
    assert!(herder.next(Duration::from_secs(2)).is_none());
    assert_eq!(sleeps(&herder) - before, 0);
}

#[test]
fn the_first_connection_is_served_by_the_worker_it_has_started() {
    let (unit, address) = unit("workers = { min = 0, max = 4 }\nidle-timeout = \"1s\"");
    let mut herder = unit.start();
    herder.hears("READY=1");
    for worker in 1..=3 {
        assert_eq!(ask(address, "0.01"), worker);
        let served = Instant::now();
        at_rest(&herder);
        // Its first timeout; later ones may be longer, because the load came back.
        assert!(served.elapsed() > Duration::from_millis(900), "{:?}", served.elapsed());
    }
    let counters = herder.status().counters;
    assert_eq!((counters.scale_ups, counters.scale_downs, counters.failures), (3, 3, 0));
    herder.logs("scaling up 0 → 1 workers: 1 connection waiting");
    herder.logs("scaling down 1 → 0 workers");
    assert_eq!(herder.stops(), 0);
}

#[test]
fn a_datagram_starts_a_worker_too() {
    let receive = "exec python3 -c '
import socket
datagrams = socket.socket(fileno=3)
while True:
    text = datagrams.recv(99)
    open(\"received\", \"ab\").write(text + b\"\\n\")
'";
    let settings = "workers = { min = 0, max = 2 }\nidle-timeout = \"1s\"\nready = \"accepting\"\n";
    let unit = Unit::new(&format!("{settings}directory = \"$DIR\"\n{}", shell(receive)));
    let path = unit.path("datagrams");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut herder = unit.socket("log", socket).start();
    herder.hears("READY=1");
    let sender = UnixDatagram::unbound().unwrap();
    for round in 1..=2 {
        sender.send_to(b"hello", &path).unwrap();
        herder.lines("received", round);
        at_rest(&herder);
    }
}

#[test]
fn a_burst_gets_as_many_workers_as_there_may_be_and_then_they_go() {
    let (unit, address) = unit("workers = { min = 0, max = 6 }\nidle-timeout = \"1s\"");
    let mut herder = unit.start();
    herder.hears("READY=1");
    let clients: Vec<_> = (0..60).map(|_| thread::spawn(move || ask(address, "0.2"))).collect();
    herder.is("there are as many as there may be", |status| {
        assert!(status.wanted <= 6);
        status.wanted == 6
    });
    let served: Vec<u64> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert!(served.iter().all(|worker| (1..=6).contains(worker)), "{served:?}");
    at_rest(&herder);
    let status = herder.status();
    assert_eq!(status.counters.scale_downs, 6);
    assert_eq!((status.counters.failures, status.counters.crashes), (0, 0));
    assert_eq!(herder.stops(), 0);
}

#[test]
fn too_few_workers_are_reported_once() {
    let (unit, address) = unit("workers = { min = 1, max = 2 }\nidle-timeout = \"1min\"");
    let mut herder = unit.start();
    herder.hears("READY=1");
    let clients: Vec<_> = (0..12).map(|_| thread::spawn(move || ask(address, "0.3"))).collect();
    herder.logs("2 workers are busy and there may be no more");
    for client in clients {
        client.join().unwrap();
    }
    let status = herder.status();
    assert_eq!((status.wanted, status.counters.scale_limits), (2, 1));
    assert_eq!(herder.log().matches("there may be no more").count(), 1);
}

#[test]
fn no_worker_is_added_while_others_have_time() {
    let (unit, address) = unit("workers = { min = 2, max = 8 }");
    let mut herder = unit.start();
    herder.hears("READY=1");
    for _ in 0..200 {
        ask(address, "0.001");
    }
    let status = herder.status();
    assert_eq!((status.wanted, status.counters.scale_ups), (2, 0));
}

#[test]
fn scale_moves_the_lower_bound() {
    let (unit, _) = unit("workers = { min = 0, max = 4 }\nidle-timeout = \"1s\"");
    let mut herder = unit.start();
    herder.hears("READY=1");
    let told = said(&herder, "scale 2");
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.out.contains("at least 2 are wanted; 2/2 workers are ready"), "{told:?}");
    let status = herder.status();
    assert_eq!((status.wanted, status.min, status.max), (2, 2, 4));
    let told = said(&herder, "scale 0");
    assert_eq!(told.code, 0, "{told:?}");
    at_rest(&herder);
}

#[test]
fn herder_itself_leaves_when_there_is_nothing_to_do() {
    let settings =
        "workers = { min = 0, max = 2 }\nidle-timeout = \"100ms\"\nexit-idle-time = \"500ms\"";
    let (unit, address) = unit(settings);
    let mut herder = unit.start();
    herder.hears("READY=1");
    ask(address, "0");
    let served = Instant::now();
    assert_eq!(herder.exits(), 0);
    assert!(served.elapsed() > Duration::from_millis(500), "{:?}", served.elapsed());
    assert!(herder.heard().iter().any(|said| said.says("STOPPING=1")));
    herder.logs("nothing to do for 500ms, leaving until the next connection");
    assert_eq!(herder.processes(), [0; 0]);
}

#[test]
fn scaling_to_zero_is_refused_without_a_socket_that_ends_it() {
    let settings =
        "workers = { min = 0, max = 2 }\nexit-idle-time = \"1s\"\nlisten = [\"127.0.0.1:0\"]\n";
    let mut herder = Unit::new(&format!("{settings}{}", shell(SERVE))).start();
    assert_eq!(herder.exits(), 78);
    assert!(herder.log().contains("no socket was handed over"), "{}", herder.log());
    let settings = "workers = { min = 0, max = 2 }\n";
    let mut herder = Unit::new(&format!("{settings}{}", shell(SERVE))).start();
    assert_eq!(herder.exits(), 78);
    assert!(herder.log().contains("no socket to see load on"), "{}", herder.log());
}
