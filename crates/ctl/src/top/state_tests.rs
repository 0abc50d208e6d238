//! What keys and answers come to.

use super::*;
use crate::top::columns::Column;
use herder_wire::status::example::example;
use herder_wire::status::{Phase, Progress, Status};

fn at(seconds: u64) -> Now {
    Now {
        monotonic: Duration::from_secs(seconds),
        wall_usec: 1_795_420_800_000_000 + seconds * 1_000_000,
    }
}

fn state(names: &[&str]) -> State {
    let panes =
        names.iter().map(|name| Pane::new(*name, "journalctl -e", Duration::ZERO)).collect();
    let mut state = State::new(panes, Duration::from_secs(1), Size::new(80, 24), at(0));
    for pane in 0..names.len() {
        state.update(at(0), Message::Heard { pane, status: Box::new(example(3)) });
    }
    state
}

fn reloading() -> Status {
    let (phase, wanted) = (Phase::Rolling, 3);
    let progress = Progress { generation: 4, phase, replaced: 1, wanted, started_at_usec: 0 };
    Status { reload: Some(progress), ..example(3) }
}

/// The last order that came of typing this.
fn typed(state: &mut State, text: &str) -> Option<Order> {
    let keys = text.chars().map(|letter| match letter {
        '\n' => Key::Enter,
        '\u{8}' => Key::Backspace,
        '↓' => Key::Down,
        '→' => Key::Right,
        '⎋' => Key::Escape,
        letter => Key::Char(letter),
    });
    keys.fold(None, |_, key| state.update(state.now, Message::Key(key)))
}

fn called(order: Option<Order>) -> Method {
    match order {
        Some(Order::Call { method, .. }) => method,
        other => panic!("no call: {other:?}"),
    }
}

#[test]
fn what_changes_much_asks_first() {
    for (keys, method, question) in [
        ("R", Method::Reload { previous: false }, "Reload web: replace all 3 workers one by one?"),
        (
            "p",
            Method::Reload { previous: true },
            "Reload web with the settings of the generation before?",
        ),
        ("a", Method::AbortReload, "Abort the reload of web and put the settings before back?"),
        ("C", Method::Recycle { slot: None }, "Recycle all 3 workers, one by one?"),
        ("↓k", Method::StopWorker { worker: 100 }, "Stop worker 100 in slot 0?"),
    ] {
        let mut state = state(&["web"]);
        state.update(at(0), Message::Heard { pane: 0, status: Box::new(reloading()) });
        assert_eq!(typed(&mut state, keys), None);
        assert!(
            matches!(&state.dialog, Some(Dialog::Confirm { question: there, .. }) if there == question),
            "{:?}",
            state.dialog
        );
        assert_eq!(typed(&mut state, "n"), None);
        assert_eq!(state.dialog, None);
        typed(&mut state, keys.trim_start_matches('↓'));
        assert_eq!(called(typed(&mut state, "y")), method);
    }
}

#[test]
fn without_a_reload_there_is_none_to_abort() {
    let mut state = state(&["web"]);
    assert_eq!(typed(&mut state, "a"), None);
    assert_eq!(state.dialog, None);
    assert_eq!(state.notice().map(|notice| notice.text.as_str()), Some("no reload is under way"));
}

#[test]
fn what_changes_little_happens_at_once() {
    let mut state = state(&["web"]);
    assert_eq!(called(typed(&mut state, "+")), Method::Scale { workers: 4 });
    assert_eq!(called(typed(&mut state, "+")), Method::Scale { workers: 5 });
    assert_eq!(called(typed(&mut state, "-")), Method::Scale { workers: 4 });
    assert_eq!(called(typed(&mut state, "w\u{8}12\n")), Method::Scale { workers: 12 });
    assert_eq!(called(typed(&mut state, "↓↓c")), Method::Recycle { slot: Some(1) });
}

#[test]
fn one_more_counts_from_what_is_wanted_when_nothing_is_asked() {
    let mut state = state(&["web"]);
    typed(&mut state, "+");
    state.update(at(1), Message::Answered { call: 1, outcome: Err("not permitted".to_owned()) });
    assert_eq!(called(typed(&mut state, "+")), Method::Scale { workers: 4 });
    let mut none = example(3);
    none.wanted = 0;
    state.update(at(1), Message::Answered { call: 2, outcome: Ok("4 of 4".to_owned()) });
    state.update(at(1), Message::Heard { pane: 0, status: Box::new(none) });
    assert_eq!(typed(&mut state, "-"), None);
}

#[test]
fn a_worker_has_to_be_selected_to_be_stopped() {
    for key in ["k", "c"] {
        let mut state = state(&["web"]);
        assert_eq!(typed(&mut state, key), None);
        assert_eq!(state.dialog, None);
        assert!(state.notice().is_some_and(|notice| notice.text.contains("with Up and Down")));
    }
}

#[test]
fn answers_are_told_and_forgotten() {
    let mut state = state(&["web"]);
    typed(&mut state, "Ry");
    assert_eq!(state.notice().map(|notice| notice.text.as_str()), Some("reload: asked"));
    state.update(at(100), Message::Progress { call: 1, text: "1 of 3".to_owned() });
    assert_eq!(
        state.notice().map(|notice| (notice.text.as_str(), notice.tone)),
        Some(("reload: 1 of 3", Tone::Busy))
    );
    state.update(at(200), Message::Answered { call: 1, outcome: Err("worker 9 died".to_owned()) });
    assert_eq!(
        state.notice().map(|notice| (notice.text.as_str(), notice.tone)),
        Some(("reload: worker 9 died", Tone::Bad))
    );
    state.update(at(260), Message::Tick);
    assert!(state.notice().is_some());
    state.update(at(261), Message::Tick);
    assert_eq!(state.notice(), None);

    typed(&mut state, "+");
    state.update(at(300), Message::Answered { call: 2, outcome: Ok("4 workers ready".to_owned()) });
    typed(&mut state, "⎋");
    assert_eq!(state.notice(), None);
    state.update(at(300), Message::Answered { call: 2, outcome: Ok("again".to_owned()) });
    assert_eq!(state.notice(), None);
}

#[test]
fn the_order_of_the_table() {
    let mut state = state(&["web"]);
    typed(&mut state, "→");
    assert_eq!(state.sort, Sort::by(Column::Worker));
    typed(&mut state, "<");
    assert_eq!(state.sort, Sort::default());
    typed(&mut state, "r");
    assert!(state.sort.is_descending());
    for (key, column) in [("P", Column::Cpu), ("M", Column::Memory), ("T", Column::CpuTime)] {
        typed(&mut state, key);
        assert_eq!(state.sort, Sort::by(column));
    }
    typed(&mut state, "s↓\n");
    assert_eq!(state.sort, Sort::by(Column::Memory));
    typed(&mut state, "s↓⎋");
    assert_eq!(state.sort, Sort::by(Column::Memory));
}

#[test]
fn several_instances_are_a_list_to_go_into_and_back() {
    let mut state = state(&["api", "web"]);
    assert_eq!(state.screen, Screen::List);
    for key in ["R", "+", "k", "⎋"] {
        assert_eq!(typed(&mut state, key), None);
        assert_eq!((state.screen, &state.dialog), (Screen::List, &None));
    }
    typed(&mut state, "↓↓\n");
    assert_eq!(state.screen, Screen::Instance(1));
    assert!(matches!(typed(&mut state, "+"), Some(Order::Call { pane: 1, .. })));
    state.update(at(1), Message::Answered { call: 1, outcome: Ok("done".to_owned()) });
    typed(&mut state, "↓⎋⎋");
    assert_eq!(state.screen, Screen::Instance(1));
    typed(&mut state, "⎋");
    assert_eq!(state.screen, Screen::List);
    assert_eq!(typed(&mut state, "q"), Some(Order::Quit));
}

#[test]
fn one_instance_has_no_list_to_go_back_to() {
    let mut state = state(&["web"]);
    typed(&mut state, "⎋⎋");
    assert_eq!(state.screen, Screen::Instance(0));
}

#[test]
fn another_interval_is_asked_for() {
    let mut state = state(&["web"]);
    assert_eq!(typed(&mut state, "d\u{8}5\n"), Some(Order::Watch(Duration::from_secs(5))));
    assert_eq!(state.interval, Duration::from_secs(5));
}

#[test]
fn a_pause_is_ended_by_the_same_key() {
    let mut state = state(&["web"]);
    typed(&mut state, " ");
    state.update(at(1), Message::Heard { pane: 0, status: Box::new(example(7)) });
    assert_eq!(state.panes[0].rows(state.sort).len(), 4);
    typed(&mut state, " ");
    assert_eq!(state.panes[0].rows(state.sort).len(), 8);
}

#[test]
fn control_keys_work_everywhere() {
    for keys in ["", "?", "R", "w", "s"] {
        for (key, order) in [
            (Key::Ctrl('c'), Order::Quit),
            (Key::Ctrl('z'), Order::Suspend),
            (Key::Ctrl('l'), Order::Redraw),
        ] {
            let mut state = state(&["web"]);
            typed(&mut state, keys);
            assert_eq!(state.update(at(1), Message::Key(key)), Some(order));
        }
    }
}

#[test]
fn nothing_happens_to_an_instance_of_which_nothing_is_known() {
    let panes = vec![Pane::new("web", "journalctl -e", Duration::ZERO)];
    let mut state = State::new(panes, Duration::from_secs(1), Size::new(80, 24), at(0));
    for key in ["R", "+", "k", "C", "↓", "s"] {
        assert_eq!(typed(&mut state, key), None);
    }
    state.update(at(9), Message::Lost { pane: 7, why: "no such pane".to_owned() });
}
