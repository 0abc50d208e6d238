//! sd_notify(3) datagrams: what workers say to herder, and what herder says to systemd.
//!
//! Sends and receives nothing (`linux::notify` does), and decides nothing. The non-obvious fact: a line
//! break in a value starts a new field, and PID 1 believes it, so text that came from elsewhere never
//! goes out as it came in.

use sd_notify::NotifyState;

/// The largest datagram systemd reads, `NOTIFY_BUFFER_MAX`; it ignores larger ones altogether.
pub const MAX_DATAGRAM: usize = 4096;

/// How many characters of a worker's `STATUS=` are kept.
const MAX_STATUS: usize = 256;

/// What one datagram of a worker says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// `READY=1`.
    pub ready: bool,
    /// `STOPPING=1`: it wants to leave, and to be replaced.
    pub stopping: bool,
    /// `EXTEND_TIMEOUT_USEC=`, in microseconds.
    pub extend: Option<u64>,
    /// `WATCHDOG=`, if it is one of its two words.
    pub watchdog: Option<WatchdogMessage>,
    /// `WATCHDOG_USEC=`, in microseconds.
    pub watchdog_usec: Option<u64>,
    /// `STATUS=`, made fit to be shown: one line, of bounded length.
    pub status: Option<String>,
}

/// What a worker says to its watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchdogMessage {
    /// `WATCHDOG=1`: it is alive.
    Ping,
    /// `WATCHDOG=trigger`: it wants to be treated as if it were not.
    Trigger,
}

/// The fields herder knows. `MAINPID=`, `FDSTORE=1`, `BARRIER=1` and the like say nothing to it.
const FIELDS: [&[u8]; 6] =
    [b"READY", b"STOPPING", b"EXTEND_TIMEOUT_USEC", b"WATCHDOG", b"WATCHDOG_USEC", b"STATUS"];

impl Message {
    /// Reads a datagram as systemd does: of equal fields the first counts, and one with a NUL in it
    /// says nothing. (A NUL at its end is forgiven: some senders pass their string's terminator.)
    pub fn parse(datagram: &[u8]) -> Message {
        let mut message = Message::default();
        let datagram = datagram.strip_suffix(b"\0").unwrap_or(datagram);
        if datagram.contains(&0) {
            return message;
        }
        // A worker may send what it likes, so no more is remembered than which of these came.
        let mut seen = [false; FIELDS.len()];
        for line in datagram.split(|byte| *byte == b'\n') {
            let equals = line.iter().position(|byte| *byte == b'=').unwrap_or(line.len());
            let (field, value) = line.split_at(equals);
            let Some(known) = FIELDS.iter().position(|known| *known == field) else { continue };
            if !std::mem::replace(&mut seen[known], true) {
                message.take(field, value);
            }
        }
        message
    }

    /// Keeps the value of a field, if it makes sense.
    fn take(&mut self, field: &[u8], value: &[u8]) {
        let Ok(value) = std::str::from_utf8(value) else { return };
        match (field, value) {
            (b"READY", "=1") => self.ready = true,
            (b"STOPPING", "=1") => self.stopping = true,
            (b"EXTEND_TIMEOUT_USEC", value) => {
                self.extend = value.get(1..).and_then(|number| number.parse().ok());
            }
            (b"WATCHDOG", "=1") => self.watchdog = Some(WatchdogMessage::Ping),
            (b"WATCHDOG", "=trigger") => self.watchdog = Some(WatchdogMessage::Trigger),
            (b"WATCHDOG_USEC", value) => {
                self.watchdog_usec = value.get(1..).and_then(|number| number.parse().ok());
            }
            (b"STATUS", value) if value.starts_with('=') => {
                self.status = Some(one_line(&value[1..], MAX_STATUS));
            }
            _ => {}
        }
    }
}

/// One datagram for systemd that says all of `states`, under [`MAX_DATAGRAM`] bytes, whatever a
/// `STATUS=` among them holds. `RELOADING=1` and its `MONOTONIC_USEC=` must be said together.
pub fn compose(states: &[NotifyState<'_>]) -> String {
    let is_status = |state: &NotifyState<'_>| matches!(state, NotifyState::Status(_));
    let lines = |wanted: bool| {
        let of_this_kind = states.iter().filter(move |state| is_status(state) == wanted);
        of_this_kind.map(|state| one_line(&state.to_string(), MAX_DATAGRAM) + "\n")
    };
    let mut text: String = lines(false).collect();
    for mut status in lines(true) {
        if text.len() + status.len() >= MAX_DATAGRAM {
            let mut room = (MAX_DATAGRAM - 1).saturating_sub(text.len() + "…\n".len());
            while !status.is_char_boundary(room) {
                room -= 1;
            }
            status.truncate(room);
            status.push_str("…\n");
        }
        text.push_str(&status);
    }
    text
}

/// `text` with a space for each run of control characters and line separators, and `…` for what is more
/// than `longest` characters.
pub fn one_line(text: &str, longest: usize) -> String {
    // U+2028 and U+2029 are line breaks that are no control characters; the others turn text around.
    let breaks =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let words = text.split(breaks).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_says_what_it_may() {
        let message = Message::parse(
            b"READY=1\nSTATUS=serving\nSTOPPING=1\nEXTEND_TIMEOUT_USEC=18446744073709551615\nWATCHDOG=1\nWATCHDOG_USEC=5\n",
        );
        let expected = Message {
            ready: true,
            stopping: true,
            extend: Some(u64::MAX),
            watchdog: Some(WatchdogMessage::Ping),
            watchdog_usec: Some(5),
            status: Some("serving".to_owned()),
        };
        assert_eq!(message, expected);
        assert_eq!(Message::parse(b"WATCHDOG=trigger").watchdog, Some(WatchdogMessage::Trigger));
    }

    #[test]
    fn everything_else_is_ignored() {
        for line in [
            &b"MAINPID=1"[..],
            b"FDSTORE=1",
            b"NOTIFYACCESS=all",
            b"BARRIER=1",
            b"READY=0",
            b"READY",
            b"READY=1 ",
            b"ready=1",
            b"STATUS",
            b"=",
            b"EXTEND_TIMEOUT_USEC=-1",
            b"EXTEND_TIMEOUT_USEC=1s",
            b"WATCHDOG=0",
            b"WATCHDOG=triggers",
            b"WATCHDOG_USEC=",
            b"WATCHDOG_USEC=-1",
            b"WATCHDOG_PID=1",
            b"STATUS=\xff",
            b"\xff=1",
            b"READY=1\0STATUS=x",
        ] {
            assert_eq!(Message::parse(line), Message::default(), "{}", line.escape_ascii());
        }
        assert_eq!(Message::parse(b""), Message::default());
        assert_eq!(Message::parse(b"\n\n"), Message::default());
        assert!(Message::parse(b"READY=1\0").ready, "a terminator is no content");
    }

    #[test]
    fn of_equal_fields_the_first_counts_as_in_systemd() {
        let message = Message::parse(b"STATUS=hello\nSTATUS=second\nREADY=1\nREADY=0");
        assert_eq!(message.status.as_deref(), Some("hello"));
        assert!(message.ready);
        assert!(!Message::parse(b"READY=0\nREADY=1").ready);
    }

    /// A worker's datagrams are all read in the one thread there is. Were each line compared with all
    /// before it, these would take hours.
    #[test]
    fn a_flood_of_fields_takes_one_pass() {
        let mut flood: String = (0..1_000_000).map(|number| format!("X{number}=\n")).collect();
        flood.push_str("READY=1");
        assert!(Message::parse(flood.as_bytes()).ready);
    }

    #[test]
    fn a_status_is_one_line_of_bounded_length() {
        for (sent, shown) in [
            ("\u{1b}[31mred\u{7}\tand\r more", "[31mred and  more"),
            ("turned\u{202e}round\u{2028}broken", "turned round broken"),
            ("déjà vu …", "déjà vu …"),
            ("", ""),
        ] {
            let message = Message::parse(format!("STATUS={sent}").as_bytes());
            assert_eq!(message.status.as_deref(), Some(shown));
        }
        let long = Message::parse(format!("STATUS={}", "é".repeat(10_000)).as_bytes());
        let expected = format!("{}…", "é".repeat(MAX_STATUS));
        assert_eq!(long.status, Some(expected));
    }

    #[test]
    fn a_reload_is_announced_with_its_time_in_one_datagram() {
        let states = [
            NotifyState::Reloading,
            NotifyState::MonotonicUsec(123),
            NotifyState::Status("reload 1/4"),
        ];
        assert_eq!(compose(&states), "RELOADING=1\nMONOTONIC_USEC=123\nSTATUS=reload 1/4\n");
    }

    #[test]
    fn no_text_becomes_a_field_of_its_own() {
        let evil = "evil\nMAINPID=1\r\nWATCHDOG_USEC=5\0READY=1";
        let text = compose(&[NotifyState::Status(evil), NotifyState::Watchdog]);
        assert_eq!(text, "WATCHDOG=1\nSTATUS=evil MAINPID=1 WATCHDOG_USEC=5 READY=1\n");
    }

    #[test]
    fn a_datagram_is_never_too_long_and_always_whole_text() {
        for character in ["x", "é", "€", "🐑"] {
            for length in [4070, 4071, 4072, 4073, 4074, 4075, 4076, 5000, 10_000] {
                let status = character.repeat(length);
                let text = compose(&[NotifyState::Ready, NotifyState::Status(&status)]);
                assert!(text.len() < MAX_DATAGRAM, "{}", text.len());
                assert!(text.len() > MAX_DATAGRAM - 12, "as much as fits: {}", text.len());
                assert!(text.starts_with("READY=1\nSTATUS=") && text.ends_with('\n'));
            }
        }
    }
}
