//! Settings read from texts, as a user meets them.

use super::*;
use herder_core::{Amount, ExitSet, Policy, Ready, Span};

const MACHINE: Machine = Machine { cpus: 3, web_concurrency: None };

fn read(text: &str) -> Result<Settings, Problems> {
    load(Some(("web.toml", text)), &Overrides::default(), &MACHINE)
}

fn problems(text: &str) -> Vec<String> {
    read(text).unwrap_err().0.iter().map(Problem::to_string).collect()
}

/// A preset has to be of the server that `command` runs; what is about scaling is about bounds.
fn assignment(key: &Key, value: &str) -> String {
    let before = match key.name {
        "preset" => "command = [\"uvicorn\"]\n",
        "idle-timeout" | "exit-idle-time" => "workers = { min = 0, max = 4 }\n",
        _ => "",
    };
    format!("{before}{} = {value}", key.name)
}

#[test]
fn nothing_at_all_gives_the_documented_defaults() {
    let settings = load(None, &Overrides::default(), &MACHINE).unwrap();
    let expected =
        Settings { policy: Policy { workers: 3, ..Policy::default() }, ..Settings::default() };
    assert_eq!(settings, expected);
}

#[test]
fn defaults_in_the_table_are_the_defaults() {
    let settings = load(None, &Overrides::default(), &MACHINE).unwrap();
    for key in KEYS.iter().filter(|key| {
        key.default.starts_with(['"', '[', '{']) || key.default.parse::<u32>().is_ok()
    }) {
        let default = key.default.split(" with ").next().unwrap();
        let again = read(&assignment(key, default)).unwrap();
        let again = Settings { origins: Default::default(), ..again };
        let min_ready_time = again.policy.min_ready_time.filter(|_| key.name != "min-ready-time");
        let again = Settings { policy: Policy { min_ready_time, ..again.policy.clone() }, ..again };
        assert_eq!(again, settings, "{} = {}", key.name, key.default);
    }
}

#[test]
fn every_key_takes_its_example_and_refuses_another_type() {
    for key in KEYS {
        read(&assignment(key, key.example)).unwrap_or_else(|wrong| panic!("{}: {wrong}", key.name));
        let values = ["true", "[[1]]", "2026-11-23"];
        for value in values.into_iter().filter(|value| *value != key.example) {
            let told = problems(&assignment(key, value));
            assert!(
                told.iter().any(|text| text.contains(key.name) && text.contains("has to be")),
                "{} = {value}: {told:?}",
                key.name
            );
        }
    }
}

#[test]
fn every_key_is_described_and_only_sockets_need_a_restart() {
    for key in KEYS {
        assert!(
            !key.kind.is_empty() && !key.default.is_empty() && key.help.ends_with('.'),
            "{}",
            key.name
        );
        let restart = key.applies == Applies::AtRestart;
        assert_eq!(restart, ["listen", "queues"].contains(&key.name), "{}", key.name);
        assert!(std::ptr::eq(super::key(key.name).unwrap(), key));
    }
}

#[test]
fn what_is_shown_reads_back() {
    let mut text: Vec<_> = KEYS.iter().map(|key| assignment(key, key.example)).collect();
    text.push("environment.BRACES = \"{{ {slot} }}\\n\\u007f\\\\'\"".to_owned());
    text.retain(|line| !line.starts_with("ready-after") && !line.starts_with("environment = "));
    // Not beside probe.http; and bounds beside what is for them, below.
    text.retain(|line| !line.contains("preset = ") && !line.starts_with("probe.exec"));
    text.retain(|line| !line.starts_with("workers = {"));
    let bounds =
        "workers = { min = 0, max = 5 }\nidle-timeout = 5\nexit-idle-time = \"2h\"".to_owned();
    let exact = "stop-timeout = \"1d 1h 1min 1s 1ms 1us\"".to_owned();
    let probe = "probe.exec = [\"/bin/true\"]".to_owned();
    for text in [text.join("\n"), String::new(), exact, probe, bounds] {
        let settings = read(&text).unwrap();
        let shown: Vec<_> = effective(&settings)
            .into_iter()
            .filter_map(|line| line.value.map(|value| format!("{} = {value}", line.key)))
            .collect();
        let again = read(&shown.join("\n")).unwrap();
        let origins = settings.origins.clone();
        assert_eq!(Settings { origins, ..again }, settings, "{shown:#?}");
    }
}

#[test]
fn all_problems_are_told_at_once_each_with_its_place() {
    let text = r#"
command = "/srv/app/run --fast"
worker = 4
  max-surge = "many"
stop-timeout = "5 parsecs"
start-timeout = "infinity"
ready = "listening"
stop-signal = "SIGNOTHING"

[environment]
A = "{slt}"
workers = 4
LISTEN_FDS = "1"
"#;
    assert_eq!(
        problems(text),
        [
            "web.toml:2:11: `command` is a string, and herder runs no shell to take it apart; \
             write a list: `command = [\"/srv/app/run\", \"--fast\"]`",
            "web.toml:3:1: unknown key `worker`; did you mean `workers`?",
            "web.toml:4:15: `max-surge` is a string, and has to be a number, or a share such as \"25%\"; \
             for example `max-surge = \"100%\"`",
            "web.toml:5:16: `stop-timeout` is `5 parsecs`, which has an unknown unit `parsecs`; \
             write a time span such as `1min 30s`, `500ms` or a number of seconds",
            "web.toml:6:17: `start-timeout` may not be infinite: something is waiting for its end",
            "web.toml:7:9: `ready` is \"listening\", and has to be \"auto\" or \"notify\" or \"accepting\" or \"exec\" or \"alive\"",
            "web.toml:8:15: `stop-signal` is `SIGNOTHING`, which names no signal (signal(7))",
            "web.toml:11:5: `environment.A`: unknown placeholder `{slt}` at character 1 of the text; did you mean `{slot}`?",
            "web.toml:12:1: `workers` stands in `environment`, where it would only be a variable; move it above the first [table]",
            "web.toml:13:1: `LISTEN_FDS` is set by herder, for each worker; remove it",
        ]
    );
}

#[test]
fn syntax_errors_do_not_hide_the_rest() {
    let told = problems("workers = \nbind = 80\nready = [\"x\" \"y\"]\nenv = { A = \"1\" }\n");
    assert!(told[0].starts_with("web.toml:1:"), "{told:?}");
    assert!(told[0].contains("not TOML"), "{told:?}");
    assert!(
        told.iter().any(|text| text.starts_with("web.toml:2:1: unknown key `bind`")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|text| text.starts_with("web.toml:3:") && text.contains("not TOML")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|text| text.starts_with("web.toml:4:1: unknown table `env`")),
        "{told:?}"
    );
}

#[test]
fn a_key_written_twice_is_an_error() {
    assert!(problems("workers = 1\nworkers = 2\n")[0].contains("duplicate key"));
}

#[test]
fn columns_count_characters() {
    assert!(
        problems("# ü\nenvironment = { Ä = \"ü\", 'B-' = \"1\" }")[0].starts_with("web.toml:2:")
    );
    assert!(
        problems("environment = { A = \"üü\", 'B-' = \"1\" }")[0].starts_with("web.toml:1:27:")
    );
}

#[test]
fn other_launchers_words_are_translated() {
    for (text, advice) in [
        ("bind = \"80\"", "`listen`"),
        ("timeout = 3", "`start-timeout` (from start to ready), `stop-timeout`"),
        ("instances = 3", "`workers`"),
        ("pm.max_children = 3", "`workers`"),
        ("[pm]\nmax_children = 3", "`workers`"),
        ("ExecStart = \"x\"", "`command`"),
        ("stop_timeout = 3", "write `stop-timeout`"),
        ("MaxSurge = 3", "write `max-surge`"),
        ("crash-limit = { brust = 3 }", "`crash-limit.burst`"),
        ("crash-limit = { exec = 3 }", "`command`"),
        ("[herder]\nworkers = 3", "`workers` belongs at the top level"),
        ("user = \"www\"", "systemctl edit"),
    ] {
        let told = problems(text);
        assert!(
            told.len() == 1 && told[0].contains("unknown") && told[0].contains(advice),
            "{text}: {told:?}"
        );
    }
}

#[test]
fn keys_of_other_versions_are_unknown_like_any_other() {
    for key in ["gpu", "scheduler"] {
        let told = problems(&format!("{key} = 1"));
        assert!(told[0].starts_with(&format!("web.toml:1:1: unknown key `{key}`")), "{told:?}");
    }
}

#[test]
fn sensible_spellings_are_read() {
    let settings = read(
        r#"
workers = "4"
listen = 8000
stop-signal = 3
stop-timeout = 1.5
max-surge = "50%"
max-draining = 0
success-exit-status = "TEMPFAIL 250 SIGKILL"
command = ["sleep", 5]
environment = { PORT = 80, DEBUG = true }
"#,
    )
    .unwrap();
    assert_eq!(settings.policy.workers, 4);
    assert_eq!(settings.listen[0].to_string(), "listen-0=[::]:8000");
    assert_eq!(settings.stop_signal, 3);
    assert_eq!(settings.policy.stop_timeout, Span::millis(1500));
    assert_eq!(settings.policy.max_surge, Amount::Percent(50));
    assert_eq!(settings.policy.max_draining, Some(0));
    assert_eq!(settings.policy.success, ExitSet { codes: [75, 250].into(), signals: [9].into() });
    assert_eq!(settings.command[1].to_string(), "5");
    assert_eq!(settings.environment["DEBUG"].to_string(), "true");
}

#[test]
fn the_command_line_wins_and_tables_merge() {
    let file = "workers = 2\nready = \"alive\"\n[environment]\nA = \"file\"\nB = \"file\"\n";
    let overrides = Overrides {
        listen: vec!["web=127.0.0.1:80".into(), "/run/a=b".into()],
        workers: Some("5".into()),
        set: [
            "environment.B=line",
            "stop-timeout=2min",
            "crash-limit.burst=3",
            "environment.C=",
            "sockets=[\"web\"]",
        ]
        .map(str::to_owned)
        .to_vec(),
        command: vec!["/bin/true".into(), "--x={slot}".into()],
    };
    let settings = load(Some(("web.toml", file)), &overrides, &MACHINE).unwrap();
    assert_eq!(settings.policy.workers, 5);
    assert_eq!(settings.policy.ready, Ready::Alive);
    assert_eq!(settings.policy.crash_burst, 3);
    assert_eq!(settings.policy.stop_timeout, Span::secs(120));
    let environment: Vec<_> =
        settings.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(environment, ["A=file", "B=line", "C="]);
    let listen: Vec<_> = settings.listen.iter().map(Listen::to_string).collect();
    assert_eq!(listen, ["web=127.0.0.1:80", "listen-1=/run/a=b"]);
    let origin = |key: &str| settings.origins.get(key).map(Place::to_string).unwrap_or_default();
    assert_eq!(origin("workers"), "command line, --workers");
    assert_eq!(origin("ready"), "web.toml:2:1");
    assert_eq!(origin("environment.A"), "web.toml:4:1");
    assert_eq!(origin("environment.B"), "command line, --set environment.B");
    assert_eq!(origin("stop-delay"), "");
}

#[test]
fn options_that_set_nothing_are_refused() {
    for (option, part) in [
        ("workers", "has no value"),
        ("=3", "no setting is named"),
        ("a b=3", "no setting is named"),
        ("wokers=3", "did you mean `workers`?"),
        ("sockets=[\"a\"", "not TOML"),
        ("workers=1\nready=\"x\"", "`workers` is a string"),
        ("directory=", "absolute path"),
    ] {
        let overrides = Overrides { set: vec![option.into()], ..Overrides::default() };
        let told = load(None, &overrides, &MACHINE).unwrap_err().to_string();
        assert!(told.starts_with("command line, ") && told.contains(part), "{option:?}: {told}");
    }
}

#[test]
fn paths_may_be_relative_only_on_the_command_line() {
    assert!(problems("directory = \"app\"")[0].contains("absolute"));
    assert!(problems("environment-file = \"-app.env\"")[0].contains("absolute"));
    let overrides = Overrides { set: vec!["directory=app".into()], ..Overrides::default() };
    assert!(load(None, &overrides, &MACHINE).is_ok());
}

#[test]
fn automatic_workers() {
    let workers = |file: &str, given: Option<&str>| {
        let machine = Machine { cpus: 0, web_concurrency: given.map(str::to_owned) };
        load(Some(("web.toml", file)), &Overrides::default(), &machine)
            .map(|settings| settings.policy.workers)
            .map_err(|wrong| wrong.to_string())
    };
    assert_eq!(workers("", None), Ok(1));
    assert_eq!(workers("", Some("6")), Ok(6));
    assert_eq!(workers("", Some("")), Ok(1));
    assert_eq!(workers("workers = \"auto\"", Some("6")), Ok(6));
    assert_eq!(workers("workers = 2", Some("nonsense")), Ok(2));
    for wrong in ["nonsense", "0", "-1", "99999"] {
        let told = workers("", Some(wrong)).unwrap_err();
        assert!(told.starts_with("environment variable WEB_CONCURRENCY: "), "{told}");
    }
}

#[test]
fn the_crash_limit_follows_the_start_timeout() {
    assert_eq!(read("start-timeout = 10").unwrap().policy.crash_after, Span::secs(40));
    assert_eq!(read("crash-limit.after = 5").unwrap().policy.crash_after, Span::secs(5));
}

#[test]
fn contradictions_are_found() {
    for (text, part) in [
        ("max-surge = 0", "both 0"),
        ("workers = 4\nmax-surge = 0\nmax-unavailable = \"20%\"", "less than one of 4"),
        ("max-surge = \"0%\"", "both 0"),
        ("stdin = \"socket\"\nsockets = []", "says that there is none"),
        ("listen = \"80\"\nsockets = []", "opens some"),
        ("listen = [\"a=80\", \"a=81\"]", "two sockets are called `a`"),
        ("listen = [\"a=80\", \"b=80\"]", "[::]:80 twice"),
        ("sockets = [\"a\", \"a\"]", "named twice"),
        ("sockets = [\"herder-control\"]", "herder's own"),
        ("sockets = [\"a:b\"]", "LISTEN_FDNAMES"),
        ("listen = [\"herder-x=80\"]", "herder's own"),
        ("ready = \"exec\"\nready-after = 5", "means nothing"),
        ("ready-after = \"2min\"", "raise `start-timeout`"),
        ("ready = \"alive\"\nready-after = 5\nstart-timeout = 4", "none would ever be ready"),
        ("ready = \"accepting\"\nready-after = 5", "means nothing"),
        ("ready = \"accepting\"\nsockets = []", "nothing to accept on"),
        ("blocking = \"maybe\"", "has to be true or false"),
        ("blocking = 1", "has to be true or false"),
        ("command = []", "is empty"),
        ("command = [\"\"]", "empty string"),
        ("command = [\"a\\u0000\"]", "NUL"),
        ("reopen-signal = \"SIGKILL\"", "end the worker"),
        ("stop-signal = \"STOP\"", "in its tracks"),
        ("max-unavailable = \"101%\"", "0% to 100%"),
        ("max-starting = 0", "from 1 to"),
        ("workers = -1", "is -1, and has to be from 0"),
        ("workers = 99999999999999999999999", "has to be from 0"),
        ("start-timeout = 0", "may not be zero"),
        ("min-lifetime = \"0s\"", "may not be zero"),
        ("success-exit-status = [\"TEMPFAIL\", 256]", "`256` is neither"),
    ] {
        let told = problems(text);
        assert!(told.len() == 1 && told[0].contains(part), "{text}: {told:?}");
        assert!(told[0].starts_with("web.toml:"), "{text}: {told:?}");
    }
    for text in [
        "workers = 5\nmax-surge = 0\nmax-unavailable = \"20%\"",
        "listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]",
    ] {
        assert!(read(text).is_ok(), "{text}");
    }
}

/// Whatever a file holds, reading it ends with settings or with problems.
#[test]
fn no_text_makes_it_panic() {
    let mut pieces: Vec<String> = [
        "=",
        "\n",
        " ",
        "[",
        "]",
        "{",
        "}",
        ".",
        ",",
        "\"",
        "'",
        "\"\"\"",
        "#",
        "\\",
        "\0",
        "\u{fffd}",
        "é",
        "-",
        "1e9",
        "99999999999999999999",
        "-1",
        "%",
        "infinity",
        "\r",
        "[[",
        "]]",
        "{slot",
        "{{",
        "auto",
        "true",
        "nan",
    ]
    .map(str::to_owned)
    .to_vec();
    pieces.extend(KEYS.iter().flat_map(|key| {
        [key.name.to_owned(), key.example.to_owned(), assignment(key, key.example)]
    }));
    // xorshift64: the same texts in every run.
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for _ in 0..5_000 {
        let text: String = (0..random(12)).map(|_| pieces[random(pieces.len())].as_str()).collect();
        let overrides = Overrides {
            set: vec![text.clone()],
            listen: vec![text.clone()],
            ..Overrides::default()
        };
        if let Err(told) = load(Some(("f", &text)), &overrides, &MACHINE) {
            assert!(
                told.0.iter().all(|problem| !problem.to_string().contains('\n')),
                "{text:?}: {told}"
            );
        }
    }
}

#[test]
fn a_syslog_identifier_is_one_line() {
    for wrong in ["\"\"", "\"a\\nb\"", "\"\\u0000\"", "[\"a\"]"] {
        let problems = problems(&format!("syslog-identifier = {wrong}"));
        assert!(problems[0].contains("`syslog-identifier`"), "{problems:?}");
    }
    assert!(problems("syslog-identifier = \"{slt}\"")[0].contains("did you mean `{slot}`?"));
}
