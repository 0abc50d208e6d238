//! Each method of the control interface, called by hand: what it does, and what it answers.

use crate::client::Control;
use crate::systemd::{Herder, Unit};
use crate::wait::until;
use crate::workers::misbehave;
use herder_wire::control::Method;
use herder_wire::level::LogLevel;
use herder_wire::status::{InstanceDescription, Status, WorkerState};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;

fn settings(workers: u32, steps: &str) -> String {
    format!("workers = {workers}\nready = \"notify\"\n{}", misbehave(steps))
}

fn serving(workers: u32, steps: &str) -> Herder {
    let mut herder = Unit::new(&settings(workers, steps)).start();
    herder.hears("READY=1");
    herder
}

fn call(herder: &Herder, method: Method) -> Result<Value, (String, Value)> {
    Control::open(herder).outcome(method)
}

fn ids(status: &Status) -> Vec<u64> {
    status.workers.iter().map(|worker| worker.id).collect()
}

/// The parameters of the error of this name.
fn error(name: &str, outcome: Result<Value, (String, Value)>) -> Value {
    let (error, parameters) = outcome.expect_err("an error");
    assert_eq!(error, name, "{parameters}");
    parameters
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn describe_tells_the_settings_in_service_but_no_secret() {
    let with_secret = "environment = { PASSWORD = \"hunter2\" }\n";
    let herder = Unit::new(&format!("{}{with_secret}", settings(1, "ready"))).start();
    herder.serves(1);
    let mut reply = call(&herder, Method::Describe).unwrap();
    assert!(!reply.to_string().contains("hunter2"), "{reply}");
    let described: InstanceDescription =
        serde_json::from_value(reply["description"].take()).unwrap();
    assert_eq!((&*described.name, described.log_level), ("it", LogLevel::Info));
    assert_eq!(described.pid, herder.pid() as u32);
    assert_eq!(described.uid, nix::unistd::geteuid().as_raw());
    let file = herder.path("it.toml").display().to_string();
    assert_eq!(described.file.as_ref(), Some(&file));
    assert_eq!(described.runtime_directory, herder.path("run").display().to_string());
    let setting = |key: &str| {
        let setting = described.settings.iter().find(|setting| setting.key == key);
        setting.map(|setting| (setting.value.clone(), setting.origin.clone()))
    };
    assert_eq!(setting("workers"), Some(("1".to_owned(), format!("{file}:1:1"))));
    assert_eq!(setting("stop-timeout"), Some(("\"30s\"".to_owned(), "default".to_owned())));
    assert!(setting("command").unwrap().0.contains("misbehave"));
    assert_eq!(setting("reopen-signal"), None, "it is not set");

    // What is tried is not in service yet, and what was refused never is.
    herder.settings("workers = 7\nwokers = 8\n");
    error("ReloadRefused", call(&herder, Method::Reload { previous: false }));
    let again = call(&herder, Method::Describe).unwrap();
    assert!(again.to_string().contains(&format!("{file}:1:1")), "{again}");
}

#[test]
fn scale_answers_when_as_many_are_ready_and_tells_its_progress() {
    let herder = serving(1, "wait 50 ready");
    let mut control = Control::open(&herder);
    control.ask(Method::Scale { workers: 3 }, true);
    let mut readies = Vec::new();
    let last = loop {
        let mut reply = control.reply().unwrap();
        assert_eq!(reply["parameters"]["wanted"], 3, "{reply}");
        readies.push(reply["parameters"]["ready"].as_u64().unwrap());
        if reply["continues"] != true {
            break reply["parameters"].take();
        }
    };
    assert!(readies.len() > 1 && readies.is_sorted(), "{readies:?}");
    assert_eq!((readies.last(), &last["ready"]), (Some(&3), &json!(3)));
    assert_eq!(herder.serves(3).len(), 3);
    herder.logs("asks for 3 workers");

    // What is there already is answered at once; none at all is a number, too.
    let same = control.outcome(Method::Scale { workers: 3 }).unwrap();
    assert_eq!((&same["ready"], &same["wanted"]), (&json!(3), &json!(3)));
    let none = control.outcome(Method::Scale { workers: 0 }).unwrap();
    assert_eq!((&none["ready"], &none["wanted"]), (&json!(0), &json!(0)));
    herder.serves(0);
    control.outcome(Method::Scale { workers: 2 }).unwrap();
    // The number lasts until the next reload that succeeds.
    control.outcome(Method::Reload { previous: false }).unwrap();
    assert_eq!(herder.serves(1)[0].generation, 2);
}

#[test]
fn a_worker_that_fails_is_the_reason_of_what_was_asked() {
    let unit = Unit::new(&settings(1, "from $DIR/steps"));
    fs::write(unit.path("steps"), "ready").unwrap();
    let mut herder = unit.start();
    herder.hears("READY=1");
    fs::write(herder.path("steps"), "exit 3").unwrap();
    let failed = error("Failed", call(&herder, Method::Scale { workers: 2 }));
    assert!(text(&failed["reason"]).contains("exited with status 3"), "{failed}");
    assert!(failed["pid"].as_u64().is_some(), "{failed}");
    assert_eq!(herder.status().ready, 1);
}

/// Also if the replacement is done before the client could ask for its progress.
#[test]
fn recycle_tells_how_many_it_has_replaced() {
    let settings = settings(2, "ready").replace("notify", "exec") + "min-ready-time = 0\n";
    let mut herder = Unit::new(&settings).start();
    herder.hears("READY=1");
    let done = call(&herder, Method::Recycle { slot: Some(0) }).unwrap();
    assert_eq!((&done["replaced"], &done["wanted"]), (&json!(1), &json!(1)), "{done}");
    let done = call(&herder, Method::Recycle { slot: None }).unwrap();
    assert_eq!((&done["replaced"], &done["wanted"]), (&json!(2), &json!(2)), "{done}");
}

#[test]
fn recycle_puts_a_new_worker_in_a_slot_before_the_old_one_goes() {
    let herder = serving(2, "ready");
    let before = ids(&herder.status());
    let mut control = Control::open(&herder);
    let done = control.outcome(Method::Recycle { slot: Some(1) }).unwrap();
    assert_eq!((&done["replaced"], &done["wanted"]), (&json!(1), &json!(1)), "{done}");
    let after = ids(&herder.is("two workers", |status| status.workers.len() == 2));
    assert_eq!(after[0], before[0]);
    assert!(after[1] > before[1]);

    control.ask(Method::Recycle { slot: None }, true);
    let mut parts = Vec::new();
    let last = loop {
        let mut reply = control.reply().unwrap();
        assert_eq!(reply["error"], Value::Null, "{reply}");
        if reply["continues"] != true {
            break reply["parameters"].take();
        }
        parts.push(reply["parameters"]["replaced"].as_u64().unwrap());
    };
    assert_eq!((&last["replaced"], &last["wanted"]), (&json!(2), &json!(2)), "{last}");
    assert!(!parts.is_empty() && parts.is_sorted(), "{parts:?}");
    let all = ids(&herder.is("two workers", |status| status.workers.len() == 2));
    assert!(all.iter().all(|id| !after.contains(id)), "{all:?} after {after:?}");
    assert_eq!(herder.status().counters.recycled, 3);

    let missing = error("NotFound", control.outcome(Method::Recycle { slot: Some(9) }));
    assert!(text(&missing["reason"]).contains("there is no slot 9"), "{missing}");
}

#[test]
fn stop_worker_answers_when_it_has_ended() {
    let herder = serving(2, "ready");
    let before = ids(&herder.status());
    let done = call(&herder, Method::StopWorker { worker: before[0] }).unwrap();
    assert!(text(&done["message"]).contains(&format!("worker {}", before[0])), "{done}");
    assert!(!ids(&herder.status()).contains(&before[0]));
    let workers = herder.serves(2);
    assert_eq!(workers[1].id, before[1]);
    assert_eq!(herder.status().counters.crashes, 0, "it was asked for");
    let missing = error("NotFound", call(&herder, Method::StopWorker { worker: 99 }));
    assert!(text(&missing["reason"]).contains("there is no worker 99"), "{missing}");
}

#[test]
fn abort_puts_the_generation_before_back_and_both_callers_are_told() {
    let herder = serving(2, "ready");
    let nothing = call(&herder, Method::AbortReload).unwrap();
    assert!(text(&nothing["message"]).contains("no reload"), "{nothing}");

    herder.settings(&settings(2, "wait 60000 ready"));
    let mut reload = Control::open(&herder);
    reload.ask(Method::Reload { previous: false }, true);
    let part = reload.part();
    assert_eq!((&part["generation"], &part["replaced"]), (&json!(2), &json!(0)), "{part}");
    call(&herder, Method::AbortReload).unwrap();
    let outcome = loop {
        let reply = reload.reply().unwrap();
        if reply["continues"] != true {
            break reply;
        }
    };
    assert_eq!(outcome["error"], "io.herder.Control.ReloadFailed", "{outcome}");
    assert_eq!(outcome["parameters"]["generation"], 2);
    let workers = herder.serves(2);
    assert!(workers.iter().all(|worker| worker.generation == 1), "{workers:#?}");
    herder.logs("asks to abort the reload");
}

/// What was in service before is kept as it was, whatever became of its file and its directory.
#[test]
fn the_settings_before_can_be_brought_back() {
    let unit = Unit::new(&format!("{}directory = \"$DIR/current\"\n", settings(2, "ready")));
    for directory in ["one", "two"] {
        fs::create_dir(unit.path(directory)).unwrap();
    }
    std::os::unix::fs::symlink(unit.path("one"), unit.path("current")).unwrap();
    let mut herder = unit.start();
    herder.hears("READY=1");
    let none = error("NotFound", call(&herder, Method::Reload { previous: true }));
    assert!(text(&none["reason"]).contains("there is no generation before generation 1"), "{none}");
    assert_eq!(herder.status().counters.reloads_refused, 0, "nothing was tried");

    fs::remove_file(herder.path("current")).unwrap();
    std::os::unix::fs::symlink(herder.path("two"), herder.path("current")).unwrap();
    let directory_of = |herder: &Herder| {
        let pid = herder.serves(2)[0].pid.unwrap();
        let path = fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
        path.file_name().unwrap().to_str().unwrap().to_owned()
    };
    assert_eq!(directory_of(&herder), "one");
    call(&herder, Method::Reload { previous: false }).unwrap();
    assert_eq!(directory_of(&herder), "two");
    herder.settings("nonsense");
    let back = call(&herder, Method::Reload { previous: true }).unwrap();
    assert_eq!((&back["generation"], &back["replaced"]), (&json!(3), &json!(2)), "{back}");
    assert_eq!(directory_of(&herder), "one");
    // Going back twice brings the newer settings in again.
    call(&herder, Method::Reload { previous: true }).unwrap();
    assert_eq!(directory_of(&herder), "two");
    assert_eq!(herder.serves(2)[0].generation, 4);
    herder.logs("asks for the settings before");
}

/// A reload that failed has not been in service, so there is nothing to go back to from it.
#[test]
fn a_reload_that_failed_is_not_the_generation_before() {
    let herder = serving(1, "ready");
    herder.settings(&settings(1, "exit 1"));
    error("ReloadFailed", call(&herder, Method::Reload { previous: false }));
    error("NotFound", call(&herder, Method::Reload { previous: true }));
}

#[test]
fn the_log_level_can_be_changed_by_either_name() {
    let herder = serving(1, "ready");
    let mut control = Control::open(&herder);
    assert_eq!(control.call("io.systemd.service.GetLogLevel")["parameters"], json!({ "level": 6 }));
    let done = control.outcome(Method::SetLogLevel { level: LogLevel::Debug }).unwrap();
    assert_eq!(done, json!({}));
    herder.logs("asks for log entries up to debug");
    assert_eq!(control.call("io.systemd.service.GetLogLevel")["parameters"], json!({ "level": 7 }));
    control.outcome(Method::Reload { previous: false }).unwrap();
    herder.logs("asks: reload generation 2");
    let set = r#"{"method":"io.systemd.service.SetLogLevel","parameters":{"level":4}}"#;
    control.send_raw(set);
    assert_eq!(control.last(), Ok(json!({})));
    let described = control.outcome(Method::Describe).unwrap();
    assert_eq!(described["description"]["logLevel"], "warning");
    let before = herder.log().lines().count();
    control.outcome(Method::Recycle { slot: None }).unwrap();
    assert_eq!(herder.log().lines().count(), before, "{}", herder.log());
}

#[test]
fn the_generic_interface_of_services_is_there() {
    let herder = serving(1, "ready");
    let mut control = Control::open(&herder);
    assert_eq!(control.call("io.systemd.service.Ping"), json!({ "parameters": {} }));
    assert_eq!(control.call("io.systemd.service.Reload"), json!({ "parameters": {} }));
    assert_eq!(herder.serves(1)[0].generation, 2);
    herder.settings("nonsense");
    let refused = control.call("io.systemd.service.Reload");
    assert_eq!(refused["error"], "io.herder.Control.ReloadRefused");
    let info = control.call("org.varlink.service.GetInfo");
    let interfaces = &info["parameters"]["interfaces"];
    let all = json!(["org.varlink.service", "io.herder.Control", "io.systemd.service"]);
    assert_eq!(*interfaces, all);
}

#[test]
fn a_oneway_call_gets_no_answer() {
    let herder = serving(1, "ready");
    let mut control = Control::open(&herder);
    for call in [
        r#"{"method":"io.herder.Control.Scale","parameters":{"workers":3},"oneway":true}"#,
        r#"{"method":"io.herder.Control.Watch","oneway":true,"more":true}"#,
        r#"{"method":"io.herder.Control.Events","oneway":true,"more":true}"#,
        r#"{"method":"io.herder.Control.Status","oneway":true}"#,
        r#"{"method":"io.herder.Control.Recycle","parameters":{"slot":77},"oneway":true}"#,
        r#"{"method":"io.herder.Control.Nonsense","oneway":true}"#,
    ] {
        control.send_raw(call);
    }
    control.ask(Method::Scale { workers: 3 }, false);
    assert_eq!(control.last().unwrap()["ready"], 3);
    assert_eq!(herder.serves(3).len(), 3);
}

#[test]
fn a_request_is_carried_out_although_its_caller_has_gone() {
    let herder = serving(1, "wait 100 ready");
    for method in [Method::Scale { workers: 3 }, Method::Recycle { slot: Some(0) }] {
        let mut control = Control::open(&herder);
        control.ask(method, true);
        control.part();
    }
    herder.is("it is done", |status| {
        let count =
            status.workers.iter().filter(|worker| worker.state == WorkerState::Ready).count();
        count == 3 && status.counters.recycled == 1
    });
}

#[test]
fn a_stop_answers_every_request_under_way() {
    let unit = Unit::new(&settings(1, "from $DIR/steps"));
    fs::write(unit.path("steps"), "ready").unwrap();
    let mut herder = unit.start();
    herder.hears("READY=1");
    fs::write(herder.path("steps"), "wait 60000").unwrap();
    let mut scale = Control::open(&herder);
    scale.ask(Method::Scale { workers: 2 }, true);
    assert_eq!(scale.part()["wanted"], 2);
    let mut recycle = Control::open(&herder);
    recycle.ask(Method::Recycle { slot: Some(0) }, false);
    until("both are under way", || herder.log().contains("asks for a new worker in slot 0"));
    herder.signal(Signal::SIGTERM);
    error("Stopped", recycle.last());
    loop {
        let reply = scale.reply().unwrap();
        if reply["continues"] != true {
            assert_eq!(reply["error"], "io.herder.Control.Stopped", "{reply}");
            break;
        }
    }
    assert_eq!(herder.exits(), 0);
}

/// Of two clients with different requests the later one counts, and the earlier one is told so.
#[test]
fn a_later_request_supersedes_an_earlier_one() {
    let herder = serving(1, "wait 200 ready");
    let mut first = Control::open(&herder);
    first.ask(Method::Scale { workers: 4 }, true);
    assert_eq!(first.part()["wanted"], 4);
    let second = call(&herder, Method::Scale { workers: 2 }).unwrap();
    assert_eq!((&second["ready"], &second["wanted"]), (&json!(2), &json!(2)));
    loop {
        let reply = first.reply().unwrap();
        if reply["continues"] != true {
            assert_eq!(reply["error"], "io.herder.Control.Failed", "{reply}");
            break;
        }
    }
    herder.serves(2);
}
