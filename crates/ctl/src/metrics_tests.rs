use super::*;
use crate::testing::{Answer, Herder};
use herder_wire::control::Reply;
use herder_wire::status::example::example;
use std::time::Duration;

fn instance(name: &str, herder: &Herder) -> Instance {
    let control = herder.dir.path().join("control");
    Instance { name: name.to_owned(), control, is_system: true }
}

#[test]
fn an_instance_that_hangs_does_not_delay_the_others() {
    let [a, b] =
        [2, 3].map(|slots| Herder::saying(Reply::Status { status: &example(slots) }.last()));
    let hanging = Herder::answering(vec![Answer::Silence]);
    let start = Instant::now();
    let instances = vec![instance("a", &a), instance("hanging", &hanging), instance("b", &b)];
    let host = ask_all(instances, start + Duration::from_millis(100));
    assert!(start.elapsed() < Duration::from_secs(5));

    let names: Vec<&str> = host.instances.iter().map(|status| status.name.as_str()).collect();
    assert_eq!(names, ["a", "b"], "by the names they were found by: both call themselves web");
    let [silent] = host.silent.as_slice() else { panic!("{host:?}") };
    assert_eq!(silent.name, "hanging");
    assert!(silent.reason.contains("journalctl"), "{}", silent.reason);
    let text = openmetrics::render_host(&host, Format::OpenMetrics);
    assert!(text.contains(
        "herder_up{name=\"a\"} 1\nherder_up{name=\"b\"} 1\nherder_up{name=\"hanging\"} 0\n"
    ));
}

#[test]
fn an_instance_that_was_named_has_to_answer() {
    let herder = Herder::saying(Reply::Status { status: &example(2) }.last());
    let host = survey(&Places::of_system(), herder.path()).unwrap();
    assert_eq!((host.instances.len(), host.silent.len()), (1, 0));
    assert_eq!(herder.methods(), ["Status"]);
    let error = survey(&Places::of_system(), Some("/no/such/directory")).unwrap_err();
    assert_eq!(error.exit_status(), 4);
}

#[test]
fn a_file_is_replaced_as_a_whole_and_readable_by_all_users() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("herder.prom");
    for text in ["one\n", "two\n"] {
        replace(&path, text.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);

    // Into the place of a directory it does not go, and leaves nothing behind.
    let taken = dir.path().join("taken.prom");
    fs::create_dir(&taken).unwrap();
    assert!(replace(&taken, b"three\n").is_err());
    assert!(replace(Path::new("/"), b"").is_err());
    let mut names: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["herder.prom", "taken.prom"]);
}
