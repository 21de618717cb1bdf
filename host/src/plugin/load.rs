//! From a file to a plugin that may be published: checked, compiled, configured, tried.

use super::answer::PluginAnswer;
use super::contract::Minor;
use super::error::{PluginFault, Problem};
use super::fields::VisibleFields;
use super::host_state::PluginState;
use super::inspect::inspect;
use super::instance::{Blueprint, Failure, PluginInstance, Started};
use super::records::Inputs;
use super::regions::RegionTable;
use super::request::{Estimate, RouteRequest};
use super::settings::PluginSettings;
use super::setup::{Field, Setup};
use super::shared::Shared;
use super::version::PluginVersion;
use crate::hex;
use http::{HeaderMap, HeaderValue, Method, Version};
use portolan_core::geo::{Country, Point};
use portolan_core::id::{PluginName, Slot};
use portolan_core::rank::Ranking;
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

/// How many requests a plugin is tried on, for every service that uses it.
const TRIALS: usize = 16;

/// See [`PluginEngine::load`](super::PluginEngine::load).
pub(super) fn load(
    shared: &Shared,
    name: &PluginName,
    bytes: &[u8],
    settings: &PluginSettings,
    tables: &[RegionTable],
) -> Result<PluginVersion, Problem> {
    settings.check()?;
    inspect(bytes, settings)?;
    let (hash, component) = shared.compiled.component(&shared.engine, bytes, settings.compile())?;
    let reads_headers = imports_header(shared, &component);
    let blueprint = Blueprint::new(&shared.linker, &component, settings, reads_headers)?;

    let ticking = shared.ticker.begin();
    let sample = [RegionTable::sample()];
    let tables = if tables.is_empty() { &sample } else { tables };
    let plugin = Rc::new(RefCell::new(PluginState::new(name.clone(), None, Instant::now())));
    let mut setup = None;
    for table in tables {
        setup = Some(trial(&blueprint, &plugin, table)?);
    }
    let setup = setup.unwrap_or_default();

    let meter = shared.meters.of(name);
    let places = meter.places(&setup.counters);
    if places.contains(&None) {
        tracing::warn!(
            plugin = name.as_str(),
            "the plugin has named too many counters; the last ones are not counted"
        );
    }
    Ok(PluginVersion {
        name: name.clone(),
        digest: hex::digits(&hash),
        settings: settings.clone(),
        setup,
        blueprint,
        meter,
        places,
        _ticking: ticking,
    })
}

/// Whether the plugin may ask for undeclared headers.
fn imports_header(shared: &Shared, component: &Component) -> bool {
    let (engine, ty) = (&shared.engine, component.component_type());
    // The name that was built against may be of another patch version.
    let [host, ..] = Minor::ALL.map(|minor| minor.host().split('@').next().unwrap_or_default());
    ty.imports(engine).any(|(name, import)| match import.ty {
        ComponentItem::ComponentInstance(instance) if name.starts_with(host) => {
            instance.exports(engine).any(|(function, _)| function == "header")
        }
        _ => false,
    })
}

/// With which statuses a plugin may reject a sample request: which its routes allow is known when a request comes.
const STATUSES: &[u16] = &{
    let mut statuses = [400; 200];
    let mut place = 0;
    while place < statuses.len() {
        statuses[place] += place as u16;
        place += 1;
    }
    statuses
};

/// The same failure with the key that allows more, where time was what it lacked.
fn too_slow(failure: Failure, allowed: Duration, key: &str) -> Failure {
    match failure.fault {
        PluginFault::Deadline => Failure {
            detail: format!(
                "it took more than {allowed:?} of CPU time, which {key} may raise; {}",
                failure.detail
            ),
            ..failure
        },
        _ => failure,
    }
}

/// Starts an instance and tries it on the regions of a service and some requests. Returns its setup.
fn trial(blueprint: &Blueprint, plugin: &Rc<RefCell<PluginState>>, table: &RegionTable) -> Result<Setup, Problem> {
    let failed = |on: &str, failure: Failure| match failure {
        // What can be linked and not be started has functions of other types.
        Failure {
            fault: PluginFault::Start,
            detail,
        } => Problem::Contract(detail),
        Failure {
            fault: PluginFault::Capacity,
            detail,
        } => Problem::Host(detail),
        Failure { fault, detail } => Problem::Trial {
            on: on.to_owned(),
            fault,
            detail,
        },
    };
    let start = |failure| {
        failed(
            "its configuration",
            too_slow(failure, blueprint.start_time, "limits.start_time"),
        )
    };
    let slow = |failure| too_slow(failure, blueprint.deadline, "deadline");
    let (mut instance, setup) = match PluginInstance::start(blueprint, plugin).map_err(start)? {
        Started::Rejected(refusal) => return Err(Problem::Rejected(refusal)),
        Started::Running(instance, setup) => (instance, Setup::check(setup)?),
    };
    instance.begin();
    instance
        .update(table)
        .map_err(|failure| failed("the regions of a service", slow(failure)))?;
    let mut inputs = Inputs::default();
    for number in 0..TRIALS {
        let sample = Sample::new(number, table, &setup);
        plugin.borrow_mut().lend(VisibleFields::all(&sample.headers));
        instance.begin();
        let request = sample.request();
        inputs.prepare(&request, &setup);
        let decision = instance
            .route(&request, &setup, &mut inputs)
            .map_err(|failure| failed(&sample.to_string(), slow(failure)))?;
        let nonsense = |detail: String| {
            failed(
                &sample.to_string(),
                Failure {
                    fault: PluginFault::Nonsense,
                    detail,
                },
            )
        };
        if usize::from(decision.reason) > setup.reasons.len() {
            return Err(nonsense(format!(
                "it gave reason {}, which it has not named",
                decision.reason
            )));
        }
        if let Err(invalid) = PluginAnswer::sound(decision, &sample.native, table.len(), &setup, STATUSES) {
            return Err(failed(
                &sample.to_string(),
                Failure {
                    fault: invalid.fault,
                    detail: invalid.why,
                },
            ));
        }
    }
    Ok(setup)
}

/// A request to try a plugin on.
struct Sample {
    method: Method,
    host: &'static str,
    path: &'static str,
    headers: HeaderMap,
    client: IpAddr,
    country: Country,
    point: Option<Point>,
    native: Ranking,
    number: usize,
}

impl Sample {
    /// The `number`-th of a variety: methods, hosts, clients near every region and from nowhere, headers present and not,
    /// one region and all of them.
    fn new(number: usize, table: &RegionTable, setup: &Setup) -> Self {
        let mut headers = HeaderMap::new();
        let headers_of = setup.fields.iter().filter_map(|field| match field {
            Field::Header(name) => Some(name),
            Field::Pseudo(_) => None,
        });
        for (place, name) in headers_of
            .enumerate()
            .filter(|(place, _)| (number + place).is_multiple_of(2))
        {
            headers.insert(
                name,
                HeaderValue::from_static(["1", "always", "a=b; c=d", ""][(number + place) % 4]),
            );
        }
        let regions = table.len();
        let nearby = number % (regions + 1);
        let offered = if number.is_multiple_of(5) {
            regions.min(1)
        } else {
            regions
        };
        let slots = (0..offered).map(|place| Slot(((place + number) % regions) as u8));
        Self {
            method: [Method::GET, Method::POST, Method::HEAD][number % 3].clone(),
            host: ["shop.example.net", "localhost", ""][number % 3],
            path: ["/", "/a/long/path/to/something", "/%C3%A4"][number % 3],
            headers,
            client: if number.is_multiple_of(2) {
                Ipv4Addr::from([81, 2, 69, number as u8]).into()
            } else {
                Ipv6Addr::from([0x2001, 0xdb8, number as u16, 0, 0, 0, 0, 1]).into()
            },
            country: Country::parse(["GB", "US", "SG", ""][number % 4]).unwrap_or_default(),
            point: table.point(nearby),
            native: slots.collect(),
            number,
        }
    }

    fn request(&self) -> RouteRequest<'_> {
        RouteRequest {
            method: &self.method,
            version: Version::HTTP_11,
            host: self.host,
            path: self.path,
            query: "",
            arrival: None,
            fields: VisibleFields::all(&self.headers),
            client: self.client,
            country: self.country,
            point: self.point,
            asn: self.number as u32,
            roll: (self.number as u32).wrapping_mul(0x9e37_79b9),
            native: &self.native,
            estimate: &|slot| Estimate {
                round_trip: Some(Duration::from_millis(10 + u64::from(slot.0))),
                in_flight: slot.0.into(),
            },
            statuses: STATUSES,
            now: Instant::now(),
            // The first minute of 1970 and a time of day, so that a trial is the same at every time.
            time: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(3_600 * self.number as u64)),
        }
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "sample request {} ({} {}{})",
            self.number + 1,
            self.method,
            self.host,
            self.path
        )
    }
}
