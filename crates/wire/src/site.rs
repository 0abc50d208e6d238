//! What is to be seen over HTTP: `/metrics`, `/status.json` and a page for people, made from
//! snapshots.
//!
//! The same for the socket of one instance and for that of the whole machine. Never says how a worker
//! was started: a snapshot holds neither its arguments nor its environment. The one non-obvious fact:
//! any web page may have a browser ask us, under a name its author points here (DNS rebinding), and
//! only the `Host` of the request shows that.

use super::host::Host;
use super::http::{Request, Response};
use super::openmetrics::{self, Format};
use super::page;
use std::net::IpAddr;
use std::net::Ipv6Addr;

/// Where a request came in, and what it has to know of that.
#[derive(Clone, Copy)]
pub enum Origin<'a> {
    /// A UNIX socket, which no browser reaches: any `Host` will do.
    Unix,
    /// TCP. `Host` has to be an address, `localhost`, or one of these names of the machine.
    Tcp(&'a dyn Fn() -> Vec<String>),
}

/// The answer to a request; `look` is called if it takes a snapshot.
pub fn answer(request: &Request, origin: Origin<'_>, look: impl FnOnce() -> Host) -> Response {
    match (origin, &request.host) {
        (Origin::Tcp(names), Some(host)) if !is_ours(host, names) => {
            return Response::refusal(
                421,
                "This is not a name of this machine: ask by its address, as localhost, or by its host name.",
            );
        }
        (Origin::Tcp(_) | Origin::Unix, _) => {}
    }
    match request.path.as_str() {
        "/" => {
            let mut page = Response::ok("text/html; charset=utf-8", page::HTML.to_owned());
            page.headers.push(("Content-Security-Policy", page::POLICY));
            page
        }
        "/metrics" => {
            let format = Format::negotiate(&request.accept);
            Response::ok(format.content_type(), openmetrics::render_host(&look(), format))
        }
        "/status.json" => match serde_json::to_string(&look()) {
            Ok(text) => Response::ok("application/json", text),
            Err(why) => Response::refusal(500, &format!("There is no JSON for this: {why}")),
        },
        _ => Response::refusal(
            404,
            "There is /metrics for Prometheus, /status.json for programs, and / for people.",
        ),
    }
}

/// Whether no other machine can have this name, so that no page from elsewhere can come under it.
fn is_ours(host: &str, names: &dyn Fn() -> Vec<String>) -> bool {
    if let Some((address, port)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let (address, _zone) = address.split_once('%').unwrap_or((address, ""));
        let port = port.strip_prefix(':').unwrap_or(port);
        return address.parse::<Ipv6Addr>().is_ok() && is_port(port);
    }
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    if !is_port(port) {
        return false;
    }
    // A name may be written with its final dot.
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
        || (!name.is_empty() && names().iter().any(|known| known.eq_ignore_ascii_case(&name)))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
#[path = "site_tests.rs"]
mod tests;
