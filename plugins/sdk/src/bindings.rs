//! The contract as `wit-bindgen` writes it in Rust.
#![allow(
    unsafe_code,
    reason = "the canonical ABI hands over pointers and lengths; wit-bindgen writes that code"
)]
#![allow(missing_docs, reason = "documented in plugins/wit/v0.2/routing.wit")]
#![allow(unreachable_pub, reason = "generated for use from `export_plugin!`")]
#![allow(clippy::allow_attributes_without_reason, reason = "generated")]

wit_bindgen::generate!({
    world: "router",
    path: "../wit/v0.2",
    pub_export_macro: true,
    default_bindings_module: "portolan_plugin::bindings",
});
