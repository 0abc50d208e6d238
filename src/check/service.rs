//! The service a settings file belongs to, as far as systemd knows it: asked with systemctl(1),
//! whose `show` is the stable interface for programs, and never for longer than a few seconds.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use herder_core::Span;
use herder_wire::units;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long systemd may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// herder@NAME.service, as loaded.
#[derive(Debug, Default)]
pub struct Service {
    name: String,
    properties: BTreeMap<String, String>,
}

impl Service {
    /// The service of /etc/herder/NAME.toml, if systemd runs here and has loaded it.
    pub fn of_settings_file(file: &Path) -> Option<Service> {
        let path = std::fs::canonicalize(file).ok()?;
        let ours = path.parent() == Some(Path::new("/etc/herder")) && path.extension()? == "toml";
        // sd_booted(3)
        if !ours || !Path::new("/run/systemd/system").is_dir() {
            return None;
        }
        let name = format!("herder@{}.service", path.file_stem()?.to_str()?);
        let mut systemctl = Command::new("systemctl");
        systemctl.args(["show", "--property"]).arg(
            "LoadState,User,Group,SupplementaryGroups,DynamicUser,ProtectHome,PrivateTmp,TriggeredBy,\
             NonBlocking,Delegate,DelegateControllers,ProtectControlGroups,StartLimitBurst,\
             StartLimitIntervalUSec",
        );
        let answer = bounded_output(systemctl.arg("--").arg(&name))?;
        Service::from_show(name, &answer)
    }

    fn from_show(name: String, answer: &str) -> Option<Service> {
        let properties: BTreeMap<_, _> = answer
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let service = Service { name, properties };
        (service.property("LoadState") == "loaded").then_some(service)
    }

    /// Its name, with `.service`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A property, empty if systemd has none.
    pub fn property(&self, name: &str) -> &str {
        self.properties.get(name).map_or("", String::as_str)
    }

    /// The socket units that start it.
    pub fn sockets(&self) -> String {
        let units: Vec<_> = self
            .property("TriggeredBy")
            .split(' ')
            .filter(|unit| unit.ends_with(".socket"))
            .collect();
        match units.is_empty() {
            true => format!("a .socket unit (none names {} yet)", self.name),
            false => units.join(" and "),
        }
    }

    /// Why its sockets do not block, if they do not (systemd.service(5)).
    pub fn makes_nonblocking(&self) -> Option<String> {
        let is_set = self.property("NonBlocking") == "yes";
        is_set.then(|| format!("NonBlocking=yes of {} sets O_NONBLOCK on its sockets", self.name))
    }

    /// Why its workers' cgroups have no such controller, if they have not (systemd.resource-control(5)).
    pub fn withholds(&self, controller: &str) -> Option<String> {
        let name = &self.name;
        // `private` since 257, which hides them; `strict` is that and more.
        let hidden = self.property("ProtectControlGroups");
        let mut controllers = self.property("DelegateControllers").split(' ');
        match self.property("Delegate") {
            "yes" if !["", "no"].contains(&hidden) => {
                Some(format!("ProtectControlGroups={hidden} of {name} hides it"))
            }
            "yes" if controllers.any(|one| one == controller) => None,
            _ => Some(format!("Delegate= of {name} does not name it")),
        }
    }

    /// Why a start every so often closes its sockets, if it does (systemd.unit(5)).
    pub fn starts_too_often(&self, every: Span) -> Option<String> {
        let burst: u64 = self.property("StartLimitBurst").parse().ok()?;
        let within = units::parse_span(self.property("StartLimitIntervalUSec")).ok()?;
        (every.times(burst).0 < within).then(|| {
            format!(
                "{} may be started {burst} times in {}, and then its port is closed: raise \
                 `idle-timeout` or `exit-idle-time`, or set StartLimitIntervalSec=0 in a drop-in",
                self.name,
                units::span(within)
            )
        })
    }

    /// Why the service does not see this path although it exists (systemd.exec(5)).
    pub fn hides(&self, path: &Path) -> Option<String> {
        let hides = |property: &str, values: &[&str], folders: &[&str]| {
            let value = self.property(property);
            let below = folders.iter().any(|folder| path.starts_with(folder));
            (below && values.contains(&value))
                .then(|| format!("{property}={value} of {} hides it", self.name))
        };
        hides("ProtectHome", &["yes", "tmpfs"], &["/home", "/root", "/run/user"]).or_else(|| {
            hides("PrivateTmp", &["yes", "connected", "disconnected"], &["/tmp", "/var/tmp"])
        })
    }
}

/// What a command prints, if it is done in time.
fn bounded_output(command: &mut Command) -> Option<String> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let deadline = Instant::now() + PATIENCE;
    let mut answer = Vec::new();
    let complete = child.stdout.as_mut().and_then(|stdout| {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).ok()?;
            let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, timeout).ok()? == 0 {
                return None;
            }
            let mut part = [0; 4096];
            match stdout.read(&mut part).ok()? {
                0 => return Some(()),
                length => answer.extend_from_slice(&part[..length]),
            }
        }
    });
    // The command has ended, or took too long.
    let _ = child.kill();
    let _ = child.wait();
    complete.and_then(|()| String::from_utf8(answer).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_read_from_show() {
        let answer = "LoadState=loaded\nUser=\nTriggeredBy=herder@web.socket admin.socket x.path\nProtectHome=yes\nPrivateTmp=no\n";
        let service = Service::from_show("herder@web.service".into(), answer).unwrap();
        assert_eq!(service.sockets(), "herder@web.socket and admin.socket");
        assert_eq!(
            service.hides(Path::new("/home/me/app")).unwrap(),
            "ProtectHome=yes of herder@web.service hides it"
        );
        assert_eq!(service.hides(Path::new("/homestead")), None);
        assert_eq!(service.makes_nonblocking(), None);
        let answer = "LoadState=loaded\nNonBlocking=yes\n";
        let nonblocking = Service::from_show("herder@php.service".into(), answer).unwrap();
        let why = nonblocking.makes_nonblocking().unwrap();
        assert!(why.starts_with("NonBlocking=yes of herder@php.service"), "{why}");
        assert_eq!(service.hides(Path::new("/tmp/app")), None);
        let answer = "LoadState=loaded\nStartLimitBurst=8\nStartLimitIntervalUSec=15min\n";
        let limited = Service::from_show("herder@web.service".into(), answer).unwrap();
        let why = limited.starts_too_often(Span::secs(110)).unwrap();
        assert!(why.starts_with("herder@web.service may be started 8 times in 15min"), "{why}");
        assert_eq!(limited.starts_too_often(Span::secs(113)), None);
        let answer = "LoadState=loaded\nStartLimitBurst=5\nStartLimitIntervalUSec=0\n";
        let unlimited = Service::from_show("herder@web.service".into(), answer).unwrap();
        assert_eq!(unlimited.starts_too_often(Span::ZERO), None);
        assert_eq!(service.starts_too_often(Span::ZERO), None);
        assert!(Service::from_show("x".into(), "LoadState=not-found\n").is_none());
        let delegates = "LoadState=loaded\nDelegate=yes\nDelegateControllers=cpu memory\n";
        for (answer, controller, why) in [
            (delegates.to_owned(), "cpu", None),
            (delegates.to_owned(), "pids", Some("Delegate= of x does not name it")),
            (answer.to_owned(), "cpu", Some("Delegate= of x does not name it")),
            (
                format!("{delegates}ProtectControlGroups=yes\n"),
                "cpu",
                Some("ProtectControlGroups=yes of x hides it"),
            ),
            (format!("{delegates}ProtectControlGroups=no\n"), "cpu", None),
        ] {
            let service = Service::from_show("x".into(), &answer).unwrap();
            assert_eq!(service.withholds(controller).as_deref(), why);
        }
    }

    #[test]
    fn commands_are_heard_out_or_given_up() {
        assert_eq!(bounded_output(Command::new("echo").arg("hello")).as_deref(), Some("hello\n"));
        assert_eq!(bounded_output(&mut Command::new("/no/such/program")), None);
    }
}
