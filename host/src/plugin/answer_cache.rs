//! A cache of answers for plugins that declare what their answers depend on.

use super::answer::PluginAnswer;
use super::contract::inputs;
use super::records::{Inputs, method, net, protocol};
use super::request::RouteRequest;
use portolan_core::geo::Point;
use portolan_core::id::{Generation, Slot};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

/// Cached answers per worker and service: about 130 KiB.
const ENTRIES: usize = 1024;

/// A direct-mapped table: a new answer replaces the entry in its place.
///
/// Entries are identified by a 64-bit hash with a random key, so that no client can make one request collide with
/// another. The regions and their whole native order are part of it, so that an answer needs no validation again.
#[derive(Debug)]
pub(super) struct AnswerCache {
    vary: u32,
    hasher: RandomState,
    entries: Box<[Option<(u64, PluginAnswer)>]>,
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

    /// The key of a request: what the answer depends on, with the regions it is given for and their native order. `prepared`
    /// is what was prepared of it.
    pub(super) fn key(&self, generation: Generation, request: &RouteRequest<'_>, prepared: &Inputs) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        let varies = |bits: u32| self.vary & bits != 0;
        let take = |bit: u32, value: u64| if varies(bit) { value } else { 0 };
        hasher.write_u64(generation.0);
        let (order, held_back, last_resort) = (
            request.native.order(),
            request.native.held_back(),
            request.native.last_resort(),
        );
        // The lengths first, so that what follows can be read in one way only.
        hasher.write_u64(
            order.len() as u64
                | u64::from(!held_back.is_empty()) << 8
                | u64::from(!last_resort.is_empty()) << 9
                | take(inputs::COUNTRY, request.country.code().into()) << 16
                | take(inputs::METHOD, method(request.method) as u64) << 32
                | take(inputs::PROTOCOL, protocol(request.version) as u64) << 40,
        );
        for chunk in order.chunks(8) {
            let word = chunk.iter().fold(0, |word, Slot(slot)| word << 8 | u64::from(*slot));
            hasher.write_u64(word);
        }
        for some in [held_back, last_resort] {
            if !some.is_empty() {
                some.hash(&mut hasher);
            }
        }
        if varies(inputs::POINT) {
            let bits = |of: fn(Point) -> f32| u64::from(request.point.map_or(f32::NAN, of).to_bits());
            hasher.write_u64(bits(Point::latitude) << 32 | bits(Point::longitude));
        }
        if varies(inputs::NET) {
            hasher.write_u64(net(request.client));
        }
        if varies(inputs::ASN | inputs::MINUTE) {
            let asn = take(inputs::ASN, request.asn.into());
            hasher.write_u64(asn << 32 | take(inputs::MINUTE, prepared.minute.into()));
        }
        if varies(inputs::ROUND_TRIPS | inputs::LOAD) {
            for estimate in &prepared.estimates {
                let round_trip = take(inputs::ROUND_TRIPS, estimate.round_trip_us.into());
                hasher.write_u64(round_trip << 32 | take(inputs::LOAD, estimate.in_flight.into()));
            }
        }
        for (bit, text) in [
            (inputs::HOST, request.host),
            (inputs::PATH, request.path),
            (inputs::FIELDS, &prepared.fields),
        ] {
            if varies(bit) {
                hasher.write(text.as_bytes());
                // No text holds this byte, so that two texts never run into each other.
                hasher.write_u8(0xff);
            }
        }
        hasher.finish()
    }

    /// The answer cached under a key.
    pub(super) fn get(&self, key: u64) -> Option<&PluginAnswer> {
        match &self.entries[place(key)] {
            Some((known, answer)) if *known == key => Some(answer),
            _ => None,
        }
    }

    /// Caches an answer.
    pub(super) fn put(&mut self, key: u64, answer: &PluginAnswer) {
        let answer = PluginAnswer {
            remembered: true,
            ..answer.clone()
        };
        self.entries[place(key)] = Some((key, answer));
    }
}

/// Where a key's entry is: always in range.
fn place(key: u64) -> usize {
    (key % ENTRIES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::request::tests::Fake;
    use crate::plugin::setup::{Field, Setup};
    use http::{HeaderValue, Method, Version};
    use portolan_core::decision::Effects;
    use portolan_core::rank::Ranking;
    use std::time::{Duration, SystemTime};

    /// The inputs of a request of which everything is asked for.
    fn prepared(fake: &Fake) -> Inputs {
        let setup = Setup {
            needs: u32::MAX,
            fields: vec![Field::Header("x-a".parse().unwrap())],
            ..Setup::default()
        };
        let mut inputs = Inputs::default();
        inputs.prepare(&fake.request(), &setup);
        inputs
    }

    fn key(cache: &AnswerCache, generation: u64, fake: &Fake) -> u64 {
        cache.key(Generation(generation), &fake.request(), &prepared(fake))
    }

    /// The usual request with one input changed, for every input.
    fn changed() -> [(u32, Fake); 11] {
        let base = Fake::default;
        let mut with_field = base();
        with_field.headers.insert("x-a", HeaderValue::from_static("x"));
        [
            (inputs::HOST, Fake { host: "x", ..base() }),
            (inputs::PATH, Fake { path: "x", ..base() }),
            (
                inputs::NET,
                Fake {
                    client: [9, 9, 9, 9].into(),
                    ..base()
                },
            ),
            (
                inputs::COUNTRY,
                Fake {
                    country: portolan_core::geo::Country::UNKNOWN,
                    ..base()
                },
            ),
            (inputs::FIELDS, with_field),
            (
                inputs::METHOD,
                Fake {
                    method: Method::PUT,
                    ..base()
                },
            ),
            (
                inputs::POINT,
                Fake {
                    point: Point::new(51.5, 0.1).ok(),
                    ..base()
                },
            ),
            (inputs::POINT, Fake { point: None, ..base() }),
            (inputs::ASN, Fake { asn: 9, ..base() }),
            (
                inputs::PROTOCOL,
                Fake {
                    version: Version::HTTP_2,
                    ..base()
                },
            ),
            (
                inputs::MINUTE,
                Fake {
                    time: SystemTime::UNIX_EPOCH + Duration::from_secs(60),
                    ..base()
                },
            ),
        ]
    }

    #[test]
    fn a_key_depends_on_what_the_answer_depends_on() {
        for vary in (0..12).map(|bit| 1 << bit).chain([0, u32::MAX]) {
            let cache = AnswerCache::new(vary);
            let usual = key(&cache, 1, &Fake::default());
            for (bit, request) in changed() {
                let differs = key(&cache, 1, &request) != usual;
                assert_eq!(differs, vary & bit != 0, "{vary:b} {:?}", request.request());
            }
            let another = Fake {
                roll: 9,
                time: SystemTime::UNIX_EPOCH + Duration::from_secs(59),
                ..Fake::default()
            };
            assert_eq!(key(&cache, 1, &another), usual, "chance and seconds make no difference");
            assert_ne!(key(&cache, 2, &Fake::default()), usual, "other regions");
            for native in [&[1, 0, 2][..], &[0, 1], &[0, 1, 2, 3], &[0, 1, 3]] {
                let another = Fake {
                    native: native.iter().copied().map(Slot).collect(),
                    ..Fake::default()
                };
                assert_ne!(key(&cache, 1, &another), usual, "another native order");
            }
        }
    }

    #[test]
    fn estimates_are_told_apart() {
        for (vary, round_trips, load) in [(inputs::ROUND_TRIPS, true, false), (inputs::LOAD, false, true)] {
            let cache = AnswerCache::new(vary);
            let fake = Fake::default();
            let with = |change: fn(&mut crate::plugin::contract::v02::Estimate)| {
                let mut inputs = prepared(&fake);
                inputs.estimates.iter_mut().for_each(change);
                cache.key(Generation(1), &fake.request(), &inputs)
            };
            let usual = with(|_| {});
            assert_eq!(with(|estimate| estimate.round_trip_us += 1) != usual, round_trips);
            assert_eq!(with(|estimate| estimate.in_flight += 1) != usual, load);
        }
    }

    #[test]
    fn texts_do_not_run_into_each_other() {
        let cache = AnswerCache::new(u32::MAX);
        let of = |host, path| Fake {
            host,
            path,
            ..Fake::default()
        };
        assert_ne!(key(&cache, 1, &of("a", "b")), key(&cache, 1, &of("ab", "")));
    }

    #[test]
    fn an_answer_is_remembered_until_another_takes_its_place() {
        let mut cache = AnswerCache::new(0);
        let answer = |reason| PluginAnswer {
            ranking: Ranking::default(),
            opinion: false,
            repaired: false,
            reason,
            effects: Effects::default(),
            headers: None,
            remembered: false,
        };
        let reason = |cache: &AnswerCache, key| {
            let answer = cache.get(key)?;
            assert!(answer.remembered);
            Some(answer.reason)
        };
        cache.put(5, &answer(1));
        assert_eq!(reason(&cache, 5), Some(1));
        assert_eq!(reason(&cache, 5 + ENTRIES as u64), None);
        cache.put(5 + ENTRIES as u64, &answer(2));
        assert_eq!((reason(&cache, 5), reason(&cache, 5 + ENTRIES as u64)), (None, Some(2)));
    }
}
