//! A listening stream socket, TCP or UNIX.

use crate::sockets::{Kind, Socket};
use herder_wire::address::Address;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

/// A socket on which a [`Server`](super::Server) accepts clients.
#[derive(Debug)]
pub struct Listener {
    stream: Stream,
    /// The socket's file, which is removed with it.
    file: Option<PathBuf>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// A socket that was handed over.
    ///
    /// # Errors
    ///
    /// `InvalidInput` with a sentence if it is no listening stream socket.
    pub fn of(socket: Socket) -> io::Result<Listener> {
        let is_unix = matches!(socket.address, Some(Address::Unix(_) | Address::Abstract(_)));
        let is_inet = matches!(socket.address, Some(Address::Inet(_)));
        if socket.kind != Kind::Listener || !(is_unix || is_inet) {
            let text = format!("{socket} is no TCP or UNIX socket that listens: use ListenStream=");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        if is_unix {
            return Listener::unix(socket.fd.into());
        }
        let listener = TcpListener::from(socket.fd);
        listener.set_nonblocking(true)?;
        Ok(Listener { stream: Stream::Tcp(listener), file: None })
    }

    /// A UNIX socket.
    ///
    /// # Errors
    ///
    /// ioctl(2), which does not fail for a socket.
    pub fn unix(listener: UnixListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        Ok(Listener { stream: Stream::Unix(listener), file: None })
    }

    /// The same socket, whose file is removed with it.
    pub fn with_file(mut self, file: PathBuf) -> Listener {
        self.file = Some(file);
        self
    }

    /// Whether its clients are processes of this machine.
    pub fn is_unix(&self) -> bool {
        matches!(self.stream, Stream::Unix(_))
    }

    /// The next connection that waits.
    pub(super) fn accept(&self) -> io::Result<OwnedFd> {
        match &self.stream {
            Stream::Tcp(listener) => listener.accept().map(|(stream, _)| stream.into()),
            Stream::Unix(listener) => listener.accept().map(|(stream, _)| stream.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Tcp(listener) => listener.as_fd(),
            Stream::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // If it cannot be removed, the next herder does that.
            let _ = fs::remove_file(file);
        }
    }
}
