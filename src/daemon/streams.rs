//! Who watches the instance, and who listens to what happens: what they are told, and when.
//!
//! One snapshot serves all watchers. It is taken when something has changed or a watcher's time has
//! come, at most ten times a second, and so rarely that taking it is never more than a tenth of
//! herder's time. It comes a moment after the change, and so do events, all of that moment together:
//! to wake a hundred readers while a worker is being replaced would cost that worker the processor.
//! While nobody watches nothing in here is done, and nothing wakes herder up.

use super::Daemon;
use crate::log::Entry;
use herder_linux::control::{CLIENTS, ClientId};
use herder_linux::poll;
use herder_wire::control::{Reply, SHORTEST_INTERVAL};
use herder_wire::status::Event;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Between two snapshots, in times that one took.
const REST: u64 = 9;

/// Watchers that are told in a turn.
const TOLD_PER_TURN: usize = 32;

/// How long after a change or an event somebody is told of it, in microseconds: no person notices,
/// and a replacement is long running by then.
const GATHERED: u64 = 50_000;

/// So many bytes of events are not gathered any longer.
const PLENTY: usize = 64 << 10;

/// A client that watches. Times are in microseconds.
#[derive(Debug)]
struct Watcher {
    interval: u64,
    next: u64,
}

/// The clients whose calls have no end.
#[derive(Debug, Default)]
pub struct Streams {
    watchers: BTreeMap<ClientId, Watcher>,
    listeners: BTreeSet<ClientId>,
    /// Since when something is not as in the last snapshot.
    changed: Option<u64>,
    /// When there may be another snapshot.
    earliest: u64,
    snapshot: Arc<[u8]>,
    /// Those who have not been told of it yet.
    owed: BTreeSet<ClientId>,
    /// What has happened since listeners were told, as the messages they get.
    events: Vec<u8>,
    /// When they are told.
    events_due: u64,
}

impl Streams {
    /// The client was told how things are at `now`, and is to be told again.
    pub fn watch(&mut self, client: ClientId, interval: Option<u64>, now: u64) {
        let interval = interval.unwrap_or(u64::MAX);
        self.watchers.insert(client, Watcher { interval, next: now.saturating_add(interval) });
    }

    /// The client is to be told what happens.
    pub fn listen(&mut self, client: ClientId) {
        self.listeners.insert(client);
    }

    /// The client is gone.
    fn forget(&mut self, client: ClientId) {
        self.owed.remove(&client);
        self.watchers.remove(&client);
        self.listeners.remove(&client);
        if self.watchers.is_empty() {
            self.snapshot = Arc::default();
        }
    }

    /// Something is not as it was.
    pub fn note_change(&mut self) {
        self.changed.get_or_insert_with(poll::now);
    }

    /// Whether anybody watches.
    pub fn are_watched(&self) -> bool {
        !self.watchers.is_empty()
    }

    /// Something has happened, if this entry is about an event.
    pub fn happened(&mut self, entry: &Entry) {
        if self.listeners.is_empty() {
            return;
        }
        let field = |name| entry.fields.iter().find(|(known, _)| *known == name);
        let (Some(message_id), Some((_, kind))) = (entry.message_id, field("HERDER_EVENT")) else {
            return;
        };
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let rest = entry.fields.iter().filter(|(name, _)| *name != "HERDER_EVENT");
        let event = Event {
            at_usec: u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX),
            kind: kind.clone(),
            priority: entry.priority as u8,
            message: entry.message.clone(),
            message_id: message_id.to_owned(),
            fields: rest.map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        };
        if self.events.is_empty() {
            self.events_due = poll::now() + GATHERED;
        }
        self.events.extend(Reply::Event { event: &event }.one_of_several());
        if self.events.len() >= PLENTY {
            self.events_due = 0;
        }
    }

    /// When something is to be told; `news` says that callers wait for changes, too.
    pub fn deadline(&self, news: bool) -> Option<u64> {
        let events = (!self.events.is_empty()).then_some(self.events_due);
        [self.snapshot_due(news), events].into_iter().flatten().min()
    }

    fn snapshot_due(&self, news: bool) -> Option<u64> {
        if !self.owed.is_empty() {
            return Some(0);
        }
        let wanted = news || !self.watchers.is_empty();
        let due = self.watchers.values().map(|watcher| watcher.next).min();
        let due = due.filter(|at| *at != u64::MAX);
        // Who waits for something to go on has asked for every step of it, and is one of few.
        let gathered = if news { 0 } else { GATHERED };
        let changed = self.changed.filter(|_| wanted).map(|since| since + gathered);
        let due = [due, changed].into_iter().flatten().min();
        due.map(|at| at.max(self.earliest))
    }

    /// Those to be told now, of a change or because their time has come.
    fn take_due(&mut self, now: u64) {
        let changed = self.changed.take().is_some();
        let due = |watcher: &Watcher| changed || watcher.next <= now;
        for (&client, watcher) in self.watchers.iter_mut().filter(|(_, watcher)| due(watcher)) {
            watcher.next = now.saturating_add(watcher.interval);
            self.owed.insert(client);
        }
    }
}

impl Daemon {
    /// Tells whoever watches, listens, or waits for something to go on, what is new.
    pub(super) fn tell_streams(&mut self) {
        let now = poll::now();
        // There is no later when herder is about to exit.
        if self.streams.events_due <= now || self.exit.is_some() {
            self.tell_listeners();
        }
        let news = self.calls.want_news();
        if !news && !self.streams.are_watched() {
            self.streams.changed = None;
            return;
        }
        if self.streams.snapshot_due(news).is_some_and(|at| at <= now)
            && self.streams.earliest <= now
        {
            self.forget_those_gone();
            let changed = self.streams.changed.is_some();
            self.streams.take_due(now);
            if !self.streams.owed.is_empty() {
                let status = self.status();
                self.streams.snapshot = Reply::Status { status: &status }.one_of_several().into();
            }
            if changed && news {
                self.tell_callers();
            }
            let then = poll::now();
            self.streams.earliest = then + SHORTEST_INTERVAL.max(REST * (then - now));
        }
        let now = self.clock();
        for _ in 0..TOLD_PER_TURN {
            let Some(client) = self.streams.owed.pop_first() else { break };
            self.server.send_newest(client, &self.streams.snapshot, now);
        }
    }

    /// Tells those who listen what has happened so far.
    pub(super) fn tell_listeners(&mut self) {
        if self.streams.events.is_empty() {
            return;
        }
        let events: Arc<[u8]> = std::mem::take(&mut self.streams.events).into();
        let now = self.clock();
        for client in self.streams.listeners.clone() {
            self.server.send_each(client, &events, now);
        }
        self.forget_those_gone();
    }

    /// Who left before he was answered, or lost his place, is here until somebody looks: that must not
    /// become more than there can be clients.
    pub(super) fn make_room_for_streams(&mut self) {
        if self.streams.watchers.len() + self.streams.listeners.len() >= CLIENTS {
            self.forget_those_gone();
        }
    }

    /// Forgets the clients that are no longer connected. Whether there were any.
    pub(super) fn forget_those_gone(&mut self) -> bool {
        let streams = &self.streams;
        let clients = streams.watchers.keys().chain(&streams.listeners).copied();
        let gone: Vec<ClientId> = clients.filter(|id| !self.server.has(*id)).collect();
        for client in &gone {
            self.streams.forget(*client);
        }
        !gone.is_empty()
    }
}
