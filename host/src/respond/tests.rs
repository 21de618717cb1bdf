//! The responses that the proxy makes itself.

use super::*;
use http_body::Body as _;
use portolan_core::admission::Priority;

static ID: RequestId = RequestId::Made(*b"0123456789abcdef0000000000000000");

fn gave_up(reason: GaveUp, last: Option<Outcome>) -> RequestError {
    RequestError::Forward(ForwardError::GaveUp { reason, last })
}

#[test]
fn errors_that_may_be_over_in_a_moment_have_a_retry_after() {
    for (error, status, helps) in [
        (RequestError::NoRegion(Exclusion::Unhealthy), 503, true),
        (RequestError::NoRegion(Exclusion::Full), 503, true),
        (gave_up(GaveUp::NoneLeft, Some(Outcome::NotSent)), 503, true),
        (gave_up(GaveUp::Unresponsive, Some(Outcome::TimedOut)), 503, true),
        // An operator's drain lasts.
        (RequestError::NoRegion(Exclusion::Draining), 503, false),
        (gave_up(GaveUp::NoneLeft, Some(Outcome::Broken)), 502, false),
        (gave_up(GaveUp::NotRepeatable, Some(Outcome::TimedOut)), 504, false),
        (gave_up(GaveUp::Deadline, Some(Outcome::Broken)), 504, false),
        (RequestError::Loop, 508, false),
    ] {
        let response = error.response(&ID, 0);
        assert_eq!(response.status(), status, "{error}");
        for (roll, seconds) in [(0, "1"), (1, "2"), (2, "3"), (u64::MAX, "1")] {
            let response = error.response(&ID, roll);
            let after = response.headers().get(header::RETRY_AFTER);
            assert_eq!(after.is_some(), helps, "{error}");
            assert!(after.is_none_or(|after| after == seconds), "{error}: {after:?}");
        }
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store", "{error}");
        assert_ne!(error.side(), Side::Downstream, "{error}");
    }
}

/// Each of them is shed again when it comes back too early: they come back over a longer time than others.
#[test]
fn requests_that_are_shed_come_back_one_after_the_other() {
    for shed in [
        Shed::RouteFull,
        Shed::Overload(Priority::Low),
        Shed::Overload(Priority::High),
    ] {
        let error = RequestError::from(shed);
        let mut seconds: Vec<u64> = Vec::new();
        for roll in 0..100 {
            let response = error.response(&ID, roll);
            assert_eq!(response.status(), 503);
            assert!(!response.headers().contains_key(header::CONNECTION), "{error}");
            let after = response.headers()[header::RETRY_AFTER].to_str().expect("text");
            seconds.push(after.parse().expect("seconds"));
        }
        seconds.sort_unstable();
        seconds.dedup();
        assert_eq!(seconds, (1..=10).collect::<Vec<_>>(), "{error}");
    }
}

/// What follows a request that could not be read to its end is not known to be a request.
#[test]
fn an_error_of_the_client_closes_its_connection() {
    for (error, status) in [
        (RequestError::NotForwarded(NotForwarded::Hosts), 400),
        (RequestError::NotForwarded(NotForwarded::TransferEncoding), 501),
        (
            RequestError::Forward(ForwardError::ClientBody(ClientBodyError::Broken)),
            400,
        ),
        (
            RequestError::Forward(ForwardError::ClientBody(ClientBodyError::TooSlow)),
            408,
        ),
        (RequestError::LargeBody, 413),
        (
            RequestError::Forward(ForwardError::ClientBody(ClientBodyError::TooLarge)),
            413,
        ),
    ] {
        let response = error.response(&ID, 0);
        assert_eq!(response.status(), status, "{error}");
        assert_eq!(response.headers()[header::CONNECTION], "close", "{error}");
        assert_eq!(error.side(), Side::Downstream, "{error}");
    }
    let options = RequestError::NotForwarded(NotForwarded::OptionsOfOurs).response(&ID, 0);
    assert_eq!(options.status(), 200);
    assert_eq!(RequestError::NotForwarded(NotForwarded::OptionsOfOurs).reason(), None);
    assert!(options.body().is_end_stream() && !options.headers().contains_key(header::CONNECTION));
}
