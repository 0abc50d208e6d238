//! A terminal of an exact size, in a tmux server of its own that does not outlive the test.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whether there is a tmux; if not, says aloud that the test is skipped, and fails where all are meant to
/// run.
pub fn is_there() -> bool {
    let version =
        Command::new("tmux").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = version.is_ok_and(|status| status.success());
    if !there {
        assert!(std::env::var_os("CI").is_none(), "there is no tmux");
        eprintln!("SKIPPED: there is no tmux");
    }
    there
}

/// What a shell says of the command it has run; tmux itself is not always told.
const ENDED: &str = "the command has ended with ";

/// A terminal.
pub struct Terminal {
    server: String,
}

impl Terminal {
    /// Runs a command of a shell in a terminal of this size, which stays to be read.
    pub fn running(size: (u16, u16), command: &str) -> Terminal {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let terminal = Terminal { server: format!("herder-top-{}-{count}", std::process::id()) };
        let (width, height) = (size.0.to_string(), size.1.to_string());
        let start = ["new-session", "-d", "-x", &width, "-y", &height];
        let command = format!("{command}; echo {ENDED}$?; exec cat");
        let all = ["set-option", "-g", "status", "off", ";"].iter().chain(&start);
        let arguments: Vec<&str> = all.copied().chain([command.as_str()]).collect();
        terminal.tmux(&arguments);
        terminal
    }

    /// `herder ARGUMENTS…` in a terminal of this size.
    pub fn herder(size: (u16, u16), arguments: &str) -> Terminal {
        Terminal::running(size, &format!("{} {arguments}", herder()))
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", &self.server, "-f", "/dev/null"]).args(arguments);
        command
            .env_remove("TMUX")
            .env_remove("NO_COLOR")
            .env("LC_ALL", "C.UTF-8")
            .env("SHELL", "/bin/sh");
        let output = command.stdin(Stdio::null()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The same, with how it looks.
    pub fn painted(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e", "-N"])
    }

    /// Presses keys: characters, or names as tmux(1) has them.
    pub fn press(&self, keys: &[&str]) {
        let arguments: Vec<&str> = ["send-keys"].iter().chain(keys).copied().collect();
        self.tmux(&arguments);
    }

    /// Another size.
    pub fn resize(&self, size: (u16, u16)) {
        let (width, height) = (size.0.to_string(), size.1.to_string());
        self.tmux(&["resize-window", "-x", &width, "-y", &height]);
    }

    /// What tmux knows of the terminal, as its formats say it.
    pub fn knows(&self, format: &str) -> String {
        self.tmux(&["display-message", "-p", format]).trim_end().to_owned()
    }

    /// The process that runs in the terminal.
    pub fn pid(&self) -> i32 {
        self.knows("#{pane_pid}").parse().unwrap()
    }

    /// Waits until the screen is as described.
    pub fn shows_when(&self, what: &str, mut condition: impl FnMut(&str) -> bool) -> String {
        let mut last = String::new();
        let deadline = std::time::Instant::now() + crate::wait::PATIENCE;
        while std::time::Instant::now() < deadline {
            last = self.screen();
            if condition(&last) {
                return last;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("not within {:?}: {what}; the screen was\n{last}", crate::wait::PATIENCE);
    }

    /// Waits until these texts are on the screen.
    pub fn shows(&self, texts: &[&str]) -> String {
        self.shows_when(&format!("{texts:?}"), |screen| {
            texts.iter().all(|text| screen.contains(text))
        })
    }

    /// Waits until the command has ended: its exit status.
    pub fn ends(&self) -> i32 {
        let screen = self.shows(&[ENDED]);
        let status = screen.split(ENDED).nth(1).and_then(|rest| rest.split_whitespace().next());
        status.and_then(|status| status.parse().ok()).unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let screen =
                Command::new("tmux").args(["-L", &self.server, "capture-pane", "-p"]).output();
            let screen = screen.map(|output| output.stdout).unwrap_or_default();
            eprintln!("--- the screen ---\n{}", String::from_utf8_lossy(&screen));
        }
        let _ = Command::new("tmux")
            .args(["-L", &self.server, "kill-server"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// The program, for a shell.
pub fn herder() -> String {
    quoted(Path::new(env!("CARGO_BIN_EXE_herder")))
}

/// A path, for a shell.
pub fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_str().unwrap())
}
