//! Operations from start to end, and changes by operators.

use std::time::Duration;

use serde_json::json;

use super::super::*;
use super::scene::*;

#[tokio::test]
async fn an_operators_change_is_lost_in_a_classic_put_made_of_an_older_read() {
    let scene = Scene::new().await;
    scene.arm.set_behaviour(Behaviour::Writes(Writes::Sync));
    let mut read = scene.get(CLASSIC).await.json();
    let mut by_hand = read.clone();
    by_hand["properties"]["friendlyName"] = json!("by hand");
    assert!(scene.arm.operator_puts(&by_hand));
    assert_eq!(scene.get(CLASSIC).await.json(), by_hand);
    read["properties"]["backendPools"][0]["properties"]["backends"][0]["priority"] = json!(5);
    scene.put(CLASSIC, &read).await;
    assert_eq!(
        scene.get(CLASSIC).await.json()["properties"]["friendlyName"],
        "shop-classic"
    );
}

#[tokio::test]
async fn an_operator_changes_an_origin_by_hand() {
    let scene = Scene::new().await;
    assert!(
        scene
            .arm
            .operator_sets("west", json!({"priority": 3, "enabledState": "Disabled"}))
    );
    assert!(!scene.arm.operator_sets("nowhere", json!({"priority": 3})));
    let origin = scene.arm.origin("west").unwrap();
    assert_eq!(
        (origin.priority, origin.weight, origin.enabled),
        (Some(3), Some(50), false)
    );
    assert_eq!(scene.arm.edge(EDGES - 1).origin("west").unwrap().priority, Some(1));
    assert_eq!(scene.arm.log(), []);
}

#[tokio::test]
async fn writes_in_one_profile_run_one_after_the_other_and_a_failed_one_takes_only_its_own_change_back() {
    let scene = Scene::new().await;
    let last = Some(Duration::from_secs(60));
    let ending = Ending::Failed {
        code: "InternalError".to_owned(),
        message: String::new(),
    };
    scene.arm.set_behaviour(Behaviour::Operations { last, ending });
    scene.patch(WEST, json!({"priority": 5})).await;
    scene.arm.set_behaviour(Behaviour::Operations {
        last,
        ending: Ending::Succeeded,
    });
    scene.patch(WEST, json!({"weight": 7})).await;
    let origin = scene.arm.origin("west").unwrap();
    assert_eq!((origin.priority, origin.weight), (Some(5), Some(7)));
    scene.clock.advance(Duration::from_secs(60));
    let origin = scene.arm.origin("west").unwrap();
    assert_eq!(
        (origin.priority, origin.weight, origin.provisioning_state.as_str()),
        (Some(1), Some(7), "Updating")
    );
    let ended: Vec<bool> = scene.arm.operations().iter().map(|operation| operation.ended).collect();
    assert_eq!(ended, [true, false]);
    scene.clock.advance(Duration::from_secs(60));
    let origin = scene.arm.origin("west").unwrap();
    assert_eq!(
        (origin.priority, origin.weight, origin.provisioning_state.as_str()),
        (Some(1), Some(7), "Succeeded")
    );
}

#[tokio::test]
async fn an_operation_can_wait_to_be_finished_and_holds_up_those_behind_it() {
    let scene = Scene::new().await;
    scene.arm.set_behaviour(Behaviour::Operations {
        last: None,
        ending: Ending::Succeeded,
    });
    scene.patch(WEST, json!({"priority": 5})).await;
    scene.arm.set_behaviour(Behaviour::Operations {
        last: Some(Duration::from_secs(1)),
        ending: Ending::Succeeded,
    });
    scene.patch(WEST, json!({"weight": 7})).await;
    scene.clock.advance(Duration::from_secs(48 * 3600));
    assert_eq!(scene.arm.origin("west").unwrap().provisioning_state, "Updating");
    scene.arm.finish_operations();
    assert_eq!(scene.arm.origin("west").unwrap().provisioning_state, "Succeeded");
}

#[tokio::test]
async fn a_failed_operation_has_its_error_at_both_urls() {
    let scene = Scene::new().await;
    let ending = Ending::Failed {
        code: "OutOfLuck".to_owned(),
        message: "no luck".to_owned(),
    };
    scene.arm.set_behaviour(Behaviour::Operations {
        last: Some(Duration::ZERO),
        ending,
    });
    let reply = scene.patch(WEST, json!({"priority": 5})).await;
    let error = json!({"code": "OutOfLuck", "message": "no luck"});
    let status = scene.follow(reply.header("azure-asyncoperation").unwrap()).await;
    assert_eq!((status.status.as_u16(), status.json()["error"].clone()), (200, error));
    let result = scene.follow(reply.header("location").unwrap()).await;
    assert_eq!(
        (result.status.as_u16(), &result.json()["error"]["code"]),
        (400, &json!("OutOfLuck"))
    );
    assert_eq!(scene.arm.origin("west").unwrap().provisioning_state, "Failed");
}

#[tokio::test]
async fn poll_urls_can_point_elsewhere_be_forbidden_or_be_unknown() {
    let scene = Scene::new().await;
    let reply = scene.patch(WEST, json!({"priority": 5})).await;
    let operation = reply.header("azure-asyncoperation").unwrap().to_owned();
    scene
        .arm
        .set_behaviour(Behaviour::Deny("microsoft.cdn/operationresults/READ".to_owned()));
    assert_eq!(scene.follow(&operation).await.status, 403);
    assert_eq!(scene.follow(reply.header("location").unwrap()).await.status, 202);
    assert_eq!(
        scene
            .follow(&operation.replace("results/1?", "results/99?"))
            .await
            .status,
        403
    );
    scene.arm.set_behaviour(Behaviour::AllowAll);
    assert_eq!(
        scene
            .follow(&operation.replace("results/1?", "results/99?"))
            .await
            .status,
        404
    );
    assert_eq!(
        scene
            .follow(&operation.replace("?api-version=2024-02-01", ""))
            .await
            .status,
        400
    );
    scene.arm.set_behaviour(Behaviour::PollAt(Some(
        Url::parse("https://attacker.example.net/").unwrap(),
    )));
    let reply = scene.patch(WEST, json!({"priority": 4})).await;
    for name in ["azure-asyncoperation", "location"] {
        assert!(
            reply
                .header(name)
                .unwrap()
                .starts_with("https://attacker.example.net/subscriptions/"),
            "{name}"
        );
    }
}
