//! Digests, sizes, broken connections, redirects and limits.

use super::{
    IMAGE, LIMIT, Pull, WASM, component, error, other_component, plain, pull, pulled, pushed, reference, run,
    with_layer,
};
use portolan::oci::Digest;
use portolan_tests::{FakeRegistry, RegistryReply};
use std::time::Duration;

#[test]
fn a_tampered_layer_and_a_wrong_manifest_are_rejected() {
    let registry = FakeRegistry::start();
    let pushed = pushed(&registry, "a:1", component());
    let mut tampered = component().to_vec();
    *tampered.last_mut().expect("bytes") ^= 1;
    registry.put_blob(&pushed.component.to_string(), tampered);
    let text = error(&registry, "a:1");
    assert!(
        text.contains("the component has the digest") && text.contains(&pushed.component.to_string()),
        "{text}"
    );
    let other = with_layer(&registry, WASM, other_component(), Some(IMAGE));
    registry.put_manifest(&pushed.manifest.to_string(), IMAGE, other);
    let text = error(&registry, &format!("a@{}", pushed.manifest));
    assert!(text.contains("the manifest has the digest"), "{text}");
}

#[test]
fn a_digest_header_is_not_believed() {
    let registry = FakeRegistry::start();
    let manifest = with_layer(&registry, WASM, component(), Some(IMAGE));
    registry.script(move |request| {
        let reply = RegistryReply::new(200, manifest.clone())
            .with("Docker-Content-Digest", format!("sha256:{}", "0".repeat(64)));
        request.target.contains("/manifests/").then_some(reply)
    });
    assert_eq!(pulled(&registry, "a:1").expect("pulled").component, component());
}

#[test]
fn sizes_are_limits_for_what_comes() {
    let registry = FakeRegistry::start();
    let manifest = String::from_utf8(with_layer(&registry, WASM, component(), Some(IMAGE))).expect("text");
    let size = format!("\"size\":{}", component().len());
    registry.put_manifest("small", IMAGE, manifest.replace(&size, "\"size\":1"));
    assert!(error(&registry, "a:small").contains("is larger than the 1 bytes of its descriptor"));
    let more = format!("\"size\":{}", component().len() + 1);
    registry.put_manifest("large", IMAGE, manifest.replace(&size, &more));
    assert!(
        error(&registry, "a:large").contains("by its descriptor"),
        "{}",
        error(&registry, "a:large")
    );
    registry.put_manifest("huge", IMAGE, manifest.replace(&size, "\"size\":99999999999"));
    assert!(error(&registry, "a:huge").contains("has 99999999999 bytes, and 1048576 are allowed"));
    registry.script(|_| Some(RegistryReply::new(200, vec![b' '; 5 << 20])));
    assert!(error(&registry, "a:1").contains("the manifest has more than 4194304 bytes"));
}

#[test]
fn a_blob_that_breaks_off_is_resumed() {
    let registry = FakeRegistry::start();
    let layer = pushed(&registry, "a:1", component()).component;
    let half = component().len() / 2;
    let mut first = true;
    registry.script(move |request| {
        let is_first = first && request.target.contains(&layer.to_string());
        first &= !is_first;
        is_first.then(|| RegistryReply {
            length: Some(component().len()),
            ..RegistryReply::new(200, &component()[..half])
        })
    });
    assert_eq!(pulled(&registry, "a:1").expect("pulled").component, component());
    let ranges: Vec<_> = registry
        .seen()
        .iter()
        .map(|it| it.header("range").to_owned())
        .filter(|it| !it.is_empty())
        .collect();
    assert_eq!(ranges, [format!("bytes={half}-")]);
}

#[test]
fn a_416_is_not_waited_for_and_the_blob_is_begun_again() {
    let registry = FakeRegistry::start();
    let layer = pushed(&registry, "a:1", component()).component;
    let mut count = 0;
    registry.script(move |request| {
        if !request.target.contains(&layer.to_string()) {
            return None;
        }
        count += 1;
        match count {
            1 => Some(RegistryReply {
                length: Some(component().len()),
                ..RegistryReply::new(200, &component()[..100])
            }),
            2 => Some(RegistryReply {
                length: Some(component().len()),
                ..RegistryReply::new(416, "416: cannot satisfy the range\n")
            }),
            _ => None,
        }
    });
    assert_eq!(pulled(&registry, "a:1").expect("pulled").component, component());
}

#[test]
fn a_blob_that_always_breaks_off_ends_after_a_few_attempts() {
    let registry = FakeRegistry::start();
    let layer = pushed(&registry, "a:1", component()).component;
    registry.script(move |request| {
        request.target.contains(&layer.to_string()).then(|| RegistryReply {
            length: Some(component().len()),
            ..RegistryReply::new(200, &component()[..100])
        })
    });
    let text = error(&registry, "a:1");
    assert!(text.contains("failed to reach"), "{text}");
    assert_eq!(
        registry
            .seen()
            .iter()
            .filter(|it| it.target.contains(&layer.to_string()) && it.method == "GET")
            .count(),
        4
    );
}

#[test]
fn redirects_lead_to_other_hosts_without_what_is_secret() {
    let (registry, store) = (FakeRegistry::start(), FakeRegistry::start());
    let layer = pushed(&registry, "a:1", component()).component;
    let target = format!("http://{}/v2/a/blobs/{layer}?signature=secret", store.address());
    store.put_blob(&layer.to_string(), component());
    registry.script(move |request| {
        if request.header("authorization").is_empty() {
            return Some(RegistryReply::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\""));
        }
        let moved = RegistryReply::new(307, "").with("Location", target.clone());
        request.target.contains(&layer.to_string()).then_some(moved)
    });
    let found = super::pulled_as(&reference(&registry, "a:1"), &super::basic("bob", "secret"), None).expect("pulled");
    assert_eq!(found.component, component());
    let [seen] = &store.seen()[..] else {
        panic!("{:?}", store.seen())
    };
    assert_eq!((seen.header("authorization"), seen.header("accept")), ("", ""));
    registry.script(move |request| {
        let moved = RegistryReply::new(302, "").with("Location", request.target.clone());
        request.target.contains("/manifests/").then_some(moved)
    });
    assert!(error(&registry, "a:1").contains("more than 5 times"));
    registry.script(|_| Some(RegistryReply::new(302, "").with("Location", "ftp://a/")));
    assert!(
        error(&registry, "a:1").contains("not an http or https URL"),
        "{}",
        error(&registry, "a:1")
    );
}

#[test]
fn a_tag_that_has_not_moved_costs_one_small_exchange() {
    let registry = FakeRegistry::start();
    let pushed = pushed(&registry, "a:1", component());
    let before = registry.seen().len();
    let from = reference(&registry, "a:1");
    let access = plain();
    let poll = Pull {
        reference: &from,
        access: &access,
        policy: None,
        known: Some(pushed.manifest),
        here: None,
        most: 1 << 20,
    };
    assert!(run(&from.registry, LIMIT, pull(&poll)).expect("asked").is_none());
    let seen = registry.seen();
    assert_eq!(seen.len(), before + 1);
    assert_eq!(seen[before].header("if-none-match"), format!("\"{}\"", pushed.manifest));
    // A registry that knows no entity tags sends it all, and it is the same.
    registry.script({
        let manifest = registry.manifest("1").expect("a manifest");
        move |_| Some(RegistryReply::new(200, manifest.clone()).with("Content-Type", IMAGE))
    });
    assert!(run(&from.registry, LIMIT, pull(&poll)).expect("asked").is_none());
}

#[test]
fn a_component_that_is_here_is_not_fetched_again() {
    let registry = FakeRegistry::start();
    // Another manifest with the same layer.
    registry.put_manifest("1", IMAGE, with_layer(&registry, WASM, component(), Some(IMAGE)));
    let from = reference(&registry, "a:1");
    let (here, access) = (component().into(), plain());
    let poll = Pull {
        reference: &from,
        access: &access,
        policy: None,
        known: Some(Digest::of(b"another")),
        here: Some((Digest::of(component()), &here)),
        most: 1 << 20,
    };
    let found = run(&from.registry, LIMIT, pull(&poll)).expect("asked").expect("new");
    assert_eq!(found.component, component());
    assert!(
        !registry.seen().iter().any(|it| it.target.contains("/blobs/")),
        "{:?}",
        registry.seen()
    );
}

#[test]
fn a_registry_that_does_not_answer_is_given_up_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let text = format!("{}/a:1", listener.local_addr().expect("bound"));
    let from: portolan::oci::Reference = text.parse().expect("a reference");
    let access = plain();
    let wanted = Pull {
        reference: &from,
        access: &access,
        policy: None,
        known: None,
        here: None,
        most: 1,
    };
    let error = run(&from.registry, Duration::from_millis(300), pull(&wanted))
        .expect_err("too late")
        .to_string();
    assert!(error.contains("did not finish within 300ms"), "{error}");
    drop(listener);
    let error = run(&from.registry, LIMIT, pull(&wanted))
        .expect_err("nobody listens")
        .to_string();
    assert!(error.contains("refused the connection"), "{error}");
}
