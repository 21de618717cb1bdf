//! Every example answer of the operations that are called: through the generated model, and through our reading of it.

use super::classic::lossless;
use super::standard::read_origin;
use crate::operation::{Answer, Kind, Started, started};
use azure_mgmt_cdn::package_preview_2024_06::models as cdn;
use azure_mgmt_frontdoor::package_2024_02::models as classic;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};
use url::Url;

/// All answers of the examples of this name, in every version of the contract: file, status, answer.
fn answers(name: &str) -> Vec<(PathBuf, u16, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fakes/contract/specification");
    let file = format!("{name}.json");
    let mut answers = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|found| *found == *file) {
                let example: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                for (status, answer) in example["responses"].as_object().unwrap() {
                    answers.push((path.clone(), status.parse().unwrap(), answer.clone()));
                }
            }
        }
    }
    assert!(!answers.is_empty(), "no example is called {name}");
    answers
}

/// Through the model and back: nothing of it is lost.
fn round_trip<T: Serialize + DeserializeOwned>(path: &Path, body: &Value) -> T {
    let model: T = serde_json::from_value(body.clone()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let back = serde_json::to_value(&model).unwrap();
    assert_eq!(lossless::lost(body, &back), Vec::<String>::new(), "{}", path.display());
    model
}

#[test]
fn origins() {
    let mut read = 0;
    for name in ["AFDOrigins_Get", "AFDOrigins_Update", "AFDOrigins_Create"] {
        for (path, _, answer) in answers(name) {
            round_trip::<cdn::AfdOrigin>(&path, &answer["body"]);
            let (name, origin) = read_origin(&answer["body"]).unwrap();
            assert_eq!(name, "origin1");
            assert_eq!(origin.members.enabled, Some(true), "{}", path.display());
            assert!(origin.rest.contains_key("hostName"));
            read += 1;
        }
    }
    for (path, _, answer) in answers("AFDOrigins_ListByOriginGroup") {
        round_trip::<cdn::AfdOriginListResult>(&path, &answer["body"]);
        for origin in answer["body"]["value"].as_array().unwrap() {
            read_origin(origin).unwrap();
            read += 1;
        }
    }
    assert_eq!(read, 14);
}

#[test]
fn profiles_and_groups() {
    for (path, _, answer) in answers("Profiles_Get") {
        round_trip::<cdn::Profile>(&path, &answer["body"]);
    }
    for (path, _, answer) in answers("AFDOriginGroups_Get") {
        round_trip::<cdn::AfdOriginGroup>(&path, &answer["body"]);
        let properties = &answer["body"]["properties"];
        assert!(properties["healthProbeSettings"]["probeIntervalInSeconds"].is_u64());
        assert!(properties["loadBalancingSettings"]["sampleSize"].is_u64());
    }
}

#[test]
fn classic_front_doors() {
    let mut read = 0;
    for name in ["FrontdoorGet", "FrontdoorCreate"] {
        for (path, _, answer) in answers(name) {
            if answer["body"].is_null() {
                continue;
            }
            round_trip::<classic::FrontDoor>(&path, &answer["body"]);
            read += 1;
        }
    }
    for name in ["FrontdoorList", "FrontdoorListAll"] {
        for (path, _, answer) in answers(name) {
            round_trip::<classic::FrontDoorListResult>(&path, &answer["body"]);
            read += 1;
        }
    }
    assert!(read >= 5, "{read}");
}

#[test]
fn accepted_changes_name_a_poll_url() {
    let arm = Url::parse("https://management.azure.com/").unwrap();
    for (path, status, answer) in answers("AFDOrigins_Update") {
        let header = |name: &str| answer["headers"][name].as_str().map(str::to_owned);
        let read = Answer {
            status,
            async_operation: header("azure-asyncoperation"),
            location: header("location"),
            retry_after: None,
            body: serde_json::to_vec(&answer["body"]).unwrap(),
        };
        match (status, started(&read, &arm)) {
            (200, Started::Done) => {}
            (202, Started::Poll(operation)) => assert_eq!(operation.kind, Kind::AsyncOperation),
            (_, other) => panic!("{} {status}: {other:?}", path.display()),
        }
    }
}
