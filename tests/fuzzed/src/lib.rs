//! What is fuzzed: each function takes any bytes and panics when something is wrong. `tests/fuzz` runs them with a sanitizer,
//! `tests/it/fuzz.rs` replays the committed corpora with them.
//!
//! The modules that are fuzzed come straight from the source of the proxy, at the same places below the root of the crate, so
//! that a fuzz target is built in a minute, without wasmtime. Their unit tests are for their own crate.

#![cfg(not(test))]

mod checks;

#[allow(dead_code, unreachable_pub, reason = "written for the proxy, which uses all of it")]
#[path = "../../../host/src"]
mod host {
    pub(crate) mod affinity {
        pub(crate) mod token;
    }
    pub(crate) mod chunks;
    pub(crate) mod fields;
    pub(crate) mod lines;
    pub(crate) mod message;
    pub(crate) mod server {
        pub(crate) mod connection {
            pub(crate) mod head;
            pub(crate) mod remaining;
        }
    }
    pub(crate) mod service_tags {
        pub(crate) mod file;
    }
}

// Where they are in the proxy.
pub(crate) use host::{chunks, fields, lines, message};

#[allow(dead_code, unreachable_pub, reason = "written for the proxy, which uses all of it")]
#[path = "../../../host/src/upstream"]
mod upstream {
    mod head;
    mod interim;
    mod malformed;
    mod http1 {
        pub(super) mod response;
    }
    #[path = "../../../tests/fuzzed/src/messages.rs"]
    pub(crate) mod messages;
}

#[allow(
    dead_code,
    unexpected_cfgs,
    reason = "written for the proxy, with its features and uses"
)]
#[path = "../../../host/src/config"]
mod config {
    mod document;
    #[path = "../../../tests/fuzzed/src/documents.rs"]
    pub(crate) mod documents;
}

pub use checks::affinity::affinity;
pub use checks::http1::{chunks, response};
pub use checks::identity::identity;
pub use checks::location::{location_table, maxmind};
pub use checks::proxy_protocol::proxy_protocol;
pub use checks::request::request;
pub use checks::service_tags::service_tags;
pub use checks::yaml::yaml;
