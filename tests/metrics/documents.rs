//! What the manual, the rules and the dashboard call metrics is what the code calls them, and the reverse.

use crate::chromium::decoded;
use herder_wire::openmetrics::{Kind, SERIES};
use herder_wire::page;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("herder_")).collect()
}

#[test]
fn the_manual_says_of_every_metric_what_the_code_says() {
    let page = read("man/herder-metrics.1").replace('\n', " ");
    let mut in_manual: Vec<&str> = page
        .split(".It Li ")
        .skip(1)
        .filter_map(|entry| entry.split_whitespace().next())
        .filter(|name| name.starts_with("herder_"))
        .collect();
    let mut in_code: Vec<&str> = SERIES.iter().map(|series| series.name).collect();
    in_manual.sort_unstable();
    in_code.sort_unstable();
    assert_eq!(in_manual, in_code);

    for series in &SERIES {
        let kind = match series.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Info => "info",
        };
        let unit = series.unit().map(|unit| format!(" in {unit}")).unwrap_or_default();
        let start = format!(".It Li {} ", series.name);
        let said = format!(".Pq {kind}{unit} {}", series.help);
        let entry = page.split(&start).nth(1).unwrap_or_default();
        let entry = entry.split(".It ").next().unwrap_or_default();
        assert!(entry.contains(&said), "{start}: no “{said}” in\n{entry}");
    }
}

#[test]
fn what_queries_ask_for_is_there() {
    let there: BTreeSet<&str> = SERIES.iter().map(|series| series.name).collect();
    for file in [
        "examples/prometheus/herder.rules.yml",
        "examples/prometheus/herder.rules.test.yml",
        "examples/grafana/herder.json",
    ] {
        let text = read(file);
        let asked = named(&text);
        assert!(asked.len() > 8, "{file}: {asked:?}");
        let strange: Vec<_> = asked.difference(&there).collect();
        assert!(strange.is_empty(), "{file} asks for {strange:?}");
    }
}

#[test]
fn every_alert_is_tested_and_says_what_to_do() {
    let (rules, tests) = (
        read("examples/prometheus/herder.rules.yml"),
        read("examples/prometheus/herder.rules.test.yml"),
    );
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 9);
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        for key in ["severity: ", "summary: ", "description: ", "runbook: "] {
            assert!(alert.contains(key), "{name}: no {key}");
        }
        assert!(
            tests.contains(&format!("\"{name}\"")) || tests.contains(&format!("alertname: {name}")),
            "{name} is not tested"
        );
    }
}

#[test]
fn the_page_is_small_and_needs_nothing_else() {
    assert!(page::HTML.len() < 40 * 1024, "{}", page::HTML.len());
    // The namespace of SVG is a name; no browser opens it as an address.
    let rest = page::HTML.replace("http://www.w3.org/2000/svg", "");
    for word in [
        "http://",
        "https://",
        "//cdn",
        "@import",
        "url(",
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
    ] {
        assert!(!rest.contains(word), "the page has {word}");
    }
}

/// SHA-256 in hexadecimal, by coreutils.
fn sha256(text: &str) -> String {
    let mut sum =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    sum.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap();
    said.split(' ').next().unwrap_or_default().to_owned()
}

/// A browser runs nothing if the hashes differ. After a change to the page this test prints the new ones.
#[test]
fn the_policy_has_the_hashes_of_the_style_and_the_script_there_are() {
    for element in ["style", "script"] {
        let (begin, end) = (format!("<{element}>"), format!("</{element}>"));
        let parts: Vec<&str> = page::HTML.split(&begin).collect();
        assert_eq!(parts.len(), 2, "one {element}");
        let is = sha256(parts[1].split(&end).next().unwrap());
        let named = page::POLICY.split_once(&format!("{element}-src 'sha256-")).unwrap().1;
        let named = decoded(named.split('\'').next().unwrap());
        let named: String = named.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(named, is, "write it into POLICY, in Base64: echo {is} | xxd -r -p | base64");
    }
}
