//! `herder metrics --serve`: the same over HTTP, and the status page, for the whole machine.
//!
//! One thread, and no state but the last answers of the instances, which serve every request within a second:
//! however many requests there are, an instance is asked at most once a second. systemd starts this process at
//! the first connection (herder-metrics.socket), and it ends when there was no request for [`IDLE`].

use super::find::Places;
use super::metrics::survey;
use super::print;
use herder_linux::error::Error;
use herder_linux::http::{Server, names_of_this_machine};
use herder_linux::sockets::{self, Socket};
use herder_wire::address::Address;
use herder_wire::host::{Host, Silent};
use herder_wire::site::{self, Origin};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// After this time without a request the process ends: scrapers and open pages ask more often.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// Answers of instances that are at most this old are not asked for again.
const FRESH: Duration = Duration::from_secs(1);

/// Serves requests on the sockets systemd hands over, else at these addresses, until none comes for
/// [`IDLE`].
///
/// # Errors
///
/// [`Error::Usage`] if there is neither; [`Error::Config`] or [`Error::System`] if these sockets cannot be
/// served.
pub fn serve(instance: Option<&str>, listen: &[String]) -> Result<(), Error> {
    let server = Server::serving(take_sockets(listen)?)
        .map_err(|why| Error::system("serve HTTP on these sockets", why))?;
    let places = Places::of_system();
    serve_with(server, IDLE, FRESH, || look(&places, instance))
}

fn take_sockets(listen: &[String]) -> Result<Vec<Socket>, Error> {
    let handed_over = sockets::receive(&|key| std::env::var(key).ok())?;
    if !handed_over.is_empty() {
        return Ok(handed_over);
    }
    if listen.is_empty() {
        return Err(Error::Usage(
            "systemd has handed over no socket to serve on; say where: --listen 127.0.0.1:14373, or use: \
             systemctl enable --now herder-metrics.socket"
                .to_owned(),
        ));
    }
    let mut bound = Vec::new();
    for text in listen {
        let address: Address =
            text.parse().map_err(|error| Error::Usage(format!("--listen: {error}")))?;
        let socket = sockets::bind("herder-metrics", &address)?;
        match &socket.address {
            Some(Address::Inet(address)) => print(&format!("serving http://{address}/\n"))?,
            _ => print(&format!("serving {address}\n"))?,
        }
        bound.push(socket);
    }
    Ok(bound)
}

/// An instance that was named and cannot be asked is one that does not answer, as among all of them.
fn look(places: &Places, instance: Option<&str>) -> Host {
    survey(places, instance).unwrap_or_else(|error| {
        let name = instance.unwrap_or_default().to_owned();
        Host { instances: Vec::new(), silent: vec![Silent { name, reason: error.to_string() }] }
    })
}

fn serve_with(
    mut server: Server,
    idle: Duration,
    fresh: Duration,
    look: impl Fn() -> Host,
) -> Result<(), Error> {
    let start = Instant::now();
    let clock = || start.elapsed();
    let mut asked = clock();
    let mut last: Option<(Duration, Host)> = None;
    loop {
        for call in server.turn(clock()) {
            let origin = if call.peer.over_unix {
                Origin::Unix
            } else {
                Origin::Tcp(&names_of_this_machine)
            };
            let response = site::answer(&call.request, origin, || {
                last.take_if(|(at, _)| clock() > *at + fresh);
                let (_, host) = last.get_or_insert_with(|| {
                    let host = look();
                    (clock(), host)
                });
                host.clone()
            });
            asked = clock();
            server.answer(call.client, &response, asked);
        }
        let leave = asked + idle;
        wait(&server, server.deadline().map_or(leave, |at| at.min(leave)).saturating_sub(clock()))?;
        if clock() >= leave {
            return Ok(());
        }
    }
}

/// Waits until the server has something to do, at most that long.
fn wait(server: &Server, at_most: Duration) -> Result<(), Error> {
    // Rounded up, or the last millisecond would be spent asking.
    let millis = at_most.as_micros().div_ceil(1000);
    let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(server.as_fd(), PollFlags::POLLIN)], timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(why) => Err(Error::system("wait for requests", why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::thread;

    /// What it answers to these requests, one connection each, before it leaves; and how often it looked.
    fn answers(requests: &[&str], fresh: Duration) -> (Vec<String>, u32) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("http");
        let socket = sockets::bind("herder-metrics", &Address::Unix(path.clone())).unwrap();
        let looks = Cell::new(0);
        let answers = thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let ask = |request: &&str| {
                    let mut stream = UnixStream::connect(&path).unwrap();
                    write!(stream, "{request} HTTP/1.0\r\n\r\n").unwrap();
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).unwrap();
                    answer
                };
                requests.iter().map(ask).collect()
            });
            let server = Server::serving(vec![socket]).unwrap();
            serve_with(server, Duration::from_secs(2), fresh, || {
                looks.set(looks.get() + 1);
                Host::default()
            })
            .unwrap();
            asking.join().unwrap()
        });
        (answers, looks.get())
    }

    #[test]
    fn requests_at_the_same_time_share_the_answers_of_instances() {
        let requests = ["GET /metrics", "GET /status.json", "GET /", "GET /nothing"];
        assert_eq!(answers(&requests, Duration::ZERO).1, 2, "a page takes none");
        let (answers, looks) = answers(&requests, Duration::from_secs(3600));
        assert!(answers[0].starts_with("HTTP/1.1 200 "), "{}", answers[0]);
        assert!(answers[1].ends_with("{\"instances\":[],\"silent\":[]}"), "{}", answers[1]);
        assert!(
            answers[2].contains("\r\nContent-Security-Policy: default-src 'none'; connect-src")
        );
        assert!(answers[3].starts_with("HTTP/1.1 404 "), "{}", answers[3]);
        assert_eq!(looks, 1);
    }

    #[test]
    fn a_named_instance_that_is_not_there_does_not_answer() {
        let host = look(&Places::of_system(), Some("/no/such/directory"));
        assert_eq!(host.silent[0].name, "/no/such/directory");
        assert!(host.silent[0].reason.contains("does not exist"), "{}", host.silent[0].reason);
    }
}
