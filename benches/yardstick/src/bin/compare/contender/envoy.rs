//! Envoy, as its static configuration has it.

use super::Listens;
use crate::backends::{Backends, TUNNEL};
use crate::certificate::Files;
use anyhow::Result;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// Envoy with one worker, without administration.
pub(super) fn command(
    folder: &Path,
    listens: &Listens,
    files: &Files,
    backend: SocketAddr,
    others: &Backends,
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
                listener(listens.plain, "backend", None),
                listener(listens.tls, "backend", Some(tls)),
                listener(listens.grpc, "grpc", None),
            ],
            "clusters": [cluster("backend", backend, false), cluster("tunnel", others.tunnel, false), cluster("grpc", others.grpc, true)],
        },
    });
    let file = folder.join("envoy.json");
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

fn listener(address: SocketAddr, to: &str, transport: Option<Value>) -> Value {
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": to,
        "use_remote_address": true,
        "upgrade_configs": [{ "upgrade_type": "websocket" }],
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }],
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [
            { "match": { "path": TUNNEL }, "route": { "cluster": "tunnel", "timeout": "0s" } },
            { "match": { "prefix": "/" }, "route": { "cluster": to } },
        ] }] },
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
