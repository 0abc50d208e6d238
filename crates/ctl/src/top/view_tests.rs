//! What is on the screen, at the sizes people have.

use super::*;
use crate::top::columns;
use crate::top::input::Key;
use crate::top::keys::{self, GROUPS};
use crate::top::pane::{Link, Pane};
use crate::top::state::{Message, Now};
use herder_wire::status::example::example;
use herder_wire::status::{Phase, Progress, State as Condition, Status};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Size;
use ratatui::style::Color;
use std::time::Duration;

const ADVICE: &str = "see what it said last with: journalctl -e -u herder@web.service";

const SECOND: Duration = Duration::from_secs(1);

fn now(seconds: u64) -> Now {
    Now {
        monotonic: SECOND * seconds as u32,
        wall_usec: 1_795_420_800_000_000 + seconds * 1_000_000,
    }
}

fn state(size: (u16, u16), status: Status) -> State {
    let pane = Pane::new("web", ADVICE, Duration::ZERO);
    let mut state = State::new(vec![pane], SECOND, Size::new(size.0, size.1), now(0));
    for second in 0..30 {
        let mut status = status.clone();
        status.sockets[0].waiting = Some(second % 18);
        state.update(now(second), Message::Heard { pane: 0, status: Box::new(status) });
    }
    state.update(now(30), Message::Heard { pane: 0, status: Box::new(status) });
    state
}

fn drawn_with(state: &State, theme: Theme) -> Buffer {
    let backend = TestBackend::new(state.size.width, state.size.height);
    let mut terminal = Terminal::new(backend).unwrap();
    terminal.draw(|frame| render(state, theme, frame)).unwrap();
    terminal.backend().buffer().clone()
}

/// The lines on the screen.
fn drawn(state: &State) -> Vec<String> {
    let buffer = drawn_with(state, Theme::new(true));
    let lines = buffer.content().chunks(buffer.area.width.into());
    lines
        .map(|cells| {
            cells.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned()
        })
        .collect()
}

fn has(lines: &[String], texts: &[&str]) {
    for text in texts {
        assert!(
            lines.iter().any(|line| line.contains(text)),
            "no “{text}” in:\n{}",
            lines.join("\n")
        );
    }
}

#[test]
fn three_workers_in_the_smallest_usual_terminal() {
    let lines = drawn(&state((80, 24), example(3)));
    has(
        &lines,
        &[
            " degraded  web  2/3 ready, 1 starting, 1 draining  generation 3  up 13min",
            "status   degraded 2/3: slot 0 was killed for want of memory",
            "17/4096 waiting  3 dropped",
            "/run/web/admin.sock",
            "12 respawns, 1 crash, 11 failures, 6 OOM kills, 4 retired, 2 recycled,",
            "out of memory",
            "evil \\u{1b}",
            "draining",
            "? help   q quit",
        ],
    );
    assert!(!lines.iter().any(|line| line.contains('\x1b')));
}

#[test]
fn three_hundred_workers_scroll() {
    let mut state = state((80, 24), example(300));
    let lines = drawn(&state);
    has(&lines, &["SLOT", "1-14 of 301"]);
    state.update(now(31), Message::Key(Key::End));
    let lines = drawn(&state);
    has(&lines, &["5299", "288-301 of 301"]);
    state.update(now(31), Message::Key(Key::Char('P')));
    state.update(now(31), Message::Key(Key::Home));
    let lines = drawn(&state);
    has(&lines, &["▼CPU", "95.0%"]);
}

#[test]
fn a_wide_terminal_shows_every_column() {
    for workers in [3, 300] {
        let lines = drawn(&state((200, 50), example(workers)));
        for column in columns::ALL {
            has(&lines, &[column.heading()]);
        }
        has(&lines, &["was killed for want of memory, 1min 30s ago", "fd", "every 1s"]);
    }
}

#[test]
fn a_selected_worker_is_told_more_of_and_stands_out() {
    let mut state = state((80, 24), example(3));
    state.update(now(31), Message::Key(Key::Down));
    let lines = drawn(&state);
    has(
        &lines,
        &[
            "── worker 100 in slot 0, generation 3 ───",
            "starting, age 0s",
            "before: was killed for want of memory, 1min 31s ago, lived 20s, had been ready",
            "says: evil \\u{1b}[2J<script>",
        ],
    );
    let buffer = drawn_with(&state, Theme::new(false));
    let reversed = |y: u16| buffer[(0, y)].modifier.contains(Modifier::REVERSED);
    let row = (1..24).find(|y| reversed(*y)).unwrap();
    assert!(lines[usize::from(row)].contains("starting"), "{}", lines[usize::from(row)]);
}

#[test]
fn a_reload_has_a_bar() {
    let mut status = example(4);
    status.state = Condition::Reloading;
    status.reload = Some(Progress {
        generation: 4,
        phase: Phase::Rolling,
        replaced: 2,
        wanted: 4,
        started_at_usec: now(26).wall_usec,
    });
    let lines = drawn(&state((80, 24), status));
    has(&lines, &["reload   ██████████░░░░░░░░░░  2/4 to generation 4, replacing workers for 4s"]);
}

#[test]
fn what_is_past_is_dimmed_and_says_so() {
    let mut state = state((80, 24), example(3));
    let why = "web is not running: no process listens at /run/herder/web/control; start it with: systemctl start \
               herder@web.socket";
    for (badge, message, text) in [
        (
            " no answer ",
            Message::Tick,
            "no answer for 8s: herder is stopped or hangs; see what it said last",
        ),
        (
            " gone ",
            Message::Lost { pane: 0, why: why.to_owned() },
            "web is not running: no process listens at",
        ),
    ] {
        state.update(now(39), message);
        has(&drawn(&state), &[text, "17/4096 waiting"]);
        assert!(drawn(&state)[0].starts_with(badge), "{}", drawn(&state)[0]);
        let buffer = drawn_with(&state, Theme::new(true));
        let row = drawn(&state).iter().position(|line| line.contains("admin.sock")).unwrap();
        assert!(buffer[(9, row as u16)].modifier.contains(Modifier::DIM));
        assert!(!buffer[(0, 1)].modifier.contains(Modifier::DIM));
    }
    state.panes[0].link = Link::Live { heard: SECOND * 39 };
    let buffer = drawn_with(&state, Theme::new(true));
    assert!(!buffer[(20, 8)].modifier.contains(Modifier::DIM));
}

#[test]
fn questions_and_answers_take_the_last_line() {
    let mut state = state((80, 24), example(3));
    state.update(now(31), Message::Key(Key::Char('R')));
    has(
        &drawn(&state)[23..],
        &["Reload web: replace all 3 workers one by one? y yes, any other key no"],
    );
    state.update(now(31), Message::Key(Key::Char('y')));
    has(&drawn(&state)[23..], &["reload: asked"]);
    let outcome = Err(
        "not permitted: only root, the user of herder and control-group may change this instance"
            .to_owned(),
    );
    state.update(now(31), Message::Answered { call: 1, outcome });
    has(&drawn(&state)[22..], &["reload: not permitted: only root", "change this instance"]);
    state.update(now(31), Message::Key(Key::Char('w')));
    has(&drawn(&state)[23..], &["Number of workers: 3"]);
}

#[test]
fn the_help_has_every_key_at_80_columns() {
    let mut state = state((80, 24), example(3));
    state.update(now(31), Message::Key(Key::Char('?')));
    let lines = drawn(&state);
    for binding in GROUPS.iter().flat_map(|group| group.bindings) {
        has(&lines, &[&format!("{:<11}{}", binding.label, binding.what)]);
    }
}

#[test]
fn hints_are_keys_that_do_something() {
    let labels: Vec<&str> =
        GROUPS.iter().flat_map(|group| group.bindings).map(|binding| binding.label).collect();
    for (label, _) in HINTS.iter().chain(&LIST_HINTS) {
        assert!(labels.contains(label), "{label}");
    }
    assert!(keys::command(Key::Char('x')).is_none());
}

#[test]
fn the_list_has_a_line_for_each_and_what_is_wrong_with_it() {
    let panes = ["api", "web", "queue"].map(|name| Pane::new(name, "journalctl", Duration::ZERO));
    let mut state = State::new(panes.into(), SECOND, Size::new(80, 24), now(0));
    state.update(now(1), Message::Heard { pane: 1, status: Box::new(example(3)) });
    state.update(now(1), Message::Lost { pane: 2, why: "queue is not running".to_owned() });
    let lines = drawn(&state);
    has(
        &lines,
        &[
            "3 instances",
            "api       connecting…",
            "degraded ",
            "2/3",
            "queue     queue is not running",
        ],
    );
}

#[test]
fn without_colour_there_is_none_and_every_word_is_still_there() {
    let state = state((80, 24), example(3));
    let (with, without) =
        (drawn_with(&state, Theme::new(true)), drawn_with(&state, Theme::new(false)));
    let text = |buffer: &Buffer| {
        buffer.content().iter().map(|cell| cell.symbol().to_owned()).collect::<String>()
    };
    assert_eq!(text(&with), text(&without));
    assert!(
        without.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
    );
    assert!(with.content().iter().any(|cell| cell.bg == Color::Yellow));
}

#[test]
fn no_size_is_too_small() {
    for width in [0, 1, 2, 9, 30, 79, 120] {
        for height in (0..16).chain([24, 40]) {
            for workers in [0, 1, 30] {
                let mut state = state((width, height), example(workers));
                for key in [
                    Key::Down,
                    Key::Char('?'),
                    Key::Escape,
                    Key::Char('s'),
                    Key::Escape,
                    Key::Char('w'),
                ] {
                    state.update(now(31), Message::Key(key));
                    if width > 0 && height > 0 {
                        drawn(&state);
                    }
                }
            }
        }
    }
    let lines = drawn(&state((40, 6), example(3)));
    has(&lines, &["web", "SLOT", "starting"]);
}

#[test]
fn what_is_too_long_is_cut_at_its_last_line() {
    assert_eq!(wrapped("one two three", 7, 9), ["one two", "three"]);
    assert_eq!(wrapped("one two three four", 7, 2), ["one two", "three…"]);
    assert!(wrapped("", 5, 2).is_empty());
}
