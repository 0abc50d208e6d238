//! What is known of another manager's settings, as data: which there are, and what becomes of each.

pub mod php_fpm;
pub mod pm2;
pub mod servers;
pub mod supervisord;

/// Settings that share a fate.
pub struct Directive {
    /// As their manager spells them.
    pub names: &'static [&'static str],
    pub fate: Fate,
}

/// What becomes of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is said in herder's or systemd's words, or, for a value that cannot be, named with the reason.
    Carried,
    /// It has no task left; why.
    Needless(&'static str),
    /// There is no counterpart; why, and what to do.
    Lost(&'static str),
}

pub const JOURNAL: Fate = Fate::Needless(
    "workers write to the journal, each line with its process id: journalctl -u herder@NAME.service; \
     syslog-identifier gives each slot a name there",
);
pub const PID_FILE: Fate = Fate::Needless("systemd and herder know their processes");
pub const FOREGROUND: Fate =
    Fate::Needless("herder and its workers run in the foreground, under systemd");
pub const CONTROL: Fate = Fate::Needless(
    "each instance has a control socket of its own, for `herder status` and the like",
);

pub const OFF: &str = "it is switched off";
pub const ENABLED: &str = "what starts at boot is enabled: systemctl enable";

/// Whether a value switches something off, in one of the ways that are common.
pub fn is_off(value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    matches!(value.as_str(), "" | "0" | "0s" | "false" | "no" | "off" | "none" | "null" | "[]")
}

/// The fate of a name, if it is known.
pub fn fate(directives: &[Directive], name: &str) -> Option<Fate> {
    directives.iter().find(|known| known.names.contains(&name)).map(|known| known.fate)
}
