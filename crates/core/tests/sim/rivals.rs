//! Compares scaling by the core with php-fpm `dynamic`, Apache prefork and uWSGI `busyness`, on the same curves.
//!
//! These three are models of the rules in their sources, with the same constants, and each looks once a second. For
//! herder the core itself runs. Each manager may have 2 to 32 workers.
//!
//! The score was defined before the first run. Each curve has four figures: the seconds that connections waited, the
//! seconds during which any connection waited, the seconds that workers existed, and the changes of direction. A
//! figure counts as its ratio to the best of the four managers, `(x + 1) / (best + 1)`, which avoids division by zero.
//! The score on a curve is the sum of the four ratios, 4 at best. Each rival is played with its own defaults and with
//! settings that suit these curves better, and the better of its two scores counts.

use super::curves::{self, Curve};
use super::plant::{Figures, Micros, News, Plant, SECOND, State};
use super::story::policy;
use herder_core::{
    Action, Event, Exit, Generation, Herd, Load, Policy, Scaling, Span, Time, WorkerId,
};
use std::collections::BTreeMap;

const LEAST: usize = 2;
const MOST: usize = 32;

trait Manager {
    fn begin(&mut self, plant: &mut Plant);
    fn deadline(&self) -> Option<Micros>;
    fn hear(&mut self, plant: &mut Plant, news: &[News]);
}

fn play(curve: &Curve, manager: &mut dyn Manager) -> Figures {
    let mut plant = Plant::new(curve);
    manager.begin(&mut plant);
    plant.begins();
    while let Some(news) = plant.pass(manager.deadline()) {
        manager.hear(&mut plant, &news);
    }
    plant.figures
}

/// A manager that looks once a second.
struct Cycle<M> {
    next: Micros,
    manager: M,
}

trait Rules {
    fn initial(&self) -> usize;
    fn cycle(&mut self, plant: &mut Plant);
}

impl<M: Rules> Manager for Cycle<M> {
    fn begin(&mut self, plant: &mut Plant) {
        for _ in 0..self.manager.initial() {
            plant.spawn();
        }
    }

    fn deadline(&self) -> Option<Micros> {
        Some(self.next)
    }

    fn hear(&mut self, plant: &mut Plant, _: &[News]) {
        if plant.now >= self.next {
            self.next += SECOND;
            self.manager.cycle(plant);
        }
    }
}

fn spawn(plant: &mut Plant, count: usize) {
    for _ in 0..count {
        plant.spawn();
    }
}

/// `fpm_pctl_perform_idle_server_maintenance`.
struct PhpFpm {
    min_spare: usize,
    max_spare: usize,
    rate: usize,
}

impl Rules for PhpFpm {
    fn initial(&self) -> usize {
        // `pm.start_servers`, its default.
        self.min_spare + (self.max_spare - self.min_spare) / 2
    }

    fn cycle(&mut self, plant: &mut Plant) {
        let idle = plant.idle();
        let running = plant.running();
        if idle.len() > self.max_spare {
            // The oldest idle worker leaves.
            plant.dismiss(idle[0]);
            self.rate = 1;
        } else if idle.len() < self.min_spare {
            if running >= MOST {
                self.rate = 1;
                return;
            }
            spawn(plant, self.rate.min(self.min_spare - idle.len()).min(MOST - running));
            // `pm.max_spawn_rate`
            self.rate = if self.rate < 32 { self.rate * 2 } else { self.rate };
        } else {
            self.rate = 1;
        }
    }
}

/// `perform_idle_server_maintenance` of prefork.
struct Apache {
    min_spare: usize,
    max_spare: usize,
    rate: usize,
}

impl Rules for Apache {
    fn initial(&self) -> usize {
        // `StartServers`, its default.
        5
    }

    fn cycle(&mut self, plant: &mut Plant) {
        let idle = plant.idle();
        // A server that is starting counts as idle.
        let spare = idle.len() + plant.count(|state| *state == State::Starting);
        let free = MOST - plant.running().min(MOST);
        if spare > self.max_spare {
            if let Some(&last) = idle.last() {
                plant.dismiss(last);
            }
            self.rate = 1;
        } else if spare < self.min_spare {
            if free == 0 {
                self.rate = 1;
                return;
            }
            spawn(plant, self.rate.min(free));
            self.rate = if self.rate < 32 { self.rate * 2 } else { self.rate };
        } else {
            self.rate = 1;
        }
    }
}

/// `uwsgi_cheaper_algo_busyness`.
struct Uwsgi {
    step: usize,
    cycles: u64,
    /// Running times at the begin of the window.
    before: BTreeMap<u64, Micros>,
    window: Micros,
    next_cheap: Micros,
    multiplier: u64,
    last_cheaped: Option<Micros>,
    in_band: u64,
    backlog_cycles: u64,
    emergency: usize,
}

const OVERLOAD: u64 = 3;
const BUSY_MAX: f64 = 50.0;
const BUSY_MIN: f64 = 25.0;
const MULTIPLIER: u64 = 10;
const PENALTY: u64 = 2;
const BACKLOG_ALERT: usize = 33;
const BACKLOG_NONZERO: u64 = 60;

impl Uwsgi {
    fn new(step: usize) -> Uwsgi {
        Uwsgi {
            step,
            cycles: 0,
            before: BTreeMap::new(),
            window: 0,
            next_cheap: OVERLOAD * MULTIPLIER * SECOND,
            multiplier: MULTIPLIER,
            last_cheaped: None,
            in_band: 0,
            backlog_cycles: 0,
            emergency: 0,
        }
    }

    fn running_time(plant: &Plant, id: u64) -> Micros {
        plant.worked.get(&id).copied().unwrap_or(0)
    }

    /// The average of all workers, in per cent. A worker that was busy all the time and has finished no connection
    /// counts as busy.
    fn busyness(&self, plant: &Plant) -> f64 {
        let time = (plant.now - self.window) as f64;
        let busy = plant.workers.iter().map(|(&id, state)| {
            let before = self.before.get(&id).copied().unwrap_or(0);
            let worked = Self::running_time(plant, id).saturating_sub(before);
            match state {
                State::Busy { since, .. } if worked == 0 && *since <= self.window => 100.0,
                _ => (worked as f64 / time * 100.0).min(100.0),
            }
        });
        busy.sum::<f64>() / plant.workers.len().max(1) as f64
    }

    /// Dismisses the oldest idle worker, if there is one.
    fn cheap(plant: &mut Plant) -> bool {
        let Some(&oldest) = plant.idle().first() else { return false };
        plant.dismiss(oldest);
        true
    }
}

impl Rules for Uwsgi {
    fn initial(&self) -> usize {
        LEAST
    }

    fn cycle(&mut self, plant: &mut Plant) {
        self.cycles += 1;
        let backlog = plant.queue.len();
        self.backlog_cycles = if backlog > 0 { self.backlog_cycles + 1 } else { 0 };
        let room = MOST - plant.running().min(MOST);
        if backlog > BACKLOG_ALERT || self.backlog_cycles > BACKLOG_NONZERO {
            let more = room.min(1);
            spawn(plant, more);
            self.emergency += more;
            return;
        }
        if self.cycles % OVERLOAD != 0 {
            return;
        }
        let busy = self.busyness(plant);
        self.window = plant.now;
        self.before = plant.workers.keys().map(|&id| (id, Self::running_time(plant, id))).collect();
        let calm = self.multiplier * OVERLOAD * SECOND;
        if busy > BUSY_MAX {
            // Was a worker dismissed too soon?
            if let Some(at) = self.last_cheaped.take() {
                if plant.now - at <= calm {
                    self.multiplier += PENALTY;
                } else if self.multiplier > MULTIPLIER {
                    self.multiplier -= 1;
                }
            }
            self.in_band = 0;
            self.next_cheap = plant.now + self.multiplier * OVERLOAD * SECOND;
            spawn(plant, self.step.min(room));
        } else if busy < BUSY_MIN {
            self.in_band = 0;
            if self.emergency > 0 && plant.running() > LEAST {
                // Emergency workers need not wait as long.
                if Self::cheap(plant) {
                    self.emergency -= 1;
                }
            } else if plant.now >= self.next_cheap && plant.running() > LEAST && Self::cheap(plant)
            {
                self.last_cheaped = Some(plant.now);
                self.next_cheap = plant.now + calm;
            }
        } else {
            self.in_band += 1;
            if self.in_band == 3 {
                self.in_band = 0;
                self.next_cheap = plant.now + calm;
            }
        }
    }
}

/// herder: the core itself.
struct Ours {
    herd: Option<Herd>,
    watched: bool,
}

impl Ours {
    fn policy() -> Policy {
        let scaling =
            Scaling { max: MOST as u32, idle_timeout: Span::secs(60), exit_idle_time: None };
        Policy { scaling: Some(scaling), ..policy(LEAST as u32) }
    }

    fn tell(&mut self, plant: &mut Plant, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut actions = Vec::new();
            let herd = self.herd.as_mut().expect("it has begun");
            let now = Time(plant.now);
            herd.handle(now, event, &mut actions);
            herd.tell(now, &mut actions);
            for action in actions {
                events.extend(self.perform(plant, action));
            }
        }
    }

    fn perform(&mut self, plant: &mut Plant, action: Action) -> Option<Event> {
        match action {
            Action::Spawn { worker, .. } => {
                plant.spawn_as(worker.0);
                Some(Event::Spawned { worker })
            }
            Action::Drain { worker } => {
                plant.dismiss(worker.0).then_some(Event::Exited { worker, exit: Exit::Code(0) })
            }
            Action::Sweep { worker, .. } => Some(Event::Gone { worker }),
            Action::Sample => {
                let busy = |state: &State| matches!(state, State::Busy { .. });
                let share = |state| if busy(state) { 1000 } else { 0 };
                let workers = plant.workers.iter().map(|(&id, s)| (WorkerId(id), share(s)));
                Some(Event::Sampled(Load {
                    waiting: plant.queue.len() as u32,
                    limit: Some(4096),
                    workers: workers.collect(),
                    ..Load::default()
                }))
            }
            Action::Watch => {
                self.watched = true;
                self.knock(plant)
            }
            _ => None,
        }
    }

    fn knock(&mut self, plant: &Plant) -> Option<Event> {
        (!plant.queue.is_empty() && std::mem::take(&mut self.watched)).then_some(Event::Knocked)
    }
}

impl Manager for Ours {
    fn begin(&mut self, plant: &mut Plant) {
        let mut actions = Vec::new();
        let herd = Herd::start(Time(0), 1, Generation(1), Ours::policy(), None, &mut actions);
        self.herd = Some(herd);
        for action in actions {
            if let Some(event) = self.perform(plant, action) {
                self.tell(plant, event);
            }
        }
    }

    fn deadline(&self) -> Option<Micros> {
        self.herd.as_ref()?.deadline().map(|deadline| deadline.0)
    }

    fn hear(&mut self, plant: &mut Plant, news: &[News]) {
        for news in news {
            match *news {
                News::Ready(id) => self.tell(plant, Event::Ready { worker: WorkerId(id) }),
                News::Gone(id) => {
                    let (worker, exit) = (WorkerId(id), Exit::Code(0));
                    self.tell(plant, Event::Exited { worker, exit });
                }
                News::Arrived => {}
            }
        }
        if let Some(knocked) = self.knock(plant) {
            self.tell(plant, knocked);
        }
        let due = |herd: &Herd| herd.deadline().is_some_and(|deadline| deadline.0 <= plant.now);
        if self.herd.as_ref().is_some_and(due) {
            self.tell(plant, Event::Tick);
        }
    }
}

const NAMES: [&str; 7] = [
    "herder",
    "php-fpm dynamic",
    "php-fpm, tuned",
    "Apache prefork",
    "Apache, tuned",
    "uWSGI busyness",
    "uWSGI, tuned",
];

fn managers() -> [Box<dyn Manager>; 7] {
    fn cycle<M: Rules + 'static>(manager: M) -> Box<dyn Manager> {
        Box::new(Cycle { next: SECOND, manager })
    }
    [
        Box::new(Ours { herd: None, watched: false }),
        // php-fpm's own www.conf.
        cycle(PhpFpm { min_spare: 1, max_spare: 3, rate: 1 }),
        cycle(PhpFpm { min_spare: 4, max_spare: 8, rate: 1 }),
        cycle(Apache { min_spare: 5, max_spare: 10, rate: 1 }),
        cycle(Apache { min_spare: 2, max_spare: 6, rate: 1 }),
        cycle(Uwsgi::new(1)),
        cycle(Uwsgi::new(4)),
    ]
}

/// The mean figures over these seeds, by curve and manager.
fn figures(seeds: std::ops::Range<u64>) -> Vec<(&'static str, Vec<Figures>)> {
    let count = (seeds.end - seeds.start) as f64;
    let mut table: Vec<(&'static str, Vec<Figures>)> = Vec::new();
    for seed in seeds {
        for (row, curve) in curves::all(seed).iter().enumerate() {
            if table.len() == row {
                table.push((curve.name, vec![Figures::default(); NAMES.len()]));
            }
            for (sum, mut manager) in table[row].1.iter_mut().zip(managers()) {
                let figures = play(curve, manager.as_mut());
                sum.waited += figures.waited / count;
                sum.queued += figures.queued / count;
                sum.spent += figures.spent / count;
                sum.flaps += figures.flaps / count;
            }
        }
    }
    table
}

/// The score of each manager on a curve: lower is better, 4 is the best possible.
fn scores(figures: &[Figures]) -> Vec<f64> {
    let columns: [fn(&Figures) -> f64; 4] = [|f| f.waited, |f| f.queued, |f| f.spent, |f| f.flaps];
    let mut scores = vec![0.0; figures.len()];
    for column in columns {
        let best = figures.iter().map(column).fold(f64::INFINITY, f64::min);
        for (score, figures) in scores.iter_mut().zip(figures) {
            *score += (column(figures) + 1.0) / (best + 1.0);
        }
    }
    scores
}

/// `HERDER_SIM_CURVES=A..B cargo test --test sim rivals -- --nocapture` prints the table for other seeds.
fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("HERDER_SIM_CURVES").ok();
    let range = asked.as_deref().and_then(|text| {
        let (first, end) = text.split_once("..")?;
        Some(first.parse().ok()?..end.parse().ok()?)
    });
    range.unwrap_or(1..4)
}

#[test]
fn scaling_is_better_than_that_of_rivals() {
    let table = figures(seeds());
    let mut sums = [0.0; NAMES.len()];
    let mut worse = Vec::new();
    for (curve, figures) in &table {
        println!(
            "\n{curve:<18} {:>9} {:>9} {:>9} {:>7} {:>8}",
            "waited s", "queued s", "spent s", "flaps", "score"
        );
        let scores = scores(figures);
        for ((name, figures), score) in NAMES.iter().zip(figures).zip(&scores) {
            let Figures { waited, queued, spent, flaps } = figures;
            println!("  {name:<16} {waited:9.1} {queued:9.2} {spent:9.0} {flaps:7.1} {score:8.2}");
        }
        for (sum, score) in sums.iter_mut().zip(&scores) {
            *sum += score;
        }
        let best = scores[1..].iter().copied().fold(f64::INFINITY, f64::min);
        if scores[0] > 1.1 * best {
            worse.push(format!("{curve}: {:.2}, and the best rival has {best:.2}", scores[0]));
        }
    }
    println!("\nsum of scores");
    for (name, sum) in NAMES.iter().zip(sums) {
        println!("  {name:<16} {sum:8.2}");
    }
    assert_eq!(worse, [""; 0], "worse by more than a tenth");
    for (name, sum) in NAMES.iter().zip(sums).skip(1) {
        assert!(sums[0] < sum, "{name} is better: {sum:.2} against {:.2}", sums[0]);
    }
}
