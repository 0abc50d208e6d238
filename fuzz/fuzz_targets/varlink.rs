//! Varlink in both directions: calls that clients send to the control socket, and replies that `herder status` and the others
//! get. The first byte says in how large pieces the rest arrives.
#![no_main]

use herder_wire::control::{Received, receive};
use herder_wire::varlink::{Frames, Outcome, Request};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 4096;

fuzz_target!(|data: &[u8]| {
    let Some((size, bytes)) = data.split_first() else { return };
    let mut frames = Frames::new(LIMIT);
    for piece in bytes.chunks(usize::from(*size) + 1) {
        frames.push(piece);
        loop {
            match frames.next_message() {
                Ok(Some(message)) => hear(&message),
                Ok(None) => break,
                // The connection is closed.
                Err(_) => return,
            }
        }
    }
});

fn hear(message: &[u8]) {
    assert!(message.len() <= LIMIT);
    let _ = Outcome::continues(message);
    if let Some(outcome) = Outcome::parse(message) {
        let _ = outcome.to_string();
    }
    if let Some(request) = Request::parse(message) {
        let _ = request.split();
        let written = request.to_message();
        let body = written.strip_suffix(&[0]).expect("a message ends with a NUL byte");
        assert_eq!(Request::parse(body).map(|again| again.to_message()), Some(written.clone()));
    }
    match receive(message) {
        Received::Call(call) => assert!(!call.method.name().is_empty()),
        Received::Reply(bytes) => assert!(bytes.is_empty() || bytes.ends_with(&[0])),
        Received::Garbage => {}
    }
}
