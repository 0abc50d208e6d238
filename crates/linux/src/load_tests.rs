use super::super::sight::{Occupation, occupation};
use super::super::sockets::{Kind, bind};
use super::super::testing::Shell;
use super::*;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

fn tcp() -> (Socket, SocketAddr) {
    let socket = bind("web", &"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.address.as_ref().unwrap().to_string().parse().unwrap();
    (socket, address)
}

#[test]
fn what_waits_is_counted_in_all_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let (web, address) = tcp();
    let unix = bind("unix", &path.to_str().unwrap().parse().unwrap()).unwrap();
    let sockets = [&web, &unix];
    assert_eq!(waiting(&sockets), Waiting::default());
    let _tcp: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(waiting(&sockets).count, 3);
    assert!(waiting(&sockets).limit.is_some_and(|limit| limit > 3));
    let _unix = UnixStream::connect(&path).unwrap();
    assert_eq!(waiting(&sockets).count, 4);
}

#[test]
fn a_datagram_counts_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let receiver = UnixDatagram::bind(&path).unwrap();
    let kind = super::super::sockets::Kind::Datagram;
    let socket = Socket { fd: receiver.into(), name: "log".to_owned(), address: None, kind };
    let sender = UnixDatagram::unbound().unwrap();
    assert_eq!(waiting(&[&socket]).count, 0);
    for _ in 0..2 {
        sender.send_to(b"x", &path).unwrap();
    }
    assert_eq!(waiting(&[&socket]).count, 1);
}

#[test]
fn a_watch_is_ready_while_something_waits_in_a_socket() {
    let (web, address) = tcp();
    let fd = tempfile::tempfile().unwrap().into();
    let plain = Socket { fd, name: "plain".to_owned(), address: None, kind: Kind::Special };
    let (watch, unseen) = super::watch([&web, &plain]).unwrap();
    assert_eq!(unseen.len(), 1, "{unseen:?}");
    assert_eq!(waiting(&[&plain]), Waiting::default(), "it can be read, and no client waits there");
    let (set, mut events) = (Poll::new().unwrap(), Vec::new());
    set.add(&watch, 7, Interest::Read).unwrap();
    let mut told = |set: &Poll| {
        set.wait(&mut events, Some(Duration::ZERO)).unwrap();
        events.len()
    };
    assert_eq!(told(&set), 0);
    let _first = TcpStream::connect(address).unwrap();
    assert_eq!((told(&set), told(&set)), (1, 1));
    set.remove(&watch).unwrap();
    assert_eq!(told(&set), 0);
    // Something waits already.
    let (watch, _) = super::watch([&web]).unwrap();
    set.add(&watch, 7, Interest::Read).unwrap();
    assert_eq!(told(&set), 1);
}

/// Until it is, for ten seconds.
fn becomes(pid: i32, inodes: &[u64], what: Occupation) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while occupation(pid, inodes) != what {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

#[test]
fn who_waits_for_a_connection_is_idle_and_who_serves_one_is_busy() {
    let (web, address) = tcp();
    let inodes = [fstat(&web).unwrap().st_ino];
    let serve = "exec python3 -c '
import select, socket, time
listener = socket.socket(fileno=3)
listener.setblocking(True)
listener.accept()[0].recv(1)
select.select([listener], [], [])
listener.accept()[0].recv(1)
poll = select.poll()
poll.register(listener, select.POLLIN)
poll.poll()
time.sleep(60)
'";
    let worker = Shell::with_sockets(serve, &[web.as_fd()]);
    for _ in 0..2 {
        assert!(becomes(worker.pid, &inodes, Occupation::Idle));
        let _client = TcpStream::connect(address).unwrap();
        assert!(becomes(worker.pid, &inodes, Occupation::Busy));
    }
    assert!(becomes(worker.pid, &inodes, Occupation::Idle));
    let _client = TcpStream::connect(address).unwrap();
    assert!(becomes(worker.pid, &inodes, Occupation::Busy));
}

#[test]
fn who_computes_runs() {
    let (web, _) = tcp();
    let inodes = [fstat(&web).unwrap().st_ino];
    let worker = Shell::with_sockets("while :; do :; done", &[web.as_fd()]);
    assert!(becomes(worker.pid, &inodes, Occupation::Running));
}

#[test]
fn a_child_that_waits_is_enough_and_an_event_loop_is_not_sure() {
    let (web, _) = tcp();
    let inodes = [fstat(&web).unwrap().st_ino];
    let accept = "python3 -c 'import socket; socket.socket(fileno=3).accept()'; true";
    let parent = Shell::with_sockets(accept, &[web.as_fd()]);
    assert!(becomes(parent.pid, &inodes, Occupation::Idle));
    let epoll = "exec python3 -c '
import select
epoll = select.epoll()
epoll.register(3, select.EPOLLIN)
epoll.poll()
'";
    let worker = Shell::with_sockets(epoll, &[web.as_fd()]);
    assert!(becomes(worker.pid, &inodes, Occupation::Unsure));
}

#[test]
fn cpu_time_is_that_of_the_process() {
    let of = |pid| Subject { pid, cgroup: None };
    let worker = Shell::start("while :; do :; done");
    let before = cpu(&of(worker.pid)).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let now = cpu(&of(worker.pid)).unwrap();
        if now.ran > before.ran + 30_000 && now.used > before.used {
            break;
        }
        assert!(Instant::now() < end, "{before:?} {now:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(cpu(&of(i32::MAX)), None);
}

#[test]
fn the_kernels_figures_are_read() {
    assert_eq!(schedstat("2500000 1000 7\n"), Some((2500, 1)));
    assert_eq!(schedstat(""), None);
    let text =
        "some avg10=12.50 avg60=0.00 avg300=0.00 total=5\nfull avg10=99.00 avg60=0.00 total=0\n";
    assert_eq!(some_average(text), Some(12.5));
    assert_eq!(some_average("full avg10=1.00"), None);
    // Whatever it says, it can be asked.
    memory_is_short(None);
}
