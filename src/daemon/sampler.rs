//! What is measured of workers and sockets, and how often: each measurement is followed by a rest, so that however many
//! workers there are, measuring takes a fixed share of herder's time at most.

mod figures;
mod load;
mod looks;
mod weights;

pub use load::Scene;

use super::children::Children;
use figures::Figures;
use herder_core::{Event, WorkerId};
use herder_linux::poll::Poll;
use herder_linux::sockets::Socket;
use herder_wire::status::Usage;
use load::Loads;
use looks::Looks;
use weights::Weights;

/// A part of a measurement reads this many workers in any case: figures of an ordinary instance are complete at once on a
/// slow machine too.
const LEAST_IN_PART: usize = 64;

/// Everything that is measured.
#[derive(Debug, Default)]
pub struct Sampler {
    looks: Looks,
    weights: Weights,
    loads: Loads,
    figures: Figures,
}

impl Sampler {
    /// A look at a starting worker was ordered.
    pub fn order_look(&mut self, worker: WorkerId) {
        self.looks.order(worker);
    }

    /// The memory of a worker is to be measured.
    pub fn order_weight(&mut self, worker: WorkerId) {
        self.weights.order(worker);
    }

    /// A sample of load was ordered.
    pub fn order_sample(&mut self) {
        self.loads.order();
    }

    /// Takes the look at a starting worker that is due.
    pub fn look(&mut self, children: &Children, sockets: &[Socket]) -> Option<Event> {
        self.looks.look_at_one(children, sockets)
    }

    /// Measures the memory of some of the workers for which that is due.
    pub fn weigh(&mut self, children: &mut Children) -> Vec<Event> {
        self.weights.weigh_some(children)
    }

    /// Takes the sample of load that is due, or the next part of it.
    pub fn sample(&mut self, scene: &mut Scene<'_>) -> Option<Event> {
        self.loads.sample(scene)
    }

    /// Watches the sockets that workers are given, until something waits in one of them.
    pub fn watch(&mut self, scene: &mut Scene<'_>) {
        self.loads.watch_sockets(scene);
    }

    /// Something waits in a socket that is watched.
    pub fn knocked(&mut self, poll: &Poll) -> Event {
        self.loads.forget_watch(poll);
        Event::Knocked
    }

    /// Reads what workers and herder cost, unless that was done a moment ago.
    pub fn measure(&mut self, children: &Children) {
        self.figures.look(children.subjects());
    }

    /// Reads on, if that is being done in parts. Whether it was.
    pub fn measure_on(&mut self) -> bool {
        let is_measuring = self.figures.deadline().is_some();
        self.figures.look_on();
        is_measuring
    }

    /// What a worker cost when that was last read.
    pub fn worker(&self, worker: WorkerId) -> Usage {
        self.figures.worker(worker)
    }

    /// What herder cost when that was last read.
    pub fn herder(&self) -> Usage {
        self.figures.herder()
    }

    /// When the next measurement is due.
    pub fn deadline(&self) -> Option<u64> {
        let ordered = [self.looks.deadline(), self.weights.deadline(), self.loads.deadline()];
        ordered.into_iter().chain([self.figures.deadline()]).flatten().min()
    }
}
