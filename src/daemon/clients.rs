//! The control socket: who asks, whether they may, and what they are answered.

use super::Daemon;
use super::token::Token;
use crate::herd::{Generation, Verdict};
use crate::linux::child;
use crate::linux::control::{Call, ClientId, Interest, Peer};
use crate::linux::poll;
use crate::log::Priority;
use crate::wire::control::{self, Failure, Method, Received, Reply};
use std::os::fd::AsFd;
use std::time::Duration;

impl Daemon {
    /// Takes new clients.
    pub(super) fn accept_clients(&mut self) {
        // A worker must not be able to take the operator's place.
        let trusted = |peer: &Peer| Daemon::may_change(peer).is_ok();
        for id in self.server.accept_trusting(self.clock(), &trusted) {
            let Some(fd) = self.server.fd(id) else { continue };
            if self.poll.add(fd, Token::Client(id).into(), poll::Interest::Read).is_err() {
                let now = self.clock();
                self.server.hang_up(id, now);
            }
        }
    }

    /// A client can be read from or written to.
    pub(super) fn client_ready(&mut self, id: ClientId, event: poll::Event) {
        let now = self.clock();
        if event.writable {
            self.server.writable(id, now);
        }
        if event.readable || event.hangup {
            self.server.readable(id, now);
        }
        self.watch_client(id);
    }

    /// Answers what clients have asked, and lets go of those whose time is over.
    pub(super) fn serve_clients(&mut self) {
        let now = self.clock();
        for call in self.server.calls(now) {
            let id = call.client;
            self.answer_call(call);
            self.has_spare_code = true;
            self.watch_client(id);
        }
        self.server.expire(now);
    }

    fn watch_client(&self, id: ClientId) {
        let (Some(fd), Some(interest)) = (self.server.fd(id), self.server.interest(id)) else {
            return;
        };
        let interest = match interest {
            Interest { read: true, write: true } => poll::Interest::ReadWrite,
            Interest { write: true, .. } => poll::Interest::Write,
            Interest { read: true, .. } => poll::Interest::Read,
            Interest { .. } => poll::Interest::Hangup,
        };
        // Fails only for a descriptor that is not watched, and these are.
        let _ = self.poll.modify(fd.as_fd(), Token::Client(id).into(), interest);
    }

    fn answer_call(&mut self, call: Call) {
        let now = self.clock();
        let id = call.client;
        match control::receive(&call.message) {
            Received::Reply(reply) => self.server.send(id, &reply, now),
            Received::Garbage => self.server.hang_up(id, now),
            Received::Call(control::Call { method: Method::Status, oneway, .. }) => {
                let reply = Reply::Status { status: &self.status() }.last();
                self.server.send(id, if oneway { &[] } else { &reply }, now);
            }
            Received::Call(control::Call { method: Method::Reload { .. }, oneway, .. }) => {
                if let Err(reason) = Daemon::may_change(&call.peer) {
                    // Anybody may try, as often as they like: that must not fill the journal.
                    self.log.say(Priority::Debug, format_args!("reload refused: {reason}"));
                    let reply = control::failed(&Failure::NotPermitted { reason });
                    return self.server.send(id, if oneway { &[] } else { &reply }, now);
                }
                if oneway {
                    self.server.send(id, &[], now);
                }
                self.reload((!oneway).then_some(id));
            }
            Received::Call(_) => self.server.hang_up(id, now),
        }
    }

    /// Changes are for root and herder's own user, but not for workers, which may run as that user.
    fn may_change(peer: &Peer) -> Result<(), String> {
        if !peer.is_root_or_self() {
            return Err(format!(
                "user {} may not change this instance; root may, and the user it runs as",
                peer.uid
            ));
        }
        // Not by session, which setsid(2) leaves. herder is a subreaper: whatever a worker starts
        // descends from herder for as long as it lives, and nobody else does.
        let herder = std::process::id().cast_signed();
        match child::descends_from(peer.pid, herder) {
            Some(true) => Err("a worker may not change the instance it belongs to".to_owned()),
            Some(false) if peer.session.is_some() => Ok(()),
            _ if peer.uid == 0 => Ok(()),
            Some(false) | None => Err("the caller cannot be seen in /proc".to_owned()),
        }
    }

    /// Tells whoever asked for a reload how it went.
    pub(super) fn answer_reload(&mut self, generation: Generation, verdict: &Verdict) {
        let failed = |reason: String, pid| Failure::ReloadFailed {
            generation: Some(generation.0),
            reason,
            pid,
        };
        let reply = match verdict {
            Verdict::Done => {
                let message = self.herd.status_line();
                let (wanted, replaced) = self.herd.strength();
                let (generation, message) = (generation.0, message.as_str());
                Reply::Reloaded { generation, message, replaced, wanted }.last()
            }
            Verdict::Failed { reason, worker } => {
                let pid = worker.and_then(|worker| self.children.pid(worker));
                control::failed(&failed(reason.clone(), pid))
            }
            Verdict::Superseded { by } => {
                control::failed(&failed(format!("superseded: a reload to {by} took over"), None))
            }
            Verdict::Stopped => control::failed(&Failure::Stopped),
        };
        for id in self.waiting.remove(&generation).unwrap_or_default() {
            let now = self.clock();
            self.server.send(id, &reply, now);
            self.watch_client(id);
        }
    }

    pub(super) fn clock(&self) -> Duration {
        Duration::from_micros(poll::now())
    }
}
