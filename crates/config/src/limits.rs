//! What a worker may use: the values of systemd.resource-control(5) and systemd.exec(5), and how they are
//! read and shown.

use std::collections::BTreeMap;
use std::fmt;

use super::in_toml::quote;
use herder_core::Size;
use herder_wire::units::{self, INFINITY};

/// The limits of one worker; what is not set is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerLimits {
    /// `memory-high`: beyond it the worker is slowed down, and its memory reclaimed.
    pub memory_high: Option<Memory>,
    /// `memory-max`: beyond it the kernel ends processes of the worker.
    pub memory_max: Option<Memory>,
    /// `memory-swap-max`
    pub memory_swap_max: Option<Memory>,
    /// `cpu-weight`: 1 to 10000, where 100 is the default of a cgroup.
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
    /// An absolute amount.
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

/// The unit of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Bytes,
    Number,
    Seconds,
    Microseconds,
    /// 20 less the niceness, getrlimit(2); or a niceness with its sign.
    Niceness,
}

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
    /// Reads a limit; an error says what is wrong with it, and what to write.
    pub fn parse(self, text: &str) -> Result<u64, (String, &'static str)> {
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
        let span = |text: &str| units::parse_span(text).map_err(|why| (why, SPAN));
        match self {
            Unit::Bytes => units::parse_size(text),
            Unit::Number => number(text, "number", NUMBER),
            Unit::Seconds => Ok(span(text)?.div_ceil(1_000_000)),
            Unit::Microseconds if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                number(text, "number", SPAN)
            }
            Unit::Microseconds => Ok(span(text)?),
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
            _ if value == INFINITY => "infinity".to_owned(),
            Unit::Bytes => units::exact_size(value),
            Unit::Seconds => units::exact_span(value.saturating_mul(1_000_000)),
            Unit::Microseconds => units::exact_span(value),
            Unit::Number | Unit::Niceness => value.to_string(),
        }
    }
}

impl ResourceLimit {
    /// Reads `SOFT:HARD`, or one text for both.
    pub fn parse(resource: Resource, text: &str) -> Result<ResourceLimit, (String, &'static str)> {
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
    pub fn parse(text: &str) -> Option<Percent> {
        units::parse_percent(text).map(Percent)
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
            Memory::Bytes(size) => f.write_str(&units::size(size.0)),
            Memory::Share(percent) => write!(f, "{percent}"),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&units::exact_percent(self.0))
    }
}

impl Memory {
    /// As it is written in a settings file.
    pub fn in_toml(self) -> String {
        match self {
            Memory::Bytes(size) => quote(units::exact_size(size.0)),
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

#[cfg(test)]
mod tests {
    use super::*;

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
