//! The scenario of a simulation: a file of its own, read with the same care as the configuration.

use super::compound::{At, Named};
use super::document::Document;
use super::error::{ConfigErrors, Mistake, Mistakes};
use super::quantities::{H, MS, S, Size, Time};
use super::reader::{MAX_SIZE, is_json, text};
use super::section::section;
use super::values::{Amount, Whole};
use portolan_core::geo::Country;
use portolan_core::id::RegionName;
use std::path::Path;
use std::time::Duration;

section! {
    /// The scenario of a simulation.
    ScenarioFile {
        /// How long it lasts. Default: 10m.
        optional duration: Time<{ S }, { 7 * 24 * H }>,
        /// How often the report has a line. Default: 10s.
        optional step: Time<{ 100 * MS }, { 24 * H }>,
        /// How many clients there are. Default: 100000.
        optional clients: Whole<1, 20_000_000>,
        /// What they send together, without load events. Default: 1000.
        optional requests_per_second: Amount,
        /// How long a request occupies its region, for max_requests. Default: 50ms.
        optional request_time: Time<{ MS }, { H }>,
        /// How large a response is, for prices. Default: 50kB.
        optional response_size: Size<0, 1_000_000_000_000>,
        /// The host that they ask for. Default: localhost.
        optional host: String,
        /// The path that they ask for. Default: /.
        optional path: String,
        /// Country → its weight, in place of its share of the address space. Countries that are not named have no clients.
        optional countries: Named<Amount>,
        /// Region → the requests per second that it has capacity for.
        optional capacity: Named<Amount>,
        /// Region → the price of a GB that it sends to clients of another region; default is for all others.
        optional prices: Named<Amount>,
        /// What happens.
        optional events: Vec<EventSection>,
    }
}

section! {
    /// What happens at a moment: one of lose, drain and load.
    EventSection {
        /// When, from the start.
        required from: Time<0, { 7 * 24 * H }>,
        /// When it is over. Default: at the end.
        optional until: Time<0, { 7 * 24 * H }>,
        /// This region cannot be reached.
        optional lose: At<String>,
        /// This region is drained.
        optional drain: At<String>,
        /// The clients send so many times as much.
        optional load: Amount,
    }
}

/// The scenario of a simulation.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "as in the file, whose keys are documented")]
pub struct Scenario {
    pub duration: Duration,
    pub step: Duration,
    pub clients: usize,
    pub requests_per_second: f64,
    pub request_time: Duration,
    /// Bytes.
    pub response_size: u64,
    pub host: String,
    pub path: String,
    pub countries: Vec<(Country, f64)>,
    pub capacity: Vec<(RegionName, f64)>,
    /// For each GB; no region: for all others.
    pub prices: Vec<(Option<RegionName>, f64)>,
    pub events: Vec<ScenarioEvent>,
}

/// Something that happens from one moment to another.
#[derive(Clone, Debug, PartialEq)]
pub struct ScenarioEvent {
    /// From the start.
    pub from: Duration,
    /// `None`: to the end.
    pub until: Option<Duration>,
    /// What.
    pub what: Happening,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// The region cannot be reached.
    Lost(RegionName),
    /// An operator has drained the region.
    Drained(RegionName),
    /// The clients send so many times as much.
    Load(f64),
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(600),
            step: Duration::from_secs(10),
            clients: 100_000,
            requests_per_second: 1_000.0,
            request_time: Duration::from_millis(50),
            response_size: 50_000,
            host: "localhost".into(),
            path: "/".into(),
            countries: Vec::new(),
            capacity: Vec::new(),
            prices: Vec::new(),
            events: Vec::new(),
        }
    }
}

/// Reads a scenario.
///
/// # Errors
/// All mistakes in the file.
pub fn scenario(content: &[u8], file: &Path) -> Result<Scenario, ConfigErrors> {
    if content.len() as u64 > MAX_SIZE {
        let message = format!("is larger than {} MiB", MAX_SIZE >> 20);
        return Err(ConfigErrors::whole(file, message));
    }
    let text = text(content).map_err(|message| ConfigErrors::whole(file, message))?;
    let document = Document::parse_part(text, is_json(file)).map_err(|error| ConfigErrors {
        file: file.to_owned(),
        mistakes: vec![Mistake::from(error)],
        more: 0,
    })?;
    if document.is_empty() {
        return Ok(Scenario::default());
    }
    let mut mistakes = Mistakes::of(&document);
    let read = <ScenarioFile as super::shape::Shape>::read(document.root(), &mut mistakes);
    let read = read.and_then(|file| file.scenario(&mut mistakes));
    mistakes.into_warnings(file)?;
    read.ok_or_else(|| ConfigErrors::whole(file, "does not hold together"))
}

/// The values of a mapping that could be read.
fn named(of: Option<&Named<Amount>>) -> impl Iterator<Item = (&At<String>, f64)> {
    let entries = of.into_iter().flat_map(|named| &named.0);
    entries.filter_map(|(name, value)| Some((name, f64::from(value.as_ref()?.0))))
}

impl ScenarioFile {
    fn scenario(&self, mistakes: &mut Mistakes<'_>) -> Option<Scenario> {
        let default = Scenario::default();
        let mut countries = Vec::new();
        for (name, weight) in named(self.countries.as_ref()) {
            match Country::parse(name) {
                Some(country) => countries.push((country, weight)),
                None => mistakes.at_key(name.id, "a country has two letters, such as DE"),
            }
        }
        let prices = named(self.prices.as_ref());
        let prices = prices.map(|(name, price)| ((name.value != "default").then(|| region(name)), price));
        let events = self.events.as_deref().unwrap_or_default().iter();
        let events: Vec<_> = events.map(|section| section.event(mistakes)).collect();
        Some(Scenario {
            duration: self.duration.map_or(default.duration, |it| it.0),
            step: self.step.map_or(default.step, |it| it.0),
            clients: self.clients.map_or(default.clients, |it| it.0 as usize),
            requests_per_second: self
                .requests_per_second
                .map_or(default.requests_per_second, |it| f64::from(it.0)),
            request_time: self.request_time.map_or(default.request_time, |it| it.0),
            response_size: self.response_size.map_or(default.response_size, |it| it.0),
            host: self.host.clone().unwrap_or(default.host),
            path: self.path.clone().unwrap_or(default.path),
            countries,
            capacity: named(self.capacity.as_ref())
                .map(|(name, it)| (region(name), it))
                .collect(),
            prices: prices.collect(),
            events: events.into_iter().collect::<Option<_>>()?,
        })
    }
}

fn region(name: &At<String>) -> RegionName {
    RegionName::new(name.as_str())
}

impl EventSection {
    fn event(&self, mistakes: &mut Mistakes<'_>) -> Option<ScenarioEvent> {
        let what = match (&self.lose, &self.drain, self.load) {
            (Some(name), None, None) => Happening::Lost(region(name)),
            (None, Some(name), None) => Happening::Drained(region(name)),
            (None, None, Some(load)) => Happening::Load(f64::from(load.0)),
            _ => {
                mistakes.at(self.at, "an event needs one of lose, drain and load");
                return None;
            }
        };
        let (from, until) = (self.from?.0, self.until.map(|it| it.0));
        if until.is_some_and(|until| until <= from) {
            mistakes.at(self.at, "until must be after from");
        }
        Some(ScenarioEvent { from, until, what })
    }
}
