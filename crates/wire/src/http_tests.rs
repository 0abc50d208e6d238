#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use super::*;

fn request(text: &str) -> Request {
    match parse(text.as_bytes()) {
        Parsed::Complete(request, length) => {
            assert_eq!(length, text.len(), "{text:?}");
            request
        }
        other => panic!("{text:?}: {other:?}"),
    }
}

fn refused(text: impl AsRef<[u8]>) -> u16 {
    match parse(text.as_ref()) {
        Parsed::Refused(response) => response.status,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(text.as_ref())),
    }
}

#[test]
fn a_request_is_what_it_says() {
    let text = "GET /metrics?debug=1 HTTP/1.1\r\nHost: localhost:9180\r\nUser-Agent: Prömetheus\r\n\
                Accept: application/openmetrics-text\r\nACCEPT:text/plain \r\n\r\n";
    let expected = Request {
        head_only: false,
        path: "/metrics".to_owned(),
        host: Some("localhost:9180".to_owned()),
        accept: "application/openmetrics-text,text/plain".to_owned(),
        keep_alive: true,
    };
    assert_eq!(request(text), expected);
    assert_eq!(request(&text.replace("\r\n", "\n")), expected);
    assert_eq!(request(&format!("\r\n{text}")), expected);
    // As a proxy is asked.
    let by_proxy = text.replace("/metrics?", "http://web:80/metrics?");
    let by_proxy = request(&by_proxy);
    assert_eq!((by_proxy.host.as_deref(), &*by_proxy.path), (Some("web:80"), "/metrics"));
    assert_eq!(request("GET http://web HTTP/1.1\r\nHost: a\r\n\r\n").path, "/");
    assert!(request("HEAD / HTTP/1.1\nHost:\n\n").head_only);
}

#[test]
fn a_connection_is_kept_by_who_speaks_1_1_and_does_not_object() {
    let keeps = |version: &str, rest: &str| {
        request(&format!("GET / HTTP/{version}\r\nHost: a\r\n{rest}\r\n")).keep_alive
    };
    assert!(keeps("1.1", ""));
    assert!(keeps("1.1", "Connection: keep-alive\r\n"));
    assert!(!keeps("1.1", "Connection: TE, Close\r\n"));
    assert!(!keeps("1.0", "Connection: keep-alive\r\n"));
    assert_eq!(request("GET / HTTP/1.0\r\n\r\n").host, None);
}

#[test]
fn the_beginning_of_a_request_is_waited_for() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for length in 0..text.len() {
        assert_eq!(parse(&text.as_bytes()[..length]), Parsed::Incomplete, "{length}");
    }
    // What follows is the next one's.
    let two = text.repeat(2);
    let Parsed::Complete(_, length) = parse(two.as_bytes()) else { panic!("no request") };
    assert_eq!(length, text.len());
}

#[test]
fn what_is_not_understood_is_refused() {
    for text in [
        "\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET /\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET / a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTQ/1.1\r\nHost: a\r\n\r\n",
        "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET metrics HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n continued\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "\u{16}\u{3}\u{1}\n\n", // TLS
    ] {
        assert_eq!(refused(text), 400, "{text:?}");
    }
    assert_eq!(refused(b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n"), 400);
    assert_eq!(refused("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
    let body = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(refused(body), 413);
    assert_eq!(request("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").path, "/");
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), 413);
}

#[test]
fn nothing_can_be_changed() {
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "get", "\u{7f}"] {
        let Parsed::Refused(response) =
            parse(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
        else {
            panic!("{method}");
        };
        assert_eq!(response.status, 405);
        let bytes = response.to_bytes(false, false);
        assert!(String::from_utf8(bytes).unwrap().contains("\r\nAllow: GET, HEAD\r\n"));
    }
}

#[test]
fn a_head_has_its_limit() {
    let of = |length: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4))
    };
    assert_eq!(request(&of(HEAD)).path, "/");
    assert_eq!(refused(of(HEAD + 1)), 431);
    assert_eq!(refused(&of(2 * HEAD)[..HEAD]), 431, "without waiting for its end");
    assert_eq!(refused("\n".repeat(HEAD)), 431);
}

/// Whatever comes, it is one of the three, and a request's length is within what came.
#[test]
fn no_bytes_are_too_strange() {
    let mut seed = 7_u32;
    let mut random = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as usize
    };
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
    for _ in 0..20_000 {
        let mut bytes = text.to_vec();
        for _ in 0..random() % 4 {
            let (at, byte) = (random() % bytes.len(), random() % 256);
            bytes[at] = u8::try_from(byte).unwrap();
        }
        bytes.truncate(random() % (text.len() + 1));
        if let Parsed::Complete(_, length) = parse(&bytes) {
            assert!(length <= bytes.len());
        }
    }
}

#[test]
fn an_answer_has_its_length_and_closes_doors() {
    let response = Response::ok("text/plain", "grüß Gott\n".to_owned());
    let text = String::from_utf8(response.to_bytes(false, true)).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "grüß Gott\n");
    for line in [
        "HTTP/1.1 200 OK",
        "Content-Type: text/plain",
        "Content-Length: 12",
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options: nosniff",
        "Referrer-Policy: no-referrer",
        "Cache-Control: no-store",
        "Connection: keep-alive",
    ] {
        assert!(head.lines().any(|there| there == line), "{line}: {head}");
    }
    let head_only = String::from_utf8(response.to_bytes(true, false)).unwrap();
    assert_eq!(head_only, format!("{head}\r\n\r\n").replace("keep-alive", "close"));
}
