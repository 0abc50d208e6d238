//! Sends entries to journald without ever waiting for it.
//!
//! A journald that hangs fills its queue after a few dozen entries, and every sender that waits
//! then hangs with it. So a send either succeeds at once or the entry is lost, and the caller
//! counts. The socket is not connected: a restarted journald is found again by its path.

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Where journald listens (systemd-journald.service(8)).
const SOCKET: &str = "/run/systemd/journal/socket";

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
            // sealed, so that nobody changes it while it is read (JOURNAL_NATIVE_PROTOCOL).
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

/// A file in memory with this content, which nobody can change any more (memfd_create(2)).
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
    use nix::sys::socket::{ControlMessageOwned, recvmsg};
    use std::fs;
    use std::os::fd::RawFd;

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
}
