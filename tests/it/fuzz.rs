//! The committed corpora of the fuzz targets, on any compiler: what once was a finding stays mended.

use portolan_fuzzed as fuzz;
use std::fs;
use std::path::Path;

/// Replays a corpus. A panic names the input.
fn replay(target: &str, check: fn(&[u8])) {
    struct Shown<'a>(&'a Path);
    impl Drop for Shown<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the input is {}", self.0.display());
            }
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut count = 0;
    for entry in entries {
        let path = entry.expect("an entry").path();
        let _shown = Shown(&path);
        check(&fs::read(&path).expect("a file"));
        count += 1;
    }
    assert!(count > 3, "{count} inputs in {}", folder.display());
}

#[test]
fn responses() {
    replay("response", fuzz::response);
}

#[test]
fn chunked_bodies() {
    replay("chunks", fuzz::chunks);
}

#[test]
fn requests() {
    replay("request", fuzz::request);
}

#[test]
fn client_addresses() {
    replay("identity", fuzz::identity);
}

#[test]
fn proxy_protocol_headers() {
    replay("proxy_protocol", fuzz::proxy_protocol);
}

#[test]
fn affinity_cookies() {
    replay("affinity", fuzz::affinity);
}

#[test]
fn service_tags() {
    replay("service_tags", fuzz::service_tags);
}

#[test]
fn configurations() {
    replay("yaml", fuzz::yaml);
}

#[test]
fn location_tables() {
    replay("location_table", fuzz::location_table);
}

#[test]
fn maxmind_databases() {
    replay("maxmind", fuzz::maxmind);
}
