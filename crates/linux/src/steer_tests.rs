//! Against the real kernel: what a selector says is what happens.

use super::*;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

fn bound(address: SocketAddr, kind: SockType) -> (Socket, SocketAddr) {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None).unwrap();
    setsockopt(&fd, sockopt::ReusePort, &true).unwrap();
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
    let kind = match kind {
        SockType::Stream => {
            listen(&fd, Backlog::new(4096).unwrap()).unwrap();
            Kind::Listener
        }
        _ => Kind::Datagram,
    };
    let address = TcpListener::from(fd.try_clone().unwrap()).local_addr().unwrap();
    let socket = Socket { fd, name: "web".to_owned(), address: Some(Address::Inet(address)), kind };
    (socket, address)
}

/// So many members at one address, of the kernel's choice.
fn made(host: &str, kind: SockType, members: usize) -> (Vec<Socket>, SocketAddr) {
    let (first, address) = bound(format!("{host}:0").parse().unwrap(), kind);
    let mut sockets = vec![first];
    sockets.extend((1..members).map(|_| bound(address, kind).0));
    (sockets, address)
}

/// Takes all that waits, and says how much it was, queue by queue.
fn taken(sockets: &[Socket]) -> Vec<usize> {
    let take = |socket: &Socket| {
        let copy = socket.fd.try_clone().unwrap();
        match socket.kind {
            Kind::Listener => {
                let listener = TcpListener::from(copy);
                std::iter::from_fn(|| listener.accept().ok()).count()
            }
            _ => {
                let udp = UdpSocket::from(copy);
                std::iter::from_fn(|| udp.recv(&mut [0; 8]).ok()).count()
            }
        }
    };
    sockets.iter().map(take).collect()
}

fn arrive(address: SocketAddr, kind: Kind) {
    match kind {
        Kind::Listener => drop(TcpStream::connect(address).unwrap()),
        _ => assert_eq!(sender(address).send(b"x").unwrap(), 1),
    }
}

fn sender(address: SocketAddr) -> UdpSocket {
    let host = if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let udp = UdpSocket::bind(host).unwrap();
    udp.connect(address).unwrap();
    udp
}

fn only_group(sockets: &[Socket]) -> ReuseportGroup {
    let mut groups = groups(sockets);
    assert_eq!(groups.len(), 1);
    groups.pop().unwrap()
}

/// The fact everything else rests on.
#[test]
fn a_member_is_known_by_the_order_in_which_it_came() {
    for host in ["127.0.0.1", "[::1]"] {
        for kind in [SockType::Stream, SockType::Datagram] {
            let (sockets, address) = made(host, kind, 5);
            let group = only_group(&sockets);
            assert_eq!(group.disorder(&sockets), None);
            for only in 0..5 {
                let open: Vec<bool> = (0..5).map(|member| member == only).collect();
                group.open(&sockets, &open).unwrap();
                (0..3).for_each(|_| arrive(address, sockets[0].kind));
                let mut expected = vec![0; 5];
                expected[only] = 3;
                assert_eq!(taken(&sockets), expected, "{host} {kind:?}");
            }
            group.release(&sockets).unwrap();
            group.release(&sockets).unwrap();
        }
    }
}

/// 4,000 on three of four: within 4 standard deviations of 1,333 each.
#[test]
fn what_comes_is_spread_evenly_over_the_open_members() {
    for host in ["127.0.0.1", "[::1]"] {
        for kind in [SockType::Stream, SockType::Datagram] {
            let (sockets, address) = made(host, kind, 4);
            let group = only_group(&sockets);
            group.open(&sockets, &[true, false, true, true]).unwrap();
            let mut sums = [0; 4];
            for _ in 0..40 {
                (0..100).for_each(|_| arrive(address, sockets[0].kind));
                for (sum, more) in sums.iter_mut().zip(taken(&sockets)) {
                    *sum += more;
                }
            }
            let expected = |sum: usize| sum.abs_diff(1333) < 120;
            assert_eq!(sums[1], 0, "{host} {kind:?}: {sums:?}");
            let even = [sums[0], sums[2], sums[3]].into_iter().all(expected);
            assert!(even, "{host} {kind:?}: {sums:?}");
            assert_eq!(sums.iter().sum::<usize>(), 4000);
        }
    }
}

/// All datagrams of one sender go to one worker; they go to another only when that one is gone.
#[test]
fn datagrams_of_one_sender_stay_together() {
    for host in ["127.0.0.1", "[::1]"] {
        let (sockets, address) = made(host, SockType::Datagram, 4);
        let group = only_group(&sockets);
        let senders: Vec<UdpSocket> = (0..200).map(|_| sender(address)).collect();
        let places = |open: &[bool; 4]| -> Vec<usize> {
            group.open(&sockets, open).unwrap();
            let place = |sender: &UdpSocket| {
                (0..2).for_each(|_| assert_eq!(sender.send(b"x").unwrap(), 1));
                let taken = taken(&sockets);
                taken.iter().position(|count| *count == 2).expect("both at one")
            };
            senders.iter().map(place).collect()
        };
        let before = places(&[true; 4]);
        let meanwhile = places(&[true, true, false, true]);
        for (before, meanwhile) in before.iter().zip(&meanwhile) {
            assert_ne!(*meanwhile, 2);
            assert!(*before == 2 || before == meanwhile);
        }
        assert_eq!(places(&[true; 4]), before);
        for member in 0..4 {
            let share = before.iter().filter(|place| **place == member).count();
            assert!((25..=75).contains(&share), "{share} of 200 are with {member}");
        }
    }
}

#[test]
fn only_sockets_of_one_address_are_a_group() {
    let (mut sockets, _) = made("127.0.0.1", SockType::Stream, 2);
    sockets.extend(made("[::1]", SockType::Stream, 2).0);
    let alone = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Some(Address::Inet(alone.local_addr().unwrap()));
    let fd = alone.into();
    sockets.push(Socket { fd, name: "alone".to_owned(), address, kind: Kind::Listener });
    let members: Vec<Vec<usize>> = groups(&sockets).into_iter().map(|g| g.members).collect();
    assert_eq!(members, [[0, 1], [2, 3]]);
}

#[test]
fn who_came_first_is_found_out() {
    let (mut sockets, address) = made("127.0.0.1", SockType::Stream, 3);
    let _later = bound(address, SockType::Stream).0;
    assert_eq!(only_group(&sockets).disorder(&sockets), None, "it is behind ours");
    let first = sockets.remove(0);
    assert_eq!(only_group(&sockets).disorder(&sockets), Some(Disorder::Strangers(2)));
    sockets.push(first);
    assert_eq!(only_group(&sockets).disorder(&sockets), Some(Disorder::Strangers(1)));
    assert_eq!(judge(&[1, 2, 3], &[3, 2, 1]), None);
    assert_eq!(judge(&[1, 2, 3], &[1, 2, 3]), None);
    assert_eq!(judge(&[1, 3, 2], &[3, 2, 1]), Some(Disorder::Shuffled));
    assert_eq!(judge(&[1, 2], &[]), None);
}

/// A new selector takes over in the middle of traffic.
#[test]
fn nobody_is_refused_while_selectors_change() {
    let (sockets, address) = made("127.0.0.1", SockType::Stream, 4);
    let group = only_group(&sockets);
    for round in 0..400 {
        let open: Vec<bool> = (0..4).map(|member| round % 5 != member).collect();
        group.open(&sockets, &open).unwrap();
        arrive(address, Kind::Listener);
    }
    assert_eq!(taken(&sockets).iter().sum::<usize>(), 400);
}
