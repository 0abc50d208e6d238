//! The types, what they are serialised to, and the description say the same.

#[path = "idl_tests.rs"]
mod idl;

use super::*;
use crate::status::example::example;
use crate::status::{
    ChangeKind, Event, Evidence, ExitCause, InstanceDescription, LastExit, PastReload, Phase,
    Progress, Setting, SocketChange, State, Status, Verdict, WorkerState,
};
use crate::varlink::Outcome;
use idl::{Fields, Type, definitions, record};
use std::collections::{BTreeMap, BTreeSet};

/// One of every value there can be, between them.
fn examples() -> Vec<Status> {
    let mut examples = Vec::new();
    let full = example(12);
    for state in
        [State::Starting, State::Serving, State::Degraded, State::Reloading, State::Stopping]
    {
        examples.push(Status { state, ..full.clone() });
    }
    for verdict in
        [Verdict::Done, Verdict::Failed, Verdict::Refused, Verdict::Superseded, Verdict::Stopped]
    {
        let past = full.reloads[0].clone();
        examples.push(Status { reloads: vec![PastReload { verdict, ..past }], ..full.clone() });
    }
    for phase in [Phase::Checking, Phase::Canary, Phase::Rolling, Phase::RollingBack] {
        let (generation, replaced, wanted, started_at_usec) = (3, 1, 4, 1);
        let reload = Progress { generation, phase, replaced, wanted, started_at_usec };
        examples.push(Status { reload: Some(reload), ..full.clone() });
    }
    use ChangeKind::{Backlog, Blocking, Nonblocking, Replaced, Unlinked};
    let mut changed = full.clone();
    let kinds = [Nonblocking, Blocking, Backlog, Unlinked, Replaced];
    let change = |kind| SocketChange { kind, harmful: true, text: "it has".to_owned() };
    changed.sockets[0].changes = kinds.map(change).into();
    examples.push(changed);
    let mut workers = full.clone();
    use Evidence::{Accepting, Assumed, Executed, Notified};
    use ExitCause::{Dumped, Exited, Hung, Killed, NotStarted, OutOfMemory, TimedOut};
    use WorkerState::{Draining, Ended, Ready, Retiring, Starting};
    let states = [Starting, Ready, Retiring, Draining, Ended].into_iter().cycle();
    let evidences = [Notified, Accepting, Executed, Assumed].into_iter().cycle();
    let causes =
        [Exited, Killed, Dumped, OutOfMemory, TimedOut, Hung, NotStarted].into_iter().cycle();
    let last = full.workers[0].last_exit.clone().unwrap();
    for (((worker, state), evidence), cause) in
        workers.workers.iter_mut().zip(states).zip(evidences).zip(causes)
    {
        worker.state = state;
        worker.evidence = Some(evidence);
        worker.last_exit = Some(LastExit { cause, ..last.clone() });
    }
    examples.push(workers);
    examples
}

const LEVELS: [LogLevel; 5] =
    [LogLevel::Error, LogLevel::Warning, LogLevel::Notice, LogLevel::Info, LogLevel::Debug];

/// Every method, with its parameters and without those that may be left out.
fn calls() -> Vec<Method> {
    let mut calls = vec![
        Method::Describe,
        Method::Status,
        Method::Watch { interval: None },
        Method::Watch { interval: Some(SHORTEST_INTERVAL) },
        Method::Events,
        Method::Reload { previous: false },
        Method::Reload { previous: true },
        Method::AbortReload,
        Method::Scale { workers: 0 },
        Method::Scale { workers: MOST_WORKERS },
        Method::Recycle { slot: None },
        Method::Recycle { slot: Some(3) },
        Method::StopWorker { worker: 1 << 40 },
        Method::Set { settings: vec!["stop-timeout=2min".to_owned()] },
    ];
    calls.extend(LEVELS.map(|level| Method::SetLogLevel { level }));
    calls
}

fn description(log_level: LogLevel, full: bool) -> InstanceDescription {
    let text = |text: &str| full.then(|| text.to_owned());
    let setting =
        Setting { key: "workers".to_owned(), value: "4".to_owned(), origin: "default".to_owned() };
    InstanceDescription {
        name: "web".to_owned(),
        pid: 1,
        version: "1".to_owned(),
        started_at_usec: 1,
        file: text("/etc/herder/web.toml"),
        uid: 0,
        runtime_directory: "/run/herder/web".to_owned(),
        cgroup: text("system.slice/herder@web.service"),
        controllers: text("memory").into_iter().collect(),
        log_level,
        settings: vec![setting],
    }
}

/// The outcome of a reply made here.
fn read(message: &[u8]) -> Outcome {
    assert_eq!(message.last(), Some(&0));
    Outcome::parse(&message[..message.len() - 1]).unwrap()
}

fn replied(reply: Reply<'_>) -> Map<String, Value> {
    assert!(Outcome::continues(reply.one_of_several().strip_suffix(b"\0").unwrap()));
    assert!(!Outcome::continues(reply.last().strip_suffix(b"\0").unwrap()));
    assert_eq!(read(&reply.last()), read(&reply.one_of_several()));
    let Outcome::Reply(parameters) = read(&reply.last()) else { panic!("an error") };
    parameters
}

#[test]
fn what_is_sent_is_what_is_described() {
    let types = definitions(DESCRIPTION);
    let mut seen = BTreeSet::new();
    let mut check = |method: &str, reply: Reply<'_>| {
        let parameters = replied(reply);
        record(&types, &types[&format!("{method}.out")], &parameters, method, &mut seen);
        parameters
    };
    for example in examples() {
        let parameters = check("Status", Reply::Status { status: &example });
        let back: Status = serde_json::from_value(parameters["status"].clone()).unwrap();
        assert_eq!(back, example);
        check("Watch", Reply::Status { status: &example });
    }
    for (level, full) in LEVELS.into_iter().zip([true, false].into_iter().cycle()) {
        let description = description(level, full);
        let parameters = check("Describe", Reply::Description { description: &description });
        let back: InstanceDescription =
            serde_json::from_value(parameters["description"].clone()).unwrap();
        assert_eq!(back, description);
    }
    let event = Event {
        at_usec: 1,
        kind: "scaled".to_owned(),
        priority: 5,
        message: "scaling 1 → 2 workers".to_owned(),
        message_id: "4b2d71e8130848a187daca3b22508d7c".to_owned(),
        fields: BTreeMap::from([("HERDER_WANTED".to_owned(), "2".to_owned())]),
    };
    let parameters = check("Events", Reply::Event { event: &event });
    assert_eq!(serde_json::from_value::<Event>(parameters["event"].clone()).unwrap(), event);

    let message = "done";
    let reloaded = Reply::Reloaded { generation: 8, message, replaced: 4, wanted: 5 };
    let answers = [
        ("Reload", reloaded, Some(8), Some(4), Some(5)),
        ("Scale", Reply::Scaled { message, ready: 4, wanted: 5 }, None, Some(4), Some(5)),
        ("Recycle", Reply::Recycled { message, replaced: 4, wanted: 5 }, None, Some(4), Some(5)),
        ("AbortReload", Reply::Done { message }, None, None, None),
        ("StopWorker", Reply::Done { message }, None, None, None),
        ("Set", Reply::Done { message }, None, None, None),
    ];
    for (method, reply, generation, reached, wanted) in answers {
        let answer = Answer::read(check(method, reply)).unwrap();
        assert_eq!(answer, Answer { message: message.to_owned(), generation, reached, wanted });
    }
    check("SetLogLevel", Reply::Nothing {});
    assert_eq!(Answer::read(Map::new()), None);

    for method in calls() {
        let short = method.name().strip_prefix("io.herder.Control.").unwrap();
        asked(&types, short, &method.request(false), &mut seen);
    }
    every_word_is_seen(&types, &seen);
}

/// Fails unless the call has the parameters that are described, but for those that may be null.
fn asked(
    types: &BTreeMap<String, Fields>,
    method: &str,
    request: &Request,
    seen: &mut BTreeSet<(String, String)>,
) {
    let mut parameters = request.parameters.clone().unwrap_or_default();
    let fields = &types[&format!("{method}.in")];
    for (name, kind) in fields {
        if matches!(kind, Type::Nullable(_)) {
            parameters.entry(name).or_insert(Value::Null);
        }
        if !parameters[name].is_null() {
            seen.insert((format!("{method}.in"), name.clone()));
        }
    }
    record(types, fields, &parameters, &format!("{method}.in"), seen);
}

fn every_word_is_seen(types: &BTreeMap<String, Fields>, seen: &BTreeSet<(String, String)>) {
    for (name, fields) in types {
        for (field, kind) in fields {
            if name.ends_with(".in") {
                let pair = (name.clone(), field.clone());
                assert!(seen.contains(&pair), "{pair:?} is described, but never asked");
            }
            let kind = if let Type::Nullable(inner) = kind { inner } else { kind };
            let Type::Enum(words) = kind else { continue };
            for word in words {
                let pair = (format!("{name}.{field}"), word.clone());
                assert!(seen.contains(&pair), "{pair:?} is described, but never sent");
            }
        }
    }
}

#[test]
fn every_method_that_is_described_is_understood_and_no_other() {
    let described = |description: &str, interface: &str| -> BTreeSet<String> {
        let names = definitions(description).into_keys();
        names
            .filter_map(|name| Some(format!("{interface}.{}", name.strip_suffix(".in")?)))
            .collect()
    };
    let mut all = described(DESCRIPTION, INTERFACE);
    all.extend(described(GENERIC_DESCRIPTION, GENERIC));
    let mut known: BTreeSet<String> = METHODS.iter().map(|row| row.0.to_owned()).collect();
    known.insert("io.systemd.service.Ping".to_owned());
    assert_eq!(all, known);
    let called: BTreeSet<String> = calls().iter().map(|method| method.name().to_owned()).collect();
    assert_eq!(called, described(DESCRIPTION, INTERFACE));
    for (name, parameters, _) in METHODS {
        let (interface, member) = name.rsplit_once('.').unwrap();
        let text = if interface == INTERFACE { DESCRIPTION } else { GENERIC_DESCRIPTION };
        let fields = &definitions(text)[&format!("{member}.in")];
        assert_eq!(fields.keys().collect::<Vec<_>>(), parameters.iter().collect::<Vec<_>>());
    }
}

#[test]
fn errors_are_as_described() {
    let types = definitions(DESCRIPTION);
    let mut seen = BTreeSet::new();
    let mut errors: BTreeSet<String> = BTreeSet::new();
    let reason = "why".to_owned();
    for failure in [
        Failure::ReloadFailed { generation: Some(8), reason: reason.clone(), pid: Some(7) },
        Failure::ReloadFailed { generation: None, reason: reason.clone(), pid: None },
        Failure::ReloadRefused { reason: reason.clone() },
        Failure::Failed { reason: reason.clone(), pid: Some(7) },
        Failure::NotFound { reason: reason.clone() },
        Failure::Stopped,
        Failure::NotPermitted { reason },
    ] {
        let Outcome::Error { name, parameters } = read(&failed(&failure)) else {
            panic!("a reply")
        };
        let short = name.strip_prefix("io.herder.Control.").unwrap();
        record(&types, &types[short], &parameters, short, &mut seen);
        assert_eq!(Failure::read(&name, &parameters), Some(failure));
        errors.insert(short.to_owned());
    }
    assert_eq!(Failure::read("org.varlink.service.MethodNotFound", &Map::new()), None);
    let described = DESCRIPTION.lines().filter_map(|line| line.strip_prefix("error "));
    let described = described.filter_map(|rest| Some(rest.split_once('(')?.0.to_owned()));
    assert_eq!(errors, described.collect());
}

#[test]
fn people_read_the_words_of_the_wire() {
    for example in examples() {
        let shown = serde_json::to_value(example.state).unwrap();
        assert_eq!(shown, example.state.to_string());
        if let Some(last) = example.reloads.first() {
            assert_eq!(serde_json::to_value(last.verdict).unwrap(), last.verdict.to_string());
        }
        for worker in example.workers {
            assert_eq!(serde_json::to_value(worker.state).unwrap(), worker.state.to_string());
            if let Some(evidence) = worker.evidence {
                assert_eq!(serde_json::to_value(evidence).unwrap(), evidence.to_string());
            }
        }
    }
}

#[test]
fn what_a_client_calls_is_what_the_daemon_hears() {
    for method in calls() {
        for more in [true, method == Method::Events] {
            let message = method.request(more).to_message();
            let method = method.clone();
            let call = Call { method, oneway: false, more, generic: false };
            assert_eq!(receive(message.strip_suffix(b"\0").unwrap()), Received::Call(call));
        }
    }
}

#[test]
fn the_generic_interface_is_other_names_for_the_same() {
    let call = |text: &str| receive(text.as_bytes());
    let is = |text: &str, method| {
        let heard = Call { method, oneway: false, more: false, generic: true };
        assert_eq!(call(text), Received::Call(heard), "{text}");
    };
    // Progress is more than it has words for.
    is(r#"{"method":"io.systemd.service.Reload","more":true}"#, Method::Reload { previous: false });
    is(r#"{"method":"io.systemd.service.GetLogLevel"}"#, Method::GetLogLevel);
    for (level, number) in [(LogLevel::Error, 0)].into_iter().chain(LEVELS.into_iter().zip(3..)) {
        let text = format!(
            r#"{{"method":"io.systemd.service.SetLogLevel","parameters":{{"level":{number}}}}}"#
        );
        is(&text, Method::SetLogLevel { level });
        assert_eq!(Reply::syslog(level), number.max(3));
    }
    assert_eq!(replied(Reply::LogLevel { level: 6 })["level"], 6);
    let Received::Reply(reply) = call(r#"{"method":"io.systemd.service.Ping","parameters":{}}"#)
    else {
        panic!("no reply")
    };
    assert_eq!(reply, b"{\"parameters\":{}}\0");
}

#[test]
fn what_is_no_call_is_told_why() {
    let call = |text: &str| receive(text.as_bytes());
    for garbage in ["", "GET / HTTP/1.1", "{\"method\":", "[1]"] {
        assert_eq!(call(garbage), Received::Garbage, "{garbage}");
    }
    let nested = "[".repeat(60_000);
    assert_eq!(call(&nested), Received::Garbage);
    assert_eq!(call(r#"{"method":"x","oneway":true}"#), Received::Reply(Vec::new()));
    let oneway = Call { method: Method::Status, oneway: true, more: false, generic: false };
    assert_eq!(
        call(r#"{"method":"io.herder.Control.Status","parameters":null,"oneway":true}"#),
        Received::Call(oneway)
    );
    for (text, error, what) in [
        ("io.herder.Control.Nope", "MethodNotFound", "io.herder.Control.Nope"),
        (
            "io.systemd.service.GetEnvironment",
            "MethodNotFound",
            "io.systemd.service.GetEnvironment",
        ),
        ("io.herder.Nope.Reload", "InterfaceNotFound", "io.herder.Nope"),
        ("Reload", "InterfaceNotFound", ""),
        ("io.herder.Control.Reload\",\"upgrade\":true,\"x\":\"", "InvalidParameter", "upgrade"),
    ] {
        wrong(&format!(r#"{{"method":"{text}"}}"#), error, what);
    }
    wrong(r#"{"method":"io.herder.Control.Events"}"#, "ExpectedMore", "");
    for (method, parameters, wrong_one) in [
        ("Reload", r#"{"a":1}"#, "a"),
        ("Reload", r#"{"previous":1}"#, "previous"),
        ("Describe", r#"{"workers":1}"#, "workers"),
        ("Scale", "{}", "workers"),
        ("Scale", r#"{"workers":null}"#, "workers"),
        ("Scale", r#"{"workers":-1}"#, "workers"),
        ("Scale", r#"{"workers":"4"}"#, "workers"),
        ("Scale", r#"{"workers":4.5}"#, "workers"),
        ("Scale", r#"{"workers":10001}"#, "workers"),
        ("Scale", r#"{"workers":1e400}"#, ""),
        ("Recycle", r#"{"slot":4294967296}"#, "slot"),
        ("Recycle", r#"{"slot":[]}"#, "slot"),
        ("StopWorker", "{}", "worker"),
        ("StopWorker", r#"{"worker":true}"#, "worker"),
        ("SetLogLevel", "{}", "level"),
        ("SetLogLevel", r#"{"level":6}"#, "level"),
        ("SetLogLevel", r#"{"level":"loud"}"#, "level"),
        ("Watch", r#"{"intervalUSec":99999}"#, "intervalUSec"),
        ("Watch", r#"{"intervalUSec":0.5}"#, "intervalUSec"),
    ] {
        let text =
            format!(r#"{{"method":"io.herder.Control.{method}","parameters":{parameters}}}"#);
        if wrong_one.is_empty() {
            // No number JSON has here.
            assert_eq!(call(&text), Received::Garbage);
        } else {
            wrong(&text, "InvalidParameter", wrong_one);
        }
    }
    for level in ["8", "-1", "null", "\"info\""] {
        let text = format!(
            r#"{{"method":"io.systemd.service.SetLogLevel","parameters":{{"level":{level}}}}}"#
        );
        wrong(&text, "InvalidParameter", "level");
    }
}

/// Fails unless the message is answered with this error of `org.varlink.service`, about this.
fn wrong(text: &str, error: &str, what: &str) {
    let Received::Reply(reply) = receive(text.as_bytes()) else { panic!("{text}") };
    let Outcome::Error { name, parameters } = read(&reply) else { panic!("{text}") };
    assert_eq!(name, format!("org.varlink.service.{error}"), "{text}");
    let about = parameters.values().next().and_then(Value::as_str).unwrap_or_default();
    assert_eq!(about, what, "{text}");
}

#[test]
fn the_descriptions_are_served() {
    for (interface, text) in INFO.interfaces {
        let call = format!(
            r#"{{"method":"org.varlink.service.GetInterfaceDescription","parameters":{{"interface":"{interface}"}}}}"#
        );
        let Received::Reply(reply) = receive(call.as_bytes()) else { panic!("no reply") };
        let Outcome::Reply(parameters) = read(&reply) else { panic!("an error") };
        assert_eq!(parameters["description"], *text);
    }
    let call = br#"{"method":"org.varlink.service.GetInfo"}"#;
    let Received::Reply(reply) = receive(call) else { panic!("no reply") };
    let Outcome::Reply(parameters) = read(&reply) else { panic!("an error") };
    let interfaces = json!(["org.varlink.service", "io.herder.Control", "io.systemd.service"]);
    assert_eq!(parameters["interfaces"], interfaces);
}
