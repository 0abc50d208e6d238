//! The two dialects of INI: Python's, which supervisord reads, and PHP's, which php-fpm reads.
//!
//! They agree on `[section]` and `name = value` and on little else: where a comment begins, what quotes do
//! and whether a value goes on in the next line. What is neither is kept with its line, not refused:
//! the reader of the result is to be told of everything at once.

/// A file, as far as it is one.
#[derive(Debug, Default)]
pub struct Ini {
    pub sections: Vec<Section>,
    /// Lines that are no section, setting or comment.
    pub strange: Vec<(usize, String)>,
}

/// `[name]` and what is below it; the same name may come again.
#[derive(Debug)]
pub struct Section {
    pub name: String,
    pub line: usize,
    pub entries: Vec<Entry>,
}

/// `name = value`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub value: String,
    /// Where it begins, from 1.
    pub line: usize,
    /// The value, or a part of it, was in quotes (PHP's dialect only).
    pub quoted: bool,
}

impl Section {
    /// The value of a name; the last one counts.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.name == name)
    }
}

impl Ini {
    fn push(&mut self, entry: Entry, text: &str) {
        match self.sections.last_mut() {
            Some(section) => section.entries.push(entry),
            None => self.strange.push((entry.line, text.to_owned())),
        }
    }

    fn begin(&mut self, name: &str, line: usize) {
        self.sections.push(Section { name: name.to_owned(), line, entries: Vec::new() });
    }
}

/// As Python's RawConfigParser with `;` and `#` for comments, also behind a value: names are in lower case,
/// and a line that is indented deeper than its setting continues it.
pub fn python(text: &str) -> Ini {
    let mut ini = Ini::default();
    // The indentation of the setting that a deeper line would continue.
    let mut open: Option<usize> = None;
    for (line, number) in text.lines().zip(1..) {
        let (kept, commented) = without_comment(line);
        if kept.is_empty() {
            // An empty line goes on with the value, a comment says nothing about it.
            let goes_on = !commented && open.is_some();
            if let Some(entry) = last(&mut ini).filter(|_| goes_on) {
                entry.value.push('\n');
            }
            continue;
        }
        let indentation = line.len() - line.trim_start().len();
        if let Some(entry) = last(&mut ini).filter(|_| open.is_some_and(|open| indentation > open))
        {
            entry.value.push('\n');
            entry.value.push_str(kept);
            continue;
        }
        open = None;
        if let Some(name) = kept.strip_prefix('[').and_then(|rest| Some(rest.split_once(']')?.0)) {
            ini.begin(name, number);
        } else if let Some((name, value)) =
            kept.split_once(['=', ':']).filter(|(name, _)| !name.trim().is_empty())
        {
            open = Some(indentation);
            let (name, value) = (name.trim().to_lowercase(), value.trim().to_owned());
            ini.push(Entry { name, value, line: number, quoted: false }, kept);
        } else {
            ini.strange.push((number, kept.to_owned()));
        }
    }
    let entries = ini.sections.iter_mut().flat_map(|section| &mut section.entries);
    entries.for_each(|entry| entry.value.truncate(entry.value.trim_end().len()));
    ini
}

fn last(ini: &mut Ini) -> Option<&mut Entry> {
    ini.sections.last_mut()?.entries.last_mut()
}

/// What stands before a comment, trimmed, and whether there is one: `;` or `#` at the start or after a space.
fn without_comment(line: &str) -> (&str, bool) {
    let begins = line.char_indices().find(|(at, c)| {
        matches!(c, ';' | '#') && line[..*at].chars().next_back().is_none_or(char::is_whitespace)
    });
    match begins {
        Some((at, _)) => (line[..at].trim(), true),
        None => (line.trim(), false),
    }
}

/// As PHP's own parser: `;` begins a comment everywhere but in quotes, quotes may span lines, and `on`,
/// `yes` and `true` are `1`, `off`, `no`, `false`, `none` and `null` nothing. What stands before the first
/// section belongs to `[global]`.
pub fn php(text: &str) -> Ini {
    let mut ini = Ini::default();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let number = line;
        let end = rest.find('\n').unwrap_or(rest.len());
        let this = rest[..end].trim();
        let mut used = (end + 1).min(rest.len());
        let setting = this.split_once('=').filter(|(name, _)| !name.trim().is_empty());
        if this.is_empty() || this.starts_with(';') {
        } else if let Some(name) =
            this.strip_prefix('[').and_then(|rest| Some(rest.split_once(']')?.0))
        {
            ini.begin(name.trim(), number);
        } else if let Some((name, _)) = setting {
            if ini.sections.is_empty() {
                ini.begin("global", number);
            }
            let from = rest.find('=').map_or(used, |at| at + 1);
            let from =
                from + rest[from..].len() - rest[from..].trim_start_matches([' ', '\t']).len();
            let (value, quoted, length) = php_value(&rest[from..]);
            used = (from + length + 1).min(rest.len());
            let name = name.trim().to_owned();
            ini.push(Entry { name, value, line: number, quoted }, this);
        } else {
            ini.strange.push((number, this.to_owned()));
        }
        line += rest[..used].matches('\n').count();
        rest = &rest[used..];
    }
    ini
}

/// A value, whether any of it was quoted, and how long it is up to the newline that ends it.
fn php_value(text: &str) -> (String, bool, usize) {
    let mut value = String::new();
    let (mut quoted, mut bare_from) = (false, 0);
    let mut chars = text.char_indices().peekable();
    let mut length = text.len();
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' => {
                length = at;
                break;
            }
            ';' => {
                length = text[at..].find('\n').map_or(text.len(), |end| at + end);
                break;
            }
            '"' | '\'' => {
                if value[bare_from..].trim().is_empty() {
                    value.truncate(bare_from);
                }
                quoted = true;
                while let Some((_, inside)) = chars.next() {
                    let escapes = c == '"' && inside == '\\';
                    match chars.peek() {
                        Some((_, next)) if escapes && matches!(next, '"' | '\\' | '\'') => {
                            value.push(*next);
                            chars.next();
                        }
                        _ if inside == c => break,
                        _ => value.push(inside),
                    }
                }
                bare_from = value.len();
            }
            _ => value.push(c),
        }
    }
    let kept = bare_from + value[bare_from..].trim_end().len();
    value.truncate(kept);
    if quoted {
        return (value, true, length);
    }
    let bare = value.trim();
    let bare = match bare.to_ascii_lowercase().as_str() {
        "on" | "yes" | "true" => "1",
        "off" | "no" | "false" | "none" | "null" => "",
        _ => bare,
    };
    (bare.to_owned(), false, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(ini: &Ini) -> Vec<(&str, &str, &str, usize)> {
        let of = |section: &'_ Section| section.entries.len();
        assert!(ini.sections.iter().all(|section| of(section) < 100));
        ini.sections
            .iter()
            .flat_map(|section| {
                section.entries.iter().map(|entry| {
                    (section.name.as_str(), entry.name.as_str(), entry.value.as_str(), entry.line)
                })
            })
            .collect()
    }

    #[test]
    fn pythons_dialect() {
        let text = "stray\n[program:web]  ; the site\nCommand = /bin/x  -a ; no more\n  -b\n\n  # not this\n  -c\nurl=http://h/#frag;x\n; no\n[a]\nk: v = w\n  = odd\nnothing\n";
        let ini = python(text);
        assert_eq!(
            all(&ini),
            [
                ("program:web", "command", "/bin/x  -a\n-b\n\n-c", 3),
                ("program:web", "url", "http://h/#frag;x", 8),
                ("a", "k", "v = w\n= odd", 11),
            ]
        );
        assert_eq!(ini.strange, [(1, "stray".to_owned()), (13, "nothing".to_owned())]);
        assert_eq!(ini.sections[0].line, 2);
    }

    #[test]
    fn phps_dialect() {
        let text = "pid = /run/x\r\n; c\n[www] ; pool\nuser=www-data;x\na = \"q; \\\"w\\\" \\n\" ; c\nb = On\nc = off\nd = 'on'\nenv[X] = \"two\nlines\" \ne = E_ALL & ~E_NOTICE\nf = pre\"fix ed\"\nnothing\ng =\nh = \"\"";
        let ini = php(text);
        assert_eq!(
            all(&ini),
            [
                ("global", "pid", "/run/x", 1),
                ("www", "user", "www-data", 4),
                ("www", "a", "q; \"w\" \\n", 5),
                ("www", "b", "1", 6),
                ("www", "c", "", 7),
                ("www", "d", "on", 8),
                ("www", "env[X]", "two\nlines", 9),
                ("www", "e", "E_ALL & ~E_NOTICE", 11),
                ("www", "f", "prefix ed", 12),
                ("www", "g", "", 14),
                ("www", "h", "", 15),
            ]
        );
        assert_eq!(ini.strange, [(13, "nothing".to_owned())]);
        assert_eq!(ini.sections[1].entries.iter().filter(|entry| entry.quoted).count(), 5);
    }

    #[test]
    fn what_is_not_finished_is_read_as_far_as_it_goes() {
        for text in [
            "",
            "[",
            "[a",
            "a",
            "=",
            "a =",
            "a = \"",
            "a = 'x\n",
            "a = \\",
            "[x]\n\ta = b\n c",
            "é=\"é",
        ] {
            python(text);
            php(text);
        }
    }
}
