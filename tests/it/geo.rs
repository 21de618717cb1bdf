//! Operators' own databases change the answers.

use portolan::control::status::Kind;
use portolan_tests::{Request, Setup, fixture};

#[tokio::test]
async fn a_maxmind_database_changes_the_answers() {
    let database = fixture("maxmind/test-data/GeoIP2-City-Test.mmdb");
    let world = Setup::regions(&["westeurope", "westus2", "koreacentral"])
        .file("city.mmdb", database)
        .with("geo: { database: city.mmdb }")
        .start();
    for (client, region) in [
        ("216.160.83.56", "westus2"),
        ("81.2.69.142", "westeurope"),
        ("175.16.199.1", "koreacentral"),
    ] {
        assert_eq!(world.region_for(client).await, region, "{client}");
    }
}

#[tokio::test]
async fn networks_of_the_configuration_place_their_clients() {
    let networks = "geo:\n  networks:\n  - { network: 10.1.0.0/16, country: SG, location: { latitude: 1.35, longitude: 103.8 } }\n  \
                    - { network: 10.2.0.0/16, region: eastus2 }\n  - { network: 81.2.69.0/24, region: southeastasia }\n  \
                    - { network: \"fd00::/8\", country: DE }\n  \
                    - { network: 10.3.0.0/16, location: { latitude: 51.5, longitude: -0.1 }, region: southeastasia }\n";
    let world = Setup::regions(&["westeurope", "eastus2", "southeastasia"])
        .service("residency: [{ countries: [DE], regions: [westeurope] }, { countries: [GB], regions: [westeurope, southeastasia] }]")
        .with(networks)
        .start();
    for (client, region) in [
        ("10.1.2.3", "southeastasia"),
        ("::ffff:10.1.2.3", "southeastasia"),
        ("10.2.0.1", "eastus2"),
        ("fd00::1", "westeurope"),
        ("10.3.0.1", "southeastasia"),
        // The region is preferred, and the country is still what the database says.
        ("81.2.69.142", "southeastasia"),
    ] {
        assert_eq!(world.region_for(client).await, region, "{client}");
    }
    let explained = |client: &str| world.admin(Request::get(&format!("/api/v1/explain?ip={client}")));
    let london = explained("81.2.69.142").await.json();
    assert_eq!(london["client"]["country"], "GB");
    assert_eq!(london["client"]["precision"], "configured");
    let place = london["client"]["place"].as_str().expect("text");
    assert!(
        place.contains("81.2.69.0/24") && place.contains("prefers southeastasia"),
        "{place}"
    );
    let excluded = london["regions"].as_array().expect("regions").iter();
    let mut excluded = excluded.filter(|region| region["region"] == "eastus2");
    assert_eq!(excluded.next().expect("it")["excluded"], "residency");

    // A reload changes them.
    world.reconfigure(|text| text.replace("10.1.0.0/16, country: SG", "10.1.0.0/16, country: DE"));
    let is_german = |table: &portolan::table::RoutingTable| {
        let place = table.geo.locate("10.1.2.3".parse().expect("an address")).place;
        place.country.to_string() == "DE"
    };
    world.until("the network is in Germany", is_german).await;
    assert_eq!(world.region_for("10.1.2.3").await, "westeurope", "residency");
}

#[tokio::test]
async fn databases_that_cover_less_are_held_back_unless_that_is_allowed() {
    let (lite, columns) = ("schemas/ipinfo-lite.mmdb", "schemas/ip2location-columns.mmdb");
    let country = "maxmind/test-data/GeoLite2-Country-Test.mmdb";
    for (client, first, replacement, lost) in [
        ("2a02:8070::1", lite, columns, "no place for any IPv6 address"),
        ("2a02:d180::1", country, lite, "no IPv4 network in SE"),
    ] {
        let world = Setup::regions(&["westeurope", "eastus2"])
            .service("residency: [{ countries: [DE, SE], regions: [eastus2] }]")
            .file("city.mmdb", fixture(first))
            .with("geo: { database: city.mmdb }")
            .start();
        assert_eq!(world.region_for(client).await, "eastus2");
        let before = world.app().tables().current().geo.databases().info().database.clone();
        world.replace("city.mmdb", fixture(replacement));
        world.until_rejected(Kind::Geo).await;
        let ready = world.admin(Request::get("/readyz")).await.text();
        assert!(
            ready.contains(lost) && ready.contains("geo.allow_coverage_loss"),
            "{ready}"
        );
        assert_eq!(world.region_for(client).await, "eastus2", "the one before is active");
        world.reconfigure(|text| text.replace("city.mmdb }", "city.mmdb, allow_coverage_loss: true }"));
        let is_replaced = |table: &portolan::table::RoutingTable| table.geo.databases().info().database != before;
        world.until("the replacement is active", is_replaced).await;
        world.until_no_error(Kind::Geo).await;
    }
}

#[tokio::test]
async fn a_family_that_databases_lack_comes_from_the_embedded_table() {
    let world = Setup::regions(&["westeurope", "eastus2"])
        .file("v4.mmdb", fixture("schemas/ip2location-columns.mmdb"))
        .with("geo: { database: v4.mmdb }")
        .start();
    assert_eq!(world.region_for("8.8.8.8").await, "eastus2");
    assert_eq!(world.region_for("2600:1700::1").await, "eastus2");
    assert_eq!(world.region_for("2a02:8070::1").await, "westeurope");
    let metrics = world.admin(Request::get("/metrics")).await.text();
    for line in [
        r#"portolan_geo_family_filled{family="ipv6"} 1"#,
        r#"portolan_geo_networks{family="ipv4"} 3"#,
        r#"portolan_geo_networks{family="ipv6"} 0"#,
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn networks_of_the_configuration_count_without_the_database_too() {
    let geo = "geo:\n  database: city.mmdb\n  networks:\n  - { network: 10.1.0.0/16, country: DE, region: eastus2 }\n";
    let world = Setup::regions(&["westeurope", "eastus2"])
        .file("city.mmdb", "no database")
        .with(geo)
        .start();
    world.until_rejected(Kind::Geo).await;
    assert_eq!(world.region_for("10.1.2.3").await, "eastus2");
}

#[tokio::test]
async fn a_restart_does_not_accept_databases_that_cover_less_than_the_last_good_ones() {
    let world = Setup::regions(&["westeurope", "eastus2"])
        .service("residency: [{ countries: [DE], regions: [eastus2] }]")
        .file("city.mmdb", fixture("schemas/ipinfo-lite.mmdb"))
        .with("geo: { database: city.mmdb }")
        .keeping()
        .start();
    world.until_kept(1).await;
    world.replace("city.mmdb", fixture("schemas/ip2location-columns.mmdb"));
    world.until_rejected(Kind::Geo).await;
    let world = world.restart().expect("started");
    world.until_rejected(Kind::Geo).await;
    let ready = world.admin(Request::get("/readyz")).await.text();
    assert!(ready.contains("no place for any IPv6 address"), "{ready}");
    assert_eq!(world.region_for("2a02:8070::1").await, "eastus2");
    // The databases before are the last good ones still.
    let database = world.app().tables().current().geo.databases().info().database.clone();
    assert!(database.starts_with("ipinfo"), "{database}");
}
