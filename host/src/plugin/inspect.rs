//! Checks the type and size of a plugin file before anything is compiled.
//!
//! Compiling costs far more than reading: a megabyte of empty functions takes seconds and a gigabyte. So everything that
//! a compiler's time and memory grow with is counted first, in one pass over the file.

use super::contract::{Minor, PACKAGE};
use super::error::Problem;
use super::wasm::{CORE_INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};
use wasmparser::{
    BinaryReaderError, CompositeInnerType, Encoding, FunctionBody, Import, MemoryType, Parser, Payload, SectionLimited,
    SubType, TableType, TypeRef,
};

/// The largest file, in bytes.
pub const FILE: u64 = 4 << 20;
/// Functions of all modules: 20 to 50 µs and up to 6 KB of compiler memory each, even when empty.
const FUNCTIONS: u64 = 20_000;
/// Bytes of code in one function: a compiler's memory grows with the largest, some 200 bytes for each.
const BODY: u64 = 256 << 10;
/// Locals of one function, and of all: a run of equal ones takes three bytes in the file and 16 each in the compiler.
const LOCALS: u64 = 10_000;
const ALL_LOCALS: u64 = 500_000;
/// Types of all modules and components.
const TYPES: u64 = 10_000;
/// Parameters and results of a function type: blocks have such types too, two bytes in the file for all of them.
const PARAMETERS: u64 = 64;
const RESULTS: u64 = 16;
/// Core modules, and modules and components inside each other.
const MODULES: u64 = 20;
const DEPTH: usize = 3;
/// Anything else that has a number: imports, exports, globals, aliases, segments, canonical functions.
const OTHERS: u64 = 20_000;

/// What there is in a file, so far.
#[derive(Default)]
struct Census {
    functions: u64,
    locals: u64,
    types: u64,
    modules: u64,
    tables: u64,
    memories: u64,
    instances: u64,
    others: u64,
    /// Pages of 64 KiB that the memories begin with.
    pages: u64,
    exports_plugin: bool,
}

/// Inspects an untrusted file. `memory` is the most an instance may have, in bytes.
pub(super) fn inspect(bytes: &[u8], memory: usize) -> Result<(), Problem> {
    at_most("bytes", bytes.len() as u64, FILE, 0)?;
    recognise(bytes)?;
    let mut census = Census::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(malformed)?;
        match payload {
            Payload::ModuleSection {
                ref unchecked_range, ..
            } => {
                depth += 1;
                add(&mut census.modules, 1, "core modules", MODULES, unchecked_range.start)?;
            }
            Payload::ComponentSection {
                ref unchecked_range, ..
            } => {
                depth += 1;
                at_most(
                    "components inside each other",
                    depth as u64,
                    DEPTH as u64,
                    unchecked_range.start,
                )?;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => census.take(&payload, depth == 0, memory)?,
        }
    }
    if census.exports_plugin {
        Ok(())
    } else {
        Err(Problem::NoExport)
    }
}

/// Distinguishes components from other files.
fn recognise(bytes: &[u8]) -> Result<(), Problem> {
    let text = || std::str::from_utf8(bytes).is_ok_and(|text| text.trim_start().starts_with(['(', ';']));
    if Parser::is_component(bytes) {
        Ok(())
    } else if Parser::is_core_wasm(bytes) {
        Err(Problem::NotAComponent(
            "a core WebAssembly module (a component is made of it by plugins/build.sh or wasm-tools)",
        ))
    } else if bytes.is_empty() {
        Err(Problem::NotAComponent("empty"))
    } else if bytes.starts_with(b"\x7fELF") {
        Err(Problem::NotAComponent("native code"))
    } else if text() {
        Err(Problem::NotAComponent("WebAssembly text"))
    } else {
        Err(Problem::NotAComponent("something else"))
    }
}

impl Census {
    fn take(&mut self, payload: &Payload<'_>, outermost: bool, memory: usize) -> Result<(), Problem> {
        match payload {
            Payload::Version { num, encoding, range } => match encoding {
                Encoding::Module | Encoding::Component => {
                    tracing::trace!(num, ?range, "part of a plugin");
                }
            },
            Payload::TypeSection(section) => self.core_types(section)?,
            Payload::CoreTypeSection(section) => self.count_types(section)?,
            Payload::ComponentTypeSection(section) => self.count_types(section)?,
            Payload::ImportSection(section) => {
                self.other(section)?;
                for import in section.clone().into_imports() {
                    self.import(import.map_err(malformed)?, section.range().start, memory)?;
                }
            }
            Payload::FunctionSection(section) => {
                add(
                    &mut self.functions,
                    section.count().into(),
                    "functions",
                    FUNCTIONS,
                    section.range().start,
                )?;
            }
            Payload::CodeSectionEntry(body) => self.body(body)?,
            Payload::TableSection(section) => {
                for table in section.clone() {
                    self.table(&table.map_err(malformed)?.ty, section.range().start)?;
                }
            }
            Payload::MemorySection(section) => {
                for ty in section.clone() {
                    self.memory(&ty.map_err(malformed)?, section.range().start, memory)?;
                }
            }
            Payload::InstanceSection(section) => self.instances(section)?,
            Payload::ComponentInstanceSection(section) => self.instances(section)?,
            Payload::ComponentImportSection(section) => {
                self.other(section)?;
                for import in section.clone() {
                    let import = import.map_err(malformed)?;
                    if outermost {
                        imported(import.name.name)?;
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                self.other(section)?;
                for export in section.clone() {
                    let export = export.map_err(malformed)?;
                    if outermost {
                        self.exports_plugin |= exported(export.name.name)?;
                    }
                }
            }
            Payload::GlobalSection(section) => self.other(section)?,
            Payload::ExportSection(section) => self.other(section)?,
            Payload::TagSection(section) => self.other(section)?,
            Payload::ElementSection(section) => self.other(section)?,
            Payload::DataSection(section) => self.other(section)?,
            Payload::ComponentAliasSection(section) => self.other(section)?,
            Payload::ComponentCanonicalSection(section) => self.other(section)?,
            _ => {}
        }
        Ok(())
    }

    fn core_types(&mut self, section: &SectionLimited<'_, wasmparser::RecGroup>) -> Result<(), Problem> {
        self.count_types(section)?;
        for group in section.clone() {
            let group = group.map_err(malformed)?;
            for SubType { composite_type, .. } in group.types() {
                if let CompositeInnerType::Func(function) = &composite_type.inner {
                    let at = section.range().start;
                    at_most(
                        "parameters of one function type",
                        function.params().len() as u64,
                        PARAMETERS,
                        at,
                    )?;
                    at_most(
                        "results of one function type",
                        function.results().len() as u64,
                        RESULTS,
                        at,
                    )?;
                }
            }
        }
        Ok(())
    }

    fn body(&mut self, body: &FunctionBody<'_>) -> Result<(), Problem> {
        let range = body.range();
        at_most(
            "bytes of code in one function",
            (range.end - range.start) as u64,
            BODY,
            range.start,
        )?;
        let mut locals = 0;
        for group in body.get_locals_reader().map_err(malformed)? {
            let (count, _) = group.map_err(malformed)?;
            add(&mut locals, count.into(), "locals in one function", LOCALS, range.start)?;
        }
        add(&mut self.locals, locals, "locals", ALL_LOCALS, range.start)
    }

    fn import(&mut self, import: Import<'_>, at: usize, memory: usize) -> Result<(), Problem> {
        // Imported memories and tables are shared between the modules of a plugin, and counted where they are made.
        match import.ty {
            TypeRef::Memory(ty) => at_most("pages of memory", ty.initial, pages(memory), at),
            TypeRef::Table(ty) => at_most("elements of a table", ty.initial, TABLE_ELEMENTS as u64, at),
            _ => Ok(()),
        }
    }

    fn table(&mut self, ty: &TableType, at: usize) -> Result<(), Problem> {
        add(&mut self.tables, 1, "tables", TABLES.into(), at)?;
        at_most("elements of a table", ty.initial, TABLE_ELEMENTS as u64, at)
    }

    fn memory(&mut self, ty: &MemoryType, at: usize, memory: usize) -> Result<(), Problem> {
        add(&mut self.memories, 1, "memories", MEMORIES.into(), at)?;
        add(&mut self.pages, ty.initial, "pages of memory", pages(memory), at)
    }

    fn instances<T>(&mut self, section: &SectionLimited<'_, T>) -> Result<(), Problem> {
        add(
            &mut self.instances,
            section.count().into(),
            "instances",
            CORE_INSTANCES.into(),
            section.range().start,
        )
    }

    fn count_types<T>(&mut self, section: &SectionLimited<'_, T>) -> Result<(), Problem> {
        add(
            &mut self.types,
            section.count().into(),
            "types",
            TYPES,
            section.range().start,
        )
    }

    fn other<T>(&mut self, section: &SectionLimited<'_, T>) -> Result<(), Problem> {
        add(
            &mut self.others,
            section.count().into(),
            "imports, exports and segments",
            OTHERS,
            section.range().start,
        )
    }
}

/// Rejects imports that Portolan does not offer, and other versions of the contract.
fn imported(name: &str) -> Result<(), Problem> {
    match contract_part(name)? {
        Some("host" | "types") => Ok(()),
        _ => Err(Problem::Import(name.to_owned())),
    }
}

/// Whether this export is the contract's.
fn exported(name: &str) -> Result<bool, Problem> {
    Ok(contract_part(name)? == Some("plugin"))
}

/// The interface of the contract that a name means, if any.
fn contract_part(name: &str) -> Result<Option<&str>, Problem> {
    let Some(rest) = name.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix('/')) else {
        return Ok(None);
    };
    let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
    let mut numbers = version.splitn(3, '.').map(|number| number.parse().ok());
    let minor = numbers.next().flatten().zip(numbers.next().flatten());
    match minor.and_then(|(major, minor)| Minor::of(major, minor)) {
        Some(_) => Ok(Some(interface)),
        None => Err(Problem::Version(name.to_owned())),
    }
}

fn pages(memory: usize) -> u64 {
    memory as u64 >> 16
}

fn add(sum: &mut u64, count: u64, what: &'static str, limit: u64, offset: usize) -> Result<(), Problem> {
    *sum = sum.saturating_add(count);
    at_most(what, *sum, limit, offset)
}

fn at_most(what: &'static str, found: u64, limit: u64, offset: usize) -> Result<(), Problem> {
    if found > limit {
        return Err(Problem::TooMuch {
            what,
            found,
            limit,
            offset,
        });
    }
    Ok(())
}

fn malformed(error: BinaryReaderError) -> Problem {
    Problem::Malformed {
        offset: error.offset(),
        message: error.message().to_owned(),
    }
}
