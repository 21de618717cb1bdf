//! The section `front_door`.

use super::mistakes::messages;
use super::schema::agrees;
use super::{EXAMPLE_WITH_FRONT_DOOR, SMALL, configuration, settings};
use crate::config::{Configuration, FrontDoorSettings, Publication};
use portolan_azure::settings::{
    Access, Caps, Cloud, Credential, DrainAction, FrontDoorResource as Azure, LeaseTiming, Mode, ProbeTiming,
    SecretSource, Settings, Timing, Vantage, VoteTiming,
};
use std::time::Duration;

/// Enough of a section for the small file.
const SECTION: &str = r#"here: westeurope
front_door:
  profile: { subscription: "0", resource_group: edge, name: shop, origin_group: storefront }
  origins:
    - { region: westeurope, origin: gw-weu }
    - { region: eastus2, origin: gw-eus2 }
"#;

fn front_door(lines: &str) -> FrontDoorSettings {
    let text = format!("{SMALL}{lines}");
    assert!(agrees(&text));
    FrontDoorSettings::clone(settings(&text).front_door.as_deref().expect("a front door"))
}

fn published(lines: &str) -> Settings {
    front_door(lines)
        .publication
        .expect("a Front Door is described")
        .settings
}

/// The mistakes of the small file with these lines at its end, without line and column.
fn mistakes_of(lines: &str) -> Vec<String> {
    let lines = messages(&format!("{SMALL}{lines}"));
    lines
        .iter()
        .map(|line| line.splitn(3, ':').nth(2).unwrap_or(line).trim().to_owned())
        .collect()
}

/// The mistakes when part of [`SECTION`], which must be there, is replaced.
#[track_caller]
fn check(cases: &[(&str, &str, &[&str])]) {
    for (from, to, expected) in cases {
        assert!(SECTION.contains(from), "{from:?} is not there");
        assert_eq!(mistakes_of(&SECTION.replacen(from, to, 1)), *expected, "{to}");
    }
}

#[test]
fn a_short_section_has_every_default() {
    let FrontDoorSettings {
        path,
        probe,
        explains_probes,
        publication: Some(Publication { service, settings }),
    } = front_door(SECTION)
    else {
        panic!("nothing is published")
    };
    assert_eq!(
        (&*path, probe, service.as_str()),
        ("/.portolan/probe", ProbeTiming::default(), "shop")
    );
    assert!(!explains_probes, "votes are not public");
    assert_eq!((settings.mode, settings.vantage.as_str()), (Mode::DryRun, "westeurope"));
    assert_eq!(settings.vantages, [Vantage::named(settings.vantage.clone())]);
    assert_eq!(
        (&settings.credential, &settings.cloud),
        (&Credential::workload_identity(), &Cloud::public())
    );
    assert_eq!((settings.store, settings.caps), (None, Caps::default()));
    assert_eq!(
        (settings.timing, settings.votes),
        (Timing::default(), VoteTiming::default())
    );
    assert_eq!(
        (settings.lease, settings.probe),
        (LeaseTiming::default(), ProbeTiming::default())
    );
    let [weu, eus2] = settings.origins.as_slice() else {
        panic!("{:?}", settings.origins)
    };
    assert_eq!((weu.region.as_str(), weu.origin.as_str()), ("westeurope", "gw-weu"));
    assert_eq!(
        (eus2.state.priority.get(), eus2.state.weight.get(), eus2.state.enabled),
        (1, 50, true)
    );
    assert!(settings_of_nothing().front_door.is_none());
}

fn settings_of_nothing() -> crate::config::Settings {
    settings(SMALL)
}

/// The commented section of the example that is shipped, uncommented.
#[test]
fn the_shipped_example_is_valid_and_shows_the_defaults() {
    let Configuration {
        settings: example,
        warnings,
        ..
    } = configuration(&EXAMPLE_WITH_FRONT_DOOR);
    assert!(agrees(&EXAMPLE_WITH_FRONT_DOOR));
    assert_eq!(warnings, []);
    let front_door = example.front_door.expect("a front door");
    let short = published(SECTION);
    let publication = front_door.publication.as_ref().expect("a Front Door");
    assert_eq!(publication.service.as_str(), "storefront");
    let long = &publication.settings;
    assert_eq!(
        (long.mode, &long.credential, &long.cloud),
        (short.mode, &short.credential, &short.cloud)
    );
    assert_eq!(
        (long.timing, long.votes, long.lease, long.probe),
        (short.timing, short.votes, short.lease, short.probe)
    );
    assert_eq!(long.origins[1].state, short.origins[1].state);
    assert_eq!(long.origins[0].state, long.origins[1].state);
    assert_eq!(long.vantages[2].region, None);
    assert_eq!((&*front_door.path, front_door.probe), ("/.portolan/probe", short.probe));
}

#[test]
fn all_keys_take_effect() {
    let text = r#"front_door:
  mode: apply
  service: shop
  classic: { subscription: s, resource_group: g, name: f, backend_pool: p }
  origins:
    - { region: westeurope, origin: gw-weu.example.net, priority: 2, weight: 7 }
    - { region: eastus2, origin: gw-eus2.example.net, enabled: false }
  vantage: office
  vantages: [westeurope, { name: eastus2 }, { name: office, region: null }, { name: two, region: eastus2 }]
  store: { container: "https://a.blob.core.windows.net/portolan", prefix: shop, signature_file: sas }
  credential: { client_secret: { tenant: t, client: c, secret_env: SECRET } }
  cloud: { arm: "https://127.0.0.1:8443", scope: x/.default, authority: "https://127.0.0.1:8444/", ca_file: ca.pem }
  caps: { min_active: 1, drain: demote }
  timing: { sustain: 300ms, restore: 600ms, spacing: 500ms, window: 0s, reconcile: 3s, poll_least: 100ms, poll_most: 2s,
            poll_default: 200ms, operation_deadline: 4s, request_timeout: 5s, retry_least: 6s, retry_most: 7s }
  votes: { write: 300ms, read: 100ms, valid_for: 3s, settle: 700ms }
  lease: { duration: 15s, renew: 400ms, margin: 1s, step_down: 8s, step_down_pause: 9s }
  probe: { path: /up/here, unhealthy_after: 1s, healthy_after: 2s, stale_after: 3s }
"#;
    let FrontDoorSettings {
        path,
        probe,
        explains_probes: _,
        publication,
    } = front_door(text);
    let Publication { service, settings } = publication.expect("a Front Door");
    let (ms, s) = (Duration::from_millis, Duration::from_secs);
    assert_eq!(
        (&*path, service.as_str(), settings.mode),
        ("/up/here", "shop", Mode::Apply)
    );
    assert_eq!(
        (probe.unhealthy_after, probe.healthy_after, probe.stale_after),
        (s(1), s(2), s(3))
    );
    assert_eq!(probe, settings.probe);
    let classic = Azure::Classic {
        subscription: "s".into(),
        resource_group: "g".into(),
        front_door: "f".into(),
        backend_pool: "p".into(),
    };
    assert_eq!(settings.front_door, classic);
    let state = settings.origins[0].state;
    assert_eq!((state.priority.get(), state.weight.get(), state.enabled), (2, 7, true));
    assert!(!settings.origins[1].state.enabled);
    assert_eq!(settings.vantage.as_str(), "office");
    let standing: Vec<_> = settings
        .vantages
        .iter()
        .map(|it| it.region.as_ref().map(|region| region.as_str()))
        .collect();
    assert_eq!(standing, [Some("westeurope"), Some("eastus2"), None, Some("eastus2")]);
    let store = settings.store.expect("a store");
    assert_eq!(
        (store.container.as_str(), store.prefix.as_str()),
        ("https://a.blob.core.windows.net/portolan", "shop")
    );
    assert_eq!(store.access, Access::Signature(SecretSource::File("conf/sas".into())));
    let credential = Credential::ClientSecret {
        tenant: "t".into(),
        client: "c".into(),
        secret: SecretSource::Env("SECRET".into()),
    };
    assert_eq!(settings.credential, credential);
    let cloud = settings.cloud;
    assert_eq!(
        (cloud.arm.as_str(), cloud.scope.as_str()),
        ("https://127.0.0.1:8443/", "x/.default")
    );
    assert_eq!(
        cloud.authority.map(String::from).as_deref(),
        Some("https://127.0.0.1:8444/")
    );
    assert_eq!(cloud.ca_file.as_deref(), Some("conf/ca.pem".as_ref()));
    assert_eq!(
        settings.caps,
        Caps {
            min_active: 1,
            drain: DrainAction::Demote
        }
    );
    let timing = Timing {
        sustain: ms(300),
        restore: ms(600),
        spacing: ms(500),
        window: s(0),
        reconcile: s(3),
        poll_least: ms(100),
        poll_most: s(2),
        poll_default: ms(200),
        operation_deadline: s(4),
        request_timeout: s(5),
        retry_least: s(6),
        retry_most: s(7),
    };
    assert_eq!(settings.timing, timing);
    assert_eq!(
        settings.votes,
        VoteTiming {
            write: ms(300),
            read: ms(100),
            valid_for: s(3),
            settle: ms(700)
        }
    );
    let lease = LeaseTiming {
        duration: s(15),
        renew: ms(400),
        margin: s(1),
        step_down: s(8),
        step_down_pause: s(9),
    };
    assert_eq!(settings.lease, lease);
}

#[test]
fn credentials_and_clouds_have_short_forms() {
    let with = |line: &str| published(&format!("{SECTION}  {line}\n"));
    assert_eq!(with("credential: azure-cli").credential, Credential::AzureCli);
    let pod = "credential: { workload_identity: { tenant: t, token_file: /var/token } }";
    let expected = Credential::WorkloadIdentity {
        tenant: Some("t".into()),
        client: None,
        token_file: Some("/var/token".into()),
    };
    assert_eq!(with(pod).credential, expected);
    let machine = Credential::ManagedIdentity { client: None };
    assert_eq!(with("credential: managed-identity").credential, machine);
    assert_eq!(with("credential: { managed_identity: {} }").credential, machine);
    assert_eq!(with("cloud: china").cloud, Cloud::china());
    let own = with("cloud: { arm: \"http://127.0.0.1:1/\" }").cloud;
    assert_eq!(
        (own.scope.as_str(), own.authority),
        ("http://127.0.0.1:1/.default", None)
    );
}

#[test]
fn with_the_mode_off_nothing_else_is_needed() {
    let off = front_door("front_door: { mode: off, probe: { path: /p, healthy_after: 1s } }\n");
    assert_eq!(
        (&*off.path, off.probe.healthy_after, off.publication),
        ("/p", Duration::from_secs(1), None)
    );
    // What is described is checked all the same.
    assert_eq!(published(&format!("{SECTION}  mode: off\n")).mode, Mode::Off);
    let mistakes = mistakes_of("here: westeurope\nfront_door: { mode: off, profile: { subscription: s } }\n");
    assert_eq!(mistakes.len(), 4, "{mistakes:?}");
}

#[test]
fn missing_keys_are_reported() {
    assert_eq!(
        mistakes_of("front_door: {}\n"),
        [
            "front_door: origins is missing: which origin stands for which region",
            "front_door: profile is missing: the Front Door whose origins are the regions",
            "front_door: vantage is missing: name this instance, or its region in here",
        ]
    );
    assert_eq!(
        mistakes_of("front_door: apply\n"),
        [r#"front_door: wanted a mapping with keys such as mode, service, profile, classic, …, got "apply""#]
    );
    check(&[
        (
            "resource_group: edge, ",
            "",
            &["front_door.profile: resource_group is missing"],
        ),
        (
            "origins:",
            "classic: { subscription: s, resource_group: g, name: f, backend_pool: p }\n  origins:",
            &["front_door.classic: there is a profile too: keep the one that is meant"],
        ),
        (", origin: gw-weu", "", &["front_door.origins[0]: origin is missing"]),
        (
            "front_door:",
            "front_door:\n  vantages: [westeurope, eastus2, southeastasia]",
            &["front_door: store is missing: several vantages need a shared store"],
        ),
    ]);
    let two = SMALL.replacen(
        "routes:",
        "  other:\n    regions: [{ region: westeurope, gateway: \"http://gw\" }]\nroutes:",
        1,
    );
    let mistakes = messages(&format!("{two}{SECTION}"));
    assert_eq!(
        mistakes,
        ["14:3: front_door: service is missing: the regions of shop or other can be published"]
    );
}

#[test]
fn mistakes_name_the_key_and_have_a_suggestion() {
    check(&[
        (
            "front_door:",
            "front_door:\n  mod: aply",
            &[
                "front_door.mod: unknown key — did you mean mode?",
                r#"front_door.mod: "aply" is not possible — did you mean apply?"#,
            ],
        ),
        (
            "region: eastus2, origin",
            "region: eastus, origin",
            &[
                r#"front_door.origins[1].region: "eastus" is no region of the published service — did you mean eastus2?"#,
            ],
        ),
        (
            "front_door:",
            "front_door:\n  service: shp",
            &[r#"front_door.service: unknown service "shp" — did you mean shop?"#],
        ),
        (
            "front_door:",
            "front_door:\n  vantage: Office 1",
            &[
                "front_door.vantage: `Office 1` is not a vantage name: use 1 to 63 lower-case letters, digits and hyphens",
            ],
        ),
        (
            "front_door:",
            "front_door:\n  vantages: [{ name: westeurope, region: westeurop }]",
            &[r#"front_door.vantages[0].region: unknown region "westeurop" — did you mean westeurope?"#],
        ),
        (
            "front_door:",
            "front_door:\n  store: { container: \"ftp://a/abc?sig=hidden\" }",
            &[r#"front_door.store.container: wanted a URL that begins with https://, got "ftp://a/abc""#],
        ),
        (
            "front_door:",
            "front_door:\n  store: { container: \"https://a/abc\", signature_file: a, signature_env: B }",
            &["front_door.store.signature_env: there is a signature_file too: keep the one that is meant"],
        ),
        (
            "front_door:",
            "front_door:\n  credential: { client_secret: { tenant: t, client: c } }",
            &["front_door.credential.client_secret: secret_file or secret_env is missing"],
        ),
        (
            "front_door:",
            "front_door:\n  credential: {}",
            &["front_door.credential: wanted one of workload_identity, managed_identity, client_secret, or a word"],
        ),
        (
            "front_door:",
            "front_door:\n  credential: workload_identity",
            &[r#"front_door.credential: "workload_identity" is not possible — did you mean workload-identity?"#],
        ),
        (
            "front_door:",
            "front_door:\n  probe: { path: up/, stale_after: 1 }",
            &[
                r#"front_door.probe.path: wanted a path such as /.portolan/probe, of letters, digits, - _ . ~, got "up/""#,
                r#"front_door.probe.stale_after: wanted a duration such as 500ms or 1m30s (units us, µs, ms, s, m, h, d), got "1""#,
            ],
        ),
    ]);
}

/// The checks of the publisher's settings are reported at the key.
#[test]
fn the_publishers_own_checks_name_the_key() {
    check(&[
        (
            "front_door:",
            "front_door:\n  timing: { sustain: 20m }",
            &["front_door.timing: restore is shorter than sustain: regions would come back faster than they go"],
        ),
        (
            "front_door:",
            "front_door:\n  timing: { sustain: 20m, restore: 1m, spacing: 0s }",
            &[
                "front_door.timing.restore: is shorter than sustain: regions would come back faster than they go",
                "front_door.timing.spacing: must be more than zero",
            ],
        ),
        (
            "front_door:",
            "front_door:\n  timng: { restore: 1m }",
            &[
                "front_door.timng: unknown key — did you mean timing?",
                "front_door.timng.restore: is shorter than sustain: regions would come back faster than they go",
            ],
        ),
        (
            "front_door:",
            "front_door:\n  caps: { min_active: 0 }",
            &["front_door.caps.min_active: wanted a whole number from 1 to 64, got \"0\""],
        ),
        (
            "front_door:",
            "front_door:\n  caps: { min_active: 3 }",
            &["front_door.caps.min_active: is 3, it must be 1 to the 2 enabled regions"],
        ),
        (
            "region: eastus2, origin: gw-eus2",
            "region: westeurope, origin: gw/eus2",
            &[
                "front_door.origins[1]: has no usable origin name",
                "front_door.origins[1]: is there twice",
            ],
        ),
        (
            "name: shop",
            "name: ../shop",
            &["front_door.profile.name: is empty or no part of a URL path"],
        ),
        (
            "front_door:",
            "front_door:\n  vantages: [eastus2]",
            &["front_door.vantages: westeurope is not among the vantages"],
        ),
        (
            "front_door:",
            "front_door:\n  store: { container: \"http://127.0.0.1:1/abc\" }",
            &["front_door.store.container: without a signature it needs https"],
        ),
        (
            "front_door:",
            "front_door:\n  store: { container: \"https://a/abc?sig=x\", signature_env: SAS }",
            &["front_door.store.container: carries a signature: give it in a file or a variable of its own"],
        ),
        (
            "front_door:",
            "front_door:\n  cloud: { arm: \"https://a/b\" }",
            &["front_door.cloud.arm: must be the root of its host"],
        ),
        (
            "front_door:",
            "front_door:\n  lease: { duration: 61s }\n  votes: { valid_for: 5s }",
            &[
                "front_door.lease.duration: must be 15 s to 60 s, in whole seconds",
                "front_door.votes.valid_for: must be longer than votes.write and at most 10 min",
            ],
        ),
    ]);
    // A value that could not be read has one mistake.
    check(&[(
        "front_door:",
        "front_door:\n  timing: { sustain: 20m, restore: soon }",
        &[
            r#"front_door.timing.restore: wanted a duration such as 500ms or 1m30s (units us, µs, ms, s, m, h, d), got "soon""#,
        ],
    )]);
}

#[test]
fn probable_mistakes_are_warnings() {
    let warnings = |lines: &str| {
        let warnings = configuration(&format!("{SMALL}{lines}")).warnings;
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let alone = warnings(SECTION);
    assert!(
        alone.starts_with("11:1: front_door: no store: this instance is its own quorum of one"),
        "{alone}"
    );
    let classic = SECTION
        .replace("profile: {", "classic: {")
        .replace("origin_group", "backend_pool");
    assert!(warnings(&classic).contains("2027-03-31"), "{}", warnings(&classic));
}
