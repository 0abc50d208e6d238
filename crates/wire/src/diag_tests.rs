#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use super::*;

/// A message of the kernel's, with this type.
fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend(body);
    bytes
}

fn attribute(kind: u16, contents: &[u8]) -> Vec<u8> {
    let mut bytes = ((4 + contents.len()) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(contents);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn unix_body(state: u8, inode: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![AF_UNIX, 1, state, 0];
    bytes.extend(inode.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(attributes.concat());
    bytes
}

fn inet_body(state: u8, address: SocketAddr, inode: u32) -> Vec<u8> {
    let mut bytes = vec![if address.is_ipv4() { AF_INET } else { AF_INET6 }, state, 0, 0];
    bytes.extend(address.port().to_be_bytes());
    bytes.extend([0; 2]);
    match address.ip() {
        IpAddr::V4(ip) => bytes.extend(ip.octets()),
        IpAddr::V6(ip) => bytes.extend(ip.octets()),
    }
    bytes.resize(56, 0);
    bytes.extend(2_u32.to_ne_bytes());
    bytes.extend(9_u32.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(inode.to_ne_bytes());
    bytes
}

fn read(datagram: &[u8]) -> Vec<Part> {
    parts(datagram).collect()
}

#[test]
fn requests_have_the_sizes_the_kernel_wants() {
    for (request, body) in [
        (unix_socket(7), 24),
        (unix_listeners(), 24),
        (tcp_listeners(true), 56),
        (tcp_connections(false, 80), 56),
    ] {
        assert_eq!(request.len(), HEADER + body);
        assert_eq!(long(&request, 0), Some(request.len() as u32));
    }
}

#[test]
fn unix_sockets_are_read() {
    let queue = [2_u32.to_ne_bytes(), 9_u32.to_ne_bytes()].concat();
    let attributes = [
        attribute(12, &[1]),
        attribute(UNIX_DIAG_NAME, b"/run/web.sock\0"),
        attribute(UNIX_DIAG_VFS, &[5, 0, 0, 0, 1, 0, 0, 0]),
        attribute(UNIX_DIAG_RQLEN, &queue),
    ];
    let socket = SocketAnswer {
        inode: 7,
        listens: true,
        address: Some(Address::Unix("/run/web.sock".into())),
        queue: Some((2, 9)),
        file: Some(u32::from_ne_bytes([5, 0, 0, 0])),
    };
    let listens = message(SOCK_DIAG_BY_FAMILY, &unix_body(LISTEN, 7, &attributes));
    assert_eq!(read(&listens), [Part::Socket(socket.clone())]);
    // Of a connection the same numbers mean something else.
    let connected = message(SOCK_DIAG_BY_FAMILY, &unix_body(ESTABLISHED, 7, &attributes));
    let connection = SocketAnswer { listens: false, queue: None, ..socket };
    assert_eq!(read(&connected), [Part::Socket(connection)]);
    let name = [attribute(UNIX_DIAG_NAME, b"\0web")];
    let unnamed = message(SOCK_DIAG_BY_FAMILY, &unix_body(LISTEN, 7, &name));
    let [Part::Socket(SocketAnswer { address, .. })] = &read(&unnamed)[..] else { panic!() };
    assert_eq!(*address, Some(Address::Abstract(b"web".to_vec())));
}

#[test]
fn tcp_sockets_are_read_one_after_the_other() {
    let (one, two) = ("10.1.2.3:80".parse().unwrap(), "[::1]:443".parse().unwrap());
    let mut datagram = message(SOCK_DIAG_BY_FAMILY, &inet_body(LISTEN, one, 7));
    datagram.extend(message(SOCK_DIAG_BY_FAMILY, &inet_body(ESTABLISHED, two, 0)));
    datagram.extend(message(NLMSG_DONE, &[0; 4]));
    let socket = |inode, address, queue: Option<_>| {
        let address = Some(Address::Inet(address));
        Part::Socket(SocketAnswer { inode, listens: queue.is_some(), address, queue, file: None })
    };
    assert_eq!(read(&datagram), [socket(7, one, Some((2, 9))), socket(0, two, None), Part::End]);
}

#[test]
fn what_is_cut_off_or_no_answer_is_no_socket() {
    let (error, done) = (message(2, &[0xfe; 4]), message(NLMSG_DONE, &[]));
    assert_eq!(read(&error), [Part::Refused]);
    assert_eq!(read(&done), [Part::End]);
    let whole = message(SOCK_DIAG_BY_FAMILY, &unix_body(LISTEN, 7, &[attribute(4, &[1; 8])]));
    for length in 0..whole.len() {
        assert_eq!(read(&whole[..length]), [], "{length}");
    }
    let short = message(SOCK_DIAG_BY_FAMILY, &unix_body(LISTEN, 7, &[])[..9]);
    assert_eq!(read(&short), [Part::Refused]);
    assert_eq!(read(&message(SOCK_DIAG_BY_FAMILY, &[99; 80])), [Part::Refused]);
    // An attribute that is longer than the message, and one without an end.
    for length in [200_u16, 0] {
        let mut body = unix_body(LISTEN, 7, &[]);
        body.extend([length.to_ne_bytes(), 4_u16.to_ne_bytes()].concat());
        let [Part::Socket(socket)] = &read(&message(SOCK_DIAG_BY_FAMILY, &body))[..] else {
            panic!("{length}");
        };
        assert_eq!(socket.queue, None);
    }
}
