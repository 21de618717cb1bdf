//! HTTP/1.1 byte by byte, towards clients and towards gateways: hop-by-hop fields are removed, and ambiguous messages are not
//! forwarded (RFC 9112, section 11).

mod answers;
mod bodies;
mod corpus;
mod ends;
mod fields;
mod heads;
mod interim;
mod lines;
mod loops;
mod requests;
mod reuse;
mod rewrite;
mod streams;

use portolan_core::health::Evidence;
use portolan_tests::raw::{Message, RawGateway, Wire};
use portolan_tests::{Setup, World};

/// Nothing but what a test sends reaches the gateway.
const PLAIN: &str = "health_check: off";

/// The proxy in front of one region with a scripted gateway.
struct Scene {
    world: World,
    gateway: RawGateway,
}

impl Scene {
    fn new() -> Self {
        Self::of(PLAIN)
    }

    /// With these lines in the service.
    fn of(service: &str) -> Self {
        Self::made(|setup| setup.service(service))
    }

    /// With these lines at the top level.
    fn with(lines: &str) -> Self {
        Self::made(|setup| setup.service(PLAIN).with(lines))
    }

    fn made(setup: impl FnOnce(Setup) -> Setup) -> Self {
        let gateway = RawGateway::start();
        let plain = Setup::regions(&[]).other("westeurope", gateway.address());
        Self {
            world: setup(plain).start(),
            gateway,
        }
    }

    /// A client's connection.
    fn client(&self) -> Wire {
        Wire::open(self.world.proxy())
    }

    /// Sends a request on a connection of its own. `None` when it was closed without a whole head.
    fn try_ask(&self, request: impl AsRef<[u8]>) -> Option<Message> {
        let request = request.as_ref();
        let mut client = self.client();
        client.write(request);
        client.response(if request.starts_with(b"HEAD ") { "HEAD" } else { "GET" })
    }

    /// Sends a request that is answered.
    #[track_caller]
    fn ask(&self, request: impl AsRef<[u8]>) -> Message {
        let request = request.as_ref();
        let asked = self.try_ask(request);
        asked.unwrap_or_else(|| panic!("no answer to {}", request.escape_ascii()))
    }

    /// Sends a `GET` to a gateway that answers it like this.
    #[track_caller]
    fn answer(&self, answer: impl AsRef<[u8]>) -> Message {
        self.gateway.says(answer);
        self.ask(GET)
    }

    /// The one request that came to the gateway.
    #[track_caller]
    fn seen(&self) -> Message {
        let mut seen = self.gateway.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen.remove(0)
    }

    /// Waits until the gateway has given so many good answers, whole, and so many that broke.
    async fn until_observed(&self, good: u64, broken: u64) {
        self.until_counted(&[(Evidence::Success, good), (Evidence::Reset, broken)])
            .await;
    }

    /// Waits until this was counted of the gateway, and nothing else.
    async fn until_counted(&self, counts: &[(Evidence, u64)]) {
        let mut wanted = [0; Evidence::ALL.len()];
        for (evidence, count) in counts {
            wanted[*evidence as usize] = *count;
        }
        self.world.until_observed("westeurope", wanted).await;
    }
}

const GET: &str = "GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n";

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
