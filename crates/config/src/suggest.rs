//! The nearest known name to one that is unknown.

/// The name `word` was probably meant to be: at most a third of its letters differ.
pub fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('_', "-");
    // Words of very different length are never that near, and to compare long ones can take seconds.
    let near = |name: &&str| word.len().abs_diff(name.len()) <= allowed(&word, name);
    known
        .filter(near)
        .map(|name| (strsim::damerau_levenshtein(&word, name), name))
        .filter(|(distance, name)| *distance <= allowed(&word, name))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn allowed(word: &str, name: &str) -> usize {
    (name.len().max(word.len()) / 3).max(1)
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
