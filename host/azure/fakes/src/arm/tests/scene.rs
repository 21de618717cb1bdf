//! A fake with one Standard/Premium profile and one classic front door, and a client with a token.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use url::Url;

use super::super::*;
use crate::testing::{Reply, send};

pub(super) const PROFILE: &str = "/subscriptions/sub/resourceGroups/Edge/providers/Microsoft.Cdn/profiles/shop";
pub(super) const GROUP: &str =
    "/subscriptions/sub/resourceGroups/Edge/providers/Microsoft.Cdn/profiles/shop/originGroups/storefront";
pub(super) const WEST: &str =
    "/subscriptions/sub/resourceGroups/Edge/providers/Microsoft.Cdn/profiles/shop/originGroups/storefront/origins/west";
pub(super) const CLASSIC: &str =
    "/subscriptions/sub/resourceGroups/Edge/providers/Microsoft.Network/frontDoors/shop-classic";
pub(super) const STANDARD_VERSION: &str = "2024-02-01";
pub(super) const CLASSIC_VERSION: &str = "2021-06-01";
pub(super) const CLIENT: &str = "tester";
pub(super) const SOON: Duration = Duration::from_secs(5);

/// A path of Standard/Premium with its api-version.
pub(super) fn at(path: &str) -> String {
    format!("{path}?api-version={STANDARD_VERSION}")
}

pub(super) struct Scene {
    pub(super) clock: Clock,
    pub(super) tokens: Tokens,
    pub(super) arm: FakeArm,
    token: String,
}

impl Scene {
    pub(super) async fn new() -> Scene {
        let clock = Clock::stopped();
        let tokens = Tokens::new(&clock);
        let arm = FakeArm::start(&clock, &tokens).await.unwrap();
        let origin = |name: &str, priority, weight, enabled| Origin {
            name: name.to_owned(),
            host_name: format!("{name}.example.net"),
            priority,
            weight,
            enabled,
        };
        let origins = vec![
            origin("west", Some(1), Some(50), true),
            origin("east", Some(1), Some(50), true),
            origin("bare", None, None, false),
        ];
        let single = vec![origin("only", Some(1), Some(50), true)];
        arm.seed(&Profile {
            subscription: "sub".to_owned(),
            resource_group: "Edge".to_owned(),
            name: "shop".to_owned(),
            front_door_id: "3b4682da-b3e2-47a1-96ca-08ab3cb7294e".to_owned(),
            groups: vec![
                OriginGroup {
                    name: "storefront".to_owned(),
                    routed: true,
                    origins: origins.clone(),
                },
                OriginGroup {
                    name: "spare".to_owned(),
                    routed: false,
                    origins: single,
                },
            ],
        });
        arm.seed_front_door(&ClassicFrontDoor {
            subscription: "sub".to_owned(),
            resource_group: "Edge".to_owned(),
            name: "shop-classic".to_owned(),
            front_door_id: "3b4682da-b3e2-47a1-96ca-08ab3cb7294f".to_owned(),
            pools: vec![BackendPool {
                name: "storefront".to_owned(),
                backends: origins,
            }],
        });
        let token = tokens.mint(
            CLIENT,
            "https://management.azure.com",
            Duration::from_secs(365 * 24 * 3600),
        );
        Scene {
            clock,
            tokens,
            arm,
            token,
        }
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.request(Method::GET, path, None).await
    }

    pub(super) async fn patch(&self, path: &str, properties: Value) -> Reply {
        self.request(
            Method::PATCH,
            path,
            Some(&serde_json::json!({ "properties": properties })),
        )
        .await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.request(Method::PUT, path, Some(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Reply {
        self.request(Method::DELETE, path, None).await
    }

    /// With the token, JSON and the api-version that fits the path.
    pub(super) async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let version = if path.contains("Microsoft.Network") {
            CLASSIC_VERSION
        } else {
            STANDARD_VERSION
        };
        let url = self.arm.url().join(&format!("{path}?api-version={version}")).unwrap();
        self.send(method, &url, body).await
    }

    /// Follows a URL that the fake gave.
    pub(super) async fn follow(&self, url: &str) -> Reply {
        self.send(Method::GET, &Url::parse(url).unwrap(), None).await
    }

    async fn send(&self, method: Method, url: &Url, body: Option<&Value>) -> Reply {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = body.map(Value::to_string).unwrap_or_default();
        send(method, url, &headers, body, None).await.unwrap()
    }

    /// With these headers alone.
    pub(super) async fn raw(&self, method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        send(
            method,
            &self.arm.url().join(target).unwrap(),
            headers,
            body.to_owned(),
            None,
        )
        .await
        .unwrap()
    }

    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// The violations of the last request.
    pub(super) fn violations(&self) -> Vec<String> {
        self.arm.log().last().unwrap().violations.clone()
    }
}
