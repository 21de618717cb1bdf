//! How many files and sockets the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is set where the system has no limit.
const UNLIMITED: u64 = 1 << 20;

/// Raises the limit on open files to what the system allows this process. Most systems begin at 1,024 for the sake of programs that use
/// select(), which counts no further; a proxy needs two for each request.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(UNLIMITED);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => tracing::debug!(before = current, limit = wanted, "limit on open files raised"),
        Err(error) => tracing::warn!(%error, limit = current, "failed to raise the limit on open files"),
    }
}

/// Warns when listeners may have more connections than files may be open.
pub fn warn_of_few(connections: u64) {
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return;
    };
    if connections >= limit {
        tracing::warn!(
            limit,
            max_connections = connections,
            "the listeners may have more connections than files may be open: raise the limit (LimitNOFILE, ulimit -Hn), or lower max_connections"
        );
    }
}
