//! Docker's `config.json`: `auths`, `credHelpers` and `credsStore`.

use super::credentials::{Credentials, CredentialsError};
use super::reference::Registry;
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a program may take that gives credentials.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest file, and the longest answer of a program, in bytes.
const MOST: u64 = 1 << 20;

/// Where Docker Hub has its credentials.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Base64 with or without padding: both are written.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// Keeps its secrets.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// What a file has for a registry. `None`: nothing, or there is no such file.
///
/// # Errors
/// When the file is there and cannot be read, or its program fails.
pub(super) fn find(file: &Path, registry: &Registry) -> Result<Option<Credentials>, CredentialsError> {
    let failed = |reason: String| CredentialsError::File {
        file: file.to_owned(),
        reason,
    };
    let config: Config = match fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
    };
    let is_meant = |key: &str| host_of(key) == registry.as_str() || is_hub(registry) && key == DOCKER_HUB;
    let helper = config.cred_helpers.iter().find(|(key, _)| is_meant(key));
    if let Some((key, helper)) = helper {
        return ask(helper, key);
    }
    // A store is asked first, as Docker leaves empty entries for what is in it.
    if let Some(store) = config.creds_store.as_deref().filter(|store| !store.is_empty()) {
        let name = if is_hub(registry) {
            DOCKER_HUB
        } else {
            registry.as_str()
        };
        if let Some(found) = ask(store, name)? {
            return Ok(Some(found));
        }
    }
    let entry = config.auths.into_iter().find(|(key, _)| is_meant(key));
    entry.map_or(Ok(None), |(key, entry)| {
        entry
            .credentials()
            .map_err(|reason| failed(format!("auths has for {key} {reason}")))
    })
}

fn is_hub(registry: &Registry) -> bool {
    matches!(
        registry.as_str(),
        "docker.io" | "index.docker.io" | "registry-1.docker.io"
    )
}

/// The host and port of a key, which may be a URL.
fn host_of(key: &str) -> String {
    let bare = key.split_once("://").map_or(key, |(_, rest)| rest);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    // The key of a registry's path is not for all of the registry, but that of its version is.
    let bare = bare
        .strip_suffix("/v1")
        .or_else(|| bare.strip_suffix("/v2"))
        .unwrap_or(bare);
    bare.to_ascii_lowercase()
}

impl Entry {
    fn credentials(self) -> Result<Option<Credentials>, String> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credentials::IdentityToken(self.identitytoken)));
        }
        if !self.auth.is_empty() {
            let decoded = BASE64
                .decode(self.auth.trim())
                .map_err(|_| "an auth that is not base64")?;
            let text = String::from_utf8(decoded).map_err(|_| "an auth that is not text")?;
            // The first colon: passwords have colons, names have none.
            let (username, password) = text
                .split_once(':')
                .ok_or("an auth that is not a name and a password")?;
            return Ok(Some(Credentials::Basic {
                username: username.to_owned(),
                password: password.trim_end_matches('\0').to_owned(),
            }));
        }
        let named = !self.username.is_empty() || !self.password.is_empty();
        Ok(named.then_some(Credentials::Basic {
            username: self.username,
            password: self.password,
        }))
    }
}

/// Asks a program `docker-credential-NAME`. `None`: it has nothing for this registry.
fn ask(name: &str, registry: &str) -> Result<Option<Credentials>, CredentialsError> {
    let program = format!("docker-credential-{name}");
    let failed = |reason: String| CredentialsError::Helper {
        program: program.clone(),
        reason,
    };
    if name.contains('/') {
        return Err(failed("its name has a slash".into()));
    }
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let spoken = speak(&mut child, registry);
    if spoken.is_none() {
        // Reading ends with it.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    let bytes = spoken.ok_or_else(|| failed(format!("no answer within {PATIENCE:?}")))?;
    if !status.success() {
        let text = String::from_utf8_lossy(&bytes);
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(format!(
            "{status}: {}",
            text.lines().next().unwrap_or("it gives no reason")
        )));
    }
    // Its text is not shown: it may have the secret.
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| failed("its answer is malformed".into()))?;
    Ok(Some(match answer.username.as_str() {
        "<token>" => Credentials::IdentityToken(answer.secret),
        _ => Credentials::Basic {
            username: answer.username,
            password: answer.secret,
        },
    }))
}

/// Writes the registry to a program, and reads what it prints, in time.
fn speak(child: &mut Child, registry: &str) -> Option<Vec<u8>> {
    let (mut input, output) = (child.stdin.take()?, child.stdout.take()?);
    // One that does not read it may still print something.
    let _ = input.write_all(registry.as_bytes());
    drop(input);
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.take(MOST).read_to_end(&mut bytes);
        // Who asked may have given up.
        let _ = sender.send(read.map(|_| bytes));
    });
    receiver.recv_timeout(PATIENCE).ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn found(config: &str, registry: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config.json");
        fs::write(&file, config).expect("written");
        match find(&file, &registry.parse().expect("a registry")) {
            Ok(Some(Credentials::Basic { username, password })) => format!("{username}/{password}"),
            Ok(Some(Credentials::IdentityToken(token))) => format!("token {token}"),
            Ok(Some(other)) => panic!("{other:?}"),
            Ok(None) => "none".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn entries_are_found_by_host_and_port_in_all_their_forms() {
        let config = r#"{ "auths": {
            "a.example": { "auth": "Ym9iOnM6ZWM6cmV0" },
            "https://b.example": { "auth": "Ym9iOnM" },
            "c.example:5000": { "username": "bob", "password": "x" },
            "[::1]:5000": { "username": "six", "password": "x" },
            "d.example": { "identitytoken": "T", "auth": "AAAA" },
            "e.example": {},
            "f.example/team": { "username": "bob", "password": "x" },
            "https://index.docker.io/v1/": { "username": "hub", "password": "x" },
            "g.example": { "auth": "!" } } }"#;
        for (registry, expected) in [
            ("a.example", "bob/s:ec:ret"),
            ("b.example", "bob/s"),
            ("c.example:5000", "bob/x"),
            ("c.example", "none"),
            ("[::1]:5000", "six/x"),
            ("d.example", "token T"),
            ("e.example", "none"),
            ("f.example", "none"),
            ("docker.io", "hub/x"),
        ] {
            assert_eq!(found(config, registry), expected, "{registry}");
        }
        assert!(found(config, "g.example").ends_with("auths has for g.example an auth that is not base64"));
        assert!(found("{", "a.example").contains("failed to read credentials from"));
    }

    #[test]
    fn programs_give_credentials_and_their_failures_are_named() {
        let missing = r#"{ "credHelpers": { "a.example": "portolan-test-missing" }, "auths": { "a.example": { "auth": "Ym9iOnM" } } }"#;
        let error = found(missing, "a.example");
        assert!(
            error.starts_with("failed to get credentials by docker-credential-portolan-test-missing:"),
            "{error}"
        );
        // By its path, since the search path is that of the whole process.
        assert!(found(r#"{ "credsStore": "../../x" }"#, "a.example").ends_with("its name has a slash"));
    }

    #[test]
    fn a_program_reads_the_registry_and_prints_json() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("helper");
        fs::write(
            &file,
            "#!/bin/sh\nread -r host\nprintf '{\"Username\":\"<token>\",\"Secret\":\"%s\"}' \"$host\"\n",
        )
        .expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).expect("set");
        let mut child = Command::new(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let bytes = speak(&mut child, "a.example\n").expect("an answer");
        assert!(child.wait().expect("ended").success());
        let answer: Answer = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(
            (answer.username.as_str(), answer.secret.as_str()),
            ("<token>", "a.example")
        );
    }
}
