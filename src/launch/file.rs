//! Reads text files that an operator names, and refuses files of other kinds.
//!
//! The loop does this at every reload, so nothing in it may wait: opening a FIFO waits for a writer
//! (fifo(7)), and reading a device may never end.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The largest file that is read: settings are much shorter.
const LONGEST: u64 = 1 << 20;

/// The text of a regular file of at most 1 MiB.
///
/// # Errors
///
/// open(2), read(2), or a file that is anything else.
pub fn read_small_file(path: &Path) -> io::Result<String> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn refused(path: &Path, why: &str) {
        let error = read_small_file(path).unwrap_err().to_string();
        assert!(error.contains(why), "{}: {error}", path.display());
    }

    /// A FIFO without a writer would be waited for until there is one.
    #[test]
    fn only_a_regular_file_of_bounded_size_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        refused(&path("fifo"), "not a regular file");
        refused(Path::new("/dev/zero"), "not a regular file");
        refused(directory.path(), "not a regular file");
        refused(&path("missing"), "No such file");
        fs::write(path("latin1"), b"\xfc").unwrap();
        refused(&path("latin1"), "not UTF-8");
        fs::write(path("long"), vec![b'#'; (1 << 20) + 1]).unwrap();
        refused(&path("long"), "longer than 1 MiB");
        fs::write(path("longest"), vec![b'#'; 1 << 20]).unwrap();
        assert_eq!(read_small_file(&path("longest")).unwrap().len(), 1 << 20);
    }
}
