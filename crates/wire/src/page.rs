//! The status page: one file that asks for `status.json` beside it, a [`Host`](super::host::Host), and
//! shows it live.
//!
//! It needs nothing from anywhere else. Every text from an instance is put in as text, and were one not,
//! no script but the page's own would run.

/// The page.
pub const HTML: &str = include_str!("page.html");

/// What the page may do: the Content-Security-Policy to send with it. It names the page's style and
/// script by hash, so that nothing else is either; tests/metrics tells the new ones when they change.
pub const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; \
     style-src 'sha256-k0E8GPJAroOtLJK5vOO06msyVnbi3F/CDa9TFea6/fU='; \
     script-src 'sha256-iJtOOYuT7iyQsvEOfLx84P+G/v0u0e5x9aYKw69s6Zs='; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
