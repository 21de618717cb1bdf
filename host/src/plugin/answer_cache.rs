//! A cache of answers for plugins that declare what their answers depend on.

use super::contract::{Decision, Request, inputs};
use std::hash::{BuildHasher, Hasher, RandomState};

/// Cached answers per worker and service: 24 KiB.
const ENTRIES: usize = 1024;

/// A direct-mapped table: a new answer replaces the entry in its place.
///
/// Entries are identified by a 64-bit hash with a random key, so that no client can make one request collide with
/// another.
#[derive(Debug)]
pub(super) struct AnswerCache {
    vary: u32,
    hasher: RandomState,
    entries: Box<[Option<(u64, Decision)>]>,
}

impl AnswerCache {
    /// A cache for answers that depend on the inputs of these bits.
    pub(super) fn new(vary: u32) -> Self {
        Self {
            vary,
            hasher: RandomState::new(),
            entries: vec![None; ENTRIES].into_boxed_slice(),
        }
    }

    /// The key of a request: what the answer depends on, with the regions it is given for and their native order.
    pub(super) fn key(&self, generation: u64, request: &Request<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        let varies = |bits: u32| self.vary & bits != 0;
        hasher.write_u64(generation);
        hasher.write_u64(u64::from(request.native_first4) << 32 | u64::from(request.native_next4));
        for (bit, text) in [
            (inputs::HOST, request.host),
            (inputs::PATH, request.path),
            (inputs::FIELDS, request.fields),
        ] {
            if varies(bit) {
                hasher.write(text.as_bytes());
                // No text holds this byte, so that two texts never run into each other.
                hasher.write_u8(0xff);
            }
        }
        if varies(inputs::NET) {
            hasher.write_u64(request.net);
        }
        if varies(inputs::POINT) {
            hasher.write_u64(u64::from(request.latitude.to_bits()) << 32 | u64::from(request.longitude.to_bits()));
        }
        if varies(inputs::ASN) {
            hasher.write_u32(request.asn);
        }
        if varies(inputs::COUNTRY | inputs::METHOD | inputs::PROTOCOL) {
            let take = |bit: u32, value: u32| if varies(bit) { value } else { 0 };
            hasher.write_u32(
                take(inputs::COUNTRY, request.country.into())
                    | take(inputs::METHOD, request.method as u32) << 16
                    | take(inputs::PROTOCOL, request.protocol as u32) << 24,
            );
        }
        hasher.finish()
    }

    /// The answer cached under a key.
    pub(super) fn get(&self, key: u64) -> Option<Decision> {
        match self.entries[place(key)] {
            Some((known, decision)) if known == key => Some(decision),
            _ => None,
        }
    }

    /// Caches an answer.
    pub(super) fn put(&mut self, key: u64, decision: Decision) {
        self.entries[place(key)] = Some((key, decision));
    }
}

/// Where a key's entry is: always in range.
fn place(key: u64) -> usize {
    (key % ENTRIES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::contract::{HttpMethod, Protocol};

    const REQUEST: Request<'static> = Request {
        method: HttpMethod::Get,
        protocol: Protocol::Http1,
        host: "a",
        path: "b",
        fields: "c",
        country: 1,
        asn: 2,
        latitude: 3.0,
        longitude: 4.0,
        net: 5,
        roll: 6,
        native_first4: 7,
        native_next4: 8,
    };

    /// The same request with one input changed, for every input.
    fn changed() -> [(u32, Request<'static>); 10] {
        [
            (inputs::HOST, Request { host: "x", ..REQUEST }),
            (inputs::PATH, Request { path: "x", ..REQUEST }),
            (inputs::NET, Request { net: 9, ..REQUEST }),
            (inputs::COUNTRY, Request { country: 9, ..REQUEST }),
            (inputs::FIELDS, Request { fields: "x", ..REQUEST }),
            (
                inputs::METHOD,
                Request {
                    method: HttpMethod::Put,
                    ..REQUEST
                },
            ),
            (
                inputs::POINT,
                Request {
                    latitude: 9.0,
                    ..REQUEST
                },
            ),
            (
                inputs::POINT,
                Request {
                    longitude: 9.0,
                    ..REQUEST
                },
            ),
            (inputs::ASN, Request { asn: 9, ..REQUEST }),
            (
                inputs::PROTOCOL,
                Request {
                    protocol: Protocol::Http3,
                    ..REQUEST
                },
            ),
        ]
    }

    #[test]
    fn a_key_depends_on_what_the_answer_depends_on() {
        for vary in (0..9).map(|bit| 1 << bit).chain([0, inputs::ALL]) {
            let cache = AnswerCache::new(vary);
            let key = cache.key(1, &REQUEST);
            for (bit, request) in changed() {
                assert_eq!(cache.key(1, &request) != key, vary & bit != 0, "{vary:b} {request:?}");
            }
            assert_eq!(cache.key(1, &Request { roll: 0, ..REQUEST }), key);
            assert_ne!(cache.key(2, &REQUEST), key, "other regions");
            assert_ne!(
                cache.key(
                    1,
                    &Request {
                        native_first4: 0,
                        ..REQUEST
                    }
                ),
                key,
                "another native order"
            );
            assert_ne!(
                cache.key(
                    1,
                    &Request {
                        native_next4: 0,
                        ..REQUEST
                    }
                ),
                key,
                "another native order"
            );
        }
    }

    #[test]
    fn texts_do_not_run_into_each_other() {
        let cache = AnswerCache::new(inputs::ALL);
        let other = Request {
            host: "ab",
            path: "",
            ..REQUEST
        };
        assert_ne!(cache.key(1, &REQUEST), cache.key(1, &other));
    }

    #[test]
    fn an_answer_is_remembered_until_another_takes_its_place() {
        let mut cache = AnswerCache::new(0);
        let decision = |reason| Decision {
            first4: 0,
            next4: 0,
            reason,
            action: 0,
        };
        cache.put(5, decision(1));
        assert_eq!(cache.get(5), Some(decision(1)));
        assert_eq!(cache.get(5 + ENTRIES as u64), None);
        cache.put(5 + ENTRIES as u64, decision(2));
        assert_eq!((cache.get(5), cache.get(5 + ENTRIES as u64)), (None, Some(decision(2))));
    }
}
