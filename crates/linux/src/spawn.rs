//! Starts a worker: a new process that is given exactly what [`Program`] and the sockets say.
//!
//! Does not wait for the worker to be ready, and knows nothing of slots. The non-obvious fact: the
//! new process borrows herder's memory until it executes its program (vfork(2)), so nothing is
//! copied, however large herder is, and an error between clone and exec is simply a value that the
//! child leaves behind. herder waits that long: about 0.1 ms, unless the file system of the program
//! hangs.

use super::cgroup::Entrance;
use super::limits::{OpenFiles, ProcessLimits, ResourceLimit};
use super::sys::vfork::{CloneMethod, InChild, PidSlot, Strings, vfork};
use super::sys::{Wait, waitid};
use nix::sys::resource::{Resource, getrlimit};
use std::borrow::Cow;
use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

/// The number of the first socket (`SD_LISTEN_FDS_START`, sd_listen_fds(3)).
const FIRST_SOCKET: RawFd = 3;

const OOM_SCORE: &CStr = c"/proc/self/oom_score_adj";

/// What a worker is started with, but for its sockets.
#[derive(Clone, Debug)]
pub struct Program<'a> {
    /// What is executed, as execve(2) takes it: no search in `PATH`.
    pub path: Cow<'a, CStr>,
    /// The arguments, with the program's own name first.
    pub argv: Vec<Cow<'a, CStr>>,
    /// The whole environment, `NAME=VALUE`, but for `LISTEN_PID` and `WATCHDOG_PID`.
    pub env: Vec<Cow<'a, CStr>>,
    /// Where it starts; herder's own directory without one.
    pub directory: Option<Cow<'a, CStr>>,
    /// Whether `LISTEN_PID` is set, to the worker's own pid.
    pub listen_pid: bool,
    /// Whether `WATCHDOG_PID` is set, to the same.
    pub watchdog_pid: bool,
    /// Becomes descriptor 0; `/dev/null` without one.
    pub stdin: Option<RawFd>,
    /// Becomes descriptors 1 and 2; herder's own without one.
    pub output: Option<RawFd>,
    /// Whether the kernel kills the worker when herder ends (PR_SET_PDEATHSIG(2const)).
    pub die_with_herder: bool,
    /// Whether SIGPIPE is ignored; otherwise it has its default effect, as all other signals have.
    pub ignore_sigpipe: bool,
    /// Whether the worker gives up the protection herder has from the OOM killer
    /// (`OOMScoreAdjust=`, systemd.exec(5)).
    pub reset_oom_score: bool,
    /// Its limit of open descriptors; herder's own without one.
    pub open_files: Option<OpenFiles>,
    /// What it is held to besides, which overrides the two before.
    pub limits: Option<&'a ProcessLimits>,
    /// The CPU it is kept on; without one it runs where herder may.
    pub cpu: Option<usize>,
    /// The cgroup it starts in; herder's own without one.
    pub cgroup: Option<&'a Entrance>,
}

/// A started worker.
#[derive(Debug)]
pub struct Child {
    /// Its pid, which is also the number of its session and process group.
    pub pid: i32,
    /// Readable once it has ended (pidfd_open(2)).
    pub pidfd: OwnedFd,
}

/// What was being done for a worker when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// clone3(2), clone(2).
    CreateProcess,
    /// Its cgroup, where clone3(2) could not make it there.
    JoinCgroup,
    /// setsid(2).
    NewSession,
    /// PR_SET_PDEATHSIG(2const).
    DieWithHerder,
    /// setpriority(2), of this niceness.
    Nice(i32),
    /// `oom_score_adj`, of this number.
    OomScore(i32),
    /// setrlimit(2).
    Limit(ResourceLimit),
    /// chdir(2).
    ChangeDirectory,
    /// Descriptor 0.
    Stdin,
    /// Descriptors 1 and 2.
    Output,
    /// The sockets, as descriptors 3 and on.
    Sockets,
    /// execve(2).
    Execute,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Nice(nice) => return write!(f, "set its nice value to {nice}"),
            Stage::OomScore(score) => return write!(f, "set its OOM score adjustment to {score}"),
            Stage::Limit(limit) => {
                let number = |number| match number {
                    u64::MAX => "infinity".to_owned(),
                    number => number.to_string(),
                };
                let (soft, hard) = (number(limit.soft), number(limit.hard));
                return write!(f, "set {} to {soft}:{hard}", limit.name);
            }
            Stage::CreateProcess => "create a process",
            Stage::JoinCgroup => "put it into its cgroup",
            Stage::NewSession => "start a session",
            Stage::DieWithHerder => "bind its life to herder's",
            Stage::ChangeDirectory => "change directory",
            Stage::Stdin => "set up its standard input",
            Stage::Output => "set up its standard output",
            Stage::Sockets => "pass on the sockets",
            Stage::Execute => "execute",
        })
    }
}

/// Why there is no worker. No process is left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpawnError {
    /// What was being done.
    pub stage: Stage,
    /// What the kernel answered (errno(3)).
    pub errno: i32,
}

impl SpawnError {
    /// The whole sentence, with the path it is about: “cannot execute /srv/app/run: No such file or
    /// directory”. Looks at the file system to tell a missing program from a missing interpreter.
    pub fn explain(&self, program: &Program<'_>) -> String {
        let (about, to) = match self.stage {
            Stage::Execute => (Some(&*program.path), ""),
            Stage::ChangeDirectory => (program.directory.as_deref(), " to"),
            _ => (None, ""),
        };
        let Some(about) = about.map(CStr::to_string_lossy) else {
            return format!("{self}{}", self.remedy());
        };
        let why = nix::errno::Errno::from_raw(self.errno).desc();
        let exists = self.stage == Stage::Execute && Path::new(&*about).exists();
        let more = match self.errno {
            libc::ENOENT if exists => {
                "; the file is there, but the interpreter that its first line or its ELF header names is not"
            }
            libc::ENOEXEC => "; a script needs a first line such as #!/bin/sh",
            _ => "",
        };
        format!("cannot {}{to} {about}: {why}{more}", self.stage)
    }

    /// What to change where herder may not do what the settings ask for.
    fn remedy(&self) -> String {
        let is_denied = matches!(self.errno, libc::EPERM | libc::EACCES);
        match self.stage {
            Stage::Nice(_) if is_denied => {
                "; herder may do that with LimitNICE= or CAP_SYS_NICE in its unit".to_owned()
            }
            Stage::OomScore(_) if is_denied => {
                "; herder may go no lower than OOMScoreAdjust= in its unit".to_owned()
            }
            Stage::Limit(limit) if is_denied => {
                let hard = getrlimit(limit.resource).map(|(_, hard)| hard);
                let hard =
                    hard.map_or_else(|_| String::new(), |hard| format!("; the most is {hard}"));
                let name = limit.name.rsplit('.').next().unwrap_or_default().to_uppercase();
                format!("{hard}, unless Limit{name}= in herder's unit says more")
            }
            _ => String::new(),
        }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.stage, nix::errno::Errno::from_raw(self.errno).desc())
    }
}

impl std::error::Error for SpawnError {}

/// Starts `program` with `sockets` as its descriptors 3 and on, in this order; returns when it has
/// been executed.
///
/// The worker leads a session and a process group of its own, blocks no signal, and has no other
/// descriptor than 0, the sockets, and herder's 1 and 2. Its umask, other limits and scheduling
/// are herder's, but for what `limits` says.
///
/// # Errors
///
/// The stage that failed, with the kernel's answer.
pub fn spawn(program: &Program<'_>, sockets: &[BorrowedFd<'_>]) -> Result<Child, SpawnError> {
    match spawn_by(CloneMethod::Clone3, program, sockets) {
        // Refused by a seccomp filter (ENOSYS, EPERM), or the kernel knows nothing of it, or of
        // cgroups in it (ENOSYS, EINVAL, E2BIG): ask the old way.
        Err(SpawnError {
            stage: Stage::CreateProcess,
            errno: libc::ENOSYS | libc::EPERM | libc::EINVAL | libc::E2BIG,
        }) => spawn_by(CloneMethod::Clone, program, sockets),
        result => result,
    }
}

fn spawn_by(
    method: CloneMethod,
    program: &Program<'_>,
    sockets: &[BorrowedFd<'_>],
) -> Result<Child, SpawnError> {
    let pids = [("LISTEN_PID", program.listen_pid), ("WATCHDOG_PID", program.watchdog_pid)];
    let pids: Vec<PidSlot> = pids
        .into_iter()
        .filter(|(_, wanted)| *wanted)
        .map(|(name, _)| PidSlot::new(name))
        .collect();
    let argv = Strings::new(program.argv.iter().map(AsRef::as_ref), &[]);
    let env = Strings::new(program.env.iter().map(AsRef::as_ref), &pids);
    let mut numbers: Vec<RawFd> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
    let herder = nix::unistd::getpid().as_raw();

    let mut failed = None;
    let mut child = |me: &InChild| {
        let joined = match (method, program.cgroup) {
            (CloneMethod::Clone, Some(cgroup)) => join(me, cgroup),
            (CloneMethod::Clone3, _) | (_, None) => Ok(()),
        };
        let prepared = joined.and_then(|()| prepare(me, program, &mut numbers, herder));
        let prepared = prepared.map(|()| {
            pids.iter().for_each(|slot| slot.write(me.pid()));
            me.unblock_signals();
            at(Stage::Execute)(me.execute(&program.path, &argv, &env))
        });
        failed = Some(prepared.unwrap_or_else(|error| error));
    };
    let cgroup = program.cgroup.map(|cgroup| cgroup.directory.as_fd());
    let given = sockets.iter().map(AsRawFd::as_raw_fd).chain(program.stdin).chain(program.output);
    let first_closed = given.map(|fd| fd + 1).fold(FIRST_SOCKET, RawFd::max);
    let (pid, pidfd) =
        vfork(method, cgroup, first_closed, &mut child).map_err(at(Stage::CreateProcess))?;
    match failed {
        None => Ok(Child { pid, pidfd }),
        Some(error) => {
            // It has exited by itself; only its zombie is left, and a failed wait leaves that at worst.
            let _ = waitid(Wait::Pidfd(pidfd.as_fd()), 0);
            Err(error)
        }
    }
}

/// Moves the new process into its cgroup. The kernel stops every fork and exit of the machine for that
/// (`cgroup_threadgroup_rwsem`), so it takes milliseconds where clone3(2) takes none.
fn join(me: &InChild, cgroup: &Entrance) -> Result<(), SpawnError> {
    let procs = me.open(&cgroup.procs, libc::O_WRONLY | libc::O_CLOEXEC);
    // 0 is the process that writes it (cgroups(7)).
    procs.and_then(|procs| me.write(procs, b"0")).map_err(at(Stage::JoinCgroup))
}

/// Everything the new process does before it executes its program. Allocates nothing.
fn prepare(
    me: &InChild,
    program: &Program<'_>,
    sockets: &mut [RawFd],
    herder: i32,
) -> Result<(), SpawnError> {
    me.reset_signals();
    if program.ignore_sigpipe {
        me.ignore_sigpipe();
    }
    me.new_session().map_err(at(Stage::NewSession))?;
    if program.die_with_herder {
        me.die_with(herder).map_err(at(Stage::DieWithHerder))?;
    }
    let limits = program.limits;
    if let Some(nice) = limits.and_then(|limits| limits.nice) {
        me.be_nice(nice).map_err(at(Stage::Nice(nice)))?;
    }
    if let Some(score) = limits.and_then(|limits| limits.oom_score.as_ref()) {
        let file = me.open(OOM_SCORE, libc::O_WRONLY);
        let written = file.and_then(|file| me.write(file, score.digits.as_bytes()));
        written.map_err(at(Stage::OomScore(score.value)))?;
    } else if program.reset_oom_score {
        // A worker that keeps some of herder's protection still serves, so this may fail. The kernel
        // spares the memory's other user, herder, because this process is a vfork's (proc(5)).
        if let Ok(file) = me.open(OOM_SCORE, libc::O_WRONLY) {
            let _ = me.write(file, b"0");
        }
    }
    if let Some(cpu) = program.cpu {
        // It may have been taken from herder just now (cpuset), and a worker that runs elsewhere serves, too.
        let _ = me.stay_on(cpu);
    }
    if let Some(directory) = &program.directory {
        me.change_directory(directory).map_err(at(Stage::ChangeDirectory))?;
    }
    if let Some(output) = program.output {
        me.pass_as(output, 1).map_err(at(Stage::Output))?;
        me.pass_as(output, 2).map_err(at(Stage::Output))?;
    }
    arrange_descriptors(me, program.stdin, sockets)?;
    if let Some(limit) = program.open_files {
        // The last thing: no descriptor can be put at a number beyond it. To lower it is always allowed.
        let _ = me.limit(Resource::RLIMIT_NOFILE, limit.soft, limit.hard);
    }
    for limit in limits.iter().flat_map(|limits| &limits.resources) {
        me.limit(limit.resource, limit.soft, limit.hard).map_err(at(Stage::Limit(*limit)))?;
    }
    Ok(())
}

fn arrange_descriptors(
    me: &InChild,
    stdin: Option<RawFd>,
    sockets: &mut [RawFd],
) -> Result<(), SpawnError> {
    let stdin = match stdin {
        Some(stdin) => stdin,
        None => me.open(c"/dev/null", libc::O_RDONLY).map_err(at(Stage::Stdin))?,
    };
    me.pass_as(stdin, 0).map_err(at(Stage::Stdin))?;

    let end = FIRST_SOCKET + sockets.len() as RawFd;
    // Numbers that are targets themselves are moved out of the way first, or they would be overwritten
    // before their turn. Usually they are in their places already: systemd numbers from 3, too.
    for (socket, target) in sockets.iter_mut().zip(FIRST_SOCKET..) {
        if *socket < end && *socket != target {
            *socket = me.copy_above(*socket, end).map_err(at(Stage::Sockets))?;
        }
    }
    for (socket, target) in sockets.iter().zip(FIRST_SOCKET..) {
        me.pass_as(*socket, target).map_err(at(Stage::Sockets))?;
    }
    // For what herder itself was started with and did not ask for. All that herder opens is
    // close-on-exec, so a kernel before 5.11, which cannot do this, is no reason to fail.
    let _ = me.close_from(end);
    Ok(())
}

fn at(stage: Stage) -> impl Fn(io::Error) -> SpawnError {
    move |error| SpawnError { stage, errno: error.raw_os_error().unwrap_or(0) }
}

#[cfg(test)]
#[path = "spawn_tests.rs"]
mod tests;
