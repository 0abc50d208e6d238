//! The runtime directory of an instance, and the lock that makes it the only one of its name.
//!
//! Knows only paths; what is bound at them is `control` and `notify`. The lock is flock(2) on a file:
//! it ends with the process, however that ends, so what an earlier herder left in the directory may
//! be removed as soon as the lock is held.

use crate::error::Error;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The longest path of a UNIX socket, `sun_path` less its NUL (unix(7)).
const LONGEST_SOCKET_PATH: usize = 107;
/// The longest name of a socket in the directory: that of a worker's notify socket.
const LONGEST_INSIDE: usize = "/notify/".len() + 16;

/// Where the instance `name` keeps its sockets: `$RUNTIME_DIRECTORY` inside a unit, else
/// `/run/herder/NAME` for root, else `$XDG_RUNTIME_DIR/herder/NAME`.
///
/// # Errors
///
/// [`Error::Config`] if there is no such place, or `name` cannot be in a path.
pub fn locate(name: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, Error> {
    if let Some(directory) = given(env) {
        return Ok(directory);
    }
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(Error::Config(format!(
            "`{}` cannot be the name of an instance: it becomes a directory; choose another with --name",
            name.escape_debug()
        )));
    }
    let parent = match env("XDG_RUNTIME_DIR").filter(|value| value.starts_with('/')) {
        _ if geteuid().is_root() => PathBuf::from("/run"),
        Some(directory) => PathBuf::from(directory),
        None => {
            return Err(Error::Config(
                "no place for the runtime directory: set XDG_RUNTIME_DIR to a directory of your own \
                 (pam_systemd(8) does), or RUNTIME_DIRECTORY to the one to use"
                    .to_owned(),
            ));
        }
    };
    Ok(parent.join("herder").join(name))
}

fn given(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    // `RuntimeDirectory=` may name several (systemd.exec(5)); the first is herder's.
    let directories = env("RUNTIME_DIRECTORY")?;
    directories.split(':').next().filter(|first| !first.is_empty()).map(PathBuf::from)
}

/// The runtime directory of this instance, held by this process.
#[derive(Debug)]
pub struct RuntimeDir {
    path: PathBuf,
    notify: PathBuf,
    /// The directory itself is made and removed by systemd.
    given: bool,
    /// Held until this is dropped.
    _lock: Flock<File>,
}

impl RuntimeDir {
    /// Finds or makes the directory of the instance `name`, takes its lock, and removes the sockets an
    /// earlier herder left in it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if another herder runs there, or the path is too long for sockets;
    /// [`Error::System`] if the directory cannot be made or used.
    pub fn open(name: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<RuntimeDir, Error> {
        let path = locate(name, env)?;
        let length = path.as_os_str().as_bytes().len();
        if length + LONGEST_INSIDE > LONGEST_SOCKET_PATH {
            return Err(Error::Config(format!(
                "the runtime directory {} has {length} bytes, and paths of sockets in it can only have \
                 {LONGEST_SOCKET_PATH} (unix(7)); choose a shorter --name, of a directory of at most {}",
                path.display(),
                LONGEST_SOCKET_PATH - LONGEST_INSIDE
            )));
        }
        make_directory(&path, 0o755).map_err(|error| unusable(&path, &error))?;
        own(&path, is_behind_link_of_root(&path).map_err(|error| unusable(&path, &error))?)?;
        let lock = take_lock(&path.join("lock"), name)?;
        let notify = path.join("notify");
        make_directory(&notify, 0o700).map_err(|error| unusable(&notify, &error))?;
        own(&notify, false)?;
        fs::set_permissions(&notify, Permissions::from_mode(0o700))
            .and_then(|()| empty(&notify))
            .map_err(|error| unusable(&notify, &error))?;
        let directory = RuntimeDir { path, notify, given: given(env).is_some(), _lock: lock };
        remove_socket(&directory.control())
            .map_err(|error| unusable(&directory.control(), &error))?;
        Ok(directory)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the control socket is bound.
    pub fn control(&self) -> PathBuf {
        self.path.join("control")
    }

    /// The directory of the workers' notify sockets, which no other user may enter.
    pub fn notify(&self) -> &Path {
        &self.notify
    }
}

impl Drop for RuntimeDir {
    /// Removes the sockets, and of a directory that herder made also the lock and the directory itself. What
    /// cannot be removed is removed by the next herder.
    fn drop(&mut self) {
        let _ = remove_socket(&self.control());
        let _ = empty(&self.notify);
        let _ = fs::remove_dir(&self.notify);
        if !self.given {
            let _ = remove(&self.path.join("lock"));
            let _ = fs::remove_dir(&self.path);
        }
    }
}

fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

/// Whether there is a symbolic link of root's, in a place where no other user could put one. systemd makes one when the
/// directory is in /run/private, with `DynamicUser=` and `RuntimeDirectoryPreserve=` (systemd.exec(5)).
fn is_behind_link_of_root(path: &Path) -> io::Result<bool> {
    let Some(parent) = path.parent() else { return Ok(false) };
    let (link, parent) = (fs::symlink_metadata(path)?, fs::metadata(parent)?);
    let is_roots = link.is_symlink() && link.uid() == 0 && parent.uid() == 0;
    Ok(is_roots && parent.mode() & 0o022 == 0)
}

/// Refuses a directory of another user's, and a symbolic link unless it may be followed. Its owner could
/// choose which files herder, which may be root, changes and removes.
fn own(path: &Path, follow: bool) -> Result<(), Error> {
    let there = if follow { fs::metadata(path) } else { fs::symlink_metadata(path) };
    let there = there.map_err(|error| unusable(path, &error))?;
    let user = geteuid().as_raw();
    let what = if !there.is_dir() {
        "a symbolic link".to_owned()
    } else if there.uid() != user {
        format!("owned by user {}", there.uid())
    } else {
        return Ok(());
    };
    Err(Error::Config(format!(
        "{} is {what}, and herder's runtime directory must be a directory of its own user ({user}): \
         remove it, or set RUNTIME_DIRECTORY to another",
        path.display()
    )))
}

fn empty(directory: &Path) -> io::Result<()> {
    fs::read_dir(directory)?.try_for_each(|entry| remove_socket(&entry?.path()))
}

/// Removes a socket. A file of another kind is not herder's, and stays.
fn remove_socket(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => remove(path),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn take_lock(path: &Path, name: &str) -> Result<Flock<File>, Error> {
    let tried = |error: io::Error| unusable(path, &error);
    loop {
        let mut options = OpenOptions::new();
        // A process that can open the file can lock it, and keep herder from starting, so only herder's user may.
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = file.custom_flags(libc::O_NOFOLLOW).open(path).map_err(|error| {
            if error.raw_os_error() != Some(libc::ELOOP) {
                return tried(error);
            }
            let path = path.display();
            Error::Config(format!(
                "{path} is a symbolic link, which herder did not put there: remove it"
            ))
        })?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, Errno::EWOULDBLOCK)) => return Err(occupied(path, name)),
            Err((_, errno)) => return Err(tried(errno.into())),
        };
        // The holder before may have removed the file between our open and our lock.
        let ours = lock.metadata().map_err(tried)?.ino();
        if fs::symlink_metadata(path).is_ok_and(|there| there.ino() == ours) {
            lock.set_permissions(Permissions::from_mode(0o600)).map_err(tried)?;
            lock.set_len(0).map_err(tried)?;
            writeln!(lock, "{}", std::process::id()).map_err(tried)?;
            return Ok(lock);
        }
    }
}

fn occupied(path: &Path, name: &str) -> Error {
    let pid = fs::read_to_string(path).unwrap_or_default();
    let holder = match pid.trim() {
        "" => "another herder".to_owned(),
        pid => format!("another herder (pid {pid})"),
    };
    Error::Config(format!("{holder} runs as {name}: stop it, or choose another name with --name"))
}

fn unusable(path: &Path, error: &io::Error) -> Error {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; herder's user must be allowed to write there: RuntimeDirectory= in the unit, or set \
             RUNTIME_DIRECTORY to a directory of that user"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "; set RUNTIME_DIRECTORY to a directory that can be written to"
        }
        _ => "",
    };
    let why = match error.raw_os_error() {
        Some(errno) => Errno::from_raw(errno).desc().to_owned(),
        None => error.to_string(),
    };
    let why = io::Error::new(error.kind(), format!("{why}{advice}"));
    Error::system(format!("use {} as herder's runtime directory", path.display()), why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    fn given_by_systemd(directory: &Path) -> impl Fn(&str) -> Option<String> + use<> {
        let directory = directory.to_str().unwrap().to_owned();
        move |name| (name == "RUNTIME_DIRECTORY").then(|| directory.clone())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn systemd_names_the_directory_before_anything_else() {
        for (value, expected) in
            [("/run/herder/web", "/run/herder/web"), ("/run/a:/run/b", "/run/a")]
        {
            let env = |name: &str| (name == "RUNTIME_DIRECTORY").then(|| value.to_owned());
            assert_eq!(locate("other", &env).unwrap(), Path::new(expected));
        }
        let env = |name: &str| {
            Some(if name == "XDG_RUNTIME_DIR" { "/run/user/7" } else { "" }.to_owned())
        };
        let expected =
            if geteuid().is_root() { "/run/herder/web" } else { "/run/user/7/herder/web" };
        assert_eq!(locate("web", &env).unwrap(), Path::new(expected));
        for name in ["", ".", "..", "a/b", "/", "a\0"] {
            assert!(locate(name, &env).unwrap_err().to_string().contains("--name"), "{name:?}");
        }
    }

    #[test]
    fn a_second_herder_of_the_name_is_told_of_the_first_and_changes_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let env = given_by_systemd(&parent.path().join("web"));
        let first = RuntimeDir::open("web", &env).unwrap();
        let _control = UnixListener::bind(first.control()).unwrap();
        let error = RuntimeDir::open("web", &env).unwrap_err();
        assert!(matches!(error, Error::Config(_)));
        let expected = format!("another herder (pid {}) runs as web: stop it", std::process::id());
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert!(first.control().exists());
        drop(first);
        assert!(RuntimeDir::open("web", &env).is_ok());
    }

    #[test]
    fn what_an_earlier_herder_left_is_removed_and_the_directory_is_ready() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run/herder/web");
        let notify = path.join("notify");
        fs::create_dir_all(&notify).unwrap();
        fs::set_permissions(&notify, Permissions::from_mode(0o755)).unwrap();
        fs::write(path.join("lock"), "99999999 and more\n").unwrap();
        drop(UnixListener::bind(path.join("control")).unwrap());
        drop(UnixDatagram::bind(notify.join("0123456789abcdef")).unwrap());

        let env = given_by_systemd(&path);
        let directory = RuntimeDir::open("web", &env).unwrap();
        assert!(!directory.control().exists());
        assert_eq!(fs::read_dir(directory.notify()).unwrap().count(), 0);
        assert_eq!(mode(directory.notify()), 0o700);
        let pid = fs::read_to_string(path.join("lock")).unwrap();
        assert_eq!(pid, format!("{}\n", std::process::id()));

        drop(directory);
        let left: Vec<_> =
            fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"], "the directory is systemd's");
    }

    #[test]
    fn nothing_another_user_put_there_is_followed_or_removed() {
        let parent = tempfile::tempdir().unwrap();
        let precious = parent.path().join("precious");
        fs::create_dir(&precious).unwrap();
        fs::set_permissions(&precious, Permissions::from_mode(0o755)).unwrap();
        let file = precious.join("file");
        fs::write(&file, "precious").unwrap();
        let refused = |path: &Path, what: &str| {
            let error = RuntimeDir::open("web", &given_by_systemd(path)).unwrap_err();
            assert!(matches!(error, Error::Config(_)), "{error}");
            assert!(error.to_string().contains(what), "{error}");
        };
        for (name, target) in [("lock", &file), ("notify", &precious)] {
            let path = parent.path().join(format!("run-{name}"));
            fs::create_dir(&path).unwrap();
            std::os::unix::fs::symlink(target, path.join(name)).unwrap();
            refused(&path, &format!("{name} is a symbolic link"));
        }
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        if geteuid().is_root() {
            std::os::unix::fs::lchown(&link, Some(12345), None).unwrap();
        }
        refused(&link, "link is a symbolic link");
        if geteuid().is_root() {
            let path = parent.path().join("theirs");
            fs::create_dir(&path).unwrap();
            std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
            refused(&path, "owned by user 12345");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        assert_eq!(mode(&precious), 0o755);
    }

    #[test]
    fn a_link_is_followed_where_only_root_can_have_put_it() {
        if !geteuid().is_root() {
            return;
        }
        let parent = tempfile::tempdir().unwrap();
        let (private, link) = (parent.path().join("private"), parent.path().join("web"));
        fs::create_dir(&private).unwrap();
        std::os::unix::fs::symlink(&private, &link).unwrap();
        let directory = RuntimeDir::open("web", &given_by_systemd(&link)).unwrap();
        assert_eq!(directory.control(), link.join("control"));
        assert!(private.join("lock").exists());
        drop(directory);

        std::os::unix::fs::chown(&private, Some(12345), None).unwrap();
        let error = RuntimeDir::open("web", &given_by_systemd(&link)).unwrap_err();
        assert!(error.to_string().contains("owned by user 12345"), "{error}");
        std::os::unix::fs::chown(&private, Some(0), None).unwrap();
        // A user that may write there can move a link of root's from elsewhere to its place.
        fs::set_permissions(parent.path(), Permissions::from_mode(0o777)).unwrap();
        let error = RuntimeDir::open("web", &given_by_systemd(&link)).unwrap_err();
        assert!(error.to_string().contains("web is a symbolic link"), "{error}");
    }

    #[test]
    fn only_herders_user_can_take_the_lock_and_only_sockets_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("web");
        fs::create_dir_all(path.join("notify")).unwrap();
        fs::write(path.join("notify/file"), "precious").unwrap();
        fs::write(path.join("lock"), "").unwrap();
        fs::set_permissions(path.join("lock"), Permissions::from_mode(0o644)).unwrap();
        let directory = RuntimeDir::open("web", &given_by_systemd(&path)).unwrap();
        assert_eq!(mode(&path.join("lock")), 0o600);
        drop(directory);
        assert_eq!(fs::read_to_string(path.join("notify/file")).unwrap(), "precious");
    }

    #[test]
    fn a_directory_herder_cannot_use_is_named_with_what_to_change() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        let error =
            RuntimeDir::open("web", &given_by_systemd(&file.join("web"))).unwrap_err().to_string();
        assert!(
            error.contains("file/web as herder's runtime directory: Not a directory"),
            "{error}"
        );

        let long = parent.path().join("x".repeat(90));
        let error = RuntimeDir::open("web", &given_by_systemd(&long)).unwrap_err().to_string();
        assert!(error.contains("choose a shorter --name"), "{error}");

        let denied = io::Error::from(Errno::EACCES);
        let error = unusable(Path::new("/run/herder/web"), &denied).to_string();
        assert!(error.contains("Permission denied; herder's user must be allowed"), "{error}");
    }
}
