//! Plugins in registries: what real registries do, and what broken ones do, against the client; and the proxy before them.

mod authentication;
mod manifests;
mod serving;
mod signatures;
mod transfer;

use portolan::oci::credentials::Credentials;
use portolan::oci::{Access, Digest, OciError, Policy, Pull, Pulled, Pushed, Reference, pull, push, run};
use portolan::plugin::embedded;
use portolan_tests::FakeRegistry;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const WASM: &str = "application/wasm";

fn component() -> &'static [u8] {
    embedded::find("nearest").expect("an embedded plugin")
}

fn other_component() -> &'static [u8] {
    embedded::find("canary").expect("an embedded plugin")
}

/// `oci://` and the registry, with the rest of a reference.
fn reference(registry: &FakeRegistry, rest: &str) -> Reference {
    let text = format!("oci://{}/{rest}", registry.address());
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn plain() -> Access {
    Access {
        plain_http: true,
        ..Access::default()
    }
}

fn basic(username: &str, password: &str) -> Access {
    let credentials = Credentials::Basic {
        username: username.into(),
        password: password.into(),
    };
    Access { credentials, ..plain() }
}

fn pushed(registry: &FakeRegistry, rest: &str, bytes: &'static [u8]) -> Pushed {
    let to = reference(registry, rest);
    run(&to.registry, LIMIT, push(bytes.into(), &to, &plain())).expect("pushed")
}

fn pulled_as(from: &Reference, access: &Access, policy: Option<&Policy>) -> Result<Pulled, OciError> {
    let wanted = Pull {
        reference: from,
        access,
        policy,
        known: None,
        here: None,
        most: 1 << 20,
    };
    run(&from.registry, LIMIT, pull(&wanted)).map(|pulled| pulled.expect("nothing is known"))
}

fn pulled(registry: &FakeRegistry, rest: &str) -> Result<Pulled, OciError> {
    pulled_as(&reference(registry, rest), &plain(), None)
}

/// The error of a pull, as people read it.
fn error(registry: &FakeRegistry, rest: &str) -> String {
    pulled(registry, rest).expect_err("it fails").to_string()
}

/// A manifest with one layer, whose config and layer are there.
fn with_layer(registry: &FakeRegistry, layer_type: &str, bytes: &[u8], media_type: Option<&str>) -> Vec<u8> {
    let (config, layer) = (Digest::of(b"{}"), Digest::of(bytes));
    registry.put_blob(&config.to_string(), b"{}");
    registry.put_blob(&layer.to_string(), bytes);
    let media_type = media_type.map_or(String::new(), |it| format!("\"mediaType\":\"{it}\","));
    format!(
        "{{\"schemaVersion\":2,{media_type}\"config\":{{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"{config}\",\
         \"size\":2}},\"layers\":[{{\"mediaType\":\"{layer_type}\",\"digest\":\"{layer}\",\"size\":{}}}]}}",
        bytes.len()
    )
    .into_bytes()
}
