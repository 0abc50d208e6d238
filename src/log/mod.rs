//! herder's own log: to the journal, or as lines of text or JSON on standard error.
//!
//! Workers' output never comes here: they write to the journal themselves. Nothing in here waits.
//! An entry that is not taken at once is lost, counted, and the count goes out with the next one
//! that is taken, because a journald or a terminal that hangs must not delay the workers.

mod change;
mod line;
mod report;
mod socket;
mod stderr;

pub use change::change;
pub use herder_wire::level::LogLevel;
pub use socket::{Effect, Origin, effect, socket_changed};

use herder_core::Report;
use herder_linux::journal::Journal;
use herder_wire::journal;
use herder_wire::text::harmless;
use std::fmt::Display;
use std::io;
use std::time::SystemTime;
use stderr::Stderr;

/// `--log-format`: where entries go, and how they are written. `--help` shows these comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The journal when standard error is connected to it, else text
    Auto,
    /// Structured entries in the journal
    Journal,
    /// Lines for people
    Text,
    /// Lines for programs
    Json,
}

/// A log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its importance.
    pub priority: LogLevel,
    /// For people.
    pub message: String,
    /// What kind of event this is, as herder.catalog explains it: 32 hexadecimal digits.
    pub message_id: Option<&'static str>,
    /// For machines: names as in systemd.journal-fields(7).
    pub fields: Vec<(&'static str, String)>,
}

impl Entry {
    /// An entry that is only a message.
    pub fn new(priority: LogLevel, message: impl Into<String>) -> Entry {
        Entry { priority, message: message.into(), message_id: None, fields: Vec::new() }
    }

    /// Adds a field.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Entry {
        self.fields.push((name, value.to_string()));
        self
    }
}

/// The command that brings a failed instance back: a start limit also closes its socket
/// (systemd.socket(5), TriggerLimit and `service-start-limit-hit`).
pub fn recovery(instance: &str) -> String {
    format!(
        "systemctl reset-failed herder@{instance}.socket herder@{instance}.service \
         && systemctl start herder@{instance}.socket"
    )
}

/// The log of one herder.
#[derive(Debug)]
pub struct Log {
    sink: Sink,
    level: LogLevel,
    instance: String,
    recovery: Option<String>,
    lost: u64,
    unreported: u64,
}

#[derive(Debug)]
enum Sink {
    Journal(Journal),
    Text(Stderr),
    Json(Stderr),
}

impl Log {
    /// Opens the log of an instance for entries up to `level`. `under_systemd` says that the
    /// instance runs as `herder@INSTANCE.service`: messages about its failure then end with the
    /// command that recovers it.
    pub fn open(
        format: Format,
        level: LogLevel,
        instance: &str,
        under_systemd: bool,
    ) -> io::Result<Log> {
        let sink = match format {
            Format::Auto if herder_linux::journal::is_connected() => {
                Sink::Journal(Journal::open()?)
            }
            Format::Journal => Sink::Journal(Journal::open()?),
            Format::Auto | Format::Text => Sink::Text(Stderr::open()),
            Format::Json => Sink::Json(Stderr::open()),
        };
        let recovery = under_systemd.then(|| recovery(instance));
        Ok(Log { sink, level, instance: instance.to_owned(), recovery, lost: 0, unreported: 0 })
    }

    /// Whether entries of this priority are wanted. Spares building one that is not.
    pub fn wants(&self, priority: LogLevel) -> bool {
        priority <= self.level
    }

    /// Entries lost so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Logs a message.
    pub fn say(&mut self, priority: LogLevel, message: impl Display) {
        if self.wants(priority) {
            self.write(Entry::new(priority, message.to_string()));
        }
    }

    /// The least important entries that are wanted.
    pub fn level(&self) -> LogLevel {
        self.level
    }

    /// Wants entries up to this priority from now on.
    pub fn set_level(&mut self, level: LogLevel) {
        self.level = level;
    }

    /// Logs what the core reports; `pid` is that of the worker it is about, if there is one. Returns
    /// the entry, as [`write`](Log::write) does.
    pub fn report(&mut self, report: &Report, pid: Option<u32>) -> Entry {
        let entry = report::entry(report, pid, self.recovery.as_deref());
        self.write(entry)
    }

    /// Logs an entry if its priority is wanted. Returns the entry with the fields the log has added.
    pub fn write(&mut self, mut entry: Entry) -> Entry {
        entry.fields.push(("HERDER_INSTANCE", self.instance.clone()));
        if self.unreported > 0 && self.wants(entry.priority) {
            entry.fields.push(("HERDER_LOST", self.unreported.to_string()));
            let before = format!(" ({} log entries before this one were lost)", self.unreported);
            entry.message.push_str(&before);
        }
        // Texts of workers must not look like fields or lines of herder.
        entry.message = harmless(&entry.message);
        for (_, value) in &mut entry.fields {
            *value = harmless(value);
        }
        if !self.wants(entry.priority) {
            return entry;
        }
        if self.deliver(&entry) {
            self.unreported = 0;
        } else {
            self.unreported += 1;
            self.lost += 1;
        }
        entry
    }

    /// `false` if the journal or standard error did not take it.
    fn deliver(&mut self, entry: &Entry) -> bool {
        match &mut self.sink {
            Sink::Journal(journal) => journal.send(native(entry).as_bytes()).is_ok(),
            Sink::Text(stderr) => {
                let colour = stderr.is_colourful();
                stderr.write(line::text(entry, SystemTime::now(), colour))
            }
            Sink::Json(stderr) => stderr.write(line::json(entry, SystemTime::now())),
        }
    }
}

/// The entry in the journal's native protocol.
fn native(entry: &Entry) -> journal::NativeEntry {
    let mut native = journal::NativeEntry::new();
    native
        .field("MESSAGE", &entry.message)
        .field("PRIORITY", &(entry.priority as u8).to_string())
        .field("SYSLOG_IDENTIFIER", "herder");
    if let Some(id) = entry.message_id {
        native.field("MESSAGE_ID", id);
    }
    for (name, value) in &entry.fields {
        native.field(name, value);
    }
    native
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    fn log_to(path: &std::path::Path, level: LogLevel) -> Log {
        Log {
            sink: Sink::Journal(Journal::at(path).unwrap()),
            level,
            instance: "web".to_owned(),
            recovery: Some(recovery("web")),
            lost: 0,
            unreported: 0,
        }
    }

    fn receive(journald: &UnixDatagram) -> String {
        journald.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut buffer = [0; 8192];
        let length = journald.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn the_journal_gets_fields() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let mut log = log_to(&path, LogLevel::Info);
        log.say(LogLevel::Debug, "not wanted");
        log.write(Entry::new(LogLevel::Warning, "careful").with("HERDER_SLOT", 3));
        assert_eq!(
            receive(&journald),
            "MESSAGE=careful\nPRIORITY=4\nSYSLOG_IDENTIFIER=herder\nHERDER_SLOT=3\nHERDER_INSTANCE=web\n"
        );
    }

    #[test]
    fn losses_are_counted_and_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let mut log = log_to(&path, LogLevel::Info);
        log.say(LogLevel::Notice, "lost");
        log.say(LogLevel::Notice, "lost");
        assert_eq!(log.lost(), 2);
        let journald = UnixDatagram::bind(&path).unwrap();
        log.say(LogLevel::Notice, "first");
        log.say(LogLevel::Notice, "second");
        assert!(receive(&journald).contains("HERDER_LOST=2\n"));
        assert!(!receive(&journald).contains("HERDER_LOST"));
        assert_eq!(log.lost(), 2);
    }

    #[test]
    fn a_worker_cannot_add_a_field_or_an_escape_sequence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let mut log = log_to(&path, LogLevel::Info);
        log.say(LogLevel::Notice, "evil\nPRIORITY=0\x1b[2J");
        let entry = receive(&journald);
        assert!(entry.starts_with("MESSAGE\n"), "{entry:?}");
        assert!(entry.contains("\\u{1b}[2J") && !entry.contains('\x1b'), "{entry:?}");
    }
}
