//! What shells offer after `herder`, by the files that are packaged: asked in the shells themselves.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

/// What the shell prints when it runs the script where `herder` is this one, and `dev` runs. `None`,
/// said aloud, if there is no such shell here.
fn offered(shell: &[&str], script: &str) -> Option<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    let instance = dir.path().join("run/herder/dev");
    fs::create_dir(&bin).unwrap();
    fs::create_dir_all(&instance).unwrap();
    let _herder = UnixListener::bind(instance.join("control")).unwrap();
    symlink(env!("CARGO_BIN_EXE_herder"), bin.join("herder")).unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new(shell[0])
        .args(&shell[1..])
        .arg(script)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("completions"))
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("XDG_RUNTIME_DIR", dir.path().join("run"))
        .env("HOME", dir.path())
        .output();
    let Ok(output) = output else {
        assert!(std::env::var_os("CI").is_none(), "no {} here", shell[0]);
        eprintln!("SKIPPED: there is no {} here", shell[0]);
        return None;
    };
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    Some(out.lines().map(str::to_owned).collect())
}

/// What the three have to offer, as `ask` gets it from one of them for the words before the cursor.
fn offers_what_there_is(ask: impl Fn(&[&str]) -> Option<Vec<String>>) {
    let Some(commands) = ask(&["herder", "st"]) else { return };
    assert_eq!(commands, ["status", "stop-worker"]);
    let instances = ask(&["herder", "status", ""]).unwrap();
    assert!(instances.contains(&"dev".to_owned()), "{instances:?}");
    assert!(instances.contains(&"--json".to_owned()), "{instances:?}");
    assert_eq!(ask(&["herder", "run", "--set", "stop-t"]).unwrap(), ["stop-timeout="]);
    assert_eq!(ask(&["herder", "log-level", "dev", "no"]).unwrap(), ["notice"]);
    assert_eq!(ask(&["herder", "import", "--from", "p"]).unwrap(), ["php-fpm", "procfile", "pm2"]);
}

#[test]
fn bash_offers_commands_instances_and_settings() {
    offers_what_there_is(|words| {
        // As bash calls a function for completion; compopt complains outside of one.
        let script = format!(
            "source herder.bash && COMP_WORDS=({}) COMP_CWORD={} COMP_TYPE=9
            function=$(complete -p herder) && function=${{function##*-F }}
            ${{function% *}} herder '{}' 2>/dev/null; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.len() - 1,
            words.last().unwrap()
        );
        offered(&["bash", "--norc", "--noprofile", "-c"], &script)
    });
}

#[test]
fn zsh_offers_commands_instances_and_settings() {
    offers_what_there_is(|words| {
        // As zsh's completion system calls it, which shows what _describe is given.
        let script = format!(
            "compdef() {{ : }}; _describe() {{ print -l -- ${{(P)@[-1]}} }}
            words=({}); CURRENT={}; source ./_herder",
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.len()
        );
        let offered = offered(&["zsh", "-f", "-c"], &script)?;
        let value = |line: String| line.split(':').next().unwrap_or_default().to_owned();
        Some(offered.into_iter().map(value).collect())
    });
}

#[test]
fn fish_offers_commands_instances_and_settings() {
    offers_what_there_is(|words| {
        let script = format!("source herder.fish; complete -C '{}'", words.join(" "));
        let offered = offered(&["fish", "--no-config", "-c"], &script)?;
        let value = |line: String| line.split('\t').next().unwrap_or_default().to_owned();
        Some(offered.into_iter().map(value).collect())
    });
}

#[test]
fn a_completion_variable_that_names_no_shell_is_ignored() {
    for value in ["", "0", "1", "yes", "/usr/bin/nonsense"] {
        let output = Command::new(env!("CARGO_BIN_EXE_herder"))
            .arg("--version")
            .env("COMPLETE", value)
            .output()
            .unwrap();
        assert!(output.status.success(), "{value}");
        assert!(output.stdout.starts_with(b"herder "), "{value}");
    }
}
