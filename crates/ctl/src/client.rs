//! A connection to a control socket: one call at a time, one reply or several, with a deadline.

use herder_wire::control::Failure;
use herder_wire::varlink::{Frames, Outcome, Request};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, UnixCredentials, connect, getsockopt, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use serde_json::{Map, Value};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest answer taken: that of an instance with tens of thousands of workers.
const LONGEST_ANSWER: usize = 16 << 20;

/// Why there is no reply.
#[derive(Debug)]
pub enum Trouble {
    /// herder says no.
    Failure(Failure),
    /// No answer before the deadline.
    Late,
    /// The other side hung up.
    Closed,
    /// Not an answer herder gives.
    Foreign(String),
    /// The system refused.
    System(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Trouble::Late,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Trouble::Closed,
            _ => Trouble::System(error),
        }
    }
}

/// A connection to a running herder.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    peer: UnixCredentials,
    frames: Frames,
    /// Why the last call could not be sent, if nothing is heard either.
    unsent: Option<io::Error>,
}

/// One of the replies to a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// What it says.
    pub parameters: Map<String, Value>,
    /// There are more to come.
    pub continues: bool,
}

impl Connection {
    /// Connects. Waits until the deadline while too many others wait to be let in: that herder
    /// hangs. (SO_SNDTIMEO bounds connect(2) on a UNIX socket; it has to be set before.)
    pub fn open(path: &Path, deadline: Instant) -> io::Result<Connection> {
        let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let micros = i64::try_from(left.as_micros()).unwrap_or(i64::MAX).max(1);
        setsockopt(&fd, sockopt::SendTimeout, &TimeVal::microseconds(micros))?;
        connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        let peer = getsockopt(&fd, sockopt::PeerCredentials)?;
        let frames = Frames::new(LONGEST_ANSWER);
        Ok(Connection { stream: UnixStream::from(fd), peer, frames, unsent: None })
    }

    /// Who listens there (unix(7), SO_PEERCRED).
    pub fn peer(&self) -> UnixCredentials {
        self.peer
    }

    /// Calls a method and waits for the one reply, until the deadline if there is one.
    pub fn call(
        &mut self,
        request: &Request,
        deadline: Option<Instant>,
    ) -> Result<Map<String, Value>, Trouble> {
        self.send(request)?;
        Ok(self.next(deadline)?.parameters)
    }

    /// Sends a call; its replies are taken with [`next`](Connection::next), several if it said `more`.
    pub fn send(&mut self, request: &Request) -> Result<(), Trouble> {
        self.stream.set_write_timeout(Some(Duration::from_secs(2)))?;
        self.unsent = self.stream.write_all(&request.to_message()).err();
        Ok(())
    }

    /// Waits for a reply, until the deadline if there is one.
    pub fn next(&mut self, deadline: Option<Instant>) -> Result<Reply, Trouble> {
        // A herder that hangs up at once may have said why before.
        let message = match self.receive(deadline) {
            Err(Trouble::Closed) => {
                let unsent = self.unsent.take().map_or(Trouble::Closed, Trouble::from);
                return Err(unsent);
            }
            other => other,
        }?;
        let continues = Outcome::continues(&message);
        match Outcome::parse(&message) {
            Some(Outcome::Reply(parameters)) => Ok(Reply { parameters, continues }),
            Some(Outcome::Error { name, parameters }) => {
                Err(match Failure::read(&name, &parameters) {
                    Some(failure) => Trouble::Failure(failure),
                    None => Trouble::Foreign(Outcome::Error { name, parameters }.to_string()),
                })
            }
            None => Err(Trouble::Foreign("it does not speak Varlink".to_owned())),
        }
    }

    fn receive(&mut self, deadline: Option<Instant>) -> Result<Vec<u8>, Trouble> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.frames.next_message() {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => {}
                Err(_) => return Err(Trouble::Foreign("it does not stop talking".to_owned())),
            }
            let left = deadline.map(|then| then.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(Trouble::Late);
            }
            self.stream.set_read_timeout(left)?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Trouble::Closed),
                Ok(length) => self.frames.push(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread::{self, JoinHandle};

    /// Something that listens, takes one call, and answers with these bytes.
    fn server(answer: &'static [u8]) -> (tempfile::TempDir, JoinHandle<Vec<u8>>, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut call = vec![0; 1024];
            let length = stream.read(&mut call).unwrap();
            call.truncate(length);
            // In two pieces, as a stream may deliver them.
            let (first, second) = answer.split_at(answer.len() / 2);
            stream.write_all(first).unwrap();
            stream.write_all(second).unwrap();
            call
        });
        let connection = Connection::open(&path, soon()).unwrap();
        (dir, server, connection)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_call_comes_back_with_its_reply() {
        let (_dir, server, mut connection) = server(b"{\"parameters\":{\"generation\":8}}\0");
        let reply =
            connection.call(&Request::new("io.herder.Control.Reload"), Some(soon())).unwrap();
        assert_eq!(reply["generation"], 8);
        assert_eq!(connection.peer().pid(), nix::unistd::getpid().as_raw());
        assert_eq!(server.join().unwrap(), b"{\"method\":\"io.herder.Control.Reload\"}\0");
    }

    #[test]
    fn errors_are_told_apart() {
        let trouble = |answer| {
            let (_dir, server, mut connection) = server(answer);
            let trouble = connection
                .call(&Request::new("io.herder.Control.Reload"), Some(soon()))
                .unwrap_err();
            server.join().unwrap();
            trouble
        };
        assert!(matches!(
            trouble(b"{\"error\":\"io.herder.Control.ReloadRefused\",\"parameters\":{\"reason\":\"r\"}}\0"),
            Trouble::Failure(Failure::ReloadRefused { reason }) if reason == "r"
        ));
        assert!(matches!(
            trouble(b"{\"error\":\"org.varlink.service.MethodNotFound\"}\0"),
            Trouble::Foreign(_)
        ));
        assert!(matches!(trouble(b"HTTP/1.1 400 Bad Request\0"), Trouble::Foreign(_)));
        assert!(matches!(trouble(b"{\"param"), Trouble::Closed));
        assert!(matches!(trouble(b""), Trouble::Closed));
    }

    #[test]
    fn a_herder_that_hangs_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut connection = Connection::open(&path, soon()).unwrap();
        let deadline = Instant::now() + Duration::from_millis(50);
        let trouble = connection.call(&Request::new("a.b"), Some(deadline)).unwrap_err();
        assert!(matches!(trouble, Trouble::Late));
        assert!(Instant::now() >= deadline);

        // … not even for a place in its queue.
        let fill = || Connection::open(&path, Instant::now() + Duration::from_millis(50));
        let waiting: Vec<io::Result<Connection>> = (0..20_000)
            .map(|_| fill())
            .scan(true, |go_on, next| std::mem::replace(go_on, next.is_ok()).then_some(next))
            .collect();
        let error = waiting.into_iter().find_map(Result::err).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn nobody_there_is_an_error_of_its_kind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        let error = Connection::open(&path, soon()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        drop(UnixListener::bind(&path).unwrap());
        let error = Connection::open(&path, soon()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
