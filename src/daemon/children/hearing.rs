//! What workers say on their notify sockets: listened to as long as it is little.

use super::Children;
use super::memory::Memory;
use crate::daemon::token::Token;
use herder_core::{Event, Span, WorkerId};
use herder_linux::poll::{Interest, Poll};
use herder_wire::notify::{MAX_DATAGRAM, Message, WatchdogMessage};

/// Datagrams read from one worker in one turn. A worker that sends more is not listened to for a
/// while: its own queue fills, and it waits or loses, as it likes.
const DATAGRAMS_PER_TURN: usize = 16;
const MUTED_FOR: Span = Span::millis(20);

/// More than wait in a worker's queue at a time (`net.unix.max_dgram_qlen`, which systemd sets to 512).
const MOST_DATAGRAMS: usize = 1024;

/// What was read from a worker.
struct Heard {
    events: Vec<Event>,
    /// There was no more.
    emptied: bool,
    has_other_status: bool,
}

impl Children {
    /// What a worker has to say, and whether that changes its STATUS=.
    pub fn hear(&mut self, poll: &Poll, worker: WorkerId, now: u64) -> (Vec<Event>, bool) {
        let Heard { events, emptied, has_other_status } = self.read(worker, DATAGRAMS_PER_TURN);
        if let Some(child) = self.children.get_mut(&worker).filter(|_| !emptied) {
            let until = now + MUTED_FOR.0;
            if let Some(before) = child.muted_until.replace(until) {
                self.muted.remove(&(before, worker));
            }
            self.muted.insert((until, worker));
            let _ = poll.remove(&child.inbox);
        }
        (events, has_other_status)
    }

    /// All that a worker has said by now, also if it is not listened to for a while.
    pub fn listen(&mut self, worker: WorkerId) -> Vec<Event> {
        let Heard { mut events, .. } = self.read(worker, MOST_DATAGRAMS);
        events.push(Event::Listened { worker });
        events
    }

    /// Reads so many datagrams at most.
    fn read(&mut self, worker: WorkerId, most: usize) -> Heard {
        let mut events = Vec::new();
        let mut has_other_status = false;
        let mut alive = false;
        let Some(child) = self.children.get_mut(&worker) else {
            return Heard { events, emptied: true, has_other_status };
        };
        let mut buffer = [0; MAX_DATAGRAM];
        let mut emptied = false;
        for _ in 0..most {
            let Ok(Some(datagram)) = child.inbox.recv(&mut buffer) else {
                emptied = true;
                break;
            };
            if !child.owns(datagram.pid) {
                self.dropped += 1;
                continue;
            }
            let mut message = Message::parse(&buffer[..datagram.len]);
            if datagram.truncated {
                // A text that was cut still says something; a number that was cut is another number.
                message.extend = None;
                message.watchdog_usec = None;
            }
            if message.status.is_some() {
                has_other_status |= child.status != message.status;
                child.status.clone_from(&message.status);
            }
            if let Some(usec) = message.extend {
                events.push(Event::Extend { worker, by: Span(usec) });
            }
            if message.ready {
                events.push(Event::Ready { worker });
            }
            if let Some(usec) = message.watchdog_usec {
                events.push(Event::Interval { worker, interval: Span(usec) });
            }
            match message.watchdog {
                Some(WatchdogMessage::Ping) => alive = true,
                Some(WatchdogMessage::Trigger) => events.push(Event::Stuck { worker }),
                None => {}
            }
            if message.stopping {
                events.push(Event::Stopping { worker });
            }
        }
        // However often it says so, in one turn it is alive once.
        if alive {
            events.push(Event::Alive { worker });
        }
        Heard { events, emptied, has_other_status }
    }

    /// Listens again to workers that were muted for long enough.
    pub fn unmute(&mut self, poll: &Poll, now: u64) {
        self.unmute_memory(poll, now);
        while let Some(&(_, worker)) = self.muted.first().filter(|(until, _)| *until <= now) {
            self.muted.pop_first();
            if let Some(child) = self.children.get_mut(&worker) {
                child.muted_until = None;
                let _ = poll.add(&child.inbox, Token::Inbox(worker).into(), Interest::Read);
            }
        }
    }

    /// When [`start_some`](Children::start_some), [`unmute`](Children::unmute) or [`search`](Children::search) is due.
    pub fn deadline(&self) -> Option<u64> {
        let inboxes = self.muted.first().map(|(until, _)| *until);
        let memory = self.memory.as_ref().and_then(Memory::deadline);
        let own = [self.starts.deadline(), self.search.deadline()];
        own.into_iter().chain([inboxes, memory]).flatten().min()
    }
}
