//! How to start an instance that does not run: that depends on what systemd makes of its units.

use super::command::output;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long systemd may take to tell.
const PATIENCE: Duration = Duration::from_millis(500);

/// What to say after `NAME is not running`: how that is and how to change it, as far as systemd tells in time.
pub fn how_to_start(name: &str) -> String {
    if !sd_notify::booted().unwrap_or(false) {
        return format!("; start it with: herder run /etc/herder/{name}.toml");
    }
    let mut command = Command::new("systemctl");
    command.args(["show", "-P", "ActiveState", "--"]);
    command.args([service(name), socket(name)]);
    let states = output(&mut command, Instant::now() + PATIENCE).unwrap_or_default();
    let mut states = states.split_whitespace();
    advice(name, states.next().unwrap_or_default(), states.next().unwrap_or_default())
}

/// The same, by the states of its service and its socket, empty if they are not known (systemctl(1), ActiveState).
fn advice(name: &str, of_service: &str, of_socket: &str) -> String {
    let (service, socket) = (service(name), socket(name));
    let look = format!("journalctl -e -u {service}");
    match (of_service, of_socket) {
        ("failed", _) | (_, "failed") => format!(
            ": it has failed, and systemd has given it up; see why with: {look}; \
             when that is corrected: systemctl reset-failed {socket} {service} && systemctl start {socket}"
        ),
        ("activating" | "active" | "reloading", _) => {
            format!(
                " yet: systemd is starting it, or waits before it tries again; see how that goes with: {look}"
            )
        }
        ("deactivating", _) => {
            format!(" any more: it is being stopped; see what it waits for with: {look}")
        }
        (_, "active") => format!(
            ": its socket listens, and the first connection starts it; to have that now: systemctl start {service}"
        ),
        // The service takes its socket along, and starts where there is none.
        _ => format!("; start it with: systemctl start {service}"),
    }
}

fn service(name: &str) -> String {
    format!("herder@{name}.service")
}

fn socket(name: &str) -> String {
    format!("herder@{name}.socket")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_fits_what_systemd_says() {
        let recover = "systemctl reset-failed herder@web.socket herder@web.service && systemctl start herder@web.socket";
        let start = "systemctl start herder@web.service";
        for (service, socket, how, what) in [
            ("inactive", "inactive", "; start it", start),
            ("", "", "; start it", start),
            ("inactive", "active", ": its socket listens", start),
            ("failed", "active", ": it has failed", recover),
            ("inactive", "failed", ": it has failed", recover),
            ("activating", "active", " yet: ", "journalctl -e -u herder@web.service"),
            ("deactivating", "active", " any more: ", "journalctl -e -u herder@web.service"),
        ] {
            let text = advice("web", service, socket);
            assert!(text.starts_with(how) && text.ends_with(what), "{service} {socket}: {text}");
        }
    }
}
