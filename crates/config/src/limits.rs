//! What a worker may use: the values of systemd.resource-control(5) and systemd.exec(5), and how they are
//! read and shown.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use super::read::{Reader, quote};
use super::value::Data;
use super::{size, span};
use herder_core::{Size, Span};

/// The limits of one worker; what is not set is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `memory-high`: beyond it the worker is slowed down, and its memory reclaimed.
    pub memory_high: Option<Memory>,
    /// `memory-max`: beyond it the kernel ends processes of the worker.
    pub memory_max: Option<Memory>,
    /// `memory-swap-max`
    pub memory_swap_max: Option<Memory>,
    /// `cpu-weight`: 1 to 10000, where 100 is what a group has that says nothing.
    pub cpu_weight: Option<u32>,
    /// `cpu-quota`: of one CPU.
    pub cpu_quota: Option<Percent>,
    /// `tasks-max`: processes and threads; `u64::MAX` is without a limit.
    pub tasks_max: Option<u64>,
    /// `nice`: -20 to 19.
    pub nice: Option<i32>,
    /// `oom-score-adjust`: -1000 to 1000.
    pub oom_score_adjust: Option<i32>,
    /// `[limits]`
    pub resources: BTreeMap<Resource, ResourceLimit>,
}

/// An amount of memory, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// So much.
    Bytes(Size),
    /// A share of the machine's.
    Share(Percent),
}

/// Hundredths of a per cent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub u32);

/// A limit of setrlimit(2), by the name in systemd.exec(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each bears the name of its RLIMIT_…")]
pub enum Resource {
    As,
    Core,
    Cpu,
    Data,
    Fsize,
    Locks,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rss,
    Rtprio,
    Rttime,
    Sigpending,
    Stack,
}

/// What is in force, and what it may be raised to; `u64::MAX` is without a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// What is in force.
    pub soft: u64,
    /// The most it may be raised to.
    pub hard: u64,
}

/// What a limit is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Bytes,
    Number,
    Seconds,
    Microseconds,
    /// 20 less the niceness, getrlimit(2); or a niceness with its sign.
    Niceness,
}

/// No worker gets by with less; who writes `memory-max = 512` has forgotten the unit.
const LEAST_MEMORY: Size = Size(1 << 20);

impl Resource {
    fn unit(self) -> Unit {
        match self {
            Resource::As
            | Resource::Core
            | Resource::Data
            | Resource::Fsize
            | Resource::Memlock
            | Resource::Msgqueue
            | Resource::Rss
            | Resource::Stack => Unit::Bytes,
            Resource::Locks
            | Resource::Nofile
            | Resource::Nproc
            | Resource::Rtprio
            | Resource::Sigpending => Unit::Number,
            Resource::Cpu => Unit::Seconds,
            Resource::Rttime => Unit::Microseconds,
            Resource::Nice => Unit::Niceness,
        }
    }
}

impl Unit {
    fn parse(self, text: &str) -> Result<u64, (String, &'static str)> {
        const NUMBER: &str = "write a number, two with a colon between them, or `infinity`";
        const SPAN: &str =
            "write a time span such as `1h`, two with a colon between them, or `infinity`";
        if text == "infinity" {
            return Ok(u64::MAX);
        }
        let number = |text: &str, why: &str, advice| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|&number| digits && number != u64::MAX);
            number.ok_or_else(|| (format!("has no {why}, `{}`", text.escape_debug()), advice))
        };
        let span = |text: &str| span::parse(text).map_err(|why| (why, SPAN));
        match self {
            Unit::Bytes => size::parse(text).map(|size| size.0),
            Unit::Number => number(text, "number", NUMBER),
            Unit::Seconds => Ok(span(text)?.0.div_ceil(1_000_000)),
            Unit::Microseconds if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                number(text, "number", SPAN)
            }
            Unit::Microseconds => Ok(span(text)?.0),
            Unit::Niceness => {
                const ADVICE: &str =
                    "write a niceness with its sign, `-5` or `+5`, or 20 less it, from 1 to 40";
                let wrong = || (format!("has no niceness, `{}`", text.escape_debug()), ADVICE);
                let raw = match text.strip_prefix('+') {
                    Some(above) => 20 - above.parse::<u8>().map_err(|_| wrong())? as i64,
                    None => match text.parse::<i64>() {
                        Ok(below) if below < 0 => 20 - below,
                        Ok(raw) => raw,
                        Err(_) => return Err(wrong()),
                    },
                };
                u64::try_from(raw).ok().filter(|raw| (1..=40).contains(raw)).ok_or_else(wrong)
            }
        }
    }

    fn show(self, value: u64) -> String {
        match self {
            _ if value == u64::MAX => "infinity".to_owned(),
            Unit::Bytes => size::exact(Size(value)),
            Unit::Seconds => span::exact(Span::secs(value)),
            Unit::Microseconds => span::exact(Span(value)),
            Unit::Number | Unit::Niceness => value.to_string(),
        }
    }
}

impl ResourceLimit {
    fn parse(resource: Resource, text: &str) -> Result<ResourceLimit, (String, &'static str)> {
        let unit = resource.unit();
        let Some((soft, hard)) = text.split_once(':') else {
            let both = unit.parse(text.trim())?;
            return Ok(ResourceLimit { soft: both, hard: both });
        };
        let limit =
            ResourceLimit { soft: unit.parse(soft.trim())?, hard: unit.parse(hard.trim())? };
        if limit.soft > limit.hard {
            return Err((
                "has a soft limit that is above the hard one".to_owned(),
                "write the lower one first: `\"1024:524288\"`",
            ));
        }
        Ok(limit)
    }

    /// As it is written in a settings file.
    pub fn in_toml(self, resource: Resource) -> String {
        let unit = resource.unit();
        let (soft, hard) = (unit.show(self.soft), unit.show(self.hard));
        match (soft == hard, unit) {
            (true, Unit::Number | Unit::Niceness) if self.soft != u64::MAX => soft,
            (true, _) => quote(soft),
            (false, _) => quote(format!("{soft}:{hard}")),
        }
    }
}

impl Percent {
    /// `150%`, `12.5%`; `None` if it is nothing of the kind.
    fn parse(text: &str) -> Option<Percent> {
        let number = text.trim().strip_suffix('%')?.trim_end();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction.len() > 2 {
            return None;
        }
        let tenths = if fraction.len() == 1 { 10 } else { 1 };
        let part = fraction.parse::<u32>().ok()? * tenths;
        Some(Percent(whole.parse::<u32>().ok()?.checked_mul(100)?.checked_add(part)?))
    }

    /// That share of a number, rounded down.
    pub fn of(self, whole: u64) -> u64 {
        let part = u128::from(whole) * u128::from(self.0) / 10_000;
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    /// As it is written in a settings file.
    pub fn in_toml(self) -> String {
        quote(self.to_string())
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Memory::Bytes(size) => write!(f, "{size}"),
            Memory::Share(percent) => write!(f, "{percent}"),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        let fraction = if rest == 0 { String::new() } else { format!(".{rest:02}") };
        write!(f, "{whole}{}%", fraction.trim_end_matches('0'))
    }
}

impl Memory {
    /// As it is written in a settings file.
    pub fn in_toml(self) -> String {
        match self {
            Memory::Bytes(size) => quote(size::exact(size)),
            Memory::Share(percent) => percent.in_toml(),
        }
    }

    /// In bytes, of a machine that has so much.
    pub fn of(self, machine: u64) -> Size {
        match self {
            Memory::Bytes(size) => size,
            Memory::Share(percent) => Size(percent.of(machine)),
        }
    }
}

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
        match size::parse(&text) {
            Ok(size) => Some(size).filter(|&size| self.is_enough(size)),
            Err(wrong) => {
                self.wrong_word(&text, wrong);
                None
            }
        }
    }

    fn is_enough(&mut self, size: Size) -> bool {
        let enough = size >= LEAST_MEMORY;
        if !enough {
            let message = format!(
                "`{}` is {size} bytes, in which nothing runs: the least is {LEAST_MEMORY}",
                self.key.name
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
    pub fn resource(&mut self, resource: Resource, into: &mut Limits) {
        let Some(text) = self.word() else { return };
        match ResourceLimit::parse(resource, &text) {
            Ok(limit) => drop(into.resources.insert(resource, limit)),
            Err(wrong) => self.wrong_word(&text, wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_shown() {
        for (text, hundredths, shown) in [
            ("150%", 15_000, "\"150%\""),
            ("12.5%", 1_250, "\"12.5%\""),
            ("12.50 %", 1_250, "\"12.5%\""),
            ("0.05%", 5, "\"0.05%\""),
            ("10.0%", 1_000, "\"10%\""),
        ] {
            let percent = Percent::parse(text).unwrap();
            assert_eq!((percent, percent.in_toml().as_str()), (Percent(hundredths), shown));
        }
        for text in ["", "%", "5", "-5%", "5.%", ".5%", "1.234%", "99999999999%", "5 %%"] {
            assert_eq!(Percent::parse(text), None, "{text}");
        }
        assert_eq!(Percent(1_250).of(8 << 30), 1 << 30);
    }

    #[test]
    fn limits_are_read_as_systemd_reads_them() {
        use Resource::{As, Core, Cpu, Nice, Nofile, Rttime};
        for (resource, text, soft, hard, shown) in [
            (Nofile, "65536", 65_536, 65_536, "65536"),
            (Nofile, "1024:524288", 1_024, 524_288, "\"1024:524288\""),
            (Nofile, "1024:infinity", 1_024, u64::MAX, "\"1024:infinity\""),
            (Core, "infinity", u64::MAX, u64::MAX, "\"infinity\""),
            (Core, "0", 0, 0, "\"0\""),
            (As, "4G", 4 << 30, 4 << 30, "\"4G\""),
            (Cpu, "1h", 3_600, 3_600, "\"1h\""),
            (Cpu, "90 : 100", 90, 100, "\"1min 30s:1min 40s\""),
            (Cpu, "1ms", 1, 1, "\"1s\""),
            (Rttime, "500", 500, 500, "\"500us\""),
            (Rttime, "2ms", 2_000, 2_000, "\"2ms\""),
            (Nice, "-5", 25, 25, "25"),
            (Nice, "+5", 15, 15, "15"),
            (Nice, "40", 40, 40, "40"),
        ] {
            let limit = ResourceLimit::parse(resource, text).unwrap();
            assert_eq!(limit, ResourceLimit { soft, hard }, "{resource:?} {text}");
            assert_eq!(limit.in_toml(resource), shown);
            let again = ResourceLimit::parse(resource, shown.trim_matches('"'));
            assert_eq!(again, Ok(limit), "{shown}");
        }
        for (resource, text) in [
            (Nofile, ""),
            (Nofile, "2:1"),
            (Nofile, "many"),
            (Nofile, "-1"),
            (Nofile, "1:2:3"),
            (Nofile, "18446744073709551615"),
            (As, "4GB"),
            (Cpu, "soon"),
            (Nice, "-21"),
            (Nice, "0"),
            (Nice, "+20"),
        ] {
            assert!(ResourceLimit::parse(resource, text).is_err(), "{resource:?} {text}");
        }
    }
}
