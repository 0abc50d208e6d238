//! Presets in a herder that runs: what a worker is started with, and what is refused.

use crate::systemd::{Herder, Unit};
use crate::workers::{listener, script};
use nix::sys::socket::{Backlog, listen};
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// A program that notes its arguments beside itself, and lives.
const NOTES: &str = "#!/bin/sh\nprintf '%s\\n' \"$@\" > \"$0.part\"\nmv \"$0.part\" \"$0.arguments\"\n\
                     exec sleep 600\n";

fn refused(unit: Unit, words: &[&str]) {
    let mut herder = unit.start();
    assert_eq!(herder.exits(), 78);
    for words in words {
        assert!(herder.log().contains(words), "{words}");
    }
}

fn noted(herder: &Herder, program: &str) -> Vec<String> {
    let path = herder.path(&format!("{program}.arguments"));
    crate::wait::until("the arguments are noted", || path.exists());
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_worker_gets_what_its_server_lacks_with_the_sockets_own_backlog() {
    let socket = listener();
    listen(&socket, Backlog::new(77).unwrap()).unwrap();
    let settings = "preset = \"uvicorn\"\nworkers = 1\nready = \"exec\"\n\
                    command = [\"$DIR/uvicorn\", \"mysite.asgi:application\"]\n";
    let unit = Unit::new(settings).socket("web", socket);
    script(&unit.path("uvicorn"), NOTES);
    let herder = unit.start();
    let expected = ["--fd", "3", "--workers", "1", "--backlog", "77", "mysite.asgi:application"];
    assert_eq!(noted(&herder, "uvicorn"), expected);
}

#[test]
fn the_backlog_of_a_unix_socket_is_known_too() {
    let settings = "preset = \"uvicorn\"\nworkers = 1\nready = \"exec\"\n\
                    command = [\"$DIR/uvicorn\", \"a:b\"]\n";
    let unit = Unit::new(settings);
    let socket = UnixListener::bind(unit.path("socket")).unwrap();
    listen(&socket, Backlog::new(78).unwrap()).unwrap();
    script(&unit.path("uvicorn"), NOTES);
    let herder = unit.socket("web", socket).start();
    let backlog = noted(&herder, "uvicorn")[5].clone();
    // Without the kernel's module unix_diag herder cannot read the backlog, and passes the kernel's maximum on.
    assert!(["78", "4096"].contains(&backlog.as_str()), "{backlog}");
}

#[test]
fn a_preset_without_a_socket_is_78() {
    let unit = Unit::new("preset = \"gunicorn\"\ncommand = [\"$DIR/gunicorn\", \"a:b\"]\n");
    script(&unit.path("gunicorn"), NOTES);
    refused(
        unit,
        &[
            "it.toml:1:1: `preset` gunicorn: there is no socket for the server to serve",
            "systemctl start herder@it.socket",
            "--listen ADDRESS",
        ],
    );
}

/// Unless the package is installed.
#[test]
fn a_program_of_herders_own_that_is_missing_is_named() {
    if Path::new("/usr/lib/herder/node.js").exists() {
        return;
    }
    let unit = Unit::new("preset = \"node\"\ncommand = [\"$DIR/node\", \"server.js\"]\n");
    script(&unit.path("node"), NOTES);
    let words = ["it.toml:1:1: `preset`: /usr/lib/herder/node.js is not there", "adapters/"];
    refused(unit.socket("web", listener()), &words);
}

#[test]
fn sockets_that_the_server_cannot_serve_are_refused() {
    let unit = Unit::new("preset = \"php-fpm\"\ncommand = [\"$DIR/php-fpm8.2\"]\n");
    script(&unit.path("php-fpm8.2"), NOTES);
    let socket = UnixListener::bind(unit.path("socket")).unwrap();
    let words =
        ["removes the file of its socket when it ends", "is where it may", "may not write to"];
    refused(unit.socket("web", socket), &words);
    let unit = Unit::new("preset = \"starman\"\ncommand = [\"$DIR/starman\"]\n");
    script(&unit.path("starman"), NOTES);
    let socket = UnixListener::bind(unit.path("socket")).unwrap();
    refused(
        unit.socket("web", socket),
        &["fails at the first connection", "ListenStream=127.0.0.1"],
    );

    let unit = Unit::new("preset = \"php-cgi\"\ncommand = [\"$DIR/php-cgi\"]\n");
    script(&unit.path("php-cgi"), NOTES);
    let unit = unit.socket("a", listener()).socket("b", listener());
    refused(unit, &["serves the first socket only, and there are 2", "name one in `sockets`"]);
}
