//! One HTTP request, for a probe: connects, sends it, and reads the answer as far as its status. Never
//! waits: the caller watches the socket and keeps the time.

use super::poll::Interest;
use herder_wire::url::{Url, verdict};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, connect, getsockopt, recv, send,
    socket, sockopt,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The most bytes of an answer that are read. Its status comes long before.
const ENOUGH: usize = 64;

/// A request under way.
#[derive(Debug)]
pub struct Fetch {
    stream: OwnedFd,
    /// The part of the request that was not sent yet.
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Fetch {
    /// Begins to connect. The inner `Err` says why no server can be asked.
    ///
    /// # Errors
    ///
    /// socket(2): no descriptors or memory left.
    pub fn start(url: &Url) -> io::Result<Result<Fetch, String>> {
        let family = if url.address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let stream = socket(family, SockType::Stream, flags, None)?;
        Ok(match connect(stream.as_raw_fd(), &SockaddrStorage::from(url.address)) {
            Ok(()) | Err(Errno::EINPROGRESS) => {
                Ok(Fetch { stream, request: url.request().into_bytes(), answer: Vec::new() })
            }
            Err(errno) => Err(not_connected(url, errno)),
        })
    }

    /// What the socket has to be watched for.
    pub fn interest(&self) -> Interest {
        if self.request.is_empty() { Interest::Read } else { Interest::Write }
    }

    /// Goes on as far as it can; its outcome, once it is known.
    pub fn advance(&mut self, url: &Url) -> Option<Result<(), String>> {
        match self.exchange(url) {
            Ok(outcome) => outcome,
            Err(Errno::EAGAIN | Errno::EINTR) => None,
            Err(errno) => Some(Err(io::Error::from(errno).to_string())),
        }
    }

    fn exchange(&mut self, url: &Url) -> nix::Result<Option<Result<(), String>>> {
        if !self.request.is_empty() {
            let error = getsockopt(&self.stream, sockopt::SocketError)?;
            if error != 0 {
                return Ok(Some(Err(not_connected(url, Errno::from_raw(error)))));
            }
        }
        while !self.request.is_empty() {
            let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
            let sent = match send(self.stream.as_raw_fd(), &self.request, flags) {
                // It is not connected yet.
                Err(Errno::ENOTCONN) => return Ok(None),
                sent => sent?,
            };
            self.request.drain(..sent);
        }
        loop {
            let mut buffer = [0; ENOUGH];
            let length = recv(self.stream.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?;
            self.answer.extend(&buffer[..length]);
            if let Some(outcome) = verdict(&self.answer) {
                return Ok(Some(outcome));
            }
            if length == 0 {
                return Ok(Some(Err("the connection was closed without an answer".to_owned())));
            }
        }
    }
}

impl AsFd for Fetch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn not_connected(url: &Url, errno: Errno) -> String {
    format!("cannot connect to {}: {}", url.address, errno.desc())
}

#[cfg(test)]
mod tests {
    use super::super::poll::Poll;
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    /// Asks the server there, until there is an outcome.
    fn ask(address: std::net::SocketAddr) -> Result<(), String> {
        let url = Url::parse(&format!("http://{address}/healthz")).unwrap();
        let mut fetch = Fetch::start(&url).unwrap()?;
        let poll = Poll::new().unwrap();
        poll.add(&fetch, 0, fetch.interest()).unwrap();
        let mut events = Vec::new();
        loop {
            poll.wait(&mut events, Some(Duration::from_secs(20))).unwrap();
            assert!(!events.is_empty(), "nothing happens");
            if let Some(outcome) = fetch.advance(&url) {
                return outcome;
            }
            poll.modify(&fetch, 0, fetch.interest()).unwrap();
        }
    }

    fn answered_with(answer: &'static [u8]) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            assert!(request.starts_with(b"GET /healthz HTTP/1.0\r\n"));
            client.write_all(answer).unwrap();
        });
        let outcome = ask(address);
        server.join().unwrap();
        outcome
    }

    #[test]
    fn the_status_is_what_counts() {
        assert_eq!(answered_with(b"HTTP/1.1 200 OK\r\n\r\nfine"), Ok(()));
        assert_eq!(answered_with(b"HTTP/1.1 500 Oh\r\n\r\n"), Err("HTTP status 500".to_owned()));
        let closed = Err("the connection was closed without an answer".to_owned());
        assert_eq!(answered_with(b""), closed);
        assert_eq!(answered_with(b"HTTP/1"), closed);
    }

    #[test]
    fn nobody_there_is_an_answer_too() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let outcome = ask(address).unwrap_err();
        assert!(outcome.starts_with(&format!("cannot connect to {address}: ")), "{outcome}");
    }
}
