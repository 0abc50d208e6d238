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
    let mut command = Command::new("systemctl");
    command.args(["show", "-P", "MainPID", "--"]).arg(instance.unit());
    let shown = output(&mut command, deadline);
    is_main_process(instance, peer, shown.as_deref())
}

/// By what systemctl has shown, if it has.
fn is_main_process(
    instance: &Instance,
    peer: UnixCredentials,
    shown: Option<&str>,
) -> Result<(), Error> {
    let (unit, control) = (instance.unit(), instance.control.display());
    match shown.and_then(|text| text.trim().parse::<i32>().ok()) {
        Some(main) if main == peer.pid() => Ok(()),
        Some(main) => Err(Error::Denied(format!(
            "refusing to talk to {control}: process {} of user {} listens there, and the main process of {unit} is \
             {main}; restart the unit, or if that herder was started by hand, ask as its user",
            peer.pid(),
            peer.uid(),
        ))),
        // Nobody was refused: it is systemd that has not answered.
        None => Err(Error::Failed(format!(
            "{}: not asked, because systemd did not tell in time whether that is herder which listens at {control} \
             (systemctl show -P MainPID {unit}): it is busy or hangs; try again",
            instance.name,
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
    use std::path::PathBuf;

    #[test]
    fn only_the_main_process_is_talked_to_and_no_answer_is_no_refusal() {
        let instance = Instance {
            name: "web".to_owned(),
            control: PathBuf::from("/run/herder/web/control"),
            is_system: true,
        };
        let peer = UnixCredentials::new();
        let status = |shown: Option<&str>| {
            let error = is_main_process(&instance, peer, shown).err()?;
            Some((error.exit_status(), error.to_string()))
        };
        assert_eq!(status(Some(&format!("{}\n", peer.pid()))), None);
        let (code, text) = status(Some("1\n")).unwrap();
        assert!(
            code == 4 && text.contains("the main process of herder@web.service is 1;"),
            "{text}"
        );
        for shown in [None, Some(""), Some("no\n")] {
            let (code, text) = status(shown).unwrap();
            assert!(code == 1 && text.contains("did not tell in time"), "{text}");
        }
    }

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
