//! The endpoints of a gateway.

use crate::vitals::{EndpointStatus, Vitals};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Instant;

/// One of the addresses of a gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The address.
    pub address: SocketAddr,
    /// `available`, `ejected` or `unhealthy`. When none is available, all are used.
    pub state: String,
    /// How long its ejection still lasts, unless probes end it earlier; `None` when it is not ejected.
    pub ejected_for_seconds: Option<f64>,
    /// Open connections to it.
    pub connections: u32,
}

impl Endpoint {
    /// Those of a gateway, as they stand now.
    pub(in crate::admin) fn all(vitals: &Vitals) -> Vec<Self> {
        let status = vitals.endpoints.status(Instant::now());
        status.into_iter().map(Self::from).collect()
    }

    /// Lines of text for people, each after an indentation: of several, since one is as healthy as its gateway.
    pub fn lines(endpoints: &[Self], indent: &str) -> String {
        let mut text = String::new();
        for Self {
            address,
            state,
            ejected_for_seconds,
            connections,
        } in endpoints.iter().filter(|_| endpoints.len() > 1)
        {
            let left = ejected_for_seconds.map_or(String::new(), |left| format!(" for another {left:.0} s"));
            // Writing to a String does not fail.
            let _ = writeln!(text, "{indent}{address}: {state}{left}, {connections} connections");
        }
        text
    }
}

impl From<EndpointStatus> for Endpoint {
    fn from(status: EndpointStatus) -> Self {
        Self {
            address: status.address,
            state: status.state.as_str().to_owned(),
            ejected_for_seconds: status.ejected_for.map(|left| left.as_secs_f64()),
            connections: status.connections,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_several_endpoints_with_their_states() {
        let endpoint = |last: u8, state: &str, left, connections| Endpoint {
            address: ([192, 0, 2, last], 80).into(),
            state: state.into(),
            ejected_for_seconds: left,
            connections,
        };
        let endpoints = [endpoint(1, "available", None, 3), endpoint(2, "ejected", Some(12.4), 0)];
        assert_eq!(
            Endpoint::lines(&endpoints, "  "),
            "  192.0.2.1:80: available, 3 connections\n  192.0.2.2:80: ejected for another 12 s, 0 connections\n"
        );
        assert_eq!(Endpoint::lines(&endpoints[..1], "  "), "");
    }
}
