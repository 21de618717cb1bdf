//! The provider of cryptography, chosen here for the whole program: aws-lc (decision 77).

use rustls::crypto::{CryptoProvider, aws_lc_rs as chosen};
use std::sync::{Arc, LazyLock};

/// The same library, for what rustls leaves to us.
pub(super) use aws_lc_rs;
pub(crate) use aws_lc_rs::{hmac, rand::SystemRandom, signature};

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(chosen::default_provider()));

/// The provider, to be given to every `builder_with_provider`: the default of rustls depends on the features of the whole
/// dependency tree.
///
/// A server takes the key exchange that its client likes best, so that clients that prefer X25519MLKEM768 are safe from those who
/// record today and decrypt with a quantum computer. As a client it begins with X25519: a hello with both keys does not fit into
/// one segment, which some servers do not expect.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, NamedGroup, RootCertStore, ServerConfig, ServerConnection};

    /// The key exchange with a client that likes these, the first one best, and the size of its hello.
    fn key_exchange(likes: impl Fn(&mut CryptoProvider)) -> (NamedGroup, usize) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["a.example".into()]).expect("a pair");
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a pair");
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).expect("a root");
        let mut own = chosen::default_provider();
        likes(&mut own);
        let client = ClientConfig::builder_with_provider(Arc::new(own))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("a.example").expect("a name");
        let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
        let mut server = ServerConnection::new(Arc::new(server)).expect("a server");
        let mut hello = Vec::new();
        client.write_tls(&mut hello).expect("written");
        server.read_tls(&mut &hello[..]).expect("read");
        server.process_new_packets().expect("a hello");
        let mut reply = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut reply).expect("written");
        }
        client.read_tls(&mut &reply[..]).expect("read");
        client.process_new_packets().expect("a reply");
        let group = client.negotiated_key_exchange_group().expect("negotiated");
        (group.name(), hello.len())
    }

    #[test]
    fn clients_choose_the_key_exchange_and_gateways_get_a_short_hello() {
        let (group, size) = key_exchange(|_| {});
        assert_eq!(group, NamedGroup::X25519);
        assert!(size < 1_400, "{size} bytes do not fit into one segment");
        let modern = |own: &mut CryptoProvider| own.kx_groups.reverse();
        assert_eq!(key_exchange(modern).0, NamedGroup::X25519MLKEM768);
    }
}
