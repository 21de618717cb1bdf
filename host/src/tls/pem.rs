//! PEM files (RFC 7468): certificates and private keys.
//!
//! The parser skips whatever it does not recognize. A file that has more `-----BEGIN` marks than sections were read is
//! rejected: otherwise it would silently give fewer certificates, or none.

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as SyntaxError, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use thiserror::Error;

const MARK: &[u8] = b"-----BEGIN ";

/// Why a file gives no certificates or no private key.
#[derive(Debug, Error)]
#[error("{}: {problem}", file.display())]
pub struct FileError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a PEM file. Holds nothing of its content.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Problem {
    /// No bytes.
    #[error("the file is empty")]
    Empty,
    /// Another encoding of text.
    #[error("the file is UTF-16: save it as ASCII or UTF-8")]
    Utf16,
    /// DER, or PKCS #12.
    #[error(
        "the file is binary, and PEM is expected: convert DER with `openssl x509 -inform der` or `openssl pkey -inform der`, \
         and PKCS #12 (.pfx, .p12) with `openssl pkcs12 -nodes`"
    )]
    Binary,
    /// Base64 of binary data, as Azure Key Vault gives certificates of the content type `application/x-pkcs12`.
    #[error(
        "the file is base64 without -----BEGIN lines, perhaps of PKCS #12, and PEM is expected: with Azure Key Vault, use the \
         content type application/x-pem-file, or have the CSI driver write PEM"
    )]
    Base64,
    /// Text without sections.
    #[error("the file has no -----BEGIN line: PEM is expected")]
    NoMarks,
    /// A key with a password.
    #[error("the private key is encrypted with a password: write it without one, with `openssl pkey -in OLD -out NEW`")]
    Encrypted,
    /// A file with `\n` in the place of line breaks.
    #[error("the line breaks are written as \\n: write real line breaks")]
    EscapedLineBreaks,
    /// A section that is not read.
    #[error(
        "the file has a section \"{0}\", which is not supported: write it as \"CERTIFICATE\", with `openssl x509` or \
             `openssl pkcs7 -print_certs`"
    )]
    Unsupported(&'static str),
    /// Fewer sections than marks.
    #[error(
        "the file has {marks} -----BEGIN marks and {read} complete sections: a section is cut off, or a mark is indented or \
         follows another on its line"
    )]
    Lost {
        /// How often a section begins.
        marks: usize,
        /// How many sections there are.
        read: usize,
    },
    /// A section without end.
    #[error("the file ends within a section: it is cut off")]
    CutOff,
    /// Not base64.
    #[error("section {0} is not base64: it is damaged")]
    Base64Decode(usize),
    /// A line that looks like the beginning of a section.
    #[error("section {0} begins with a malformed line: five hyphens, BEGIN, the kind, five hyphens, and nothing else")]
    MalformedMark(usize),
    /// No certificates.
    #[error("the file has no section \"CERTIFICATE\"")]
    NoCertificate,
    /// No private key.
    #[error("the file has no private key: \"PRIVATE KEY\", \"RSA PRIVATE KEY\" or \"EC PRIVATE KEY\" is expected")]
    NoKey,
    /// No public key, or several.
    #[error("the file does not have one section \"PUBLIC KEY\": `openssl pkey -in KEY -pubout` writes it")]
    NoPublicKey,
    /// More than one private key.
    #[error("the file has {0} private keys, and one is expected")]
    SeveralKeys(usize),
    /// A certificate that cannot be trusted to issue others.
    #[error("certificate {0} of the file cannot be used as a certificate authority: {1}")]
    Root(usize, String),
    /// A line that is no secret.
    #[error("line {0} is not a key: 32 random bytes in base64 are expected, such as `openssl rand -base64 32` writes")]
    Secret(usize),
    /// Too few or too many secrets.
    #[error("the file has {0} keys: 1 to {1} are expected, one a line")]
    Secrets(usize, usize),
}

/// The certificates of a PEM file, at least one, in the order of the file. Other sections are left out.
///
/// # Errors
/// When there are none, or when some of the file would be lost.
pub fn certificates(file: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let read = sections(bytes).and_then(|sections| {
        let certificates = sections.into_iter().filter_map(|(kind, der)| {
            let is_certificate = kind == SectionKind::Certificate;
            is_certificate.then(|| CertificateDer::from(der))
        });
        let certificates: Vec<_> = certificates.collect();
        (!certificates.is_empty())
            .then_some(certificates)
            .ok_or(Problem::NoCertificate)
    });
    in_file(file, read)
}

/// The one private key of a PEM file. Other sections are left out.
///
/// # Errors
/// When there is none, several, or an encrypted one, or when some of the file would be lost.
pub fn private_key(file: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, FileError> {
    let read = sections(bytes).and_then(|sections| {
        let keys = sections
            .into_iter()
            .filter_map(|(kind, der)| PrivateKeyDer::from_pem(kind, der));
        let mut keys: Vec<_> = keys.collect();
        match (keys.pop(), keys.len()) {
            (Some(key), 0) => Ok(key),
            (None, _) => Err(Problem::NoKey),
            (Some(_), others) => Err(Problem::SeveralKeys(others + 1)),
        }
    });
    in_file(file, read)
}

/// The one public key of a PEM file, as a SubjectPublicKeyInfo in DER. Other sections are left out.
///
/// # Errors
/// When there is none, or several, or when some of the file would be lost.
pub fn public_key(file: &Path, bytes: &[u8]) -> Result<Vec<u8>, FileError> {
    let read = sections(bytes).and_then(|sections| {
        let keys = sections.into_iter().filter(|(kind, _)| *kind == SectionKind::PublicKey);
        let mut keys: Vec<_> = keys.map(|(_, der)| der).collect();
        match (keys.pop(), keys.len()) {
            (Some(key), 0) => Ok(key),
            _ => Err(Problem::NoPublicKey),
        }
    });
    in_file(file, read)
}

/// The certificate authorities of a PEM file, at least one.
///
/// # Errors
/// Those of [`certificates`], and certificates that cannot be a certificate authority.
pub fn roots(file: &Path, bytes: &[u8]) -> Result<RootCertStore, FileError> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates(file, bytes)?.into_iter().enumerate() {
        let added = roots.add(certificate);
        in_file(file, added.map_err(|error| Problem::Root(index + 1, error.to_string())))?;
    }
    Ok(roots)
}

fn in_file<T>(file: &Path, read: Result<T, Problem>) -> Result<T, FileError> {
    read.map_err(|problem| FileError {
        file: file.to_owned(),
        problem,
    })
}

/// All sections of known kinds.
fn sections(bytes: &[u8]) -> Result<Vec<(SectionKind, Vec<u8>)>, Problem> {
    // Some editors write a byte order mark, behind which the first section would not be seen.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let labels: Vec<_> = labels(bytes).collect();
    if labels.is_empty() {
        return Err(without_marks(bytes));
    }
    let contains = |text: &str| memchr::memmem::find(bytes, text.as_bytes()).is_some();
    if labels.contains(&b"ENCRYPTED PRIVATE KEY".as_slice()) || contains("Proc-Type: 4,ENCRYPTED") {
        return Err(Problem::Encrypted);
    }
    if contains("-----\\n") {
        return Err(Problem::EscapedLineBreaks);
    }
    for unsupported in ["TRUSTED CERTIFICATE", "X509 CERTIFICATE", "PKCS7"] {
        if labels.contains(&unsupported.as_bytes()) {
            return Err(Problem::Unsupported(unsupported));
        }
    }
    let mut sections = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        let number = sections.len() + 1;
        // The errors' own text may contain the line, and with it a key.
        sections.push(section.map_err(|error| match error {
            SyntaxError::MissingSectionEnd { .. } => Problem::CutOff,
            SyntaxError::IllegalSectionStart { .. } => Problem::MalformedMark(number),
            _ => Problem::Base64Decode(number),
        })?);
    }
    // Parameters of a curve are in front of the key that repeats them, and are not read by anyone.
    let is_known = |label: &&&[u8]| !matches!(**label, b"EC PARAMETERS" | b"DH PARAMETERS" | b"DSA PARAMETERS");
    let (marks, read) = (labels.iter().filter(is_known).count(), sections.len());
    match marks == read {
        true => Ok(sections),
        false => Err(Problem::Lost { marks, read }),
    }
}

/// What stands between the words BEGIN and the hyphens of each mark.
fn labels(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    memchr::memmem::find_iter(bytes, MARK).map(|at| {
        let rest = &bytes[at + MARK.len()..];
        let end = memchr::memmem::find(rest, b"-----").unwrap_or(rest.len());
        &rest[..end]
    })
}

/// What a file without marks is.
fn without_marks(bytes: &[u8]) -> Problem {
    let text = bytes.trim_ascii();
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(byte);
    match bytes {
        _ if text.is_empty() => Problem::Empty,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, b'-', ..] | [b'-', 0, ..] => Problem::Utf16,
        // A sequence with a length of two bytes or more.
        [0x30, 0x80..=0x84, ..] => Problem::Binary,
        _ if text.starts_with(b"MI") && text.iter().all(is_base64) => Problem::Base64,
        _ if bytes.contains(&0) => Problem::Binary,
        _ => Problem::NoMarks,
    }
}
