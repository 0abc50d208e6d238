//! `herder status`, `herder reload` and the others: the operator's side of the control socket.
//!
//! Plain blocking code in a process of its own. An instance that does not answer is given up after
//! [`PATIENCE`]; a change that herder has begun may take longer. Texts that a running herder sends are made
//! harmless before they reach a terminal.

mod ask;
mod change;
mod client;
mod columns;
mod command;
mod detail;
pub mod diagnostics;
mod events;
mod find;
mod health;
mod human;
mod metrics;
mod overview;
mod paint;
mod progress;
mod serve;
mod start;
mod status;
mod top;
mod unit;

pub use change::{abort_reload, log_level, recycle, reload, scale, set, stop_worker};
pub use events::events;
pub use health::health;
pub use herder_wire::openmetrics::Format;
pub use metrics::metrics;
pub use serve::serve;
pub use status::status;
pub use top::top;

use herder_linux::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// The names of instances that run or have settings, for completion in a shell.
pub fn instance_names() -> Vec<String> {
    let places = find::Places::of_system();
    let mut names = places.configured();
    names.extend(places.all().instances.into_iter().map(|instance| instance.name));
    names.sort();
    names.dedup();
    names
}

/// How long it may take to find a running herder, to make sure that it is one, and to get its first answer.
const PATIENCE: Duration = Duration::from_millis(1500);

/// When the first answer has to have arrived.
fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// Writes to standard output. A reader that has closed the pipe is no error.
fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::system("write to standard output", error))
        }
        _ => Ok(()),
    }
}

/// As `main` does with the error that ends a command.
fn complain(error: &impl Display) {
    diagnostics::error(error);
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
