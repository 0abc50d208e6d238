//! The metrics socket: what is answered, to which clients, and that no client can disturb the workers through it.

use crate::systemd::{Herder, Unit};
use crate::wait::{PATIENCE, until};
use crate::workers::{kill, misbehave};
use herder_wire::status::Status;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::time::Instant;

/// An instance with a metrics socket, and where that is.
fn serving() -> (Herder, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let settings = "workers = 2\nready = \"notify\"\nmin-lifetime = \"1us\"\n";
    let unit = Unit::new(&format!("{settings}{}", misbehave("ready")));
    let mut herder = unit.socket("herder-metrics", listener).start();
    herder.hears("READY=1");
    (herder, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// An answer: status, head, body.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// The next answer; without a body if none was asked for.
fn answer(stream: &mut impl Read, has_body: bool) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let mut body = vec![0; if has_body { length.parse().unwrap() } else { 0 }];
    stream.read_exact(&mut body).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: String::from_utf8(body).unwrap() }
}

fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut stream = connect(address);
    stream.write_all(request.as_ref()).unwrap();
    answer(&mut stream, !request.as_ref().starts_with(b"HEAD"))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn there_are_metrics_a_page_and_the_status() {
    let (herder, address) = serving();
    let metrics = ask(address, get("/metrics"));
    assert_eq!(metrics.status, 200, "{metrics:?}");
    assert!(metrics.body.contains("herder_up{name=\"it\"} 1\n"), "{metrics:?}");
    let wants =
        get("/metrics").replace("\r\n\r\n", "\r\nAccept: application/openmetrics-text\r\n\r\n");
    let metrics = ask(address, wants);
    assert!(metrics.head.contains("Content-Type: application/openmetrics-text"), "{metrics:?}");
    assert!(metrics.body.ends_with("# EOF\n"), "{metrics:?}");

    let page = ask(address, get("/"));
    assert_eq!(page.body, herder_wire::page::HTML);
    for line in ["Content-Security-Policy: default-src 'none'", "X-Content-Type-Options: nosniff"] {
        assert!(page.head.contains(line), "{page:?}");
    }
    let head_only = ask(address, get("/").replace("GET", "HEAD"));
    assert_eq!(head_only.head, page.head);

    let mut json: Value = serde_json::from_str(&ask(address, get("/status.json")).body).unwrap();
    let status: Status = serde_json::from_value(json["instances"][0].take()).unwrap();
    assert_eq!((status.ready, status.pid), (2, herder.pid() as u32));
    // The socket is herder's own: no worker has it.
    assert!(status.sockets.is_empty(), "{status:#?}");
}

/// What a worker says of itself is shown as its words and no more; how it was started is not shown.
#[test]
fn workers_words_are_data_and_their_secrets_are_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let steps = "notify STATUS=<script>alert(1)</script> note $DIR/argument-secret ready";
    let command = misbehave(steps);
    let environment = "[environment]\nTOKEN = \"environment-secret\"\n";
    let unit = Unit::new(&format!("workers = 1\nready = \"notify\"\n{command}{environment}"));
    let mut herder = unit.socket("herder-metrics", listener).start();
    herder.hears("READY=1");
    let status = ask(address, get("/status.json"));
    let json: Value = serde_json::from_str(&status.body).unwrap();
    let words = &json["instances"][0]["workers"][0]["status"];
    assert_eq!(words, "<script>alert(1)</script>");
    assert!(status.head.contains("Content-Type: application/json"), "{status:?}");
    let metrics = ask(address, get("/metrics"));
    assert!(!metrics.body.contains("<script"), "{metrics:?}");
    for body in [status.body, metrics.body, ask(address, get("/")).body] {
        assert!(!body.contains("secret"), "{body}");
    }
}

#[test]
fn only_requests_for_this_machine_are_answered() {
    let (_herder, address) = serving();
    let status = |host: &str| ask(address, get("/metrics").replace("localhost", host)).status;
    let name = nix::sys::utsname::uname().unwrap().nodename().to_str().unwrap().to_owned();
    for host in ["localhost:9180", "127.0.0.1", "[::1]:80", &name] {
        assert_eq!(status(host), 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example:9180", ""] {
        assert_eq!(status(host), 421, "{host}");
    }
}

#[test]
fn a_unix_socket_serves_whatever_host_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("metrics");
    let listener = UnixListener::bind(&path).unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let unit = Unit::new(&format!("workers = 1\nready = \"exec\"\n{}", misbehave("ready")));
    let unit = unit.socket("herder-metrics", listener).socket("herder-metrics", other);
    let herder = unit.start();
    herder.serves(1);
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(get("/metrics").replace("localhost", "anything").as_bytes()).unwrap();
    assert_eq!(answer(&mut stream, true).status, 200);
    // Several sockets are served alike.
    assert_eq!(ask(address, get("/metrics")).status, 200);
}

#[test]
fn input_that_is_no_request_is_refused() {
    let (herder, address) = serving();
    let huge = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    for (request, status) in [
        (get("/nothing"), 404),
        (get("/").replace("GET", "POST"), 405),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\n\n".to_owned(), 400),
        (huge, 431),
    ] {
        let start: String = request.chars().take(40).collect();
        assert_eq!(ask(address, &request).status, status, "{start:?}");
    }
    assert_eq!(herder.status().ready, 2);
}

#[test]
fn a_connection_carries_one_request_after_the_other() {
    let (_herder, address) = serving();
    let mut stream = connect(address);
    for path in ["/", "/metrics", "/status.json", "/nothing"] {
        stream.write_all(get(path).as_bytes()).unwrap();
        let answer = answer(&mut stream, true);
        assert!(answer.head.contains("Connection: keep-alive"), "{answer:?}");
    }
    // Sent all at once, the last with a wish to close.
    let last = get("/last").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    stream.write_all(format!("{}{}{last}", get("/"), get("/metrics")).as_bytes()).unwrap();
    let statuses = [(); 3].map(|()| answer(&mut stream, true).status);
    assert_eq!(statuses, [200, 200, 404]);
    assert!(is_closed(&mut stream));
}

/// A slow, silent or hostile client disturbs neither the workers nor the next client that sends a request.
#[test]
fn no_client_delays_a_respawn() {
    let (herder, address) = serving();
    let idle: Vec<TcpStream> = (0..100).map(|_| connect(address)).collect();
    // This client keeps sending requests and reads no answer.
    let mut greedy = connect(address);
    greedy.set_nonblocking(true).unwrap();
    let many = get("/metrics").repeat(100);
    let mut slow = connect(address);
    slow.write_all(b"GET / HT").unwrap();
    for _ in 0..5 {
        let _ = greedy.write(many.as_bytes());
        let before = herder.serves(2);
        kill(before[0].pid, Signal::SIGKILL);
        let replaced = |status: &Status| {
            status.ready == 2 && status.workers.iter().all(|worker| worker.pid != before[0].pid)
        };
        herder.is("a replacement", replaced);
        assert_eq!(ask(address, get("/metrics")).status, 200);
    }
    let start = Instant::now();
    slow.write_all(b"TP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(answer(&mut slow, true).status, 200, "after {:?}", start.elapsed());
    drop(idle);
}

#[test]
fn a_client_that_takes_too_long_is_disconnected_and_herder_does_not_grow() {
    let (herder, address) = serving();
    let anonymous = || {
        let rollup =
            std::fs::read_to_string(format!("/proc/{}/smaps_rollup", herder.pid())).unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let mut half = connect(address);
    half.write_all(b"GET / ").unwrap();
    let greedy: Vec<TcpStream> = (0..40)
        .map(|_| {
            let stream = connect(address);
            stream.set_nonblocking(true).unwrap();
            let _ = (&stream).write(get("/").repeat(200).as_bytes());
            stream
        })
        .collect();
    // herder closes it by its own deadline, without any other event.
    assert!(is_closed(&mut half));
    drop(greedy);
    until("little memory", || anonymous() < 4096);
    assert_eq!(herder.status().ready, 2);
}

#[test]
fn a_metrics_socket_that_is_no_stream_socket_is_an_error() {
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let unit = Unit::new(&format!("workers = 1\n{}", misbehave("ready")));
    let mut herder = unit.socket("herder-metrics", datagrams).start();
    assert_eq!(herder.exits(), 78);
    assert!(herder.log().contains("use ListenStream="), "{}", herder.log());
}
