//! Files that are no plugins, damaged ones, and bombs: rejected before they cost anything.

use super::*;
use crate::plugin::inspect::inspect;
use proptest::prelude::*;

/// Nothing that is rejected may take longer than this, in a build without optimisation.
const SOON: Duration = Duration::from_secs(2);

fn problem(bytes: &[u8]) -> Problem {
    let start = Instant::now();
    let problem = load("rejected", bytes, &PluginSettings::default()).unwrap_err();
    assert!(start.elapsed() < SOON, "{problem} took {:?}", start.elapsed());
    problem
}

#[test]
fn what_is_no_component_is_named() {
    let core_module = wat::parse_str("(module)").unwrap();
    let native = {
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        let engine = wasmtime::Engine::new(&config).unwrap();
        engine.precompile_component(embedded::NEAREST).unwrap()
    };
    for (bytes, said) in [
        (b"".as_slice(), "empty"),
        (b"(component)", "text"),
        (b"\n  ;; a comment\n(module)", "text"),
        (&core_module, "core WebAssembly module"),
        (&native, "native code"),
        (b"\x7fELF\x02\x01\x01", "native code"),
        (b"MZ\x90\x00", "something else"),
        (b"\0asm", "something else"),
        (&[0xff; 4096], "something else"),
    ] {
        let problem = problem(bytes);
        assert!(
            matches!(&problem, Problem::NotAComponent(what) if what.contains(said)),
            "{said}: {problem}"
        );
    }
}

#[test]
fn a_file_that_ends_early_is_rejected() {
    let whole = embedded::NEAREST;
    for end in (8..whole.len()).step_by(whole.len() / 200) {
        assert!(inspect(&whole[..end], 1 << 20).is_err() || load("cut", &whole[..end], &settings("{}")).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is in a file, looking at it ends with an answer.
    #[test]
    fn damaged_files_are_looked_at_without_harm(at in 0..embedded::NEAREST.len(), bytes: [u8; 4]) {
        let mut damaged = embedded::NEAREST.to_vec();
        for (place, byte) in damaged[at..].iter_mut().zip(bytes) {
            *place = byte;
        }
        let _ = inspect(&damaged, 1 << 20);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The same all the way: compiled, started and tried, or rejected.
    #[test]
    fn damaged_files_are_loaded_without_harm(at in 0..embedded::NEAREST.len(), byte: u8) {
        let mut damaged = embedded::NEAREST.to_vec();
        damaged[at] = byte;
        let _ = load("damaged", &damaged, &settings("{}"));
    }
}

/// A component around core modules.
fn around(modules: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {modules})")).unwrap()
}

#[test]
fn too_much_of_anything_is_rejected_before_it_is_compiled() {
    let many = |count: usize, what: &str| what.repeat(count);
    let straight_line = many(2_400_000 / 8, "(drop (i64.const 0x123456789ab))");
    let nested = format!("{}{}", many(4, "(component "), many(4, ")"));
    for (what, component) in [
        (
            "functions",
            around(&format!("(core module {})", many(300_000, "(func)"))),
        ),
        (
            "bytes of code in one function",
            around(&format!("(core module (func {straight_line}))")),
        ),
        (
            "locals in one function",
            around(&format!("(core module (func (local {})))", many(40_000, "v128 "))),
        ),
        (
            "locals",
            around(&format!(
                "(core module {})",
                many(60, &format!("(func (local {}))", many(9_000, "v128 ")))
            )),
        ),
        (
            "types",
            around(&format!("(core module {})", many(20_000, "(type (func))"))),
        ),
        (
            "parameters of one function type",
            around(&format!("(core module (type (func (param {}))))", many(500, "i32 "))),
        ),
        (
            "results of one function type",
            around(&format!("(core module (type (func (result {}))))", many(500, "i32 "))),
        ),
        ("pages of memory", around("(core module (memory 65536))")),
        ("pages of memory", around(&many(3, "(core module (memory 100))"))),
        ("elements of a table", around("(core module (table 10000000 funcref))")),
        (
            "tables",
            around(&format!("(core module {})", many(30, "(table 1 funcref)"))),
        ),
        ("core modules", around(&many(30, "(core module)"))),
        (
            "instances",
            around(&format!(
                "(core module $m) {}",
                many(1_000, "(core instance (instantiate $m))")
            )),
        ),
        ("components inside each other", around(&nested)),
        (
            "imports, exports and segments",
            around(&format!("(core module {})", many(30_000, "(global i32 (i32.const 0))"))),
        ),
        (
            "bytes",
            around(&format!(
                "(core module (memory 1) (data (i32.const 0) \"{}\"))",
                many(5 << 20, "x")
            )),
        ),
    ] {
        let problem = problem(&component);
        assert!(
            matches!(&problem, Problem::TooMuch { what: named, found, limit, .. } if *named == what && found > limit),
            "{what}: {problem}"
        );
    }
}

#[test]
fn memory_is_measured_by_the_settings() {
    let small = PluginSettings {
        memory: 64 << 10,
        ..settings("{}")
    };
    assert!(
        load("small", embedded::NEAREST, &small).is_ok(),
        "an example fits into one page"
    );
    let two_pages = around("(core module (memory 2))");
    let problem = load("two-pages", &two_pages, &small).unwrap_err();
    assert!(
        matches!(
            problem,
            Problem::TooMuch {
                what: "pages of memory",
                found: 2,
                limit: 1,
                ..
            }
        ),
        "{problem}"
    );
}

#[test]
fn settings_out_of_range_are_rejected() {
    for settings in [
        PluginSettings {
            deadline: Duration::ZERO,
            ..PluginSettings::default()
        },
        PluginSettings {
            deadline: Duration::from_secs(2),
            ..PluginSettings::default()
        },
        PluginSettings {
            memory: 1,
            ..PluginSettings::default()
        },
        PluginSettings {
            memory: 1 << 30,
            ..PluginSettings::default()
        },
    ] {
        let problem = load("settings", embedded::NEAREST, &settings).unwrap_err();
        assert!(matches!(problem, Problem::Settings(_)), "{settings:?}: {problem}");
    }
}
