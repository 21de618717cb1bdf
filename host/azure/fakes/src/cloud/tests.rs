use std::time::Duration;

use http::Method;
use url::form_urlencoded;

use super::*;
use crate::arm::{Origin, OriginGroup, Profile};
use crate::entra::{CLIENT_ID, CLIENT_SECRET, TENANT};
use crate::testing::{Reply, send};

const SOON: Duration = Duration::from_secs(5);
const ORIGIN: &str = "subscriptions/s/resourceGroups/rg/providers/Microsoft.Cdn/profiles/shop/originGroups/storefront/\
                      origins/west?api-version=2024-02-01";

async fn token(cloud: &Cloud, listener: &Endpoints, resource: &str) -> String {
    let form = [
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("grant_type", "client_credentials"),
        ("scope", &format!("{resource}/.default")),
    ];
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let url = listener.entra.join(&format!("{TENANT}/oauth2/v2.0/token")).unwrap();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let reply = send(Method::POST, &url, &headers, body, Some(&cloud.authority))
        .await
        .unwrap();
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

async fn get(cloud: &Cloud, url: &Url, token: &str) -> std::io::Result<Reply> {
    let bearer = format!("Bearer {token}");
    let authority = (url.scheme() == "https").then_some(&cloud.authority);
    send(Method::GET, url, &[("authorization", &bearer)], "", authority).await
}

fn seed(cloud: &Cloud) {
    let west = Origin {
        name: "west".to_owned(),
        host_name: "west.example.net".to_owned(),
        priority: Some(1),
        weight: Some(50),
        enabled: true,
    };
    cloud.arm.seed(&Profile {
        subscription: "s".to_owned(),
        resource_group: "rg".to_owned(),
        name: "shop".to_owned(),
        front_door_id: String::new(),
        groups: vec![OriginGroup {
            name: "storefront".to_owned(),
            routed: true,
            origins: vec![west],
        }],
    });
    cloud.blob.create_container("portolan");
    cloud.blob.put("portolan", "leader", "{}");
}

#[tokio::test]
async fn tokens_of_one_are_accepted_by_the_others_over_tls() {
    let cloud = Cloud::start_tls(&Clock::running()).await.unwrap();
    seed(&cloud);
    let listener = cloud.open_listener("west").await.unwrap();
    let arm = token(&cloud, &listener, "https://management.azure.com").await;
    let blob = token(&cloud, &listener, "https://storage.azure.com").await;
    assert_eq!(
        get(&cloud, &listener.arm.join(ORIGIN).unwrap(), &arm)
            .await
            .unwrap()
            .status,
        200
    );
    assert_eq!(
        get(&cloud, &listener.blob.join("portolan/leader").unwrap(), &blob)
            .await
            .unwrap()
            .body,
        "{}"
    );
    assert_eq!(
        get(&cloud, &listener.arm.join(ORIGIN).unwrap(), &blob)
            .await
            .unwrap()
            .status,
        401
    );
    let listeners: Vec<String> = cloud
        .entra
        .log()
        .into_iter()
        .map(|recorded| recorded.listener)
        .collect();
    assert_eq!(listeners, ["west", "west"]);
}

#[tokio::test]
async fn a_partition_cuts_one_listener_off_all_three_services() {
    let cloud = Cloud::start(&Clock::running()).await.unwrap();
    seed(&cloud);
    let west = cloud.open_listener("west").await.unwrap();
    let east = cloud.open_listener("east").await.unwrap();
    let token = token(&cloud, &west, "https://management.azure.com").await;
    cloud.partition("west");
    let leader = cloud.blob.container_url_by("west", "portolan");
    let urls = [
        west.entra.join("anything").unwrap(),
        west.arm.join(ORIGIN).unwrap(),
        leader,
    ];
    let unanswered = |cloud: &Cloud| {
        let logs = [cloud.entra.log(), cloud.arm.log(), cloud.blob.log()];
        logs.iter()
            .filter(|log| log.last().is_some_and(|recorded| recorded.status.is_none()))
            .count()
    };
    let hung = tokio::select! {
        _ = get(&cloud, &urls[0], &token) => false,
        _ = get(&cloud, &urls[1], &token) => false,
        _ = get(&cloud, &urls[2], &token) => false,
        done = async {
            cloud.entra.until(SOON, |_| unanswered(&cloud) >= 1).await?;
            cloud.arm.until(SOON, |arm| arm.log().len() == 1).await?;
            cloud.blob.until(SOON, |blob| blob.log().len() == 1).await
        } => done.is_ok(),
    };
    assert!(hung);
    assert_eq!(unanswered(&cloud), 3);
    assert_eq!(
        get(&cloud, &east.arm.join(ORIGIN).unwrap(), &token)
            .await
            .unwrap()
            .status,
        200
    );
    cloud.heal("west");
    assert_eq!(
        get(&cloud, &west.arm.join(ORIGIN).unwrap(), &token)
            .await
            .unwrap()
            .status,
        200
    );
}
