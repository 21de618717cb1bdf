//! What was probably meant.

/// The known word that is most like a misspelt one, if any is near enough. Case, and what separates words, does not
/// count: `healthCheck` is `health_check`.
pub(super) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nothing that long is a misspelling, and comparing takes time in proportion to both lengths.
    if word.len() > 64 {
        return None;
    }
    let plain_word = plain(word);
    let distance = |known: &&str| strsim::osa_distance(&plain_word, &plain(known));
    let allowed = if plain_word.len() < 3 {
        0
    } else {
        1 + plain_word.len() / 5
    };
    let (distance, known) = known
        .into_iter()
        .map(|known| (distance(&known), known))
        .min_by_key(|found| found.0)?;
    (distance <= allowed).then_some(known)
}

/// ` — did you mean X?`, or nothing.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, known).map(question).unwrap_or_default()
}

/// ` — did you mean X?`
pub(super) fn question(meant: &str) -> String {
    format!(" — did you mean {meant}?")
}

fn plain(word: &str) -> String {
    word.chars()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_word_is_found_when_it_is_close() {
        let known = [
            "regions",
            "residency",
            "retry",
            "policy",
            "health_check",
            "preserve_host",
        ];
        for (word, expected) in [
            ("regoins", Some("regions")),
            ("region", Some("regions")),
            ("polcy", Some("policy")),
            ("Policy", Some("policy")),
            ("healthCheck", Some("health_check")),
            ("health-check", Some("health_check")),
            ("healthcheks", Some("health_check")),
            ("rety", Some("retry")),
            ("re", None),
            ("", None),
            ("balance", None),
        ] {
            assert_eq!(closest(word, known), expected, "{word:?}");
        }
        assert_eq!(closest(&"policy".repeat(20), known), None);
    }
}
