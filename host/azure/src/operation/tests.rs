use super::*;
use proptest::prelude::*;

const ARM: &str = "https://management.azure.com/";
const URL: &str =
    "https://management.azure.com/subscriptions/s/providers/Microsoft.Cdn/operationresults/1?api-version=2024-02-01";

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status,
        body: body.as_bytes().to_vec(),
        ..Answer::default()
    }
}

fn begun(status: u16, body: &str, async_operation: Option<&str>, location: Option<&str>) -> Started {
    let answer = Answer {
        async_operation: async_operation.map(str::to_owned),
        location: location.map(str::to_owned),
        ..answer(status, body)
    };
    started(&answer, &Url::parse(ARM).unwrap())
}

const UPDATING: &str = r#"{"properties":{"provisioningState":"Updating"}}"#;
const SETTLED: &str = r#"{"properties":{"provisioningState":"Succeeded"}}"#;

#[test]
fn how_an_accepted_change_goes_on() {
    let poll = |kind| {
        Started::Poll(Operation {
            url: Url::parse(URL).unwrap(),
            kind,
        })
    };
    assert_eq!(begun(200, SETTLED, None, None), Started::Done);
    assert_eq!(begun(202, UPDATING, Some(URL), None), poll(Kind::AsyncOperation));
    assert_eq!(
        begun(202, UPDATING, Some(URL), Some("https://elsewhere.example/")),
        poll(Kind::AsyncOperation)
    );
    assert_eq!(begun(202, UPDATING, None, Some(URL)), poll(Kind::Location));
    assert_eq!(begun(201, UPDATING, Some(URL), None), poll(Kind::AsyncOperation));
    // 202 is never done, whatever its body is.
    assert_eq!(begun(202, SETTLED, None, None), Started::Watch);
    assert_eq!(begun(200, UPDATING, None, None), Started::Watch);
}

#[test]
fn our_token_goes_to_no_other_host_port_or_scheme() {
    for url in [
        "https://management.azure.com.evil.example/x",
        "https://evil.example/management.azure.com",
        "http://management.azure.com/x",
        "https://management.azure.com:8443/x",
        "https://management.azure.com@evil.example/x",
        "//evil.example/x",
        "not a url",
    ] {
        assert_eq!(
            begun(202, UPDATING, Some(url), None),
            Started::Foreign(url.to_owned()),
            "{url}"
        );
    }
}

#[test]
fn what_polls_say() {
    use Kind::{AsyncOperation as A, Location as L};
    let timing = Timing::default();
    let five = Progress::Running(Duration::from_secs(5));
    let failed = |code: &str, message: &str| Progress::Failed {
        code: code.to_owned(),
        message: message.to_owned(),
    };
    let cases = [
        (A, 200, r#"{"status":"InProgress"}"#, five.clone()),
        (A, 200, r#"{"status":"Accepted"}"#, five.clone()),
        (A, 200, r#"{"status":"Succeeded"}"#, Progress::Succeeded),
        (
            A,
            200,
            r#"{"status":"Failed","error":{"code":"C","message":"m"}}"#,
            failed("C", "m"),
        ),
        (A, 200, r#"{"status":"Canceled"}"#, failed("status 200", "")),
        (A, 200, "garbage", five.clone()),
        (A, 202, "", five.clone()),
        (A, 403, "", Progress::Unreadable),
        (A, 404, "", Progress::Unreadable),
        (A, 429, "", five.clone()),
        (A, 503, "", five.clone()),
        (
            A,
            400,
            r#"{"error":{"code":"BadRequest","message":"no"}}"#,
            failed("BadRequest", "no"),
        ),
        (L, 202, "", five.clone()),
        (L, 200, SETTLED, Progress::Succeeded),
        (L, 200, UPDATING, five),
        (L, 204, "", Progress::Succeeded),
        (L, 500, "", Progress::Running(Duration::from_secs(5))),
    ];
    for (kind, status, body, expected) in cases {
        assert_eq!(
            polled(kind, &answer(status, body), &timing),
            expected,
            "{kind:?} {status} {body}"
        );
    }
}

proptest! {
    /// Whatever the service asks for, the next poll comes within the bounds.
    #[test]
    fn polls_keep_within_bounds(asked in prop::option::of(0_u64..1_000_000)) {
        let timing = Timing::default();
        let pause = next_poll(asked.map(Duration::from_secs), &timing);
        prop_assert!((timing.poll_least..=timing.poll_most).contains(&pause));
    }

    /// No answer without `Succeeded` counts as success.
    #[test]
    fn garbage_is_no_success(body in ".{0,60}") {
        prop_assume!(!body.contains("Succeeded"));
        let said = polled(Kind::AsyncOperation, &answer(200, &body), &Timing::default());
        prop_assert_ne!(said, Progress::Succeeded);
    }
}
