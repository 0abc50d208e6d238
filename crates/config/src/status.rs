//! `success-exit-status` as systemd.service(5) writes it: exit statuses by number or name, and
//! signals by name.

use super::draft::Draft;
use super::read::Reader;
use herder_core::{ExitSet, signal_name, signal_number};

/// The names `systemd-analyze exit-status` lists, without those from 200: systemd itself
/// uses them for failures before a program runs.
const NAMES: [(&str, u8); 23] = [
    ("SUCCESS", 0),
    ("FAILURE", 1),
    ("INVALIDARGUMENT", 2),
    ("NOTIMPLEMENTED", 3),
    ("NOPERMISSION", 4),
    ("NOTINSTALLED", 5),
    ("NOTCONFIGURED", 6),
    ("NOTRUNNING", 7),
    ("USAGE", 64),
    ("DATAERR", 65),
    ("NOINPUT", 66),
    ("NOUSER", 67),
    ("NOHOST", 68),
    ("UNAVAILABLE", 69),
    ("SOFTWARE", 70),
    ("OSERR", 71),
    ("OSFILE", 72),
    ("CANTCREAT", 73),
    ("IOERR", 74),
    ("TEMPFAIL", 75),
    ("PROTOCOL", 76),
    ("NOPERM", 77),
    ("CONFIG", 78),
];

/// Reads the whole setting.
pub fn read(draft: &mut Draft, reader: &mut Reader<'_>) {
    let Some(texts) = reader.texts(true) else { return };
    let mut set = ExitSet::default();
    for (text, at) in &texts {
        for word in text.split_whitespace() {
            if !add(word, &mut set) {
                let message = format!(
                    "`success-exit-status`: `{}` is neither an exit status (0 to 255, or a name that \
                     `systemd-analyze exit-status` lists below 200) nor a signal's name",
                    word.escape_debug()
                );
                reader.problems.add(Some(at), "success-exit-status", message);
            }
        }
    }
    draft.settings.policy.success = set;
}

/// Adds one word to the set; false if it names neither a status nor a signal.
pub fn add(word: &str, set: &mut ExitSet) -> bool {
    let name = word.strip_prefix("EX_").unwrap_or(word);
    let named = NAMES.iter().find(|(known, _)| *known == name).map(|(_, code)| *code);
    if let Some(code) = named.or_else(|| word.parse::<u8>().ok()) {
        set.codes.insert(code);
        return true;
    }
    // A number is always a status here, never a signal.
    let signal = signal_number(word).filter(|_| word.parse::<i128>().is_err());
    signal.is_some_and(|signal| {
        set.signals.insert(signal);
        true
    })
}

/// The words that make this set.
pub fn words(set: &ExitSet) -> Vec<String> {
    let codes = set.codes.iter().map(u8::to_string);
    codes.chain(set.signals.iter().map(|signal| signal_name(*signal))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_signals_by_name_and_number() {
        let mut set = ExitSet::default();
        for word in ["0", "250", "TEMPFAIL", "EX_CONFIG", "SIGKILL", "HUP", "SIGRTMIN+3"] {
            assert!(add(word, &mut set), "{word}");
        }
        assert_eq!(Vec::from_iter(set.codes.iter().copied()), [0, 75, 78, 250]);
        assert_eq!(Vec::from_iter(set.signals.iter().copied()), [1, 9, 37]);
        let mut again = ExitSet::default();
        assert!(words(&set).iter().all(|word| add(word, &mut again)));
        assert_eq!(again, set);
    }

    #[test]
    fn what_is_neither_is_refused() {
        for word in ["", "256", "-1", "tempfail", "SIGNOTHING", "EX_"] {
            assert!(!add(word, &mut ExitSet::default()), "{word}");
        }
    }
}
