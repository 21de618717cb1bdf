//! Forwarding, hedging and observing, in paused time, with gateways in memory.

use super::super::Connections;
use super::super::dial::{Connect, Connecting, Dialer, Transport};
use super::*;
use crate::dns::Resolver;
use crate::upstream::request::tests::untrusted;
use crate::vitals::{GatewayKey, UpstreamError, Vitals};
use http::{Method, Request};
use http_body_util::BodyExt;
use portolan_core::config::{Budget, Gateway, GatewayAddress, RetryOn, Service, ServiceParts};
use portolan_core::geo::Point;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::sleep;

/// How a gateway behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Script {
    /// Answers with this status after this many milliseconds.
    Answers(u16, u64),
    /// Accepts, and never answers.
    Hangs,
    /// Refuses connections.
    Refuses,
    /// Never accepts a connection.
    BlackHole,
    /// Closes the connection instead of answering.
    Closes,
    /// Answers with something else than HTTP.
    Babbles,
    /// Answers with a part of what it announced.
    Cuts,
}

/// The gateways by port: the slot's number.
#[derive(Debug)]
struct Gateways(Vec<Script>);

impl Connect for Gateways {
    fn connect(&self, address: SocketAddr) -> Connecting<'_> {
        Box::pin(async move {
            let script = self.0[usize::from(address.port())];
            match script {
                Script::Refuses => return Err(io::ErrorKind::ConnectionRefused.into()),
                Script::BlackHole => std::future::pending().await,
                _ => {}
            }
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            tokio::spawn(serve(theirs, script));
            Ok(Transport::Memory(ours))
        })
    }
}

/// One connection of a gateway.
async fn serve(mut stream: DuplexStream, script: Script) {
    let mut read = Vec::new();
    loop {
        while !read.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        }
        read.clear();
        let answer = match script {
            Script::Answers(status, after) => {
                sleep(Duration::from_millis(after)).await;
                format!("HTTP/1.1 {status} OK\r\ncontent-length: 2\r\n\r\nok")
            }
            Script::Babbles => "SSH-2.0\r\n\r\n".to_owned(),
            Script::Cuts => "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nok".to_owned(),
            Script::Closes => return,
            Script::Hangs | Script::Refuses | Script::BlackHole => std::future::pending().await,
        };
        if stream.write_all(answer.as_bytes()).await.is_err() || script == Script::Cuts {
            return;
        }
    }
}

/// A service with these gateways.
struct Scene {
    targets: Vec<Arc<GatewayTarget>>,
    connections: Rc<Connections>,
    budget: SharedBudget,
    retry: Retry,
    timeouts: Timeouts,
}

/// What a client gets, and when.
#[derive(Debug, PartialEq)]
struct Got {
    answer: Result<u16, ForwardError>,
    attempts: Vec<(u8, Evidence)>,
    millis: u128,
}

impl Scene {
    fn new(scripts: &[Script], retry: Retry) -> Self {
        let resolver = Resolver::system(Handle::current());
        let targets = (0..scripts.len()).map(|index| target(index, &resolver)).collect();
        Self {
            targets,
            connections: Connections::new(0, Dialer::new(Arc::new(Gateways(scripts.to_vec())))),
            budget: SharedBudget::new(Budget::default(), 1, clock::now()),
            retry,
            timeouts: Timeouts::default(),
        }
    }

    async fn send(&self, method: Method) -> Got {
        self.send_to(method, false).await
    }

    async fn send_to(&self, method: Method, unresponsive: bool) -> Got {
        let request = Request::builder().method(method).uri("/").header("host", "a").body(());
        let parts = request.expect("a request").into_parts().0;
        let body = ReplayBody::Empty;
        let outbound = Outbound::new(&parts, "a", untrusted(), body.framing(&parts.headers));
        let begun = clock::now();
        let order = (0..self.targets.len()).map(|slot| Slot(slot as u8)).collect();
        let mut plan = AttemptPlan::new(order, &self.retry, &self.timeouts, &parts.method, begun);
        if unresponsive {
            plan = plan.unresponsive(begun);
        }
        let forwarder = Forwarder {
            connections: &self.connections,
            budget: &self.budget,
            retry: &self.retry,
            timeouts: &self.timeouts,
            target: |slot: Slot| self.targets.get(slot.index()),
        };
        let forwarded = forwarder.forward(plan, &outbound, &body, begun).await;
        let millis = clock::now().duration_since(begun).as_millis();
        let answer = match forwarded.result {
            Ok(response) => {
                let status = response.status().as_u16();
                // A cut body is observed as the client reads it.
                let _ = response.into_body().collect().await;
                Ok(status)
            }
            Err(error) => Err(error),
        };
        Got {
            answer,
            attempts: forwarded.attempts.iter().map(|it| (it.slot.0, it.evidence)).collect(),
            millis,
        }
    }

    fn count(&self, slot: usize, evidence: Evidence) -> u64 {
        self.targets[slot].vitals.totals().of(evidence)
    }

    fn errors(&self, slot: usize, kind: UpstreamError) -> u64 {
        self.targets[slot].vitals.errors()[kind as usize]
    }
}

fn target(index: usize, resolver: &Resolver) -> Arc<GatewayTarget> {
    let region = format!("region-{index}");
    let gateway = Gateway::new(
        region.as_str().into(),
        Point::new(0.0, 0.0).expect("on the globe"),
        GatewayAddress::http(Ipv4Addr::LOCALHOST, index as u16),
    );
    let service = Service::new(ServiceParts::new("shop", vec![gateway.clone()])).expect("a service");
    let vitals = Arc::new(Vitals::new(
        GatewayKey::of(&service.name, &gateway),
        1,
        Arc::new(Notify::new()),
    ));
    GatewayTarget::new(&gateway, &service, None, vitals, resolver)
}

/// Runs a test on a worker's kind of runtime.
async fn on_a_worker(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

use Evidence::{Cancelled, ConnectFailed, GatewayError, Overtaken as IsOvertaken, Reset, Success, TimedOut};
use Script::*;

#[tokio::test(start_paused = true)]
async fn a_hedged_request_that_is_overtaken_is_no_time_out() {
    on_a_worker(async {
        let service = Scene::new(&[Answers(200, 1_000), Answers(200, 20)], Retry::default());
        for _ in 0..5 {
            let got = service.send(Method::GET).await;
            assert_eq!(got.answer, Ok(200));
            assert_eq!(got.attempts, [(0, IsOvertaken), (1, Success)]);
            assert_eq!(got.millis, 420);
        }
        assert_eq!(service.count(0, IsOvertaken), 5);
        assert_eq!(service.count(0, TimedOut), 0);
        // It answers all of them, late.
        sleep(Duration::from_secs(10)).await;
        assert_eq!(service.targets[0].vitals.totals().unanswered(), 0);
        assert_eq!(service.targets[0].vitals.in_flight(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_to_unresponsive_regions_may_be_answered_late() {
    on_a_worker(async {
        let given_up = |reason| {
            Err(ForwardError::GaveUp {
                reason,
                last: Some(Outcome::TimedOut),
            })
        };
        let get = (Method::GET, given_up(GaveUp::Unresponsive));
        let post = (Method::POST, given_up(GaveUp::Deadline));
        for (method, answer) in [get, post] {
            let service = Scene::new(&[Answers(200, 1_200)], Retry::default());
            let got = service.send_to(method, true).await;
            assert_eq!((got.answer, got.millis), (answer, 900));
            let vitals = &service.targets[0].vitals;
            assert_eq!((vitals.totals().late(), vitals.in_flight()), (0, 1));
            sleep(Duration::from_millis(350)).await;
            assert_eq!((vitals.totals().late(), vitals.in_flight()), (1, 0));
            assert_eq!(vitals.totals().answer_time(), Some(Duration::from_millis(1_200)));
        }
        let service = Scene::new(&[Hangs], Retry::default());
        service.send_to(Method::GET, true).await;
        sleep(Duration::from_secs(16)).await;
        let vitals = &service.targets[0].vitals;
        assert_eq!((vitals.totals().late(), vitals.in_flight()), (0, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_overtaken_request_that_is_never_answered_is_counted() {
    on_a_worker(async {
        let service = Scene::new(&[Hangs, Answers(200, 20)], Retry::default());
        service.send(Method::GET).await;
        let vitals = &service.targets[0].vitals;
        sleep(Duration::from_millis(900)).await;
        assert_eq!((vitals.totals().unanswered(), vitals.in_flight()), (0, 1));
        sleep(Duration::from_millis(200)).await;
        assert_eq!((vitals.totals().unanswered(), vitals.in_flight()), (1, 0));
        assert_eq!(service.count(0, TimedOut), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_hardly_faster_shows_nothing_of_the_other_region() {
    on_a_worker(async {
        // The second one answers 500 ms after the first was hedged, in more than half of its time.
        let service = Scene::new(&[Hangs, Answers(200, 390), Hangs], Retry::default());
        let got = service.send(Method::GET).await;
        assert_eq!(got.attempts, [(0, IsOvertaken), (1, Success)], "790 ms and 390 ms");
        let service = Scene::new(&[Answers(200, 1_000), Answers(200, 450), Hangs], Retry::default());
        let got = service.send(Method::GET).await;
        assert_eq!(
            got.attempts,
            [(0, Cancelled), (2, Cancelled), (1, Success)],
            "850 ms, 50 ms and 450 ms"
        );
        // The first one wins.
        let service = Scene::new(&[Answers(200, 450), Answers(200, 450)], Retry::default());
        let got = service.send(Method::GET).await;
        assert_eq!((got.attempts, got.millis), (vec![(1, Cancelled), (0, Success)], 450));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_good_answer_is_waited_for_when_no_other_region_could_be_tried() {
    on_a_worker(async {
        for (scripts, method) in [
            // The only region.
            (vec![Answers(200, 14_000)], Method::GET),
            // What may not be repeated.
            (vec![Answers(200, 14_000), Answers(200, 5)], Method::POST),
        ] {
            let service = Scene::new(&scripts, Retry::default());
            let got = service.send(method).await;
            assert_eq!((got.answer, got.millis), (Ok(200), 14_000));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_default_bound_of_an_attempt_leaves_time_for_another_region() {
    on_a_worker(async {
        let unhedged = Retry {
            hedge_after: None,
            ..Retry::default()
        };
        let mut service = Scene::new(&[Hangs, Answers(200, 20)], unhedged.clone());
        service.timeouts.request = Duration::from_secs(60);
        let got = service.send(Method::GET).await;
        assert_eq!((got.answer, got.millis), (Ok(200), 15_020));
        assert_eq!(got.attempts, [(0, TimedOut), (1, Success)]);
        assert_eq!(service.errors(0, UpstreamError::ResponseTimeout), 1);
        // A configured one holds for every attempt.
        let configured = Retry {
            per_try_timeout: Some(Duration::from_secs(5)),
            ..unhedged
        };
        let service = Scene::new(&[Answers(200, 6_000)], configured);
        let got = service.send(Method::GET).await;
        assert_eq!(got.millis, 5_000);
        assert_eq!(got.attempts, [(0, TimedOut)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_region_that_hangs_costs_the_time_of_the_hedge() {
    on_a_worker(async {
        let service = Scene::new(&[Hangs, Hangs, Answers(200, 20)], Retry::default());
        let got = service.send(Method::GET).await;
        assert_eq!((got.answer, got.millis), (Ok(200), 820));
        let service = Scene::new(&[Hangs, Refuses, Answers(200, 20)], Retry::default());
        let got = service.send(Method::GET).await;
        assert_eq!((got.answer, got.millis), (Ok(200), 420), "the next one follows at once");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn errors_are_counted_by_kind() {
    use UpstreamError as Kind;
    on_a_worker(async {
        for (script, kind, evidence) in [
            (Refuses, Kind::ConnectRefused, ConnectFailed),
            (BlackHole, Kind::ConnectTimeout, ConnectFailed),
            (Closes, Kind::Reset, Reset),
            (Babbles, Kind::Malformed, Reset),
        ] {
            let service = Scene::new(&[script, Answers(200, 5)], Retry::default());
            let got = service.send(Method::GET).await;
            assert_eq!(got.attempts, [(0, evidence), (1, Success)], "{script:?}");
            let counted: Vec<_> = Kind::ALL
                .into_iter()
                .filter(|kind| service.errors(0, *kind) > 0)
                .collect();
            assert_eq!(counted, [kind], "{script:?}");
            assert_eq!(service.count(0, evidence), 1, "{script:?}");
        }
        // Behind its head: known when the client reads it.
        let service = Scene::new(&[Cuts], Retry::default());
        assert_eq!(service.send(Method::GET).await.answer, Ok(200));
        assert_eq!((service.errors(0, Kind::Cut), service.count(0, Reset)), (1, 1));
        // A status is not an error of this kind.
        let service = Scene::new(&[Answers(503, 5), Answers(200, 5)], Retry::default());
        let got = service.send(Method::GET).await;
        assert_eq!(got.attempts, [(0, GatewayError), (1, Success)]);
        assert_eq!(service.targets[0].vitals.errors(), [0; Kind::ALL.len()]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again_and_a_post_is_sent_once() {
    on_a_worker(async {
        let service = Scene::new(&[Closes, Answers(200, 5)], Retry::default());
        let got = service.send(Method::POST).await;
        let gave_up = ForwardError::GaveUp {
            reason: GaveUp::NotRepeatable,
            last: Some(Outcome::Broken),
        };
        assert_eq!((got.answer, got.attempts), (Err(gave_up), vec![(0, Reset)]));
    })
    .await;
}

/// What each gateway is held responsible for: failures, and those in dispute.
fn held_against(service: &Scene) -> Vec<(u64, u64)> {
    let totals = service.targets.iter().map(|target| target.vitals.totals());
    totals
        .map(|totals| {
            let failures = totals.iter().filter(|(evidence, _)| evidence.is_failure());
            (failures.map(|(_, count)| count).sum(), totals.disputed())
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_in_the_same_way_everywhere_is_disputed() {
    on_a_worker(async {
        let well = Answers(200, 5);
        let busy = Answers(503, 5);
        for (scripts, expected) in [
            (vec![Closes, Closes], vec![(1, 1), (1, 1)]),
            (vec![Closes, Closes, Closes], vec![(1, 1), (1, 1), (1, 1)]),
            (vec![busy, busy], vec![(1, 1), (1, 1)]),
            // Another region answers: those that did not are at fault.
            (vec![Closes, Closes, well], vec![(1, 0), (1, 0), (0, 0)]),
            (vec![Closes, busy], vec![(1, 0), (1, 0)]),
            (vec![Closes], vec![(1, 0)]),
            (vec![Refuses, Refuses], vec![(1, 0), (1, 0)]),
            (vec![Closes, Refuses], vec![(1, 0), (1, 0)]),
            (vec![Closes, Refuses, Closes], vec![(1, 1), (1, 0), (1, 1)]),
        ] {
            let service = Scene::new(&scripts, Retry::default());
            service.send(Method::GET).await;
            assert_eq!(held_against(&service), expected, "{scripts:?}");
        }
        // It was sent once, so nothing is known of other regions.
        let service = Scene::new(&[Closes, Closes], Retry::default());
        service.send(Method::POST).await;
        assert_eq!(held_against(&service), [(1, 0), (0, 0)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn time_that_a_request_lost_elsewhere_is_no_failure_of_the_next_region() {
    on_a_worker(async {
        let retry = Retry {
            per_try_timeout: Some(Duration::from_secs(12)),
            hedge_after: None,
            ..Retry::default()
        };
        // 12 of 15 seconds are over when the second one is tried.
        for second in [Hangs, BlackHole] {
            let mut service = Scene::new(&[Hangs, second], retry.clone());
            service.timeouts.connect = Duration::from_secs(10);
            let got = service.send(Method::GET).await;
            assert_eq!((got.attempts, got.millis), (vec![(0, TimedOut), (1, TimedOut)], 15_000));
            assert_eq!(held_against(&service), [(1, 0), (0, 0)], "{second:?}");
            assert_eq!(service.errors(1, UpstreamError::ConnectTimeout), 0);
        }
        // With all of the request's time, it is one.
        let mut service = Scene::new(&[Hangs], retry.clone());
        service.timeouts.request = Duration::from_secs(1);
        service.send(Method::GET).await;
        assert_eq!(held_against(&service), [(1, 0)]);
        let mut service = Scene::new(&[BlackHole], retry);
        service.timeouts.request = Duration::from_millis(200);
        service.send(Method::GET).await;
        assert_eq!(
            (held_against(&service), service.count(0, ConnectFailed)),
            (vec![(1, 0)], 1)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_retry_on_leaves_out_is_not_sent_again() {
    on_a_worker(async {
        let only = |status| {
            let mut retry_on = RetryOn::NONE;
            retry_on.insert(status);
            Retry {
                retry_on,
                ..Retry::default()
            }
        };
        let well = Answers(200, 5);
        let got = Scene::new(&[Answers(429, 5), well], only(429)).send(Method::GET).await;
        assert_eq!((got.answer, got.attempts), (Ok(200), vec![(0, Success), (1, Success)]));
        let got = Scene::new(&[Answers(503, 5), well], only(429)).send(Method::GET).await;
        assert_eq!((got.answer, got.attempts), (Ok(503), vec![(0, GatewayError)]));
        for (script, last) in [(Closes, Outcome::Broken), (Refuses, Outcome::NotSent)] {
            let got = Scene::new(&[script, well], only(503)).send(Method::GET).await;
            let gave_up = ForwardError::GaveUp {
                reason: GaveUp::NotInRetryOn,
                last: Some(last),
            };
            assert_eq!(got.answer, Err(gave_up), "{script:?}");
        }
        // Nor hedged.
        let got = Scene::new(&[Answers(200, 1_000), well], only(503))
            .send(Method::GET)
            .await;
        assert_eq!((got.attempts, got.millis), (vec![(0, Success)], 1_000));
    })
    .await;
}
