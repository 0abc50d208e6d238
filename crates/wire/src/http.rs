//! HTTP as far as a scraper and a browser need it for text that is there to be read: GET and HEAD,
//! no bodies sent to us (RFC 9110, RFC 9112). From bytes to a [`Request`], from a [`Response`] to bytes.
//!
//! Knows no page and no connection. The one non-obvious fact: what is not understood for certain is
//! refused and the connection closed, because two readings of one request are how requests are
//! smuggled past proxies.

use std::fmt::Write;

/// The longest head of a request that is taken, in bytes.
pub const HEAD: usize = 8 * 1024;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// HEAD: the same answer, without its body.
    pub head_only: bool,
    /// The path, without a query; as it was sent, so `/%6detrics` is not `/metrics`.
    pub path: String,
    /// Which host it takes us for, with or without a port; a client of HTTP/1.0 need not say.
    pub host: Option<String>,
    /// `Accept`, as it was sent; empty if it was not.
    pub accept: String,
    /// It may send another request afterwards.
    pub keep_alive: bool,
}

/// What the bytes so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a request.
    Incomplete,
    /// A request, and how many bytes it took.
    Complete(Request, usize),
    /// Nothing to be served: the answer, after which the connection is to be closed.
    Refused(Response),
}

/// What the bytes from a client begin with.
pub fn parse(bytes: &[u8]) -> Parsed {
    // An empty line or two before a request is forgiven (RFC 9112, 2.2).
    let start = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let Some(length) = head(&bytes[start..]) else {
        return if bytes.len() < HEAD {
            Parsed::Incomplete
        } else {
            Parsed::Refused(Response::refusal(431, "The head of a request may have 8 KiB."))
        };
    };
    if start + length > HEAD {
        return Parsed::Refused(Response::refusal(431, "The head of a request may have 8 KiB."));
    }
    match Head::read(&bytes[start..start + length]).and_then(Head::request) {
        Ok(request) => Parsed::Complete(request, start + length),
        Err(refusal) => Parsed::Refused(refusal),
    }
}

/// The length of a head, with the empty line that ends it. A line may end without a carriage return.
fn head(bytes: &[u8]) -> Option<usize> {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    ends.clone().zip(ends.skip(1)).find_map(|(line, next)| {
        let between = &bytes[line..next];
        matches!(between, b"\n" | b"\r\n").then_some(next)
    })
}

/// A head, field by field, as far as the fields matter here.
#[derive(Default)]
struct Head<'a> {
    method: &'a str,
    target: &'a str,
    version: &'a str,
    host: Vec<&'a str>,
    accept: Vec<&'a str>,
    connection: Vec<&'a str>,
    has_body: bool,
}

impl<'a> Head<'a> {
    fn read(bytes: &'a [u8]) -> Result<Head<'a>, Response> {
        let malformed = || Response::refusal(400, "That is no HTTP request.");
        // Letters beyond ASCII have a place only in fields that do not matter here.
        let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
        let mut lines = text.lines();
        let mut words = lines.next().ok_or_else(malformed)?.split(' ');
        let mut word = || words.next().filter(|word| !word.is_empty()).ok_or_else(malformed);
        let mut head =
            Head { method: word()?, target: word()?, version: word()?, ..Head::default() };
        if words.next().is_some() || !head.target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed());
        }
        for line in lines.take_while(|line| !line.is_empty()) {
            // A name has no space around it (RFC 9112, 5.1), and no line continues the one before (5.2).
            let (name, value) = line.split_once(':').ok_or_else(malformed)?;
            let is_name =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_name) || value.contains(is_control) {
                return Err(malformed());
            }
            let value = value.trim_matches([' ', '\t']);
            match name.to_ascii_lowercase().as_str() {
                "host" => head.host.push(value),
                "accept" => head.accept.push(value),
                "connection" => head.connection.push(value),
                "content-length" => head.has_body |= value != "0",
                "transfer-encoding" => head.has_body = true,
                _ => {}
            }
        }
        Ok(head)
    }

    fn request(self) -> Result<Request, Response> {
        let minor = match self.version.strip_prefix("HTTP/") {
            Some("1.0") => 0,
            Some("1.1") => 1,
            Some(other) if other.starts_with(|first: char| first.is_ascii_digit()) => {
                return Err(Response::refusal(505, "This speaks HTTP/1.1."));
            }
            _ => return Err(Response::refusal(400, "That is no HTTP request.")),
        };
        let head_only = match self.method {
            "GET" => false,
            "HEAD" => true,
            _ => {
                let mut refusal =
                    Response::refusal(405, "There is nothing to change here: use GET or HEAD.");
                refusal.headers.push(("Allow", "GET, HEAD"));
                return Err(refusal);
            }
        };
        if self.has_body {
            return Err(Response::refusal(413, "A request for a page has no body."));
        }
        let host = match *self.host {
            [] if minor == 0 => None,
            [host] => Some(host),
            [] => return Err(Response::refusal(400, "The request does not name a Host.")),
            _ => return Err(Response::refusal(400, "The request names more than one Host.")),
        };
        // As a proxy is asked, which every server has to take (RFC 9112, 3.2.2).
        let (host, target) = match self.target.strip_prefix("http://") {
            Some(rest) => {
                let (host, _) = rest.split_once(['/', '?']).unwrap_or((rest, ""));
                let target = &rest[host.len()..];
                (Some(host), if target.starts_with('/') { target } else { "/" })
            }
            None => (host, self.target),
        };
        if !target.starts_with('/') {
            return Err(Response::refusal(400, "The request does not name a page."));
        }
        let (path, _) = target.split_once(['?', '#']).unwrap_or((target, ""));
        let asked_to = |word: &str| {
            let mut options = self.connection.iter().flat_map(|line| line.split(','));
            options.any(|option| option.trim().eq_ignore_ascii_case(word))
        };
        Ok(Request {
            head_only,
            path: path.to_owned(),
            host: host.map(str::to_owned),
            accept: self.accept.join(","),
            keep_alive: minor == 1 && !asked_to("close"),
        })
    }
}

fn is_control(c: char) -> bool {
    c.is_control() && c != '\t'
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its status: 200, 404, …
    pub status: u16,
    /// What the body is.
    pub content_type: &'static str,
    /// Header fields beside those every answer has.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The text.
    pub body: String,
}

impl Response {
    /// What was asked for.
    pub fn ok(content_type: &'static str, body: String) -> Response {
        Response { status: 200, content_type, headers: Vec::new(), body }
    }

    /// A sentence that says why there is nothing else.
    pub fn refusal(status: u16, sentence: &str) -> Response {
        let body = format!("{sentence}\n");
        Response { status, content_type: "text/plain; charset=utf-8", headers: Vec::new(), body }
    }

    /// As it is sent; whether the connection is kept is up to the caller.
    pub fn to_bytes(&self, head_only: bool, keep_alive: bool) -> Vec<u8> {
        let mut text = String::with_capacity(512 + self.body.len());
        let _ = write!(
            text,
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
            self.status,
            reason(self.status),
            self.content_type,
            self.body.len()
        );
        let mut header = |name: &str, value: &str| {
            let _ = write!(text, "{name}: {value}\r\n");
        };
        for (name, value) in &self.headers {
            header(name, value);
        }
        // Nothing to load, to frame or to guess, unless the page says otherwise.
        let sets_policy = self.headers.iter().any(|(name, _)| *name == "Content-Security-Policy");
        if !sets_policy {
            header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
        }
        header("X-Content-Type-Options", "nosniff");
        header("Referrer-Policy", "no-referrer");
        header("Cross-Origin-Resource-Policy", "same-origin");
        header("Cache-Control", "no-store");
        header("Connection", if keep_alive { "keep-alive" } else { "close" });
        text.push_str("\r\n");
        if !head_only {
            text.push_str(&self.body);
        }
        text.into_bytes()
    }
}

/// The words of RFC 9110 for a status, for people that look at the bytes.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
