//! Credentials of the environment: variables of this program, else Docker's configuration.

use super::credentials::{Credentials, CredentialsError};
use super::docker_config;
use super::reference::Registry;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// Names a file in Docker's format; as other tools for registries have it.
const AUTH_FILE: &str = "REGISTRY_AUTH_FILE";
/// Who asks, besides [`PASSWORD`].
const USERNAME: &str = "PORTOLAN_REGISTRY_USERNAME";
/// The password or token of [`USERNAME`].
const PASSWORD: &str = "PORTOLAN_REGISTRY_PASSWORD";
/// The registry that they are for.
const HOST: &str = "PORTOLAN_REGISTRY_HOST";

/// Who asks a registry, by the environment. `only`: the registry is the only one that is asked, so that variables that name none
/// are for it.
///
/// # Errors
/// When a file or program fails that should say it.
pub fn credentials_of_environment(registry: &Registry, only: bool) -> Result<Credentials, CredentialsError> {
    of(registry, only, |name| {
        env::var_os(name).filter(|value| !value.is_empty())
    })
}

fn of(
    registry: &Registry,
    only: bool,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Credentials, CredentialsError> {
    let text = |name| variable(name)?.into_string().ok();
    let is_meant = text(HOST).map_or(only, |host| host.eq_ignore_ascii_case(registry.as_str()));
    if let (Some(username), Some(password), true) = (text(USERNAME), text(PASSWORD), is_meant) {
        return Ok(Credentials::Basic { username, password });
    }
    // The file that is named first and has an entry.
    let folder = |name: &str, inside: &str| variable(name).map(|folder| PathBuf::from(folder).join(inside));
    let files = [
        variable(AUTH_FILE).map(PathBuf::from),
        folder("DOCKER_CONFIG", "config.json"),
        folder("HOME", ".docker/config.json"),
    ];
    for file in files.into_iter().flatten() {
        if let Some(found) = docker_config::find(&file, registry)? {
            return Ok(found);
        }
    }
    Ok(Credentials::Anonymous)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn variables_are_for_the_registry_they_name() {
        let of = |only, variables: &[(&str, &str)]| {
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            format!(
                "{:?}",
                super::of(&"a.example".parse().expect("a registry"), only, variable).expect("none fails")
            )
        };
        let both = [(USERNAME, "bob"), (PASSWORD, "s")];
        assert_eq!(of(true, &both), "Basic(bob)");
        assert_eq!(of(false, &both), "Anonymous");
        let named = |host| [both[0], both[1], (HOST, host)];
        assert_eq!(of(false, &named("A.example")), "Basic(bob)");
        assert_eq!(of(true, &named("b.example")), "Anonymous");
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join(".docker")).expect("made");
        fs::write(
            folder.path().join(".docker/config.json"),
            r#"{"auths":{"a.example":{"auth":"aG9tZTpz"}}}"#,
        )
        .expect("written");
        let home = folder.path().to_str().expect("text");
        // A file that is not there, or has nothing for the registry, leaves the next one.
        assert_eq!(of(false, &[(AUTH_FILE, "/nonexistent"), ("HOME", home)]), "Basic(home)");
    }
}
