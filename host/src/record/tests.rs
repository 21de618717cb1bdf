//! Records over a made-up table: what is counted, and what the line says.

use super::*;
use crate::telemetry::access_log::{AccessLog, Rules};
use crate::telemetry::log_writer::Destination;
use crate::telemetry::metrics::Stage;
use crate::telemetry::spans::Spans;
use crate::vitals::{GatewayKey, InFlight, TrafficSamples};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use portolan_core::candidates;
use portolan_core::config::{Gateway, GatewayAddress, ServiceParts};
use portolan_core::decision::{Effects, RankedBy};
use portolan_core::geo::{Location, Place, PlaceId, Point};
use portolan_core::health::ServiceHealth;
use portolan_core::identity::IdentitySource;
use portolan_core::rank::Ranking;
use portolan_core::route::Routes;
use portolan_core::slots::Slots;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::mpsc::Receiver;
use std::task::{Context, Poll};
use tokio::sync::Notify;

/// Who connected.
const PEER: ClientIdentity = ClientIdentity {
    addr: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    source: IdentitySource::Peer,
};

/// One service with two regions, recorded by one worker into a file.
struct Scene {
    table: Rc<Table>,
    unrouted: Arc<ServiceVitals>,
    rejections: Arc<Rejections>,
    samples: Arc<TrafficSamples>,
    recorder: Rc<Recorder>,
    log: AccessLog,
    decisions: Receiver<DecisionRecord>,
    folder: tempfile::TempDir,
}

struct Table {
    service: Service,
    vitals: ServiceVitals,
    gateways: Vec<Arc<Vitals>>,
    in_flight: InFlight,
}

impl TableView for Rc<Table> {
    fn service(&self, id: ServiceId) -> Option<(&Service, &ServiceVitals)> {
        (id == ServiceId(0)).then_some((&self.service, &self.vitals))
    }

    fn gateway(&self, _: ServiceId, slot: Slot) -> Option<&Vitals> {
        self.gateways.get(slot.index()).map(|vitals| &**vitals)
    }

    fn plugin_reason(&self, _: ServiceId, _: IpAddr, reason: u16) -> Option<&str> {
        (reason == 3).then_some("sticky")
    }

    fn plugin_version(&self, _: ServiceId, _: IpAddr) -> Option<&VersionVitals> {
        None
    }

    fn decided_under(&self) -> (Arc<Config>, Arc<HealthView>) {
        let config = Config::new(vec![self.service.clone()], Routes::default(), None);
        (Arc::new(config.expect("a configuration")), Arc::default())
    }

    fn seen_by(&self, _: ServiceId, _: IpAddr) -> SeenBy {
        SeenBy::default()
    }

    fn enter(&self, worker: usize, route: Option<PoliciesId>) {
        assert_eq!(route, Some(PoliciesId(0)));
        self.in_flight.enter(worker);
    }

    fn leave(&self, worker: usize, route: Option<PoliciesId>) {
        assert_eq!(route, Some(PoliciesId(0)));
        self.in_flight.leave(worker);
    }
}

impl Scene {
    fn new() -> Self {
        let gateways = ["westeurope", "eastus2"].map(|region| {
            Gateway::new(
                region.into(),
                Point::new(0.0, 0.0).expect("a point"),
                GatewayAddress::http(Ipv4Addr::LOCALHOST, 80),
            )
        });
        let service = Service::new(ServiceParts::new("shop", gateways.to_vec())).expect("a service");
        let vitals = service.gateways().iter().map(|gateway| {
            Arc::new(Vitals::new(
                GatewayKey::of(&service.name, gateway),
                1,
                Arc::new(Notify::new()),
            ))
        });
        let folder = tempfile::tempdir().expect("a folder");
        let log = AccessLog::start(Destination::File(folder.path().join("log")), Rules::default(), 1).expect("started");
        let unrouted = Arc::new(ServiceVitals::new("".into(), 1));
        let rejections = Arc::new(Rejections::new(1));
        let samples = Arc::new(TrafficSamples::new(1));
        let (sink, decisions) = decision_log();
        Self {
            recorder: Rc::new(Recorder::new(
                0,
                Arc::clone(&unrouted),
                Arc::clone(&rejections),
                (
                    Arc::clone(&samples).sampler(0, Instant::now()),
                    DecisionSink::new(sink, 1, Instant::now()),
                ),
                log.sink(0),
                Spans::new(1).0.sink(0),
            )),
            table: Rc::new(Table {
                vitals: ServiceVitals::new("shop".into(), 1),
                gateways: vitals.collect(),
                in_flight: InFlight::new(1),
                service,
            }),
            unrouted,
            rejections,
            samples,
            log,
            decisions,
            folder,
        }
    }

    fn begin(&self, method: Method) -> RequestRecord<Rc<Table>> {
        let request = Request::builder()
            .method(method)
            .uri("/cart?card=4111")
            .header("host", "shop.example.net");
        let (request, ()) = request.body(()).expect("a request").into_parts();
        RequestRecord::begin(&self.recorder, &request, PEER, Instant::now())
    }

    fn rejected(&self) -> Vec<(&'static str, u64)> {
        let pairs = Reason::ALL
            .into_iter()
            .map(Reason::as_str)
            .zip(self.rejections.totals());
        pairs.filter(|(_, count)| *count > 0).collect()
    }

    fn decided(&self, method: Method, by: RankedBy) -> RequestRecord<Rc<Table>> {
        let mut record = self.begin(method);
        let health = ServiceHealth::unknown(2);
        let decision = Decision {
            session: None,
            generation: Generation(7),
            client: ClientIdentity {
                addr: IpAddr::V4(Ipv4Addr::new(81, 2, 69, 142)),
                source: IdentitySource::XForwardedFor,
            },
            location: Location {
                id: PlaceId(1),
                place: Place {
                    point: Point::new(51.5, -0.25).ok(),
                    country: Country::parse("GB").expect("a country"),
                    ..Place::default()
                },
            },
            service: ServiceId(0),
            candidates: candidates::gather(&self.table.service, &health, Country::UNKNOWN, Slots::EMPTY),
            ranking: Ranking::default(),
            by,
            roll: 0,
        };
        let located = record.begun() + Duration::from_nanos(200);
        let decided = located + Duration::from_nanos(800);
        record.routed(Rc::clone(&self.table), ServiceId(0));
        record.admitted(Some(PoliciesId(0)));
        record.decided(&decision, (located, decided), None);
        record
    }

    /// The lines of the log, which ends by this.
    fn lines(self) -> Vec<Value> {
        let Self {
            log, folder, recorder, ..
        } = self;
        drop((log, recorder));
        let text = std::fs::read_to_string(folder.path().join("log")).expect("a log");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    fn endings_of(&self, slot: usize) -> Vec<(&'static str, u64)> {
        told(self.table.gateways[slot].outcomes())
    }
}

fn told(outcomes: [u64; RequestOutcome::ALL.len()]) -> Vec<(&'static str, u64)> {
    let pairs = RequestOutcome::ALL
        .into_iter()
        .map(RequestOutcome::as_str)
        .zip(outcomes);
    pairs.filter(|(_, count)| *count > 0).collect()
}

fn response(status: u16, body: &'static str) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .body(Full::new(body.into()))
        .expect("a response")
}

#[tokio::test]
async fn a_request_that_failed_over_is_told_whole() {
    let scene = Scene::new();
    let mut record = scene.decided(
        Method::GET,
        RankedBy::Plugin {
            reason: 3,
            repaired: false,
            opinion: true,
            effects: Effects::default(),
        },
    );
    record.traced(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    record.has_id(RequestId::made([0x0123_4567_89ab_cdef, 0]));
    record.attempted(Slot(0), Evidence::ConnectFailed);
    record.attempted(Slot(1), Evidence::Success);
    record.answered(Slot(1), record.begun() + Duration::from_millis(12));
    record.data.received = 5;
    let body = record
        .deliver(response(200, "hello"))
        .into_body()
        .collect()
        .await
        .expect("a body");
    assert_eq!(body.to_bytes(), "hello");

    assert_eq!(scene.endings_of(1), [("2xx", 1)]);
    assert!(scene.endings_of(0).is_empty());
    let totals = scene.table.vitals.totals();
    assert_eq!(
        (totals.ranked, totals.retries),
        ([0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0])
    );
    assert_eq!((totals.received, totals.sent), (5, 5));
    let durations = Stage::ALL.map(|stage| totals.stages[stage as usize].count());
    assert_eq!(durations, [1, 1, 0, 1, 1, 1]);
    let samples = scene.samples.take();
    let [sample] = samples.as_slice() else {
        panic!("{samples:?}")
    };
    assert_eq!(
        (sample.place.degrees(), sample.gateway, sample.requests),
        (Some((51.5, -0.25)), scene.table.gateways[1].number, 1)
    );
    assert_eq!((sample.by_plugin, sample.reason), (true, 3));

    let lines = scene.lines();
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    for (key, value) in [
        ("trace", json!("0af7651916cd43dd8448eb211c80319c")),
        ("request_id", json!("0123456789abcdef0000000000000000")),
        ("client", json!("81.2.69.142")),
        ("client_from", json!("x-forwarded-for")),
        ("country", json!("GB")),
        ("method", json!("GET")),
        ("host", json!("shop.example.net")),
        ("path", json!("/cart")),
        ("status", json!(200)),
        ("outcome", json!("2xx")),
        ("service", json!("shop")),
        ("region", json!("eastus2")),
        (
            "attempts",
            json!([
                { "region": "westeurope", "outcome": "connect_failed" },
                { "region": "eastus2", "outcome": "success" },
            ]),
        ),
        ("by", json!("plugin")),
        ("reason", json!("plugin; because=sticky")),
        ("plugin_reason", json!("sticky")),
        ("generation", json!(7)),
        ("identify_ms", json!(0.0002)),
        ("decide_ms", json!(0.0008)),
        ("first_byte_ms", json!(12.0)),
        ("received_bytes", json!(5)),
        ("sent_bytes", json!(5)),
    ] {
        assert_eq!(line[key], value, "{key} of {line}");
    }
    assert!(line["total_ms"].as_f64() >= Some(0.0) && line["time"].as_str().is_some_and(|time| time.ends_with('Z')));
    assert!(!line.to_string().contains("4111"), "no query");
}

#[tokio::test]
async fn a_body_that_nobody_takes_to_its_end_is_a_client_that_left() {
    let scene = Scene::new();
    let mut record = scene.decided(Method::GET, RankedBy::Policy);
    record.answered(Slot(0), Instant::now());
    drop(record.deliver(response(200, "hello")));
    assert_eq!(scene.endings_of(0), [("client_gone", 1)]);
    assert_eq!(scene.table.vitals.totals().stages[Stage::Total as usize].count(), 0);

    // Before any region answered, it belongs to no gateway.
    drop(scene.decided(Method::GET, RankedBy::Policy));
    assert_eq!(told(scene.table.vitals.totals().outcomes), [("client_gone", 1)]);
    assert_eq!(scene.lines()[1]["outcome"], "client_gone");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_cut_short() {
    let scene = Scene::new();
    let mut record = scene.decided(Method::GET, RankedBy::Policy);
    record.answered(Slot(0), Instant::now());
    let frames: [Result<_, std::io::Error>; 2] = [
        Ok(Frame::data(Bytes::from_static(b"half"))),
        Err(std::io::ErrorKind::ConnectionReset.into()),
    ];
    let mut body = record.deliver(Response::new(Frames(frames.into_iter()))).into_body();
    assert!(body.frame().await.expect("a frame").is_ok());
    assert!(body.frame().await.expect("a frame").is_err());
    drop(body);
    assert_eq!(scene.endings_of(0), [("cut_short", 1)]);
    assert_eq!(scene.lines()[0]["sent_bytes"], 4);
}

#[tokio::test]
async fn responses_without_a_body_are_whole() {
    let scene = Scene::new();
    let answer = |method, response: Response<Full<Bytes>>| {
        let mut record = scene.decided(method, RankedBy::Policy);
        record.answered(Slot(0), Instant::now());
        drop(record.deliver(response));
    };
    answer(Method::HEAD, response(200, "never sent"));
    answer(Method::GET, response(204, ""));
    answer(Method::GET, response(304, "never sent"));
    answer(Method::GET, response(500, ""));
    assert_eq!(scene.endings_of(0), [("2xx", 2), ("3xx", 1), ("5xx", 1)]);
}

#[tokio::test]
async fn what_no_region_answered_counts_for_the_service() {
    let scene = Scene::new();
    let mut record = scene.decided(Method::POST, RankedBy::Fallback("deadline"));
    record.attempted(Slot(0), Evidence::TimedOut);
    record.data.withheld = Some(GaveUp::NotRepeatable);
    record.ended(GaveUp::NotRepeatable.into());
    record
        .deliver(response(502, "sorry"))
        .into_body()
        .collect()
        .await
        .expect("a body");
    let totals = scene.table.vitals.totals();
    assert_eq!(told(totals.outcomes), [("not_repeatable", 1)]);
    assert_eq!(
        (totals.retries, totals.faults),
        ([0, 1, 0, 0, 0, 0, 0], vec![("deadline", 1)])
    );
    let lines = scene.lines();
    assert_eq!(
        (&lines[0]["no_retry"], &lines[0]["plugin_fault"]),
        (&json!("not_repeatable"), &json!("deadline"))
    );
    assert_eq!((&lines[0]["status"], &lines[0]["region"]), (&json!(502), &Value::Null));
}

#[tokio::test]
async fn what_came_to_no_service_is_counted_too() {
    let scene = Scene::new();
    let mut record = scene.begin(Method::GET);
    record.rejected(RequestOutcome::NoRoute, Some(Reason::NoRoute));
    let empty = Response::builder()
        .status(404)
        .body(Empty::<Bytes>::new())
        .expect("a response");
    drop(record.deliver(empty));
    assert_eq!(told(scene.unrouted.totals().outcomes), [("no_route", 1)]);
    assert_eq!(scene.rejected(), [("no_route", 1)]);
    let lines = scene.lines();
    assert_eq!(
        (&lines[0]["status"], &lines[0]["outcome"]),
        (&json!(404), &json!("no_route"))
    );
    assert_eq!(
        (&lines[0]["error"], &lines[0]["client"]),
        (&json!("no_route"), &json!("192.0.2.1"))
    );
    assert!(lines[0].get("service").is_none() && lines[0].get("reason").is_none());
}

#[test]
fn what_could_not_be_read_is_counted_and_logged() {
    let scene = Scene::new();
    let mut record = RequestRecord::<Rc<Table>>::unread(&scene.recorder, PEER, false);
    record.rejected(RequestOutcome::Rejected, Some(Reason::LargeHead));
    let mut response = Response::new(Empty::<Bytes>::new());
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    drop(record.deliver(response));
    assert_eq!(scene.rejected(), [("head_too_large", 1)]);
    assert_eq!(told(scene.unrouted.totals().outcomes), [("rejected", 1)]);
    let lines = scene.lines();
    for (key, value) in [
        ("client", json!("192.0.2.1")),
        ("status", json!(431)),
        ("outcome", json!("rejected")),
        ("error", json!("head_too_large")),
        ("method", Value::Null),
    ] {
        assert_eq!(lines[0][key], value, "{key} of {}", lines[0]);
    }
}

#[test]
fn the_reason_of_a_built_in_policy_is_logged() {
    let scene = Scene::new();
    drop(scene.decided(Method::GET, RankedBy::Policy));
    assert_eq!(scene.lines()[0]["reason"], "latency");
}

#[test]
fn a_panic_is_our_own_fault() {
    let scene = Scene::new();
    let record = scene.decided(Method::GET, RankedBy::Policy);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _record = record;
        std::panic::resume_unwind(Box::new("on purpose"));
    }));
    assert!(panicked.is_err());
    assert_eq!(told(scene.table.vitals.totals().outcomes), [("internal", 1)]);
    assert_eq!(scene.rejected(), [("internal", 1)]);
}

/// A body of frames that are there already.
struct Frames<I>(I);

impl<E, I: Iterator<Item = Result<Frame<Bytes>, E>> + Unpin> Body for Frames<I> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }
}

#[test]
fn a_request_is_worked_on_until_its_response_has_ended() {
    let scene = Scene::new();
    let record = scene.decided(Method::GET, RankedBy::Policy);
    assert_eq!(scene.table.in_flight.total(), 1);
    let delivered = record.deliver(response(200, "body"));
    assert_eq!(scene.table.in_flight.total(), 1, "the body is on its way");
    drop(delivered);
    assert_eq!(scene.table.in_flight.total(), 0);
    // Not admitted, such as one that is shed.
    let mut record = scene.begin(Method::GET);
    record.routed(Rc::clone(&scene.table), ServiceId(0));
    assert_eq!(scene.table.in_flight.total(), 0);
    record.rejected(RequestOutcome::Shed, Some(Reason::RouteFull));
    drop(record);
    assert_eq!(scene.table.in_flight.total(), 0);
    assert_eq!(scene.rejected(), [("route_full", 1)]);
    assert_eq!(
        told(scene.table.vitals.totals().outcomes),
        [("client_gone", 1), ("shed", 1)]
    );
}

/// The ids that were kept, with whether they failed.
fn kept(scene: &Scene) -> Vec<(String, bool)> {
    let records = scene.decisions.try_iter();
    records
        .map(|record| (record.id.as_str()[..2].to_owned(), record.has_failed))
        .collect()
}

#[test]
fn decisions_of_some_requests_are_kept_and_of_those_that_failed_up_to_a_rate() {
    let scene = Scene::new();
    let end = |id: u64, failed: bool| {
        let mut record = scene.decided(Method::GET, RankedBy::Policy);
        record.has_id(RequestId::made([id << 56, 0]));
        if failed {
            record.attempted(Slot(0), Evidence::ConnectFailed);
        }
        record.attempted(Slot(1), Evidence::Success);
        record.answered(Slot(1), record.begun());
        record.ended(RequestOutcome::Success);
        drop(record);
    };
    end(1, false);
    end(2, false);
    end(3, true);
    end(4, true);
    let named = |id: &str, failed| (id.to_owned(), failed);
    assert_eq!(
        kept(&scene),
        [named("01", false), named("03", true)],
        "one of each in a pause"
    );
}
