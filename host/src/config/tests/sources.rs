//! Configurations of several files, and variables of the environment in them.

use super::SMALL;
use crate::config::load::parse_with;
use crate::config::{ConfigErrors, Configuration, Reader, load_with};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// Files and variables in memory.
#[derive(Clone, Debug, Default)]
struct Memory {
    files: BTreeMap<PathBuf, String>,
    variables: BTreeMap<&'static str, OsString>,
}

impl Memory {
    fn new(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| (path.into(), (*text).to_owned()));
        Self {
            files: files.collect(),
            ..Self::default()
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.into());
        self
    }

    fn load(&self) -> Result<Configuration, ConfigErrors> {
        load_with(Path::new("etc/portolan.yaml"), self)
    }

    #[track_caller]
    fn accepted(&self) -> Configuration {
        self.load().unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[track_caller]
    fn rejected(&self) -> Vec<String> {
        let errors = self.load().expect_err("mistakes").to_string();
        errors.lines().map(str::to_owned).collect()
    }
}

impl Reader for Memory {
    fn read(&self, path: &Path, most: u64) -> io::Result<Bytes> {
        let text = self.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        let end = text.len().min(most as usize + 1);
        Ok(Bytes::copy_from_slice(&text.as_bytes()[..end]))
    }

    fn list(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let (folder, end) = (pattern.parent(), pattern.extension());
        let matches = self
            .files
            .keys()
            .filter(|path| path.parent() == folder && path.extension() == end);
        Ok(matches.cloned().collect())
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        self.variables.get(name).cloned()
    }
}

const MAIN: &str = r#"listeners:
  - address: 127.0.0.1:8080
include: [conf.d/*.yaml]
services:
  shop: { regions: [{ region: westeurope, gateway: "http://shop-weu.example" }] }
routes:
  - { path: /shop, service: shop }
"#;

const BLOG: &str = r#"services:
  blog: { regions: [{ region: eastus2, gateway: "http://blog-eus2.example" }] }
routes:
  - { path: /blog, service: blog }
lame_duck: 1s
"#;

const OPS: &str = r#"{ "listeners": [{ "address": "127.0.0.1:8081" }],
  "plugins": { "canary": { "source": "embedded:canary" } } }
"#;

#[test]
fn included_files_are_one_configuration_with_the_first() {
    let files = Memory::new(&[
        ("etc/portolan.yaml", MAIN),
        ("etc/conf.d/blog.yaml", BLOG),
        ("etc/conf.d/empty.yaml", "# nothing yet\n"),
        ("etc/conf.d/ops.yaml", OPS),
        ("etc/conf.d/other.json", "not included"),
    ]);
    let settings = files.accepted().settings;
    let names: Vec<_> = settings.routing.services().iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["shop", "blog"]);
    assert_eq!(settings.listeners.len(), 2);
    assert_eq!(settings.lame_duck.as_secs(), 1);
    assert!(settings.plugins.contains_key(&"canary".into()));
    let written = &settings.written;
    assert_eq!(
        written["routes"],
        json!([{ "path": "/shop", "service": "shop" }, { "path": "/blog", "service": "blog" }])
    );
    assert_eq!(written["services"].as_object().expect("a mapping").len(), 2);
    let included = settings.sources.included();
    let expected = [
        "etc/conf.d/*.yaml",
        "etc/conf.d/blog.yaml",
        "etc/conf.d/empty.yaml",
        "etc/conf.d/ops.yaml",
    ];
    assert_eq!(included, expected.map(PathBuf::from));
    // What is found later in a file that is named has its place, too.
    let mistake = settings.sources.mistake(&["listeners".into(), "1".into()], "x".into());
    assert_eq!(
        mistake.within(Path::new("etc/portolan.yaml")).to_string(),
        "etc/conf.d/ops.yaml:1:17: x"
    );
}

#[test]
fn mistakes_have_their_place_in_the_file_they_are_in() {
    let files = Memory::new(&[
        ("etc/portolan.yaml", &MAIN.replace("path: /shop,", "paht: /shop,")),
        ("etc/conf.d/a.yaml", &BLOG.replace("eastus2,", "eastus22,")),
        (
            "etc/conf.d/b.yaml",
            "services: { shop: {} }\nroutes:\n- { path: /blog, service: blog }\nlame_duck: 2s\n",
        ),
        ("etc/conf.d/c.yaml", "routes: [\n"),
        ("etc/conf.d/d.yaml", "[1]\n"),
        ("etc/conf.d/e.yaml", "include: ../more.yaml\nroutes: { a: b }\n"),
    ]);
    assert_eq!(
        files.rejected(),
        [
            "etc/portolan.yaml:7:7: routes[0].paht: unknown key — did you mean path?",
            "etc/conf.d/a.yaml:2:31: services.blog.regions[0].region: unknown region \"eastus22\" — did you mean eastus2?",
            "etc/conf.d/b.yaml:1:13: services.shop: given twice, first on line 5 of the configuration file: remove one",
            "etc/conf.d/b.yaml:3:3: routes[0]: never reached: line 4 of etc/conf.d/a.yaml has a route for the same host and path",
            "etc/conf.d/b.yaml:4:1: lame_duck: given twice, first on line 5 of etc/conf.d/a.yaml: remove one",
            "etc/conf.d/c.yaml:2:1: this is not YAML: while parsing a node, did not find expected node content",
            "etc/conf.d/d.yaml:1:1: an included file is a mapping with keys such as services and routes",
            "etc/conf.d/e.yaml:1:1: include: an included file cannot include others: name them all in the configuration file",
            "etc/conf.d/e.yaml:2:9: routes: wanted a list, which is added to those of the other files",
        ]
    );
}

#[test]
fn what_is_included_is_bounded() {
    let missing = Memory::new(&[(
        "etc/portolan.yaml",
        &MAIN.replace("conf.d/*.yaml", "none.yaml, \"c*/x.yaml\""),
    )]);
    assert_eq!(
        missing.rejected(),
        [
            "etc/portolan.yaml:3:11: include[0]: etc/none.yaml: cannot be read: entity not found",
            "etc/portolan.yaml:3:22: include[1]: * and ? stand for parts of a file's name, not of a folder's",
        ]
    );
    let mut many = Memory::new(&[("etc/portolan.yaml", MAIN)]);
    many.files
        .extend((0..1_002).map(|number| (format!("etc/conf.d/{number}.yaml").into(), String::new())));
    assert_eq!(
        many.rejected(),
        ["etc/portolan.yaml:3:11: include[0]: more than 1000 files"]
    );
    let large = format!("# {}\n", "x".repeat(3 << 20));
    let large = Memory::new(&[
        ("etc/portolan.yaml", MAIN),
        ("etc/conf.d/a.yaml", &large),
        ("etc/conf.d/b.yaml", &large),
    ]);
    assert_eq!(
        large.rejected(),
        ["etc/portolan.yaml:3:11: include[0]: etc/conf.d/b.yaml: more than 4 MiB in all files together"]
    );
    // The file itself is not one of those it includes.
    let itself = Memory::new(&[("etc/portolan.yaml", &MAIN.replace("conf.d/*.yaml", "\"*.yaml\""))]);
    assert_eq!(itself.accepted().settings.routing.services().len(), 1);
}

#[test]
fn variables_are_read_as_if_their_values_were_written() {
    let text = SMALL
        .replace("address: 127.0.0.1:8080", "address: \"${HOST}:${PORT:-8080}\"")
        .replace(
            "routes:",
            "workers: \"${WORKERS}\"\nvia: ${NAME:-7}\nlame_duck: ${DUCK:-}7s\nroutes:",
        )
        .replace("region: westeurope,", "region: westeurope, weight: \"${WEIGHT}\",");
    let files = Memory::new(&[("etc/portolan.yaml", &text)])
        .with("HOST", "127.0.0.9")
        .with("PORT", "")
        .with("WORKERS", "3")
        .with("WEIGHT", "20");
    let configuration = files.accepted();
    assert_eq!(configuration.fixed.workers.map(usize::from), Some(3));
    let settings = &configuration.settings;
    assert_eq!(settings.listeners[0].address.to_string(), "127.0.0.9:8080");
    assert_eq!(settings.via.as_deref(), Some("7"), "text where text is wanted");
    assert_eq!(settings.routing.services()[0].gateways()[0].weight, 20);
    assert_eq!(settings.lame_duck.as_secs(), 7);
    // Whoever looks at the configuration sees the names.
    assert_eq!(settings.written["workers"], "${WORKERS}");
    assert!(!format!("{:?}", settings.sources).contains("127.0.0.9"));
}

#[test]
fn dollars_without_braces_stay_and_two_are_one() {
    let text = format!(
        "{SMALL}plugins: {{ canary: {{ source: \"embedded:canary\", config: {{ a: \"$x $$ $${{y}} ${{Z}}$\" }} }} }}\n"
    );
    let settings = Memory::new(&[("etc/portolan.yaml", &text)])
        .with("Z", "$$z")
        .accepted()
        .settings;
    let config = &settings.plugins[&"canary".into()].deployment.config;
    assert_eq!(
        config.parse::<serde_json::Value>().expect("JSON")["a"],
        "$x $ ${y} $$z$"
    );
}

#[test]
fn a_value_is_never_structure() {
    let text = SMALL.replace("path: /,", "path: \"${PATH_OF_ROUTE}\",");
    for value in [
        "/a, service: other",
        "{ a: b }",
        "[x]",
        "/\nservices: {}",
        "&x /",
        "*x",
        "!t /",
    ] {
        let files = Memory::new(&[("etc/portolan.yaml", &text)]).with("PATH_OF_ROUTE", value);
        assert_eq!(
            files.rejected(),
            [
                "etc/portolan.yaml:9:24: routes[0].path: wanted a path that begins with /, without query, got the value of \
                 ${PATH_OF_ROUTE}"
            ],
            "{value}"
        );
    }
}

#[test]
fn a_reference_without_a_value_is_a_mistake_at_its_place() {
    let text = SMALL.replace(
        "path: /,",
        "path: \"${NONE}\", priority: \"${1}\", prefix_rewrite: \"${A:-${B}}\", methods: \"${GET\",",
    );
    assert_eq!(
        Memory::new(&[("etc/portolan.yaml", &text)]).rejected(),
        [
            "etc/portolan.yaml:9:24: routes[0].path: the variable NONE is not set: set it in the environment, or give a default, \
             ${NONE:-default}",
            "etc/portolan.yaml:9:45: routes[0].priority: \"1\" is not the name of a variable, which has letters, digits and _: \
             ${NAME} or ${NAME:-default}",
            "etc/portolan.yaml:9:69: routes[0].prefix_rewrite: the default of ${A} cannot have variables itself",
            "etc/portolan.yaml:9:92: routes[0].methods: a variable without its }: ${NAME} or ${NAME:-default}; a $ before { is \
             written $$",
        ]
    );
}

#[test]
fn values_of_variables_are_not_in_messages() {
    let text = SMALL.replace("region: westeurope,", "region: \"${REGION}\",");
    let files = Memory::new(&[("etc/portolan.yaml", &text)]).with("REGION", "s3cret");
    assert_eq!(
        files.rejected(),
        [
            "etc/portolan.yaml:6:19: services.shop.regions[0].region: unknown region the value of ${REGION} — a place of your own needs \
             location: { latitude: …, longitude: … }"
        ]
    );
    let errors = parse_with(text.as_bytes(), Path::new("x.yaml"), &Memory::default()).expect_err("it is not set");
    assert!(errors.to_string().contains("REGION is not set"), "{errors}");
}

#[test]
fn included_files_may_be_named_by_variables_and_have_them() {
    let main = MAIN.replace("[conf.d/*.yaml]", "${EXTRA:-conf.d/*.yaml}");
    let blog = BLOG.replace("/blog,", "\"${BLOG}\",");
    let files = Memory::new(&[("etc/portolan.yaml", &main), ("etc/blog.yaml", &blog)])
        .with("EXTRA", "blog.yaml")
        .with("BLOG", "/b");
    let written = files.accepted().settings.written.clone();
    assert_eq!(written["routes"][1]["path"], "${BLOG}");
    assert_eq!(files.with("BLOG", "b").rejected().len(), 1);
}

proptest! {
    /// Whatever variables and files have, everything is accepted or rejected with a message.
    #[test]
    fn any_text_is_read_or_rejected(main in "(?s).{0,80}", part in "(?s).{0,80}", value in "[^\0]{0,20}") {
        let text = format!("include: conf.d/*.yaml\nvia: \"${{V}}\"\n{main}");
        let files = Memory::new(&[("etc/portolan.yaml", &text), ("etc/conf.d/a.yaml", &part)]).with("V", &value);
        if let Err(errors) = files.load() {
            prop_assert!(errors.count() > 0 && errors.mistakes.iter().all(|it| !it.message.is_empty()));
        }
    }
}
