//! What workers do to the sockets they share: noticed, said once, and shown for as long as it lasts.
//!
//! Looked at when it can have happened (a worker became ready or ended) and when somebody asks, never by
//! the clock. A look takes some microseconds for each socket, or hundreds on a host with many UNIX sockets: so,
//! as with the looks at workers, there is a rest after each, and what happens meanwhile is looked at together.
//! Nothing is set right: the sockets are not herder's.

use super::Daemon;
use super::looks::REST;
use super::source::Spec;
use crate::log::{self, Effect, Origin};
use herder_config::Problems;
use herder_core::{Report, WorkerId};
use herder_linux::nature::{self, Nature};
use herder_linux::poll;
use herder_linux::sockets::Socket;
use herder_wire::control::Failure;
use herder_wire::status::ChangeKind;
use std::collections::BTreeSet;
use std::rc::Rc;

/// The sockets as herder was given them, and what was said about them since.
#[derive(Debug)]
pub struct Effects {
    begin: Vec<Nature>,
    /// By socket and kind; what matters more is said again.
    told: BTreeSet<(usize, ChangeKind, bool)>,
    /// Why to look again.
    due: Option<Occasion>,
    /// In microseconds.
    not_before: u64,
}

/// After which a socket may be another, and whose doing that may be.
type Occasion = (WorkerId, &'static str);

impl Effects {
    pub fn new(sockets: &[Socket]) -> Effects {
        let begin = nature::of(sockets);
        Effects { begin, told: BTreeSet::new(), due: None, not_before: 0 }
    }

    /// Notes what may have changed a socket.
    pub fn note(&mut self, report: &Report) {
        self.due = match report {
            Report::Ready { worker, .. } => Some((*worker, "became ready")),
            Report::Ended { worker, .. } => Some((*worker, "ended")),
            _ => return,
        };
    }

    /// When the next look is due.
    pub fn deadline(&self) -> Option<u64> {
        self.due.map(|_| self.not_before)
    }
}

impl Daemon {
    /// Carries out the look that is due, the last one before herder ends in any case.
    pub(super) fn look_at_sockets_if_due(&mut self) {
        let begin = poll::now();
        if begin < self.effects.not_before && self.exit.is_none() {
            return;
        }
        let Some(occasion) = self.effects.due.take() else { return };
        self.look_at_sockets(Some(occasion));
        let end = poll::now();
        self.effects.not_before = end + REST * (end - begin);
    }

    /// What has changed about each socket since herder was given it. Says what is new.
    pub(super) fn look_at_sockets(&mut self, when: Option<(WorkerId, &str)>) -> Vec<Vec<Effect>> {
        let now = nature::of(&self.sockets);
        let mut effects = Vec::new();
        for (index, (now, begin)) in now.iter().zip(&self.effects.begin).enumerate() {
            let changes = now.since(begin);
            let needed = !changes.is_empty() && self.has_to_block(index);
            let origin = Origin { instance: &self.name, under_systemd: self.recovery.is_some() };
            let effect = |change| log::effect(&self.sockets[index], change, needed, origin);
            effects.push(changes.into_iter().map(effect).collect::<Vec<Effect>>());
        }
        for (index, effects) in effects.iter().enumerate() {
            for effect in effects {
                let harmful = effect.is_harmful();
                if self.effects.told.insert((index, effect.kind, harmful)) {
                    let when = when.map(|(worker, what)| (worker.0, what));
                    let entry = log::socket_changed(&self.sockets[index], effect, when);
                    let entry = self.log.write(entry);
                    self.streams.happened(&entry);
                }
            }
        }
        effects
    }

    /// Whether some worker needs this socket to block.
    fn has_to_block(&self, index: usize) -> bool {
        let running = self.children.generations();
        let specs = running.filter_map(|generation| self.generations.get(generation));
        let needs =
            |spec: &Rc<Spec>| spec.settings.blocking && spec.launch.sockets.contains(&index);
        specs.chain(self.spec_in_service()).any(needs)
    }

    /// Whether a reload to these settings would mix servers that need a socket to block with others.
    pub(super) fn keeps_apart(&self, spec: &Spec) -> Result<(), Failure> {
        let restart = match self.recovery {
            Some(_) => format!("restart (systemctl restart herder@{}.service)", self.name),
            None => "start herder again".to_owned(),
        };
        let mut problems = Problems::default();
        let at = spec.settings.origins.get("blocking");
        for &index in &spec.launch.sockets {
            let socket = &self.sockets[index];
            if spec.settings.blocking && nature::is_nonblocking(socket) {
                let from_the_beginning =
                    self.effects.begin.get(index).is_some_and(|begin| begin.nonblocking);
                let (why, advice) = match from_the_beginning {
                    true => ("does not block", who_sets_it(&self.name)),
                    false => (
                        "was made non-blocking by workers, so these and the new ones cannot share it",
                        format!("{restart} in place of a reload: that begins anew"),
                    ),
                };
                let text = format!("`blocking` is true, and {socket} {why}");
                problems.advise(at, "blocking", text, advice);
            } else if !spec.settings.blocking && self.has_to_block(index) {
                let text = format!(
                    "`blocking` is no longer true, and {socket} has to block as long as the old workers serve"
                );
                let advice = format!("{restart} in place of a reload, or write `blocking = true`");
                problems.advise(at, "blocking", text, advice);
            }
        }
        let refused = |problems: Problems| Failure::ReloadRefused { reason: problems.to_string() };
        problems.none_or(()).map_err(refused)
    }
}

/// At the start: whether the sockets block as these settings need it.
///
/// # Errors
///
/// Every socket that does not, a line each, with what to change.
pub fn blocks(spec: &Spec, sockets: &[Socket], instance: &str) -> Result<(), String> {
    let mut problems = Problems::default();
    let given = spec.launch.sockets.iter().map(|&index| &sockets[index]);
    for socket in given.filter(|socket| spec.settings.blocking && nature::is_nonblocking(socket)) {
        let text = format!("`blocking` is true, and {socket} does not block");
        let at = spec.settings.origins.get("blocking");
        problems.advise(at, "blocking", text, who_sets_it(instance));
    }
    problems.none_or(()).map_err(|problems| problems.to_string())
}

fn who_sets_it(instance: &str) -> String {
    format!(
        "remove NonBlocking=yes from herder@{instance}.service, and let no other service have the same socket"
    )
}
