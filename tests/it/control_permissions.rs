//! Permissions on control sockets: which users may change an instance, which may only look, and over which sockets.

use crate::client::{Control, Running};
use crate::systemd::{Herder, Unit};
use crate::wait::until;
use crate::workers::{listener, misbehave, shell};
use herder_wire::control::Method;
use herder_wire::level::LogLevel;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command};

/// Sends the calls it reads, each after the answer to the one before, and prints the answers.
const CLIENT: &str = "import socket, sys\n\
    s = socket.socket(socket.AF_UNIX)\n\
    s.connect(sys.argv[1])\n\
    for call in sys.argv[2:]:\n\
    \x20 s.sendall(call.encode() + b'\\0')\n\
    \x20 text = b''\n\
    \x20 while not text.endswith(b'\\0'): text += s.recv(65536)\n\
    \x20 print(text.rstrip(b'\\0').decode())\n";

fn settings(more: &str) -> String {
    format!("workers = 1\nready = \"notify\"\n{more}{}", misbehave("ready"))
}

fn serving(unit: Unit) -> Herder {
    let mut herder = unit.start();
    herder.hears("READY=1");
    // Other users have to be able to reach the socket.
    fs::set_permissions(herder.path("."), Permissions::from_mode(0o755)).unwrap();
    herder
}

fn text(method: Method) -> String {
    let message = method.request(method == Method::Events).to_message();
    String::from_utf8(message).unwrap().trim_end_matches('\0').to_owned()
}

/// The answers to a process that setpriv(1) starts with these options.
fn asked_as(user: &[&str], socket: &Path, methods: &[Method]) -> Vec<Value> {
    let mut command = Command::new("setpriv");
    command.args(user).args(["/usr/bin/python3", "-c", CLIENT]).arg(socket);
    command.args(methods.iter().map(|method| text(method.clone())));
    let said = Running::of(&mut command).ends();
    let replies = said.out.lines().map(|line| serde_json::from_str(line).unwrap());
    let replies: Vec<Value> = replies.collect();
    assert_eq!(replies.len(), methods.len(), "{said:?}");
    replies
}

fn is_refused(reply: &Value) -> bool {
    reply["error"] == "io.herder.Control.NotPermitted"
}

fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can ask as another user");
    }
    is_root
}

const CHANGES: [Method; 7] = [
    Method::Reload { previous: false },
    Method::Reload { previous: true },
    Method::AbortReload,
    Method::Scale { workers: 1 },
    Method::Recycle { slot: Some(0) },
    Method::StopWorker { worker: 0 },
    Method::SetLogLevel { level: LogLevel::Info },
];

#[test]
fn root_and_the_group_may_change_and_every_user_may_look() {
    if !is_root() {
        return;
    }
    let herder = serving(Unit::new(&settings("control-group = \"4242\"\n")));
    let socket = herder.path("run/control");
    let nobody = ["--reuid=65534", "--regid=65534"];
    for (user, may) in [
        (vec!["--clear-groups"], true),
        ([&nobody[..], &["--clear-groups"]].concat(), false),
        ([&nobody[..], &["--groups=4241,4243"]].concat(), false),
        ([&nobody[..], &["--groups=4241,4242,4243"]].concat(), true),
        (vec!["--reuid=65534", "--regid=4242", "--clear-groups"], true),
    ] {
        for reply in asked_as(&user, &socket, &[Method::Status, Method::Describe]) {
            assert_eq!(reply["error"], Value::Null, "{user:?}: {reply}");
        }
        for reply in asked_as(&user, &socket, &CHANGES) {
            assert_eq!(is_refused(&reply), !may, "{user:?}: {reply}");
            if !may {
                let reason = reply["parameters"]["reason"].as_str().unwrap();
                assert!(reason.contains("group 4242 (`control-group`"), "{reason}");
            }
        }
    }
    herder.logs("user 65534 (pid ");
}

#[test]
fn the_group_changes_with_a_reload() {
    if !is_root() {
        return;
    }
    let herder = serving(Unit::new(&settings("")));
    let socket = herder.path("run/control");
    let member = ["--reuid=65534", "--regid=4242", "--clear-groups"];
    let ask = || asked_as(&member, &socket, &[Method::Scale { workers: 1 }]).remove(0);
    let reply = ask();
    assert!(is_refused(&reply), "{reply}");
    assert!(
        reply["parameters"]["reason"].as_str().unwrap().contains("can name a group"),
        "{reply}"
    );
    herder.settings(&settings("control-group = 4242\n"));
    assert_eq!(herder.reload().code, 0);
    assert_eq!(ask()["error"], Value::Null);
    herder.settings(&settings("control-group = \"no-such-group\"\n"));
    let said = herder.reload();
    assert_eq!(said.code, 1);
    assert!(said.err.contains("it.toml:3:1: `control-group`: there is no group"), "{said:?}");
    assert_eq!(ask()["error"], Value::Null, "the group is still the one in service");
}

#[test]
fn a_group_that_does_not_exist_is_a_settings_error() {
    let mut herder = Unit::new(&settings("control-group = \"no-such-group\"\n")).start();
    assert_eq!(herder.exits(), 78);
    herder.logs("there is no group `no-such-group` on this machine");
}

/// A worker may not change the instance, whatever its user, its group, its session and its parents are.
#[test]
fn no_worker_may_change_the_instance_even_in_the_group() {
    if !is_root() {
        return;
    }
    let ask = |options: &str, file: &str| {
        format!(
            "setsid -f setpriv {options} /usr/bin/python3 $DIR/client.py $DIR/run/control \
             '{}' > $DIR/{file}.tmp 2>&1 && mv $DIR/{file}.tmp $DIR/{file}",
            text(Method::Scale { workers: 2 })
        )
        .replace("setsid -f ", "setsid -w ")
    };
    let script = format!(
        "{}; {}; exec $EXAMPLES/misbehave ready",
        ask("--clear-groups", "root"),
        ask("--reuid=65534 --regid=4242 --clear-groups", "member"),
    );
    let unit = Unit::new(&format!(
        "workers = 1\nready = \"notify\"\ncontrol-group = 4242\n{}",
        shell(&script)
    ));
    fs::write(unit.path("client.py"), CLIENT).unwrap();
    fs::set_permissions(unit.path("."), Permissions::from_mode(0o755)).unwrap();
    let mut herder = unit.start();
    herder.hears("READY=1");
    for file in ["root", "member"] {
        let said = fs::read_to_string(herder.path(file)).unwrap();
        assert!(said.contains("NotPermitted") && said.contains("a worker may not"), "{said}");
    }
    assert_eq!(herder.status().wanted, 1);
}

/// Has a child connect and end, and calls over its connection, at once or when told that it may.
const HEIR: &str = "import os, socket, sys, time\n\
    path, file, call, wait = sys.argv[1:]\n\
    s = socket.socket(socket.AF_UNIX)\n\
    def ask(text):\n\
    \x20 s.sendall(text.encode() + b'\\0')\n\
    \x20 said = b''\n\
    \x20 while not said.endswith(b'\\0'): said += s.recv(65536)\n\
    \x20 return said.rstrip(b'\\0').decode()\n\
    def put(file, text):\n\
    \x20 open(file + '.tmp', 'w').write(text)\n\
    \x20 os.rename(file + '.tmp', file)\n\
    child = os.fork()\n\
    if child == 0:\n\
    \x20 s.connect(path)\n\
    \x20 ask('{\"method\":\"org.varlink.service.GetInfo\"}')\n\
    \x20 os._exit(0)\n\
    os.waitpid(child, 0)\n\
    put(file + '.pid', str(child))\n\
    while wait == 'wait' and not os.path.exists(file + '.go'): time.sleep(0.01)\n\
    put(file, ask(call))\n";

/// Starts a process with this number, which is free, if the kernel can be told to (CAP_CHECKPOINT_RESTORE).
fn process_with(pid: u32) -> Option<Child> {
    let last = Path::new("/proc/sys/kernel/ns_last_pid");
    for _ in 0..1000 {
        fs::write(last, (pid - 1).to_string()).ok()?;
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        if child.id() == pid {
            return Some(child);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    None
}

/// A connection of a worker stays one of a worker, also when the process that opened it has ended, or when another
/// process has its pid by now.
#[test]
fn no_worker_may_change_the_instance_by_a_process_that_has_ended() {
    if !is_root() {
        return;
    }
    let heir = |file: &str, wait: &str| {
        let call = text(Method::Scale { workers: 2 });
        format!("/usr/bin/python3 $DIR/heir.py $DIR/run/control $DIR/{file} '{call}' {wait} & ")
    };
    let script =
        format!("{}{}exec $EXAMPLES/misbehave ready", heir("gone", "no"), heir("another", "wait"));
    let unit = Unit::new(&format!("workers = 1\nready = \"notify\"\n{}", shell(&script)));
    fs::write(unit.path("heir.py"), HEIR).unwrap();
    let mut herder = unit.start();
    herder.hears("READY=1");
    let refused = |herder: &Herder, file: &str| {
        until("it was answered", || herder.path(file).exists());
        let said = fs::read_to_string(herder.path(file)).unwrap();
        assert!(said.contains("NotPermitted"), "{said}");
        assert_eq!(herder.status().wanted, 1);
    };
    refused(&herder, "gone");

    until("it has connected", || herder.path("another.pid").exists());
    let pid = fs::read_to_string(herder.path("another.pid")).unwrap().parse().unwrap();
    let Some(mut another) = process_with(pid) else {
        eprintln!("skipped: the kernel does not give a process the number it is told to");
        return;
    };
    fs::write(herder.path("another.go"), "").unwrap();
    refused(&herder, "another");
    another.kill().unwrap();
    another.wait().unwrap();
}

#[test]
fn a_control_socket_that_was_handed_over_is_served_beside_its_own() {
    let unit = Unit::new(&settings("listen = [\"$DIR/web.sock\"]\n"));
    let path = unit.path("their.control");
    let socket = UnixListener::bind(&path).unwrap();
    let mut herder = serving(unit.socket("herder-control", socket));
    let mut control = Control::on(UnixStream::connect(&path).unwrap());
    let status = control.outcome(Method::Status).unwrap();
    let sockets = status["status"]["sockets"].as_array().unwrap().clone();
    assert_eq!(sockets.len(), 1, "workers do not get it, and `listen` is bound all the same");
    assert_eq!(sockets[0]["address"], herder.path("web.sock").display().to_string());
    assert_eq!(control.outcome(Method::Scale { workers: 2 }).unwrap()["ready"], 2);
    assert_eq!(herder.status().ready, 2, "and its own is there, too");
    let pid = herder.serves(2)[0].pid.unwrap();
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    assert_eq!(fds, 4, "standard input, output, error and one socket");
    assert_eq!(herder.stops(), 0);
    assert!(path.exists(), "it is systemd's");
    assert!(!herder.path("run/control").exists());
}

#[test]
fn a_control_socket_without_peer_credentials_is_refused() {
    let mut herder = Unit::new(&settings("")).socket("herder-control", listener()).start();
    assert_eq!(herder.exits(), 78);
    herder.logs("cannot be a control socket: it has to be a UNIX stream socket");
}

#[test]
fn the_log_names_callers_whose_request_is_accepted_and_no_others() {
    if !is_root() {
        return;
    }
    let herder = serving(Unit::new(&settings("")).options(&["--log-format=json"]));
    let socket = herder.path("run/control");
    let stranger = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let scale = Method::Scale { workers: 2 };
    assert!(is_refused(&asked_as(&stranger, &socket, std::slice::from_ref(&scale))[0]));
    assert!(!is_refused(&asked_as(&["--clear-groups"], &socket, &[scale])[0]));
    until("it is logged", || herder.log().contains("change_requested"));
    let log = herder.log();
    let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let asked: Vec<Value> =
        entries.filter(|entry| entry["HERDER_EVENT"] == "change_requested").collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0]["HERDER_CLIENT_UID"], "0");
    assert_eq!(asked[0]["HERDER_METHOD"], "Scale");
    assert!(asked[0]["HERDER_CLIENT_PID"].as_str().unwrap().parse::<i32>().unwrap() > 1);
}
