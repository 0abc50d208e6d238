//! Why a worker is not seen waiting on its sockets, in words that end with what to change.
//!
//! Most programs that are not ready yet only need more time. Those that will never serve make one of few
//! mistakes: it listens elsewhere, a wrapper has kept the socket, or LISTEN_PID names a
//! wrapper.

use super::process::Process;
use super::{Given, Worker};
use crate::diag::Diag;
use crate::sockets::Kind;
use herder_wire::address::Address;
use herder_wire::diag;
use herder_wire::proc::variable;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// The most listening sockets of the machine among which one of the worker's own is searched.
const MOST_LISTENERS: usize = 10_000;

/// Characters of a program's name that are shown; the kernel keeps 15 (proc_pid_comm(5)).
const NAME: usize = 15;

/// Why a worker is not seen waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// It has a listening socket of its own.
    Elsewhere {
        /// Where that listens.
        address: Address,
        /// What it was given.
        given: String,
    },
    /// None of its processes has a socket it was given.
    Lost {
        /// What it was given.
        given: String,
    },
    /// Only a wrapper has the socket, and not what the wrapper has started.
    Kept {
        /// The process that has it.
        wrapper: NamedProcess,
        /// The process that has not.
        server: NamedProcess,
    },
    /// LISTEN_PID is that of a wrapper: a server that compares it with its own pid takes no socket.
    ListenPid {
        /// The process whose number it is.
        wrapper: NamedProcess,
        /// The process that has it in its environment.
        server: NamedProcess,
    },
    /// It has the socket, and does not wait on it.
    Idle {
        /// What it was given, with its descriptors.
        given: String,
    },
}

impl Diagnosis {
    /// A mistake: it is not what a worker that still loads looks like, and the worker may end because of it.
    pub fn is_a_mistake(&self) -> bool {
        match self {
            // Lost: a worker that is about to end for another reason closes its sockets before. gunicorn does so
            // when the application has raised.
            Diagnosis::Idle { .. } | Diagnosis::Lost { .. } => false,
            Diagnosis::Elsewhere { .. } | Diagnosis::Kept { .. } | Diagnosis::ListenPid { .. } => {
                true
            }
        }
    }
}

/// Why it cannot be seen whether a worker waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The kernel does not show this process.
    Denied {
        /// Which one.
        pid: i32,
        /// What the kernel answers.
        why: ErrorKind,
    },
    /// It waits for something by io_uring.
    Ring {
        /// Which process.
        pid: i32,
    },
    /// It is a program of 32 bits on a machine of 64.
    Narrow {
        /// Which process.
        pid: i32,
    },
    /// The kernel does not say in which system call a thread is, which Linux always does.
    Unsaid,
    /// The worker has more processes or descriptors than one look may read.
    TooMuch,
}

/// A process, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedProcess {
    pid: i32,
    name: String,
}

impl NamedProcess {
    fn of(pid: i32) -> NamedProcess {
        let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        let name = String::from_utf8_lossy(&name);
        let name: String = name.trim_end().chars().take(NAME).collect();
        NamedProcess { pid, name: if name.is_empty() { "a process".to_owned() } else { name } }
    }
}

impl fmt::Display for NamedProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Diagnosis::Elsewhere { address, given } => write!(
                f,
                "it listens on {address}, and does not wait on {given}: have it serve that descriptor in \
                 place of an address of its own (a program that cannot, such as bun, can share no socket)"
            ),
            Diagnosis::Lost { given } => write!(
                f,
                "it has closed {given}: run the server itself, not by what closes descriptors, such as \
                 npm start, npx or Python's subprocess"
            ),
            Diagnosis::Kept { wrapper, server } => write!(
                f,
                "{wrapper} has the socket and has not passed it on to {server}: run the server itself, not \
                 by what closes descriptors, such as npm start, npx or Python's subprocess"
            ),
            Diagnosis::ListenPid { wrapper, server } => write!(
                f,
                "LISTEN_PID is {}, which is {wrapper}, and the server is {server}: have the wrapper `exec` \
                 it, or run it without one, or set listen-pid = \"omit\"",
                wrapper.pid
            ),
            Diagnosis::Idle { given } => write!(
                f,
                "it has {given} and does not wait on that: if it only needs longer, raise start-timeout; if \
                 it only looks from time to time, set ready = \"alive\"; else tell it to serve that descriptor"
            ),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("herder cannot see whether it waits on its socket: ")?;
        match self {
            Obstacle::Denied { pid, why: ErrorKind::PermissionDenied } => {
                write!(
                    f,
                    "herder may not look into process {pid}, which is another user's or hides"
                )
            }
            Obstacle::Denied { pid, .. } => {
                write!(f, "process {pid} is hidden from herder (ProtectProc=, hidepid=)")
            }
            Obstacle::Ring { pid } => {
                write!(f, "process {pid} waits by io_uring, which does not tell for what")
            }
            Obstacle::Narrow { pid } => {
                write!(f, "process {pid} is a program of 32 bits, whose system calls are others")
            }
            Obstacle::Unsaid => {
                f.write_str("this kernel does not tell what threads wait for (/proc/PID/syscall)")
            }
            Obstacle::TooMuch => {
                f.write_str("it has too many descriptors, threads or processes to look through")
            }
        }?;
        f.write_str("; have it send READY=1, or set ready = \"alive\"")
    }
}

/// The most telling reason.
pub fn of(worker: &Worker<'_>, given: &[Given<'_>], processes: &[Process]) -> Diagnosis {
    let (listener, elsewhere) = elsewhere(given, processes).unzip();
    // A worker that listens elsewhere because of a wrapper has no other mistake.
    let by_wrapper = || behind_wrapper(worker, processes);
    let wrapped = if listener == Some(worker.pid) { None } else { by_wrapper() };
    wrapped.or(elsewhere).unwrap_or_else(|| match processes.iter().any(Process::holds) {
        true => Diagnosis::Idle { given: names(given) },
        false => Diagnosis::Lost { given: names(given) },
    })
}

/// What is wrong with a worker that runs its server by another program, if that is what is wrong.
fn behind_wrapper(worker: &Worker<'_>, processes: &[Process]) -> Option<Diagnosis> {
    // A process that was forked runs the same program as the one it is a copy of: no wrapper.
    let program = |pid| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let wrapper: PathBuf = program(worker.pid)?;
    let leader = processes.iter().find(|process| process.pid == worker.pid)?;
    let mut others = processes.iter().filter(|process| process.pid != worker.pid);
    let server = others.clone().rfind(|process| program(process.pid).as_ref() != Some(&wrapper))?;
    let (kept, wrapper) =
        (leader.holds() && !others.any(Process::holds), NamedProcess::of(worker.pid));
    let misled = server.holds() && is_misled(worker, server.pid);
    let server = NamedProcess::of(server.pid);
    if kept {
        Some(Diagnosis::Kept { wrapper, server })
    } else {
        misled.then_some(Diagnosis::ListenPid { wrapper, server })
    }
}

/// Whether a process was told that the sockets are for the worker's own process.
fn is_misled(worker: &Worker<'_>, pid: i32) -> bool {
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let told = variable(&environ, "LISTEN_PID").and_then(|pid| std::str::from_utf8(pid).ok());
    worker.listen_pid && told.and_then(|pid| pid.parse().ok()) == Some(worker.pid)
}

/// Which process of the worker listens elsewhere, and where, if one does.
pub fn elsewhere(given: &[Given<'_>], processes: &[Process]) -> Option<(i32, Diagnosis)> {
    let owner = |inode: u64| processes.iter().find(|process| process.strange.contains(&inode));
    if processes.iter().all(|process| process.strange.is_empty()) {
        return None;
    }
    // Preferably one of the kind that it was given: it may have sockets for other purposes, too.
    let unix = given
        .iter()
        .any(|given| matches!(given.socket.address, Some(Address::Unix(_) | Address::Abstract(_))));
    let tcp = [diag::tcp_listeners(true), diag::tcp_listeners(false)];
    let mut requests: Vec<Vec<u8>> = tcp.into_iter().chain([diag::unix_listeners()]).collect();
    requests.rotate_right(usize::from(unix));
    let listener =
        |request: &Vec<u8>| listener_with(request, |inode| owner(inode).map(|process| process.pid));
    let (pid, address) = requests.iter().find_map(listener)?;
    Some((pid, Diagnosis::Elsewhere { address, given: names(given) }))
}

/// The first listening socket whose process `owner` knows, and its address.
fn listener_with(request: &[u8], owner: impl Fn(u64) -> Option<i32>) -> Option<(i32, Address)> {
    let (mut found, mut seen) = (None, 0);
    Diag::open().ok()?.ask_for_all(request, |socket| {
        seen += 1;
        found = owner(socket.inode.into()).zip(socket.address);
        match found.is_some() || seen == MOST_LISTENERS {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    found
}

/// `descriptor 3, web (127.0.0.1:80)`; of several, the first ones.
fn names(given: &[Given<'_>]) -> String {
    const SHOWN: usize = 3;
    let listeners = |given: &&Given<'_>| given.socket.kind == Kind::Listener;
    let mut sockets: Vec<&Given<'_>> = given.iter().filter(listeners).collect();
    if sockets.is_empty() {
        sockets = given.iter().collect();
    }
    let shown = sockets.iter().take(SHOWN);
    let shown = shown.map(|given| format!("descriptor {}, {}", given.number, given.socket));
    let shown: Vec<String> = shown.collect();
    let more = if sockets.len() > SHOWN { " and others" } else { "" };
    format!("{}{more}", shown.join(" or "))
}
