//! Sockets as systemd hands them over, at numbers of the tests' own, and sockets bound here.

use super::*;
use nix::fcntl::{F_DUPFD, F_GETFD, F_GETFL, FdFlag, OFlag, fcntl};
use nix::sys::socket::{MsgFlags, SockProtocol, socketpair};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

/// Copies of `fds` with consecutive numbers from `first`, not close-on-exec, as after an exec.
fn hand_over(first: RawFd, fds: &[&dyn Descriptor]) -> RawFd {
    for (fd, number) in fds.iter().zip(first..) {
        assert_eq!(fcntl(fd.borrow(), F_DUPFD(number)), Ok(number), "{number} is taken");
    }
    first
}

trait Descriptor {
    fn borrow(&self) -> BorrowedFd<'_>;
}

impl<T: AsFd> Descriptor for T {
    fn borrow(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

fn handover(names: &[&str]) -> Handover {
    Handover {
        fds: names.len() as u32,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    }
}

#[test]
fn every_kind_passes_in_order_and_only_close_on_exec_is_set() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp6 = TcpListener::bind("[::1]:0").ok();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let unix = UnixListener::bind(path("stream")).unwrap();
    unix.set_nonblocking(true).unwrap();
    let name = format!("herder-test-{}", std::process::id());
    let hidden = UnixAddr::new_abstract(name.as_bytes()).unwrap();
    let hidden = bind_any(AddressFamily::Unix, &hidden, Sharing::Alone).unwrap();
    let datagram = UnixDatagram::bind(path("datagram")).unwrap();
    let flags = SockFlag::SOCK_CLOEXEC;
    let packets = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
    bind_to(packets.as_raw_fd(), &UnixAddr::new(&path("packets")).unwrap()).unwrap();
    listen(&packets, Backlog::new(1).unwrap()).unwrap();
    let protocol = SockProtocol::NetlinkRoute;
    let netlink = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol).unwrap();
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let fifo = fs::OpenOptions::new().read(true).write(true).open(path("fifo")).unwrap();
    let device = fs::File::open("/dev/null").unwrap();

    let at = |name: &str| Some(Address::Unix(path(name)));
    let inet = |address: SocketAddr| Some(Address::Inet(address));
    let mut expected: Vec<(&dyn Descriptor, &str, Kind, Option<Address>)> = vec![
        (&tcp, "web", Kind::Listener, inet(tcp.local_addr().unwrap())),
        (&unix, "web", Kind::Listener, at("stream")),
        (&hidden, "a.socket", Kind::Listener, Some(Address::Abstract(name.clone().into_bytes()))),
        (&packets, "connection", Kind::Listener, at("packets")),
        (&udp, "udp", Kind::Datagram, inet(udp.local_addr().unwrap())),
        (&datagram, "log", Kind::Datagram, at("datagram")),
        (&netlink, "netlink", Kind::OtherSocket, None),
        (&fifo, "fifo", Kind::Fifo, None),
        (&device, "device", Kind::Special, None),
    ];
    if let Some(tcp6) = &tcp6 {
        expected.push((tcp6, "six", Kind::Listener, inet(tcp6.local_addr().unwrap())));
    }
    let flags_of = |fd: BorrowedFd<'_>| fcntl(fd, F_GETFL).unwrap();
    let before: Vec<i32> = expected.iter().map(|entry| flags_of(entry.0.borrow())).collect();

    let originals: Vec<_> = expected.iter().map(|entry| entry.0).collect();
    let names: Vec<&str> = expected.iter().map(|entry| entry.1).collect();
    let first = hand_over(700, &originals);
    let sockets = receive_from(first, handover(&names)).unwrap();
    assert_eq!(sockets.len(), expected.len());
    for (((socket, number), expected), flags) in sockets.iter().zip(700..).zip(expected).zip(before)
    {
        assert_eq!(socket.fd.as_raw_fd(), number);
        assert_eq!(
            (socket.name.as_str(), socket.kind, &socket.address),
            (expected.1, expected.2, &expected.3)
        );
        assert_eq!(fcntl(socket, F_GETFD).unwrap(), FdFlag::FD_CLOEXEC.bits(), "{socket}");
        assert_eq!(flags_of(socket.as_fd()), flags, "{socket}: O_NONBLOCK belongs to the socket");
    }
    assert_eq!(sockets[7].to_string(), "fifo (FIFO)");
    assert_eq!(sockets[1].to_string(), format!("web ({})", path("stream").display()));
}

#[test]
fn a_connection_is_refused_with_the_setting_to_change() {
    let (here, _there) = UnixStream::pair().unwrap();
    // Its client has hung up already, so it has no peer; only the name tells.
    let flags = SockFlag::SOCK_CLOEXEC;
    let left = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
    let (packets, _other) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
    let cases: [(RawFd, &dyn Descriptor, &str); 3] =
        [(800, &here, "web"), (810, &left, "connection"), (820, &packets, "connection")];
    for (first, fd, name) in cases {
        let error = receive_from(hand_over(first, &[fd]), handover(&[name])).unwrap_err();
        assert!(matches!(error, Error::Config(_)));
        assert!(error.to_string().contains("set Accept=no in the .socket unit"), "{error}");
    }
}

#[test]
fn a_promise_that_is_not_kept_is_an_error() {
    let first = hand_over(830, &[&fs::File::open("/dev/null").unwrap()]);
    let error = receive_from(first, handover(&["one", "two"])).unwrap_err().to_string();
    assert!(
        error.contains("LISTEN_FDS=2 promises descriptors 830 to 831, but 831 (two)"),
        "{error}"
    );
    assert!(receive(&|_| None).unwrap().is_empty());
}

fn text(result: Result<Socket, Error>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_bound_port_serves_and_is_not_bound_twice() {
    let first = bind("web", &"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = first.address.clone().unwrap();
    let Address::Inet(inet) = address else { panic!("{address}") };
    assert_ne!(inet.port(), 0, "the port the kernel chose is shown");
    assert_eq!((first.name.as_str(), first.kind), ("web", Kind::Listener));
    assert_eq!(fcntl(&first, F_GETFD).unwrap(), FdFlag::FD_CLOEXEC.bits());
    assert_eq!(fcntl(&first, F_GETFL).unwrap() & OFlag::O_NONBLOCK.bits(), 0);

    let error = text(bind("web", &address));
    let expected = format!("cannot listen on {inet}: Address already in use; choose another");
    assert!(error.starts_with(&expected), "{error}");

    // A connection that the server closed first keeps the port in TIME_WAIT; a new start need not wait.
    let listener = TcpListener::from(first.fd);
    let mut client = TcpStream::connect(inet).unwrap();
    let (mut served, _) = listener.accept().unwrap();
    served.write_all(b"bye").unwrap();
    drop((served, listener));
    client.read_to_end(&mut Vec::new()).unwrap();
    drop(client);
    assert!(bind("web", &address).is_ok());
}

#[test]
fn an_abandoned_unix_socket_is_replaced_and_nothing_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.sock");
    let address = Address::Unix(path.clone());
    drop(bind("web", &address).unwrap()); // as a herder that was killed leaves it
    let first = bind("web", &address).unwrap();
    assert!(text(bind("web", &address)).contains("stop what listens on it"));
    assert!(UnixStream::connect(&path).is_ok(), "still the first one's");
    drop(first);
    fs::remove_file(&path).unwrap();

    let datagram = UnixDatagram::bind(&path).unwrap();
    assert!(text(bind("web", &address)).contains("Address already in use"));
    assert_eq!(datagram.send_to(b"x", &path).unwrap(), 1, "its socket was not removed");
    fs::remove_file(&path).unwrap();

    fs::write(&path, "precious").unwrap();
    assert!(text(bind("web", &address)).contains("remove the file"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    let nowhere = Address::Unix(directory.path().join("missing/web.sock"));
    assert!(text(bind("web", &nowhere)).contains("its directory does not exist"));
}

/// A full queue must not make herder wait: another process listens there.
#[test]
fn a_unix_socket_with_a_full_queue_is_not_abandoned() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("busy");
    let address = UnixAddr::new(&path).unwrap();
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let busy = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
    bind_to(busy.as_raw_fd(), &address).unwrap();
    listen(&busy, Backlog::new(0).unwrap()).unwrap();
    let mut clients = Vec::new();
    loop {
        let client = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
        match connect(client.as_raw_fd(), &address) {
            Ok(()) => clients.push(client),
            Err(errno) => break assert_eq!(errno, Errno::EAGAIN),
        }
    }
    assert!(!is_stale(&path));
}

#[test]
fn an_abstract_name_is_bound_and_all_addresses_include_ipv4() {
    let name = format!("herder-bind-{}", std::process::id());
    let hidden = bind("web", &Address::Abstract(name.clone().into_bytes())).unwrap();
    assert_eq!(hidden.address.unwrap().to_string(), format!("@{name}"));

    let all = bind("web", &"0".parse().unwrap()).unwrap();
    let Some(Address::Inet(inet)) = all.address else { panic!() };
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, inet.port())).unwrap();
    client.write_all(b"x").unwrap();
    let listener = TcpListener::from(all.fd);
    let (served, _) = listener.accept().unwrap();
    let mut byte = [0];
    nix::sys::socket::recv(served.as_raw_fd(), &mut byte, MsgFlags::empty()).unwrap();
    assert_eq!(&byte, b"x");
}

#[test]
fn refusals_say_what_to_change() {
    let low: Address = "127.0.0.1:80".parse().unwrap();
    assert!(refused(&low, Errno::EACCES).to_string().contains("ports below 1024"));
    let foreign: Address = "192.0.2.1:8000".parse().unwrap();
    let error = text(bind("web", &foreign));
    assert!(error.ends_with("this machine has no such address"), "{error}");
}
