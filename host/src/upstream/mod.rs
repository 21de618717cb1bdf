//! The upstream side: gateways, the connections to them, and what is sent.
//!
//! | module | what it does |
//! |---|---|
//! | [`target`] | a gateway as requests use it, prepared when the routing table is built |
//! | [`dial`], `connecting` | opening connections; which version of HTTP a gateway speaks |
//! | [`forward`], `hedge` | runs an attempt plan; hedged requests |
//! | [`budget`] | the retry budget |
//! | [`pool`], `in_flight` | one worker's connections, and exchanges over them |
//! | `multiplexed` | exchanges over HTTP/2 |
//! | `idle_pool`, `link` | idle connections, and which of them a request may take |
//! | `exchange`, [`body`], `terms` | a response, its body as it is streamed to the client, and errors |
//! | `ending` | what ends a response besides its body |
//! | `waiting` | attempts that are over before their answer: overtaken or given up |
//! | `timers` | the time limits of attempts |
//! | `progress`, `blame` | what is known of running attempts; whose fault failures may be |
//! | [`request`], [`requested`], [`replay`] | what is sent: the head, what the client asked for, and a body that can be sent again |
//! | `http1` | HTTP/1.1: a request written, a response read |
//! | `http2` | HTTP/2: connections that carry many streams, and which of them a request takes |
//! | `incoming` | a connection of HTTP/1.1, or a stream of HTTP/2, that carries an exchange |
//! | `head`, `malformed`, `error` | the head of a response, what is wrong with it, and why there is none, whatever protocol carries it |
//! | `rewrite` | a gateway's own name in its responses |
//! | `interim` | where interim responses go |
//! | `load_report` | how busy a gateway says it is |
//! | `upgrade`, [`tunnel`] | requests for another protocol; connections that changed to one |
//! | `via` | requests that come back to this instance |

mod blame;
pub mod body;
pub mod budget;
pub mod clock;
mod connecting;
pub mod dial;
mod ending;
mod error;
mod exchange;
pub mod forward;
mod head;
mod hedge;
mod http1;
mod http2;
mod idle;
mod idle_pool;
mod in_flight;
mod incoming;
mod interim;
mod link;
mod load_report;
mod malformed;
mod multiplexed;
pub mod pool;
mod progress;
pub mod replay;
pub mod request;
mod requested;
mod rewrite;
pub mod target;
mod terms;
mod timers;
pub mod tunnel;
pub mod upgrade;
mod via;
mod waiting;

pub use body::UpstreamBody;
pub use budget::SharedBudget;
pub use dial::Dialer;
pub use forward::{AttemptSpan, ForwardError, Forwarded, Forwarder};
pub use interim::InterimSink;
pub use pool::Connections;
pub use replay::ReplayBody;
pub use request::{Forwarding, Outbound, Tracing};
pub use requested::requested;
pub use target::GatewayTarget;
pub use tunnel::{Tunnel, TunnelLimits};
pub use via::Via;
