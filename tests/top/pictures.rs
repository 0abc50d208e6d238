//! The screens to be looked at: as pages in `pictures/` of the directory cargo gives to tests, or, if
//! `HERDER_PICTURES` says where, as pages and pictures there. A browser takes its time to make those.

use crate::html::{DARK, LIGHT, page};
use crate::scene;
use crate::standin::StandIn;
use crate::tmux::{self, Terminal, quoted};
use herder_wire::status::Status;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (200, 50);

/// Where pictures are wanted.
const PLACE: &str = "HERDER_PICTURES";

fn directory() -> PathBuf {
    let asked = std::env::var_os(PLACE).map(PathBuf::from);
    let directory =
        asked.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pictures"));
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// The first browser there is.
fn browser() -> Option<&'static str> {
    let runs = |name: &&str| {
        let version = Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        version.is_ok_and(|status| status.success())
    };
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(runs)
}

/// Keeps the screen as pages, in light and dark, and as pictures where these are wanted.
fn keep(name: &str, terminal: &Terminal, size: (u16, u16)) {
    let painted = terminal.painted();
    for palette in [LIGHT, DARK] {
        let path = directory().join(format!("{name}-{}x{}-{}", size.0, size.1, palette.name));
        let html = path.with_extension("html");
        fs::write(&html, page(&painted, palette)).unwrap();
        if let (Some(browser), true) = (browser(), std::env::var_os(PLACE).is_some()) {
            take(browser, &html, size, &path.with_extension("png"));
        }
    }
}

fn take(browser: &str, html: &Path, size: (u16, u16), png: &Path) {
    let width = f64::from(size.0) * 8.43 + 16.0;
    let profile = tempfile::tempdir().unwrap();
    let made = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
        .arg(format!("--window-size={},{}", width.ceil(), u32::from(size.1) * 17 + 16))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--screenshot={}", png.display()))
        .arg(format!("file://{}", html.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(made.is_ok_and(|status| status.success()) && png.exists(), "{}", png.display());
}

/// Shows this, and does that, in a terminal of each size; what is then on the screen is kept.
fn picture(
    name: &str,
    sizes: &[(u16, u16)],
    script: fn(Duration) -> Status,
    keys: &[&str],
    texts: &[&str],
) {
    if !tmux::is_there() {
        return;
    }
    for &size in sizes {
        let dir = tempfile::tempdir().unwrap();
        let _herder = StandIn::start(&dir.path().join("web"), script);
        let terminal =
            Terminal::herder(size, &format!("top -d 100ms {}", quoted(&dir.path().join("web"))));
        // A past of some length.
        terminal.shows(&["SLOT"]);
        terminal.shows_when("a past", |screen| {
            screen.chars().filter(|letter| ('▁'..='█').contains(letter)).count() > 20
        });
        for key in keys {
            terminal.press(&[key]);
        }
        terminal.shows(texts);
        keep(name, &terminal, size);
        assert_eq!(terminal.knows("#{alternate_on}"), "1");
        terminal.press(&["Escape"]);
        terminal.press(&["q"]);
    }
}

#[test]
fn serving_with_3_workers() {
    picture(
        "serving-3",
        &[SMALL, LARGE],
        |at| scene::serving(at, 3),
        &[],
        &["serving", "3/3 ready"],
    );
}

#[test]
fn serving_with_300_workers() {
    let script = |at| scene::serving(at, 300);
    picture("serving-300", &[SMALL, LARGE], script, &["P"], &["300/300 ready", "▼CPU"]);
}

#[test]
fn degraded_with_a_selected_worker() {
    let script = |at| scene::degraded(at, 3);
    picture("degraded-3", &[SMALL, LARGE], script, &["Down", "Down", "Down"], &["── worker 41"]);
}

#[test]
fn degraded_with_300_workers() {
    let script = |at| scene::degraded(at, 300);
    picture("degraded-300", &[SMALL, LARGE], script, &[], &["degraded", "of 301"]);
}

#[test]
fn in_the_middle_of_a_reload() {
    let script = |at| scene::reloading(at, 30);
    picture(
        "reloading-30",
        &[SMALL, LARGE],
        script,
        &["R"],
        &["20/30 to generation 8", "one by one?"],
    );
}

#[test]
fn with_the_help() {
    picture(
        "help",
        &[SMALL, LARGE],
        |at| scene::serving(at, 3),
        &["?"],
        &["stop the selected worker"],
    );
}

#[test]
fn with_the_choice_of_a_column() {
    picture("sort", &[SMALL], |at| scene::serving(at, 30), &["s"], &["Sort by"]);
}

#[test]
fn of_an_instance_that_has_gone() {
    if !tmux::is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web");
    let herder = StandIn::start(&path, |at| scene::degraded(at, 3));
    let terminal = Terminal::herder(SMALL, &format!("top -d 100ms {}", quoted(&path)));
    terminal.shows(&["2/3 ready"]);
    drop(herder);
    terminal.shows(&["web is not running: no process listens at"]);
    keep("gone", &terminal, SMALL);
}

#[test]
fn of_several_instances() {
    if !tmux::is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let start = |name: &'static str, script: fn(Duration) -> Status| {
        let script = move |at| Status { name: name.to_owned(), ..script(at) };
        StandIn::start(&dir.path().join("herder").join(name), script)
    };
    let _api = start("zz-api", |at| scene::serving(at, 12));
    let _shop = start("zz-shop", |at| scene::reloading(at, 30));
    let _web = start("zz-web", |at| scene::degraded(at, 4));
    let environment = format!("env -u RUNTIME_DIRECTORY XDG_RUNTIME_DIR={}", quoted(dir.path()));
    for size in [SMALL, LARGE] {
        let terminal = Terminal::running(size, &format!("{environment} {} top", tmux::herder()));
        terminal.shows(&["12/12", "30/30", "3/4"]);
        terminal.press(&["End"]);
        keep("list", &terminal, size);
    }
}

#[test]
fn with_a_refusal() {
    let script = |at| scene::serving(at, 3);
    picture("refused", &[SMALL], script, &["R", "y"], &["not permitted: only root"]);
}
