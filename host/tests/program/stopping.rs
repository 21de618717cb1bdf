//! How the program ends: lame duck, drain, at once.

use crate::serving::{Gateway, Serving, config, folder, get, try_get, wait_until};
use rustix::process::Signal;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

const ADMIN: &str = "admin: { address: \"127.0.0.1:0\", probes: \"127.0.0.1:0\" }\n";

#[test]
fn health_checks_fail_first_while_everything_is_still_accepted() {
    let gateway = Gateway::start();
    let more = format!("{ADMIN}lame_duck: 2s\ndrain_time: 5s\nfront_door: {{ mode: off }}\n");
    let folder = folder(&config(&gateway, "off", &more));
    let mut serving = Serving::start(folder.path());
    let addresses = serving.until_serving();
    let probes = addresses.probes.expect("an address for probes");
    let probe_path = "/.portolan/probe/shop";
    for (address, path) in [
        (addresses.admin, "/readyz"),
        (probes, "/readyz"),
        (probes, "/livez"),
        (probes, "/metrics"),
        (addresses.proxy, probe_path),
        (addresses.proxy, "/"),
    ] {
        assert_eq!(get(address, path).0, 200, "{path}");
    }
    assert_eq!(get(probes, "/api/v1/regions").0, 404);

    let begun = Instant::now();
    serving.signal(Signal::TERM);
    wait_until("readiness fails", || get(probes, "/readyz").0 == 503);
    let (status, body) = get(addresses.admin, "/readyz");
    assert!(status == 503 && body.contains("\"status\": \"lame_duck\""), "{body}");
    assert_eq!(get(addresses.proxy, probe_path).0, 503);
    assert_eq!(get(addresses.proxy, "/").0, 200, "a new connection is still served");
    assert_eq!(get(probes, "/livez").0, 200);
    assert!(begun.elapsed() < Duration::from_secs(2), "too slow a machine to tell");

    wait_until("listeners are closed", || try_get(addresses.proxy, "/").is_err());
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    let (status, _) = serving.until_ended();
    assert!(status.success(), "{status}");
}

/// A request that its gateway never answers.
fn hang(address: std::net::SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream
        .write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        .expect("sent");
    stream
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let gateway = Gateway::start();
    let waits = "timeouts: { request: 1h }";
    for (phases, logged) in [
        ("lame_duck: 1h\ndrain_time: 1h\n", "still accepted"),
        ("lame_duck: 0s\ndrain_time: 1h\n", "listeners are closed"),
    ] {
        let text = config(&gateway, "off", &format!("{ADMIN}{phases}"));
        let text = text.replace("health_check: off", &format!("health_check: off\n    {waits}"));
        let folder = folder(&text);
        let mut serving = Serving::start(folder.path());
        let addresses = serving.until_serving();
        let _hanging = hang(addresses.proxy);
        wait_until("the request is in flight", || {
            let (_, metrics) = get(addresses.admin, "/metrics");
            metrics.contains("portolan_upstream_in_flight{service=\"shop\",region=\"westeurope\"} 1")
        });
        serving.signal(Signal::TERM);
        serving.until_logged(logged);
        assert!(serving.is_running());
        serving.signal(Signal::INT);
        let (status, took) = serving.until_ended();
        assert!(status.success() && took < Duration::from_secs(10), "{status} {took:?}");
    }
}
