//! The files of a new project, from `plugins/templates`.

use crate::config::PluginLanguage;
use crate::plugin::embedded::WIT;

/// A file of a project: its path and its text, in which `{{name}}` and the like are replaced.
type File = (&'static str, &'static str);

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../../../../../plugins/templates/", $path))
    };
}

macro_rules! sdk {
    ($($file:literal),* $(,)?) => {
        [$((concat!("sdk/src/", $file), include_str!(concat!("../../../../../plugins/sdk/src/", $file)))),*]
    };
}

/// The Rust SDK, as it is in this repository.
pub(super) const SDK: [File; 11] = sdk![
    "arena.rs",
    "bindings.rs",
    "decision.rs",
    "geo.rs",
    "host.rs",
    "instance.rs",
    "instance/tests.rs",
    "lib.rs",
    "region.rs",
    "request.rs",
    "setup.rs",
];

const RUST: [File; 4] = [
    ("Cargo.toml", template!("rust/Cargo.toml.in")),
    (".cargo/config.toml", template!("rust/config.toml")),
    (
        "src/lib.rs",
        include_str!("../../../../../plugins/examples/canary-by-header/src/lib.rs"),
    ),
    ("sdk/Cargo.toml", template!("rust/sdk.toml")),
];
const JAVASCRIPT: [File; 2] = [
    ("package.json", template!("js/package.json.in")),
    ("plugin.js", template!("js/plugin.js")),
];
const PYTHON: [File; 2] = [
    ("requirements.txt", template!("python/requirements.txt")),
    ("plugin.py", template!("python/plugin.py")),
];
const GO: [File; 4] = [
    ("go.mod", template!("go/go.mod.in")),
    ("requirements.txt", template!("go/requirements.txt")),
    ("plugin.go", template!("go/plugin.go")),
    ("contract.go", template!("go/contract.go")),
];
const C: [File; 4] = [
    ("requirements.txt", template!("c/requirements.txt")),
    ("plugin.c", template!("c/plugin.c")),
    ("portolan.h", template!("c/portolan.h")),
    ("portolan.c", template!("c/portolan.c")),
];
const ZIG: [File; 3] = [
    ("requirements.txt", template!("zig/requirements.txt")),
    ("plugin.zig", template!("zig/plugin.zig")),
    ("portolan.zig", template!("zig/portolan.zig")),
];
const ASSEMBLYSCRIPT: [File; 4] = [
    ("package.json", template!("assemblyscript/package.json.in")),
    ("plugin.ts", template!("assemblyscript/plugin.ts")),
    ("portolan.ts", template!("assemblyscript/portolan.ts")),
    ("exports.ts", template!("assemblyscript/exports.ts")),
];

const README: &str = template!("README.md");
const CASES: &str = template!("cases.yaml");

/// What is ignored: all that is installed and built.
const IGNORED: &str = "/.venv/\n/build/\n/node_modules/\n/target/\n*.wasm\n*.wasm.part\n__pycache__/\n";

/// A project to make.
pub(super) struct Template<'a> {
    pub(super) name: &'a str,
    pub(super) language: PluginLanguage,
}

impl Template<'_> {
    /// The language's name for people.
    pub(super) fn language_name(&self) -> &'static str {
        match self.language {
            PluginLanguage::Rust => "Rust",
            PluginLanguage::JavaScript => "JavaScript",
            PluginLanguage::Python => "Python",
            PluginLanguage::Go => "Go",
            PluginLanguage::C => "C",
            PluginLanguage::Zig => "Zig",
            PluginLanguage::AssemblyScript => "AssemblyScript",
        }
    }

    fn word(&self) -> &'static str {
        match self.language {
            PluginLanguage::Rust => "rust",
            PluginLanguage::JavaScript => "js",
            PluginLanguage::Python => "python",
            PluginLanguage::Go => "go",
            PluginLanguage::C => "c",
            PluginLanguage::Zig => "zig",
            PluginLanguage::AssemblyScript => "assemblyscript",
        }
    }

    /// The language's own files, and what those in the project's folder are.
    fn own(&self) -> (Vec<File>, &'static str) {
        match self.language {
            PluginLanguage::Rust => (
                [&RUST[..], &SDK[..]].concat(),
                "| `src/lib.rs` | the plugin, with unit tests: `cargo test` |\n\
                 | `sdk/` | the SDK, which is not on a registry: a copy |",
            ),
            PluginLanguage::JavaScript => (
                JAVASCRIPT.to_vec(),
                "| `plugin.js` | the plugin |\n| `package.json` | the compiler, componentize-qjs: QuickJS and the plugin in one component |",
            ),
            PluginLanguage::Python => (
                PYTHON.to_vec(),
                "| `plugin.py` | the plugin |\n| `requirements.txt` | the compiler, componentize-py: CPython and the plugin in one component |",
            ),
            PluginLanguage::Go => (
                GO.to_vec(),
                "| `plugin.go` | the plugin |\n| `contract.go` | the contract in Go |\n\
                 | `requirements.txt` | Go, where the machine has none from 1.24 on |",
            ),
            PluginLanguage::C => (
                C.to_vec(),
                "| `plugin.c` | the plugin |\n| `portolan.h`, `portolan.c` | the contract in C |\n\
                 | `requirements.txt` | the compiler, zig cc |",
            ),
            PluginLanguage::Zig => (
                ZIG.to_vec(),
                "| `plugin.zig` | the plugin |\n| `portolan.zig` | the contract in Zig |\n| `requirements.txt` | Zig |",
            ),
            PluginLanguage::AssemblyScript => (
                ASSEMBLYSCRIPT.to_vec(),
                "| `plugin.ts` | the plugin |\n| `portolan.ts`, `exports.ts` | the contract in AssemblyScript |\n\
                 | `package.json` | the compiler |",
            ),
        }
    }

    /// Whether the language brings a runtime.
    fn is_large(&self) -> bool {
        matches!(
            self.language,
            PluginLanguage::JavaScript | PluginLanguage::Python | PluginLanguage::Go
        )
    }
}

/// The files of a project.
pub(super) fn files(template: &Template<'_>) -> Vec<(&'static str, String)> {
    let (own, described) = template.own();
    let project = "# What `portolan plugin build` builds here.\nname: {{name}}\nlanguage: {{word}}\n";
    let common = [
        ("plugin.yaml", project),
        ("README.md", README),
        ("cases.yaml", CASES),
        ("wit/v0.2/routing.wit", WIT),
        (".gitignore", IGNORED),
    ];
    let (plugin, deployment) = match template.is_large() {
        true => (
            "\n# A runtime is part of the component: it has the limits of large plugins.\nplugin: { size: large }",
            ", size: large",
        ),
        false => ("", ""),
    };
    let replaced = |text: &str| {
        text.replace("{{name}}", template.name)
            .replace("{{word}}", template.word())
            .replace("{{language}}", template.language_name())
            .replace("{{files}}", described)
            .replace("{{plugin}}", plugin)
            .replace("{{deployment}}", deployment)
            .replace("{{version}}", env!("CARGO_PKG_VERSION"))
    };
    let all = common.into_iter().chain(own);
    all.map(|(path, text)| (path, replaced(text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{plugin_cases, plugin_project};
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    const LANGUAGES: [PluginLanguage; 7] = [
        PluginLanguage::Rust,
        PluginLanguage::JavaScript,
        PluginLanguage::Python,
        PluginLanguage::Go,
        PluginLanguage::C,
        PluginLanguage::Zig,
        PluginLanguage::AssemblyScript,
    ];

    #[test]
    fn a_project_is_complete_and_sound() {
        for language in LANGUAGES {
            let template = Template { name: "mine", language };
            let files = files(&template);
            let text = |path: &str| &files.iter().find(|(it, _)| *it == path).unwrap().1;
            let project = plugin_project(text("plugin.yaml"), Path::new("plugin.yaml")).unwrap();
            assert_eq!((project.name.as_str(), project.language), ("mine", language));
            let cases = plugin_cases(text("cases.yaml").as_bytes(), Path::new("cases.yaml"));
            assert!(cases.is_ok(), "{}", cases.unwrap_err());
            for (path, text) in &files {
                assert!(!text.contains("{{"), "{path} of {language:?}");
                let linked = path.starts_with("sdk/") || path.starts_with('.') || path.contains('.');
                assert!(linked, "{path}");
            }
        }
    }

    /// The paths of all files below a folder.
    fn below(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, root, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }

    #[test]
    fn the_sdk_of_a_project_is_the_whole_sdk() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/sdk");
        let mut found = BTreeSet::new();
        below(&root.join("src"), &root, &mut found);
        let embedded = SDK
            .iter()
            .map(|(path, _)| path.strip_prefix("sdk/").unwrap().to_owned());
        assert_eq!(embedded.collect::<BTreeSet<_>>(), found);
    }
}
