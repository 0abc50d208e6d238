//! Clients that watch the instance, and clients that listen to what happens: what they are told, and when.
//!
//! One snapshot serves all watchers. It is taken when something has changed or a watcher's time has
//! come, at most ten times a second, and so rarely that taking it is never more than a tenth of
//! herder's time. It comes a moment after the change, and so do events, all of that moment together:
//! to wake a hundred readers while a worker is being replaced would cost that worker the processor.
//! Without such clients nothing in here is done, and nothing wakes herder up.

use crate::daemon::pacer::Pacer;
use crate::log::Entry;
use herder_linux::control::ClientId;
use herder_linux::poll;
use herder_wire::control::{Reply, SHORTEST_INTERVAL};
use herder_wire::status::Event;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Snapshots take a tenth of herder's time at most.
const REST: u64 = 9;

/// How long after a change or an event clients are told of it, in microseconds: no person notices,
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
#[derive(Debug)]
pub struct Streams {
    watchers: BTreeMap<ClientId, Watcher>,
    listeners: BTreeSet<ClientId>,
    /// Since when something is not as in the last snapshot.
    changed: Option<u64>,
    /// Of snapshots.
    pacer: Pacer,
    snapshot: Arc<[u8]>,
    /// Watchers that have not been told of it yet.
    owed: BTreeSet<ClientId>,
    /// What has happened since listeners were told, as the messages they get.
    events: Vec<u8>,
    /// When they are told.
    events_due: u64,
}

impl Default for Streams {
    fn default() -> Streams {
        Streams {
            watchers: BTreeMap::new(),
            listeners: BTreeSet::new(),
            changed: None,
            pacer: Pacer::resting(REST).within(SHORTEST_INTERVAL, u64::MAX),
            snapshot: Arc::default(),
            owed: BTreeSet::new(),
            events: Vec::new(),
            events_due: 0,
        }
    }
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

    fn forget(&mut self, client: ClientId) {
        self.owed.remove(&client);
        self.watchers.remove(&client);
        self.listeners.remove(&client);
        if self.watchers.is_empty() {
            self.snapshot = Arc::default();
        }
    }

    /// Forgets the clients that are not connected any more. Whether there were any.
    pub fn retain(&mut self, is_connected: impl Fn(ClientId) -> bool) -> bool {
        let clients = self.watchers.keys().chain(&self.listeners).copied();
        let gone: Vec<ClientId> = clients.filter(|id| !is_connected(*id)).collect();
        for client in &gone {
            self.forget(*client);
        }
        !gone.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.watchers.len() + self.listeners.len()
    }

    /// Something is not as it was.
    pub fn note_change(&mut self) {
        self.changed.get_or_insert_with(poll::now);
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
        // A caller that waits for progress has asked for every step of it, and is one of few.
        let gathered = if news { 0 } else { GATHERED };
        let changed = self.changed.filter(|_| wanted).map(|since| since + gathered);
        let due = [due, changed].into_iter().flatten().min();
        due.map(|at| at.max(self.pacer.not_before()))
    }

    /// Whether events have been gathered for long enough.
    pub fn events_are_due(&self, now: u64) -> bool {
        self.events_due <= now
    }

    /// What has happened, and the clients that are to be told.
    pub fn take_events(&mut self) -> Option<(Arc<[u8]>, Vec<ClientId>)> {
        if self.events.is_empty() {
            return None;
        }
        let listeners = self.listeners.iter().copied().collect();
        Some((std::mem::take(&mut self.events).into(), listeners))
    }

    /// Whether a snapshot is due, or callers that want `news` are to be told of a change.
    pub fn is_due(&mut self, now: u64, news: bool) -> bool {
        if !news && self.watchers.is_empty() {
            self.changed = None;
        }
        self.pacer.is_due(now) && self.snapshot_due(news).is_some_and(|at| at <= now)
    }

    /// Notes the watchers to be told now, of a change or because their time has come. Whether there was a change.
    pub fn take_due(&mut self, now: u64) -> bool {
        let changed = self.changed.take().is_some();
        let due = |watcher: &Watcher| changed || watcher.next <= now;
        for (&client, watcher) in self.watchers.iter_mut().filter(|(_, watcher)| due(watcher)) {
            watcher.next = now.saturating_add(watcher.interval);
            self.owed.insert(client);
        }
        changed
    }

    /// Whether watchers wait for a snapshot.
    pub fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// The snapshot that they wait for.
    pub fn take_in(&mut self, snapshot: Arc<[u8]>) {
        self.snapshot = snapshot;
    }

    /// After a snapshot that took from then to then.
    pub fn rest(&mut self, begin: u64, end: u64) {
        self.pacer.done(begin, end);
    }

    /// The next watcher to be told, and what.
    pub fn next_owed(&mut self) -> Option<(ClientId, Arc<[u8]>)> {
        Some((self.owed.pop_first()?, Arc::clone(&self.snapshot)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_a_moment_later_and_not_too_often() {
        let mut streams = Streams::default();
        streams.note_change();
        assert_eq!(streams.deadline(false), None, "no client watches");
        let now = poll::now();
        assert!(!streams.is_due(now, false));
        streams.watch(ClientId(1), None, now);
        assert_eq!(streams.deadline(false), None, "nothing has changed since");
        streams.note_change();
        let due = streams.deadline(false).unwrap();
        assert!(!streams.is_due(due - 1, false) && streams.is_due(due, false));
        assert!(streams.take_due(due) && streams.owes());
        streams.take_in(Arc::from(&b"x"[..]));
        streams.rest(due, due);
        assert_eq!(streams.next_owed().map(|(client, _)| client), Some(ClientId(1)));
        assert!(!streams.owes());
        streams.note_change();
        assert!(streams.deadline(false).unwrap() >= due + SHORTEST_INTERVAL);
        assert!(streams.retain(|_| false) && streams.len() == 0);
    }
}
