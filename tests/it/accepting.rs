//! Workers that send no READY=1: herder looks whether they wait on the socket that they were given, and reports
//! what is wrong with workers that never will.

use crate::client::{Running, command};
use crate::systemd::{Herder, Unit, examples};
use crate::wait::until;
use crate::workers::{listener, misbehave, shell};
use herder_wire::status::Evidence;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

/// A short `start-timeout`, for workers that never get ready.
const IMPATIENT: &str = "workers = 1\nstart-timeout = \"700ms\"\n";
const ACCEPTING: &str = "workers = 1\nready = \"accepting\"\n";

fn on(socket: TcpListener, settings: &str) -> Herder {
    Unit::new(settings).socket("web", socket).start()
}

fn first_evidence(herder: &Herder) -> Option<Evidence> {
    herder.serves(1)[0].evidence
}

#[test]
fn every_way_to_wait_is_seen() {
    let ways = [
        "accept",
        "poll",
        "select",
        "epoll",
        "wait 300 thread accept",
        "child epoll",
        "child child thread poll",
    ];
    for steps in ways {
        let socket = listener();
        let address = socket.local_addr().unwrap();
        let mut herder = on(socket, &format!("{ACCEPTING}{}", misbehave(steps)));
        herder.hears("READY=1");
        assert_eq!(first_evidence(&herder), Some(Evidence::Accepting), "{steps}");
        herder.logs("(accepting)");
        let mut answer = String::new();
        TcpStream::connect(address).unwrap().read_to_string(&mut answer).unwrap();
        assert!(answer.parse::<u32>().is_ok(), "{steps}: {answer:?}");
        let counters = herder.status().counters;
        assert_eq!(counters.failures, 0, "{steps}");
    }
}

#[test]
fn waiting_on_any_kind_of_socket_is_seen() {
    let unit = Unit::new(&format!("{ACCEPTING}{}", misbehave("accept")));
    let path = unit.path("web");
    let mut herder = unit.socket("web", UnixListener::bind(path).unwrap()).start();
    herder.hears("READY=1");
    assert_eq!(first_evidence(&herder), Some(Evidence::Accepting));

    let unit = Unit::new(&format!("{ACCEPTING}{}", misbehave("receive")));
    let mut herder = unit.socket("dns", UdpSocket::bind("127.0.0.1:0").unwrap()).start();
    herder.hears("READY=1");
    assert_eq!(first_evidence(&herder), Some(Evidence::Accepting));
}

/// The Python standard library waits with poll(2) and a time-out, or with an epoll set.
#[test]
fn servers_that_know_nothing_of_herder_are_seen() {
    if Command::new("python3").arg("-c").arg("").status().is_err() {
        eprintln!("skipped: there is no python3");
        return;
    }
    let http = "import http.server, socket\n\
                server = http.server.HTTPServer(('', 0), http.server.BaseHTTPRequestHandler, False)\n\
                server.socket = socket.socket(fileno=3)\nserver.serve_forever()";
    let asyncio = "import asyncio, socket\n\
                   async def main():\n    \
                   server = await asyncio.start_server(print, sock=socket.socket(fileno=3))\n    \
                   await server.serve_forever()\nasyncio.run(main())";
    for program in [http, asyncio] {
        let program = serde_json::to_string(program).unwrap();
        let command = format!("command = [\"python3\", \"-c\", {program}]\n");
        let mut herder = on(listener(), &format!("workers = 2\n{command}"));
        herder.hears("READY=1");
        for worker in herder.serves(2) {
            assert_eq!(worker.evidence, Some(Evidence::Accepting), "{program}");
        }
    }
}

/// Under load a server may never be seen waiting, because it never waits.
#[test]
fn a_server_that_always_has_a_client_becomes_ready() {
    let socket = listener();
    let mut client = TcpStream::connect(socket.local_addr().unwrap()).unwrap();
    client.write_all(b"x").unwrap();
    let mut herder = on(socket, &format!("{ACCEPTING}{}", misbehave("hold")));
    herder.hears("READY=1");
    assert_eq!(first_evidence(&herder), Some(Evidence::Accepting));
}

#[test]
fn auto_takes_the_first_evidence() {
    let mut herder = on(listener(), &format!("workers = 1\n{}", misbehave("wait 100 epoll")));
    herder.hears("READY=1");
    assert_eq!(first_evidence(&herder), Some(Evidence::Accepting));
    // READY=1 from the worker replaces other evidence later.
    let steps = "thread notify STATUS=warm wait 1000 ready epoll";
    let herder = on(listener(), &format!("workers = 1\n{}", misbehave(steps)));
    assert_eq!(first_evidence(&herder), Some(Evidence::Notified));
    let herder = on(listener(), &format!("workers = 1\n{}", misbehave("ready")));
    assert_eq!(first_evidence(&herder), Some(Evidence::Notified));
}

/// Waits until herder has found what is wrong with the worker, and returns the text, which is the same in the log, in
/// the status and for systemd.
fn never_ready(settings: &str, command: &str) -> String {
    let mut herder = on(listener(), &format!("{settings}{command}"));
    herder.logs(", stopping it: ");
    let log = herder.log();
    let line = log.lines().find(|line| line.contains(", stopping it: ")).unwrap();
    let (when, why) = line.split_once(", stopping it: ").unwrap();
    let when = when.split_once("was not ready within ").unwrap().1;
    let status = herder.is("the failure is known", |status| {
        status.workers.iter().any(|worker| worker.last_exit.is_some())
    });
    assert_eq!((status.ready, status.counters.crashes), (0, 0));
    assert!(status.counters.timed_out > 0, "{:?}", status.counters);
    herder.has_said(&format!("STATUS=starting 0/1: slot 0 was not ready within {when}: {why}"));
    assert!(herder.heard().iter().all(|datagram| !datagram.says("READY=1")));
    why.to_owned()
}

#[test]
fn a_worker_that_does_not_wait_is_reported() {
    for settings in [IMPATIENT.to_owned(), format!("ready = \"accepting\"\n{IMPATIENT}")] {
        let why = never_ready(&settings, &misbehave("wait 60000"));
        assert!(why.starts_with("it has descriptor 3, web (127.0.0.1:"), "{why}");
        assert!(why.contains("does not wait on that: if it only needs longer"), "{why}");
    }
}

#[test]
fn a_worker_that_listens_on_another_address_is_reported_with_it() {
    let why = never_ready(IMPATIENT, &misbehave("elsewhere"));
    let (address, rest) =
        why.strip_prefix("it listens on 127.0.0.1:").unwrap().split_once(',').unwrap();
    assert!(address.parse::<u16>().is_ok(), "{why}");
    assert!(rest.starts_with(" and does not wait on descriptor 3, web (127.0.0.1:"), "{why}");
}

#[test]
fn a_worker_that_has_closed_the_socket_is_reported() {
    let why = never_ready(IMPATIENT, &shell("exec $EXAMPLES/misbehave accept 3<&-"));
    assert!(why.starts_with("it has closed descriptor 3, web (127.0.0.1:"), "{why}");
    assert!(why.contains("npm start"), "{why}");
}

/// npm start, npx and Python's subprocess do that.
#[test]
fn a_wrapper_that_does_not_pass_the_socket_on_is_reported() {
    let why = never_ready(IMPATIENT, &shell("$EXAMPLES/misbehave accept 3<&-; exit 0"));
    assert!(why.starts_with("sh (pid "), "{why}");
    assert!(why.contains(") has the socket and has not passed it on to misbehave (pid "), "{why}");
}

/// Under npm start a Node server cannot use its descriptor, and ends at once.
#[test]
fn a_mistake_is_named_also_when_it_ends_the_worker() {
    let script = "sleep 0.3; $EXAMPLES/misbehave wait 300 exit 3 3<&-; exit 1";
    let herder = on(listener(), &format!("workers = 1\n{}", shell(script)));
    herder.logs(" exited with status 1 before it was ready, ");
    let log = herder.log();
    let line = log.lines().find(|line| line.contains(" exited with status 1 before")).unwrap();
    assert!(line.contains("old; unless it says why itself: sh (pid "), "{line}");
    assert!(line.contains("passed it on to misbehave"), "{line}");
}

/// gunicorn closes its sockets when the application raises while it is imported, and so does every exiting program in
/// Python and Ruby.
#[test]
fn a_socket_closed_while_the_worker_exits_is_not_reported_as_the_mistake() {
    let script = "sleep 0.2; exec 3<&-; sleep 0.6; exit 3";
    let herder = on(listener(), &format!("workers = 1\n{}", shell(script)));
    herder.logs(" exited with status 3 before it was ready, ");
    let log = herder.log();
    let line = log.lines().find(|line| line.contains(" exited with status 3 before")).unwrap();
    assert!(line.ends_with(" old") && !log.contains("closed descriptor"), "{line}");
}

#[test]
fn a_wrapper_that_listen_pid_names_is_reported_with_the_remedy() {
    let command = shell("$EXAMPLES/misbehave accept; exit 0");
    let why = never_ready(IMPATIENT, &command);
    assert!(why.starts_with("LISTEN_PID is "), "{why}");
    assert!(why.contains("which is sh (pid ") && why.contains("the server is misbehave"), "{why}");
    for command in [
        format!("listen-pid = \"omit\"\n{command}"),
        shell("exec $EXAMPLES/misbehave accept; exit 0"),
    ] {
        let herder = on(listener(), &format!("workers = 1\n{command}"));
        assert_eq!(first_evidence(&herder), Some(Evidence::Accepting));
    }
}

#[test]
fn the_status_says_what_a_starting_worker_does_instead() {
    let mut herder = on(listener(), &format!("workers = 1\n{}", misbehave("elsewhere")));
    let status = herder.is("it was seen", |status| {
        let diagnosis = status.workers.first().and_then(|worker| worker.diagnosis.as_deref());
        diagnosis.is_some_and(|why| why.starts_with("it listens on 127.0.0.1:"))
    });
    assert_eq!(status.workers[0].evidence, None);
    let run = herder.path("run");
    let out = Running::of(&mut command(&["status", run.to_str().unwrap()])).ends().out;
    assert!(out.contains("it listens on 127.0.0.1:"), "{out}");
    // STATUS= says it only when the start takes long.
    herder.has_said("STATUS=starting 0/1: worker 1 (slot 0) it listens on 127.0.0.1:");
    assert_eq!(herder.stops(), 0);
}

#[test]
fn a_version_that_never_accepts_replaces_nothing() {
    let settings = |steps: &str| format!("{IMPATIENT}{}", misbehave(steps));
    let mut herder = on(listener(), &settings("accept"));
    herder.hears("READY=1");
    herder.settings(&settings("elsewhere"));
    let said = herder.reload();
    assert_eq!(said.code, 1);
    assert!(said.err.contains(": it listens on 127.0.0.1:"), "{said:?}");
    let workers = herder.serves(1);
    assert_eq!((workers[0].id, workers[0].generation), (1, 1));
    // And a good one does, with proof.
    herder.settings(&settings("wait 50 poll"));
    assert_eq!(herder.reload().code, 0);
    let serves = herder.is("only the new one is left", |status| status.workers.len() == 1);
    assert_eq!(serves.workers[0].evidence, Some(Evidence::Accepting));
}

#[test]
fn without_a_socket_auto_is_assumed_and_accepting_is_refused() {
    let settings = "workers = 1\nready-after = \"50ms\"\n";
    let mut herder = Unit::new(&format!("{settings}{}", misbehave(""))).start();
    herder.hears("READY=1");
    assert_eq!(first_evidence(&herder), Some(Evidence::Assumed));

    let mut herder = Unit::new(&format!("{ACCEPTING}{}", misbehave(""))).start();
    assert_eq!(herder.exits(), 78);
    let log = herder.log();
    assert!(
        log.contains("`ready` is \"accepting\", and workers get no socket to be seen"),
        "{log}"
    );
    assert!(log.contains("hand one over (a .socket unit, or `--listen`)"), "{log}");

    // Neither a FIFO nor a socket that the worker does not get will do.
    let unit = Unit::new(&format!("{ACCEPTING}sockets = [\"fifo\"]\n{}", misbehave("")));
    nix::unistd::mkfifo(&unit.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let fifo = fs::File::options().read(true).write(true).open(unit.path("fifo")).unwrap();
    let mut herder = unit.socket("fifo", fifo).socket("web", listener()).start();
    assert_eq!(herder.exits(), 78);
}

/// A program that may be executed and not read hides from its own user (ptrace(2), PR_SET_DUMPABLE).
fn hidden(settings: &str) -> Unit {
    let unit = Unit::new(&format!("{settings}command = [\"$DIR/hidden\", \"epoll\"]\n"));
    let hidden = unit.path("hidden");
    fs::copy(examples().join("misbehave"), &hidden).unwrap();
    fs::set_permissions(&hidden, PermissionsExt::from_mode(0o111)).unwrap();
    let unit = unit.socket("web", listener());
    if !nix::unistd::geteuid().is_root() {
        return unit;
    }
    // Nothing is hidden from root.
    for path in [unit.path("."), unit.path("notify")] {
        fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
    }
    unit.through(&["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
}

#[test]
fn a_worker_that_cannot_be_looked_at_is_assumed_ready_unless_proof_is_wanted() {
    let mut herder = hidden("workers = 1\nready-after = \"100ms\"\n").start();
    herder.hears("READY=1");
    assert_eq!(first_evidence(&herder), Some(Evidence::Assumed));

    let herder = hidden(&format!("ready = \"accepting\"\n{IMPATIENT}")).start();
    herder.logs("stopping it: herder cannot see whether it waits on its socket: ");
    herder.logs("herder may not look into process ");
}

/// A look is short however large the worker is; descriptors and threads beyond its limit stay unseen.
#[test]
fn a_look_at_a_large_worker_is_bounded() {
    let settings = "workers = 1\nready-after = \"20ms\"\n";
    let herder = on(listener(), &format!("{settings}{}", misbehave("threads 2500 wait 60000")));
    assert_eq!(first_evidence(&herder), Some(Evidence::Assumed));
    // A wait that the look finds before its limit counts, however much else there is.
    let settings = "workers = 1\nready-after = \"1min\"\n";
    let herder = on(listener(), &format!("{settings}{}", misbehave("threads 2500 epoll")));
    assert_eq!(first_evidence(&herder), Some(Evidence::Accepting));
}

/// The kernel does not show what a process that uses io_uring waits for.
#[test]
fn a_worker_on_io_uring_is_assumed_to_serve() {
    let program = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/uring.py"));
    let probe = Command::new("python3").arg(&program).arg("--probe").status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no python3, or no io_uring");
        return;
    }
    let command = format!("command = [\"python3\", \"{}\"]\n", program.display());
    let mut herder = on(listener(), &format!("workers = 1\nready-after = \"1500ms\"\n{command}"));
    let status = herder.is("it was seen", |status| {
        let diagnosis = status.workers.first().and_then(|worker| worker.diagnosis.as_deref());
        diagnosis.is_some_and(|why| why.contains("waits by io_uring"))
    });
    assert_eq!(status.ready, 0);
    herder.hears("READY=1");
    assert_eq!(first_evidence(&herder), Some(Evidence::Assumed));
}

/// Looks are for starting workers only.
#[test]
fn nothing_wakes_herder_up_once_its_workers_serve() {
    let settings = "workers = 4\nmin-lifetime = \"1us\"\n";
    let mut herder = on(listener(), &format!("{settings}{}", misbehave("epoll")));
    herder.hears("READY=1");
    herder.has_said("STATUS=4/4 ready");
    let before = crate::quiet::sleeps(&herder);
    // The time in which nothing has to happen is what this test is about.
    assert!(herder.next(std::time::Duration::from_secs(2)).is_none());
    assert_eq!(crate::quiet::sleeps(&herder) - before, 0);
    until("no worker is looked at", || {
        herder.status().workers.iter().all(|w| w.diagnosis.is_none())
    });
}
