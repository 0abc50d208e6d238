//! The working directory and the program of workers, resolved once, with an explanation when that fails.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::Surroundings;
use herder_config::{Problems, Settings};

/// `directory`, with every symbolic link followed.
pub fn directory(
    settings: &Settings,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<PathBuf> {
    let written = surroundings.directory.join(settings.directory.as_ref()?);
    let mut wrong = |message: String, advice: &str| {
        let message = format!("`directory`: {} {message}", written.display());
        problems.advise(settings.origins.get("directory"), "directory", message, advice);
        None
    };
    let path = match fs::canonicalize(&written) {
        Ok(path) => path,
        Err(error) => {
            return wrong(format!("cannot be resolved: {error}"), "create it, or correct the path");
        }
    };
    if !path.is_dir() {
        return wrong("is not a directory".to_owned(), "name the directory workers are to work in");
    }
    if let Err(error) = access(&path, AccessFlags::X_OK) {
        let error = io::Error::from(error);
        return wrong(
            format!("cannot be entered by this user: {error}"),
            "run as a user that may, or change its permissions (`chmod`)",
        );
    }
    Some(path)
}

/// The path of the program that setting `key` (`command`, `check`) names, with symbolic links
/// followed in all but its last part. Without a slash it is searched in `search` (PATH), else it is
/// relative to `base`.
pub fn find(
    settings: &Settings,
    key: &str,
    written: &str,
    base: &Path,
    search: &OsStr,
    problems: &mut Problems,
) -> Option<PathBuf> {
    let mut wrong = |message: String, advice: &str| {
        problems.advise(settings.origins.get(key), key, message, advice);
        None
    };
    let path = if written.contains('/') {
        base.join(written)
    } else {
        match search_in(written, search) {
            Some(path) => path,
            None => {
                return wrong(
                    format!(
                        "`{key}`: no program `{written}` in PATH ({})",
                        search.to_string_lossy()
                    ),
                    "write its whole path, or set PATH in `environment`",
                );
            }
        }
    };
    match executable(&path) {
        Ok(path) => Some(path),
        Err((message, advice)) => wrong(format!("`{key}`: {message}"), &advice),
    }
}

/// The first executable file of that name. Relative entries of PATH are passed over: what they
/// name changes with the directory.
fn search_in(name: &str, search: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(search)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|path| path.is_file() && access(path, AccessFlags::X_OK).is_ok())
}

/// The path with its directories resolved, or what is wrong and what to do about it.
fn executable(path: &Path) -> Result<PathBuf, (String, String)> {
    let shown = path.display();
    let correct = || "correct the path, or install the program".to_owned();
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err((format!("{shown} does not name a program"), correct()));
    };
    let parent = fs::canonicalize(parent)
        .map_err(|error| (format!("cannot execute {shown}: {error}"), correct()))?;
    let resolved = parent.join(name);
    let metadata = fs::metadata(&resolved)
        .map_err(|error| (format!("cannot execute {shown}: {error}"), correct()))?;
    if !metadata.is_file() {
        return Err((format!("cannot execute {shown}: it is not a regular file"), correct()));
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err((
            format!("cannot execute {shown}: it is not executable"),
            format!("run `chmod +x {shown}`"),
        ));
    }
    if let Err(error) = access(&resolved, AccessFlags::X_OK) {
        let advice = "run as a user that may execute it, or change its permissions (`chmod`)";
        return Err((
            format!("cannot execute {shown}: {}", io::Error::from(error)),
            advice.to_owned(),
        ));
    }
    missing_interpreter(&resolved).map_or(Ok(resolved), Err)
}

/// execve(2) answers ENOENT for a script whose interpreter is missing, as if the script itself were missing.
/// That is typical of Python virtual environments that were moved.
fn missing_interpreter(path: &Path) -> Option<(String, String)> {
    let mut head = Vec::new();
    // A program that may be executed and not read is left to execve(2).
    fs::File::open(path).ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let interpreter = line.trim_matches([' ', '\t']).split([' ', '\t']).next()?;
    if interpreter.is_empty() || Path::new(interpreter).exists() {
        return None;
    }
    let message = format!(
        "cannot execute {}: it begins with `#!{}`, and that interpreter does not exist",
        path.display(),
        interpreter.escape_debug()
    );
    Some((message, "correct its first line, or install it again where it now is".to_owned()))
}
