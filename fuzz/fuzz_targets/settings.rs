//! `herder.toml` and the command line. The first line is an argument of `--set`, the rest is the file.
#![no_main]

use herder_config::{Machine, Overrides, assess, effective};
use herder_wire::units::parse_span;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    let (set, file) = data.split_once('\n').unwrap_or(("", data));
    let machine = Machine { cpus: 4, web_concurrency: Some("3".into()) };
    let overrides = if set.is_empty() {
        Overrides::default()
    } else {
        Overrides { set: vec![set.into()], listen: vec![set.into()], ..Overrides::default() }
    };
    let (settings, problems) = assess(Some(("herder.toml", file)), &overrides, &machine);
    assert!(!effective(&settings).is_empty());
    let _ = problems.to_string();
    let _ = parse_span(set);
});
