//! The certificate of all contenders: ECDSA with P-256, signed by itself.

use anyhow::{Context, Result};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use std::fs;
use std::path::{Path, PathBuf};

/// The name that clients ask for.
pub(crate) const NAME: &str = "localhost";

/// A certificate and its key as files in PEM.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// The certificate, then the key.
    pub(crate) both: PathBuf,
    der: CertificateDer<'static>,
}

impl Files {
    /// Makes them in a folder.
    pub(crate) fn write(folder: &Path) -> Result<Self> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![NAME.to_owned()])?;
        let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
        let file = |name: &str, text: &str| -> Result<PathBuf> {
            let file = folder.join(name);
            fs::write(&file, text).with_context(|| format!("failed to write {}", file.display()))?;
            Ok(file)
        };
        Ok(Self {
            certificate: file("tls.crt", &certificate)?,
            key: file("tls.key", &key)?,
            both: file("tls.pem", &format!("{certificate}{key}"))?,
            der: cert.der().clone(),
        })
    }

    /// What a client trusts.
    pub(crate) fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        Ok(roots)
    }
}
