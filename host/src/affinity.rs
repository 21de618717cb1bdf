//! Session affinity: the session of a request, and the cookie that tells a client of it.
//!
//! ```text
//! cookie = base64url of { session (8) | region (4) | HMAC-SHA256 of service, region and session (32) }
//! ```
//!
//! Any number of instances may share the keys. A cookie whose region is not one of the service, or whose signature is wrong, is as none.

mod keys;
mod token;

pub use keys::AffinityKeys;

use http::header::{COOKIE, HeaderMap, HeaderValue};
use portolan_core::affinity::{Session, hash};
use portolan_core::config::{Affinity, AffinityBy, AffinityCookie, Service};
use portolan_core::id::Slot;
use std::fmt::Write as _;
use std::sync::Arc;
use token::Token;

/// How the requests of one service belong together, prepared.
#[derive(Debug)]
pub struct ServiceAffinity {
    affinity: Affinity,
    keys: Arc<AffinityKeys>,
    /// What signatures begin with, and how cookies name the region, by slot.
    regions: Box<[Region]>,
    /// What follows the value of a cookie.
    attributes: String,
}

#[derive(Debug)]
struct Region {
    label: Box<[u8]>,
    tag: [u8; token::TAG],
}

impl ServiceAffinity {
    /// That of a service; `None` for one without affinity.
    pub fn new(service: &Service, keys: &Arc<AffinityKeys>) -> Option<Self> {
        let affinity = service.affinity.clone()?;
        let regions = service.gateways().iter().map(|gateway| {
            let label = format!("portolan affinity 1\0{}\0{}\0", service.name, gateway.region);
            Region {
                tag: token::tag(gateway.region.as_str()),
                label: label.into_bytes().into(),
            }
        });
        Some(Self {
            keys: Arc::clone(keys),
            regions: regions.collect(),
            attributes: match &affinity.by {
                AffinityBy::Cookie(cookie) => attributes(cookie),
                AffinityBy::Header(_) => String::new(),
            },
            affinity,
        })
    }

    /// The session of a request with these fields. `id` is a random number, for one that begins. `None` for a request that belongs to no
    /// session.
    pub fn session(&self, fields: &HeaderMap, id: u64) -> Option<Session> {
        match &self.affinity.by {
            AffinityBy::Header(name) => fields.get(name).map(|value| Session::Hashed(hash(value.as_bytes()))),
            AffinityBy::Cookie(cookie) => {
                let values = fields.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
                let mut sessions = token::all(values, &cookie.name).filter_map(|token| self.verified(&token));
                Some(sessions.next().unwrap_or(Session::New { id }))
            }
        }
    }

    /// The cookie of a session that belongs to a region from now on. `is_secure`: the client connects over TLS.
    pub fn cookie(&self, session: Session, slot: Slot, is_secure: bool) -> Option<HeaderValue> {
        let (AffinityBy::Cookie(cookie), Session::Bound { id, .. } | Session::New { id }) =
            (&self.affinity.by, session)
        else {
            return None;
        };
        let region = self.regions.get(slot.index())?;
        let token = Token {
            id,
            tag: region.tag,
            signature: self.keys.sign(&region.label, id),
        };
        let secure = if is_secure { "; Secure" } else { "" };
        let text = format!("{}={}{}{secure}", cookie.name, token.encode(), self.attributes);
        HeaderValue::try_from(text).ok()
    }

    /// How sessions of the service fail over, and so on.
    pub fn terms(&self) -> &Affinity {
        &self.affinity
    }

    fn verified(&self, token: &Token) -> Option<Session> {
        let regions = (0..).map(Slot).zip(&self.regions);
        let mut named = regions.filter(|(_, region)| region.tag == token.tag);
        let (slot, _) = named.find(|(_, region)| self.keys.verify(&region.label, token.id, &token.signature))?;
        Some(Session::Bound { id: token.id, slot })
    }
}

/// Scripts cannot read it, and other sites' requests do not bring it unless they navigate here.
fn attributes(cookie: &AffinityCookie) -> String {
    let mut text = format!("; Path={}", cookie.path);
    if let Some(age) = cookie.max_age {
        // Writing to a string cannot fail.
        let _ = write!(text, "; Max-Age={}", age.as_secs());
    }
    text.push_str("; HttpOnly; SameSite=Lax");
    text
}

#[cfg(test)]
mod tests;
