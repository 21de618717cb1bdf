//! What other programs write: aliases, JSON with its escapes, tabs, floats for whole numbers.

use super::mistakes::messages;
use super::{SMALL, configuration, settings};
use crate::config::{Settings, parse};
use portolan_core::config::{Probe, Service};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// As PyYAML writes two services that share objects.
const ALIASED: &str = r#"listeners:
- address: 127.0.0.1:8080
services:
  blog:
    health_check: &id001
      interval: 2s
      path: /up
    regions: &id002
    - gateway: http://gw-weu.example.net
      region: westeurope
    - gateway: http://gw-eus2.example.net
      region: eastus2
  shop:
    health_check: *id001
    regions: *id002
routes:
- service: shop
- path: /blog
  service: blog
"#;

#[test]
fn aliases_stand_for_what_they_name() {
    let settings = settings(ALIASED);
    let [blog, shop] = settings.routing.services() else {
        panic!("{settings:?}")
    };
    let addresses = |service: &Service| {
        service
            .gateways()
            .iter()
            .map(|it| it.address.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(addresses(blog), addresses(shop));
    let check = shop.health_check.as_ref().expect("a check");
    assert_eq!(check.interval, Duration::from_secs(2));
    assert!(matches!(&check.probe, Probe::Http { .. }), "{check:?}");
    assert_eq!(
        settings.written["services"]["shop"]["regions"],
        settings.written["services"]["blog"]["regions"]
    );
}

#[test]
fn a_mistake_in_an_aliased_value_is_reported_for_every_use_where_it_is_written() {
    assert_eq!(
        messages(&ALIASED.replace("eastus2\n", "eastus22\n")),
        [
            "12:15: services.blog.regions[1].region: unknown region \"eastus22\" — did you mean eastus2?",
            "12:15: services.shop.regions[1].region: unknown region \"eastus22\" — did you mean eastus2?",
        ]
    );
    // What is wrong with the place an alias is used in is reported there.
    assert_eq!(
        messages(&ALIASED.replace("regions: *id002", "regions: *id001")),
        ["15:14: services.shop.regions: wanted a list, got a mapping"]
    );
}

/// What a plugin is configured with.
fn of_plugin(settings: &Settings, plugin: &str) -> Value {
    let config = &settings.plugins[&plugin.into()].deployment.config;
    serde_json::from_str(config).expect("JSON")
}

#[test]
fn json_of_other_programs_is_read() {
    let config = json!({
        "listeners": [{ "address": "127.0.0.1:8080" }],
        "services": { "shop": {
            "policy": { "plugin": "nearest" },
            "regions": [{ "region": "westeurope", "gateway": "http://127.0.0.1:8081" }],
        } },
        "routes": [{ "service": "shop" }],
        "plugins": { "nearest": { "source": "embedded:nearest", "config": { "note": "🌐 \"{[:,\\", "at": -1.5e3, "no": null } } },
    });
    let pretty = format!("{config:#}");
    let escaped = pretty.replace('🌐', "\\ud83c\\udf10");
    for text in [
        config.to_string(),
        pretty.replace("  ", "\t"),
        pretty.replace(": ", ":\t"),
        pretty.replace('\n', "\r\n"),
        format!("\u{feff}\n{pretty}"),
        escaped,
    ] {
        let settings = settings(&text);
        assert_eq!(settings.written["services"], config["services"], "{text}");
        assert_eq!(
            of_plugin(&settings, "nearest"),
            config["plugins"]["nearest"]["config"],
            "{text}"
        );
    }
}

#[test]
fn mistakes_in_json_have_their_position() {
    let text = "{\n\t\"listeners\": [{ \"address\": \"127.0.0.1:8080\" }],\n\t\"µ\": \"\\ud83c\\udf10\", \"services\": {}, \"routes\": 5\n}";
    let errors = parse(text.as_bytes(), Path::new("x.json")).unwrap_err().to_string();
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!(
        lines,
        [
            "x.json:3:2: \"µ\": unknown key — possible here: listeners, admin, workers, here, geo, resolvers, via, services, routes, overload, \
             affinity_keys, plugins, registries, require_signature, front_door, access_log, telemetry, lame_duck, drain_time, max_shift, include",
            "x.json:3:35: services: at least one service is needed",
            "x.json:3:49: routes: wanted a list, got \"5\"",
        ]
    );
}

#[test]
fn a_tab_separates_a_key_from_its_value() {
    let text = SMALL.replace("services:\n", "workers:\t3\naccess_log:\t \toff\t# none\nservices:\n");
    let text = text.replace("  - address: ", "  - address:\t");
    let configuration = configuration(&text);
    assert_eq!(configuration.fixed.workers.map(usize::from), Some(3));
    // As indentation it stays a mistake, and in a text it stays.
    assert!(messages(&SMALL.replace("  shop:", "\tshop:"))[0].contains("indent with spaces"));
    let kept = settings(&format!(
        "{SMALL}plugins: {{ canary: {{ source: \"embedded:canary\", config: {{ a: \"x:\ty\" }} }} }}\n"
    ));
    assert_eq!(of_plugin(&kept, "canary")["a"], "x:\ty");
}

#[test]
fn whole_numbers_may_be_written_as_floats() {
    let with = |number: &str| {
        let limit = format!("region: westeurope, max_requests: {number},");
        SMALL.replace("region: westeurope,", &limit)
    };
    for (text, expected) in [("1e+06", 1_000_000), ("2E3", 2_000), ("2000.0", 2_000), ("1.5e+1", 15)] {
        let settings = settings(&with(text));
        assert_eq!(
            settings.routing.services()[0].gateways()[0].max_requests,
            Some(expected),
            "{text}"
        );
    }
    for text in ["1.5", "1e-1", "1e+30", "1e400", ".5e1", "inf", "-1e3", "1e+06x", "0x10"] {
        let messages = messages(&with(text));
        assert!(
            messages.len() == 1 && messages[0].contains("max_requests: wanted a whole number"),
            "{text}: {messages:?}"
        );
    }
}

#[test]
fn null_is_no_word() {
    let with = |host: &str| SMALL.replace("host: \"*\"", &format!("host: {host}"));
    for null in ["null", "~", "Null"] {
        assert_eq!(
            messages(&with(null)),
            [format!(
                "9:13: routes[0].host: wanted a host without port, such as shop.example.net, \"*.example.net\" or \"*\", got \
                 {null}, which is no value: put it in quotes if the word is meant"
            )]
        );
    }
    assert!(messages(&with("\"null\"")).is_empty());
    let messages = messages(&SMALL.replace("gateway: \"http://gw-weu.example.net\"", "gateway: null"));
    assert!(messages.len() == 1 && messages[0].contains("in quotes"), "{messages:?}");
}

#[test]
fn a_share_and_peers_are_written_as_programs_write_them() {
    let text = SMALL.replacen(
        "listeners:",
        "max_shift: 10\nadmin: { address: 127.0.0.1:9900, peers: [ { url: \"http://10.1.2.3:9900/\", token_file: t }, { name: two, url: \"https://edge\" } ] }\nlisteners:",
        1,
    );
    let settings = settings(&text);
    assert_eq!(settings.max_shift, Some(10));
    let peers: Vec<_> = settings
        .peers
        .iter()
        .map(|peer| (&*peer.name, peer.url.to_string()))
        .collect();
    assert_eq!(
        peers,
        [
            ("10.1.2.3:9900", "http://10.1.2.3:9900/".to_owned()),
            ("two", "https://edge/".to_owned())
        ]
    );
    assert!(
        settings.peers[0]
            .token_file
            .as_ref()
            .is_some_and(|file| file.ends_with("t"))
    );
}
