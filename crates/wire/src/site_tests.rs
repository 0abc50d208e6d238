#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use super::*;
use crate::host::Silent;
use crate::status::example::example;

fn request(path: &str) -> Request {
    Request {
        head_only: false,
        path: path.to_owned(),
        host: Some("localhost".to_owned()),
        accept: String::new(),
        keep_alive: true,
    }
}

fn names() -> Vec<String> {
    vec!["web1.example.com".to_owned(), "web1".to_owned()]
}

fn ask(path: &str) -> Response {
    answer(&request(path), Origin::Tcp(&names), host)
}

fn host() -> Host {
    let silent = Silent { name: "old".to_owned(), reason: "it has not answered".to_owned() };
    Host { instances: vec![example(3)], silent: vec![silent] }
}

#[test]
fn there_are_metrics_a_page_and_json() {
    let metrics = ask("/metrics");
    assert_eq!(metrics.status, 200);
    assert_eq!(metrics.content_type, Format::Prometheus.content_type());
    assert_eq!(metrics.body, openmetrics::render_host(&host(), Format::Prometheus));
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5".to_owned();
    let scraper = Request { accept, ..request("/metrics") };
    let metrics = answer(&scraper, Origin::Tcp(&names), host);
    assert_eq!(metrics.content_type, Format::OpenMetrics.content_type());
    let page = ask("/");
    assert_eq!((page.status, page.content_type), (200, "text/html; charset=utf-8"));
    assert_eq!(page.body, page::HTML);
    let json = ask("/status.json");
    assert_eq!((json.status, json.content_type), (200, "application/json"));
    let value: serde_json::Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!(value, serde_json::to_value(host()).unwrap());
    for path in ["/favicon.ico", "/metrics/", "//", "/../etc/passwd"] {
        assert_eq!(ask(path).status, 404, "{path}");
    }
}

#[test]
fn the_page_may_load_nothing_from_elsewhere() {
    let bytes = ask("/").to_bytes(true, false);
    let head = String::from_utf8(bytes).unwrap();
    assert_eq!(head.matches("Content-Security-Policy:").count(), 1, "{head}");
    assert!(head.contains("default-src 'none'") && head.contains("connect-src 'self'"), "{head}");
}

#[test]
fn a_snapshot_is_taken_only_if_it_is_needed() {
    for path in ["/", "/nothing"] {
        answer(&request(path), Origin::Unix, || panic!("not for {path}"));
    }
    let stranger = Request { host: Some("evil.example".to_owned()), ..request("/metrics") };
    answer(&stranger, Origin::Tcp(&names), || panic!("not for strangers"));
}

#[test]
fn only_names_of_this_machine_are_answered_over_tcp() {
    let status = |host: &str, origin: Origin<'_>| {
        let request = Request { host: Some(host.to_owned()), ..request("/status.json") };
        answer(&request, origin, Host::default).status
    };
    for host in [
        "localhost",
        "LOCALHOST:9180",
        "web.localhost",
        "localhost.",
        "127.0.0.1:9180",
        "192.0.2.7",
        "[::1]",
        "[::1]:9180",
        "[fe80::1%25eth0]:80",
        "web1",
        "Web1.Example.com:9180",
    ] {
        assert_eq!(status(host, Origin::Tcp(&names)), 200, "{host}");
    }
    for host in [
        "",
        ":9180",
        "evil.example",
        "web1.evil.example",
        "notlocalhost",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.1",
        "127.0.0.1:evil",
        "[::1].evil.example",
        "[localhost]",
        "::1",
        "user@localhost",
    ] {
        assert_eq!(status(host, Origin::Tcp(&names)), 421, "{host}");
        assert_eq!(status(host, Origin::Unix), 200, "{host}");
    }
    let old = Request { host: None, ..request("/") };
    assert_eq!(answer(&old, Origin::Tcp(&names), Host::default).status, 200);
}
