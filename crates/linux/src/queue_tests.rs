#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use super::super::sockets;
use super::super::testing::until;
use super::*;
use herder_wire::address::Address;
use nix::errno::Errno;
use nix::sys::socket::{
    Backlog, SockFlag, UnixAddr, accept, bind, connect, listen, setsockopt, socket,
};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;

fn socket_of(fd: impl Into<OwnedFd>, kind: Kind) -> Socket {
    Socket { fd: fd.into(), name: "web".to_owned(), address: None, kind }
}

fn queue(socket: &Socket) -> Queue {
    look(socket, &mut None)
}

/// A TCP listener of which so many connections may wait.
fn listening(backlog: i32) -> (Socket, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listen(&listener, Backlog::new(backlog).unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    (socket_of(listener, Kind::Listener), address)
}

/// What `/proc/net/tcp` says of the queue: `rx_queue` of the line of a listening socket.
fn proc_net_tcp(port: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let address = format!("0100007F:{port:04X} 00000000:0000 0A ");
    let line = table.lines().find(|line| line.contains(&address)).unwrap();
    let (_, received) = line.split_once(&address).unwrap().1.split_once(':').unwrap();
    u64::from_str_radix(received.split(' ').next().unwrap(), 16).unwrap()
}

#[test]
fn tcp_connections_that_wait_are_counted() {
    let (socket, address) = listening(8);
    assert_eq!(queue(&socket), Queue { waiting: Some(0), limit: Some(8), dropped: Some(0) });
    let clients: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect(address).unwrap()).collect();
    until("five wait", || queue(&socket).waiting == Some(5));
    assert_eq!(proc_net_tcp(address.port()), 5);
    accept(socket.fd.as_raw_fd()).unwrap();
    assert_eq!(queue(&socket).waiting, Some(4));
    drop(clients);
}

#[test]
fn what_is_deferred_is_not_taken_for_dropped() {
    let (socket, address) = listening(8);
    sys::defer_accept(socket.as_fd(), 5).unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"x").unwrap();
    until("it waits", || queue(&socket).waiting == Some(1));
    assert_eq!(queue(&socket).dropped, None);
    // What the kernel would say.
    sys::defer_accept(socket.as_fd(), 0).unwrap();
    assert!(queue(&socket).dropped > Some(0));
}

#[test]
fn what_does_not_fit_is_counted_as_dropped() {
    let (socket, address) = listening(1);
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let clients: Vec<OwnedFd> = (0..6)
        .map(|_| {
            let client = socket_from(AddressFamily::Inet, SockType::Stream, flags);
            let address = SockaddrStorage::from(address);
            assert_eq!(connect(client.as_raw_fd(), &address), Err(Errno::EINPROGRESS));
            client
        })
        .collect();
    until("a full queue, and drops", || {
        let queue = queue(&socket);
        // One more than the limit says.
        queue.waiting == Some(2) && queue.limit == Some(1) && queue.dropped >= Some(1)
    });
    drop(clients);
}

fn socket_from(family: AddressFamily, kind: SockType, flags: SockFlag) -> OwnedFd {
    self::socket(family, kind, flags, None).unwrap()
}

#[test]
fn datagrams_that_find_no_room_are_counted() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    setsockopt(&receiver, sockopt::RcvBuf, &4096).unwrap();
    let address = receiver.local_addr().unwrap();
    let socket = socket_of(receiver, Kind::Datagram);
    assert_eq!(queue(&socket), Queue { waiting: None, limit: None, dropped: Some(0) });
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    until("drops", || {
        sender.send_to(&[0; 1024], address).unwrap();
        queue(&socket).dropped > Some(0)
    });
}

#[test]
fn unix_connections_that_wait_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web");
    for kind in [SockType::Stream, SockType::SeqPacket] {
        let listener = unix_listener(kind, &path, 7);
        let socket = socket_of(listener, Kind::Listener);
        assert_eq!(queue(&socket), Queue { waiting: Some(0), limit: Some(7), dropped: None });
        let clients: Vec<OwnedFd> = (0..3)
            .map(|_| {
                let client = socket_from(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC);
                connect(client.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
                client
            })
            .collect();
        assert_eq!(queue(&socket).waiting, Some(3));
        accept(socket.fd.as_raw_fd()).unwrap();
        assert_eq!(queue(&socket).waiting, Some(2));
        let word = if kind == SockType::Stream { "stream" } else { "seqpacket" };
        assert_eq!(super::kind(&socket), word);
        drop(clients);
        std::fs::remove_file(&path).unwrap();
    }
}

fn unix_listener(kind: SockType, path: &Path, backlog: i32) -> OwnedFd {
    let listener = socket_from(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC);
    bind(listener.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    listen(&listener, Backlog::new(backlog).unwrap()).unwrap();
    listener
}

#[test]
fn several_sockets_are_asked_about_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let bound =
        |name: &str| sockets::bind(name, &Address::Unix(directory.path().join(name))).unwrap();
    let (tcp, _) = listening(3);
    let (one, two) = (bound("one"), bound("two"));
    let _client = UnixStream::connect(directory.path().join("two")).unwrap();
    let waiting: Vec<_> = of(&[&one, &tcp, &two]).iter().map(|queue| queue.waiting).collect();
    assert_eq!(waiting, [Some(0), Some(0), Some(1)]);
}

#[test]
fn what_has_no_queue_has_no_numbers() {
    let datagrams = socket_of(UnixDatagram::unbound().unwrap(), Kind::Datagram);
    assert_eq!((queue(&datagrams), super::kind(&datagrams)), (Queue::default(), "datagram"));
    let file = socket_of(std::fs::File::open("/dev/null").unwrap(), Kind::Special);
    assert_eq!((queue(&file), super::kind(&file)), (Queue::default(), "special"));
    // A connection, not a listener: the same fields mean something else.
    let (socket, address) = listening(1);
    let connection = TcpStream::connect(address).unwrap();
    assert_eq!(tcp(connection.as_fd()), None);
    drop(socket);
}

/// The kernel of a namespace without the socket answers with an error.
#[test]
fn a_socket_that_is_not_there_has_no_queue() {
    assert_eq!(Diag::open().unwrap().ask(&diag::unix_socket(u32::MAX - 1)), None);
}
