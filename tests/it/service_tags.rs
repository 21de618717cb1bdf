//! Front Door is who its addresses and its identifier say: the file of service tags, and what becomes of a bad one.

use portolan::control::status::Kind;
use portolan_tests::{Answer, Request, Setup, World, from};
use std::net::{IpAddr, Ipv4Addr};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const LISTENER: &str = "- address: 127.0.0.1:0\n  debug_headers: true\n  client_address: { header: x-azure-socketip, \
                        front_door_id: ours, service_tags: tags.json }";

/// A file in which Front Door has this network.
fn tags(network: &str) -> String {
    format!(
        r#"{{ "changeNumber": 1, "cloud": "Public", "values": [
            {{ "name": "AzureCloud", "properties": {{ "addressPrefixes": ["192.0.2.0/24"] }} }},
            {{ "name": "AzureFrontDoor.Backend", "properties": {{ "addressPrefixes": ["{network}"] }} }} ] }}"#
    )
}

fn setup(network: &str) -> Setup {
    Setup::three_regions()
        .with("here: eastus2")
        .listeners(LISTENER)
        .file("tags.json", tags(network))
}

/// A request as Front Door passes it on for a client in Singapore.
async fn by_front_door(world: &World, id: &str) -> Answer {
    let request = Request::get("/")
        .header("x-azure-fdid", id)
        .header("x-azure-socketip", from::SINGAPORE)
        .header("x-azure-clientip", from::BRITAIN)
        .header("x-azure-ref", "1")
        .header("x-fd-healthprobe", "1");
    world.send(request).await
}

fn seen(answer: &Answer) -> [String; 3] {
    ["x-azure-socketip", "x-azure-ref", "x-fd-healthprobe"].map(|name| answer.seen(name))
}

/// Whether loopback is among Front Door's addresses.
fn is_front_door(world: &World) -> bool {
    world.app().tables().current().listeners[0]
        .client_address
        .trusted
        .contains(LOCAL)
}

async fn until_front_door(world: &World, expected: bool) {
    let what = format!("loopback is Front Door: {expected}");
    world
        .until(&what, |table| {
            table.listeners[0].client_address.trusted.contains(LOCAL) == expected
        })
        .await;
}

#[tokio::test]
async fn an_address_of_the_tag_and_our_identifier_are_front_door() {
    let world = setup("127.0.0.0/8").start();
    let ours = by_front_door(&world, "ours").await;
    assert_eq!(ours.region(), "southeastasia", "{}", ours.text());
    assert_eq!(seen(&ours), [from::SINGAPORE, "1", "1"]);
    let anothers = by_front_door(&world, "another").await;
    assert_eq!(anothers.region(), "eastus2", "{}", anothers.text());
    assert_eq!(seen(&anothers), ["", "", ""]);
}

#[tokio::test]
async fn an_address_outside_the_tag_is_not() {
    let world = setup("147.243.0.0/16").start();
    let answer = by_front_door(&world, "ours").await;
    assert_eq!(answer.region(), "eastus2", "{}", answer.text());
    assert_eq!(seen(&answer), ["", "", ""]);
}

#[tokio::test]
async fn a_new_file_is_used_and_a_bad_one_is_not() {
    let world = setup("147.243.0.0/16").start();
    world.replace("tags.json", tags("127.0.0.0/8"));
    until_front_door(&world, true).await;
    assert_eq!(by_front_door(&world, "ours").await.region(), "southeastasia");
    for (count, bad) in (1..).zip([tags("0.0.0.0/0"), tags("127.0.0.0/8")[..99].into(), "{}".into()]) {
        world.replace("tags.json", bad);
        world.until_rejections(Kind::ServiceTags, count).await;
        assert!(is_front_door(&world));
    }
    let ready = world.admin(Request::get("/readyz")).await.text();
    assert!(ready.contains("service_tags"), "{ready}");
    // The configuration is loaded with it, so that it is not accepted either.
    world.reconfigure(|text| text + "\n");
    world.until_rejected(Kind::Config).await;
    assert!(is_front_door(&world));
    world.replace("tags.json", tags("147.243.0.0/16"));
    until_front_door(&world, false).await;
    world.until_no_error(Kind::ServiceTags).await;
    assert_eq!(by_front_door(&world, "ours").await.region(), "eastus2");
}

#[tokio::test]
async fn a_start_needs_a_good_file_or_the_last_good_one() {
    let bad = setup("::/0");
    std::fs::write(bad.folder().join("portolan.yaml"), bad.config()).expect("written");
    let error = bad.try_start().expect_err("it does not start");
    assert!(error.contains("listeners[0].client_address.service_tags"), "{error}");

    let world = setup("127.0.0.0/8").keeping().start();
    world.until_kept(1).await;
    world.replace("tags.json", "[]");
    let world = world.restart().expect("it starts");
    assert!(is_front_door(&world));
    assert!(world.app().status().of(Kind::ServiceTags).restored.is_some());
}
