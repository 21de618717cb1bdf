//! `portolan plugin keygen`.

use super::write;
use crate::cli::output;
use crate::oci::key::{KeyKind, SigningKey};
use clap::ValueEnum;
use std::path::PathBuf;
use std::process::ExitCode;

/// Which key to make.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The private key is written to NAME.key, which only its owner may read, and the public one to NAME.pub
    #[arg(value_name = "NAME")]
    name: PathBuf,
    /// The kind of key
    #[arg(long, value_enum, default_value = "ecdsa")]
    kind: Kind,
}

/// The kinds of keys.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// ECDSA on P-256, as cosign has it
    Ecdsa,
    /// Ed25519
    Ed25519,
}

/// Makes a pair of keys. Files that are there stay as they are.
///
/// # Errors
/// When a file is there already or cannot be written.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let kind = match arguments.kind {
        Kind::Ecdsa => KeyKind::Ecdsa,
        Kind::Ed25519 => KeyKind::Ed25519,
    };
    let named = |ending: &str| {
        let mut name = arguments.name.clone().into_os_string();
        name.push(ending);
        PathBuf::from(name)
    };
    let (private, public) = (named(".key"), named(".pub"));
    let (key, pem) = SigningKey::generate(kind)?;
    write::create_secret(&private, pem.as_bytes())?;
    write::replace(&public, key.public().to_pem().as_bytes())?;
    output::print(&format!("{}\n{}\n", private.display(), public.display()))?;
    Ok(ExitCode::SUCCESS)
}
