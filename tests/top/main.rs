//! `herder top` in a real terminal: tmux, which has exact sizes, keys to press, and a screen to read.
//!
//! Half of it is against real herders, for what keys come to; the other half against made-up ones, which
//! are in any state at once: those are also made into pictures, to be looked at (`pictures`). Waits for
//! what is on the screen, never for time to pass.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[allow(dead_code, reason = "shared with the integration tests")]
#[path = "../it/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with the integration tests")]
#[path = "../it/systemd.rs"]
mod systemd;
#[path = "../it/wait.rs"]
#[allow(dead_code, reason = "shared with the integration tests")]
mod wait;
#[allow(dead_code, reason = "shared with the integration tests")]
#[path = "../it/workers.rs"]
mod workers;

mod html;
mod scene;
mod standin;
mod tmux;

mod keys;
mod links;
mod pictures;
mod restored;
