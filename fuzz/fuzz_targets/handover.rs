//! What systemd passes in the environment, and addresses of sockets. A NUL byte ends each of the three variables.
#![no_main]

use herder_wire::address::Address;
use herder_wire::listen::Handover;
use libfuzzer_sys::fuzz_target;

const VARIABLES: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

fuzz_target!(|data: &str| {
    if let Ok(address) = data.parse::<Address>() {
        let shown = address.to_string();
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }
    let values: Vec<&str> = data.split('\0').collect();
    let value = |name: &str| {
        let position = VARIABLES.iter().position(|known| *known == name)?;
        values.get(position).map(|value| (*value).to_owned())
    };
    if let Ok(Some(handover)) = Handover::parse(value, 42) {
        assert_eq!(handover.names.len(), handover.fds as usize);
    }
});
