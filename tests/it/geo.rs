//! Operators' own databases change the answers.

use portolan_tests::{Setup, fixture};

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
