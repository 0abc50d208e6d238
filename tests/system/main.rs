//! herder as its package installs it, under a real systemd as PID 1.
//!
//! Every file in `scenarios/` is one test on each systemd version and kind of machine that it asks for: a throw-away machine
//! (`machine.rs`) boots, runs it as a unit and powers off. The machines are Debian trees that `prepare` makes and caches; what
//! they install is the `.deb` that `HERDER_DEB` names. `tests/run` sets all of it up.
//!
//! With `HERDER_BENCHES` set, the scenarios are instead the benchmarks of `benches/machine`, which print what they have measured.
//!
//! Needs root, `mmdebstrap`, `systemd-nspawn` for containers and qemu for virtual machines. Where something is missing the
//! tests that need it say so and count as ignored, except in CI (`CI` set), where they fail.

mod cgroup;
mod machine;
mod package;
mod scenario;
mod schedule;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::{SigSet, Signal};
use tempfile::TempDir;

use cgroup::Cgroup;
use machine::{Kind, Machine};
use scenario::Scenario;
use schedule::Schedule;

const VERSIONS: [&str; 2] = ["252", "257"];
/// What machines may take of this one at the same time; [`Scenario::weight`] is what each takes. A container that waits most
/// of the time is 1, and four of them fit on two cores; two of those that keep a core busy do.
const CAPACITY: usize = 4;

/// What every test needs; made when the first one runs, so that `--list` costs nothing.
struct Setup {
    files: Vec<PathBuf>,
    cgroup: Cgroup,
    work: TempDir,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(CAPACITY);
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let here = manifest.join("tests/system");
    let measures = std::env::var_os("HERDER_BENCHES").is_some();
    let scenarios =
        manifest.join(if measures { "benches/machine" } else { "tests/system/scenarios" });
    let in_ci = std::env::var_os("CI").is_some();
    let missing = |kind: Kind| missing(kind.programs());
    for kind in [Kind::Container, Kind::Vm] {
        if let (Some(reason), false) = (missing(kind), arguments.list) {
            eprintln!("no {} can run here: {reason}", kind.name());
        }
    }
    let setup: Arc<OnceLock<Result<Setup, String>>> = Arc::default();
    clean_up_when_interrupted(Arc::clone(&setup));

    let schedule = Arc::new(Schedule::new(CAPACITY));
    let mut machines = Vec::new();
    for scenario in Scenario::all(&scenarios) {
        let versions = VERSIONS.into_iter().filter(|version| scenario.runs_on(version));
        for (version, kind) in
            versions.flat_map(|version| scenario.kinds.iter().map(move |kind| (version, *kind)))
        {
            let (scenario, setup, here) = (scenario.clone(), Arc::clone(&setup), here.clone());
            let (weight, seconds) = (scenario.weight(kind), scenario.seconds(kind));
            let schedule = Arc::clone(&schedule);
            let missing = missing(kind);
            let ignored = missing.is_some() && !in_ci;
            let of_kind = if kind == Kind::Vm { "_vm" } else { "" };
            let name = format!("{}_on_{version}{of_kind}", scenario.name);
            let test = name.clone();
            let run = move || {
                if let Some(reason) = missing {
                    return Err(Failed::from(format!("cannot run here: {reason}")));
                }
                let setup = setup.get_or_init(Setup::make).as_ref()?;
                let machine =
                    Machine { test: &test, kind, version, here: &here, files: &setup.files };
                let ran = schedule
                    .run(weight, || machine.run(&scenario, &setup.cgroup, setup.work.path()));
                ran.map_err(Failed::from)
            };
            machines.push((seconds, Trial::test(name, run).with_ignored_flag(ignored)));
        }
    }
    // The longest first, so that none of them is still running alone at the end.
    machines.sort_by_key(|(seconds, _)| std::cmp::Reverse(*seconds));
    let mut trials = if measures { Vec::new() } else { package::trials(in_ci) };
    trials.extend(machines.into_iter().map(|(_, trial)| trial));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(Ok(setup)) = setup.get() {
        setup.clean_up();
    }
    conclusion.exit_code()
}

impl Setup {
    fn make() -> Result<Self, String> {
        let mut files = vec![package::from("HERDER_DEB")?];
        files.extend(
            ["listenfd-worker", "matrix-listenfd", "misbehave"]
                .map(example)
                .into_iter()
                .collect::<Result<Vec<_>, _>>()?,
        );
        let work = tempfile::tempdir()
            .map_err(|error| format!("cannot make a temporary directory: {error}"))?;
        Ok(Self { files, cgroup: Cgroup::for_this_run()?, work })
    }

    fn clean_up(&self) {
        self.cgroup.remove();
        if let Err(error) = std::fs::remove_dir_all(self.work.path()) {
            eprintln!("cannot remove {}: {error}, ignoring", self.work.path().display());
        }
    }
}

/// Cargo builds examples beside the directory that this test lies in.
fn example(name: &str) -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|error| format!("this program's path: {error}"))?;
    let built = this
        .ancestors()
        .nth(2)
        .map(|profile| profile.join("examples").join(name))
        .filter(|path| path.is_file());
    built.ok_or_else(|| format!("the example {name} is not built: cargo build --examples"))
}

/// Why no machine that needs these can be booted here, if so.
fn missing(programs: &[&str]) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("booting a machine needs root".into());
    }
    let always = ["mmdebstrap", "cpio", "setpriv", "unshare", "flock", "python3", "go"];
    let programs = always.iter().chain(programs).copied();
    let absent: Vec<_> = programs.filter(|program| !is_installed(program)).collect();
    (!absent.is_empty()).then(|| format!("{} not installed", absent.join(", ")))
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Ctrl-C and SIGTERM: the machines die with this process (PR_SET_PDEATHSIG), but this thread has to remove cgroups and
/// directories.
fn clean_up_when_interrupted(setup: Arc<OnceLock<Result<Setup, String>>>) {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    if let Err(error) = signals.thread_block() {
        eprintln!("cannot block signals: {error}, ignoring");
        return;
    }
    std::thread::spawn(move || {
        if let Ok(signal) = signals.wait() {
            if let Some(Ok(setup)) = setup.get() {
                setup.clean_up();
            }
            std::process::exit(128 + signal as i32);
        }
    });
}

/// The last line of a failed command says what it was; its output has gone to the terminal.
fn output_of(command: &mut Command) -> Result<String, String> {
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{command:?}: {error}"))
}
