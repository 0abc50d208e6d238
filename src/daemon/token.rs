//! What a ready descriptor is about, as the number it is polled under.

use herder_core::{QueueId, WorkerId};

/// A source of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The signalfd.
    Signals,
    /// The control socket and its clients.
    Control,
    /// The `check` command has ended.
    Check,
    /// A worker's pidfd.
    Process(WorkerId),
    /// A worker's notify socket.
    Inbox(WorkerId),
    /// The cgroup of a worker that has ended: a process may still be in it.
    Group(WorkerId),
    /// The memory of all workers together.
    Memory,
    /// Something waits in a socket that workers are given.
    Knock,
    /// A probe of a worker; of worker 0, which there is not, that of the instance.
    Probe(WorkerId),
    /// The sockets named `herder-metrics` and their clients.
    Http,
    /// An accept queue that no worker serves.
    Queue(QueueId),
}

// Ids count up from 0 by one, so the highest bits are free to say what is counted.
const SHIFT: u32 = 60;

impl From<Token> for u64 {
    fn from(token: Token) -> u64 {
        let (kind, id) = match token {
            Token::Signals => (0, 0),
            Token::Control => (1, 0),
            Token::Check => (2, 0),
            Token::Process(WorkerId(id)) => (3, id),
            Token::Inbox(WorkerId(id)) => (4, id),
            Token::Group(WorkerId(id)) => (6, id),
            Token::Memory => (7, 0),
            Token::Http => (8, 0),
            Token::Knock => (10, 0),
            Token::Probe(WorkerId(id)) => (11, id),
            Token::Queue(QueueId(id)) => (12, id.into()),
        };
        kind << SHIFT | id
    }
}

impl Token {
    /// The token of a number that was made from one.
    pub fn of(number: u64) -> Option<Token> {
        let id = number & ((1 << SHIFT) - 1);
        Some(match number >> SHIFT {
            0 => Token::Signals,
            1 => Token::Control,
            2 => Token::Check,
            3 => Token::Process(WorkerId(id)),
            4 => Token::Inbox(WorkerId(id)),
            6 => Token::Group(WorkerId(id)),
            7 => Token::Memory,
            8 => Token::Http,
            10 => Token::Knock,
            11 => Token::Probe(WorkerId(id)),
            12 => Token::Queue(QueueId(u32::try_from(id).ok()?)),
            _ => return None,
        })
    }

    /// The order in which ready sources are served: workers before clients.
    pub fn rank(self) -> u8 {
        match self {
            // What a worker said comes before its end: it said it earlier.
            Token::Inbox(_) => 0,
            Token::Process(_) => 1,
            Token::Signals | Token::Group(_) | Token::Memory => 2,
            Token::Knock | Token::Queue(_) => 2,
            Token::Check | Token::Probe(_) => 3,
            Token::Control => 4,
            Token::Http => 5,
        }
    }

    /// Served in each turn, however many workers are to be served.
    pub fn is_prompt(self) -> bool {
        match self {
            Token::Signals | Token::Control | Token::Http => true,
            Token::Check
            | Token::Process(_)
            | Token::Inbox(_)
            | Token::Group(_)
            | Token::Memory
            | Token::Knock
            | Token::Probe(_)
            | Token::Queue(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_being_numbers() {
        for token in [
            Token::Signals,
            Token::Control,
            Token::Check,
            Token::Process(WorkerId(7)),
            Token::Inbox(WorkerId(1 << 59)),
            Token::Http,
            Token::Group(WorkerId(1)),
            Token::Memory,
            Token::Knock,
            Token::Probe(WorkerId(0)),
            Token::Queue(QueueId(u32::MAX)),
        ] {
            assert_eq!(Token::of(token.into()), Some(token));
        }
        assert_eq!(Token::of(u64::MAX), None);
    }
}
