//! The table's columns: what each shows, how it sorts, and which of them fit.
//!
//! Pure. What is not known sorts last, whichever way round.

use super::figures::{self, UNKNOWN};
use crate::human::{self, one_line};
use herder_wire::status::{ExitCause, LastExit, Worker};
use std::cmp::Ordering;
use std::time::Duration;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Slot,
    Worker,
    Pid,
    State,
    Generation,
    Cpu,
    CpuTime,
    Memory,
    Peak,
    Tasks,
    Descriptors,
    Age,
    Respawns,
    LastExit,
    Status,
}

use Column::*;

/// All of them, from left to right.
pub const ALL: [Column; 15] = [
    Slot,
    Worker,
    Pid,
    State,
    Generation,
    Cpu,
    CpuTime,
    Memory,
    Peak,
    Tasks,
    Descriptors,
    Age,
    Respawns,
    LastExit,
    Status,
];

/// The most important first: the last ones go where there is no room.
const BY_IMPORTANCE: [Column; 15] = [
    Slot,
    State,
    Cpu,
    Memory,
    Pid,
    Age,
    Respawns,
    LastExit,
    Status,
    Generation,
    CpuTime,
    Worker,
    Tasks,
    Descriptors,
    Peak,
];

/// The most a column with the last exit takes.
const WIDEST_EXIT: usize = 60;

/// What a column sorts by.
#[derive(Debug, PartialEq)]
enum Key {
    Number(f64),
    Text(String),
}

impl Column {
    /// What stands above it.
    pub fn heading(self) -> &'static str {
        match self {
            Slot => "SLOT",
            Worker => "WORKER",
            Pid => "PID",
            State => "STATE",
            Generation => "GEN",
            Cpu => "CPU%",
            CpuTime => "TIME",
            Memory => "MEM",
            Peak => "PEAK",
            Tasks => "TASKS",
            Descriptors => "FDS",
            Age => "AGE",
            Respawns => "RESP",
            LastExit => "LAST EXIT",
            Status => "STATUS",
        }
    }

    /// What it shows, where there is room to say so.
    pub fn meaning(self) -> &'static str {
        match self {
            Slot => "place",
            Worker => "number of the worker",
            Pid => "process",
            State => "where it is in its life",
            Generation => "generation of its settings",
            Cpu => "CPU in use, 100 is one",
            CpuTime => "CPU time so far",
            Memory => "memory in use",
            Peak => "most memory at any time",
            Tasks => "processes and threads",
            Descriptors => "open file descriptors",
            Age => "time since its start",
            Respawns => "respawns of the slot",
            LastExit => "end of the worker before",
            Status => "what it says of itself",
        }
    }

    /// Numbers are aligned to the right.
    pub fn is_number(self) -> bool {
        !matches!(self, State | LastExit | Status)
    }

    /// The end one wants to see first is the large one.
    fn large_first(self) -> bool {
        match self {
            Cpu | CpuTime | Memory | Peak | Tasks | Descriptors | Age | Respawns | LastExit => true,
            Slot | Worker | Pid | State | Generation | Status => false,
        }
    }

    fn key(self, worker: &Worker) -> Option<Key> {
        let usage = &worker.usage;
        let number = |value: u64| Some(Key::Number(value as f64));
        match self {
            Slot => number(worker.slot.into()),
            Worker => number(worker.id),
            Pid => number(worker.pid?.into()),
            State => number(worker.state as u64),
            Generation => number(worker.generation),
            Cpu => Some(Key::Number(usage.cpu_share?)),
            CpuTime => number(usage.cpu_usec?),
            Memory => number(usage.memory_bytes?),
            Peak => number(usage.memory_peak_bytes?),
            Tasks => number(usage.tasks?),
            Descriptors => number(usage.file_descriptors?),
            Age => number(worker.age_usec),
            Respawns => number(worker.respawns_of_slot),
            LastExit => number(worker.last_exit.as_ref()?.at_usec),
            Status => Some(Key::Text(worker.status.as_ref()?.to_lowercase())),
        }
    }

    /// What it shows of a worker; `now` is in microseconds since 1970, `width` what there is room for.
    pub fn text(self, worker: &Worker, now: u64, width: usize) -> String {
        let usage = &worker.usage;
        let known = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
        match self {
            Slot => worker.slot.to_string(),
            Worker => worker.id.to_string(),
            Pid => known(worker.pid.map(|pid| pid.to_string())),
            State => worker.state.to_string(),
            Generation => worker.generation.to_string(),
            Cpu => known(usage.cpu_share.map(figures::percent)),
            CpuTime => known(usage.cpu_usec.map(figures::cpu_time)),
            Memory => known(usage.memory_bytes.map(figures::bytes)),
            Peak => known(usage.memory_peak_bytes.map(figures::bytes)),
            Tasks => known(usage.tasks.map(|tasks| tasks.to_string())),
            Descriptors => known(usage.file_descriptors.map(|count| count.to_string())),
            Age => figures::age(Duration::from_micros(worker.age_usec)),
            Respawns => worker.respawns_of_slot.to_string(),
            LastExit => known(worker.last_exit.as_ref().map(|exit| {
                let long = long_exit(exit, now);
                if human::width_of(&long) <= width { long } else { short_exit(exit) }
            })),
            Status => known(worker.status.as_deref().map(one_line)),
        }
    }

    /// The least it takes, and the most it can make use of.
    fn widths(self, workers: &[Worker], now: u64) -> (usize, usize) {
        let digits = |number: Option<u64>| number.unwrap_or(0).max(1).ilog10() as usize + 1;
        let exactly = |width: usize| {
            // And room for the arrow of the one that is sorted by.
            let width = width.max(self.heading().len() + 1);
            (width, width)
        };
        match self {
            Slot => exactly(digits(workers.iter().map(|worker| worker.slot.into()).max())),
            Worker => exactly(digits(workers.iter().map(|worker| worker.id).max())),
            Pid => exactly(
                digits(workers.iter().filter_map(|worker| worker.pid).max().map(Into::into)).max(5),
            ),
            State => exactly("starting".len()),
            Generation => exactly(digits(workers.iter().map(|worker| worker.generation).max())),
            CpuTime => exactly(6),
            Cpu | Memory | Peak | Tasks | Age => exactly(5),
            Descriptors => exactly(4),
            Respawns => exactly(digits(workers.iter().map(|worker| worker.respawns_of_slot).max())),
            LastExit => {
                let exits = workers.iter().filter_map(|worker| worker.last_exit.as_ref());
                let most =
                    exits.map(|exit| human::width_of(&long_exit(exit, now))).max().unwrap_or(0);
                (13, most.clamp(13, WIDEST_EXIT))
            }
            Status => (16, usize::MAX),
        }
    }
}

/// In two words: `status 1`, `SIGSEGV`, `out of memory`.
pub fn short_exit(exit: &LastExit) -> String {
    let signal = || exit.signal.as_deref().map_or_else(|| "a signal".to_owned(), one_line);
    match exit.cause {
        ExitCause::Exited => format!("status {}", exit.exit_status.unwrap_or(0)),
        ExitCause::Killed => signal(),
        ExitCause::Dumped => format!("{} core", signal()),
        ExitCause::OutOfMemory => "out of memory".to_owned(),
        ExitCause::TimedOut => "timed out".to_owned(),
        ExitCause::Hung => "hung".to_owned(),
        ExitCause::NotStarted => "not started".to_owned(),
    }
}

/// The whole of it.
pub fn long_exit(exit: &LastExit, now: u64) -> String {
    format!("{}, {} ago", one_line(&exit.text), ago(exit.at_usec, now))
}

/// How long ago that was.
pub fn ago(at: u64, now: u64) -> String {
    figures::age(Duration::from_micros(now.saturating_sub(at)))
}

/// By what the table is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    pub column: Column,
    /// The other way round than the column suggests.
    pub reversed: bool,
}

impl Default for Sort {
    fn default() -> Sort {
        Sort { column: Slot, reversed: false }
    }
}

impl Sort {
    /// By that column, the end first that one wants to see first.
    pub fn by(column: Column) -> Sort {
        Sort { column, reversed: false }
    }

    /// By the column that is `steps` to the right.
    pub fn shifted(self, steps: isize) -> Sort {
        let at = ALL.iter().position(|column| *column == self.column).unwrap_or(0);
        let at = at as isize + steps;
        Sort::by(ALL[at.rem_euclid(ALL.len() as isize) as usize])
    }

    /// The large ones stand first.
    pub fn is_descending(self) -> bool {
        self.column.large_first() != self.reversed
    }

    /// The workers in that order; among equals, as they are in their slots.
    pub fn sorted(self, workers: &[Worker]) -> Vec<&Worker> {
        let mut sorted: Vec<(Option<Key>, &Worker)> =
            workers.iter().map(|worker| (self.column.key(worker), worker)).collect();
        sorted.sort_by(|(a, one), (b, other)| {
            self.compare(a.as_ref(), b.as_ref())
                .then_with(|| (one.slot, one.id).cmp(&(other.slot, other.id)))
        });
        sorted.into_iter().map(|(_, worker)| worker).collect()
    }

    fn compare(self, a: Option<&Key>, b: Option<&Key>) -> Ordering {
        let order = match (a, b) {
            (Some(Key::Number(a)), Some(Key::Number(b))) => a.total_cmp(b),
            (Some(Key::Text(a)), Some(Key::Text(b))) => a.cmp(b),
            (a, b) => return b.is_some().cmp(&a.is_some()),
        };
        if self.is_descending() { order.reverse() } else { order }
    }
}

/// The columns that fit, from left to right, each with its width; one cell is between two of them. The
/// one the table is sorted by is always there.
pub fn fitting(workers: &[Worker], sort: Sort, now: u64, width: usize) -> Vec<(Column, usize)> {
    let is_empty = |column: &Column| match column {
        LastExit => workers.iter().all(|worker| worker.last_exit.is_none()),
        Status => workers.iter().all(|worker| worker.status.is_none()),
        _ => false,
    };
    let mut wanted = vec![sort.column];
    wanted
        .extend(BY_IMPORTANCE.iter().filter(|column| **column != sort.column && !is_empty(column)));
    wanted
        .extend(BY_IMPORTANCE.iter().filter(|column| **column != sort.column && is_empty(column)));

    let mut chosen: Vec<(Column, usize, usize)> = Vec::new();
    let mut left = width + 1;
    for column in wanted {
        let (least, most) = column.widths(workers, now);
        if least < left {
            left -= least + 1;
            chosen.push((column, least, most));
        }
    }
    // What is left over goes to texts: first to how workers ended, the rest to what they say.
    chosen.sort_by_key(|(column, ..)| ALL.iter().position(|there| there == column));
    let widened = chosen.into_iter().map(|(column, least, most)| {
        let more = (most - least).min(left);
        left -= more;
        (column, least + more)
    });
    widened.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use herder_wire::status::example::example;

    const NOW: u64 = 1_795_420_800_000_000;

    fn order(column: Column, reversed: bool) -> Vec<u64> {
        let workers = example(4).workers;
        Sort { column, reversed }.sorted(&workers).iter().map(|worker| worker.id).collect()
    }

    #[test]
    fn what_is_not_known_comes_last_both_ways() {
        assert_eq!(order(Slot, false), [100, 2, 101, 102, 103]);
        assert_eq!(order(Slot, true), [103, 102, 2, 101, 100]);
        assert_eq!(order(Memory, false), [103, 102, 2, 101, 100]);
        assert_eq!(order(Memory, true), [2, 101, 102, 103, 100]);
        assert_eq!(order(Pid, false), [2, 101, 102, 103, 100]);
        assert_eq!(order(LastExit, true).first(), Some(&100));
    }

    #[test]
    fn every_column_can_be_reached_and_sorts() {
        let mut sort = Sort::default();
        for column in ALL {
            assert_eq!(sort, Sort::by(column));
            assert_eq!(sort.shifted(1).shifted(-1), sort);
            assert_eq!(order(column, false).len(), 5);
            assert!(BY_IMPORTANCE.contains(&column));
            sort = sort.shifted(1);
        }
        assert_eq!(sort, Sort::default());
    }

    #[test]
    fn at_80_columns_the_important_ones_are_there_and_at_200_all() {
        let workers = example(300).workers;
        let at = |width, sort| {
            let columns = fitting(&workers, Sort::by(sort), NOW, width);
            let taken: usize = columns.iter().map(|(_, width)| width + 1).sum();
            assert!(taken <= width + 1, "{width}: {columns:?}");
            columns.into_iter().map(|(column, _)| column).collect::<Vec<_>>()
        };
        assert_eq!(
            at(80, Slot),
            [Slot, Pid, State, Generation, Cpu, Memory, Age, Respawns, LastExit, Status]
        );
        assert_eq!(at(200, Slot), ALL);
        assert!(at(80, Peak).contains(&Peak));
        for width in 0..200 {
            at(width, Tasks);
        }
    }

    #[test]
    fn texts_nobody_has_make_room() {
        let mut workers = example(3).workers;
        for worker in &mut workers {
            (worker.status, worker.last_exit) = (None, None);
        }
        let columns = fitting(&workers, Sort::default(), NOW, 80);
        assert!(!columns.iter().any(|(column, _)| *column == Status), "{columns:?}");
        assert!(columns.iter().any(|(column, _)| *column == Worker), "{columns:?}");
    }

    #[test]
    fn texts_of_workers_are_harmless() {
        let workers = example(1).workers;
        assert_eq!(Status.text(&workers[0], NOW, 80), "evil \\u{1b}[2J<script>alert(1)</script>");
        assert_eq!(LastExit.text(&workers[0], NOW, 13), "out of memory");
        assert_eq!(LastExit.text(&workers[0], NOW, 60), "was killed for want of memory, 60s ago");
    }
}
