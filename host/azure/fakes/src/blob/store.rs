//! Containers and blobs, and the conditions under which they are read and written.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};

use super::errors::*;
use super::lease::Lease;

#[derive(Debug)]
pub(super) struct Store {
    pub(super) containers: BTreeMap<String, Container>,
    /// The length of one second of a lease.
    pub(super) lease_second: Duration,
    /// Counts changes; ETags are made of it.
    revision: u64,
}

#[derive(Debug)]
pub(super) struct Container {
    pub(super) etag: String,
    pub(super) last_modified: SystemTime,
    pub(super) blobs: BTreeMap<String, Blob>,
}

#[derive(Debug, Clone)]
pub(super) struct Blob {
    pub(super) content: Bytes,
    pub(super) content_type: String,
    pub(super) metadata: Vec<(HeaderName, String)>,
    pub(super) etag: String,
    pub(super) created: SystemTime,
    pub(super) last_modified: SystemTime,
    pub(super) lease: Lease,
}

/// The conditions in a request's headers.
#[derive(Debug, Default)]
pub(super) struct Conditions<'h> {
    if_match: Option<&'h str>,
    if_none_match: Option<&'h str>,
    if_modified_since: Option<SystemTime>,
    if_unmodified_since: Option<SystemTime>,
    pub(super) lease_id: Option<&'h str>,
}

impl<'h> Conditions<'h> {
    pub(super) fn read(headers: &'h HeaderMap) -> Conditions<'h> {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .filter(|text| !text.is_empty())
        };
        let time = |name: &str| text(name).and_then(|text| httpdate::parse_http_date(text).ok());
        Conditions {
            if_match: text(header::IF_MATCH.as_str()),
            if_none_match: text(header::IF_NONE_MATCH.as_str()),
            if_modified_since: time(header::IF_MODIFIED_SINCE.as_str()),
            if_unmodified_since: time(header::IF_UNMODIFIED_SINCE.as_str()),
            lease_id: text("x-ms-lease-id"),
        }
    }

    /// For writes: all conditions must hold. `If-None-Match: *` is looked at by who creates.
    pub(super) fn allow_write(&self, blob: Option<&Blob>) -> Result<(), StorageError> {
        let Some(blob) = blob else {
            // A blob that does not exist matches nothing but "*", as measured with the emulator.
            let fails = self.if_match.is_some_and(|etag| etag != "*");
            return if fails { Err(CONDITION_NOT_MET) } else { Ok(()) };
        };
        let modified = whole_seconds(blob.last_modified);
        let holds = self.if_match.is_none_or(|etag| etag == "*" || etag == blob.etag)
            && self.if_none_match.is_none_or(|etag| etag != blob.etag)
            && self.if_modified_since.is_none_or(|since| modified > since)
            && self.if_unmodified_since.is_none_or(|since| modified <= since);
        if holds { Ok(()) } else { Err(CONDITION_NOT_MET) }
    }

    /// For reads: what has not changed is answered 304.
    pub(super) fn allow_read(&self, blob: Option<&Blob>) -> Result<(), StorageError> {
        if self.if_none_match == Some("*") {
            return Err(UNSATISFIABLE_CONDITION);
        }
        let Some(blob) = blob else {
            return if self.if_match.is_some() {
                Err(CONDITION_NOT_MET)
            } else {
                Ok(())
            };
        };
        let modified = whole_seconds(blob.last_modified);
        let fails = self.if_match.is_some_and(|etag| etag != "*" && etag != blob.etag)
            || self.if_unmodified_since.is_some_and(|since| modified > since);
        if fails {
            return Err(CONDITION_NOT_MET);
        }
        let unchanged = self.if_none_match.map(|etag| etag == blob.etag);
        let old = self.if_modified_since.map(|since| modified <= since);
        // Either one is enough to send the blob.
        if [unchanged, old].into_iter().flatten().reduce(|a, b| a && b) == Some(true) {
            return Err(NOT_MODIFIED);
        }
        Ok(())
    }

    fn creates_only(&self) -> bool {
        self.if_none_match == Some("*")
    }
}

impl Store {
    pub(super) fn new() -> Store {
        Store {
            containers: BTreeMap::new(),
            lease_second: Duration::from_secs(1),
            revision: 0,
        }
    }

    pub(super) fn create_container(&mut self, name: &str, now: SystemTime) -> Result<&Container, StorageError> {
        if self.containers.contains_key(name) {
            return Err(CONTAINER_ALREADY_EXISTS);
        }
        let container = Container {
            etag: self.next_etag(),
            last_modified: now,
            blobs: BTreeMap::new(),
        };
        Ok(self.containers.entry(name.to_owned()).or_insert(container))
    }

    pub(super) fn container(&self, name: &str) -> Result<&Container, StorageError> {
        self.containers.get(name).ok_or(CONTAINER_NOT_FOUND)
    }

    /// A blob to read.
    pub(super) fn read(
        &self,
        container: &str,
        name: &str,
        conditions: &Conditions<'_>,
        now: SystemTime,
    ) -> Result<&Blob, StorageError> {
        let blob = self.container(container)?.blobs.get(name);
        conditions.allow_read(blob)?;
        let blob = blob.ok_or(BLOB_NOT_FOUND)?;
        blob.lease.allow_read(conditions.lease_id, now)?;
        Ok(blob)
    }

    /// A blob to change, its lease having been looked at unless the lease itself is to change.
    pub(super) fn write(
        &mut self,
        container: &str,
        name: &str,
        conditions: &Conditions<'_>,
        leased: Option<SystemTime>,
    ) -> Result<&mut Blob, StorageError> {
        let blobs = &mut self.containers.get_mut(container).ok_or(CONTAINER_NOT_FOUND)?.blobs;
        conditions.allow_write(blobs.get(name))?;
        let blob = blobs.get_mut(name).ok_or(BLOB_NOT_FOUND)?;
        if let Some(now) = leased {
            blob.lease.allow_write(conditions.lease_id, now)?;
        }
        Ok(blob)
    }

    /// Creates or replaces a blob; a lease that is held stays.
    pub(super) fn put(
        &mut self,
        container: &str,
        name: &str,
        conditions: &Conditions<'_>,
        blob: Blob,
    ) -> Result<&Blob, StorageError> {
        let etag = self.next_etag();
        let now = blob.last_modified;
        let blobs = &mut self.containers.get_mut(container).ok_or(CONTAINER_NOT_FOUND)?.blobs;
        let mut blob = Blob { etag, ..blob };
        match blobs.get_mut(name) {
            None => conditions.allow_write(None)?,
            Some(before) => {
                conditions.allow_write(Some(before))?;
                if conditions.creates_only() {
                    return Err(BLOB_ALREADY_EXISTS);
                }
                before.lease.allow_write(conditions.lease_id, now)?;
                blob.lease = before.lease.clone();
                blob.created = before.created;
            }
        }
        blobs.insert(name.to_owned(), blob);
        blobs.get(name).ok_or(BLOB_NOT_FOUND)
    }

    pub(super) fn delete(
        &mut self,
        container: &str,
        name: &str,
        conditions: &Conditions<'_>,
        now: SystemTime,
    ) -> Result<(), StorageError> {
        self.write(container, name, conditions, Some(now))?;
        self.containers
            .get_mut(container)
            .ok_or(CONTAINER_NOT_FOUND)?
            .blobs
            .remove(name);
        Ok(())
    }

    /// A lease id for a client that proposes none.
    pub(super) fn next_lease_id(&mut self) -> String {
        self.revision += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.revision)
    }

    pub(super) fn next_etag(&mut self) -> String {
        self.revision += 1;
        format!("\"0x8D{:013X}\"", self.revision)
    }
}

/// As headers carry times.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
