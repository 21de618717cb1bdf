//! Affinity cookies: what is found is what some pair of the field says, letter by letter.

use crate::host::affinity::token;

/// Any bytes as the values of `Cookie` fields, by lines.
pub fn affinity(data: &[u8]) {
    const NAME: &str = "portolan-affinity";
    let fields = || data.split(|byte| *byte == b'\n');
    let mut found = 0;
    for token in token::all(fields(), NAME) {
        let pair = format!("{NAME}={}", token.encode());
        let quoted = format!("{NAME}=\"{}\"", token.encode());
        let mut pairs = fields().flat_map(|field| field.split(|byte| *byte == b';'));
        assert!(
            pairs.any(|given| [pair.as_bytes(), quoted.as_bytes()].contains(&given.trim_ascii())),
            "{pair}"
        );
        // It is found again, alone.
        assert_eq!(
            token::all([pair.as_bytes()].into_iter(), NAME).collect::<Vec<_>>(),
            [token]
        );
        found += 1;
    }
    assert!(found <= 4, "{found}");
}
