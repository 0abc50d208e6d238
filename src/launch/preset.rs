//! Whether what a preset needs is there: sockets that its server can serve, and herder's own programs.

use nix::unistd::{AccessFlags, access};
use std::path::Path;

use super::sockets::Selection;
use herder_config::{Problems, Settings};

/// Where the package has the programs that presets add to a command.
const ADAPTERS: &str = "/usr/lib/herder/";

/// Notes which of herder's own programs the preset has added and nobody has installed.
pub fn has_its_programs(settings: &Settings, problems: &mut Problems) {
    let added = settings.added.iter().flat_map(|added| &added.words);
    for file in added.filter(|word| word.starts_with(ADAPTERS) && !Path::new(word).exists()) {
        problems.advise(
            settings.origins.get("preset"),
            "preset",
            format!("`preset`: {file} is not there, which it adds to `command`"),
            "install the package of herder, or copy the folder adapters/ of its source there",
        );
    }
}

/// Notes what the server of `preset` could not serve, or that there is nothing to serve.
pub fn has_its_sockets(
    settings: &Settings,
    sockets: &Selection,
    instance: &str,
    problems: &mut Problems,
) {
    let Some(preset) = settings.preset else { return };
    let mut wrong = |message: String, advice: String| {
        let message = format!("`preset` {}: {message}", preset.name);
        problems.advise(settings.origins.get("preset"), "preset", message, advice);
    };
    if sockets.is_empty() && !sockets.is_assumed() {
        // What `sockets` says is told already, if it is wrong or says that there is none.
        if settings.sockets.is_none() {
            wrong(
                "there is no socket for the server to serve".to_owned(),
                format!(
                    "run `systemctl start herder@{instance}.socket` first, or without systemd add `--listen ADDRESS`"
                ),
            );
        }
        return;
    }
    let count = sockets.places().most(settings.policy.most_workers());
    if preset.sockets.one && count > 1 {
        wrong(
            format!("the server serves the first socket only, and there are {count}"),
            "name one in `sockets`, and run another instance for the others".to_owned(),
        );
    }
    let may_remove = |path: &&Path| {
        path.parent().is_some_and(|directory| access(directory, AccessFlags::W_OK).is_ok())
    };
    if let Some(path) = sockets.paths().find(may_remove).filter(|_| preset.sockets.unlinks) {
        wrong(
            format!(
                "the server removes the file of its socket when it ends, and {} is where it may",
                path.display()
            ),
            "give it a directory that its user may not write to, or a port, such as ListenStream=127.0.0.1:9000"
                .to_owned(),
        );
    }
    if let Some(why) = preset.sockets.not_unix.filter(|_| sockets.have_unix()) {
        wrong(
            format!("the server {why}"),
            "give it a port, such as ListenStream=127.0.0.1:8000".to_owned(),
        );
    }
}
