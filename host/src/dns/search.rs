//! The names that are tried for a name, as resolv.conf(5) has it.

use hickory_proto::rr::Name;

/// The names to try for a name as it was written, in this order, each absolute.
///
/// With a final dot it is absolute: tried as written, and nothing else. With at least `ndots` dots in it, it is tried as
/// written first; with less, under the domains of the search list first.
pub(super) fn names(written: &str, search: &[Name], ndots: u32) -> Vec<Name> {
    let Ok(name) = Name::from_ascii(written) else {
        return Vec::new();
    };
    let mut absolute = name.clone();
    absolute.set_fqdn(true);
    if name.is_fqdn() {
        return vec![absolute];
    }
    let mut names: Vec<Name> = search
        .iter()
        // A name that becomes too long is not there.
        .filter_map(|domain| name.clone().append_domain(domain).ok())
        .collect();
    let dots = written.bytes().filter(|byte| *byte == b'.').count();
    let at = if dots >= ndots as usize { 0 } else { names.len() };
    names.insert(at, absolute);
    let mut tried = Vec::with_capacity(names.len());
    for name in names {
        if !tried.contains(&name) {
            tried.push(name);
        }
    }
    tried
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, ndots: u32, expected: &[&str]) {
        let search = ["corp.example.", "example."].map(|domain| Name::from_ascii(domain).expect("a domain"));
        let names: Vec<_> = names(written, &search, ndots).iter().map(Name::to_ascii).collect();
        assert_eq!(names, expected, "{written}");
    }

    #[test]
    fn the_search_list_comes_before_or_after_the_name_as_written() {
        check("gw", 1, &["gw.corp.example.", "gw.example.", "gw."]);
        check("gw.test", 1, &["gw.test.", "gw.test.corp.example.", "gw.test.example."]);
        check("gw.test", 2, &["gw.test.corp.example.", "gw.test.example.", "gw.test."]);
        check("gw", 0, &["gw.", "gw.corp.example.", "gw.example."]);
    }

    #[test]
    fn a_final_dot_means_as_written() {
        check("gw.", 5, &["gw."]);
        check("gw.test.", 5, &["gw.test."]);
    }

    #[test]
    fn what_becomes_too_long_is_not_tried() {
        let label = "a".repeat(60);
        let long = format!("{label}.{label}.{label}.{label}");
        check(&long, 1, &[&format!("{long}."), &format!("{long}.example.")]);
    }
}
