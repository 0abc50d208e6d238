//! What workers do to the sockets they share: noticed, said once, and shown for as long as it lasts.
//!
//! Looked at when it can have happened (a worker became ready or ended) and when a client asks, never by the clock. A look
//! takes some microseconds for each socket, or hundreds on a host with many UNIX sockets: so there is a rest after each, and
//! what happens meanwhile is looked at together. Nothing is set right: the sockets are not herder's.

use crate::daemon::instance::Instance;
use crate::daemon::pacer::Pacer;
use crate::daemon::settings::Spec;
use crate::log::{self, Effect, Entry};
use herder_config::Problems;
use herder_core::{Report, WorkerId};
use herder_linux::nature::{self, Nature};
use herder_linux::poll;
use herder_linux::sockets::Socket;
use herder_wire::control::Failure;
use herder_wire::status::ChangeKind;
use std::collections::BTreeSet;

/// Looks after events take a fifth of herder's time at most.
const REST: u64 = 4;

/// The sockets as herder was given them, and what was said about them since.
#[derive(Debug)]
pub struct Effects {
    begin: Vec<Nature>,
    /// By socket and kind. A change that becomes harmful is said again.
    told: BTreeSet<(usize, ChangeKind, bool)>,
    /// Why to look again.
    due: Option<Occasion>,
    pacer: Pacer,
    /// Entries for the log that were not written yet.
    news: Vec<Entry>,
}

/// After this a socket may have changed, perhaps by what this worker did.
type Occasion = (WorkerId, &'static str);

impl Effects {
    pub fn new(sockets: &[Socket]) -> Effects {
        Effects {
            begin: nature::of(sockets),
            told: BTreeSet::new(),
            due: None,
            pacer: Pacer::resting(REST),
            news: Vec::new(),
        }
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
        self.due.map(|_| self.pacer.not_before())
    }

    /// Carries out the look that is due, the last one before herder ends in any case.
    pub fn look_if_due(
        &mut self,
        is_last: bool,
        sockets: &[Socket],
        has_to_block: &dyn Fn(usize) -> bool,
        instance: &Instance,
    ) {
        let begin = poll::now();
        if !self.pacer.is_due(begin) && !is_last {
            return;
        }
        let Some(occasion) = self.due.take() else { return };
        self.look(Some(occasion), sockets, has_to_block, instance);
        self.pacer.done(begin, poll::now());
    }

    /// What has changed about each socket since herder was given it. What is new is kept for the log.
    pub fn look(
        &mut self,
        when: Option<Occasion>,
        sockets: &[Socket],
        has_to_block: &dyn Fn(usize) -> bool,
        instance: &Instance,
    ) -> Vec<Vec<Effect>> {
        let now = nature::of(sockets);
        let mut effects = Vec::new();
        for (index, (now, begin)) in now.iter().zip(&self.begin).enumerate() {
            let changes = now.since(begin);
            let needed = !changes.is_empty() && has_to_block(index);
            let effect = |change| log::effect(&sockets[index], change, needed, instance.origin());
            effects.push(changes.into_iter().map(effect).collect::<Vec<Effect>>());
        }
        for (index, effects) in effects.iter().enumerate() {
            for effect in effects {
                if self.told.insert((index, effect.kind, effect.is_harmful())) {
                    let when = when.map(|(worker, what)| (worker.0, what));
                    self.news.push(log::socket_changed(&sockets[index], effect, when));
                }
            }
        }
        effects
    }

    /// What was found and not written to the log yet.
    pub fn take_news(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.news)
    }

    /// Whether a reload to these settings would mix servers that need a socket to block with others.
    pub fn keeps_apart(
        &self,
        spec: &Spec,
        sockets: &[Socket],
        has_to_block: &dyn Fn(usize) -> bool,
        instance: &Instance,
    ) -> Result<(), Failure> {
        let restart = instance.restart();
        let mut problems = Problems::default();
        let at = spec.settings.origins.get("blocking");
        for &index in &spec.launch.sockets {
            let socket = &sockets[index];
            if spec.settings.blocking && nature::is_nonblocking(socket) {
                let from_the_beginning =
                    self.begin.get(index).is_some_and(|begin| begin.nonblocking);
                let (why, advice) = match from_the_beginning {
                    true => ("does not block", remedy(instance.name())),
                    false => (
                        "was made non-blocking by workers, so these and the new ones cannot share it",
                        format!("{restart} in place of a reload: that begins anew"),
                    ),
                };
                let text = format!("`blocking` is true, and {socket} {why}");
                problems.advise(at, "blocking", text, advice);
            } else if !spec.settings.blocking && has_to_block(index) {
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
        problems.advise(at, "blocking", text, remedy(instance));
    }
    problems.none_or(()).map_err(|problems| problems.to_string())
}

fn remedy(instance: &str) -> String {
    format!(
        "remove NonBlocking=yes from herder@{instance}.service, and let no other service have the same socket"
    )
}
