//! Workers that are replaced for their age. For their memory takes longer: tests/system has that.

use crate::systemd::Unit;
use crate::wait::until;
use crate::workers::{misbehave, shell};
use std::fs;

const SETTINGS: &str = "workers = 1\nready = \"notify\"\n";

#[test]
fn old_workers_are_replaced_one_after_the_other_by_new_ones() {
    let settings = SETTINGS.replace("workers = 1", "workers = 3") + "max-age = \"400ms\"\n";
    let herder = Unit::new(&format!("{settings}{}", misbehave("ready"))).start();
    herder.serves(3);
    until("six are recycled", || {
        let status = herder.status();
        assert!(status.ready >= 3 || status.state.to_string() == "starting", "{status:?}");
        status.counters.recycled_for_age >= 6
    });
    let status = herder.status();
    assert_eq!((status.counters.failures, status.counters.respawns), (0, 0), "{status:?}");
    herder.logs(", as max-age wants it, worker ");
}

/// Also where the new ones fail: the old ones serve on.
#[test]
fn an_old_worker_stays_if_the_new_one_fails() {
    let command = shell("[ -e $DIR/broken ] && exit 1; exec $EXAMPLES/misbehave ready");
    let herder = Unit::new(&format!("{SETTINGS}max-age = \"500ms\"\n{command}")).start();
    herder.serves(1);
    fs::write(herder.path("broken"), "").unwrap();
    herder.logs("is not recycled and serves on");
    let status = herder.status();
    assert_eq!(status.ready, 1, "{status:?}");
    fs::remove_file(herder.path("broken")).unwrap();
    let kept = status.workers[0].id;
    until("it is tried again", || herder.status().workers.iter().all(|worker| worker.id != kept));
    assert_eq!(herder.status().ready, 1);
}
