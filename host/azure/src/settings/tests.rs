use super::*;
use crate::origin::{OriginState, Priority};
use std::time::Duration;
use url::Url;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn vantage(name: &str) -> Vantage {
    Vantage::named(VantageName::new(name).unwrap())
}

fn good() -> Settings {
    let front_door = FrontDoorResource::Standard {
        subscription: "00000000-0000-0000-0000-000000000000".to_owned(),
        resource_group: "edge".to_owned(),
        profile: "shop".to_owned(),
        origin_group: "storefront".to_owned(),
    };
    let origin = |region: &str| Baseline {
        region: region.into(),
        origin: format!("o-{region}"),
        state: OriginState::default(),
    };
    let origins = ["weu", "eus", "sea"].map(origin).to_vec();
    let mut settings = Settings::new(front_door, origins, VantageName::new("weu").unwrap());
    settings.vantages = ["weu", "eus", "sea"].map(vantage).to_vec();
    settings.store = Some(StoreSettings {
        container: url("https://account.blob.core.windows.net/portolan"),
        prefix: String::new(),
        access: Access::Identity,
    });
    settings.caps.min_active = 2;
    settings
}

#[test]
fn the_defaults_are_valid_and_warn_of_nothing() {
    assert_eq!(good().check(), []);
    assert_eq!(good().warnings(), Vec::<String>::new());
}

#[test]
fn every_mistake_has_its_path() {
    type Spoil = fn(&mut Settings);
    let cases: Vec<(&str, Spoil)> = vec![
        ("origins", |s| s.origins.clear()),
        ("origins.weu", |s| s.origins[0].origin = "a/b".to_owned()),
        ("origins.weu", |s| s.origins[1].region = "weu".into()),
        ("origins.eus", |s| s.origins[1].origin = "O-WEU".to_owned()),
        ("origins", |s| {
            s.origins.iter_mut().for_each(|origin| origin.state.enabled = false)
        }),
        ("min_active", |s| s.caps.min_active = 0),
        ("min_active", |s| s.caps.min_active = 4),
        ("vantages", |s| s.vantages[1] = vantage("weu")),
        ("vantage", |s| s.vantage = VantageName::new("other").unwrap()),
        ("store", |s| s.store = None),
        ("standard.profile", |s| {
            s.front_door = FrontDoorResource::Standard {
                subscription: "s".to_owned(),
                resource_group: "g".to_owned(),
                profile: "../x".to_owned(),
                origin_group: "o".to_owned(),
            }
        }),
        ("cloud.arm", |s| s.cloud.arm = url("http://management.azure.com/")),
        ("cloud.arm", |s| s.cloud.arm = url("https://gateway.example/arm/")),
        ("cloud.authority", |s| {
            s.cloud.authority = Some(url("http://127.0.0.1/"))
        }),
        ("store.access", |s| {
            s.store.as_mut().unwrap().container = url("http://127.0.0.1:1/abc")
        }),
        ("store.container", |s| {
            s.store.as_mut().unwrap().container = url("https://a.example/ab")
        }),
        ("store.container", |s| {
            s.store.as_mut().unwrap().container = url("https://a.example/abc?sig=x")
        }),
        ("store.prefix", |s| s.store.as_mut().unwrap().prefix = "a/b".to_owned()),
        ("timing.restore", |s| s.timing.restore = Duration::from_secs(1)),
        ("timing.spacing", |s| s.timing.spacing = Duration::ZERO),
        ("timing.poll_default", |s| {
            s.timing.poll_default = Duration::from_secs(99)
        }),
        ("votes.valid_for", |s| s.votes.valid_for = s.votes.write),
        ("probe.stale_after", |s| s.probe.stale_after = s.votes.read),
        ("lease.duration", |s| s.lease.duration = Duration::from_secs(61)),
        ("lease.renew", |s| s.lease.renew = Duration::from_secs(25)),
        ("credential.client_secret.tenant", |s| {
            s.credential = Credential::ClientSecret {
                tenant: String::new(),
                client: "c".to_owned(),
                secret: SecretSource::Env("X".to_owned()),
            }
        }),
    ];
    for (path, spoil) in cases {
        let mut settings = good();
        spoil(&mut settings);
        let found = settings.check();
        assert!(found.iter().any(|mistake| mistake.path == path), "{path}: {found:?}");
        assert!(found.iter().all(|mistake| mistake.path == path), "{path}: {found:?}");
    }
}

#[test]
fn what_is_allowed_and_probably_not_meant_is_a_warning() {
    let said = |change: fn(&mut Settings), word: &str| {
        let mut settings = good();
        change(&mut settings);
        let warnings = settings.warnings();
        assert!(
            warnings.iter().any(|warning| warning.contains(word)),
            "{word}: {warnings:?}"
        );
    };
    said(
        |s| {
            s.front_door = FrontDoorResource::Classic {
                subscription: "s".to_owned(),
                resource_group: "g".to_owned(),
                front_door: "f".to_owned(),
                backend_pool: "p".to_owned(),
            }
        },
        "2027-03-31",
    );
    said(|s| s.store = None, "quorum of one");
    said(|s| s.vantages.truncate(1), "quorum of one");
    said(|s| s.vantages.truncate(2), "name at least 3");
    said(|s| s.vantages.truncate(2), "weu can never be demoted");
    said(|s| s.origins[0].state.priority = Priority::LAST, "priority 5 already");
    said(|s| s.caps.min_active = 1, "min_active");
}

#[test]
fn tokens_are_sent_over_tls_only() {
    for (text, allowed) in [
        ("https://management.azure.com/", true),
        ("http://127.0.0.1:8080/", true),
        ("http://[::1]:8080/", true),
        ("http://localhost/", true),
        ("http://169.254.169.254/metadata", true),
        ("http://10.0.0.1/", false),
        ("http://localhost.example/", false),
        ("http://127.0.0.1.example/", false),
        ("ftp://127.0.0.1/", false),
        ("file:///etc/passwd", false),
    ] {
        assert_eq!(may_be_called(&url(text)), allowed, "{text}");
    }
}

#[test]
fn the_known_clouds_have_an_api_and_a_scope() {
    for cloud in [Cloud::public(), Cloud::china(), Cloud::us_government()] {
        assert_eq!(cloud.arm.path(), "/");
        assert!(cloud.scope.ends_with("/.default"), "{}", cloud.scope);
    }
}
