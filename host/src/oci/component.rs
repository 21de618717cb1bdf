//! What a component imports and exports, for the artifact's configuration, and what it may import.

use thiserror::Error;
use wasmparser::{Encoding, Parser, Payload};

/// A file that is not a component.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotAComponent {
    /// A core module.
    #[error(
        "the file is a core module, and not a component: make one of it, with `portolan plugin build` or wasm-tools component new"
    )]
    CoreModule,
    /// Something else.
    #[error("the file is not WebAssembly: {0}")]
    Malformed(String),
}

/// The imports and exports of a component, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentNames {
    /// What it needs.
    pub imports: Vec<String>,
    /// What it gives.
    pub exports: Vec<String>,
}

/// What a component imports and exports.
///
/// # Errors
/// When it is none.
pub fn component_names(bytes: &[u8]) -> Result<ComponentNames, NotAComponent> {
    let mut names = ComponentNames::default();
    let mut depth = 0_u32;
    let malformed = |error: wasmparser::BinaryReaderError| NotAComponent::Malformed(error.to_string());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } if depth == 0 => return Err(NotAComponent::CoreModule),
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            // Those of components inside are not its own.
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    names.imports.push(import.map_err(malformed)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    names.exports.push(export.map_err(malformed)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Those imports that no version of the proxy offers: interfaces of other packages. Names without a package are types, as some
/// tools list them.
pub(super) fn foreign_imports(imports: &[String]) -> Vec<String> {
    let foreign = imports
        .iter()
        .filter(|name| name.contains(':') && !name.starts_with("portolan:routing/"));
    foreign.cloned().collect()
}
