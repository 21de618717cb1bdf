//! A sample of the answered requests: where each came from, and which gateway answered it.
//!
//! Each worker writes a ring of its own and nothing else; the control thread reads all of them. A worker adds at most one sample in
//! [`PAUSE`], which stands for all requests since the one before.

use super::Vitals;
use portolan_core::decision::RankedBy;
use portolan_core::geo::Point;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The shortest time between two samples of a worker.
const PAUSE: Duration = Duration::from_millis(10);

/// The samples that a worker's ring holds: those of more than five seconds.
const HELD: usize = 512;

/// What latitudes and longitudes are multiplied with to be stored.
const HUNDREDTHS: f32 = 100.0;

/// The latitude of what has no place.
const NOWHERE: i16 = i16::MIN;

/// The number of a gateway's counters: no two have the same one while the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayNumber(u32);

impl GatewayNumber {
    pub(super) fn next() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A place, in hundredths of degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampledPlace {
    latitude: i16,
    longitude: i16,
}

impl SampledPlace {
    fn of(point: Option<Point>) -> Self {
        point.map_or(
            Self {
                latitude: NOWHERE,
                longitude: 0,
            },
            |point| Self {
                latitude: (point.latitude() * HUNDREDTHS).round() as i16,
                longitude: (point.longitude() * HUNDREDTHS).round() as i16,
            },
        )
    }

    /// Degrees north and degrees east; `None` for clients without a place.
    pub fn degrees(self) -> Option<(f32, f32)> {
        let degrees = |hundredths: i16| f32::from(hundredths) / HUNDREDTHS;
        (self.latitude != NOWHERE).then(|| (degrees(self.latitude), degrees(self.longitude)))
    }
}

/// A request, and the ones before it that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where its client is.
    pub place: SampledPlace,
    /// The gateway that answered.
    pub gateway: GatewayNumber,
    /// How many requests it stands for, itself included.
    pub requests: u32,
    /// Whether a plugin ordered its regions.
    pub by_plugin: bool,
    /// The plugin's number for its reason; 0 without one.
    pub reason: u16,
}

impl Sample {
    fn words(self) -> [u64; 2] {
        let place = u64::from(self.place.latitude as u16) << 16 | u64::from(self.place.longitude as u16);
        let by = u64::from(self.by_plugin) << 16 | u64::from(self.reason);
        [
            place << 32 | u64::from(self.gateway.0),
            by << 32 | u64::from(self.requests),
        ]
    }

    fn of_words([first, second]: [u64; 2]) -> Self {
        Self {
            place: SampledPlace {
                latitude: (first >> 48) as u16 as i16,
                longitude: (first >> 32) as u16 as i16,
            },
            gateway: GatewayNumber(first as u32),
            requests: second as u32,
            by_plugin: second >> 48 & 1 == 1,
            reason: (second >> 32) as u16,
        }
    }
}

/// The samples of all workers.
#[derive(Debug)]
pub struct TrafficSamples {
    rings: Box<[Ring]>,
}

/// The last samples of one worker.
#[derive(Debug)]
#[repr(align(128))]
struct Ring {
    held: Box<[[AtomicU64; 2]]>,
    /// How many were written.
    written: AtomicU64,
    /// How many of those were read. Only the reader uses it.
    read: AtomicU64,
}

impl Ring {
    fn new() -> Self {
        Self {
            held: (0..HELD).map(|_| Default::default()).collect(),
            written: AtomicU64::new(0),
            read: AtomicU64::new(0),
        }
    }

    fn place(&self, number: u64) -> Option<&[AtomicU64; 2]> {
        self.held.get((number % HELD as u64) as usize)
    }
}

impl TrafficSamples {
    /// Rings for this many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            rings: (0..workers.max(1)).map(|_| Ring::new()).collect(),
        }
    }

    /// The samples since the last call. One task alone may call this. Should it be late, the oldest ones are lost.
    pub fn take(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        for ring in &self.rings {
            let written = ring.written.load(Ordering::Acquire);
            // One place less: the worker may be writing it.
            let oldest = written.saturating_sub(HELD as u64 - 1);
            let from = ring.read.load(Ordering::Relaxed).max(oldest);
            let read = (from..written).filter_map(|number| ring.place(number));
            samples.extend(read.map(|words| Sample::of_words(words.each_ref().map(|it| it.load(Ordering::Relaxed)))));
            ring.read.store(written, Ordering::Relaxed);
        }
        samples
    }

    /// A worker's sampler. A worker has one at a time.
    pub fn sampler(self: &Arc<Self>, worker: usize, now: Instant) -> Sampler {
        Sampler {
            samples: Arc::clone(self),
            worker,
            due: Cell::new(now),
            requests: Cell::new(0),
        }
    }
}

/// Takes the samples of one worker.
#[derive(Debug)]
pub struct Sampler {
    samples: Arc<TrafficSamples>,
    worker: usize,
    due: Cell<Instant>,
    /// The requests since the last sample.
    requests: Cell<u32>,
}

impl Sampler {
    /// A gateway answered a request that came at `begun`, from a client at this place, for which `by` ordered the regions.
    #[inline]
    pub fn answered(&self, begun: Instant, gateway: &Vitals, place: Option<Point>, by: RankedBy) {
        self.requests.set(self.requests.get().saturating_add(1));
        if begun >= self.due.get() {
            self.add(begun, gateway.number, place, by);
        }
    }

    #[cold]
    fn add(&self, begun: Instant, gateway: GatewayNumber, place: Option<Point>, by: RankedBy) {
        self.due.set(begun + PAUSE);
        let sample = Sample {
            place: SampledPlace::of(place),
            gateway,
            requests: self.requests.replace(0),
            by_plugin: matches!(by, RankedBy::Plugin { .. }),
            reason: by.plugin_reason().unwrap_or_default(),
        };
        let Some(ring) = self.samples.rings.get(self.worker) else {
            return;
        };
        let number = ring.written.load(Ordering::Relaxed);
        if let Some(place) = ring.place(number) {
            for (word, value) in place.iter().zip(sample.words()) {
                word.store(value, Ordering::Relaxed);
            }
        }
        ring.written.store(number + 1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    use portolan_core::decision::Effects;

    #[test]
    fn a_sample_stands_for_all_requests_since_the_one_before() {
        let samples = Arc::new(TrafficSamples::new(2));
        let start = Instant::now();
        let (west, east) = (Vitals::in_region("westeurope"), Vitals::in_region("eastus2"));
        assert_ne!(west.number, east.number);
        let sampler = samples.sampler(1, start);
        let sydney = Point::new(-33.87, 151.21).expect("a point");
        let by_plugin = RankedBy::Plugin {
            reason: 7,
            repaired: false,
            opinion: true,
            effects: Effects::default(),
        };
        sampler.answered(start, &west, Some(sydney), by_plugin);
        for millis in [1, 2, 9] {
            sampler.answered(start + Duration::from_millis(millis), &west, None, RankedBy::Policy);
        }
        sampler.answered(start + PAUSE, &east, None, RankedBy::Fallback("trap"));
        let taken = samples.take();
        let [first, second] = taken.as_slice() else {
            panic!("{taken:?}")
        };
        assert_eq!(first.place.degrees(), Some((-33.87, 151.21)));
        assert_eq!((first.gateway, first.requests), (west.number, 1));
        assert!(first.by_plugin && first.reason == 7);
        assert_eq!(second.place.degrees(), None);
        assert_eq!((second.gateway, second.requests), (east.number, 4));
        assert!(!second.by_plugin && second.reason == 0);
        assert!(samples.take().is_empty(), "each is given once");
    }

    #[test]
    fn the_oldest_are_lost_when_nobody_reads() {
        let samples = Arc::new(TrafficSamples::new(1));
        let start = Instant::now();
        let (west, sampler) = (Vitals::in_region("westeurope"), samples.sampler(0, start));
        for number in 0..HELD as u32 + 100 {
            let reason = number as u16;
            let by = RankedBy::Plugin {
                reason,
                repaired: false,
                opinion: true,
                effects: Effects::default(),
            };
            sampler.answered(start + PAUSE * number, &west, None, by);
        }
        let taken = samples.take();
        assert_eq!(taken.len(), HELD - 1);
        assert_eq!(taken.last().map(|it| it.reason), Some(HELD as u16 + 99));
        assert_eq!(taken[0].reason, 101);
    }
}
