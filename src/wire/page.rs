//! The status page: one file that asks for `status.json` beside it, a [`Host`](super::host::Host), and
//! shows it live.
//!
//! It needs nothing from anywhere else, and its own Content-Security-Policy forbids it to: every text
//! from an instance is put in as text, and were one not, no script but the page's own would run. That
//! policy names the page's style and script by hash; whoever changes them is told the new hash by
//! tests/metrics.

/// The page.
pub const HTML: &str = include_str!("page.html");
