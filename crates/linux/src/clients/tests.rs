//! The server with a protocol of its own: real sockets, made-up time.

mod places;

use super::*;
use crate::testing::until;
use herder_wire::varlink::Frames;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

const START: Duration = Duration::from_secs(1000);

/// Requests of this protocol are text that a NUL ends.
#[derive(Debug)]
struct Words(Frames);

const WORDS: Bounds = Bounds {
    clients: 64,
    reserved: 16,
    descriptors: 8,
    requests_per_turn: 8,
    stalled: Duration::from_secs(10),
    progress_counts: true,
    idle: Duration::from_secs(60),
    linger: None,
    silent_first: true,
};

impl Default for Words {
    fn default() -> Words {
        Words(Frames::new(1000))
    }
}

impl Protocol for Words {
    type Peer = ();
    type Request = String;

    const BOUNDS: Bounds = WORDS;

    fn peer(_: BorrowedFd<'_>, _: &Listener) -> io::Result<()> {
        Ok(())
    }

    fn user((): &()) -> Option<u32> {
        None
    }

    fn push(&mut self, bytes: &[u8]) {
        self.0.push(bytes);
    }

    fn next_request(&mut self) -> Framed<String> {
        match self.0.next_message() {
            Ok(Some(message)) => Framed::Request(String::from_utf8_lossy(&message).into_owned()),
            Ok(None) => Framed::Incomplete,
            Err(_) => Framed::Refused(b"too long\0".to_vec()),
        }
    }

    fn is_between_requests(&self) -> bool {
        self.0.is_empty()
    }
}

struct Scene {
    server: Server<Words>,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

fn scene() -> Scene {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clients");
    let listener = Listener::unix(UnixListener::bind(&path).unwrap()).unwrap();
    Scene { server: Server::on(vec![listener]).unwrap(), path, _directory: directory }
}

impl Scene {
    /// A client that the server has accepted, or not: then there is no number.
    fn try_connect(&mut self, trusted: bool) -> (UnixStream, Option<ClientId>) {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let next = self.server.next;
        self.server.advance(START, &|()| trusted);
        (stream, (self.server.next > next).then_some(ClientId(next)))
    }

    fn connect(&mut self) -> (UnixStream, ClientId) {
        let (stream, id) = self.try_connect(true);
        (stream, id.unwrap())
    }

    /// A client whose call is taken.
    fn call(&mut self) -> (UnixStream, ClientId) {
        let (mut stream, id) = self.connect();
        stream.write_all(b"call\0").unwrap();
        assert_eq!(self.turn(START), [(id, "call".to_owned())]);
        (stream, id)
    }

    /// A turn of the loop, in which every client that is ready is looked at.
    fn turn(&mut self, now: Duration) -> Vec<(ClientId, String)> {
        for _ in 0..=self.server.clients.len() / 32 {
            self.server.advance(now, &|()| true);
        }
        self.server.calls(now).into_iter().map(|call| (call.client, call.request)).collect()
    }

    /// The client's next message, while the server goes on sending.
    fn receive(&mut self, stream: &mut UnixStream) -> String {
        stream.set_nonblocking(true).unwrap();
        let mut bytes = Vec::new();
        until("a message", || {
            let mut byte = [0];
            loop {
                match stream.read(&mut byte) {
                    Ok(1) if byte[0] != 0 => bytes.push(byte[0]),
                    Ok(count) => return count == 1,
                    Err(_) => {
                        assert_eq!(self.turn(START), []);
                        return false;
                    }
                }
            }
        });
        String::from_utf8(bytes).unwrap()
    }

    /// What the client is watched for; `None` if it is gone.
    fn interest(&self, id: ClientId) -> Option<Interest> {
        self.server.clients.get(&id).map(Connection::interest)
    }
}

fn read_to_nul(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).unwrap() == 1 && byte[0] != 0 {
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

/// Reads all that the kernel holds for the client.
fn drain(stream: &mut UnixStream) {
    stream.set_nonblocking(true).unwrap();
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
}

fn is_closed(stream: &mut UnixStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_call_is_answered_and_the_connection_stays() {
    let mut scene = scene();
    let (mut stream, id) = scene.connect();
    for _ in 0..3 {
        stream.write_all(b"ask\0").unwrap();
        assert_eq!(scene.turn(START), [(id, "ask".to_owned())]);
        scene.server.send(id, b"answer\0", START);
        assert_eq!(read_to_nul(&mut stream), "answer");
    }
}

#[test]
fn calls_are_taken_one_at_a_time_and_in_order() {
    let mut scene = scene();
    let (mut stream, id) = scene.connect();
    stream.write_all(b"one\0two\0three\0").unwrap();
    for call in ["one", "two", "three"] {
        assert_eq!(scene.turn(START), [(id, call.to_owned())]);
        assert!(scene.turn(START).is_empty(), "{call} is not answered yet");
        assert_eq!(scene.interest(id), Some(Interest::Hangup));
        scene.server.send(id, format!("{call}!\0").as_bytes(), START);
        let more = call != "three";
        assert_eq!(scene.server.deadline() == Some(Duration::ZERO), more);
    }
    for answer in ["one!", "two!", "three!"] {
        assert_eq!(read_to_nul(&mut stream), answer);
    }
}

#[test]
fn part_of_a_request_gets_its_time_however_it_trickles() {
    let mut scene = scene();
    let (mut stream, _) = scene.connect();
    for second in 0..10 {
        stream.write_all(b"x").unwrap();
        let now = START + Duration::from_secs(second);
        assert!(scene.turn(now).is_empty());
        scene.server.expire(now);
        assert_eq!(scene.server.deadline(), Some(START + WORDS.stalled));
    }
    scene.server.expire(START + WORDS.stalled);
    assert!(is_closed(&mut stream));
    assert_eq!(scene.server.deadline(), None);
}

#[test]
fn a_silent_client_gets_its_time_and_one_that_waits_all_the_time_it_takes() {
    let mut scene = scene();
    let (mut silent, _) = scene.connect();
    let (mut waiting, id) = scene.connect();
    waiting.write_all(b"reload\0").unwrap();
    assert_eq!(scene.turn(START).len(), 1);
    assert_eq!(scene.server.deadline(), Some(START + WORDS.idle));
    scene.server.expire(START + WORDS.idle);
    assert!(is_closed(&mut silent));
    assert_eq!(scene.server.deadline(), None);
    scene.server.expire(START + WORDS.idle * 100);
    scene.server.send(id, b"done\0", START + WORDS.idle * 100);
    assert_eq!(read_to_nul(&mut waiting), "done");
}

#[test]
fn a_refused_client_is_told_why_and_closed() {
    let mut scene = scene();
    let (mut stream, _) = scene.connect();
    let (mut other, other_id) = scene.connect();
    stream.write_all(&[b'x'; 2000]).unwrap();
    scene.turn(START);
    assert!(read_to_nul(&mut stream).contains("too long"));
    other.write_all(b"still here\0").unwrap();
    assert_eq!(scene.turn(START), [(other_id, "still here".to_owned())]);
}

#[test]
fn a_client_that_does_not_read_its_reply_is_dropped() {
    let mut scene = scene();
    let (mut stream, id) = scene.connect();
    stream.write_all(b"ask\0").unwrap();
    scene.turn(START);
    scene.server.send(id, &vec![b'x'; 4 << 20], START);
    assert_eq!(scene.interest(id), Some(Interest::Write));
    assert_eq!(scene.server.deadline(), Some(START + WORDS.stalled));
    // Reading some buys time.
    drain(&mut stream);
    let later = START + Duration::from_secs(5);
    scene.turn(later);
    assert_eq!(scene.server.deadline(), Some(later + WORDS.stalled));
    scene.server.expire(later + WORDS.stalled);
    assert_eq!(scene.interest(id), None);
    assert!(is_closed(&mut stream));
}

#[test]
fn a_half_closed_client_is_answered_first() {
    let mut scene = scene();
    let (mut stream, id) = scene.connect();
    stream.write_all(b"one\0two\0rest").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    for call in ["one", "two"] {
        let mut calls = scene.turn(START);
        if calls.is_empty() {
            calls = scene.turn(START);
        }
        assert_eq!(calls, [(id, call.to_owned())]);
        scene.server.send(id, b"yes\0", START);
        assert_eq!(read_to_nul(&mut stream), "yes");
    }
    scene.turn(START);
    assert!(is_closed(&mut stream));
    assert!(scene.server.clients.is_empty());
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let mut scene = scene();
    let (mut stream, id) = scene.connect();
    stream.write_all(b"reload\0").unwrap();
    assert_eq!(scene.turn(START).len(), 1);
    drop(stream);
    // Another test's child may have a copy of it until its exec.
    until("it is gone", || scene.turn(START).is_empty() && !scene.server.has(id));
    scene.server.send(id, b"too late\0", START);

    // … but what it had asked for before it left is done.
    let (mut stream, id) = scene.connect();
    stream.write_all(b"oneway\0never\0").unwrap();
    drop(stream);
    assert_eq!(scene.turn(START), [(id, "oneway".to_owned())]);
    for _ in 0..3 {
        scene.server.send(id, b"", START);
        scene.turn(START);
    }
    assert!(scene.server.clients.is_empty());
}

#[test]
fn hanging_up_ends_one_connection_only() {
    let mut scene = scene();
    let (mut stream, id) = scene.connect();
    let (_other, other_id) = scene.connect();
    stream.write_all(b"\xff\xfe\0more\0").unwrap();
    assert_eq!(scene.turn(START).len(), 1);
    scene.server.hang_up(id, START);
    assert!(is_closed(&mut stream));
    assert!(!scene.server.has(id) && scene.server.has(other_id));
}

#[test]
fn an_answer_may_come_in_parts() {
    let mut scene = scene();
    let (mut stream, id) = scene.call();
    for part in [&b"one\0"[..], b"two\0"] {
        scene.server.send_newest(id, &Arc::from(part), START);
    }
    stream.write_all(b"next\0").unwrap();
    assert!(scene.turn(START).is_empty(), "the last is still to come");
    scene.server.expire(START + WORDS.idle * 100);
    scene.server.send(id, b"three\0", START);
    for part in ["one", "two", "three"] {
        assert_eq!(read_to_nul(&mut stream), part);
    }
    scene.server.send_newest(id, &Arc::from(*b"four\0"), START);
    assert_eq!(scene.turn(START), [(id, "next".to_owned())], "and nothing after the last");
}

#[test]
fn a_client_that_does_not_read_gets_the_newest_and_costs_no_more_than_that() {
    let mut scene = scene();
    let (mut stalled, id) = scene.call();
    scene.server.make_endless(id);
    let state = |number: u32| -> Arc<[u8]> {
        Arc::from([vec![b'x'; 100_000], format!("{number}\0").into_bytes()].concat())
    };
    let mut last = state(0);
    for number in 0..1000 {
        last = state(number);
        scene.server.send_newest(id, &last, START);
    }
    assert!(scene.server.clients[&id].output().len() <= 2 * last.len());
    assert_eq!(scene.interest(id), Some(Interest::Write));
    scene.server.expire(START + WORDS.idle * 100);
    let mut numbers = Vec::new();
    while numbers.last() != Some(&999) {
        let text = scene.receive(&mut stalled);
        let number: u32 = text.trim_start_matches('x').parse().unwrap();
        assert!(numbers.last().is_none_or(|last| *last < number), "{number} after {numbers:?}");
        numbers.push(number);
    }
    assert!(numbers.len() < 10, "{numbers:?}");
    assert_eq!(scene.interest(id), Some(Interest::Hangup));
}

#[test]
fn a_client_that_wants_each_and_does_not_read_is_closed() {
    let mut scene = scene();
    let (mut stalled, id) = scene.call();
    let (mut reader, other) = scene.call();
    let event: Arc<[u8]> = Arc::from([vec![b'x'; 999], vec![0]].concat());
    let mut sent = 0;
    while scene.server.has(id) {
        scene.server.send_each(id, &event, START);
        scene.server.send_each(other, &event, START);
        assert_eq!(read_to_nul(&mut reader).len(), 999);
        sent += event.len();
        assert!(sent < 64 << 20, "it is never too much");
    }
    assert!(sent > BACKLOG);
    assert_eq!(Arc::strong_count(&event), 1, "nothing is kept");
    let mut rest = Vec::new();
    // What the kernel had taken is there, and then the end.
    let _ = stalled.read_to_end(&mut rest);
    assert!(rest.len() < sent);
    assert!(scene.server.has(other));
}

#[test]
fn no_client_is_passed_over() {
    let mut scene = scene();
    let mut streams: Vec<UnixStream> = (0..40).map(|_| scene.connect().0).collect();
    let mut counts = BTreeMap::new();
    for _ in 0..50 {
        for stream in &mut streams {
            stream.write_all(b"x\0").unwrap();
        }
        for (id, _) in scene.turn(START) {
            *counts.entry(id).or_insert(0) += 1;
            scene.server.send(id, b"y\0", START);
        }
    }
    assert!(counts.values().all(|count| (8..=12).contains(count)), "{counts:?}");
}

#[test]
fn every_listening_socket_is_served() {
    let mut scene = scene();
    let other = scene.path.with_file_name("other");
    let listener = UnixListener::bind(&other).unwrap();
    scene.server.add(Listener::unix(listener).unwrap()).unwrap();
    for path in [other, scene.path.clone()] {
        let mut stream = UnixStream::connect(&path).unwrap();
        scene.turn(START);
        stream.write_all(b"ask\0").unwrap();
        assert_eq!(scene.turn(START).len(), 1);
    }
}

#[test]
fn the_server_is_ready_when_there_is_something_to_do() {
    let mut scene = scene();
    let poll = Poll::new().unwrap();
    poll.add(&scene.server, 7, Interest::Read).unwrap();
    let is_ready = || {
        let mut events = Vec::new();
        poll.wait(&mut events, Some(Duration::ZERO)).unwrap();
        !events.is_empty()
    };
    assert!(!is_ready());
    let mut stream = UnixStream::connect(&scene.path).unwrap();
    assert!(is_ready());
    scene.server.wait(START).unwrap();
    assert_eq!(scene.turn(START), []);
    assert!(!is_ready());
    stream.write_all(b"ask\0").unwrap();
    assert!(is_ready());
    let id = scene.turn(START)[0].0;
    assert!(!is_ready(), "it waits for its answer");
    scene.server.send(id, &vec![b'x'; 4 << 20], START);
    assert!(!is_ready(), "the client has to read first");
    drain(&mut stream);
    assert!(is_ready());
}
