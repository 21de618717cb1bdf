use super::*;
use std::cell::Cell;
use std::path::PathBuf;

/// A database that is large enough to be worth it: text behind the tree does not disturb the reader.
fn large(name: &str) -> DatabaseFile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/maxmind/test-data/GeoIP2-City-Test.mmdb");
    let mut file = DatabaseFile::read(&path).unwrap();
    let metadata = file
        .bytes
        .windows(4)
        .rposition(|four| four == b"\xab\xcd\xefM")
        .unwrap();
    let mut bytes = file.bytes[..metadata].to_vec();
    bytes.resize(metadata + WORTH_CACHING, 0);
    bytes.extend(&file.bytes[metadata..]);
    file.bytes = bytes.into();
    file.name = name.to_owned();
    file
}

struct Folder {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn folder() -> Folder {
    let folder = tempfile::tempdir().unwrap();
    Folder {
        path: folder.path().join("locations.cache"),
        _folder: folder,
    }
}

fn load(file: DatabaseFile, path: &Path, digest: u8) -> (GeoTable, Cached) {
    GeoTable::of_files_cached(&[file], path, || [digest; 32]).unwrap()
}

fn bytes(table: &GeoTable) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.write_at(1, &mut bytes).unwrap();
    bytes
}

#[test]
fn the_same_databases_are_compiled_once() {
    let folder = folder();
    let (compiled, first) = load(large("city.mmdb"), &folder.path, 1);
    assert!(matches!(first, Cached::Written), "{first:?}");
    let (cached, second) = load(large("city.mmdb"), &folder.path, 1);
    assert!(matches!(second, Cached::Used), "{second:?}");
    assert_eq!(bytes(&cached), bytes(&compiled));
    assert_eq!(
        fs::read_dir(folder.path.parent().unwrap()).unwrap().count(),
        1,
        "nothing is left aside"
    );
}

#[test]
fn other_databases_replace_it() {
    let folder = folder();
    load(large("city.mmdb"), &folder.path, 1);
    for (name, digest) in [("city.mmdb", 2), ("other.mmdb", 2)] {
        let (table, cached) = load(large(name), &folder.path, digest);
        assert!(matches!(cached, Cached::Written), "{cached:?}");
        assert_eq!(table.info().files[0].name, name);
        assert!(matches!(load(large(name), &folder.path, digest).1, Cached::Used));
    }
    assert_eq!(
        fs::read_dir(folder.path.parent().unwrap()).unwrap().count(),
        1,
        "one file, whatever was loaded"
    );
}

#[test]
fn a_damaged_file_is_written_anew() {
    let folder = folder();
    let (compiled, _) = load(large("city.mmdb"), &folder.path, 1);
    let whole = fs::read(&folder.path).unwrap();
    for length in [0, 10, MAGIC.len(), whole.len() / 2, whole.len() - 1] {
        fs::write(&folder.path, &whole[..length]).unwrap();
        let (table, cached) = load(large("city.mmdb"), &folder.path, 1);
        assert!(matches!(cached, Cached::Written), "{length}: {cached:?}");
        assert_eq!(bytes(&table), bytes(&compiled));
        assert_eq!(fs::read(&folder.path).unwrap(), whole);
    }
    for at in (0..whole.len()).step_by(37) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(&folder.path, changed).unwrap();
        let (table, _) = load(large("city.mmdb"), &folder.path, 1);
        assert_eq!(bytes(&table), bytes(&compiled), "byte {at}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_to_costs_no_more_than_the_time() {
    let folder = folder();
    let nowhere = folder.path.join("missing/locations.cache");
    let (table, cached) = load(large("city.mmdb"), &nowhere, 1);
    assert!(matches!(cached, Cached::Failed(_)), "{cached:?}");
    assert!(table.info().networks() > 0);
}

#[test]
fn small_and_compiled_files_need_none() {
    let folder = folder();
    let mut small = large("small.mmdb");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/maxmind/test-data/GeoIP2-City-Test.mmdb");
    small.bytes = fs::read(path).unwrap().into();
    let embedded = DatabaseFile {
        name: "locations.geo".to_owned(),
        bytes: include_bytes!("../../data/locations.geo")[..].into(),
    };
    for file in [small, embedded] {
        let asked = Cell::new(false);
        let digest = || {
            asked.set(true);
            [1; 32]
        };
        let (_, cached) = GeoTable::of_files_cached(&[file], &folder.path, digest).unwrap();
        assert!(matches!(cached, Cached::NotNeeded), "{cached:?}");
        assert!(!asked.get() && !folder.path.exists());
    }
}
