use http::header::CONTENT_TYPE;
use serde_json::Value;
use url::form_urlencoded;

use super::*;
use crate::testing::{Reply, send};

const SOON: Duration = Duration::from_secs(5);
const SCOPE: &str = "https://management.azure.com/.default";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

struct Scene {
    authority: CertificateAuthority,
    entra: FakeEntra,
}

impl Scene {
    async fn new() -> Scene {
        let (clock, authority) = (Clock::stopped(), CertificateAuthority::new().unwrap());
        let entra = FakeEntra::start(&clock, &authority).await.unwrap();
        Scene { authority, entra }
    }

    async fn ask(&self, form: &[(&str, &str)]) -> Reply {
        self.post(&format!("/{TENANT}/oauth2/v2.0/token"), form).await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let headers = [(CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")];
        let url = self.entra.url().join(path).unwrap();
        send(Method::POST, &url, &headers, body, Some(&self.authority))
            .await
            .unwrap()
    }
}

fn by_secret<'a>(client: &'a str, secret: &'a str, scope: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("client_id", client),
        ("client_secret", secret),
        ("grant_type", "client_credentials"),
        ("scope", scope),
    ]
}

fn by_assertion(assertion: &str) -> Vec<(&str, &str)> {
    vec![
        ("client_id", CLIENT_ID),
        ("client_assertion", assertion),
        ("client_assertion_type", ASSERTION_TYPE),
        ("grant_type", "client_credentials"),
        ("scope", SCOPE),
    ]
}

fn without<'a>(mut form: Vec<(&'a str, &'a str)>, name: &str) -> Vec<(&'a str, &'a str)> {
    form.retain(|(n, _)| *n != name);
    form
}

#[tokio::test]
async fn a_secret_and_a_federated_assertion_each_give_a_token_that_the_other_fakes_accept() {
    let scene = Scene::new().await;
    scene.entra.expires_in(Duration::from_secs(600));
    let assertion = scene.entra.federated_token();
    for form in [by_secret(CLIENT_ID, CLIENT_SECRET, SCOPE), by_assertion(&assertion)] {
        let reply = scene.ask(&form).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let answer = reply.json();
        assert_eq!(
            (&answer["token_type"], &answer["expires_in"]),
            (&json!("Bearer"), &json!(600))
        );
        let token = answer["access_token"].as_str().unwrap();
        let claims = token::claims(token).unwrap();
        assert_eq!(claims["iss"], format!("https://sts.windows.net/{TENANT}/"));
        assert_eq!(claims["aud"], "https://management.azure.com");
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 600);
        assert_eq!(claims["nbf"], claims["iat"]);
        let headers = [(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())]
            .into_iter()
            .collect();
        let check = || scene.entra.tokens().check(&headers, &["https://management.azure.com"]);
        assert_eq!(check().unwrap().client_id, CLIENT_ID);
    }
    let log = scene.entra.log();
    let text = log.iter().map(ToString::to_string).collect::<String>();
    assert!(text.contains("scope=https://management.azure.com/.default"), "{text}");
    assert!(!text.contains(CLIENT_SECRET) && !text.contains(&assertion), "{text}");
}

#[tokio::test]
async fn a_storage_scope_gives_a_token_for_storage_alone() {
    let scene = Scene::new().await;
    let reply = scene
        .ask(&by_secret(
            CLIENT_ID,
            CLIENT_SECRET,
            "https://storage.azure.com/.default",
        ))
        .await;
    let bearer = format!("Bearer {}", reply.json()["access_token"].as_str().unwrap());
    let headers = [(header::AUTHORIZATION, bearer.parse().unwrap())].into_iter().collect();
    let check = |audience| scene.entra.tokens().check(&headers, &[audience]);
    assert!(check("https://storage.azure.com").is_ok());
    let rejection = TokenRejection::Audience("https://storage.azure.com".to_owned());
    assert_eq!(check("https://management.azure.com"), Err(rejection));
}

#[tokio::test]
async fn an_error_has_its_aadsts_number() {
    let scene = Scene::new().await;
    let good = || by_secret(CLIENT_ID, CLIENT_SECRET, SCOPE);
    let tokens = scene.entra.tokens();
    let stranger = tokens.assertion("https://other.example.net", FEDERATED_SUBJECT, SOON);
    let other_subject = tokens.assertion(FEDERATED_ISSUER, "system:serviceaccount:default:default", SOON);
    let expired = tokens.assertion(FEDERATED_ISSUER, FEDERATED_SUBJECT, Duration::ZERO);
    let wrong_audience = tokens.mint(CLIENT_ID, "https://storage.azure.com", SOON);
    let mut both = good();
    both.push(("client_assertion", &stranger));
    let cases = [
        (
            by_secret("nobody", CLIENT_SECRET, SCOPE),
            400,
            "unauthorized_client",
            700_016,
        ),
        (by_secret(CLIENT_ID, "wrong", SCOPE), 401, "invalid_client", 7_000_215),
        (
            by_secret(CLIENT_ID, CLIENT_SECRET, "https://example.net/.default"),
            400,
            "invalid_scope",
            70_011,
        ),
        (
            by_secret(CLIENT_ID, CLIENT_SECRET, "https://management.azure.com"),
            400,
            "invalid_scope",
            70_011,
        ),
        (without(good(), "scope"), 400, "invalid_request", 900_144),
        (without(good(), "client_id"), 400, "invalid_request", 900_144),
        (without(good(), "grant_type"), 400, "invalid_request", 900_144),
        (without(good(), "client_secret"), 401, "invalid_client", 7_000_218),
        (both, 401, "invalid_client", 7_000_218),
        (
            without(by_assertion(&stranger), "client_assertion_type"),
            400,
            "invalid_request",
            900_144,
        ),
        (by_assertion("not a token"), 400, "invalid_request", 50_027),
        (by_assertion(&stranger), 401, "invalid_client", 700_213),
        (by_assertion(&other_subject), 401, "invalid_client", 700_213),
        (by_assertion(&wrong_audience), 401, "invalid_client", 700_213),
        (by_assertion(&expired), 401, "invalid_client", 700_024),
    ];
    for (form, status, error, code) in cases {
        let reply = scene.ask(&form).await;
        let body = reply.json();
        assert_eq!(
            (reply.status.as_u16(), &body["error"]),
            (status, &json!(error)),
            "{form:?} {body}"
        );
        assert_eq!(body["error_codes"], json!([code]));
        assert!(
            body["error_description"]
                .as_str()
                .unwrap()
                .starts_with(&format!("AADSTS{code}: ")),
            "{body}"
        );
    }
    let tenant = scene.post("/other/oauth2/v2.0/token", &good()).await;
    assert_eq!(
        (tenant.status.as_u16(), &tenant.json()["error_codes"]),
        (400, &json!([90_002]))
    );
    assert_eq!(
        scene.post(&format!("/{TENANT}/oauth2/token"), &good()).await.status,
        404
    );
    let url = scene.entra.url().join(&format!("/{TENANT}/oauth2/v2.0/token")).unwrap();
    let json_body = send(
        Method::POST,
        &url,
        &[("content-type", "application/json")],
        "{}",
        Some(&scene.authority),
    )
    .await;
    assert_eq!(json_body.unwrap().status, 400);
    assert_eq!(
        send(Method::GET, &url, &[], "", Some(&scene.authority))
            .await
            .unwrap()
            .status,
        405
    );
}

#[tokio::test]
async fn more_clients_can_be_registered() {
    let scene = Scene::new().await;
    scene.entra.register("another", Login::Secret("open".to_owned()));
    assert_eq!(scene.ask(&by_secret("another", "open", SCOPE)).await.status, 200);
}

#[tokio::test]
async fn faults_and_doors() {
    let scene = Scene::new().await;
    let form = by_secret(CLIENT_ID, CLIENT_SECRET, SCOPE);
    scene
        .entra
        .fault_times(1, Requests::all(), Fault::TooManyRequests { retry_after: Some(3) });
    let reply = scene.ask(&form).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (429, Some("3")));
    scene.entra.fault_times(1, Requests::all(), Fault::Garbage);
    assert!(serde_json::from_slice::<Value>(&scene.ask(&form).await.body).is_err());
    scene.entra.fault(Requests::all().by_listener("main"), Fault::Hang);
    let hung = tokio::select! {
        _ = scene.ask(&form) => false,
        seen = scene.entra.until(SOON, |entra| entra.log().len() == 3) => seen.is_ok(),
    };
    assert!(hung);
    let listener = scene.entra.open_listener("a").await.unwrap();
    let url = listener.join(&format!("/{TENANT}/oauth2/v2.0/token")).unwrap();
    assert_eq!(
        send(Method::GET, &url, &[], "", Some(&scene.authority))
            .await
            .unwrap()
            .status,
        405
    );
    scene.entra.clear_faults(Some("main"));
    assert_eq!(scene.ask(&form).await.status, 200);
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_authority_does_not_get_through() {
    let scene = Scene::new().await;
    let stranger = CertificateAuthority::new().unwrap();
    assert!(
        send(Method::GET, &scene.entra.url(), &[], "", Some(&stranger))
            .await
            .is_err()
    );
    assert_eq!(scene.entra.log(), []);
}
