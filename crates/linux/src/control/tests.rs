//! Real sockets, made-up time.

mod places;

use super::*;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Instant;

const START: Duration = Duration::from_secs(1000);

struct Scene {
    server: Server,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control");
    Scene { server: Server::listen(&path).unwrap(), path, _dir: dir }
}

impl Scene {
    fn connect(&mut self) -> (UnixStream, ClientId) {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let accepted = self.server.accept(START);
        assert_eq!(accepted.len(), 1);
        (stream, accepted[0])
    }

    /// A client whose call is taken.
    fn call(&mut self) -> (UnixStream, ClientId) {
        let (mut stream, id) = self.connect();
        stream.write_all(b"call\0").unwrap();
        assert_eq!(self.turn(START), [(id, "call".to_owned())]);
        (stream, id)
    }

    /// A turn of the loop in which every client is looked at.
    fn turn(&mut self, now: Duration) -> Vec<(ClientId, String)> {
        let ids: Vec<ClientId> = self.server.clients.keys().copied().collect();
        for id in ids {
            self.server.readable(id, now);
            self.server.writable(id, now);
        }
        let text = |call: Call| (call.client, String::from_utf8_lossy(&call.message).into_owned());
        self.server.calls(now).into_iter().map(text).collect()
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
        assert_eq!(scene.server.interest(id), Some(Interest { read: false, write: false }));
        scene.server.send(id, format!("{call}!\0").as_bytes(), START);
        let more = call != "three";
        assert_eq!(scene.server.deadline() == Some(Duration::ZERO), more);
    }
    for answer in ["one!", "two!", "three!"] {
        assert_eq!(read_to_nul(&mut stream), answer);
    }
}

#[test]
fn the_peer_is_known() {
    let mut scene = scene();
    let (mut stream, _) = scene.connect();
    stream.write_all(b"x\0").unwrap();
    let id = scene.server.clients.keys().copied().next().unwrap();
    scene.server.readable(id, START);
    let peer = scene.server.calls(START).remove(0).peer;
    assert_eq!(peer.pid, nix::unistd::getpid().as_raw());
    assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
    assert_eq!(peer.session, nix::unistd::getsid(None).ok().map(nix::unistd::Pid::as_raw));
    assert!(peer.is_root_or_self());
    let other = Peer { uid: 12345, gid: 12345, groups: vec![7, 12346], ..peer.clone() };
    assert!(!other.is_root_or_self());
    assert!(other.is_in(12345) && other.is_in(12346) && !other.is_in(0));
    let own = nix::unistd::getgroups().unwrap();
    assert_eq!(peer.groups.len(), own.len());
    assert!(own.iter().all(|group| peer.is_in(group.as_raw())) && peer.is_in(peer.gid));
}

#[test]
fn half_a_call_gets_ten_seconds_however_it_trickles() {
    let mut scene = scene();
    let (mut stream, _) = scene.connect();
    for second in 0..10 {
        stream.write_all(b"x").unwrap();
        let now = START + Duration::from_secs(second);
        assert!(scene.turn(now).is_empty());
        scene.server.expire(now);
        assert_eq!(scene.server.deadline(), Some(START + STALLED));
    }
    scene.server.expire(START + STALLED);
    assert!(is_closed(&mut stream));
    assert_eq!(scene.server.deadline(), None);
}

#[test]
fn a_silent_client_gets_a_minute_and_one_that_waits_all_the_time_it_takes() {
    let mut scene = scene();
    let (mut silent, _) = scene.connect();
    let (mut waiting, id) = scene.connect();
    waiting.write_all(b"reload\0").unwrap();
    assert_eq!(scene.turn(START).len(), 1);
    assert_eq!(scene.server.deadline(), Some(START + IDLE));
    scene.server.expire(START + IDLE);
    assert!(is_closed(&mut silent));
    assert_eq!(scene.server.deadline(), None);
    scene.server.expire(START + IDLE * 100);
    scene.server.send(id, b"done\0", START + IDLE * 100);
    assert_eq!(read_to_nul(&mut waiting), "done");
}

#[test]
fn an_endless_call_is_refused_and_the_client_dropped() {
    let mut scene = scene();
    let (mut stream, _) = scene.connect();
    let (mut other, other_id) = scene.connect();
    stream.set_nonblocking(true).unwrap();
    // In the end herder hangs up, which is how the writing fails.
    while !scene.server.clients.is_empty() && scene.server.clients.len() > 1 {
        let _ = stream.write(&[b'x'; 4096]);
        scene.turn(START);
    }
    stream.set_nonblocking(false).unwrap();
    assert!(read_to_nul(&mut stream).contains("longer than 64 KiB"));
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
    assert_eq!(scene.server.interest(id), Some(Interest { read: false, write: true }));
    assert_eq!(scene.server.deadline(), Some(START + STALLED));
    // Reading some buys time.
    stream.read_exact(&mut [0; 64 << 10]).unwrap();
    let later = START + Duration::from_secs(5);
    scene.server.writable(id, later);
    assert_eq!(scene.server.deadline(), Some(later + STALLED));
    scene.server.expire(later + STALLED);
    assert_eq!(scene.server.interest(id), None);
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
    let end = Instant::now() + Duration::from_secs(10);
    while scene.server.interest(id).is_some() && Instant::now() < end {
        scene.turn(START);
        std::thread::yield_now();
    }
    assert_eq!(scene.server.interest(id), None);
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
fn garbage_ends_its_own_connection_only() {
    let mut scene = scene();
    let (mut stream, id) = scene.connect();
    let (_other, other_id) = scene.connect();
    stream.write_all(b"\xff\xfe\0more\0").unwrap();
    assert_eq!(scene.turn(START).len(), 1);
    scene.server.hang_up(id, START);
    assert!(is_closed(&mut stream));
    assert!(scene.server.fd(id).is_none() && scene.server.fd(other_id).is_some());
}

#[test]
fn what_a_dead_herder_left_is_removed_and_a_file_is_not() {
    let scene = scene();
    let path = scene.path.clone();
    // A second listener at the same path, as after a crash that left the file.
    let again = Server::listen(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    drop(again);
    assert!(!path.exists());
    fs::write(&path, "precious").unwrap();
    let error = Server::listen(&path).unwrap_err();
    assert!(error.to_string().contains("not a socket"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
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
    scene.server.expire(START + IDLE * 100);
    scene.server.send(id, b"three\0", START);
    for part in ["one", "two", "three"] {
        assert_eq!(read_to_nul(&mut stream), part);
    }
    scene.server.send_newest(id, &Arc::from(*b"four\0"), START);
    assert_eq!(scene.turn(START), [(id, "next".to_owned())], "and nothing after the last");
}

#[test]
fn who_does_not_read_gets_the_newest_and_costs_no_more_than_that() {
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
    assert_eq!(scene.server.interest(id), Some(Interest { read: false, write: true }));
    scene.server.expire(START + IDLE * 100);
    let mut numbers = Vec::new();
    while numbers.last() != Some(&999) {
        scene.turn(START);
        let text = read_to_nul(&mut stalled);
        let number: u32 = text.trim_start_matches('x').parse().unwrap();
        assert!(numbers.last().is_none_or(|last| *last < number), "{number} after {numbers:?}");
        numbers.push(number);
    }
    assert!(numbers.len() < 10, "{numbers:?}");
    assert_eq!(scene.server.interest(id), Some(Interest { read: false, write: false }));
}

#[test]
fn who_wants_each_and_does_not_read_is_hung_up_on() {
    let mut scene = scene();
    let (mut stalled, id) = scene.call();
    let (mut reader, other) = scene.call();
    let event: Arc<[u8]> = Arc::from([vec![b'x'; 999], vec![0]].concat());
    let mut sent = 0;
    while scene.server.fd(id).is_some() {
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
    assert!(scene.server.fd(other).is_some());
}

#[test]
fn no_client_is_passed_over() {
    let mut scene = scene();
    let mut streams: Vec<UnixStream> = (0..40).map(|_| scene.connect().0).collect();
    let mut counts = BTreeMap::new();
    for _ in 0..30 {
        for stream in &mut streams {
            stream.write_all(b"x\0").unwrap();
        }
        for (id, _) in scene.turn(START) {
            *counts.entry(id).or_insert(0) += 1;
            scene.server.send(id, b"y\0", START);
        }
    }
    assert!(counts.values().all(|count| (10..=14).contains(count)), "{counts:?}");
}

#[test]
fn a_socket_of_somebody_elses_is_served_too_and_left_there() {
    let mut scene = scene();
    let theirs = scene._dir.path().join("theirs");
    scene.server.also(UnixListener::bind(&theirs).unwrap().into()).unwrap();
    assert_eq!(scene.server.listeners().count(), 2);
    for path in [theirs.clone(), scene.path.clone()] {
        let mut stream = UnixStream::connect(&path).unwrap();
        let id = scene.server.accept(START)[0];
        stream.write_all(b"ask\0").unwrap();
        assert_eq!(scene.turn(START), [(id, "ask".to_owned())]);
    }
    let own = scene.path.clone();
    drop(scene.server);
    assert!(theirs.exists() && !own.exists());
}
