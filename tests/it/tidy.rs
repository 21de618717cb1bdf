//! What ARCHITECTURE.md promises of the shape of the code, read from the code.

mod shape;

use shape::{Shape, circles_of_siblings, sources};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The crates whose modules must not use each other in circles.
const CRATES: [&str; 4] = ["host/src", "host/core/src", "host/azure/src", "host/azure/fakes/src"];

/// The layers of the shell as ARCHITECTURE.md draws them, the lowest first.
fn layers() -> Vec<Vec<String>> {
    let map = read(&root().join("ARCHITECTURE.md"));
    let (_, behind) = map
        .split_once("Upper layers use lower ones")
        .expect("the picture's title");
    let picture = behind.split("```").nth(1).expect("the picture");
    let layers = picture.split('→').map(|layer| {
        let names = layer.split(|c: char| !c.is_alphanumeric() && c != '_');
        names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
    });
    let mut layers: Vec<Vec<String>> = layers.collect();
    layers.reverse();
    layers
}

#[test]
fn upper_layers_use_lower_ones() {
    let layers = layers();
    let place = |module: &str| {
        let mut places = layers
            .iter()
            .enumerate()
            .filter(|(_, layer)| layer.iter().any(|it| it == module));
        let (place, _) = places
            .next()
            .unwrap_or_else(|| panic!("{module} has no layer: give it one in ARCHITECTURE.md"));
        assert!(places.next().is_none(), "{module} has two layers in ARCHITECTURE.md");
        place
    };
    let shape = Shape::of(&root().join("host/src"));
    let mut seen = BTreeSet::from(["core".to_owned()]);
    for (module, used) in shape.uses() {
        let Some(own) = module.first() else { continue };
        seen.insert(own.clone());
        for other in used.iter().filter_map(|used| used.first()) {
            assert!(
                place(other) <= place(own),
                "{} uses {other}, which is above it in ARCHITECTURE.md",
                module.join("::")
            );
        }
    }
    let drawn: BTreeSet<String> = layers.into_iter().flatten().collect();
    assert_eq!(drawn, seen, "the layers in ARCHITECTURE.md and the modules of host/src");
}

#[test]
fn no_modules_use_each_other_in_circles() {
    for folder in CRATES {
        let uses = Shape::of(&root().join(folder)).uses();
        assert!(uses.len() > 20, "{folder} was not read");
        if let Some((parent, circle)) = circles_of_siblings(&uses).into_iter().next() {
            let parent = parent.join("::");
            panic!("{folder}: below {parent:?}, these use each other in a circle: {circle:?}");
        }
    }
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    for (a, b) in [
        ("use crate::{b::B, c};", "fn f() { crate::a::g() }"),
        ("use super::b::B;", "use super::{a::{self as other}, c};"),
        ("fn f() -> super::b::B { todo!() }", "use crate::A;"),
        ("use crate::b;", "use super::a::deep::Deep;"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        write("lib.rs", "mod a; mod b; mod c; pub use a::A;");
        write("a.rs", &format!("// use crate::c;\nmod deep;\n{a}"));
        write("b.rs", b);
        write(
            "c.rs",
            "#[cfg(test)]\nmod tests { use crate::a::A; }\nconst TEXT: &str = \"crate::b\";",
        );
        fs::create_dir(folder.path().join("a")).expect("made");
        write("a/deep.rs", "");
        let uses = Shape::of(folder.path()).uses();
        let expected = (Vec::new(), vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(circles_of_siblings(&uses), [expected], "{a} {b}");
    }
}

#[test]
fn the_core_has_no_clock_sockets_or_files() {
    for path in sources(&root().join("host/core/src")) {
        for (number, line) in read(&path).lines().enumerate() {
            for forbidden in [
                "Instant::now",
                "SystemTime::now",
                "std::fs",
                "std::net::Tcp",
                "tokio",
                "std::thread::sleep",
            ] {
                let code = line.split("//").next().expect("a first part");
                let is_test = path.to_string_lossy().contains("tests")
                    || code.contains("Instant::now") && in_tests(&path, number);
                assert!(
                    is_test || !code.contains(forbidden),
                    "{}:{}: {forbidden}",
                    path.display(),
                    number + 1
                );
            }
        }
    }
}

/// Whether a line comes after the `#[cfg(test)]` of its file.
fn in_tests(path: &Path, line: usize) -> bool {
    read(path)
        .lines()
        .position(|text| text.contains("#[cfg(test)]"))
        .is_some_and(|tests| tests < line)
}

#[test]
fn the_map_names_what_is_there() {
    let map = read(&root().join("ARCHITECTURE.md"));
    let links = map.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let mut count = 0;
    for link in links.filter(|link| !link.starts_with("http")) {
        assert!(
            root().join(link).exists(),
            "ARCHITECTURE.md leads to {link}, which is not there"
        );
        count += 1;
    }
    assert!(count > 5, "{count}");
}

#[test]
fn nothing_speaks_of_the_machine_it_was_written_on() {
    let files = [
        sources(&root().join("host")),
        sources(&root().join("tests")),
        sources(&root().join("plugins/sdk")),
    ];
    for path in files.into_iter().flatten() {
        let machine = [["/", "root/"].concat(), ["/", "work/"].concat()];
        let text = read(&path);
        assert!(
            !machine.iter().any(|place| text.contains(place.as_str())),
            "{}",
            path.display()
        );
    }
}
