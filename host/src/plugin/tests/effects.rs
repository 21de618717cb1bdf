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

/// What the plugin was handed of a request for `/boom`, as it echoes it.
fn echoed(client: &Client, config: &str) -> String {
    let config = format!(r#"{{"fault":"echo","path":"/boom",{config}}}"#);
    let version = load("echo", HOSTILE, &settings(&config)).unwrap();
    let answer = client.ask(&mut worker(), &version).unwrap();
    let changes = answer.headers.unwrap();
    changes.set[0].1.to_str().unwrap().to_owned()
}

#[test]
fn what_was_asked_for_arrives_and_nothing_else() {
    let mut client = Client {
        query: "a=b",
        version: Version::HTTP_2,
        time: SystemTime::UNIX_EPOCH + Duration::from_secs(61 * 60),
        ..Client::at("/boom")
    };
    client.headers.insert("x-a", HeaderValue::from_static("1"));
    client.headers.append("x-a", HeaderValue::from_static("2"));
    let fields = r#""fields":[":query","x-a",":tls-server-name",":http-version"]"#;
    assert_eq!(echoed(&client, fields), "a=b|1, 2|-|2;0;");
    let estimates = format!(r#"{fields},"estimates":true"#);
    assert_eq!(
        echoed(&client, &estimates),
        "a=b|1, 2|-|2;61;0:0:0,1:10000:1,2:20000:2",
        "a round trip of nothing is not known"
    );
    client.native = ranking([2]);
    assert_eq!(
        echoed(&client, r#""estimates":true"#),
        ";61;2:20000:2",
        "for those that may answer"
    );
}

#[test]
fn regions_are_ordered_by_the_round_trip_of_the_client() {
    let version = load(
        "shortest",
        HOSTILE,
        &settings(r#"{"fault":"shortest","estimates":true}"#),
    )
    .unwrap();
    let client = Client {
        native: ranking([2, 0, 1]),
        ..Client::default()
    };
    assert_eq!(client.ask(&mut worker(), &version).unwrap().ranking, ranking([0, 1, 2]));
}
