//! Tokens, the form of requests, and all that is served.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::super::*;
use super::scene::*;

#[tokio::test]
async fn a_token_must_be_issued_fresh_and_for_the_resource_manager() {
    let scene = Scene::new().await;
    let hour = Duration::from_secs(3600);
    let cases = [
        (
            scene.tokens.mint(CLIENT, "https://storage.azure.com", 2 * hour),
            "InvalidAuthenticationTokenAudience",
        ),
        ("made.up.token".to_owned(), "InvalidAuthenticationToken"),
        (
            scene.tokens.mint(CLIENT, "https://management.azure.com", hour),
            "ExpiredAuthenticationToken",
        ),
    ];
    scene.clock.advance(hour);
    for (token, code) in cases {
        let bearer = format!("Bearer {token}");
        let reply = scene
            .raw(Method::GET, &at(WEST), &[("authorization", &bearer)], "")
            .await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["error"]["code"]),
            (401, &json!(code))
        );
    }
    let other = scene.tokens.mint(CLIENT, "https://management.core.windows.net", hour);
    let bearer = format!("Bearer {other}");
    assert_eq!(
        scene
            .raw(Method::GET, &at(WEST), &[("authorization", &bearer)], "")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_request_of_the_wrong_form_is_rejected_and_recorded() {
    let scene = Scene::new().await;
    let bearer = scene.bearer();
    let json_type = ("content-type", "application/json; charset=utf-8");
    let patch = r#"{"properties":{"priority":5}}"#;
    let target = at(WEST);
    let version = format!("{WEST}?api-version=2019-01-01");
    let cases = [
        (
            Method::PATCH,
            &target,
            json_type,
            r#"{"properties":{"prio":5}}"#,
            400,
            "/properties/prio is not known",
        ),
        (
            Method::PATCH,
            &target,
            json_type,
            r#"{"id":"x"}"#,
            400,
            "/id is not known",
        ),
        (
            Method::PATCH,
            &target,
            json_type,
            "{",
            400,
            "body is not JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            Method::PATCH,
            &target,
            ("content-type", "text/plain"),
            patch,
            400,
            "content-type is not application/json",
        ),
        (Method::PATCH, &target, json_type, "", 400, "body is missing"),
        (
            Method::POST,
            &target,
            json_type,
            patch,
            405,
            "method POST is not allowed here",
        ),
        (
            Method::PATCH,
            &version,
            json_type,
            patch,
            400,
            r#"api-version 2019-01-01 is not one of ["2024-02-01", "2024-06-01-preview"]"#,
        ),
        (
            Method::GET,
            &at("/nowhere"),
            json_type,
            "",
            404,
            "no operation has the path /nowhere",
        ),
    ];
    for (method, target, kind, body, status, violation) in cases {
        let reply = scene
            .raw(method, target, &[("authorization", &bearer), kind], body)
            .await;
        assert_eq!(
            (reply.status.as_u16(), scene.violations()),
            (status, vec![violation.to_owned()])
        );
    }
    assert_eq!(scene.arm.origin("west").unwrap().priority, Some(1));
    let log = scene.arm.log();
    let first = &log[0];
    assert_eq!(
        (first.json(), log[2].json()),
        (json!({"properties": {"prio": 5}}), Value::Null)
    );
    assert_eq!(
        (first.method.as_str(), first.path.as_str(), first.status),
        ("PATCH", WEST, Some(400))
    );
    assert_eq!(
        (first.api_version.as_deref(), first.listener.as_str()),
        (Some(STANDARD_VERSION), "main")
    );
    assert!(
        first.to_string().ends_with("-> 400 !! /properties/prio is not known"),
        "{first}"
    );
    let played = scene.request(Method::GET, &format!("{PROFILE}/ruleSets"), None).await;
    assert_eq!(played.status, 501);
}

#[tokio::test]
async fn all_that_is_served_keeps_the_contract() {
    let scene = Scene::new().await;
    scene.arm.set_behaviour(Behaviour::Writes(Writes::Sync));
    let subscription = "/subscriptions/sub/providers/";
    let group = "/subscriptions/sub/resourceGroups/edge/providers/";
    let lists = [
        (format!("{subscription}Microsoft.Cdn/profiles"), 1),
        (format!("{group}Microsoft.Cdn/profiles"), 1),
        (format!("{PROFILE}/originGroups"), 2),
        (format!("{GROUP}/origins"), 3),
        (format!("{PROFILE}/afdEndpoints"), 1),
        (format!("{PROFILE}/afdEndpoints/shop/routes"), 1),
        (format!("{subscription}Microsoft.Network/frontDoors"), 1),
        (format!("{group}Microsoft.Network/frontDoors"), 1),
        (format!("{}Microsoft.Cdn/profiles", group.replace("edge", "other")), 0),
    ];
    for (path, count) in lists {
        let reply = scene.get(&path).await;
        assert_eq!(reply.json()["value"].as_array().map(Vec::len), Some(count), "{path}");
        assert_eq!(scene.violations(), Vec::<String>::new(), "{path}");
        for resource in reply.json()["value"].as_array().unwrap() {
            let id = resource["id"].as_str().unwrap();
            assert_eq!(
                (scene.get(id).await.json(), scene.violations()),
                (resource.clone(), Vec::new())
            );
            assert_eq!(scene.arm.resource(id).as_ref(), Some(resource));
        }
    }
    let new = WEST.replace("west", "north");
    let body = json!({"properties": {"hostName": "north.example.net", "priority": 2}});
    assert_eq!(
        (scene.put(&new, &body).await.status.as_u16(), scene.violations()),
        (201, Vec::new())
    );
    let origin = scene.arm.origin("north").unwrap();
    assert_eq!((origin.priority, origin.weight, origin.enabled), (Some(2), None, true));
    assert_eq!(
        (scene.delete(&new).await.status.as_u16(), scene.violations()),
        (200, Vec::new())
    );
    assert_eq!(
        (scene.delete(&new).await.status.as_u16(), scene.violations()),
        (204, Vec::new())
    );
    assert_eq!(scene.put(&new.replace("storefront", "none"), &body).await.status, 404);
    scene
        .patch(GROUP, json!({"healthProbeSettings": {"probePath": "/probe"}}))
        .await;
    let probe = scene.get(GROUP).await.json()["properties"]["healthProbeSettings"].clone();
    assert_eq!(
        (&probe["probePath"], &probe["probeIntervalInSeconds"]),
        (&json!("/probe"), &json!(30))
    );
    let preview = send_preview(&scene).await;
    assert_eq!((preview, scene.violations()), (200, Vec::new()));
}

async fn send_preview(scene: &Scene) -> u16 {
    let bearer = scene.bearer();
    let target = format!("{WEST}?api-version=2024-06-01-preview");
    scene
        .raw(Method::GET, &target, &[("authorization", &bearer)], "")
        .await
        .status
        .as_u16()
}

#[tokio::test]
async fn a_classic_round_trip_may_carry_read_only_members_back_but_not_change_them() {
    let scene = Scene::new().await;
    let whole = scene.get(CLASSIC).await.json();
    assert_eq!(scene.put(CLASSIC, &whole).await.status, 202);
    scene.arm.finish_operations();
    let mut changed = whole.clone();
    changed["properties"]["cname"] = json!("elsewhere.azurefd.net");
    assert_eq!(scene.put(CLASSIC, &changed).await.status, 400);
    assert_eq!(scene.violations(), ["/properties/cname is read-only"]);
    let mut minimal = whole.clone();
    for name in ["id", "name", "type"] {
        minimal.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(scene.put(CLASSIC, &minimal).await.status, 202);
    scene.arm.finish_operations();
    assert_eq!(scene.get(CLASSIC).await.json(), whole);
}
