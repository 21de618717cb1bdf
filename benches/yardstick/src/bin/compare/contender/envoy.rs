//! Envoy, as its static configuration has it.

use super::Listens;
use crate::backends::{Backends, TUNNEL};
use crate::certificate::Files;
use anyhow::Result;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What it finds clients' countries and regions with.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// Locations of networks.
    pub(crate) database: PathBuf,
    /// The filter of `benches/envoy-filter`, compiled.
    pub(crate) module: PathBuf,
}

impl Filter {
    /// The country as a field of the request, then the region by the country.
    fn http_filters(&self) -> [Value; 2] {
        [
            json!({
                "name": "envoy.filters.http.geoip",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.geoip.v3.Geoip",
                    // The connection manager has added the peer's address behind the client's.
                    "xff_config": { "xff_num_trusted_hops": 1 },
                    "provider": {
                        "name": "envoy.geoip_providers.maxmind",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.geoip_providers.maxmind.v3.MaxMindConfig",
                            "common_provider_config": { "geo_headers_to_add": { "country": "x-country" } },
                            "city_db_path": self.database,
                        },
                    },
                },
            }),
            json!({
                "name": "envoy.filters.http.wasm",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                    "config": {
                        "vm_config": {
                            "runtime": "envoy.wasm.runtime.v8",
                            "code": { "local": { "filename": self.module } },
                        },
                    },
                },
            }),
        ]
    }
}

/// Envoy with one worker, without administration.
pub(super) fn command(
    folder: &Path,
    name: &str,
    listens: &Listens,
    files: &Files,
    backends: &[SocketAddr],
    others: &Backends,
    filter: Option<&Filter>,
) -> Result<Command> {
    let tls = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [{
                    "certificate_chain": { "filename": files.certificate },
                    "private_key": { "filename": files.key },
                }],
            },
        },
    });
    let bootstrap = json!({
        "static_resources": {
            "listeners": [
                listener(listens.plain, "europe", None, filter),
                listener(listens.tls, "europe", Some(tls), filter),
                listener(listens.grpc, "grpc", None, None),
            ],
            "clusters": [
                cluster("europe", backends[0], false),
                cluster("america", backends[1], false),
                cluster("asia", backends[2], false),
                cluster("tunnel", others.tunnel, false),
                cluster("grpc", others.grpc, true),
            ],
        },
    });
    let file = folder.join(format!("{name}.json"));
    fs::write(&file, bootstrap.to_string())?;
    let mut command = Command::new("envoy");
    command
        .args([
            "--concurrency",
            "1",
            "--use-dynamic-base-id",
            "--log-level",
            "error",
            "-c",
        ])
        .arg(file);
    Ok(command)
}

fn socket(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip(), "port_value": address.port() } })
}

fn listener(address: SocketAddr, to: &str, transport: Option<Value>, filter: Option<&Filter>) -> Value {
    let mut filters: Vec<Value> = filter.map(Filter::http_filters).into_iter().flatten().collect();
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
    }));
    let to_region = |region: &str| {
        json!({
            "match": { "prefix": "/", "headers": [{ "name": "x-region", "string_match": { "exact": region } }] },
            "route": { "cluster": region },
        })
    };
    let mut routes = vec![json!({ "match": { "path": TUNNEL }, "route": { "cluster": "tunnel", "timeout": "0s" } })];
    if filter.is_some() {
        routes.extend([to_region("america"), to_region("asia")]);
    }
    routes.push(json!({ "match": { "prefix": "/" }, "route": { "cluster": to } }));
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": to,
        "use_remote_address": true,
        "upgrade_configs": [{ "upgrade_type": "websocket" }],
        "http_filters": filters,
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes }] },
    });
    let mut chain =
        json!({ "filters": [{ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }] });
    if let Some(transport) = transport {
        chain["transport_socket"] = transport;
    }
    json!({ "address": socket(address), "filter_chains": [chain] })
}

fn cluster(name: &str, address: SocketAddr, is_http2: bool) -> Value {
    let protocol = if is_http2 {
        "http2_protocol_options"
    } else {
        "http_protocol_options"
    };
    json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": socket(address) } }] }] },
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { protocol: {} },
        } },
    })
}
