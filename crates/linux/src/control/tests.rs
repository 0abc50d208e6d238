//! What the control socket adds to the server: its file, its peers, its limits.

use super::*;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

const START: Duration = Duration::from_secs(1000);

struct Scene {
    server: Server,
    path: PathBuf,
    directory: tempfile::TempDir,
}

fn scene() -> Scene {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control");
    Scene { server: Server::listen(&path).unwrap(), path, directory }
}

impl Scene {
    fn turn(&mut self, now: Duration) -> Vec<Call> {
        self.server.advance(now, &Peer::is_root_or_self);
        self.server.expire(now);
        self.server.calls(now)
    }

    fn connect(&mut self, path: &Path) -> UnixStream {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(self.turn(START), []);
        stream
    }
}

#[test]
fn the_peer_is_known() {
    let mut scene = scene();
    let mut stream = scene.connect(&scene.path.clone());
    stream.write_all(b"x\0").unwrap();
    let call = scene.turn(START).remove(0);
    assert!(call.was_trusted);
    let peer = call.peer;
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
fn a_message_may_have_64_kib() {
    let mut scene = scene();
    let mut stream = scene.connect(&scene.path.clone());
    let long = [vec![b'x'; MESSAGE], vec![0]].concat();
    stream.write_all(&long).unwrap();
    let mut calls = Vec::new();
    for _ in 0..MESSAGE {
        calls.extend(scene.turn(START));
        if !calls.is_empty() {
            break;
        }
    }
    assert_eq!(calls[0].request.len(), MESSAGE);
    scene.server.send(calls[0].client, &[], START);
    stream.write_all(&[b'x'; MESSAGE + 1]).unwrap();
    for _ in 0..MESSAGE {
        assert_eq!(scene.turn(START), []);
        if !scene.server.has(calls[0].client) {
            break;
        }
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("longer than 64 KiB"), "{answer}");
}

#[test]
fn part_of_a_message_gets_ten_seconds_and_silence_a_minute() {
    let mut scene = scene();
    let _silent = scene.connect(&scene.path.clone());
    assert_eq!(scene.server.deadline(), Some(START + IDLE));
    let mut stream = scene.connect(&scene.path.clone());
    stream.write_all(b"x").unwrap();
    assert_eq!(scene.turn(START), []);
    assert_eq!(scene.server.deadline(), Some(START + STALLED));
    assert_eq!(scene.turn(START + STALLED), []);
    assert_eq!(scene.server.deadline(), Some(START + IDLE));
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
fn a_socket_that_another_process_made_is_served_too_and_left_there() {
    let mut scene = scene();
    let other = scene.directory.path().join("other");
    scene.server.also(UnixListener::bind(&other).unwrap().into()).unwrap();
    for path in [other.clone(), scene.path.clone()] {
        let mut stream = scene.connect(&path);
        stream.write_all(b"ask\0").unwrap();
        assert_eq!(scene.turn(START)[0].request, b"ask");
    }
    let datagrams = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let error = scene.server.also(datagrams.into()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let own = scene.path.clone();
    drop(scene.server);
    assert!(other.exists() && !own.exists());
}
