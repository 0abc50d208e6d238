//! A small HTTP worker on the `listenfd` crate: what a server needs to run well under herder,
//! and nothing herder-specific but the three variables it shows.
//!
//! README.md beside this file says how to run it; `?sleep=500` delays an answer by as many milliseconds.

use listenfd::ListenFd;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use sd_notify::NotifyState;
use std::env;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    // Block SIGTERM before there are threads: they inherit the mask, and `wait` below gets it.
    let end = SigSet::from(Signal::SIGTERM);
    end.thread_block()?;

    let about = about(); // before `from_env`, which removes LISTEN_PID and LISTEN_FDS
    let mut handed_over = ListenFd::from_env();
    let mut listeners: Vec<Box<dyn Listener>> = Vec::new();
    for index in 0..handed_over.len() {
        if let Ok(Some(listener)) = handed_over.take_tcp_listener(index) {
            // The socket is shared: a sibling may be faster, and then `accept` must not wait.
            listener.set_nonblocking(true)?;
            listeners.push(Box::new(listener));
        } else if let Ok(Some(listener)) = handed_over.take_unix_listener(index) {
            listener.set_nonblocking(true)?;
            listeners.push(Box::new(listener));
        }
    }
    if listeners.is_empty() {
        return Err("no listening stream socket in LISTEN_FDS".into());
    }

    // The scope ends when every thread in it has: the requests in flight are finished.
    let (stop, keep_going) = UnixStream::pair()?;
    let (listeners, about) = (&listeners, &about);
    thread::scope(|scope| {
        scope.spawn(move || {
            while let Some(client) = next_client(listeners, &stop) {
                scope.spawn(move || answer(client, about));
            }
        });
        sd_notify::notify(&[NotifyState::Ready])?;
        end.wait()?;
        drop(keep_going);
        Ok(())
    })
}

/// What the worker was told about itself.
fn about() -> String {
    let mut text = format!("pid {}\n", std::process::id());
    let told = [
        "HERDER_WORKER",
        "HERDER_SLOT",
        "HERDER_GENERATION",
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
    ];
    for key in told {
        if let Ok(value) = env::var(key) {
            text.push_str(&format!("{key}={value}\n"));
        }
    }
    text
}

/// A socket of either family; a `TcpStream` can read, write and shut down any stream socket.
trait Listener: AsFd + Sync {
    fn next(&self) -> io::Result<TcpStream>;
}

impl Listener for TcpListener {
    fn next(&self) -> io::Result<TcpStream> {
        Ok(self.accept()?.0)
    }
}

impl Listener for UnixListener {
    fn next(&self) -> io::Result<TcpStream> {
        Ok(OwnedFd::from(self.accept()?.0).into())
    }
}

/// Waits for a connection; `None` once the other end of `stop` is closed.
fn next_client(listeners: &[Box<dyn Listener>], stop: &UnixStream) -> Option<TcpStream> {
    let mut waiting: Vec<PollFd<'_>> =
        listeners.iter().map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)).collect();
    waiting.push(PollFd::new(stop.as_fd(), PollFlags::POLLIN));
    loop {
        if poll(&mut waiting, PollTimeout::NONE).is_err() {
            continue;
        }
        if waiting[listeners.len()].any() == Some(true) {
            return None;
        }
        for (listener, state) in listeners.iter().zip(&waiting) {
            if state.any() != Some(true) {
                continue;
            }
            if let Ok(client) = listener.next() {
                return Some(client);
            }
        }
    }
}

/// Answers one request. An error is a client that went away: nothing to be done.
fn answer(mut client: TcpStream, about: &str) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(client.try_clone()?).lines();
    let Some(request) = lines.next().transpose()? else { return Ok(()) };
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}

    let sleep = request.split(['?', '&', ' ']).find_map(|word| word.strip_prefix("sleep="));
    if let Some(milliseconds) = sleep.and_then(|text| text.parse().ok()) {
        thread::sleep(Duration::from_millis(milliseconds)); // the slow request that the client asked for
    }
    let length = about.len();
    write!(client, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n")?;
    write!(client, "Connection: close\r\n\r\n{about}")?;
    client.shutdown(Shutdown::Write)
}
