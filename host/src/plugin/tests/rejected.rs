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

/// All that is wrong, one by one.
fn parts(problem: &Problem) -> &[Problem] {
    match problem {
        Problem::Several(problems) => problems,
        problem => std::slice::from_ref(problem),
    }
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
        assert!(
            inspect(&whole[..end], &settings("{}")).is_err() || load("cut", &whole[..end], &settings("{}")).is_err()
        );
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
        let _ = inspect(&damaged, &settings("{}"));
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
        ("memories", around(&many(9, "(core module (memory 1))"))),
        ("memories in one module", around("(core module (memory 1) (memory 1))")),
        (
            "memories in one module",
            around("(core module (import \"a\" \"b\" (memory 1)) (memory 1))"),
        ),
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
        let is_named = |problem: &Problem| matches!(problem, Problem::TooMuch { what: named, found, limit, .. } if *named == what && found > limit);
        assert!(parts(&problem).iter().any(is_named), "{what}: {problem}");
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
    let memory = Problem::Memory {
        found: 128 << 10,
        limit: 64 << 10,
        stack: 0,
    };
    assert_eq!(parts(&problem), [Problem::NoExport, memory]);
    for too_large in ["(core module (memory 65536))", &"(core module (memory 100))".repeat(3)] {
        let problem = load("large", &around(too_large), &settings("{}")).unwrap_err();
        assert!(matches!(parts(&problem), [_, Problem::Memory { .. }]), "{problem}");
    }
}

/// What is said about a component with these parts.
fn said(component: &str, settings: &PluginSettings) -> String {
    inspect(&around(component), settings).unwrap_err().to_string()
}

#[test]
fn a_memory_that_begins_too_large_is_told_in_mebibytes_with_its_stack() {
    // As a C compiler makes it whose stack is 16 MiB by default.
    let c = "(core module (memory 257) (global (mut i32) (i32.const 16777216)))";
    let said = said(c, &settings("{}"));
    for part in [
        "begins with 16.1 MiB",
        "allows 16 MiB",
        "16 MiB of it are its stack",
        "-z stack-size",
        "memory: 17MiB",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let large = inspect(&around("(core module (memory 2000))"), &settings("{}"))
        .unwrap_err()
        .to_string();
    assert!(
        large.contains("64 MiB is the most") && !large.contains("stack"),
        "{large}"
    );
}

#[test]
fn what_fits_a_large_plugin_is_told() {
    let functions = |count| format!("(core module {})", "(func)".repeat(count));
    let small = said(&functions(30_000), &settings("{}"));
    assert!(small.contains("30000 functions") && small.contains("20000"), "{small}");
    assert!(small.contains("size: large allows 100000: set that"), "{small}");
    let both = said(&functions(150_000), &settings("{}"));
    assert!(both.contains("size: large allows 100000 at most"), "{both}");
    let large = PluginSettings {
        size: PluginSize::Large,
        ..settings("{}")
    };
    assert!(!said(&functions(150_000), &large).contains("size: large"));
    assert_eq!(inspect(&around(&functions(30_000)), &large), Err(Problem::NoExport));
    let file = |bytes: usize| {
        format!(
            "(core module (memory 1) (data (i32.const 0) \"{}\"))",
            "x".repeat(bytes)
        )
    };
    let small = said(&file(18 << 20), &settings("{}"));
    assert!(
        small.contains("its file has 18.1 MiB") && small.contains("4 MiB"),
        "{small}"
    );
    assert!(
        small.contains("size: large allows 64 MiB: set that, or limits.file"),
        "{small}"
    );
    let keyed = PluginSettings {
        limits: PluginLimits {
            file: Some(20 << 20),
            ..PluginLimits::default()
        },
        ..settings("{}")
    };
    assert_eq!(inspect(&around(&file(18 << 20)), &keyed), Err(Problem::NoExport));
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let wasi = |count: usize| {
        (0..count)
            .map(|number| format!("(import \"wasi:cli/part-{number}@0.2.12\" (instance))"))
            .collect::<String>()
    };
    let many = format!("{} (core module {})", wasi(18), "(func)".repeat(30_000));
    let problem = inspect(&around(&many), &settings("{}")).unwrap_err();
    let parts = parts(&problem);
    assert!(
        matches!(
            parts,
            [
                Problem::TooMuch { .. },
                Problem::NoExport,
                Problem::Imports { count: 18, .. }
            ]
        ),
        "{problem}"
    );
    let said = problem.to_string();
    assert!(
        said.contains("wasi:cli/part-0@0.2.12") && said.contains("and 15 more of WASI"),
        "{said}"
    );
}

#[test]
fn what_removes_wasi_depends_on_the_tool() {
    for (tool, advice) in [
        ("componentize_py_runtime.wasm", "--stub-wasi"),
        ("componentize_qjs_runtime", "--stub-wasi"),
        ("StarlingMonkey", "-d stdio random clocks http fetch-event"),
        ("Go cmd/compile", "--adapt"),
        ("rustc", "wasm32-unknown-unknown instead of wasm32-wasip2"),
        ("another", "without an operating system"),
    ] {
        let component =
            format!("(import \"wasi:cli/environment@0.2.12\" (instance)) (@custom \"producers\" \"{tool}\")");
        let said = said(&component, &settings("{}"));
        assert!(said.contains(advice), "{tool}: {said}");
    }
    let other = said("(import \"acme:clock/now\" (instance))", &settings("{}"));
    assert!(other.contains("acme:clock/now") && !other.contains("WASI"), "{other}");
}

#[test]
fn only_what_runs_counts_as_an_instance() {
    let bags = "(core module $m (func (export \"f\"))) (core instance $i (instantiate $m))".to_owned()
        + &"(core instance (export \"f\" (func $i \"f\")))".repeat(100);
    assert_eq!(inspect(&around(&bags), &settings("{}")), Err(Problem::NoExport));
    let running = "(core module $m)".to_owned() + &"(core instance (instantiate $m))".repeat(41);
    let said = said(&running, &settings("{}"));
    assert!(said.contains("41 instances"), "{said}");
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
        PluginSettings {
            limits: PluginLimits {
                file: Some(65 << 20),
                ..PluginLimits::default()
            },
            ..PluginSettings::default()
        },
        PluginSettings {
            limits: PluginLimits {
                start_time: Some(Duration::from_secs(6)),
                ..PluginLimits::default()
            },
            ..PluginSettings::default()
        },
    ] {
        let problem = load("settings", embedded::NEAREST, &settings).unwrap_err();
        assert!(matches!(problem, Problem::Settings(_)), "{settings:?}: {problem}");
    }
}
