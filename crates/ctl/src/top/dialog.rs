//! What asks before something happens: yes or no, a number, a column; and the help.

use super::columns::{ALL, Sort};
use super::input::Key;
use super::keys::{Command, Step, command};
use herder_wire::control::{MOST_WORKERS, Method, SHORTEST_INTERVAL};
use std::time::Duration;

/// How often, and how seldom, one may look.
pub const SHORTEST: Duration = Duration::from_micros(SHORTEST_INTERVAL);
pub const LONGEST: Duration = Duration::from_secs(3600);

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Dialog {
    /// Nothing: the keys are explained.
    Help,
    /// Whether to do it.
    Confirm { question: String, method: Method },
    /// A number.
    Number {
        what: Number,
        text: String,
        /// It is how things are now: what is typed takes its place.
        untouched: bool,
        /// What is wrong with it.
        mistake: Option<String>,
    },
    /// By which column to sort.
    Sort { at: usize },
}

/// What a number is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    Workers,
    /// In seconds.
    Interval,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Closed {
    Nothing,
    Call(Method),
    Interval(Duration),
    Sort(Sort),
}

impl Dialog {
    pub fn confirm(question: String, method: Method) -> Dialog {
        Dialog::Confirm { question, method }
    }

    pub fn workers(now: u32) -> Dialog {
        Dialog::number(Number::Workers, now.to_string())
    }

    pub fn interval(now: Duration) -> Dialog {
        Dialog::number(Number::Interval, now.as_secs_f64().to_string())
    }

    fn number(what: Number, now: String) -> Dialog {
        Dialog::Number { what, text: now, untouched: true, mistake: None }
    }

    pub fn sort(now: Sort) -> Dialog {
        Dialog::Sort { at: ALL.iter().position(|column| *column == now.column).unwrap_or(0) }
    }

    /// What a key makes of it; something if that closes it.
    pub fn key(&mut self, key: Key) -> Option<Closed> {
        if key == Key::Escape {
            return Some(Closed::Nothing);
        }
        match self {
            Dialog::Help => Some(Closed::Nothing),
            Dialog::Confirm { method, .. } => match key {
                Key::Char('y' | 'Y') => Some(Closed::Call(method.clone())),
                _ => Some(Closed::Nothing),
            },
            Dialog::Number { what, text, untouched, mistake } => {
                match key {
                    Key::Char('0'..='9' | '.') if std::mem::take(untouched) => {
                        text.clear();
                        return self.key(key);
                    }
                    Key::Char(letter @ ('0'..='9' | '.')) if text.len() < 8 => text.push(letter),
                    Key::Backspace => drop(text.pop()),
                    Key::Ctrl('u') => text.clear(),
                    Key::Char('q') => return Some(Closed::Nothing),
                    Key::Enter => match what.read(text) {
                        Ok(closed) => return Some(closed),
                        Err(why) => {
                            *mistake = Some(why);
                            return None;
                        }
                    },
                    _ => {}
                }
                *untouched = false;
                *mistake = None;
                None
            }
            Dialog::Sort { at } => match (key, command(key)) {
                (Key::Enter | Key::Char('s'), _) => Some(Closed::Sort(Sort::by(ALL[*at]))),
                (_, Some(Command::Select(step))) => {
                    *at = step.from(*at, ALL.len(), ALL.len() - 1);
                    None
                }
                (_, Some(Command::Quit)) => Some(Closed::Nothing),
                _ => None,
            },
        }
    }
}

impl Number {
    /// What to write before it.
    pub fn prompt(self) -> &'static str {
        match self {
            Number::Workers => "Number of workers: ",
            Number::Interval => "Look every … seconds: ",
        }
    }

    fn read(self, text: &str) -> Result<Closed, String> {
        match self {
            Number::Workers => match text.parse() {
                Ok(workers) if workers <= MOST_WORKERS => {
                    Ok(Closed::Call(Method::Scale { workers }))
                }
                _ => Err(format!("a number from 0 to {MOST_WORKERS}")),
            },
            Number::Interval => {
                let span =
                    text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                match span {
                    Some(span) if (SHORTEST..=LONGEST).contains(&span) => {
                        Ok(Closed::Interval(span))
                    }
                    _ => Err(format!(
                        "a number from {} to {}",
                        SHORTEST.as_secs_f64(),
                        LONGEST.as_secs()
                    )),
                }
            }
        }
    }
}

impl Step {
    /// Where it leads in a list with this last place.
    pub fn from(self, at: usize, page: usize, last: usize) -> usize {
        let to = match self {
            Step::Up => at.saturating_sub(1),
            Step::Down => at + 1,
            Step::PageUp => at.saturating_sub(page),
            Step::PageDown => at + page,
            Step::First => 0,
            Step::Last => last,
        };
        to.min(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::columns::Column;

    fn typed(dialog: &mut Dialog, text: &str) -> Option<Closed> {
        text.chars().find_map(|letter| {
            dialog.key(match letter {
                '\n' => Key::Enter,
                '\u{8}' => Key::Backspace,
                letter => Key::Char(letter),
            })
        })
    }

    #[test]
    fn only_yes_is_yes() {
        let method = Method::Reload { previous: false };
        let ask = || Dialog::confirm("Reload?".to_owned(), method.clone());
        assert_eq!(ask().key(Key::Char('y')), Some(Closed::Call(method.clone())));
        for key in [Key::Char('n'), Key::Enter, Key::Escape, Key::Char(' '), Key::Up] {
            assert_eq!(ask().key(key), Some(Closed::Nothing));
        }
    }

    #[test]
    fn numbers_are_checked() {
        let mut dialog = Dialog::workers(3);
        assert_eq!(
            typed(&mut dialog, "\u{8}x12\n"),
            Some(Closed::Call(Method::Scale { workers: 12 }))
        );
        for wrong in ["", "1.5", "99999"] {
            let mut dialog = Dialog::number(Number::Workers, wrong.to_owned());
            assert_eq!(dialog.key(Key::Enter), None);
            assert!(
                matches!(&dialog, Dialog::Number { mistake: Some(why), .. } if why == "a number from 0 to 10000")
            );
            assert_eq!(dialog.key(Key::Escape), Some(Closed::Nothing));
        }
        let mut dialog = Dialog::interval(Duration::from_secs(1));
        assert_eq!(
            typed(&mut dialog, "\u{8}0.5\n"),
            Some(Closed::Interval(Duration::from_millis(500)))
        );
        for wrong in ["0", "0.01", "1.2.3", "4000"] {
            let mut dialog = Dialog::number(Number::Interval, wrong.to_owned());
            assert_eq!(dialog.key(Key::Enter), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_typed_takes_the_place_of_what_is_there_and_can_be_edited() {
        let scale = |workers| Some(Closed::Call(Method::Scale { workers }));
        assert_eq!(typed(&mut Dialog::workers(4), "6\n"), scale(6));
        assert_eq!(typed(&mut Dialog::workers(4), "12\n"), scale(12));
        assert_eq!(typed(&mut Dialog::workers(14), "\u{8}6\n"), scale(16));
        assert_eq!(typed(&mut Dialog::workers(4), "\n"), scale(4));
    }

    #[test]
    fn a_column_is_chosen_in_a_list() {
        let mut dialog = Dialog::sort(Sort::by(Column::Pid));
        assert_eq!(dialog.key(Key::Down), None);
        assert_eq!(dialog.key(Key::Enter), Some(Closed::Sort(Sort::by(Column::State))));
        assert_eq!(dialog.key(Key::Home), None);
        assert_eq!(dialog.key(Key::Up), None);
        assert_eq!(dialog.key(Key::Char('s')), Some(Closed::Sort(Sort::by(Column::Slot))));
    }
}
