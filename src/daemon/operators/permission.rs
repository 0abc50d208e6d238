//! Which clients may change the instance.

use crate::daemon::children::Children;
use crate::launch::ControlGroup;
use herder_linux::child;
use herder_linux::control::{Call, Peer};
use nix::unistd::Uid;

const A_WORKER: &str = "a worker may not change the instance it belongs to";

/// Whether a client may change anything.
///
/// # Errors
///
/// Says which users may.
pub fn permits(
    call: &Call,
    group: Option<&ControlGroup>,
    children: &Children,
) -> Result<(), String> {
    let peer = &call.peer;
    may_change(peer, group)?;
    // Its process may have ended since, and its number been given to another. (The members of the group depend on the
    // settings; whether a process is a worker's does not.)
    if peer.is_root_or_self() && !call.was_trusted {
        return Err(A_WORKER.to_owned());
    }
    // In addition to the descent of its process: this takes too long for clients that only connect.
    match children.owner(peer.pid) {
        Some(_) => Err(A_WORKER.to_owned()),
        None => Ok(()),
    }
}

/// Changes are for root, herder's own user and the members of `control-group`, but not for workers,
/// which may run as that user or be in that group.
///
/// # Errors
///
/// Says which users may.
pub fn may_change(peer: &Peer, group: Option<&ControlGroup>) -> Result<(), String> {
    let is_root_or_self = peer.is_root_or_self();
    if !is_root_or_self && !group.is_some_and(|group| peer.is_in(group.gid)) {
        let uid = peer.uid;
        return Err(match group {
            Some(ControlGroup { name, gid: _ }) => format!(
                "user {uid} may not change this instance; root may, the user it runs as, and the members of \
                 group {name} (`control-group` in its settings), who have to log in anew once they are added"
            ),
            None => format!(
                "user {uid} may not change this instance; root may, and the user it runs as; \
                 `control-group` in its settings can name a group whose members may, too"
            ),
        });
    }
    // Not by session, which setsid(2) leaves. herder is a subreaper: every process that a worker starts descends from herder
    // for as long as it lives, and no other process does.
    let herder = nix::unistd::getpid().as_raw();
    match child::descends_from(peer.pid, herder) {
        Some(true) => Err(A_WORKER.to_owned()),
        Some(false) if peer.session.is_some() => Ok(()),
        // Root of another pid namespace, a container's host for one, where no worker gets by itself.
        _ if peer.uid == 0 && peer.pid == 0 => Ok(()),
        // Other users' processes may be hidden from herder (ProtectProc=, systemd.exec(5)). A worker
        // is never hidden: it runs as herder's own user, and cannot become another by itself.
        _ if peer.uid != Uid::effective().as_raw() => Ok(()),
        // It may have been a worker's, if it is gone.
        Some(false) | None => Err("the caller cannot be seen in /proc".to_owned()),
    }
}
