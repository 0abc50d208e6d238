#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use super::super::sockets::bind;
use super::*;
use nix::sys::socket::{Backlog, listen};
use std::os::unix::net::UnixListener;

fn now(socket: &Socket) -> Nature {
    of([socket])[0]
}

fn set(socket: &Socket, flags: OFlag) {
    fcntl(socket, FcntlArg::F_SETFL(flags)).unwrap();
}

#[test]
fn what_another_holder_of_a_socket_changes_is_seen() {
    let tcp = bind("web", &"127.0.0.1:0".parse().unwrap()).unwrap();
    let copy = tcp.fd.try_clone().unwrap();
    let before = now(&tcp);
    assert!(!before.nonblocking && before.backlog.is_some());
    assert_eq!(before.since(&before), []);
    let was = before.backlog.unwrap();
    listen(&copy, Backlog::new(5).unwrap()).unwrap();
    assert_eq!(now(&tcp).since(&before), [Change::Backlog { was, is: 5 }]);
    let few = now(&tcp);
    set(&tcp, OFlag::O_NONBLOCK);
    assert_eq!(now(&tcp).since(&few), [Change::Nonblocking]);
    assert_eq!(few.since(&now(&tcp)), [Change::Blocking]);
    set(&tcp, OFlag::empty());
    assert_eq!(now(&tcp).since(&few), []);
}

#[test]
fn the_file_of_a_unix_socket_is_watched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web");
    let socket = bind("web", &Address::Unix(path.clone())).unwrap();
    let before = now(&socket);
    listen(&socket, Backlog::new(7).unwrap()).unwrap();
    assert!(matches!(now(&socket).since(&before)[..], [Change::Backlog { is: 7, .. }]));
    let before = now(&socket);
    fs::remove_file(&path).unwrap();
    assert_eq!(now(&socket).since(&before), [Change::Unlinked]);
    let gone = now(&socket);
    let _another = UnixListener::bind(&path).unwrap();
    assert_eq!(now(&socket).since(&before), [Change::Replaced]);
    // If the file was never seen, it cannot be told that it is another.
    assert_eq!(now(&socket).since(&gone), []);
}

/// A service that is started again gets the socket as an earlier run has left it.
#[test]
fn a_file_that_is_missing_from_the_beginning_is_missed_where_it_would_be_seen() {
    let gone = |certain| Nature { file: File::Gone { certain }, ..Nature::default() };
    assert_eq!(gone(true).since(&gone(true)), [Change::Missing]);
    assert_eq!(gone(false).since(&gone(false)), []);
    // A service may have a /tmp of its own.
    for (path, seen) in [
        ("/usr/no-such-file", true),
        ("/no/such/directory/web", false),
        ("/tmp/web", false),
        ("/var/tmp/web", false),
        ("web", false),
    ] {
        assert_eq!(would_be_seen(Path::new(path)), seen, "{path}");
    }
}

#[test]
fn a_fifo_is_no_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let fifo = Socket { fd: file.into(), name: "q".to_owned(), address: None, kind: Kind::Fifo };
    set(&fifo, OFlag::O_NONBLOCK);
    assert_eq!(now(&fifo), Nature::default());
}
