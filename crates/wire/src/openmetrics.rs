//! Metrics: a snapshot as Prometheus and its kin read it.
//!
//! Two formats of the same series: OpenMetrics 1.0, and the older text format of Prometheus, which the
//! textfile collector of its node exporter takes. They differ in little: OpenMetrics names a counter's
//! family without `_total`, knows units and an end. Which series there are is in [`series`]; their
//! names are for ever, and in herder-metrics(1).
//!
//! No text a worker sent becomes part of this: labels are names and addresses that the operator gave,
//! and words of herder's own.

mod series;

use super::host::Host;
use super::status::Status;
pub use series::{Kind, SERIES, Series};
use std::fmt::Write;

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
}

impl Format {
    /// What a client gets that sends this `Accept:` header: OpenMetrics if it is asked for by name and
    /// liked at least as much as plain text, so that a browser, which takes anything, shows plain text.
    /// (RFC 9110, 12.5.1.)
    pub fn negotiate(accept: &str) -> Format {
        let (mut openmetrics, mut plain) = (0, 0);
        for range in accept.split(',') {
            let (kind, parameters) = range.split_once(';').unwrap_or((range, ""));
            let best = match kind.trim().to_ascii_lowercase().as_str() {
                "application/openmetrics-text" => &mut openmetrics,
                "text/plain" => &mut plain,
                _ => continue,
            };
            let quality = parameters.split(';').find_map(thousandths).unwrap_or(1000);
            *best = quality.max(*best);
        }
        if openmetrics > 0 && openmetrics >= plain {
            Format::OpenMetrics
        } else {
            Format::Prometheus
        }
    }

    /// The `Content-Type:` header for it.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// `q=0.75` as 750.
fn thousandths(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value: f64 = value.trim().parse().ok()?;
    // In range, so nothing is cut off but the fourth digit.
    Some((value.clamp(0.0, 1.0) * 1000.0) as u16)
}

/// The metrics of instances that have answered, each with a name of its own.
pub fn render(instances: &[Status], format: Format) -> String {
    metrics(instances, &[], format)
}

/// The metrics of a host: `herder_up` is 0 for the instances that have not answered.
pub fn render_host(host: &Host, format: Format) -> String {
    let silent: Vec<&str> = host.silent.iter().map(|silent| silent.name.as_str()).collect();
    metrics(&host.instances, &silent, format)
}

fn metrics(instances: &[Status], silent: &[&str], format: Format) -> String {
    let mut text = String::new();
    for series in &SERIES {
        let before = text.len();
        head(&mut text, series, format);
        let empty = text.len();
        for instance in instances {
            for sample in (series.samples)(instance) {
                line(&mut text, series.name, &instance.name, &sample.labels, sample.value);
            }
        }
        if series.name == series::UP {
            silent.iter().for_each(|name| line(&mut text, series.name, name, &[], 0.0));
        }
        if text.len() == empty {
            text.truncate(before);
        }
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

// Writing to a string does not fail.

fn head(text: &mut String, series: &Series, format: Format) {
    let (family, kind) = match format {
        Format::OpenMetrics => (series.family(), series.kind.in_openmetrics()),
        Format::Prometheus => (series.name, series.kind.in_prometheus()),
    };
    let _ = writeln!(text, "# HELP {family} {}", series.help);
    let _ = writeln!(text, "# TYPE {family} {kind}");
    if let (Some(unit), Format::OpenMetrics) = (series.unit(), format) {
        let _ = writeln!(text, "# UNIT {family} {unit}");
    }
}

fn line(text: &mut String, series: &str, name: &str, labels: &[series::Label], value: f64) {
    let _ = write!(text, "{series}{{name=\"{}\"", escaped(name));
    for (label, value) in labels {
        let _ = write!(text, ",{label}=\"{}\"", escaped(value));
    }
    let _ = writeln!(text, "}} {value}");
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
#[path = "openmetrics_tests.rs"]
mod tests;
