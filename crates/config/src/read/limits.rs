//! Readers for what a worker may use.

use super::super::limits::{Memory, Percent, Resource, ResourceLimit, Unit, WorkerLimits};
use super::super::value::Data;
use super::Reader;
use herder_core::Size;
use herder_wire::units::{self, parse_size};
use std::ops::RangeInclusive;

/// No worker runs in less: `memory-max = 512` lacks its unit.
const LEAST_MEMORY: u64 = 1 << 20;

impl Reader<'_> {
    /// A string, or a number as one.
    fn word(&mut self) -> Option<String> {
        match &self.value.data {
            Data::Text(text) => Some(text.trim().to_owned()),
            Data::Integer(number) => Some(number.to_string()),
            Data::Scalar("a float", number) => Some(number.clone()),
            Data::Scalar(..) | Data::List(_) | Data::Table(_) => {
                self.wrong_type();
                None
            }
        }
    }

    fn wrong_word(&mut self, text: &str, (why, advice): (String, &'static str)) {
        let message = format!("`{}` is `{}`, which {why}", self.key.name, text.escape_debug());
        self.problems.advise(Some(&self.value.at), self.key.name, message, advice);
    }

    /// An amount of memory that something can run in.
    pub fn size(&mut self) -> Option<Size> {
        let text = self.word()?;
        match parse_size(&text).map(Size) {
            Ok(size) => Some(size).filter(|&size| self.is_enough(size)),
            Err(wrong) => {
                self.wrong_word(&text, wrong);
                None
            }
        }
    }

    fn is_enough(&mut self, size: Size) -> bool {
        let enough = size.0 >= LEAST_MEMORY;
        if !enough {
            let message = format!(
                "`{}` is {}, in which nothing runs: the least is {}",
                self.key.name,
                units::size(size.0),
                units::size(LEAST_MEMORY)
            );
            let advice = "write the unit, too, as in `512M`";
            self.problems.advise(Some(&self.value.at), self.key.name, message, advice);
        }
        enough
    }

    /// An amount of memory, or a share of the machine's. Of swap there may be none at all.
    pub fn memory(&mut self, may_be_none: bool, into: &mut Option<Memory>) {
        let share = match &self.value.data {
            Data::Text(text) if text.trim_end().ends_with('%') => Some(Percent::parse(text)),
            Data::Text(_)
            | Data::Integer(_)
            | Data::Scalar(..)
            | Data::List(_)
            | Data::Table(_) => None,
        };
        match share {
            Some(Some(share)) if (1..=10_000).contains(&share.0) => {
                *into = Some(Memory::Share(share));
            }
            Some(_) => self.wrong_value("has to be from 0.01% to 100% of the machine's memory"),
            None if may_be_none && self.word().as_deref() == Some("0") => {
                *into = Some(Memory::Bytes(Size(0)));
            }
            None => {
                if let Some(size) = self.size() {
                    *into = Some(Memory::Bytes(size));
                }
            }
        }
    }

    /// A share of one CPU, which may be more than one.
    pub fn quota(&mut self, into: &mut Option<Percent>) {
        let Some(text) = self.word() else { return };
        // The kernel takes no less than 1 ms in 100 ms.
        match Percent::parse(&text) {
            Some(percent) if (100..=10_000_000).contains(&percent.0) => *into = Some(percent),
            Some(_) => self.wrong_value("has to be from 1% to 100000% of one CPU"),
            None => self.wrong_word(
                &text,
                ("is no share of a CPU".to_owned(), "write per cent of one CPU, as in `150%`"),
            ),
        }
    }

    /// A number of processes and threads.
    pub fn tasks(&mut self, into: &mut Option<u64>) {
        let Some(text) = self.word() else { return };
        match Unit::Number.parse(&text) {
            Ok(0) => self.wrong_value("may not be 0: a worker is one itself"),
            Ok(number) => *into = Some(number),
            Err((why, _)) => self
                .wrong_word(&text, (why, "write a number of processes and threads, or `infinity`")),
        }
    }

    /// An integer that may be negative.
    pub fn signed(&mut self, range: RangeInclusive<i32>, into: &mut Option<i32>) {
        let number = match &self.value.data {
            Data::Integer(number) => Some(*number),
            Data::Text(text) => text.trim().parse::<i128>().ok(),
            Data::Scalar(..) | Data::List(_) | Data::Table(_) => None,
        };
        let Some(number) = number else { return self.wrong_type() };
        match i32::try_from(number).ok().filter(|number| range.contains(number)) {
            Some(number) => *into = Some(number),
            None => self.wrong_value(&format!(
                "is {number}, and has to be from {} to {}",
                range.start(),
                range.end()
            )),
        }
    }

    /// A limit of setrlimit(2).
    pub fn resource(&mut self, resource: Resource, into: &mut WorkerLimits) {
        let Some(text) = self.word() else { return };
        match ResourceLimit::parse(resource, &text) {
            Ok(limit) => drop(into.resources.insert(resource, limit)),
            Err(wrong) => self.wrong_word(&text, wrong),
        }
    }
}
