//! The nearest known name to one that is unknown.

/// The name `word` was probably meant to be: at most a third of its letters differ.
pub fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('_', "-");
    known
        .map(|name| (strsim::damerau_levenshtein(&word, name), name))
        .filter(|(distance, name)| *distance <= (name.len().max(word.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_are_recognised_and_strangers_are_not() {
        let known = ["workers", "listen", "stop-timeout", "ready"];
        for (word, meant) in [
            ("worker", Some("workers")),
            ("wrokers", Some("workers")),
            ("stop_timeout", Some("stop-timeout")),
            ("Ready", Some("ready")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(closest(word, known.into_iter()), meant, "{word}");
        }
    }
}
