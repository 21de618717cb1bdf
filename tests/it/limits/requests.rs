//! Limits of a listener on the requests of HTTP/1.1: those of HTTP/2 are in `http2/limits.rs`.

use super::get;
use portolan_tests::raw::{Message, RawGateway, Wire};
use portolan_tests::{Request, Setup, World};
use std::thread::sleep;
use std::time::Duration;

/// An instance whose listener has these keys, in front of a gateway that accepts what it gets.
fn world(keys: &str) -> (World, RawGateway) {
    let gateway = RawGateway::start();
    let listener = format!("- {{ address: \"127.0.0.1:0\", name: public, {keys} }}");
    let setup = Setup::regions(&[])
        .other("westeurope", gateway.address())
        .service("health_check: off\ntimeouts: { idle: 2s }");
    (setup.listeners(&listener).start(), gateway)
}

fn ask(client: &mut Wire, request: impl AsRef<[u8]>) -> Message {
    client.write(request);
    client.response("GET").expect("an answer")
}

async fn rejected(world: &World, reason: &str) -> String {
    let metrics = world.admin(Request::get("/metrics")).await.text();
    let sample = format!("portolan_rejected_requests_total{{reason=\"{reason}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&*sample));
    line.unwrap_or_else(|| panic!("{reason}: {metrics}")).to_owned()
}

/// A request of so many bytes.
fn of_size(bytes: usize) -> String {
    let rest = "GET / HTTP/1.1\r\nhost: shop.example\r\ncookie: \r\n\r\n".len();
    let request = format!(
        "GET / HTTP/1.1\r\nhost: shop.example\r\ncookie: {}\r\n\r\n",
        "c".repeat(bytes - rest)
    );
    assert_eq!(request.len(), bytes);
    request
}

/// A request with so many fields.
fn of_count(fields: usize) -> String {
    let others: String = (1..fields).map(|number| format!("x-{number}: 1\r\n")).collect();
    format!("GET / HTTP/1.1\r\nhost: shop.example\r\n{others}\r\n")
}

/// A request whose path and query have so many bytes.
fn of_target(bytes: usize) -> String {
    get(&format!("/?{}", "q".repeat(bytes - 2)))
}

/// For each limit: its key, the request at a size, its status and its reason beyond.
#[tokio::test]
async fn a_request_may_be_as_large_as_its_listener_allows() {
    type Made = fn(usize) -> String;
    let (size, count, target): (Made, Made, Made) = (of_size, of_count, of_target);
    let cases = [
        ("", 64 << 10, size, 431, "head_too_large"),
        ("max_request_header_size: 8KiB", 8 << 10, size, 431, "head_too_large"),
        (
            "max_request_header_size: 100KiB",
            100 << 10,
            size,
            431,
            "head_too_large",
        ),
        ("", 256, count, 431, "head_too_large"),
        ("max_request_header_count: 10", 10, count, 431, "head_too_large"),
        ("max_request_header_count: 99", 99, count, 431, "head_too_large"),
        ("max_request_header_count: 100", 100, count, 431, "head_too_large"),
        ("max_request_header_count: 150", 150, count, 431, "head_too_large"),
        ("max_request_header_count: 1000", 1000, count, 431, "head_too_large"),
        ("", 16 << 10, target, 414, "target_too_long"),
        ("max_request_target_size: 256B", 256, target, 414, "target_too_long"),
        (
            "max_request_target_size: 40KiB",
            40 << 10,
            target,
            414,
            "target_too_long",
        ),
    ];
    for (keys, bound, made, status, reason) in cases {
        let (world, _gateway) = world(keys);
        let what = format!("{keys:?} at {bound} of {reason}");
        let mut client = Wire::open(world.proxy());
        for _ in 0..2 {
            let answer = ask(&mut client, made(bound));
            assert!(answer.status() == 200 && !answer.closes(), "{what}: {}", answer.head);
        }
        let answer = ask(&mut client, made(bound + 1));
        assert_eq!(answer.status(), status, "{what}: {}", answer.head);
        assert!(answer.closes() && client.is_closed(), "{what}");
        assert_eq!(rejected(&world, reason).await, "1", "{what}");
    }
}

/// Sends pieces of an upload until it is whole or answered.
fn upload(world: &World, pieces: usize, bytes: usize) -> u16 {
    let mut client = Wire::open(world.proxy());
    let length = pieces * bytes;
    client.write(format!(
        "POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: {length}\r\n\r\n"
    ));
    for _ in 0..pieces {
        // The rate is what is tested.
        sleep(Duration::from_millis(150));
        client.write("u".repeat(bytes));
    }
    client.response("POST").expect("an answer").status()
}

#[tokio::test]
async fn a_body_may_be_as_slow_as_its_listener_allows() {
    // One byte, and two thousand, seven times a second for three seconds: the idle timeout is two.
    for (keys, bytes, status, count) in [
        ("min_request_body_progress: 1B", 1, 200, "0"),
        ("", 1, 408, "1"),
        ("", 2000, 200, "0"),
        ("min_request_body_progress: 64KiB", 2000, 408, "1"),
    ] {
        let (world, _gateway) = world(keys);
        assert_eq!(upload(&world, 20, bytes), status, "{keys:?}, {bytes}");
        assert_eq!(
            rejected(&world, "client_body_timeout").await,
            count,
            "{keys:?}, {bytes}"
        );
    }
}

#[tokio::test]
async fn a_connection_has_as_many_requests_as_its_listener_allows() {
    for limit in [1, 3] {
        let (world, _gateway) = world(&format!("max_requests_per_connection: {limit}"));
        for _ in 0..2 {
            let mut client = Wire::open(world.proxy());
            for number in 1..=limit {
                let answer = ask(&mut client, get("/"));
                assert_eq!(
                    (answer.status(), answer.closes()),
                    (200, number == limit),
                    "{}",
                    answer.head
                );
            }
            assert!(client.is_closed());
        }
        // What is sent behind the last one is not answered, and the last one is all the same.
        let mut client = Wire::open(world.proxy());
        client.write(get("/").repeat(limit + 1));
        for _ in 0..limit {
            assert_eq!(client.response("GET").expect("an answer").status(), 200);
        }
        assert!(client.is_closed());
    }
    for keys in ["", "max_requests_per_connection: off"] {
        let (world, _gateway) = world(keys);
        let mut client = Wire::open(world.proxy());
        for _ in 0..50 {
            assert!(!ask(&mut client, get("/")).closes());
        }
    }
}

/// Less up to a fifth by chance.
#[tokio::test]
async fn connections_that_were_opened_together_do_not_end_together() {
    let (world, _gateway) = world("max_requests_per_connection: 100");
    let mut lives = Vec::new();
    for _ in 0..12 {
        let mut client = Wire::open(world.proxy());
        let mut requests = 1;
        while !ask(&mut client, get("/")).closes() {
            requests += 1;
        }
        lives.push(requests);
    }
    assert!(lives.iter().all(|requests| (80..=100).contains(requests)), "{lives:?}");
    // Of twenty numbers twelve times the same: once in 10^14.
    assert!(lives.iter().any(|requests| *requests != lives[0]), "{lives:?}");
}

/// A connection keeps the limits that it began with.
#[tokio::test]
async fn a_reload_changes_the_limits_of_later_connections() {
    let (world, _gateway) = world("max_request_header_count: 10");
    let mut before = Wire::open(world.proxy());
    assert_eq!(ask(&mut before, of_count(10)).status(), 200);
    world.reconfigure(|text| text.replace("max_request_header_count: 10", "max_request_header_count: 20"));
    world
        .until("the new limit is active", |table| {
            table.settings.listeners[0].requests.header_count == 20
        })
        .await;
    // Each worker has its own view of it.
    world
        .poll("new connections have it", || {
            ask(&mut Wire::open(world.proxy()), of_count(20)).status() == 200
        })
        .await;
    assert_eq!(ask(&mut before, of_count(11)).status(), 431);
}
