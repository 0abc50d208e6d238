//! Keys pressed in a real terminal, and what they come to in a real herder.

use crate::systemd::{Herder, Unit};
use crate::tmux::{self, Terminal, quoted};
use crate::workers::listener;
use herder_wire::status::{Verdict, Worker};

/// The demonstration's workers, which serve.
fn serving(workers: u32) -> Herder {
    let settings = format!("workers = {workers}\nready = \"notify\"\n");
    let mut herder = Unit::new(&settings).socket("web", listener()).start();
    herder.hears("READY=1");
    herder
}

fn top(herder: &Herder) -> Terminal {
    Terminal::herder((100, 30), &format!("top -d 100ms {}", quoted(&herder.path("run"))))
}

#[test]
fn workers_are_seen_sorted_and_selected() {
    if !tmux::is_there() {
        return;
    }
    let herder = serving(3);
    let terminal = top(&herder);
    let mut pids: Vec<String> =
        herder.serves(3).iter().map(|worker| worker.pid.unwrap().to_string()).collect();
    let all: Vec<&str> = pids.iter().map(String::as_str).collect();
    terminal.shows(&all);
    terminal.shows(&["serving", "3/3 ready", "▲SLOT", "? help"]);

    // The heading says so, and the rows follow.
    pids.sort_by_key(|pid| pid.parse::<u32>().unwrap());
    let in_order = |screen: &str, pids: &[String]| {
        let places: Vec<_> = pids.iter().map(|pid| screen.find(pid.as_str())).collect();
        places.iter().all(Option::is_some) && places.is_sorted()
    };
    terminal.press(&["Right"]);
    terminal.press(&["Right"]);
    terminal.shows_when("by process", |screen| screen.contains("▲PID") && in_order(screen, &pids));
    terminal.press(&["r"]);
    pids.reverse();
    terminal
        .shows_when("the other way", |screen| screen.contains("▼PID") && in_order(screen, &pids));

    terminal.press(&["Down"]);
    terminal.shows(&["── worker ", &format!("process {},", pids[0])]);
    terminal.press(&["q"]);
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn workers_are_scaled_recycled_stopped_and_reloaded() {
    if !tmux::is_there() {
        return;
    }
    let herder = serving(2);
    let terminal = top(&herder);
    terminal.shows(&["2/2 ready"]);

    terminal.press(&["+"]);
    terminal.shows(&["3/3 ready", "scale to 3: "]);
    assert_eq!(herder.status().wanted, 3);
    terminal.press(&["w"]);
    terminal.shows(&["Number of workers: 3"]);
    terminal.press(&["BSpace", "1", "Enter"]);
    terminal.shows(&["1/1 ready", "scale to 1: "]);
    assert_eq!(herder.is("one worker", |status| status.workers.len() == 1).wanted, 1);
    terminal.press(&["+"]);
    let before = in_slot(&herder.serves(2), 0);
    terminal.press(&["Home", "Down"]);
    terminal.shows(&[&format!("── worker {before} in slot 0")]);
    terminal.press(&["c"]);
    terminal.shows(&["recycle slot 0: "]);
    herder.is("the worker in slot 0 is another", |status| {
        status.workers.len() == 2 && in_slot(&status.workers, 0) != before
    });

    // The selection goes over to the new one.
    let before = in_slot(&herder.serves(2), 0);
    terminal.shows(&[&format!("── worker {before} in slot 0")]);
    terminal.press(&["k"]);
    terminal.shows(&[&format!("Stop worker {before} in slot 0? y yes, any other key no")]);
    terminal.press(&["y"]);
    herder.is("the worker in slot 0 is yet another", |status| {
        status.workers.iter().all(|worker| worker.id != before) && status.ready == 2
    });

    terminal.press(&["R"]);
    terminal.shows(&["Reload it: replace all 2 workers one by one?"]);
    terminal.press(&["n"]);
    terminal.shows_when("no question", |screen| !screen.contains("one by one?"));
    assert_eq!(herder.status().generation, 1);
    terminal.press(&["R", "y"]);
    terminal.shows(&["generation 2", "reload: ", "to generation 2 done"]);
    let status = herder.status();
    assert_eq!((status.generation, status.reloads[0].verdict), (2, Verdict::Done));
    terminal.press(&["C-c"]);
    assert_eq!(terminal.ends(), 0);
}

fn in_slot(workers: &[Worker], slot: u32) -> u64 {
    workers.iter().find(|worker| worker.slot == slot).unwrap().id
}

#[test]
fn a_reload_that_fails_says_why() {
    if !tmux::is_there() {
        return;
    }
    let herder = serving(1);
    let terminal = top(&herder);
    terminal.shows(&["1/1 ready"]);
    herder.settings("workers = many\n");
    terminal.press(&["R", "y"]);
    terminal.shows(&["reload: refused, nothing has changed: ", "it.toml"]);
    terminal.shows(&["refused 0s ago"]);
}
