//! Changes as a made-up herder makes them.

use super::*;
use crate::testing::{Answer, Herder};
use herder_wire::control::{Reply, failed};
use serde_json::json;

fn scaled(ready: u32) -> Reply<'static> {
    Reply::Scaled { message: "scaling 2 → 4", ready, wanted: 4 }
}

/// The one call it got, when all is over.
fn call(herder: Herder) -> serde_json::Value {
    let calls = herder.calls();
    assert_eq!(calls.len(), 1);
    serde_json::to_value(&calls[0]).unwrap()
}

#[test]
fn each_command_asks_for_what_it_says_and_takes_replies_on_the_way() {
    type Command = fn(&str) -> Result<(), Error>;
    let commands: [(Command, &str, serde_json::Value); 6] = [
        (|path| scale(path, 4, None), "Scale", json!({ "workers": 4 })),
        (|path| recycle(Some(path), Some(3), None), "Recycle", json!({ "slot": 3 })),
        (|path| recycle(Some(path), None, None), "Recycle", json!(null)),
        (|path| stop_worker(path, 17, None), "StopWorker", json!({ "worker": 17 })),
        (|path| reload(Some(path), true, None), "Reload", json!({ "previous": true })),
        (|path| abort_reload(Some(path), None), "AbortReload", json!(null)),
    ];
    for (command, method, parameters) in commands {
        let replies =
            vec![scaled(2).one_of_several(), scaled(3).one_of_several(), scaled(4).last()];
        let herder = Herder::answering(vec![Answer::Replies(replies)]);
        command(herder.path().unwrap()).unwrap();
        let call = call(herder);
        assert_eq!(call["method"], format!("io.herder.Control.{method}"));
        assert_eq!(call["parameters"], parameters);
        assert_eq!(call["more"], true);
    }
}

#[test]
fn a_level_is_set_without_further_ado() {
    let herder = Herder::saying(Reply::Nothing {}.last());
    log_level(herder.path().unwrap(), LogLevel::Warning).unwrap();
    assert_eq!(call(herder)["parameters"], json!({ "level": "warning" }));
}

#[test]
fn a_failure_on_the_way_is_the_outcome() {
    let failure = Failure::Failed { reason: "slot 3 keeps failing\x1b[2J".to_owned(), pid: None };
    let replies = vec![scaled(3).one_of_several(), failed(&failure)];
    let herder = Herder::answering(vec![Answer::Replies(replies)]);
    let error = scale(herder.path().unwrap(), 4, None).unwrap_err();
    assert_eq!(error.exit_status(), 1);
    assert!(error.to_string().ends_with(": slot 3 keeps failing\\u{1b}[2J"), "{error}");

    let failure = Failure::NotFound { reason: "there is no worker 17".to_owned() };
    let herder = Herder::saying(failed(&failure));
    let error = stop_worker(herder.path().unwrap(), 17, None).unwrap_err();
    assert_eq!(error.exit_status(), 1);
    assert!(error.to_string().ends_with(": there is no worker 17"), "{error}");
}

#[test]
fn what_is_not_over_in_time_goes_on_even_after_news_of_it() {
    let replies = Answer::Replies(vec![scaled(3).one_of_several()]);
    let herder = Herder::answering(vec![replies, Answer::Silence]);
    let timeout = Some(Duration::from_millis(50));
    let error = scale(herder.path().unwrap(), 4, timeout).unwrap_err();
    assert_eq!(error.exit_status(), 1);
    assert!(error.to_string().contains("not over within 50ms, and goes on"), "{error}");
}
