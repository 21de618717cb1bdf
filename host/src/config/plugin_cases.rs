//! The test cases of a routing plugin: a file of its own, read with the same care as the configuration.

use super::compound::{At, Named, NonEmpty, OneOrMore};
use super::document::{Document, Node};
use super::error::{ConfigErrors, Mistake, Mistakes};
use super::plugins::{IsolationWord, SizeWord};
use super::quantities::{KIB, MIB, MS, S, Size, Time, US};
use super::reader::{MAX_SIZE, is_json, text};
use super::regions::{LocationSection, tags};
use super::residency::CountryCode;
use super::section::section;
use super::shape::{Shape, all, wanted};
use super::suggest::{did_you_mean, question};
use super::values::{Amount, Percent, Whole, scalar, words};
use crate::plugin::{Estimate, Isolation, PluginSettings, PluginSize};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portolan_core::config::RegionLabels;
use portolan_core::decision::AffinityWish;
use portolan_core::geo::{Country, Point};
use portolan_core::health::State;
use portolan_geo::azure;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// From 1970 to 2026, the default year of cases.
const NEW_YEAR: Duration = Duration::from_secs(1_767_225_600);

section! {
    /// The test cases of a routing plugin.
    CasesFile {
        /// How it is deployed, with the keys of `plugins.NAME`: deadline, memory and so on.
        optional plugin: DeploymentSection,
        /// What it is configured with, in cases that have no configuration of their own.
        optional config: Value,
        /// The statuses with which the route lets the plugin reject requests. Default: none.
        optional statuses: Vec<Whole<400, 599>>,
        /// The name of the service. Default: shop.
        optional service: String,
        /// The regions of the service.
        required regions: NonEmpty<CaseRegionSection>,
        /// The cases.
        required cases: NonEmpty<CaseSection>,
    }
}

section! {
    /// How the plugin is deployed.
    DeploymentSection {
        /// CPU time a call may take. Default: 1ms.
        optional deadline: Time<{ MS }, { S }>,
        /// Which limits its file, its compilation and its starts have: small or large. Default: small.
        optional size: SizeWord,
        /// How much memory an instance may have. Default: 16MiB, and 64MiB with size: large.
        optional memory: Size<{ 64 * KIB }, { 64 * MIB }>,
        /// Whether instances serve more than one request: reuse or fresh. Default: reuse.
        optional isolation: IsolationWord,
    }
}

section! {
    /// A region of the service.
    CaseRegionSection {
        /// An Azure region such as westeurope, or a name of your own with its location.
        required region: At<String>,
        /// Where it is. Azure's regions need none.
        optional location: LocationSection,
        /// Its health: unknown, healthy, warming, unhealthy, draining. Default: healthy.
        optional health: HealthWord,
        /// How much of its traffic it gets while it is warming. Default: 100.
        optional share: Percent,
        /// The round trip from this proxy to its gateway. Default: not known.
        optional round_trip: Time<{ US }, { 60 * S }>,
        /// Failover level. Default: 0.
        optional priority: Whole<0, 255>,
        /// Weight. Default: 100.
        optional weight: Whole<0, 65_535>,
        /// Concurrent requests beyond which it is skipped. Default: no limit.
        optional max_requests: Whole<1, { u32::MAX as u64 }>,
        /// What it costs, in a unit of your choice. Default: not known.
        optional cost: Amount,
        /// Words for the plugin, such as eu or gpu.
        optional tags: OneOrMore<At<String>>,
    }
}

section! {
    /// A case: a request, and the answer that is expected.
    CaseSection {
        /// What it shows.
        required name: At<String>,
        /// What the plugin is configured with here.
        optional config: Value,
        /// The request. Default: GET / of shop.example.net.
        optional request: RequestSection,
        /// Who sent it. Default: 192.0.2.1, whose location is not known.
        optional client: ClientSection,
        /// Region → health, where it differs in this case.
        optional health: Named<HealthWord>,
        /// The regions that may answer, in the order that holds without the plugin. Default: all that are neither unhealthy
        /// nor draining, as listed.
        optional eligible: Vec<At<String>>,
        /// Region → estimated round trip from the client. Default: not known.
        optional round_trips: Named<Time<{ US }, { 60 * S }>>,
        /// Region → requests that it is working on. Default: 0.
        optional in_flight: Named<Whole<0, { u32::MAX as u64 }>>,
        /// When the request comes, such as 2026-11-28T08:30:00Z. Default: 2026-01-01T00:00:00Z.
        optional time: Moment,
        /// The random number of the request. Default: 0.
        optional roll: Whole<0, { u32::MAX as u64 }>,
        /// The answer that is expected.
        required expect: ExpectSection,
    }
}

section! {
    /// A request.
    RequestSection {
        /// Its method. Default: GET.
        optional method: At<String>,
        /// The host it is for, in lower case. Default: shop.example.net.
        optional host: String,
        /// Its path. Default: /.
        optional path: String,
        /// Its query, without the question mark. Default: none.
        optional query: String,
        /// Header → value.
        optional headers: Named<At<String>>,
    }
}

section! {
    /// A client.
    ClientSection {
        /// Its address.
        optional ip: Address,
        /// Its country.
        optional country: CountryCode,
        /// Where it is.
        optional location: LocationSection,
        /// The number of its autonomous system.
        optional asn: Whole<1, { u32::MAX as u64 }>,
    }
}

section! {
    /// The answer that is expected. What is left out may be anything.
    ExpectSection {
        /// All regions in the order in which they are tried.
        optional order: Vec<At<String>>,
        /// The region that is tried first.
        optional first: At<String>,
        /// The name of the reason; none for an answer without one.
        optional reason: String,
        /// Whether the plugin orders the regions: false where it leaves that to the proxy.
        optional opinion: bool,
        /// Whether other regions are left out of the order.
        optional only: bool,
        /// The status that the request is rejected with; false where it is not.
        optional reject: Rejection,
        /// Request header for the gateway → value. Others that the plugin may set are not set.
        optional headers: Named<At<String>>,
        /// Whether session affinity applies: configured, off, on.
        optional affinity: AffinityWord,
        /// A part of the message with which the plugin rejects its configuration.
        optional config_error: String,
        /// Counter → by how much it grows.
        optional counters: Named<Whole<0, { u32::MAX as u64 }>>,
    }
}

words! {
    /// The health of a region.
    HealthWord {
        /// No observation yet.
        Unknown = "unknown",
        /// It answers.
        Healthy = "healthy",
        /// In slow start.
        Warming = "warming",
        /// It fails.
        Unhealthy = "unhealthy",
        /// Drained by an operator.
        Draining = "draining",
    }
}

words! {
    /// Whether session affinity applies.
    AffinityWord {
        /// As the service is configured.
        Configured = "configured",
        /// It does not.
        Off = "off",
        /// It does.
        On = "on",
    }
}

/// A moment in UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(SystemTime);

impl Shape for Moment {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match scalar(node).and_then(|text| humantime::parse_rfc3339(text).ok()) {
            Some(time) => Some(Self(time)),
            None => wanted(node, "a moment in UTC, such as 2026-11-28T08:30:00Z", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "format": "date-time" })
    }
}

/// A status, or that there is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rejection(Option<u16>);

impl Shape for Rejection {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match scalar(node) {
            Some("false") => Some(Self(None)),
            _ => Whole::<400, 599>::read(node, mistakes).map(|status| Self(Some(status.0 as u16))),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "enum": [false] }, Whole::<400, 599>::schema()] })
    }
}

/// An IP address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address(IpAddr);

impl Shape for Address {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match scalar(node).and_then(|text| text.parse().ok()) {
            Some(ip) => Some(Self(ip)),
            None => wanted(node, "an IP address, such as 192.0.2.1", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }
}

/// The test cases of a plugin.
#[derive(Debug)]
pub struct PluginCases {
    /// How the plugin is deployed; each case has its configuration.
    pub deployment: PluginSettings,
    /// The service.
    pub service: String,
    /// Its regions.
    pub regions: Vec<CaseRegion>,
    /// The statuses with which the plugin may reject requests.
    pub statuses: Vec<u16>,
    /// The cases, at least one.
    pub cases: Vec<PluginCase>,
}

/// A region of the cases.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "as in the file, whose keys are documented")]
pub struct CaseRegion {
    pub name: String,
    pub country: Country,
    pub point: Point,
    pub health: State,
    /// In thousandths.
    pub share: u16,
    pub round_trip: Option<Duration>,
    pub priority: u8,
    pub weight: u32,
    pub max_requests: Option<u32>,
    pub labels: RegionLabels,
}

/// One case. Regions are given by their position.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "as in the file, whose keys are documented")]
pub struct PluginCase {
    pub name: String,
    /// Where it is in the file.
    pub line: usize,
    /// A JSON text.
    pub config: String,
    pub method: Method,
    pub host: String,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub ip: IpAddr,
    pub country: Country,
    pub point: Option<Point>,
    pub asn: u32,
    /// The health of every region.
    pub health: Vec<State>,
    pub eligible: Vec<usize>,
    /// What is estimated of every region.
    pub estimates: Vec<Estimate>,
    pub time: SystemTime,
    pub roll: u32,
    pub expected: Expected,
}

/// The answer that a case expects. `None`: it may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "as in the file, whose keys are documented")]
pub struct Expected {
    pub order: Option<Vec<usize>>,
    pub first: Option<usize>,
    pub reason: Option<String>,
    pub opinion: Option<bool>,
    pub only: Option<bool>,
    /// `Some(None)`: it is not rejected.
    pub reject: Option<Option<u16>>,
    pub headers: Option<HeaderMap>,
    pub affinity: Option<AffinityWish>,
    pub config_error: Option<String>,
    pub counters: Vec<(String, u64)>,
}

/// Reads the test cases of a plugin.
///
/// # Errors
/// All mistakes in the file.
pub fn plugin_cases(content: &[u8], file: &Path) -> Result<PluginCases, ConfigErrors> {
    if content.len() as u64 > MAX_SIZE {
        return Err(ConfigErrors::whole(
            file,
            format!("is larger than {} MiB", MAX_SIZE >> 20),
        ));
    }
    let text = text(content).map_err(|message| ConfigErrors::whole(file, message))?;
    let whole = |message: &str| ConfigErrors::whole(file, message);
    let document = Document::parse_part(text, is_json(file)).map_err(|error| ConfigErrors {
        file: file.to_owned(),
        mistakes: vec![Mistake::from(error)],
        more: 0,
    })?;
    if document.is_empty() {
        return Err(whole("the file is empty: it needs regions and cases"));
    }
    let mut mistakes = Mistakes::of(&document);
    let read = CasesFile::read(document.root(), &mut mistakes).and_then(|file| file.cases(&mut mistakes));
    mistakes.into_warnings(file)?;
    read.ok_or_else(|| whole("does not hold together"))
}

/// The JSON Schema of the file, for editors.
pub fn plugin_cases_schema() -> String {
    format!("{:#}\n", CasesFile::schema())
}

impl CasesFile {
    fn cases(&self, mistakes: &mut Mistakes<'_>) -> Option<PluginCases> {
        let sections = self.regions.as_ref()?;
        let regions = all(sections.iter().map(|region| region.region(mistakes)))?;
        for (place, section) in sections.iter().enumerate() {
            let name = section.region.as_ref()?;
            if regions[..place].iter().any(|other| other.name == name.value) {
                mistakes.at(name.id, "this region is listed twice");
            }
        }
        if let Some(extra) = sections.get(64).and_then(|region| region.region.as_ref()) {
            mistakes.at(extra.id, "a service has at most 64 regions");
        }
        let names = Regions(&regions);
        let config = self.config.as_ref().map_or_else(|| "{}".to_owned(), Value::to_string);
        let cases = self
            .cases
            .as_ref()?
            .iter()
            .map(|case| case.case(&config, names, mistakes));
        Some(PluginCases {
            deployment: self
                .plugin
                .as_ref()
                .map(DeploymentSection::settings)
                .unwrap_or_default(),
            service: self.service.clone().unwrap_or_else(|| "shop".to_owned()),
            cases: all(cases)?,
            statuses: self.statuses.iter().flatten().map(|status| status.0 as u16).collect(),
            regions,
        })
    }
}

impl DeploymentSection {
    fn settings(&self) -> PluginSettings {
        let default = PluginSettings::default();
        let size = match self.size {
            Some(SizeWord::Large) => PluginSize::Large,
            Some(SizeWord::Small) | None => PluginSize::Small,
        };
        PluginSettings {
            size,
            deadline: self.deadline.map_or(default.deadline, |deadline| deadline.0),
            memory: self.memory.map_or(size.memory(), |memory| memory.0 as usize),
            isolation: match self.isolation {
                Some(IsolationWord::Fresh) => Isolation::Fresh,
                Some(IsolationWord::Reuse) | None => Isolation::Reuse,
            },
            ..default
        }
    }
}

impl CaseRegionSection {
    fn region(&self, mistakes: &mut Mistakes<'_>) -> Option<CaseRegion> {
        let name = self.region.as_ref()?;
        let known = azure::find(name).filter(|known| known.name.as_str() == name.value);
        let point = match &self.location {
            Some(location) => location.point()?,
            None => match known {
                Some(known) => known.point,
                None => {
                    let meant = azure::suggest(name).map(question).unwrap_or_default();
                    let message = "unknown region; a name of your own needs location: { latitude: …, longitude: … }";
                    mistakes.at(name.id, format!("{message}{meant}"));
                    return None;
                }
            },
        };
        Some(CaseRegion {
            name: name.value.clone(),
            // As for requests: only where Azure's regions are is known.
            country: known.map_or(Country::UNKNOWN, |known| known.country),
            point,
            health: self.health.map_or(State::Healthy, HealthWord::state),
            share: self.share.map_or(1000, |share| u16::from(share.0) * 10),
            round_trip: self.round_trip.map(|time| time.0),
            priority: self.priority.map_or(0, |priority| priority.0 as u8),
            weight: self.weight.map_or(100, |weight| weight.0 as u32),
            max_requests: self.max_requests.map(|count| count.0 as u32),
            labels: RegionLabels {
                cost: self.cost.map(|cost| cost.0),
                tags: tags(self.tags.as_ref(), mistakes),
            },
        })
    }
}

impl HealthWord {
    fn state(self) -> State {
        match self {
            Self::Unknown => State::Unknown,
            Self::Healthy => State::Healthy,
            Self::Warming => State::Warming,
            Self::Unhealthy => State::Unhealthy,
            Self::Draining => State::Draining,
        }
    }
}

/// The regions of the file, to find them by name.
#[derive(Clone, Copy)]
struct Regions<'a>(&'a [CaseRegion]);

impl Regions<'_> {
    fn find(self, name: &At<String>, mistakes: &mut Mistakes<'_>) -> Option<usize> {
        let found = self.0.iter().position(|region| region.name == name.value);
        if found.is_none() {
            let known = || self.0.iter().map(|region| region.name.as_str());
            let meant = did_you_mean(name, known());
            let known: Vec<_> = known().collect();
            mistakes.at(
                name.id,
                format!(
                    "no region of that name is listed; there are {}{meant}",
                    known.join(", ")
                ),
            );
        }
        found
    }

    fn find_all(self, names: &[At<String>], mistakes: &mut Mistakes<'_>) -> Option<Vec<usize>> {
        all(names.iter().map(|name| self.find(name, mistakes)))
    }
}

impl CaseSection {
    fn case(&self, config: &str, regions: Regions<'_>, mistakes: &mut Mistakes<'_>) -> Option<PluginCase> {
        let name = self.name.as_ref()?;
        let mut health: Vec<State> = regions.0.iter().map(|region| region.health).collect();
        for (region, word) in self.health.iter().flat_map(|named| &named.0) {
            health[regions.find(region, mistakes)?] = word.as_ref()?.state();
        }
        let eligible = match &self.eligible {
            Some(names) => regions.find_all(names, mistakes)?,
            None => {
                let may_answer = |place: &usize| !matches!(health[*place], State::Unhealthy | State::Draining);
                (0..regions.0.len()).filter(may_answer).collect()
            }
        };
        let mut estimates = vec![Estimate::default(); regions.0.len()];
        for (region, time) in self.round_trips.iter().flat_map(|named| &named.0) {
            estimates[regions.find(region, mistakes)?].round_trip = Some(time.as_ref()?.0);
        }
        for (region, count) in self.in_flight.iter().flat_map(|named| &named.0) {
            estimates[regions.find(region, mistakes)?].in_flight = count.as_ref()?.0 as u32;
        }
        let request = self.request.as_ref();
        let client = self.client.as_ref();
        Some(PluginCase {
            name: name.value.clone(),
            line: mistakes.first_line(name.id),
            config: self.config.as_ref().map_or_else(|| config.to_owned(), Value::to_string),
            method: match request.and_then(|request| request.method.as_ref()) {
                Some(method) => match Method::from_bytes(method.as_bytes()) {
                    Ok(method) => method,
                    Err(_) => {
                        mistakes.at(method.id, "not a method of HTTP, such as GET");
                        return None;
                    }
                },
                None => Method::GET,
            },
            host: text_of(request.and_then(|request| request.host.as_ref()), "shop.example.net"),
            path: text_of(request.and_then(|request| request.path.as_ref()), "/"),
            query: text_of(request.and_then(|request| request.query.as_ref()), ""),
            headers: match request.and_then(|request| request.headers.as_ref()) {
                Some(headers) => fields(headers, mistakes)?,
                None => HeaderMap::new(),
            },
            ip: client
                .and_then(|client| client.ip)
                .map_or(Ipv4Addr::new(192, 0, 2, 1).into(), |ip| ip.0),
            country: client
                .and_then(|it| it.country.as_ref())
                .map_or(Country::UNKNOWN, |country| country.0),
            point: client.and_then(|client| client.location.as_ref()?.point()),
            asn: client.and_then(|client| client.asn).map_or(0, |asn| asn.0 as u32),
            health,
            eligible,
            estimates,
            time: self.time.map_or(UNIX_EPOCH + NEW_YEAR, |time| time.0),
            roll: self.roll.map_or(0, |roll| roll.0 as u32),
            expected: self.expect.as_ref()?.expected(regions, mistakes)?,
        })
    }
}

fn text_of(text: Option<&String>, default: &str) -> String {
    text.map_or(default, String::as_str).to_owned()
}

fn fields(named: &Named<At<String>>, mistakes: &mut Mistakes<'_>) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in &named.0 {
        let value = value.as_ref()?;
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => drop(map.append(name, value)),
            (Err(_), _) => mistakes.at_key(name.id, "not a name of a header"),
            (_, Err(_)) => mistakes.at(value.id, "not a value of a header: visible ASCII on one line"),
        }
    }
    Some(map)
}

impl ExpectSection {
    fn expected(&self, regions: Regions<'_>, mistakes: &mut Mistakes<'_>) -> Option<Expected> {
        let order = self.order.as_ref().map(|names| regions.find_all(names, mistakes));
        let first = self.first.as_ref().map(|name| regions.find(name, mistakes));
        let counters = self.counters.iter().flat_map(|named| &named.0);
        Some(Expected {
            order: order.map_or(Some(None), |order| order.map(Some))?,
            first: first.map_or(Some(None), |first| first.map(Some))?,
            reason: self.reason.clone(),
            opinion: self.opinion,
            only: self.only,
            reject: self.reject.map(|rejection| rejection.0),
            headers: self
                .headers
                .as_ref()
                .map_or(Some(None), |named| fields(named, mistakes).map(Some))?,
            affinity: self.affinity.map(|word| match word {
                AffinityWord::Configured => AffinityWish::Configured,
                AffinityWord::Off => AffinityWish::Off,
                AffinityWord::On => AffinityWish::On,
            }),
            config_error: self.config_error.clone(),
            counters: all(counters.map(|(name, count)| Some((name.value.clone(), count.as_ref()?.0))))?,
        })
    }
}
