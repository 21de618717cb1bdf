use super::*;
use crate::config::parse;
use crate::front_door::Snapshot;
use http::Request;
use http_body::Body as _;
use portolan_azure::probe::{GatewayView, ProbeAnswerer, QuorumVerdict};
use portolan_core::health::State;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const CONFIG: &str = "listeners: [{ address: \"127.0.0.1:0\" }]
services:
  shop: { regions: [{ region: westeurope, gateway: \"http://a\" }, { region: eastus2, gateway: \"http://b\" }] }
  blog: { regions: [{ region: eastus2, gateway: \"http://c\" }] }
routes: [{ service: shop }, { path: /blog, service: blog }]
front_door: { mode: off, probe: { path: /up, healthy_after: 0s } }
";

fn settings(text: &str) -> Settings {
    let configuration = parse(text.as_bytes(), Path::new("x.yaml"));
    configuration.unwrap_or_else(|errors| panic!("{errors}")).settings
}

/// A snapshot in which westeurope is unhealthy for the shop.
fn cell(settings: &Settings, now: Instant) -> SnapshotCell {
    let services = settings.routing.services().iter().map(|service| {
        let regions = service.gateways().iter().map(|gateway| gateway.region.clone());
        (service.name.clone(), regions.collect::<Vec<_>>())
    });
    let front_door = settings.front_door.as_ref().expect("a front door");
    let answers = ProbeAnswerer::new(front_door.probe, services).update(now, |service, slot| GatewayView {
        own: match (service, slot) {
            (ServiceId(0), Slot(0)) => State::Unhealthy,
            _ => State::Healthy,
        },
        quorum: QuorumVerdict::Alone,
    });
    let cell = SnapshotCell::default();
    cell.store(Some(Snapshot {
        settings: Arc::clone(front_door),
        answers,
        status: None,
    }));
    cell
}

/// With `explain` on.
fn explaining() -> Settings {
    settings(&CONFIG.replace("path: /up", "path: /up, explain: true"))
}

fn ask(cell: &SnapshotCell, settings: &Settings, method: &str, target: &str) -> Option<(u16, String)> {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .body(())
        .expect("a request");
    let (parts, ()) = request.into_parts();
    let response = cell.answer(settings, &parts, parts.uri.path())?;
    let (head, mut body) = response.into_parts();
    let frame = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
    let text = match frame {
        Poll::Ready(Some(Ok(frame))) => String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text"),
        _ => String::new(),
    };
    Some((head.status.as_u16(), text))
}

#[test]
fn a_probe_asks_for_a_region_or_a_whole_service() {
    let settings = settings(CONFIG);
    let cell = cell(&settings, Instant::now());
    let ask = |target| ask(&cell, &settings, "GET", target);
    let answer = |status: u16, text: &str| Some((status, format!("{status}, {text}\n")));
    assert_eq!(ask("/up/shop"), answer(200, "healthy"));
    assert_eq!(
        ask("/up/shop/westeurope"),
        answer(503, "unhealthy as this instance sees it")
    );
    assert_eq!(ask("/up/shop/eastus2"), answer(200, "healthy"));
    assert_eq!(ask("/up/blog/eastus2"), answer(200, "healthy"));
    let head = self::ask(&cell, &settings, "HEAD", "/up/shop/westeurope?x=1");
    assert_eq!(head.map(|(status, _)| status), Some(503));
    // Regions and votes are not public.
    assert_eq!(
        ask("/up/shop/westeurope?explain"),
        answer(503, "unhealthy as this instance sees it")
    );
    let (status, text) = self::ask(&cell, &explaining(), "GET", "/up/shop/westeurope?explain").expect("a probe");
    assert_eq!(status, 503);
    assert!(
        text.contains("westeurope: 503, unhealthy as this instance sees it") && text.contains("eastus2: 200"),
        "{text}"
    );
}

#[test]
fn only_requests_below_the_path_are_probes() {
    let settings = settings(CONFIG);
    let cell = cell(&settings, Instant::now());
    for (method, target, status) in [
        ("GET", "/up", 404),
        ("GET", "/up/", 404),
        ("GET", "/up/shop/", 404),
        ("GET", "/up/shop/westeurope/x", 404),
        ("GET", "/up/shop/southeastasia", 404),
        ("GET", "/up/SHOP", 404),
        ("GET", "/up/blog/westeurope", 404),
        ("GET", "/up/%73hop", 404),
        ("POST", "/up/shop", 405),
        ("OPTIONS", "/up/none", 405),
    ] {
        let answer = ask(&cell, &settings, method, target);
        assert_eq!(answer.map(|(status, _)| status), Some(status), "{method} {target}");
    }
    for target in ["/", "/upper", "/upper/shop", "/u", "/x/up/shop", "/UP/shop"] {
        assert_eq!(ask(&cell, &settings, "GET", target), None, "{target}");
    }
    let without =
        self::settings(&CONFIG.replace("front_door: { mode: off, probe: { path: /up, healthy_after: 0s } }", ""));
    assert_eq!(ask(&cell, &without, "GET", "/up/shop"), None);
}

#[test]
fn probes_are_answered_with_200_before_there_is_a_view() {
    let settings = settings(CONFIG);
    let cell = SnapshotCell::default();
    let answer = Some((200, "200, unknown\n".to_owned()));
    assert_eq!(ask(&cell, &settings, "GET", "/up/shop"), answer);
    assert_eq!(ask(&cell, &settings, "GET", "/up/shop/eastus2"), answer);
    assert_eq!(
        ask(&cell, &settings, "GET", "/up/other").map(|(status, _)| status),
        Some(404)
    );
}

#[test]
fn a_stale_view_answers_200() {
    let settings = settings(CONFIG);
    let long_ago = Instant::now()
        .checked_sub(Duration::from_secs(16))
        .expect("a machine that is up");
    let cell = cell(&settings, long_ago);
    let (status, text) = ask(&cell, &settings, "GET", "/up/shop/westeurope").expect("a probe");
    assert_eq!(status, 200);
    assert!(text.contains("the view is stale"), "{text}");
}
