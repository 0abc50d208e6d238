//! `herder set`: settings that are changed while herder is running.

use crate::client::{Running, Said, command};
use crate::systemd::{Herder, Unit};
use crate::workers::{listener, misbehave};
use herder_wire::status::Changed;

fn unit(settings: &str) -> Unit {
    Unit::new(&format!("workers = 2\nready = \"notify\"\n{settings}{}", misbehave("ready")))
}

fn herder(herder: &Herder, verb: &str, arguments: &[&str]) -> Said {
    let run = herder.path("run");
    let all = [&[verb, run.to_str().unwrap()], arguments].concat();
    Running::of(&mut command(&all)).ends()
}

fn changed(key: &str, value: &str, before: &str) -> Changed {
    Changed { key: key.to_owned(), value: Some(value.to_owned()), before: Some(before.to_owned()) }
}

#[test]
fn a_changed_setting_applies_at_once_and_until_the_next_reload() {
    let running = unit("").start();
    running.serves(2);
    let said = herder(&running, "set", &["stop-timeout=2min", "workers=3"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("stop-timeout = \"2min\" (was \"30s\")"), "{}", said.out);
    assert!(said.out.contains("workers = 3 (was 2)"), "{}", said.out);
    assert!(said.out.ends_with("until the next reload that succeeds\n"), "{}", said.out);
    running.serves(3);
    let all = [changed("workers", "3", "2"), changed("stop-timeout", "\"2min\"", "\"30s\"")];
    assert_eq!(running.status().set, all);
    let shown = herder(&running, "status", &[]).out;
    assert!(shown.contains("set      workers = 3, else 2\n"), "{shown}");
    // A setting that has this value already is not reported as changed.
    assert_eq!(herder(&running, "set", &["workers=2"]).code, 0);
    assert_eq!(running.status().set, all[1..]);
    running.serves(2);

    assert_eq!(running.reload().code, 0);
    assert_eq!(running.status().set, []);
    running.logs("what was set while generation 1 was in force is over with it: stop-timeout");
    // `herder reload --previous` does not bring the changed setting back.
    assert_eq!(herder(&running, "set", &["stop-timeout=3min"]).code, 0);
    assert_eq!(herder(&running, "reload", &["--previous"]).code, 0);
    assert_eq!(running.status().set, []);
}

#[test]
fn bounds_can_be_set_together_and_one_by_one() {
    let running = unit("").socket("web", listener()).start();
    running.serves(2);
    let said = herder(&running, "set", &["workers={min=1,max=4}"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("workers = { min = 1, max = 4 } (was 2)"), "{}", said.out);
    let status = running.status();
    assert_eq!((status.min, status.max), (1, 4));
    assert_eq!(status.set, [changed("workers", "{ min = 1, max = 4 }", "2")]);

    assert_eq!(herder(&running, "set", &["workers.min=3"]).code, 0);
    running.serves(3);
    assert_eq!(herder(&running, "set", &["workers.max=8"]).code, 0);
    let shown = herder(&running, "status", &[]).out;
    assert!(shown.contains("set      workers = { min = 3, max = 8 }, else 2\n"), "{shown}");
    let said = herder(&running, "set", &["workers.max=2"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(said.err.contains("`min` of 3 and a `max` of 2"), "{}", said.err);

    assert_eq!(herder(&running, "set", &["workers=2"]).code, 0);
    running.serves(2);
    let status = running.status();
    assert_eq!((status.min, status.max, status.set), (2, 2, Vec::new()));
}

#[test]
fn either_all_changes_are_made_or_none() {
    let running = unit("").start();
    running.serves(2);
    for (wrong, advice) in [
        ("stop-timeout=soon", "`stop-timeout`"),
        ("directory=/srv", "write it into the settings file, and reload"),
        ("listen=[\"80\"]", "and restart herder"),
        ("wrokers=3", "did you mean `workers`?"),
    ] {
        let said = herder(&running, "set", &["workers=3", wrong]);
        assert_eq!(said.code, 1, "{wrong}");
        assert!(said.err.contains(advice), "{wrong}: {}", said.err);
    }
    let status = running.status();
    assert_eq!((status.wanted, status.set), (2, Vec::new()));
}

#[test]
fn a_reload_that_fails_leaves_what_was_set() {
    let running = unit("").start();
    running.serves(2);
    assert_eq!(herder(&running, "set", &["stop-timeout=2min"]).code, 0);
    running.settings(&format!("workers = 2\nready = \"notify\"\n{}", misbehave("exit 1")));
    assert_eq!(running.reload().code, 1);
    assert_eq!(running.status().set, [changed("stop-timeout", "\"2min\"", "\"30s\"")]);
}
