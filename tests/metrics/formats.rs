//! The formats, the rules and the queries, as Prometheus and its kin read them.

use crate::fixture::status;
use crate::tools::{program, python_with, run};
use herder_wire::host::{Host, Silent};
use herder_wire::openmetrics::{Format, SERIES, render_host};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

fn host() -> Host {
    let silent = Silent { name: "db\"\\\n".to_owned(), reason: "it hangs".to_owned() };
    Host { instances: vec![status("web", 3), status("admin", 1)], silent: vec![silent] }
}

fn promtool() -> Option<PathBuf> {
    program("promtool", "prometheus")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn promtool_has_nothing_to_say_about_the_text_format() {
    let Some(promtool) = promtool() else { return };
    let text = render_host(&host(), Format::Prometheus);
    assert_eq!(run(&promtool, &["check", "metrics"], &text), "");
}

/// Parses, and prints `family type unit sample=value…`, one family a line.
const PARSE: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    samples = (f'{s.name}{sorted(s.labels.items())}={s.value}' for s in family.samples)
    print(family.name, family.type, family.unit or '-', *samples)
";

#[test]
fn an_independent_parser_reads_openmetrics_as_it_is_meant() {
    let Some(python) = python_with("prometheus_client", "python3-prometheus-client") else {
        return;
    };
    let read = run(&python, &["-c", PARSE], &render_host(&host(), Format::OpenMetrics));
    let lines: Vec<&str> = read.lines().collect();
    assert_eq!(lines.len(), SERIES.len(), "{read}");
    for (line, series) in lines.iter().zip(&SERIES) {
        let unit = series.unit().unwrap_or("-");
        let start = format!("{} {} {unit} ", series.family(), series.kind.in_openmetrics());
        assert!(line.starts_with(&start), "{line}\n  is not: {start}");
    }
    for sample in [
        r"herder_up[('name', 'db\x22\\\n')]=0".replace(r"\x22", "\""),
        "herder_degraded_seconds_total[('name', 'web')]=61.5".to_owned(),
        "herder_slot_tasks[('name', 'web'), ('slot', '1')]=8".to_owned(),
    ] {
        assert!(read.contains(&sample), "no {sample} in\n{read}");
    }
}

#[test]
fn the_alert_rules_are_sound_and_fire_when_they_should() {
    let Some(promtool) = promtool() else { return };
    let directory = root().join("examples/prometheus");
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    run(&promtool, &["check", "rules", &path("herder.rules.yml")], "");
    run(&promtool, &["test", "rules", &path("herder.rules.test.yml")], "");
}

#[test]
fn the_queries_of_the_dashboard_are_queries() {
    let Some(promtool) = promtool() else { return };
    let text = fs::read_to_string(root().join("examples/grafana/herder.json")).unwrap();
    let mut queries = Vec::new();
    expressions(&serde_json::from_str(&text).unwrap(), &mut queries);
    assert!(queries.len() > 20, "{queries:?}");
    // As recording rules, in JSON, which is YAML too; with what Grafana would put in.
    let rules: Vec<Value> = queries
        .iter()
        .zip(1..)
        .map(|(query, number)| {
            let query = query.replace("$__rate_interval", "5m").replace("$__range", "1h");
            json!({"record": format!("query{number}"), "expr": query})
        })
        .collect();
    let file = tempfile::Builder::new().suffix(".yml").tempfile().unwrap();
    fs::write(&file, json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string())
        .unwrap();
    run(&promtool, &["check", "rules", file.path().to_str().unwrap()], "");
}

/// Every `expr` at any depth.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|inner| expressions(inner, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| expressions(inner, found)),
        _ => {}
    }
}
