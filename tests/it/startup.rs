//! Mistakes that herder finds when it starts: it exits with a message before it starts a worker.

use crate::client::{Running, command};
use crate::systemd::Unit;
use crate::workers::{REPORT, misbehave, script};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

/// Starts, and has to end with this status and these words.
fn refused(unit: Unit, code: i32, words: &[&str]) {
    let mut herder = unit.start();
    assert_eq!(herder.exits(), code);
    for words in words {
        assert!(herder.log().contains(words), "{words}");
    }
    assert!(!herder.log().contains("panicked"));
}

/// ENOENT, EACCES, ENOEXEC, ENOTDIR, ELOOP: trying again would not help.
#[test]
fn a_command_that_cannot_be_executed_is_78_at_once() {
    for (program, words) in [
        ("missing", "No such file or directory"),
        ("plain", "is not executable"),
        ("noexec", "Exec format error"),
        ("plain/program", "Not a directory"),
        ("loop", "Too many levels of symbolic links"),
        ("directory", "is not a regular file"),
        ("orphan", "interpreter does not exist"),
    ] {
        let unit = Unit::new(&format!("workers = 2\ncommand = [\"$DIR/{program}\"]\n"));
        let path = |name: &str| unit.path(name);
        fs::write(path("plain"), "").unwrap();
        script(&path("noexec"), "neither ELF nor #!\n");
        script(&path("orphan"), "#!/no/such/interpreter\n");
        symlink(path("loop"), path("loop")).unwrap();
        fs::create_dir(path("directory")).unwrap();
        refused(unit, 78, &["cannot execute", words]);
    }
}

#[test]
fn a_program_that_path_does_not_find_is_named() {
    let unit = Unit::new("command = [\"no-such-program\"]\n");
    refused(unit, 78, &["no program `no-such-program` in PATH"]);
}

#[test]
fn a_missing_directory_is_named() {
    let unit = Unit::new(&format!("directory = \"$DIR/gone\"\n{REPORT}"));
    refused(unit, 78, &["it.toml:1:", "`directory`", "gone"]);
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    let unit = Unit::new("worker = 3\nbind = 80\nready = 7\nstop-timeout = \"soon\"\n");
    let words =
        ["it.toml:1:1: ", "`workers`?", "it.toml:2:1: ", "`listen`", "it.toml:3:", "it.toml:4:"];
    refused(unit, 78, &words);
}

#[test]
fn settings_that_cannot_be_read_are_named() {
    let unit = Unit::new("");
    fs::remove_file(unit.path("it.toml")).unwrap();
    refused(unit, 78, &["cannot read", "it.toml"]);
}

#[test]
fn a_wrong_command_line_is_64() {
    let unit = Unit::new(REPORT).options(&["--no-such-option"]);
    refused(unit, 64, &["--no-such-option"]);
    assert_eq!(Running::of(&mut command(&["rum"])).ends().code, 64);
}

#[test]
fn a_second_herder_of_the_same_name_is_refused() {
    let first = Unit::new(&format!("workers = 1\n{}", misbehave("ready"))).start();
    first.serves(1);
    let directory = first.path("run");
    let unit = Unit::new(REPORT).env("RUNTIME_DIRECTORY", directory.to_str().unwrap());
    let words = format!("another herder (pid {}) runs as it", first.pid());
    refused(unit, 78, &[&words, "--name"]);
    // The first herder is not disturbed.
    first.serves(1);
    assert_eq!(first.reload().code, 0);
}

#[test]
fn a_dead_herders_directory_is_taken_over() {
    let mut first = Unit::new(&format!("workers = 1\n{}", misbehave("ready"))).start();
    first.serves(1);
    first.signal(nix::sys::signal::Signal::SIGKILL);
    first.exits();
    let directory = first.path("run");
    assert!(directory.join("control").exists());
    let unit = Unit::new(&format!("workers = 0\n{}", misbehave("")))
        .env("RUNTIME_DIRECTORY", directory.to_str().unwrap());
    let mut second = unit.start();
    second.hears("READY=1");
    assert_eq!(second.stops(), 0);
    assert!(!directory.join("control").exists());
}

#[test]
fn a_runtime_directory_without_permission_is_named_with_what_to_change() {
    let mut unit = Unit::new(REPORT).env("RUNTIME_DIRECTORY", "$DIR/closed/run");
    let closed = unit.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    if nix::unistd::geteuid().is_root() {
        // Root may write everywhere but for its capabilities.
        let without = "--bounding-set=-dac_override,-dac_read_search";
        unit = unit.through(&["/usr/bin/setpriv", without]);
    }
    refused(unit, 78, &["closed/run", "Permission denied", "RUNTIME_DIRECTORY"]);
}

/// A socket's path has room for 107 bytes (unix(7)).
#[test]
fn a_path_that_is_too_long_for_sockets_is_named() {
    let long = format!("$DIR/{}", "x".repeat(90));
    let unit = Unit::new(REPORT).env("RUNTIME_DIRECTORY", &long);
    refused(unit, 78, &["xxx", "shorter --name"]);
}

#[test]
fn a_notify_socket_that_is_no_unix_socket_is_refused() {
    let unit = Unit::new(REPORT).env("NOTIFY_SOCKET", "vsock:2:1234");
    refused(unit, 78, &["NOTIFY_SOCKET=vsock:2:1234"]);
}

#[test]
fn commands_say_that_no_herder_runs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    for verb in ["status", "reload"] {
        let said = Running::of(&mut command(&[verb, path])).ends();
        assert_eq!(said.code, 3, "{said:?}");
        assert!(said.err.contains("is not running"), "{said:?}");
        let said = Running::of(&mut command(&[verb, "/no/such/directory"])).ends();
        assert_eq!(said.code, 4, "{said:?}");
    }
}
