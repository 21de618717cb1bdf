//! Plugins through Debian's registry, with the commands as they are typed. Left out where that registry is not installed.

use crate::PROGRAM;
use portolan::oci::Digest;
use portolan::plugin::embedded;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The registry's program.
const REGISTRY: &str = "docker-registry";

struct Registry {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None`: not installed. `auth`: further lines of its configuration.
fn start(auth: &str, htpasswd: &str) -> Option<Registry> {
    if Command::new(REGISTRY).arg("--version").output().is_err() {
        eprintln!("left out: {REGISTRY} is not installed");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display();
    // Free a moment ago: the registry does not say which port it got.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|it| it.local_addr())
        .expect("a port")
        .port();
    let auth = auth.replace("FOLDER", &path.to_string());
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {path}/data}}}}\n{auth}http: {{addr: \"127.0.0.1:{port}\"}}\n"
    );
    fs::write(folder.path().join("config.yml"), config).expect("written");
    fs::write(folder.path().join("htpasswd"), htpasswd).expect("written");
    let child = Command::new(REGISTRY)
        .arg("serve")
        .arg(folder.path().join("config.yml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let registry = Registry { child, port, folder };
    let begun = Instant::now();
    while !registry.answers() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "the registry does not answer"
        );
        std::thread::yield_now();
    }
    Some(registry)
}

impl Registry {
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else {
            return false;
        };
        let mut answer = String::new();
        let asked = stream.write_all(b"GET /v2/ HTTP/1.0\r\nHost: localhost\r\n\r\n");
        asked.and_then(|()| stream.read_to_string(&mut answer)).is_ok() && answer.starts_with("HTTP/1.")
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn reference(&self, rest: &str) -> String {
        format!("127.0.0.1:{}/{rest}", self.port)
    }

    /// Runs a command in the registry's folder, without the credentials of whoever runs the tests.
    fn portolan(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(PROGRAM);
        command
            .arg("plugin")
            .args(arguments)
            .current_dir(&self.folder)
            .env_remove("DOCKER_CONFIG");
        command.env_remove("REGISTRY_AUTH_FILE").env("HOME", self.folder.path());
        command.envs(variables.iter().copied()).output().expect("run")
    }

    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.portolan(arguments, &[]);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    }

    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.portolan(arguments, &[]);
        assert!(
            !output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8(output.stderr).expect("text")
    }
}

fn write(folder: &Path, name: &str) -> &'static [u8] {
    let component = embedded::find(name).expect("an embedded plugin");
    fs::write(folder.join(format!("{name}.wasm")), component).expect("written");
    component
}

#[test]
fn a_plugin_is_pushed_signed_verified_and_pulled() {
    let Some(registry) = start("", "") else { return };
    let component = write(registry.folder.path(), "nearest");
    write(registry.folder.path(), "canary");
    let reference = registry.reference("team/nearest:1.0.0");
    let by_digest = registry.prints(&["push", "nearest.wasm", &reference]);
    let by_digest = by_digest.trim();
    assert!(
        by_digest.starts_with(&format!("oci://127.0.0.1:{}/team/nearest@sha256:", registry.port)),
        "{by_digest}"
    );
    let again = registry.prints(&["push", "nearest.wasm", &registry.reference("team/nearest:again")]);
    assert_eq!(again.trim(), by_digest, "the same file has the same digest");

    let out = registry.path("pulled.wasm");
    let said = registry.prints(&["pull", by_digest, "--out", &out]);
    assert!(said.contains(by_digest), "{said}");
    assert_eq!(fs::read(&out).expect("written"), component);

    for kind in ["ecdsa", "ed25519"] {
        registry.prints(&["keygen", kind, "--kind", kind]);
        let (key, public) = (format!("{kind}.key"), format!("{kind}.pub"));
        let error = registry.fails(&["verify", &reference, "--key", &public]);
        assert!(
            error.contains("is not signed") || error.contains("another key"),
            "{error}"
        );
        registry.prints(&["sign", by_digest, "--key", &key]);
        let said = registry.prints(&["verify", &reference, "--key", &public]);
        assert!(said.contains(&format!("is signed with {public}")), "{said}");
        registry.prints(&["pull", &reference, "--key", &public, "--out", &out]);
        let error = registry.fails(&["keygen", kind]);
        assert!(error.contains("exists"), "{error}");
    }
    // Another artifact, and a tag that moves to it.
    registry.prints(&["push", "canary.wasm", &reference]);
    let error = registry.fails(&["pull", &reference, "--key", "ecdsa.pub", "--out", &out]);
    assert!(error.contains("is not signed"), "{error}");
    assert_eq!(fs::read(&out).expect("there"), component, "nothing was written");
    let error = registry.fails(&["pull", &registry.reference("team/nearest:2"), "--out", &out]);
    assert!(error.contains("404") && error.contains("manifest unknown"), "{error}");
    let nowhere = registry.reference(&format!("team/nearest@{}", Digest::of(b"nothing")));
    assert!(registry.fails(&["pull", &nowhere]).contains("manifest unknown"));
    fs::write(registry.path("text.wasm"), "text").expect("written");
    let error = registry.fails(&["push", "text.wasm", &reference]);
    assert!(error.contains("not WebAssembly"), "{error}");
}

#[test]
fn a_registry_with_passwords_is_asked_as_the_environment_says() {
    // bcrypt of "secret", as `htpasswd -Bbn bob secret` writes it.
    let htpasswd = "bob:$2y$05$HrklnzFDBBRBuabx3XeYMOq4DbYjSA7NprHHjzifCeC5kb8T88Wae\n";
    let auth = "auth: {htpasswd: {realm: \"test, with comma\", path: FOLDER/htpasswd}}\n";
    let Some(registry) = start(auth, htpasswd) else { return };
    write(registry.folder.path(), "nearest");
    let reference = registry.reference("team/nearest:1");
    let push = ["push", "nearest.wasm", reference.as_str()];
    let error = registry.fails(&push);
    assert!(error.contains("denied") && error.contains("docker login"), "{error}");
    let right = [
        ("PORTOLAN_REGISTRY_USERNAME", "bob"),
        ("PORTOLAN_REGISTRY_PASSWORD", "secret"),
    ];
    let output = registry.portolan(&push, &right);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let wrong = [right[0], ("PORTOLAN_REGISTRY_PASSWORD", "other")];
    let output = registry.portolan(&push, &wrong);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && error.contains("these credentials do not allow it"),
        "{error}"
    );
    // Docker's configuration.
    fs::create_dir(registry.path(".docker")).expect("made");
    let config = format!(
        "{{\"auths\":{{\"127.0.0.1:{}\":{{\"auth\":\"Ym9iOnNlY3JldA==\"}}}}}}",
        registry.port
    );
    fs::write(registry.path(".docker/config.json"), config).expect("written");
    registry.prints(&["pull", &reference]);
    assert!(Path::new(&registry.path("nearest.wasm")).exists());
}
