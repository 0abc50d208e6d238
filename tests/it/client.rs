//! The operator's side: the control socket, and the `herder` commands as they are typed.

use crate::systemd::Herder;
use crate::wait::{PATIENCE, until};
use herder_wire::control::Method;
use herder_wire::status::{Status, Worker, WorkerState};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What a command said and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A command that runs, and does not outlive the test.
pub struct Running(Child);

impl Running {
    pub fn of(command: &mut Command) -> Running {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(command.spawn().unwrap())
    }

    /// Waits for its end.
    pub fn ends(mut self) -> Said {
        let mut status = None;
        until("the command has ended", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        let (mut out, mut err) = (String::new(), String::new());
        self.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        Said { code: status.and_then(|status| status.code()).unwrap(), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `herder ARGUMENTS…`, with nothing in its environment.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_herder"));
    command.args(arguments).env_clear();
    command
}

/// A connection to the control socket, and what was read from it and not looked at yet.
pub struct Control(pub UnixStream, Vec<u8>);

impl Control {
    pub fn open(herder: &Herder) -> Control {
        let path = herder.path("run/control");
        let mut stream = None;
        until("herder takes connections", || {
            stream = UnixStream::connect(&path).ok();
            stream.is_some() || !herder.is_running()
        });
        let stream = stream.expect("herder is not running");
        Control::on(stream)
    }

    pub fn on(stream: UnixStream) -> Control {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Control(stream, Vec::new())
    }

    /// Calls a method and waits for the reply.
    pub fn call(&mut self, method: &str) -> Value {
        self.send(method);
        self.reply().expect("a reply")
    }

    pub fn send(&mut self, method: &str) {
        let message = json!({ "method": method }).to_string() + "\0";
        self.0.write_all(message.as_bytes()).unwrap();
    }

    /// The next reply; none if herder has hung up.
    pub fn reply(&mut self) -> Option<Value> {
        let mut buffer = [0; 16 * 1024];
        let mut looked_at = 0;
        loop {
            if let Some(end) = self.1[looked_at..].iter().position(|byte| *byte == 0) {
                let message: Vec<u8> = self.1.drain(..=looked_at + end).collect();
                return Some(serde_json::from_slice(&message[..message.len() - 1]).unwrap());
            }
            looked_at = self.1.len();
            match self.0.read(&mut buffer) {
                Ok(0) => return None,
                Ok(length) => self.1.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                // With a timeout even a signal that is ignored ends it (signal(7)), such as a child's end.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => panic!("no answer: {error}"),
            }
        }
    }

    /// Whether nothing more comes for so long.
    pub fn is_silent(&mut self, time: Duration) -> bool {
        self.0.set_read_timeout(Some(time)).unwrap();
        let outcome = self.0.read(&mut [0]);
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        let late = |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        self.1.is_empty() && outcome.is_err_and(late)
    }
}

impl Herder {
    /// What herder says of itself.
    pub fn status(&self) -> Status {
        let mut reply = Control::open(self).call("io.herder.Control.Status");
        serde_json::from_value(reply["parameters"]["status"].take()).unwrap()
    }

    /// Waits until the status is as described.
    pub fn is(&self, what: &str, condition: impl Fn(&Status) -> bool) -> Status {
        let mut control = Control::open(self);
        let mut last = None;
        let deadline = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < deadline {
            let mut reply = control.call("io.herder.Control.Status");
            let status: Status =
                serde_json::from_value(reply["parameters"]["status"].take()).unwrap();
            if condition(&status) {
                return status;
            }
            last = Some(status);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        panic!("not within {PATIENCE:?}: {what}; the last status was {last:#?}");
    }

    /// Waits until this many workers are ready, and no others are there.
    pub fn serves(&self, count: usize) -> Vec<Worker> {
        let ready = |worker: &Worker| worker.state == WorkerState::Ready;
        self.is(&format!("{count} workers are ready"), |status| {
            status.workers.len() == count && status.workers.iter().all(ready)
        })
        .workers
    }

    /// `herder reload`
    pub fn reload(&self) -> Said {
        self.start_reload().ends()
    }

    /// `herder reload`, not waited for.
    pub fn start_reload(&self) -> Running {
        Running::of(&mut command(&["reload", self.path("run").to_str().unwrap()]))
    }
}

impl Control {
    /// Sends a call as it is written.
    pub fn send_raw(&mut self, call: &str) {
        self.0.write_all(format!("{call}\0").as_bytes()).unwrap();
    }

    /// Calls this method, and does not wait.
    pub fn ask(&mut self, method: Method, more: bool) {
        self.0.write_all(&method.request(more).to_message()).unwrap();
    }

    /// What the call came to: the parameters of its one reply, or the error's short name and its
    /// parameters.
    pub fn outcome(&mut self, method: Method) -> Result<Value, (String, Value)> {
        self.ask(method, false);
        self.last()
    }

    /// The next reply, which has to be the last one.
    pub fn last(&mut self) -> Result<Value, (String, Value)> {
        let mut reply = self.reply().expect("a reply");
        assert_ne!(reply["continues"], true, "{reply}");
        let parameters = reply["parameters"].take();
        match reply["error"].as_str() {
            None => Ok(parameters),
            Some(error) => Err((error.rsplit('.').next().unwrap().to_owned(), parameters)),
        }
    }

    /// The parameters of the next reply, which has to have others after it.
    pub fn part(&mut self) -> Value {
        let mut reply = self.reply().expect("a reply");
        assert_eq!(reply["continues"], true, "{reply}");
        reply["parameters"].take()
    }

    /// The next state of an instance that is watched.
    pub fn state(&mut self) -> Status {
        serde_json::from_value(self.part()["status"].take()).unwrap()
    }
}
