//! Checks the type and size of a plugin file before anything is compiled.
//!
//! Compiling costs far more than reading: a megabyte of empty functions takes seconds and a gigabyte. So everything that
//! a compiler's time and memory grow with is counted first, in one pass over the file.

use super::advice;
use super::contract::{Minor, PACKAGE};
use super::error::Problem;
use super::settings::PluginSettings;
use super::size::{Counts, PluginLimits, PluginSize};
use super::wasm::{MEMORIES, TABLE_ELEMENTS};
use wasmparser::{
    BinaryReaderError, ComponentInstance, CompositeInnerType, FunctionBody, Global, Import, Instance, MemoryType,
    Operator, Parser, Payload, SectionLimited, SubType, TableType, TypeRef,
};

/// How many names of unknown imports are kept: a file may have millions.
const NAMES: usize = 100;

/// Bytes of a page of memory.
const PAGE: u64 = 64 << 10;

/// Parameters and results of a function type: blocks have such types too, two bytes in the file for all of them.
const PARAMETERS: u64 = 64;
const RESULTS: u64 = 16;

/// What is counted: its name, and how much of it there may be.
struct Counted(&'static str, fn(&Counts) -> u64);

const FUNCTIONS: Counted = Counted("functions", |counts| counts.functions);
const BODY: Counted = Counted("bytes of code in one function", |counts| counts.body);
const LOCALS: Counted = Counted("locals in one function", |counts| counts.locals);
const ALL_LOCALS: Counted = Counted("locals", |counts| counts.all_locals);
const TYPES: Counted = Counted("types", |counts| counts.types);
const MODULES: Counted = Counted("core modules", |counts| counts.modules);
const DEPTH: Counted = Counted("components inside each other", |counts| counts.depth);
const INSTANCES: Counted = Counted("instances", |counts| counts.instances);
const TABLES: Counted = Counted("tables", |counts| counts.tables);
const OTHERS: Counted = Counted("imports, exports and segments", |counts| counts.others);
/// These are the same for every size.
const PARAMETERS_OF: Counted = Counted("parameters of one function type", |_| PARAMETERS);
const RESULTS_OF: Counted = Counted("results of one function type", |_| RESULTS);
const ELEMENTS: Counted = Counted("elements of a table", |_| TABLE_ELEMENTS as u64);
const MEMORIES_OF: Counted = Counted("memories", |_| MEMORIES as u64);
const MEMORIES_OF_MODULE: Counted = Counted("memories in one module", |_| 1);

/// What there is in a file, so far, and what is wrong with it.
struct Census {
    size: PluginSize,
    functions: u64,
    locals: u64,
    types: u64,
    modules: u64,
    tables: u64,
    memories: u64,
    /// Memories of the module that is being read, imported ones included.
    memories_of_module: u64,
    instances: u64,
    others: u64,
    /// Bytes that the memories begin with, and the stack of the module with the largest.
    memory: u64,
    stack: u64,
    exports_plugin: bool,
    /// Imports that are not of the contract: the first names, and how many there are.
    unknown_imports: (Vec<String>, usize),
    problems: Vec<Problem>,
}

/// Inspects an untrusted file: all that is wrong with it, as far as it can be read.
pub(super) fn inspect(bytes: &[u8], settings: &PluginSettings) -> Result<(), Problem> {
    recognise(bytes)?;
    let mut census = Census::new(settings.size);
    let (length, limit) = (bytes.len() as u64, settings.file());
    if length > limit {
        census.problems.push(Problem::TooMuch {
            what: "bytes",
            found: length,
            limit,
            offset: 0,
            large: census.large(PluginLimits::MAX_FILE),
        });
        if length > PluginLimits::MAX_FILE {
            return census.verdict(bytes, settings);
        }
    }
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = match payload.map_err(malformed) {
            Ok(payload) => payload,
            Err(problem) => {
                census.problems.push(problem);
                return census.verdict(bytes, settings);
            }
        };
        match payload {
            Payload::ModuleSection {
                ref unchecked_range, ..
            } => {
                depth += 1;
                census.memories_of_module = 0;
                census.modules += 1;
                census.check(&MODULES, census.modules, unchecked_range.start);
            }
            Payload::ComponentSection {
                ref unchecked_range, ..
            } => {
                depth += 1;
                census.check(&DEPTH, depth as u64, unchecked_range.start);
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {
                if let Err(problem) = census.take(&payload, depth == 0) {
                    census.problems.push(problem);
                    return census.verdict(bytes, settings);
                }
            }
        }
    }
    if !census.exports_plugin && !census.problems.iter().any(|it| matches!(it, Problem::Version(_))) {
        census.problems.push(Problem::NoExport);
    }
    census.verdict(bytes, settings)
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
    fn new(size: PluginSize) -> Self {
        Self {
            size,
            functions: 0,
            locals: 0,
            types: 0,
            modules: 0,
            tables: 0,
            memories: 0,
            memories_of_module: 0,
            instances: 0,
            others: 0,
            memory: 0,
            stack: 0,
            exports_plugin: false,
            unknown_imports: (Vec::new(), 0),
            problems: Vec::new(),
        }
    }

    /// What a large plugin may have, where this one is small.
    fn large(&self, limit: u64) -> Option<u64> {
        (self.size == PluginSize::Small).then_some(limit)
    }

    /// Records that there is too much of something: once, with the most that was found.
    fn check(&mut self, Counted(what, of): &Counted, found: u64, offset: usize) {
        let limit = of(self.size.counts());
        if found <= limit {
            return;
        }
        let known = self.problems.iter_mut().find_map(|problem| match problem {
            Problem::TooMuch { what: known, found, .. } if known == what => Some(found),
            _ => None,
        });
        match known {
            Some(known) => *known = found.max(*known),
            None => self.problems.push(Problem::TooMuch {
                what,
                found,
                limit,
                offset,
                large: self
                    .large(of(PluginSize::Large.counts()))
                    .filter(|large| *large > limit),
            }),
        }
    }

    /// All problems as one.
    fn verdict(mut self, bytes: &[u8], settings: &PluginSettings) -> Result<(), Problem> {
        let allowed = settings.memory as u64;
        if self.memory > allowed {
            self.problems.push(Problem::Memory {
                found: self.memory,
                limit: allowed,
                stack: self.stack,
            });
        }
        let (names, count) = self.unknown_imports;
        if count > 0 {
            let advice = advice::about(&names, bytes);
            self.problems.push(Problem::Imports { names, count, advice });
        }
        match self.problems.len() {
            0 => Ok(()),
            1 => Err(self.problems.remove(0)),
            _ => Err(Problem::Several(self.problems)),
        }
    }

    /// # Errors
    /// When the rest of the file cannot be read.
    fn take(&mut self, payload: &Payload<'_>, outermost: bool) -> Result<(), Problem> {
        match payload {
            Payload::TypeSection(section) => self.core_types(section)?,
            Payload::CoreTypeSection(section) => self.count_types(section),
            Payload::ComponentTypeSection(section) => self.count_types(section),
            Payload::ImportSection(section) => {
                self.other(section);
                for import in section.clone().into_imports() {
                    self.import(import.map_err(malformed)?, section.range().start);
                }
            }
            Payload::FunctionSection(section) => {
                self.functions += u64::from(section.count());
                self.check(&FUNCTIONS, self.functions, section.range().start);
            }
            Payload::CodeSectionEntry(body) => self.body(body)?,
            Payload::TableSection(section) => {
                for table in section.clone() {
                    self.table(&table.map_err(malformed)?.ty, section.range().start);
                }
            }
            Payload::MemorySection(section) => {
                for ty in section.clone() {
                    self.memory(&ty.map_err(malformed)?, section.range().start);
                }
            }
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    let instance = instance.map_err(malformed)?;
                    self.instance(matches!(instance, Instance::Instantiate { .. }), section.range().start);
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    let instance = instance.map_err(malformed)?;
                    let runs = matches!(instance, ComponentInstance::Instantiate { .. });
                    self.instance(runs, section.range().start);
                }
            }
            Payload::ComponentImportSection(section) => {
                self.other(section);
                for import in section.clone() {
                    let name = import.map_err(malformed)?.name.name;
                    match contract_part(name) {
                        Ok(Some("host" | "types")) => {}
                        _ if !outermost => {}
                        Ok(_) => self.unknown_import(name),
                        Err(problem) => self.version(problem),
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                self.other(section);
                for export in section.clone() {
                    let name = export.map_err(malformed)?.name.name;
                    match contract_part(name).map(|part| part == Some("plugin")) {
                        _ if !outermost => {}
                        Ok(is_plugin) => self.exports_plugin |= is_plugin,
                        Err(problem) => self.version(problem),
                    }
                }
            }
            Payload::GlobalSection(section) => {
                self.other(section);
                if let Some(global) = section.clone().into_iter().next() {
                    self.stack_pointer(&global.map_err(malformed)?);
                }
            }
            Payload::ExportSection(section) => self.other(section),
            Payload::TagSection(section) => self.other(section),
            Payload::ElementSection(section) => self.other(section),
            Payload::DataSection(section) => self.other(section),
            Payload::ComponentAliasSection(section) => self.other(section),
            Payload::ComponentCanonicalSection(section) => self.other(section),
            _ => {}
        }
        Ok(())
    }

    fn core_types(&mut self, section: &SectionLimited<'_, wasmparser::RecGroup>) -> Result<(), Problem> {
        self.count_types(section);
        let at = section.range().start;
        for group in section.clone() {
            let group = group.map_err(malformed)?;
            for SubType { composite_type, .. } in group.types() {
                if let CompositeInnerType::Func(function) = &composite_type.inner {
                    self.check(&PARAMETERS_OF, function.params().len() as u64, at);
                    self.check(&RESULTS_OF, function.results().len() as u64, at);
                }
            }
        }
        Ok(())
    }

    fn body(&mut self, body: &FunctionBody<'_>) -> Result<(), Problem> {
        let range = body.range();
        self.check(&BODY, (range.end - range.start) as u64, range.start);
        let mut locals = 0_u64;
        for group in body.get_locals_reader().map_err(malformed)? {
            let (count, _) = group.map_err(malformed)?;
            locals = locals.saturating_add(count.into());
        }
        self.check(&LOCALS, locals, range.start);
        self.locals = self.locals.saturating_add(locals);
        self.check(&ALL_LOCALS, self.locals, range.start);
        Ok(())
    }

    fn import(&mut self, import: Import<'_>, at: usize) {
        // Imported memories and tables are shared between the modules of a plugin, and counted where they are made.
        match import.ty {
            TypeRef::Memory(ty) => {
                self.memory = self.memory.max(ty.initial.saturating_mul(PAGE));
                self.memory_of_module(at);
            }
            TypeRef::Table(ty) => self.check(&ELEMENTS, ty.initial, at),
            _ => {}
        }
    }

    fn table(&mut self, ty: &TableType, at: usize) {
        self.tables += 1;
        self.check(&TABLES, self.tables, at);
        self.check(&ELEMENTS, ty.initial, at);
    }

    fn memory(&mut self, ty: &MemoryType, at: usize) {
        self.memories += 1;
        self.check(&MEMORIES_OF, self.memories, at);
        self.memory_of_module(at);
        self.memory = self.memory.saturating_add(ty.initial.saturating_mul(PAGE));
    }

    /// The engine has several memories in one module, which what connects components to each other needs. Modules of
    /// plugins do not need them.
    fn memory_of_module(&mut self, at: usize) {
        self.memories_of_module += 1;
        self.check(&MEMORIES_OF_MODULE, self.memories_of_module, at);
    }

    /// The stack of what C, Rust and Zig make begins where their first global points to.
    fn stack_pointer(&mut self, global: &Global<'_>) {
        let first = global.init_expr.get_operators_reader().read();
        if let (true, Ok(Operator::I32Const { value })) = (global.ty.mutable, first) {
            self.stack = self.stack.max(u64::from(value.unsigned_abs()));
        }
    }

    fn instance(&mut self, runs: bool, at: usize) {
        let (counted, count) = match runs {
            true => (&INSTANCES, &mut self.instances),
            false => (&OTHERS, &mut self.others),
        };
        *count += 1;
        let count = *count;
        self.check(counted, count, at);
    }

    fn count_types<T>(&mut self, section: &SectionLimited<'_, T>) {
        self.types += u64::from(section.count());
        self.check(&TYPES, self.types, section.range().start);
    }

    fn other<T>(&mut self, section: &SectionLimited<'_, T>) {
        self.others += u64::from(section.count());
        self.check(&OTHERS, self.others, section.range().start);
    }

    fn unknown_import(&mut self, name: &str) {
        let (names, count) = &mut self.unknown_imports;
        if names.len() < NAMES {
            names.push(name.to_owned());
        }
        *count += 1;
    }

    /// Built for another version of the contract: the first part of it that tells.
    fn version(&mut self, problem: Problem) {
        if !self.problems.iter().any(|known| matches!(known, Problem::Version(_))) {
            self.problems.push(problem);
        }
    }
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

fn malformed(error: BinaryReaderError) -> Problem {
    Problem::Malformed {
        offset: error.offset(),
        message: error.message().to_owned(),
    }
}
