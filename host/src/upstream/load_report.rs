//! How busy a gateway says it is, in the fields of its responses: ORCA, the Open Request Cost Aggregation, in the formats that Envoy
//! reads (`source/common/orca/orca_parser.h`; the message is `xds.data.orca.v3.OrcaLoadReport`).
//!
//! Of a report the utilization is read: that of the application where it is given, else that of the processor.

use super::clock;
use crate::vitals::Vitals;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderMap, HeaderName};

/// `TEXT name=value,…`, `JSON {…}` or `BIN` with the message in base64.
static FIELD: HeaderName = HeaderName::from_static("endpoint-load-metrics");
/// The message in base64.
static BINARY: HeaderName = HeaderName::from_static("endpoint-load-metrics-bin");

const APPLICATION: &str = "application_utilization";
const PROCESSOR: &str = "cpu_utilization";

/// Takes the report out of the fields of a response.
pub(super) fn read(fields: &mut HeaderMap, vitals: &Vitals) {
    let binary = fields.remove(&BINARY);
    let other = fields.remove(&FIELD);
    let binary = binary.and_then(|value| of_base64(value.as_bytes()));
    let report = binary.or_else(|| of_field(other?.to_str().ok()?));
    if let Some(utilization) = report.and_then(Report::utilization) {
        vitals.load.reported(utilization, clock::now());
    }
}

/// What is read of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Report {
    application: f64,
    processor: f64,
}

impl Report {
    /// 0 is what a gateway sends that does not measure it.
    fn utilization(self) -> Option<f64> {
        let measured = |value: &f64| value.is_finite() && *value > 0.0;
        [self.application, self.processor].into_iter().find(measured)
    }
}

fn of_field(value: &str) -> Option<Report> {
    let (format, rest) = value.split_once(' ')?;
    match format {
        "TEXT" => Some(of_text(rest)),
        "JSON" => of_json(rest),
        "BIN" => of_base64(rest.trim().as_bytes()),
        _ => None,
    }
}

fn of_text(text: &str) -> Report {
    let mut report = Report::default();
    for (name, value) in text.split(',').filter_map(|pair| pair.split_once('=')) {
        let value = || value.trim().parse().unwrap_or_default();
        match name.trim() {
            APPLICATION => report.application = value(),
            PROCESSOR => report.processor = value(),
            _ => {}
        }
    }
    report
}

fn of_json(text: &str) -> Option<Report> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    // Names as in the message, or as protobuf writes them in JSON.
    let value = |names: [&str; 2]| {
        names
            .iter()
            .find_map(|name| json.get(name)?.as_f64())
            .unwrap_or_default()
    };
    Some(Report {
        application: value([APPLICATION, "applicationUtilization"]),
        processor: value([PROCESSOR, "cpuUtilization"]),
    })
}

fn of_base64(text: &[u8]) -> Option<Report> {
    of_message(&STANDARD.decode(text).ok()?)
}

/// Field 1 is the utilization of the processor, field 9 that of the application, both doubles; others are passed over.
fn of_message(mut rest: &[u8]) -> Option<Report> {
    let mut report = Report::default();
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match tag & 7 {
            0 => {
                varint(&mut rest)?;
            }
            1 => {
                let value = f64::from_le_bytes(*take(&mut rest, 8)?.first_chunk()?);
                match tag >> 3 {
                    1 => report.processor = value,
                    9 => report.application = value,
                    _ => {}
                }
            }
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                take(&mut rest, length)?;
            }
            5 => {
                take(&mut rest, 4)?;
            }
            _ => return None,
        }
    }
    Some(report)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cpu_utilization: 0.7, mem_utilization: 0.9, rps: 5 (deprecated), named_metrics { a: 1 }, application_utilization: 0.8`.
    fn message() -> Vec<u8> {
        let mut bytes = Vec::new();
        for (field, value) in [(1_u8, 0.7_f64), (2, 0.9)] {
            bytes.push(field << 3 | 1);
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend([3 << 3, 5]);
        bytes.extend([8 << 3 | 2, 12, 0x0a, 1, b'a', 0x11]);
        bytes.extend(1.0_f64.to_le_bytes());
        bytes.push(9 << 3 | 1);
        bytes.extend(0.8_f64.to_le_bytes());
        bytes
    }

    #[test]
    fn all_formats_are_read() {
        let binary = STANDARD.encode(message());
        for (value, utilization) in [
            ("TEXT cpu_utilization=0.3, mem_utilization=0.9", Some(0.3)),
            (
                "TEXT application_utilization=0.5,cpu_utilization=0.3,named_metrics.a=2",
                Some(0.5),
            ),
            ("TEXT application_utilization=0,cpu_utilization=1.25", Some(1.25)),
            (r#"JSON {"cpu_utilization": 0.25, "rps_fractional": 9}"#, Some(0.25)),
            (
                r#"JSON {"applicationUtilization": 0.75, "cpuUtilization": 0.25}"#,
                Some(0.75),
            ),
            (&format!("BIN {binary}"), Some(0.8)),
            ("TEXT mem_utilization=0.9", None),
            ("TEXT cpu_utilization=NaN", None),
            ("TEXT cpu_utilization=-1", None),
            ("TEXT cpu_utilization", None),
            ("JSON [0.5]", None),
            ("JSON {", None),
            ("BIN !", None),
            ("XML <a/>", None),
            ("cpu_utilization=0.3", None),
        ] {
            assert_eq!(of_field(value).and_then(Report::utilization), utilization, "{value}");
        }
        assert_eq!(of_base64(binary.as_bytes()).and_then(Report::utilization), Some(0.8));
    }

    #[test]
    fn a_message_that_is_cut_short_is_no_report() {
        let whole = message();
        let read = (0..whole.len()).filter(|length| of_message(&whole[..*length]).is_some());
        // Between fields.
        assert_eq!(read.collect::<Vec<_>>(), [0, 9, 18, 20, 34]);
        assert_eq!(of_message(&[0xff; 40]), None);
    }
}
