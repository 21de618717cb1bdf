use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

/// A file that OpenSSL wrote.
fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/certificates")
        .join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn pair(certificate: &[u8], key: &[u8]) -> Result<Pair, PairError> {
    Pair::parse(
        (Path::new("tls.crt"), certificate),
        (Path::new("tls.key"), key),
        SystemTime::now(),
    )
}

/// The error about a pair, which must not contain anything of the key.
fn rejected(certificate: &[u8], key: &[u8]) -> String {
    let error = pair(certificate, key).expect_err("rejected");
    let text = format!("{error} {error:?}");
    for line in String::from_utf8_lossy(key)
        .lines()
        .filter(|line| line.len() > 20 && !line.starts_with("-----"))
    {
        assert!(!text.contains(line), "{text}");
        assert!(!text.contains(&format!("{:?}", line.as_bytes())[1..40]), "{text}");
    }
    error.to_string()
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed")
}

fn intermediate(name: &str, issuer: &CertifiedIssuer<'static, KeyPair>) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::signed_by(params, KeyPair::generate().expect("a key"), issuer).expect("signed")
}

/// A leaf for these names, and its key.
fn leaf(names: &[&str], issuer: &CertifiedIssuer<'static, KeyPair>) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let params = CertificateParams::new(names).expect("names");
    let certificate = params.signed_by(&key, issuer).expect("signed");
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn keys_of_every_container_and_supported_kind_are_read() {
    for (certificate, key) in [
        ("rsa2048.crt", "rsa2048.key"),
        ("rsa2048.crt", "rsa2048.pkcs1.key"),
        ("p256.crt", "p256.key"),
        ("p256.crt", "p256.sec1.key"),
        ("p384.crt", "p384.key"),
        ("p521.crt", "p521.key"),
    ] {
        let (certificate, key) = (fixture(certificate), fixture(key));
        let read = pair(&certificate, &key).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read.warnings, [], "{read:?}");
        assert_eq!(read.validity(SystemTime::now()), Validity::Valid);
        // In one file, in either order.
        for both in [[&certificate[..], &key].concat(), [&key[..], &certificate].concat()] {
            assert_eq!(pair(&both, &both).expect("read").names, read.names);
        }
    }
}

#[test]
fn what_editors_and_tools_do_to_pem_files_is_no_obstacle() {
    let (certificate, key) = (fixture("p256.crt"), fixture("p256.key"));
    let text = String::from_utf8(certificate.clone()).expect("text");
    let one_line = {
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----")
    };
    for (what, certificate) in [
        ("CRLF", text.replace('\n', "\r\n")),
        ("comments", format!("# ours\n{text}\nand more\n")),
        ("attributes", format!("Bag Attributes\n    localKeyID: 01\n{text}")),
        ("spaces after the marks", text.replace("E-----\n", "E----- \n")),
        ("one line", one_line),
        ("a byte order mark", format!("\u{feff}{text}")),
    ] {
        let read = pair(certificate.as_bytes(), &key).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(read.names, ["p256.example".into()], "{what}");
        assert_eq!(read.certified.cert.len(), 1, "{what}");
    }
    let marked = [b"\xef\xbb\xbf", &key[..]].concat();
    pair(&certificate, &marked).expect("a key behind a byte order mark");
}

#[test]
fn a_file_that_would_lose_something_is_rejected() {
    let (root, other) = (authority("Root"), authority("Other"));
    let (certificate, key) = leaf(&["a.example"], &root);
    let chain = format!("{certificate}{}", root.pem());
    let without_end = &certificate[..certificate.len() - 40];
    let lost = "and 1 complete sections";
    for (what, chain, expected) in [
        (
            "joined marks",
            chain.replace(
                "-----END CERTIFICATE-----\n-----BEGIN",
                "-----END CERTIFICATE----------BEGIN",
            ),
            lost,
        ),
        (
            "cut off before the next",
            format!("{without_end}\n{}", root.pem()),
            "section",
        ),
        (
            "indented",
            certificate
                .replace('\n', "\n  ")
                .replacen("-----BEGIN", "  -----BEGIN", 1),
            "0 complete sections",
        ),
        ("cut off", without_end.to_owned(), "it is cut off"),
        (
            "literal line breaks",
            certificate.replace('\n', "\\n"),
            "written as \\n",
        ),
        ("damaged", certificate.replacen("MII", "M!I", 1), "not base64"),
        ("no certificate", key.clone(), "no section \"CERTIFICATE\""),
        ("empty", " \n".to_owned(), "empty"),
        ("text", "hello".to_owned(), "no -----BEGIN line"),
        (
            "wrong order",
            format!("{certificate}{}{}", other.pem(), root.pem()),
            "is not signed by the next one",
        ),
        (
            "root first",
            format!("{}{certificate}", root.pem()),
            "but that of a later one",
        ),
    ] {
        let error = rejected(chain.as_bytes(), key.as_bytes());
        assert!(error.contains(expected) && error.contains("tls.crt"), "{what}: {error}");
    }
    let keys = format!("{key}{}", KeyPair::generate().expect("a key").serialize_pem());
    for (what, key, expected) in [
        ("two keys", keys, "has 2 private keys"),
        ("no key", certificate.clone(), "no private key"),
        ("cut off", key[..key.len() - 30].to_owned(), "cut off"),
        ("literal line breaks", key.replace('\n', "\\n"), "written as \\n"),
        ("damaged", key.replacen("MI", "M!", 1), "not base64"),
    ] {
        let error = rejected(certificate.as_bytes(), key.as_bytes());
        assert!(error.contains(expected) && error.contains("tls.key"), "{what}: {error}");
    }
}

#[test]
fn files_of_other_formats_are_rejected_with_a_remedy() {
    let (certificate, key) = (fixture("p256.crt"), fixture("p256.key"));
    let base64_pfx = {
        let text = String::from_utf8(fixture("rsa2048.crt")).expect("text");
        text.lines().filter(|line| !line.starts_with('-')).collect::<String>()
    };
    let utf16: Vec<u8> = String::from_utf8_lossy(&certificate)
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (what, certificate, expected) in [
        ("DER", fixture("p256.der"), "-inform der"),
        ("PFX", fixture("p256.pfx"), "openssl pkcs12"),
        ("base64 of a PFX", base64_pfx.into_bytes(), "application/x-pem-file"),
        ("UTF-16", utf16.clone(), "UTF-16"),
        ("UTF-16 with a mark", [b"\xff\xfe", &utf16[..]].concat(), "UTF-16"),
        ("trusted", fixture("p256.trusted.crt"), "TRUSTED CERTIFICATE"),
    ] {
        let error = rejected(&certificate, &key);
        assert!(error.contains(expected), "{what}: {error}");
    }
    for key in ["p256.encrypted.key", "p256.encrypted-old.key"] {
        let error = rejected(&certificate, &fixture(key));
        assert!(error.contains("encrypted with a password"), "{error}");
    }
}

#[test]
fn a_key_that_cannot_be_used_is_named_by_kind_and_size() {
    for (name, expected) in [
        ("rsa1024", "RSA with 1024 bits"),
        ("rsa-pss", "RSA-PSS"),
        ("secp256k1", "1.3.132.0.10"),
        ("ed448", "1.3.101.113"),
    ] {
        let error = rejected(&fixture(&format!("{name}.crt")), &fixture(&format!("{name}.key")));
        assert!(error.contains(expected) && error.contains("are supported"), "{error}");
    }
}

#[test]
fn a_pair_that_does_not_match_and_a_certificate_of_version_1_are_rejected() {
    let error = rejected(&fixture("p256.crt"), &fixture("rsa2048.key"));
    assert!(
        error.contains("is not that of the first certificate in tls.crt (CN=p256.example)"),
        "{error}"
    );
    let error = rejected(&fixture("version1.crt"), &fixture("p256.key"));
    assert!(error.contains("version 1") && error.contains("-extfile"), "{error}");
}

#[test]
fn what_clients_may_reject_is_warned_of() {
    let key = fixture("p256.key");
    let warnings = |certificate: &str| pair(&fixture(certificate), &key).expect("served").warnings;
    assert_eq!(
        warnings("authority.crt"),
        [PairWarning::NoNames, PairWarning::Authority]
    );
    let alone = PairWarning::Alone("CN=rsa2048.example".into());
    assert_eq!(warnings("sha1.crt"), [alone, PairWarning::Sha1(1)]);
    // A client that looks at the common name finds it.
    assert_eq!(
        pair(&fixture("authority.crt"), &key).expect("served").names,
        ["p256.example".into()]
    );
}

#[test]
fn a_chain_is_read_whole_with_the_names_of_its_leaf() {
    let root = authority("Root");
    let middle = intermediate("Middle", &root);
    let (certificate, key) = leaf(&["A.example", "*.b.example", "192.0.2.1"], &middle);
    for chain in [
        format!("{certificate}{}", middle.pem()),
        format!("{certificate}{}{}", middle.pem(), root.pem()),
    ] {
        let read = pair(chain.as_bytes(), key.as_bytes()).expect("read");
        assert_eq!(read.names, ["a.example".into(), "*.b.example".into()]);
        assert_eq!(
            (read.certified.cert.len(), &read.warnings[..]),
            (chain.matches("BEGIN").count(), &[][..])
        );
        assert_eq!(read.key, KeyKind::Ecdsa("P-256".into()));
    }
    let alone = pair(certificate.as_bytes(), key.as_bytes()).expect("read");
    assert_eq!(alone.warnings, [PairWarning::Alone("CN=Middle".into())]);
}

#[test]
fn validity_is_that_of_the_leaf() {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["a.example".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let certificate = params.self_signed(&key).expect("signed");
    let read = pair(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).expect("read");
    let day = Duration::from_secs(24 * 60 * 60);
    assert_eq!(read.not_before, NOW + 18_262 * day);
    assert_eq!(read.not_after, read.not_before + 366 * day);
    for (now, expected) in [
        (read.not_before - day, Validity::NotYet),
        (read.not_before, Validity::Valid),
        (read.not_after - 31 * day, Validity::Valid),
        (read.not_after - 30 * day, Validity::ExpiresSoon(30 * day)),
        (read.not_after + day, Validity::Expired),
    ] {
        assert_eq!(read.validity(now), expected);
    }
}

#[test]
fn roots_are_all_of_a_file() {
    let bundle = format!("{}{}", authority("One").pem(), authority("Two").pem());
    assert_eq!(roots(Path::new("ca.pem"), bundle.as_bytes()).expect("read").len(), 2);
    let broken = bundle.replace(
        "-----END CERTIFICATE-----\n-----BEGIN",
        "-----END CERTIFICATE----------BEGIN",
    );
    let error = roots(Path::new("ca.pem"), broken.as_bytes()).expect_err("one is lost");
    assert!(
        error.to_string().starts_with("ca.pem: the file has 2 -----BEGIN marks"),
        "{error}"
    );
}
