//! Files of `/proc/PID`, and what is read from the memory of a blocked worker.
#![no_main]

use herder_wire::proc::{
    POLLFD, SystemCall, Target, is_of_32_bits, polled, ring_waits, selected, variable, watched,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Target::of(data);
    assert!(polled(data).count() <= data.len() / POLLFD);
    assert!(selected(data).all(|descriptor| descriptor >= 0));
    let _ = is_of_32_bits(data);
    if let Some(value) = variable(data, "A") {
        assert!(!value.contains(&0));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = watched(text).count();
        let _ = ring_waits(text);
        let _ = SystemCall::parse(text);
    }
});
