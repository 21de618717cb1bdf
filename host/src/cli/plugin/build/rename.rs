//! Renames exports of a core module, for languages whose names cannot hold colons.

use super::error::BuildError;
use wasmparser::{BinaryReaderError, ExportSectionReader, ExternalKind, Parser, Payload};

/// Bytes before the first section.
const HEADER: usize = 8;

/// Renames exported functions: `new` gives the name that replaces one, or `None`.
///
/// # Errors
/// When the module is damaged.
pub(super) fn rename(module: &[u8], new: impl Fn(&str) -> Option<String>) -> Result<Vec<u8>, BuildError> {
    let damaged = |error: BinaryReaderError| BuildError::Component(format!("the module is damaged: {error}"));
    let mut result = module.get(..HEADER).unwrap_or_default().to_vec();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(damaged)?;
        let Some((number, range)) = payload.as_section() else {
            continue;
        };
        let renamed = match payload {
            Payload::ExportSection(section) => Some(exports(section, &new).map_err(damaged)?),
            _ => None,
        };
        let content = renamed.as_deref().or_else(|| module.get(range)).unwrap_or_default();
        result.push(number);
        unsigned(&mut result, content.len() as u32);
        result.extend(content);
    }
    Ok(result)
}

/// The content of an export section with other names.
fn exports(
    section: ExportSectionReader<'_>,
    new: impl Fn(&str) -> Option<String>,
) -> Result<Vec<u8>, BinaryReaderError> {
    let mut content = Vec::new();
    unsigned(&mut content, section.count());
    for export in section {
        let export = export?;
        let kind = match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => 0,
            ExternalKind::Table => 1,
            ExternalKind::Memory => 2,
            ExternalKind::Global => 3,
            ExternalKind::Tag => 4,
        };
        let name = Some(export.name).filter(|_| kind == 0).and_then(&new);
        let name = name.as_deref().unwrap_or(export.name);
        unsigned(&mut content, name.len() as u32);
        content.extend(name.as_bytes());
        content.push(kind);
        unsigned(&mut content, export.index);
    }
    Ok(content)
}

/// Appends a number (LEB128).
fn unsigned(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_get_other_names_and_nothing_else_changes() {
        let text = |names: [&str; 2]| {
            let [a, b] = names;
            wat::parse_str(format!(
                r#"(module (memory (export "a_") 1) (func (export "{a}") (result i32) (i32.const 7)) (func (export "{b}")) (data "x"))"#
            ))
            .unwrap()
        };
        let long = "b".repeat(300);
        let renamed = rename(&text(["f_", "g"]), |name| name.strip_suffix('_').map(|_| long.clone())).unwrap();
        assert_eq!(renamed, text([&long, "g"]));
        let same = text(["f", "g"]);
        assert_eq!(rename(&same, |_| None).unwrap(), same);
        let without = wat::parse_str("(module)").unwrap();
        assert_eq!(rename(&without, |_| Some(String::new())).unwrap(), without);
        assert!(rename(&same[..20], |_| None).is_err());
    }
}
