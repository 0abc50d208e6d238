//! What is wrong with the settings, and where: one [`Problem`] each, so that all of them are
//! told at once and each says what to change.

use std::fmt;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a file.
    File {
        /// The file's path as it was given.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The column, in characters from 1.
        column: usize,
    },
    /// On the command line, in this option.
    CommandLine(String),
    /// In this environment variable of herder's own.
    Environment(String),
    /// By the preset of this name.
    Preset(&'static str),
    /// In this call of `herder set`, while herder was running.
    RunTime(String),
}

impl Place {
    /// How late this is in the order in which sources overrule each other.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Place::Environment(_) => 0,
            Place::Preset(_) => 1,
            Place::File { .. } => 2,
            Place::CommandLine(_) => 3,
            Place::RunTime(_) => 4,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Place::CommandLine(option) => write!(f, "command line, {option}"),
            Place::Environment(variable) => write!(f, "environment variable {variable}"),
            Place::Preset(name) => write!(f, "preset {name}"),
            Place::RunTime(what) => f.write_str(what),
        }
    }
}

/// One thing to correct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written; `None` for a default.
    pub place: Option<Place>,
    /// The setting it is about; empty if it is about none, such as a syntax error.
    pub key: String,
    /// What is wrong, as a clause without a full stop.
    pub message: String,
    /// What to do about it, as a clause without a full stop.
    pub suggestion: Option<String>,
}

/// `FILE:LINE:COLUMN: message; suggestion`, always one line.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |text: &str| text.replace(['\n', '\r'], " ").trim_end().to_owned();
        if let Some(place) = &self.place {
            write!(f, "{}: ", line(&place.to_string()))?;
        }
        f.write_str(&line(&self.message))?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; {}", line(suggestion)),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong, in the order in which it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Notes that `message` holds for `key`, whose value stands at `place`.
    pub fn add(&mut self, place: Option<&Place>, key: &str, message: impl Into<String>) {
        self.push(place, key, message.into(), None);
    }

    /// As [`Problems::add`], with what to do about it.
    pub fn advise(
        &mut self,
        place: Option<&Place>,
        key: &str,
        message: impl Into<String>,
        suggestion: impl Into<String>,
    ) {
        self.push(place, key, message.into(), Some(suggestion.into()));
    }

    fn push(
        &mut self,
        place: Option<&Place>,
        key: &str,
        message: String,
        suggestion: Option<String>,
    ) {
        self.0.push(Problem { place: place.cloned(), key: key.to_owned(), message, suggestion });
    }

    /// `Ok(value)` if nothing is wrong, else everything that is, by place.
    pub fn none_or<T>(mut self, value: T) -> Result<T, Problems> {
        if self.0.is_empty() {
            return Ok(value);
        }
        self.0.sort_by(|a, b| a.place.cmp(&b.place));
        Err(self)
    }
}

/// One problem a line.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
