//! Sending clients to the regions' own endpoints: redirects and alternative services, prepared for a routing table.
//!
//! What is decided is in [`portolan_core::steer`].

use crate::respond::{self, Body};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use portolan_core::config::{AltSvc, GatewayAddress, Service, Steer};
use portolan_core::decision::Decision;
use portolan_core::health::{ServiceHealth, State};
use portolan_core::id::Slot;
use portolan_core::steer::{Advertisement, advertisement, redirected_to};

/// `Alt-Svc` (RFC 7838).
const ALT_SVC: HeaderName = HeaderName::from_static("alt-svc");

/// No alternative service is to be used (RFC 7838, section 3).
const CLEAR: HeaderValue = HeaderValue::from_static("clear");

/// How the clients of a service are sent to its regions, by slot.
#[derive(Clone, Debug)]
pub enum Steering {
    /// By redirects to these endpoints.
    Redirect(Vec<Option<Destination>>),
    /// By `Alt-Svc` in responses over TLS.
    AltSvc(Vec<Advertised>),
}

/// Where clients are redirected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// `https://` and the authority.
    origin: String,
    authority: String,
}

/// What responses from a region say of its endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    kind: Advertisement,
    /// `None`: nothing.
    value: Option<HeaderValue>,
}

/// What steering makes of a request, for explanations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Steered {
    /// It is redirected there.
    Redirected(String),
    /// It is served through this proxy, although the service redirects, for this reason.
    Proxied(&'static str),
    /// The response has this `Alt-Svc` where it is sent over TLS; `None`: it has none.
    AltSvc(Option<String>),
}

impl Steering {
    /// Prepares what a service says. `None` when its clients are served through this proxy.
    pub fn of(service: &Service, health: &ServiceHealth) -> Option<Self> {
        let gateways = service.gateways().iter();
        match &service.steer {
            Steer::Proxy => None,
            Steer::Redirect => Some(Self::Redirect(
                gateways
                    .map(|gateway| gateway.public.as_ref().map(Destination::of))
                    .collect(),
            )),
            Steer::AltSvc(terms) => {
                let regions = gateways.zip(service.slots().iter());
                let advertised = regions
                    .map(|(gateway, slot)| Advertised::of(gateway.public.as_ref(), terms, health.gateway(slot).state));
                Some(Self::AltSvc(advertised.collect()))
            }
        }
    }

    /// The redirect that answers a request without a body, and the region that it leads to. `None`: the request is to be served
    /// through this proxy.
    pub fn redirect(&self, decision: &Decision, parts: &Parts, authority: &str) -> Option<(Response<Body>, Slot)> {
        let (slot, location) = self.location(decision, parts, authority).ok()?;
        let location = HeaderValue::try_from(location).ok()?;
        let mut response = respond::plain(StatusCode::TEMPORARY_REDIRECT, "");
        *response.body_mut() = Body::Empty;
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::LOCATION, location);
        Some((response, slot))
    }

    /// Where a request is redirected to, or why it is not.
    fn location(&self, decision: &Decision, parts: &Parts, authority: &str) -> Result<(Slot, String), &'static str> {
        let Self::Redirect(destinations) = self else {
            return Err("the service does not redirect");
        };
        if parts.headers.contains_key(header::UPGRADE) {
            // Browsers do not follow redirects of WebSockets.
            return Err("it asks for an upgrade");
        }
        let (host, port) = split(authority);
        let is_there = |destination: &Destination| {
            let (its_host, its_port) = split(&destination.authority);
            its_host.eq_ignore_ascii_case(host) && its_port == port
        };
        if destinations.iter().flatten().any(is_there) {
            return Err("it has been redirected here: the public endpoint leads to this proxy");
        }
        let slot = redirected_to(&decision.ranking, &decision.candidates, &parts.method)
            .ok_or("only GET and HEAD are redirected, and only to a region that is not unhealthy")?;
        let destination = destinations.get(slot.index()).and_then(Option::as_ref);
        let destination = destination.ok_or("the region has no public endpoint")?;
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        Ok((slot, format!("{}{target}", destination.origin)))
    }

    /// Adds what a response says of its region's endpoint. Without a region, there is none to be used.
    pub fn advertise(&self, headers: &mut HeaderMap, slot: Option<Slot>) -> Option<Advertisement> {
        let Self::AltSvc(regions) = self else { return None };
        let (kind, value) = match slot {
            None => (Advertisement::Cleared, Some(CLEAR)),
            Some(slot) => {
                let advertised = regions.get(slot.index())?;
                (advertised.kind, advertised.value.clone())
            }
        };
        match value {
            Some(value) => headers.insert(ALT_SVC, value),
            // One of the gateway is for its own name.
            None => headers.remove(ALT_SVC),
        };
        Some(kind)
    }

    /// What becomes of a request.
    pub fn explain(&self, decision: &Decision, parts: &Parts, authority: &str) -> Steered {
        match self {
            Self::Redirect(_) => match self.location(decision, parts, authority) {
                Ok((_, location)) => Steered::Redirected(location),
                Err(why) => Steered::Proxied(why),
            },
            Self::AltSvc(regions) => {
                let first = decision.ranking.first().and_then(|slot| regions.get(slot.index()));
                let value = first.map_or(Some(CLEAR), |advertised| advertised.value.clone());
                Steered::AltSvc(value.and_then(|value| Some(value.to_str().ok()?.to_owned())))
            }
        }
    }
}

impl Destination {
    fn of(public: &GatewayAddress) -> Self {
        let authority = public.authority();
        Self {
            origin: format!("{}://{authority}", public.scheme.as_str()),
            authority,
        }
    }
}

impl Advertised {
    fn of(public: Option<&GatewayAddress>, terms: &AltSvc, state: State) -> Self {
        let kind = advertisement(state, public.is_some());
        let value = match (kind, public) {
            (Advertisement::Advertised, Some(public)) => alternative(public, terms),
            (Advertisement::Withheld, _) => None,
            _ => Some(CLEAR),
        };
        Self { kind, value }
    }
}

/// An endpoint as an alternative service: `h2="weu.example.net:443"; ma=10`.
fn alternative(public: &GatewayAddress, terms: &AltSvc) -> Option<HeaderValue> {
    let authority = public.authority();
    // The port is never left out (RFC 7838, section 3: alt-authority).
    let authority = match public.port == public.scheme.default_port() {
        true => format!("{authority}:{}", public.port),
        false => authority,
    };
    let age = terms.max_age.as_secs();
    let protocols = terms.protocols.iter().map(|it| it.as_str());
    let alternatives: Vec<_> = protocols.map(|id| format!("{id}=\"{authority}\"; ma={age}")).collect();
    HeaderValue::try_from(alternatives.join(", ")).ok()
}

/// A host without a final dot, and its port unless it is a default one.
fn split(authority: &str) -> (&str, Option<&str>) {
    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => (&authority[..colon], Some(&authority[colon + 1..])),
        _ => (authority, None),
    };
    let port = port.filter(|port| !matches!(*port, "" | "80" | "443"));
    (host.strip_suffix('.').unwrap_or(host), port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_core::config::{AlpnId, GatewayHost, Scheme};
    use std::time::Duration;

    fn public(host: &str, port: u16) -> GatewayAddress {
        GatewayAddress {
            scheme: Scheme::Https,
            host: GatewayHost::Name(host.into()),
            port,
        }
    }

    #[test]
    fn an_alternative_is_written_as_rfc_7838_has_it() {
        let text = |port, terms: &AltSvc| alternative(&public("weu.example.net", port), terms).expect("a value");
        assert_eq!(text(443, &AltSvc::default()), r#"h2="weu.example.net:443"; ma=10"#);
        let terms = AltSvc {
            max_age: Duration::from_secs(5),
            protocols: vec![AlpnId::H3, AlpnId::Http11],
        };
        let expected = r#"h3="weu.example.net:8443"; ma=5, http%2F1.1="weu.example.net:8443"; ma=5"#;
        assert_eq!(text(8443, &terms), expected);
    }

    #[test]
    fn a_response_says_what_its_regions_state_allows() {
        let here = public("weu.example.net", 443);
        let of = |public, state| Advertised::of(public, &AltSvc::default(), state).value;
        let (advertised, cleared) = (Some(r#"h2="weu.example.net:443"; ma=10"#), Some("clear"));
        for (state, expected) in [
            (State::Healthy, advertised),
            (State::Unhealthy, cleared),
            (State::Draining, cleared),
            (State::Warming, None),
            (State::Unknown, None),
        ] {
            let value = of(Some(&here), state);
            assert_eq!(value.as_ref().and_then(|it| it.to_str().ok()), expected, "{state:?}");
        }
        assert_eq!(
            of(None, State::Healthy),
            Some(CLEAR),
            "the region has no endpoint of its own"
        );
        let steering = Steering::AltSvc(vec![Advertised::of(Some(&here), &AltSvc::default(), State::Unknown)]);
        let mut headers = HeaderMap::from_iter([(ALT_SVC, HeaderValue::from_static("h3=\":443\""))]);
        assert_eq!(
            steering.advertise(&mut headers, Some(Slot(0))),
            Some(Advertisement::Withheld)
        );
        assert!(headers.is_empty(), "the gateway's own is for its own name");
        steering.advertise(&mut headers, None);
        assert_eq!(headers[ALT_SVC], "clear");
    }

    #[test]
    fn default_ports_and_final_dots_make_no_difference() {
        for same in [
            "shop.example.net",
            "shop.example.net:443",
            "shop.example.net.:80",
            "shop.example.net:",
        ] {
            assert_eq!(split(same), ("shop.example.net", None), "{same}");
        }
        assert_eq!(split("[2001:db8::1]:8443"), ("[2001:db8::1]", Some("8443")));
        assert_eq!(split("[2001:db8::1]"), ("[2001:db8::1]", None));
    }
}
