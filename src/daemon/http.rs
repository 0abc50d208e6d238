//! The sockets named `herder-metrics`: metrics and the status page of this instance, over HTTP.

use super::Daemon;
use herder_linux::http::names_of_this_machine;
use herder_linux::poll;
use herder_wire::host::Host;
use herder_wire::site::{self, Origin};

impl Daemon {
    /// Answers requests, and closes the clients whose time is over.
    pub(super) fn serve_http(&mut self) {
        let now = self.clock();
        for call in self.http.as_mut().map(|server| server.turn(now)).unwrap_or_default() {
            let origin = match call.peer.over_unix {
                true => Origin::Unix,
                false => Origin::Tcp(&names_of_this_machine),
            };
            let look = || Host::of_one(self.status());
            let response = site::answer(&call.request, origin, look);
            if let Some(server) = &mut self.http {
                server.answer(call.client, &response, now);
            }
            self.has_spare_code = true;
        }
    }

    /// When [`serve_http`](Daemon::serve_http) has something to do even if no client sends anything: in microseconds.
    pub(super) fn http_deadline(&self) -> Option<u64> {
        let at = self.http.as_ref()?.deadline()?;
        u64::try_from(at.as_micros()).ok()
    }

    /// The same, while the rest of the loop has its turn.
    pub(super) fn serve_http_if_due(&mut self) {
        if self.http_deadline().is_some_and(|at| at <= poll::now()) {
            self.serve_http();
        }
    }
}
