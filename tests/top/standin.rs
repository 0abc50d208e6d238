//! A made-up herder: says over a real control socket what a test wants it to say.

use herder_wire::control::{Call, Failure, Method, Received, Reply, failed, receive};
use herder_wire::status::Status;
use herder_wire::varlink::Frames;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Says how it is at each moment since it was started.
pub type Script = dyn Fn(Duration) -> Status + Send + Sync;

/// One that listens at `control` in its directory.
pub struct StandIn {
    stop: Arc<AtomicBool>,
    listener: Option<thread::JoinHandle<()>>,
}

impl StandIn {
    pub fn start(
        dir: &Path,
        script: impl Fn(Duration) -> Status + Send + Sync + 'static,
    ) -> StandIn {
        std::fs::create_dir_all(dir).unwrap();
        let path = dir.join("control");
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let script: Arc<Script> = Arc::new(script);
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || listen(&listener, &script, &stop)
        });
        StandIn { stop, listener: Some(thread) }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.listener.take() {
            let _ = thread.join();
        }
    }
}

fn listen(listener: &UnixListener, script: &Arc<Script>, stop: &Arc<AtomicBool>) {
    let start = Instant::now();
    let mut clients = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                let (script, stop) = (Arc::clone(script), Arc::clone(stop));
                clients.push(thread::spawn(move || serve(stream, &script, &stop, start)));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
    }
    clients.into_iter().for_each(|client| drop(client.join()));
}

/// Until the client has gone.
fn serve(mut stream: UnixStream, script: &Arc<Script>, stop: &AtomicBool, start: Instant) {
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let mut frames = Frames::new(65536);
    let mut buffer = [0; 4096];
    let mut watch: Option<(Duration, Instant)> = None;
    while !stop.load(Ordering::Relaxed) {
        if let Some((interval, due)) = watch.filter(|(_, due)| *due <= Instant::now()) {
            let status = script(start.elapsed());
            let sent = stream.write_all(&Reply::Status { status: &status }.one_of_several());
            if sent.is_err() {
                return;
            }
            watch = Some((interval, due + interval));
        }
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => frames.push(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        while let Some(message) = frames.next_message().unwrap() {
            let reply = match receive(&message) {
                Received::Reply(reply) => reply,
                Received::Garbage => return,
                Received::Call(Call { method: Method::Watch { interval }, .. }) => {
                    let interval = Duration::from_micros(interval.unwrap_or(1_000_000));
                    watch = Some((interval, Instant::now()));
                    continue;
                }
                Received::Call(Call { method: Method::Status, .. }) => {
                    Reply::Status { status: &script(start.elapsed()) }.last()
                }
                Received::Call(_) => {
                    let reason = "only root, the user herder runs as, and control-group may";
                    failed(&Failure::NotPermitted { reason: reason.to_owned() })
                }
            };
            if stream.write_all(&reply).is_err() {
                return;
            }
        }
    }
}
