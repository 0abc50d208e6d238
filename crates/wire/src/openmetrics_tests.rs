use super::super::host::{Host, Silent};
use super::super::status::{PastReload, Status, Verdict, WorkerState, example::example};
use super::*;
use std::collections::BTreeSet;

/// The samples of a series, as they are written.
fn samples<'a>(text: &'a str, series: &str) -> Vec<&'a str> {
    let start = format!("{series}{{");
    text.lines().filter(|line| line.starts_with(&start)).collect()
}

fn of_one(status: Status, series: &str) -> Vec<String> {
    let text = render(&[status], Format::OpenMetrics);
    samples(&text, series).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_counter_is_named_as_each_format_has_it() {
    let (open, text) = [Format::OpenMetrics, Format::Prometheus]
        .map(|format| render(&[example(3)], format))
        .into();
    let line = "herder_worker_respawns_total{name=\"web\"} 12\n";
    for (text, family) in
        [(&open, "herder_worker_respawns"), (&text, "herder_worker_respawns_total")]
    {
        let head = format!("\n# TYPE {family} counter\n");
        assert!(text.contains(&format!("{head}{line}")), "{text}");
        assert_eq!(text.matches(&format!("# HELP {family} ")).count(), 1);
    }
    assert!(open.contains(
        "# TYPE herder_degraded_seconds counter\n# UNIT herder_degraded_seconds seconds\n"
    ));
    assert!(open.contains(
        "# TYPE herder_build info\nherder_build_info{name=\"web\",version=\"0.1.0\"} 1\n"
    ));
    assert!(text.contains("# TYPE herder_build_info gauge\nherder_build_info{"));
    assert!(open.ends_with("\n# EOF\n") && !text.contains("EOF") && !text.contains("UNIT"));
}

#[test]
fn every_series_has_samples_of_the_example_each_once() {
    let mut other = example(2);
    other.name = "other".to_owned();
    let text = render(&[example(3), other], Format::OpenMetrics);
    for series in &SERIES {
        assert!(samples(&text, series.name).len() > 1, "{}", series.name);
    }
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        assert!(seen.insert(series), "{series} comes twice");
    }
}

#[test]
fn what_nobody_knows_is_left_out() {
    let mut status = example(2);
    status.usage.cpu_usec = None;
    status.sockets.clear();
    let text = render(&[status], Format::Prometheus);
    assert!(!text.contains("herder_process_cpu") && !text.contains("herder_socket"), "{text}");
    assert!(!text.contains("NaN"), "{text}");
    assert_eq!(render(&[], Format::OpenMetrics), "# EOF\n");
    assert_eq!(render(&[], Format::Prometheus), "");
}

#[test]
fn figures_are_in_base_units() {
    let of = |series| of_one(example(2), series);
    assert_eq!(
        of("herder_start_time_seconds"),
        ["herder_start_time_seconds{name=\"web\"} 1795420000"]
    );
    assert_eq!(
        of("herder_degraded_seconds_total"),
        ["herder_degraded_seconds_total{name=\"web\"} 61.5"]
    );
    assert_eq!(
        of("herder_process_cpu_seconds_total"),
        ["herder_process_cpu_seconds_total{name=\"web\"} 1.234567"]
    );
    assert_eq!(
        of("herder_socket_waiting_connections_limit"),
        [
            "herder_socket_waiting_connections_limit{name=\"web\",socket=\"admin\",address=\"/run/web/admin.sock\"} 128",
            "herder_socket_waiting_connections_limit{name=\"web\",socket=\"web\",address=\"[::]:80\"} 4096",
        ]
    );
    assert_eq!(of("herder_socket_dropped_total").len(), 1, "the others do not count");
}

#[test]
fn the_workers_that_share_a_slot_are_one() {
    // Slot 1 of the example is being replaced: twice 20 MB, one 24 MB at its peak, and 8 tasks.
    let of = |series| of_one(example(2), series).pop().unwrap();
    assert_eq!(
        of("herder_slot_memory_bytes"),
        "herder_slot_memory_bytes{name=\"web\",slot=\"1\"} 40000000"
    );
    assert!(of("herder_slot_memory_peak_bytes").ends_with("slot=\"1\"} 24000000"));
    assert!(of("herder_slot_cpu_seconds_total").ends_with("slot=\"1\"} 6"));
    assert!(of("herder_slot_tasks").ends_with("slot=\"1\"} 8"));
    assert!(of("herder_slot_worker_age_seconds").ends_with("slot=\"1\"} 62"));
    assert!(of("herder_slot_ready").ends_with("slot=\"1\"} 1"));
}

#[test]
fn a_slot_without_a_worker_is_not_ready_rather_than_forgotten() {
    let mut status = example(3);
    status.workers.retain(|worker| worker.slot != 2);
    assert_eq!(
        of_one(status, "herder_slot_ready"),
        [
            "herder_slot_ready{name=\"web\",slot=\"0\"} 0",
            "herder_slot_ready{name=\"web\",slot=\"1\"} 1",
            "herder_slot_ready{name=\"web\",slot=\"2\"} 0",
        ]
    );
    let mut absurd = example(1);
    absurd.wanted = u32::MAX;
    assert_eq!(of_one(absurd, "herder_slot_ready").len(), 10_000);
}

#[test]
fn queues_of_one_address_are_counted_together() {
    let mut status = example(1);
    let queue = status.sockets[0].clone();
    status.sockets = vec![queue.clone(), queue];
    assert_eq!(
        of_one(status, "herder_socket_waiting_connections"),
        ["herder_socket_waiting_connections{name=\"web\",socket=\"web\",address=\"[::]:80\"} 34"]
    );
}

#[test]
fn states_are_one_of_their_kind() {
    let state = of_one(example(3), "herder_state");
    assert_eq!(state.len(), 5);
    assert_eq!(
        state.iter().filter(|line| line.ends_with(" 1")).collect::<Vec<_>>(),
        ["herder_state{name=\"web\",state=\"degraded\"} 1"]
    );
    let workers = of_one(example(3), "herder_workers");
    assert_eq!(
        workers,
        [
            "herder_workers{name=\"web\",state=\"starting\"} 1",
            "herder_workers{name=\"web\",state=\"ready\"} 2",
            "herder_workers{name=\"web\",state=\"retiring\"} 0",
            "herder_workers{name=\"web\",state=\"draining\"} 1",
            "herder_workers{name=\"web\",state=\"ended\"} 0",
        ]
    );
    let mut all_leaving = example(2);
    all_leaving.workers.iter_mut().for_each(|worker| worker.state = WorkerState::Retiring);
    assert!(of_one(all_leaving, "herder_slot_ready").iter().all(|line| line.ends_with(" 1")));
}

#[test]
fn a_reload_that_was_cut_short_is_not_the_last_one() {
    let past = |verdict, at_usec| PastReload {
        generation: Some(2),
        at_usec,
        took_usec: None,
        verdict,
        reason: None,
    };
    let mut status = example(1);
    let mut told = |reloads: &[PastReload]| {
        status.reloads = reloads.to_vec();
        ["success", "timestamp_seconds"].map(|what| {
            let line = of_one(status.clone(), &format!("herder_last_reload_{what}")).pop().unwrap();
            line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
        })
    };
    let before = past(Verdict::Done, 1_000_000);
    assert_eq!(told(&[past(Verdict::Failed, 2_000_000), before.clone()]), [0.0, 2.0]);
    assert_eq!(told(&[past(Verdict::Refused, 2_000_000), before.clone()]), [0.0, 2.0]);
    assert_eq!(told(&[past(Verdict::Superseded, 2_000_000), before.clone()]), [1.0, 1.0]);
    assert_eq!(told(&[past(Verdict::Stopped, 2_000_000), before]), [1.0, 1.0]);
    assert_eq!(told(&[]), [1.0, 1_795_420_000.0], "the start counts");
}

#[test]
fn one_that_does_not_answer_is_down_and_nothing_else() {
    let silent = Silent { name: "db".to_owned(), reason: "it hangs".to_owned() };
    let host = Host { instances: vec![example(1)], silent: vec![silent] };
    let text = render_host(&host, Format::Prometheus);
    assert_eq!(
        samples(&text, "herder_up"),
        ["herder_up{name=\"web\"} 1", "herder_up{name=\"db\"} 0"]
    );
    assert_eq!(text.matches("\"db\"").count(), 1);
    assert!(!text.contains("hangs"));
    assert_eq!(
        render_host(&Host::of_one(example(3)), Format::OpenMetrics),
        render(&[example(3)], Format::OpenMetrics)
    );
}

#[test]
fn labels_are_escaped_and_nothing_a_worker_said_is_one() {
    let mut status = example(3);
    status.name = "a\"b\\c\nd".to_owned();
    let text = render(&[status], Format::OpenMetrics);
    assert!(text.contains(r#"herder_up{name="a\"b\\c\nd"} 1"#), "{text}");
    assert!(!text.contains("evil") && !text.contains("requests"), "{text}");
}

#[test]
fn who_asks_for_openmetrics_gets_it() {
    use Format::{OpenMetrics, Prometheus};
    let cases = [
        // Prometheus 2 and 3, vmagent, curl, Firefox, Chromium.
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OpenMetrics,
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            OpenMetrics,
        ),
        ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Prometheus),
        ("*/*", Prometheus),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Prometheus),
        ("", Prometheus),
        ("Application/OpenMetrics-Text ; Q=0.1", OpenMetrics),
        ("text/plain, application/openmetrics-text", OpenMetrics),
        ("text/plain, application/openmetrics-text;q=0.9", Prometheus),
        ("application/openmetrics-text;q=0", Prometheus),
        ("application/openmetrics-text;q=nonsense", OpenMetrics),
        (";;,=,q=,;q=1", Prometheus),
    ];
    for (accept, format) in cases {
        assert_eq!(Format::negotiate(accept), format, "{accept}");
    }
    assert!(OpenMetrics.content_type().contains("version=1.0.0"));
    assert!(Prometheus.content_type().contains("version=0.0.4"));
}

#[test]
fn names_follow_the_conventions() {
    for series in &SERIES {
        let name = series.name;
        assert!(
            name.starts_with("herder_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
            "{name}"
        );
        assert_eq!(name.ends_with("_total"), series.kind == Kind::Counter, "{name}");
        assert_eq!(name.ends_with("_info"), series.kind == Kind::Info, "{name}");
        assert!(series.help.ends_with('.') && !series.help.contains(['\\', '\n']), "{name}");
    }
}
