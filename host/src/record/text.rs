//! A line of the access log as a template makes it.

use super::Asked;
use super::line::{Line, protocol};
use crate::number;
use crate::telemetry::template::{Own, Part, Template, Value};
use http::HeaderValue;
use portolan_core::decision::RankedBy;
use std::fmt::Display;
use std::io::Write;
use std::time::Duration;

/// What stands for a value that is not there, as in Envoy.
const ABSENT: &[u8] = b"-";

/// Writes a line without its end. Values that others chose cannot look like anything else in it: of their bytes, those that are not
/// visible ASCII or a space, the quotation mark and the backslash are written as `\xHH`, as nginx does.
pub(super) fn write(line: &Line<'_>, template: &Template, to: &mut Vec<u8>) {
    for part in &template.parts {
        match part {
            Part::Literal(text) => to.extend_from_slice(text.as_bytes()),
            Part::Value(value, most) => {
                let start = to.len();
                write_value(line, *value, to);
                if to.len() == start {
                    to.extend_from_slice(ABSENT);
                }
                if let Some(most) = most {
                    to.truncate(start + most.get());
                }
            }
        }
    }
}

fn write_value(line: &Line<'_>, value: Value, to: &mut Vec<u8>) {
    let data = line.data;
    let asked = data.asked.as_deref();
    match value {
        Value::StartTime => {
            let begun = line.now.checked_sub(line.total).unwrap_or(line.now);
            line.clock.millis(to, begun);
        }
        Value::Method => text(to, asked.map(|asked| asked.method.as_str())),
        Value::Authority => {
            let host = asked.and_then(Asked::authority);
            escaped(to, host.unwrap_or_default());
        }
        Value::Path { query } => {
            let path = asked.map(|asked| match asked.uri.path_and_query() {
                Some(target) if query => target.as_str(),
                _ => asked.uri.path(),
            });
            text(to, path);
        }
        Value::Protocol => text(to, asked.map(|asked| protocol(asked.version))),
        Value::Request(first, other) => {
            field(to, asked.map(|asked| asked.request_fields.as_slice()), (first, other));
        }
        Value::Response(first, other) => {
            field(to, asked.map(|asked| asked.response_fields.as_slice()), (first, other));
        }
        Value::Status => put(to, data.status.map_or(0, |status| status.as_u16())),
        Value::Details => to.extend_from_slice(match data.reason {
            Some(reason) => reason.as_str().as_bytes(),
            None => line.outcome.as_str().as_bytes(),
        }),
        Value::Received => put(to, data.received),
        Value::Sent => put(to, data.sent),
        Value::Duration => put(to, line.total.as_millis()),
        Value::FirstByte => some(to, data.first_byte.map(|time| time.as_millis())),
        Value::Service => text(to, line.served.map(|served| served.service.name.as_str())),
        Value::Attempts => put(to, data.attempts.len()),
        Value::Client => number::address(to, data.client.addr),
        Value::Trace => to.extend_from_slice(data.trace.as_ref().map_or(&[], |trace| trace)),
        Value::Grpc => text(to, data.call.and_then(|call| call.status).map(|status| status.as_str())),
        Value::Own(own) => write_own(line, own, to),
    }
}

fn write_own(line: &Line<'_>, own: Own, to: &mut Vec<u8>) {
    let data = line.data;
    let decided = data.decided.as_ref();
    match own {
        Own::RequestId => escaped(to, data.request_id.as_ref().map_or(&[], |id| id.as_bytes())),
        Own::ClientFrom => text(to, Some(data.client.source.as_str())),
        Own::Country => text(to, data.country.as_str()),
        Own::Outcome => text(to, Some(line.outcome.as_str())),
        Own::Error => text(to, data.reason.map(|reason| reason.as_str())),
        Own::Service => text(to, line.served.map(|served| served.service.name.as_str())),
        Own::Region => text(to, data.answered_by.map(|slot| line.region(slot))),
        Own::Attempts => {
            for (index, attempt) in data.attempts.iter().enumerate() {
                let separator = if index == 0 { "" } else { "," };
                put(
                    to,
                    format_args!("{separator}{}={}", line.region(attempt.slot), attempt.evidence.as_str()),
                );
            }
        }
        Own::NoRetry => text(to, data.withheld.map(|withheld| withheld.as_str())),
        Own::By => text(to, decided.map(|decided| decided.cause.by.as_str())),
        Own::Reason => {
            let reason = decided.zip(line.served);
            let reason = reason.map(|(decided, served)| decided.cause.reason(served.service, served.plugin_reason));
            // Names of the configuration, and a plugin's word.
            let start = to.len();
            some(to, reason);
            if to[start..].iter().any(|byte| !is_plain(*byte)) {
                let written = to.split_off(start);
                escaped(to, &written);
            }
        }
        Own::PluginReason => {
            let code = decided
                .and_then(|decided| decided.cause.by.plugin_reason())
                .filter(|code| *code > 0);
            match line.served.and_then(|served| served.plugin_reason) {
                Some(name) if code.is_some() => text(to, Some(name)),
                _ => some(to, code),
            }
        }
        Own::Generation => some(to, decided.map(|decided| decided.generation.0)),
        Own::IdentifyMs => millis(to, decided.map(|decided| decided.identify)),
        Own::DecideMs => millis(to, decided.map(|decided| decided.took)),
        Own::PluginMs => millis(to, decided.and_then(|decided| decided.plugin)),
        Own::FirstByteMs => millis(to, data.first_byte),
        Own::TotalMs => millis(to, Some(line.total)),
        Own::Upgrade => text(to, data.tunnel.as_ref().map(|tunnel| &*tunnel.protocol)),
        Own::TunnelEnd => text(to, data.tunnel.as_ref().map(|tunnel| tunnel.end.as_str())),
        Own::PluginFault => text(
            to,
            decided.and_then(|decided| match decided.cause.by {
                RankedBy::Fallback(fault) => Some(fault),
                _ => None,
            }),
        ),
    }
}

/// The first of two fields that is there.
fn field(to: &mut Vec<u8>, fields: Option<&[Option<HeaderValue>]>, (first, other): (usize, Option<usize>)) {
    let of = |place: usize| fields?.get(place)?.as_ref();
    let value = of(first).or_else(|| of(other?));
    escaped(to, value.map_or(&[], |value| value.as_bytes()));
}

fn text(to: &mut Vec<u8>, text: Option<&str>) {
    escaped(to, text.unwrap_or_default().as_bytes());
}

/// What cannot contain anything that has to be escaped.
fn put(to: &mut Vec<u8>, value: impl Display) {
    // Writing to memory cannot fail.
    let _ = write!(to, "{value}");
}

fn some(to: &mut Vec<u8>, value: Option<impl Display>) {
    if let Some(value) = value {
        put(to, value);
    }
}

fn millis(to: &mut Vec<u8>, time: Option<Duration>) {
    if let Some(time) = time {
        number::millis(to, time);
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn escaped(to: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            byte if is_plain(*byte) => to.push(*byte),
            byte => put(to, format_args!("\\x{byte:02X}")),
        }
    }
}
