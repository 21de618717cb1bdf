//! What a PROXY protocol header says of a connection, in the access log.

use portolan_core::proxy_protocol::{Extensions, Header};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// The extensions of a header, as a JSON object. What is not known is left out.
pub(super) struct PassedOn<'a>(&'a Extensions);

impl<'a> PassedOn<'a> {
    /// `None` when there are none.
    pub(super) fn of(header: &'a Header) -> Option<Self> {
        (header.extensions != Extensions::default()).then_some(Self(&header.extensions))
    }
}

impl Serialize for PassedOn<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(extensions) = self;
        let mut map = serializer.serialize_map(None)?;
        if let Some(authority) = &extensions.authority {
            map.serialize_entry("authority", authority)?;
        }
        if let Some(id) = &extensions.unique_id {
            map.serialize_entry("unique_id", &Id(id))?;
        }
        if let Some(tls) = &extensions.tls {
            map.serialize_entry("tls", tls.version.as_deref().unwrap_or("unknown"))?;
            if let Some(name) = &tls.common_name {
                map.serialize_entry("common_name", name)?;
                map.serialize_entry("verified", &tls.is_verified)?;
            }
        }
        if let Some(link) = extensions.private_link {
            map.serialize_entry("private_link", &link)?;
        }
        map.end()
    }
}

/// An identifier: text as it is, other bytes in hexadecimal digits.
struct Id<'a>(&'a [u8]);

impl Serialize for Id<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_text = self.0.iter().all(u8::is_ascii_graphic);
        match std::str::from_utf8(self.0).ok().filter(|_| is_text) {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_str(&crate::hex::digits(self.0)),
        }
    }
}
