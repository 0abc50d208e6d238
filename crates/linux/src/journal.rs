//! Sends entries to journald, and opens streams of lines to it, without ever waiting for it.
//!
//! A journald that hangs fills its queue after a few dozen entries, and every sender that waits
//! then hangs with it. So a send either succeeds at once or the entry is lost, and the caller
//! counts. The socket is not connected: a restarted journald is found again by its path.
//!
//! The crate tracing-journald cannot do this. Its socket is private and blocks, and it drops the error of a
//! send, so losses cannot be counted. Measured with version 0.3.2, a journald that reads nothing and
//! `net.unix.max_dgram_qlen` = 10: ten entries are sent in microseconds each; the eleventh waits in the
//! kernel (`unix_wait_for_peer`) for as long as journald does not read.

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr, connect,
    sendmsg, setsockopt, shutdown, socket, sockopt,
};
use nix::sys::stat::fstat;
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;

/// Where journald listens (systemd-journald.service(8)).
const SOCKET: &str = "/run/systemd/journal/socket";

/// Where journald takes streams (sd_journal_stream_fd(3)).
const STREAMS: &str = "/run/systemd/journal/stdout";

/// `<3>` at the start of a line is its priority; of others it is `info`, as systemd.exec(5) has it.
const PRIORITY: u8 = 6;

/// As sd_journal_stream_fd(3): what a worker writes while journald is busy should not hold it up.
const STREAM_BUFFER: usize = 8 << 20;

/// Whether this process's standard error is a stream to journald.
pub fn is_connected() -> bool {
    std::env::var("JOURNAL_STREAM").is_ok_and(|name| is_named(&io::stderr(), &name))
}

/// Whether this is the file that systemd calls `name`.
fn is_named(file: &impl AsFd, name: &str) -> bool {
    name_of(file).is_ok_and(|own| own == name)
}

/// The name of a stream, as systemd gives it in `JOURNAL_STREAM`: its device and inode.
fn name_of(file: &impl AsFd) -> io::Result<String> {
    let file = fstat(file)?;
    Ok(format!("{}:{}", file.st_dev, file.st_ino))
}

/// A stream to journald for a process's output: every line becomes an entry, of that process.
#[derive(Debug)]
pub struct Stream {
    /// What the process gets as standard output and error. It blocks, as they do.
    pub socket: OwnedFd,
    /// The value of the process's `JOURNAL_STREAM` (systemd.exec(5)).
    pub name: String,
}

impl Stream {
    /// A stream whose entries have this `SYSLOG_IDENTIFIER=`.
    ///
    /// # Errors
    ///
    /// connect(2): no process listens (`ENOENT`, `ECONNREFUSED`), or journald is busy (`EAGAIN`).
    pub fn open(identifier: &str) -> io::Result<Stream> {
        Stream::at(Path::new(STREAMS), identifier)
    }

    fn at(path: &Path, identifier: &str) -> io::Result<Stream> {
        // A line break in it would begin the next field.
        if identifier.contains(char::is_control) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        shutdown(socket.as_raw_fd(), Shutdown::Read)?;
        // As much as the kernel allows, which is no reason to fail.
        let _ = setsockopt(&socket, sockopt::SndBuf, &STREAM_BUFFER);
        // The second line is a unit's name, which journald takes from root alone; it finds the unit by
        // the writer's cgroup. After the priority: prefixes count; nothing is forwarded.
        let header = format!("{identifier}\n\n{PRIORITY}\n1\n0\n0\n0\n");
        let mut stream = UnixStream::from(socket);
        stream.write_all(header.as_bytes())?;
        stream.set_nonblocking(false)?;
        Ok(Stream { name: name_of(&stream)?, socket: stream.into() })
    }
}

/// A way to journald.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    address: UnixAddr,
}

impl Journal {
    /// The system's journal. Succeeds also where none runs: every entry is lost then.
    pub fn open() -> io::Result<Journal> {
        Journal::at(Path::new(SOCKET))
    }

    /// A journal that listens elsewhere.
    pub fn at(path: &Path) -> io::Result<Journal> {
        Ok(Journal { socket: UnixDatagram::unbound()?, address: UnixAddr::new(path)? })
    }

    /// Sends an entry in the native protocol, at once or not at all.
    pub fn send(&self, entry: &[u8]) -> io::Result<()> {
        match self.send_message(&[IoSlice::new(entry)], &[]) {
            // More than a socket's send buffer holds: journald takes the entry as a file, if it is
            // sealed, so that it cannot change while it is read (JOURNAL_NATIVE_PROTOCOL).
            Err(error) if error.raw_os_error() == Some(nix::libc::EMSGSIZE) => {
                let file = sealed_file(entry)?;
                self.send_message(&[], &[ControlMessage::ScmRights(&[file.as_raw_fd()])])
            }
            outcome => outcome,
        }
    }

    fn send_message(&self, data: &[IoSlice<'_>], control: &[ControlMessage<'_>]) -> io::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        sendmsg(self.socket.as_raw_fd(), data, control, flags, Some(&self.address))?;
        Ok(())
    }
}

/// A file in memory with this content, which cannot be changed any more (memfd_create(2)).
fn sealed_file(content: &[u8]) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create("herder-journal-entry", flags)?);
    file.write_all(content)?;
    let seals = SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::OFlag;
    use nix::sys::socket::{ControlMessageOwned, recvmsg};
    use std::fs;
    use std::io::Read;
    use std::os::fd::RawFd;
    use std::os::unix::net::UnixListener;

    fn journald() -> (tempfile::TempDir, UnixDatagram, Journal) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::at(&path).unwrap();
        (dir, journald, journal)
    }

    #[test]
    fn an_entry_arrives_as_one_datagram() {
        let (_dir, journald, journal) = journald();
        journal.send(b"MESSAGE=hello\n").unwrap();
        let mut buffer = [0; 100];
        let length = journald.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"MESSAGE=hello\n");
    }

    #[test]
    fn a_journald_that_does_not_read_costs_entries_and_no_time() {
        let (_dir, _journald, journal) = journald();
        let error = (0..100_000).find_map(|_| journal.send(b"MESSAGE=x\n").err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_missing_journald_is_an_error_and_a_new_one_is_found() {
        let (dir, journald, journal) = journald();
        drop(journald);
        assert!(journal.send(b"MESSAGE=x\n").is_err());
        fs::remove_file(dir.path().join("socket")).unwrap();
        assert!(journal.send(b"MESSAGE=x\n").is_err());
        let _again = UnixDatagram::bind(dir.path().join("socket")).unwrap();
        journal.send(b"MESSAGE=x\n").unwrap();
    }

    #[test]
    fn a_large_entry_travels_as_a_sealed_file() {
        let (_dir, journald, journal) = journald();
        let entry = format!("MESSAGE={}\n", "x".repeat(4 << 20));
        journal.send(entry.as_bytes()).unwrap();

        let mut space = nix::cmsg_space!(RawFd);
        let (mut nothing, flags) = ([0; 1], MsgFlags::MSG_CMSG_CLOEXEC);
        let mut data = [io::IoSliceMut::new(&mut nothing)];
        let message =
            recvmsg::<UnixAddr>(journald.as_raw_fd(), &mut data, Some(&mut space), flags).unwrap();
        assert_eq!(message.bytes, 0);
        let Some(ControlMessageOwned::ScmRights(fds)) = message.cmsgs().unwrap().next() else {
            panic!("no descriptor came along");
        };
        // Read by its name in /proc; the descriptor itself goes with the test process.
        let path = format!("/proc/self/fd/{}", fds[0]);
        assert_eq!(fs::read_to_string(&path).unwrap(), entry);
        // On a tmpfs file, F_SEAL_WRITE refuses even to open it for writing and truncating.
        assert!(fs::write(&path, "changed").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), entry);
    }

    #[test]
    fn a_stream_is_known_by_its_own_name_only() {
        let (one, other) = UnixStream::pair().unwrap();
        let name = name_of(&one).unwrap();
        assert!(is_named(&one, &name));
        assert!(!is_named(&other, &name));
        for wrong in ["", ":", "0:0", &format!("{name}:"), &format!(" {name}")] {
            assert!(!is_named(&one, wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_stream_says_whose_it_is_and_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stdout");
        let journald = UnixListener::bind(&path).unwrap();
        let stream = Stream::at(&path, "web/3").unwrap();
        let (mut connection, _) = journald.accept().unwrap();
        let flags = fcntl(&stream.socket, FcntlArg::F_GETFL).unwrap();
        assert_eq!(flags & OFlag::O_NONBLOCK.bits(), 0, "a worker's print does not fail");
        let link = format!("/proc/self/fd/{}", stream.socket.as_raw_fd());
        let (_, inode) = stream.name.split_once(':').unwrap();
        assert_eq!(fs::read_link(link).unwrap().to_str(), Some(&*format!("socket:[{inode}]")));
        UnixStream::from(stream.socket).write_all(b"hello\n").unwrap();
        let mut text = String::new();
        connection.read_to_string(&mut text).unwrap();
        assert_eq!(text, "web/3\n\n6\n1\n0\n0\n0\nhello\n");
    }

    #[test]
    fn a_journald_that_is_busy_or_gone_costs_a_stream_and_no_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stdout");
        assert_eq!(Stream::at(&path, "a").unwrap_err().kind(), io::ErrorKind::NotFound);
        let _journald = UnixListener::bind(&path).unwrap();
        let mut open = Vec::new();
        let error = loop {
            match Stream::at(&path, "a") {
                Ok(stream) => open.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "after {}", open.len());
        let error = Stream::at(&path, "a\n\n0").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
