//! A fake of Azure Blob Storage, as far as leader election and votes need it: containers, block blobs, leases.
//!
//! It answers as Azurite 3.35 does; one suite of tests runs the real client against both. Clients log in with a signed
//! URL ([`FakeBlob::container_url`]) or, over TLS, with a token of [`FakeEntra`](super::FakeEntra) for
//! `https://storage.azure.com`.

mod act;
mod errors;
mod lease;
mod list;
mod request;
mod sas;
mod store;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::HeaderMap;
use url::Url;

pub use self::lease::LeaseState;
pub use self::sas::{ACCOUNT, sign, sign_for};

use self::store::{Blob, Conditions, Store};
use super::authority::CertificateAuthority;
use super::clock::Clock;
use super::entra::Tokens;
use super::faults::{Fault, Faults, Requests};
use super::http::{MAIN_LISTENER, Server};
use super::journal::{Journal, Recorded, TooLate};
use super::{FakeError, locked};

/// How long the signatures of [`FakeBlob::container_url`] hold.
const SIGNED_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// The blob store. Stops when dropped.
pub struct FakeBlob {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    tokens: Tokens,
    tls: bool,
    faults: Faults,
    journal: Journal,
    store: Mutex<Store>,
}

/// A blob as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobState {
    /// Its content.
    pub content: Bytes,
    /// Its ETag, with quotes.
    pub etag: String,
    /// When it was last written.
    pub last_modified: SystemTime,
    /// The state of its lease.
    pub lease: LeaseState,
    /// The id of its lease, if it was ever leased and not written or released since.
    pub lease_id: Option<String>,
    /// When the lease runs out.
    pub lease_ends: Option<SystemTime>,
}

impl FakeBlob {
    /// Starts it on a free port without TLS, empty.
    ///
    /// # Errors
    /// [`FakeError`] if there is no port.
    pub async fn start(clock: &Clock, tokens: &Tokens) -> Result<FakeBlob, FakeError> {
        FakeBlob::start_with(clock, tokens, None).await
    }

    /// As [`FakeBlob::start`], with TLS.
    ///
    /// # Errors
    /// [`FakeError`] if there is no port or no certificate.
    pub async fn start_tls(
        clock: &Clock,
        tokens: &Tokens,
        authority: &CertificateAuthority,
    ) -> Result<FakeBlob, FakeError> {
        FakeBlob::start_with(clock, tokens, Some(authority)).await
    }

    /// The account's URL, such as `http://127.0.0.1:40123/devstoreaccount1/`.
    pub fn url(&self) -> Url {
        self.account(MAIN_LISTENER)
    }

    /// The account's URL by another port, which is opened if need be.
    ///
    /// # Errors
    /// [`FakeError::Port`] if there is none.
    pub async fn open_listener(&self, label: &str) -> Result<Url, FakeError> {
        self.server.open_listener(label).await?;
        Ok(self.account(label))
    }

    /// A container's URL with a signature that allows everything.
    pub fn container_url(&self, container: &str) -> Url {
        self.container_url_by(MAIN_LISTENER, container)
    }

    /// A container's URL by a listener, with a signature that allows everything.
    pub fn container_url_by(&self, label: &str, container: &str) -> Url {
        let mut url = self.account(label);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(container);
        }
        sign(&url, self.shared.clock.now(), SIGNED_FOR)
    }

    /// Makes the seconds of leases shorter or longer than those of the clock, for leases acquired or renewed from now on.
    pub fn lease_second(&self, second: Duration) {
        self.store().lease_second = second;
    }

    /// Creates a container, unless it is there already.
    pub fn create_container(&self, name: &str) {
        // It being there already is as good.
        let _ = self.store().create_container(name, self.shared.clock.now());
        self.shared.journal.changed();
    }

    /// Writes a blob past all conditions and leases; `false` if there is no such container.
    pub fn put(&self, container: &str, name: &str, content: impl Into<Bytes>) -> bool {
        let now = self.shared.clock.now();
        let mut store = self.store();
        let lease = store
            .containers
            .get_mut(container)
            .and_then(|c| c.blobs.remove(name))
            .map(|blob| blob.lease);
        let blob = Blob {
            content: content.into(),
            content_type: "application/octet-stream".to_owned(),
            metadata: Vec::new(),
            etag: String::new(),
            created: now,
            last_modified: now,
            lease: lease.unwrap_or_default(),
        };
        let written = store.put(container, name, &Conditions::default(), blob).is_ok();
        self.shared.journal.changed();
        written
    }

    /// A blob as it is.
    pub fn blob(&self, container: &str, name: &str) -> Option<BlobState> {
        let now = self.shared.clock.now();
        let store = self.store();
        let blob = store.containers.get(container)?.blobs.get(name)?;
        Some(BlobState {
            content: blob.content.clone(),
            etag: blob.etag.clone(),
            last_modified: blob.last_modified,
            lease: blob.lease.state(now),
            lease_id: blob.lease.id().map(str::to_owned),
            lease_ends: blob.lease.ends(),
        })
    }

    /// The names of the blobs in a container.
    pub fn names(&self, container: &str) -> Vec<String> {
        self.store()
            .containers
            .get(container)
            .map(|c| c.blobs.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Injects a fault until it is cleared.
    pub fn fault(&self, requests: Requests, fault: Fault) {
        self.shared.faults.add(requests, fault, None);
    }

    /// Injects a fault for the next `times` such requests.
    pub fn fault_times(&self, times: u32, requests: Requests, fault: Fault) {
        self.shared.faults.add(requests, fault, Some(times));
    }

    /// Ends all faults, or those that are for one listener.
    pub fn clear_faults(&self, listener: Option<&str>) {
        self.shared.faults.clear(listener);
    }

    /// The requests so far; their `api_version` is the service version.
    pub fn log(&self) -> Vec<Recorded> {
        self.shared.journal.entries()
    }

    /// Waits until `holds`, for at most `within` of real time. Requests and the end of leases wake it.
    ///
    /// # Errors
    /// [`TooLate`] if it does not come to pass.
    pub async fn until(&self, within: Duration, mut holds: impl FnMut(&Self) -> bool) -> Result<(), TooLate> {
        let due = || {
            let now = self.shared.clock.now();
            let store = self.store();
            let blobs = store.containers.values().flat_map(|container| container.blobs.values());
            blobs
                .filter_map(|blob| blob.lease.ends())
                .filter(|ends| *ends > now)
                .min()
        };
        self.shared
            .journal
            .until(&self.shared.clock, within, due, || holds(self))
            .await
    }

    async fn start_with(
        clock: &Clock,
        tokens: &Tokens,
        authority: Option<&CertificateAuthority>,
    ) -> Result<FakeBlob, FakeError> {
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            tokens: tokens.clone(),
            tls: authority.is_some(),
            faults: Faults::default(),
            journal: Journal::new(),
            store: Mutex::new(Store::new()),
        });
        let tls = authority
            .map(CertificateAuthority::server_config)
            .transpose()?
            .map(Into::into);
        let handler = shared.clone();
        let server = Server::start(tls, Arc::new(move |received| handler.answer(received))).await?;
        Ok(FakeBlob { server, shared })
    }

    fn account(&self, label: &str) -> Url {
        let mut url = self.server.url(label);
        url.set_path(&format!("/{ACCOUNT}/"));
        url
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        locked(&self.shared.store)
    }
}

/// A header's value, if it is text.
fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests;
