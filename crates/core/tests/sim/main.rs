//! The core under simulated time: workers that obey, ignore, hang, crash, fail to start, get ready
//! late, retire and die soon after; reloads, scaling, stops and stray events at any moment.
//!
//! Every run is a number. `HERDER_SIM_SEED=N cargo test --test sim` replays one and prints its
//! trace; `HERDER_SIM_RUNS=N` changes how many are tried.

mod answers;
mod behaviour;
mod census;
mod chance;
mod curves;
mod elastic;
mod hangs;
mod lives;
mod load;
mod looks;
mod matrix;
mod plant;
mod properties;
mod queues;
mod requests;
mod rivals;
mod scenarios;
mod stalls;
mod story;
mod wear;
mod world;

use census::Census;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use world::World;

/// Random runs per fault model; each run has some hundreds of events.
const RUNS: u64 = 4_000;

/// This many seeds have to produce every kind of event, order, request, report and state at least once.
const MOST_CENSUS_RUNS: u64 = 200;

fn runs() -> u64 {
    let asked = std::env::var("HERDER_SIM_RUNS").ok();
    asked.map_or(RUNS, |text| text.parse().expect("HERDER_SIM_RUNS is a number"))
}

/// Plays one run, and says how many events it took.
fn play(seed: u64, files_lost: bool) -> Result<u64, String> {
    let mut world = World::new(seed, files_lost);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.play()));
    match outcome {
        Ok(()) => Ok(world.events),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!(
                "{}\nat {}\n--- the last of its trace ---\n{}\n--- replay: HERDER_SIM_SEED={seed} cargo test --test sim ---",
                text.unwrap_or_default(),
                world.now,
                world.trace_tail(300),
            ))
        }
    }
}

fn play_all(files_lost: bool) {
    if let Ok(seed) = std::env::var("HERDER_SIM_SEED") {
        let seed = seed.parse().expect("HERDER_SIM_SEED is a number");
        match play(seed, files_lost) {
            Ok(events) => println!("seed {seed}: {events} events, every property held"),
            Err(text) => panic!("{text}"),
        }
        return;
    }
    let events = AtomicU64::new(0);
    let next = AtomicU64::new(1);
    let failed = AtomicBool::new(false);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let mut failures = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed > runs() || failed.load(Ordering::Relaxed) {
                    return failures;
                }
                match play(seed, files_lost) {
                    Ok(count) => {
                        events.fetch_add(count, Ordering::Relaxed);
                    }
                    Err(text) => {
                        failed.store(true, Ordering::Relaxed);
                        failures.push(format!("seed {seed}: {text}"));
                    }
                }
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic outside a run"))
            .collect()
    });
    if let Some(first) = failures.first() {
        panic!("{first}");
    }
    println!("{} events", events.load(Ordering::Relaxed));
}

#[test]
fn every_property_holds_whatever_happens() {
    play_all(false);
}

#[test]
fn every_property_holds_when_the_old_files_no_longer_start() {
    play_all(true);
}

/// Plays random runs, of both fault models in turn, until they have produced every kind of event, order, request,
/// report and state. However few runs are asked for, these are as many as it takes.
#[test]
fn random_runs_produce_every_kind_of_everything() {
    let mut census = Census::default();
    for seed in 1..=MOST_CENSUS_RUNS {
        for files_lost in [false, true] {
            let mut world = World::new(seed, files_lost);
            world.play();
            census.add(&world.census);
        }
        if census.missing().is_empty() {
            println!("complete after {seed} seeds");
            return;
        }
    }
    panic!("{MOST_CENSUS_RUNS} seeds never produced {:?}", census.missing());
}

#[test]
fn the_same_input_gives_the_same_trace() {
    // One seed for every twenty random runs, because one thread plays each seed twice here.
    for seed in 1..=(runs() / 20).max(1) {
        let mut runs = [World::new(seed, false), World::new(seed, false)];
        for run in &mut runs {
            run.play();
        }
        let [first, second] = runs;
        assert_eq!(first.trace, second.trace, "seed {seed}");
    }
}
