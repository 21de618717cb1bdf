//! Where a route sends clients instead of leading to a service.

use super::compound::At;
use super::error::Mistakes;
use super::host::Host;
use super::prefix::Prefix;
use super::section::section;
use super::values::{Whole, words};
use http::StatusCode;
use portolan_core::route::{Redirect, RedirectPath};

section! {
    /// Where clients are sent; what is left out stays as they requested it, and their query always.
    RedirectSection {
        /// http or https.
        optional scheme: Option<SchemeWord>,
        /// The host, without port.
        optional host: Option<At<Host>>,
        /// The port. Default: with another scheme the usual one, else the client's.
        optional port: Option<Whole<1, 65_535>>,
        /// The whole path.
        optional path: Option<Prefix>,
        /// What replaces the route's own path: with path: /old and prefix: /new, /old/x becomes /new/x.
        optional prefix: Option<At<Prefix>>,
        /// 301, 302, 303, 307 or 308. With 307 and 308 clients keep the method and the body. Default: 302.
        optional status: At<Whole<301, 308>>,
    }
}

words! {
    /// A scheme.
    SchemeWord {
        Http = "http",
        Https = "https",
    }
}

impl RedirectSection {
    /// The redirect. `None` only when something has been reported.
    pub(super) fn settings(&self, mistakes: &mut Mistakes<'_>) -> Option<Redirect> {
        let is_empty = self.scheme.is_none()
            && self.host.is_none()
            && self.port.is_none()
            && self.path.is_none()
            && self.prefix.is_none();
        if is_empty {
            let message = "wanted scheme, host, port, path or prefix: without, clients come back for ever";
            mistakes.at(self.at, message);
        }
        let (scheme, port) = (self.scheme.flatten(), self.port.flatten());
        let host = self.host.as_ref().and_then(Option::as_ref);
        let path = self.path.as_ref().and_then(Option::as_ref);
        let prefix = self.prefix.as_ref().and_then(Option::as_ref);
        if let (Some(_), Some(prefix)) = (path, prefix) {
            mistakes.at_key(prefix.id, "path replaces all of the path: remove one");
        }
        let host = match host {
            None => Some(None),
            Some(host) => match host.exact() {
                Some(name) => Some(Some(name.into())),
                None => {
                    mistakes.at(host.id, "clients are sent to one host, such as shop.example.net");
                    None
                }
            },
        };
        let status = match &self.status {
            None => Some(StatusCode::FOUND),
            Some(status) => {
                let known = [301, 302, 303, 307, 308].contains(&status.0);
                if !known {
                    mistakes.at(status.id, "wanted 301, 302, 303, 307 or 308");
                }
                StatusCode::from_u16(status.0 as u16).ok().filter(|_| known)
            }
        };
        let whole = path.map(|path| RedirectPath::Whole(path.as_str().into()));
        let prefix = prefix.map(|prefix| RedirectPath::Prefix(prefix.as_str().into()));
        Some(Redirect {
            scheme: scheme.map(|scheme| match scheme {
                SchemeWord::Http => "http",
                SchemeWord::Https => "https",
            }),
            host: host?,
            port: port.map(|port| port.0 as u16),
            path: whole.or(prefix),
            status: status?,
        })
    }
}
