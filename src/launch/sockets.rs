//! Which of the sockets at hand a worker gets, in which order, and what placeholders say of them.

use super::queues::{Position, Positions};
use herder_config::{Problems, Queues, Settings, SocketField};
use herder_wire::address::Address;
use std::path::Path;

/// A socket at hand.
#[derive(Clone, Copy, Debug)]
pub struct Offered<'a> {
    /// Its name, as in LISTEN_FDNAMES.
    pub name: &'a str,
    /// Where it listens, if that can be said.
    pub address: Option<&'a Address>,
    /// How many connections may wait on it, if that can be said.
    pub backlog: Option<u64>,
    /// A process can be seen waiting on it.
    pub can_be_seen: bool,
    /// The number of its group, if several sockets share one address.
    pub group: Option<usize>,
    /// It takes datagrams.
    pub datagrams: bool,
}

/// The sockets chosen for workers.
#[derive(Debug)]
pub struct Selection {
    chosen: Vec<Chosen>,
    /// It is not known yet which sockets there will be.
    assumed: bool,
}

#[derive(Debug)]
struct Chosen {
    index: usize,
    name: String,
    address: Option<Address>,
    backlog: Option<u64>,
    can_be_seen: bool,
    datagrams: bool,
    /// Others of its group, of which each worker gets a share.
    group: Option<Vec<usize>>,
}

/// What listen(2) is told of a UNIX socket whose limit the kernel does not tell, for want of a module:
/// net.core.somaxconn unless changed, which is what systemd asks for, and the most the kernel allows.
const MOST_WAITING: u64 = 4096;

/// The number of the first descriptor handed over (SD_LISTEN_FDS_START, sd_listen_fds(3)).
const FIRST_FD: usize = 3;

impl Selection {
    /// All sockets that are not herder's own, or those `sockets` names, in its order; several of
    /// one name stay together and in order.
    pub fn new(
        settings: &Settings,
        offered: &[Offered<'_>],
        instance: &str,
        problems: &mut Problems,
    ) -> Selection {
        let for_workers =
            || offered.iter().enumerate().filter(|(_, socket)| !socket.name.starts_with("herder-"));
        let own = settings.queues == Queues::PerWorker;
        let group = |socket: &Offered<'_>| {
            let group = socket.group.filter(|_| own)?;
            let is_wanted = |name: &str| {
                let named = |names: &Vec<String>| names.iter().any(|wanted| wanted == name);
                settings.sockets.as_ref().is_none_or(named) && !name.starts_with("herder-")
            };
            let members = offered.iter().enumerate();
            let members =
                members.filter(|(_, other)| other.group == Some(group) && is_wanted(other.name));
            Some(members.map(|(index, _)| index).collect::<Vec<_>>())
        };
        let chosen = |(index, socket): (usize, &Offered<'_>)| Chosen {
            index,
            name: socket.name.to_owned(),
            address: socket.address.cloned(),
            backlog: socket.backlog,
            can_be_seen: socket.can_be_seen,
            datagrams: socket.datagrams,
            group: group(socket),
        };
        let Some(names) = &settings.sockets else {
            let mut selection =
                Selection { chosen: for_workers().map(chosen).collect(), assumed: false };
            selection.keep_heads();
            return selection;
        };
        let mut selection = Selection { chosen: Vec::new(), assumed: false };
        for name in names {
            let before = selection.chosen.len();
            selection
                .chosen
                .extend(for_workers().filter(|(_, socket)| socket.name == name).map(chosen));
            if selection.chosen.len() == before {
                let there: Vec<_> =
                    for_workers().map(|(_, socket)| format!("`{}`", socket.name)).collect();
                let there = match there.is_empty() {
                    true => "there is none".to_owned(),
                    false => format!("there are {}", there.join(", ")),
                };
                problems.advise(
                    settings.origins.get("sockets"),
                    "sockets",
                    format!("no socket is called `{name}`: {there}"),
                    format!(
                        "run `systemctl start herder@{instance}.socket` first, or without systemd add `--listen {name}=ADDRESS`"
                    ),
                );
            }
        }
        selection.keep_heads();
        selection
    }

    /// The first socket of each group stands for the group.
    fn keep_heads(&mut self) {
        let mut seen = Vec::new();
        self.chosen.retain(|chosen| match &chosen.group {
            None => true,
            Some(group) if seen.contains(group) => false,
            Some(group) => {
                seen.push(group.clone());
                true
            }
        });
    }

    /// What a worker gets, place by place.
    pub fn places(&self) -> Positions {
        let place = |chosen: &Chosen| Position {
            name: chosen.name.clone(),
            sockets: chosen.group.clone().unwrap_or_else(|| vec![chosen.index]),
            shared_out: chosen.group.is_some(),
        };
        Positions(self.chosen.iter().map(place).collect())
    }

    /// Their addresses, as far as they have one, place by place.
    pub fn addresses(&self) -> impl Iterator<Item = Option<&Address>> {
        self.chosen.iter().map(|chosen| chosen.address.as_ref())
    }

    /// Whether what stands in this place takes datagrams.
    pub fn is_datagram(&self, place: &Position) -> bool {
        let first = place.sockets.first();
        self.chosen.iter().any(|chosen| Some(&chosen.index) == first && chosen.datagrams)
    }

    /// What the settings alone let expect: `listen`, else the names in `sockets`.
    pub fn expected(settings: &Settings) -> Selection {
        let listen = settings.listen.iter().map(|listen| (&listen.name, Some(&listen.address)));
        let named = settings.sockets.iter().flatten().map(|name| (name, None));
        let expected: Vec<_> = match settings.listen.is_empty() {
            true => named.collect(),
            false => listen.filter(|(name, _)| wanted(settings, name)).collect(),
        };
        let chosen = expected.into_iter().enumerate().map(|(index, (name, address))| Chosen {
            index,
            name: name.clone(),
            address: address.cloned(),
            backlog: None,
            can_be_seen: true,
            datagrams: false,
            group: None,
        });
        let none_meant = settings.sockets.as_ref().is_some_and(Vec::is_empty);
        Selection { chosen: chosen.collect(), assumed: !none_meant }
    }

    /// No worker gets any.
    pub fn is_empty(&self) -> bool {
        self.chosen.is_empty()
    }

    /// Whether herder can see a worker waiting on one of them.
    pub fn can_be_seen(&self) -> bool {
        self.chosen.iter().any(|chosen| chosen.can_be_seen)
    }

    /// The sockets are expected, and not open yet.
    pub fn is_assumed(&self) -> bool {
        self.assumed
    }

    /// Their indices among those offered, of a group all.
    pub fn indices(&self) -> Vec<usize> {
        self.places().0.into_iter().flat_map(|place| place.sockets).collect()
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.chosen.iter().map(|chosen| chosen.name.as_str())
    }

    /// The paths of those that are in the file system.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.chosen.iter().filter_map(|chosen| match &chosen.address {
            Some(Address::Unix(path)) => Some(path.as_path()),
            Some(Address::Inet(_) | Address::Abstract(_)) | None => None,
        })
    }

    /// Whether one of them is a UNIX socket.
    pub fn have_unix(&self) -> bool {
        self.chosen.iter().any(|chosen| match &chosen.address {
            Some(Address::Unix(_) | Address::Abstract(_)) => true,
            Some(Address::Inet(_)) | None => false,
        })
    }

    /// What a placeholder stands for.
    pub fn value(&self, field: SocketField, name: Option<&str>) -> Result<String, String> {
        let position = match name {
            None => (!self.is_empty()).then_some(0),
            Some(name) => self.names().position(|known| known == name),
        };
        let placeholder = match name {
            None => format!("{{{field}}}"),
            Some(name) => format!("{{{field}:{name}}}"),
        };
        let Some((position, chosen)) = position.and_then(|at| Some((at, self.chosen.get(at)?)))
        else {
            return match name {
                _ if self.assumed => Ok(placeholder),
                None => Err(format!("`{placeholder}` speaks of a socket, and workers get none")),
                Some(name) => {
                    Err(format!("`{placeholder}`: workers get no socket called `{name}`"))
                }
            };
        };
        let wrong =
            |what: &str| Err(format!("`{placeholder}`: the socket `{}` {what}", chosen.name));
        match (field, &chosen.address) {
            (SocketField::Fd, _) => Ok((FIRST_FD + position).to_string()),
            (SocketField::Backlog, _) if self.assumed => Ok(placeholder),
            (SocketField::Backlog, _) => Ok(chosen.backlog.unwrap_or(MOST_WAITING).to_string()),
            (_, None) if self.assumed => Ok(placeholder),
            (_, None) => wrong("has no address"),
            (SocketField::Addr, Some(address)) => Ok(address.to_string()),
            (SocketField::Host, Some(Address::Inet(address))) => Ok(address.ip().to_string()),
            (SocketField::Port, Some(Address::Inet(address))) => Ok(address.port().to_string()),
            (SocketField::Path, Some(Address::Unix(path))) => {
                Ok(path.to_string_lossy().into_owned())
            }
            (_, Some(address)) => wrong(&format!("is at {address}, which has no {field}")),
        }
    }
}

fn wanted(settings: &Settings, name: &String) -> bool {
    settings.sockets.as_ref().is_none_or(|names| names.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(sockets: Option<&[&str]>) -> Settings {
        let sockets = sockets.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        Settings { sockets, ..Settings::default() }
    }

    fn select(sockets: Option<&[&str]>, offered: &[(&str, &str)]) -> (Selection, Problems) {
        let addresses: Vec<Option<Address>> =
            offered.iter().map(|(_, address)| address.parse().ok()).collect();
        let offered: Vec<_> = offered
            .iter()
            .zip(&addresses)
            .map(|((name, _), address)| Offered {
                name,
                address: address.as_ref(),
                backlog: address.as_ref().and(Some(511)),
                can_be_seen: address.is_some(),
                group: None,
                datagrams: false,
            })
            .collect();
        let mut problems = Problems::default();
        let selection = Selection::new(&settings(sockets), &offered, "shop", &mut problems);
        (selection, problems)
    }

    const OFFERED: [(&str, &str); 5] = [
        ("admin", "/run/admin.sock"),
        ("web", "127.0.0.1:80"),
        ("herder-control", "/run/control"),
        ("web", "[::1]:81"),
        ("fifo", ""),
    ];

    #[test]
    fn order_and_repeated_names_are_kept_and_herders_own_sockets_are() {
        for (wanted, indices) in [
            (None, vec![0, 1, 3, 4]),
            (Some(["web", "admin"].as_slice()), vec![1, 3, 0]),
            (Some(&[]), vec![]),
        ] {
            let (selection, problems) = select(wanted, &OFFERED);
            assert_eq!(problems, Problems::default());
            assert_eq!(selection.indices(), indices);
        }
    }

    #[test]
    fn a_missing_socket_is_told_with_the_command_that_brings_it() {
        let told = select(Some(&["api"]), &OFFERED).1.to_string();
        assert!(
            told.contains("no socket is called `api`: there are `admin`, `web`, `web`, `fifo`"),
            "{told}"
        );
        assert!(told.contains("`systemctl start herder@shop.socket` first"), "{told}");
        assert!(
            select(Some(&["herder-control"]), &OFFERED)
                .1
                .to_string()
                .contains("no socket is called")
        );
    }

    #[test]
    fn placeholders_know_their_socket() {
        let (selection, _) = select(Some(&["web", "admin", "fifo"]), &OFFERED);
        use SocketField::{Addr, Backlog, Fd, Host, Path, Port};
        for (field, name, value) in [
            (Fd, None, "3"),
            (Fd, Some("web"), "3"),
            (Fd, Some("admin"), "5"),
            (Fd, Some("fifo"), "6"),
            (Host, None, "127.0.0.1"),
            (Port, Some("web"), "80"),
            (Addr, None, "127.0.0.1:80"),
            (Addr, Some("admin"), "/run/admin.sock"),
            (Path, Some("admin"), "/run/admin.sock"),
            (Backlog, None, "511"),
            (Backlog, Some("fifo"), "4096"),
        ] {
            assert_eq!(selection.value(field, name).as_deref(), Ok(value));
        }
        for (field, name, error) in [
            (Port, Some("admin"), "which has no port"),
            (Path, None, "which has no path"),
            (Addr, Some("fifo"), "has no address"),
            (Fd, Some("api"), "no socket called `api`"),
        ] {
            assert!(selection.value(field, name).unwrap_err().contains(error));
        }
        assert!(
            select(Some(&[]), &OFFERED).0.value(Fd, None).unwrap_err().contains("workers get none")
        );
    }

    #[test]
    fn what_is_only_expected_stays_a_placeholder() {
        let expected = Selection::expected(&settings(Some(&["web", "admin"])));
        assert_eq!(expected.value(SocketField::Fd, Some("admin")).as_deref(), Ok("4"));
        assert_eq!(expected.value(SocketField::Port, Some("web")).as_deref(), Ok("{port:web}"));
        let expected = Selection::expected(&settings(None));
        assert_eq!(expected.value(SocketField::Fd, None).as_deref(), Ok("{fd}"));
    }
}
