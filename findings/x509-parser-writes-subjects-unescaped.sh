#!/usr/bin/env bash
# x509-parser 0.18.1 writes a certificate's subject without escaping: a value that holds a comma reads like two attributes.
#
# Guess: X509Name's Display (and to_string) gives a string as of RFC 4514, in which section 2.4 has ',', '+', '"', '\', '<', '>', ';' and
#        a leading '#' or space escaped, as `openssl x509 -nameopt RFC2253`, Java and Go do; it may be compared, logged and put into a field.
# Behaviour: the values are written as they are. A certificate for O="Example, CN=ops", CN=guest reads "O=Example, CN=ops, CN=guest", the
#        same text as one for O=Example, CN=ops, CN=guest. Whoever decides or keeps records by the text mistakes one for the other; compare
#        the attributes (iter_attributes), or escape them. The order is that of the certificate, not the reverse one of RFC 4514.
# Output seen (x509-parser 0.18.1, rcgen 0.14, rustc 1.95.0): see the comparison at the end.
#
# Needs cargo, a C compiler and the package registry. Runs in a temporary folder.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir src
cat >Cargo.toml <<'T'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"
[dependencies]
rcgen = { version = "=0.14.10", default-features = false, features = ["crypto", "ring"] }
x509-parser = { version = "=0.18.1", default-features = false }
T
cat >src/main.rs <<'R'
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The subject of a certificate with these attributes, as text, and how many attributes it has.
fn subject(attributes: Vec<(DnType, &str)>) -> (String, usize) {
    let mut name = DistinguishedName::new();
    for (kind, value) in attributes {
        name.push(kind, value);
    }
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name = name;
    let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("signed");
    let (_, parsed) = X509Certificate::from_der(certificate.der()).expect("a certificate");
    (parsed.subject().to_string(), parsed.subject().iter_attributes().count())
}

fn main() {
    let one = subject(vec![(DnType::OrganizationName, "Example, CN=ops"), (DnType::CommonName, "guest")]);
    println!("{} attributes: {}", one.1, one.0);
    let other = subject(vec![(DnType::OrganizationName, "Example"), (DnType::CommonName, "ops")]);
    println!("{} attributes: {}", other.1, other.0);
}
R
seen=$(cargo run --quiet)
printf '%s\n' "$seen"
wanted='2 attributes: O=Example, CN=ops, CN=guest
2 attributes: O=Example, CN=ops'
[ "$seen" = "$wanted" ] || { echo "the behaviour has changed"; exit 1; }
