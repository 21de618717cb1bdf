//! Challenges of all kinds, tokens, and whom they are sent to.

use super::{basic, component, plain, pulled_as, pushed, reference};
use portolan::oci::Access;
use portolan::oci::credentials::{Credentials, EntraTokens, TokenFuture};
use portolan_tests::{FakeRegistry, RegistryReply, RegistryRequest};
use std::sync::Arc;

/// Lets in whoever has this authorization, and shows others the challenge.
fn guard(registry: &FakeRegistry, challenges: Vec<String>, wanted: &'static str) {
    registry.script(move |request| {
        (request.header("authorization") != wanted).then(|| {
            let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
            let reply = RegistryReply::new(401, body);
            challenges.iter().fold(reply, |reply, challenge| {
                reply.with("WWW-Authenticate", challenge.clone())
            })
        })
    });
}

/// A token service with this answer.
fn tokens(answer: &'static str) -> FakeRegistry {
    let service = FakeRegistry::start();
    service.script(move |_| Some(RegistryReply::new(200, answer)));
    service
}

fn pull(registry: &FakeRegistry, access: &Access) -> Result<(), String> {
    let found = pulled_as(&reference(registry, "team/a:1"), access, None);
    found
        .map(|found| assert_eq!(found.component, component()))
        .map_err(|error| error.to_string())
}

fn form(request: &RegistryRequest) -> Vec<(String, String)> {
    url::form_urlencoded::parse(&request.body).into_owned().collect()
}

#[test]
fn basic_is_met_with_a_name_and_its_password() {
    let registry = FakeRegistry::start();
    pushed(&registry, "team/a:1", component());
    guard(
        &registry,
        vec!["Basic realm=\"test, with \\\"comma\\\"\"".into()],
        "Basic Ym9iOnM6ZWM6cmV0",
    );
    pull(&registry, &basic("bob", "s:ec:ret")).expect("pulled");
    let error = pull(&registry, &plain()).expect_err("denied");
    assert!(
        error.contains("authentication required") && error.contains("docker login"),
        "{error}"
    );
    let error = pull(&registry, &basic("bob", "wrong")).expect_err("denied");
    assert!(
        error.contains("these credentials do not allow it") && !error.contains("wrong"),
        "{error}"
    );
}

#[test]
fn bearer_is_preferred_to_basic_in_one_line_and_in_two() {
    for answer in [
        r#"{"token":"T"}"#,
        r#"{"access_token":"T","expires_in":300}"#,
        r#"{"token":"T","expires_in":0}"#,
    ] {
        let service = tokens(answer);
        let bearer = format!(
            "Bearer realm=\"http://{}/token?x=1\",service=\"svc, a\",scope=\"repository:team/a:pull\"",
            service.address()
        );
        for challenges in [
            vec![format!("Basic realm=\"r\", {bearer}")],
            vec!["Basic realm=\"r\"".to_owned(), bearer.clone()],
            vec![bearer.clone(), "Basic realm=\"r\"".to_owned()],
        ] {
            let registry = FakeRegistry::start();
            pushed(&registry, "team/a:1", component());
            guard(&registry, challenges, "Bearer T");
            pull(&registry, &basic("bob", "secret")).expect("pulled");
        }
        let seen = service.seen();
        let target = "/token?x=1&service=svc%2C+a&scope=repository%3Ateam%2Fa%3Apull";
        assert!(
            seen.iter()
                .all(|it| it.target == target && it.header("authorization") == "Basic Ym9iOnNlY3JldA=="),
            "{seen:?}"
        );
    }
}

#[test]
fn a_challenge_without_scope_or_quotes_is_met() {
    let service = tokens(r#"{"token":"T"}"#);
    let registry = FakeRegistry::start();
    pushed(&registry, "team/a:1", component());
    guard(
        &registry,
        vec![format!("bearer realm=http://{}/token", service.address())],
        "Bearer T",
    );
    pull(&registry, &plain()).expect("pulled without credentials");
    let seen = service.seen();
    assert!(
        seen.iter()
            .all(|it| it.target == "/token?scope=repository%3Ateam%2Fa%3Apull"),
        "{seen:?}"
    );
    assert!(seen.iter().all(|it| it.header("authorization").is_empty()));
}

#[test]
fn credentials_are_not_sent_to_a_realm_without_tls() {
    for (challenge, why) in [
        ("Bearer realm=\"http://token.example.net/\"", "without TLS"),
        ("Bearer realm=\"nowhere\"", "its realm is not an https address"),
        ("Bearer service=\"a\"", "Bearer without a realm"),
        ("Negotiate", "negotiate instead of Basic or Bearer"),
        ("", "401 without WWW-Authenticate"),
    ] {
        let registry = FakeRegistry::start();
        let challenges = if challenge.is_empty() {
            Vec::new()
        } else {
            vec![challenge.to_owned()]
        };
        guard(&registry, challenges, "nothing");
        let error = pull(&registry, &basic("bob", "secret")).expect_err("denied");
        assert!(error.contains(why), "{challenge}: {error}");
    }
}

#[test]
fn a_token_service_that_denies_is_quoted() {
    let service = FakeRegistry::start();
    service.script(|_| {
        Some(RegistryReply::new(
            401,
            r#"{"details":"incorrect username or password"}"#,
        ))
    });
    let registry = FakeRegistry::start();
    guard(
        &registry,
        vec![format!("Bearer realm=\"http://{}/\"", service.address())],
        "Bearer T",
    );
    let error = pull(&registry, &basic("bob", "secret")).expect_err("denied");
    assert!(
        error.contains("incorrect username or password") && !error.contains("secret"),
        "{error}"
    );
    service.script(|_| Some(RegistryReply::new(200, r#"{"id_token":"x"}"#)));
    let error = pull(&registry, &basic("bob", "secret")).expect_err("denied");
    assert!(error.contains("neither token nor access_token"), "{error}");
}

#[test]
fn an_identity_token_is_exchanged_in_a_form() {
    let service = tokens(r#"{"access_token":"T"}"#);
    let registry = FakeRegistry::start();
    pushed(&registry, "team/a:1", component());
    guard(
        &registry,
        vec![format!(
            "Bearer realm=\"http://{}/token\",service=\"svc\"",
            service.address()
        )],
        "Bearer T",
    );
    let access = Access {
        credentials: Credentials::IdentityToken("R".into()),
        ..plain()
    };
    pull(&registry, &access).expect("pulled");
    let seen = service.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].header("authorization")), ("POST", ""));
    assert_eq!(seen[0].header("content-type"), "application/x-www-form-urlencoded");
    let expected = [
        ("grant_type", "refresh_token"),
        ("client_id", "portolan"),
        ("service", "svc"),
        ("scope", "repository:team/a:pull"),
        ("refresh_token", "R"),
    ];
    assert_eq!(
        form(&seen[0]),
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[derive(Debug)]
struct Entra(Result<&'static str, &'static str>);

impl EntraTokens for Entra {
    fn token(&self) -> TokenFuture<'_> {
        let token = self.0.map(str::to_owned).map_err(str::to_owned);
        Box::pin(async move { token })
    }
}

#[test]
fn a_registry_of_azure_exchanges_a_token_of_entra_twice() {
    let registry = FakeRegistry::start();
    pushed(&registry, "team/a:1", component());
    let realm = format!(
        "Bearer realm=\"http://{}/oauth2/token\",service=\"a.azurecr.io\"",
        registry.address()
    );
    registry.script(move |request| match request.target.as_str() {
        "/oauth2/exchange" => {
            let expected = [
                ("grant_type", "access_token"),
                ("service", "a.azurecr.io"),
                ("access_token", "E"),
            ];
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            Some(match form(request) == expected {
                true => RegistryReply::new(200, r#"{"refresh_token":"R"}"#),
                false => RegistryReply::new(401, "{}"),
            })
        }
        "/oauth2/token" => {
            let is_known = form(request).contains(&("refresh_token".to_owned(), "R".to_owned()));
            Some(match is_known {
                true => RegistryReply::new(200, r#"{"access_token":"T"}"#),
                false => RegistryReply::new(401, "{}"),
            })
        }
        _ if request.header("authorization") == "Bearer T" => None,
        _ => Some(RegistryReply::new(401, "").with("WWW-Authenticate", realm.clone())),
    });
    let access = |entra| Access {
        credentials: Credentials::Azure(Arc::new(Entra(entra))),
        ..plain()
    };
    pull(&registry, &access(Ok("E"))).expect("pulled");
    let error = pull(&registry, &access(Err("no identity on this machine"))).expect_err("denied");
    assert!(error.contains("no identity on this machine"), "{error}");
    pull(&registry, &access(Ok("another"))).expect_err("denied");
}
