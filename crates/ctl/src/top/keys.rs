//! What the keys do: one table, from which come the help overlay and what happens.
//!
//! herder-top(1) lists the same, which a test holds it to.

use super::columns::Column;
use super::input::Key;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Quit,
    Help,
    Pause,
    Interval,
    Back,
    Open,
    Select(Step),
    SortShifted(isize),
    SortChoose,
    SortBy(Column),
    SortReverse,
    Reload,
    ReloadPrevious,
    Abort,
    More,
    Fewer,
    Scale,
    Recycle,
    RecycleAll,
    Stop,
}

/// Where to go in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
}

/// A key, or some that belong together, and what they are for.
#[derive(Debug)]
pub struct Binding {
    /// As the help and the manual write them, with a space between two.
    pub label: &'static str,
    /// What they do.
    pub what: &'static str,
    /// The keys themselves.
    pub keys: &'static [(Key, Command)],
}

/// What belongs together in the help.
#[derive(Debug)]
pub struct BindingGroup {
    /// What it is about.
    pub title: &'static str,
    /// Its keys.
    pub bindings: &'static [Binding],
}

/// Every key there is. Beside these, Ctrl-C quits, Ctrl-Z suspends and Ctrl-L draws the screen afresh, as
/// everywhere.
pub const GROUPS: [BindingGroup; 4] = [
    BindingGroup {
        title: "Look",
        bindings: &[
            Binding {
                label: "Up Down",
                what: "select a worker",
                keys: &[
                    (Key::Up, Command::Select(Step::Up)),
                    (Key::Down, Command::Select(Step::Down)),
                ],
            },
            Binding {
                label: "PgUp PgDn",
                what: "a page up, a page down",
                keys: &[
                    (Key::PageUp, Command::Select(Step::PageUp)),
                    (Key::PageDown, Command::Select(Step::PageDown)),
                ],
            },
            Binding {
                label: "Home End",
                what: "to the first, to the last",
                keys: &[
                    (Key::Home, Command::Select(Step::First)),
                    (Key::End, Command::Select(Step::Last)),
                ],
            },
            Binding {
                label: "Enter",
                what: "open the chosen instance",
                keys: &[(Key::Enter, Command::Open)],
            },
            Binding {
                label: "Esc",
                what: "unselect; back to the list",
                keys: &[(Key::Escape, Command::Back)],
            },
        ],
    },
    BindingGroup {
        title: "Sort",
        bindings: &[
            Binding {
                label: "Left Right",
                what: "by the next column",
                keys: &[
                    (Key::Left, Command::SortShifted(-1)),
                    (Key::Right, Command::SortShifted(1)),
                ],
            },
            Binding {
                label: "< >",
                what: "the same",
                keys: &[
                    (Key::Char('<'), Command::SortShifted(-1)),
                    (Key::Char('>'), Command::SortShifted(1)),
                ],
            },
            Binding {
                label: "s",
                what: "choose the column",
                keys: &[(Key::Char('s'), Command::SortChoose)],
            },
            Binding {
                label: "r",
                what: "the other way round",
                keys: &[(Key::Char('r'), Command::SortReverse)],
            },
            Binding {
                label: "P M T",
                what: "by CPU, memory, CPU time",
                keys: &[
                    (Key::Char('P'), Command::SortBy(Column::Cpu)),
                    (Key::Char('M'), Command::SortBy(Column::Memory)),
                    (Key::Char('T'), Command::SortBy(Column::CpuTime)),
                ],
            },
        ],
    },
    BindingGroup {
        title: "Change",
        bindings: &[
            Binding {
                label: "R",
                what: "reload: replace all workers",
                keys: &[(Key::Char('R'), Command::Reload)],
            },
            Binding {
                label: "p",
                what: "reload the settings before",
                keys: &[(Key::Char('p'), Command::ReloadPrevious)],
            },
            Binding {
                label: "a",
                what: "abort the reload",
                keys: &[(Key::Char('a'), Command::Abort)],
            },
            Binding {
                label: "+ -",
                what: "one worker more, one fewer",
                keys: &[(Key::Char('+'), Command::More), (Key::Char('-'), Command::Fewer)],
            },
            Binding {
                label: "w",
                what: "set the number of workers",
                keys: &[(Key::Char('w'), Command::Scale)],
            },
            Binding {
                label: "c",
                what: "recycle the selected slot",
                keys: &[(Key::Char('c'), Command::Recycle)],
            },
            Binding {
                label: "C",
                what: "recycle every slot",
                keys: &[(Key::Char('C'), Command::RecycleAll)],
            },
            Binding {
                label: "k",
                what: "stop the selected worker",
                keys: &[(Key::Char('k'), Command::Stop)],
            },
        ],
    },
    BindingGroup {
        title: "View",
        bindings: &[
            Binding {
                label: "Space",
                what: "pause, go on",
                keys: &[(Key::Char(' '), Command::Pause)],
            },
            Binding {
                label: "d",
                what: "how often to look",
                keys: &[(Key::Char('d'), Command::Interval)],
            },
            Binding { label: "?", what: "this help", keys: &[(Key::Char('?'), Command::Help)] },
            Binding { label: "q", what: "quit", keys: &[(Key::Char('q'), Command::Quit)] },
        ],
    },
];

/// What a key asks for, if anything.
pub fn command(key: Key) -> Option<Command> {
    let bindings = GROUPS.iter().flat_map(|group| group.bindings);
    bindings
        .flat_map(|binding| binding.keys)
        .find(|(there, _)| *there == key)
        .map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn bindings() -> impl Iterator<Item = &'static Binding> {
        GROUPS.iter().flat_map(|group| group.bindings)
    }

    #[test]
    fn every_label_names_its_keys() {
        for binding in bindings() {
            let words: Vec<&str> = binding.label.split(' ').collect();
            assert_eq!(words.len(), binding.keys.len(), "{binding:?}");
            for (word, (key, what)) in words.iter().zip(binding.keys) {
                let name = match key {
                    Key::Char(' ') => "Space".to_owned(),
                    Key::Char(letter) => letter.to_string(),
                    Key::Escape => "Esc".to_owned(),
                    Key::PageUp => "PgUp".to_owned(),
                    Key::PageDown => "PgDn".to_owned(),
                    other => format!("{other:?}"),
                };
                assert_eq!(*word, name);
                assert_eq!(command(*key), Some(*what), "{name} means two things");
            }
        }
    }

    #[test]
    fn the_manual_has_the_same_keys() {
        let page = include_str!("../../../../man/herder-top.1");
        let keys = page.split("\n.Sh KEYS\n").nth(1).and_then(|text| text.split("\n.Sh ").next());
        let rows = keys.unwrap_or_default().lines().filter_map(|line| line.strip_prefix(".It Ic "));
        let in_manual: Vec<String> = rows
            .map(|row| row.replace(" , ", " ").replace("\\-", "-").replace("\\&", ""))
            .collect();
        let in_code: BTreeSet<&str> = bindings().map(|binding| binding.label).collect();
        assert_eq!(in_manual.iter().map(String::as_str).collect::<BTreeSet<_>>(), in_code);
        assert_eq!(in_manual.len(), in_code.len(), "one is explained twice");
    }
}
