//! The queue never makes a worker wait.

use super::*;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

fn finished() -> Box<RequestSpan> {
    let client = Ipv4Addr::LOCALHOST;
    Box::new(RequestSpan {
        trace: 1,
        span: 2,
        parent: None,
        trace_state: String::new(),
        begun: SystemTime::UNIX_EPOCH,
        total: Duration::from_millis(3),
        method: Method::GET,
        version: "1.1",
        scheme: "http",
        host: "a.example".into(),
        uri: Uri::from_static("/"),
        user_agent: String::new(),
        route: None,
        client: client.into(),
        peer: (client, 4).into(),
        request_id: "5".into(),
        status: Some(200),
        outcome: "answered",
        error: None,
        service: None,
        region: None,
        country: None,
        by: None,
        bytes: (0, 0),
        stages: Vec::new(),
        attempts: Vec::new(),
    })
}

#[test]
fn what_a_full_queue_has_no_room_for_is_dropped_and_counted() {
    let (spans, mut queue) = Spans::new(2);
    let results = || BTreeMap::from(spans.counts().results());
    let sinks = [spans.sink(0), spans.sink(1)];
    (0..QUEUE + 10).for_each(|number| sinks[number % 2].send(finished()));
    assert_eq!((results()["recorded"], results()["dropped"]), (QUEUE as u64, 10));
    // Where one was taken, there is room for one.
    assert!(queue.try_recv().is_ok());
    (0..2).for_each(|_| sinks[0].send(finished()));
    assert_eq!((results()["recorded"], results()["dropped"]), (QUEUE as u64 + 1, 11));
    // Nobody takes any more.
    drop(queue);
    sinks[1].send(finished());
    assert_eq!(results()["dropped"], 12);
}
