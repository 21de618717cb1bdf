//! Faults, listeners, waiting, TLS.

use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::time::timeout;

use super::super::*;
use super::scene::*;
use crate::testing::send;

#[tokio::test]
async fn faults_apply_to_the_requests_they_name() {
    let scene = Scene::new().await;
    let patches = || Requests::all().with_method(Method::PATCH).with_path("/origins/WEST");
    let reject = Fault::Reject {
        status: 503,
        code: "ServiceUnavailable".to_owned(),
    };
    scene.arm.fault_times(1, patches(), reject);
    let reply = scene.patch(WEST, json!({"priority": 5})).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["error"]["code"]),
        (503, &json!("ServiceUnavailable"))
    );
    assert_eq!(scene.get(WEST).await.status, 200);
    scene
        .arm
        .fault_times(1, patches(), Fault::TooManyRequests { retry_after: Some(17) });
    let reply = scene.patch(WEST, json!({"priority": 5})).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (429, Some("17")));
    scene.arm.fault_times(1, patches(), Fault::Garbage);
    let reply = scene.patch(WEST, json!({"priority": 5})).await;
    assert!(reply.status == 200 && serde_json::from_slice::<Value>(&reply.body).is_err());
    assert_eq!(scene.arm.origin("west").unwrap().priority, Some(1));
    assert_eq!(scene.patch(WEST, json!({"priority": 4})).await.status, 202);
}

#[tokio::test]
async fn a_cut_answer_leaves_the_change_made_a_reset_or_hanging_one_does_not() {
    let scene = Scene::new().await;
    scene.arm.set_behaviour(Behaviour::Writes(Writes::Sync));
    let bearer = scene.bearer();
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let url = scene.arm.url().join(&at(WEST)).unwrap();
    let attempt = |priority: u64| {
        send(
            Method::PATCH,
            &url,
            &headers,
            json!({"properties": {"priority": priority}}).to_string(),
            None,
        )
    };
    scene.arm.fault_times(1, Requests::all(), Fault::Cut);
    assert!(attempt(2).await.is_err());
    assert_eq!(scene.arm.origin("west").unwrap().priority, Some(2));
    scene.arm.fault_times(1, Requests::all(), Fault::Reset);
    assert!(attempt(3).await.is_err());
    scene.arm.fault(Requests::all(), Fault::Hang);
    let hung = tokio::select! {
        _ = attempt(4) => false,
        seen = scene.arm.until(SOON, |arm| arm.log().len() == 3) => seen.is_ok(),
    };
    assert!(hung);
    assert_eq!(scene.arm.origin("west").unwrap().priority, Some(2));
    let statuses: Vec<Option<u16>> = scene.arm.log().iter().map(|recorded| recorded.status).collect();
    assert_eq!(statuses, [Some(200), None, None]);
    scene.arm.clear_faults(None);
    assert_eq!(attempt(5).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_listener_can_be_cut_off_alone_and_poll_urls_name_it() {
    let scene = Scene::new().await;
    let a = scene.arm.open_listener("a").await.unwrap();
    assert_eq!(scene.arm.open_listener("a").await.unwrap(), a);
    let bearer = scene.bearer();
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let url = a.join(&at(WEST)).unwrap();
    let by_a = || send(Method::PATCH, &url, &headers, r#"{"properties":{"priority":5}}"#, None);
    scene.arm.fault(Requests::all().by_listener("a"), Fault::Reset);
    assert!(by_a().await.is_err());
    assert_eq!(scene.get(WEST).await.status, 200);
    scene.arm.clear_faults(Some("a"));
    let reply = by_a().await.unwrap();
    assert!(reply.header("azure-asyncoperation").unwrap().starts_with(a.as_str()));
    assert_eq!(scene.arm.log().last().unwrap().listener, "a");
}

#[tokio::test]
async fn waiting_wakes_for_requests_operators_and_time() {
    let scene = Scene::new().await;
    let priority = |arm: &FakeArm, edge: u32| arm.edge(edge).origin("west").unwrap().priority;
    let waits = async {
        scene.arm.until(SOON, |arm| arm.log().len() == 1).await.unwrap();
        scene
            .arm
            .until(SOON, |arm| {
                arm.origin("west").unwrap().provisioning_state == "Succeeded"
            })
            .await
            .unwrap();
        scene
            .arm
            .until(SOON, |arm| priority(arm, EDGES - 1) == Some(5))
            .await
            .unwrap();
        scene
            .arm
            .until(SOON, |arm| arm.origin("west").unwrap().weight == Some(9))
            .await
            .unwrap();
    };
    let acts = async {
        scene.patch(WEST, json!({"priority": 5})).await;
        for _ in 0..3 {
            tokio::task::yield_now().await;
            scene.clock.advance(Duration::from_secs(20 * 60));
        }
        scene.arm.operator_sets("west", json!({"weight": 9}));
    };
    timeout(SOON * 2, async { tokio::join!(waits, acts) }).await.unwrap();
    // An operation that ended unseen, and a condition that looks at nothing.
    scene.patch(WEST, json!({"priority": 1})).await;
    scene.clock.advance(SOON);
    let late = scene.arm.until(Duration::from_millis(1), |_| false).await;
    assert!(late.is_err());
}

#[tokio::test]
async fn a_running_clock_ends_operations_by_itself_also_over_tls() {
    let clock = Clock::running();
    let (tokens, authority) = (Tokens::new(&clock), CertificateAuthority::new().unwrap());
    let arm = FakeArm::start_tls(&clock, &tokens, &authority).await.unwrap();
    arm.seed(&Profile {
        subscription: "sub".to_owned(),
        resource_group: "Edge".to_owned(),
        name: "shop".to_owned(),
        front_door_id: String::new(),
        groups: vec![OriginGroup {
            name: "storefront".to_owned(),
            routed: true,
            origins: vec![Origin {
                name: "west".to_owned(),
                host_name: "west.example.net".to_owned(),
                priority: None,
                weight: None,
                enabled: true,
            }],
        }],
    });
    arm.set_behaviour(Behaviour::Operations {
        last: Some(Duration::from_millis(50)),
        ending: Ending::Succeeded,
    });
    let bearer = format!("Bearer {}", tokens.mint(CLIENT, "https://management.azure.com", SOON));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let url = arm.url().join(&at(WEST)).unwrap();
    let body = r#"{"properties":{"priority":5}}"#;
    let reply = send(Method::PATCH, &url, &headers, body, Some(&authority))
        .await
        .unwrap();
    assert!(reply.header("location").unwrap().starts_with("https://127.0.0.1:"));
    arm.until(SOON, |arm| {
        arm.origin("west").unwrap().provisioning_state == "Succeeded"
    })
    .await
    .unwrap();
}
