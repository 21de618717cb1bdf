//! The contract: its size, its versions, and what happens to those who do not keep to it.

use super::*;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::abi::AbiVariant;
use wit_parser::{LiftLowerAbi, ManglingAndAbi, PackageId, Resolve};

/// The contracts that this host speaks, with their versions.
const WITS: [(&str, &str); 2] = [
    ("0.1.0", include_str!("../../../../plugins/wit/v0.1/routing.wit")),
    ("0.2.0", WIT),
];

const WIT: &str = include_str!("../../../../plugins/wit/v0.2/routing.wit");

fn resolve(wit: &str) -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("routing.wit", wit).unwrap();
    (resolve, package)
}

/// A component of the world `router` in which every function traps.
fn component(wit: &str) -> Vec<u8> {
    let (resolve, package) = resolve(wit);
    let world = resolve.select_world(&[package], Some("router")).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

/// What becomes of a component of this contract.
fn loaded(wit: &str) -> Problem {
    load("contract", &component(wit), &PluginSettings::default()).unwrap_err()
}

/// Functions that trap are found out when they are called: so the component was linked.
fn was_linked(problem: &Problem) -> bool {
    matches!(problem, Problem::Trial { on, fault: PluginFault::Trap, .. } if on == "its configuration")
}

#[test]
fn a_request_is_sixteen_flat_values() {
    for (version, wit) in WITS {
        let (resolve, package) = resolve(wit);
        let interface = resolve.packages[package].interfaces["plugin"];
        let route = &resolve.interfaces[interface].functions["route"];
        let signature = resolve.wasm_signature(AbiVariant::GuestExport, route);
        assert_eq!(
            signature.params.len(),
            16,
            "{version}: one more, and all of it goes through memory"
        );
        assert!(!signature.indirect_params, "{version}");
    }
}

#[test]
fn patch_versions_go_together() {
    for (own, wit) in WITS {
        let newer = format!("{}.7", &own[..3]);
        for version in [own, &newer] {
            let problem = loaded(&wit.replace(&format!("@{own}"), &format!("@{version}")));
            assert!(was_linked(&problem), "{version}: {problem}");
        }
    }
}

#[test]
fn other_versions_are_rejected_by_name() {
    for version in ["0.3.0", "1.0.0", "1.2.0"] {
        let problem = loaded(&WIT.replace("@0.2.0", &format!("@{version}")));
        assert!(
            matches!(&problem, Problem::Version(what) if what.contains(version)),
            "{version}: {problem}"
        );
    }
}

#[test]
fn the_types_of_one_version_are_not_those_of_the_other() {
    for (own, other) in [(0, 1), (1, 0)] {
        let ((version, wit), (named, _)) = (WITS[own], WITS[other]);
        let problem = loaded(&wit.replace(&format!("@{version}"), &format!("@{named}")));
        assert!(
            matches!(problem, Problem::Contract(_)),
            "{version} as {named}: {problem}"
        );
    }
}

#[test]
fn another_shape_is_rejected() {
    for (what, wit) in [
        (
            "a member more",
            WIT.replace("    roll: u32,", "    roll: u32,\n    more: u32,"),
        ),
        ("another type", WIT.replace("    asn: u32,", "    asn: u64,")),
        ("a label more", WIT.replace("patch, other }", "patch, other, query }")),
        ("a flag more", WIT.replace("    load,\n", "    load,\n    more,\n")),
        ("another result", WIT.replace("-> decision;", "-> u64;")),
        (
            "a function missing",
            WIT.replace("  update: func(snapshot: snapshot);", ""),
        ),
    ] {
        assert_ne!(wit, WIT, "{what}");
        let problem = loaded(&wit);
        assert!(matches!(problem, Problem::Contract(_)), "{what}: {problem}");
    }
}

#[test]
fn a_function_of_the_host_that_does_not_exist_is_named() {
    let problem = loaded(&WIT.replace("  count: func", "  clock: func() -> u64;\n  count: func"));
    assert!(
        matches!(&problem, Problem::Contract(error) if error.contains("clock")),
        "{problem}"
    );
}

#[test]
fn without_the_contract_nothing_is_loaded() {
    let wit = WIT.replace("  export plugin;", "");
    assert_eq!(loaded(&wit), Problem::NoExport);
}

#[test]
fn other_imports_are_rejected_by_name() {
    for import in ["wasi:sockets/tcp@0.2.0", "wasi:cli/environment@0.2.6", "acme:clock/now"] {
        let (package, rest) = import.split_once('/').unwrap();
        let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
        let at = if version.is_empty() {
            String::new()
        } else {
            format!("@{version}")
        };
        let wit = WIT.replace("  import host;", &format!("  import host;\n  import {import};"))
            + &format!("\npackage {package}{at} {{ interface {interface} {{ peek: func() -> u32; }} }}\n");
        let problem = loaded(&wit);
        assert!(
            matches!(&problem, Problem::Imports { names, count: 1, .. } if *names == [import]),
            "{problem}"
        );
    }
}
