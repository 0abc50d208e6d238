//! The matrix' application in Rust, with the crate listenfd (see matrix.py for what it answers).

use listenfd::ListenFd;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::process::parent_id;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, process, thread};

fn main() -> Result<(), Box<dyn Error>> {
    let end = SigSet::from(Signal::SIGTERM);
    end.thread_block()?;
    let told = SignalFd::new(&end)?;
    let listener = ListenFd::from_env().take_tcp_listener(0)?.ok_or("no socket in LISTEN_FDS")?;
    listener.set_nonblocking(true)?; // a sibling may be faster
    // The scope ends when every answer is given.
    thread::scope(|scope| {
        loop {
            let wait = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut waiting = [wait(told.as_fd()), wait(listener.as_fd())];
            poll(&mut waiting, PollTimeout::NONE)?;
            if waiting[0].any() == Some(true) {
                return Ok(());
            }
            if let Ok((client, _)) = listener.accept() {
                scope.spawn(move || answer(client));
            }
        }
    })
}

fn answer(mut client: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?).lines();
    let Some(request) = lines.next().transpose()? else { return Ok(()) };
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let arrived = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    if request.starts_with("GET /slow") {
        fs::write(env::var("RUNTIME_DIRECTORY").unwrap_or_default() + "/slow-request", "")?;
        thread::sleep(Duration::from_secs(1));
    }
    let directory = env::current_dir()?;
    let release = directory.file_name().unwrap_or_default().to_string_lossy();
    let body = format!("{release} {} {} {arrived:.6}\n", process::id(), parent_id());
    write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    client.shutdown(Shutdown::Write)
}
