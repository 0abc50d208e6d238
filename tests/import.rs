//! `herder import` as a program: what it prints and writes, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const HERDER: &str = env!("CARGO_BIN_EXE_herder");

fn herder(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(HERDER)
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn every_file_is_recognised_and_printed() {
    for (file, instance) in [
        ("www.conf", "www"),
        ("shop.conf", "api-pool"),
        ("Procfile", "web"),
        ("ecosystem.json", "mailer"),
        ("supervisord.conf", "queue"),
    ] {
        let output = herder(&["import", file], "");
        let (out, err) = texts(&output);
        assert!(output.status.success() && err.is_empty(), "{file}: {err}");
        assert!(out.contains(&format!("\n# /etc/herder/{instance}.toml\n")), "{out}");
    }
}

#[test]
fn standard_input_is_a_file_too() {
    let output = herder(&["import", "--from", "procfile", "--prefix", "a-", "-"], "web: bin/web\n");
    let (out, _) = texts(&output);
    assert!(output.status.success() && out.contains("/etc/herder/a-web.toml"), "{out}");
    assert!(out.contains("standard input") && out.contains("--directory"), "{out}");
    let output = herder(&["import", "--directory", "/srv/a", "-"], "web: bin/web\n");
    assert!(texts(&output).0.contains("directory = \"/srv/a\"\n"));
}

/// What is written is what `herder check` takes, programs and directories that exist presumed.
#[test]
fn what_is_written_can_be_checked_and_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().to_str().unwrap();
    let arguments = ["import", "--output", there, "--directory", "/", "-"];
    let procfile = "web: A='b c' /bin/sh -c 'exit 0' ${PORT}\njobs: /bin/sleep {1}\n";
    let output = herder(&arguments, procfile);
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{err}");
    for name in ["web", "jobs"] {
        let settings = folder.path().join(format!("etc/herder/{name}.toml"));
        assert!(out.contains(settings.to_str().unwrap()), "{out}");
        let output = herder(&["check", settings.to_str().unwrap()], "");
        assert!(output.status.success(), "{:?}", texts(&output));
    }
    let settings = folder.path().join("etc/herder/web.toml");
    let before = fs::read(&settings).unwrap();
    let output = herder(&arguments, "web: /bin/false\n");
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(err.starts_with("herder: nothing is written") && err.contains("web.toml"), "{err}");
    assert_eq!(fs::read(&settings).unwrap(), before);
}

#[test]
fn mistakes_end_with_a_reason_and_a_status() {
    for (arguments, input, status, part) in [
        (&["import"][..], "", 64, "FILE"),
        (&["import", "--from", "upstart", "-"], "", 64, "php-fpm"),
        (&["import", "/no/such/file"], "", 1, "cannot read /no/such/file: No such file"),
        (&["import", "-"], "", 1, "--from"),
        (&["import", "--from", "pm2", "-"], "module.exports = {}", 1, "JSON.stringify"),
        (&["import", "--from", "supervisord", "-"], "[x]\n", 1, "[program:x]"),
    ] {
        let output = herder(arguments, input);
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {err}");
        assert!(out.is_empty() && err.contains(part), "{arguments:?}: {err}");
    }
}

#[test]
fn programs_are_told_how_to_become_data() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ecosystem.config.js");
    fs::write(&file, "module.exports = { apps: [{ script: 'server.js', instances: 2 }] }").unwrap();
    let output = herder(&["import", file.to_str().unwrap()], "");
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    let command = err.split_once("as JSON: ").unwrap().1.trim();
    // As it is told, if there is a node to run it.
    let path = std::env::var("PATH").unwrap();
    let bin = Path::new(HERDER).parent().unwrap().display();
    let output = Command::new("sh")
        .args(["-c", &format!("command -v node >/dev/null || exit 42; {command}")])
        .current_dir(folder.path())
        .env("PATH", format!("{bin}:{path}"))
        .output()
        .unwrap();
    if output.status.code() == Some(42) {
        assert!(std::env::var_os("CI").is_none(), "no node here");
        eprintln!("SKIPPED: there is no node here");
        return;
    }
    let (out, err) = texts(&output);
    assert!(output.status.success() && out.contains("workers = 2"), "{out}\n{err}");
}
