//! What responses mean, as they come from name servers of all kinds.

use super::*;
use hickory_proto::op::{MessageType, OpCode};
use hickory_proto::rr::rdata::{CNAME, SOA};
use std::net::{Ipv4Addr, Ipv6Addr};

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

fn record(owner: &str, ttl: u32, data: RData) -> Record {
    Record::from_rdata(name(owner), ttl, data)
}

fn a(owner: &str, ttl: u32, last: u8) -> Record {
    record(owner, ttl, RData::A(Ipv4Addr::new(192, 0, 2, last).into()))
}

fn alias(owner: &str, ttl: u32, target: &str) -> Record {
    record(owner, ttl, RData::CNAME(CNAME(name(target))))
}

fn soa(ttl: u32, minimum: u32) -> Record {
    let soa = SOA::new(name("ns.example."), name("host.example."), 1, 60, 60, 60, minimum);
    record("example.", ttl, RData::SOA(soa))
}

/// What a response of a recursive server means to who asked for the IPv4 addresses of `gw.example`.
fn meaning(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> Reply {
    let mut response = Message::new(1, MessageType::Response, OpCode::Query);
    response.metadata.response_code = code;
    response.metadata.recursion_available = true;
    response.answers = answers;
    response.authorities = authorities;
    read(&response, &name("gw.example."), Family::V4)
}

fn addresses(last: &[u8], ttl: u64) -> Reply {
    Reply::Addresses {
        addresses: last.iter().map(|last| Ipv4Addr::new(192, 0, 2, *last).into()).collect(),
        ttl: Duration::from_secs(ttl),
    }
}

#[test]
fn addresses_are_taken_once_each_with_the_least_ttl() {
    let answers = vec![
        a("gw.example.", 60, 1),
        a("GW.example.", 30, 2),
        a("gw.example.", 60, 1),
    ];
    assert_eq!(meaning(ResponseCode::NoError, answers, vec![]), addresses(&[1, 2], 30));
}

#[test]
fn what_was_not_asked_for_is_left_out() {
    let v6 = record("gw.example.", 5, RData::AAAA(Ipv6Addr::LOCALHOST.into()));
    let answers = vec![a("other.example.", 5, 9), v6, a("gw.example.", 60, 1)];
    assert_eq!(meaning(ResponseCode::NoError, answers, vec![]), addresses(&[1], 60));
}

#[test]
fn aliases_are_followed_and_bound_the_ttl() {
    let answers = vec![
        a("end.example.", 60, 1),
        alias("gw.example.", 20, "mid.example."),
        alias("mid.example.", 40, "end.example."),
    ];
    assert_eq!(meaning(ResponseCode::NoError, answers, vec![]), addresses(&[1], 20));
    let unfollowed = vec![alias("gw.example.", 20, "mid.example.")];
    assert_eq!(
        meaning(ResponseCode::NoError, unfollowed.clone(), vec![]),
        Reply::Alias {
            target: name("mid.example."),
            ttl: Duration::from_secs(20)
        }
    );
    let end = Reply::Absent {
        absence: Absence::NoData,
        ttl: Some(Duration::from_secs(5)),
    };
    assert_eq!(meaning(ResponseCode::NoError, unfollowed, vec![soa(60, 5)]), end);
    let circle = vec![
        alias("gw.example.", 20, "mid.example."),
        alias("mid.example.", 20, "gw.example."),
    ];
    assert_eq!(
        meaning(ResponseCode::NoError, circle, vec![]),
        Reply::Failed(Failure::TooManyAliases)
    );
}

#[test]
fn a_no_is_told_from_a_failure() {
    for (code, authorities, absence, ttl) in [
        (ResponseCode::NXDomain, vec![soa(60, 5)], Absence::NoName, Some(5)),
        (ResponseCode::NXDomain, vec![soa(3, 5)], Absence::NoName, Some(3)),
        (ResponseCode::NXDomain, vec![], Absence::NoName, None),
        (ResponseCode::NoError, vec![soa(60, 60)], Absence::NoData, Some(60)),
        (ResponseCode::NoError, vec![], Absence::NoData, None),
    ] {
        let ttl = ttl.map(Duration::from_secs);
        assert_eq!(meaning(code, vec![], authorities), Reply::Absent { absence, ttl });
    }
    for code in [
        ResponseCode::ServFail,
        ResponseCode::Refused,
        ResponseCode::NotImp,
        ResponseCode::FormErr,
    ] {
        assert_eq!(meaning(code, vec![], vec![]), Reply::Failed(Failure::Code(code)));
    }
    // A server that only knows its own zones points elsewhere.
    let mut referral = Message::new(1, MessageType::Response, OpCode::Query);
    referral.metadata.recursion_available = false;
    assert_eq!(
        read(&referral, &name("gw.example."), Family::V4),
        Reply::Failed(Failure::Referral)
    );
}

#[test]
fn addresses_that_lead_to_this_machine_or_to_everybody_are_not_taken() {
    let data = |ip: Ipv4Addr| record("gw.example.", 60, RData::A(ip.into()));
    let filtered = vec![data(Ipv4Addr::UNSPECIFIED)];
    assert_eq!(
        meaning(ResponseCode::NoError, filtered, vec![]),
        Reply::Failed(Failure::Unusable)
    );
    let mixed = vec![
        data(Ipv4Addr::UNSPECIFIED),
        data(Ipv4Addr::new(224, 0, 0, 1)),
        a("gw.example.", 60, 1),
    ];
    assert_eq!(meaning(ResponseCode::NoError, mixed, vec![]), addresses(&[1], 60));
}

#[test]
fn a_negative_ttl_is_zero() {
    let answers = vec![a("gw.example.", u32::MAX, 1)];
    assert_eq!(meaning(ResponseCode::NoError, answers, vec![]), addresses(&[1], 0));
}
