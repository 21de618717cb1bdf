//! Certificates, and a client of TLS.

use portolan_tests::Setup;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("signed"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names, and its key.
    pub(crate) fn issue(&self, names: &[&str]) -> (String, String) {
        self.issue_with(names, |_| {})
    }

    pub(crate) fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    /// A client that trusts this authority. It resumes sessions.
    pub(crate) fn client(&self) -> Client {
        self.client_of(rustls::DEFAULT_VERSIONS, None)
    }

    pub(crate) fn client_of(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        own: Option<&(String, String)>,
    ) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("an authority");
        let builder = ClientConfig::builder_with_provider(portolan::tls::provider())
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                let chain = chain.collect::<Result<_, _>>().expect("a chain");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        Client(config)
    }
}

/// A client of TLS.
#[derive(Clone)]
pub(crate) struct Client(ClientConfig);

/// A response with what its handshake settled.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) text: String,
    pub(crate) resumed: bool,
    /// The certificate that was served.
    pub(crate) certificate: CertificateDer<'static>,
    /// Whether the connection ended with close_notify.
    pub(crate) ended_well: bool,
}

impl Response {
    pub(crate) fn status(&self) -> &str {
        self.text.split(' ').nth(1).unwrap_or_default()
    }
}

impl Client {
    #[must_use]
    pub(crate) fn offering(mut self, protocols: &[&str]) -> Self {
        self.0.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        self
    }

    #[must_use]
    pub(crate) fn without_server_name(mut self) -> Self {
        self.0.enable_sni = false;
        self
    }

    pub(crate) async fn connect(&self, address: SocketAddr, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        TlsConnector::from(Arc::new(self.0.clone())).connect(name, stream).await
    }

    /// The client's side of a blocking stream; its handshake runs with the first byte.
    pub(crate) fn over<S: io::Read + io::Write>(&self, stream: S, name: &str) -> StreamOwned<ClientConnection, S> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let session = ClientConnection::new(Arc::new(self.0.clone()), name).expect("a session");
        StreamOwned::new(session, stream)
    }

    /// Sends one request on a connection of its own, and reads to the end.
    pub(crate) async fn get(&self, address: SocketAddr, name: &str, host: &str) -> io::Result<Response> {
        self.get_with(address, name, host, "x-forwarded-client-cert: By=me\r\n")
            .await
    }

    /// The same with these fields, a line for each.
    pub(super) async fn get_with(
        &self,
        address: SocketAddr,
        name: &str,
        host: &str,
        fields: &str,
    ) -> io::Result<Response> {
        let mut stream = self.connect(address, name).await?;
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes).await;
        let session = stream.get_ref().1;
        let ended_well = read.is_ok();
        if bytes.is_empty() {
            read?;
        }
        Ok(Response {
            text: String::from_utf8_lossy(&bytes).into_owned(),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            certificate: session.peer_certificates().expect("a certificate")[0]
                .clone()
                .into_owned(),
            ended_well,
        })
    }
}

/// The first certificate of a PEM text.
pub(crate) fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// One region behind a TLS listener with these keys under `tls`, besides a pair.
pub(crate) fn setup(pair: &(String, String), keys: &str) -> Setup {
    Setup::regions(&["westeurope"])
        .file("tls.crt", &pair.0)
        .file("tls.key", &pair.1)
        .listeners(&format!(
            "- address: 127.0.0.1:0\n  name: secure\n  tls: {{ certificate: tls.crt, private_key: tls.key{keys} }}\n"
        ))
}
