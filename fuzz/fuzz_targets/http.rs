//! HTTP: requests for the status page and metrics, and the answers of probed workers.
#![no_main]

use herder_wire::host::Host;
use herder_wire::http::{Parsed, parse};
use herder_wire::site::{Origin, answer};
use herder_wire::url::{Url, verdict};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = verdict(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(url) = Url::parse(text)
    {
        assert!(url.request().ends_with("\r\n\r\n"), "{url:?}");
    }
    if let Parsed::Complete(request, length) = parse(data) {
        assert!(length <= data.len());
        let names = || vec!["host.example".to_owned()];
        let response = answer(&request, Origin::Tcp(&names), Host::default);
        let bytes = response.to_bytes(false, true);
        assert!(bytes.starts_with(b"HTTP/1.1 "));
    }
});
