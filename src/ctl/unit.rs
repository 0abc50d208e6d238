//! What systemd knows of an instance: its main process, and what its workers wrote.

use super::command::output;
use super::find::Instance;
use crate::error::Error;
use crate::log::harmless;
use nix::sys::socket::UnixCredentials;
use nix::unistd::Uid;
use std::fmt::Write;
use std::process::Command;
use std::time::Instant;

/// Makes sure that root talks to herder, and not to a worker that has put a socket in its place:
/// workers run under herder's user and can write to its directory. A process of root's own is
/// trusted; any other has to be the main process of the unit. Knows by the deadline, or refuses.
pub fn check_peer(
    instance: &Instance,
    peer: UnixCredentials,
    deadline: Instant,
) -> Result<(), Error> {
    if !Uid::effective().is_root() || peer.uid() == 0 || !instance.is_system {
        return Ok(());
    }
    if !libsystemd::daemon::booted() {
        return Ok(());
    }
    let unit = instance.unit();
    let mut command = Command::new("systemctl");
    command.args(["show", "-P", "MainPID", "--"]).arg(&unit);
    let main = output(&mut command, deadline);
    match main.as_deref().map(str::trim).and_then(|text| text.parse::<i32>().ok()) {
        Some(main) if main == peer.pid() => Ok(()),
        Some(main) => Err(Error::Denied(format!(
            "refusing to talk to {}: process {} of user {} listens there, and the main process of {unit} is {main}; \
             restart the unit, or if that herder was started by hand, ask as its user",
            instance.control.display(),
            peer.pid(),
            peer.uid(),
        ))),
        None => Err(Error::Denied(format!(
            "cannot check who listens at {}: systemctl show did not tell the main process of {unit} \
             in time; try again",
            instance.control.display(),
        ))),
    }
}

/// What the process last wrote to the journal, to follow a message: a heading and up to ten lines.
/// Nothing if there is none, the journal may not be read, or cannot be by the deadline.
pub fn last_lines(pid: u32, deadline: Instant) -> String {
    let mut command = Command::new("journalctl");
    command.args(["-b", "-q", "--no-pager", "-o", "cat", "-n", "10"]).arg(format!("_PID={pid}"));
    let text = output(&mut command, deadline).unwrap_or_default();
    quote(pid, &text)
}

fn quote(pid: u32, text: &str) -> String {
    if text.trim().is_empty() {
        return String::new();
    }
    let mut quoted = format!("\nthe worker (process {pid}) last wrote:");
    for line in text.lines() {
        // Writing to a string does not fail.
        let _ = write!(quoted, "\n  | {}", harmless(line));
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_wrote_is_quoted() {
        assert_eq!(quote(7, ""), "");
        assert_eq!(quote(7, " \n"), "");
        assert_eq!(
            quote(7, "one\n\x1b[31mtwo\n"),
            "\nthe worker (process 7) last wrote:\n  | one\n  | \\u{1b}[31mtwo"
        );
    }
}
