//! OpenTelemetry's protocol (OTLP 1, over HTTP, in protobuf): <https://opentelemetry.io/docs/specs/otlp/>.
//!
//! | module | what it does |
//! |---|---|
//! | [`target`] | where a collector is, and what it is told of this program: of the configuration, else of the environment |
//! | [`traces`], [`metrics`] | what was measured, as messages |
//! | `attributes` | names and values |
//! | [`client`] | one message to the collector, and what became of it |

mod attributes;
pub mod client;
pub mod metrics;
pub mod target;
pub mod traces;
