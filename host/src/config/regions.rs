//! The regions of a service: where they are, and the gateway in each.

use super::compound::{At, OneOrMore, is_name};
use super::document::{Node, NodeId};
use super::error::Mistakes;
use super::names::ascii_hint;
use super::section::section;
use super::shape::{Shape, shown, wanted};
use super::suggest::{closest, question};
use super::values::{Amount, Degrees, Whole, scalar};
use crate::tls::is_server_name;
use portolan_core::config::{Gateway, GatewayAddress, GatewayHost, RegionLabels, Scheme};
use portolan_core::geo::Point;
use portolan_geo::azure;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

section! {
    /// A region of a service.
    RegionSection {
        /// An Azure region such as westeurope, or a name of your own with its location.
        required region: At<String>,
        /// Where it is; once for each name of your own. Azure's regions need none.
        optional location: At<Option<LocationSection>>,
        /// Where the region takes the service's traffic: http://HOST or https://HOST, perhaps with :PORT. A final dot of a name
        /// means that it is not looked for under the search list's domains. The certificate of an https gateway must be for its
        /// host, unless upstream.tls.server_name says otherwise.
        required gateway: At<GatewayUrl>,
        /// Where clients reach the region directly, where the service's steer sends them: https://HOST, perhaps with :PORT.
        optional public: At<GatewayUrl>,
        /// Failover level: regions with a higher number are used only when none with a lower one is available. Default: 0.
        optional priority: Whole<0, 255>,
        /// Weight under policy weighted; 0 for a fallback only. Default: 100.
        optional weight: Whole<0, 65_535>,
        /// Concurrent requests from this instance beyond which the region is skipped. Where the routes of the service have several
        /// priorities, the lower ones may use a part of them: low 80 %, normal 95 %. Default: no limit.
        optional max_requests: Whole<1, { u32::MAX as u64 }>,
        /// What the region costs, in a unit of your choice: for plugins.
        optional cost: Amount,
        /// Words such as [eu, gpu], at most 16: for plugins.
        optional tags: OneOrMore<At<String>>,
    }
}

section! {
    /// A place on the globe.
    LocationSection {
        /// Degrees north.
        required latitude: Degrees<90>,
        /// Degrees east.
        required longitude: Degrees<180>,
    }
}

impl RegionSection {
    /// The region's gateway.
    pub(super) fn gateway(&self, places: &Places, mistakes: &mut Mistakes<'_>) -> Option<Gateway> {
        let name = self.region.as_ref()?;
        let point = places.find(name, name.id, mistakes);
        Some(Gateway {
            region: name.as_str().into(),
            point: point?,
            address: self.gateway.as_ref()?.0.clone(),
            public: self.public.as_ref().map(|public| public.0.clone()),
            priority: self.priority.map_or(0, |priority| priority.0 as u8),
            weight: self.weight.map_or(Gateway::DEFAULT_WEIGHT, |weight| weight.0 as u32),
            max_requests: self.max_requests.map(|count| count.0 as u32),
            labels: RegionLabels {
                cost: self.cost.map(|cost| cost.0),
                tags: tags(self.tags.as_ref(), mistakes),
            },
        })
    }
}

/// How many tags a region may have.
const TAGS: usize = 16;

/// The tags of a region.
pub(super) fn tags(tags: Option<&OneOrMore<At<String>>>, mistakes: &mut Mistakes<'_>) -> Box<[Box<str>]> {
    let mut words: Vec<Box<str>> = Vec::new();
    for tag in tags.iter().flat_map(|tags| &tags.0) {
        if !is_name(tag) {
            let message = "a tag has 1 to 63 letters, digits, - and _ and begins with a letter or digit";
            mistakes.at(tag.id, format!("{message}, got {}", shown(tag)));
        } else if words.iter().any(|word| **word == ***tag) {
            mistakes.at(tag.id, format!("{} is there already", shown(tag)));
        } else if words.len() == TAGS {
            mistakes.at(tag.id, format!("a region has at most {TAGS} tags"));
        }
        words.push(tag.as_str().into());
    }
    words.into()
}

impl LocationSection {
    /// The place, when both of its coordinates could be read.
    pub(super) fn point(&self) -> Option<Point> {
        Point::new(self.latitude?.0, self.longitude?.0).ok()
    }
}

/// Where regions are: a name is one place throughout the file.
#[derive(Debug)]
pub(super) struct Places {
    /// The places the file gives, and where it gives them. `None` for those it gives with mistakes.
    own: BTreeMap<String, (Option<Point>, NodeId)>,
}

impl Places {
    /// The places that these regions give.
    pub(super) fn of<'a>(regions: impl Iterator<Item = &'a RegionSection>, mistakes: &mut Mistakes<'_>) -> Self {
        let mut own = BTreeMap::new();
        for (name, location) in regions.filter_map(|region| region.region.as_ref().zip(region.location.as_ref())) {
            let point = location.as_ref().and_then(LocationSection::point);
            let (first, at) = *own.entry(name.value.clone()).or_insert((point, location.id));
            if first.zip(point).is_some_and(|(first, point)| first != point) {
                mistakes.at(
                    location.id,
                    format!("{} is somewhere else on {}", name.value, mistakes.line(at)),
                );
            }
        }
        Self { own }
    }

    /// Whether the location of a region is known.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.own.contains_key(name) || known(name).is_some()
    }

    /// Where a region is.
    pub(super) fn find(&self, name: &str, at: NodeId, mistakes: &mut Mistakes<'_>) -> Option<Point> {
        if !is_name(name) {
            mistakes.at(
                at,
                format!(
                    "{} is no region name: letters, digits, - and _{}",
                    shown(name),
                    meant(name)
                ),
            );
            return None;
        }
        if let Some((point, _)) = self.own.get(name) {
            return *point;
        }
        if let Some(point) = known(name) {
            return Some(point);
        }
        let advice = closest(name, self.own.keys().map(String::as_str)).map_or_else(|| meant(name), question);
        let advice = match advice.as_str() {
            "" => " — a place of your own needs location: { latitude: …, longitude: … }",
            _ => &advice,
        };
        mistakes.at(at, format!("unknown region {}{advice}", shown(name)));
        None
    }
}

/// Where a region of Azure is, by its exact name.
fn known(name: &str) -> Option<Point> {
    azure::find(name)
        .filter(|region| region.name.as_str() == name)
        .map(|region| region.point)
}

fn meant(name: &str) -> String {
    azure::suggest(name).map(question).unwrap_or_default()
}

/// A gateway as a URL without path.
#[derive(Clone, Debug)]
pub(super) struct GatewayUrl(pub(super) GatewayAddress);

impl GatewayUrl {
    /// The address that a URL without path names, or why it names none.
    pub(super) fn address(text: &str) -> Result<GatewayAddress, Cow<'static, str>> {
        gateway(text)
    }
}

impl Shape for GatewayUrl {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let Some(text) = scalar(node) else {
            return wanted(node, "a URL such as http://gateway.example.net", mistakes);
        };
        match gateway(text) {
            Ok(address) => Some(Self(address)),
            Err(why) => {
                mistakes.at(node.id(), format!("{why}, got {}", shown(text)));
                None
            }
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": r"^https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?/?$" })
    }
}

fn gateway(text: &str) -> Result<GatewayAddress, Cow<'static, str>> {
    let schemes = [Scheme::Http, Scheme::Https].into_iter();
    let (scheme, rest) = schemes
        .filter_map(|scheme| Some((scheme, text.strip_prefix(scheme.as_str())?.strip_prefix("://")?)))
        .next()
        .ok_or("wanted a URL such as http://gateway.example.net")?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('@') {
        return Err("a gateway has no user name".into());
    }
    if authority.contains(['/', '?', '#']) {
        return Err("a gateway has no path or query: the request's own is sent".into());
    }
    // An IPv6 address has colons of its own, in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port = match port {
        None => scheme.default_port(),
        Some(port) => number(port)
            .filter(|port| *port > 0)
            .ok_or("a port is a number from 1 to 65535")?,
    };
    let host = host_of(host).ok_or_else(|| match ascii_hint(host) {
        Some(hint) => Cow::Owned(hint),
        None => "the host of a gateway is a DNS name or an address".into(),
    })?;
    if let (Scheme::Https, GatewayHost::Name(name)) = (scheme, &host)
        && !is_server_name(name)
    {
        return Err("no certificate can be for this host".into());
    }
    Ok(GatewayAddress { scheme, host, port })
}

fn number(text: &str) -> Option<u16> {
    text.parse()
        .ok()
        .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn host_of(text: &str) -> Option<GatewayHost> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let ip: Ipv6Addr = bracketed.strip_suffix(']')?.parse().ok()?;
        return Some(GatewayHost::Ip(IpAddr::V6(ip)));
    }
    if let Ok(ip) = text.parse() {
        return Some(GatewayHost::Ip(IpAddr::V4(ip)));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(fits);
    // A final dot is kept for the resolver: the name is then looked up as it is written.
    let name = text.strip_suffix('.').unwrap_or(text);
    // A last label of digits is an IPv4 address with a mistake (URL Standard, "ends in a number").
    let last = name.rsplit('.').next()?;
    let is_name = name.len() <= 253 && name.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit());
    is_name.then(|| GatewayHost::Name(text.to_ascii_lowercase().into()))
}
