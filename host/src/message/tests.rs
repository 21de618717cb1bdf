//! What a host is, as a grammar.

use super::*;
use http::Request;
use http::uri::Authority;
use proptest::prelude::*;

#[test]
fn a_host_has_a_name_or_an_address_and_perhaps_a_port() {
    let long = "a".repeat(255);
    for host in [
        "a",
        "a.b",
        "a.",
        "A-1_b~",
        "a:0",
        "a:65535",
        "a:",
        "[::1]",
        "[::]:8080",
        "192.0.2.1:80",
        &long,
    ] {
        assert!(is_authority(host), "{host}");
    }
    let longer = "a".repeat(256);
    for host in [
        "", ":", ":80", "a:b", "a:65536", "a:1:2", "a b", "a,b", "u@a", "a/", "a?", "a#", "a%2", "a%zz", "a%20b", "[",
        "[]", &longer,
    ] {
        assert!(!is_authority(host), "{host}");
    }
    for address in [
        "[::1",
        "::1]",
        "[::1]]",
        "[[::1]]",
        "[::1]a",
        "[::1]:x",
        "[::1%eth0]",
        "[1.2.3.4]",
        "[v1.a]",
        "[:::1]",
    ] {
        assert!(!is_authority(address), "{address}");
    }
}

#[test]
fn forwards_are_one_number() {
    let forwards = |values: &[&str]| {
        let values = values.iter().map(|value| value.parse().expect("a value"));
        max_forwards(&values.map(|value| (header::MAX_FORWARDS, value)).collect())
    };
    assert_eq!(forwards(&[]), Ok(None));
    assert_eq!(forwards(&["0"]), Ok(Some(0)));
    assert_eq!(forwards(&["007"]), Ok(Some(7)));
    for values in [
        &[""][..],
        &["-1"],
        &["+1"],
        &["1, 2"],
        &["1", "1"],
        &["99999999999999999999"],
    ] {
        assert_eq!(forwards(values), Err(NotForwarded::MaxForwards), "{values:?}");
    }
}

proptest! {
    /// Whatever is taken for a host is one for others too, and they find the same name and port in it.
    #[test]
    fn others_read_a_host_as_we_do(text in "[a-z0-9.:\\[\\]@%/ ,_*!$&'()+;=~-]{0,12}|\\[[0-9a-f:.]{2,12}\\](:[0-9]{0,6})?") {
        if is_authority(&text) {
            let authority: Authority = text.parse().expect("an authority");
            prop_assert!(!text.contains(['@', '/', ' ', ',', '?', '#']));
            let host = authority.host();
            prop_assert!(text.starts_with(host) && !host.is_empty());
            let port = text[host.len()..].strip_prefix(':').filter(|port| !port.is_empty());
            prop_assert_eq!(authority.port_u16(), port.and_then(|port| port.parse().ok()));
        }
    }

    /// A request is routed by one host, whatever it says.
    #[test]
    fn what_is_checked_is_routed_by_a_host(host in "[ -~]{0,10}", target in "/[a-z]{0,3}|\\*|[a-z]{1,3}(:[0-9]{1,2})?|http://[a-z@:0-9]{1,6}/[a-z]{0,3}") {
        let request = Request::builder().uri(&*target).header(header::HOST, &host).body(());
        if let Ok(request) = request {
            let parts = request.into_parts().0;
            if let Ok(head) = check(&parts, 100) {
                prop_assert!(is_authority(head.authority) && head.path.starts_with('/'));
            }
        }
    }
}
