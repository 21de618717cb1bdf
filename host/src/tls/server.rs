//! What a TLS listener needs for a handshake, prepared when the table is built.

use super::certificates::Certificates;
use super::pair::Pair;
use super::provider::provider;
use super::settings::{ListenerTls, MinVersion};
use super::tickets::{TicketSecrets, Tickets};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use thiserror::Error;

/// HTTP/2 in ALPN.
pub const HTTP2: &[u8] = b"h2";

/// What is offered by ALPN, ours first, HTTP/2 before them. A client that offers other protocols only is rejected; one that offers
/// none goes on.
const PROTOCOLS: [&[u8]; 2] = [b"http/1.1", b"http/1.0"];

/// TLS of a listener, ready for handshakes.
#[derive(Debug)]
pub struct ServerTls {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    /// The certificates by name.
    pub certificates: Arc<Certificates>,
    /// Whether gateways are told of client certificates.
    pub forwards_client_certificate: bool,
}

/// Why a listener's TLS cannot be prepared.
#[derive(Debug, Error)]
pub enum ServerTlsError {
    /// The versions of TLS or the certificates.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// The certificate authorities of clients.
    #[error("client_ca: {0}")]
    ClientCa(#[from] VerifierBuilderError),
    /// No certificates.
    #[error("no certificate is configured")]
    NoCertificate,
}

impl ServerTls {
    /// With everything that the settings name. `roots` are there when clients are asked for certificates.
    ///
    /// # Errors
    /// When rustls does not accept it.
    pub fn new(
        settings: &ListenerTls,
        pairs: Vec<Arc<Pair>>,
        roots: Option<Arc<RootCertStore>>,
        secrets: Arc<TicketSecrets>,
    ) -> Result<Self, ServerTlsError> {
        let certificates = Arc::new(Certificates::new(pairs).ok_or(ServerTlsError::NoCertificate)?);
        let required = settings.clients.as_ref().is_some_and(|clients| clients.required);
        let binding = binding(roots.as_deref(), required);
        let verifier = roots.map(|roots| verifier(roots, required)).transpose()?;
        let versions = match settings.min_version {
            MinVersion::Tls12 => &[&TLS13, &TLS12][..],
            MinVersion::Tls13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&certificates) as _);
        let http2 = settings.offers_http2.then_some(HTTP2);
        config.alpn_protocols = http2.into_iter().chain(PROTOCOLS).map(<[u8]>::to_vec).collect();
        config.ticketer = Arc::new(Tickets::new(secrets, binding));
        // Sessions are in tickets: nothing is stored here, and nothing locked.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // A replayed request would be answered twice: no early data (RFC 8446, section 8).
        config.max_early_data_size = 0;
        Ok(Self {
            config: Arc::new(config),
            certificates,
            forwards_client_certificate: settings.clients.as_ref().is_some_and(|clients| clients.forward),
        })
    }
}

fn verifier(roots: Arc<RootCertStore>, required: bool) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    match required {
        true => builder.build(),
        false => builder.allow_unauthenticated().build(),
    }
}

/// What tickets are bound to: what is asked of clients.
fn binding(roots: Option<&RootCertStore>, required: bool) -> [u8; 32] {
    let Some(roots) = roots else { return [0; 32] };
    let mut anchors: Vec<_> = roots
        .roots
        .iter()
        .map(|root| {
            let (subject, key) = (&root.subject, &root.subject_public_key_info);
            Sha256::new().chain_update(subject).chain_update(key).finalize()
        })
        .collect();
    anchors.sort_unstable();
    let mut digest = Sha256::new();
    digest.update([u8::from(required)]);
    anchors.iter().for_each(|anchor| digest.update(anchor));
    digest.finalize().into()
}
