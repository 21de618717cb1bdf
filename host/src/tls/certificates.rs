//! The certificates of a listener, by the name that a client asks for.

use super::pair::Pair;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::Arc;

/// The certificates of a listener.
#[derive(Debug)]
pub struct Certificates {
    /// In configured order, at least one.
    pairs: Vec<Arc<Pair>>,
    /// The places of the pairs that have a name, in the order in which they are tried.
    exact: HashMap<Box<str>, Vec<usize>>,
    /// The same by what follows `*.`.
    below: HashMap<Box<str>, Vec<usize>>,
}

impl Certificates {
    /// Arranges pairs. `None` without any.
    pub fn new(pairs: Vec<Arc<Pair>>) -> Option<Self> {
        let (mut exact, mut below) = (HashMap::new(), HashMap::new());
        if pairs.is_empty() {
            return None;
        }
        for (place, pair) in pairs.iter().enumerate() {
            for name in &pair.names {
                let (map, name): (&mut HashMap<Box<str>, Vec<usize>>, _) = match name.strip_prefix("*.") {
                    Some(name) => (&mut below, name),
                    None => (&mut exact, &**name),
                };
                map.entry(name.into()).or_default().push(place);
            }
        }
        Some(Self { pairs, exact, below })
    }

    /// The pairs, in configured order.
    pub fn pairs(&self) -> &[Arc<Pair>] {
        &self.pairs
    }

    /// Whether a certificate has this name, or a wildcard for it.
    pub fn covers(&self, name: &str) -> bool {
        self.named(name).is_some()
    }

    /// Whether clients that ask for these names, in lower case, get certificates of the same pairs.
    pub fn are_same(&self, one: &str, other: &str) -> bool {
        self.of(one) == self.of(other)
    }

    /// The places of the pairs for a name; the first pair for one that none has.
    fn of(&self, name: &str) -> &[usize] {
        self.named(name).unwrap_or(&[0])
    }

    /// A wildcard is for one label (RFC 9525, section 6.3).
    fn named(&self, name: &str) -> Option<&[usize]> {
        let below = || self.below.get(name.split_once('.')?.1);
        self.exact.get(name).or_else(below).map(Vec::as_slice)
    }

    /// The pair to serve: of those for the name, the first whose key can sign what the client understands.
    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        let places = name.map_or(&[0][..], |name| self.of(name));
        let pairs = || places.iter().filter_map(|place| self.pairs.get(*place));
        let signs = |pair: &&Arc<Pair>| pair.certified.key.choose_scheme(schemes).is_some();
        // Where no key fits, the handshake fails with the reason.
        pairs()
            .find(signs)
            .or_else(|| pairs().next())
            .map(|pair| &pair.certified)
    }
}

impl ResolvesServerCert for Certificates {
    // Called for resumed handshakes as well.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes()).cloned()
    }
}
