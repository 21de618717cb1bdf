use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn file(name: &str, bytes: Vec<u8>) -> Result<DatabaseFile, DatabaseError> {
    DatabaseFile::of(Path::new(name), Ok(bytes.into()))
}

#[test]
fn gzip_is_decompressed_up_to_a_limit() {
    let compressed = gzip(&[7; 100_000]);
    assert_eq!(file("a.mmdb.gz", compressed.clone()).unwrap().bytes, [7; 100_000][..]);
    let error = decompress("a.mmdb.gz", &compressed, 99_999).unwrap_err();
    assert!(
        matches!(error, DatabaseError::TooLarge { limit: 99_999, .. }),
        "{error}"
    );
    let cut_short = compressed[..compressed.len() / 2].to_vec();
    let error = file("a.mmdb.gz", cut_short).map(|_| ()).unwrap_err();
    assert!(matches!(error, DatabaseError::Gzip { .. }), "{error}");
}

#[test]
fn a_tree_that_begins_like_gzip_is_a_database() {
    let bytes = [GZIP, &[0; 50], METADATA, &[0; 9]].concat();
    assert_eq!(file("a.mmdb", bytes.clone()).unwrap().bytes, bytes[..]);
}

#[test]
fn what_is_no_database_is_named() {
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    for (name, bytes, expected) in [
        (
            "a.tar.gz",
            gzip(&tar),
            "a.tar.gz is an archive (tar.gz); unpack it, and give",
        ),
        ("a.tar", tar, "a.tar is an archive (tar); unpack it"),
        (
            "a.zip",
            b"PK\x03\x04rest".to_vec(),
            "a.zip is an archive (ZIP); unpack it",
        ),
        ("a.mmdb", Vec::new(), "a.mmdb is empty; download it again"),
        (
            "a.zst",
            b"\x28\xb5\x2f\xfdrest".to_vec(),
            "a.zst is compressed (zstd); decompress",
        ),
        ("a.gz.gz", gzip(&gzip(b"rest")), "a.gz.gz is compressed (gzip) twice;"),
        (
            "a.csv",
            b"1.0.0.0,1.0.0.255,AU\n".to_vec(),
            "a.csv is CSV; give the vendor's database",
        ),
        (
            "a.csv.gz",
            gzip(b"network,country\n1.0.0.0/24,AU\n"),
            "a.csv.gz is CSV;",
        ),
        (
            "a.mmdb",
            b"\xef\xbb\xbf <!DOCTYPE html><p>".to_vec(),
            "a.mmdb is an HTML page; the download failed",
        ),
        ("a.mmdb", b"{\"error\": \"key\"}".to_vec(), "a.mmdb is JSON;"),
        (
            "a.mmdb",
            b"Invalid license key\n".to_vec(),
            "a.mmdb is text; the download failed",
        ),
        (
            "A.BIN",
            vec![11, 10, 26, 6, 1, 0, 0],
            "A.BIN is in IP2Location's BIN format;",
        ),
        (
            "a.mmdb",
            vec![0, 0, 1, 200],
            "a.mmdb is not a MaxMind DB file, or was cut short:",
        ),
    ] {
        let file = file(name, bytes).unwrap();
        let error = maxminddb::Reader::from_source(&file.bytes[..]).map(|_| ()).unwrap_err();
        let text = file.not_a_database(error).to_string();
        assert!(text.starts_with(expected), "{text}");
    }
    let folder = DatabaseFile::read(Path::new("/")).map(|_| ()).unwrap_err();
    assert_eq!(folder.to_string(), "/ is a folder; give the .mmdb file in it");
}
