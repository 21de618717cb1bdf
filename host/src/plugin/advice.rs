//! What removes imports that no host of plugins offers, by the tool that made the file.

use memchr::memmem;

/// What a tool leaves in its files, and what removes WASI from them. The first that is found counts: interpreters are
/// built with other tools that leave their names too.
const TOOLS: [(&str, &str); 6] = [
    (
        "componentize_py",
        "it was made by componentize-py: run componentize-py componentize with --stub-wasi",
    ),
    (
        "componentize_qjs",
        "it was made by componentize-qjs: run it with --stub-wasi",
    ),
    (
        "StarlingMonkey",
        "it was made by componentize-js: run it with -d stdio random clocks http fetch-event (--disable of all features)",
    ),
    (
        "Go cmd/compile",
        "it was made by Go: give wasm-tools component new an --adapt of wasi_snapshot_preview1 that imports nothing",
    ),
    (
        "rustc",
        "it was made by rustc: build for wasm32-unknown-unknown instead of wasm32-wasip2 or wasm32-wasip1",
    ),
    (
        "clang",
        "it was made by clang: link without a C library that uses files and clocks, or give wasm-tools component new an \
         --adapt of wasi_snapshot_preview1 that imports nothing",
    ),
];

/// A sentence about the imports of a file; empty when there is nothing to say about them.
pub(super) fn about(imports: &[String], bytes: &[u8]) -> &'static str {
    if !imports.iter().any(|name| name.starts_with("wasi:")) {
        return "";
    }
    let found = |(name, _): &&(&str, &str)| memmem::find(bytes, name.as_bytes()).is_some();
    TOOLS.iter().find(found).map_or(
        "its WASI comes from the library or the runtime of its language: build it for a target without an operating system, or with stubs",
        |(_, advice)| advice,
    )
}
