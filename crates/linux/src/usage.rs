//! What processes cost: CPU time, memory, tasks and descriptors of workers, and of herder itself.
//!
//! Read when asked for. Keeps nothing, so it knows no rates. A worker's cgroup is the best source. What
//! it does not have (a cgroup without controllers tells CPU time only), and everything of
//! a worker without one, is summed over its processes in `/proc`. The one non-obvious fact: only
//! `/proc` as a whole says which processes are of a session, so one walk serves all workers.

use herder_wire::status::Usage;
use nix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Processes looked at in one look, at most. On a machine with more, what only a walk over all of
/// them could tell is not known.
const MOST_PROCESSES: usize = 10_000;

/// Descriptors counted one by one in one look, at most, on kernels that do not count them (before 6.2).
const MOST_DESCRIPTORS: usize = 20_000;

/// More than any of the files of numbers has that are read here.
const FILE: usize = 8 * 1024;

/// A worker to be measured.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its process, and so its session. Not reaped yet.
    pub pid: i32,
    /// The directory of its cgroup, if it has one of its own.
    pub cgroup: Option<PathBuf>,
}

/// What each worker costs, all its processes together, in their order. `cpu_share` is left out.
///
/// In `/proc` CPU time is counted in clock ticks, usually of 10 ms, and that of a process whose
/// parent ended first is lost when it ends; memory that processes share counts for each.
pub fn of_workers(workers: &[Subject]) -> Vec<Usage> {
    let mut usages = vec![Usage::default(); workers.len()];
    let mut survey = Survey::new(workers.to_vec());
    while !survey.is_complete() {
        for (index, usage) in survey.advance(|| false) {
            usages[index] = usage;
        }
    }
    usages
}

/// The same for many workers, taken in parts: reading the figures of thousands would keep herder from its other work for
/// too long.
#[derive(Debug)]
pub struct Survey {
    workers: Vec<Subject>,
    /// The worker that is next.
    next: usize,
    look: Look,
    /// Workers of which no cgroup tells, by session, and their numbers.
    sessions: BTreeMap<i32, (usize, Sum)>,
    /// The processes of the machine that are still to be looked at for them; `None` before that has begun.
    processes: Option<Vec<u32>>,
}

impl Survey {
    /// A survey of these workers. Nothing is read yet.
    pub fn new(workers: Vec<Subject>) -> Survey {
        let (look, sessions) = (Look::default(), BTreeMap::new());
        Survey { workers, next: 0, look, sessions, processes: None }
    }

    /// Whether all that can be known is known.
    pub fn is_complete(&self) -> bool {
        self.next == self.workers.len()
            && (self.sessions.is_empty() || self.processes.as_ref().is_some_and(Vec::is_empty))
    }

    /// Takes the next part, at least one worker or process, until `is_over` says so. What has become known
    /// with it, by the numbers of the workers.
    pub fn advance(&mut self, mut is_over: impl FnMut() -> bool) -> Vec<(usize, Usage)> {
        let mut known = Vec::new();
        while let Some(worker) = self.workers.get(self.next) {
            let index = self.next;
            self.next += 1;
            match worker.cgroup.as_deref().and_then(|path| self.look.cgroup(path)) {
                Some(usage) => known.push((index, usage)),
                None => drop(self.sessions.insert(worker.pid, (index, Sum::default()))),
            }
            if is_over() {
                return known;
            }
        }
        if self.sessions.is_empty() {
            return known;
        }
        let processes = self.processes.get_or_insert_with(|| self.look.all_processes());
        while let Some(pid) = processes.pop() {
            self.look.process(pid, &mut self.sessions);
            if is_over() {
                break;
            }
        }
        if processes.is_empty() {
            let sums = self.sessions.values();
            known.extend(sums.map(|(index, sum)| (*index, sum.usage())));
        }
        known
    }
}

/// A worker to be weighed.
#[derive(Clone, Debug)]
pub struct Weighable {
    /// Which one.
    pub subject: Subject,
    /// The CPU time it had used when it was last weighed.
    pub cpu_usec: Option<u64>,
}

/// What a worker weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// The CPU time it has used.
    pub cpu_usec: Option<u64>,
    /// Its memory; `None` if it cannot be told, or it has used no CPU time since it was last weighed.
    pub memory_bytes: Option<u64>,
}

/// What memory each worker needs, in their order: that of its cgroup without the files the kernel keeps
/// there and has not used for a while, which it gives back when it is asked to. Where the cgroup counts no
/// memory, and without one, the resident memory of its processes.
///
/// One that has used no CPU time since it was last weighed is passed over after a look at one small file.
pub fn weigh(workers: &[Weighable]) -> Vec<Weight> {
    let mut look = Look::default();
    let mut all: Vec<Option<Weight>> = workers.iter().map(|load| look.weigh(load)).collect();
    let without: Vec<usize> = (0..all.len()).filter(|&index| all[index].is_none()).collect();
    let subjects: Vec<Subject> =
        without.iter().map(|&index| workers[index].subject.clone()).collect();
    for (index, usage) in without.into_iter().zip(of_workers(&subjects)) {
        let cpu_usec = usage.cpu_usec;
        let is_idle = cpu_usec.is_some() && cpu_usec == workers[index].cpu_usec;
        let memory_bytes = usage.memory_bytes.filter(|_| !is_idle);
        all[index] = Some(Weight { cpu_usec, memory_bytes });
    }
    all.into_iter()
        .map(|weight| weight.unwrap_or(Weight { cpu_usec: None, memory_bytes: None }))
        .collect()
}

/// The CPU time of one worker so far, in microseconds: of its cgroup, else of its process and the
/// children that has waited for. `None` if it is gone.
pub fn cpu(worker: &Subject) -> Option<u64> {
    worker.cgroup.as_deref().and_then(cpu_of_group).or_else(|| cpu_of_process(worker.pid))
}

/// What this process costs. `cpu_share` is left out.
pub fn of_herder() -> Usage {
    let mut look = Look::default();
    let mut sum = Sum::default();
    sum.add_memory("/proc/self");
    let cpu = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).ok();
    Usage {
        cpu_usec: cpu.and_then(|time| {
            let nanoseconds = u64::try_from(time.tv_nsec()).ok()?;
            Some(u64::try_from(time.tv_sec()).ok()? * 1_000_000 + nanoseconds / 1000)
        }),
        // One thread, always.
        tasks: Some(1),
        file_descriptors: look.descriptors("/proc/self"),
        ..sum.usage()
    }
}

/// The CPU time of a cgroup so far, in microseconds.
fn cpu_of_group(path: &Path) -> Option<u64> {
    field(read(path.join("cpu.stat"), &mut [0; FILE])?, "usage_usec")
}

/// The CPU time of a process, with what it has waited for, in microseconds.
fn cpu_of_process(pid: i32) -> Option<u64> {
    let times = Times::read(&format!("/proc/{pid}"))?;
    Some(times.ticks * 1_000_000 / ticks_per_second()?)
}

/// One look, and what it has cost so far.
#[derive(Debug, Default)]
struct Look {
    processes: usize,
    descriptors: usize,
    /// Files that one worker's cgroup does not have, and so no other: all have the same controllers.
    absent: Vec<&'static str>,
}

impl Look {
    /// What a cgroup tells, and `/proc` of the processes in it. `None` if it cannot be read.
    fn cgroup(&mut self, path: &Path) -> Option<Usage> {
        let mut buffer = [0; FILE];
        let cpu_usec = field(read(path.join("cpu.stat"), &mut buffer)?, "usage_usec");
        let memory_bytes = self.number(path, "memory.current");
        let memory_peak_bytes = self.number(path, "memory.peak");
        let tasks = self.number(path, "pids.current");
        let mut sum = Sum::default();
        // Its main process may be a zombie: that one is listed, too.
        let mut pids = Vec::new();
        self.members(path, &mut pids)?;
        for pid in pids {
            let directory = format!("/proc/{pid}");
            if tasks.is_none() {
                sum.add_times(&directory);
            }
            if memory_bytes.is_none() {
                sum.add_memory(&directory);
            }
            sum.add_descriptors(self.descriptors(&directory));
        }
        let sum = sum.usage();
        Some(Usage {
            cpu_usec,
            cpu_share: None,
            cpu_share_over_usec: None,
            memory_bytes: memory_bytes.or(sum.memory_bytes),
            // Resident memory says nothing about the peak of what a cgroup counts.
            memory_peak_bytes: memory_peak_bytes
                .or(sum.memory_peak_bytes.filter(|_| memory_bytes.is_none())),
            tasks: tasks.or(sum.tasks),
            file_descriptors: sum.file_descriptors,
        })
    }

    /// What a worker weighs by its cgroup; `None` if that counts no memory, or cannot be read.
    fn weigh(&mut self, load: &Weighable) -> Option<Weight> {
        let path = load.subject.cgroup.as_deref()?;
        let mut buffer = [0; FILE];
        let cpu_usec = field(read(path.join("cpu.stat"), &mut buffer)?, "usage_usec");
        if cpu_usec.is_some() && cpu_usec == load.cpu_usec {
            return Some(Weight { cpu_usec, memory_bytes: None });
        }
        let memory = self.number(path, "memory.current")?;
        let idle_files = field(read(path.join("memory.stat"), &mut buffer)?, "inactive_file ");
        let memory_bytes = Some(memory.saturating_sub(idle_files.unwrap_or(0)));
        Some(Weight { cpu_usec, memory_bytes })
    }

    /// The number in a cgroup's file.
    fn number(&mut self, path: &Path, name: &'static str) -> Option<u64> {
        if self.absent.contains(&name) {
            return None;
        }
        let path = path.join(name);
        let mut buffer = [0; FILE];
        let text = read(&path, &mut buffer);
        if text.is_none() && !path.exists() {
            self.absent.push(name);
        }
        text?.trim().parse().ok()
    }

    /// The processes in a cgroup, and in those that the worker has made below it.
    fn members(&mut self, path: &Path, pids: &mut Vec<u32>) -> Option<()> {
        let left = MOST_PROCESSES.checked_sub(self.processes)?;
        let mut text = String::new();
        // Ten digits and a newline each, at most.
        let file = File::open(path.join("cgroup.procs")).ok()?;
        file.take(11 * left as u64).read_to_string(&mut text).ok()?;
        let before = pids.len();
        pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        self.processes += pids.len() - before;
        // Each directory in a directory links to it, so most need not be searched for any.
        if fs::metadata(path).ok()?.nlink() > 2 {
            for entry in fs::read_dir(path).ok()?.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    // It may have been removed just now.
                    let _ = self.members(&entry.path(), pids);
                }
            }
        }
        Some(())
    }

    /// All processes of the machine; none if there are too many to look at.
    fn all_processes(&mut self) -> Vec<u32> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let pid = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
        let pids: Vec<u32> = entries.filter_map(pid).collect();
        self.processes += pids.len();
        if self.processes > MOST_PROCESSES { Vec::new() } else { pids }
    }

    /// Adds a process to its session.
    fn process(&mut self, pid: u32, sessions: &mut BTreeMap<i32, (usize, Sum)>) {
        let directory = format!("/proc/{pid}");
        // It may have ended just now.
        let Some(times) = Times::read(&directory) else { return };
        if let Some((_, sum)) = sessions.get_mut(&times.session) {
            sum.add(times);
            sum.add_memory(&directory);
            sum.add_descriptors(self.descriptors(&directory));
        }
    }

    /// The number of descriptors of a process. `None` if it cannot be told, or not cheaply.
    fn descriptors(&mut self, process: &str) -> Option<u64> {
        let directory = format!("{process}/fd");
        // Linux 6.2 and later say how many there are without listing them (proc_pid_fd(5)). A process
        // without any is rare enough to be listed.
        match fs::metadata(&directory).ok()?.size() {
            0 => {}
            size => return Some(size),
        }
        let mut count = 0;
        for _ in fs::read_dir(&directory).ok()? {
            self.descriptors += 1;
            count += 1;
            if self.descriptors > MOST_DESCRIPTORS {
                return None;
            }
        }
        Some(count)
    }
}

/// What `/proc/PID/stat` tells (proc_pid_stat(5)).
struct Times {
    session: i32,
    /// Of its own and of children it has waited for, in clock ticks.
    ticks: u64,
    threads: u64,
}

impl Times {
    fn read(process: &str) -> Option<Times> {
        let mut buffer = [0; FILE];
        let stat = read_bytes(format!("{process}/stat"), &mut buffer)?;
        // The second field is the program's name, in parentheses, and may be anything.
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let session = fields.nth(3)?.parse().ok()?;
        // utime and stime, cutime and cstime.
        let mut ticks = 0;
        for skipped in [7, 0, 0, 0] {
            ticks += fields.nth(skipped)?.parse::<u64>().ok()?;
        }
        let threads = fields.nth(2)?.parse().ok()?;
        Some(Times { session, ticks, threads })
    }
}

/// A sum over processes; what none of them told is not known.
#[derive(Debug, Default)]
struct Sum {
    ticks: Option<u64>,
    threads: Option<u64>,
    memory: Option<u64>,
    peak: Option<u64>,
    descriptors: Option<u64>,
}

impl Sum {
    fn add(&mut self, times: Times) {
        add(&mut self.ticks, Some(times.ticks));
        add(&mut self.threads, Some(times.threads));
    }

    fn add_times(&mut self, process: &str) {
        if let Some(times) = Times::read(process) {
            self.add(times);
        }
    }

    fn add_memory(&mut self, process: &str) {
        let mut buffer = [0; FILE];
        let Some(status) = read(format!("{process}/status"), &mut buffer) else { return };
        // A zombie has none.
        let bytes = |name| field(status, name).map(|kilobytes| kilobytes * 1024);
        add(&mut self.memory, bytes("VmRSS:"));
        add(&mut self.peak, bytes("VmHWM:"));
    }

    fn add_descriptors(&mut self, count: Option<u64>) {
        add(&mut self.descriptors, count);
    }

    fn usage(&self) -> Usage {
        Usage {
            cpu_usec: self.ticks.and_then(|ticks| Some(ticks * 1_000_000 / ticks_per_second()?)),
            cpu_share: None,
            cpu_share_over_usec: None,
            memory_bytes: self.memory,
            memory_peak_bytes: self.peak,
            tasks: self.threads,
            file_descriptors: self.descriptors,
        }
    }
}

fn add(sum: &mut Option<u64>, more: Option<u64>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or(0).saturating_add(more));
    }
}

/// `_SC_CLK_TCK` (sysconf(3)): 100, everywhere but on long forgotten machines.
fn ticks_per_second() -> Option<u64> {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    u64::try_from(ticks).ok().filter(|ticks| *ticks > 0)
}

/// The number after a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn read(path: impl AsRef<Path>, buffer: &mut [u8; FILE]) -> Option<&str> {
    std::str::from_utf8(read_bytes(path, buffer)?).ok()
}

/// As much as fits, with one read(2): for these files the kernel puts together all of it at once.
fn read_bytes(path: impl AsRef<Path>, buffer: &mut [u8; FILE]) -> Option<&[u8]> {
    let length = File::open(path).ok()?.read(buffer).ok()?;
    Some(&buffer[..length])
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
