#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use super::*;
use crate::clients::UNREAD;
use crate::sockets::{self, Kind};
use crate::testing::until;
use herder_wire::address::Address;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

const START: Duration = Duration::from_secs(1000);

/// A server on loopback and on a UNIX socket, and the clock it is told.
struct Scene {
    server: Server,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

fn scene() -> Scene {
    let directory = tempfile::tempdir().unwrap();
    let tcp = sockets::bind("tcp", &Address::Inet(([127, 0, 0, 1], 0).into())).unwrap();
    let unix = sockets::bind("unix", &Address::Unix(directory.path().join("http"))).unwrap();
    let Some(Address::Inet(address)) = tcp.address else { panic!("no port") };
    Scene { server: Server::serving(vec![tcp, unix]).unwrap(), address, directory }
}

impl Scene {
    /// A new client, which the server knows.
    fn connect(&mut self, now: Duration) -> TcpStream {
        let before = self.server.newest();
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        until("a new client", || {
            assert_eq!(self.server.turn(now), []);
            self.server.newest() > before
        });
        stream
    }

    /// Turns until a request has come.
    fn calls(&mut self, now: Duration) -> Vec<Call> {
        let mut calls = Vec::new();
        until("a request", || {
            calls = self.server.turn(now);
            !calls.is_empty()
        });
        calls
    }

    /// Takes the next request and answers it with its path.
    fn serve(&mut self, now: Duration) -> String {
        let [call] = &self.calls(now)[..] else { panic!("more than one") };
        self.server.answer(call.client, &text(&call.request.path), now);
        call.request.path.clone()
    }

    fn clients(&self) -> usize {
        self.server.connected()
    }
}

fn text(body: &str) -> Response {
    Response::ok("text/plain", body.to_owned())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// The next answer: its status and its body.
fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, String::from_utf8(body).unwrap())
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_connection_carries_one_request_after_the_other() {
    let mut scene = scene();
    let mut stream = scene.connect(START);
    for path in ["/one", "/two"] {
        stream.write_all(get(path).as_bytes()).unwrap();
        assert_eq!(scene.serve(START), path);
        assert_eq!(answer(&mut stream), (200, path.to_owned()));
    }
    // Sent all at once, they are answered one by one, in their order.
    stream.write_all(format!("{}{}", get("/three"), get("/four")).as_bytes()).unwrap();
    assert_eq!(scene.serve(START), "/three");
    assert_eq!(scene.server.deadline(), Some(Duration::ZERO), "the next one waits");
    assert_eq!(scene.serve(START), "/four");
    assert_eq!([answer(&mut stream).1, answer(&mut stream).1], ["/three", "/four"]);
    drop(stream);
    until("no client is left", || scene.server.turn(START).is_empty() && scene.clients() == 0);
    assert_eq!(scene.server.deadline(), None);
}

#[test]
fn unix_clients_are_told_from_others() {
    let mut scene = scene();
    let mut unix = UnixStream::connect(scene.directory.path().join("http")).unwrap();
    unix.write_all(get("/").as_bytes()).unwrap();
    assert!(scene.calls(START)[0].peer.over_unix);
    let mut tcp = scene.connect(START);
    tcp.write_all(get("/").as_bytes()).unwrap();
    assert!(!scene.calls(START)[0].peer.over_unix);
}

#[test]
fn a_connection_ends_when_asked_to_after_an_error_and_after_many_requests() {
    let mut scene = scene();
    let mut stream = scene.connect(START);
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    scene.serve(START);
    assert_eq!(answer(&mut stream).0, 200);
    assert!(is_closed(&mut stream));

    // Refused without a call, and the reason arrives however much is still on its way.
    let mut stream = scene.connect(START);
    stream.write_all("x".repeat(20_000).as_bytes()).unwrap();
    until("an answer", || {
        assert_eq!(scene.server.turn(START), []);
        stream.set_nonblocking(true).unwrap();
        let there = stream.peek(&mut [0]).is_ok();
        stream.set_nonblocking(false).unwrap();
        there
    });
    assert_eq!(answer(&mut stream).0, 431);
    assert!(is_closed(&mut stream));

    let mut stream = scene.connect(START);
    for _ in 0..REQUESTS {
        stream.write_all(get("/").as_bytes()).unwrap();
        scene.serve(START);
        assert_eq!(answer(&mut stream).0, 200);
    }
    assert!(is_closed(&mut stream));
}

#[test]
fn each_step_has_its_time() {
    let mut scene = scene();
    // Silent.
    let mut idle = scene.connect(START);
    assert_eq!(scene.server.deadline(), Some(START + IDLE));
    // Slow to ask: the time counts from the first byte, not from the last.
    let mut slow = scene.connect(START);
    slow.write_all(b"GET / ").unwrap();
    until("its first byte", || {
        scene.server.turn(START);
        scene.server.deadline() == Some(START + REQUEST)
    });
    slow.write_all(b"HTTP/1.1").unwrap();
    scene.server.turn(START + REQUEST / 2);
    assert_eq!(scene.server.deadline(), Some(START + REQUEST));
    assert_eq!(scene.server.turn(START + REQUEST), []);
    assert!(is_closed(&mut slow));
    assert_eq!(scene.clients(), 1);
    scene.server.turn(START + IDLE);
    assert!(is_closed(&mut idle));
    // Slow to take its answer.
    let mut slow = scene.connect(START);
    slow.write_all(get("/").as_bytes()).unwrap();
    let id = scene.calls(START)[0].client;
    assert_eq!(scene.server.deadline(), None, "it waits for us");
    scene.server.answer(id, &text(&"x".repeat(UNREAD)), START);
    assert_eq!(scene.server.deadline(), Some(START + REQUEST));
    slow.read_exact(&mut [0; 4096]).unwrap();
    scene.server.turn(START + REQUEST);
    assert_eq!(scene.clients(), 0);
}

#[test]
fn a_client_too_many_takes_the_place_of_the_slowest() {
    let mut scene = scene();
    let at = |client: usize| START + Duration::from_millis(client as u64);
    let mut streams: Vec<TcpStream> =
        (0..CLIENTS).map(|number| scene.connect(at(number))).collect();
    // The first asks for something now, so the second has been longest at what it does.
    streams[0].write_all(get("/").as_bytes()).unwrap();
    scene.serve(at(CLIENTS));
    let _newcomer = scene.connect(at(CLIENTS));
    assert_eq!(scene.clients(), CLIENTS);
    assert!(is_closed(&mut streams[1]));
    assert_eq!(answer(&mut streams[0]).0, 200);
}

#[test]
fn unread_answers_do_not_pile_up() {
    let mut scene = scene();
    // What the kernel holds for its reader is not ours.
    let long = text(&"x".repeat(UNREAD));
    let streams: Vec<TcpStream> = (0..4)
        .map(|number| {
            let now = START + Duration::from_millis(number);
            let mut stream = scene.connect(now);
            stream.write_all(get("/").as_bytes()).unwrap();
            let id = scene.calls(now)[0].client;
            scene.server.answer(id, &long, now);
            stream
        })
        .collect();
    // Each answer alone is as long as all of them together may be.
    assert_eq!(scene.clients(), 1);
    // The last is served whatever it takes.
    let mut last = streams.into_iter().next_back().unwrap();
    let reader = std::thread::spawn(move || answer(&mut last).1.len());
    until("it is served", || {
        scene.server.turn(START);
        reader.is_finished()
    });
    assert_eq!(reader.join().unwrap(), UNREAD);
}

#[test]
fn a_client_that_hangs_up_is_forgotten() {
    let mut scene = scene();
    for sent in ["", "GET", &get("/"), "garbage\r\n\r\n"] {
        let mut stream = scene.connect(START);
        stream.write_all(sent.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
        drop(stream);
        until("it is gone", || {
            for call in scene.server.turn(START) {
                scene.server.answer(call.client, &text("too late"), START);
            }
            scene.clients() == 0
        });
    }
    scene.server.answer(ClientId(2), &text("nothing"), START);
}

/// Half-closed, as `nc -N` does.
#[test]
fn a_client_that_sends_no_more_is_still_answered() {
    let mut scene = scene();
    let mut stream = scene.connect(START);
    stream.write_all(get("/last").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(scene.serve(START), "/last");
    assert_eq!(answer(&mut stream), (200, "/last".to_owned()));
    until("it is gone", || scene.server.turn(START).is_empty() && scene.clients() == 0);
}

#[test]
fn only_listening_stream_sockets_will_do() {
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = Some(Address::Inet(datagrams.local_addr().unwrap()));
    let name = "herder-metrics".to_owned();
    let socket = Socket { fd: datagrams.into(), name, address, kind: Kind::Datagram };
    let error = Server::serving(vec![socket]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("ListenStream="), "{error}");
}

#[test]
fn a_machine_has_its_names() {
    let resolver =
        "# search evil.example\nnameserver 192.0.2.1\nsearch example.com corp.example.\ndomain .\n";
    let expected = ["web1.lan", "web1", "web1.example.com", "web1.corp.example"];
    assert_eq!(names("web1.lan", resolver), expected);
    assert_eq!(names("web1", ""), ["web1", "web1"]);
    assert!(names("", resolver).is_empty());
    assert!(!names_of_this_machine().is_empty());
}
