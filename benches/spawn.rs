//! What a respawn costs: from the SIGKILL of a tiny worker to the first instructions of its
//! replacement, by a bare C loop of the system calls it takes (`floor.c`), by herder's `linux::spawn`
//! in the same loop, and by the whole of `herder run`. They take turns, so that what disturbs one
//! disturbs the others. The result is a ratio; absolute figures are those of one machine at one moment.
//!
//! `cargo bench --bench spawn`. Fails when `herder run` needs more than 1.3 times as long as the floor.
//! Without `--bench` (as under `cargo test --benches`) a few samples only show that it runs.

use herder_linux::spawn::{Child, Program, spawn};
use herder_linux::{child, poll};
use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use std::borrow::Cow;
use std::error::Error;
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// herder's share of a respawn is at most three tenths of the kernel's.
const AT_MOST: f64 = 1.3;

/// Caches grow cold in between, as they do between crashes.
const PAUSE: Duration = Duration::from_millis(3);

/// Nanoseconds.
#[derive(Default)]
struct Samples {
    /// From the SIGKILL to the first instructions of the replacement.
    respawn: Vec<u64>,
    /// In the call that starts it, which returns after exec.
    call: Vec<u64>,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<ExitCode> {
    let thorough = std::env::args().any(|argument| argument == "--bench");
    let (turns, samples) = if thorough { (10, 100) } else { (1, 5) };
    let directory = tempfile::tempdir()?;
    let Some((floor, worker)) = build(directory.path())? else {
        println!("spawn: SKIPPED, there is no C compiler `cc` to build the floor with");
        return Ok(ExitCode::SUCCESS);
    };
    let (mut floor_took, mut loop_took) = (Samples::default(), Samples::default());
    let mut whole = Vec::new();
    for _ in 0..turns {
        run_floor(&floor, &worker, samples, &mut floor_took)?;
        run_loop(&worker, samples, &mut loop_took)?;
        run_whole(directory.path(), &worker, samples, &mut whole)?;
    }
    println!("{:<38}{:>10}{:>10}{:>8}", "microseconds", "C", "herder", "ratio");
    let (respawn, call) = (&mut floor_took.respawn, &mut floor_took.call);
    compare("start of a worker", call, &mut loop_took.call);
    compare("SIGKILL -> first instruction, a loop", respawn, &mut loop_took.respawn);
    let ratio = compare("SIGKILL -> first instruction, run", respawn, &mut whole);
    if thorough && ratio > AT_MOST {
        println!("FAILED: a respawn takes more than {AT_MOST} times as long as the floor");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints both, and gives the ratio of the medians.
fn compare(what: &str, floor: &mut [u64], herder: &mut [u64]) -> f64 {
    for percent in [99, 50] {
        let (c, herder) = (percentile(floor, percent), percentile(herder, percent));
        let name = format!("{what}, p{percent}");
        println!("{name:<38}{c:>10.1}{herder:>10.1}{:>8.2}", herder / c);
    }
    percentile(herder, 50) / percentile(floor, 50)
}

fn percentile(samples: &mut [u64], percent: usize) -> f64 {
    samples.sort_unstable();
    samples[(samples.len() - 1) * percent / 100] as f64 / 1000.0
}

fn build(directory: &Path) -> Outcome<Option<(PathBuf, PathBuf)>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/floor.c");
    let (floor, worker) = (directory.join("floor"), directory.join("worker"));
    for (output, flags) in [
        (&floor, &["-O2", "-Wall"][..]),
        (
            &worker,
            &["-O2", "-DWORKER", "-nostdlib", "-static", "-ffreestanding", "-fno-stack-protector"],
        ),
    ] {
        match Command::new("cc").args(flags).arg("-o").arg(output).arg(&source).status() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
            Ok(status) if status.success() => {}
            Ok(_) => return Err("cc failed on benches/floor.c".into()),
        }
    }
    Ok(Some((floor, worker)))
}

fn run_floor(floor: &Path, worker: &Path, samples: usize, into: &mut Samples) -> Outcome<()> {
    let mut command = Command::new(floor);
    command.arg(worker).arg(samples.to_string()).arg(PAUSE.as_millis().to_string());
    let output = command.output()?;
    for line in String::from_utf8(output.stdout)?.lines() {
        let (respawn, call) = line.split_once(' ').ok_or("the floor printed something else")?;
        into.respawn.push(respawn.parse()?);
        into.call.push(call.parse()?);
    }
    if output.status.success() { Ok(()) } else { Err("the floor failed".into()) }
}

/// herder's functions in the loop of the floor.
fn run_loop(worker: &Path, samples: usize, into: &mut Samples) -> Outcome<()> {
    let path = CString::new(worker.as_os_str().as_encoded_bytes())?;
    let program = Program {
        argv: vec![path.clone().into()],
        path: path.into(),
        env: vec![c"LISTEN_FDS=1".into()],
        directory: None,
        listen_pid: true,
        watchdog_pid: false,
        stdin: None,
        output: None,
        die_with_herder: false,
        ignore_sigpipe: false,
        reset_oom_score: false,
        open_files: None,
        limits: None,
        cpu: None,
        cgroup: None,
    };
    let (times, output) = pipe2(OFlag::O_CLOEXEC)?;
    let mut times = File::from(times);
    let mut first_instructions = || first_instructions(&mut times);
    let loop_ = poll::Poll::new()?;
    let mut events = Vec::new();
    let watched = |child: &Child| loop_.add(&child.pidfd, 1, poll::Interest::Read);
    let mut old = spawn(&program, &[output.as_fd()])?;
    first_instructions()?;
    watched(&old)?;
    for _ in 0..samples {
        std::thread::sleep(PAUSE);
        let killed = nanoseconds();
        child::signal(old.pidfd.as_fd(), 9)?;
        loop_.wait(&mut events, None)?;
        child::peek(old.pidfd.as_fd())?;
        let started = nanoseconds();
        let new = spawn(&program, &[output.as_fd()])?;
        into.call.push(nanoseconds() - started);
        into.respawn.push(first_instructions()? - killed);
        child::reap(old.pidfd.as_fd())?;
        loop_.remove(&old.pidfd)?;
        watched(&new)?;
        old = new;
    }
    child::signal(old.pidfd.as_fd(), 9)?;
    loop_.wait(&mut events, None)?;
    child::reap(old.pidfd.as_fd())?;
    Ok(())
}

/// `herder run`, whose one worker is killed again and again.
fn run_whole(directory: &Path, worker: &Path, samples: usize, into: &mut Vec<u64>) -> Outcome<()> {
    let word = |text: &str| CString::new(text).map(Cow::Owned);
    let herder = env!("CARGO_BIN_EXE_herder");
    let settings = ["ready=exec", "min-lifetime=1ms"];
    let arguments = [herder, "run", "--name=bench", "--workers=1", "--log-level=error"]
        .into_iter()
        .chain(settings.into_iter().flat_map(|setting| ["--set", setting]))
        .chain(["--", worker.to_str().ok_or("a path that is not text")?]);
    let program = Program {
        path: word(herder)?,
        argv: arguments.map(word).collect::<Result<_, _>>()?,
        env: vec![
            c"LISTEN_FDS=1".into(),
            word(&format!("RUNTIME_DIRECTORY={}", directory.display()))?,
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
    let (times, output) = pipe2(OFlag::O_CLOEXEC)?;
    let mut times = File::from(times);
    let herder = spawn(&program, &[output.as_fd()])?;
    // If herder ends, reading ends too.
    drop(output);
    first_instructions(&mut times)?;
    let children = format!("/proc/{0}/task/{0}/children", herder.pid);
    for _ in 0..samples {
        std::thread::sleep(PAUSE);
        let pid = the_only_one(&children)?;
        let killed = nanoseconds();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL)?;
        into.push(first_instructions(&mut times)? - killed);
    }
    child::signal(herder.pidfd.as_fd(), libc::SIGTERM)?;
    let ended = poll::Poll::new()?;
    ended.add(&herder.pidfd, 1, poll::Interest::Read)?;
    ended.wait(&mut Vec::new(), None)?;
    child::reap(herder.pidfd.as_fd())?;
    Ok(())
}

/// The pid of the one worker there is once the one before it is reaped.
fn the_only_one(children: &str) -> Outcome<i32> {
    let started = nanoseconds();
    while nanoseconds() - started < 5_000_000_000 {
        if let Ok(pid) = std::fs::read_to_string(children)?.trim().parse() {
            return Ok(pid);
        }
        std::thread::yield_now();
    }
    Err("herder did not reap a worker within 5 s".into())
}

/// What a worker writes first of all: its clock, in nanoseconds.
fn first_instructions(times: &mut impl Read) -> Outcome<u64> {
    let (mut seconds, mut nanoseconds) = ([0; 8], [0; 8]);
    times.read_exact(&mut seconds)?;
    times.read_exact(&mut nanoseconds)?;
    Ok(u64::from_ne_bytes(seconds) * 1_000_000_000 + u64::from_ne_bytes(nanoseconds))
}

fn nanoseconds() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        time.tv_sec().unsigned_abs() * 1_000_000_000 + time.tv_nsec().unsigned_abs()
    })
}
