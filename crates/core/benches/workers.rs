//! What one worker costs the core when there are many: the time that the core takes for a start, a reload, a crash and its
//! respawn, and a moment at rest, for 4 to 10,000 workers, without any process. All of one run; the ratios to 4 workers are
//! what counts.
//!
//! `cargo bench -p herder-core`. It measures only, and fails at nothing.

use herder_core::{
    Action, Amount, Event, Exit, Generation, Herd, Policy, Ready, Request, RequestId, Span, Time,
    WorkerId,
};
use std::time::{Duration, Instant};

/// The core with a shell whose orders succeed at once, and how long the core has taken.
struct Bench {
    herd: Herd,
    now: Time,
    actions: Vec<Action>,
    took: Duration,
    /// Workers that are running.
    alive: Vec<WorkerId>,
}

fn policy(workers: u32) -> Policy {
    let max_surge = Amount::Percent(10);
    Policy { workers, ready: Ready::Notify, max_surge, ..Policy::default() }
}

impl Bench {
    fn start(workers: u32) -> Bench {
        let (mut actions, now) = (Vec::new(), Time(1_000_000));
        let begin = Instant::now();
        let watchdog = Some(Span::secs(30));
        let herd = Herd::start(now, 1, Generation(1), policy(workers), watchdog, &mut actions);
        let took = begin.elapsed();
        let mut bench = Bench { herd, now, actions, took, alive: Vec::new() };
        bench.settle();
        bench
    }

    fn tell(&mut self, event: Event) {
        let begin = Instant::now();
        self.now = self.now + Span(10);
        self.herd.handle(self.now, event, &mut self.actions);
        self.took += begin.elapsed();
    }

    /// Carries out orders, and tells what came of them, until there are none.
    fn settle(&mut self) {
        loop {
            let orders = std::mem::take(&mut self.actions);
            if orders.is_empty() {
                break;
            }
            for order in orders {
                self.carry_out(order);
            }
            let begin = Instant::now();
            self.herd.tell(self.now, &mut self.actions);
            let _ = std::hint::black_box(self.herd.deadline());
            self.took += begin.elapsed();
        }
    }

    fn carry_out(&mut self, order: Action) {
        match order {
            Action::Spawn { worker, .. } => {
                self.alive.push(worker);
                self.tell(Event::Spawned { worker });
                self.tell(Event::Ready { worker });
            }
            Action::Drain { worker } => self.ends(worker, Exit::Code(0)),
            Action::Sweep { worker, .. } => self.tell(Event::Gone { worker }),
            _ => {}
        }
    }

    fn ends(&mut self, worker: WorkerId, exit: Exit) {
        self.alive.retain(|other| *other != worker);
        self.tell(Event::Exited { worker, exit });
    }

    /// The time that the core has taken since this was last asked.
    fn lap(&mut self) -> Duration {
        std::mem::take(&mut self.took)
    }
}

fn main() {
    println!("microseconds of the core for each worker, and the ratio to 4 workers\n");
    println!("{:>8} {:>16} {:>16} {:>16} {:>16}", "workers", "start", "reload", "respawn", "rest");
    let mut few: Option<[f64; 4]> = None;
    for workers in [4, 100, 500, 2_000, 10_000] {
        // A small number is repeated, so that each row is of about as many events.
        let rounds = 20_000 / workers;
        let mut sums = [Duration::ZERO; 4];
        for _ in 0..rounds.max(1) {
            let mut bench = Bench::start(workers);
            sums[0] += bench.lap();
            bench.now = bench.now + Span::secs(20);
            bench.tell(Event::Tick);
            bench.settle();
            bench.lap();
            let (generation, policy) = (Generation(2), policy(workers));
            let what = Request::Reload { generation, policy };
            bench.tell(Event::Asked { request: RequestId(1), what });
            bench.settle();
            assert_eq!(bench.herd.generation(), generation, "the reload is done");
            sums[1] += bench.lap();
            bench.now = bench.now + Span::secs(20);
            bench.tell(Event::Tick);
            bench.settle();
            bench.lap();
            // As many crashes as there are workers, but not too many.
            let crashes = workers.min(500);
            for _ in 0..crashes {
                let worker = bench.alive[0];
                bench.ends(worker, Exit::Code(1));
                bench.settle();
            }
            sums[2] += bench.lap() * workers / crashes;
            for _ in 0..workers {
                bench.tell(Event::Tick);
            }
            sums[3] += bench.lap();
        }
        let each = f64::from(rounds.max(1)) * f64::from(workers);
        let micros = sums.map(|sum| sum.as_secs_f64() * 1e6 / each);
        let few = *few.get_or_insert(micros);
        let cells = micros
            .iter()
            .zip(few)
            .map(|(micros, few)| format!("{micros:.2} ({:.2})", micros / few));
        let cells: Vec<String> = cells.collect();
        println!(
            "{workers:>8} {:>16} {:>16} {:>16} {:>16}",
            cells[0], cells[1], cells[2], cells[3]
        );
    }
}
