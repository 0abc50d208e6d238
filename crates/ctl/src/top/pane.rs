//! One instance that is watched: its last status, and which part of it is on the screen.
//!
//! Pure: moments are arguments, spans since `herder top` started.

use super::columns::Sort;
use super::history::History;
use super::keys::Step;
use herder_wire::status::{Status, Worker};
use herder_wire::units;
use std::time::Duration;

/// How long after the expected time a status may arrive before the instance is shown as not answering.
const SILENCE: Duration = Duration::from_secs(2);

/// How the connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Nothing was heard over it yet.
    New {
        /// When it was made.
        since: Duration,
    },
    /// herder answers.
    Live {
        /// When it last did.
        heard: Duration,
    },
    /// There is none, for this reason.
    Lost(String),
}

/// A worker that stays selected: the place stays when the worker in it is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selected {
    pub slot: u32,
    pub worker: u64,
}

/// An instance.
#[derive(Clone, Debug)]
pub struct Pane {
    /// What to call it.
    pub name: String,
    /// What to do when it hangs.
    pub advice: String,
    pub link: Link,
    /// What is shown.
    pub status: Option<Status>,
    /// What is newer, but the view is paused.
    held: Option<Status>,
    pub history: History,
    pub selected: Option<Selected>,
    /// Rows of the table above the first one shown.
    pub scroll: usize,
}

impl Pane {
    /// Not heard of yet.
    pub fn new(name: impl Into<String>, advice: impl Into<String>, now: Duration) -> Pane {
        Pane {
            name: name.into(),
            advice: advice.into(),
            link: Link::New { since: now },
            status: None,
            held: None,
            history: History::default(),
            selected: None,
            scroll: 0,
        }
    }

    /// Takes a new status.
    pub fn hear(&mut self, status: Status, now: Duration, interval: Duration, paused: bool) {
        self.link = Link::Live { heard: now };
        self.history.add(&status, now, interval);
        if paused && self.status.is_some() {
            self.held = Some(status);
        } else {
            self.show(status);
        }
    }

    /// Shows what came during a pause.
    pub fn resume(&mut self) {
        if let Some(status) = self.held.take() {
            self.show(status);
        }
    }

    fn show(&mut self, status: Status) {
        if let Some(selected) = &mut self.selected {
            let still_there = status.workers.iter().any(|worker| worker.id == selected.worker);
            let next = status
                .workers
                .iter()
                .filter(|worker| worker.slot == selected.slot)
                .max_by_key(|worker| worker.id);
            match next {
                _ if still_there => {}
                Some(next) => selected.worker = next.id,
                None => self.selected = None,
            }
        }
        self.status = Some(status);
    }

    /// What is wrong with the connection, if anything: then the status shown is out of date.
    pub fn trouble(&self, now: Duration, interval: Duration) -> Option<String> {
        let silent_since = match &self.link {
            Link::Lost(why) => return Some(why.clone()),
            Link::New { since } => *since + SILENCE,
            Link::Live { heard } => *heard + interval + SILENCE,
        };
        let late = now.checked_sub(silent_since)?;
        let silence = Duration::from_secs((late + SILENCE).as_secs());
        Some(format!(
            "no answer for {}: herder is stopped or hangs; {}",
            units::duration(silence),
            self.advice
        ))
    }

    /// Whether the status shown is the current one.
    pub fn is_current(&self, now: Duration, interval: Duration) -> bool {
        matches!(self.link, Link::Live { .. }) && self.trouble(now, interval).is_none()
    }

    /// The workers, in the order they are shown.
    pub fn rows(&self, sort: Sort) -> Vec<&Worker> {
        self.status.as_ref().map(|status| sort.sorted(&status.workers)).unwrap_or_default()
    }

    /// The worker that is selected.
    pub fn selected_worker(&self) -> Option<&Worker> {
        let selected = self.selected?;
        self.status.as_ref()?.workers.iter().find(|worker| worker.id == selected.worker)
    }

    /// Moves the selection if there is one or `step` is a single row, else scrolls the view. `height` is the number
    /// of rows shown.
    pub fn go(&mut self, step: Step, sort: Sort, height: usize) {
        let order: Vec<Selected> = self
            .rows(sort)
            .iter()
            .map(|worker| Selected { slot: worker.slot, worker: worker.id })
            .collect();
        let Some(last) = order.len().checked_sub(1) else { return };
        let page = height.max(1);
        let at = self.selected.and_then(|selected| order.iter().position(|row| *row == selected));
        match (at, step) {
            (Some(at), _) => self.selected = Some(order[step.from(at, page, last)]),
            (None, Step::Up | Step::Down) => self.selected = Some(order[self.scroll.min(last)]),
            (None, _) => self.scroll = step.from(self.scroll, page, last),
        }
        self.keep_in_view(sort, height);
    }

    /// Scrolls so that the selection is seen, and no row is wasted.
    pub fn keep_in_view(&mut self, sort: Sort, height: usize) {
        let rows = self.rows(sort);
        let at = self
            .selected
            .and_then(|selected| rows.iter().position(|row| row.id == selected.worker));
        let mut scroll = self.scroll.min(rows.len().saturating_sub(height));
        if let Some(at) = at {
            scroll = scroll.clamp((at + 1).saturating_sub(height.max(1)), at);
        }
        self.scroll = scroll;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::columns::Column;
    use herder_wire::status::example::example;

    const SECOND: Duration = Duration::from_secs(1);

    fn pane(workers: u32) -> Pane {
        let mut pane = Pane::new("web", "journalctl -e -u herder@web.service", Duration::ZERO);
        pane.hear(example(workers), Duration::ZERO, SECOND, false);
        pane
    }

    #[test]
    fn the_selection_stays_with_the_worker_then_with_its_slot() {
        let mut pane = pane(5);
        let by_cpu = Sort::by(Column::Cpu);
        pane.go(Step::Down, by_cpu, 10);
        assert_eq!(pane.selected, Some(Selected { slot: 4, worker: 104 }));
        let mut changed = example(5);
        changed.workers[5].usage.cpu_share = Some(0.0);
        pane.hear(changed.clone(), SECOND, SECOND, false);
        assert_eq!(pane.selected_worker().map(|worker| worker.id), Some(104));
        changed.workers[5].id = 200;
        pane.hear(changed, SECOND, SECOND, false);
        assert_eq!(pane.selected, Some(Selected { slot: 4, worker: 200 }));
        pane.hear(example(2), SECOND, SECOND, false);
        assert_eq!(pane.selected, None);
    }

    #[test]
    fn a_page_is_as_long_as_the_view_and_the_ends_are_ends() {
        let (mut pane, sort) = (pane(300), Sort::default());
        pane.go(Step::PageDown, sort, 20);
        assert_eq!((pane.scroll, pane.selected), (20, None));
        pane.go(Step::Last, sort, 20);
        assert_eq!(pane.scroll, 281);
        pane.go(Step::Down, sort, 20);
        assert_eq!(pane.selected.map(|selected| selected.slot), Some(280));
        pane.go(Step::Last, sort, 20);
        pane.go(Step::Down, sort, 20);
        assert_eq!((pane.scroll, pane.selected.map(|selected| selected.slot)), (281, Some(299)));
        pane.go(Step::PageUp, sort, 20);
        assert_eq!((pane.scroll, pane.selected.map(|selected| selected.slot)), (280, Some(279)));
        pane.go(Step::First, sort, 20);
        pane.go(Step::Up, sort, 20);
        assert_eq!((pane.scroll, pane.selected.map(|selected| selected.slot)), (0, Some(0)));
        pane.keep_in_view(sort, 0);
        pane.go(Step::PageDown, sort, 0);
    }

    #[test]
    fn silence_is_noticed_after_two_seconds_more_than_the_interval() {
        let mut pane = pane(1);
        assert_eq!(pane.trouble(SECOND * 2, SECOND), None);
        assert!(pane.is_current(SECOND * 2, SECOND));
        let said = pane.trouble(SECOND * 3, SECOND).unwrap();
        assert!(said.starts_with("no answer for 2s: herder is stopped or hangs"), "{said}");
        assert_eq!(pane.trouble(SECOND * 30, SECOND * 60), None);
        pane.link = Link::New { since: SECOND };
        assert!(pane.trouble(SECOND * 2, SECOND).is_none() && !pane.is_current(SECOND * 2, SECOND));
        assert!(pane.trouble(SECOND * 3, SECOND).is_some());
        pane.link = Link::Lost("web is not running".to_owned());
        assert_eq!(pane.trouble(SECOND, SECOND).as_deref(), Some("web is not running"));
    }

    #[test]
    fn a_pause_holds_the_view_and_loses_nothing() {
        let mut pane = pane(3);
        pane.hear(example(4), SECOND, SECOND, true);
        assert_eq!(pane.rows(Sort::default()).len(), 4);
        pane.resume();
        assert_eq!(pane.rows(Sort::default()).len(), 5);
        pane.resume();
        assert_eq!(pane.rows(Sort::default()).len(), 5);
    }
}
