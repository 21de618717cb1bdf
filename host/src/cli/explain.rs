//! `portolan explain`.

mod request;

use super::admin_client::{self, AdminClient};
use super::complete;
use super::config_file::ConfigFile;
use super::offline;
use super::output;
use crate::admin::view::candidates::Candidate;
use crate::admin::view::explain::{Explain, Steer};
use crate::admin::view::policies::Policies;
use crate::admin::view::why_not::WhyNot;
use crate::explain::{self, Question};
use anyhow::{Context, anyhow};
use clap_complete::ArgValueCandidates;
use form_urlencoded::Serializer;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

/// The request to explain.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The client's address
    #[arg(long, visible_alias = "client", value_name = "ADDR", required_unless_present_any = ["request", "recent"])]
    ip: Option<IpAddr>,
    /// A request that was, by its id: from the access log, an error's body or X-Request-Id at the gateway
    #[arg(long, value_name = "ID", conflicts_with_all = ["ip", "config", "recent", "headers", "certificate_subject", "certificate_san"])]
    request: Option<String>,
    /// Why it is not this region
    #[arg(long, value_name = "REGION", add = ArgValueCandidates::new(complete::regions))]
    why_not: Option<String>,
    /// List the last requests whose decisions are kept
    #[arg(long, conflicts_with_all = ["ip", "config", "why_not"])]
    recent: bool,
    /// With --recent: those that failed or were tried more than once
    #[arg(long, requires = "recent")]
    failed: bool,
    /// The host it asks for
    #[arg(long, default_value = "localhost", value_name = "HOST")]
    host: String,
    /// The path it asks for, perhaps with a query
    #[arg(long, default_value = "/", value_name = "PATH")]
    path: String,
    /// The method
    #[arg(long, default_value = "GET", value_name = "METHOD")]
    method: Method,
    /// A header, as often as needed
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The subject of the client's certificate, such as "CN=ops, O=Example"
    #[arg(long, value_name = "SUBJECT")]
    certificate_subject: Option<String>,
    /// A name of the client's certificate (subjectAltName), as often as needed
    #[arg(long, value_name = "NAME")]
    certificate_san: Vec<String>,
    /// Decide by this configuration, with every region's health unknown, instead of asking the running instance; - is the standard
    /// input
    #[arg(long, short, value_name = "FILE")]
    config: Option<ConfigFile>,
    #[command(flatten)]
    instance: AdminClient,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.recent || arguments.request.is_some() {
        return request::run(arguments);
    }
    let explain = match &arguments.config {
        Some(file) => {
            let question = arguments.question()?;
            let explain = Explain::of(&question, &offline::explain(file.load()?, &question)?);
            match &arguments.why_not {
                None => explain,
                Some(region) => explain.asked_why_not(region).map_err(|known| {
                    anyhow!(
                        "the service of this request has no region {region}; it has {}",
                        known.join(", ")
                    )
                })?,
            }
        }
        None => admin_client::parse(&arguments.instance.ask(Method::GET, &arguments.query())?)?,
    };
    if arguments.json {
        return output::print_json(&explain);
    }
    output::print(&text(&explain))?;
    Ok(())
}

impl Arguments {
    fn question(&self) -> anyhow::Result<Question> {
        let headers = self.headers.iter().map(|line| {
            let (name, value) = line
                .split_once(':')
                .with_context(|| format!("a header is NAME: VALUE, not {line:?}"))?;
            let name = HeaderName::try_from(name.trim()).map_err(|_| anyhow!("{name:?} is no header name"))?;
            let value = HeaderValue::try_from(value.trim()).map_err(|_| anyhow!("{value:?} is no header value"))?;
            Ok((name, value))
        });
        Ok(Question {
            ip: self.ip.context("--ip, the client's address, is missing")?,
            host: self.host.clone(),
            path: self.path.clone(),
            method: self.method.clone(),
            headers: headers.collect::<anyhow::Result<HeaderMap>>()?,
            certificate: explain::certificate(
                self.certificate_subject.as_deref(),
                self.certificate_san.iter().map(String::as_str),
            ),
        })
    }

    fn query(&self) -> String {
        let mut query = Serializer::new(String::new());
        query
            .append_pair("ip", &self.ip.map_or(String::new(), |ip| ip.to_string()))
            .append_pair("host", &self.host)
            .append_pair("path", &self.path);
        query.append_pair("method", self.method.as_str());
        for header in &self.headers {
            query.append_pair("header", header);
        }
        if let Some(subject) = &self.certificate_subject {
            query.append_pair("certificate_subject", subject);
        }
        for name in &self.certificate_san {
            query.append_pair("certificate_san", name);
        }
        if let Some(region) = &self.why_not {
            query.append_pair("why_not", region);
        }
        format!("/api/v1/explain?{}", query.finish())
    }
}

fn text(explain: &Explain) -> String {
    let client = &explain.client;
    let country = client.country.as_deref().unwrap_or("unknown country");
    let place = match (client.place.as_str(), &client.location) {
        // An instance of an earlier version does not say it.
        ("", Some(it)) => &format!("{:.1}, {:.1}", it.latitude, it.longitude),
        ("", None) => "no location",
        (place, _) => place,
    };
    let mut text = explain.why_not.as_ref().map_or(String::new(), why_not);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "client    {} ({country}, {place})", client.address);
    let _ = writeln!(
        text,
        "service   {} ({}), routing table {}",
        explain.service, explain.policy, explain.generation
    );
    if let Some(denied) = &explain.denied {
        let _ = writeln!(text, "access    denied ({denied})");
    }
    if let Some(rewritten) = &explain.rewritten {
        let _ = writeln!(text, "target    {rewritten}");
    }
    if let Some(policies) = &explain.policies {
        text.push_str(&applied(policies));
    }
    if let Some(steer) = &explain.steer {
        let _ = writeln!(text, "steer     {}", steered(steer));
    }
    let _ = writeln!(text, "chosen    {}", explain.chosen.as_deref().unwrap_or("no region"));
    let _ = writeln!(text, "reason    {}", explain.reason);
    text.push_str(&regions(&explain.regions));
    text.push_str(&learned(&explain.regions));
    text
}

/// The regions as a table.
fn regions(regions: &[Candidate]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\nrank  region               state       distance  from client  from here             excluded"
    );
    let number = |value: Option<f64>, unit: &str| value.map_or("-".to_owned(), |value| format!("{value:.0} {unit}"));
    for region in regions {
        let _ = writeln!(
            text,
            "{:<5} {:<20} {:<10} {:>9} {:>12}  {:<20}  {}",
            region.rank.map_or("-".to_owned(), |rank| rank.to_string()),
            region.region,
            region.state,
            number(region.distance_km, "km"),
            number(region.round_trip_ms, "ms"),
            from_here(region),
            excluded(region)
        );
    }
    text
}

/// Why a region may not answer, or comes later.
fn excluded(region: &Candidate) -> String {
    match (region.excluded.as_deref(), region.later.as_deref()) {
        (Some(why), _) => why.to_owned(),
        (None, Some(later)) => format!("no, later: {}", later.replace('_', " ")),
        (None, None) => String::new(),
    }
}

/// The answer to "why not this region?", before everything else.
fn why_not(why_not: &WhyNot) -> String {
    let mut text = format!("{}\n", why_not.answer);
    for fact in &why_not.facts {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {fact}");
    }
    text.push('\n');
    text
}

/// What connections from the client's prefix measured, where anything did.
fn learned(regions: &[Candidate]) -> String {
    let measured = regions
        .iter()
        .filter_map(|region| Some((region, region.learned.as_ref()?)));
    let mut text = String::new();
    for (region, learned) in measured {
        if text.is_empty() {
            text.push_str("\nlearned region         measured  estimate  connections\n");
        }
        let estimate = region.round_trip_ms.map_or("-".to_owned(), |ms| format!("{ms:.0} ms"));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<20} {:>7.0} ms {:>9}  {:>11.1}",
            region.region, learned.round_trip_ms, estimate, learned.connections
        );
    }
    text
}

/// The round trip from the instance, and what it is.
fn from_here(region: &Candidate) -> String {
    match (region.from_here_ms, &region.from_here) {
        (Some(millis), Some(source)) => format!("{millis:.1} ms ({source})"),
        _ => "-".into(),
    }
}

/// How the client is sent to a region directly.
fn steered(steer: &Steer) -> String {
    let Steer {
        by,
        location,
        proxied,
        alt_svc,
    } = steer;
    match (location, proxied) {
        (Some(location), _) => format!("{by}: 307 to {location}"),
        (None, Some(why)) => format!("{by}: through this proxy ({why})"),
        (None, None) => match alt_svc {
            Some(value) => format!("{by}: over TLS, Alt-Svc: {value}"),
            None => format!("{by}: nothing is advertised now"),
        },
    }
}

/// What applies on the way, in the words of the configuration.
fn applied(policies: &Policies) -> String {
    let Policies {
        retry,
        timeouts,
        limits,
        priority,
    } = policies;
    let of = |whose: &str| if whose == "route" { " (of the route)" } else { "" };
    let mut parts = vec![format!("attempts {}", retry.attempts)];
    parts.push(format!("retry_on [{}]", retry.retry_on.join(", ")));
    parts.extend(
        retry
            .per_try_timeout_ms
            .map(|it| format!("per_try_timeout {}", time(it))),
    );
    parts.push(format!(
        "hedge_after {}",
        retry.hedge_after_ms.map_or("off".into(), time)
    ));
    if retry.non_idempotent {
        parts.push("non_idempotent".into());
    }
    let mut text = format!("retry     {}{}\n", parts.join(", "), of(&retry.of));
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "timeouts  connect {}, request {}, idle {}, tunnel {}, stream_idle {}{}{}",
        time(timeouts.connect_ms),
        time(timeouts.request_ms),
        time(timeouts.idle_ms),
        time(timeouts.tunnel_ms),
        timeouts.stream_idle_ms.map_or("off".into(), time),
        timeouts
            .total_ms
            .map_or(String::new(), |total| format!(", total {}", time(total))),
        of(&timeouts.of)
    );
    let body = limits
        .request_body_bytes
        .map(|bytes| format!("request_body {}", size(bytes)));
    let requests = limits
        .concurrent_requests
        .map(|count| format!("concurrent_requests {count}"));
    let rate = limits.rate.as_ref().map(|rate| {
        let per_second = (rate.per_second * 1000.0).round() / 1000.0;
        format!("rate {per_second}/s, burst {} for each client network", rate.burst)
    });
    let limits: Vec<_> = body.into_iter().chain(requests).chain(rate).collect();
    if !limits.is_empty() {
        let _ = writeln!(text, "limits    {}", limits.join(", "));
    }
    let _ = writeln!(text, "priority  {priority}");
    text
}

/// In the largest unit that divides it.
fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units
        .into_iter()
        .find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    let (unit, name) = unit.unwrap_or((1, "B"));
    format!("{}{name}", bytes / unit)
}

fn time(millis: f64) -> String {
    // What an instance answers may be anything.
    let time = Duration::try_from_secs_f64(millis / 1000.0).unwrap_or_default();
    humantime::format_duration(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::view::policies::{Limits, Retry, Timeouts};

    #[test]
    fn what_applies_is_written_as_in_the_configuration() {
        let policies = Policies {
            retry: Retry {
                of: "route".into(),
                attempts: 2,
                retry_on: vec!["reset".into(), "500-599".into()],
                per_try_timeout_ms: Some(90_000.0),
                hedge_after_ms: None,
                non_idempotent: true,
                max_replay_body_bytes: 0,
                hold_back_body_bytes: 0,
            },
            timeouts: Timeouts {
                of: "service".into(),
                connect_ms: 0.5,
                request_ms: 15_000.0,
                // An instance may answer anything.
                idle_ms: -1.0,
                tunnel_ms: 3_600_000.0,
                stream_idle_ms: None,
                total_ms: Some(3_600_000.0),
            },
            limits: Limits {
                request_body_bytes: Some(10 << 20),
                concurrent_requests: Some(200),
                rate: Some(crate::admin::view::policies::Rate {
                    per_second: 50.0,
                    burst: 100,
                }),
            },
            priority: "low".into(),
        };
        let expected = "retry     attempts 2, retry_on [reset, 500-599], per_try_timeout 1m 30s, hedge_after off, non_idempotent (of the route)\n\
                        timeouts  connect 500us, request 15s, idle 0s, tunnel 1h, stream_idle off, total 1h\n\
                        limits    request_body 10MiB, concurrent_requests 200, rate 50/s, burst 100 for each client network\n\
                        priority  low\n";
        assert_eq!(applied(&policies), expected);
        for (bytes, text) in [(0, "0B"), (1, "1B"), (1536, "1536B"), (2048, "2KiB"), (3 << 30, "3GiB")] {
            assert_eq!(size(bytes), text);
        }
    }
}
