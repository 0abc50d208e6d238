//! What systemd hands over, and what herder does about it.

use crate::contract::report;
use crate::systemd::Unit;
use crate::workers::{REPORT, listener};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};

/// Starts, and has to end with this status and these words.
fn refused(unit: Unit, code: i32, words: &[&str]) {
    let mut herder = unit.start();
    assert_eq!(herder.exits(), code);
    for words in words {
        assert!(herder.log().contains(words), "{words}");
    }
    assert_eq!(herder.log().matches("panicked").count(), 0);
}

/// Trap 3.
#[test]
fn herders_own_descriptors_are_not_for_workers() {
    let directory = tempfile::tempdir().unwrap();
    let control = UnixListener::bind(directory.path().join("control")).unwrap();
    let herder = Unit::new(REPORT)
        .socket("herder-control", control)
        .socket("web", listener())
        .socket("herder-stored", listener())
        .start();
    let report = report(&herder, 1);
    assert_eq!(report["environment"]["LISTEN_FDNAMES"], "web");
    assert_eq!(report["fds"].as_object().unwrap().len(), 4);
}

#[test]
fn workers_get_the_sockets_they_ask_for_in_their_order() {
    let herder = Unit::new(&format!("sockets = [\"c\", \"a\"]\n{REPORT}"))
        .socket("a", listener())
        .socket("b", listener())
        .socket("c", listener())
        .socket("a", listener())
        .start();
    let report = report(&herder, 1);
    assert_eq!(report["environment"]["LISTEN_FDNAMES"], "c:a:a");
    assert_eq!(report["environment"]["LISTEN_FDS"], "3");
}

#[test]
fn every_kind_of_descriptor_passes_through() {
    let unit = Unit::new(REPORT);
    let [fifo, stream, datagram] = ["fifo", "stream", "datagram"].map(|name| unit.path(name));
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let fifo = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(fifo)
        .unwrap();
    let sockets = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Unix,
        nix::sys::socket::SockType::SeqPacket,
        nix::sys::socket::SockFlag::empty(),
        None,
    );
    let herder = unit
        .socket("udp", UdpSocket::bind("127.0.0.1:0").unwrap())
        .socket("stream", UnixListener::bind(stream).unwrap())
        .socket("datagram", UnixDatagram::bind(datagram).unwrap())
        .socket("packets", sockets.unwrap())
        .socket("fifo", fifo)
        .socket("special", std::fs::File::open("/dev/zero").unwrap())
        .start();
    let report = report(&herder, 1);
    let names = "udp:stream:datagram:packets:fifo:special";
    assert_eq!(report["environment"]["LISTEN_FDNAMES"], names);
    assert_eq!(report["fds"].as_object().unwrap().len(), 9);
    assert_eq!(report["fds"]["7"]["target"], json!(herder.path("fifo")));
    let kinds: Vec<String> =
        herder.status().sockets.into_iter().map(|socket| socket.kind).collect();
    assert_eq!(kinds[..3], ["datagram", "stream", "datagram"]);
    assert_eq!(kinds[4..], ["fifo", "special"]);
}

/// Trap 23: O_NONBLOCK belongs to the socket, so a change would affect every process that has it.
#[test]
fn a_socket_keeps_its_flags() {
    for blocking in [true, false] {
        let socket = listener();
        socket.set_nonblocking(!blocking).unwrap();
        let copy = socket.as_fd().try_clone_to_owned().unwrap();
        let mut herder = Unit::new(REPORT).socket("web", socket).start();
        herder.serves(1);
        assert_eq!(herder.stops(), 0);
        let flags = OFlag::from_bits_retain(fcntl(&copy, FcntlArg::F_GETFL).unwrap());
        assert_eq!(flags.contains(OFlag::O_NONBLOCK), !blocking);
        // It still listens: herder and its workers have not shut it down.
        let socket = TcpListener::from(copy);
        TcpStream::connect(socket.local_addr().unwrap()).unwrap();
    }
}

#[test]
fn clients_wait_while_no_worker_is_there() {
    let socket = listener();
    let address = socket.local_addr().unwrap();
    let unit = Unit::new(REPORT).socket("web", socket);
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let _herder = unit.start();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn sockets_meant_for_another_process_are_left_alone() {
    let herder = Unit::new(REPORT).socket("web", listener()).env("LISTEN_PID", "1").start();
    let report = report(&herder, 1);
    assert!(report["environment"].get("LISTEN_FDS").is_none(), "{report:#}");
    assert_eq!(report["fds"].as_object().unwrap().len(), 3);
}

#[test]
fn a_wrong_number_of_names_is_an_error() {
    let unit = Unit::new(REPORT).socket("web", listener()).env("LISTEN_FDNAMES", "a:b");
    refused(unit, 78, &["LISTEN_FDS=1, but LISTEN_FDNAMES has 2 names"]);
}

#[test]
fn promised_descriptors_that_are_not_open_are_an_error() {
    let unit = Unit::new(REPORT)
        .socket("web", listener())
        .env("LISTEN_FDS", "2")
        .env("LISTEN_FDNAMES", "web:lost");
    refused(unit, 78, &["4 (lost) is not open"]);
}

#[test]
fn a_connection_is_refused_with_what_to_change() {
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    refused(Unit::new(REPORT).socket("connection", ours), 78, &["Accept=no", "(connection)"]);
}

/// A service started without its socket.
#[test]
fn a_demanded_socket_that_is_missing_ends_it_with_the_command_that_helps() {
    let unit = Unit::new(&format!("sockets = [\"web\"]\n{REPORT}"));
    let mut herder = unit.start();
    assert_eq!(herder.exits(), 78);
    let log = herder.log();
    assert!(log.contains("systemctl start herder@it.socket"), "{log}");
    assert!(log.contains("it.toml:1:"), "{log}");
    // `systemctl status` says so, too.
    assert!(herder.heard().last().unwrap().says("STATUS=cannot start: "), "{:?}", herder.heard());
}

#[test]
fn listen_has_to_match_what_systemd_hands_over() {
    let socket = listener();
    let address = socket.local_addr().unwrap();
    let matching = Unit::new(REPORT).options(&["--listen", &address.to_string()]);
    matching.socket("web", socket).start().serves(1);

    let unit = Unit::new(REPORT).options(&["--listen", "127.0.0.1:1"]).socket("web", listener());
    refused(unit, 78, &["`listen` names 127.0.0.1:1, but systemd handed over web (127.0.0.1:"]);
}

#[test]
fn without_systemd_herder_binds_and_serves_by_itself() {
    let unit = Unit::new(REPORT).options(&["--listen", "web=127.0.0.1:0", "-l", "$DIR/socket"]);
    let path = unit.path("socket");
    let mut herder = unit.start();
    herder.serves(1);
    let sockets = herder.status().sockets;
    assert_eq!((&*sockets[0].name, &*sockets[1].name), ("web", "listen-1"));
    let mut client = TcpStream::connect(sockets[0].address.as_deref().unwrap()).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    std::os::unix::net::UnixStream::connect(path).unwrap();
    assert_eq!(herder.stops(), 0);
}

#[test]
fn a_taken_port_is_named_with_what_to_do() {
    let taken = listener();
    let address = taken.local_addr().unwrap().to_string();
    let unit = Unit::new(REPORT).options(&["--listen", &address]);
    refused(unit, 71, &[&format!("cannot listen on {address}"), "--listen"]);
}

/// The first try needs nothing but the binary.
#[test]
fn without_a_command_a_page_is_served() {
    let socket = listener();
    let address = socket.local_addr().unwrap();
    let herder = Unit::new("workers = 2\n").socket("web", socket).start();
    herder.serves(2);
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("200 OK") && answer.contains("slot"), "{answer}");
}
