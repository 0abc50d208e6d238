//! The little of HTTP's URLs and answers that a probe needs. Names are not looked up: a probe asks a server
//! on this machine, or at an address.

use std::net::IpAddr;
use std::net::SocketAddr;

/// `http://ADDRESS[:PORT][/PATH]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The server to connect to.
    pub address: SocketAddr,
    /// As it is written in the URL.
    pub authority: String,
    /// Path and query; `/` without one.
    pub path: String,
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// What is wrong with it, to follow “`probe.http`”.
    pub fn parse(text: &str) -> Result<Url, String> {
        let rest = text.strip_prefix("http://").ok_or("has to begin with `http://`")?;
        let (authority, path) = match rest.find(['/', '?']) {
            Some(end) => rest.split_at(end),
            None => (rest, "/"),
        };
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if !path.starts_with('/') || !path.bytes().all(allowed) {
            return Err("has a path that cannot be asked for; write it as it stands in a request, `/healthz`".into());
        }
        let wrong = || {
            format!(
                "names `{authority}`, and has to name an IP address or localhost, and perhaps a port: names are not looked up"
            )
        };
        let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
        let here = IpAddr::from([127, 0, 0, 1]);
        let host_and_port = match authority.strip_prefix("localhost") {
            Some("") => Some((here, 80)),
            Some(port) => port.strip_prefix(':').and_then(number).map(|port| (here, port)),
            None => match authority.parse::<SocketAddr>() {
                Ok(address) => Some((address.ip(), address.port())).filter(|(_, port)| *port > 0),
                Err(_) => {
                    let bare = authority.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
                    let host = bare.unwrap_or(authority).parse::<IpAddr>().ok();
                    host.filter(|ip| ip.is_ipv4() || bare.is_some()).map(|host| (host, 80))
                }
            },
        };
        let (host, port) = host_and_port.ok_or_else(wrong)?;
        let address = SocketAddr::new(host, port);
        Ok(Url { address, authority: authority.to_owned(), path: path.to_owned() })
    }

    /// The request.
    pub fn request(&self) -> String {
        format!(
            "GET {} HTTP/1.0\r\nHost: {}\r\nUser-Agent: herder\r\nConnection: close\r\n\r\n",
            self.path, self.authority
        )
    }
}

/// What the beginning of an answer says; `None` if that is too little to tell.
///
/// `Err` says what is wrong: a status other than 200 to 399, or no HTTP.
pub fn verdict(answer: &[u8]) -> Option<Result<(), String>> {
    const LENGTH: usize = "HTTP/1.1 200".len();
    let no_http = || Err("the answer is not HTTP".to_owned());
    let known = &answer[..answer.len().min("HTTP/1.".len())];
    if !b"HTTP/1.".starts_with(known) {
        return Some(no_http());
    }
    let line = std::str::from_utf8(answer.get(..LENGTH)?).unwrap_or_default();
    Some(match line.get("HTTP/1.1 ".len()..).and_then(|status| status.parse::<u16>().ok()) {
        Some(200..=399) => Ok(()),
        Some(status) => Err(format!("HTTP status {status}")),
        None => no_http(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_an_address_and_a_path() {
        for (text, address, authority, path) in [
            ("http://127.0.0.1:8000/healthz", "127.0.0.1:8000", "127.0.0.1:8000", "/healthz"),
            ("http://localhost:9003", "127.0.0.1:9003", "localhost:9003", "/"),
            ("http://localhost/", "127.0.0.1:80", "localhost", "/"),
            ("http://10.0.0.1/a?b=c", "10.0.0.1:80", "10.0.0.1", "/a?b=c"),
            ("http://[::1]:81/x", "[::1]:81", "[::1]:81", "/x"),
            ("http://[::1]", "[::1]:80", "[::1]", "/"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(url.address.to_string(), address);
            assert_eq!((url.authority.as_str(), url.path.as_str()), (authority, path));
        }
        let request = Url::parse("http://[::1]:81/x").unwrap().request();
        assert!(request.starts_with("GET /x HTTP/1.0\r\nHost: [::1]:81\r\n"), "{request}");
        for text in [
            "https://127.0.0.1/",
            "127.0.0.1:80",
            "http://example.org/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:70000/",
            "http://localhosts/",
            "http://localhost:x/",
            "http://::1/",
            "http:///",
            "http://127.0.0.1/a b",
            "http://127.0.0.1/a\r\nb",
            "http://127.0.0.1?x",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_answer_is_judged_by_its_status() {
        for status in [200, 204, 302, 399] {
            let answer = format!("HTTP/1.1 {status} Fine\r\n");
            assert_eq!(verdict(answer.as_bytes()), Some(Ok(())));
            assert_eq!(verdict(format!("HTTP/1.0 {status}").as_bytes()), Some(Ok(())));
        }
        assert_eq!(verdict(b"HTTP/1.1 503 No\r\n"), Some(Err("HTTP status 503".to_owned())));
        assert_eq!(verdict(b"HTTP/1.1 404"), Some(Err("HTTP status 404".to_owned())));
        for beginning in [&b""[..], b"H", b"HTTP/1.", b"HTTP/1.1 20"] {
            assert_eq!(verdict(beginning), None);
        }
        for other in [&b"SSH-2.0"[..], b"HTTP/2 200 OK", b"HTTP/1.1 abc"] {
            assert_eq!(verdict(other), Some(Err("the answer is not HTTP".to_owned())));
        }
    }
}
