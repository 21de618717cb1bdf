//! What a line of the access log looks like.

use super::clock::Clock;
use super::json::{Object, is_plain, key};
use super::passed_on::PassedOn;
use super::{Decided, RequestData};
use crate::hex;
use crate::request_id::RequestId;
use crate::vitals::RequestOutcome;
use http::Version;
use portolan_core::config::{Policy, Service};
use portolan_core::decision::RankedBy;
use portolan_core::id::Slot;
use std::time::{Duration, SystemTime};

/// One request, as the access log has it. It is written straight into the log's buffer: making a line allocates nothing.
pub(super) struct Line<'a> {
    pub(super) data: &'a RequestData,
    pub(super) outcome: RequestOutcome,
    pub(super) total: Duration,
    pub(super) served: Option<Served<'a>>,
    pub(super) now: SystemTime,
    pub(super) clock: &'a Clock,
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
        (now, clock): (SystemTime, &'a Clock),
        weight: u32,
    ) -> Self {
        Self {
            data,
            outcome,
            total,
            served,
            now,
            clock,
            weight,
        }
    }

    pub(super) fn region(&self, slot: Slot) -> &'a str {
        let gateway = self.served.and_then(|served| served.service.gateway(slot));
        gateway.map_or("", |gateway| gateway.region.as_str())
    }

    /// The line as one JSON object. What is not known is left out.
    pub(super) fn write_json(&self, to: &mut Vec<u8>) {
        let Self { data, served, .. } = self;
        let mut line = Object::begin(to);
        line.written(key!("time"), |to| self.clock.micros(to, self.now));
        if let Some(trace) = &data.trace {
            line.plain(key!("trace"), trace);
        }
        match &data.request_id {
            Some(RequestId::Made(digits)) => line.plain(key!("request_id"), digits),
            Some(id) => line.text(key!("request_id"), id.as_str()),
            None => {}
        }
        line.address(key!("client"), data.client.addr);
        line.word(key!("client_from"), data.client.source.as_str());
        if let Some(country) = data.country.as_str() {
            line.text(key!("country"), country);
        }
        if let Some(asked) = &data.asked {
            line.word(key!("protocol"), protocol(asked.version));
            // A token (RFC 9110, section 5.6.2).
            line.plain(key!("method"), asked.method.as_str().as_bytes());
            match asked.authority() {
                Some(host) if is_plain(host) => line.plain(key!("host"), host),
                host => line.value(key!("host"), &host.and_then(|host| str::from_utf8(host).ok())),
            }
            // Without the query: that is where secrets are.
            line.text(key!("path"), asked.uri.path());
            if let Some(passed_on) = asked.proxy_header.as_deref().and_then(PassedOn::of) {
                line.value(key!("proxy_protocol"), &passed_on);
            }
        }
        if let Some(status) = data.status {
            line.integer(key!("status"), status.as_u16().into());
        }
        if let Some(status) = data.call.and_then(|call| call.status) {
            line.text(key!("grpc_status"), status.as_str());
        }
        line.word(key!("outcome"), self.outcome.as_str());
        if let Some(reason) = data.reason {
            line.word(key!("error"), reason.as_str());
        }
        if let Some(served) = served {
            line.text(key!("service"), served.service.name.as_str());
        }
        if let Some(slot) = data.answered_by {
            line.text(key!("region"), self.region(slot));
        }
        line.objects(key!("attempts"), &data.attempts, |tried, attempt| {
            tried.text(key!("region"), self.region(attempt.slot));
            tried.word(key!("outcome"), attempt.evidence.as_str());
        });
        if let Some(withheld) = data.withheld {
            line.word(key!("no_retry"), withheld.as_str());
        }
        if let Some(decided) = &data.decided {
            self.write_decision(decided, &mut line);
        }
        if let Some(tunnel) = &data.tunnel {
            line.text(key!("upgrade"), &tunnel.protocol);
            line.word(key!("tunnel_end"), tunnel.end.as_str());
        }
        if let Some(first_byte) = data.first_byte {
            line.millis(key!("first_byte_ms"), first_byte);
        }
        line.millis(key!("total_ms"), self.total);
        line.integer(key!("received_bytes"), data.received);
        line.integer(key!("sent_bytes"), data.sent);
        if self.weight != 1_000 {
            line.value(key!("weight"), &(f64::from(self.weight) / 1e3));
        }
        line.end();
    }

    fn write_decision(&self, decided: &Decided, line: &mut Object<'_>) {
        let by = decided.cause.by;
        line.word(key!("by"), by.as_str());
        if let Some(served) = self.served {
            let reason = decided.cause.reason(served.service, served.plugin_reason);
            line.display(key!("reason"), reason);
        }
        if let Some(reason @ 1..) = by.plugin_reason() {
            match self.served.and_then(|served| served.plugin_reason) {
                Some(name) => line.text(key!("plugin_reason"), name),
                // A code that the plugin has not named.
                None => line.display(key!("plugin_reason"), reason),
            }
        }
        if let RankedBy::Plugin { opinion: false, .. } = by {
            line.word(key!("plugin_opinion"), "none");
        }
        let effects = by.effects();
        if let Some(status) = effects.rejects {
            line.integer(key!("plugin_rejects"), status.into());
        }
        if effects.sets != 0 {
            line.integer(key!("plugin_headers"), effects.sets.count_ones().into());
        }
        if let Some(affinity) = effects.affinity.as_str() {
            line.word(key!("plugin_affinity"), affinity);
        }
        let has_session = decided.cause.session.is_some();
        if self
            .served
            .is_some_and(|served| depends_on_chance(served.service, has_session))
        {
            line.plain(key!("roll"), &hex::number(decided.roll));
        }
        if let RankedBy::Fallback(fault) = by {
            line.text(key!("plugin_fault"), fault);
        }
        line.integer(key!("generation"), decided.generation.0);
        line.millis(key!("identify_ms"), decided.identify);
        line.millis(key!("decide_ms"), decided.took);
        if let Some(plugin) = decided.plugin {
            line.millis(key!("plugin_ms"), plugin);
        }
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
