//! Environment files as `EnvironmentFile=` of systemd.exec(5) reads them: `NAME=value` a line,
//! quotes and backslashes as in a shell, but nothing is expanded.
//!
//! What systemd merely warns about (a name that no variable can have, such as `export A`, or a
//! quote that is never closed) is an error here: a worker started without a variable it was
//! meant to have fails later and further away. The non-obvious rule is that a quoted part may be
//! followed by more, so `'a'"b"c` is `abc`, and that quotes and escapes may span lines.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

/// What is wrong with an environment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFileError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for EnvFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for EnvFileError {}

/// Reads an environment file: its variables in order (a later one of the same name counts).
pub fn parse(text: &str) -> Result<Vec<(String, String)>, EnvFileError> {
    let mut reader = Reader { rest: text.chars().peekable(), line: 1 };
    let mut variables = Vec::new();
    while let Some(&first) = reader.rest.peek() {
        let line = reader.line;
        match first {
            '#' | ';' => reader.skip_line(),
            _ if first.is_ascii_whitespace() => _ = reader.take(),
            _ => {
                // A line without `=` sets nothing, and systemd.exec(5) says it is ignored.
                let Some(name) = reader.name() else { continue };
                let value = reader.value()?;
                if !is_variable_name(&name) {
                    return Err(EnvFileError { line, message: bad_name(&name) });
                }
                if value.contains('\0') {
                    let message = format!("the value of `{name}` holds a NUL byte");
                    return Err(EnvFileError { line, message });
                }
                variables.push((name, value));
            }
        }
    }
    Ok(variables)
}

/// Whether this may name an environment variable (environ(7), and what systemd accepts).
pub fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn bad_name(name: &str) -> String {
    let shown = name.escape_debug();
    match name.strip_prefix("export ").map(str::trim) {
        Some(rest) if is_variable_name(rest) => {
            format!(
                "`{shown}` is no variable name; this is no shell: write `{rest}=…` without `export`"
            )
        }
        _ => format!(
            "`{shown}` is no variable name; use letters, digits and `_`, and no digit first"
        ),
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    fn take(&mut self) -> Option<char> {
        let next = self.rest.next();
        if next == Some('\n') {
            self.line += 1;
        }
        next
    }

    fn skip_line(&mut self) {
        while self.take().is_some_and(|c| c != '\n') {}
    }

    /// What stands before `=`, without the space around it; `None` if the line ends before.
    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        loop {
            match self.take()? {
                '=' => return Some(name.trim_end().to_owned()),
                '\n' => return None,
                c => name.push(c),
            }
        }
    }

    /// The value up to the end of its line. Space around it is dropped unless quoted or escaped.
    fn value(&mut self) -> Result<String, EnvFileError> {
        let mut value = String::new();
        // Quotes open only at the start or after a quoted part: `it's` is text.
        let mut quotes_open = true;
        // So much of the value is meant, even where it is space.
        let mut meant = 0;
        loop {
            match self.take() {
                None | Some('\n') => break,
                Some('\\') => {
                    value.extend(self.take().filter(|&c| c != '\n'));
                    quotes_open = false;
                    meant = value.len();
                }
                Some(quote @ ('\'' | '"')) if quotes_open => {
                    self.quoted(quote, &mut value)?;
                    meant = value.len();
                }
                Some(c) if c.is_ascii_whitespace() && quotes_open => {}
                Some(c) => {
                    value.push(c);
                    quotes_open = false;
                }
            }
        }
        let text = value[meant..].trim_end_matches(|c: char| c.is_ascii_whitespace()).len();
        value.truncate(meant + text);
        Ok(value)
    }

    /// What stands between quotes. Between double ones a backslash protects what it would in a
    /// shell, and joins lines; elsewhere it is itself.
    fn quoted(&mut self, quote: char, value: &mut String) -> Result<(), EnvFileError> {
        let opened = self.line;
        while let Some(c) = self.take() {
            match c {
                _ if c == quote => return Ok(()),
                '\\' if quote == '"' => match self.take() {
                    Some('\n') | None => {}
                    Some(c @ ('"' | '\\' | '`' | '$')) => value.push(c),
                    Some(c) => value.extend(['\\', c]),
                },
                c => value.push(c),
            }
        }
        Err(EnvFileError { line: opened, message: format!("the quote {quote} is never closed") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemds_syntax_is_read() {
        for (text, value) in [
            ("A=b", "b"),
            ("A=", ""),
            ("  A = b c  ", "b c"),
            ("A=b # no comment", "b # no comment"),
            ("A=it's", "it's"),
            ("A=b\"c\"", "b\"c\""),
            ("A='b c '", "b c "),
            ("A='a'\"b\"c", "abc"),
            ("A='a' 'b'", "ab"),
            ("A='a\\nb\nc'", "a\\nb\nc"),
            ("A=\"a\\\"\\$\\\\\\n\"", "a\"$\\\\n"),
            ("A=\"a\\\nb\"", "ab"),
            ("A=a\\\nb", "ab"),
            ("A=a\\ ", "a "),
            ("A=\\'a", "'a"),
            ("A=a\\", "a"),
            ("A=$HOME", "$HOME"),
            ("A=b\r\n", "b"),
            ("A='b'\r\n", "b"),
            ("A=ä=ö", "ä=ö"),
        ] {
            assert_eq!(parse(text), Ok(vec![("A".to_owned(), value.to_owned())]), "{text:?}");
        }
    }

    #[test]
    fn comments_and_lines_that_set_nothing_are_passed_over() {
        let text = "# A=1\n; A=2 \\\n\nnothing here\nB=3\n  # C=4\nD=5";
        let names = parse(text).unwrap();
        assert_eq!(names, [("B".into(), "3".into()), ("D".into(), "5".into())]);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, line, part) in [
            ("A=1\nexport B=2", 2, "write `B=…`"),
            ("\n\n1A=2", 3, "no digit first"),
            ("=x", 1, "no variable name"),
            ("A=1\nB='a\nb\n", 2, "never closed"),
            ("A=\"a\\\n", 1, "never closed"),
            ("A='\0'", 1, "NUL"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
            assert!(error.message.contains(part), "{text:?}: {error}");
        }
    }
}
