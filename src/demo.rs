//! The demonstration worker: what `herder run` starts when it is given no command, so that a first
//! try needs nothing but the binary. One small page says which worker answered.
//!
//! It is an ordinary worker: it takes its sockets from `LISTEN_FDS`, says READY=1 on its own
//! `NOTIFY_SOCKET`, and on SIGTERM finishes the requests it has accepted. It is not a web server:
//! one request for each connection, no routes, no bodies.
//!
//! Not obvious: the sockets are shared with every other worker. A connection that wakes all of them
//! is accepted by one, so the listeners must not block; and O_NONBLOCK belongs to the socket, not
//! to this process (fcntl(2)), so it is set for the siblings too, which are demonstration workers
//! as well.

use herder_linux::error::Error;
use herder_linux::sockets;
use herder_wire::address::Address;
use listenfd::ListenFd;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::pipe2;
use sd_notify::NotifyState;
use std::env;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Connections served at the same time; further ones wait in the queue, for any worker.
const SEATS: usize = 16;
/// Bytes a request may have before its empty line, and after our answer.
const REQUEST_LIMIT: usize = 8 * 1024;
/// How long one client may keep a seat.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves the page on every stream socket handed over, until SIGTERM, SIGINT or SIGQUIT.
///
/// # Errors
/// [`Error::Config`] when no stream socket was handed over, [`Error::System`] when the system
/// refuses what the worker needs.
pub fn run() -> Result<(), Error> {
    // Blocked before there are threads: they inherit the mask, so the signal waits for `wait` below.
    let end = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT]);
    end.thread_block().map_err(|why| Error::system("block signals", why))?;
    let (doors, addresses) = take_sockets()?;
    let page = Page::from_environment();
    // Never written to: its end is what tells every thread to stop.
    let (stop, keep_going) =
        pipe2(OFlag::O_CLOEXEC).map_err(|why| Error::system("make a pipe", why))?;

    let turn = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..SEATS {
            scope.spawn(|| {
                while let Some(client) = next_client(&turn, &doors, &stop) {
                    // A client that went away is no failure of the worker.
                    let _ = page.answer(client);
                }
            });
        }
        if env::var("HERDER_WORKER").as_deref() == Ok("1") {
            println!("the demonstration is at {addresses}");
        }
        tell(&[NotifyState::Ready, NotifyState::Status(&format!("serving {addresses}"))])?;
        end.wait().map_err(|why| Error::system("wait for a signal", why))?;
        drop(keep_going);
        tell(&[NotifyState::Stopping, NotifyState::Status("finishing requests")])
    })
}

/// Tells herder, if it asked to be told.
fn tell(state: &[NotifyState<'_>]) -> Result<(), Error> {
    sd_notify::notify(state).map_err(|why| Error::system("write to NOTIFY_SOCKET", why))
}

/// A listener of either family.
enum Door {
    Inet(TcpListener),
    Unix(UnixListener),
}

impl Door {
    fn accept(&self) -> io::Result<TcpStream> {
        match self {
            Door::Inet(listener) => listener.accept().map(|(stream, _)| stream),
            // `TcpStream` reads, writes and shuts down any stream socket.
            Door::Unix(listener) => {
                listener.accept().map(|(stream, _)| TcpStream::from(OwnedFd::from(stream)))
            }
        }
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Door::Inet(listener) => listener.set_nonblocking(true),
            Door::Unix(listener) => listener.set_nonblocking(true),
        }
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Door::Inet(listener) => listener.as_fd(),
            Door::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Takes the stream sockets that herder handed over, and says where they listen.
fn take_sockets() -> Result<(Vec<Door>, String), Error> {
    let mut doors = Vec::new();
    let mut addresses = Vec::new();
    let mut handed_over = handed_over();
    for index in 0..handed_over.len() {
        // A socket of another kind stays where it is: listenfd takes one only as what it is.
        let door = if let Ok(Some(listener)) = handed_over.take_tcp_listener(index) {
            Door::Inet(listener)
        } else if let Ok(Some(listener)) = handed_over.take_unix_listener(index) {
            Door::Unix(listener)
        } else {
            continue;
        };
        let Some(address) = sockets::local_address(door.as_fd().as_raw_fd()) else { continue };
        addresses.push(match &address {
            Address::Inet(address) => format!("http://{address}"),
            Address::Unix(_) | Address::Abstract(_) => address.to_string(),
        });
        door.set_nonblocking().map_err(|why| Error::system("prepare a socket", why))?;
        doors.push(door);
    }
    if doors.is_empty() {
        return Err(Error::Config(
            "the demonstration worker was given no stream socket to serve; \
             try: herder run --listen 127.0.0.1:8000"
                .into(),
        ));
    }
    Ok((doors, addresses.join(" and ")))
}

/// The sockets in `LISTEN_FDS`. herder names this process in `LISTEN_PID`; where the variable is missing,
/// listenfd would take descriptors that were meant for the process above.
fn handed_over() -> ListenFd {
    match env::var("LISTEN_PID") {
        Ok(pid) if !pid.is_empty() => ListenFd::from_env(),
        _ => ListenFd::empty(),
    }
}

/// Waits for a connection; `None` when it is time to stop.
///
/// `turn` lets one thread at a time wait, so that a connection wakes one thread of each worker; it
/// holds the door to try first, so that a busy one cannot starve the others.
fn next_client(turn: &Mutex<usize>, doors: &[Door], stop: &OwnedFd) -> Option<TcpStream> {
    let mut first = turn.lock().unwrap_or_else(PoisonError::into_inner);
    let mut waiting: Vec<PollFd<'_>> =
        doors.iter().map(|door| PollFd::new(door.as_fd(), PollFlags::POLLIN)).collect();
    waiting.push(PollFd::new(stop.as_fd(), PollFlags::POLLIN));
    loop {
        if poll(&mut waiting, PollTimeout::NONE).is_err() {
            continue;
        }
        let ready = |index: usize| waiting[index].any() == Some(true);
        if ready(doors.len()) {
            return None;
        }
        for index in (0..doors.len()).map(|step| (*first + step) % doors.len()) {
            // An error is a sibling that was faster, or a client that is gone: accept(2).
            if !ready(index) {
                continue;
            }
            if let Ok(client) = doors[index].accept() {
                *first = index + 1;
                return Some(client);
            }
        }
    }
}

/// What this worker answers.
struct Page {
    text: String,
    html: String,
}

impl Page {
    fn from_environment() -> Page {
        // Numbers only, so that they can stand in a page as they are.
        let number = |key| {
            let value = env::var(key).ok().and_then(|value| value.parse::<u64>().ok());
            value.map_or("?".into(), |value| value.to_string())
        };
        let worker = number("HERDER_WORKER");
        let slot = number("HERDER_SLOT");
        let generation = number("HERDER_GENERATION");
        let pid = std::process::id().to_string();
        let html =
            [("WORKER", &worker), ("SLOT", &slot), ("PID", &pid), ("GENERATION", &generation)]
                .into_iter()
                .fold(HTML.to_string(), |page, (name, value)| page.replace(name, value));
        Page {
            text: format!("worker {worker} in slot {slot}, pid {pid}, generation {generation}\n"),
            html,
        }
    }

    /// Reads one request and answers it.
    fn answer(&self, mut client: TcpStream) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        client.set_write_timeout(Some(PATIENCE))?;
        let mut head = Vec::new();
        while !head.windows(4).any(|four| four == b"\r\n\r\n") && head.len() < REQUEST_LIMIT {
            if read_some(&mut client, deadline, &mut head)? == 0 {
                return Ok(());
            }
        }
        client.write_all(self.response(&head).as_bytes())?;
        // Closing with unread bytes would reset the connection, and the client may lose the answer.
        client.shutdown(Shutdown::Write)?;
        let mut rest = Vec::new();
        while rest.len() < REQUEST_LIMIT && read_some(&mut client, deadline, &mut rest)? > 0 {}
        Ok(())
    }

    fn response(&self, head: &[u8]) -> String {
        let head = String::from_utf8_lossy(head);
        let method = head.split(' ').next().unwrap_or_default();
        let wants_html = head.lines().any(|line| {
            line.split_once(':').is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case("accept") && value.contains("text/html")
            })
        });
        let (status, kind, body) = match method {
            _ if !head.contains("\r\n\r\n") => {
                ("431 Request Header Fields Too Large", "text/plain", "request too large\n")
            }
            "GET" | "HEAD" if wants_html => ("200 OK", "text/html", self.html.as_str()),
            "GET" | "HEAD" => ("200 OK", "text/plain", self.text.as_str()),
            _ => ("405 Method Not Allowed", "text/plain", "only GET and HEAD\n"),
        };
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\n\
             Allow: GET, HEAD\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{}",
            body.len(),
            if method == "HEAD" { "" } else { body },
        )
    }
}

/// Reads what is there, waiting no longer than until `deadline`; 0 at the end of the stream.
fn read_some(client: &mut TcpStream, deadline: Instant, into: &mut Vec<u8>) -> io::Result<usize> {
    let left = deadline.saturating_duration_since(Instant::now());
    // A timeout of zero would mean “for ever” and is refused by the standard library.
    client.set_read_timeout(Some(left))?;
    let mut buffer = [0; 1024];
    let length = client.read(&mut buffer)?;
    into.extend_from_slice(&buffer[..length]);
    Ok(length)
}

/// The page for browsers; the words in capitals are replaced.
const HTML: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>herder: worker WORKER</title>
<link rel="icon" href="data:,">
<style>
  :root { color-scheme: light dark; font: 1.1rem/1.5 system-ui, sans-serif }
  body { max-width: 34rem; margin: 12vh auto; padding: 0 1.5rem }
  dl { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1rem; margin: 2rem 0 }
  dt { opacity: .65 }
  dd { margin: 0; font: 600 2rem/1.2 ui-monospace, monospace }
  code { font: .95em ui-monospace, monospace }
</style>
</head>
<body>
<h1>herder works</h1>
<p>systemd owns the sockets, herder owns the workers, the kernel carries the traffic. This answer came from</p>
<dl>
  <div><dt>worker</dt><dd>WORKER</dd></div>
  <div><dt>slot</dt><dd>SLOT</dd></div>
  <div><dt>pid</dt><dd>PID</dd></div>
  <div><dt>generation</dt><dd>GENERATION</dd></div>
</dl>
<p>Load the page again and another worker may answer. Then try <code>kill -9 PID</code> (the slot gets
a new worker) and <code>herder reload</code> (every slot does, and no request fails).</p>
</body>
</html>
"#;
