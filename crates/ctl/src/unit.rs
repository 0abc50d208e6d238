//! What systemd knows of an instance: its main process, and what its workers wrote.

use super::command::output;
use super::find::Instance;
use herder_linux::error::Error;
use herder_wire::text::harmless;
use nix::sys::socket::UnixCredentials;
use nix::unistd::Uid;
use serde_json::Value;
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
    if !sd_notify::booted().unwrap_or(false) {
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

/// How much of the journal is read, and how much of that is shown, in lines.
const READ: &str = "80";
const SHOWN: usize = 20;

/// What a worker last wrote to the journal, by any of its processes, to follow a message: a heading and some
/// lines. Nothing if there is none, the journal may not be read, or cannot be by the deadline.
pub fn last_lines(pid: u32, deadline: Instant) -> String {
    let its_own = [format!("_PID={pid}")];
    let fields = "--output-fields=_SYSTEMD_CGROUP,_SYSTEMD_INVOCATION_ID";
    let entries = journal(&["-o", "json", "-n", READ, fields], &its_own, deadline);
    // journald does not always get to know where somebody was who has just ended.
    let worker = entries.and_then(|entries| entries.lines().find_map(cgroup_of_worker));
    let entries = worker.as_ref().map_or(&its_own[..], |matches| &matches[..]);
    let text = journal(&["-o", "cat", "-n", READ], entries, deadline).unwrap_or_default();
    quote(pid, &text)
}

fn journal(options: &[&str], matches: &[String], deadline: Instant) -> Option<String> {
    let mut command = Command::new("journalctl");
    command.args(["-b", "-q", "--no-pager"]).args(options).args(matches);
    output(&mut command, deadline)
}

/// What all entries of the worker match of which this is one, if it has a cgroup of its own. The numbers of workers begin
/// anew with each start of the service.
fn cgroup_of_worker(entry: &str) -> Option<[String; 2]> {
    let entry: Value = serde_json::from_str(entry).ok()?;
    let field = |name: &str| Some(format!("{name}={}", entry.get(name)?.as_str()?));
    let cgroup = field("_SYSTEMD_CGROUP")?;
    let (_, last) = cgroup.rsplit_once('/')?;
    if !last.starts_with("worker-") {
        return None;
    }
    Some([field("_SYSTEMD_INVOCATION_ID")?, cgroup])
}

fn quote(pid: u32, text: &str) -> String {
    if text.trim().is_empty() {
        return String::new();
    }
    let lines = condensed(text);
    let mut quoted = format!("\nthe worker (process {pid}) last wrote:");
    for line in &lines[lines.len().saturating_sub(SHOWN)..] {
        // Writing to a string does not fail.
        let _ = write!(quoted, "\n  | {}", harmless(line));
    }
    quoted
}

/// Without the middle of long stack traces. They are indented, and what went wrong is said before them (Ruby,
/// JavaScript, Java) or behind them (Python).
fn condensed(text: &str) -> Vec<&str> {
    const ENDS: usize = 3;
    let is_indented = |line: &str| line.starts_with([' ', '\t']);
    let lines: Vec<&str> = text.lines().collect();
    let mut kept = Vec::new();
    for run in lines.chunk_by(|one, next| is_indented(one) == is_indented(next)) {
        if run.len() > 2 * ENDS + 1 && is_indented(run[0]) {
            kept.extend_from_slice(&run[..ENDS]);
            kept.push("  …");
            kept.extend_from_slice(&run[run.len() - ENDS..]);
        } else {
            kept.extend_from_slice(run);
        }
    }
    kept
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
        let lines: Vec<String> = (1..=30).map(|line| line.to_string()).collect();
        let quoted = quote(7, &lines.join("\n"));
        assert!(
            quoted.contains("last wrote:\n  | 11\n") && quoted.ends_with("\n  | 30"),
            "{quoted}"
        );
    }

    #[test]
    fn a_stack_trace_does_not_hide_what_went_wrong() {
        let frames = |how: &str| (1..=9).map(|n| format!("{how} {n}\n")).collect::<String>();
        let ruby = format!("app.rb:1: no such thing (NameError)\n{}", frames("\tfrom"));
        let shown = ["\tfrom 1", "\tfrom 2", "\tfrom 3", "  …", "\tfrom 7", "\tfrom 8", "\tfrom 9"];
        assert_eq!(condensed(&ruby)[1..], shown);
        let python = format!("Traceback:\n{}NameError: no such thing\n", frames("  File"));
        assert_eq!(condensed(&python).len(), 2 + shown.len());
        assert_eq!(condensed("one\n  two\n  three\nfour"), ["one", "  two", "  three", "four"]);
    }

    #[test]
    fn a_worker_is_all_of_its_cgroup() {
        let entry = |cgroup| {
            format!(r#"{{"_PID":"7","_SYSTEMD_INVOCATION_ID":"abc","_SYSTEMD_CGROUP":"{cgroup}"}}"#)
        };
        let unit = "/system.slice/herder@web.service";
        assert_eq!(
            cgroup_of_worker(&entry(format!("{unit}/worker-12"))),
            Some([
                "_SYSTEMD_INVOCATION_ID=abc".to_owned(),
                format!("_SYSTEMD_CGROUP={unit}/worker-12"),
            ])
        );
        // Where workers have no cgroups of their own, or the journal does not know.
        assert_eq!(cgroup_of_worker(&entry(unit.to_owned())), None);
        assert_eq!(cgroup_of_worker("{}"), None);
        assert_eq!(cgroup_of_worker(""), None);
    }
}
