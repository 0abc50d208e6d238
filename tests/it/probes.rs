//! Probes: herder asks workers, or the instance, whether they work.

use crate::systemd::Unit;
use crate::wait::until;
use crate::workers::{misbehave, script};
use herder_wire::status::{ExitCause, State};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const SETTINGS: &str = "workers = 2\nready = \"notify\"\nmin-lifetime = \"1us\"\n";
const OFTEN: &str = "interval = \"100ms\"\nfailures = 2\n";

fn probed(probe: &str) -> Unit {
    let worker = misbehave("ready");
    Unit::new(&format!("{SETTINGS}{worker}[probe]\n{OFTEN}{probe}\n"))
}

#[test]
fn a_worker_whose_command_fails_is_replaced_and_the_other_is_not() {
    let unit = probed("exec = [\"$DIR/probe\"]\ntimeout = \"10s\"");
    let text = "#!/bin/sh\ncd ${0%/*}\nnew=new-$HERDER_SLOT; env >$new && mv $new env-$HERDER_SLOT\n\
                test ! -e sick-$HERDER_SLOT && exit 0\necho the queue is stuck\nexit 1\n";
    script(&unit.path("probe"), text);
    let herder = unit.start();
    let before = herder.serves(2);
    for worker in &before {
        let path = herder.path(&format!("env-{}", worker.slot));
        until("it was asked", || path.exists());
        let environment = fs::read_to_string(path).unwrap();
        let has = |line: &str| environment.lines().any(|there| there.starts_with(line));
        assert!(has(&format!("HERDER_WORKER_PID={}", worker.pid.unwrap())), "{environment}");
        assert!(has(&format!("HERDER_WORKER={}", worker.id)), "{environment}");
        assert!(!has("NOTIFY_SOCKET=") && !has("LISTEN_"), "{environment}");
    }
    fs::write(herder.path("sick-1"), "").unwrap();
    let text = "its probe failed 2 times in a row: the queue is stuck";
    herder.logs(&format!("aborting it: {text}"));
    fs::remove_file(herder.path("sick-1")).unwrap();
    let status = herder.is("it is replaced", |status| {
        status.ready == 2 && status.workers.iter().all(|w| w.slot == 0 || w.id > before[1].id)
    });
    let [first, second] = &status.workers[..] else { panic!("{status:#?}") };
    assert_eq!(first.id, before[0].id);
    let last = second.last_exit.as_ref().unwrap();
    assert_eq!((last.cause, last.text.as_str()), (ExitCause::Hung, &*format!("hung: {text}")));
    assert!(status.counters.unfit >= 1);
    assert_eq!((status.counters.crashes, status.counters.failures), (0, 0));
}

#[test]
fn a_command_that_does_not_end_has_failed_and_is_killed() {
    let unit = probed("exec = [\"$DIR/probe\"]\ntimeout = \"200ms\"");
    script(&unit.path("probe"), "#!/bin/sh\necho $$ >>${0%/*}/probes\nsleep 60 &\nwait\n");
    let mut herder = unit.start();
    herder.logs("its probe failed 2 times in a row: no answer within 200ms");
    let pids = herder.lines("probes", 4);
    until("the first ones are gone", || {
        pids[..2].iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
    });
    assert_eq!(herder.stops(), 0);
    until("and what they have started", || herder.processes().is_empty());
}

/// A server that answers every request with success, unless it is `sick` and the path is `/1` or empty.
fn server(sick: &Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sick = Arc::clone(sick);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut request = vec![0; 1024];
            let length = client.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let about_sick = ["GET /1 ", "GET / "].iter().any(|start| request.starts_with(start));
            let status = if about_sick && sick.load(Ordering::Relaxed) { 503 } else { 200 };
            let _ = write!(client, "HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n");
        }
    });
    address
}

#[test]
fn a_url_with_the_slot_in_it_is_about_that_worker() {
    let sick = Arc::default();
    let address = server(&sick);
    let url = format!("http = \"http://{address}/{{slot}}\"\ntimeout = \"10s\"");
    let herder = probed(&url).start();
    let before = herder.serves(2);
    sick.store(true, Ordering::Relaxed);
    herder.logs("aborting it: its probe failed 2 times in a row: HTTP status 503");
    sick.store(false, Ordering::Relaxed);
    let status = herder.is("it is replaced", |status| {
        status.ready == 2 && status.workers.iter().all(|w| w.slot == 0 || w.id > before[1].id)
    });
    assert_eq!(status.workers[0].id, before[0].id);
}

#[test]
fn a_failing_probe_of_the_instance_replaces_no_worker() {
    let sick = Arc::default();
    let address = server(&sick);
    // A short URL, whose missing parts are defaults.
    let url = format!("http = \"http://{address}\"\ntimeout = \"10s\"");
    let mut herder = probed(&url).start();
    let before = herder.serves(2);
    sick.store(true, Ordering::Relaxed);
    herder.logs("the probe has failed 2 times in a row: HTTP status 503");
    herder.hears("STATUS=2/2 ready, generation 1, its probe fails: HTTP status 503");
    herder.is("it is degraded", |status| status.state == State::Degraded);
    sick.store(false, Ordering::Relaxed);
    herder.logs("the probe fails no longer");
    let status = herder.is("all is well", |status| status.state == State::Serving);
    let ids =
        |workers: &[herder_wire::status::Worker]| workers.iter().map(|w| w.id).collect::<Vec<_>>();
    assert_eq!(ids(&status.workers), ids(&before));
}

#[test]
fn a_refused_connection_is_a_failure_too() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let herder = probed(&format!("http = \"http://{address}/{{worker}}\"")).start();
    herder.logs(&format!("its probe failed 2 times in a row: cannot connect to {address}: "));
}
