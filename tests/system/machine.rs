//! A throw-away machine that runs one scenario: a container or a virtual machine with a systemd of its own as PID 1.
//!
//! Its processes, mounts and cgroup are gone when [`Machine::run`] returns, however the scenario or the tests end: the
//! machine lives in PID and mount namespaces whose first process dies with the thread that started it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use crate::cgroup::Cgroup;
use crate::output_of;
use crate::scenario::Scenario;
use crate::schedule;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Fast, on the kernel there is. Where that has cgroup version 1 too, it has no controllers.
    Container,
    /// With a kernel of its own and all controllers. Emulated in software, so it runs wherever qemu does, slowly.
    Vm,
}

impl Kind {
    /// What booting one needs.
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Container => &["systemd-nspawn"],
            Self::Vm => &["qemu-system-x86_64"],
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Vm => "virtual machine",
        }
    }

    /// How many times longer everything takes there.
    pub fn slowness(self) -> u32 {
        match self {
            Self::Container => 1,
            Self::Vm => 3,
        }
    }
}

pub struct Machine<'a> {
    /// The test's name.
    pub test: &'a str,
    pub kind: Kind,
    pub version: &'a str,
    pub here: &'a Path,
    /// What goes into its `/herder-test`.
    pub files: &'a [PathBuf],
}

impl Machine<'_> {
    /// Boots, runs, and says everything it knows about a failure.
    pub fn run(&self, scenario: &Scenario, parent: &Cgroup, work: &Path) -> Result<(), String> {
        let name = format!("{}-{}", scenario.name, self.tree(scenario));
        let (cgroup, work) = (parent.child(&name)?, work.join(&name));
        let began = Instant::now();
        let ended = self.boot(scenario, &work, &cgroup);
        schedule::note(self.test, began.elapsed(), cgroup.cpu_time());
        cgroup.remove();
        // A terminal line ends every line of text with both.
        let read = |name: &str| {
            let bytes = fs::read(work.join("out").join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace("\r\n", "\n")
        };
        let result = read("result");
        match ended {
            Ok(()) if result.trim() == "success 0" => {
                for line in read("log").lines().filter(|line| line.starts_with("measured: ")) {
                    println!("{name}: {line}");
                }
                Ok(())
            }
            ended => {
                let end = ended
                    .err()
                    .unwrap_or_else(|| format!("the scenario ended with “{}”", result.trim()));
                let parts = [
                    ("journal", read("journal")),
                    ("console", read("console")),
                    ("scenario", read("log")),
                ];
                let shown =
                    parts.map(|(name, text)| format!("──── {name} ────\n{}\n", text.trim_end()));
                Err(format!(
                    "{}──── {} on {} ────\n{end}",
                    shown.concat(),
                    scenario.name,
                    self.tree(scenario)
                ))
            }
        }
    }

    /// Its name among the trees that `prepare` makes: `257`, `257-vm`, `257-servers`.
    fn tree(&self, scenario: &Scenario) -> String {
        let version = self.version;
        match (self.kind, &scenario.tree) {
            (Kind::Container, None) => version.to_owned(),
            (Kind::Container, Some(tree)) => format!("{version}-{tree}"),
            (Kind::Vm, _) => format!("{version}-vm"),
        }
    }

    /// Returns when the machine is off.
    fn boot(&self, scenario: &Scenario, work: &Path, cgroup: &Cgroup) -> Result<(), String> {
        let (space, out) = (work.join("space"), work.join("out"));
        for directory in [&space, &out] {
            fs::create_dir_all(directory)
                .map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        let console =
            File::create(out.join("console")).map_err(|error| format!("console: {error}"))?;
        let console_too = console.try_clone().map_err(|error| format!("console: {error}"))?;
        // If `prepare` is killed while it makes a tree, its mounts disappear with its mount namespace.
        let mut prepare = Command::new("unshare");
        prepare.arg("--mount").arg(self.here.join("prepare"));
        let tree = output_of(prepare.arg(self.tree(scenario)))?;
        let boot = match self.kind {
            Kind::Container => "boot-container",
            Kind::Vm => "boot-vm",
        };
        let at_most = scenario.at_most * self.kind.slowness();

        // Into its cgroup first; then --pdeathsig and --kill-child make one chain from this thread to the machine.
        let enter = "echo 0 > \"$0/cgroup.procs\"; exec setpriv --pdeathsig KILL \
                     unshare --mount --pid --fork --kill-child --mount-proc -- \"$@\"";
        let mut command = Command::new("sh");
        command.arg("-ec").arg(enter).arg(cgroup.path());
        command
            .arg(self.here.join(boot))
            .arg(tree.trim_end())
            .args([&space, &out])
            .arg(&scenario.name)
            .args(self.files);
        command.stdin(Stdio::null()).stdout(console).stderr(console_too);

        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let (tell, ended) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || tell.send(child.wait()));
            match ended.recv_timeout(at_most) {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(format!("cannot wait for the machine: {error}")),
                Err(_) => {
                    cgroup.kill();
                    Err(format!("not done within {at_most:?}, killed"))
                }
            }
        })
    }
}
