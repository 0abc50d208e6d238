//! The sockets named `herder-metrics`: metrics and the status page of this instance, over HTTP.

use super::snapshot::Snapshot;
use super::token::Token;
use herder_linux::http::{Server, names_of_this_machine};
use herder_linux::poll::{self, Interest, Poll};
use herder_wire::host::Host;
use herder_wire::site::{self, Origin};
use std::io;
use std::time::Duration;

/// The server of metrics and the status page, if there are sockets for it.
#[derive(Debug)]
pub struct Page(Option<Server>);

impl Page {
    pub fn new(server: Option<Server>) -> Page {
        Page(server)
    }

    /// Watches the sockets and their clients.
    ///
    /// # Errors
    ///
    /// What epoll_ctl(2) says.
    pub fn watch(&self, poll: &Poll) -> io::Result<()> {
        match &self.0 {
            Some(server) => poll.add(server, Token::Http.into(), Interest::Read),
            None => Ok(()),
        }
    }

    /// Answers requests, and closes the clients whose time is over. Whether there was a request.
    pub fn serve(&mut self, snapshot: &mut Snapshot<'_>) -> bool {
        let Some(server) = &mut self.0 else { return false };
        let now = Duration::from_micros(poll::now());
        let calls = server.turn(now);
        for call in &calls {
            let origin = match call.peer.over_unix {
                true => Origin::Unix,
                false => Origin::Tcp(&names_of_this_machine),
            };
            let response = site::answer(&call.request, origin, || Host::of_one(snapshot.status()));
            server.answer(call.client, &response, now);
        }
        !calls.is_empty()
    }

    /// When [`serve`](Page::serve) has something to do even if no client sends anything, in microseconds.
    pub fn deadline(&self) -> Option<u64> {
        let at = self.0.as_ref()?.deadline()?;
        u64::try_from(at.as_micros()).ok()
    }
}
