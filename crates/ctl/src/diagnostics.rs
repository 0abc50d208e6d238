//! What the commands that may block say about themselves: a line on standard error, or an entry in the
//! journal where standard error is connected to it (`JOURNAL_STREAM`, systemd.exec(5)).
//!
//! Not for `herder run`, whose log never waits for a reader (see the module `log` of the program), and not for workers.
//! tracing-journald's own names and levels are changed in two ways: fields have no prefix, and an `info`
//! is syslog's `info`, as in the entries of `herder run`.

use herder_linux::journal;
use std::fmt::Display;
use std::io::{self, Write};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Connects this process's diagnostics to the journal, if its standard error is. Where journald does not
/// listen they stay lines on standard error.
pub fn start() {
    if !journal::is_connected() {
        return;
    }
    let Ok(layer) = tracing_journald::layer() else { return };
    let levels = PriorityMappings { info: Priority::Informational, ..PriorityMappings::new() };
    let layer = layer
        .with_field_prefix(None)
        .with_syslog_identifier("herder".to_owned())
        .with_priority_mappings(levels);
    // It fails if there is one already, which does as well.
    let _ = tracing_subscriber::registry().with(layer).try_init();
}

/// Something failed.
pub fn error(what: &impl Display) {
    if tracing::dispatcher::has_been_set() {
        tracing::error!("{what}");
    } else {
        // Nothing is left to report it to if this cannot be written.
        let _ = writeln!(io::stderr(), "herder: {what}");
    }
}
