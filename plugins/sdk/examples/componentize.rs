//! Makes a component of a core module that was built with `portolan_plugin::export_plugin!`.
//!
//! `cargo run -p portolan-plugin --example componentize -- MODULE.wasm COMPONENT.wasm`

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use wit_component::ComponentEncoder;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(module), Some(component), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        bail!("usage: componentize MODULE.wasm COMPONENT.wasm");
    };
    let bytes = std::fs::read(&module).with_context(|| format!("read {}", module.display()))?;
    let bytes = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|encoder| encoder.encode())
        .with_context(|| format!("make a component of {}", module.display()))?;
    std::fs::write(&component, bytes).with_context(|| format!("write {}", component.display()))
}
