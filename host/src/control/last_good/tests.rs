use super::*;

fn content(path: &str, bytes: &'static [u8]) -> Content {
    Content {
        path: path.into(),
        bytes: Bytes::from_static(bytes),
    }
}

fn bytes(kept: &LastGood, path: &str) -> Option<Bytes> {
    kept.read(Path::new(path)).map(|(bytes, _)| bytes)
}

/// The names of all files in the folder.
fn names(kept: &LastGood) -> Vec<String> {
    let entries = fs::read_dir(&kept.folder).expect("a folder");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_kept_is_there_after_a_restart_and_what_is_not_needed_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("deep/state");
    let kept = LastGood::open(&place, false).expect("made");
    assert_eq!(bytes(&kept, "/etc/a"), None);
    kept.keep_only(&[content("/etc/a", b"one"), content("/etc/b", b"two")])
        .expect("kept");
    kept.keep(&[content("/etc/b", b"three")]).expect("kept");

    drop(kept);
    let again = LastGood::open(&place, false).expect("there");
    assert_eq!(bytes(&again, "/etc/a").as_deref(), Some(b"one".as_slice()));
    assert_eq!(bytes(&again, "/etc/b").as_deref(), Some(b"three".as_slice()));
    assert_eq!(
        names(&again).len(),
        4,
        "two contents, the list, the lock: {:?}",
        names(&again)
    );

    again.keep_only(&[content("/etc/a", b"one")]).expect("kept");
    assert_eq!(bytes(&again, "/etc/b"), None);
    assert_eq!(names(&again).len(), 3, "{:?}", names(&again));
}

#[test]
fn the_same_content_is_good_since_it_was_first_in_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = LastGood::open(folder.path(), false).expect("there");
    kept.keep_only(&[content("/etc/a", b"one")]).expect("kept");
    let long_ago = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let mut list: List = kept.parse(LIST);
    list.files.values_mut().for_each(|entry| entry.since = long_ago);
    fs::write(folder.path().join(LIST), serde_json::to_vec(&list).expect("JSON")).expect("written");
    kept.keep(&[content("/etc/a", b"one")]).expect("kept");
    let (_, since) = kept.read(Path::new("/etc/a")).expect("kept");
    assert_eq!(since, long_ago);
}

#[test]
fn damage_is_noticed_and_repaired_by_the_next_good_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = LastGood::open(folder.path(), false).expect("there");
    kept.keep_only(&[content("/etc/a", b"one")]).expect("kept");
    let stored = folder.path().join(digest(b"one"));
    fs::write(&stored, "on").expect("written");
    assert_eq!(bytes(&kept, "/etc/a"), None);
    kept.keep(&[content("/etc/a", b"one")]).expect("kept");
    assert_eq!(bytes(&kept, "/etc/a").as_deref(), Some(b"one".as_slice()));

    fs::write(folder.path().join(LIST), b"{ \"files\": { \"/etc/a\": ").expect("written");
    assert_eq!(bytes(&kept, "/etc/a"), None);
    kept.keep(&[content("/etc/a", b"one")]).expect("kept");
    assert_eq!(bytes(&kept, "/etc/a").as_deref(), Some(b"one".as_slice()));
}

#[test]
fn a_crash_while_writing_costs_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = LastGood::open(folder.path(), false).expect("there");
    kept.keep_only(&[content("/etc/a", b"one")]).expect("kept");
    // As a crash leaves them: a content and a list that were begun, a content whose list was never written.
    fs::write(folder.path().join(format!("{}{UNFINISHED}", digest(b"two"))), "tw").expect("written");
    fs::write(folder.path().join(format!("{LIST}{UNFINISHED}")), "{").expect("written");
    fs::write(folder.path().join(digest(b"three")), "three").expect("written");
    assert_eq!(bytes(&kept, "/etc/a").as_deref(), Some(b"one".as_slice()));
    kept.keep(&[content("/etc/a", b"four")]).expect("kept");
    assert_eq!(bytes(&kept, "/etc/a").as_deref(), Some(b"four".as_slice()));
    assert_eq!(names(&kept).len(), 3, "{:?}", names(&kept));
}

#[test]
fn other_files_in_the_folder_are_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("notes.txt"), "mine").expect("written");
    let kept = LastGood::open(folder.path(), false).expect("there");
    kept.keep_only(&[content("/etc/a", b"one")]).expect("kept");
    assert!(names(&kept).contains(&"notes.txt".to_owned()));
}

#[test]
fn a_folder_that_cannot_be_is_an_error() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let error = LastGood::open(file.path(), false).expect_err("a file is no folder");
    assert!(error.to_string().starts_with("state directory"), "{error}");
    let error = LastGood::open(&file.path().join("below"), false).expect_err("nothing is below a file");
    assert!(error.to_string().starts_with("state directory"), "{error}");
}

#[test]
fn a_directory_in_use_is_read_and_written_when_its_owner_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = LastGood::open(folder.path(), false).expect("there");
    kept.keep_only(&[content("/etc/a", b"one")]).expect("kept");
    // As a process leaves it that is not this one: the parent certainly is another one, and runs.
    let parent = std::os::unix::process::parent_id();
    fs::write(folder.path().join(LOCK), parent.to_string()).expect("written");
    let error = LastGood::open(folder.path(), false).expect_err("in use").to_string();
    assert!(error.contains(&format!("in use by process {parent}")), "{error}");

    let next = LastGood::open(folder.path(), true).expect("to take over");
    assert_eq!(bytes(&next, "/etc/a").as_deref(), Some(b"one".as_slice()));
    assert!(matches!(
        next.keep(&[content("/etc/a", b"two")]),
        Err(StateError::InUse { .. })
    ));
    drop(kept);
    next.keep(&[content("/etc/a", b"two")]).expect("kept");
    assert_eq!(bytes(&next, "/etc/a").as_deref(), Some(b"two".as_slice()));
}
