//! Loads what TLS with gateways and with the gate of a failback needs: the certificate authorities that are trusted, and the client
//! certificate.

use super::loaded::Origins;
use super::source::Source;
use crate::config::{Settings, UpstreamTls};
use crate::tls::{
    Authorities, ClientTls, ClientTlsError, FileError, NoAuthorities, Origin, Pair, PairError, PairFiles, Validity,
};
use bytes::Bytes;
use portolan_core::config::{GatewayAddress, Scheme, Service};
use portolan_core::id::ServiceName;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use thiserror::Error;

/// The largest file of certificates or keys, in bytes. The usual bundle of all public authorities has 220 KB.
const MAX_FILE: u64 = 4 << 20;

/// TLS with the gateways of a service cannot be set up.
#[derive(Debug, Error)]
#[error("services.{service}.{}: {problem}", .problem.key().join("."))]
pub struct UpstreamTlsError {
    /// The service.
    service: ServiceName,
    /// Why not.
    problem: Box<Problem>,
}

/// Why TLS with gateways cannot be set up.
#[derive(Debug, Error)]
enum Problem {
    #[error("failed to read {}: {error}", path.display())]
    Unreadable {
        key: &'static str,
        path: PathBuf,
        error: io::Error,
    },
    #[error(transparent)]
    Authorities(#[from] FileError),
    #[error("there are https gateways, and {0}")]
    NoAuthorities(#[from] NoAuthorities),
    #[error(transparent)]
    Gate(GateProblem),
    #[error(transparent)]
    Pair(#[from] PairError),
    #[error("the client certificate in {} {}", .0.display(), if *.1 { "has expired" } else { "is not valid yet" })]
    Invalid(PathBuf, bool),
    #[error("{0}")]
    Client(#[from] ClientTlsError),
    #[error("no certificate can be for {0}")]
    Name(String),
}

/// Why TLS with a gate cannot be set up.
#[derive(Debug, Error)]
enum GateProblem {
    #[error("failed to read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Authorities(#[from] FileError),
    #[error("it is an https URL, and {0}")]
    NoAuthorities(#[from] NoAuthorities),
    #[error("{0}")]
    Client(#[from] ClientTlsError),
    #[error("no certificate can be for {0}")]
    Name(String),
}

impl UpstreamTlsError {
    /// The key of the configuration that it is about, from the outermost to the innermost.
    pub(super) fn key(&self) -> Vec<String> {
        let service = ["services", self.service.as_str()].into_iter();
        let keys = service.chain(self.problem.key());
        keys.map(str::to_owned).collect()
    }
}

impl Problem {
    fn key(&self) -> Vec<&'static str> {
        match self {
            Self::Unreadable { key, .. } => vec!["upstream", "tls", key],
            Self::Authorities(_) => vec!["upstream", "tls", "ca"],
            Self::Pair(_) | Self::Invalid(..) => vec!["upstream", "tls", "client_certificate"],
            Self::NoAuthorities(_) | Self::Client(_) | Self::Name(_) => vec!["regions"],
            Self::Gate(GateProblem::Unreadable { .. } | GateProblem::Authorities(_)) => vec!["failback", "gate", "ca"],
            Self::Gate(_) => vec!["failback", "gate", "url"],
        }
    }
}

/// What a client certificate that is not valid now means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutOfDate {
    /// The files are rejected: there may be better ones that are active.
    Rejected,
    /// A warning. Without the program, nothing would be served at all, and not every gateway needs the certificate.
    Used,
}

/// TLS with the https gateways of a service, and with its gate. The authorities of the system are read where no file of them is
/// configured.
pub(super) fn load(
    name: &ServiceName,
    settings: &Settings,
    source: &Source<'_>,
    out_of_date: OutOfDate,
) -> Result<Origins, UpstreamTlsError> {
    let service = settings.routing.services().iter().find(|it| it.name == *name);
    let (Some(service), Some(tls)) = (service, settings.upstream_tls.get(name)) else {
        return Ok(Origins::default());
    };
    let load = || {
        Ok(Origins {
            gateways: gateways(service, tls, source, out_of_date)?,
            gate: gate(service, tls, source).map_err(Problem::Gate)?,
        })
    };
    load().map_err(|problem| UpstreamTlsError {
        service: name.clone(),
        problem: Box::new(problem),
    })
}

fn gate(service: &Service, tls: &UpstreamTls, source: &Source<'_>) -> Result<Option<Arc<Origin>>, GateProblem> {
    let check = service.failback.check();
    let Some(check) = check.filter(|check| check.address.scheme == Scheme::Https) else {
        return Ok(None);
    };
    let authorities = match &tls.gate_ca {
        Some(path) => {
            let bytes = source.read(path, MAX_FILE);
            let bytes = bytes.map_err(|error| GateProblem::Unreadable {
                path: path.clone(),
                error,
            })?;
            Authorities::of_file(path, &bytes)?
        }
        None => Authorities::of_system()?,
    };
    let client = ClientTls::new(&authorities, None, None)?;
    let origin = client.origin(&check.address.host);
    let origin = origin.ok_or_else(|| GateProblem::Name(check.address.authority()))?;
    Ok(Some(Arc::new(origin)))
}

fn gateways(
    service: &Service,
    tls: &UpstreamTls,
    source: &Source<'_>,
    out_of_date: OutOfDate,
) -> Result<HashMap<GatewayAddress, Arc<Origin>>, Problem> {
    let gateways = service.gateways().iter().map(|gateway| &gateway.address);
    let mut gateways = gateways.filter(|address| address.scheme == Scheme::Https).peekable();
    if gateways.peek().is_none() {
        return Ok(HashMap::new());
    }
    let authorities = match &tls.ca {
        Some(path) => Authorities::of_file(path, &read(source, "ca", path)?)?,
        None => Authorities::of_system()?,
    };
    let pair = match &tls.client {
        Some(PairFiles {
            certificate,
            private_key,
        }) => {
            let chain = read(source, "client_certificate", certificate)?;
            let key = source.read_secret(private_key, MAX_FILE);
            let key = key.map_err(unreadable("client_private_key", private_key))?;
            let now = SystemTime::now();
            let pair = Pair::parse((certificate, &chain), (private_key, &key), now)?;
            check_validity(&pair, certificate, now, out_of_date)?;
            Some(pair)
        }
        None => None,
    };
    let client = ClientTls::new(&authorities, pair.as_ref(), tls.server_name.as_deref())?;
    gateways
        .map(|address| {
            let origin = client
                .origin(&address.host)
                .ok_or_else(|| Problem::Name(address.authority()))?;
            Ok((address.clone(), Arc::new(origin)))
        })
        .collect()
}

fn check_validity(pair: &Pair, file: &Path, now: SystemTime, out_of_date: OutOfDate) -> Result<(), Problem> {
    let problem = match pair.validity(now) {
        Validity::Valid => return Ok(()),
        Validity::ExpiresSoon(left) => {
            let days = left.as_secs() / (24 * 60 * 60);
            tracing::warn!(file = %file.display(), days, "a client certificate expires soon");
            return Ok(());
        }
        Validity::Expired => Problem::Invalid(file.to_owned(), true),
        Validity::NotYet => Problem::Invalid(file.to_owned(), false),
    };
    match out_of_date {
        OutOfDate::Rejected => Err(problem),
        OutOfDate::Used => {
            tracing::error!("{problem}: gateways will reject it");
            Ok(())
        }
    }
}

fn read(source: &Source<'_>, key: &'static str, path: &Path) -> Result<Bytes, Problem> {
    source.read(path, MAX_FILE).map_err(unreadable(key, path))
}

fn unreadable(key: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Problem {
    move |error| Problem::Unreadable {
        key,
        path: path.to_owned(),
        error,
    }
}
