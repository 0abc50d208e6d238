//! What workers did to a socket they were given, as log entries and in words.

use super::{Entry, LogLevel};
use herder_linux::nature::Change;
use herder_linux::sockets::Socket;
use herder_wire::status::ChangeKind;

/// The MESSAGE_ID of such an entry, which never changes.
pub(super) const ID: &str = "f047ecb81d8f47faa7c35822507ad27c";

/// The kind of event it is.
pub(super) const KIND: &str = "socket_changed";

/// A change of a socket, in words and with its importance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Its importance.
    pub priority: LogLevel,
    /// What has changed.
    pub kind: ChangeKind,
    /// What has happened, its effect, and what to change.
    pub text: String,
}

impl Effect {
    /// Whether an operator should do something about it.
    pub fn is_harmful(&self) -> bool {
        self.priority <= LogLevel::Warning
    }
}

/// How the instance was started, for the advice.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The instance's name.
    pub instance: &'a str,
    /// It is `herder@INSTANCE.service`.
    pub under_systemd: bool,
}

impl Origin<'_> {
    /// What creates the socket again.
    fn renewal(&self) -> String {
        match self.under_systemd {
            true => format!("`systemctl restart herder@{}.socket` makes it again", self.instance),
            false => "starting herder again makes it again".to_owned(),
        }
    }

    /// What starts with the right flags again.
    fn restart(&self) -> String {
        match self.under_systemd {
            true => format!("`systemctl restart herder@{}.service`", self.instance),
            false => "starting herder again".to_owned(),
        }
    }
}

/// What to say about a change of a socket; `needed` says that its workers need it to block.
pub fn effect(socket: &Socket, change: Change, needed: bool, origin: Origin<'_>) -> Effect {
    let file = || match &socket.address {
        Some(address) => format!("{address}, the file of {},", socket.name),
        None => format!("the file of {socket}"),
    };
    let (priority, kind, text) = match change {
        Change::Nonblocking if needed => (
            LogLevel::Error,
            ChangeKind::Nonblocking,
            format!(
                "{socket} no longer blocks, and its workers need that (`blocking`): they fail, or end at once. Keep \
                 servers with an event loop off this socket; {} sets it right",
                origin.restart()
            ),
        ),
        Change::Nonblocking => (
            LogLevel::Info,
            ChangeKind::Nonblocking,
            format!(
                "{socket} no longer blocks: a worker has set O_NONBLOCK, which holds for every process that has \
                 the socket. Servers with an event loop want that; no other should have it too"
            ),
        ),
        Change::Blocking => (
            LogLevel::Warning,
            ChangeKind::Blocking,
            format!(
                "{socket} blocks now: a process has cleared O_NONBLOCK, which holds for every process that has the socket. \
                 A server with an event loop may hang in accept(); keep servers that block off this socket"
            ),
        ),
        Change::Backlog { was, is } => (
            LogLevel::Warning,
            ChangeKind::Backlog,
            format!(
                "the backlog of {socket} is {is} and was {was}: a worker has called listen() again. Give its server \
                 the number, such as `--backlog {was}`; {{backlog}} stands for it in the settings. Where it has no \
                 such option, {}",
                origin.renewal()
            ),
        ),
        Change::Unlinked => (
            LogLevel::Error,
            ChangeKind::Unlinked,
            format!(
                "{} is gone, and no client can connect: a worker has removed it. {}; use a server that leaves it \
                 alone, or a TCP port",
                file(),
                origin.renewal()
            ),
        ),
        Change::Missing => (
            LogLevel::Warning,
            ChangeKind::Unlinked,
            format!(
                "{} is not there, and no client can connect, if it is not only hidden from this service: a worker of an \
                 earlier run has removed it. {}; use a server that leaves it alone, or a TCP port",
                file(),
                origin.renewal()
            ),
        ),
        Change::Replaced => (
            LogLevel::Error,
            ChangeKind::Replaced,
            format!(
                "{} is another file now, and clients that connect there do not reach the workers' socket: one of them has \
                 bound it anew. {}; have the server take the socket it is given",
                file(),
                origin.renewal()
            ),
        ),
    };
    Effect { priority, kind, text }
}

/// The entry for a change that was seen after a worker had started or ended, which `when` names, or when a
/// client asked for the status. It has no HERDER_WORKER=: another worker that started since the last look may
/// have caused it.
pub fn socket_changed(socket: &Socket, effect: &Effect, when: Option<(u64, &str)>) -> Entry {
    let mut text = effect.text.clone();
    if let Some((worker, what)) = when {
        text.push_str(&format!(" (seen when worker {worker} {what})"));
    }
    let mut entry = Entry::new(effect.priority, text)
        .with("HERDER_EVENT", KIND)
        .with("HERDER_SOCKET", &socket.name)
        .with("HERDER_CHANGE", effect.kind);
    entry.message_id = Some(ID);
    entry
}

/// An entry as it is when a client asked for the status.
#[cfg(test)]
pub fn example() -> Entry {
    let address = "@herder-test-of-entries".parse();
    let socket = herder_linux::sockets::bind("web", &address.expect("it is right")).expect("free");
    let origin = Origin { instance: "site", under_systemd: true };
    socket_changed(&socket, &effect(&socket, Change::Unlinked, false, origin), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use herder_linux::sockets::bind;

    #[test]
    fn every_change_is_told_with_what_to_change() {
        let socket = bind("web", &"@herder-test-of-effects".parse().unwrap()).unwrap();
        let changes = [
            (Change::Nonblocking, LogLevel::Info, "event loop want that"),
            (Change::Blocking, LogLevel::Warning, "keep servers that block off"),
            (
                Change::Backlog { was: 4096, is: 511 },
                LogLevel::Warning,
                "option, `systemctl restart herder@site.socket`",
            ),
            (Change::Unlinked, LogLevel::Error, "`systemctl restart herder@site.socket`"),
            (Change::Replaced, LogLevel::Error, "take the socket it is given"),
        ];
        let origin = Origin { instance: "site", under_systemd: true };
        for (change, priority, advice) in changes {
            let effect = effect(&socket, change, false, origin);
            assert_eq!(effect.priority, priority, "{change:?}");
            assert!(effect.text.contains(advice) && !effect.text.contains('\n'), "{effect:?}");
            let entry = socket_changed(&socket, &effect, Some((3, "became ready")));
            assert!(entry.message.ends_with(" (seen when worker 3 became ready)"));
            assert!(entry.fields.contains(&("HERDER_CHANGE", effect.kind.to_string())));
        }
        let needed = effect(&socket, Change::Nonblocking, true, origin);
        assert_eq!(needed.priority, LogLevel::Error);
        assert!(needed.text.contains("`systemctl restart herder@site.service` sets it right"));
        let alone = Origin { under_systemd: false, ..origin };
        assert!(!effect(&socket, Change::Unlinked, false, alone).text.contains("systemctl"));
    }
}
