//! What `herder metrics` makes of the states that instances report of themselves, as JSON: each line is a comment or a sample.
#![no_main]

use herder_wire::host::Host;
use herder_wire::openmetrics::{Format, render_host};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (accept, json) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    let format = Format::negotiate(&String::from_utf8_lossy(accept));
    let Ok(host) = serde_json::from_slice::<Host>(json) else { return };
    let text = render_host(&host, format);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
        assert!(series.starts_with("herder_"), "{line:?}");
        assert!(value.parse::<f64>().is_ok(), "{line:?}");
    }
});
