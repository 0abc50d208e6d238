//! A short past of figures, one value for each interval.
//!
//! Samples come more often when things change; of those in one interval the largest is kept, so that a
//! queue that was full for a moment is seen.

use herder_wire::status::Status;
use std::collections::VecDeque;
use std::time::Duration;

/// As many as the widest picture has.
const KEPT: usize = 120;

/// The past of an instance.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Of each socket, in their order: connections that wait.
    queues: Vec<Queue>,
    /// Which interval the newest values are of.
    period: Option<u128>,
}

#[derive(Clone, Debug, Default)]
struct Queue {
    name: String,
    waiting: VecDeque<u64>,
}

impl History {
    /// Adds what is known at `at`, since any fixed moment.
    pub fn add(&mut self, status: &Status, at: Duration, interval: Duration) {
        let period = at.as_nanos() / interval.as_nanos().max(1);
        let is_new = self.period != Some(period);
        self.period = Some(period);
        self.queues.resize_with(status.sockets.len(), Queue::default);
        for (queue, socket) in self.queues.iter_mut().zip(&status.sockets) {
            if queue.name != socket.name {
                *queue = Queue { name: socket.name.clone(), waiting: VecDeque::new() };
            }
            let waiting = socket.waiting.unwrap_or(0);
            match queue.waiting.back_mut().filter(|_| !is_new) {
                Some(newest) => *newest = waiting.max(*newest),
                None => queue.waiting.push_back(waiting),
            }
            if queue.waiting.len() > KEPT {
                queue.waiting.pop_front();
            }
        }
    }

    /// The newest values of a socket, the newest last.
    pub fn waiting(&self, socket: usize, most: usize) -> impl Iterator<Item = u64> + Clone + '_ {
        let values = self.queues.get(socket).map(|queue| &queue.waiting);
        let skipped = values.map_or(0, |values| values.len().saturating_sub(most));
        values.into_iter().flatten().skip(skipped).copied()
    }

    /// Values of another interval cannot be compared with those to come.
    pub fn forget(&mut self) {
        *self = History::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use herder_wire::status::example::example;

    const SECOND: Duration = Duration::from_secs(1);

    fn waiting(count: u64) -> Status {
        let mut status = example(1);
        status.sockets[0].waiting = Some(count);
        status
    }

    #[test]
    fn the_most_of_each_interval_is_kept() {
        let mut history = History::default();
        for (milliseconds, count) in [(0, 1), (900, 5), (950, 2), (1000, 3), (2500, 0)] {
            history.add(&waiting(count), Duration::from_millis(milliseconds), SECOND);
        }
        assert_eq!(history.waiting(0, 60).collect::<Vec<_>>(), [5, 3, 0]);
        assert_eq!(history.waiting(0, 2).collect::<Vec<_>>(), [3, 0]);
        assert_eq!(history.waiting(9, 2).count(), 0);
    }

    #[test]
    fn it_does_not_grow_without_end_and_is_of_one_socket() {
        let mut history = History::default();
        for second in 0..1000 {
            history.add(&waiting(u64::from(second)), SECOND * second, SECOND);
        }
        assert_eq!(history.waiting(0, usize::MAX).count(), KEPT);
        let mut other = waiting(7);
        other.sockets[0].name = "other".to_owned();
        history.add(&other, SECOND * 1000, SECOND);
        assert_eq!(history.waiting(0, usize::MAX).collect::<Vec<_>>(), [7]);
    }
}
