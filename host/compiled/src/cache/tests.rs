//! What is kept, what is not loaded, and what goes.

use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};
use wasmtime::Config;

struct Kept {
    folder: tempfile::TempDir,
    engine: Engine,
    hash: Hash,
}

fn component(number: usize) -> Vec<u8> {
    wat::parse_str(format!(
        "(component (core module (func (export \"f\") (result i32) (i32.const {number}))))"
    ))
    .expect("sound text")
}

fn hash(component: &[u8]) -> Hash {
    use sha2::{Digest, Sha256};
    Sha256::digest(component).into()
}

impl Kept {
    /// A cache with one artifact in it.
    fn new() -> Self {
        let (folder, engine) = (tempfile::tempdir().expect("a folder"), Engine::default());
        let kept = Self {
            hash: hash(&component(0)),
            folder,
            engine,
        };
        let mut artifact = Artifact::compile(&kept.engine, &component(0)).expect("it compiles");
        assert_eq!(artifact.component_hash(), kept.hash);
        kept.cache().store(&mut artifact, &kept.engine).expect("written");
        kept
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("compiled")
    }

    fn cache(&self) -> Cache {
        Cache::open(&self.path()).expect("a cache")
    }

    fn file(&self) -> PathBuf {
        self.cache().path(&self.hash, &self.engine)
    }

    fn load(&self) -> Result<Option<Artifact>, CacheError> {
        self.cache().load(&self.hash, &self.engine)
    }
}

#[test]
fn an_artifact_is_there_at_the_next_start_and_loads() {
    let kept = Kept::new();
    let artifact = kept.load().expect("readable").expect("there");
    artifact.load(&kept.engine).expect("it loads");
    let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
    assert_eq!((mode(&kept.path().join(KEY)), mode(&kept.file())), (0o600, 0o600));
    let other = hash(&component(1));
    assert!(kept.cache().load(&other, &kept.engine).expect("readable").is_none());
}

#[test]
fn another_engine_has_artifacts_of_its_own() {
    let kept = Kept::new();
    let other = Engine::new(Config::new().epoch_interruption(true)).expect("an engine");
    assert!(kept.cache().load(&kept.hash, &other).expect("readable").is_none());
    // Even under the name of the other.
    fs::copy(kept.file(), kept.cache().path(&kept.hash, &other)).expect("copied");
    let error = kept.cache().load(&kept.hash, &other).expect_err("of another engine");
    assert!(
        matches!(
            error,
            CacheError::Open {
                error: OpenError::Other,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn what_was_changed_is_not_loaded() {
    let kept = Kept::new();
    let whole = fs::read(kept.file()).expect("there");
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(kept.file(), changed).expect("written");
        let error = kept.load().expect_err("changed");
        assert!(
            matches!(
                error,
                CacheError::Open {
                    error: OpenError::Forged,
                    ..
                }
            ),
            "byte {at}: {error}"
        );
    }
    for end in [0, 31, 32, 100, whole.len() - 1] {
        fs::write(kept.file(), &whole[..end]).expect("written");
        assert!(kept.load().is_err(), "the first {end} bytes");
    }
    fs::write(kept.file(), &whole).expect("written");
    assert!(kept.load().expect("readable").is_some());
}

#[test]
fn what_another_installation_sealed_is_not_loaded() {
    let (kept, other) = (Kept::new(), Kept::new());
    fs::copy(other.file(), kept.file()).expect("copied");
    let error = kept.load().expect_err("of another key");
    assert!(
        error.to_string().contains("was not written by this installation"),
        "{error}"
    );
}

#[test]
fn files_that_others_may_write_to_are_not_read() {
    let kept = Kept::new();
    let open_to = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
    open_to(&kept.file(), 0o666);
    assert!(matches!(kept.load(), Err(CacheError::Shared(_))));
    open_to(&kept.file(), 0o600);
    for (path, mode) in [(kept.path().join(KEY), 0o644), (kept.path(), 0o777)] {
        let before = fs::metadata(&path).expect("there").mode();
        open_to(&path, mode);
        assert!(
            matches!(Cache::open(&kept.path()), Err(CacheError::Shared(_))),
            "{}",
            path.display()
        );
        open_to(&path, before);
    }
    let elsewhere = kept.folder.path().join("elsewhere");
    fs::rename(kept.file(), &elsewhere).expect("moved");
    symlink(&elsewhere, kept.file()).expect("linked");
    assert!(kept.load().is_err(), "a link");
}

#[test]
fn the_least_recently_used_ones_go() {
    let kept = Kept::new();
    let cache = kept.cache();
    for number in 1..=KEPT {
        // The first one is used all the time.
        assert!(kept.load().expect("readable").is_some(), "before {number}");
        let mut artifact = Artifact::compile(&kept.engine, &component(number)).expect("it compiles");
        cache.store(&mut artifact, &kept.engine).expect("written");
    }
    let there = |number| {
        cache
            .load(&hash(&component(number)), &kept.engine)
            .expect("readable")
            .is_some()
    };
    assert!(there(0) && !there(1) && there(2) && there(KEPT));
}

#[test]
fn what_a_killed_writer_left_is_removed() {
    let kept = Kept::new();
    let left = |name: &str, age: Duration| {
        let path = kept.path().join(name);
        let file = File::create(&path).expect("made");
        file.set_modified(SystemTime::now() - age).expect("set");
        path
    };
    let (old, new) = (left("a.new", WRITING * 2), left("b.new", Duration::ZERO));
    let mut artifact = Artifact::compile(&kept.engine, &component(1)).expect("it compiles");
    kept.cache().store(&mut artifact, &kept.engine).expect("written");
    assert!(!old.exists() && new.exists());
}

#[test]
fn one_key_whoever_comes_first() {
    for _ in 0..50 {
        one_key_of_eight_threads();
    }
}

fn one_key_of_eight_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("compiled");
    let keys = std::thread::scope(|scope| {
        let open = || Cache::open(&path).map(|cache| *cache.key.as_bytes());
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("it ends"))
            .collect::<Vec<_>>()
    });
    let first = *keys[0].as_ref().expect("a key");
    assert!(keys.iter().all(|key| *key.as_ref().expect("a key") == first));
    fs::write(path.join(KEY), "short").expect("written");
    assert!(Cache::open(&path).expect_err("no key").to_string().contains("32 bytes"));
}
