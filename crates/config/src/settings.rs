//! The settings of one generation, complete: every default filled in, every value checked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::limits::WorkerLimits;
use super::preset::{Added, Preset};
use super::problem::Place;
use super::template::Template;
use herder_core::{Policy, Probe, Span};
use herder_wire::address::Address;

/// SIGTERM (signal(7)), the default of `stop-signal`.
pub const SIGTERM: u8 = 15;

/// Everything herder.toml(5) describes, after defaults, file and command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The settings the core needs.
    pub policy: Policy,
    /// `idle-timeout` as written; `policy` has it if `workers` has bounds.
    pub idle_timeout: Option<Span>,
    /// `exit-idle-time`, likewise.
    pub exit_idle_time: Option<Span>,
    /// `preset`: what it sets is in the other fields already.
    pub preset: Option<&'static Preset>,
    /// `command`: argv of a worker; empty means the demonstration worker.
    pub command: Vec<Template>,
    /// What of `command` the preset has added.
    pub added: Vec<Added>,
    /// `listen`: what herder binds itself where no manager hands sockets over.
    pub listen: Vec<Listen>,
    /// `sockets`: the sockets a worker gets, by name and in this order; `None` means all of them.
    pub sockets: Option<Vec<String>>,
    /// `stdin`
    pub stdin: Stdin,
    /// `listen-pid`
    pub listen_pid: ListenPid,
    /// `queues`
    pub queues: Queues,
    /// `balance`
    pub balance: Balance,
    /// `cpu-affinity`
    pub cpu_affinity: CpuAffinity,
    /// `blocking`: the server needs its sockets to block.
    pub blocking: bool,
    /// `directory`: as written; the program (`launch`) resolves it.
    pub directory: Option<PathBuf>,
    /// `environment`
    pub environment: BTreeMap<String, Template>,
    /// `environment-file`, in the order in which they are read.
    pub environment_file: Vec<EnvironmentFile>,
    /// `stop-signal`: a signal number.
    pub stop_signal: u8,
    /// `reopen-signal`: a signal number, if SIGUSR1 is to be passed on.
    pub reopen_signal: Option<u8>,
    /// `check`: argv of a command that has to succeed before a reload starts its first worker.
    pub check: Option<Vec<String>>,
    /// `probe`
    pub probe: ProbeSettings,
    /// `control-group`: as written; the program (`launch`) looks it up.
    pub control_group: Option<String>,
    /// `syslog-identifier`: the name of each worker's own journal stream, if it has one.
    pub syslog_identifier: Option<Template>,
    /// What one worker may use.
    pub limits: WorkerLimits,
    /// Where each setting that is no default was written, by key (`environment.NAME` for each variable).
    pub origins: BTreeMap<String, Place>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            policy: Policy::default(),
            idle_timeout: None,
            exit_idle_time: None,
            preset: None,
            command: Vec::new(),
            added: Vec::new(),
            listen: Vec::new(),
            sockets: None,
            stdin: Stdin::Null,
            listen_pid: ListenPid::Set,
            queues: Queues::Shared,
            balance: Balance::Hash,
            cpu_affinity: CpuAffinity::Off,
            blocking: false,
            directory: None,
            environment: BTreeMap::new(),
            environment_file: Vec::new(),
            stop_signal: SIGTERM,
            reopen_signal: None,
            check: None,
            probe: ProbeSettings::default(),
            control_group: None,
            syslog_identifier: None,
            limits: WorkerLimits::default(),
            origins: BTreeMap::new(),
        }
    }
}

/// `probe`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// `probe.http`: a URL.
    pub http: Option<Template>,
    /// `probe.exec`: argv of a command.
    pub exec: Option<Vec<String>>,
    /// `probe.interval`
    pub interval: Span,
    /// `probe.timeout`
    pub timeout: Span,
    /// `probe.failures`
    pub failures: u32,
}

impl Default for ProbeSettings {
    fn default() -> ProbeSettings {
        ProbeSettings {
            http: None,
            exec: None,
            interval: Span::secs(10),
            timeout: Span::secs(1),
            failures: 3,
        }
    }
}

impl ProbeSettings {
    /// The part the core needs; `None` without a probe.
    pub fn rules(&self) -> Option<Probe> {
        let of_worker = match (&self.exec, &self.http) {
            (Some(_), _) => true,
            (None, Some(url)) => url.differs_by_worker(),
            (None, None) => return None,
        };
        let &ProbeSettings { interval, timeout, failures, .. } = self;
        Some(Probe { interval, timeout, failures, of_worker })
    }
}

/// `queues`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queues {
    /// Every worker gets every socket.
    Shared,
    /// Each worker gets a socket of its own of several at one address.
    PerWorker,
}

/// `balance`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The kernel's hash, over the queues that are served.
    Hash,
}

/// `cpu-affinity`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuAffinity {
    /// Workers run where herder may.
    Off,
    /// Each slot has a CPU of its own, as long as there are enough.
    Slot,
}

/// One entry of `listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// What stands before `=`, else `listen-0`, `listen-1`, … by position.
    pub name: String,
    /// Where to listen.
    pub address: Address,
}

/// `stdin`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdin {
    /// `/dev/null`.
    Null,
    /// The first socket, as FastCGI programs expect it.
    Socket,
}

/// `listen-pid`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenPid {
    /// LISTEN_PID is the worker's own pid, as sd_listen_fds(3) wants it.
    Set,
    /// No LISTEN_PID, for wrappers that fork before the server starts.
    Omit,
}

/// One entry of `environment-file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentFile {
    /// The file, without the `-` that makes it optional.
    pub path: PathBuf,
    /// It may be missing.
    pub optional: bool,
}
