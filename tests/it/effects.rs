//! Changes of workers to the sockets that they share: herder reports each once, with what to change, and never undoes
//! one. It refuses to mix workers that need a blocking socket with others.

use crate::client::{Running, command};
use crate::systemd::{Herder, Unit};
use crate::wait::until;
use crate::workers::{listener, misbehave, shell};
use herder_wire::status::{ChangeKind, SocketChange};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

fn notify(steps: &str) -> String {
    format!("workers = 2\nready = \"notify\"\n{}", misbehave(steps))
}

fn changes(herder: &Herder) -> Vec<SocketChange> {
    herder.status().sockets.remove(0).changes
}

fn shown(herder: &Herder) -> String {
    let run = herder.path("run");
    Running::of(&mut command(&["status", run.to_str().unwrap()])).ends().out
}

/// How often the log says so.
fn times(herder: &Herder, text: &str) -> usize {
    herder.log().matches(text).count()
}

#[test]
fn another_backlog_is_named_with_the_one_that_was_asked_for() {
    let mut herder = Unit::new(&notify("listen 5 ready")).socket("web", listener()).start();
    herder.hears("READY=1");
    herder.logs("a worker has called listen() again");
    let log = herder.log();
    let line = log.lines().find(|line| line.contains("listen() again")).unwrap();
    let (_, was) = line.split_once(") is 5 and was ").unwrap();
    let was: u64 = was.split(':').next().unwrap().parse().unwrap();
    assert!(was > 5 && line.contains(&format!("`--backlog {was}`")), "{line}");
    assert!(line.contains(" (seen when worker ") && line.contains(" became ready)"), "{line}");
    let [change] = &changes(&herder)[..] else { panic!("{:?}", changes(&herder)) };
    assert!(change.kind == ChangeKind::Backlog && change.harmful, "{change:?}");
    assert!(shown(&herder).contains("! the backlog of web (127.0.0.1:"), "{}", shown(&herder));
    // It is reported once, however many workers do it and however often a client asks.
    herder.serves(2);
    assert_eq!(times(&herder, "listen() again"), 1);
    // The backlog that the advice names is the original one, and not the one that a worker has set.
    herder.settings(&notify("listen BACKLOG ready").replace("BACKLOG", "{backlog}"));
    assert_eq!(herder.reload().code, 0);
    until("all is well again", || changes(&herder).is_empty());
}

#[test]
fn a_flag_that_most_servers_set_is_noted_and_the_reverse_is_a_warning() {
    let herder = Unit::new(&notify("set-nonblocking ready")).socket("web", listener()).start();
    herder.logs("no longer blocks: a worker has set O_NONBLOCK");
    assert!(herder.log().lines().any(|line| line.contains(" info ") && line.contains("no longer")));
    let [change] = &changes(&herder)[..] else { panic!("{:?}", changes(&herder)) };
    assert!(change.kind == ChangeKind::Nonblocking && !change.harmful, "{change:?}");
    assert!(!shown(&herder).contains('!'), "{}", shown(&herder));

    let socket = listener();
    socket.set_nonblocking(true).unwrap();
    let herder = Unit::new(&notify("set-blocking ready")).socket("web", socket).start();
    herder.logs("blocks now: a process has cleared O_NONBLOCK");
    let [change] = &changes(&herder)[..] else { panic!("{:?}", changes(&herder)) };
    assert!(change.kind == ChangeKind::Blocking && change.harmful, "{change:?}");
}

#[test]
fn a_file_that_a_worker_removes_or_replaces_is_missed() {
    let unit = |steps: &str| {
        let settings = format!("workers = 1\nready = \"notify\"\n{}", misbehave(steps));
        let unit = Unit::new(&settings);
        let socket = UnixListener::bind(unit.path("web")).unwrap();
        unit.socket("web", socket)
    };
    let herder = unit("ready wait 100 unlink $DIR/web exit 1").start();
    herder.logs("web, the file of web, is gone, and no client can connect");
    herder.logs("ended)");
    let kinds: Vec<ChangeKind> = changes(&herder).iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Unlinked]);
    let herder = unit("rebind $DIR/web ready").start();
    herder.logs("web, the file of web, is another file now");
    assert!(shown(&herder).contains("one of them has bound it anew"), "{}", shown(&herder));
}

/// php-fpm does that.
#[test]
fn a_file_that_goes_with_the_last_worker_is_missed_too() {
    let script = "trap 'rm -f $DIR/web; exit 0' TERM; while :; do sleep 0.05; done";
    let settings = format!("workers = 1\nready = \"exec\"\n{}", shell(script));
    let unit = Unit::new(&settings);
    let socket = UnixListener::bind(unit.path("web")).unwrap();
    let mut herder = unit.socket("web", socket).start();
    herder.hears("READY=1");
    // The shell has set its trap by then.
    until("the shell is in its loop", || herder.processes().len() > 1);
    assert_eq!(herder.stops(), 0);
    assert_eq!(times(&herder, "the file of web, is gone"), 1);
    assert!(herder.log().contains("starting herder again makes it again"));
}

fn blocking(steps: &str) -> String {
    format!("blocking = true\n{}", notify(steps))
}

#[test]
fn workers_that_need_a_blocking_socket_are_not_started_on_another() {
    let socket = listener();
    socket.set_nonblocking(true).unwrap();
    let mut herder = Unit::new(&blocking("ready")).socket("web", socket).start();
    assert_eq!(herder.exits(), 78);
    let log = herder.log();
    assert!(log.contains("`blocking` is true, and web (127.0.0.1:"), "{log}");
    assert!(log.contains("does not block; remove NonBlocking=yes from herder@it.service"), "{log}");
    // On a blocking socket they are started, and without the key herder does not check.
    let herder = Unit::new(&blocking("ready")).socket("web", listener()).start();
    herder.serves(2);
    let socket = listener();
    socket.set_nonblocking(true).unwrap();
    Unit::new(&notify("ready")).socket("web", socket).start().serves(2);
}

#[test]
fn a_reload_does_not_mix_servers_that_need_a_socket_to_block_with_others() {
    let herder = Unit::new(&notify("set-nonblocking ready")).socket("web", listener()).start();
    let before: Vec<u64> = herder.serves(2).iter().map(|worker| worker.id).collect();
    herder.settings(&blocking("ready"));
    let said = herder.reload();
    assert_eq!(said.code, 1);
    assert!(said.err.contains("was made non-blocking by workers"), "{}", said.err);
    assert!(said.err.contains("start herder again in place of a reload"), "{}", said.err);
    let after: Vec<u64> = herder.serves(2).iter().map(|worker| worker.id).collect();
    assert_eq!(before, after, "nothing was touched");

    let herder = Unit::new(&blocking("ready")).socket("web", listener()).start();
    let before: Vec<u64> = herder.serves(2).iter().map(|worker| worker.id).collect();
    herder.settings(&notify("set-nonblocking ready"));
    let said = herder.reload();
    assert_eq!(said.code, 1);
    assert!(said.err.contains("`blocking` is no longer true, and web (127.0.0.1:"), "{}", said.err);
    let after: Vec<u64> = herder.serves(2).iter().map(|worker| worker.id).collect();
    assert_eq!(before, after, "nothing was touched");
    // A reload between two servers that need a blocking socket is allowed.
    herder.settings(&blocking("wait 10 ready"));
    assert_eq!(herder.reload().code, 0);
}

/// Another service on the same socket may do that.
#[test]
fn a_socket_that_stops_blocking_under_workers_that_need_it_is_an_error() {
    let socket = listener();
    let other: TcpListener = socket.try_clone().unwrap();
    let herder = Unit::new(&blocking("ready")).socket("web", socket).start();
    herder.serves(2);
    assert_eq!(changes(&herder), []);
    other.set_nonblocking(true).unwrap();
    let [change] = &changes(&herder)[..] else { panic!("{:?}", changes(&herder)) };
    assert!(change.kind == ChangeKind::Nonblocking && change.harmful, "{change:?}");
    herder.logs("no longer blocks, and its workers need that (`blocking`)");
    let log = herder.log();
    let line = log.lines().find(|line| line.contains("no longer blocks")).unwrap();
    assert!(line.contains(" error ") && !line.contains("(seen when"), "{line}");
    assert!(shown(&herder).contains("! web (127.0.0.1:"), "{}", shown(&herder));
    assert_eq!(times(&herder, "no longer blocks"), 1);
    // The socket blocks again, and the status has no error any more.
    other.set_nonblocking(false).unwrap();
    assert_eq!(changes(&herder), []);
}
