//! Workers with queues of their own: what each is given, and where connections go.

use crate::client::{Running, command};
use crate::contract::report;
use crate::systemd::{Herder, Unit};
use crate::wait::until;
use crate::workers::{REPORT, kill, listener};
use herder_linux::sockets::bind_group;
use herder_wire::address::Address;
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

const OWN: &str = "queues = \"per-worker\"\nworkers = 4\nready = \"notify\"\nmin-lifetime = \"1ms\"\n\
                   command = [\"$EXAMPLES/report-worker\", \"$DIR/report-{worker}\", \"{fd:admin}\"]\n";

/// So many sockets at one address of the kernel's choice.
fn group(members: u32) -> (Vec<OwnedFd>, SocketAddr) {
    let any = Address::Inet("127.0.0.1:0".parse().unwrap());
    let sockets = bind_group("web", &any, members).unwrap();
    let Some(Address::Inet(address)) = sockets[0].address else { panic!() };
    (sockets.into_iter().map(|socket| socket.fd).collect(), address)
}

/// A UNIX socket, which all workers share.
fn with_admin(settings: &str) -> Unit {
    let unit = Unit::new(settings);
    let admin = UnixListener::bind(unit.path("admin")).unwrap();
    unit.socket("admin", admin)
}

fn unit(settings: &str, members: u32) -> (Unit, SocketAddr) {
    let (sockets, address) = group(members);
    let mut unit = with_admin(settings);
    for socket in sockets {
        unit = unit.socket("web", socket);
    }
    (unit, address)
}

/// The slot that answers.
fn ask(address: SocketAddr) -> u64 {
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let report: serde_json::Value = serde_json::from_str(body).unwrap();
    report["environment"]["HERDER_SLOT"].as_str().unwrap().parse().unwrap()
}

fn answering(address: SocketAddr, times: usize) -> BTreeSet<u64> {
    (0..times).map(|_| ask(address)).collect()
}

/// Done when those that are not wanted were told to stop.
fn scale(herder: &Herder, workers: &str) {
    let path = herder.path("run");
    let scaled = Running::of(&mut command(&["scale", path.to_str().unwrap(), workers])).ends();
    assert_eq!(scaled.code, 0, "{scaled:?}");
}

fn sockets_of(herder: &Herder, worker: u64) -> Vec<String> {
    let report = report(herder, worker);
    let fds = report["fds"].as_object().unwrap();
    let sockets = fds.iter().filter(|(number, _)| number.parse::<u32>().unwrap() >= 3);
    sockets.map(|(_, fd)| fd["target"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_worker_has_its_own_queue_and_the_shared_sockets() {
    let (unit, address) = unit(OWN, 4);
    let herder = unit.start();
    herder.serves(4);
    let mut own = BTreeSet::new();
    for worker in 1..=4 {
        let report = report(&herder, worker);
        let environment = &report["environment"];
        assert_eq!(environment["LISTEN_FDS"], "2");
        assert_eq!(environment["LISTEN_FDNAMES"], "admin:web");
        assert_eq!(report["argv"][2], "3");
        let sockets = sockets_of(&herder, worker);
        assert_eq!(sockets[0], sockets_of(&herder, 1)[0], "all have the one that is no group");
        own.insert(sockets[1].clone());
    }
    assert_eq!(own.len(), 4, "{own:?}");
    assert_eq!(answering(address, 200), (0..4).collect());
    let slots: Vec<Option<Vec<u32>>> =
        herder.status().sockets.into_iter().map(|socket| socket.slots).collect();
    assert_eq!(slots, [None, Some(vec![0]), Some(vec![1]), Some(vec![2]), Some(vec![3])]);
}

/// With more sockets than workers, every socket has a worker.
#[test]
fn seven_sockets_are_shared_out_among_three() {
    let (unit, address) = unit(&OWN.replace("= 4", "= 3"), 7);
    let herder = unit.start();
    herder.serves(3);
    let counts: Vec<usize> = (1..=3).map(|worker| sockets_of(&herder, worker).len() - 1).collect();
    assert_eq!(counts, [3, 2, 2]);
    assert_eq!(report(&herder, 1)["environment"]["LISTEN_FDNAMES"], "admin:web:web:web");
    assert_eq!(answering(address, 200), (0..3).collect());
}

/// The worker of a slot fails for good: new connections go to other queues, and those in its queue wait.
#[test]
fn connections_go_past_a_queue_whose_worker_is_not_ready() {
    let settings = "queues = \"per-worker\"\nworkers = 4\nready = \"notify\"\nmin-lifetime = \"1ms\"\n\
                    command = [\"/bin/sh\", \"-c\", \"test ! -e $DIR/stop-$HERDER_SLOT && exec $EXAMPLES/report-worker || exec sleep 1000\"]\n";
    let (unit, address) = unit(settings, 4);
    let stop = unit.path("stop-2");
    let herder = unit.start();
    herder.serves(4);
    std::fs::write(&stop, "").unwrap();
    let worker = |slot| herder.status().workers.into_iter().find(|w| w.slot == slot).unwrap();
    kill(worker(2).pid, Signal::SIGKILL);
    until("its queue is closed", || herder.status().sockets[3].closed);
    assert_eq!(answering(address, 200), [0, 1, 3].into());
    std::fs::remove_file(&stop).unwrap();
    kill(worker(2).pid, Signal::SIGKILL);
    until("its queue is open", || {
        let status = herder.status();
        status.ready == 4 && !status.sockets[3].closed
    });
    assert_eq!(answering(address, 200), (0..4).collect());
}

#[test]
fn a_slot_leaves_and_no_connection_is_refused() {
    let (unit, address) = unit(OWN, 4);
    let herder = unit.start();
    herder.serves(4);
    scale(&herder, "3");
    assert_eq!(answering(address, 200), (0..3).collect());
    let status = herder.status();
    assert_eq!((status.wanted, status.workers.len()), (3, 3));
    assert!(status.sockets[4].closed);
    assert_eq!(status.sockets[4].slots, Some(vec![]));
}

/// What herder has changed about the sockets is gone when it is.
#[test]
fn nothing_is_left_on_the_sockets() {
    let (sockets, address) = group(4);
    let copies: Vec<OwnedFd> = sockets.iter().map(|fd| fd.try_clone().unwrap()).collect();
    let mut unit = with_admin(OWN);
    for socket in sockets {
        unit = unit.socket("web", socket);
    }
    let mut herder = unit.start();
    herder.serves(4);
    scale(&herder, "1");
    assert_eq!(herder.stops(), 0);
    let clients: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    let waiting = |fd: &OwnedFd| {
        let listener = std::net::TcpListener::from(fd.try_clone().unwrap());
        listener.set_nonblocking(true).unwrap();
        std::iter::from_fn(|| listener.accept().ok()).count()
    };
    let waiting: Vec<usize> = copies.iter().map(waiting).collect();
    assert!(waiting.iter().all(|count| (20..=80).contains(count)), "{waiting:?}");
    assert_eq!(clients.len(), waiting.iter().sum::<usize>());
}

#[test]
fn without_systemd_herder_makes_a_queue_for_each_worker() {
    let settings = OWN.replace(", \"{fd:admin}\"", "");
    let herder = Unit::new(&settings).options(&["--listen", "web=127.0.0.1:0"]).start();
    herder.serves(4);
    let sockets = herder.status().sockets;
    assert_eq!(sockets.len(), 4);
    let addresses: BTreeSet<_> = sockets.iter().map(|socket| socket.address.clone()).collect();
    assert_eq!(addresses.len(), 1);
    let address = sockets[0].address.as_deref().unwrap().parse().unwrap();
    assert_eq!(answering(address, 200), (0..4).collect());
    // A second herder cannot listen on the same address.
    let again = Unit::new(&settings).options(&["--listen", &format!("web={address}")]);
    let mut again = again.start();
    assert_eq!(again.exits(), 71);
    assert!(again.log().contains("cannot listen on"), "{}", again.log());
}

#[test]
fn datagrams_have_queues_too() {
    let bind = |address: &str| {
        let fd = nix::sys::socket::socket(
            nix::sys::socket::AddressFamily::Inet,
            nix::sys::socket::SockType::Datagram,
            nix::sys::socket::SockFlag::empty(),
            None,
        );
        let fd = fd.unwrap();
        nix::sys::socket::setsockopt(&fd, nix::sys::socket::sockopt::ReusePort, &true).unwrap();
        let address: SocketAddr = address.parse().unwrap();
        let address = nix::sys::socket::SockaddrStorage::from(address);
        nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &address).unwrap();
        UdpSocket::from(fd)
    };
    let first = bind("127.0.0.1:0");
    let address = first.local_addr().unwrap().to_string();
    let settings = REPORT.replace("workers = 1", "workers = 2\nqueues = \"per-worker\"");
    let herder = Unit::new(&settings).socket("dns", first).socket("dns", bind(&address)).start();
    herder.serves(2);
    assert_ne!(sockets_of(&herder, 1), sockets_of(&herder, 2));
}

/// Starts, and has to end with these words.
fn refused(unit: Unit, words: &[&str]) {
    let mut herder = unit.start();
    assert_eq!(herder.exits(), 78);
    for words in words {
        assert!(herder.log().contains(words), "{words} in {}", herder.log());
    }
}

#[test]
fn missing_sockets_are_reported_with_the_lines_to_add() {
    let own = REPORT.replace("workers = 1", "workers = 3\nqueues = \"per-worker\"");
    let one = listener();
    let address = one.local_addr().unwrap();
    refused(
        Unit::new(&own).socket("web", one),
        &[
            &format!(
                "it.toml:2:1: `queues` is \"per-worker\", and there is one socket web ({address}) for all workers"
            ),
            "d=/etc/systemd/system/herder@it.socket.d; mkdir -p $d; { echo [Socket]; echo ListenStream=; \
             for i in $(seq 3); do echo ListenStream=",
            "echo ReusePort=yes; }",
        ],
    );
    let unit = Unit::new(&own);
    let socket = UnixListener::bind(unit.path("socket")).unwrap();
    refused(unit.socket("web", socket), &["only TCP and UDP have queues of their own"]);
    refused(Unit::new(&own), &["and workers get no socket"]);
}

/// A restart would fail with the same error and end the service.
#[test]
fn a_reload_says_what_the_sockets_lack_before_it_asks_for_a_restart() {
    let shared = REPORT.replace("workers = 1", "workers = 3");
    let own = shared.replace("workers = 3", "workers = 3\nqueues = \"per-worker\"");
    for (members, words) in [(1, "there is one socket web"), (3, "restart herder")] {
        let unit = Unit::new(&shared);
        let unit = group(members).0.into_iter().fold(unit, |unit, one| unit.socket("web", one));
        let herder = unit.start();
        herder.serves(3);
        herder.settings(&own);
        let reload = ["reload", herder.path("run").to_str().unwrap()].map(str::to_owned);
        let said = Running::of(&mut command(&reload.each_ref().map(String::as_str))).ends();
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains(words), "{words} in {said:?}");
        herder.serves(3);
    }
}

#[test]
fn each_slot_has_its_cpu() {
    let settings = REPORT.replace("workers = 1", "workers = 3\ncpu-affinity = \"slot\"");
    let herder = Unit::new(&settings).socket("web", listener()).start();
    herder.serves(3);
    let allowed = herder_linux::allowed_cpus().unwrap();
    for worker in herder.status().workers {
        let status = std::fs::read_to_string(format!("/proc/{}/status", worker.pid.unwrap()));
        let status = status.unwrap();
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t"));
        let cpu = allowed[worker.slot as usize % allowed.len()];
        assert_eq!(list, Some(&*cpu.to_string()), "slot {}", worker.slot);
    }
}
