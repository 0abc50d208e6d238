//! Where workers write to: herder's own standard output and error, or a journal stream of their own.
//!
//! Output does not pass through herder: the stream that it opens it passes on, and closes.

use crate::log::LogLevel;
use herder_core::WorkerId;
use herder_linux::journal::{self, Stream};
use std::borrow::Cow;
use std::ffi::{CStr, CString};

/// What came of `syslog-identifier` so far.
#[derive(Debug)]
pub struct Output {
    is_journal: bool,
    has_told: bool,
    /// Workers in a row for which there was no stream.
    without: u64,
    notes: Vec<(LogLevel, String)>,
}

impl Output {
    pub fn new() -> Output {
        Output {
            is_journal: journal::is_connected(),
            has_told: false,
            without: 0,
            notes: Vec::new(),
        }
    }

    /// A stream under this name; without one the worker writes to where herder does.
    pub fn open(&mut self, worker: WorkerId, identifier: &str) -> Option<Stream> {
        if !self.is_journal {
            if !std::mem::replace(&mut self.has_told, true) {
                let text = "`syslog-identifier` has no use here: standard error is not the journal, \
                            ignoring";
                self.notes.push((LogLevel::Notice, text.to_owned()));
            }
            return None;
        }
        match Stream::open(identifier) {
            Ok(stream) => {
                let before = std::mem::take(&mut self.without);
                if before > 0 {
                    let text = format!(
                        "the journal has streams for workers again: {before} workers before \
                         {worker} write into herder's own"
                    );
                    self.notes.push((LogLevel::Notice, text));
                }
                Some(stream)
            }
            Err(why) => {
                self.without += 1;
                if self.without == 1 {
                    let text = format!(
                        "the journal has no stream for {worker} ({why}): it writes into herder's \
                         own, and so do others as long as that goes on"
                    );
                    self.notes.push((LogLevel::Warning, text));
                }
                None
            }
        }
    }

    /// What operators should know, for the log.
    pub fn notes(&mut self) -> Vec<(LogLevel, String)> {
        std::mem::take(&mut self.notes)
    }
}

/// Says in a worker's environment that its output is this stream, and no other.
pub fn announce(stream: &Stream, env: &mut Vec<Cow<'_, CStr>>) {
    const NAME: &str = "JOURNAL_STREAM=";
    env.retain(|variable| !variable.to_bytes().starts_with(NAME.as_bytes()));
    // Digits and a colon: there is no NUL in it.
    env.extend(CString::new(format!("{NAME}{}", stream.name)).ok().map(Cow::Owned));
}
