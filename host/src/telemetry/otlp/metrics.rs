//! The metrics of the administration as OTLP has them: with the names and labels that scrapers see, cumulative since the start.

use super::attributes::{scope, text};
use super::traces::nanos;
use crate::telemetry::exemplars::Exemplar;
use crate::telemetry::exposition::{Kind, Number, Point, PointValue, Values};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar as Example, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, exemplar,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use std::time::SystemTime;

/// A message with these metrics, as of now; counters began at `started`. Families without samples are left out.
pub fn message(resource: &Resource, families: Vec<Values>, (started, now): (SystemTime, SystemTime)) -> Vec<u8> {
    let times = (nanos(started), nanos(now));
    let families = families.into_iter().filter(|family| !family.points.is_empty());
    let export = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource.clone()),
            scope_metrics: vec![ScopeMetrics {
                scope: scope(),
                metrics: families.map(|family| metric(family, times)).collect(),
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    };
    export.encode_to_vec()
}

fn metric(family: Values, times: (u64, u64)) -> Metric {
    let cumulative = AggregationTemporality::Cumulative.into();
    let numbers = |points: &[Point]| points.iter().filter_map(|point| number(point, times)).collect();
    let data = match family.kind {
        Kind::Counter => Data::Sum(Sum {
            data_points: numbers(&family.points),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        Kind::Gauge => Data::Gauge(Gauge {
            data_points: numbers(&family.points),
        }),
        Kind::Histogram => Data::Histogram(Histogram {
            data_points: family
                .points
                .into_iter()
                .filter_map(|point| histogram(point, times))
                .collect(),
            aggregation_temporality: cumulative,
        }),
    };
    let base = family.name.strip_suffix("_total").unwrap_or(family.name);
    Metric {
        name: family.name.to_owned(),
        description: family.help,
        unit: match base.rsplit_once('_') {
            Some((_, "seconds")) => "s",
            Some((_, "bytes")) => "By",
            _ => "",
        }
        .to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn number(point: &Point, (start, time): (u64, u64)) -> Option<NumberDataPoint> {
    let PointValue::Number(value) = point.value else {
        return None;
    };
    Some(NumberDataPoint {
        attributes: point
            .labels
            .iter()
            .map(|(key, value)| text(key, value.as_str()))
            .collect(),
        start_time_unix_nano: start,
        time_unix_nano: time,
        value: Some(match value {
            Number::Whole(count) => Value::AsInt(i64::try_from(count).unwrap_or(i64::MAX)),
            Number::Real(number) => Value::AsDouble(number),
        }),
        ..NumberDataPoint::default()
    })
}

fn histogram(point: Point, (start, time): (u64, u64)) -> Option<HistogramDataPoint> {
    let PointValue::Histogram {
        bounds,
        counts,
        sum,
        exemplars,
    } = point.value
    else {
        return None;
    };
    Some(HistogramDataPoint {
        attributes: point.labels.into_iter().map(|(key, value)| text(&key, value)).collect(),
        start_time_unix_nano: start,
        time_unix_nano: time,
        count: counts.iter().sum(),
        sum: Some(sum),
        bucket_counts: counts,
        explicit_bounds: bounds,
        exemplars: exemplars.iter().map(example).collect(),
        ..HistogramDataPoint::default()
    })
}

fn example(exemplar: &Exemplar) -> Example {
    Example {
        filtered_attributes: vec![text("request_id", &*exemplar.request_id)],
        time_unix_nano: nanos(exemplar.time),
        span_id: exemplar.span.to_be_bytes().to_vec(),
        trace_id: exemplar.trace.to_be_bytes().to_vec(),
        value: Some(exemplar::Value::AsDouble(exemplar.value.as_secs_f64())),
    }
}
