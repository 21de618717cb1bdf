//! What WebAssembly may be in plugins: features and limits, the same for the engine and for the rehearsal.

use wasmtime::Config;

/// How many elements a guest's table may have.
pub(super) const TABLE_ELEMENTS: usize = 10_000;
/// How many core instances one plugin may consist of: a Rust plugin has three, an interpreter around ten.
pub(super) const CORE_INSTANCES: u32 = 40;
/// How many memories and tables one plugin may have.
pub(super) const MEMORIES: u32 = 8;
pub(super) const TABLES: u32 = 20;
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
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false);
    config
}
