//! One test per rule of `contract/behaviours.json`, and one that none is left out.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::super::*;
use super::rule::{Rule, rules};
use super::scene::*;

/// Makes a test of each function, and lists them.
macro_rules! rule_tests {
    ($($name:ident),+ $(,)?) => {
        const TESTED: &[&str] = &[$(stringify!($name)),+];
        mod each {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Rule::named(stringify!($name)), &super::Scene::new().await).await;
            })+
        }
    };
}

rule_tests![
    auth_missing,
    auth_forbidden,
    api_version_missing,
    not_found,
    case_insensitive_ids,
    null_scalars,
    patch_sync,
    patch_async,
    patch_async_location_only,
    operation_poll,
    location_poll,
    patch_merge,
    last_enabled_origin,
    route_without_enabled_origin,
    ranges,
    no_etag,
    conflict_in_progress,
    throttle,
    ratelimit_headers,
    deployment_status,
    propagation,
    classic_create_refused,
    classic_put_only,
];

#[test]
fn every_rule_is_tested() {
    let listed: BTreeSet<String> = rules()
        .iter()
        .map(|rule| rule["id"].as_str().unwrap().to_owned())
        .collect();
    let tested: BTreeSet<String> = TESTED.iter().map(|name| name.replace('_', "-")).collect();
    assert_eq!(listed, tested);
}

async fn auth_missing(rule: Rule, scene: &Scene) {
    for headers in [vec![], vec![("authorization", "Basic dXNlcjpwYXNz")]] {
        let reply = scene
            .raw(
                Method::GET,
                &format!("{WEST}?api-version={STANDARD_VERSION}"),
                &headers,
                "",
            )
            .await;
        rule.is_met_by(&reply);
        let challenge = reply.header("www-authenticate").unwrap();
        assert!(
            challenge.starts_with("Bearer authorization_uri=\"https://login.microsoftonline.com/"),
            "{challenge}"
        );
    }
}

async fn auth_forbidden(rule: Rule, scene: &Scene) {
    scene.arm.set_behaviour(Behaviour::Deny(
        "Microsoft.Cdn/profiles/originGroups/origins/write".to_owned(),
    ));
    let reply = scene.patch(WEST, json!({"priority": 5})).await;
    rule.is_met_by(&reply);
    let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("'Microsoft.Cdn/profiles/origingroups/origins/write'"),
        "{message}"
    );
    assert_eq!(scene.get(WEST).await.status, 200);
    scene.arm.set_behaviour(Behaviour::AllowAll);
    assert_eq!(scene.patch(WEST, json!({"priority": 5})).await.status, 202);
}

async fn api_version_missing(rule: Rule, scene: &Scene) {
    let bearer = scene.bearer();
    rule.is_met_by(&scene.raw(Method::GET, WEST, &[("authorization", &bearer)], "").await);
}

async fn not_found(rule: Rule, scene: &Scene) {
    let elsewhere = |from: &str, to: &str| WEST.replace(from, to);
    for path in [
        elsewhere("shop", "other"),
        elsewhere("storefront", "other"),
        elsewhere("west", "other"),
    ] {
        rule.is_met_by(&scene.get(&path).await);
        rule.is_met_by(&scene.patch(&path, json!({"priority": 5})).await);
    }
    rule.is_met_by(&scene.get(&elsewhere("storefront/origins/west", "other/origins")).await);
    let message = scene.get(&elsewhere("west", "other")).await.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    let resource = "Microsoft.Cdn/profiles/origingroups/origins/shop/storefront/other";
    assert_eq!(
        message,
        format!("The Resource '{resource}' under resource group 'Edge' was not found.")
    );
}

async fn case_insensitive_ids(_: Rule, scene: &Scene) {
    for path in [WEST.to_owned(), WEST.to_ascii_lowercase(), WEST.to_ascii_uppercase()] {
        let origin = scene.get(&path).await.json();
        let id = "/subscriptions/sub/resourcegroups/Edge/providers/Microsoft.Cdn/profiles/shop/origingroups/storefront";
        assert_eq!(origin["id"], format!("{id}/origins/west"), "{path}");
        assert_eq!(origin["type"], "Microsoft.Cdn/profiles/origingroups/origins");
    }
}

async fn null_scalars(_: Rule, scene: &Scene) {
    let properties = scene.get(&WEST.replace("west", "bare")).await.json()["properties"].clone();
    for name in ["priority", "weight", "sharedPrivateLinkResource"] {
        assert_eq!(properties.get(name), Some(&Value::Null), "{name}");
    }
}

async fn patch_sync(rule: Rule, scene: &Scene) {
    scene.arm.set_behaviour(Behaviour::Writes(Writes::Sync));
    let reply = scene.patch(WEST, json!({"priority": 5})).await;
    assert_eq!(json!(reply.status.as_u16()), rule.0["status"]);
    assert_eq!(reply.header("azure-asyncoperation"), None);
    let properties = &reply.json()["properties"];
    assert_eq!(
        (&properties["priority"], &properties["provisioningState"]),
        (&json!(5), &json!("Succeeded"))
    );
}

async fn patch_async(rule: Rule, scene: &Scene) {
    scene.arm.set_behaviour(Behaviour::RetryAfter(Some(10)));
    let reply = scene.patch(WEST, json!({"priority": 5})).await;
    assert_eq!(json!(reply.status.as_u16()), rule.0["status"]);
    assert_eq!(reply.json()["properties"]["provisioningState"], "Updating");
    assert_eq!(reply.header("retry-after"), Some("10"));
    assert!(reply.header("location").is_some());
    let operation = reply.header("azure-asyncoperation").unwrap();
    let start = scene
        .arm
        .url()
        .join("/subscriptions/sub/resourcegroups/edge/providers/Microsoft.Cdn/")
        .unwrap();
    assert_eq!(
        operation,
        format!("{start}operationresults/1?api-version={STANDARD_VERSION}")
    );
    assert_eq!(scene.arm.origin("west").unwrap().provisioning_state, "Updating");
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(scene.arm.origin("west").unwrap().provisioning_state, "Succeeded");
}

async fn patch_async_location_only(rule: Rule, scene: &Scene) {
    scene.arm.set_behaviour(Behaviour::Writes(Writes::LocationOnly));
    let reply = scene.patch(WEST, json!({"priority": 5})).await;
    assert_eq!(json!(reply.status.as_u16()), rule.0["status"]);
    assert_eq!(reply.header("azure-asyncoperation"), None);
    assert_eq!(scene.follow(reply.header("location").unwrap()).await.status, 202);
}

async fn operation_poll(rule: Rule, scene: &Scene) {
    let failed = Ending::Failed {
        code: "InternalError".to_owned(),
        message: "no luck".to_owned(),
    };
    let endings = [
        (Ending::Succeeded, "Succeeded"),
        (failed, "Failed"),
        (Ending::Canceled, "Canceled"),
    ];
    scene.arm.set_behaviour(Behaviour::RunningStatus("Accepted".to_owned()));
    for (priority, (ending, status)) in (2..).zip(endings) {
        scene.arm.set_behaviour(Behaviour::Operations {
            last: Some(Duration::from_secs(1800)),
            ending,
        });
        let before = scene.arm.origin("west").unwrap().priority;
        let reply = scene.patch(WEST, json!({ "priority": priority })).await;
        let operation = reply.header("azure-asyncoperation").unwrap();
        scene.clock.advance(Duration::from_secs(1799));
        let running = scene.follow(operation).await;
        assert_eq!(json!(running.status.as_u16()), rule.0["status"]);
        assert_eq!(running.json(), json!({"status": "Accepted"}));
        scene.clock.advance(Duration::from_secs(1));
        let ended = scene.follow(operation).await.json();
        assert_eq!(ended["status"], status);
        assert_eq!(ended["error"]["message"].is_string(), status != "Succeeded");
        let expected = if status == "Succeeded" { Some(priority) } else { before };
        assert_eq!(scene.arm.origin("west").unwrap().priority, expected, "{status}");
    }
}

async fn location_poll(_: Rule, scene: &Scene) {
    let reply = scene.patch(WEST, json!({"priority": 5})).await;
    let location = reply.header("location").unwrap();
    assert_eq!(scene.follow(location).await.status, 202);
    scene.arm.finish_operations();
    let result = scene.follow(location).await;
    assert_eq!(
        (result.status.as_u16(), &result.json()["properties"]["priority"]),
        (200, &json!(5))
    );
}

async fn patch_merge(_: Rule, scene: &Scene) {
    let before = scene.get(WEST).await.json()["properties"].clone();
    scene.patch(WEST, json!({"priority": 5})).await;
    scene.arm.finish_operations();
    let mut expected = before;
    expected["priority"] = json!(5);
    assert_eq!(scene.get(WEST).await.json()["properties"], expected);
}

async fn last_enabled_origin(rule: Rule, scene: &Scene) {
    scene.arm.set_behaviour(Behaviour::Writes(Writes::Sync));
    let off = json!({"enabledState": "Disabled"});
    let east = WEST.replace("west", "east");
    assert_eq!(scene.patch(&east, off.clone()).await.status, 200);
    // "bare" and "east" are there, but disabled.
    rule.is_met_by(&scene.patch(WEST, off.clone()).await);
    rule.is_met_by(&scene.delete(WEST).await);
    let whole = json!({"properties": {"hostName": "west.example.net", "enabledState": "Disabled"}});
    rule.is_met_by(&scene.put(WEST, &whole).await);
    assert!(scene.arm.origin("west").unwrap().enabled);
    // Demoting is always allowed, and so is all in a group that no route uses.
    assert_eq!(scene.patch(WEST, json!({"priority": 5})).await.status, 200);
    let unrouted = WEST.replace("storefront", "spare").replace("west", "only");
    assert_eq!(scene.patch(&unrouted, off).await.status, 200);
}

async fn route_without_enabled_origin(rule: Rule, scene: &Scene) {
    scene.arm.set_behaviour(Behaviour::Writes(Writes::Sync));
    let spare = GROUP.replace("storefront", "spare");
    let route = format!("{PROFILE}/afdEndpoints/shop/routes/spare");
    let body = json!({"properties": {"originGroup": {"id": spare}, "patternsToMatch": ["/spare/*"]}});
    scene
        .patch(&format!("{spare}/origins/only"), json!({"enabledState": "Disabled"}))
        .await;
    rule.is_met_by(&scene.put(&route, &body).await);
    scene
        .patch(&format!("{spare}/origins/only"), json!({"enabledState": "Enabled"}))
        .await;
    let created = scene.put(&route, &body).await;
    assert_eq!(created.status, 201);
    assert_eq!(scene.get(&route).await.json(), created.json());
}

async fn ranges(rule: Rule, scene: &Scene) {
    let group = |interval: i64| json!({"healthProbeSettings": {"probeIntervalInSeconds": interval}});
    let cases = [
        (WEST, json!({"priority": 0}), json!({"priority": 1})),
        (WEST, json!({"priority": 6}), json!({"priority": 5})),
        (WEST, json!({"weight": 0}), json!({"weight": 1})),
        (WEST, json!({"weight": 1001}), json!({"weight": 1000})),
        (WEST, json!({"httpPort": 0}), json!({"httpPort": 1})),
        (WEST, json!({"httpsPort": 65536}), json!({"httpsPort": 65535})),
        (GROUP, group(0), group(1)),
        (GROUP, group(256), group(255)),
    ];
    for (path, outside, inside) in cases {
        let reply = scene.patch(path, outside.clone()).await;
        rule.is_met_by(&reply);
        assert_eq!(scene.violations().len(), 1, "{outside}");
        assert_eq!(scene.patch(path, inside.clone()).await.status, 202, "{inside}");
        assert_eq!(scene.violations(), Vec::<String>::new(), "{inside}");
    }
}

async fn no_etag(_: Rule, scene: &Scene) {
    let bearer = scene.bearer();
    let reply = scene.get(WEST).await;
    assert_eq!((reply.header("etag"), reply.json().get("etag")), (None, None));
    let target = format!("{WEST}?api-version={STANDARD_VERSION}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("if-match", "\"other\""),
    ];
    // Two writers in a row: neither is rejected, the last one wins.
    for priority in [3, 4] {
        let body = json!({"properties": {"priority": priority}}).to_string();
        assert_eq!(scene.raw(Method::PATCH, &target, &headers, &body).await.status, 202);
    }
    scene.arm.finish_operations();
    assert_eq!(scene.arm.origin("west").unwrap().priority, Some(4));
}

async fn conflict_in_progress(rule: Rule, scene: &Scene) {
    scene.arm.set_behaviour(Behaviour::ConflictWhileBusy(true));
    assert_eq!(scene.patch(WEST, json!({"priority": 5})).await.status, 202);
    rule.is_met_by(&scene.patch(&WEST.replace("west", "east"), json!({"priority": 5})).await);
    scene.arm.finish_operations();
    assert_eq!(
        scene
            .patch(&WEST.replace("west", "east"), json!({"priority": 5}))
            .await
            .status,
        202
    );
}

async fn throttle(rule: Rule, scene: &Scene) {
    let buckets = &rule.0["buckets"];
    let documented = |name: &str| Bucket {
        size: buckets[name]["size"].as_f64().unwrap(),
        refill_per_s: buckets[name]["refill_per_s"].as_f64().unwrap(),
    };
    let (reads, writes) = (documented("subscription_reads"), documented("subscription_writes"));
    assert_eq!(
        Buckets::default(),
        Buckets {
            reads,
            writes,
            deletes: documented("subscription_deletes")
        }
    );

    let small = Bucket {
        size: 2.0,
        refill_per_s: 0.1,
    };
    scene.arm.set_behaviour(Behaviour::Buckets(Buckets {
        writes: small,
        ..Buckets::default()
    }));
    for _ in 0..2 {
        assert_eq!(scene.patch(WEST, json!({"priority": 5})).await.status, 202);
    }
    let rejected = scene.patch(WEST, json!({"priority": 5})).await;
    rule.is_met_by(&rejected);
    assert_eq!(rejected.header("retry-after"), Some("10"));
    assert_eq!(
        rejected.header("x-ms-ratelimit-remaining-subscription-writes"),
        Some("0")
    );
    // Too early: rejected again, with a new wait. Reads have a bucket of their own.
    scene.clock.advance(Duration::from_secs(5));
    assert_eq!(
        scene.patch(WEST, json!({"priority": 5})).await.header("retry-after"),
        Some("5")
    );
    assert_eq!(scene.get(WEST).await.status, 200);
    scene.clock.advance(Duration::from_secs(5));
    assert_eq!(scene.patch(WEST, json!({"priority": 5})).await.status, 202);
}

async fn ratelimit_headers(_: Rule, scene: &Scene) {
    let read = scene.get(WEST).await;
    assert_eq!(read.header("x-ms-ratelimit-remaining-subscription-reads"), Some("249"));
    let write = scene.patch(WEST, json!({"priority": 5})).await;
    assert_eq!(
        write.header("x-ms-ratelimit-remaining-subscription-writes"),
        Some("199")
    );
}

async fn deployment_status(_: Rule, scene: &Scene) {
    scene.patch(WEST, json!({"priority": 5})).await;
    scene.arm.finish_operations();
    scene.clock.advance(Duration::from_secs(24 * 3600));
    let properties = scene.get(WEST).await.json()["properties"].clone();
    assert_eq!(properties["provisioningState"], "Succeeded");
    assert_eq!(properties["deploymentStatus"], "NotStarted");
}

async fn propagation(_: Rule, scene: &Scene) {
    let minutes = |n: u64| Duration::from_secs(n * 60);
    let seen = |edge: u32, name: &str| scene.arm.edge(edge).origin(name).unwrap().priority;
    scene.arm.set_behaviour(Behaviour::Writes(Writes::Sync));
    scene.patch(WEST, json!({"priority": 5})).await;
    scene.patch(&WEST.replace("west", "east"), json!({"priority": 4})).await;
    assert_eq!(scene.arm.origin("west").unwrap().priority, Some(5));
    assert_eq!((seen(0, "west"), seen(EDGES - 1, "west")), (Some(1), Some(1)));
    scene.clock.advance(minutes(5));
    assert_eq!((seen(0, "west"), seen(EDGES - 1, "west")), (Some(5), Some(1)));
    scene.clock.advance(minutes(15));
    // The second change was queued behind the first.
    assert_eq!((seen(EDGES - 1, "west"), seen(0, "east")), (Some(5), Some(1)));
    scene.clock.advance(minutes(20));
    assert_eq!(seen(EDGES - 1, "east"), Some(4));
}

async fn classic_create_refused(rule: Rule, scene: &Scene) {
    let body = json!({"location": "Global", "properties": {"enabledState": "Enabled"}});
    rule.is_met_by(&scene.put(&CLASSIC.replace("shop-classic", "another"), &body).await);
}

async fn classic_put_only(_: Rule, scene: &Scene) {
    assert_eq!(scene.patch(CLASSIC, json!({})).await.status, 405);
    assert_eq!(scene.get(&format!("{CLASSIC}/backendPools")).await.status, 404);
    let mut whole = scene.get(CLASSIC).await.json();
    whole["properties"]["backendPools"][0]["properties"]["backends"][0]["priority"] = json!(5);
    let reply = scene.put(CLASSIC, &whole).await;
    assert_eq!((reply.status.as_u16(), scene.violations()), (202, Vec::new()));
    let operation = reply.header("azure-asyncoperation").unwrap();
    assert!(
        operation.contains("/providers/Microsoft.Network/frontdooroperationresults/"),
        "{operation}"
    );
    scene.arm.finish_operations();
    assert_eq!(scene.follow(operation).await.json()["status"], "Succeeded");
    assert_eq!(scene.get(CLASSIC).await.json(), whole);
    let backend = scene
        .arm
        .backend("shop-classic", "storefront", "west.example.net")
        .unwrap();
    assert_eq!(backend.priority, Some(5));
}
