//! An instance made up for the tests: two services, an unhealthy region, a plugin with a fault, a rejected configuration.

use crate::admin::Peers;
use crate::admin::backend::{
    AdminBackend, Applied, ExplainError, Explained, GeoStatus, LoadStatus, OrderError, Ordered, PluginStatus, Question,
    Readiness, ServiceStatus, StatusSnapshot, TaskStatus,
};
use crate::arrival::ListenerId;
use crate::control::decisions::DecisionLog;
use crate::control::drills::{DrillError, DrillReport, Terms};
use crate::control::events::Events;
use crate::control::history::{History, Observed};
use crate::control::overrides::{self, PinKind};
use crate::control::reload::{Changed, PluginOrder, VersionState};
use crate::control::status::{PollResult, Quarantine, StateWrites};
use crate::control::traffic::Traffic;
use crate::geo::describe::Described;
use crate::learned::LearnedStatus;
use crate::learned::report::{Report, ReportError, Reported};
use crate::plugin::{CounterReading, StartReading, StartReason};
use crate::record::SeenBy;
use crate::telemetry::log_writer::Lines;
use crate::telemetry::metrics::{Retry, ServiceVitals, Stage};
use crate::vitals::{
    GatewayKey, InFlight, OpenListeners, RateBuckets, Reason, Rejections, RequestOutcome, RouteCounts, TrafficSamples,
    Vitals,
};
use bytes::Bytes;
use portolan_core::admission::{Limits, Overload, Priority, Rate};
use portolan_core::candidates;
use portolan_core::chart;
use portolan_core::config::{Config, Gateway, GatewayAddress, Policy, RoutePolicies, Service, ServiceParts};
use portolan_core::decision::{Decision, Effects, RankedBy};
use portolan_core::geo::{Country, Location, Place, PlaceId, Point};
use portolan_core::health::{Evidence, GatewayHealth, HealthView, ServiceHealth, State};
use portolan_core::id::{Generation, PluginName, RegionName, ServiceId};
use portolan_core::identity::{ClientIdentity, IdentitySource};
use portolan_core::learned::{Estimate, Known};
use portolan_core::proximity::RoundTrips;
use portolan_core::rank;
use portolan_core::rate_limit::{ClientNetwork, RateLimit};
use portolan_core::rollout::{self, Start};
use portolan_core::route::{Asked, Conditions, HostPattern, PoliciesId, Route, RouteKey, Routes};
use portolan_core::slots::Slots;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;

/// A chance by which eastus2, at a quarter of its share, is not held back.
const ROLL: u64 = 2;

/// The instance, with what it was asked.
#[derive(Debug)]
pub(super) struct Fake {
    pub(super) readiness: Mutex<Readiness>,
    pub(super) failed: AtomicBool,
    snapshot: StatusSnapshot,
    asked: Mutex<Option<Question>>,
    orders: Mutex<Vec<(String, bool)>>,
    rolled_back: Mutex<bool>,
    deployed: Mutex<Vec<(Bytes, Start)>>,
    pub(super) events: Arc<Events>,
    history: Arc<History>,
    traffic: Arc<Traffic>,
}

impl Fake {
    pub(super) fn asked(&self) -> Question {
        self.asked.lock().expect("not poisoned").clone().expect("a question")
    }

    pub(super) fn deployed(&self) -> Vec<(Bytes, Start)> {
        self.deployed.lock().expect("not poisoned").clone()
    }

    pub(super) fn orders(&self) -> Vec<(String, bool)> {
        self.orders.lock().expect("not poisoned").clone()
    }
}

impl Default for Fake {
    fn default() -> Self {
        let config = Arc::new(config());
        let health = Arc::new(health());
        let places = places();
        let charts = chart::draw_all(&config, &places, &RoundTrips::default());
        let services = config
            .services()
            .iter()
            .zip(charts)
            .map(|(service, chart)| ServiceStatus {
                vitals: Arc::new(ServiceVitals::new(service.name.clone(), 2)),
                gateways: service
                    .gateways()
                    .iter()
                    .map(|gateway| vitals(service, gateway))
                    .collect(),
                names: service.gateways().iter().map(|_| None).collect(),
                chart: Arc::new(chart),
                learned_orders: 1,
            });
        let services: Vec<_> = services.collect();
        count(services.first().expect("a service"));
        let history = Arc::new(History::new(november()));
        history.sample(&observed(&config, &services), november() + Duration::from_secs(10));
        let traffic = Arc::new(traffic(&services[0]));
        let unrouted = Arc::new(ServiceVitals::new("".into(), 2));
        (0..4).for_each(|_| unrouted.finished(1, RequestOutcome::NoRoute));
        let rejections = Arc::new(Rejections::new(2));
        (0..4).for_each(|_| rejections.count(1, Reason::NoRoute));
        let listener = OpenListeners::default().open(&ListenerId::new("public"));
        // The first one goes at once, the second one is beyond the limit.
        (0..2).for_each(|limit| drop(listener.try_open(1 - limit)));
        Self {
            readiness: Mutex::new(Readiness::Ready),
            failed: AtomicBool::new(false),
            snapshot: StatusSnapshot {
                rejections,
                in_flight: in_flight(3),
                route_counts: [route_counts()].into(),
                overload: Some(Overload::new(1000)),
                listeners: vec![listener],
                admin_tls: None,
                tls: Arc::default(),
                started: SystemTime::now(),
                generation: Generation(7),
                building: Duration::from_micros(250),
                config,
                health,
                services,
                unrouted,
                geo: GeoStatus {
                    database: "DB-IP City Lite".into(),
                    built: Some(november()),
                    networks: 2_072_014,
                    ipv4_networks: 1_742_274,
                    ipv6_networks: 329_740,
                    places: 4_242,
                    filled: Some("IPv6"),
                    stale: true,
                    attribution: Some("IP Geolocation by DB-IP".into()),
                },
                plugins: vec![PluginStatus {
                    name: "canary".into(),
                    digest: "sha256:77c0".into(),
                    source: "./canary.wasm".into(),
                    earlier: Some("sha256:0123".into()),
                    pinned: Some((PinKind::Rollback, "sha256:9999".into(), ordered())),
                    off: None,
                    rollout: None,
                    suspended: BTreeMap::new(),
                    since: november(),
                    quarantine: Some(Quarantine {
                        since: SystemTime::now(),
                        until: SystemTime::now() + Duration::from_secs(4),
                        reason: "trap: unreachable".into(),
                    }),
                }],
                rolled_back: [(("canary".into(), "faults"), 1)].into(),
                keeps_overrides: true,
                drains: [("eastus2".into(), ordered())].into(),
                pending_restart: vec!["workers"],
                loads: vec![
                    LoadStatus {
                        what: "config",
                        accepted: 2,
                        rejected: 1,
                        last_accepted: Some(november()),
                        standing_error: Some("portolan.yaml: line 3: unknown key polcy".into()),
                        restored: Some(november()),
                    },
                    LoadStatus {
                        what: "geo",
                        accepted: 1,
                        rejected: 0,
                        last_accepted: None,
                        standing_error: None,
                        restored: None,
                    },
                ],
                state_writes: Some(StateWrites { kept: 3, failed: 1 }),
                polls: PollResult::ALL.map(|result| (result, 2)),
                access_log: Some(Lines {
                    written: 10,
                    dropped: 5,
                    failed: 0,
                }),
                event_log: Some(Lines {
                    written: 20,
                    dropped: 2,
                    failed: 0,
                }),
                spans: Arc::default(),
                plugin_starts: vec![StartReading {
                    plugin: "canary".into(),
                    reason: StartReason::Answers,
                    count: 3,
                }],
                plugin_counters: vec![CounterReading {
                    plugin: "canary".into(),
                    counter: "pinned".into(),
                    value: 12,
                }],
                tasks: vec![task(false)],
                front_door: None,
                learned: Some(LearnedStatus {
                    prefixes: 3,
                    max_prefixes: 64,
                    bytes: 9216,
                    evictions: 2,
                    samples: [5, 7],
                    others: vec![("asia".into(), 11)],
                }),
            },
            asked: Mutex::default(),
            orders: Mutex::default(),
            rolled_back: Mutex::default(),
            deployed: Mutex::default(),
            events: Arc::default(),
            history,
            traffic,
        }
    }
}

/// So many requests, of the second worker.
/// Two requests in flight, and one over a rate limit of one.
fn route_counts() -> RouteCounts {
    let limit = RateLimit::new(1, Duration::from_secs(60), 1).expect("a limit");
    let rate = RateBuckets::new(Rate { limit, networks: 1024 }, 1);
    let client = ClientNetwork::of(IpAddr::from([192, 0, 2, 1]));
    let limited = [(); 2].map(|()| rate.take(client, Instant::now()).is_err());
    assert_eq!(limited, [false, true]);
    RouteCounts {
        in_flight: Some(in_flight(2)),
        rate: Some(Arc::new(rate)),
    }
}

fn in_flight(count: usize) -> Arc<InFlight> {
    let in_flight = InFlight::new(2);
    (0..count).for_each(|_| in_flight.enter(1));
    Arc::new(in_flight)
}

fn task(failed: bool) -> TaskStatus {
    TaskStatus {
        name: "reloader".into(),
        restarts: 3,
        failed,
    }
}

impl AdminBackend for Fake {
    fn snapshot(&self) -> StatusSnapshot {
        self.snapshot.clone()
    }

    fn places(&self) -> Vec<Place> {
        places()
    }

    fn configuration(&self) -> serde_json::Value {
        json!({ "services": { "storefront": {} } })
    }

    fn readiness(&self) -> Readiness {
        *self.readiness.lock().expect("not poisoned")
    }

    fn tasks(&self) -> Vec<TaskStatus> {
        vec![task(self.failed.load(Relaxed))]
    }

    fn explain(&self, question: &Question) -> Result<Explained, ExplainError> {
        *self.asked.lock().expect("not poisoned") = Some(question.clone());
        let StatusSnapshot {
            config,
            health,
            services,
            ..
        } = &self.snapshot;
        let asked = Asked {
            method: &question.method,
            headers: &question.headers,
            query: "",
            certificate: question.certificate.as_ref(),
            trust: None,
        };
        let Some(id) = config.routes().find(&question.host, &question.path, &asked) else {
            return Err(ExplainError::NoRoute {
                host: question.host.clone(),
                path: question.path.clone(),
            });
        };
        let own = id.policies().and_then(|own| config.policies(own));
        let id = id.service();
        let service = config.service(id).expect("a service");
        let health = health.service(id).expect("its health");
        let location = Location {
            id: PlaceId(1),
            place: places()[1],
        };
        let candidates = candidates::gather(service, health, location.place.country, Slots::EMPTY);
        let row = services[id.index()].chart.row(location.id);
        let decision = Decision {
            session: None,
            generation: self.snapshot.generation,
            client: ClientIdentity {
                addr: question.ip,
                source: IdentitySource::Peer,
            },
            location,
            service: id,
            candidates,
            ranking: rank::native(service, row, &candidates, health, ROLL),
            by: RankedBy::Fallback("trap"),
            roll: ROLL,
        };
        let explanation = decision.explain(config, service, health, (&RoundTrips::default(), &|_| None), None);
        Ok(Explained {
            decision,
            explanation,
            place: Described {
                precision: "cell",
                place: "near 51.5, -0.1".into(),
            },
            denied: None,
            rewritten: None,
            applied: Applied::of(service, own),
            steered: None,
            seen_by: SeenBy::default(),
            learned: vec![Known {
                region: "westeurope".into(),
                estimate: Estimate::of(42.0),
            }],
        })
    }

    fn report(&self, report: &Report) -> Result<Reported, ReportError> {
        let samples = report.samples(|region| region.as_str() == "westeurope")?;
        Ok(Reported {
            accepted: samples.len() as u64,
        })
    }

    fn drain(&self, region: RegionName, drained: bool, _: String) -> Ordered<'_, ()> {
        self.orders
            .lock()
            .expect("not poisoned")
            .push((region.to_string(), drained));
        Box::pin(std::future::ready(Ok(())))
    }

    fn fail_back(&self, region: RegionName, _: String) -> Ordered<'_, ()> {
        Box::pin(std::future::ready(match region.as_str() {
            "westeurope" => Ok(()),
            _ => Err(OrderError::Impossible(format!(
                "{region} does not wait for its failback"
            ))),
        }))
    }

    fn begin_drill(&self, terms: Terms, _: &str) -> Result<DrillReport, DrillError> {
        Err(DrillError::Running(terms.region))
    }

    fn drill(&self, _: bool) -> Option<DrillReport> {
        None
    }

    fn stop_drill(&self) -> bool {
        false
    }

    fn reload(&self, force: bool) -> Ordered<'_, ()> {
        let result = match force {
            true => Ok(()),
            false => Err(OrderError::Rejected("it would move 23 % of the clients".to_owned())),
        };
        Box::pin(std::future::ready(result))
    }

    fn order_plugin(&self, plugin: PluginName, order: PluginOrder, _: overrides::Ordered) -> Ordered<'_, Changed> {
        let done = match order {
            PluginOrder::RollBack => {
                match std::mem::replace(&mut *self.rolled_back.lock().expect("not poisoned"), true) {
                    true => Err("plugin canary has had no other version since the start".to_owned()),
                    false => Ok(VersionState::Active),
                }
            }
            PluginOrder::Deploy(component, start) => {
                self.deployed.lock().expect("not poisoned").push((component, start));
                Ok(VersionState::Trial(rollout::Stage::Shadow))
            }
            PluginOrder::RollForward | PluginOrder::Promote { .. } | PluginOrder::Off | PluginOrder::On => {
                Err(format!("plugin {plugin} is not rolled back"))
            }
        };
        let done = done.map_err(OrderError::Impossible);
        Box::pin(std::future::ready(done.map(|state| Changed {
            digest: "sha256:0123".into(),
            state,
        })))
    }

    fn events(&self) -> Arc<Events> {
        Arc::clone(&self.events)
    }

    fn history(&self) -> Arc<History> {
        Arc::clone(&self.history)
    }

    fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    fn name(&self) -> String {
        "edge-1".to_owned()
    }

    fn peers(&self) -> Arc<Peers> {
        Arc::default()
    }

    fn decisions(&self) -> Arc<DecisionLog> {
        Arc::default()
    }
}

fn observed<'a>(config: &'a Config, services: &'a [ServiceStatus]) -> Vec<Observed<'a>> {
    let services = config.services().iter().zip(services);
    let services = services.map(|(service, shown)| Observed {
        service: &service.name,
        vitals: &shown.vitals,
        gateways: service
            .gateways()
            .iter()
            .zip(&shown.gateways)
            .map(|(gateway, vitals)| (&gateway.region, &**vitals, State::Healthy))
            .collect(),
    });
    services.collect()
}

/// Three requests from London: two that the plugin sent to Singapore, one that the built-in policy sent to the United States. One from
/// nowhere.
fn traffic(shown: &ServiceStatus) -> Traffic {
    let (traffic, samples, start) = (Traffic::default(), Arc::new(TrafficSamples::new(1)), Instant::now());
    let (sampler, london) = (samples.sampler(0, start), places()[1].point);
    let by_plugin = RankedBy::Plugin {
        reason: 2,
        repaired: false,
        opinion: true,
        effects: Effects::default(),
    };
    for (number, (slot, place, by)) in [
        (2, london, by_plugin),
        (2, london, by_plugin),
        (1, london, RankedBy::Fallback("trap")),
        (1, None, RankedBy::Fallback("trap")),
    ]
    .into_iter()
    .enumerate()
    {
        let begun = start + Duration::from_secs(number as u64);
        sampler.answered(begun, &shown.gateways[slot], place, by);
    }
    traffic.add(&samples.take(), |_, _| Some(("canary".into(), "pinned".into())), start);
    traffic
}

fn config() -> Config {
    let regions = [
        ("westeurope", 52.4, 4.9),
        ("eastus2", 36.7, -78.4),
        ("southeastasia", 1.3, 103.8),
    ];
    let gateways = regions.map(|(region, latitude, longitude)| Gateway {
        max_requests: (region == "southeastasia").then_some(1),
        ..Gateway::new(
            region.into(),
            Point::new(latitude, longitude).expect("a point"),
            GatewayAddress::http(Ipv4Addr::LOCALHOST, 9001),
        )
    });
    let service = |name: &str, policy| {
        Service::new(ServiceParts {
            policy,
            ..ServiceParts::new(name, gateways.to_vec())
        })
        .expect("a service")
    };
    let services = vec![
        service("storefront", Policy::Plugin("canary".into())),
        service("images", Policy::Distance),
    ];
    let host = HostPattern::parse("shop.example.net").expect("a pattern");
    let own = RoutePolicies {
        route: RouteKey {
            host: host.clone(),
            path: "/".into(),
            conditions: Conditions::default(),
        },
        retry: services[0].retry.clone(),
        timeouts: services[0].timeouts.clone(),
        limits: Limits {
            request_body: Some(1 << 20),
            concurrent_requests: Some(200),
            rate: RateLimit::new(50, Duration::from_secs(1), 100).map(|limit| Rate { limit, networks: 1024 }),
        },
        priority: Priority::High,
    };
    let mut route = Route::new(host, "/", ServiceId(0));
    route.rules.policies = Some(PoliciesId(0));
    let config = Config::new(services, Routes::new([route]), None).expect("a configuration");
    config.with_policies(vec![own])
}

fn health() -> HealthView {
    let gateway = |state, share| GatewayHealth {
        state,
        share,
        ..GatewayHealth::default()
    };
    HealthView::new(vec![
        ServiceHealth::new(vec![
            gateway(State::Unhealthy, 1000),
            GatewayHealth {
                ..gateway(State::Warming, 250)
            },
            gateway(State::Healthy, 1000),
        ]),
        ServiceHealth::unknown(3),
    ])
}

/// Nowhere, London, Singapore.
fn places() -> Vec<Place> {
    let place = |country, latitude, longitude| Place {
        point: Some(Point::new(latitude, longitude).expect("a point")),
        country: Country::parse(country).expect("a country"),
        ..Place::default()
    };
    vec![Place::default(), place("GB", 51.5, -0.1), place("SG", 1.3, 103.8)]
}

fn vitals(service: &Service, gateway: &Gateway) -> Arc<Vitals> {
    Arc::new(Vitals::new(
        GatewayKey::of(&service.name, gateway),
        2,
        Arc::new(Notify::new()),
    ))
}

/// Three requests: one that westeurope did not take, all answered by eastus2; two that no region was allowed to answer.
fn count(shown: &ServiceStatus) {
    let [west, east, south] = shown.gateways.as_slice() else {
        panic!("three regions")
    };
    west.observe(0, Evidence::ConnectFailed);
    east.checks.probed(Ok(Duration::from_micros(81_500)));
    shown.vitals.retried(0, Retry::Attempted);
    for worker in [0, 1, 1] {
        east.observe(worker, Evidence::Success);
        east.answered(worker, Duration::from_millis(80));
        east.finished(worker, RequestOutcome::Success);
        shown.vitals.took(worker, Stage::Decide, Duration::from_nanos(800));
        shown.vitals.took(worker, Stage::Total, Duration::from_millis(82));
    }
    (0..2).for_each(|_| shown.vitals.finished(0, RequestOutcome::Residency));
    for micros in [10, 20] {
        shown.vitals.took(1, Stage::Plugin, Duration::from_micros(micros));
    }
    for by in [
        RankedBy::Fallback("trap"),
        RankedBy::Plugin {
            reason: 0,
            repaired: true,
            opinion: true,
            effects: Effects::default(),
        },
        RankedBy::Plugin {
            reason: 3,
            repaired: false,
            opinion: true,
            effects: Effects::default(),
        },
    ] {
        shown.vitals.decided(1, by);
    }
    south.enter(0);
}

fn ordered() -> overrides::Ordered {
    overrides::Ordered {
        since: november(),
        from: "127.0.0.1".into(),
        reason: String::new(),
    }
}

fn november() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_491_200)
}
