//! A command line as a text becomes the list that herder runs: split as a shell would, without one.
//!
//! What other managers replace in it (a port, a number of a process) is put in as a [`Mark`], one character
//! that no command line has, so that it lives through the splitting; [`template`] makes herder's
//! placeholder of it, and doubles every other brace.

/// Stands for a placeholder of herder's while a text is taken apart.
pub struct Mark;

impl Mark {
    /// `{slot}`
    pub const SLOT: &'static str = "\u{F0001}";
    /// `{port}`
    pub const PORT: &'static str = "\u{F0002}";
    /// `{fd}`
    pub const FD: &'static str = "\u{F0003}";

    const ALL: [(char, &'static str); 3] =
        [('\u{F0001}', "{slot}"), ('\u{F0002}', "{port}"), ('\u{F0003}', "{fd}")];
    /// Before and after the name of a variable that only a shell can look up.
    const VARIABLE: [char; 2] = ['\u{F0010}', '\u{F0011}'];

    /// A variable of herder's environment.
    pub fn variable(name: &str) -> String {
        format!("{}{name}{}", Mark::VARIABLE[0], Mark::VARIABLE[1])
    }

    /// Whether a text has one.
    pub fn has_variable(text: &str) -> bool {
        text.contains(Mark::VARIABLE[0])
    }

    /// Whether a text has any mark; one that comes from outside must not.
    pub fn is_in(text: &str) -> bool {
        text.contains(Mark::VARIABLE) || text.contains(Mark::ALL.map(|(mark, _)| mark))
    }
}

/// A text as herder takes it: marks are placeholders, braces are themselves.
pub fn template(text: &str) -> String {
    let mut template = String::with_capacity(text.len());
    for c in text.chars() {
        match Mark::ALL.iter().find(|(mark, _)| *mark == c) {
            Some((_, placeholder)) => template.push_str(placeholder),
            None if matches!(c, '{' | '}') => template.extend([c, c]),
            None => template.push(c),
        }
    }
    template
}

/// Why a text is no list of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A quote without an end.
    Quote(char),
    /// Something that only a shell understands.
    Shell(char),
}

/// Splits at spaces, with quotes and backslashes as POSIX has them, and nothing else.
pub fn split(text: &str) -> Result<Vec<String>, Trouble> {
    take_apart(text, None)
}

/// Asks what a variable stands for, with its default (`${NAME:-DEFAULT}`) if it has one that is one word.
pub type Variables<'a> = &'a mut dyn FnMut(&str, Option<&str>) -> Option<String>;

/// Splits what is written for a shell, if none is needed: variables are asked for, anything else that a shell
/// would do is trouble.
pub fn split_shell(text: &str, variables: Variables<'_>) -> Result<Vec<String>, Trouble> {
    take_apart(text, Some(variables))
}

fn take_apart(text: &str, mut shell: Option<Variables<'_>>) -> Result<Vec<String>, Trouble> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let in_shell = shell.is_some();
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(c),
            (Some(_), '\\') => match rest.next() {
                Some(next @ ('"' | '\\')) => word.get_or_insert_default().push(next),
                Some(next @ ('$' | '`')) if in_shell => word.get_or_insert_default().push(next),
                Some(next) => word.get_or_insert_default().extend(['\\', next]),
                None => return Err(Trouble::Quote('"')),
            },
            (None, '\\') => match rest.next() {
                Some('\n') if in_shell => {}
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err(Trouble::Quote('\\')),
            },
            (_, '$') if in_shell => {
                let (name, default, after) = variable(rest.as_str()).ok_or(Trouble::Shell('$'))?;
                let value = shell.as_mut().and_then(|ask| ask(name, default));
                word.get_or_insert_default().push_str(&value.ok_or(Trouble::Shell('$'))?);
                rest = after.chars();
            }
            (Some(_), '`') if in_shell => return Err(Trouble::Shell(c)),
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\n') if in_shell => return Err(Trouble::Shell(c)),
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            (None, '#' | '~') if in_shell && word.is_none() => return Err(Trouble::Shell(c)),
            (None, '|' | '&' | ';' | '<' | '>' | '(' | ')' | '`' | '*' | '?' | '[') if in_shell => {
                return Err(Trouble::Shell(c));
            }
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    match quote {
        Some(open) => Err(Trouble::Quote(open)),
        None => Ok(words),
    }
}

/// What follows a `$`: the name, its default if that is one word, and the rest.
fn variable(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let name_of = |text: &str| {
        let length = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        length.unwrap_or(text.len())
    };
    let Some(inner) = text.strip_prefix('{') else {
        let (name, after) = text.split_at(name_of(text));
        return (!name.is_empty()).then_some((name, None, after));
    };
    let (inner, after) = inner.split_once('}')?;
    let (name, default) = inner.split_at(name_of(inner));
    match default.strip_prefix(":-").or_else(|| default.strip_prefix('-')) {
        Some(default) if !default.contains(['$', '{', '`']) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=./:,@%".contains(c);
            let is_word = !default.is_empty() && default.chars().all(plain);
            Some((name, is_word.then_some(default), after))
        }
        None if default.is_empty() && !name.is_empty() => Some((name, None, after)),
        _ => None,
    }
}

/// Whether a shell takes it for the name of a variable.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `NAME=value` words at the front of a command line.
pub fn assignments(words: &mut Vec<String>) -> Vec<(String, String)> {
    let assigns = |word: &&String| word.split_once('=').is_some_and(|(name, _)| is_name(name));
    let count = words.iter().take_while(assigns).count();
    words
        .drain(..count)
        .filter_map(|word| word.split_once('=').map(|(name, value)| (name.into(), value.into())))
        .collect()
}

/// A word as a shell takes it, with marked variables expanded there.
pub fn for_shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=./:,@%".contains(c);
    let mut quoted = String::new();
    for (index, part) in word.split(Mark::VARIABLE).enumerate() {
        // Every second part is between the marks: a name.
        if index % 2 == 1 {
            quoted.push_str(&format!("\"${{{part}}}\""));
        } else if part.chars().all(|c| plain(c) || Mark::ALL.iter().any(|(mark, _)| *mark == c)) {
            quoted.push_str(part);
        } else {
            quoted.push_str(&format!("'{}'", part.replace('\'', "'\\''")));
        }
    }
    if quoted.is_empty() { "''".to_owned() } else { quoted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str, _: Option<&str>) -> Option<String> {
        None
    }

    #[test]
    fn words_are_split_as_posix_has_it() {
        for (text, words) in [
            ("", vec![]),
            ("  a  b\t\nc ", vec!["a", "b", "c"]),
            ("a 'b  c' \"d \\\"e\\\" \\f\" g\\ h", vec!["a", "b  c", "d \"e\" \\f", "g h"]),
            ("--x='' '' \"\"", vec!["--x=", "", ""]),
            ("a|b $HOME > c *", vec!["a|b", "$HOME", ">", "c", "*"]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        assert_eq!(split("a 'b"), Err(Trouble::Quote('\'')));
        assert_eq!(split("a \"b\\"), Err(Trouble::Quote('"')));
        assert_eq!(split("a\\"), Err(Trouble::Quote('\\')));
    }

    #[test]
    fn what_needs_a_shell_is_named() {
        for (text, c) in [
            ("a && b", '&'),
            ("a > b", '>'),
            ("a | b", '|'),
            ("a; b", ';'),
            ("a *.rb", '*'),
            ("echo `x`", '`'),
            ("echo \"`x`\"", '`'),
            ("a $HOME", '$'),
            ("a \"$HOME\"", '$'),
            ("a ${X:?no}", '$'),
            ("a $(x)", '$'),
            ("a ${X", '$'),
            ("cd ~", '~'),
            ("a # b", '#'),
        ] {
            assert_eq!(split_shell(text, &mut none), Err(Trouble::Shell(c)), "{text}");
        }
        let plain = split_shell("a '$HOME' 'b|c' \\$d x#y a=~", &mut none).unwrap();
        assert_eq!(plain, ["a", "$HOME", "b|c", "$d", "x#y", "a=~"]);
    }

    #[test]
    fn variables_that_are_known_need_none() {
        let mut asked = Vec::new();
        let mut ports = |name: &str, _: Option<&str>| {
            asked.push(name.to_owned());
            (name == "PORT").then(|| Mark::PORT.to_owned())
        };
        let words = split_shell("-p $PORT -b 0.0.0.0:${PORT} \"${PORT:-3000}\" {a}", &mut ports);
        let templates: Vec<_> = words.unwrap().iter().map(|word| template(word)).collect();
        assert_eq!(templates, ["-p", "{port}", "-b", "0.0.0.0:{port}", "{port}", "{{a}}"]);
        assert_eq!(asked, ["PORT"; 3]);
        let mut defaults = |_: &str, default: Option<&str>| default.map(str::to_owned);
        let words = split_shell("a ${B:-c} \"${D-e f}\"", &mut defaults);
        assert_eq!(words, Err(Trouble::Shell('$')), "not one word");
        assert_eq!(split_shell("a x${B:-c} ${D-4}", &mut defaults).unwrap(), ["a", "xc", "4"]);
    }

    #[test]
    fn assignments_stand_at_the_front() {
        let mut words = split("A=1 _b='x y' 2c=3 D=4").unwrap();
        let pairs = assignments(&mut words);
        assert_eq!(pairs, [("A".into(), "1".into()), ("_b".into(), "x y".into())]);
        assert_eq!(words, ["2c=3", "D=4"]);
    }

    #[test]
    fn words_go_through_a_shell_unchanged() {
        let words = ["plain", "a b", "it's", "", "$x", "{y}"];
        let script: Vec<_> = words.iter().map(|word| for_shell(word)).collect();
        assert_eq!(split(&script.join(" ")).unwrap(), words);
        let word = format!("/a b{}/c", Mark::variable("HOME"));
        assert_eq!(for_shell(&word), "'/a b'\"${HOME}\"/c");
    }
}
