//! The addresses of a gateway's name: they move, there are several, some of them fail.

use portolan_core::endpoint::EndpointState;
use portolan_core::health::{Evidence, State};
use portolan_tests::raw::{RawGateway, Reply};
use portolan_tests::{NameServer, Request, Sent, Setup, Steady, World, from};
use std::net::IpAddr;
use tokio::task::JoinSet;

/// What a gateway answers that [`Steady`] counts as good.
const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n{\"region\":\"westeurope\"}\r\n";

/// The same, and the connection ends.
const ONCE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 24\r\n\r\n{\"region\":\"westeurope\"}\r\n";

const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

/// The proxy before a region by the name `gw.test`, which has these addresses, given by their last part.
struct Scene {
    server: NameServer,
    gateways: Vec<RawGateway>,
    world: World,
}

impl Scene {
    /// There are gateways at all of these addresses. The name has the `first` ones of them.
    fn new(last: &[u8], first: usize, service: &str) -> Self {
        Self::of(Setup::regions(&[]), last, first, service)
    }

    fn of(setup: Setup, last: &[u8], first: usize, service: &str) -> Self {
        let gateways = RawGateway::start_all(last);
        for gateway in &gateways {
            gateway.says(GOOD);
        }
        let server = NameServer::start();
        point(&server, &gateways[..first]);
        let setup = setup
            .other("westeurope", gateways[0].address())
            .by_name("westeurope", "gw.test")
            .service(service)
            .with(&format!("resolvers: [\"{}\"]", server.address()));
        Self {
            world: setup.start(),
            server,
            gateways,
        }
    }

    /// The name has the address of this gateway alone from now on, and the proxy knows it: because it looks at once, or
    /// when the last answer is not good any more.
    async fn move_to(&self, gateway: usize, at_once: bool) {
        let gateways = &self.gateways[gateway..=gateway];
        point(&self.server, gateways);
        if at_once {
            self.world.app().reload();
        }
        let address = gateways[0].address();
        self.until(&format!("the name has {address}"), |endpoints| {
            endpoints.iter().map(|it| it.0).eq([address.ip()])
        })
        .await;
    }

    /// Waits until the proxy sees the endpoints so.
    async fn until(&self, what: &str, so: impl Fn(&[(IpAddr, EndpointState)]) -> bool) {
        let vitals = self.world.vitals("westeurope");
        let endpoints = || {
            let status = vitals.endpoints.status(std::time::Instant::now());
            status.iter().map(|it| (it.address.ip(), it.state)).collect::<Vec<_>>()
        };
        self.world.poll(what, || so(&endpoints())).await;
    }

    /// Waits until so many more requests have come to a gateway.
    async fn until_seen(&self, gateway: usize, count: usize) {
        let seen = std::cell::Cell::new(0);
        let what = format!("{count} requests have come to gateway {gateway}");
        let gateway = &self.gateways[gateway];
        self.world
            .poll(&what, || {
                seen.set(seen.get() + gateway.seen().len());
                seen.get() >= count
            })
            .await;
    }

    /// Sends so many requests at once, which may fail.
    fn send(&self, count: usize, request: &Request) -> JoinSet<Option<u16>> {
        let mut sent = JoinSet::new();
        for _ in 0..count {
            let (proxy, request) = (self.world.proxy(), request.clone());
            sent.spawn(async move { Some(portolan_tests::send(proxy, &request).await.status.as_u16()) });
        }
        sent
    }
}

/// The name has the addresses of these gateways from now on.
fn point(server: &NameServer, gateways: &[RawGateway]) {
    let addresses: Vec<_> = gateways.iter().map(|it| it.address().ip().to_string()).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    server.set("gw.test", 1, &addresses);
}

fn check_all_good(sent: &[Sent]) {
    let lost: Vec<_> = sent.iter().filter(|it| !it.is_good()).collect();
    assert!(
        lost.is_empty(),
        "{} of {} lost: {:?}",
        lost.len(),
        sent.len(),
        lost.first()
    );
}

#[tokio::test]
async fn a_record_that_moves_takes_the_traffic_along() {
    let scene = Scene::new(&[1, 2], 1, "health_check: { path: /healthz, interval: 1s }");
    let load = Steady::start(scene.world.proxy(), 100, from::BRITAIN);
    scene.until_seen(0, 50).await;
    // The time to live is a second.
    point(&scene.server, &scene.gateways[1..]);
    let moved = std::time::Instant::now();
    let new = scene.gateways[1].address().ip();
    scene
        .until("the name has moved", |endpoints| endpoints.iter().all(|it| it.0 == new))
        .await;
    assert!(moved.elapsed().as_secs() < 3, "{:?}", moved.elapsed());
    // What began before may still arrive.
    scene.until_seen(1, 20).await;
    scene.gateways[0].seen();
    scene.until_seen(1, 100).await;
    let late = scene.gateways[0].seen();
    check_all_good(&load.stop());
    assert_eq!(late, [], "on the address that is gone");
    // Idle connections to it are closed.
    let old = &scene.gateways[0];
    scene
        .world
        .poll("no connection to it is left", || old.open() == 0)
        .await;
    assert_eq!(scene.world.vitals("westeurope").totals().of(Evidence::Reset), 0);
}

/// Resident memory of this process in bytes: the proxy's, the gateways' and the clients'.
fn memory() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).and_then(|it| it.parse::<u64>().ok());
    pages.expect("a number") * 4096
}

#[tokio::test]
async fn fifty_moves_in_a_row_leave_no_connections_behind() {
    fifty_moves(true).await;
}

/// As the name servers say: its time to live is a second. Memory is that of the process, so it runs alone.
#[tokio::test]
#[ignore = "takes a minute, and measures the memory of the process"]
async fn fifty_moves_at_a_time_to_live_of_a_second_leave_nothing_behind() {
    let grown = fifty_moves(false).await;
    println!("{} KiB of memory more in forty moves", grown >> 10);
    assert!(grown < 8 << 20, "{} MiB in forty moves", grown >> 20);
}

/// Returns by how many bytes the last forty moves let the process grow.
async fn fifty_moves(at_once: bool) -> u64 {
    // A machine that pauses for half a second is no address that does not answer.
    let service = "health_check: off\ntimeouts: { connect: 10s }";
    let scene = Scene::new(&[1, 2], 1, service);
    let load = Steady::start(scene.world.proxy(), 200, from::BRITAIN);
    let mut after_ten = 0;
    for turn in 1..=50 {
        scene.move_to(turn % 2, at_once).await;
        scene.until_seen(turn % 2, 10).await;
        if turn == 10 {
            after_ten = memory();
        }
    }
    let after_fifty = memory();
    // Only those to the address that is there. Others are closed within a second.
    let (there, gone) = (&scene.gateways[0], &scene.gateways[1]);
    scene.world.poll("connections are closed", || gone.open() == 0).await;
    assert!(there.open() < 50, "{}", there.open());
    let sent = load.stop();
    check_all_good(&sent);
    println!("{} requests, none lost", sent.len());
    after_fifty.saturating_sub(after_ten)
}

#[tokio::test]
async fn what_an_address_does_that_is_gone_is_no_evidence() {
    let service = "health_check: off\nretry: { per_try_timeout: 1s, hedge_after: off }";
    let scene = Scene::of(Setup::regions(&["eastus2"]), &[1, 2], 1, service);
    scene.gateways[0].replies([Reply::Hang]);
    let get = Request::get("/").from(from::BRITAIN);
    let sent = scene.send(8, &get);
    scene.until_seen(0, 8).await;
    scene.move_to(1, true).await;
    // They time out at the address that is gone, and another region answers.
    assert_eq!(sent.join_all().await, [Some(200); 8]);
    let totals = scene.world.vitals("westeurope").totals();
    assert_eq!(totals.iter().map(|(_, count)| count).sum::<u64>(), 0, "{totals:?}");
    assert_eq!(scene.send(1, &get).join_all().await, [Some(200)]);
    assert_eq!(scene.gateways[1].seen().len(), 1);
}

#[tokio::test]
async fn new_connections_go_to_the_least_loaded_address() {
    let scene = Scene::new(&[1, 2, 3, 4], 4, "health_check: off");
    let get = Request::get("/").from(from::BRITAIN);
    for gateway in &scene.gateways {
        gateway.replies([Reply::Hang]);
    }
    let mut sent = Vec::new();
    for count in 1..=12 {
        sent.push(scene.send(1, &get));
        let opened = || scene.gateways.iter().map(RawGateway::connections).sum::<usize>() == count;
        scene.world.poll("another connection is open", opened).await;
    }
    let each: Vec<_> = scene.gateways.iter().map(RawGateway::connections).collect();
    assert_eq!(each, [3; 4]);
}

#[tokio::test]
async fn equally_loaded_addresses_take_turns() {
    let scene = Scene::new(&[1, 2, 3, 4], 4, "health_check: off");
    let get = Request::get("/").from(from::BRITAIN);
    for gateway in &scene.gateways {
        gateway.says(ONCE);
    }
    for _ in 0..40 {
        assert_eq!(scene.world.send(get.clone()).await.status, 200);
    }
    let each: Vec<_> = scene.gateways.iter().map(|it| it.seen().len()).collect();
    assert!(each.iter().all(|count| (6..=14).contains(count)), "{each:?}");
}

#[tokio::test]
async fn an_address_that_refuses_connections_costs_no_request() {
    let scene = Scene::new(&[1, 2, 3], 3, "health_check: off");
    let mut gateways = scene.gateways;
    let dead = gateways.remove(0).address();
    let refuses = || std::net::TcpStream::connect(dead).is_err();
    scene.world.poll("its port is closed", refuses).await;
    for gateway in &gateways {
        gateway.says(ONCE);
    }
    let vitals = scene.world.vitals("westeurope");
    for _ in 0..40 {
        assert_eq!(scene.world.send(Request::get("/")).await.status, 200);
    }
    assert_eq!(vitals.totals().of(Evidence::ConnectFailed), 0);
    let regions = scene.world.admin(Request::get("/api/v1/regions")).await.json();
    let endpoints = regions["services"][0]["regions"][0]["endpoints"]
        .as_array()
        .expect("a list")
        .clone();
    let state = |it: &&serde_json::Value| it["state"] == "ejected";
    let ejected: Vec<_> = endpoints.iter().filter(state).map(|it| it["address"].clone()).collect();
    assert_eq!((endpoints.len(), ejected), (3, vec![dead.to_string().into()]));
    let metrics = scene.world.admin(Request::get("/metrics")).await.text();
    let line = "portolan_upstream_endpoints{service=\"shop\",region=\"westeurope\",state=\"ejected\"} 1";
    assert!(metrics.lines().any(|it| it == line), "{metrics}");
}

#[tokio::test]
async fn an_address_that_fails_is_ejected_and_its_region_is_not() {
    let scene = Scene::new(&[1, 2, 3], 3, "health_check: off");
    scene.gateways[0].says(BUSY);
    let mut failed = 0;
    for _ in 0..60 {
        failed += usize::from(scene.world.send(Request::get("/")).await.status != 200);
    }
    // Five in a row of this address.
    assert_eq!((failed, scene.gateways[0].seen().len()), (5, 5));
    let state = |it: &(IpAddr, EndpointState)| it.1 == EndpointState::Ejected;
    scene
        .until("one is ejected", |endpoints| {
            endpoints.iter().filter(|it| state(it)).count() == 1
        })
        .await;
    scene.world.until_state("westeurope", State::Healthy).await;
}

#[tokio::test]
async fn an_address_that_hangs_is_ejected() {
    let service = "health_check: off\nretry: { per_try_timeout: 100ms, hedge_after: off }";
    let scene = Scene::of(Setup::regions(&["eastus2"]), &[1, 2], 2, service);
    scene.gateways[0].replies([Reply::Hang]);
    scene.gateways[1].says(ONCE);
    let get = Request::get("/").from(from::BRITAIN);
    // One after the other: each second one hangs, and another region answers it.
    for _ in 0..40 {
        assert_eq!(scene.world.send(get.clone()).await.status, 200);
    }
    assert_eq!(scene.gateways[0].seen().len(), 5);
    scene
        .until("one is ejected", |endpoints| {
            endpoints
                .iter()
                .map(|it| it.1)
                .eq([EndpointState::Ejected, EndpointState::Available])
        })
        .await;
}

#[tokio::test]
async fn probes_ask_each_address() {
    let service = "health_check: { path: /healthz, interval: 100ms, timeout: 100ms }";
    let scene = Scene::new(&[1, 2], 2, service);
    scene.world.until_state("westeurope", State::Healthy).await;
    scene.gateways[0].says(BUSY);
    let states = |first, second| move |it: &[(IpAddr, EndpointState)]| it.iter().map(|it| it.1).eq([first, second]);
    let (good, bad) = (EndpointState::Available, EndpointState::Unhealthy);
    scene.until("one is unhealthy", states(bad, good)).await;
    // No client asked it since.
    for _ in 0..20 {
        assert_eq!(scene.world.send(Request::get("/")).await.status, 200);
    }
    scene.world.until_state("westeurope", State::Healthy).await;
    scene.gateways[0].says(GOOD);
    scene.until("it is back", states(good, good)).await;
    for gateway in &scene.gateways {
        gateway.says(BUSY);
    }
    scene.world.until_state("westeurope", State::Unhealthy).await;
}
