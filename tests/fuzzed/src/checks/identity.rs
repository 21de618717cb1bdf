//! Who the client is: nothing that a client writes can be taken for what the nearest proxy wrote.

use http::{HeaderMap, HeaderValue};
use portolan_core::identity::{ClientAddress, ClientHeader, ClientIdentity, IdentitySource, identify};
use portolan_core::networks::Networks;
use std::net::{IpAddr, Ipv4Addr};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Any bytes as forwarding headers, one a line.
pub fn identity(data: &[u8]) {
    let trusted = Networks::new(["10.0.0.0/8".parse().expect("a network")]);
    let kinds = [
        ("x-forwarded-for", ClientHeader::XForwardedFor),
        ("forwarded", ClientHeader::Forwarded),
        ("x-azure-socketip", ClientHeader::AzureSocketIp { front_door_id: None }),
        ("x-forwarded-for", ClientHeader::None),
    ];
    for (name, kind) in kinds {
        let mut headers = HeaderMap::new();
        let lines = data.split(|byte| *byte == b'\n');
        let values = lines.filter_map(|line| HeaderValue::from_bytes(line).ok());
        values.for_each(|value| {
            headers.append(name, value);
        });
        let policy = ClientAddress {
            trusted: trusted.clone(),
            header: kind.clone(),
            ..ClientAddress::default()
        };
        let stranger = identify(ClientIdentity::peer(STRANGER), &headers, &policy);
        assert_eq!(
            (stranger.client.addr, stranger.is_trusted),
            (STRANGER, false),
            "{headers:?}"
        );
        let client = identify(ClientIdentity::peer(PEER), &headers, &policy).client;
        assert_eq!(client.addr, client.addr.to_canonical());
        if client.source == IdentitySource::Peer {
            assert_eq!(client.addr, PEER);
        }

        // The nearest proxy appends the address it saw: then that is the client, whatever stands before.
        let own = match kind {
            ClientHeader::XForwardedFor => "203.0.113.7",
            ClientHeader::Forwarded => "for=203.0.113.7",
            _ => continue,
        };
        headers.append(name, HeaderValue::from_static(own));
        let client = identify(ClientIdentity::peer(PEER), &headers, &policy).client;
        assert_eq!(client.addr, IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), "{headers:?}");
    }
}
