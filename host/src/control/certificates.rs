//! Certificates, keys and certificate authorities of TLS listeners and of the administration: loaded from their files, and
//! again when those are replaced.
//!
//! Each pair stands for itself: one that cannot be used does not keep another from being replaced.

use super::source::Source;
use crate::arrival::ListenerId;
use crate::config::{Mistake, Settings};
use crate::tls::{
    FileError, ListenerTls, Pair, PairError, PairFiles, ServerTls, ServerTlsError, TicketSecrets, Validity, roots,
};
use bytes::Bytes;
use portolan_core::route::HostPattern;
use rustls::RootCertStore;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};
use thiserror::Error;

/// The largest file, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// How long after a certificate and a key that do not belong together both are read again: they are two files, and may be
/// replaced one after the other.
const PAIR_SETTLES: Duration = Duration::from_millis(250);

/// Everything that TLS listeners need, loaded.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pairs: BTreeMap<PairFiles, Arc<Pair>>,
    roots: BTreeMap<PathBuf, Arc<RootCertStore>>,
    secrets: BTreeMap<PathBuf, Arc<TicketSecrets>>,
    /// Keys of tickets for listeners without a file of them.
    random: Arc<TicketSecrets>,
    listeners: Arc<Contexts>,
    admin: Option<Arc<ServerTls>>,
}

/// TLS of each listener that has it.
pub type Contexts = BTreeMap<ListenerId, Arc<ServerTls>>;

impl Default for TlsFiles {
    fn default() -> Self {
        Self {
            pairs: BTreeMap::new(),
            roots: BTreeMap::new(),
            secrets: BTreeMap::new(),
            random: TicketSecrets::random(),
            listeners: Arc::default(),
            admin: None,
        }
    }
}

/// Why TLS of a listener or of the administration cannot be used.
#[derive(Debug, Error)]
#[error("{user}: {error}")]
pub struct TlsFileError {
    /// Whose.
    pub user: TlsUser,
    /// Why not.
    pub error: Box<TlsProblem>,
}

/// What has TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsUser {
    /// A listener, by its place in the configuration.
    Listener(usize),
    /// The administration.
    Admin,
}

impl TlsUser {
    /// The key of its TLS in the configuration, from the outermost to the innermost.
    pub(super) fn key(self) -> Vec<String> {
        match self {
            Self::Listener(index) => vec!["listeners".into(), index.to_string(), "tls".into()],
            Self::Admin => vec!["admin".into(), "tls".into()],
        }
    }
}

/// The same as text: `listeners[0].tls`.
impl fmt::Display for TlsUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(index) => write!(f, "listeners[{index}].tls"),
            Self::Admin => f.write_str("admin.tls"),
        }
    }
}

/// What is wrong with TLS of a listener.
#[derive(Debug, Error)]
pub enum TlsProblem {
    /// A file cannot be read.
    #[error("failed to read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file holds something else.
    #[error(transparent)]
    File(#[from] FileError),
    /// A certificate chain and a key cannot be used.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// The certificate is not valid any more.
    #[error("{}: the certificate expired at {}", certificate.display(), humantime::format_rfc3339_seconds(*at))]
    Expired {
        /// The file of the chain.
        certificate: PathBuf,
        /// When.
        at: SystemTime,
    },
    /// The certificate is not valid yet.
    #[error("{}: the certificate is not valid before {}", certificate.display(), humantime::format_rfc3339_seconds(*at))]
    NotYetValid {
        /// The file of the chain.
        certificate: PathBuf,
        /// From when on it is.
        at: SystemTime,
    },
    /// It cannot be put together.
    #[error(transparent)]
    Server(#[from] ServerTlsError),
}

/// What files are loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be looked at only: whatever clients would reject is an error.
    Check,
    /// A start: a certificate that has expired is better than none at all.
    Start,
    /// A new configuration.
    Reload,
    /// Files that were replaced: whatever cannot be used leaves what was active.
    Rotation,
}

/// Files that were loaded, with what they are warned of and what could not be used.
pub(super) struct LoadedTls {
    pub(super) files: TlsFiles,
    pub(super) warnings: Vec<Mistake>,
    pub(super) errors: Vec<TlsFileError>,
}

impl TlsFiles {
    /// TLS of each listener that has it.
    pub fn listeners(&self) -> &Arc<Contexts> {
        &self.listeners
    }

    /// TLS of the administration, where it has some.
    pub fn admin(&self) -> Option<&Arc<ServerTls>> {
        self.admin.as_ref()
    }

    /// The same, and TLS of the administration as these have it.
    pub(super) fn with_admin_of(self, other: &Self) -> Self {
        let (mut pairs, mut roots) = (self.pairs, self.roots);
        for (files, pair) in &other.pairs {
            pairs.entry(files.clone()).or_insert_with(|| Arc::clone(pair));
        }
        for (path, store) in &other.roots {
            roots.entry(path.clone()).or_insert_with(|| Arc::clone(store));
        }
        Self {
            pairs,
            roots,
            admin: other.admin.clone(),
            ..self
        }
    }

    /// Loads all files that the listeners and the administration name. `before` is what is active.
    pub(super) fn load(settings: &Settings, source: &Source<'_>, before: &Self, purpose: Purpose) -> LoadedTls {
        let mut loader = Loader {
            source,
            before,
            purpose,
            now: SystemTime::now(),
            loaded: Self {
                random: Arc::clone(&before.random),
                ..Self::default()
            },
            errors: Vec::new(),
        };
        let mut contexts = Contexts::new();
        for (index, listener) in settings.listeners.iter().enumerate() {
            let before = before.listeners.get(&listener.id);
            if let Some(tls) = &listener.tls
                && let Some(context) = loader.context(TlsUser::Listener(index), tls, before)
            {
                contexts.insert(listener.id.clone(), context);
            }
        }
        let admin = settings.admin_tls.as_ref();
        let admin = admin.and_then(|tls| loader.context(TlsUser::Admin, tls, before.admin.as_ref()));
        let Loader { mut loaded, errors, .. } = loader;
        loaded.admin = admin;
        loaded.listeners = Arc::new(contexts);
        let warnings = loaded.warnings(settings);
        LoadedTls {
            files: loaded,
            warnings,
            errors,
        }
    }

    fn warnings(&self, settings: &Settings) -> Vec<Mistake> {
        let mut warnings = Vec::new();
        let (now, hosts) = (SystemTime::now(), settings.routing.routes().host_patterns());
        let hosts: Vec<_> = hosts.collect();
        let mut warn = |user: TlsUser, message: String| {
            warnings.push(Mistake::new(user.to_string(), message));
        };
        let listeners = settings.listeners.iter().enumerate();
        let users = listeners.map(|(index, listener)| (TlsUser::Listener(index), listener.tls.as_ref()));
        for (user, tls) in users.chain([(TlsUser::Admin, settings.admin_tls.as_ref())]) {
            for files in tls.iter().flat_map(|tls| &tls.certificates) {
                let Some(pair) = self.pairs.get(files) else { continue };
                let file = files.certificate.display();
                for warning in &pair.warnings {
                    warn(user, format!("{file}: {warning}"));
                }
                if let Validity::ExpiresSoon(left) = pair.validity(now) {
                    let (days, at) = (
                        left.as_secs() / 86_400,
                        humantime::format_rfc3339_seconds(pair.not_after),
                    );
                    warn(user, format!("{file}: the certificate expires in {days} days, at {at}"));
                }
                if user == TlsUser::Admin {
                    // Its names are not those of routes.
                    continue;
                }
                let unused = pair
                    .names
                    .iter()
                    .filter(|name| !hosts.iter().any(|host| leads(host, name)));
                for name in unused {
                    warn(
                        user,
                        format!("{file}: the certificate has the name {name}, and no route is for it"),
                    );
                }
            }
        }
        let mut listeners = settings.listeners.iter().enumerate();
        if let Some((index, _)) = listeners.find(|(_, listener)| listener.tls.is_some()) {
            for host in &hosts {
                let name = match host {
                    HostPattern::Exact(name) if name.starts_with('[') || name.parse::<std::net::IpAddr>().is_ok() => {
                        continue;
                    }
                    HostPattern::Exact(name) => name.to_string(),
                    HostPattern::Below(name) => format!("*.{name}"),
                    HostPattern::Any => continue,
                };
                if !self.listeners.values().any(|tls| tls.certificates.covers(&name)) {
                    warn(
                        TlsUser::Listener(index),
                        format!(
                            "a route is for the host {name}, and no certificate has that name: clients reject what they get"
                        ),
                    );
                }
            }
        }
        warnings
    }
}

/// Whether a route's host is one of those that a certificate's name is for.
fn leads(host: &HostPattern, name: &str) -> bool {
    let below = |name: &str, suffix: &str| name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'));
    match (host, name.strip_prefix("*.")) {
        (HostPattern::Any, _) => true,
        (HostPattern::Exact(host), None) => **host == *name,
        (HostPattern::Exact(host), Some(suffix)) => host.split_once('.').is_some_and(|(_, rest)| rest == suffix),
        (HostPattern::Below(host), None) => below(name, host),
        (HostPattern::Below(host), Some(suffix)) => **host == *suffix || below(suffix, host) || below(host, suffix),
    }
}

struct Loader<'a> {
    source: &'a Source<'a>,
    before: &'a TlsFiles,
    purpose: Purpose,
    now: SystemTime,
    loaded: TlsFiles,
    errors: Vec<TlsFileError>,
}

impl Loader<'_> {
    /// `active`: what was made of the same settings before.
    fn context(&mut self, user: TlsUser, tls: &ListenerTls, active: Option<&Arc<ServerTls>>) -> Option<Arc<ServerTls>> {
        // All of it is read, so that all that is wrong is found.
        let pairs: Vec<_> = tls.certificates.iter().map(|files| self.pair(user, files)).collect();
        let roots = tls.clients.as_ref().map(|clients| {
            let path = &clients.ca;
            let loaded = self.loaded.roots.get(path).cloned().map_or_else(
                || self.read(path).and_then(|bytes| Ok(Arc::new(roots(path, &bytes)?))),
                Ok,
            );
            let roots = self.or_before(user, loaded, |before| before.roots.get(path).cloned())?;
            self.loaded.roots.insert(path.clone(), Arc::clone(&roots));
            Some(roots)
        });
        let secrets = match &tls.ticket_keys {
            None => Some(Arc::clone(&self.loaded.random)),
            Some(path) => {
                let loaded = self.loaded.secrets.get(path).cloned().map_or_else(
                    || {
                        self.read(path)
                            .and_then(|bytes| Ok(TicketSecrets::parse(path, &bytes)?))
                    },
                    Ok,
                );
                let secrets = self.or_before(user, loaded, |before| before.secrets.get(path).cloned());
                secrets.inspect(|secrets| {
                    self.loaded.secrets.insert(path.clone(), Arc::clone(secrets));
                })
            }
        };
        let roots = match roots {
            Some(roots) => Some(roots?),
            None => None,
        };
        let pairs = pairs.into_iter().collect::<Option<Vec<_>>>()?;
        let context = ServerTls::new(tls, pairs, roots, secrets?);
        let context = context.map(Arc::new).map_err(TlsProblem::from);
        self.or_before(user, context, |_| active.cloned())
    }

    fn pair(&mut self, user: TlsUser, files: &PairFiles) -> Option<Arc<Pair>> {
        if let Some(pair) = self.loaded.pairs.get(files) {
            return Some(Arc::clone(pair));
        }
        let loaded = self.valid_pair(files);
        let pair = self.or_before(user, loaded, |before| before.pairs.get(files).cloned())?;
        self.loaded.pairs.insert(files.clone(), Arc::clone(&pair));
        Some(pair)
    }

    fn valid_pair(&self, files: &PairFiles) -> Result<Arc<Pair>, TlsProblem> {
        let mut read = self.read_pair(files);
        if self.purpose != Purpose::Check && matches!(read, Err(TlsProblem::Pair(PairError::Mismatch { .. }))) {
            thread::sleep(PAIR_SETTLES);
            read = self.read_pair(files);
        }
        let pair = read?;
        let before = self.before.pairs.get(files);
        if let Some(before) = before.filter(|before| before.fingerprint == pair.fingerprint) {
            // Time alone does not make what is active unusable.
            return Ok(Arc::clone(before));
        }
        let certificate = files.certificate.clone();
        let error = match pair.validity(self.now) {
            Validity::Valid | Validity::ExpiresSoon(_) => return Ok(Arc::new(pair)),
            Validity::Expired => TlsProblem::Expired {
                certificate,
                at: pair.not_after,
            },
            Validity::NotYet => TlsProblem::NotYetValid {
                certificate,
                at: pair.not_before,
            },
        };
        if self.purpose == Purpose::Start {
            tracing::error!("a certificate that clients reject is served, as there is no other: {error}");
            return Ok(Arc::new(pair));
        }
        Err(error)
    }

    fn read_pair(&self, files: &PairFiles) -> Result<Pair, TlsProblem> {
        let (certificate, key) = (&files.certificate, &files.private_key);
        let (chain, private) = (self.read(certificate)?, self.read(key)?);
        Ok(Pair::parse((certificate, &chain), (key, &private), self.now)?)
    }

    /// Files of keys, and those beside them, are not kept in the state directory.
    fn read(&self, path: &Path) -> Result<Bytes, TlsProblem> {
        self.source
            .read_secret(path, MAX_FILE)
            .map_err(|error| TlsProblem::Read {
                path: path.to_owned(),
                error,
            })
    }

    /// What was loaded; in a rotation, what was active instead of what cannot be used.
    fn or_before<T>(
        &mut self,
        user: TlsUser,
        loaded: Result<T, TlsProblem>,
        before: impl FnOnce(&TlsFiles) -> Option<T>,
    ) -> Option<T> {
        match loaded {
            Ok(loaded) => Some(loaded),
            Err(error) => {
                let error = Box::new(error);
                self.errors.push(TlsFileError { user, error });
                before(self.before).filter(|_| self.purpose == Purpose::Rotation)
            }
        }
    }
}
