//! What a line of the access log looks like.

use super::passed_on::PassedOn;
use super::{Attempt, RequestData};
use crate::vitals::RequestOutcome;
use http::Version;
use portolan_core::config::{Policy, Service};
use portolan_core::decision::RankedBy;
use portolan_core::id::Slot;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use std::fmt::Display;
use std::time::{Duration, SystemTime};

/// One request as one JSON object. What is not known is left out. Written straight into the log's buffer: making a line
/// allocates nothing.
pub(super) struct Line<'a> {
    pub(super) data: &'a RequestData,
    pub(super) outcome: RequestOutcome,
    pub(super) total: Duration,
    pub(super) served: Option<Served<'a>>,
    pub(super) now: SystemTime,
    /// How many requests it stands for, in thousandths.
    weight: u32,
}

/// The service that a request came to.
#[derive(Clone, Copy)]
pub(super) struct Served<'a> {
    pub(super) service: &'a Service,
    /// The name of the reason that its plugin gave.
    pub(super) plugin_reason: Option<&'a str>,
}

impl<'a> Line<'a> {
    pub(super) fn new(
        data: &'a RequestData,
        outcome: RequestOutcome,
        total: Duration,
        served: Option<Served<'a>>,
        (now, weight): (SystemTime, u32),
    ) -> Self {
        Self {
            data,
            outcome,
            total,
            served,
            now,
            weight,
        }
    }

    pub(super) fn region(&self, slot: Slot) -> &'a str {
        let gateway = self.served.and_then(|served| served.service.gateway(slot));
        gateway.map_or("", |gateway| gateway.region.as_str())
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { data, served, .. } = self;
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("time", &Text(humantime::format_rfc3339_micros(self.now)))?;
        if let Some(trace) = data.trace {
            line.serialize_entry("trace", &Text(format_args!("{trace:032x}")))?;
        }
        if let Some(id) = &data.request_id {
            line.serialize_entry("request_id", id.as_str())?;
        }
        line.serialize_entry("client", &Text(data.client.addr))?;
        line.serialize_entry("client_from", data.client.source.as_str())?;
        if let Some(country) = data.country.as_str() {
            line.serialize_entry("country", country)?;
        }
        if let Some(asked) = &data.asked {
            line.serialize_entry("protocol", protocol(asked.version))?;
            line.serialize_entry("method", asked.method.as_str())?;
            let authority = asked.uri.authority().map(|authority| authority.as_str());
            let host = asked.host.as_ref().and_then(|host| host.to_str().ok());
            line.serialize_entry("host", &authority.or(host))?;
            // Without the query: that is where secrets are.
            line.serialize_entry("path", asked.uri.path())?;
            if let Some(passed_on) = asked.proxy_header.as_deref().and_then(PassedOn::of) {
                line.serialize_entry("proxy_protocol", &passed_on)?;
            }
        }
        if let Some(status) = data.status {
            line.serialize_entry("status", &status.as_u16())?;
        }
        if let Some(status) = data.call.and_then(|call| call.status) {
            line.serialize_entry("grpc_status", status.as_str())?;
        }
        line.serialize_entry("outcome", self.outcome.as_str())?;
        if let Some(reason) = data.reason {
            line.serialize_entry("error", reason.as_str())?;
        }
        if let Some(served) = served {
            line.serialize_entry("service", served.service.name.as_str())?;
        }
        if let Some(slot) = data.answered_by {
            line.serialize_entry("region", self.region(slot))?;
        }
        line.serialize_entry("attempts", &Attempts(self))?;
        if let Some(withheld) = data.withheld {
            line.serialize_entry("no_retry", withheld.as_str())?;
        }
        if let Some(decided) = &data.decided {
            let by = decided.cause.by;
            line.serialize_entry("by", by.as_str())?;
            if let Some(served) = served {
                let reason = decided.cause.reason(served.service, served.plugin_reason);
                line.serialize_entry("reason", &Text(reason))?;
            }
            if let Some(reason @ 1..) = by.plugin_reason() {
                match served.and_then(|served| served.plugin_reason) {
                    Some(name) => line.serialize_entry("plugin_reason", name)?,
                    // A code that the plugin has not named.
                    None => line.serialize_entry("plugin_reason", &Text(reason))?,
                }
            }
            if let RankedBy::Plugin { opinion: false, .. } = by {
                line.serialize_entry("plugin_opinion", "none")?;
            }
            let effects = by.effects();
            if let Some(status) = effects.rejects {
                line.serialize_entry("plugin_rejects", &status)?;
            }
            if effects.sets != 0 {
                line.serialize_entry("plugin_headers", &effects.sets.count_ones())?;
            }
            if let Some(affinity) = effects.affinity.as_str() {
                line.serialize_entry("plugin_affinity", affinity)?;
            }
            if served.is_some_and(|served| depends_on_chance(served.service, decided.cause.session.is_some())) {
                line.serialize_entry("roll", &Text(format_args!("{:016x}", decided.roll)))?;
            }
            if let RankedBy::Fallback(fault) = by {
                line.serialize_entry("plugin_fault", fault)?;
            }
            line.serialize_entry("generation", &decided.generation.0)?;
            line.serialize_entry("identify_ms", &millis(decided.identify))?;
            line.serialize_entry("decide_ms", &millis(decided.took))?;
            if let Some(plugin) = decided.plugin {
                line.serialize_entry("plugin_ms", &millis(plugin))?;
            }
        }
        if let Some(tunnel) = &data.tunnel {
            line.serialize_entry("upgrade", &tunnel.protocol)?;
            line.serialize_entry("tunnel_end", tunnel.end.as_str())?;
        }
        if let Some(first_byte) = data.first_byte {
            line.serialize_entry("first_byte_ms", &millis(first_byte))?;
        }
        line.serialize_entry("total_ms", &millis(self.total))?;
        line.serialize_entry("received_bytes", &data.received)?;
        line.serialize_entry("sent_bytes", &data.sent)?;
        if self.weight != 1_000 {
            line.serialize_entry("weight", &(f64::from(self.weight) / 1e3))?;
        }
        line.end()
    }
}

/// Whether the number that chance gave has to be known to decide a request of this service again. What was held back in slow start
/// is in the reason.
fn depends_on_chance(service: &Service, has_session: bool) -> bool {
    has_session || matches!(service.policy, Policy::Weighted | Policy::Plugin(_))
}

/// A version as RFC 9110, section 7.6.3 has it in Via, with the protocol's name.
pub(super) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

struct Attempts<'a>(&'a Line<'a>);

impl Serialize for Attempts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let attempts = &self.0.data.attempts;
        let mut list = serializer.serialize_seq(Some(attempts.len()))?;
        for attempt in attempts {
            list.serialize_element(&Tried(self.0, attempt))?;
        }
        list.end()
    }
}

struct Tried<'a>(&'a Line<'a>, &'a Attempt);

impl Serialize for Tried<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(line, attempt) = self;
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("region", line.region(attempt.slot))?;
        map.serialize_entry("outcome", attempt.evidence.as_str())?;
        map.end()
    }
}

/// A value as JSON text, by its `Display`.
struct Text<T>(T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Milliseconds to the nearest tenth of a microsecond: nothing here is measured more finely.
pub(super) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e7).round() / 1e4
}
