//! Signatures: made, found and checked.

use super::{IMAGE, INDEX, LIMIT, component, other_component, plain, pulled, pulled_as, pushed, reference, run};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portolan::oci::key::{KeyKind, PublicKey, SigningKey};
use portolan::oci::{Digest, Evidence, Policy, sign};
use portolan_tests::{FakeRegistry, RegistryReply};
use std::path::Path;

fn key(kind: KeyKind) -> (SigningKey, PublicKey) {
    let (key, _) = SigningKey::generate(kind).expect("a key");
    let public = PublicKey::parse(Path::new("team.pub"), key.public().to_pem().as_bytes()).expect("a key");
    (key, public)
}

fn policy(registry: &FakeRegistry, keys: &[&PublicKey]) -> Policy {
    Policy {
        keys: keys.iter().copied().cloned().collect(),
        identity: format!("{}/team/a", registry.address()),
        required: true,
    }
}

fn signed(registry: &FakeRegistry, rest: &str, key: &SigningKey) -> Digest {
    let target = reference(registry, rest);
    let identity = target.identity();
    run(&target.registry, LIMIT, sign(&target, &identity, key, &plain())).expect("signed")
}

fn checked(registry: &FakeRegistry, policy: &Policy) -> Result<Option<String>, String> {
    let found = pulled_as(&reference(registry, "team/a:1"), &plain(), Some(policy));
    found
        .map(|found| found.verified.signer)
        .map_err(|error| error.to_string())
}

/// A signature as cosign stores it, of any payload.
fn attach(registry: &FakeRegistry, tag: &str, payload: &str, signature: &[u8]) -> Vec<u8> {
    let (config, layer) = (Digest::of(b"{}"), Digest::of(payload.as_bytes()));
    registry.put_blob(&config.to_string(), b"{}");
    registry.put_blob(&layer.to_string(), payload);
    let manifest = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{IMAGE}\",\"config\":{{\"mediaType\":\"application/json\",\"digest\":\"{config}\",\"size\":2}},\
         \"layers\":[{{\"mediaType\":\"application/vnd.dev.cosign.simplesigning.v1+json\",\"digest\":\"{layer}\",\"size\":{},\
         \"annotations\":{{\"dev.cosignproject.cosign/signature\":\"{}\"}}}}]}}",
        payload.len(),
        STANDARD.encode(signature)
    );
    registry.put_manifest(tag, IMAGE, manifest.clone());
    manifest.into_bytes()
}

#[test]
fn both_kinds_of_keys_sign_and_verify_and_several_signatures_stand_beside_each_other() {
    let registry = FakeRegistry::start();
    let manifest = pushed(&registry, "team/a:1", component()).manifest;
    let ((one, one_public), (two, two_public)) = (key(KeyKind::Ecdsa), key(KeyKind::Ed25519));
    let error = checked(&registry, &policy(&registry, &[&one_public])).expect_err("unsigned");
    assert!(
        error.contains("is not signed") && error.contains(&manifest.to_string()),
        "{error}"
    );
    assert_eq!(signed(&registry, "team/a:1", &one), manifest);
    let tag = format!("sha256-{}.sig", manifest.hex());
    let first = registry.manifest(&tag).expect("a signature");
    signed(&registry, &format!("team/a@{manifest}"), &one);
    assert_eq!(
        registry.manifest(&tag).expect("a signature"),
        first,
        "signed by this key already"
    );
    signed(&registry, "team/a:1", &two);
    for public in [&one_public, &two_public] {
        assert_eq!(
            checked(&registry, &policy(&registry, &[public])),
            Ok(Some("team.pub".into()))
        );
    }
    let (_, stranger) = key(KeyKind::Ecdsa);
    let error = checked(&registry, &policy(&registry, &[&stranger])).expect_err("another key");
    assert!(error.contains("another key than those that are trusted"), "{error}");
    assert!(checked(&registry, &policy(&registry, &[&stranger, &two_public])).is_ok());
}

#[test]
fn a_signature_counts_for_one_digest_one_identity_and_one_type() {
    let registry = FakeRegistry::start();
    let manifest = pushed(&registry, "team/a:1", component()).manifest;
    let (key, public) = key(KeyKind::Ecdsa);
    let policy = policy(&registry, &[&public]);
    let own = policy.identity.clone();
    let tag = format!("sha256-{}.sig", manifest.hex());
    let payload = |identity: &str, digest: &str, kind: &str| {
        format!(
            "{{\"critical\":{{\"identity\":{{\"docker-reference\":\"{identity}\"}},\"image\":{{\"docker-manifest-digest\":\"{digest}\"}},\"type\":\"{kind}\"}}}}"
        )
    };
    let (good, cosign) = (manifest.to_string(), "cosign container image signature");
    let other = Digest::of(b"other").to_string();
    for (payload, why) in [
        (payload(&own, &good, cosign), None),
        (payload(&format!("{own}:1"), &good, cosign), None),
        (payload(&own, &other, cosign), Some("it is for sha256:")),
        (
            payload("registry.example.net/team/b", &good, cosign),
            Some("signature.identity names another"),
        ),
        (payload(&own, &good, "atomic container signature"), Some("is wanted")),
        ("{}".to_owned(), Some("its payload is malformed")),
    ] {
        let signature = key.sign(payload.as_bytes()).expect("signed");
        attach(&registry, &tag, &payload, &signature);
        match (checked(&registry, &policy), why) {
            (Ok(signer), None) => assert!(signer.is_some()),
            (Err(error), Some(why)) => assert!(error.contains(why), "{payload}: {error}"),
            (outcome, _) => panic!("{payload}: {outcome:?}"),
        }
    }
    // Over other bytes with the same meaning.
    let payload = payload(&own, &good, cosign);
    attach(
        &registry,
        &tag,
        &format!("{payload} "),
        &key.sign(payload.as_bytes()).expect("signed"),
    );
    assert!(
        checked(&registry, &policy)
            .expect_err("other bytes")
            .contains("another key")
    );
}

#[test]
fn signatures_are_found_by_the_referrers_api_and_by_the_tag_that_stands_for_it() {
    let artifact = "application/vnd.dev.cosign.artifact.sig.v1+json";
    for by_api in [true, false] {
        let registry = FakeRegistry::start();
        let manifest = pushed(&registry, "team/a:1", component()).manifest;
        let (key, public) = key(KeyKind::Ed25519);
        signed(&registry, "team/a:1", &key);
        let tag = format!("sha256-{}.sig", manifest.hex());
        let stored = registry.manifest(&tag).expect("a signature");
        registry.remove_manifest(&tag);
        let digest = Digest::of(&stored);
        registry.put_manifest(&digest.to_string(), IMAGE, stored.clone());
        let index = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":[{{\"mediaType\":\"{IMAGE}\",\"digest\":\"{digest}\",\"size\":{},\"artifactType\":\"{artifact}\"}}]}}",
            stored.len()
        );
        match by_api {
            true => registry.script(move |request| {
                let reply = RegistryReply::new(200, index.clone()).with("Content-Type", INDEX);
                request.target.contains("/referrers/").then_some(reply)
            }),
            false => registry.put_manifest(&format!("sha256-{}", manifest.hex()), INDEX, index),
        }
        assert_eq!(
            checked(&registry, &policy(&registry, &[&public])),
            Ok(Some("team.pub".into())),
            "{by_api}"
        );
    }
}

#[test]
fn nothing_of_an_unsigned_artifact_is_fetched_but_its_manifest() {
    let registry = FakeRegistry::start();
    pushed(&registry, "team/a:1", component());
    let before = registry.seen().len();
    let (_, public) = key(KeyKind::Ecdsa);
    checked(&registry, &policy(&registry, &[&public])).expect_err("unsigned");
    assert!(!registry.seen()[before..].iter().any(|it| it.target.contains("/blobs/")));
}

#[test]
fn a_signature_that_is_not_required_is_reported() {
    let registry = FakeRegistry::start();
    pushed(&registry, "team/a:1", component());
    let (_, public) = key(KeyKind::Ecdsa);
    let policy = Policy {
        required: false,
        ..policy(&registry, &[&public])
    };
    let found = pulled_as(&reference(&registry, "team/a:1"), &plain(), Some(&policy)).expect("pulled");
    assert!(found.verified.unsigned.is_some() && found.verified.signer.is_none());
}

#[test]
fn evidence_is_worth_the_same_after_it_was_kept() {
    let registry = FakeRegistry::start();
    let manifest = pushed(&registry, "team/a:1", component()).manifest;
    let (key, public) = key(KeyKind::Ecdsa);
    signed(&registry, "team/a:1", &key);
    let policy = policy(&registry, &[&public]);
    let found = pulled_as(&reference(&registry, "team/a:1"), &plain(), Some(&policy)).expect("pulled");
    let kept = found.evidence.to_json().expect("JSON");
    let again = Evidence::from_json(&kept).expect("the same");
    assert_eq!(again, found.evidence);
    let by_digest = reference(&registry, &format!("team/a@{manifest}"));
    let verified = again.verify(&by_digest, Some(&policy)).expect("verified");
    verified.holds(component()).expect("the component");
    verified.holds(other_component()).expect_err("another component");
    // Damaged, or for another digest, or without its signatures.
    let text = String::from_utf8(kept.to_vec()).expect("text");
    let damaged =
        Evidence::from_json(text.replace("application/wasm", "application/wasn").as_bytes()).expect("evidence");
    assert!(damaged.verify(&by_digest, Some(&policy)).is_err());
    let elsewhere = reference(&registry, &format!("team/a@{}", Digest::of(b"other")));
    assert!(again.verify(&elsewhere, Some(&policy)).is_err());
    let unsigned = pulled(&registry, "team/a:1").expect("pulled").evidence;
    assert!(unsigned.verify(&by_digest, Some(&policy)).is_err());
    assert_eq!(Evidence::from_json(b"{}"), None);
}

#[test]
fn other_keys_and_files_without_keys_are_named() {
    let parse = |text: &str| {
        PublicKey::parse(Path::new("team.pub"), text.as_bytes())
            .expect_err("no key")
            .to_string()
    };
    // The beginning of a key on P-384.
    let p384 = "-----BEGIN PUBLIC KEY-----\nMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE\n-----END PUBLIC KEY-----\n";
    assert!(
        parse(p384).contains("neither ECDSA on P-256 nor Ed25519"),
        "{}",
        parse(p384)
    );
    assert!(parse("").contains("the file is empty"));
    let (_, pem) = SigningKey::generate(KeyKind::Ecdsa).expect("a key");
    assert!(parse(&pem).contains("does not have one section"));
    assert!(SigningKey::parse(Path::new("team.key"), b"x").is_err());
}
