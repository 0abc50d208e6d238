//! Settings while they are read.

use super::settings::Settings;
use herder_core::Span;

/// A number of workers, as written.
#[derive(Clone, Copy, Default)]
pub enum Count {
    #[default]
    Auto,
    Number(u32),
}

/// Settings as read so far, and what can only be decided when every source was read.
#[derive(Default)]
pub struct Draft {
    pub settings: Settings,
    /// `workers`, or its `min`; `None` as long as no source sets it.
    pub workers: Option<Count>,
    /// `workers.max`; `None` is a fixed number.
    pub most_workers: Option<Count>,
    /// `max-starting = "auto"`, which depends on the machine.
    pub max_starting_auto: bool,
    /// `crash-limit.after`; `None` depends on `start-timeout`.
    pub crash_after: Option<Span>,
}
