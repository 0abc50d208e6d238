//! A real browser, steered by the DevTools protocol over a pair of pipes.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// How long anything may take on a busy machine before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page open.
pub struct Chromium {
    child: Child,
    calls: ChildStdin,
    messages: Receiver<Value>,
    last_call: u64,
    session: Option<String>,
    /// What the page has complained about.
    pub complaints: Vec<String>,
    _profile: TempDir,
}

impl Chromium {
    /// `None` if there is none.
    pub fn start() -> Option<Chromium> {
        let chromium = crate::tools::program("chromium", "chromium")?;
        let profile = tempfile::tempdir().unwrap();
        // It takes calls on descriptor 3 and answers on 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"])
            .arg(chromium)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
            ])
            .args(["--no-first-run", "--no-proxy-server", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (calls, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in BufReader::new(answers).split(0) {
                let Ok(message) = message else { return };
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    return;
                }
            }
        });
        let mut chromium = Chromium {
            child,
            calls,
            messages,
            last_call: 0,
            session: None,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = chromium.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = chromium.call(
            "Target.attachToTarget",
            json!({"targetId": target["targetId"], "flatten": true}),
        );
        chromium.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            chromium.call(&format!("{domain}.enable"), json!({}));
        }
        Some(chromium)
    }

    /// Calls a method of the protocol and waits for its result.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last_call += 1;
        let mut call = json!({"id": self.last_call, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        self.calls.write_all(format!("{call}\0").as_bytes()).unwrap();
        loop {
            let message = self.messages.recv_timeout(PATIENCE).unwrap_or_else(|why| {
                panic!("no answer to {method}: {why}; the page said: {:#?}", self.complaints)
            });
            if message["id"] == self.last_call {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            match message["method"].as_str() {
                Some("Log.entryAdded") => {
                    let text = message["params"]["entry"]["text"].as_str();
                    self.complaints.extend(text.map(str::to_owned));
                }
                Some("Runtime.exceptionThrown") => {
                    self.complaints.push(message["params"].to_string())
                }
                _ => {}
            }
        }
    }

    /// The value of an expression, when it has one.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.call(
            "Runtime.evaluate",
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true}),
        );
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {}",
            answer["exceptionDetails"]
        );
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true. While the page is loaded what it is about may not be there.
    pub fn wait_for(&mut self, condition: &str) {
        let seen = self.evaluate(&format!(
            "new Promise(done => {{ const end = Date.now() + 30000; (function look() {{
                 let seen = false; try {{ seen = {condition}; }} catch {{}}
                 if (seen) done(true); else if (Date.now() > end) done(false); else setTimeout(look, 20);
             }})() }})"
        ));
        if seen != true {
            let there = self.evaluate("document.body.innerText");
            panic!(
                "never true: {condition}\nthe page said: {:#?}\nand shows:\n{there}",
                self.complaints
            );
        }
    }

    /// Opens an address in a window of this size.
    pub fn open(&mut self, address: &str, width: u32, height: u32) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
        self.call("Page.navigate", json!({"url": address}));
    }

    /// `light` or `dark`, as the user prefers.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// A picture of what is seen, also left in a file of that name; as a PNG in base64.
    pub fn picture(&mut self, name: &str) -> String {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let data = shot["data"].as_str().unwrap().to_owned();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{name}.png"));
        std::fs::write(path, decoded(&data)).unwrap();
        data
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It may have ended by itself; its helpers end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Base64 (RFC 4648), padded.
pub fn decoded(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |letter: u8| LETTERS.iter().position(|&there| there == letter).unwrap();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().fold(0, |bits, &letter| bits << 6 | value(letter))
            << (6 * (4 - four.len()));
        bytes.extend((0..four.len() - 1).map(|byte| (bits >> (16 - 8 * byte)) as u8));
    }
    bytes
}
