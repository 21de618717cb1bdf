//! The outcome of a request in metrics and logs.

use http::StatusCode;
use portolan_core::candidates::Exclusion;
use portolan_core::plan::GaveUp;

/// The outcome of a request for its client. The first ones come from a gateway, the others from the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// The gateway switched protocols.
    Informational,
    /// The gateway's 2xx, whole.
    Success,
    /// The gateway's 3xx, whole.
    Redirection,
    /// The gateway's 4xx, whole.
    ClientError,
    /// The gateway's 5xx, whole.
    ServerError,
    /// The gateway's response broke off after its head was delivered.
    CutShort,
    /// The client was redirected to the public endpoint of a region, which counts it.
    Redirected,
    /// The client closed the connection before it had the whole response.
    ClientGone,
    /// A probe of Front Door, answered from what was prepared.
    Probe,
    /// It was redirected to HTTPS.
    ToHttps,
    /// Its route redirects.
    RouteRedirect,
    /// There is no route for its host and path.
    NoRoute,
    /// The request was rejected: malformed, too large, or not for a proxy.
    Rejected,
    /// Its route denies the client, or the plugin of its service rejects the request.
    Denied,
    /// The client sends more requests than its route allows.
    RateLimited,
    /// The instance or the route has as many concurrent requests as it may.
    Shed,
    /// Residency leaves no region.
    Residency,
    /// All regions that residency allows are drained.
    Draining,
    /// All regions that could answer are at `max_requests`.
    Full,
    /// An attempt failed, and the request may not be sent twice.
    NotRepeatable,
    /// An attempt failed in a way that `retry.retry_on` does not name.
    NotInRetryOn,
    /// Attempts failed, and no further attempt is possible.
    AttemptsExhausted,
    /// An attempt failed, and the retry budget is used up.
    RetryBudgetExhausted,
    /// `timeouts.request` expired.
    RequestTimeout,
    /// All its regions are unresponsive.
    Unresponsive,
    /// An internal error of the proxy.
    Internal,
}

impl RequestOutcome {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 26] = [
        Self::Informational,
        Self::Success,
        Self::Redirection,
        Self::ClientError,
        Self::ServerError,
        Self::CutShort,
        Self::Redirected,
        Self::ClientGone,
        Self::Probe,
        Self::ToHttps,
        Self::RouteRedirect,
        Self::NoRoute,
        Self::Rejected,
        Self::Denied,
        Self::RateLimited,
        Self::Shed,
        Self::Residency,
        Self::Draining,
        Self::Full,
        Self::NotRepeatable,
        Self::NotInRetryOn,
        Self::AttemptsExhausted,
        Self::RetryBudgetExhausted,
        Self::RequestTimeout,
        Self::Unresponsive,
        Self::Internal,
    ];

    /// What a gateway's response is when it has been delivered whole.
    pub fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    /// Whether it happened after a gateway had answered, or a region was chosen to answer directly, so that it counts for that
    /// gateway.
    pub fn is_of_gateway(self) -> bool {
        self as usize <= Self::ClientGone as usize
    }

    /// Whether a request that a region was chosen for failed, other than by its client.
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            Self::ServerError
                | Self::CutShort
                | Self::NotRepeatable
                | Self::NotInRetryOn
                | Self::AttemptsExhausted
                | Self::RetryBudgetExhausted
                | Self::RequestTimeout
                | Self::Unresponsive
        )
    }

    /// Whether it can happen before any gateway has answered.
    pub fn is_of_proxy(self) -> bool {
        self as usize >= Self::ClientGone as usize
    }

    /// Its name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::CutShort => "cut_short",
            Self::Redirected => "redirected",
            Self::ClientGone => "client_gone",
            Self::Probe => "probe",
            Self::ToHttps => "https_redirect",
            Self::RouteRedirect => "route_redirect",
            Self::NoRoute => "no_route",
            Self::Rejected => "rejected",
            Self::Denied => "denied",
            Self::RateLimited => "rate_limited",
            Self::Shed => "shed",
            Self::Residency => Exclusion::Residency.as_str(),
            Self::Draining => Exclusion::Draining.as_str(),
            Self::Full => Exclusion::Full.as_str(),
            Self::NotRepeatable => GaveUp::NotRepeatable.as_str(),
            Self::NotInRetryOn => GaveUp::NotInRetryOn.as_str(),
            Self::AttemptsExhausted => GaveUp::NoneLeft.as_str(),
            Self::RetryBudgetExhausted => GaveUp::NoBudget.as_str(),
            Self::RequestTimeout => GaveUp::Deadline.as_str(),
            Self::Unresponsive => GaveUp::Unresponsive.as_str(),
            Self::Internal => "internal",
        }
    }
}

impl From<GaveUp> for RequestOutcome {
    fn from(reason: GaveUp) -> Self {
        match reason {
            GaveUp::NotRepeatable => Self::NotRepeatable,
            GaveUp::NotInRetryOn => Self::NotInRetryOn,
            GaveUp::NoneLeft => Self::AttemptsExhausted,
            GaveUp::NoBudget => Self::RetryBudgetExhausted,
            GaveUp::Deadline => Self::RequestTimeout,
            GaveUp::Unresponsive => Self::Unresponsive,
        }
    }
}

/// Why no region may answer. Health alone is never the reason: then panic mode tries them all.
impl From<Exclusion> for RequestOutcome {
    fn from(exclusion: Exclusion) -> Self {
        match exclusion {
            Exclusion::Residency => Self::Residency,
            Exclusion::Draining => Self::Draining,
            Exclusion::Full => Self::Full,
            Exclusion::Unhealthy => Self::AttemptsExhausted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_ending_has_its_place_its_word_and_a_side() {
        let mut words = HashSet::new();
        for (index, outcome) in RequestOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
            assert!(words.insert(outcome.as_str()), "{outcome:?}");
            assert!(outcome.is_of_gateway() || outcome.is_of_proxy(), "{outcome:?}");
        }
        assert!(RequestOutcome::ClientGone.is_of_gateway() && RequestOutcome::ClientGone.is_of_proxy());
        assert!(!RequestOutcome::CutShort.is_of_proxy() && !RequestOutcome::NoRoute.is_of_gateway());
    }

    #[test]
    fn a_status_is_counted_by_its_class() {
        for (status, word) in [
            (101, "1xx"),
            (204, "2xx"),
            (304, "3xx"),
            (404, "4xx"),
            (503, "5xx"),
            (600, "5xx"),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(RequestOutcome::of_status(status).as_str(), word);
        }
    }
}
