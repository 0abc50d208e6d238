//! A stand-in for systemd: hands over sockets, listens on `NOTIFY_SOCKET`, starts herder, and
//! leaves nothing of it behind.
//!
//! Unlike the real one (tests/system) it checks nothing: messages of herder are kept as they came. Not obvious:
//! processes that workers leave behind are found by a variable in their environment, so the guard also finds those that
//! have left every session and group that it knows.

use crate::wait::{PATIENCE, until};
use herder_linux::child;
use herder_linux::spawn::{Child, Program, spawn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Marks every process of a test, by the test's own directory. (What begins with `HERDER_` herder
/// keeps to itself.)
const MARK: &str = "TEST_DIRECTORY";

/// A `herder@it.service` that has not been started yet.
pub struct Unit {
    dir: TempDir,
    notify: UnixDatagram,
    sockets: Vec<(String, OwnedFd)>,
    environment: BTreeMap<String, String>,
    arguments: Vec<String>,
    wrapper: Vec<String>,
    output: Option<OwnedFd>,
}

impl Unit {
    /// With this settings file. `$DIR` in it is the test's own directory, `$EXAMPLES` that of
    /// the example workers.
    pub fn new(settings: &str) -> Unit {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let notify = UnixDatagram::bind(&path).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let environment = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("NOTIFY_SOCKET", text(&path)),
            ("RUNTIME_DIRECTORY", text(&dir.path().join("run"))),
            (MARK, text(dir.path())),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
        let file = dir.path().join("it.toml");
        fs::write(&file, filled_in(settings, dir.path())).unwrap();
        Unit {
            notify,
            sockets: Vec::new(),
            environment,
            arguments: vec!["run".to_owned(), text(&file)],
            wrapper: Vec::new(),
            output: None,
            dir,
        }
    }

    /// A path in the test's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Hands over a descriptor, after those before.
    pub fn socket(mut self, name: &str, socket: impl Into<OwnedFd>) -> Unit {
        self.sockets.push((name.to_owned(), socket.into()));
        self
    }

    /// Sets a variable, over what systemd would say.
    pub fn env(mut self, name: &str, value: &str) -> Unit {
        self.environment.insert(name.to_owned(), filled_in(value, self.dir.path()));
        self
    }

    /// Adds options to `herder run FILE`.
    pub fn options(mut self, options: &[&str]) -> Unit {
        self.arguments.extend(options.iter().map(|option| filled_in(option, self.dir.path())));
        self
    }

    /// Makes herder send its messages to an abstract socket.
    pub fn with_abstract_notify_socket(mut self) -> Unit {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("herder-it-{}-{count}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        self.notify = UnixDatagram::bind_addr(&address).unwrap();
        self.env("NOTIFY_SOCKET", &format!("@{name}"))
    }

    /// Fills the queue of messages to systemd, and returns how many are in it.
    pub fn fill_notify_queue(&self) -> usize {
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        let fill = || sender.send_to(b"FILLER=1", self.path("notify"));
        (0..).take_while(|_| fill().is_ok()).count()
    }

    /// Starts herder through this command, which has to execute the arguments that follow it.
    pub fn through(mut self, wrapper: &[&str]) -> Unit {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Starts herder as a child of systemd, so that its workers need not die with it.
    pub fn by_systemd_itself(self) -> Unit {
        self.through(&["/bin/sh", "-c", "SYSTEMD_EXEC_PID=$$ exec \"$@\"", "sh"])
    }

    /// What herder and its workers write goes here, instead of into the log that a failure prints.
    pub fn output(mut self, output: impl Into<OwnedFd>) -> Unit {
        self.output = Some(output.into());
        self
    }

    /// Starts herder.
    pub fn start(mut self) -> Herder {
        let own = File::create(self.path("log")).unwrap();
        let output = self.output.take().unwrap_or_else(|| own.into());
        if !self.sockets.is_empty() {
            let names: Vec<&str> = self.sockets.iter().map(|(name, _)| name.as_str()).collect();
            let count = names.len().to_string();
            self.environment.entry("LISTEN_FDNAMES".into()).or_insert(names.join(":"));
            self.environment.entry("LISTEN_FDS".into()).or_insert(count);
        }
        let mut argv = self.wrapper.clone();
        argv.push(env!("CARGO_BIN_EXE_herder").to_owned());
        argv.append(&mut self.arguments);
        let variables = self.environment.iter().map(|(name, value)| c(&format!("{name}={value}")));
        let program = Program {
            path: c(&argv[0]).into(),
            argv: argv.iter().map(|word| c(word).into()).collect(),
            env: variables.map(Into::into).collect(),
            directory: None,
            listen_pid: !self.sockets.is_empty() && !self.environment.contains_key("LISTEN_PID"),
            watchdog_pid: false,
            stdin: None,
            output: Some(output.as_raw_fd()),
            die_with_herder: true,
            ignore_sigpipe: true,
            reset_oom_score: false,
            open_files: None,
            limits: None,
            cpu: None,
            cgroup: None,
        };
        let fds: Vec<BorrowedFd<'_>> = self.sockets.iter().map(|(_, fd)| fd.as_fd()).collect();
        let child = spawn(&program, &fds).unwrap();
        Herder { unit: self, child, heard: Vec::new(), lines_passed: 0, exit: None }
    }
}

/// A running herder, which does not outlive the test.
pub struct Herder {
    unit: Unit,
    child: Child,
    heard: Vec<Datagram>,
    /// How many lines of the last datagram were waited for.
    lines_passed: usize,
    exit: Option<i32>,
}

/// What herder told systemd, and when it was read.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub text: String,
    pub at: Instant,
}

impl Datagram {
    /// Whether one of its lines begins like this.
    pub fn says(&self, line: &str) -> bool {
        self.text.lines().any(|there| there.starts_with(line))
    }

    /// What follows `NAME=`.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }
}

impl Herder {
    /// A path in the test's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.unit.path(name)
    }

    pub fn pid(&self) -> i32 {
        self.child.pid
    }

    /// What herder logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until the log holds this text.
    pub fn logs(&self, text: &str) {
        until(&format!("logged: {text}"), || self.log().contains(text));
    }

    /// Waits until the file in the test's directory holds this many lines; the file's text.
    pub fn lines(&self, file: &str, count: usize) -> Vec<String> {
        let read = || fs::read_to_string(self.path(file)).unwrap_or_default();
        until(&format!("{count} lines in {file}"), || read().matches('\n').count() >= count);
        read().lines().map(str::to_owned).collect()
    }

    /// Writes new settings, which herder reads at its next reload.
    pub fn settings(&self, settings: &str) {
        fs::write(self.path("it.toml"), filled_in(settings, self.unit.dir.path())).unwrap();
    }

    /// Sends a signal to herder.
    pub fn signal(&self, signal: Signal) {
        child::signal(self.child.pidfd.as_fd(), signal as i32).unwrap();
    }

    /// Waits for a line that begins like this; those before it are passed over. The datagram it
    /// is in.
    pub fn hears(&mut self, line: &str) -> Datagram {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(last) = self.heard.last() {
                let mut lines = last.text.lines().enumerate().skip(self.lines_passed);
                if let Some((number, _)) = lines.find(|(_, there)| there.starts_with(line)) {
                    self.lines_passed = number + 1;
                    return last.clone();
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            self.next(left).unwrap_or_else(|| panic!("not said within {PATIENCE:?}: {line}"));
            self.lines_passed = 0;
        }
    }

    /// Waits until a line that begins like this was said, if it was not before.
    pub fn has_said(&mut self, line: &str) {
        if !self.heard.iter().any(|datagram| datagram.says(line)) {
            self.hears(line);
        }
    }

    /// The next datagram, if one comes in time.
    pub fn next(&mut self, timeout: Duration) -> Option<Datagram> {
        // Zero would mean for ever.
        let timeout = timeout.max(Duration::from_millis(1));
        self.unit.notify.set_read_timeout(Some(timeout)).unwrap();
        let mut buffer = [0; 8192];
        let length = loop {
            match self.unit.notify.recv(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                received => break received.ok()?,
            }
        };
        assert!(length < 4096, "systemd drops a datagram of {length} bytes");
        let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
        self.lines_passed = usize::MAX;
        self.heard.push(Datagram { text, at: Instant::now() });
        self.heard.last().cloned()
    }

    /// Everything that was read so far.
    pub fn heard(&self) -> &[Datagram] {
        &self.heard
    }

    /// Waits until herder has ended: its exit status, or minus the signal that killed it.
    pub fn exits(&mut self) -> i32 {
        if let Some(exit) = self.exit {
            return exit;
        }
        let mut fds = [PollFd::new(self.child.pidfd.as_fd(), PollFlags::POLLIN)];
        let ended = poll(&mut fds, PollTimeout::try_from(PATIENCE).unwrap());
        assert_eq!(ended, Ok(1), "herder still runs after {PATIENCE:?}");
        let raw = child::reap(self.child.pidfd.as_fd()).unwrap().unwrap();
        let exit = if raw.code == nix::libc::CLD_EXITED { raw.status } else { -raw.status };
        // What it said last is in the socket's queue.
        while self.next(Duration::ZERO).is_some() {}
        *self.exit.insert(exit)
    }

    /// SIGTERM, and the exit status.
    pub fn stops(&mut self) -> i32 {
        self.signal(Signal::SIGTERM);
        self.exits()
    }

    /// Whether herder runs.
    pub fn is_running(&self) -> bool {
        self.exit.is_none() && child::peek(self.child.pidfd.as_fd()).unwrap().is_none()
    }

    /// Every process of this test that runs, other than herder.
    pub fn processes(&self) -> Vec<i32> {
        let mark = format!("{MARK}={}", self.unit.dir.path().display());
        processes_with(&mark).into_iter().filter(|pid| *pid != self.child.pid).collect()
    }
}

impl Drop for Herder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            while self.next(Duration::ZERO).is_some() {}
            eprintln!("--- herder's log ---\n{}", self.log());
            eprintln!("--- herder told systemd ---");
            for datagram in &self.heard {
                eprintln!("{:?}", datagram.text);
            }
        }
        // The kernel takes herder's workers with it, but not what those left behind.
        if self.exit.is_none() {
            let _ = child::signal(self.child.pidfd.as_fd(), nix::libc::SIGKILL);
        }
        // Checked twice, because between fork and exec a process does not have this environment yet.
        let mut seen_none = 0;
        while seen_none < 2 {
            let left = self.processes();
            for pid in &left {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            seen_none = if left.is_empty() { seen_none + 1 } else { 0 };
            std::thread::sleep(Duration::from_millis(2));
        }
        if self.exit.is_none() {
            let mut fds = [PollFd::new(self.child.pidfd.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::try_from(PATIENCE).unwrap());
            let _ = child::reap(self.child.pidfd.as_fd());
        }
    }
}

/// Running processes with this assignment in the environment they were started with.
fn processes_with(assignment: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        // Empty for a zombie.
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == assignment.as_bytes())
    })
    .collect()
}

/// The directory of the example workers, which `cargo test` builds beside the tests.
pub fn examples() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().unwrap().with_file_name("examples");
    let there = path.join("misbehave").exists();
    assert!(there, "no example workers in {}: run `cargo build --examples`", path.display());
    path
}

fn filled_in(text: &str, dir: &Path) -> String {
    text.replace("$DIR", dir.to_str().unwrap()).replace("$EXAMPLES", examples().to_str().unwrap())
}

fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}
