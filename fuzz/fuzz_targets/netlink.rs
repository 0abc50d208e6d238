//! The kernel's answers to `sock_diag` over netlink.
#![no_main]

use herder_wire::diag::{Part, parts};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let found: Vec<Part> = parts(data).collect();
    // A header has 16 bytes, so a datagram cannot hold more parts.
    assert!(found.len() <= data.len() / 16 + 1, "{} parts of {} bytes", found.len(), data.len());
});
