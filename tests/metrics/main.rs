//! Metrics, the status page, and what is made from them, checked with the programs that read them in practice. promtool
//! checks the formats, the alert rules and the dashboard's queries, prometheus_client parses OpenMetrics,
//! and Chromium opens the page.
//!
//! Where one of these is not installed its tests say so and pass, except in CI (`CI` set), where they
//! fail. Pictures of the page are left in `target/tmp`, for people to look at.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod browser;
mod chromium;
mod command;
mod documents;
mod fixture;
mod formats;
mod tools;
