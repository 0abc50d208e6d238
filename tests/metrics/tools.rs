//! Programs of others, and what they say.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the program is. `None`, said aloud, if it is not installed; in CI it has to be.
pub fn program(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file());
    if found.is_none() {
        missing(name, package);
    }
    found
}

/// The Python of the system, which has the packages of the system, with this module.
pub fn python_with(module: &str, package: &str) -> Option<PathBuf> {
    let python = PathBuf::from("/usr/bin/python3");
    let imports = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    if imports.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    missing(&format!("the Python module {module}"), package);
    None
}

fn missing(what: &str, package: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} is missing: install {package}");
    // Not eprintln!, which is kept back when a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what} is missing: install {package}");
}

/// Runs it with this input; it has to succeed. What it printed.
pub fn run(program: &Path, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // One that does not read all of it says why.
    let _ = pipe.write_all(input.as_bytes());
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(
        output.status.success(),
        "{} {arguments:?}: {}\n{}\nof:\n{input}",
        program.display(),
        output.status,
        said.concat()
    );
    said.concat()
}
