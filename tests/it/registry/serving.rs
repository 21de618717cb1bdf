//! The proxy with plugins in a registry: tags that move, registries that are down, and what must never serve.

use super::{IMAGE, component, other_component, plain, pushed, reference, run};
use portolan::control::status::{Kind, PollResult};
use portolan::oci::key::{KeyKind, SigningKey};
use portolan::oci::{Digest, sign};
use portolan_tests::{FakeRegistry, RegistryReply, Request, Setup, World, from};

/// A proxy whose plugin is in a registry, with more keys for the plugin and for the whole.
fn setup(source: &str, keys: &str, rest: &str) -> Setup {
    Setup::three_regions()
        .service("policy: { plugin: routing }\nhealth_check: { path: /healthz, interval: 100ms, timeout: 100ms }")
        .with(&format!(
            "plugins:\n  routing: {{ source: \"{source}\", config: {{ percent: 100, region: eastus2 }}, deadline: 200ms{keys} }}\n{rest}"
        ))
        .keeping()
}

fn source(registry: &FakeRegistry, rest: &str) -> String {
    format!("oci://{}/{rest}", registry.address())
}

fn active(world: &World) -> String {
    let table = world.app().tables().current();
    table.services[0]
        .plugin
        .as_ref()
        .expect("a plugin")
        .version
        .digest
        .clone()
}

async fn until_active(world: &World, component: &[u8]) {
    let digest = Digest::of(component).hex();
    let is_active = |plugin: &str| plugin == digest;
    world
        .until("the plugin is active", |table| {
            table.services[0]
                .plugin
                .as_ref()
                .is_some_and(|it| is_active(&it.version.digest))
        })
        .await;
}

fn polls(world: &World, result: PollResult) -> u64 {
    world.app().status().polls(result)
}

fn keys() -> (SigningKey, String) {
    let (key, _) = SigningKey::generate(KeyKind::Ecdsa).expect("a key");
    let public = key.public().to_pem();
    (key, public)
}

fn signed(registry: &FakeRegistry, rest: &str, key: &SigningKey) {
    let target = reference(registry, rest);
    run(
        &target.registry,
        super::LIMIT,
        sign(&target, &target.identity(), key, &plain()),
    )
    .expect("signed");
}

/// Every request fails from now on, as with a registry that is overloaded.
fn goes_down(registry: &FakeRegistry) {
    registry.script(|_| Some(RegistryReply::new(503, "the registry is down")));
}

#[tokio::test]
async fn a_plugin_is_fetched_by_digest_and_starts_again_without_its_registry() {
    let registry = FakeRegistry::start();
    let digest = pushed(&registry, "team/a:1", component()).manifest;
    let world = setup(&source(&registry, &format!("team/a@{digest}")), "", "").start();
    assert_eq!(active(&world), Digest::of(component()).hex());
    assert_eq!(world.region_for(from::SINGAPORE).await, "southeastasia");
    let plugins = world.admin(Request::get("/api/v1/plugins")).await.text();
    assert!(plugins.contains(&digest.to_string()), "{plugins}");
    world.until_kept(1).await;
    goes_down(&registry);
    let before = registry.seen().len();
    let world = world.restart().expect("the registry is not needed");
    assert_eq!(active(&world), Digest::of(component()).hex());
    assert_eq!(
        registry.seen().len(),
        before,
        "it is not asked for a digest that is here"
    );
    // Nor by a reload.
    world.reconfigure(|text| text.replace("200ms", "100ms"));
    world
        .until("the configuration is reloaded", |table| {
            table
                .settings
                .plugins
                .values()
                .all(|it| it.deployment.deadline.as_millis() == 100)
        })
        .await;
    assert_eq!(registry.seen().len(), before);
}

#[tokio::test]
async fn a_start_without_registry_and_without_anything_kept_fails_and_says_why() {
    let registry = FakeRegistry::start();
    goes_down(&registry);
    let setup = setup(&source(&registry, "team/a:1"), "", "");
    std::fs::write(setup.folder().join("portolan.yaml"), setup.config()).expect("written");
    let error = setup.try_start().expect_err("there is no plugin");
    assert!(
        error.contains("plugins.routing.source") && error.contains("the registry is down"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_kept_is_verified_again_at_a_start() {
    let registry = FakeRegistry::start();
    pushed(&registry, "team/a:1", component());
    let (key, public) = keys();
    signed(&registry, "team/a:1", &key);
    let signature = ", signature: { keys: [team.pub] }";
    let world = setup(&source(&registry, "team/a:1"), signature, "")
        .file("team.pub", &public)
        .start();
    world.until_kept(1).await;
    goes_down(&registry);
    let world = world.restart().expect("the registry is not needed");
    assert_eq!(active(&world), Digest::of(component()).hex());
    // Another key is trusted now: what is kept is not signed with it. Nothing unverified serves.
    world.until_kept(1).await;
    world.replace("team.pub", keys().1);
    let error = world.restart().expect_err("what is kept is not signed by this key");
    assert!(
        error.contains("the registry is down") || error.contains("another key"),
        "{error}"
    );
}

#[tokio::test]
async fn a_tag_that_moves_is_followed_and_bad_content_leaves_what_is_active() {
    let registry = FakeRegistry::start();
    pushed(&registry, "team/a:stable", component());
    let world = setup(&source(&registry, "team/a:stable"), ", poll: 1s", "").start();
    world
        .poll("it was looked at", || polls(&world, PollResult::Unchanged) > 0)
        .await;
    let other = pushed(&registry, "team/a:stable", other_component());
    until_active(&world, other_component()).await;

    // Tampered with: rejected, once, for as long as it is the same.
    let mut tampered = component().to_vec();
    *tampered.last_mut().expect("bytes") ^= 1;
    let layer = Digest::of(component()).to_string();
    registry.put_blob(&layer, tampered);
    registry.tag(&pushed_manifest(&registry), "stable");
    world.until_rejected(Kind::Plugin).await;
    let error = world.app().status().of(Kind::Plugin).error.expect("an error");
    assert!(error.contains("the component has the digest"), "{error}");
    let failed = polls(&world, PollResult::Failed);
    world
        .poll("it is looked at again", || polls(&world, PollResult::Failed) > failed)
        .await;
    assert_eq!(
        world.app().status().of(Kind::Plugin).rejected,
        1,
        "the same failure is reported once"
    );
    assert_eq!(active(&world), Digest::of(other_component()).hex());

    // Mended, it is used.
    registry.put_blob(&layer, component());
    until_active(&world, component()).await;
    world.until_no_error(Kind::Plugin).await;

    // Down: what is active stays, and comes back by itself.
    goes_down(&registry);
    let failed = polls(&world, PollResult::Failed);
    world
        .poll("it fails", || polls(&world, PollResult::Failed) > failed)
        .await;
    assert_eq!(world.region_for(from::SINGAPORE).await, "southeastasia");
    registry.unscripted();
    registry.tag(&other.manifest.to_string(), "stable");
    until_active(&world, other_component()).await;
    let page = world.admin(Request::get("/metrics")).await.text();
    assert!(
        page.contains("portolan_plugin_polls_total{result=\"changed\"} 3"),
        "{page}"
    );
}

/// The digest of the manifest that [`component`] has.
fn pushed_manifest(registry: &FakeRegistry) -> String {
    let scratch = FakeRegistry::start();
    let manifest = pushed(&scratch, "team/a:1", component()).manifest.to_string();
    assert!(registry.manifest(&manifest).is_some());
    manifest
}

#[tokio::test]
async fn another_manifest_with_the_same_component_swaps_nothing() {
    let registry = FakeRegistry::start();
    pushed(&registry, "team/a:1", component());
    let world = setup(&source(&registry, "team/a:1"), ", poll: 1s", "").start();
    world
        .poll("it was looked at", || polls(&world, PollResult::Unchanged) > 0)
        .await;
    let accepted = world.app().status().of(Kind::Plugin).accepted;
    registry.put_manifest(
        "1",
        IMAGE,
        super::with_layer(&registry, super::WASM, component(), Some(IMAGE)),
    );
    world
        .poll("it has changed", || polls(&world, PollResult::Changed) > 0)
        .await;
    let unchanged = polls(&world, PollResult::Unchanged);
    world
        .poll("it is looked at again", || {
            polls(&world, PollResult::Unchanged) > unchanged
        })
        .await;
    assert_eq!(world.app().status().of(Kind::Plugin).accepted, accepted);
}

#[tokio::test]
async fn an_unsigned_plugin_waits_for_its_signature_and_a_wrong_key_never_serves() {
    let registry = FakeRegistry::start();
    pushed(&registry, "team/a:stable", component());
    let ((key, public), (stranger, _)) = (keys(), keys());
    signed(&registry, "team/a:stable", &key);
    let world = setup(
        &source(&registry, "team/a:stable"),
        ", poll: 1s",
        "require_signature: { keys: [team.pub] }",
    )
    .file("team.pub", &public)
    .start();
    pushed(&registry, "team/a:stable", other_component());
    world.until_rejected(Kind::Plugin).await;
    let error = || world.app().status().of(Kind::Plugin).error.unwrap_or_default();
    assert!(error().contains("is not signed"), "{}", error());
    signed(&registry, "team/a:stable", &stranger);
    world
        .poll("the wrong key is reported", || error().contains("another key"))
        .await;
    assert_eq!(active(&world), Digest::of(component()).hex());
    signed(&registry, "team/a:stable", &key);
    until_active(&world, other_component()).await;
    world.until_no_error(Kind::Plugin).await;
}

#[tokio::test]
async fn a_configuration_that_waits_for_its_registry_is_tried_again() {
    let registry = FakeRegistry::start();
    pushed(&registry, "team/a:1", component());
    let world = setup(&source(&registry, "team/a:1"), "", "").start();
    let other = pushed(&registry, "team/a:2", other_component()).manifest;
    goes_down(&registry);
    world.reconfigure(|text| text.replace("team/a:1", &format!("team/a@{other}")));
    world.until_rejected(Kind::Config).await;
    assert_eq!(active(&world), Digest::of(component()).hex());
    registry.unscripted();
    until_active(&world, other_component()).await;
    world.until_no_error(Kind::Config).await;
}

#[tokio::test]
async fn a_plugin_that_fails_its_trial_is_not_fetched_again_and_no_reload_meets_it() {
    let registry = FakeRegistry::start();
    pushed(&registry, "team/a:1", component());
    let world = setup(&source(&registry, "team/a:1"), ", poll: 1s", "").start();
    // A component, and not a plugin.
    let nothing = b"\0asm\x0d\0\x01\0";
    registry.put_manifest(
        "1",
        IMAGE,
        super::with_layer(&registry, super::WASM, nothing, Some(IMAGE)),
    );
    world.until_rejected(Kind::Plugin).await;
    let unchanged = polls(&world, PollResult::Unchanged);
    world
        .poll("it is looked at again", || {
            polls(&world, PollResult::Unchanged) > unchanged
        })
        .await;
    assert_eq!(world.app().status().of(Kind::Plugin).rejected, 1);
    world.reconfigure(|text| text.replace("200ms", "100ms"));
    world
        .until("the configuration is reloaded", |table| {
            table
                .settings
                .plugins
                .values()
                .all(|it| it.deployment.deadline.as_millis() == 100)
        })
        .await;
    assert_eq!(active(&world), Digest::of(component()).hex());
}
