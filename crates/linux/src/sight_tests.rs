//! Looks at real processes: this one, whose threads wait in every way there is, and shells that play a
//! worker and its wrapper. Servers as they are written are in tests/it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use super::super::testing::{Shell, alone, until};
use super::*;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::select::{FdSet, select};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

fn socket(fd: impl Into<OwnedFd>, kind: Kind) -> Socket {
    Socket { fd: fd.into(), name: "web".to_owned(), address: None, kind }
}

fn listener() -> (TcpListener, Socket) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Inet(listener.local_addr().unwrap());
    let copy = listener.try_clone().unwrap();
    (listener, Socket { address: Some(address), ..socket(copy, Kind::Listener) })
}

/// A look at the process with this pid, which was given this socket.
fn at(pid: i32, socket: &Socket) -> Observation {
    look(&Worker { pid, group: None, sockets: vec![socket], listen_pid: true })
}

/// A look at this very process.
fn here(socket: &Socket) -> Observation {
    at(nix::unistd::getpid().as_raw(), socket)
}

fn is_seen(what: &str, socket: &Socket, wait: impl FnOnce() + Send + 'static) {
    assert_ne!(here(socket), Observation::Waiting, "{what}");
    // It waits until the end of the tests.
    thread::spawn(wait);
    until(what, || here(socket) == Observation::Waiting);
}

#[test]
fn a_thread_that_waits_is_seen() {
    let (listener, socket) = listener();
    is_seen("accept", &socket, move || drop(listener.accept()));
    let (listener, socket) = self::listener();
    is_seen("poll", &socket, move || {
        let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::NONE).unwrap();
    });
    let (listener, socket) = self::listener();
    is_seen("select", &socket, move || {
        let mut set = FdSet::new();
        set.insert(listener.as_fd());
        select(None, &mut set, None, None, None).unwrap();
    });
}

#[test]
fn who_waits_for_datagrams_is_seen() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = socket(receiver.try_clone().unwrap(), Kind::Datagram);
    is_seen("recv", &socket, move || drop(receiver.recv(&mut [0; 8])));
}

#[test]
fn what_is_in_an_epoll_set_is_seen_and_what_was_there_is_not() {
    let (listener, socket) = listener();
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    let add = |flags| epoll.add(&listener, EpollEvent::new(flags, 0)).unwrap();
    // Registered, but for nothing that a connection would bring.
    add(EpollFlags::EPOLLOUT);
    assert_ne!(here(&socket), Observation::Waiting);
    epoll.delete(&listener).unwrap();
    add(EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE);
    assert_eq!(here(&socket), Observation::Waiting);
    epoll.delete(&listener).unwrap();
    assert_ne!(here(&socket), Observation::Waiting);
}

/// A worker that always has a client is never seen waiting for one.
#[test]
fn a_connection_that_was_accepted_is_as_good() {
    let (listener, socket) = listener();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    // In the queue it proves nothing: the kernel has put it there.
    assert_ne!(here(&socket), Observation::Waiting);
    let accepted = listener.accept().unwrap();
    assert_eq!(here(&socket), Observation::Waiting);
    drop((client, accepted));

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web");
    let listener = UnixListener::bind(&path).unwrap();
    let copy = listener.try_clone().unwrap();
    let socket = Socket {
        address: Some(Address::Unix(path.clone())),
        ..super::tests::socket(copy, Kind::Listener)
    };
    let _client = UnixStream::connect(&path).unwrap();
    assert_ne!(here(&socket), Observation::Waiting);
    let _accepted = listener.accept().unwrap();
    assert_eq!(here(&socket), Observation::Waiting);
}

/// What is said of a shell that was given a socket and runs this script, once it runs.
fn said_of(script: &str, socket: &Socket, what: impl Fn(&Diagnosis) -> bool) -> String {
    let shell = Shell::with_sockets(script, &[socket.as_fd()]);
    let mut text = String::new();
    until(script, || match at(shell.pid, socket) {
        Observation::NotYet(diagnosis) => {
            text = diagnosis.to_string();
            what(&diagnosis)
        }
        other => panic!("{script}: {other:?}"),
    });
    assert!(text.len() < 400 && !text.contains('\n'), "{text}");
    text
}

#[test]
fn each_way_to_be_wrong_has_a_name() {
    let (_listener, socket) = listener();
    let text =
        said_of("exec sleep 60", &socket, |diagnosis| matches!(diagnosis, Diagnosis::Idle { .. }));
    assert!(text.starts_with(&format!("it has descriptor 3, {socket} and does")), "{text}");
    let text = said_of("exec sleep 60 3<&-", &socket, |diagnosis| {
        matches!(diagnosis, Diagnosis::Lost { .. })
    });
    assert!(text.starts_with(&format!("it has closed descriptor 3, {socket}: run")), "{text}");
    // A shell that does not execute the command itself.
    let text = said_of("sleep 60; exit 0", &socket, |diagnosis| {
        matches!(diagnosis, Diagnosis::ListenPid { .. })
    });
    assert!(text.contains("which is sh (pid ") && text.contains("the server is sleep ("), "{text}");
    let text = said_of("sleep 60 3<&-; exit 0", &socket, |diagnosis| {
        matches!(diagnosis, Diagnosis::Kept { .. })
    });
    assert!(text.starts_with("sh (pid ") && text.contains("passed it on to sleep ("), "{text}");
}

/// A shell that is forked and not executed is no wrapper: servers fork their workers like that.
#[test]
fn a_copy_of_itself_is_not_taken_for_a_server_behind_a_wrapper() {
    let (_listener, socket) = listener();
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // It waits for a process that writes.
    let script = format!("(read x < {}) & wait", fifo.display());
    let shell = Shell::with_sockets(&script, &[socket.as_fd()]);
    until("a copy", || child::family(shell.pid).unwrap().len() == 2);
    let Observation::NotYet(Diagnosis::Idle { .. }) = at(shell.pid, &socket) else {
        panic!("{:?}", at(shell.pid, &socket));
    };
}

#[test]
fn a_worker_that_listens_elsewhere_is_told_where() {
    let (_given, socket) = listener();
    // Whatever else this process listens on at the moment, it is not what it was given.
    let (_own, _) = listener();
    let Observation::NotYet(Diagnosis::Elsewhere { address: Address::Inet(address), .. }) =
        here(&socket)
    else {
        panic!("{:?}", here(&socket));
    };
    assert_ne!(Some(Address::Inet(address)), socket.address);

    let directory = tempfile::tempdir().unwrap();
    let paths = ["given", "own"].map(|name| directory.path().join(name));
    let [given, _own] = [0, 1].map(|index: usize| UnixListener::bind(&paths[index]).unwrap());
    let address = Some(Address::Unix(paths[0].clone()));
    let socket = Socket { address, ..super::tests::socket(given, Kind::Listener) };
    let Observation::NotYet(diagnosis @ Diagnosis::Elsewhere { .. }) = here(&socket) else {
        panic!()
    };
    let text = diagnosis.to_string();
    assert!(text.contains("it listens on /") && text.len() < 400, "{text}");
}

#[test]
fn everything_a_worker_has_started_is_its_family() {
    alone("sight::tests::everything_a_worker_has_started_is_its_family", "exec \"$@\"", || {
        child::adopt_orphans().unwrap();
        let stranger = Shell::start("exec sleep 60");
        // A grandchild, and one whose parent ends at once.
        let shell = Shell::start("sh -c 'sleep 60; exit 0' & (sleep 60 &) ; wait");
        until("four", || child::family(shell.pid).unwrap().len() == 4);
        let family = child::family(shell.pid).unwrap();
        assert!(family[0] == shell.pid && !family.contains(&stranger.pid));
        for pid in &family[1..] {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::SIGKILL)
                .unwrap();
        }
    });
}

#[test]
fn a_look_has_bounds() {
    let (_listener, socket) = listener();
    let shell = Shell::with_sockets("exec sleep 60", &[socket.as_fd()]);
    let inode = [fstat(&socket).unwrap().st_ino];
    let mut look = Look::new(Path::new("/proc"), &inode, 2);
    assert!(!look.at(shell.pid));
    assert_eq!(look.obstacle, Some(Obstacle::TooMuch));
    // There is no such process, so nothing was hidden.
    let mut look = Look::new(Path::new("/proc"), &inode, 100);
    assert!(!look.at(i32::MAX));
    assert_eq!(look.obstacle, None);
}

/// A process in a `/proc` of the test's own, with these files in its directory.
fn forged(files: &[(&str, &str)], check: impl FnOnce(&mut Look<'_>)) {
    let proc = tempfile::tempdir().unwrap();
    let process = proc.path().join("7");
    for folder in ["fd", "fdinfo", "task/7"] {
        std::fs::create_dir_all(process.join(folder)).unwrap();
    }
    for (name, target) in [("3", "socket:[70]"), ("4", "anon_inode:[eventpoll]")] {
        std::os::unix::fs::symlink(target, process.join("fd").join(name)).unwrap();
    }
    for (name, text) in files {
        std::fs::write(process.join(name), text).unwrap();
    }
    check(&mut Look::new(proc.path(), &[70], 1000));
}

/// gVisor's `/proc` names descriptors, and neither what an epoll set holds nor system calls.
#[test]
fn a_kernel_that_does_not_tell_is_no_worker_that_does_not_wait() {
    forged(&[("fdinfo/4", "pos:\t0\nflags:\t02\n")], |look| {
        assert!(!look.at(7));
        assert_eq!(look.obstacle, Some(Obstacle::Unsaid));
    });
    forged(&[("task/7/syscall", "-1 0x0 0x0\n")], |look| {
        assert!(!look.at(7));
        assert_eq!(look.obstacle, None);
    });
}

/// What an epoll set says is read up to a point, and the socket may be behind that.
#[test]
fn an_epoll_set_that_is_too_large_proves_nothing() {
    let line = |inode: u32| format!("tfd: 5 events: 1 data: 5  pos:0 ino:{inode:x} sdev:9\n");
    let others = line(71).repeat(10_000);
    let files =
        [("fdinfo/4", others.clone() + &line(70)), ("task/7/syscall", "running\n".to_owned())];
    forged(&files.each_ref().map(|(name, text)| (*name, text.as_str())), |look| {
        assert!(!look.at(7));
        assert_eq!(look.obstacle, Some(Obstacle::TooMuch));
    });
    forged(&[("fdinfo/4", &(line(70) + &others))], |look| assert!(look.at(7)));
}

#[test]
fn what_may_not_be_looked_at_is_said() {
    let start = "exec setpriv --reuid=65534 --clear-groups \"$@\"";
    let start = if nix::unistd::geteuid().is_root() { start } else { "exec \"$@\"" };
    alone("sight::tests::what_may_not_be_looked_at_is_said", start, || {
        let (_listener, socket) = listener();
        let sight = at(1, &socket);
        let denied = Obstacle::Denied { pid: 1, why: std::io::ErrorKind::PermissionDenied };
        assert_eq!(sight, Observation::Unreadable(denied));
    });
}
