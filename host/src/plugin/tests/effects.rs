//! What a plugin answers besides an order: rejections, request headers, affinity.

use super::*;
use http::HeaderValue;
use portolan_core::decision::AffinityWish;

/// One that does this at `/boom`.
fn at_boom(fault: &str) -> Arc<PluginVersion> {
    load(
        fault,
        HOSTILE,
        &settings(&format!(r#"{{"fault":"{fault}","path":"/boom"}}"#)),
    )
    .unwrap()
}

#[test]
fn a_request_is_rejected_where_its_route_allows_the_status() {
    let (version, mut worker) = (at_boom("reject"), worker());
    let mut ask = |statuses: &[u16]| {
        let client = Client {
            statuses: statuses.to_vec(),
            ..Client::at("/boom")
        };
        client.ask(&mut worker, &version)
    };
    let answer = ask(&[403, 451]).unwrap();
    assert_eq!(answer.effects.rejects, Some(451));
    assert_eq!(version.reason(answer.reason), Some("polite"));
    assert_eq!(ask(&[403]), Err(PluginFault::Status));
    assert_eq!(ask(&[]), Err(PluginFault::Status));
    assert!(ask(&[451]).is_ok(), "the fault costs one answer");
}

#[test]
fn a_status_that_no_route_can_allow_is_found_out_when_it_is_tried() {
    let problem = load("redirects", HOSTILE, &settings(r#"{"fault":"redirect"}"#)).unwrap_err();
    assert!(
        matches!(&problem, Problem::Trial { fault: PluginFault::Status, detail, .. } if detail.contains("302")),
        "{problem}"
    );
    assert!(load("rejects", HOSTILE, &settings(r#"{"fault":"reject"}"#)).is_ok());
}

#[test]
fn request_headers_are_the_plugins_alone() {
    let (version, mut worker) = (at_boom("tenant"), worker());
    let mut client = Client::at("/boom");
    let mut ask = |client: &Client| {
        let answer = client.ask(&mut worker, &version).unwrap();
        let changes = answer.headers.unwrap();
        let set = changes
            .set
            .first()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        (answer.effects.sets, set, changes.remove.len())
    };
    assert_eq!(ask(&client), (0, None, 1), "what the client sent is removed");
    client.headers.insert("x-first", HeaderValue::from_static("acme"));
    assert_eq!(ask(&client), (1, Some("x-tenant: acme".to_owned()), 0));
    client.path = "/";
    assert_eq!(ask(&client), (0, None, 1));
}

#[test]
fn a_header_that_would_be_two_is_a_fault() {
    let (version, mut worker) = (at_boom("smuggle"), worker());
    assert_eq!(
        Client::at("/boom").ask(&mut worker, &version),
        Err(PluginFault::Nonsense)
    );
    assert!(
        version.setup.without_headers().is_some(),
        "the client's are removed then"
    );
}

#[test]
fn affinity_is_turned_off_and_on() {
    for (fault, expected) in [
        ("affinity-off", AffinityWish::Off),
        ("affinity-on", AffinityWish::On),
        ("none", AffinityWish::Configured),
    ] {
        let (version, mut worker) = (at_boom(fault), worker());
        let answer = Client::at("/boom").ask(&mut worker, &version).unwrap();
        assert_eq!(answer.effects.affinity, expected, "{fault}");
    }
}
