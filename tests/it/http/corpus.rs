//! Requests byte by byte as data, over a plain and over a TLS listener: what the client gets, and what reaches the gateway, exactly.
//!
//! The cases are in `corpus/*.txt`; `corpus/case.rs` says how they are written.

mod case;

use crate::tls::client::{Authority, Client};
use case::{Case, Expected};
use portolan_tests::Setup;
use portolan_tests::raw::{Message, RawGateway, Stream, Wire, connect};
use rustls::StreamOwned;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// How many connections are open at a time.
const SIDE_BY_SIDE: usize = 16;

/// A connection to be closed is closed before this: a client that is read from for a while longer must not wait for that.
const PROMPTLY: Duration = Duration::from_secs(4);

/// What follows on a connection that is to be closed: nobody may get it.
const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

/// What follows on a connection that is to stay.
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n";

/// A client's stream behind TLS.
type Secured = StreamOwned<rustls::ClientConnection, TcpStream>;

/// The client's side of TLS.
struct Tls(Secured);

impl std::io::Read for Tls {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(bytes)
    }
}

impl std::io::Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Stream for Tls {
    fn end(&mut self) {
        self.0.conn.send_close_notify();
        let _ = self.0.flush();
        self.0.sock.end();
    }
}

/// One case over one listener. Its source address tells its requests from all others.
struct Run<'a> {
    case: &'a Case,
    tls: Option<&'a Client>,
    listener: SocketAddr,
    source: IpAddr,
}

impl Run<'_> {
    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// What the client got that it should not.
    fn client(&self) -> Result<(), String> {
        let stream = connect(self.source, self.listener);
        match self.tls {
            None => self.exchange(Wire::over(stream)),
            Some(client) => self.exchange(Wire::over(Tls(client.over(stream, "a")))),
        }
    }

    fn exchange(&self, mut wire: Wire<impl Stream>) -> Result<(), String> {
        let Case {
            sent,
            half_closes,
            statuses,
            stays,
            ..
        } = self.case;
        let mut bytes = sent.clone();
        if !half_closes && !stays {
            bytes.extend_from_slice(SMUGGLED);
        }
        wire.write(bytes);
        if *half_closes {
            wire.end();
        }
        let method = if sent.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
        for status in statuses {
            let response = wire.response(method).ok_or(format!("no {status}"))?;
            check_response(&response, *status)?;
        }
        if *stays {
            wire.write(NEXT);
            let response = wire.response("GET").ok_or("the connection does not stay")?;
            check_response(&response, 200)
        } else {
            let begun = Instant::now();
            let ends = wire.ends() && begun.elapsed() < PROMPTLY;
            let fault = "the connection does not end at once, in good order, without another byte";
            ends.then_some(()).ok_or_else(|| fault.to_owned())
        }
    }

    /// What the gateway got that it should not.
    fn gateway(&self, seen: &[Message]) -> Result<(), String> {
        let next = Expected::next();
        let expected = self.case.requests.iter().chain(self.case.stays.then_some(&next));
        let mut seen = seen.iter();
        for expected in expected {
            match seen.next() {
                Some(request) => expected.check(request, self.scheme(), self.source)?,
                None if expected.is_cut => {}
                None => return Err(format!("the gateway did not get {}", expected.line)),
            }
        }
        match seen.next() {
            Some(another) => Err(format!("the gateway got {}", another.head)),
            None => Ok(()),
        }
    }
}

fn check_response(response: &Message, status: u16) -> Result<(), String> {
    let head = &response.head;
    if response.status() != status || !response.is_whole {
        return Err(format!("not {status}, or not whole: {head}"));
    }
    // Such a response is Portolan's own.
    let says_why = String::from_utf8_lossy(&response.body).contains("\"request_id\":");
    if status >= 400 && !(says_why && response.closes()) {
        return Err(format!("does not say why, or does not close: {head}"));
    }
    Ok(())
}

#[test]
fn requests_are_answered_and_forwarded_as_the_corpus_says() {
    let cases = Case::all();
    assert!(cases.len() >= 200, "{}", cases.len());
    let authority = Authority::new("Root");
    let (certificate, key) = authority.issue(&["a"]);
    let gateway = RawGateway::start();
    let setup = Setup::regions(&[]).other("westeurope", gateway.address());
    let world = setup
        .service(super::PLAIN)
        .file("tls.crt", certificate)
        .file("tls.key", key)
        .listeners(
            "- address: 127.0.0.1:0\n- address: 127.0.0.1:0\n  name: secure\n  tls: { certificate: tls.crt, private_key: tls.key }",
        )
        .start();
    let client = authority.client();
    let listeners = world.app().listeners();
    let runs = [None, Some(&client)].into_iter().zip(listeners).zip(1..);
    let runs: Vec<_> = runs
        .flat_map(|((tls, listener), network)| {
            cases.iter().zip(0_u16..).map(move |(case, index)| Run {
                case,
                tls,
                listener,
                source: source(network, index),
            })
        })
        .collect();
    let (next, faults) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(run) = runs.get(next.fetch_add(1, Relaxed)) {
                    if let Err(fault) = run.client() {
                        faults.lock().expect("no panic").insert(run.source, fault);
                    }
                }
            });
        }
    });
    let mut faults = faults.into_inner().expect("no panic");
    // Nothing is under way any more.
    drop(world);
    gateway.until_closed(gateway.connections());
    let mut seen: BTreeMap<IpAddr, Vec<Message>> = BTreeMap::new();
    for request in gateway.seen() {
        seen.entry(case::source(&request)).or_default().push(request);
    }
    for run in &runs {
        let seen = seen.remove(&run.source).unwrap_or_default();
        if let Err(fault) = run.gateway(&seen) {
            let before = faults.remove(&run.source).map_or_else(String::new, |it| it + "; ");
            faults.insert(run.source, before + &fault);
        }
    }
    let faults: Vec<_> = runs
        .iter()
        .filter_map(|run| {
            let fault = faults.get(&run.source)?;
            Some(format!("{} {}: {fault}", run.scheme(), run.case.name))
        })
        .collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(seen.is_empty(), "of no case: {seen:#?}");
}

/// An address of the loopback interface.
fn source(network: u8, index: u16) -> IpAddr {
    let [high, low] = index.to_be_bytes();
    Ipv4Addr::new(127, network, high, low).into()
}
