//! Descriptors that are ready and were not served yet.
//!
//! Each event of a worker may order more work, so that a turn serves workers only for a share of its time. Those that
//! are left are served in the next turns, in the order in which they became ready. (They are kept and not polled for again,
//! because some descriptors report a change only once.) Signals and clients are served in each turn: an operator who
//! stops an instance, or asks how it is doing, must not wait until thousands of workers were served.

use super::pacer::Share;
use super::token::Token;
use herder_linux::poll;
use std::collections::{BTreeSet, VecDeque};

/// How long a turn serves workers, in microseconds.
const SHARE: u64 = 20_000;

/// What is ready, by when it has to be served.
#[derive(Debug, Default)]
pub struct Sources {
    /// Workers, their cgroups, and sockets: what is served as long as the turn has time.
    patient: VecDeque<Token>,
    /// The tokens of those.
    known: BTreeSet<u64>,
    /// Signals and clients.
    prompt: VecDeque<Token>,
    share: Share,
}

impl Sources {
    /// A turn begins with these, in addition to those that are left.
    pub fn begin_turn(&mut self, ready: &[poll::Readiness], now: u64) {
        self.share = Share::begin(now, SHARE);
        let mut new: Vec<Token> =
            ready.iter().filter_map(|source| Token::of(source.token)).collect();
        new.sort_by_key(|token| token.rank());
        for token in new {
            if token.is_prompt() {
                self.prompt.push_back(token);
            } else if self.known.insert(token.into()) {
                self.patient.push_back(token);
            }
        }
    }

    /// The next one that this turn serves.
    pub fn next(&mut self, now: u64) -> Option<Token> {
        if self.patient.is_empty() || !self.share.takes_one(now) {
            return self.prompt.pop_front();
        }
        let next = self.patient.pop_front()?;
        self.known.remove(&next.into());
        Some(next)
    }

    /// At once, while any is left.
    pub fn deadline(&self) -> Option<u64> {
        (!self.patient.is_empty()).then_some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use herder_core::WorkerId;

    fn ready(token: Token) -> poll::Readiness {
        poll::Readiness { token: token.into(), readable: true, writable: false, hangup: false }
    }

    fn served(sources: &mut Sources, now: u64) -> Vec<Token> {
        std::iter::from_fn(|| sources.next(now)).collect()
    }

    #[test]
    fn workers_come_first_and_wait_for_the_next_turn_when_time_is_over() {
        let (one, two) = (Token::Process(WorkerId(1)), Token::Process(WorkerId(2)));
        let said = Token::Inbox(WorkerId(2));
        let mut sources = Sources::default();
        let all = [Token::Control, one, Token::Signals, said, two].map(ready);
        sources.begin_turn(&all, 0);
        assert_eq!(served(&mut sources, 0), [said, one, two, Token::Signals, Token::Control]);
        assert_eq!(sources.deadline(), None);

        sources.begin_turn(&all, 0);
        let late = SHARE;
        assert_eq!(served(&mut sources, late), [said, Token::Signals, Token::Control]);
        assert_eq!(sources.deadline(), Some(0));
        // What is still ready is reported again, and served once.
        sources.begin_turn(&[Token::Control, two, said].map(ready), late);
        assert_eq!(served(&mut sources, late), [one, two, said, Token::Control]);
        assert_eq!(served(&mut sources, late), []);
    }
}
