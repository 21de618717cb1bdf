use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;

const ORIGIN: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Cdn/profiles/p/originGroups/g/origins/o";
const CLASSIC: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/frontDoors/front-door";

struct Example {
    file: PathBuf,
    id: String,
    json: Value,
}

fn examples() -> Vec<Example> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract/specification");
    let mut folders = vec![root];
    let mut examples = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if folder.ends_with("examples") {
                let json = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
                let id = path.file_stem().unwrap().to_str().unwrap().to_owned();
                examples.push(Example { file: path, id, json });
            }
        }
    }
    examples
}

/// The operation that lists this example's file in its `x-ms-examples`.
fn operation_of<'c>(contract: &'c Contract, example: &Example) -> &'c Operation {
    let version = example.json["parameters"]["api-version"].as_str().unwrap();
    let file = format!("./examples/{}.json", example.id);
    let id = contract
        .documents
        .values()
        .filter(|d| d["info"]["version"] == version)
        .find_map(|document| {
            let nodes = document["paths"]
                .as_object()?
                .values()
                .flat_map(|p| p.as_object().unwrap().values());
            nodes.into_iter().find_map(|node| {
                let listed = node["x-ms-examples"].as_object()?;
                listed
                    .values()
                    .any(|e| e["$ref"] == file.as_str())
                    .then(|| node["operationId"].as_str().unwrap())
            })
        });
    let id = id.unwrap_or_else(|| panic!("no operation names {}", example.file.display()));
    contract.named(version, id).unwrap()
}

fn texts(violations: &[Violation]) -> Vec<String> {
    violations.iter().map(ToString::to_string).collect()
}

#[test]
fn every_example_request_is_valid() {
    let contract = Contract::load().unwrap();
    let examples = examples();
    assert_eq!(examples.len(), 91);
    for example in examples {
        let operation = operation_of(&contract, &example);
        let parameters = &example.json["parameters"];
        let path = operation.path(|name| parameters[name].as_str().unwrap().to_owned());
        let found = contract.find(&operation.method, &path, &operation.api_version).unwrap();
        assert_eq!(found.operation.id, operation.id, "{path}");
        let query = vec![("api-version".to_owned(), operation.api_version.clone())];
        let body = operation.body_name().and_then(|name| parameters.get(name));
        let violations = contract.check_request(&found, &query, body);
        assert_eq!(texts(&violations), Vec::<String>::new(), "{}", example.file.display());
    }
}

#[test]
fn every_example_answer_is_valid() {
    let contract = Contract::load().unwrap();
    let mut checked = 0;
    for example in examples() {
        let operation = operation_of(&contract, &example);
        for (status, answer) in example.json["responses"].as_object().unwrap() {
            let violations = contract.check_answer(operation, status.parse().unwrap(), answer.get("body"));
            assert_eq!(
                texts(&violations),
                Vec::<String>::new(),
                "{} {status}",
                example.file.display()
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 160);
}

/// The violations of a request, as text.
fn check(method: Method, path: &str, version: &str, body: Value) -> Vec<String> {
    let contract = Contract::load().unwrap();
    let found = contract.find(&method, path, version).unwrap();
    texts(&contract.check_request(&found, &[("api-version".to_owned(), version.to_owned())], Some(&body)))
}

#[test]
fn a_body_that_departs_from_its_definition_is_rejected() {
    let cases = [
        (json!({"priority": 5, "weight": 1000, "enabledState": "Disabled"}), None),
        (json!({"priority": null}), None),
        (
            json!({"priority": 0}),
            Some("/properties/priority 0 is outside minimum 1"),
        ),
        (
            json!({"priority": 6}),
            Some("/properties/priority 6 is outside maximum 5"),
        ),
        (
            json!({"weight": 1001}),
            Some("/properties/weight 1001 is outside maximum 1000"),
        ),
        (
            json!({"httpPort": 65536}),
            Some("/properties/httpPort 65536 is outside maximum 65535"),
        ),
        (
            json!({"priority": "5"}),
            Some("/properties/priority should be of type integer"),
        ),
        (
            json!({"priority": 1.5}),
            Some("/properties/priority should be of type integer"),
        ),
        (
            json!({"enabledState": "Off"}),
            Some("/properties/enabledState Off is not one of the allowed values"),
        ),
        (
            json!({"provisioningState": "Succeeded"}),
            Some("/properties/provisioningState is not known"),
        ),
        (
            json!({"originGroupName": "g"}),
            Some("/properties/originGroupName is read-only"),
        ),
        (json!({"prio": 5}), Some("/properties/prio is not known")),
        (
            json!({"azureOrigin": {"id": 5}}),
            Some("/properties/azureOrigin/id should be of type string"),
        ),
        (json!([]), Some("/properties should be of type object")),
    ];
    for (properties, expected) in cases {
        for version in ["2024-02-01", "2024-06-01-preview"] {
            let found = check(Method::PATCH, ORIGIN, version, json!({ "properties": properties }));
            assert_eq!(
                found,
                expected.map(str::to_owned).into_iter().collect::<Vec<_>>(),
                "{properties} {version}"
            );
        }
    }
}

#[test]
fn a_create_needs_what_is_required_and_rejects_what_is_read_only() {
    let found = check(
        Method::PUT,
        ORIGIN,
        "2024-02-01",
        json!({"id": "x", "properties": {"priority": 1}}),
    );
    assert_eq!(found, ["/id is read-only", "/properties/hostName is missing"]);
}

#[test]
fn a_discriminator_leads_to_the_derived_definition() {
    let rule = |configuration: Value| json!({"properties": {"routingRules": [{"properties": {"routeConfiguration": configuration}}]}});
    let kind = "#Microsoft.Azure.FrontDoor.Models.FrontdoorForwardingConfiguration";
    let cases = [
        (json!({"@odata.type": kind, "forwardingProtocol": "MatchRequest"}), None),
        (
            json!({"@odata.type": kind, "redirectType": "Found"}),
            Some("redirectType is not known"),
        ),
        (
            json!({"@odata.type": "#Other"}),
            Some("@odata.type #Other is not one of the allowed values"),
        ),
        (
            json!({"forwardingProtocol": "MatchRequest"}),
            Some("@odata.type is missing"),
        ),
    ];
    for (configuration, expected) in cases {
        let found = check(Method::PUT, CLASSIC, "2021-06-01", rule(configuration.clone()));
        let at = "/properties/routingRules/0/properties/routeConfiguration/";
        let expected: Vec<String> = expected.map(|e| format!("{at}{e}")).into_iter().collect();
        assert_eq!(found, expected, "{configuration}");
    }
}

#[test]
fn an_answer_may_hold_read_only_members_nulls_and_new_enumeration_values_but_nothing_unknown() {
    let contract = Contract::load().unwrap();
    let get = contract.named("2024-02-01", "AFDOrigins_Get").unwrap();
    let answer = |properties: Value| json!({"id": "/x", "name": "o", "type": "t", "properties": properties});
    let good = json!({"hostName": "h", "priority": null, "provisioningState": "Waiting", "enabledState": "Enabled"});
    assert_eq!(
        texts(&contract.check_answer(get, 200, Some(&answer(good)))),
        Vec::<String>::new()
    );
    let bad = json!({"hostName": "h", "prio": 1});
    assert_eq!(
        texts(&contract.check_answer(get, 200, Some(&answer(bad)))),
        ["/properties/prio is not known"]
    );
    let error = json!({"error": {"code": "NotFound", "message": "gone"}});
    assert_eq!(
        texts(&contract.check_answer(get, 404, Some(&error))),
        Vec::<String>::new()
    );
    assert_eq!(texts(&contract.check_answer(get, 200, None)), ["body is missing"]);
}

#[test]
fn operations_are_found_without_regard_to_case_and_rejections_have_a_reason() {
    let contract = Contract::load().unwrap();
    let lower = ORIGIN.to_ascii_lowercase();
    let found = contract.find(&Method::PATCH, &lower, "2024-02-01").unwrap();
    assert_eq!(
        (found.operation.id.as_str(), found.name("originName")),
        ("AFDOrigins_Update", "o")
    );
    let rejection = |method, path, version| contract.find(&method, path, version).unwrap_err();
    assert_eq!(
        rejection(Method::GET, "/nowhere", "2024-02-01"),
        NoOperation::Path("/nowhere".to_owned())
    );
    assert_eq!(
        rejection(Method::POST, ORIGIN, "2024-02-01"),
        NoOperation::Method(Method::POST)
    );
    let known = vec!["2024-02-01".to_owned(), "2024-06-01-preview".to_owned()];
    let version = NoOperation::Version {
        asked: "2021-06-01".to_owned(),
        known,
    };
    assert_eq!(rejection(Method::GET, ORIGIN, "2021-06-01"), version);
    assert_eq!(
        rejection(Method::PATCH, CLASSIC, "2021-06-01"),
        NoOperation::Method(Method::PATCH)
    );
}

#[test]
fn names_and_queries_are_checked() {
    let contract = Contract::load().unwrap();
    let path = CLASSIC.replace("front-door", "-x-");
    let found = contract.find(&Method::GET, &path, "2021-06-01").unwrap();
    let query = vec![("If-Match".to_owned(), "*".to_owned())];
    let violations: BTreeSet<String> = texts(&contract.check_request(&found, &query, None))
        .into_iter()
        .collect();
    let expected = [
        "?If-Match is not known",
        "api-version is missing",
        "frontDoorName -x- does not have the form ^[a-zA-Z0-9]+([-a-zA-Z0-9]?[a-zA-Z0-9])*$",
        "frontDoorName length 3 is outside minLength 5",
    ];
    assert_eq!(violations, expected.map(str::to_owned).into());
}

#[test]
fn a_reference_to_nowhere_is_an_error() {
    let contract = Contract::load().unwrap();
    let document = *contract.documents.keys().next().unwrap();
    let error = contract
        .check_references(document, &json!({"items": {"$ref": "./nowhere.json#/x"}}))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("refers to ./nowhere.json#/x, which is not there"),
        "{error}"
    );
}
