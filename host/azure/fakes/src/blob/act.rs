//! What the requests of the blob store do.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Response, StatusCode, header};

use super::super::http::Received;
use super::errors::*;
use super::lease::Term;
use super::list;
use super::store::{Blob, Conditions, Store};
use super::text;

pub(super) fn on_container(
    store: &mut Store,
    asked: (&Method, &str),
    name: &str,
    prefix: &str,
    now: SystemTime,
) -> Result<Response<Bytes>, StorageError> {
    match asked {
        (&Method::PUT, "") => {
            let container = store.create_container(name, now)?;
            Ok(Builder::new(201)
                .revision(&container.etag, container.last_modified)
                .build())
        }
        (&Method::GET | &Method::HEAD, "") => {
            let container = store.container(name)?;
            Ok(Builder::new(200)
                .revision(&container.etag, container.last_modified)
                .build())
        }
        (&Method::DELETE, "") => {
            store.containers.remove(name).ok_or(CONTAINER_NOT_FOUND)?;
            Ok(Builder::new(202).build())
        }
        (&Method::GET, "list") => {
            let body = list::document(name, store.container(name)?, prefix, now);
            Ok(Builder::new(200)
                .with(header::CONTENT_TYPE, "application/xml")
                .body(body.into()))
        }
        _ => Err(NOT_IMPLEMENTED),
    }
}

pub(super) fn on_blob(
    store: &mut Store,
    asked: (&Method, &str),
    container: &str,
    name: &str,
    received: &Received,
    now: SystemTime,
) -> Result<Response<Bytes>, StorageError> {
    let headers = &received.head.headers;
    let conditions = Conditions::read(headers);
    match asked {
        (&Method::PUT, "") => {
            if text(headers, "x-ms-blob-type") != Some("BlockBlob") {
                return Err(INVALID_HEADER);
            }
            let kind = text(headers, "x-ms-blob-content-type").or_else(|| text(headers, "content-type"));
            let blob = Blob {
                content: received.body.clone(),
                content_type: kind.unwrap_or("application/octet-stream").to_owned(),
                metadata: metadata(headers),
                etag: String::new(),
                created: now,
                last_modified: now,
                lease: Default::default(),
            };
            let blob = store.put(container, name, &conditions, blob)?;
            Ok(Builder::new(201).revision(&blob.etag, blob.last_modified).build())
        }
        (&Method::PUT, "metadata") => {
            let etag = store.next_etag();
            let blob = store.write(container, name, &conditions, Some(now))?;
            blob.metadata = metadata(headers);
            blob.etag = etag;
            blob.last_modified = now;
            Ok(Builder::new(200).revision(&blob.etag, now).build())
        }
        (&Method::PUT, "lease") => lease(store, container, name, &conditions, headers, now),
        (&Method::GET | &Method::HEAD, "") => {
            let blob = store.read(container, name, &conditions, now)?;
            read(blob, asked.0 == Method::HEAD, headers, now)
        }
        (&Method::DELETE, "") => {
            store.delete(container, name, &conditions, now)?;
            Ok(Builder::new(202).build())
        }
        _ => Err(NOT_IMPLEMENTED),
    }
}

fn lease(
    store: &mut Store,
    container: &str,
    name: &str,
    conditions: &Conditions<'_>,
    headers: &HeaderMap,
    now: SystemTime,
) -> Result<Response<Bytes>, StorageError> {
    let second = store.lease_second;
    let new_id = store.next_lease_id();
    let blob = store.write(container, name, conditions, None)?;
    let id = || conditions.lease_id.ok_or(INVALID_HEADER);
    let proposed = text(headers, "x-ms-proposed-lease-id");
    let (status, left) = match text(headers, "x-ms-lease-action") {
        Some("acquire") => {
            let term = Term::parse(text(headers, "x-ms-lease-duration").unwrap_or_default())?;
            blob.lease
                .acquire(proposed.map_or(new_id, str::to_owned), term, now, second)?;
            (201, None)
        }
        Some("renew") => (200, blob.lease.renew(id()?, now, second).map(|()| None)?),
        Some("change") => {
            blob.lease
                .change(id()?, proposed.ok_or(INVALID_HEADER)?.to_owned(), now)?;
            (200, None)
        }
        Some("release") => (200, blob.lease.release(id()?).map(|()| None)?),
        Some("break") => {
            let period = text(headers, "x-ms-lease-break-period").map(str::parse).transpose();
            (
                202,
                Some(blob.lease.break_off(period.map_err(|_| INVALID_HEADER)?, now, second)?),
            )
        }
        _ => return Err(INVALID_HEADER),
    };
    let mut builder = Builder::new(status).revision(&blob.etag, blob.last_modified);
    if let Some(seconds) = left {
        builder = builder.with("x-ms-lease-time", &seconds.to_string());
    } else if let Some(id) = blob.lease.id() {
        builder = builder.with("x-ms-lease-id", id);
    }
    Ok(builder.build())
}

/// The blob or, for HEAD, its headers; the part asked for by `Range`.
fn read(blob: &Blob, head: bool, headers: &HeaderMap, now: SystemTime) -> Result<Response<Bytes>, StorageError> {
    let range = text(headers, "x-ms-range")
        .or_else(|| text(headers, "range"))
        .filter(|_| !head);
    let size = blob.content.len();
    let part = range.map(|range| part(range, size).ok_or(INVALID_RANGE)).transpose()?;
    let state = blob.lease.state(now);
    let mut builder = Builder::new(if part.is_some() { 206 } else { 200 })
        .revision(&blob.etag, blob.last_modified)
        .with(header::CONTENT_TYPE, &blob.content_type)
        .with(header::ACCEPT_RANGES, "bytes")
        .with("x-ms-blob-type", "BlockBlob")
        .with("x-ms-creation-time", &httpdate::fmt_http_date(blob.created))
        .with("x-ms-lease-state", state.text())
        .with(
            "x-ms-lease-status",
            if state.is_locked() { "locked" } else { "unlocked" },
        );
    if let (true, Some(kind)) = (state.is_locked(), blob.lease.kind()) {
        builder = builder.with("x-ms-lease-duration", kind);
    }
    for (name, value) in &blob.metadata {
        builder = builder.with(name.clone(), value);
    }
    if head {
        return Ok(builder.with(header::CONTENT_LENGTH, &size.to_string()).build());
    }
    Ok(match part {
        None => builder.body(blob.content.clone()),
        Some((first, last)) => {
            let builder = builder.with(header::CONTENT_RANGE, &format!("bytes {first}-{last}/{size}"));
            builder.body(blob.content.slice(first..=last))
        }
    })
}

/// `bytes=first-` or `bytes=first-last`, cut to the size; `None` if it begins at or after the end.
fn part(range: &str, size: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let last = if last.is_empty() {
        usize::MAX
    } else {
        last.parse().ok()?
    };
    (first < size && first <= last).then(|| (first, last.min(size - 1)))
}

fn metadata(headers: &HeaderMap) -> Vec<(HeaderName, String)> {
    let listed = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-ms-meta-"));
    listed
        .filter_map(|(name, value)| Some((name.clone(), value.to_str().ok()?.to_owned())))
        .collect()
}

struct Builder(http::response::Builder);

impl Builder {
    fn new(status: u16) -> Builder {
        Builder(Response::builder().status(StatusCode::from_u16(status).unwrap_or_default()))
    }

    fn with(self, name: impl TryInto<HeaderName, Error: Into<http::Error>>, value: &str) -> Builder {
        Builder(self.0.header(name, value))
    }

    fn revision(self, etag: &str, modified: SystemTime) -> Builder {
        self.with(header::ETAG, etag)
            .with(header::LAST_MODIFIED, &httpdate::fmt_http_date(modified))
    }

    fn build(self) -> Response<Bytes> {
        self.body(Bytes::new())
    }

    fn body(self, body: Bytes) -> Response<Bytes> {
        // Fails for header values alone that no HTTP request could have brought here.
        self.0.body(body).unwrap_or_else(|_| Response::new(Bytes::new()))
    }
}
