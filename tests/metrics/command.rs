//! `herder metrics` of a real instance.

use crate::chromium::Chromium;
use crate::tools::{program, run};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// A running herder with two demonstration workers, which ends with the test.
struct Running(Child);

impl Running {
    fn start(runtime: &Path, name: &str) -> Running {
        let mut child = Command::new(env!("CARGO_BIN_EXE_herder"))
            .args(["run", "--name", name, "--workers", "2", "--listen", "127.0.0.1:0"])
            .args(["--log-format", "text"])
            .env("RUNTIME_DIRECTORY", runtime.join("herder").join(name))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let running = Running(child);
        // This thread keeps reading what the process prints, because a full pipe would block it.
        let (serving, said) = channel();
        std::thread::spawn(move || {
            let lines = lines.map_while(Result::ok);
            lines
                .filter(|line| line.contains("serving with 2/2 workers"))
                .for_each(|line| drop(serving.send(line)));
        });
        said.recv_timeout(Duration::from_secs(20)).expect("workers that are ready");
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `herder metrics` where instances are below `runtime`: exit status, output, errors.
fn metrics(runtime: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_herder"))
        .arg("metrics")
        .args(arguments)
        .env("XDG_RUNTIME_DIR", runtime)
        .env_remove("RUNTIME_DIRECTORY")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn all_instances_are_in_it_and_a_stopped_one_is_down() {
    let runtime = tempfile::tempdir().unwrap();
    fs::create_dir(runtime.path().join("herder")).unwrap();
    let [_shop, wedged] = ["shop", "wedged"].map(|name| Running::start(runtime.path(), name));
    let (status, text, _) = metrics(runtime.path(), &[]);
    assert_eq!(status, Some(0));
    for line in [
        "herder_up{name=\"shop\"} 1",
        "herder_up{name=\"wedged\"} 1",
        "herder_slot_ready{name=\"shop\",slot=\"1\"} 1",
    ] {
        assert!(text.lines().any(|there| there == line), "no {line} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));

    let pid = nix::unistd::Pid::from_raw(wedged.0.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let start = Instant::now();
    let (status, text, errors) = metrics(runtime.path(), &[]);
    let took = start.elapsed();
    // It gives up after 1.5 seconds; the rest is for a machine that is busy with other work.
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(status, Some(0));
    assert!(text.contains("herder_up{name=\"shop\"} 1\nherder_up{name=\"wedged\"} 0\n"), "{text}");
    assert!(errors.contains("wedged") && errors.contains("journalctl"), "{errors}");

    let path = runtime.path().join("herder/wedged");
    let (status, text, errors) = metrics(runtime.path(), &[path.to_str().unwrap()]);
    assert_eq!((status, text.as_str()), (Some(1), ""), "{errors}");
}

#[test]
fn a_file_for_the_textfile_collector_is_what_it_reads() {
    let runtime = tempfile::tempdir().unwrap();
    fs::create_dir(runtime.path().join("herder")).unwrap();
    let _shop = Running::start(runtime.path(), "shop");
    let file = runtime.path().join("herder.prom");
    let shop = runtime.path().join("herder/shop");
    let (status, printed, errors) =
        metrics(runtime.path(), &[shop.to_str().unwrap(), "--output", file.to_str().unwrap()]);
    assert_eq!((status, printed.as_str()), (Some(0), ""), "{errors}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("# TYPE herder_worker_respawns_total counter\n"), "{text}");
    assert!(!text.contains("# EOF"), "{text}");
    if let Some(promtool) = program("promtool", "prometheus") {
        assert_eq!(run(&promtool, &["check", "metrics"], &text), "");
    }

    let (status, _, errors) =
        metrics(runtime.path(), &["--output", "/no/such/directory/herder.prom"]);
    assert_eq!(status, Some(71));
    assert!(errors.contains("/no/such/directory/herder.prom"), "{errors}");
}

/// `herder metrics --serve`, which ends with the test.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(runtime: &Path) -> Serving {
        let mut child = Command::new(env!("CARGO_BIN_EXE_herder"))
            .args(["metrics", "--serve", "--listen", "127.0.0.1:0"])
            .env("XDG_RUNTIME_DIR", runtime)
            .env_remove("RUNTIME_DIRECTORY")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("serving http://").map(|rest| rest.trim_matches('/'));
        Serving { address: address.unwrap_or_else(|| panic!("{line}")).to_owned(), child }
    }

    /// The head and the body of the answer.
    fn get(&self, path: &str, fields: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nConnection: close\r\n{fields}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_machine_is_served_over_http_and_shown_in_a_browser() {
    let runtime = tempfile::tempdir().unwrap();
    fs::create_dir(runtime.path().join("herder")).unwrap();
    let _shop = Running::start(runtime.path(), "shop");
    let serving = Serving::start(runtime.path());

    let (head, body) =
        serving.get("/metrics", "Host: localhost\r\nAccept: application/openmetrics-text");
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("openmetrics-text; version=1.0.0"),
        "{head}"
    );
    assert!(body.contains("herder_up{name=\"shop\"} 1\n") && body.ends_with("# EOF\n"), "{body}");
    let (head, body) = serving.get("/metrics", "Host: [::1]:14373");
    assert!(head.contains("text/plain; version=0.0.4") && !body.contains("EOF"), "{head}");
    let (head, body) = serving.get("/metrics", "Host: evil.example");
    assert!(head.starts_with("HTTP/1.1 421 ") && !body.contains("herder_"), "{head}");

    let Some(mut chromium) = Chromium::start() else { return };
    chromium.open(&format!("http://{}/#shop", serving.address), 1280, 800);
    chromium.wait_for("document.getElementById('name').textContent === 'shop'");
    chromium.wait_for("document.querySelectorAll('#workers tbody tr').length === 2");
    chromium.wait_for("document.querySelector('#workers').innerText.includes('ready')");
    chromium.picture("real");
    assert_eq!(chromium.complaints, [""; 0]);
}
