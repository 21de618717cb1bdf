//! TLS towards a gateway: what its certificate must prove, and as whom this proxy connects.

use super::authorities::Authorities;
use super::client_stream::ClientStream;
use super::pair::Pair;
use super::provider::provider;
use portolan_core::config::GatewayHost;
use rustls::ClientConfig;
use rustls::client::{Resumption, VerifierBuilderError, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use sha2::{Digest, Sha256};
use std::io;
use std::sync::Arc;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What is offered by ALPN (RFC 7301). Servers that know none of it go on without a protocol, which is HTTP/1.1 as well; those
/// that have only others end the handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
    /// Both, HTTP/2 first.
    Both,
}

impl Offer {
    /// All of them, in the order of their discriminants.
    const ALL: [Self; 3] = [Self::Http1, Self::Http2, Self::Both];

    fn protocols(self) -> Vec<Vec<u8>> {
        let protocols: &[&[u8]] = match self {
            Self::Http1 => &[b"http/1.1"],
            Self::Http2 => &[b"h2"],
            Self::Both => &[b"h2", b"http/1.1"],
        };
        protocols.iter().map(|protocol| protocol.to_vec()).collect()
    }
}

/// rustls keeps up to 8 tickets for each name, and a gateway has one.
const SESSIONS: usize = 8;

/// One gateway as TLS sees it. Probes and the requests of all workers share it, and the sessions to be resumed in it.
///
/// Two are equal when a connection of one is as good as a connection of the other: the same trusted authorities, the same client
/// certificate and the same name.
#[derive(Clone, Debug)]
pub struct Origin {
    /// By [`Offer`].
    connectors: [Connector; Offer::ALL.len()],
    name: ServerName<'static>,
    /// Of everything that the handshake depends on, but the name.
    digest: [u8; 32],
}

/// Has no `Debug` of its own.
#[derive(Clone)]
struct Connector(TlsConnector);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConnector")
    }
}

/// What the gateways of a service have in common.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: ClientConfig,
    server_name: Option<ServerName<'static>>,
    digest: [u8; 32],
}

/// Why rustls rejects what gateways are to be verified with.
#[derive(Debug, Error)]
pub enum ClientTlsError {
    /// The certificate authorities.
    #[error(transparent)]
    Verifier(#[from] VerifierBuilderError),
    /// The versions of TLS.
    #[error(transparent)]
    Versions(#[from] rustls::Error),
}

/// Whether a certificate can be for this name or address. An IPv6 address has no brackets; a final dot of a name is ignored.
pub fn is_server_name(text: &str) -> bool {
    ServerName::try_from(text).is_ok()
}

impl ClientTls {
    /// With these trusted authorities and, for gateways that ask for one, this client certificate. `server_name`: the name
    /// of all gateways instead of each one's own.
    ///
    /// # Errors
    /// When rustls cannot work with these authorities, or has no versions of TLS.
    pub fn new(
        authorities: &Authorities,
        identity: Option<&Pair>,
        server_name: Option<&str>,
    ) -> Result<Self, ClientTlsError> {
        let mut digest = Sha256::new();
        digest.update(authorities.digest());
        // The key is the certificate's own.
        digest.update(identity.map_or(&[][..], |identity| &identity.fingerprint));
        let authorities = authorities.store();
        let verifier = WebPkiServerVerifier::builder_with_provider(authorities, provider()).build()?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_webpki_verifier(verifier);
        let config = match identity {
            Some(identity) => {
                let identity = SingleCertAndKey::from(CertifiedKey::clone(&identity.certified));
                config.with_client_cert_resolver(Arc::new(identity))
            }
            None => config.with_no_client_auth(),
        };
        Ok(Self {
            config,
            // A name that is none was rejected with the configuration.
            server_name: server_name.and_then(|name| ServerName::try_from(name.to_owned()).ok()),
            digest: digest.finalize().into(),
        })
    }

    /// A gateway at this host. `None` for a name that no certificate can be for.
    pub fn origin(&self, host: &GatewayHost) -> Option<Origin> {
        let own = || match host {
            GatewayHost::Ip(ip) => Some(ServerName::IpAddress((*ip).into())),
            GatewayHost::Name(name) => ServerName::try_from(name.to_string()).ok(),
        };
        // Sessions of one gateway are of no use to another, even where both have one name.
        let resumption = Resumption::in_memory_sessions(SESSIONS);
        Some(Origin {
            connectors: Offer::ALL.map(|offer| {
                let mut config = self.config.clone();
                config.resumption = resumption.clone();
                config.alpn_protocols = offer.protocols();
                Connector(Arc::new(config).into())
            }),
            name: self.server_name.clone().or_else(own)?,
            digest: self.digest,
        })
    }
}

impl Origin {
    /// Shakes hands over an open connection.
    ///
    /// # Errors
    /// When the handshake fails; see [`failure`](super::failure::of).
    pub async fn connect(&self, stream: TcpStream, offer: Offer) -> io::Result<ClientStream> {
        let Connector(connector) = &self.connectors[offer as usize];
        let stream = connector.connect(self.name.clone(), stream).await?;
        Ok(ClientStream::new(stream))
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        (&self.digest, &self.name) == (&other.digest, &other.name)
    }
}

impl Eq for Origin {}
