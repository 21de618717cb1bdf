//! A name server that does as it is told, on a loopback address, over UDP and TCP.

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How the tests wait for queries.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest message that fits into a datagram without EDNS.
const DATAGRAM: usize = 512;

/// How questions are replied to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// With what there is.
    #[default]
    Ok,
    /// Not at all.
    Drop,
    /// With SERVFAIL.
    ServFail,
    /// With REFUSED.
    Refused,
    /// With NOTIMP.
    NotImp,
    /// With FORMERR.
    FormErr,
    /// There is no such name.
    NxDomain,
    /// There are no such records.
    NoData,
    /// Over UDP only that the rest comes over TCP.
    Truncated,
}

/// A query that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The name, in lower case, without final dot.
    pub name: String,
    /// `A` or `AAAA`.
    pub kind: RecordType,
    /// Whether it came over TCP.
    pub tcp: bool,
}

/// The name server. It has threads of its own, so that it answers while a test blocks.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<Script>,
    queries: Mutex<Vec<Query>>,
    stopping: AtomicBool,
}

#[derive(Debug, Default)]
struct Script {
    mode: Mode,
    tcp_mode: Mode,
    delay: Duration,
    names: HashMap<String, Records>,
}

#[derive(Clone, Debug, Default)]
struct Records {
    addresses: Vec<IpAddr>,
    alias: Option<(String, bool)>,
    ttl: u32,
    modes: HashMap<RecordType, Mode>,
    /// Turns the addresses by one with each response.
    rotation: Option<usize>,
}

impl NameServer {
    /// Starts one on a free port. It knows no name.
    pub fn start() -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Starts one at this address.
    pub fn at(address: SocketAddr) -> Self {
        let (udp, tcp) = bind(address);
        let address = udp.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let (one, other) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            thread::spawn(move || one.serve_udp(&udp)),
            thread::spawn(move || other.serve_tcp(&tcp)),
        ];
        Self {
            address,
            shared,
            threads,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A name has these addresses, of either family, for so many seconds. Modes of the name end.
    pub fn set(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        let records = Records {
            addresses,
            ttl,
            ..Records::default()
        };
        self.script().names.insert(name.to_owned(), records);
    }

    /// A name is an alias; its target is looked up for the client, or left to it.
    pub fn alias(&self, name: &str, ttl: u32, target: &str, chased: bool) {
        let records = Records {
            alias: Some((target.to_owned(), chased)),
            ttl,
            ..Records::default()
        };
        self.script().names.insert(name.to_owned(), records);
    }

    /// A name's addresses change their order from response to response.
    pub fn rotate(&self, name: &str) {
        self.script().names.entry(name.to_owned()).or_default().rotation = Some(0);
    }

    /// A name is not there any more.
    pub fn remove(&self, name: &str) {
        self.script().names.remove(name);
    }

    /// Questions for one type of a name's records are replied to like this.
    pub fn mode_of(&self, name: &str, kind: RecordType, mode: Mode) {
        self.script()
            .names
            .entry(name.to_owned())
            .or_default()
            .modes
            .insert(kind, mode);
    }

    /// All questions are replied to like this.
    pub fn mode(&self, mode: Mode) {
        let mut script = self.script();
        (script.mode, script.tcp_mode) = (mode, mode);
    }

    /// Questions over TCP are replied to like this.
    pub fn tcp_mode(&self, mode: Mode) {
        self.script().tcp_mode = mode;
    }

    /// Every response takes so long.
    pub fn delay(&self, delay: Duration) {
        self.script().delay = delay;
    }

    /// The queries so far.
    pub fn queries(&self) -> Vec<Query> {
        lock(&self.shared.queries).clone()
    }

    /// How often a name was asked for.
    pub fn count(&self, name: &str) -> usize {
        self.queries().iter().filter(|query| query.name == name).count()
    }

    /// Waits until a name was asked for so often, by looking every millisecond.
    pub async fn wait_for(&self, name: &str, count: usize) {
        let looks = async {
            let mut looks = tokio::time::interval(Duration::from_millis(1));
            while self.count(name) < count {
                looks.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, looks)
            .await
            .unwrap_or_else(|_| panic!("{name} was never asked for {count} times: {:?}", self.queries()));
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        lock(&self.shared.script)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        // Something to wake up by.
        let _ = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| socket.send_to(&[], self.address));
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            // A panic was reported where it happened.
            let _ = thread.join();
        }
    }
}

/// Both protocols on the same port.
fn bind(address: SocketAddr) -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind(address).expect("a free port");
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("an address")) {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

impl Shared {
    fn serve_udp(self: &Arc<Self>, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            if self.stopping.load(Ordering::Relaxed) {
                return;
            }
            let Ok(query) = Message::from_vec(&buffer[..length]) else {
                continue;
            };
            let Some((response, delay)) = self.respond(&query, false) else {
                continue;
            };
            if delay.is_zero() {
                let _ = socket.send_to(&response, peer);
                continue;
            }
            let socket = socket.try_clone().expect("a descriptor");
            thread::spawn(move || {
                thread::sleep(delay);
                socket.send_to(&response, peer)
            });
        }
    }

    fn serve_tcp(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.stopping.load(Ordering::Relaxed) {
                return;
            }
            let shared = Arc::clone(self);
            // Ends with its client, which closes after one response.
            thread::spawn(move || stream.and_then(|mut stream| shared.serve_stream(&mut stream)));
        }
    }

    fn serve_stream(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut message = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut message)?;
            let query = Message::from_vec(&message).map_err(io::Error::other)?;
            if let Some((response, delay)) = self.respond(&query, true) {
                thread::sleep(delay);
                let length = u16::try_from(response.len()).expect("a short response");
                stream.write_all(&[&length.to_be_bytes()[..], &response].concat())?;
            }
        }
    }

    /// The response to a query and when it is due; `None` when there is none.
    fn respond(&self, query: &Message, tcp: bool) -> Option<(Vec<u8>, Duration)> {
        let question = query.queries.first()?;
        let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let kind = question.query_type();
        lock(&self.queries).push(Query {
            name: name.clone(),
            kind,
            tcp,
        });
        let mut script = lock(&self.script);
        let delay = script.delay;
        let records = script.names.get(&name);
        let own = records.and_then(|records| records.modes.get(&kind)).copied();
        let whole = if tcp { script.tcp_mode } else { script.mode };
        let mode = if whole == Mode::Ok {
            own.unwrap_or_default()
        } else {
            whole
        };
        let mut response = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        response.metadata.recursion_desired = true;
        response.metadata.recursion_available = true;
        response.queries = query.queries.clone();
        let code = match mode {
            Mode::Drop => return None,
            Mode::ServFail => ResponseCode::ServFail,
            Mode::Refused => ResponseCode::Refused,
            Mode::NotImp => ResponseCode::NotImp,
            Mode::FormErr => ResponseCode::FormErr,
            Mode::NxDomain => ResponseCode::NXDomain,
            Mode::NoData => ResponseCode::NoError,
            Mode::Truncated if !tcp => {
                response.metadata.truncation = true;
                ResponseCode::NoError
            }
            Mode::Ok | Mode::Truncated => script.answer(&name, kind, &mut response.answers),
        };
        response.metadata.response_code = code;
        let is_negative = matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
        if is_negative && response.answers.is_empty() && !response.metadata.truncation {
            response.authorities.push(soa());
        }
        let bytes = response.to_vec().expect("a response");
        if bytes.len() > DATAGRAM && !tcp {
            response.answers.clear();
            response.metadata.truncation = true;
            return Some((response.to_vec().expect("a response"), delay));
        }
        Some((bytes, delay))
    }
}

impl Script {
    /// What there is of a name.
    fn answer(&mut self, name: &str, kind: RecordType, answers: &mut Vec<Record>) -> ResponseCode {
        let Some(records) = self.names.get_mut(name) else {
            return ResponseCode::NXDomain;
        };
        let owner = Name::from_ascii(format!("{name}.")).expect("a name");
        if let Some((target, chased)) = records.alias.clone() {
            let alias = Name::from_ascii(format!("{target}.")).expect("a name");
            answers.push(Record::from_rdata(owner, records.ttl, RData::CNAME(CNAME(alias))));
            return match chased {
                true => self.answer(&target, kind, answers),
                false => ResponseCode::NoError,
            };
        }
        let mut addresses = records.addresses.clone();
        if let Some(turn) = &mut records.rotation {
            let by = *turn % addresses.len().max(1);
            addresses.rotate_left(by);
            *turn += 1;
        }
        let data = addresses.into_iter().map(RData::from);
        let data = data.filter(|data| data.record_type() == kind);
        answers.extend(data.map(|data| Record::from_rdata(owner.clone(), records.ttl, data)));
        ResponseCode::NoError
    }
}

/// It keeps absences for five seconds.
fn soa() -> Record {
    let name = |text: &str| Name::from_ascii(text).expect("a name");
    let soa = SOA::new(name("ns.example."), name("host.example."), 1, 60, 60, 60, 5);
    Record::from_rdata(name("example."), 5, RData::SOA(soa))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
