//! What ARCHITECTURE.md promises of the shape of the code, read from the code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let files = paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The layers of the shell, the lowest first. A module uses those below its own layer and its own neighbours there.
const LAYERS: [&[&str]; 9] = [
    &["chance", "vitals", "message", "plugin"],
    &["config", "telemetry", "upstream"],
    &["geo", "respond", "record"],
    &["front_door"],
    &["table", "worker", "server"],
    &["decide"],
    &["pipeline", "admin", "control"],
    &["app"],
    &["demo", "cli"],
];

/// Uses that go against the layers, and why they may.
const EXCEPTIONS: [(&str, &str, &str); 1] = [(
    "decide",
    "admin",
    "explaining speaks in the administration's questions and answers",
)];

#[test]
fn upper_layers_use_lower_ones() {
    let layer_of: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(layer, modules)| modules.iter().map(move |module| (*module, layer)))
        .collect();
    let folder = root().join("host/src");
    for path in sources(&folder) {
        let inner = path
            .strip_prefix(&folder)
            .expect("below the folder")
            .to_string_lossy()
            .into_owned();
        let module = inner.split(['/', '.']).next().expect("a first part").to_owned();
        let is_test = inner.contains("tests");
        if is_test || ["lib", "main", "testing"].contains(&module.as_str()) {
            continue;
        }
        let own = *layer_of
            .get(module.as_str())
            .unwrap_or_else(|| panic!("{module} has no layer: give it one here"));
        for line in read(&path).lines().take_while(|line| !line.starts_with("#[cfg(test)]")) {
            let Some(used) = line.trim_start().strip_prefix("use crate::") else {
                continue;
            };
            let used = used.split([':', ';', '{', ' ']).next().expect("a first part");
            let Some(layer) = layer_of.get(used) else { continue };
            let excepted = EXCEPTIONS
                .iter()
                .any(|(from, to, _)| (*from, *to) == (module.as_str(), used));
            assert!(
                used == module || *layer <= own || excepted,
                "{inner} (layer {own}) uses {used} (layer {layer})"
            );
        }
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

/// Whether a line stands behind the `#[cfg(test)]` of its file.
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
