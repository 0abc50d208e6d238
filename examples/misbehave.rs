//! A worker that does what its arguments say, one step after the other: for trying and testing what
//! herder does about workers that misbehave. After the last step it stays until a signal ends it.
//!
//! ```text
//! misbehave                                 never ready
//! misbehave exit 3                          ends at once
//! misbehave ready                           ready, serves nothing
//! misbehave ready wait 200 die 9            ready, killed by a signal 200 ms later
//! misbehave ignore-term ready               has to be killed
//! misbehave ready wait 500 notify STOPPING=1 wait 300 exit 0        retires
//! misbehave ready grandchild exit 0         leaves a process that ignores SIGTERM
//! misbehave wait 300 child epoll            serves after 300 ms, in a process of its own
//! misbehave elsewhere                       listens on a socket of its own
//! misbehave ready ping 100                  is watched and well
//! misbehave ready spin                      hangs, and keeps a CPU busy with it
//! ```
//!
//! | step | what it does |
//! | --- | --- |
//! | `ready` | sends READY=1 |
//! | `notify TEXT` | sends TEXT to NOTIFY_SOCKET in one datagram; `\n` in it is a newline |
//! | `status-of BYTES` | sends a STATUS= of that length |
//! | `flood COUNT` | sends that many datagrams as fast as it can |
//! | `wait MS` | waits |
//! | `exit CODE` | exits |
//! | `die SIGNAL` | ends by the signal with that number, real-time signals included |
//! | `ignore-term`, `ignore-abort` | SIGTERM, or SIGABRT, does nothing from now on |
//! | `ping MS` | sends WATCHDOG=1 at once and every so many milliseconds, with a STATUS= that counts them |
//! | `spin` | computes for ever |
//! | `grandchild` | leaves behind a child, in the same session, that ignores SIGTERM |
//! | `note FILE` | appends its pid to FILE |
//! | `accept` | answers connections with its pid, and is blocked in accept(2) in between |
//! | `poll`, `select`, `epoll` | the same, and waits like that in between |
//! | `receive` | is blocked in recvfrom(2) until a datagram comes |
//! | `hold` | accepts one connection, and never lets go of it |
//! | `elsewhere` | listens on a port of its own |
//! | `set-nonblocking`, `set-blocking` | sets or clears O_NONBLOCK of the first socket |
//! | `listen BACKLOG` | listens again on the first socket, with another number |
//! | `unlink FILE`, `rebind FILE` | removes a UNIX socket's file, or listens there itself |
//! | `thread` | goes on in a thread |
//! | `child` | goes on in a process of its own |
//! | `threads COUNT` | has so many more threads, which do nothing |
//! | `from FILE` | goes on with the steps in FILE (words), read now: behaviour that a test can change |

use std::env;
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::process::{self, Command};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use listenfd::ListenFd;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::select::{FdSet, select};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{Backlog, listen};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    run(&mut env::args().skip(1))?;
    stay()
}

fn stay() -> ! {
    loop {
        thread::park();
    }
}

fn run(steps: &mut dyn Iterator<Item = String>) -> Outcome {
    while let Some(step) = steps.next() {
        let mut value = || steps.next().ok_or(format!("`{step}` needs a value"));
        match step.as_str() {
            "ready" => notify("READY=1")?,
            "notify" => notify(&value()?.replace("\\n", "\n"))?,
            "status-of" => notify(&format!("STATUS={}", "x".repeat(value()?.parse()?)))?,
            "flood" => (0..value()?.parse()?)
                .try_for_each(|count: u64| notify(&format!("STATUS={count}")))?,
            // Time is what these tests are about: this program is the slow one.
            "wait" => thread::sleep(Duration::from_millis(value()?.parse()?)),
            "exit" => process::exit(value()?.parse()?),
            "die" => return die(value()?.parse()?),
            // Blocked and never taken: it stays pending, which to the sender is the same.
            "ignore-term" => SigSet::from(Signal::SIGTERM).thread_block()?,
            "ignore-abort" => SigSet::from(Signal::SIGABRT).thread_block()?,
            "ping" => {
                let pause = Duration::from_millis(value()?.parse()?);
                for count in 1_u64.. {
                    notify(&format!("WATCHDOG=1\nSTATUS=ping {count}"))?;
                    thread::sleep(pause);
                }
            }
            "spin" => loop {
                std::hint::spin_loop();
            },
            "grandchild" => {
                // It ends after two minutes, even if a failed test does not kill it.
                let steps = ["ignore-term", "wait", "120000", "exit", "0"];
                Command::new(env::current_exe()?).args(steps).spawn()?;
            }
            "note" => {
                let mut file = OpenOptions::new().create(true).append(true).open(value()?)?;
                writeln!(file, "{}", process::id())?;
            }
            "accept" | "poll" | "select" | "epoll" => serve(&step)?,
            "receive" => {
                let socket = ListenFd::from_env().take_udp_socket(0)?;
                socket.ok_or("there is no socket for datagrams")?.recv(&mut [0])?;
            }
            "set-nonblocking" => door().set_nonblocking(true)?,
            "set-blocking" => door().set_nonblocking(false)?,
            "listen" => listen(door(), Backlog::new(value()?.parse::<i32>()?)?)?,
            "unlink" => fs::remove_file(value()?)?,
            "rebind" => {
                let path = value()?;
                fs::remove_file(&path)?;
                // Its own until it ends.
                Box::leak(Box::new(UnixListener::bind(path)?));
            }
            "hold" => {
                let client = door().accept()?;
                (&client).read_to_end(&mut Vec::new())?;
                stay();
            }
            "elsewhere" => {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                listener.accept()?;
            }
            "thread" => {
                let rest: Vec<String> = steps.collect();
                let result =
                    thread::spawn(|| run(&mut rest.into_iter()).map_err(|e| e.to_string()));
                return Ok(result.join().map_err(|_| "the thread panicked")??);
            }
            "child" => {
                // Without LISTEN_PID the sockets are for any process that has inherited them.
                let mut command = Command::new(env::current_exe()?);
                let status = command.args(steps).env_remove("LISTEN_PID").status()?;
                process::exit(status.code().unwrap_or(1));
            }
            "threads" => (0..value()?.parse()?).for_each(|_: u64| drop(thread::spawn(|| stay()))),
            "from" => {
                let text = fs::read_to_string(value()?)?;
                run(&mut text.split_whitespace().map(String::from))?;
            }
            _ => return Err(format!("unknown step `{step}`").into()),
        }
    }
    Ok(())
}

/// The first socket that was handed over.
enum Door {
    Inet(TcpListener),
    Unix(UnixListener),
}

impl Door {
    fn accept(&self) -> io::Result<TcpStream> {
        match self {
            Door::Inet(listener) => listener.accept().map(|(stream, _)| stream),
            // `TcpStream` reads and writes any stream socket.
            Door::Unix(listener) => {
                listener.accept().map(|(stream, _)| TcpStream::from(OwnedFd::from(stream)))
            }
        }
    }
}

impl Door {
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        match self {
            Door::Inet(listener) => listener.set_nonblocking(nonblocking),
            Door::Unix(listener) => listener.set_nonblocking(nonblocking),
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

/// A server that finds no socket for it does what many do: nothing.
fn door() -> &'static Door {
    static DOOR: OnceLock<Door> = OnceLock::new();
    DOOR.get_or_init(|| {
        let mut handed_over = ListenFd::from_env();
        if let Ok(Some(listener)) = handed_over.take_tcp_listener(0) {
            return Door::Inet(listener);
        }
        match handed_over.take_unix_listener(0) {
            Ok(Some(listener)) => Door::Unix(listener),
            _ => stay(),
        }
    })
}

fn serve(how: &str) -> Outcome {
    let door = door();
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    if how == "epoll" {
        epoll.add(door, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    }
    loop {
        match how {
            "poll" => {
                poll(&mut [PollFd::new(door.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
            }
            "select" => {
                let mut set = FdSet::new();
                set.insert(door.as_fd());
                select(None, &mut set, None, None, None)?;
            }
            "epoll" => {
                epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::NONE)?;
            }
            _ => {}
        }
        write!(door.accept()?, "{}", process::id())?;
    }
}

fn notify(text: &str) -> Outcome {
    if let Some(path) = env::var_os("NOTIFY_SOCKET") {
        UnixDatagram::unbound()?.send_to(text.as_bytes(), path)?;
    }
    Ok(())
}

/// Becomes a shell that signals itself: safe Rust has no name for real-time signals.
fn die(signal: u32) -> Outcome {
    Err(Command::new("sh").arg("-c").arg(format!("kill -{signal} $$")).exec().into())
}
