//! The templates for Azure: their Front Door resources against Azure's own definitions, their roles and names against what the
//! program needs and is configured with.

use super::{json, members, renderings, repository};
use http::Method;
use portolan::config;
use portolan_azure_fakes::contract::Contract;
use serde_json::{Value, json};
use std::path::Path;

/// The resources of a template, expanded by `deploy/check.sh`.
fn resources(template: &str) -> Vec<Value> {
    let expanded = json(&repository(&format!("deploy/rendered/azure-{template}.json")));
    expanded["resources"].as_array().expect("resources").clone()
}

fn of_type<'r>(resources: &'r [Value], kind: &'r str) -> impl Iterator<Item = &'r Value> {
    resources.iter().filter(move |it| it["type"] == kind)
}

/// What Azure's definitions say against a resource: unknown, missing or read-only members, wrong types, values and bounds.
fn violations(contract: &Contract, resource: &Value) -> Vec<String> {
    let version = resource["apiVersion"].as_str().expect("a version");
    let path = resource["id"].as_str().expect("an id");
    let found = match contract.find(&Method::PUT, path, version) {
        Ok(found) => found,
        Err(error) => return vec![error.to_string()],
    };
    // A template has these beside the body of the request.
    let mut body = resource.clone();
    let outside = ["type", "apiVersion", "name", "id", "dependsOn", "scope"];
    body.as_object_mut()
        .expect("an object")
        .retain(|key, _| !outside.contains(&key.as_str()));
    let query = [("api-version".to_owned(), version.to_owned())];
    let found = contract.check_request(&found, &query, Some(&body));
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn front_door_resources_keep_to_azures_definitions() {
    let contract = Contract::shared().expect("the definitions");
    let resources = resources("main");
    let of_front_door = resources
        .iter()
        .filter(|it| it["type"].as_str().is_some_and(|it| it.starts_with("Microsoft.Cdn/")));
    let of_front_door: Vec<_> = of_front_door.collect();
    // Profile, endpoint, origin group, two origins, route.
    assert_eq!(of_front_door.len(), 6);
    for resource in of_front_door {
        assert_eq!(violations(contract, resource), [] as [&str; 0], "{resource:#}");
    }
    // A misspelt member, a value out of bounds and an unknown word are found.
    let origin = of_type(&resources, "Microsoft.Cdn/profiles/originGroups/origins")
        .next()
        .expect("an origin");
    for (member, value) in [
        ("hostname", json!("a")),
        ("priority", json!(6)),
        ("enabledState", json!("On")),
    ] {
        let mut wrong = origin.clone();
        wrong["properties"][member] = value;
        assert_eq!(violations(contract, &wrong).len(), 1, "{member}");
    }
}

#[test]
fn the_roles_of_the_template_are_those_that_are_tested() {
    let resources = resources("main");
    let roles: Vec<_> = of_type(&resources, "Microsoft.Authorization/roleDefinitions").collect();
    assert_eq!(roles.len(), 2);
    for (role, file) in roles.into_iter().zip(["publisher", "operations"]) {
        let tested = json(&repository(&format!("deploy/azure/{file}.json")));
        let permissions = &role["properties"]["permissions"];
        assert_eq!(permissions.as_array().map(Vec::len), Some(1));
        assert_eq!(permissions[0]["actions"], tested["Actions"], "{file}");
        for more in ["notActions", "dataActions", "notDataActions"] {
            assert_eq!(permissions[0][more], json!([]), "{file}");
        }
    }
    // Each identity gets three assignments, and no other one is there.
    let identities = of_type(&resources, "Microsoft.ManagedIdentity/userAssignedIdentities").count();
    assert_eq!(
        of_type(&resources, "Microsoft.Authorization/roleAssignments").count(),
        3 * identities
    );
}

/// The overlays, the template and the chart are of one installation.
#[test]
fn the_template_and_the_overlays_agree() {
    let resources = resources("main");
    let group = of_type(&resources, "Microsoft.Cdn/profiles/originGroups")
        .next()
        .expect("a group");
    let origins: Vec<_> = of_type(&resources, "Microsoft.Cdn/profiles/originGroups/origins").collect();
    let credential = "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials";
    let subject = of_type(&resources, credential).next().expect("a credential")["properties"]["subject"].clone();
    let mut compared = 0;
    for (rendering, objects) in renderings()
        .into_iter()
        .filter(|(name, _)| name.starts_with("overlay-"))
    {
        let account = objects.iter().find(|it| {
            it["kind"] == "ServiceAccount"
                && !it["metadata"]["annotations"]["azure.workload.identity/client-id"].is_null()
        });
        let account = &account.expect("an account with an identity")["metadata"];
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let expected = format!(
            "system:serviceaccount:{}:{}",
            text(&account["namespace"]),
            text(&account["name"])
        );
        assert_eq!(subject, json!(expected), "{rendering}");
        let mut texts = Vec::new();
        for map in objects.iter().filter(|it| it["kind"] == "ConfigMap") {
            members(map, "portolan.yaml", &mut texts);
        }
        for text in texts {
            let text = text.as_str().expect("a text");
            let read = config::parse(text.as_bytes(), Path::new("portolan.yaml")).expect("valid");
            let written = &read.settings.written["front_door"];
            let path = written["probe"]["path"].as_str().unwrap_or("/.portolan/probe");
            let service = read.settings.routing.services()[0].name.as_str();
            let probed = format!("{path}/{service}");
            assert_eq!(
                group["properties"]["healthProbeSettings"]["probePath"],
                json!(probed),
                "{rendering}"
            );
            let Some(configured) = written["origins"].as_array() else {
                continue;
            };
            compared += 1;
            let names = |it: &Value| text_after_last_slash(&it["name"]);
            let ours: Vec<_> = configured.iter().map(|it| it["origin"].clone()).collect();
            assert_eq!(
                ours,
                origins.iter().map(|it| json!(names(it))).collect::<Vec<_>>(),
                "{rendering}"
            );
            for (ours, theirs) in configured.iter().zip(&origins) {
                let properties = &theirs["properties"];
                assert_eq!(
                    properties["priority"],
                    ours.get("priority").cloned().unwrap_or(json!(1)),
                    "{rendering}"
                );
                assert_eq!(
                    properties["weight"],
                    ours.get("weight").cloned().unwrap_or(json!(50)),
                    "{rendering}"
                );
            }
            assert_eq!(written["profile"]["origin_group"], json!(names(group)));
            let container = of_type(&resources, "Microsoft.Storage/storageAccounts/blobServices/containers").next();
            let container = container.expect("a container")["name"]
                .as_str()
                .expect("a name")
                .to_owned();
            let (account, name) = container.split_once("/default/").expect("the service's name");
            let url = format!("https://{account}.blob.core.windows.net/{name}");
            assert_eq!(written["store"]["container"], json!(url), "{rendering}");
        }
    }
    assert_eq!(compared, 2);
}

fn text_after_last_slash(value: &Value) -> String {
    let text = value.as_str().expect("a text");
    text.rsplit('/').next().expect("a last part").to_owned()
}
