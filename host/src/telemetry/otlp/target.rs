//! Where a collector is, and what it is told of this program. What the configuration leaves out comes from the environment, by the
//! names that the OpenTelemetry specification has for it:
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.

use super::attributes::text;
use crate::telemetry::spans::Signal;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use percent_encoding::percent_decode_str;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The collector of a configuration that names none: the specification's default.
const ENDPOINT: &str = "http://localhost:4318";

/// A collector as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Its URL, without the paths of signals. `None`: that of the environment.
    pub endpoint: Option<Uri>,
    /// A file with header fields of every request, such as tokens: a line for each. `None`: those of the environment.
    pub headers_file: Option<PathBuf>,
    /// A file with the authorities that it is trusted by. `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// How long a request to it may take.
    pub timeout: Duration,
    /// How often it gets metrics. `None`: never.
    pub metrics: Option<Duration>,
}

/// What the environment says.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    endpoint: Option<Uri>,
    headers: HeaderMap,
    resource: Vec<(String, String)>,
    service: Option<String>,
}

impl Environment {
    /// Reads `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`.
    pub fn read() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let endpoint = set("OTEL_EXPORTER_OTLP_ENDPOINT").and_then(|url| endpoint(url.trim()).ok());
        let mut headers = HeaderMap::new();
        for (name, value) in pairs(&set("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default()) {
            add(&mut headers, &name, &value);
        }
        Self {
            endpoint,
            headers,
            resource: pairs(&set("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default()).collect(),
            service: set("OTEL_SERVICE_NAME"),
        }
    }

    /// Where messages of a signal go.
    pub fn url(&self, collector: &Collector, signal: Signal) -> Uri {
        let base = collector.endpoint.as_ref().or(self.endpoint.as_ref());
        let base = base.map_or_else(|| ENDPOINT.to_owned(), Uri::to_string);
        let url = format!("{}/v1/{}", base.trim_end_matches('/'), signal.as_str());
        // Both parts are of valid ones.
        Uri::try_from(url).unwrap_or_else(|_| Uri::from_static(ENDPOINT))
    }

    /// The header fields of every request. `file`: the contents of the collector's.
    pub fn headers(&self, file: Option<&str>) -> HeaderMap {
        let Some(file) = file else {
            return self.headers.clone();
        };
        let mut headers = HeaderMap::new();
        let lines = file
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            add(&mut headers, name.trim(), value.trim());
        }
        headers
    }

    /// What is said of this program. `service`: its name as it is configured; `id`: what tells this instance from others.
    pub fn resource(&self, service: Option<&str>, id: &str) -> Arc<Resource> {
        let given = |key: &str| {
            self.resource
                .iter()
                .find(|(known, _)| known == key)
                .map(|(_, value)| value.as_str())
        };
        let service = service.or(self.service.as_deref()).or_else(|| given("service.name"));
        let mut attributes: Vec<KeyValue> = vec![
            text("service.name", service.unwrap_or("portolan")),
            text(
                "service.version",
                given("service.version").unwrap_or(env!("CARGO_PKG_VERSION")),
            ),
            text("service.instance.id", given("service.instance.id").unwrap_or(id)),
        ];
        let known = ["service.name", "service.version", "service.instance.id"];
        let others = self.resource.iter().filter(|(key, _)| !known.contains(&key.as_str()));
        attributes.extend(others.map(|(key, value)| text(key, value.as_str())));
        Arc::new(Resource {
            attributes,
            ..Resource::default()
        })
    }
}

/// The URL of a collector.
///
/// # Errors
/// What is wrong with it.
pub fn endpoint(text: &str) -> Result<Uri, String> {
    let url = text.parse::<Uri>().map_err(|error| error.to_string())?;
    match (url.scheme_str(), url.authority(), url.query()) {
        (Some("http" | "https"), Some(authority), None) if !authority.as_str().contains('@') => Ok(url),
        (_, Some(authority), _) if authority.as_str().contains('@') => {
            Err("names and passwords belong into headers_file".into())
        }
        (_, _, Some(_)) => Err("it has a query".into()),
        _ => Err("it does not begin with http:// or https://".into()),
    }
}

/// `key=value` by commas, percent-encoded (W3C Baggage, without properties).
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    let decoded = |text: &str| percent_decode_str(text.trim()).decode_utf8_lossy().into_owned();
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    let pairs: Vec<_> = pairs.map(|(key, value)| (decoded(key), decoded(value))).collect();
    pairs.into_iter()
}

fn add(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(mut value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
        value.set_sensitive(true);
        headers.append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    fn collector(url: Option<&str>) -> Collector {
        Collector {
            endpoint: url.map(|url| endpoint(url).expect("an endpoint")),
            headers_file: None,
            ca: None,
            timeout: Duration::from_secs(10),
            metrics: None,
        }
    }

    #[test]
    fn the_environment_fills_what_the_configuration_leaves_out() {
        let environment = Environment::of(|name| {
            let value = match name {
                "OTEL_EXPORTER_OTLP_ENDPOINT" => "https://otel.example.net/in/",
                "OTEL_EXPORTER_OTLP_HEADERS" => "api-key=se%20cret, x-tenant = a",
                "OTEL_RESOURCE_ATTRIBUTES" => "deployment.environment.name=test,service.name=other",
                _ => return None,
            };
            Some(value.to_owned())
        });
        let url = |url| environment.url(&collector(url), Signal::Traces).to_string();
        assert_eq!(url(None), "https://otel.example.net/in/v1/traces");
        assert_eq!(url(Some("http://[::1]:4318")), "http://[::1]:4318/v1/traces");
        let default = Environment::default().url(&collector(None), Signal::Metrics);
        assert_eq!(default, "http://localhost:4318/v1/metrics");
        let headers = environment.headers(None);
        assert_eq!(
            (&headers["api-key"], &headers["x-tenant"]),
            (&"se cret".parse().unwrap(), &"a".parse().unwrap())
        );
        assert!(headers["api-key"].is_sensitive());
        let headers = environment.headers(Some("# a token\nAuthorization: Bearer x:y\n\nbroken\n"));
        assert_eq!(
            (headers.len(), &headers["authorization"]),
            (1, &"Bearer x:y".parse().unwrap())
        );
        let values = |resource: Arc<Resource>| -> Vec<String> {
            let attributes = resource.attributes.iter();
            let text = attributes.map(|it| match it.value.as_ref().and_then(|value| value.value.as_ref()) {
                Some(Value::StringValue(text)) => format!("{}={text}", it.key),
                other => panic!("{other:?}"),
            });
            text.collect()
        };
        let resource = values(environment.resource(None, "i"));
        assert!(resource.contains(&"service.name=other".into()) && resource.contains(&"service.instance.id=i".into()));
        assert!(resource.contains(&"deployment.environment.name=test".into()) && resource.len() == 4);
        assert!(values(environment.resource(Some("edge"), "i")).contains(&"service.name=edge".into()));
    }

    #[test]
    fn an_endpoint_is_an_absolute_url() {
        for bad in [
            "localhost:4318",
            "grpc://a",
            "http://a/?x=1",
            "http://user:word@a/",
            "/v1",
        ] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}
