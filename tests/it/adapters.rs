//! The programs in adapters/, with the real waitress, uvicorn and Node.js: a site that knows nothing
//! of sockets or signals is one of several, and loses no request when its worker ends.

use crate::systemd::{Herder, Unit};
use crate::wait::until;
use crate::workers::{kill, listener};
use nix::sys::signal::Signal;
use nix::sys::socket::{Backlog, listen};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::{env, fs};

const ADAPTERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/adapters");

const WSGI: &str = r#"
import os, pathlib, time
def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        pathlib.Path("slow").touch()
        time.sleep(1)
    body = f"worker {os.environ['HERDER_WORKER']}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"#;

const ASGI: &str = r#"
import asyncio, os, pathlib
async def application(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    if scope["path"] == "/slow":
        pathlib.Path("slow").touch()
        await asyncio.sleep(1)
    body = f"worker {os.environ['HERDER_WORKER']}".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"#;

const NODE: &str = r#"
const fs = require("fs");
const answer = (response) => response.end(`worker ${process.env.HERDER_WORKER}`);
require("http").createServer((request, response) => {
  if (request.url !== "/slow") return answer(response);
  fs.writeFileSync("slow", "");
  setTimeout(answer, 1000, response);
}).listen(3000);
setInterval(() => {}, 1000);
"#;

/// A site, and what a thread of it serves for itself.
const THREADS: &str = r#"
const threads = require("worker_threads");
const answer = (text) => (request, response) => response.end(text);
const serve = (text, then) => {
  const server = require("http").createServer(answer(text)).listen(0, () => then(server.address().port));
};
if (threads.isMainThread) {
  serve("site", () => {
    new threads.Worker(__filename).on("message", (port) => {
      require("fs").writeFileSync("part", `${port}`);
      require("fs").renameSync("part", "port");
    });
  });
} else {
  serve("thread", (port) => threads.parentPort.postMessage(port));
}
"#;

#[test]
fn waitress_finishes_what_it_has_accepted() {
    if python_has("waitress") {
        let settings =
            settings("waitress", &["/usr/bin/python3", "$ADAPTERS/waitress", "app:application"]);
        loses_nothing("app.py", WSGI, &settings);
    }
}

#[test]
fn uvicorn_finishes_what_it_has_accepted() {
    if python_has("uvicorn") {
        let settings =
            settings("uvicorn", &["/usr/bin/python3", "$ADAPTERS/uvicorn", "app:application"]);
        loses_nothing("app.py", ASGI, &settings);
    }
}

/// The preset would load the file that is installed.
#[test]
fn a_program_for_node_finishes_what_it_has_accepted() {
    let path = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&path).any(|folder| folder.join("node").is_file()) {
        let settings = "command = [\"node\", \"-r\", \"$ADAPTERS/node.js\", \"app.js\"]\n\
                        success-exit-status = [0]\n\
                        environment.NODE_LISTEN_BACKLOG = \"{backlog}\"\n";
        loses_nothing("app.js", NODE, settings);
    } else {
        missing("node", "nodejs");
    }
}

/// Threads load what their program has loaded; the sockets are for the program's own servers.
#[test]
fn what_a_thread_of_node_serves_is_not_on_the_socket() {
    let path = env::var_os("PATH").unwrap_or_default();
    if !env::split_paths(&path).any(|folder| folder.join("node").is_file()) {
        return missing("node", "nodejs");
    }
    let command = format!("command = [\"node\", \"-r\", \"{ADAPTERS}/node.js\", \"app.js\"]\n");
    let unit = Unit::new(&format!("workers = 1\ndirectory = \"$DIR\"\n{command}"));
    fs::write(unit.path("app.js"), THREADS).unwrap();
    let socket = listener();
    let address = socket.local_addr().unwrap();
    let mut herder = unit.socket("web", socket).start();
    herder.hears("READY=1");
    let port = herder.path("port");
    until("the thread serves", || Path::new(&port).exists());
    let port: u16 = fs::read_to_string(port).unwrap().parse().unwrap();
    assert_ne!(port, address.port());
    assert_eq!(Client::new(SocketAddr::new(address.ip(), port)).ask("/").body, "thread");
    for _ in 0..8 {
        assert_eq!(Client::new(address).ask("/").body, "site");
    }
}

fn settings(preset: &str, command: &[&str]) -> String {
    format!("preset = \"{preset}\"\ncommand = {command:?}\nready = \"notify\"\n")
}

/// One worker is told to finish while a request runs, a connection is open on which nothing was sent
/// yet, and another is kept alive: all three get their answers from it, and the next worker is there.
fn loses_nothing(file: &str, app: &str, settings: &str) {
    let settings = settings.replace("$ADAPTERS", ADAPTERS);
    let unit = Unit::new(&format!("workers = 1\ndirectory = \"$DIR\"\n{settings}"));
    fs::write(unit.path(file), app).unwrap();
    let socket = listener();
    listen(&socket, Backlog::new(77).unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let mut herder = unit.socket("web", socket).start();
    herder.hears("READY=1");

    let mut kept = Client::new(address);
    assert_eq!(kept.ask("/").body, "worker 1");
    let mut slow = Client::new(address);
    slow.send("/slow");
    until("the request runs", || Path::new(&herder.path("slow")).exists());
    let mut silent = Client::new(address);
    until("the connection is accepted", || herder.status().sockets[0].waiting == Some(0));
    assert_eq!(herder.status().sockets[0].limit, Some(77), "the backlog was changed");

    let worker = herder.status().workers[0].clone();
    kill(worker.pid, Signal::SIGTERM);
    silent.send("/");
    assert_eq!(silent.answer().body, "worker 1");
    // A client that keeps sending requests gets a last answer with Connection: close, and is not cut off.
    until("an answer is the last of its connection", || {
        let answer = kept.ask("/");
        assert_eq!(answer.body, "worker 1");
        answer.head.to_ascii_lowercase().contains("connection: close")
    });
    assert_eq!(slow.answer().body, "worker 1");

    ends_well(&herder, worker.id);
    assert_eq!(Client::new(address).ask("/").body, "worker 2");
}

fn ends_well(herder: &Herder, id: u64) {
    herder.is("its worker has ended", |status| status.workers.iter().all(|one| one.id != id));
    let counters = herder.status().counters;
    assert_eq!((counters.crashes, counters.failures), (0, 0), "{}", herder.log());
}

fn python_has(module: &str) -> bool {
    let imports =
        Command::new("/usr/bin/python3").args(["-c", &format!("import {module}")]).output();
    let there = imports.is_ok_and(|output| output.status.success());
    if !there {
        missing(&format!("the Python module {module}"), &format!("python3-{module}"));
    }
    there
}

/// Said aloud; in CI everything has to be there.
fn missing(what: &str, package: &str) {
    assert!(env::var_os("CI").is_none(), "{what} is missing: install {package}");
    // Not eprintln!, which is kept back when a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what} is missing: install {package}");
}

/// A connection for requests of HTTP/1.1.
struct Client(BufReader<TcpStream>);

struct Answer {
    head: String,
    body: String,
}

impl Client {
    fn new(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(crate::wait::PATIENCE)).unwrap();
        Client(BufReader::new(stream))
    }

    fn send(&mut self, path: &str) {
        write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nHost: it\r\n\r\n").unwrap();
    }

    fn answer(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).unwrap(), 0, "no answer after: {head}");
        }
        let length = head.to_ascii_lowercase();
        let length = length.split_once("content-length: ").unwrap().1.split("\r\n").next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        Answer { head, body: String::from_utf8(body).unwrap() }
    }

    fn ask(&mut self, path: &str) -> Answer {
        self.send(path);
        self.answer()
    }
}
