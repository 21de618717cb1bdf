//! Who is compared.

use crate::contender::{Extras, Kind, nginx};
use crate::{is_installed, report};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The filter of Envoy, as Cargo knows it.
const FILTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../envoy-filter/Cargo.toml");

/// All that are installed and whose names contain one of these texts, and always the Portolan of `binary`.
pub(crate) fn wanted(binary: &Path, others: &[(String, PathBuf)], only: &[String]) -> Result<Vec<(String, Kind)>> {
    const PLAIN: Extras = Extras {
        chooses: false,
        logs: false,
        traces: false,
        two_workers: false,
    };
    let is_wanted = |name: &str| contains_any(name, only);
    let mut kinds = vec![
        ("nginx".to_owned(), Kind::Nginx(PLAIN)),
        ("nginx+log".to_owned(), Kind::Nginx(Extras { logs: true, ..PLAIN })),
        ("relay".to_owned(), Kind::Relay),
    ];
    if Path::new(nginx::GEOIP2).is_file() {
        kinds.push(("nginx+geo".to_owned(), Kind::Nginx(Extras { chooses: true, ..PLAIN })));
    } else if is_wanted("nginx+geo") {
        eprintln!("without nginx+geo: apt-get install libnginx-mod-http-geoip2");
    }
    if is_installed("haproxy") {
        kinds.push(("haproxy".to_owned(), Kind::HaProxy));
    }
    if is_installed("envoy") {
        kinds.push(("envoy".to_owned(), Kind::Envoy(None)));
        if is_wanted("envoy+geo+wasm") {
            match filter() {
                Some(filter) => kinds.push(("envoy+geo+wasm".to_owned(), Kind::Envoy(Some(filter)))),
                None => eprintln!("without envoy+geo+wasm: its filter needs rustup target add wasm32-unknown-unknown"),
            }
        }
    }
    let portolan = |extras| Kind::Portolan(binary.to_owned(), extras);
    let plugin = Extras { chooses: true, ..PLAIN };
    kinds.push(("portolan+plugin".to_owned(), portolan(plugin)));
    kinds.push(("portolan+log".to_owned(), portolan(Extras { logs: true, ..PLAIN })));
    kinds.push((
        "portolan+plugin+log".to_owned(),
        portolan(Extras { logs: true, ..plugin }),
    ));
    kinds.push((
        "portolan+telemetry".to_owned(),
        portolan(Extras {
            logs: true,
            traces: true,
            ..PLAIN
        }),
    ));
    kinds.push((
        "portolan two workers".to_owned(),
        portolan(Extras {
            two_workers: true,
            ..PLAIN
        }),
    ));
    for (name, binary) in others {
        kinds.push((name.clone(), Kind::Portolan(binary.clone(), PLAIN)));
    }
    kinds.retain(|(name, _)| is_wanted(name));
    kinds.insert(0, (report::REFERENCE.to_owned(), portolan(PLAIN)));
    for (index, (name, kind)) in kinds.iter().enumerate() {
        if kinds[..index].iter().any(|(other, _)| other == name) {
            bail!("two contenders are called {name}");
        }
        if let Kind::Portolan(binary, _) = kind
            && !binary.is_file()
        {
            bail!(
                "{} is missing: cargo build --release, or name another with --binary",
                binary.display()
            );
        }
    }
    Ok(kinds)
}

/// Whether a name contains one of these texts, or there are none.
pub(crate) fn contains_any(name: &str, texts: &[String]) -> bool {
    texts.is_empty() || texts.iter().any(|text| name.contains(text.as_str()))
}

/// Compiles Envoy's filter, if that is possible here.
fn filter() -> Option<PathBuf> {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let folder = folder.join("envoy-filter");
    let mut cargo = Command::new("cargo");
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--quiet",
        "--target",
        "wasm32-unknown-unknown",
    ]);
    cargo.args(["--manifest-path", FILTER, "--target-dir"]).arg(&folder);
    let is_built = cargo.status().is_ok_and(|status| status.success());
    is_built.then(|| folder.join("wasm32-unknown-unknown/release/envoy_filter.wasm"))
}
