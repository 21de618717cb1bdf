//! Names and values of OTLP.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};

/// A text.
pub(super) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    of(key, Value::StringValue(value.into()))
}

/// A number.
pub(super) fn number(key: &str, value: impl Into<i64>) -> KeyValue {
    of(key, Value::IntValue(value.into()))
}

fn of(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// Who measured it.
pub(super) fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "portolan".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    })
}
