//! Request fields that describe the client's side of a request, and that gateways may believe.
//!
//! Servers that pass fields to applications as variables (CGI, WSGI, Rack, PHP) fold `-`, `_` and other punctuation
//! into one: `X_Forwarded_For` becomes the same variable as `X-Forwarded-For`. So a name is looked at as such a server
//! would see it.

use super::{ClientAddress, ClientHeader};

/// What a request field is about, as far as trust is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A field that carries no proxy information.
    Other,
    /// `X-Forwarded-*`: how the client reached the first proxy.
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Azure-*` and `X-FD-*`, which Azure Front Door sets.
    Azure,
    /// `X-Portolan-*`, which Portolan sets.
    Portolan,
    /// Another field in which some proxy or content network names the client or what it asked for.
    Identity,
    /// `Content-Length` and `Transfer-Encoding`, which delimit the body.
    Framing,
}

impl FieldKind {
    /// The kind of a field with this name, in lower case and spelled with hyphens.
    fn of(name: &[u8]) -> Self {
        match name {
            b"forwarded" => Self::Forwarded,
            b"content-length" | b"transfer-encoding" => Self::Framing,
            b"x-forwarded-client-cert"
            | b"x-real-ip"
            | b"x-client-ip"
            | b"x-cluster-client-ip"
            | b"x-envoy-external-address"
            | b"x-original-forwarded-for"
            | b"x-original-host"
            | b"x-original-proto"
            | b"x-remote-addr"
            | b"x-remote-ip"
            | b"x-forwarded"
            | b"x-host"
            | b"cf-connecting-ip"
            | b"cf-connecting-ipv6"
            | b"client-ip"
            | b"fastly-client-ip"
            | b"fly-client-ip"
            | b"forwarded-for"
            | b"true-client-ip" => Self::Identity,
            _ if name.starts_with(b"x-forwarded-") => Self::XForwarded,
            _ if name.starts_with(b"x-azure-") || name.starts_with(b"x-fd-") => Self::Azure,
            _ if name.starts_with(b"x-portolan-") => Self::Portolan,
            _ => Self::Other,
        }
    }
}

/// The kind of a field by its name in lower case, and whether that is its usual spelling: hyphens and no other
/// punctuation.
pub fn kind(name: &str) -> (FieldKind, bool) {
    let name = name.as_bytes();
    // Without an early exit: names are short, and branches cost more.
    if name.iter().fold(true, |all, byte| all & USUAL[usize::from(*byte)]) {
        return (FieldKind::of(name), true);
    }
    // Longer than any known name, so that what is cut off changes nothing.
    let mut folded = [0; 32];
    let length = name.len().min(folded.len());
    for (to, from) in folded.iter_mut().zip(name) {
        *to = if USUAL[usize::from(*from)] { *from } else { b'-' };
    }
    (FieldKind::of(&folded[..length]), false)
}

/// Letters, digits and the hyphen.
const USUAL: [bool; 256] = {
    let mut usual = [false; 256];
    let mut byte = 0_u8;
    loop {
        usual[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'-';
        if byte == u8::MAX {
            break usual;
        }
        byte += 1;
    }
};

impl ClientAddress {
    /// Whether a request field goes on to the gateway, by its name in lower case. `is_trusted` says whether the peer of
    /// this request is a proxy that is believed, see [`super::Provenance`].
    ///
    /// Fields of [`FieldKind::Framing`] in their usual spelling are not decided here: they belong to the message.
    #[inline]
    pub fn passes(&self, name: &str, is_trusted: bool) -> bool {
        // Every name that is anything else than `Other` begins with one of these, however it is spelled, and is as long.
        match name.as_bytes() {
            [b'x', _, _, _, _, ..]
            | [b'f', _, _, _, _, _, _, _, _, ..]
            | [b'c', _, _, _, _, _, _, _, _, ..]
            | [b't', _, _, _, _, _, _, _, _, _, _, _, _, _, ..] => self.passes_kind(name, is_trusted),
            _ => true,
        }
    }

    fn passes_kind(&self, name: &str, is_trusted: bool) -> bool {
        let (kind, usual) = kind(name);
        let by_kind = match kind {
            FieldKind::Other => return true,
            FieldKind::Framing => return usual,
            FieldKind::Identity => false,
            FieldKind::XForwarded | FieldKind::Portolan => usual,
            FieldKind::Forwarded => usual && self.header == ClientHeader::Forwarded,
            FieldKind::Azure => usual && matches!(self.header, ClientHeader::AzureSocketIp { .. }),
        };
        is_trusted && (by_kind || self.pass_headers.iter().any(|passed| **passed == *name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(header: ClientHeader, pass_headers: &[&str]) -> ClientAddress {
        ClientAddress {
            header,
            pass_headers: pass_headers.iter().map(|name| (*name).into()).collect(),
            ..ClientAddress::default()
        }
    }

    #[test]
    fn every_spelling_of_a_known_name_has_its_kind() {
        for (name, expected) in [
            ("x-forwarded-for", (FieldKind::XForwarded, true)),
            ("x_forwarded_for", (FieldKind::XForwarded, false)),
            ("x-forwarded_host", (FieldKind::XForwarded, false)),
            ("x.forwarded.proto", (FieldKind::XForwarded, false)),
            ("x_azure_fdid", (FieldKind::Azure, false)),
            ("x-fd_healthprobe", (FieldKind::Azure, false)),
            ("x_portolan_region", (FieldKind::Portolan, false)),
            (
                "x_portolan_a_field_with_a_name_that_is_very_long",
                (FieldKind::Portolan, false),
            ),
            ("content_length", (FieldKind::Framing, false)),
            ("content-length", (FieldKind::Framing, true)),
            ("transfer~encoding", (FieldKind::Framing, false)),
            ("x_real_ip", (FieldKind::Identity, false)),
            ("true-client-ip", (FieldKind::Identity, true)),
            ("forwarded", (FieldKind::Forwarded, true)),
            ("x-forwarded", (FieldKind::Identity, true)),
            ("x-forwardedfor", (FieldKind::Other, true)),
            ("x_request_id", (FieldKind::Other, false)),
            ("content-type", (FieldKind::Other, true)),
            ("cookie", (FieldKind::Other, true)),
            ("x-original-forwarded-for-and-more-of-it", (FieldKind::Other, true)),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
    }

    #[test]
    fn the_longest_known_name_fits_the_folded_one() {
        assert_eq!(kind("x_original_forwarded_for"), (FieldKind::Identity, false));
        assert_eq!(kind("x_original_forwarded_for_and_more"), (FieldKind::Other, false));
        assert_eq!(kind("x_forwarded_client_cert"), (FieldKind::Identity, false));
    }

    #[test]
    fn a_peer_that_is_not_trusted_describes_nothing() {
        let policy = policy(ClientHeader::XForwardedFor, &["x-real-ip"]);
        for name in [
            "x-forwarded-host",
            "forwarded",
            "x-azure-ref",
            "x-real-ip",
            "x-portolan-region",
            "x_real_ip",
        ] {
            assert!(!policy.passes(name, false), "{name}");
        }
        for name in [
            "accept",
            "x-request-id",
            "cookie",
            "content-type",
            "x_request_id",
            "traceparent",
        ] {
            assert!(policy.passes(name, false), "{name}");
        }
    }

    #[test]
    fn a_trusted_proxy_describes_its_client_in_the_fields_that_it_writes() {
        let fields = [
            "x-forwarded-host",
            "forwarded",
            "x-azure-ref",
            "x-real-ip",
            "x_forwarded_host",
        ];
        for (header, passed) in [
            (ClientHeader::XForwardedFor, &["x-forwarded-host"][..]),
            (ClientHeader::Forwarded, &["x-forwarded-host", "forwarded"]),
            (
                ClientHeader::AzureSocketIp { front_door_id: None },
                &["x-forwarded-host", "x-azure-ref"],
            ),
        ] {
            let policy = policy(header, &[]);
            let found: Vec<_> = fields.into_iter().filter(|name| policy.passes(name, true)).collect();
            assert_eq!(found, passed, "{policy:?}");
        }
        assert!(policy(ClientHeader::XForwardedFor, &["x-real-ip"]).passes("x-real-ip", true));
    }

    #[test]
    fn framing_in_another_spelling_never_passes() {
        let policy = policy(ClientHeader::XForwardedFor, &["content_length"]);
        assert!(!policy.passes("content_length", true) && !policy.passes("transfer_encoding", true));
        assert!(policy.passes("content-length", false));
    }
}
