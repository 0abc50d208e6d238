//! Placeholders in `command` and `environment`: `{slot}`, `{fd:web}` and the like.
//!
//! Knows no sockets: [`Template::bind`] asks for their values, once a generation, so that what
//! is left for each worker ([`Bound`]) is little and cannot fail. Every brace is either half of
//! a pair (`{{`, `}}`) or part of a placeholder; anything else is an error, so that no text is
//! changed silently.

use std::fmt;

use super::suggest::closest;

/// A text with placeholders, as written in the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Worker(WorkerField),
    Socket(SocketField, Option<String>),
}

/// What differs from worker to worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WorkerField {
    Slot,
    Worker,
    Generation,
}

/// What a placeholder asks of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketField {
    /// `{fd}`: its number in the worker.
    Fd,
    /// `{host}`: the IP address it is bound to.
    Host,
    /// `{port}`: the TCP port it is bound to.
    Port,
    /// `{addr}`: its address as systemd writes it.
    Addr,
    /// `{path}`: its path in the file system.
    Path,
    /// `{backlog}`: how many connections may wait on it.
    Backlog,
}

const WORKER_FIELDS: [(&str, WorkerField); 3] = [
    ("slot", WorkerField::Slot),
    ("worker", WorkerField::Worker),
    ("generation", WorkerField::Generation),
];

const SOCKET_FIELDS: [(&str, SocketField); 6] = [
    ("fd", SocketField::Fd),
    ("host", SocketField::Host),
    ("port", SocketField::Port),
    ("addr", SocketField::Addr),
    ("path", SocketField::Path),
    ("backlog", SocketField::Backlog),
];

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The character where it goes wrong, from 1.
    pub at: usize,
    /// What is wrong there.
    pub message: String,
    /// What to write instead.
    pub suggestion: String,
}

impl Template {
    /// Reads a text with placeholders.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            plain.push_str(&rest[..brace]);
            rest = &rest[brace..];
            let error = |message: String, suggestion: String| TemplateError {
                at: text[..text.len() - rest.len()].chars().count() + 1,
                message,
                suggestion,
            };
            if rest.starts_with("{{") || rest.starts_with("}}") {
                plain.push_str(&rest[..1]);
                rest = &rest[2..];
                continue;
            }
            let Some(inside) = rest.strip_prefix('{') else {
                return Err(error("`}` closes nothing".into(), "write `}}` for a brace".into()));
            };
            let Some((name, after)) = inside.split_once('}') else {
                return Err(error("`{` is never closed".into(), "write `{{` for a brace".into()));
            };
            let piece =
                placeholder(name).map_err(|(message, suggestion)| error(message, suggestion))?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(piece);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Template { pieces })
    }

    /// Whether it says something else for each worker, `{slot}` or `{worker}`.
    pub fn differs_by_worker(&self) -> bool {
        let differs =
            |piece: &Piece| matches!(piece, Piece::Worker(WorkerField::Slot | WorkerField::Worker));
        self.pieces.iter().any(differs)
    }

    /// Fills in what sockets say, once for all workers of a generation. `value` answers for a
    /// field of the socket of that name, or of the first one.
    pub fn bind<E>(
        &self,
        mut value: impl FnMut(SocketField, Option<&str>) -> Result<String, E>,
    ) -> Result<Bound, E> {
        let mut parts = Vec::new();
        for piece in &self.pieces {
            let text = match piece {
                Piece::Text(text) => text.clone(),
                Piece::Socket(field, name) => value(*field, name.as_deref())?,
                Piece::Worker(field) => {
                    parts.push(Part::Worker(*field));
                    continue;
                }
            };
            match parts.last_mut() {
                Some(Part::Text(last)) => last.push_str(&text),
                _ => parts.push(Part::Text(text)),
            }
        }
        Ok(Bound { parts })
    }

    /// A text without placeholders.
    pub fn literal(text: &str) -> Template {
        Template { pieces: vec![Piece::Text(text.to_owned())] }
    }
}

fn placeholder(name: &str) -> Result<Piece, (String, String)> {
    let (word, socket) = match name.split_once(':') {
        Some((word, socket)) => (word, Some(socket)),
        None => (name, None),
    };
    if let Some((_, field)) = SOCKET_FIELDS.iter().find(|(known, _)| *known == word) {
        return match socket {
            Some("") => Err((
                format!("`{{{name}}}` names no socket"),
                format!("write `{{{word}}}` for the first"),
            )),
            _ => Ok(Piece::Socket(*field, socket.map(str::to_owned))),
        };
    }
    if let Some((_, field)) = WORKER_FIELDS.iter().find(|(known, _)| *known == word) {
        return match socket {
            Some(_) => Err((format!("`{{{word}}}` takes no name"), format!("write `{{{word}}}`"))),
            None => Ok(Piece::Worker(*field)),
        };
    }
    let known =
        WORKER_FIELDS.iter().map(|field| field.0).chain(SOCKET_FIELDS.iter().map(|field| field.0));
    let suggestion = match closest(word, known.clone()) {
        Some(known) => format!("did you mean `{{{known}}}`?"),
        None => format!(
            "write `{{{{` for a brace; placeholders are {}",
            known.collect::<Vec<_>>().join(", ")
        ),
    };
    Err((format!("unknown placeholder `{{{}}}`", name.escape_debug()), suggestion))
}

/// The text as it would be written in the settings.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}"))?,
                Piece::Worker(field) => write!(f, "{{{}}}", name_of(&WORKER_FIELDS, *field))?,
                Piece::Socket(field, None) => write!(f, "{{{}}}", name_of(&SOCKET_FIELDS, *field))?,
                Piece::Socket(field, Some(socket)) => {
                    write!(f, "{{{}:{socket}}}", name_of(&SOCKET_FIELDS, *field))?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for SocketField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&SOCKET_FIELDS, *self))
    }
}

fn name_of<T: Copy + PartialEq>(names: &[(&'static str, T)], field: T) -> &'static str {
    names.iter().find(|(_, known)| *known == field).map_or("", |(name, _)| name)
}

/// A template that waits only for the worker it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Worker(WorkerField),
}

impl Bound {
    /// The text, if it is the same for every worker.
    pub fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for one worker.
    pub fn render(&self, slot: u32, worker: u64, generation: u64) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for part in &self.parts {
            // Writing to a String cannot fail.
            let _ = match part {
                Part::Text(fixed) => text.write_str(fixed),
                Part::Worker(WorkerField::Slot) => write!(text, "{slot}"),
                Part::Worker(WorkerField::Worker) => write!(text, "{worker}"),
                Part::Worker(WorkerField::Generation) => write!(text, "{generation}"),
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> Result<String, String> {
        let template = Template::parse(text).map_err(|error| error.message)?;
        assert_eq!(Template::parse(&template.to_string()).unwrap(), template, "{text}");
        let bound = template.bind(|field, name| match name {
            Some("none") => Err("no such socket".to_owned()),
            name => Ok(format!("<{field} of {}>", name.unwrap_or("the first"))),
        })?;
        Ok(bound.render(3, 17, 2))
    }

    #[test]
    fn placeholders_are_filled_in() {
        for (text, result) in [
            ("", ""),
            ("plain", "plain"),
            ("w{slot}-{worker}-{generation}", "w3-17-2"),
            ("--fd={fd}", "--fd=<fd of the first>"),
            ("{fd:web}", "<fd of web>"),
            ("{fd:a:b}", "<fd of a:b>"),
            (
                "{host}|{port}|{addr}|{path:x}",
                "<host of the first>|<port of the first>|<addr of the first>|<path of x>",
            ),
            ("{{slot}}", "{slot}"),
            ("{{\"a\": {{\"b\": {slot}}}}}", "{\"a\": {\"b\": 3}}"),
            ("ä{slot}", "ä3"),
        ] {
            assert_eq!(render(text).as_deref(), Ok(result), "{text}");
        }
        assert_eq!(render("{fd:none}").unwrap_err(), "no such socket");
    }

    #[test]
    fn errors_say_where_and_what_to_write() {
        for (text, at, advice) in [
            ("{slt}", 1, "`{slot}`"),
            ("ä{prt}", 2, "`{port}`"),
            ("a}", 2, "`}}`"),
            ("a{b", 2, "`{{`"),
            ("{\"a\": 1}", 1, "`{{`"),
            ("{}", 1, "placeholders are slot"),
            ("{fd:}", 1, "`{fd}`"),
            ("{slot:web}", 1, "`{slot}`"),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert_eq!(error.at, at, "{text}: {error:?}");
            assert!(error.suggestion.contains(advice), "{text}: {error:?}");
        }
    }

    #[test]
    fn what_is_the_same_for_all_is_known_beforehand() {
        let bound =
            |text| Template::parse(text).unwrap().bind(|_, _| Ok::<_, ()>("4".into())).unwrap();
        assert_eq!(bound("--fd={fd}").fixed(), Some("--fd=4"));
        assert_eq!(bound("").fixed(), Some(""));
        assert_eq!(bound("{slot}").fixed(), None);
    }
}
