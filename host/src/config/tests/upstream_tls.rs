//! https gateways, and TLS with them.

use super::mistakes::messages;
use super::{SMALL, parse};
use crate::config::UpstreamTls;
use crate::tls::PairFiles;
use portolan_core::config::{GatewayHost, Scheme};
use std::path::Path;

/// The small file with https gateways and one more line in the service.
fn with(line: &str) -> String {
    let text = SMALL.replace("http://gw-", "https://gw-");
    text.replacen("    regions:", &format!("    {line}\n    regions:"), 1)
}

#[test]
fn https_gateways_have_another_port() {
    for (url, port, authority) in [
        ("https://gw-weu.example.net", 443, "gw-weu.example.net"),
        ("https://gw-weu.example.net:8443/", 8443, "gw-weu.example.net:8443"),
        ("https://gw-weu.example.net.:80", 80, "gw-weu.example.net:80"),
        ("https://[fd00::1]", 443, "[fd00::1]"),
        ("https://10.0.0.4", 443, "10.0.0.4"),
    ] {
        let text = SMALL.replacen("http://gw-weu.example.net", url, 1);
        let configuration = parse(text.as_bytes(), Path::new("portolan.yaml")).expect(url);
        let address = &configuration.settings.routing.services()[0].gateways()[0].address;
        assert_eq!((address.scheme, address.port), (Scheme::Https, port), "{url}");
        assert_eq!(address.authority(), authority);
        // The other gateway is a plain one, and there is nothing to configure.
        let tls = &configuration.settings.upstream_tls[&"shop".into()];
        assert_eq!(*tls, UpstreamTls::default());
    }
    let plain = parse(SMALL.as_bytes(), Path::new("portolan.yaml")).expect("fine");
    assert!(plain.settings.upstream_tls.is_empty());
    let address = &plain.settings.routing.services()[0].gateways()[0].address;
    assert_eq!((address.scheme, address.port), (Scheme::Http, 80));
    assert_eq!(address.host, GatewayHost::Name("gw-weu.example.net".into()));
}

#[test]
fn files_are_beside_the_configuration() {
    let text = with(
        "upstream: { tls: { ca: certs/ca.pem, server_name: gw.internal, client_certificate: a.pem, client_private_key: /b.key } }",
    );
    let configuration = parse(text.as_bytes(), Path::new("conf/portolan.yaml")).expect("fine");
    let tls = &configuration.settings.upstream_tls[&"shop".into()];
    let expected = UpstreamTls {
        ca: Some("conf/certs/ca.pem".into()),
        server_name: Some("gw.internal".into()),
        client: Some(PairFiles {
            certificate: "conf/a.pem".into(),
            private_key: "/b.key".into(),
        }),
        gate_ca: None,
    };
    assert_eq!(*tls, expected);
    assert!(configuration.warnings.is_empty());
}

#[test]
fn a_gate_may_be_asked_over_tls() {
    for (ca, file) in [(", ca: gate.pem", Some("conf/gate.pem".into())), ("", None)] {
        let line = format!("    failback: {{ gate: {{ url: \"https://gate.internal/ok\"{ca} }} }}\n    regions:");
        let text = SMALL.replacen("    regions:", &line, 1);
        let configuration = parse(text.as_bytes(), Path::new("conf/portolan.yaml")).expect("fine");
        let failback = &configuration.settings.routing.services()[0].failback;
        assert!(failback.is_asked_over_tls());
        let check = failback.check().expect("a check");
        assert_eq!((check.address.port, check.path.as_str()), (443, "/ok"));
        let expected = UpstreamTls {
            gate_ca: file,
            ..UpstreamTls::default()
        };
        assert_eq!(configuration.settings.upstream_tls[&"shop".into()], expected);
    }
}

/// There is no key that turns verification off.
#[test]
fn mistakes() {
    for (line, expected) in [
        (
            "upstream: { tls: { client_certificate: a.pem } }",
            "5:44: services.shop.upstream.tls.client_certificate: client_private_key is missing, the key of this certificate",
        ),
        (
            "upstream: { tls: { client_private_key: a.key } }",
            "5:44: services.shop.upstream.tls.client_private_key: client_certificate is missing, the certificate of this key",
        ),
        (
            "upstream: { tls: { server_name: \"gw.internal:443\" } }",
            r#"5:37: services.shop.upstream.tls.server_name: wanted a name or an address, without a port, brackets or wildcards, got "gw.internal:443""#,
        ),
        (
            "upstream: { tls: { server_name: \"*.internal\" } }",
            r#"5:37: services.shop.upstream.tls.server_name: wanted a name or an address, without a port, brackets or wildcards, got "*.internal""#,
        ),
        (
            "upstream: { tls: { verify: false } }",
            "5:24: services.shop.upstream.tls.verify: unknown key — possible here: ca, server_name, client_certificate, client_private_key",
        ),
        (
            "upstream: { tls: off }",
            "5:22: services.shop.upstream.tls: wanted a mapping with keys such as ca, server_name, client_certificate, client_private_key, got \"off\"",
        ),
    ] {
        assert_eq!(messages(&with(line)), [expected], "{line}");
    }
}

#[test]
fn tls_without_https_gateways_is_warned_of() {
    let text = SMALL.replacen("    regions:", "    upstream: { tls: { ca: a.pem } }\n    regions:", 1);
    let configuration = parse(text.as_bytes(), Path::new("portolan.yaml")).expect("fine");
    let [warning] = &configuration.warnings[..] else {
        panic!("{:?}", configuration.warnings)
    };
    assert_eq!(warning.path, "services.shop.upstream.tls");
    assert!(configuration.settings.upstream_tls.is_empty());
}
