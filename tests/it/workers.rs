//! The programs that run as workers in these tests, and helpers to signal them.

use nix::sys::signal::{Signal, kill as send};
use nix::unistd::Pid;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Reports what it was started with to `$DIR/report-WORKER`, then serves.
pub const REPORT: &str = "workers = 1\nready = \"notify\"\n\
                          command = [\"$EXAMPLES/report-worker\", \"$DIR/report-{worker}\"]\n";

/// `command` for a worker that does this, word by word (examples/misbehave.rs).
pub fn misbehave(steps: &str) -> String {
    let steps: Vec<String> =
        steps.split_ascii_whitespace().map(|step| format!(", {}", quoted(step))).collect();
    format!("command = [\"$EXAMPLES/misbehave\"{}]\n", steps.concat())
}

/// `command` for a worker that is a shell.
pub fn shell(script: &str) -> String {
    format!("command = [\"/bin/sh\", \"-c\", {}]\n", quoted(script))
}

/// As TOML writes it; its strings are JSON's, and braces are placeholders.
fn quoted(text: &str) -> String {
    serde_json::to_string(&text.replace('{', "{{").replace('}', "}}")).unwrap()
}

/// An executable file.
pub fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Sends a signal to a worker.
pub fn kill(pid: Option<u32>, signal: Signal) {
    let pid = i32::try_from(pid.unwrap()).unwrap();
    send(Pid::from_raw(pid), signal).unwrap();
}

/// A socket for workers.
pub fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}
