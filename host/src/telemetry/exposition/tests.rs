//! The formats, character by character.

use super::*;
use crate::vitals::Histogram;
use std::time::SystemTime;

fn example() -> Durations {
    let histogram = Histogram::default();
    histogram.record(Duration::from_millis(3));
    histogram.record(Duration::from_secs(100));
    let mut durations = Durations::default();
    durations.add(&histogram);
    durations
}

fn exemplar(value: Duration, request_id: &str) -> Exemplar {
    Exemplar {
        trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
        span: 0xb7ad_6b71_6920_3331,
        request_id: request_id.into(),
        value,
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250),
    }
}

fn write(format: Format) -> Exposition {
    let mut text = Exposition::new(format);
    text.family("a_total", Kind::Counter, "Things.")
        .sample(&[], 1)
        .sample(&[("name", "a\"b\\c\nd"), ("other", "é")], 2_u64);
    text.family("b", Kind::Gauge, "A share.").sample(&[], 0.25);
    let exemplars = [
        exemplar(Duration::from_millis(3), "7b1f"),
        exemplar(Duration::from_secs(100), &"x".repeat(79)),
    ];
    text.family("c_seconds", Kind::Histogram, "Times.").histogram_with(
        &[("x", "y")],
        &example(),
        (Duration::from_millis(500), Duration::from_secs(2)),
        &exemplars,
    );
    text
}

#[test]
fn samples_are_written_as_the_format_says() {
    let expected = r#"# HELP a_total Things.
# TYPE a_total counter
a_total 1
a_total{name="a\"b\\c\nd",other="é"} 2
# HELP b A share.
# TYPE b gauge
b 0.25
# HELP c_seconds Times.
# TYPE c_seconds histogram
c_seconds_bucket{x="y",le="0.5"} 1
c_seconds_bucket{x="y",le="1"} 1
c_seconds_bucket{x="y",le="2"} 1
c_seconds_bucket{x="y",le="+Inf"} 2
c_seconds_sum{x="y"} 100.003
c_seconds_count{x="y"} 2
"#;
    assert_eq!(write(Format::Text).into_text(), expected);
}

#[test]
fn open_metrics_has_exemplars() {
    let expected = r#"# TYPE a counter
# HELP a Things.
a_total 1
a_total{name="a\"b\\c\nd",other="é"} 2
# TYPE b gauge
# HELP b A share.
b 0.25
# TYPE c_seconds histogram
# HELP c_seconds Times.
c_seconds_bucket{x="y",le="0.5"} 1 # {trace_id="0af7651916cd43dd8448eb211c80319c",request_id="7b1f"} 0.003 1700000000.250
c_seconds_bucket{x="y",le="1.0"} 1
c_seconds_bucket{x="y",le="2.0"} 1
c_seconds_bucket{x="y",le="+Inf"} 2 # {trace_id="0af7651916cd43dd8448eb211c80319c"} 100 1700000000.250
c_seconds_sum{x="y"} 100.003
c_seconds_count{x="y"} 2
# EOF
"#;
    assert_eq!(write(Format::OpenMetrics).into_text(), expected);
}

#[test]
fn values_are_not_cumulative() {
    let values = write(Format::Values).into_values();
    assert_eq!(values.iter().map(|it| it.points.len()).collect::<Vec<_>>(), [2, 1, 1]);
    assert_eq!(values[0].points[1].labels[1], ("other".into(), "é".into()));
    let PointValue::Histogram {
        bounds,
        counts,
        sum,
        exemplars,
    } = &values[2].points[0].value
    else {
        panic!("{values:?}")
    };
    assert_eq!(
        (bounds.as_slice(), counts.as_slice()),
        (&[0.5, 1.0, 2.0][..], &[1, 0, 0, 1][..])
    );
    assert!((sum - 100.003).abs() < 1e-9 && exemplars.len() == 2);
}

#[test]
fn scrapers_get_what_they_ask_for() {
    let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                      application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
    assert_eq!(Format::accepted("application/openmetrics-text"), Format::OpenMetrics);
    for plain in [
        "",
        "*/*",
        "text/plain",
        "application/openmetrics-text;q=0",
        "application/openmetrics-text;q=0.3, text/plain;q=0.5",
    ] {
        assert_eq!(Format::accepted(plain), Format::Text, "{plain}");
    }
}
