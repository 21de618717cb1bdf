//! Certificates made for one test.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate authority.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
    /// Those between it and the root.
    above: Vec<CertificateDer<'static>>,
}

/// A certificate with its chain and key.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    /// The chain as a file.
    pub(super) chain_pem: String,
    /// The key as a file.
    pub(super) key_pem: String,
}

/// When a certificate is valid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Valid {
    Now,
    Before,
    Later,
}

impl Authority {
    /// A root.
    pub(super) fn new(name: &str) -> Self {
        let (parameters, key) = (Self::parameters(name), KeyPair::generate().expect("a key"));
        let certificate = parameters.self_signed(&key).expect("a certificate");
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(parameters, key),
            above: Vec::new(),
        }
    }

    /// One that this one vouches for.
    pub(super) fn intermediate(&self, name: &str) -> Self {
        let (parameters, key) = (Self::parameters(name), KeyPair::generate().expect("a key"));
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        let mut above = vec![certificate.der().clone()];
        above.extend(self.above.iter().cloned());
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(parameters, key),
            above,
        }
    }

    fn parameters(name: &str) -> CertificateParams {
        let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters
    }

    /// Its certificate, for those who trust it.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.der.clone()
    }

    /// A certificate for a server of these names and addresses.
    pub(super) fn server(&self, names: &[&str]) -> Identity {
        self.issue(names, Valid::Now, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// One that is not valid now.
    pub(super) fn server_valid(&self, names: &[&str], valid: Valid) -> Identity {
        self.issue(names, valid, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate for a client.
    pub(super) fn client(&self, name: &str) -> Identity {
        self.issue(&[name], Valid::Now, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// One that is not valid now.
    pub(super) fn client_valid(&self, name: &str, valid: Valid) -> Identity {
        self.issue(&[name], valid, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, names: &[&str], valid: Valid, usage: ExtendedKeyUsagePurpose) -> Identity {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::new(names).expect("names");
        parameters.extended_key_usages = vec![usage];
        let (from, to) = match valid {
            Valid::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2090, 1, 1)),
            Valid::Before => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
            Valid::Later => (date_time_ymd(2089, 1, 1), date_time_ymd(2090, 1, 1)),
        };
        (parameters.not_before, parameters.not_after) = (from, to);
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        let mut chain = vec![certificate.der().clone()];
        chain.extend(self.above.iter().cloned());
        let chain_pem = match self.above.is_empty() {
            true => certificate.pem(),
            false => certificate.pem() + &self.pem,
        };
        Identity {
            chain,
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            chain_pem,
            key_pem: key.serialize_pem(),
        }
    }
}

impl Identity {
    /// The certificate without its chain, as some servers are set up.
    pub(super) fn alone(mut self) -> Self {
        self.chain.truncate(1);
        self
    }
}
