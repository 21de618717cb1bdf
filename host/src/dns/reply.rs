//! What the response of a name server means.

use super::family::Family;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record};
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use thiserror::Error;

/// Aliases (CNAME) that are followed for one name.
pub(super) const MAX_ALIASES: usize = 10;

/// What one server replied to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The addresses, each once, in the order of the response.
    Addresses {
        addresses: Vec<IpAddr>,
        ttl: Duration,
    },
    /// The name is an alias, and the server has not looked up its target.
    Alias {
        target: Name,
        ttl: Duration,
    },
    /// There are no such records. `ttl` is for how long that is so (RFC 2308), where the server says it.
    Absent {
        absence: Absence,
        ttl: Option<Duration>,
    },
    Failed(Failure),
}

/// An authoritative "no".
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum Absence {
    /// There is no such name (NXDOMAIN).
    #[error("there is no such name (NXDOMAIN)")]
    NoName,
    /// The name has records, none of this type (NODATA).
    #[error("the name has no addresses of this family (NODATA)")]
    NoData,
}

impl Absence {
    /// The word for it in metrics.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::NoName => "nxdomain",
            Self::NoData => "nodata",
        }
    }
}

/// A question without an answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum Failure {
    #[error("no answer")]
    Timeout,
    #[error("unreachable ({0})")]
    Unreachable(io::ErrorKind),
    #[error("{}", code_name(*.0))]
    Code(ResponseCode),
    #[error("a malformed response")]
    Malformed,
    #[error("it does not resolve names for others")]
    Referral,
    #[error("more than {MAX_ALIASES} aliases")]
    TooManyAliases,
    #[error("only addresses that nothing can be sent to")]
    Unusable,
}

impl Failure {
    /// The word for it in metrics: one of a fixed set.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Code(ResponseCode::ServFail) => "servfail",
            Self::Code(ResponseCode::Refused) => "refused",
            Self::Code(ResponseCode::NotImp) => "notimp",
            Self::Code(ResponseCode::FormErr) => "formerr",
            Self::Code(_) => "other",
            Self::Malformed => "malformed",
            Self::Referral => "referral",
            Self::TooManyAliases => "aliases",
            Self::Unusable => "unusable",
        }
    }

    /// Whether nothing came back from the server.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Timeout | Self::Unreachable(_))
    }

    /// Whether the server may know better in a moment. If not, it has left the question to the other servers.
    pub(super) fn is_passing(&self) -> bool {
        self.is_silence() || matches!(self, Self::Code(ResponseCode::ServFail))
    }
}

fn code_name(code: ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "SERVFAIL".into(),
        ResponseCode::Refused => "REFUSED".into(),
        ResponseCode::NotImp => "NOTIMP".into(),
        ResponseCode::FormErr => "FORMERR".into(),
        other => format!("response code {}", u16::from(other)),
    }
}

/// Reads a response to a question for the addresses of a name.
pub(super) fn read(response: &Message, asked: &Name, family: Family) -> Reply {
    let code = response.metadata.response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return Reply::Failed(Failure::Code(code));
    }
    let Some((owner, alias_ttl)) = follow_aliases(&response.answers, asked) else {
        return Reply::Failed(Failure::TooManyAliases);
    };
    let (mut addresses, mut ttl) = (Vec::new(), alias_ttl.unwrap_or(u32::MAX));
    for record in records(&response.answers, &owner) {
        let Some(address) = record.data.ip_addr().filter(|address| family.has(address)) else {
            continue;
        };
        ttl = ttl.min(record.ttl);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let ttl = seconds(ttl);
    if !addresses.is_empty() {
        // Filters answer with 0.0.0.0, which would lead to this machine.
        addresses.retain(|address| !address.is_unspecified() && !address.is_multicast());
        return match addresses.is_empty() {
            true => Reply::Failed(Failure::Unusable),
            false => Reply::Addresses { addresses, ttl },
        };
    }
    let negative = negative_ttl(response);
    let absent = |absence| Reply::Absent { absence, ttl: negative };
    let metadata = &response.metadata;
    match code {
        ResponseCode::NXDomain => absent(Absence::NoName),
        _ if negative.is_some() => absent(Absence::NoData),
        _ if alias_ttl.is_some() => Reply::Alias { target: owner, ttl },
        _ if metadata.recursion_available || metadata.authoritative => absent(Absence::NoData),
        _ => Reply::Failed(Failure::Referral),
    }
}

/// The name at the end of a chain of aliases, and the least of their TTLs. `None` when the chain does not end.
fn follow_aliases(answers: &[Record], asked: &Name) -> Option<(Name, Option<u32>)> {
    let (mut owner, mut ttl) = (asked.clone(), None);
    for _ in 0..=MAX_ALIASES {
        let alias = records(answers, &owner).find_map(|record| match &record.data {
            RData::CNAME(target) => Some((target.0.clone(), record.ttl)),
            _ => None,
        });
        let Some((target, alias_ttl)) = alias else {
            return Some((owner, ttl));
        };
        owner = target;
        ttl = Some(ttl.map_or(alias_ttl, |ttl: u32| ttl.min(alias_ttl)));
    }
    None
}

fn records<'a>(records: &'a [Record], owner: &Name) -> impl Iterator<Item = &'a Record> {
    records
        .iter()
        .filter(move |record| record.dns_class == DNSClass::IN && record.name == *owner)
}

/// RFC 2308, section 5: the lesser of the SOA's TTL and its MINIMUM.
fn negative_ttl(response: &Message) -> Option<Duration> {
    response.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(seconds(record.ttl.min(soa.minimum))),
        _ => None,
    })
}

/// RFC 2181, section 8: a TTL with the highest bit set is zero.
fn seconds(ttl: u32) -> Duration {
    let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
    Duration::from_secs(ttl.into())
}

#[cfg(test)]
mod tests;
