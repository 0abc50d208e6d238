//! The files of `EnvironmentFile=`, as systemd reads them.
#![no_main]

use herder_wire::envfile::{is_variable_name, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    if let Ok(variables) = parse(data) {
        for (name, value) in variables {
            assert!(is_variable_name(&name), "{name:?}");
            assert!(!value.contains('\0'), "{name}={value:?} cannot be passed to a program");
        }
    }
});
