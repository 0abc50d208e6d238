//! A simulated service without its process manager: connections arrive, wait and are served; workers start, serve and
//! leave. It also takes the measurements, so that they are the same for every manager.

use super::curves::Curve;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// Microseconds.
pub type Micros = u64;
pub const SECOND: Micros = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Starting,
    Idle,
    /// `leaves`: the worker leaves after this connection.
    Busy {
        since: Micros,
        leaves: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Arrival,
    Started(u64),
    Served(u64),
}

/// An event that a manager can observe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    Arrived,
    Ready(u64),
    Gone(u64),
}

/// The measurements of one run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Seconds that connections waited, summed over connections.
    pub waited: f64,
    /// Seconds during which at least one connection waited.
    pub queued: f64,
    /// Seconds that workers existed, summed over workers.
    pub spent: f64,
    /// How often scaling changed its direction.
    pub flaps: f64,
}

pub struct Plant {
    pub now: Micros,
    /// The service times of the connections that wait.
    pub queue: VecDeque<Micros>,
    pub workers: BTreeMap<u64, State>,
    pub figures: Figures,
    /// The time that each worker has spent on the connections that it has finished.
    pub worked: BTreeMap<u64, Micros>,
    last_worker: u64,
    up: Option<bool>,
    begun: bool,
    next: BinaryHeap<Reverse<(Micros, u64, Next)>>,
    sequence: u64,
    arrivals: VecDeque<(Micros, Micros)>,
    start: Micros,
    end: Micros,
}

impl Plant {
    pub fn new(curve: &Curve) -> Plant {
        let mut plant = Plant {
            now: 0,
            queue: VecDeque::new(),
            workers: BTreeMap::new(),
            figures: Figures::default(),
            worked: BTreeMap::new(),
            last_worker: 0,
            up: None,
            begun: false,
            next: BinaryHeap::new(),
            sequence: 0,
            arrivals: curve.arrivals.iter().copied().collect(),
            start: curve.start,
            end: curve.end,
        };
        plant.next_arrival();
        plant
    }

    fn later(&mut self, at: Micros, next: Next) {
        self.sequence += 1;
        self.next.push(Reverse((at, self.sequence, next)));
    }

    fn next_arrival(&mut self) {
        if let Some(&(at, _)) = self.arrivals.front() {
            self.later(at, Next::Arrival);
        }
    }

    /// Ends the start of the manager: its first orders do not count as a change of direction.
    pub fn begins(&mut self) {
        self.begun = true;
    }

    fn turns(&mut self, up: bool) {
        if self.begun && self.up.replace(up).is_some_and(|before| before != up) {
            self.figures.flaps += 1.0;
        }
    }

    pub fn spawn(&mut self) -> u64 {
        self.last_worker += 1;
        self.spawn_as(self.last_worker);
        self.last_worker
    }

    pub fn spawn_as(&mut self, id: u64) {
        self.turns(true);
        self.workers.insert(id, State::Starting);
        self.later(self.now + self.start, Next::Started(id));
    }

    /// Tells a worker to leave, which it does once it is idle. Returns whether it has left.
    pub fn dismiss(&mut self, id: u64) -> bool {
        self.turns(false);
        match self.workers.get_mut(&id) {
            Some(State::Busy { leaves, .. }) => {
                *leaves = true;
                false
            }
            _ => {
                self.workers.remove(&id);
                true
            }
        }
    }

    pub fn idle(&self) -> Vec<u64> {
        let idle = self.workers.iter().filter(|(_, state)| **state == State::Idle);
        idle.map(|(&id, _)| id).collect()
    }

    pub fn count(&self, what: impl Fn(&State) -> bool) -> usize {
        self.workers.values().filter(|state| what(state)).count()
    }

    /// The number of workers that have not been told to leave.
    pub fn running(&self) -> usize {
        self.count(|state| !matches!(state, State::Busy { leaves: true, .. }))
    }

    /// Lets time pass until the next event, or until `until` if that is earlier. `None`: the run is over.
    pub fn pass(&mut self, until: Option<Micros>) -> Option<Vec<News>> {
        let due = self.next.peek().map(|Reverse((at, ..))| *at);
        let at = due.into_iter().chain(until).min().unwrap_or(self.end).max(self.now);
        if at >= self.end {
            self.integrate(self.end);
            return None;
        }
        self.integrate(at);
        let mut news = Vec::new();
        if due == Some(at) {
            let Reverse((_, _, next)) = self.next.pop().expect("it was there");
            match next {
                Next::Arrival => {
                    let (_, takes) = self.arrivals.pop_front().expect("it was there");
                    self.queue.push_back(takes);
                    self.next_arrival();
                    news.push(News::Arrived);
                }
                Next::Started(id) => {
                    if let Some(state) = self.workers.get_mut(&id) {
                        *state = State::Idle;
                        news.push(News::Ready(id));
                    }
                }
                Next::Served(id) => {
                    if let Some(&State::Busy { since, leaves }) = self.workers.get(&id) {
                        *self.worked.entry(id).or_default() += self.now - since;
                        match leaves {
                            true => {
                                self.workers.remove(&id);
                                news.push(News::Gone(id));
                            }
                            false => drop(self.workers.insert(id, State::Idle)),
                        }
                    }
                }
            }
        }
        self.serve();
        Some(news)
    }

    fn integrate(&mut self, to: Micros) {
        let seconds = (to - self.now) as f64 / SECOND as f64;
        self.figures.waited += self.queue.len() as f64 * seconds;
        self.figures.queued += if self.queue.is_empty() { 0.0 } else { seconds };
        self.figures.spent += self.workers.len() as f64 * seconds;
        self.now = to;
    }

    fn serve(&mut self) {
        while !self.queue.is_empty() {
            let Some(&id) = self.idle().first() else { return };
            let takes = self.queue.pop_front().expect("it is not empty");
            self.workers.insert(id, State::Busy { since: self.now, leaves: false });
            self.later(self.now + takes, Next::Served(id));
        }
    }
}
