//! From a core module to a component of the contract.

use super::error::BuildError;
use crate::plugin::embedded::WIT;
use wasmparser::{Encoding, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What a module that imports WASI preview 1 gets in its place: functions that do nothing. `plugins/nowasi/nowasi.wat` as a
/// module; a test compares them.
const NO_WASI: &[u8] = include_bytes!("../../../../../plugins/nowasi/nowasi.wasm");
const WASI: &str = "wasi_snapshot_preview1";

/// How texts are encoded in the memory of the module.
#[derive(Clone, Copy, Debug)]
pub(super) enum Text {
    Utf8,
    Utf16,
}

/// What becomes of imports of WASI preview 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wasi {
    /// They are an error: no plugin gets them.
    Rejected,
    /// They are replaced by functions that do nothing.
    Removed,
}

/// What there is in a module.
#[derive(Debug, Default)]
struct Module {
    imports_wasi: bool,
    /// Whether it has the types of its world, as generators of bindings leave them there.
    has_types: bool,
}

/// Makes a component of a core module.
///
/// # Errors
/// When it is none, or does not fit the contract.
pub(super) fn of(bytes: &[u8], text: Text, wasi: Wasi) -> Result<Vec<u8>, BuildError> {
    let module = Module::of(bytes)?;
    if module.imports_wasi && wasi == Wasi::Rejected {
        return Err(BuildError::Component(
            "the module imports WASI (wasi_snapshot_preview1), which no plugin gets: build it for a target without it, such \
             as wasm32-unknown-unknown or wasm32-freestanding, or replace it with --no-wasi by functions that do nothing"
                .to_owned(),
        ));
    }
    let failed = |error: anyhow::Error| BuildError::Component(format!("{error:#}"));
    let mut bytes = bytes.to_vec();
    if !module.has_types {
        let mut resolve = Resolve::default();
        let package = resolve.push_source("routing.wit", WIT).map_err(failed)?;
        let world = resolve.select_world(&[package], Some("router")).map_err(failed)?;
        let encoding = match text {
            Text::Utf8 => StringEncoding::UTF8,
            Text::Utf16 => StringEncoding::UTF16,
        };
        embed_component_metadata(&mut bytes, &resolve, world, encoding, false).map_err(failed)?;
    }
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&bytes).map_err(failed)?;
    if module.imports_wasi {
        encoder.adapter(WASI, NO_WASI).map_err(failed)?;
    }
    encoder.encode().map_err(failed)
}

impl Module {
    fn of(bytes: &[u8]) -> Result<Self, BuildError> {
        let damaged =
            |error: wasmparser::BinaryReaderError| BuildError::Component(format!("the module is damaged: {error}"));
        if !Parser::is_core_wasm(bytes) {
            let what = if Parser::is_component(bytes) {
                "it is a component already"
            } else {
                "it is no core module"
            };
            return Err(BuildError::Component(format!(
                "{what}; a component is made of a core WebAssembly module"
            )));
        }
        let mut module = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(damaged)? {
                Payload::Version {
                    encoding: Encoding::Component,
                    ..
                } => return Err(BuildError::Component("it has a component in it".to_owned())),
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        module.imports_wasi |= import.map_err(damaged)?.module == WASI;
                    }
                }
                Payload::CustomSection(section) => module.has_types |= section.name().starts_with("component-type"),
                _ => {}
            }
        }
        Ok(module)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{Description, PluginSettings, judge};

    /// A plugin without an opinion, in WebAssembly text.
    const PLUGIN: &str = r#"(module
        IMPORT
        (memory (export "memory") 1)
        (global $top (mut i32) (i32.const 4096))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (i32.const 8192))
        (func (export "portolan:routing/plugin@0.2.0#configure") (param i32 i32) (result i32) (i32.const 1024))
        (func (export "portolan:routing/plugin@0.2.0#update") (param i64 i32 i32 i32 i32))
        (func (export "portolan:routing/plugin@0.2.0#route")
            (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 f32 f32 i32 i64 i32 i32) (result i32) (i32.const 2048)))"#;

    fn plugin(import: &str) -> Vec<u8> {
        wat::parse_str(PLUGIN.replace("IMPORT", import)).unwrap()
    }

    #[test]
    fn the_adapter_is_the_text_beside_it() {
        let text = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/nowasi/nowasi.wat");
        assert_eq!(
            wat::parse_file(text).unwrap(),
            NO_WASI,
            "make it with wasm-tools parse, or by this test's left side"
        );
    }

    #[test]
    fn a_module_with_the_contracts_functions_becomes_a_plugin() {
        let component = of(&plugin(""), Text::Utf8, Wasi::Rejected).unwrap();
        let description = Description::of(&component);
        assert_eq!(description.contract.as_deref(), Some("portolan:routing@0.2.0"));
        let _ = judge(&component, &PluginSettings::default());
    }

    #[test]
    fn wasi_is_an_error_or_removed() {
        let write = r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#;
        let error = of(&plugin(write), Text::Utf8, Wasi::Rejected).unwrap_err().to_string();
        assert!(error.contains("--no-wasi"), "{error}");
        let component = of(&plugin(write), Text::Utf8, Wasi::Removed).unwrap();
        // Types of the contract are no capability.
        let imports = Description::of(&component).imports;
        assert!(
            imports.iter().all(|import| import.starts_with("portolan:routing/")),
            "{imports:?}"
        );
    }

    #[test]
    fn what_is_no_module_is_named() {
        let missing = wat::parse_str("(module)").unwrap();
        for (bytes, named) in [
            (b"\0asm\x0d\0\x01\0".as_slice(), "a component already"),
            (b"text", "no core module"),
            (&missing, "portolan:routing/plugin@0.2.0"),
            (&plugin("")[..200], "damaged"),
        ] {
            let error = of(bytes, Text::Utf8, Wasi::Rejected).unwrap_err().to_string();
            assert!(error.contains(named), "{named}: {error}");
        }
    }
}
