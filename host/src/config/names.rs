//! Names of hosts.

use hickory_proto::rr::Name;

/// What to say of a host with letters beyond ASCII: how DNS and HTTP write it (IDNA).
pub(super) fn ascii_hint(host: &str) -> Option<String> {
    let (below, name) = match host.strip_prefix("*.") {
        Some(name) => ("*.", name),
        None => ("", host),
    };
    let ascii = Name::from_utf8(name).ok().filter(|_| !name.is_ascii())?.to_ascii();
    Some(format!("names are written in ASCII — use {below}{ascii}"))
}
