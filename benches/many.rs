//! What a worker costs herder when there are many: for 4, 100, 500, 2,000 and 10,000 workers how long a start and
//! a reload take and how much of herder's CPU time, how long a respawn takes, how long clients wait for an answer
//! meanwhile, and how much memory herder has of its own. All of one run, so that what is compared was measured
//! on one machine at one time; the ratios to 4 workers are what counts.
//!
//! `cargo bench --bench many`; `-- --most=N` for at most N workers, `-- --herder=PATH` for another herder.
//! Fails at nothing but an error: what is measured is for people to judge. Without `--bench` (as under
//! `cargo test --benches`) it only shows that it runs, with 4 and 8 workers.

use herder_linux::spawn::{Child, Program, spawn};
use herder_linux::{child, poll};
use std::borrow::Cow;
use std::error::Error;
use std::ffi::CString;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A start or a reload that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(600);

/// Workers that are killed, one after the other.
const KILLS: usize = 20;

/// Small herds are started and reloaded so many times, because one time of a few milliseconds says little.
const SMALL: u32 = 200;
const REPEATED: u32 = 10;

/// Between two calls of a client.
const PAUSE: Duration = Duration::from_millis(20);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What was measured with so many workers. Times are in microseconds.
#[derive(Debug, Default)]
struct Figures {
    workers: u32,
    start: f64,
    start_cpu: f64,
    reload: f64,
    reload_cpu: f64,
    respawn_p50: f64,
    respawn_max: f64,
    /// The longest that a client waited for the smallest answer and for the whole status, during a reload.
    answer_max: f64,
    status_max: f64,
    /// Private memory in kilobytes, after the start and after the reloads.
    memory: f64,
    memory_later: f64,
}

fn main() -> Outcome<()> {
    let is_thorough = std::env::args().any(|argument| argument == "--bench");
    let option = |name: &str| {
        std::env::args().find_map(|argument| argument.strip_prefix(name).map(str::to_owned))
    };
    let most: u32 = option("--most=").map_or(Ok(10_000), |most| most.parse())?;
    let herder = option("--herder=").unwrap_or_else(|| env!("CARGO_BIN_EXE_herder").to_owned());
    let directory = tempfile::tempdir()?;
    let Some(worker) = build(directory.path())? else {
        println!("many: SKIPPED, there is no C compiler `cc` to build the worker with");
        return Ok(());
    };
    let sizes: &[u32] = if is_thorough { &[4, 100, 500, 2_000, 10_000] } else { &[4, 8] };
    let mut all = Vec::new();
    for &workers in sizes.iter().filter(|&&workers| workers <= most) {
        if let Some(why) = no_room_for(workers)? {
            println!("{workers} workers: SKIPPED, {why}");
            continue;
        }
        let figures = measure(&herder, directory.path(), &worker, workers)?;
        eprintln!("{figures:?}");
        all.push(figures);
    }
    print(&all);
    Ok(())
}

/// Why there cannot be so many workers here. A reload needs a tenth more, and others need processes, too.
fn no_room_for(workers: u32) -> Outcome<Option<String>> {
    let needed = u64::from(workers) * 12 / 10 + 1_000;
    let number = |path: &str| -> Outcome<u64> { Ok(fs::read_to_string(path)?.trim().parse()?) };
    let (_, user) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NPROC)?;
    for (what, most) in [
        ("kernel.pid_max", number("/proc/sys/kernel/pid_max")?),
        ("kernel.threads-max", number("/proc/sys/kernel/threads-max")?),
        ("the limit of the user's processes (ulimit -Hu)", user),
    ] {
        if most < needed {
            return Ok(Some(format!("{needed} processes are needed, and {what} is {most}")));
        }
    }
    let (_, files) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
    if files < u64::from(workers) * 4 + 1_000 {
        return Ok(Some(format!("the hard limit of open files (ulimit -Hn) is {files}")));
    }
    // A process without libc and its page tables, stack and kernel structures.
    let free = fs::read_to_string("/proc/meminfo")?;
    let free = free.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let free: u64 = free.unwrap_or("0").trim().trim_end_matches(" kB").parse()?;
    let needed = u64::from(workers) * 150;
    Ok((free < needed).then(|| format!("{needed} kB of memory are needed, and {free} are free")))
}

fn build(directory: &Path) -> Outcome<Option<PathBuf>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/worker.c");
    let worker = directory.join("worker");
    let flags = ["-O2", "-nostdlib", "-static", "-ffreestanding", "-fno-stack-protector", "-o"];
    match Command::new("cc").args(flags).arg(&worker).arg(&source).status() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
        Ok(status) if status.success() => Ok(Some(worker)),
        Ok(_) => Err("cc failed on benches/worker.c".into()),
    }
}

fn measure(herder: &str, directory: &Path, worker: &Path, workers: u32) -> Outcome<Figures> {
    let times = if workers <= SMALL { REPEATED } else { 1 };
    let mut figures = Figures { workers, ..Figures::default() };
    let mut starts = Vec::new();
    for _ in 1..times {
        let instance = Instance::start(herder, directory, worker, workers)?;
        starts.push(instance.start);
        instance.end()?;
    }
    let instance = Instance::start(herder, directory, worker, workers)?;
    starts.push(instance.start);
    (figures.start, figures.start_cpu) = median(&mut starts);
    figures.memory = instance.private_memory()?;
    let mut kills = Vec::new();
    for number in 0..KILLS {
        kills.push(instance.kill_one(number)?);
    }
    kills.sort_by(f64::total_cmp);
    (figures.respawn_p50, figures.respawn_max) = (kills[KILLS / 2], kills[KILLS - 1]);
    let mut reloads = Vec::new();
    for _ in 0..times {
        reloads.push(instance.reload()?);
    }
    (figures.reload, figures.reload_cpu) = median(&mut reloads);
    let is_over = Arc::new(AtomicBool::new(false));
    let client = |method: &'static str| {
        let (path, is_over) = (instance.control(), Arc::clone(&is_over));
        thread::spawn(move || longest_wait(&path, method, &is_over).map_err(|why| why.to_string()))
    };
    let (small, whole) =
        (client("io.systemd.service.GetLogLevel"), client("io.herder.Control.Status"));
    for _ in 0..times {
        instance.reload()?;
    }
    is_over.store(true, Ordering::Relaxed);
    figures.answer_max = small.join().map_err(|_| "a client panicked")??;
    figures.status_max = whole.join().map_err(|_| "a client panicked")??;
    figures.memory_later = instance.private_memory()?;
    instance.end()?;
    Ok(figures)
}

/// By the time it took, with the CPU time that belongs to it.
fn median(samples: &mut [(f64, f64)]) -> (f64, f64) {
    let count = samples.len();
    samples.sort_by(|one, other| one.1.total_cmp(&other.1));
    let cpu = samples[count / 2].1;
    samples.sort_by(|one, other| one.0.total_cmp(&other.0));
    (samples[count / 2].0, cpu)
}

/// `herder run` with so many workers, all of them ready.
struct Instance {
    herder: Child,
    directory: PathBuf,
    notify: UnixDatagram,
    /// Workers whose first instructions were seen, and when the last was, in nanoseconds.
    begun: Arc<(AtomicU64, AtomicU64)>,
    workers: u32,
    start: (f64, f64),
}

impl Instance {
    fn start(herder: &str, directory: &Path, worker: &Path, workers: u32) -> Outcome<Instance> {
        let word = |text: &str| CString::new(text).map(Cow::Owned);
        let directory = directory.join("run");
        fs::create_dir_all(&directory)?;
        let path = directory.join("systemd");
        let _ = fs::remove_file(&path);
        let notify = UnixDatagram::bind(&path)?;
        notify.set_read_timeout(Some(PATIENCE))?;
        let workers_set = format!("--workers={workers}");
        let settings = ["ready=notify", "min-lifetime=1ms", "max-surge=10%"];
        let arguments = [herder, "run", "--name=bench", &workers_set, "--log-level=error"]
            .into_iter()
            .chain(settings.into_iter().flat_map(|setting| ["--set", setting]))
            .chain(["--", worker.to_str().ok_or("a path that is not text")?]);
        let program = Program {
            path: word(herder)?,
            argv: arguments.map(word).collect::<Result<_, _>>()?,
            env: vec![
                c"LISTEN_FDS=1".into(),
                word(&format!("RUNTIME_DIRECTORY={}", directory.display()))?,
                word(&format!("NOTIFY_SOCKET={}", path.display()))?,
            ],
            directory: None,
            listen_pid: true,
            watchdog_pid: false,
            stdin: None,
            output: None,
            die_with_herder: true,
            ignore_sigpipe: true,
            reset_oom_score: false,
            open_files: None,
            limits: None,
            cpu: None,
            cgroup: None,
        };
        let (mut times, output) = std::io::pipe()?;
        let began = Instant::now();
        let herder = spawn(&program, &[output.as_fd()])?;
        drop(output);
        let begun = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let seen = Arc::clone(&begun);
        // Ends with herder and its workers, which have the other end.
        thread::spawn(move || {
            let mut time = [0; 16];
            while times.read_exact(&mut time).is_ok() {
                let number = |at: usize| -> u64 {
                    time[at..at + 8].iter().rev().fold(0, |n, byte| (n << 8) | u64::from(*byte))
                };
                seen.1.store(number(0) * 1_000_000_000 + number(8), Ordering::Relaxed);
                seen.0.fetch_add(1, Ordering::Release);
            }
        });
        let mut instance =
            Instance { herder, directory, notify, begun, workers, start: (0.0, 0.0) };
        instance.wait_for("READY=1")?;
        instance.start = (microseconds(began.elapsed()), instance.cpu()?);
        Ok(instance)
    }

    fn control(&self) -> PathBuf {
        self.directory.join("control")
    }

    /// Reads what systemd would be told until it is this.
    fn wait_for(&self, word: &str) -> Outcome<()> {
        let mut buffer = [0; 4096];
        loop {
            let length = self.notify.recv(&mut buffer)?;
            let said = String::from_utf8_lossy(&buffer[..length]);
            if said.lines().any(|line| line == word) {
                return Ok(());
            }
            if said.lines().any(|line| line == "STOPPING=1") {
                return Err(format!("herder stops: {said}").into());
            }
        }
    }

    /// Replaces every worker; how long that took, and herder's CPU time.
    fn reload(&self) -> Outcome<(f64, f64)> {
        let (began, before) = (Instant::now(), self.cpu()?);
        let reply = call(&self.control(), "io.herder.Control.Reload")?;
        if reply.contains("\"error\"") {
            return Err(reply.into());
        }
        let took = microseconds(began.elapsed());
        self.wait_for("RELOADING=1")?;
        self.wait_for("READY=1")?;
        // The old workers have to go, too, which is herder's work as well.
        self.wait_for_workers()?;
        Ok((took, self.cpu()? - before))
    }

    /// Until herder has as many children as it should have.
    fn wait_for_workers(&self) -> Outcome<()> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.children()?.len() == self.workers as usize {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(if self.workers > SMALL { 20 } else { 1 }));
        }
        Err("herder has another number of children than workers".into())
    }

    fn children(&self) -> Outcome<Vec<i32>> {
        let list = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.herder.pid))?;
        Ok(list.split_whitespace().map(str::parse).collect::<Result<Vec<i32>, _>>()?)
    }

    /// From SIGKILL to the first instructions of the replacement.
    fn kill_one(&self, number: usize) -> Outcome<f64> {
        self.wait_for_workers()?;
        thread::sleep(Duration::from_millis(5));
        let children = self.children()?;
        let victim = children[number * 7919 % children.len()];
        let before = self.begun.0.load(Ordering::Acquire);
        let killed = now();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(victim), nix::sys::signal::SIGKILL)?;
        let began = Instant::now();
        while self.begun.0.load(Ordering::Acquire) == before {
            if began.elapsed() > PATIENCE {
                return Err("a worker was not replaced".into());
            }
            thread::yield_now();
        }
        Ok(self.begun.1.load(Ordering::Relaxed).saturating_sub(killed) as f64 / 1000.0)
    }

    /// herder's CPU time so far, in microseconds.
    fn cpu(&self) -> Outcome<f64> {
        let schedule = fs::read_to_string(format!("/proc/{}/schedstat", self.herder.pid))?;
        let nanoseconds = schedule.split_whitespace().next().ok_or("no schedstat")?;
        Ok(nanoseconds.parse::<f64>()? / 1000.0)
    }

    /// herder's private memory, in kilobytes.
    fn private_memory(&self) -> Outcome<f64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.herder.pid))?;
        let private = rollup.lines().filter(|line| line.starts_with("Private_"));
        let kilobytes = |line: &str| -> Outcome<f64> {
            Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
        };
        private.map(kilobytes).sum()
    }

    /// Stops herder, and waits until it has stopped its workers.
    fn end(self) -> Outcome<()> {
        child::signal(self.herder.pidfd.as_fd(), libc::SIGTERM)?;
        let ended = poll::Poll::new()?;
        ended.add(&self.herder.pidfd, 1, poll::Interest::Read)?;
        ended.wait(&mut Vec::new(), Some(PATIENCE))?;
        child::reap(self.herder.pidfd.as_fd())?;
        Ok(())
    }
}

/// herder dies with an error of this program, and workers die with herder.
impl Drop for Instance {
    fn drop(&mut self) {
        let _ = child::signal(self.herder.pidfd.as_fd(), libc::SIGKILL);
    }
}

/// One call, and its answer.
fn call(control: &Path, method: &str) -> Outcome<String> {
    let mut stream = UnixStream::connect(control)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{{\"method\":\"{method}\"}}\0").as_bytes())?;
    let (mut reply, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    while reply.last() != Some(&0) {
        match stream.read(&mut buffer)? {
            0 => return Err("herder hung up".into()),
            length => reply.extend_from_slice(&buffer[..length]),
        }
    }
    Ok(String::from_utf8(reply)?)
}

/// Asks again and again, and says how long the longest answer took.
fn longest_wait(control: &Path, method: &str, is_over: &AtomicBool) -> Outcome<f64> {
    let mut longest = 0.0_f64;
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        call(control, method)?;
        longest = longest.max(microseconds(began.elapsed()));
        thread::sleep(PAUSE);
    }
    Ok(longest)
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000_000.0
}

fn now() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        time.tv_sec().unsigned_abs() * 1_000_000_000 + time.tv_nsec().unsigned_abs()
    })
}

fn print(all: &[Figures]) {
    let Some(few) = all.first() else { return };
    let per_worker =
        |figures: &Figures, total: fn(&Figures) -> f64| total(figures) / f64::from(figures.workers);
    let row = |name: &str, value: &dyn Fn(&Figures) -> f64, has_ratio: bool| {
        print!("{name:<44}");
        for figures in all {
            let cell = format!("{:.1}", value(figures));
            let ratio = match has_ratio {
                true => format!("({:.2})", value(figures) / value(few)),
                false => String::new(),
            };
            print!("{cell:>11}{ratio:>9}");
        }
        println!();
    };
    row("workers (in parentheses: times that of the first)", &|f| f64::from(f.workers), false);
    row("start, µs a worker", &|f| per_worker(f, |f| f.start), true);
    row("  of that herder's CPU", &|f| per_worker(f, |f| f.start_cpu), true);
    row("reload, µs a worker", &|f| per_worker(f, |f| f.reload), true);
    row("  herder's CPU, until the old have left", &|f| per_worker(f, |f| f.reload_cpu), true);
    row("SIGKILL to first instruction, p50, µs", &|f| f.respawn_p50, true);
    row("  the longest", &|f| f.respawn_max, true);
    row("reload: longest wait for an answer, ms", &|f| f.answer_max / 1000.0, false);
    row("  for the whole status, ms", &|f| f.status_max / 1000.0, false);
    row("private memory, kB", &|f| f.memory, false);
    row("  after the reloads, kB", &|f| f.memory_later, false);
    let beyond = |total: fn(&Figures) -> f64| {
        move |f: &Figures| (total(f) - total(few)) / f64::from((f.workers - few.workers).max(1))
    };
    row("  a worker more, kB", &beyond(|f| f.memory), false);
    row("  a worker more, after the reloads, kB", &beyond(|f| f.memory_later), false);
}
