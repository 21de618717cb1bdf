//! References, manifests and indexes.

use super::{IMAGE, INDEX, WASM, component, error, other_component, pulled, pushed, reference, with_layer};
use portolan::oci::{Digest, Reference};
use portolan_tests::{FakeRegistry, RegistryReply};

#[test]
fn references_are_read_in_all_their_forms() {
    let hex = "a".repeat(64);
    for (text, shown) in [
        (
            "oci://registry.example.net/team/canary:1.2.0",
            "registry.example.net/team/canary:1.2.0",
        ),
        ("[::1]:5000/a:1", "[::1]:5000/a:1"),
        ("oci://[::1]/a:1", "[::1]/a:1"),
        (
            "127.0.0.1:5000/a.b/c__d/e-f:latest",
            "127.0.0.1:5000/a.b/c__d/e-f:latest",
        ),
    ] {
        assert_eq!(text.parse::<Reference>().expect(text).to_string(), shown);
    }
    let both = format!("oci://h/a:1@sha256:{hex}")
        .parse::<Reference>()
        .expect("a reference");
    assert!(both.tag.as_deref() == Some("1") && both.digest.is_some());
    assert!(
        "oci://localhost:5000/a:1"
            .parse::<Reference>()
            .expect("one")
            .registry
            .is_loopback()
    );
    for (text, why) in [
        ("oci://h", "there is no repository"),
        ("oci://h/a", "neither a tag nor a digest"),
        ("https://h/a:1", "only oci://"),
        ("oci://h/A:1", "lower-case letters"),
        ("oci://h/a//b:1", "is not a repository"),
        ("oci://h/a_-b:1", "is not a repository"),
        ("oci://h/a:1+2", "usually written _"),
        ("oci://h/a@sha512:00", "digests by sha512 are not supported"),
        ("oci://h/a@sha256:AA", "64 digits"),
        ("oci://h:x/a:1", "\"x\" is not a port"),
        ("oci://[::1/a:1", "is not the host of a registry"),
        ("oci:///a:1", "is not the host of a registry"),
    ] {
        let error = text.parse::<Reference>().expect_err(text).to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn what_is_pushed_is_pulled_by_tag_and_by_digest_and_pushing_it_again_changes_nothing() {
    let registry = FakeRegistry::start();
    let first = pushed(&registry, "team/nearest:1", component());
    let again = pushed(&registry, "team/nearest:2", component());
    assert_eq!(first, again, "the same component has the same digest");
    let by_tag = pulled(&registry, "team/nearest:1").expect("pulled");
    assert_eq!(by_tag.component, component());
    assert_eq!(
        (by_tag.verified.manifest, by_tag.verified.component),
        (first.manifest, first.component)
    );
    // The digest counts, and the tag is a label.
    let by_digest = pulled(&registry, &format!("team/nearest:nonsense@{}", first.manifest)).expect("pulled");
    assert_eq!(by_digest.component, component());
}

#[test]
fn all_types_are_accepted_in_one_header() {
    let registry = FakeRegistry::start();
    pushed(&registry, "a:1", component());
    pulled(&registry, "a:1").expect("pulled");
    let seen = registry.seen();
    let get = seen
        .iter()
        .find(|it| it.method == "GET" && it.target.ends_with("/manifests/1"))
        .expect("a request");
    for media_type in [
        IMAGE,
        INDEX,
        "vnd.docker.distribution.manifest.v2+json",
        "vnd.docker.distribution.manifest.list.v2+json",
    ] {
        assert!(get.header("accept").contains(media_type), "{}", get.header("accept"));
    }
}

#[test]
fn errors_have_the_words_of_the_registry() {
    let registry = FakeRegistry::start();
    registry.script(|request| {
        let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"OCI manifest found, but accept header does not support OCI manifests"}]}"#;
        request.target.contains("/manifests/").then(|| RegistryReply::new(404, body))
    });
    let text = error(&registry, "a:1");
    assert!(
        text.contains("404")
            && text.contains("GET /v2/a/manifests/1")
            && text.contains("accept header does not support"),
        "{text}"
    );
    registry.script(|_| Some(RegistryReply::new(503, "upstream\u{1b}[31m down\nmore")));
    assert!(
        error(&registry, "a:1").contains("upstream [31m down"),
        "{}",
        error(&registry, "a:1")
    );
    registry.script(|_| Some(RegistryReply::new(500, "")));
    assert!(error(&registry, "a:1").contains("it gives no reason"));
}

#[test]
fn the_type_is_that_of_the_body_then_the_header_then_the_shape() {
    let registry = FakeRegistry::start();
    for (name, body, header) in [
        ("body", Some(IMAGE), "application/json"),
        (
            "charset",
            Some(IMAGE),
            "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
        ),
        ("header", None, IMAGE),
        ("shape", None, ""),
        ("none", None, "application/octet-stream"),
    ] {
        let manifest = with_layer(&registry, WASM, component(), body);
        registry.script({
            let manifest = manifest.clone();
            move |request| {
                let reply = RegistryReply::new(200, manifest.clone());
                request.target.contains("/manifests/").then(|| match header.is_empty() {
                    true => reply,
                    false => reply.with("Content-Type", header),
                })
            }
        });
        assert_eq!(pulled(&registry, "a:1").expect(name).component, component());
    }
    let manifest = with_layer(&registry, WASM, component(), Some(IMAGE));
    registry.script(move |_| Some(RegistryReply::new(200, manifest.clone()).with("Content-Type", INDEX)));
    let text = error(&registry, "a:1");
    assert!(
        text.contains("the body says") && text.contains("Content-Type says"),
        "{text}"
    );
}

#[test]
fn an_index_leads_to_its_only_manifest_or_to_the_one_for_wasm() {
    let registry = FakeRegistry::start();
    let wanted = with_layer(&registry, WASM, component(), Some(IMAGE));
    let other = with_layer(&registry, WASM, other_component(), Some(IMAGE));
    let entry = |bytes: &[u8], platform: &str| {
        let digest = Digest::of(bytes);
        registry.put_manifest(&digest.to_string(), IMAGE, bytes);
        format!(
            "{{\"mediaType\":\"{IMAGE}\",\"digest\":\"{digest}\",\"size\":{}{platform}}}",
            bytes.len()
        )
    };
    let index = |entries: &[String]| {
        format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":[{}]}}",
            entries.join(",")
        )
    };
    let (linux, wasm) = (
        ",\"platform\":{\"architecture\":\"amd64\",\"os\":\"linux\"}",
        ",\"platform\":{\"architecture\":\"wasm\",\"os\":\"wasip2\"}",
    );
    for (name, entries) in [
        ("only", vec![entry(&wanted, "")]),
        ("wasm", vec![entry(&other, linux), entry(&wanted, wasm)]),
    ] {
        registry.put_manifest(name, INDEX, index(&entries));
        let found = pulled(&registry, &format!("a:{name}")).expect(name);
        assert_eq!(found.component, component(), "{name}");
        assert_eq!(
            found.verified.manifest,
            Digest::of(index(&entries).as_bytes()),
            "{name}"
        );
    }
    registry.put_manifest("none", INDEX, index(&[entry(&other, linux), entry(&wanted, linux)]));
    assert!(error(&registry, "a:none").contains("none of them has the architecture wasm"));
    registry.put_manifest("two", INDEX, index(&[entry(&other, wasm), entry(&wanted, wasm)]));
    assert!(error(&registry, "a:two").contains("several manifests"));
    registry.put_manifest("empty", INDEX, index(&[]));
    assert!(error(&registry, "a:empty").contains("the index has 0 manifests"));
    // An index in an index has no end.
    let nested = index(&[entry(&wanted, "")]);
    let digest = Digest::of(nested.as_bytes());
    registry.put_manifest(&digest.to_string(), INDEX, nested.clone());
    registry.put_manifest(
        "nested",
        INDEX,
        index(&[format!(
            "{{\"mediaType\":\"{INDEX}\",\"digest\":\"{digest}\",\"size\":{}}}",
            nested.len()
        )]),
    );
    assert!(error(&registry, "a:nested").contains("it leads to no component"));
}

#[test]
fn any_config_will_do_and_exactly_one_layer_of_a_component() {
    let registry = FakeRegistry::start();
    let old = with_layer(
        &registry,
        "application/vnd.wasm.content.layer.v1+wasm",
        component(),
        Some(IMAGE),
    );
    registry.put_manifest("old", IMAGE, old);
    assert_eq!(pulled(&registry, "a:old").expect("pulled").component, component());
    registry.put_manifest(
        "tar",
        IMAGE,
        with_layer(
            &registry,
            "application/vnd.oci.image.layer.v1.tar",
            component(),
            Some(IMAGE),
        ),
    );
    assert!(error(&registry, "a:tar").contains("its layer is application/vnd.oci.image.layer.v1.tar"));
    let none = format!("{{\"schemaVersion\":2,\"mediaType\":\"{IMAGE}\",\"layers\":[]}}");
    registry.put_manifest("none", IMAGE, none);
    assert!(error(&registry, "a:none").contains("it has 0 layers"));
    registry.put_manifest("one", IMAGE, "{\"schemaVersion\":1}");
    assert!(error(&registry, "a:one").contains("schemaVersion 1"));
    registry.put_manifest("text", IMAGE, "<html>");
    assert!(error(&registry, "a:text").contains("not a manifest"));
}

#[test]
fn what_a_component_imports_is_looked_at_before_it_is_fetched() {
    let registry = FakeRegistry::start();
    let config = r#"{"architecture":"wasm","component":{"imports":["wasi:cli/environment@0.2.0","portolan:routing/host@0.1.0","region"]}}"#;
    let (config_digest, layer) = (Digest::of(config.as_bytes()), Digest::of(component()));
    registry.put_blob(&config_digest.to_string(), config);
    let manifest = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{IMAGE}\",\"config\":{{\"mediaType\":\"application/vnd.wasm.config.v0+json\",\"digest\":\"{config_digest}\",\
         \"size\":{}}},\"layers\":[{{\"mediaType\":\"{WASM}\",\"digest\":\"{layer}\",\"size\":{}}}]}}",
        config.len(),
        component().len()
    );
    registry.put_manifest("1", IMAGE, manifest);
    let text = error(&registry, "a:1");
    assert!(
        text.contains("wasi:cli/environment@0.2.0") && !text.contains("portolan:routing"),
        "{text}"
    );
    let fetched = registry.seen().iter().any(|it| it.target.contains(&layer.to_string()));
    assert!(!fetched, "the layer was fetched");
}

#[test]
fn only_components_are_pushed() {
    let registry = FakeRegistry::start();
    let to = reference(&registry, "a:1");
    for (bytes, why) in [(&b"\0asm\x01\0\0\0"[..], "core module"), (b"text", "not WebAssembly")] {
        let access = super::plain();
        let push = portolan::oci::push(bytes.into(), &to, &access);
        let error = portolan::oci::run(&to.registry, super::LIMIT, push)
            .expect_err("rejected")
            .to_string();
        assert!(error.contains(why), "{error}");
    }
    assert!(registry.seen().is_empty());
}
