//! What WebAssembly may be in plugins: features and limits, the same for the engine and for the process that compiles.

use wasmtime::Config;

/// How many elements a guest's table may have.
pub(super) const TABLE_ELEMENTS: usize = 10_000;
/// How many memories one plugin may have.
pub(super) const MEMORIES: u32 = 8;
/// What a guest may take of the worker's own stack, in bytes.
const GUEST_STACK: usize = 256 << 10;
/// Compiling recurses over the code; this is what `main` would have.
pub(super) const LOADER_STACK: usize = 8 << 20;

/// The engine's configuration as far as compiled code depends on it.
pub(super) fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK)
        // Off: what plugins do not need, and what makes the same code answer differently on another machine.
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        // On for what the engine makes to connect components with each other; `inspect` rejects modules with several.
        .wasm_multi_memory(true)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false);
    config
}
