//! What the instance is and stays: nothing in here changes while it runs.

use crate::log::{self, Origin};
use herder_core::Notice;
use std::fs;

/// The name of the instance, and how it was started.
#[derive(Debug)]
pub struct Instance {
    name: String,
    under_systemd: bool,
    has_terminal: bool,
}

impl Instance {
    pub fn new(name: String, under_systemd: bool) -> Instance {
        Instance { name, under_systemd, has_terminal: fs::File::open("/dev/tty").is_ok() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// It runs as `herder@NAME.service`.
    pub fn is_under_systemd(&self) -> bool {
        self.under_systemd
    }

    /// A terminal's hang-up stops the instance; without a terminal SIGHUP reloads.
    pub fn has_terminal(&self) -> bool {
        self.has_terminal
    }

    /// The same, for advice in the log.
    pub fn origin(&self) -> Origin<'_> {
        Origin { instance: &self.name, under_systemd: self.under_systemd }
    }

    /// What an operator does to begin anew, as part of a sentence.
    pub fn restart(&self) -> String {
        match self.under_systemd {
            true => format!("restart (systemctl restart herder@{}.service)", self.name),
            false => "start herder again".to_owned(),
        }
    }

    /// The last line of an instance that gives up says how it comes back: systemd shows it for as long as the unit
    /// has failed.
    pub fn last_words(&self, notice: Notice) -> Notice {
        match notice {
            Notice::Status(text) if self.under_systemd => {
                Notice::Status(format!("{text}. Recover with: {}", log::recovery(&self.name)))
            }
            Notice::Status(_)
            | Notice::Ready
            | Notice::Reloading(_)
            | Notice::Stopping
            | Notice::Extend
            | Notice::Watchdog => notice,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_says_how_it_is_recovered() {
        let failed = || Notice::Status("failed".to_owned());
        let service = Instance::new("web".to_owned(), true);
        let Notice::Status(text) = service.last_words(failed()) else { panic!() };
        assert!(text.starts_with("failed. Recover with: systemctl reset-failed"), "{text}");
        assert_eq!(service.last_words(Notice::Ready), Notice::Ready);
        let alone = Instance::new("web".to_owned(), false);
        assert_eq!(alone.last_words(failed()), failed());
    }
}
