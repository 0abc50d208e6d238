//! What workers send to the notify socket.
#![no_main]

use herder_wire::notify::{Message, one_line};
use libfuzzer_sys::fuzz_target;

const LONGEST: usize = 80;

fuzz_target!(|data: &[u8]| {
    let message = Message::parse(data);
    if let Some(status) = message.status {
        assert!(!status.contains(char::is_control), "{status:?}");
    }
    let line = one_line(&String::from_utf8_lossy(data), LONGEST);
    assert!(line.chars().count() <= LONGEST + 1, "{line:?}");
    assert!(!line.contains(char::is_control), "{line:?}");
});
