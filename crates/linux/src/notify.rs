//! The two transports of sd_notify(3): herder's to systemd, and each worker's to herder.
//!
//! Understands no message (`wire::notify` does). Nothing here waits: systemd that does not read, or a
//! worker that does not stop writing, must not hold up herder.

use super::sys;
use crate::error::Error;
use nix::sys::socket::{setsockopt, sockopt};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

/// The way to the service manager that started herder with `NOTIFY_SOCKET`.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Manager {
    /// Reads the value of `NOTIFY_SOCKET`: a path, or `@` and an abstract name. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for any other form, [`Error::System`] without descriptors or memory.
    pub fn new(notify_socket: &str) -> Result<Manager, Error> {
        let address = match notify_socket.strip_prefix('@') {
            Some(name) if !name.is_empty() => SocketAddr::from_abstract_name(name),
            None if notify_socket.starts_with('/') => SocketAddr::from_pathname(notify_socket),
            _ => {
                return Err(Error::Config(format!(
                    "NOTIFY_SOCKET={notify_socket}: herder notifies over a UNIX socket only, /PATH or @NAME; \
                     unset the variable, or start herder from a service manager on this machine"
                )));
            }
        };
        let address = address
            .map_err(|error| Error::Config(format!("NOTIFY_SOCKET={notify_socket}: {error}")))?;
        // Unconnected: a manager that restarts is found again under the same address.
        let socket = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        let socket = socket.map_err(|why| Error::system("make a socket to notify systemd", why))?;
        Ok(Manager { socket, address })
    }

    /// Sends one datagram, and says what became of it. Nothing is kept.
    pub fn send(&self, datagram: &[u8]) -> Sent {
        match self.socket.send_to_addr(datagram, &self.address) {
            Ok(_) => Sent::Taken,
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => Sent::Full,
                _ => Sent::NotListening,
            },
        }
    }
}

/// What became of a datagram for the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is in the manager's queue.
    Taken,
    /// There is no room for it now.
    Full,
    /// No process listens there, or it does not take herder's messages; that may never change.
    NotListening,
}

/// A worker's own `NOTIFY_SOCKET`, where it speaks to herder.
#[derive(Debug)]
pub struct Inbox {
    socket: UnixDatagram,
    path: PathBuf,
}

/// A datagram in an [`Inbox`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// How many bytes of the buffer it takes.
    pub len: usize,
    /// The process that sent it, as the kernel says; 0 for one outside this pid namespace. It may have ended
    /// since.
    pub pid: i32,
    /// The sender's user.
    pub uid: u32,
    /// It was longer than the buffer; what is there is its beginning.
    pub truncated: bool,
}

impl Inbox {
    /// A new socket in `directory`, under a name that cannot be guessed.
    ///
    /// # Errors
    ///
    /// bind(2): the directory is not there, not writable, or its path too long.
    pub fn bind(directory: &Path) -> io::Result<Inbox> {
        let path = directory.join(format!("{:016x}", sys::random()?));
        let socket = UnixDatagram::bind(&path)?;
        let inbox = Inbox { socket, path };
        // Before any process knows the path: credentials come only with what is sent after this.
        setsockopt(&inbox.socket, sockopt::PassCred, &true)?;
        inbox.socket.set_nonblocking(true)?;
        fs::set_permissions(&inbox.path, fs::Permissions::from_mode(0o600))?;
        Ok(inbox)
    }

    /// What the worker's `NOTIFY_SOCKET` says.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next datagram, if there is one; `buffer` should have room for
    /// [`MAX_DATAGRAM`](herder_wire::notify::MAX_DATAGRAM). Descriptors sent along are closed.
    ///
    /// # Errors
    ///
    /// recv(2): no memory.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<Option<Datagram>> {
        Ok(sys::receive(self.socket.as_fd(), buffer)?.map(|received| {
            let (pid, uid) = received.sender.unwrap_or((0, u32::MAX));
            Datagram { len: received.length, pid, uid, truncated: received.truncated }
        }))
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // What is left of it is removed when herder starts next (`RuntimeDir::open`).
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
    use std::io::{IoSlice, Read};
    use std::os::fd::{AsRawFd, RawFd};

    fn receiver(address: &SocketAddr) -> UnixDatagram {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    }

    #[test]
    fn systemd_is_reached_by_path_and_by_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = format!("herder-notify-{}", std::process::id());
        for (value, address) in [
            (path.to_str().unwrap().to_owned(), SocketAddr::from_pathname(&path).unwrap()),
            (format!("@{name}"), SocketAddr::from_abstract_name(&name).unwrap()),
        ] {
            let manager = Manager::new(&value).unwrap();
            assert_eq!(manager.send(b"READY=1"), Sent::NotListening, "{value}: not yet");
            let systemd = receiver(&address);
            assert_eq!(manager.send(b"READY=1\nSTATUS=x"), Sent::Taken);
            let mut buffer = [0; 64];
            let length = systemd.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1\nSTATUS=x");
        }
    }

    #[test]
    fn other_forms_of_notify_socket_are_refused_by_name() {
        for value in [
            "vsock:2:1234",
            "vsock-stream:2:1",
            "relative/path",
            "",
            &format!("/{}", "x".repeat(200)),
        ] {
            let error = Manager::new(value).unwrap_err();
            assert!(matches!(error, Error::Config(_)));
            assert!(error.to_string().starts_with(&format!("NOTIFY_SOCKET={value}: ")), "{error}");
        }
    }

    #[test]
    fn a_manager_that_does_not_read_is_not_waited_for() {
        let name = format!("herder-stuck-{}", std::process::id());
        let systemd = receiver(&SocketAddr::from_abstract_name(&name).unwrap());
        let manager = Manager::new(&format!("@{name}")).unwrap();
        let mut sent = (0..100_000).map(|_| manager.send(b"WATCHDOG=1"));
        assert_eq!(
            sent.find(|sent| *sent != Sent::Taken),
            Some(Sent::Full),
            "the queue has an end"
        );
        systemd.recv(&mut [0; 16]).unwrap();
        assert_eq!(manager.send(b"WATCHDOG=1"), Sent::Taken, "and room again");
    }

    #[test]
    fn an_inbox_is_private_and_gone_with_its_worker() {
        let directory = tempfile::tempdir().unwrap();
        let [one, two] = [(); 2].map(|()| Inbox::bind(directory.path()).unwrap());
        assert_ne!(one.path(), two.path());
        let mode = fs::metadata(one.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(one.recv(&mut [0; 16]).unwrap(), None);
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists());
    }

    #[test]
    fn the_kernel_says_who_sent_what_and_how_much_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let inbox = Inbox::bind(directory.path()).unwrap();
        let (pid, uid) = (nix::unistd::getpid().as_raw(), nix::unistd::getuid().as_raw());
        let worker = UnixDatagram::unbound().unwrap();
        let mut buffer = [0; 16];
        for (sent, len, truncated) in
            [(0, 0, false), (16, 16, false), (17, 16, true), (10_000, 16, true)]
        {
            worker.send_to(&vec![b'x'; sent], inbox.path()).unwrap();
            let received = inbox.recv(&mut buffer).unwrap();
            assert_eq!(received, Some(Datagram { len, pid, uid, truncated }));
        }
        assert_eq!(inbox.recv(&mut buffer).unwrap(), None);

        let helper = crate::testing::Shell::start(&format!(
            "NOTIFY_SOCKET={} exec python3 -c 'import os, socket; \
             socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b\"READY=1\", os.environ[\"NOTIFY_SOCKET\"])'",
            inbox.path().display()
        ));
        helper.wait();
        assert_eq!(inbox.recv(&mut buffer).unwrap().map(|datagram| datagram.pid), Some(helper.pid));
    }

    #[test]
    fn descriptors_sent_along_are_closed_and_never_get_a_number() {
        let directory = tempfile::tempdir().unwrap();
        let inbox = Inbox::bind(directory.path()).unwrap();
        let (barrier, held) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        let mut barrier = std::fs::File::from(barrier);
        let sender = UnixDatagram::unbound().unwrap();
        let fds: Vec<RawFd> = vec![held.as_raw_fd(); 253];
        let address = UnixAddr::new(inbox.path()).unwrap();
        let parts = [IoSlice::new(b"BARRIER=1")];
        let rights = [ControlMessage::ScmRights(&fds)];
        let flags = MsgFlags::empty();
        let sent = sendmsg(sender.as_raw_fd(), &parts, &rights, flags, Some(&address));
        assert_eq!(sent, Ok(9));
        drop(held);

        let mut buffer = [0; 16];
        let received = inbox.recv(&mut buffer).unwrap().unwrap();
        assert_eq!((received.len, received.truncated), (9, false));
        assert_eq!(received.pid, nix::unistd::getpid().as_raw());
        // No copy is left, here or in a queue: the pipe has reached its end.
        assert_eq!(barrier.read(&mut buffer).unwrap(), 0);
    }
}
