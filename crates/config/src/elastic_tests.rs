//! Bounds, limits, recycling and probes, read from texts.

use super::*;
use herder_core::{Scaling, Span};

const MACHINE: Machine = Machine { cpus: 3, web_concurrency: None };

fn read(text: &str) -> Result<Settings, Problems> {
    load(Some(("web.toml", text)), &Overrides::default(), &MACHINE)
}

fn problems(text: &str) -> Vec<String> {
    read(text).unwrap_err().0.iter().map(Problem::to_string).collect()
}

#[test]
fn limits_say_what_is_wrong_with_them() {
    let text = r#"
memory-max = 512
memory-high = "512MB"
memory-swap-max = "120%"
cpu-weight = 0
cpu-quota = 1.5
tasks-max = "half"
nice = 20
oom-score-adjust = "low"
[limits]
nofile = "524288:1024"
core = "big"
nofiles = 1
"#;
    let told = problems(text);
    for (told, wrong) in told.iter().zip([
        "2:14: `memory-max` is 512B, in which nothing runs: the least is 1M; write the unit, too, as in `512M`",
        "3:15: `memory-high` is `512MB`, which has an unknown unit `MB`; write the letter alone, as a capital: `512M`",
        "4:19: `memory-swap-max` has to be from 0.01% to 100% of the machine's memory",
        "5:14: `cpu-weight` is 0, and has to be from 1 to 10000",
        "6:13: `cpu-quota` is `1.5`, which is no share of a CPU; write per cent of one CPU, as in `150%`",
        "7:13: `tasks-max` is `half`, which has no number, `half`; write a number of processes and threads, or `infinity`",
        "8:8: `nice` is 20, and has to be from -20 to 19",
        "9:20: `oom-score-adjust` is a string, and has to be a number from -1000 to 1000; for example `oom-score-adjust = 200`",
        "11:10: `limits.nofile` is `524288:1024`, which has a soft limit that is above the hard one; \
         write the lower one first: `\"1024:524288\"`",
        "12:8: `limits.core` is `big`, which has an unknown unit `big`; \
         write a number of bytes, or one with K, M, G or T after it such as `512M`",
        "13:1: unknown key `limits.nofiles`; did you mean `limits.nofile`?",
    ]) {
        assert_eq!(told, &format!("web.toml:{wrong}"));
    }
    assert_eq!(told.len(), 11, "{told:?}");
}

#[test]
fn limits_add_up() {
    for (text, wrong) in [
        ("memory-high = \"2G\"\nmemory-max = \"1G\"", Some("`memory-high` is 2G, and the kernel")),
        ("memory-high = \"20%\"\nmemory-max = \"10%\"", Some("`memory-high` is 20%")),
        ("memory-high = \"1G\"\nmemory-max = \"1G\"", None),
        ("memory-high = \"1G\"\nmemory-max = \"10%\"", None),
        ("memory-high = \"1G\"\nmemory-max = \"infinity\"", None),
        ("max-memory = \"1G\"\nmemory-max = \"2G\"", None),
        ("max-memory = \"1G\"\nmemory-max = \"1G\"", Some("none would be replaced before; lower")),
        (
            "max-age = \"1h\"\nmax-surge = 0\nmax-unavailable = 1\nmax-draining = 0",
            Some("leave no room for it; set one of them to 1"),
        ),
        ("max-age = \"1h\"\nmax-surge = 0\nmax-unavailable = 1", None),
    ] {
        let told = read(text).err().map(|problems| problems.to_string()).unwrap_or_default();
        assert_eq!(wrong.is_some(), !told.is_empty(), "{text}: {told}");
        assert!(told.contains(wrong.unwrap_or_default()), "{told}");
    }
}

#[test]
fn limits_by_other_names_are_led_to_ours() {
    for (theirs, ours) in [
        ("LimitNOFILE", "`limits.nofile`"),
        ("MemoryMax", "write `memory-max`"),
        ("Nice", "write `nice`"),
        ("OOMScoreAdjust", "write `oom-score-adjust`"),
        ("CPUQuota", "write `cpu-quota`"),
        ("CPUWeight", "write `cpu-weight`"),
        ("TasksMax", "write `tasks-max`"),
        ("MemorySwapMax", "write `memory-swap-max`"),
        ("rlimit_files", "`limits.nofile`"),
        ("process.priority", "`nice`"),
        ("LimitNPROC", "`tasks-max`"),
        ("max_memory_restart", "`max-memory`"),
        ("max_requests", "`max-age`"),
        ("pm.max_requests", "`max-age`"),
        ("max-worker-lifetime", "`max-age`"),
        ("reload-on-rss", "`max-memory`"),
    ] {
        let told = problems(&format!("{theirs} = \"1\""));
        assert!(told[0].contains("unknown key") && told[0].contains(ours), "{told:?}");
    }
}

#[test]
fn workers_may_have_bounds() {
    let bounds = |text: &str| {
        let policy = read(text).unwrap().policy;
        (policy.workers, policy.most_workers(), policy.scaling)
    };
    let scaling = |max, idle, exit| {
        Some(Scaling { max, idle_timeout: Span::secs(idle), exit_idle_time: exit })
    };
    let hour = Some(Span::secs(3600));
    for (text, min, max, rules) in [
        ("workers = { min = 0, max = 16 }", 0, 16, scaling(16, 60, None)),
        ("workers = { max = 2 }", 1, 2, scaling(2, 60, None)),
        ("workers = { min = 2 }", 2, 12, scaling(12, 60, None)),
        ("workers = { min = 20, max = \"auto\" }", 20, 20, scaling(20, 60, None)),
        ("workers = { min = \"auto\" }", 3, 12, scaling(12, 60, None)),
        ("[workers]\nmin = 2\nmax = 2", 2, 2, scaling(2, 60, None)),
        (
            "workers.min = 0\nidle-timeout = \"5s\"\nexit-idle-time = \"1h\"",
            0,
            12,
            scaling(12, 5, hour),
        ),
        ("workers = 7", 7, 7, None),
    ] {
        assert_eq!(bounds(text), (min, max, rules), "{text}");
    }
    for (workers, min, scales) in [("0..16", 0, true), ("4", 4, false), ("2..auto", 2, true)] {
        let overrides = Overrides { workers: Some(workers.into()), ..Overrides::default() };
        let file = Some(("web.toml", "workers = { min = 1, max = 3 }\nidle-timeout = 5"));
        let policy = load(file, &overrides, &MACHINE).unwrap().policy;
        assert_eq!((policy.workers, policy.scaling.is_some()), (min, scales), "{workers}");
    }
}

/// As of every table, what the command line does not say is the file's.
#[test]
fn one_bound_can_be_overruled() {
    for (file, option, bounds) in [
        ("workers = { min = 2, max = 3 }", "workers.max=8", (2, 8)),
        ("workers = { min = 2, max = 3 }", "workers.min=0", (0, 3)),
        ("workers = 4", "workers.max=8", (4, 8)),
        ("", "workers.max=8", (1, 8)),
    ] {
        let overrides = Overrides { set: vec![option.to_owned()], ..Overrides::default() };
        let policy = load(Some(("web.toml", file)), &overrides, &MACHINE).unwrap().policy;
        assert_eq!((policy.workers, policy.most_workers()), bounds, "{file}, {option}");
    }
}

#[test]
fn bounds_that_make_no_sense_are_refused() {
    for (text, part) in [
        ("workers = { min = 4, max = 2 }", "exchange them"),
        ("workers = { min = 0, max = 0 }", "no worker would ever serve"),
        ("workers = { min = -1 }", "from 0 to"),
        ("workers = { least = 1 }", "unknown key `workers.least`"),
        ("workers = {}", "neither `min` nor `max`"),
        ("workers = { min = 0 }\nsockets = []", "nothing to see load on"),
        ("workers = { min = 1 }\nexit-idle-time = 5", "never comes"),
        ("workers = 2\nidle-timeout = 5", "fixed number"),
        ("exit-idle-time = 5", "fixed number"),
        ("workers = { min = 0 }\nidle-timeout = 0", "may not be zero"),
    ] {
        let told = problems(text);
        assert!(told.iter().any(|problem| problem.contains(part)), "{text}: {told:?}");
    }
    let overrides = Overrides { workers: Some("1..x".into()), ..Overrides::default() };
    let told = load(None, &overrides, &MACHINE).unwrap_err().to_string();
    assert!(told.contains("--workers") && told.contains("`workers` is a string"), "{told}");
}

#[test]
fn a_probe_asks_one_thing() {
    let probe = |text: &str| read(text).unwrap().policy.probe;
    let short = probe("probe = 'http://localhost/healthz'").unwrap();
    assert_eq!((short.of_worker, short.failures, short.interval), (false, 3, Span::secs(10)));
    let long = "probe = { http = 'http://127.0.0.1:90{slot}', interval = 5, failures = 1 }";
    let long = probe(long).unwrap();
    assert_eq!((long.of_worker, long.failures, long.interval), (true, 1, Span::secs(5)));
    assert!(probe("probe.exec = ['/bin/true']").unwrap().of_worker);
    assert_eq!(probe("workers = 1"), None);
    for (text, message) in [
        ("probe = { http = 'http://::1', exec = ['x'] }", "are both set"),
        ("probe = 5", "has to be a table"),
    ] {
        let told = problems(text);
        assert!(told[0].contains(message), "{told:?}");
    }
}
