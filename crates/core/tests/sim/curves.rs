//! Recorded arrival curves: when each connection arrives, and how long it takes to serve. A curve is drawn once from
//! its seed, and every manager is measured on the same arrivals.

use super::chance::Dice;
use super::plant::{Micros, SECOND};

pub struct Curve {
    pub name: &'static str,
    /// When each connection arrives, and how long it takes to serve.
    pub arrivals: Vec<(Micros, Micros)>,
    /// The time from exec to ready of each worker.
    pub start: Micros,
    pub end: Micros,
}

const END: f64 = 480.0;
const START: Micros = 500_000;
/// The mean service time of a connection, in seconds.
const TAKES: f64 = 0.05;

pub fn all(seed: u64) -> Vec<Curve> {
    vec![
        // Four workers' worth.
        curve("steady", seed, 0, |_| 80.0, |_| TAKES),
        // One worker's worth, and ten for 20 s, four times.
        curve("burst x 10", seed, 0, |t| if t % 120.0 > 100.0 { 200.0 } else { 20.0 }, |_| TAKES),
        // From half a worker's worth to 15, over a minute, and back at once.
        curve("sawtooth", seed, 0, |t| 10.0 + 290.0 * (t % 60.0) / 60.0, |_| TAKES),
        // Each connection takes longer than the one before: from three workers' worth to 18.
        curve("slow leak", seed, 0, |_| 60.0, |t| TAKES * (1.0 + 5.0 * t / END)),
        // All clients reconnect at the same moment after an outage.
        curve("thundering start", seed, 400, |_| 60.0, |_| TAKES),
    ]
}

/// Draws random arrivals with this rate per second, and service times between 0.5 and 1.5 times `takes`.
fn curve(
    name: &'static str,
    seed: u64,
    at_once: usize,
    rate: impl Fn(f64) -> f64,
    takes: impl Fn(f64) -> f64,
) -> Curve {
    let mut dice = Dice::new(seed);
    let mut random = move || (dice.below(1 << 30) as f64 + 0.5) / f64::from(1 << 30);
    let mut arrivals = Vec::new();
    let mut time = 0.0;
    while time < END {
        let takes = takes(time) * (0.5 + random());
        arrivals.push(((time * SECOND as f64) as Micros, (takes * SECOND as f64) as Micros));
        if arrivals.len() > at_once {
            time += -random().ln() / rate(time);
        }
    }
    Curve { name, arrivals, start: START, end: (END * SECOND as f64) as Micros }
}
