//! Kubernetes: ports, paths, arguments, times and volumes against the configuration in the same rendering and the program.

use super::{accepts, files, json, members, renderings, repository};
use portolan::config::{self, Configuration};
use portolan_tests::{Request, Setup, send};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The configuration of a ConfigMap, as the pod would read it. There must be no warning either.
fn configuration(name: &str, text: &str) -> Configuration {
    let read = config::parse(text.as_bytes(), Path::new("/etc/portolan/portolan.yaml"));
    let read = read.unwrap_or_else(|errors| panic!("{name}: {errors}"));
    assert!(read.warnings.is_empty(), "{name}: {:?}", read.warnings);
    read
}

/// The pod's specification of every workload, by the workload's name.
fn pods(objects: &[Value]) -> Vec<(&str, &Value)> {
    let workloads = objects
        .iter()
        .filter(|it| it["kind"] == "Deployment" || it["kind"] == "DaemonSet");
    let pods = workloads.map(|it| {
        (
            it["metadata"]["name"].as_str().expect("a name"),
            &it["spec"]["template"],
        )
    });
    pods.collect()
}

fn container(pod: &Value) -> &Value {
    &pod["spec"]["containers"][0]
}

/// Of the volume that is mounted at the folder of the configuration: the ConfigMap's text, when it is in the rendering.
fn mounted<'o>(objects: &'o [Value], pod: &Value) -> Option<&'o str> {
    let volumes = pod["spec"]["volumes"].as_array().expect("volumes");
    let volume = volumes
        .iter()
        .find(|it| it["name"] == "config")
        .expect("the configuration's");
    let map = objects
        .iter()
        .find(|it| it["kind"] == "ConfigMap" && it["metadata"]["name"] == volume["configMap"]["name"])?;
    Some(map["data"]["portolan.yaml"].as_str().expect("a text"))
}

/// What a rendering is made from has not changed since.
#[test]
fn renderings_are_up_to_date() {
    let recorded = json(&repository("deploy/rendered/sources.json"));
    let recorded = recorded.as_object().expect("digests");
    let mut found = BTreeSet::new();
    for folder in ["check", "helm", "kustomize", "azure"] {
        for path in files(&repository("deploy").join(folder), "") {
            let name = path.strip_prefix(repository("")).expect("a part of the repository");
            let name = name.to_string_lossy().into_owned();
            if name.ends_with(".md") || name.contains("__pycache__") {
                continue;
            }
            let digest = Sha256::digest(fs::read(&path).expect("read"));
            let digest = digest.iter().fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").expect("written");
                text
            });
            assert_eq!(
                recorded[&name], digest,
                "{name} has changed: run deploy/check.sh --update"
            );
            found.insert(name);
        }
    }
    let recorded: BTreeSet<_> = recorded.keys().cloned().collect();
    assert_eq!(found, recorded, "run deploy/check.sh --update");
}

#[test]
fn pods_fit_the_configuration_that_they_get() {
    let mut read = 0;
    for (rendering, objects) in renderings() {
        for (workload, pod) in pods(&objects) {
            let name = format!("{rendering}/{workload}");
            let Some(text) = mounted(&objects, pod) else { continue };
            read += 1;
            let Configuration { fixed, settings, .. } = configuration(&name, text);
            let mut ports = BTreeSet::new();
            let mut probes = None;
            for port in container(pod)["ports"].as_array().expect("ports") {
                let number = port["containerPort"].as_u64().expect("a number") as u16;
                if port["name"] == "probes" {
                    probes = Some(number);
                } else {
                    ports.insert(number);
                }
            }
            let listeners: BTreeSet<_> = settings.listeners.iter().map(|it| it.address.port()).collect();
            assert_eq!(ports, listeners, "{name}");
            assert_eq!(probes, fixed.admin.probes.map(|address| address.port()), "{name}");
            for address in settings.listeners.iter().map(|it| it.address).chain(fixed.admin.probes) {
                assert!(
                    address.ip().is_unspecified(),
                    "{name}: {address} is not reached from outside"
                );
            }
            let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().expect("a number");
            let least = settings.lame_duck + settings.drain_time;
            assert!(
                u128::from(grace) * 1000 > least.as_millis(),
                "{name}: {grace} s, and {least:?} are needed"
            );
            let mounts = container(pod)["volumeMounts"].as_array().expect("mounts");
            for pair in settings
                .listeners
                .iter()
                .filter_map(|it| it.tls.as_ref())
                .flat_map(|tls| &tls.certificates)
            {
                for file in [&pair.certificate, &pair.private_key] {
                    let is_mounted = mounts
                        .iter()
                        .any(|it| file.starts_with(it["mountPath"].as_str().expect("a path")));
                    assert!(is_mounted, "{name}: {} is in no volume", file.display());
                }
            }
        }
    }
    assert!(read >= 7, "{read} configurations");
}

#[test]
fn containers_start_the_program_as_it_is_started() {
    for (rendering, objects) in renderings() {
        for (workload, pod) in pods(&objects) {
            let name = format!("{rendering}/{workload}");
            let arguments = container(pod)["args"].as_array().expect("arguments");
            let words: Vec<_> = arguments.iter().map(|it| it.as_str().expect("a text")).collect();
            accepts(&words).unwrap_or_else(|error| panic!("{name}: {error}"));
            let after = |option: &str| {
                let at = words.iter().position(|word| *word == option).expect("the option");
                words[at + 1]
            };
            let mounts = container(pod)["volumeMounts"].as_array().expect("mounts");
            let mount_of = |path: &str| {
                mounts
                    .iter()
                    .find(|it| path.starts_with(it["mountPath"].as_str().expect("a path")))
                    .unwrap_or_else(|| panic!("{name}: {path} is in no volume"))
            };
            let config = mount_of(after("--config"));
            // A file that is mounted by itself (subPath) is never replaced.
            assert!(config["subPath"].is_null(), "{name}");
            assert!(mount_of(after("--state-dir"))["readOnly"].is_null(), "{name}");
            let security = &container(pod)["securityContext"];
            assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(security["capabilities"]["drop"][0], "ALL", "{name}");
            assert_eq!(pod["spec"]["securityContext"]["runAsNonRoot"], true, "{name}");
            assert_eq!(
                pod["spec"]["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_probed_and_scraped_is_answered() {
    let setup = Setup::three_regions();
    let text = setup.config();
    let both = text.replace(
        "admin: { address: 127.0.0.1:0 }",
        "admin: { address: 127.0.0.1:0, probes: 127.0.0.1:0 }",
    );
    assert_ne!(text, both);
    fs::write(setup.folder().join("portolan.yaml"), both).expect("written");
    let world = setup.try_start().expect("started");
    world.until_healthy().await;
    let address = world.app().probes().expect("an address");
    let mut paths = BTreeSet::new();
    for (name, objects) in renderings() {
        for (_, pod) in pods(&objects) {
            for kind in ["startupProbe", "livenessProbe", "readinessProbe"] {
                let ask = &container(pod)[kind]["httpGet"];
                assert_eq!(ask["port"], "probes", "{name} {kind}");
                paths.insert(ask["path"].as_str().expect("a path").to_owned());
            }
        }
        for monitor in objects.iter().filter(|it| it["kind"] == "ServiceMonitor") {
            paths.insert(
                monitor["spec"]["endpoints"][0]["path"]
                    .as_str()
                    .expect("a path")
                    .to_owned(),
            );
        }
    }
    assert_eq!(paths.len(), 3, "{paths:?}");
    let ask = async |path: &str| {
        let request = Request::get(path).header("host", &address.to_string());
        send(address, &request).await.status
    };
    for path in &paths {
        assert_eq!(ask(path).await, 200, "{path}");
        assert_eq!(ask(&format!("{path}x")).await, 404, "{path}x");
    }
}

/// Selectors, ports by name, and references between objects.
#[test]
fn objects_refer_to_what_is_there() {
    for (rendering, objects) in renderings() {
        let pods = pods(&objects);
        let selected = |selector: &Value| {
            let wanted = selector.as_object().expect("labels");
            let chosen = pods.iter().filter(|(_, pod)| {
                let labels = &pod["metadata"]["labels"];
                wanted.iter().all(|(key, value)| labels[key] == *value)
            });
            chosen.map(|(name, _)| *name).collect::<Vec<_>>()
        };
        let mut ports = Vec::new();
        for (_, pod) in &pods {
            members(&container(pod)["ports"], "name", &mut ports);
        }
        for object in &objects {
            let kind = object["kind"].as_str().expect("a kind");
            let name = format!("{rendering}/{kind}/{}", object["metadata"]["name"]);
            let spec = &object["spec"];
            let selector = match kind {
                "Service" => &spec["selector"],
                "NetworkPolicy" => &spec["podSelector"]["matchLabels"],
                "PodDisruptionBudget" | "Deployment" | "DaemonSet" => &spec["selector"]["matchLabels"],
                _ => &Value::Null,
            };
            if !selector.is_null() {
                let chosen = selected(selector);
                let is_metrics = object["metadata"]["labels"]["app.kubernetes.io/component"] == "metrics";
                assert!(
                    chosen.len() == 1 || is_metrics && !chosen.is_empty(),
                    "{name}: {chosen:?}"
                );
                // Traffic comes to proxies alone.
                assert!(
                    is_metrics || kind != "Service" || !chosen[0].ends_with("publisher"),
                    "{name}"
                );
            }
            let mut named = Vec::new();
            members(spec, "targetPort", &mut named);
            if kind == "NetworkPolicy" {
                members(&spec["ingress"], "port", &mut named);
            }
            for port in named {
                assert!(ports.contains(&port), "{name}: no container has a port {port}");
            }
            if kind == "HorizontalPodAutoscaler" {
                let workload = spec["scaleTargetRef"]["name"].as_str().expect("a name");
                assert!(pods.iter().any(|(name, _)| *name == workload), "{name}");
            }
            let account = &spec["template"]["spec"]["serviceAccountName"];
            let is_there = |it: &Value| it["kind"] == "ServiceAccount" && it["metadata"]["name"] == *account;
            assert!(account.is_null() || objects.iter().any(is_there), "{name}: {account}");
        }
    }
}

/// Pods that vote as one vantage would write over each other's votes.
#[test]
fn one_pod_of_a_vantage_votes() {
    let mut voting = 0;
    for (rendering, objects) in renderings() {
        for object in objects
            .iter()
            .filter(|it| it["kind"] == "Deployment" || it["kind"] == "DaemonSet")
        {
            let Some(text) = mounted(&objects, &object["spec"]["template"]) else {
                continue;
            };
            let read = configuration(&rendering, text);
            let votes = read
                .settings
                .front_door
                .as_ref()
                .is_some_and(|it| it.publication.is_some());
            let runs_once = object["spec"]["replicas"] == 1 && object["spec"]["strategy"]["type"] == "Recreate";
            assert!(!votes || runs_once, "{rendering}: {}", object["metadata"]["name"]);
            voting += usize::from(votes);
        }
    }
    assert_eq!(voting, 3);
}
