//! Descriptors that systemd handed over for herder itself: those named `herder-…`. No worker gets them.

use herder_linux::control::Server;
use herder_linux::error::Error;
use herder_linux::http;
use herder_linux::sockets::Socket;
use std::io;

const PREFIX: &str = "herder-";

/// A control socket beside the one in the runtime directory.
const CONTROL: &str = "herder-control";

/// Metrics and the status page, over HTTP.
const METRICS: &str = "herder-metrics";

/// Those for workers, and herder's own.
pub fn split(handed_over: Vec<Socket>) -> (Vec<Socket>, Vec<Socket>) {
    handed_over.into_iter().partition(|socket| !socket.name.starts_with(PREFIX))
}

/// Takes the sockets called `name` out of herder's own.
fn take(own: &mut Vec<Socket>, name: &str) -> Vec<Socket> {
    let (taken, left) = std::mem::take(own).into_iter().partition(|socket| socket.name == name);
    *own = left;
    taken
}

/// Serves the control sockets among herder's own.
///
/// # Errors
///
/// [`Error::Config`] for one that cannot be a control socket.
pub fn serve_control(server: &mut Server, own: &mut Vec<Socket>) -> Result<(), Error> {
    for socket in take(own, CONTROL) {
        let shown = socket.to_string();
        server.also(socket.fd).map_err(|why| match why.kind() {
            io::ErrorKind::InvalidInput => Error::Config(format!(
                "{shown} cannot be a control socket: it has to be a UNIX stream socket, so that herder knows \
                 which user asks; set ListenStream= in its .socket unit to a path"
            )),
            _ => Error::system(format!("listen on {shown}"), why),
        })?;
    }
    Ok(())
}

/// Serves the metrics sockets among herder's own, if there are any.
///
/// # Errors
///
/// [`Error::Config`] for one that cannot be one.
pub fn serve_metrics(own: &mut Vec<Socket>) -> Result<Option<http::Server>, Error> {
    let sockets = take(own, METRICS);
    if sockets.is_empty() {
        return Ok(None);
    }
    http::Server::serving(sockets).map(Some).map_err(|why| match why.kind() {
        io::ErrorKind::InvalidInput => Error::Config(why.to_string()),
        _ => Error::system("serve its metrics", why),
    })
}
