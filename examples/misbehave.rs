//! A worker that does what its arguments say, one step after the other: for trying and testing what
//! herder does about workers that misbehave. After the last step it stays until a signal ends it.
//!
//! ```text
//! misbehave                                 never ready
//! misbehave exit 3                          ends at once
//! misbehave ready                           ready, serves nothing
//! misbehave ready wait 200 die 9            ready, killed by a signal 200 ms later
//! misbehave ignore-term ready               has to be killed
//! misbehave ready wait 500 notify STOPPING=1 wait 300 exit 0        retires
//! misbehave ready grandchild exit 0         leaves a process that ignores SIGTERM
//! ```
//!
//! | step | what it does |
//! | --- | --- |
//! | `ready` | sends READY=1 |
//! | `notify TEXT` | sends TEXT to NOTIFY_SOCKET in one datagram; `\n` in it is a newline |
//! | `status-of BYTES` | sends a STATUS= of that length |
//! | `flood COUNT` | sends that many datagrams as fast as it can |
//! | `wait MS` | waits |
//! | `exit CODE` | exits |
//! | `die SIGNAL` | ends by the signal with that number, real-time signals included |
//! | `ignore-term` | SIGTERM does nothing from now on |
//! | `grandchild` | leaves behind a child, in the same session, that ignores SIGTERM |
//! | `note FILE` | appends its pid to FILE |
//! | `from FILE` | goes on with the steps in FILE (words), read now: behaviour that a test can change |

use std::env;
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{self, Command};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    run(&mut env::args().skip(1))?;
    loop {
        thread::park();
    }
}

fn run(steps: &mut dyn Iterator<Item = String>) -> Outcome {
    while let Some(step) = steps.next() {
        let mut value = || steps.next().ok_or(format!("`{step}` needs a value"));
        match step.as_str() {
            "ready" => notify("READY=1")?,
            "notify" => notify(&value()?.replace("\\n", "\n"))?,
            "status-of" => notify(&format!("STATUS={}", "x".repeat(value()?.parse()?)))?,
            "flood" => (0..value()?.parse()?)
                .try_for_each(|count: u64| notify(&format!("STATUS={count}")))?,
            // Time is what these tests are about: this program is the slow one.
            "wait" => thread::sleep(Duration::from_millis(value()?.parse()?)),
            "exit" => process::exit(value()?.parse()?),
            "die" => return die(value()?.parse()?),
            // Blocked and never taken: it stays pending, which to the sender is the same.
            "ignore-term" => SigSet::from(Signal::SIGTERM).thread_block()?,
            "grandchild" => {
                // It ends one day, also when whoever should have killed it did not.
                let steps = ["ignore-term", "wait", "120000", "exit", "0"];
                Command::new(env::current_exe()?).args(steps).spawn()?;
            }
            "note" => {
                let mut file = OpenOptions::new().create(true).append(true).open(value()?)?;
                writeln!(file, "{}", process::id())?;
            }
            "from" => {
                let text = fs::read_to_string(value()?)?;
                run(&mut text.split_whitespace().map(String::from))?;
            }
            _ => return Err(format!("unknown step `{step}`").into()),
        }
    }
    Ok(())
}

fn notify(text: &str) -> Outcome {
    if let Some(path) = env::var_os("NOTIFY_SOCKET") {
        UnixDatagram::unbound()?.send_to(text.as_bytes(), path)?;
    }
    Ok(())
}

/// Becomes a shell that signals itself: safe Rust has no name for real-time signals.
fn die(signal: u32) -> Outcome {
    Err(Command::new("sh").arg("-c").arg(format!("kill -{signal} $$")).exec().into())
}
