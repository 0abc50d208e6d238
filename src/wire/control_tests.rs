//! The types, what they are serialised to, and the description say the same.

use super::*;
use crate::wire::status::example::example;
use crate::wire::status::{
    Evidence, ExitCause, LastExit, PastReload, Phase, Progress, State, Status, Verdict, WorkerState,
};
use crate::wire::varlink::Outcome;
use std::collections::{BTreeMap, BTreeSet};

/// A type of Varlink's interface definition language.
#[derive(Clone, Debug, PartialEq)]
enum Type {
    Int,
    Float,
    Bool,
    String,
    Enum(BTreeSet<String>),
    Named(String),
    Array(Box<Type>),
    Map(Box<Type>),
    Nullable(Box<Type>),
}

type Fields = BTreeMap<String, Type>;

/// The types, methods and errors of a description, each with its fields (a method's by `in` and `out`).
fn definitions(description: &str) -> BTreeMap<String, Fields> {
    let text: String = description
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| [line, " "])
        .collect();
    let text = text.replace("->", " ");
    let mut definitions = BTreeMap::new();
    for (at, _) in text.match_indices("type ").chain(text.match_indices("error ")) {
        let rest = &text[at..];
        let open = rest.find('(').unwrap();
        let name = rest[..open].split_whitespace().nth(1).unwrap();
        assert!(definitions.insert(name.to_owned(), fields(&rest[open..])).is_none());
    }
    for (at, _) in text.match_indices("method ") {
        let rest = &text[at..];
        let open = rest.find('(').unwrap();
        let name = rest[..open].split_whitespace().nth(1).unwrap();
        let out = open + inside(&rest[open..]).len() + 2;
        definitions.insert(format!("{name}.in"), fields(&rest[open..]));
        let out = &rest[out + rest[out..].find('(').unwrap()..];
        definitions.insert(format!("{name}.out"), fields(out));
    }
    definitions
}

/// What stands between the parenthesis at the beginning of `text` and the one that closes it.
fn inside(text: &str) -> &str {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[1..at];
        }
    }
    panic!("no closing parenthesis: {text}");
}

fn fields(text: &str) -> Fields {
    let mut fields = Fields::new();
    let mut rest = inside(text).trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once(':').unwrap();
        let (kind, after) = kind(after.trim());
        assert!(fields.insert(name.trim().to_owned(), kind).is_none(), "{name} twice");
        rest = after.trim().strip_prefix(',').unwrap_or("").trim();
    }
    fields
}

fn kind(text: &str) -> (Type, &str) {
    if let Some(rest) = text.strip_prefix('?') {
        let (inner, rest) = kind(rest);
        return (Type::Nullable(Box::new(inner)), rest);
    }
    if let Some(rest) = text.strip_prefix("[]") {
        let (inner, rest) = kind(rest);
        return (Type::Array(Box::new(inner)), rest);
    }
    if let Some(rest) = text.strip_prefix("[string]") {
        let (inner, rest) = kind(rest);
        return (Type::Map(Box::new(inner)), rest);
    }
    if text.starts_with('(') {
        let words = inside(text);
        let set = words.split(',').map(|word| word.trim().to_owned()).collect();
        return (Type::Enum(set), &text[words.len() + 2..]);
    }
    let end = text.find(|letter: char| !letter.is_alphanumeric()).unwrap_or(text.len());
    let kind = match &text[..end] {
        "int" => Type::Int,
        "float" => Type::Float,
        "bool" => Type::Bool,
        "string" => Type::String,
        name => Type::Named(name.to_owned()),
    };
    (kind, &text[end..])
}

/// Fails unless `value` is what the description promises; notes the words of enums that were seen.
fn conforms(
    types: &BTreeMap<String, Fields>,
    kind: &Type,
    value: &Value,
    place: &str,
    seen: &mut BTreeSet<(String, String)>,
) {
    match (kind, value) {
        (Type::Nullable(_), Value::Null) => {}
        (Type::Nullable(inner), _) => conforms(types, inner, value, place, seen),
        (Type::Int, Value::Number(number)) => assert!(number.is_u64(), "{place}: {value}"),
        (Type::Float, Value::Number(_)) | (Type::Bool, Value::Bool(_)) => {}
        (Type::Map(inner), Value::Object(values)) => {
            for value in values.values() {
                conforms(types, inner, value, place, seen);
            }
        }
        (Type::String, Value::String(_)) => {}
        (Type::Enum(words), Value::String(word)) => {
            assert!(words.contains(word), "{place}: {word} is not in the description");
            seen.insert((place.to_owned(), word.clone()));
        }
        (Type::Array(inner), Value::Array(values)) => {
            for value in values {
                conforms(types, inner, value, place, seen);
            }
        }
        (Type::Named(name), Value::Object(object)) => {
            record(types, &types[name], object, name, seen);
        }
        (_, _) => panic!("{place} should be {kind:?}, is {value}"),
    }
}

fn record(
    types: &BTreeMap<String, Fields>,
    fields: &Fields,
    object: &Map<String, Value>,
    place: &str,
    seen: &mut BTreeSet<(String, String)>,
) {
    let described: Vec<&String> = fields.keys().collect();
    let sent: Vec<&String> = object.keys().collect::<BTreeSet<_>>().into_iter().collect();
    assert_eq!(described, sent, "the fields of {place}, described and sent, differ");
    for (name, kind) in fields {
        conforms(types, kind, &object[name], &format!("{place}.{name}"), seen);
    }
}

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
    let mut workers = full.clone();
    use Evidence::{Assumed, Executed, Notified};
    use ExitCause::{Dumped, Exited, Killed, NotStarted, OutOfMemory, TimedOut};
    use WorkerState::{Draining, Ended, Ready, Retiring, Starting};
    let states = [Starting, Ready, Retiring, Draining, Ended].into_iter().cycle();
    let evidences = [Notified, Executed, Assumed].into_iter().cycle();
    let causes = [Exited, Killed, Dumped, OutOfMemory, TimedOut, NotStarted].into_iter().cycle();
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

/// The outcome of a reply made here.
fn read(message: &[u8]) -> Outcome {
    assert_eq!(message.last(), Some(&0));
    Outcome::parse(&message[..message.len() - 1]).unwrap()
}

#[test]
fn what_is_sent_is_what_is_described() {
    let types = definitions(DESCRIPTION);
    let mut seen = BTreeSet::new();
    for example in examples() {
        let Outcome::Reply(parameters) = read(&status(&example)) else { panic!("an error") };
        record(&types, &types["Status.out"], &parameters, "Status", &mut seen);
        let back: Status = serde_json::from_value(parameters["status"].clone()).unwrap();
        assert_eq!(back, example);
    }
    for (name, fields) in &types {
        for (field, kind) in fields {
            let kind = if let Type::Nullable(inner) = kind { inner } else { kind };
            let Type::Enum(words) = kind else { continue };
            // Sent by Describe, not by Status.
            if field == "logLevel" || field == "level" {
                continue;
            }
            for word in words {
                let pair = (format!("{name}.{field}"), word.clone());
                assert!(seen.contains(&pair), "{pair:?} is described, but never sent");
            }
        }
    }
}

#[test]
fn replies_and_errors_are_as_described() {
    let types = definitions(DESCRIPTION);
    let mut seen = BTreeSet::new();
    let Outcome::Reply(reply) = read(&reloaded(8, "done")) else { panic!("an error") };
    record(&types, &types["Reload.out"], &reply, "Reload", &mut seen);

    let reason = "why".to_owned();
    for failure in [
        Failure::ReloadFailed { generation: Some(8), reason: reason.clone(), pid: Some(7) },
        Failure::ReloadFailed { generation: None, reason: reason.clone(), pid: None },
        Failure::ReloadRefused { reason: reason.clone() },
        Failure::NotPermitted { reason },
    ] {
        let Outcome::Error { name, parameters } = read(&failed(&failure)) else {
            panic!("a reply")
        };
        let short = name.strip_prefix("io.herder.Control.").unwrap();
        record(&types, &types[short], &parameters, short, &mut seen);
        assert_eq!(Failure::read(&name, &parameters), Some(failure));
    }
    assert_eq!(Failure::read("org.varlink.service.MethodNotFound", &Map::new()), None);
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
fn calls_are_told_apart() {
    let call = |text: &str| receive(text.as_bytes());
    assert_eq!(
        call(r#"{"method":"io.herder.Control.Reload"}"#),
        Received::Call { method: Method::Reload { previous: false }, oneway: false }
    );
    assert_eq!(
        call(r#"{"method":"io.herder.Control.Status","parameters":{},"oneway":true}"#),
        Received::Call { method: Method::Status, oneway: true }
    );
    for garbage in ["", "GET / HTTP/1.1", "{\"method\":", "[1]"] {
        assert_eq!(call(garbage), Received::Garbage, "{garbage}");
    }
    let nested = "[".repeat(60_000);
    assert_eq!(call(&nested), Received::Garbage);
    assert_eq!(call(r#"{"method":"x","oneway":true}"#), Received::Reply(Vec::new()));
    for (text, error) in [
        (r#"{"method":"io.herder.Control.Nope"}"#, "org.varlink.service.MethodNotFound"),
        (r#"{"method":"io.herder.Nope.Reload"}"#, "org.varlink.service.InterfaceNotFound"),
        (r#"{"method":"Reload"}"#, "org.varlink.service.InterfaceNotFound"),
        (
            r#"{"method":"io.herder.Control.Reload","parameters":{"a":1}}"#,
            "org.varlink.service.InvalidParameter",
        ),
        (
            r#"{"method":"io.herder.Control.Reload","upgrade":true}"#,
            "org.varlink.service.InvalidParameter",
        ),
    ] {
        let Received::Reply(reply) = call(text) else { panic!("{text}") };
        let Outcome::Error { name, .. } = read(&reply) else { panic!("{text}") };
        assert_eq!(name, error, "{text}");
    }
}

#[test]
fn the_description_is_served() {
    let call = br#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"io.herder.Control"}}"#;
    let Received::Reply(reply) = receive(call) else { panic!("no reply") };
    let Outcome::Reply(parameters) = read(&reply) else { panic!("an error") };
    assert_eq!(parameters["description"], DESCRIPTION);
}
