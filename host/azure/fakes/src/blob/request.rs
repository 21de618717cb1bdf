//! The steps of a request to the blob store: authentication, action, answer.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, header};
use url::form_urlencoded;

use super::super::http::{Answer, Received};
use super::super::journal::Recorded;
use super::super::locked;
use super::errors::*;
use super::sas::{self, ACCOUNT};
use super::{Shared, act, text};

const VERSION: HeaderName = HeaderName::from_static("x-ms-version");

/// The newest service version that is accepted, the newest that Azurite 3.35 accepts. Versions are dates.
const NEWEST_VERSION: &str = "2025-11-05";

/// What the path and the query of a request name.
#[derive(Debug)]
struct Target {
    container: String,
    /// `None` if the container itself is meant.
    blob: Option<String>,
    component: String,
    prefix: String,
}

impl Shared {
    pub(super) fn answer(&self, received: Received) -> Answer {
        let now = self.clock.now();
        let fault = self.faults.meet(&received);
        let reply = || self.reply(&received, now).unwrap_or_else(|error| error.response(now));
        let mut answer = match fault {
            None => Answer::Whole(reply()),
            Some(fault) => fault.apply(reply, |status, code| {
                response(status, code, "This fault was injected.", now)
            }),
        };
        if let Answer::Whole(response) | Answer::Cut(response) = &mut answer {
            finish(&received, response, now);
        }
        self.journal.record(Recorded {
            at: now,
            listener: received.listener.to_string(),
            method: received.head.method.clone(),
            path: received.head.uri.path().to_owned(),
            api_version: text(&received.head.headers, VERSION.as_str()).map(str::to_owned),
            body: String::from_utf8_lossy(&received.body).into_owned(),
            status: answer.status(),
            violations: Vec::new(),
        });
        answer
    }

    fn reply(&self, received: &Received, now: SystemTime) -> Result<Response<Bytes>, StorageError> {
        let head = &received.head;
        if text(&head.headers, VERSION.as_str()).is_some_and(|version| version > NEWEST_VERSION) {
            return Err(INVALID_HEADER);
        }
        let target = Target::read(received)?;
        self.log_in(received, &target, now)?;
        let mut store = locked(&self.store);
        let asked = (&head.method, target.component.as_str());
        match &target.blob {
            None => act::on_container(&mut store, asked, &target.container, &target.prefix, now),
            Some(name) => act::on_blob(&mut store, asked, &target.container, name, received, now),
        }
    }

    /// By bearer token over TLS, or by a signature in the query.
    fn log_in(&self, received: &Received, target: &Target, now: SystemTime) -> Result<(), StorageError> {
        let head = &received.head;
        if head.headers.contains_key(header::AUTHORIZATION) {
            let grant = self.tokens.check(&head.headers, &["https://storage.azure.com"]);
            return if self.tls && grant.is_ok() {
                Ok(())
            } else {
                Err(INVALID_AUTHENTICATION)
            };
        }
        let query = head.uri.query().unwrap_or_default();
        if !query.contains("sig=") {
            return Err(NO_AUTHENTICATION);
        }
        let permission = match (&head.method, target.component.as_str()) {
            (&Method::GET, "list") => "l",
            (&Method::GET | &Method::HEAD, _) => "r",
            (&Method::DELETE, _) => "d",
            (_, "lease" | "metadata") => "w",
            (_, _) => "wc",
        };
        sas::check(query, permission, target.blob.is_some(), now)
    }
}

impl Target {
    fn read(received: &Received) -> Result<Target, StorageError> {
        let uri = &received.head.uri;
        let path = uri
            .path()
            .strip_prefix(&format!("/{ACCOUNT}/"))
            .ok_or(NOT_IMPLEMENTED)?;
        let (container, blob) = match path.split_once('/') {
            Some((container, blob)) if !blob.is_empty() => (container, Some(decoded(blob))),
            Some((container, _)) => (container, None),
            None => (path, None),
        };
        let query: Vec<(String, String)> = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
        let field = |name: &str| {
            query
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.clone())
                .unwrap_or_default()
        };
        check_container_name(container)?;
        if blob.is_none() && field("restype") != "container" {
            return Err(NOT_IMPLEMENTED);
        }
        Ok(Target {
            container: container.to_owned(),
            blob,
            component: field("comp"),
            prefix: field("prefix"),
        })
    }
}

fn check_container_name(name: &str) -> Result<(), StorageError> {
    if !(3..=63).contains(&name.len()) {
        return Err(OUT_OF_RANGE_NAME);
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    let ends_plain = bytes.first().copied().is_some_and(plain) && bytes.last().copied().is_some_and(plain);
    if ends_plain && !name.contains("--") && bytes.iter().all(|byte| plain(*byte) || *byte == b'-') {
        Ok(())
    } else {
        Err(INVALID_RESOURCE_NAME)
    }
}

/// The headers that every answer has.
fn finish(received: &Received, response: &mut Response<Bytes>, now: SystemTime) {
    let headers = response.headers_mut();
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(now)) {
        headers.insert(header::DATE, date);
    }
    let version = received.head.headers.get(VERSION).cloned();
    headers.insert(
        VERSION,
        version.unwrap_or_else(|| HeaderValue::from_static(NEWEST_VERSION)),
    );
    headers.insert(
        "x-ms-request-id",
        HeaderValue::from_static("00000000-0000-4000-8000-000000000000"),
    );
}

/// Undoes the percent encoding of a path.
fn decoded(path: &str) -> String {
    percent_encoding::percent_decode_str(path)
        .decode_utf8_lossy()
        .into_owned()
}
