//! A worker that reports, as JSON, everything it was started with; herder's tests compare that with
//! what herder(8) promises.
//!
//! ```text
//! report-worker         answers every HTTP request on the sockets handed over with the report
//! report-worker FILE    writes the report to FILE (whole or not at all), then stays
//! ```
//!
//! Numbers are Linux's own: `signals` are the masks of /proc/PID/status (bit 0 is signal 1), `fds`
//! are those open when `main` began, `flags` are open(2)'s. Rust's runtime has set SIGPIPE to
//! *ignored* by then, so this program cannot tell how that one was inherited.

use serde_json::{Map, Value, json};
use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let report = report()?;
    if let Some(file) = env::args().nth(1) {
        let unfinished = format!("{file}.{}", std::process::id());
        fs::write(&unfinished, &report)?;
        fs::rename(unfinished, file)?;
    }
    let mut handed_over = listenfd::ListenFd::from_env();
    for index in 0..handed_over.len() {
        let report = report.clone();
        if let Ok(Some(listener)) = handed_over.take_tcp_listener(index) {
            thread::spawn(move || {
                serve(listener.incoming().map(|client| client.map(OwnedFd::from)), &report);
            });
        } else if let Ok(Some(listener)) = handed_over.take_unix_listener(index) {
            thread::spawn(move || {
                serve(listener.incoming().map(|client| client.map(OwnedFd::from)), &report);
            });
        }
    }
    sd_notify::notify(&[sd_notify::NotifyState::Ready])?;
    loop {
        thread::park(); // until a signal ends the process
    }
}

/// Answers one client after the other; a client that goes away is no failure.
fn serve(clients: impl Iterator<Item = io::Result<OwnedFd>>, report: &str) {
    for client in clients.flatten() {
        let _ = answer(TcpStream::from(client), report);
    }
}

fn answer(mut client: TcpStream, report: &str) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(client.try_clone()?).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let length = report.len();
    write!(client, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")?;
    write!(client, "Content-Length: {length}\r\nConnection: close\r\n\r\n{report}")?;
    client.shutdown(Shutdown::Write)
}

fn report() -> Result<String, Box<dyn Error>> {
    let fds = fds()?; // before anything else is opened
    let status = fs::read_to_string("/proc/self/status")?;
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name in brackets may hold spaces; the first field after it is the third of proc(5).
    let stat: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let stat_number = |field: usize| stat.get(field - 3).and_then(|text| text.parse::<i64>().ok());
    let environment: Map<String, Value> = env::vars_os()
        .map(|(key, value)| {
            (key.to_string_lossy().into_owned(), value.to_string_lossy().into_owned().into())
        })
        .collect();
    let report = json!({
        "argv": env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>(),
        "executable": fs::read_link("/proc/self/exe")?,
        "directory": env::current_dir()?,
        "environment": environment,
        "pid": std::process::id(),
        "parent": stat_number(4),
        "process_group": stat_number(5),
        "session": stat_number(6),
        "terminal": stat_number(7),
        "uid": field(&status, "Uid"),
        "umask": field(&status, "Umask"),
        "threads": field(&status, "Threads"),
        "no_new_privileges": field(&status, "NoNewPrivs"),
        "oom_score_adj": fs::read_to_string("/proc/self/oom_score_adj")?.trim(),
        "cgroup": fs::read_to_string("/proc/self/cgroup")?,
        "parent_death_signal": nix::sys::prctl::get_pdeathsig()?.map(|signal| signal as i32),
        "signals": {
            "blocked": mask(&status, "SigBlk"),
            "ignored": mask(&status, "SigIgn"),
            "caught": mask(&status, "SigCgt"),
        },
        "fds": fds,
    });
    Ok(report.to_string())
}

/// The open descriptors: `{"3": {"target": "socket:[4711]", "flags": 2, "close_on_exec": false}}`.
fn fds() -> io::Result<Map<String, Value>> {
    let numbers = fs::read_dir("/proc/self/fd")?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<String>>>()?;
    let mut fds = Map::new();
    for number in numbers {
        // The descriptor the listing itself needed is gone by now.
        let Ok(target) = fs::read_link(format!("/proc/self/fd/{number}")) else { continue };
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
        let octal = i32::from_str_radix(&field(&info, "flags"), 8).unwrap_or_default();
        let close_on_exec = octal & nix::libc::O_CLOEXEC != 0;
        let flags = octal & !nix::libc::O_CLOEXEC;
        let entry = json!({ "target": target, "flags": flags, "close_on_exec": close_on_exec });
        fds.insert(number, entry);
    }
    Ok(fds)
}

/// The first word of the line `NAME: …` of a file in /proc.
fn field(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default().to_string()
}

fn mask(status: &str, name: &str) -> Option<u64> {
    u64::from_str_radix(&field(status, name), 16).ok()
}
