//! What is said of regions and routes for plugins.

use super::mistakes::messages;
use super::{SMALL, configuration};
use portolan_core::config::When;
use portolan_core::route::Asked;

const PLUGIN: &str = "plugins: { canary: { source: \"embedded:canary\", config: {} } }\n";

/// The small file with a plugin, this in the service, on its first region and on its route.
fn with(service: &str, region: &str, route: &str) -> String {
    let text = SMALL
        .replacen(
            "    regions:\n",
            &format!("    policy: {{ plugin: canary }}\n{service}    regions:\n"),
            1,
        )
        .replacen("gw-weu.example.net\" }", &format!("gw-weu.example.net\"{region} }}"), 1)
        .replacen("service: shop }", &format!("service: shop{route} }}"), 1);
    format!("{text}{PLUGIN}")
}

#[test]
fn regions_have_a_cost_and_tags_for_plugins() {
    let labels = |region: &str| {
        let settings = configuration(&with("", region, "")).settings;
        settings.routing.services()[0].gateways()[0].labels.clone()
    };
    assert_eq!(labels("").cost, None);
    for (text, cost) in [("0", 0.0), ("1.25", 1.25), ("3", 3.0)] {
        assert_eq!(labels(&format!(", cost: {text}")).cost, Some(cost));
    }
    let tags = |text: &str| {
        labels(&format!(", tags: {text}"))
            .tags
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (tags("[eu, gpu]"), tags("eu")),
        (vec!["eu".to_owned(), "gpu".to_owned()], vec!["eu".to_owned()])
    );
    let many: Vec<_> = (0..17).map(|tag| format!("t{tag}")).collect();
    for (region, mistake) in [
        (", cost: -1", "regions[0].cost: wanted a number, 0 or more"),
        (", cost: cheap", "regions[0].cost: wanted a number, 0 or more"),
        (", cost: .nan", "regions[0].cost: wanted a number, 0 or more"),
        (", tags: [\"a b\"]", "regions[0].tags[0]: a tag has 1 to 63 letters"),
        (", tags: [eu, eu]", "regions[0].tags[1]: \"eu\" is there already"),
        (
            &format!(", tags: [{}]", many.join(", ")),
            "a region has at most 16 tags",
        ),
    ] {
        let messages = messages(&with("", region, ""));
        assert!(
            messages.len() == 1 && messages[0].contains(mistake),
            "{region}: {messages:?}"
        );
    }
}

#[test]
fn routes_allow_plugins_some_statuses() {
    let allowed = |route: &str| {
        let settings = configuration(&with("", "", route)).settings;
        let asked = Asked {
            method: &http::Method::GET,
            headers: &http::HeaderMap::new(),
            query: "",
            certificate: None,
            trust: None,
        };
        let route = settings
            .routing
            .routes()
            .find("shop.example", "/", &asked)
            .expect("a route");
        route.plugin_statuses().to_vec()
    };
    assert_eq!(allowed(""), [0_u16; 0]);
    assert_eq!(allowed(", plugin_statuses: [403, 451]"), [403, 451]);
    assert_eq!(allowed(", plugin_statuses: 429"), [429]);
    for status in ["200", "302", "399", "600", "forbidden"] {
        let messages = messages(&with("", "", &format!(", plugin_statuses: [{status}]")));
        let expected = "plugin_statuses[0]: wanted a whole number from 400 to 599";
        assert!(
            messages.len() == 1 && messages[0].contains(expected),
            "{status}: {messages:?}"
        );
    }
    let text = SMALL.replacen("service: shop }", "service: shop, plugin_statuses: [403] }", 1);
    let warnings = configuration(&text).warnings;
    assert!(
        warnings.len() == 1
            && warnings[0]
                .to_string()
                .contains("has no effect: \"shop\" has no plugin"),
        "{warnings:?}"
    );
}

#[test]
fn affinity_may_wait_for_the_plugin() {
    let when = |lines: &str| {
        let text = with(&format!("    affinity: {lines}\n"), "", "");
        let settings = configuration(&text).settings;
        settings.routing.services()[0].affinity.as_ref().expect("affinity").when
    };
    assert_eq!(when("{ cookie: {} }"), When::Always);
    assert_eq!(when("{ cookie: {}, when: always }"), When::Always);
    assert_eq!(when("{ header: x-tenant, when: plugin }"), When::Plugin);
    let text = SMALL.replacen(
        "    regions:\n",
        "    affinity: { cookie: {}, when: plugin }\n    regions:\n",
        1,
    );
    let messages = messages(&text);
    assert!(
        messages.len() == 1 && messages[0].contains("affinity.when: affinity would apply to no request"),
        "{messages:?}"
    );
}
