//! Keys, out of the bytes a terminal sends in raw mode.
//!
//! Only what `herder top` has a use for; other sequences are swallowed whole, so that the tail of one is
//! never taken for a letter. Escape is the one byte that may be a key or the start of a sequence: it is
//! the key if nothing follows in the same read, as terminals send a sequence in one piece.

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Char(char),
    Ctrl(char),
    Enter,
    Escape,
    Backspace,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
}

const ESC: u8 = 0x1b;

/// Takes bytes, gives keys.
#[derive(Debug, Default)]
pub struct Decoder {
    /// What is not yet a whole key.
    rest: Vec<u8>,
}

impl Decoder {
    /// The keys in what was read, with what was left of the read before.
    pub fn keys(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.rest.extend_from_slice(bytes);
        let mut keys = Vec::new();
        let mut at = 0;
        while let Some((key, length)) = decode(&self.rest[at..]) {
            keys.extend(key);
            at += length;
        }
        self.rest.drain(..at);
        keys
    }
}

/// The first key, if it is one `herder top` knows, and how many bytes it is; none if it is not whole.
fn decode(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    let first = *bytes.first()?;
    match first {
        ESC => sequence(bytes),
        b'\r' | b'\n' => Some((Some(Key::Enter), 1)),
        0x7f | 0x08 => Some((Some(Key::Backspace), 1)),
        0x01..=0x1a => Some((Some(Key::Ctrl(char::from(first + b'a' - 1))), 1)),
        0x00..=0x1f => Some((None, 1)),
        _ => letter(bytes),
    }
}

fn letter(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    let length = match bytes[0] {
        0x00..=0x7f => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => return Some((None, 1)),
    };
    let text = std::str::from_utf8(bytes.get(..length)?);
    match text.ok().and_then(|text| text.chars().next()) {
        Some(letter) => Some((Some(Key::Char(letter)), length)),
        None => Some((None, 1)),
    }
}

/// ECMA-48, section 5.4: `ESC [`, parameters, a final byte from `@` to `~`; `ESC O` and one letter from
/// a keypad in application mode.
fn sequence(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    match bytes.get(1) {
        None | Some(&ESC) => Some((Some(Key::Escape), 1)),
        Some(b'O') => Some((named(&[], *bytes.get(2)?), 3)),
        Some(b'[') => {
            // The Linux console's function keys: `ESC [ [ A`.
            if bytes.get(2) == Some(&b'[') {
                return bytes.get(3).map(|_| (None, 4));
            }
            let end = bytes[2..].iter().position(|byte| (0x40..=0x7e).contains(byte))?;
            Some((named(&bytes[2..2 + end], bytes[2 + end]), end + 3))
        }
        // Alt and a letter.
        Some(_) => Some((None, 2)),
    }
}

fn named(parameters: &[u8], last: u8) -> Option<Key> {
    match (parameters, last) {
        (_, b'A') => Some(Key::Up),
        (_, b'B') => Some(Key::Down),
        (_, b'C') => Some(Key::Right),
        (_, b'D') => Some(Key::Left),
        (_, b'H') | (b"1" | b"7", b'~') => Some(Key::Home),
        (_, b'F') | (b"4" | b"8", b'~') => Some(Key::End),
        (b"5", b'~') => Some(Key::PageUp),
        (b"6", b'~') => Some(Key::PageDown),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        Decoder::default().keys(bytes)
    }

    #[test]
    fn letters_and_controls() {
        let expected = [
            Key::Char('q'),
            Key::Char('ä'),
            Key::Enter,
            Key::Backspace,
            Key::Ctrl('c'),
            Key::Char('+'),
        ];
        assert_eq!(keys("qä\r\x7f\x03+".as_bytes()), expected);
    }

    #[test]
    fn sequences_of_xterm_rxvt_and_the_console() {
        for (bytes, key) in [
            ("\x1b[A", Key::Up),
            ("\x1bOA", Key::Up),
            ("\x1b[1;5B", Key::Down),
            ("\x1b[C", Key::Right),
            ("\x1bOD", Key::Left),
            ("\x1b[5~", Key::PageUp),
            ("\x1b[6~", Key::PageDown),
            ("\x1b[H", Key::Home),
            ("\x1b[1~", Key::Home),
            ("\x1b[7~", Key::Home),
            ("\x1bOF", Key::End),
            ("\x1b[4~", Key::End),
            ("\x1b", Key::Escape),
        ] {
            assert_eq!(keys(bytes.as_bytes()), [key], "{bytes:?}");
            assert_eq!(
                keys(format!("{bytes}\x1b[6~").as_bytes()),
                [key, Key::PageDown],
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn what_is_unknown_leaves_nothing_behind() {
        for bytes in ["\x1b[15~", "\x1b[[A", "\x1b[<0;10;20M", "\x1bx", "\x1b[200~", "\0", "\x1c"] {
            assert_eq!(keys(format!("{bytes}q").as_bytes()), [Key::Char('q')], "{bytes:?}");
        }
        assert_eq!(keys(b"\xff\xc3(q"), [Key::Char('('), Key::Char('q')]);
    }

    #[test]
    fn a_key_in_two_reads_is_one_key() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.keys(b"\x1b["), []);
        assert_eq!(decoder.keys(b"5"), []);
        assert_eq!(decoder.keys(b"~\xc3"), [Key::PageUp]);
        assert_eq!(decoder.keys(b"\xa4"), [Key::Char('ä')]);
    }
}
