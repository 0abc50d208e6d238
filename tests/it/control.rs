//! The control socket: which callers may ask for what, what is answered, and that no client can disturb herder.

use crate::client::{Control, Running, command};
use crate::systemd::{Herder, Unit};
use crate::workers::{misbehave, shell};
use herder_wire::status::{State, Status};
use serde_json::Value;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

fn serving() -> Herder {
    let settings = "workers = 2\nready = \"notify\"\n";
    let mut herder = Unit::new(&format!("{settings}{}", misbehave("ready"))).start();
    herder.hears("READY=1");
    herder
}

fn status_of(herder: &Herder, options: &[&str]) -> crate::client::Said {
    let path = herder.path("run");
    let mut arguments = vec!["status", path.to_str().unwrap()];
    arguments.extend(options);
    Running::of(&mut command(&arguments)).ends()
}

#[test]
fn status_is_a_table_for_people_and_json_for_programs() {
    let herder = serving();
    let said = status_of(&herder, &[]);
    assert_eq!(said.code, 0, "{said:?}");
    for words in ["2/2 ready, generation 1", "notified"] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    for worker in herder.serves(2) {
        assert!(said.out.contains(&worker.pid.unwrap().to_string()), "{}", said.out);
    }
    let said = status_of(&herder, &["--json"]);
    let status: Status = serde_json::from_str(&said.out).unwrap();
    assert_eq!((status.state, status.pid), (State::Serving, herder.pid() as u32));
    assert_eq!(status.name, "it");
}

#[test]
fn the_interface_describes_itself() {
    let herder = serving();
    let mut control = Control::open(&herder);
    let reply = control.call("org.varlink.service.GetInfo");
    let interfaces = &reply["parameters"]["interfaces"];
    assert!(interfaces.as_array().unwrap().contains(&"io.herder.Control".into()), "{reply}");
    let ask = r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"io.herder.Control"}}"#;
    control.0.write_all(format!("{ask}\0").as_bytes()).unwrap();
    let reply = control.reply().unwrap();
    let description = reply["parameters"]["description"].as_str().unwrap();
    for word in ["interface io.herder.Control", "method Reload", "method Status"] {
        assert!(description.contains(word), "{description}");
    }
    let reply = control.call("io.herder.Control.NoSuchMethod");
    assert_eq!(reply["error"], "org.varlink.service.MethodNotFound");
    // One connection is good for any number of calls.
    let reply = control.call("io.herder.Control.Status");
    assert_eq!(reply["parameters"]["status"]["ready"], 2);
}

#[test]
fn garbage_closes_its_connection_and_disturbs_no_other() {
    let herder = serving();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n\0"[..], b"\0", b"{}\0", b"[1,2]\0", b"\xff\xfe\0"] {
        let mut control = Control::open(&herder);
        control.0.write_all(garbage).unwrap();
        if let Some(reply) = control.reply() {
            assert!(matches!(reply["error"], Value::String(_)), "{reply}");
        }
        assert_eq!(herder.status().ready, 2);
    }
    // More than any message may have, without an end.
    let mut control = Control::open(&herder);
    let sent = control.0.write_all(&[b'x'; 1 << 20]);
    assert!(sent.is_err() || control.reply().is_none());
    assert_eq!(herder.status().ready, 2);
}

#[test]
fn half_a_request_delays_no_other_client() {
    let herder = serving();
    let mut half = Control::open(&herder);
    half.0.write_all(br#"{"method":"io.herder.Con"#).unwrap();
    assert_eq!(status_of(&herder, &[]).code, 0);
    half.0.write_all(b"trol.Status\"}\0").unwrap();
    assert_eq!(half.reply().unwrap()["parameters"]["status"]["ready"], 2);
    // Everything is said, and the answer still comes.
    let mut last = Control::open(&herder);
    last.send("io.herder.Control.Status");
    last.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(last.reply().unwrap()["parameters"]["status"]["ready"], 2);
    assert!(last.reply().is_none());
}

/// More connections than herder takes, from its own user as a worker's would be: a client that sends a request is
/// answered all the same.
#[test]
fn a_hundred_idle_connections_do_no_harm() {
    let herder = serving();
    let path = herder.path("run/control");
    let idle: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let said = status_of(&herder, &[]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = herder.reload();
    assert_eq!(said.code, 0, "{said:?}");
    drop(idle);
    assert_eq!(herder.status().generation, 2);
}

/// Workers may run under the same user as herder, so herder goes by the session of the caller.
#[test]
fn a_worker_may_look_but_not_reload_its_own_instance() {
    let binary = env!("CARGO_BIN_EXE_herder");
    let command = shell(&format!(
        "{binary} status $RUNTIME_DIRECTORY > $DIR/status; {binary} reload $RUNTIME_DIRECTORY 2> $DIR/said; \
         echo $? > $DIR/code; exec $EXAMPLES/misbehave ready",
    ));
    let herder = Unit::new(&format!("workers = 1\nready = \"notify\"\n{command}")).start();
    assert_eq!(herder.serves(1)[0].generation, 1);
    assert_eq!(herder.lines("code", 1), ["4"]);
    let said = herder.lines("said", 1).concat();
    assert!(said.contains("not permitted: a worker may not"), "{said}");
    assert!(herder.lines("status", 1).concat().contains("starting"));
    assert_eq!(herder.status().generation, 1);
    // Outside the session it is the operator's call.
    assert_eq!(herder.reload().code, 0);
}

#[test]
fn another_user_may_look_but_not_reload() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can ask as another user");
        return;
    }
    let herder = serving();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(herder.path("."), open).unwrap();
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX)\n\
        s.connect(sys.argv[1])\n\
        for method in ('Status', 'Reload'):\n\
        \x20 s.sendall(b'{\"method\":\"io.herder.Control.%s\"}\\0' % method.encode())\n\
        \x20 text = b''\n\
        \x20 while not text.endswith(b'\\0'): text += s.recv(65536)\n\
        \x20 print(text.rstrip(b'\\0').decode())";
    let arguments = ["--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3"];
    let mut command = std::process::Command::new("setpriv");
    command.args(arguments).args(["-c", script]).arg(herder.path("run/control"));
    let said = Running::of(&mut command).ends();
    let replies: Vec<&str> = said.out.lines().collect();
    assert!(replies[0].contains("\"ready\":2"), "{said:?}");
    assert!(replies[1].contains("NotPermitted") && replies[1].contains("user 65534"), "{said:?}");
    assert_eq!(herder.status().generation, 1);
}

/// A control socket that is in the way and no socket is not removed.
#[test]
fn an_instance_can_be_named_by_path_only_if_it_is_one() {
    let herder = serving();
    let said = Running::of(&mut command(&["status", herder.path("it.toml").to_str().unwrap()]));
    assert_ne!(said.ends().code, 0);
    let control = herder.path("run/control");
    assert_eq!(Running::of(&mut command(&["status", control.to_str().unwrap()])).ends().code, 0);
}

#[test]
fn a_herder_that_hangs_is_told_from_one_that_is_not_there() {
    let herder = serving();
    herder.signal(nix::sys::signal::Signal::SIGSTOP);
    let said = status_of(&herder, &[]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("has not answered within"), "{said:?}");
    herder.signal(nix::sys::signal::Signal::SIGCONT);
    assert_eq!(status_of(&herder, &[]).code, 0);
}
