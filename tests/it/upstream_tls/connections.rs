//! Connections over TLS: resumed, reused, and how they end.

use super::authority::Authority;
use super::gateway::{Clients, End, TlsGateway, config};
use super::{GET, OK, POST, SERVICE, WEST, ask, counts, errors, one, setup};
use portolan::vitals::UpstreamError;
use portolan_core::health::{Evidence, State};
use portolan_tests::raw::Wire;

#[tokio::test]
async fn probes_and_requests_of_all_workers_resume_each_others_sessions() {
    let authority = Authority::new("root");
    let identity = authority.server(&["127.0.0.1"]);
    for version in [12, 13] {
        let gateway = TlsGateway::start_with(config(&identity, Clients::Any, Some(version)));
        let service = "health_check: { interval: 100ms }\nupstream: { reuse: never, tls: { ca: ca.pem } }";
        let world = setup(&authority, service)
            .gateway(WEST, gateway.url("127.0.0.1"))
            .start();
        world.until_state(WEST, State::Healthy).await;
        for _ in 0..8 {
            assert_eq!(ask(&world, GET).status(), 200);
        }
        let seen = gateway.seen();
        let full = seen.handshakes.iter().filter(|handshake| !handshake.is_resumed).count();
        assert_eq!(full, 1, "TLS 1.{}: {:?}", version - 10, seen.handshakes);
    }
}

/// Anybody between may end a connection; only close_notify shows that the gateway did.
#[tokio::test]
async fn an_end_without_close_notify_is_none_of_a_response_that_ends_with_its_connection() {
    let authority = Authority::new("root");
    let gateway = TlsGateway::start(&authority.server(&["127.0.0.1"]));
    let world = one(&gateway, &authority);
    let by_close = "HTTP/1.1 200 OK\r\n\r\nhello";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let by_length = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    for (reply, end, is_whole) in [
        (by_length, End::Unannounced, true),
        (chunked, End::Unannounced, true),
        (by_close, End::Announced, true),
        (by_close, End::Unannounced, false),
    ] {
        gateway.replies(reply, end);
        let mut client = Wire::open(world.proxy());
        client.write(GET);
        // The beginning of one that may be cut need not have been sent on.
        let answer = client.response("GET").filter(|answer| answer.is_whole);
        let body = answer.as_ref().map(|answer| &*answer.body);
        assert_eq!(body, is_whole.then_some(&b"hello"[..]), "{reply} {end:?}");
    }
    assert_eq!(errors(&world, UpstreamError::TlsNoCloseNotify), 1);
    // Some servers never send it: the region is not at fault.
    world.until_observed(WEST, counts(Evidence::Success, 4)).await;
    // What is known to be cut is.
    gateway.replies("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", End::Unannounced);
    let mut client = Wire::open(world.proxy());
    client.write(GET);
    assert!(client.response("GET").is_none_or(|answer| !answer.is_whole));
    assert_eq!(errors(&world, UpstreamError::Cut), 1);
}

#[tokio::test]
async fn connections_are_closed_with_close_notify() {
    let authority = Authority::new("root");
    let gateway = TlsGateway::start(&authority.server(&["127.0.0.1"]));
    let service = "health_check: { interval: 50ms }\nupstream: { reuse: never, tls: { ca: ca.pem } }";
    let world = setup(&authority, service)
        .gateway(WEST, gateway.url("127.0.0.1"))
        .start();
    world.until_state(WEST, State::Healthy).await;
    assert_eq!(ask(&world, GET).status(), 200);
    world
        .poll("a probe's and a request's connection are closed", || {
            let seen = gateway.seen();
            let asked = seen.requests.iter().filter(|it| it.starts_with("GET / ")).count();
            asked == 1 && seen.closed >= seen.requests.len().min(3)
        })
        .await;
    assert_eq!(gateway.seen().cut, 0);
}

/// Tickets and other messages of TLS that come on an idle connection are no content.
#[test]
fn connections_are_reused() {
    let authority = Authority::new("root");
    let identity = authority.server(&["127.0.0.1"]);
    for version in [12, 13] {
        let gateway = TlsGateway::start_with(config(&identity, Clients::Any, Some(version)));
        let setup = setup(&authority, SERVICE).gateway(WEST, gateway.url("127.0.0.1"));
        // One connection of a client stays with one worker.
        let world = setup.start();
        let mut client = Wire::open(world.proxy());
        for reply in [
            OK,
            "HTTP/1.1 204 No Content\r\n\r\n",
            OK,
            "HTTP/1.1 304 Not Modified\r\n\r\n",
            OK,
        ] {
            gateway.replies(reply, End::Never);
            client.write(GET);
            let status = client.response("GET").expect("an answer").status();
            assert_eq!(status, reply[9..12].parse::<u16>().expect("a status"));
        }
        assert_eq!(gateway.seen().handshakes.len(), 1);
        // And a request that cannot be repeated.
        client.write(POST);
        assert_eq!(client.response("POST").expect("an answer").status(), 200);
        assert_eq!(gateway.seen().handshakes.len(), 1);
    }
}

#[test]
fn large_bodies_pass_both_ways() {
    let authority = Authority::new("root");
    let gateway = TlsGateway::start(&authority.server(&["127.0.0.1"]));
    let world = one(&gateway, &authority);
    let large = "x".repeat(3_000_000);
    gateway.replies(
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{large}", large.len()),
        End::Never,
    );
    let mut client = Wire::open(world.proxy());
    client.write(format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{large}",
        large.len()
    ));
    let answer = client.response("POST").expect("an answer");
    assert_eq!(
        (answer.status(), answer.body.len(), answer.is_whole),
        (200, large.len(), true)
    );
    let seen = gateway.seen();
    assert!(seen.requests[0].ends_with(&large), "{} bytes", seen.requests[0].len());
}

/// A head, or the size of a chunk, is written together with what follows it.
#[test]
fn no_record_is_small_but_the_last() {
    let authority = Authority::new("root");
    let gateway = TlsGateway::start_with(config(&authority.server(&["127.0.0.1"]), Clients::Any, Some(12)));
    let world = one(&gateway, &authority);
    let large = "x".repeat(200_000);
    let mut client = Wire::open(world.proxy());
    client.write(format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{large}",
        large.len()
    ));
    assert_eq!(client.response("POST").expect("an answer").status(), 200);
    let mut records = gateway.seen().records;
    let sent: usize = records.iter().sum();
    records.pop();
    assert!(
        sent > large.len() && records.iter().all(|size| *size > 1000),
        "{records:?}"
    );
}
