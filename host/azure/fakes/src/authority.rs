//! Certificates for the fakes that speak TLS.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

use super::FakeError;

/// A certificate authority made for one run; its key never leaves the process.
#[derive(Debug)]
pub struct CertificateAuthority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl CertificateAuthority {
    /// A fresh authority.
    ///
    /// # Errors
    /// [`FakeError::Certificate`] if no key can be made.
    pub fn new() -> Result<CertificateAuthority, FakeError> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(Vec::new())?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key)?.pem();
        Ok(CertificateAuthority {
            pem,
            issuer: Issuer::new(parameters, key),
        })
    }

    /// The authority's certificate, for clients that shall trust it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A TLS configuration with a certificate for 127.0.0.1 and localhost.
    pub(super) fn server_config(&self) -> Result<Arc<ServerConfig>, FakeError> {
        let key = KeyPair::generate()?;
        let parameters = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        // Named here, since another dependency may bring a second provider.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        Ok(Arc::new(config))
    }
}
