//! The journal's native protocol: one datagram holds one entry, field by field
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>). Sending is in `linux::journal`.
//!
//! A value with a newline in it is written with its length, so nothing a worker says can add a
//! field to an entry.

/// An entry under construction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NativeEntry {
    bytes: Vec<u8>,
}

impl NativeEntry {
    /// An entry without fields.
    pub fn new() -> NativeEntry {
        NativeEntry::default()
    }

    /// Adds a field. A name that journald would not take is left out: it drops such fields itself.
    pub fn field(&mut self, name: &str, value: &str) -> &mut NativeEntry {
        if !is_field_name(name) {
            return self;
        }
        self.bytes.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            self.bytes.push(b'\n');
            self.bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            self.bytes.push(b'=');
        }
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(b'\n');
        self
    }

    /// The datagram.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Whether journald takes a field of this name from a program: at most 64 upper-case letters,
/// digits and underscores, beginning with a letter (systemd.journal-fields(7)).
pub fn is_field_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_one_line_stands_after_its_name() {
        let mut entry = NativeEntry::new();
        entry.field("MESSAGE", "all is well").field("PRIORITY", "6").field("EMPTY", "");
        assert_eq!(entry.as_bytes(), b"MESSAGE=all is well\nPRIORITY=6\nEMPTY=\n");
    }

    #[test]
    fn a_value_of_several_lines_carries_its_length() {
        let mut entry = NativeEntry::new();
        entry.field("MESSAGE", "one\nPRIORITY=0\n");
        assert_eq!(entry.as_bytes(), b"MESSAGE\n\x0f\0\0\0\0\0\0\0one\nPRIORITY=0\n\n");
    }

    #[test]
    fn names_journald_would_not_take_are_left_out() {
        let mut entry = NativeEntry::new();
        for name in ["", "_PID", "1ST", "lower", "A=B", "A\nB", "Ä", &"A".repeat(65)] {
            assert!(!is_field_name(name), "{name}");
            entry.field(name, "x");
        }
        assert_eq!(entry, NativeEntry::new());
        assert!(is_field_name(&"A".repeat(64)) && is_field_name("HERDER_SLOT"));
    }
}
