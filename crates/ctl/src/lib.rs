//! `herder status`, `herder reload` and the others: the operator's side of the control socket.
//!
//! Plain blocking code in a process of its own. Whoever cannot be asked is known after [`PATIENCE`]; what
//! herder has begun to do takes the time it takes. Nothing a running herder answers is trusted to be
//! harmless on a terminal.

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

/// What instances there are or could be, for whoever types a name.
pub fn instance_names() -> Vec<String> {
    let places = find::Places::of_system();
    let mut names = places.configured();
    names.extend(places.all().instances.into_iter().map(|instance| instance.name));
    names.sort();
    names.dedup();
    names
}

/// How long it may take to find a running herder, to make sure that it is one, and to hear from it:
/// less than the 2 s after which people wonder.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Until when the first answer has to be there.
fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// To standard output. A reader that has seen enough is no error.
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
