//! A drill as requests meet it: which clients it is about, the region that is lost to them, and what is counted of them.

mod counts;

pub use counts::{DrillTotals, Handled};

use counts::Shard;
use portolan_core::health::ServiceHealth;
use portolan_core::id::{RegionName, ServiceName, Slot};
use portolan_core::rollout::{Share, client_hash};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The part of a drill that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrillPhase {
    /// Its clients are counted, and nothing is different for them.
    Before,
    /// The region is lost to them.
    During,
    /// It is back.
    After,
}

impl DrillPhase {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Before, Self::During, Self::After];

    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::During => "during",
            Self::After => "after",
        }
    }
}

/// A drill.
#[derive(Debug)]
pub struct Drill {
    region: RegionName,
    share: Share,
    /// Which clients are in the share.
    salt: u64,
    phase: AtomicU8,
    began: Instant,
    /// Nanoseconds from `began`; 0: not yet.
    lost: AtomicU64,
    detected: AtomicU64,
    /// When a request that tried the region last began.
    last_tried: AtomicU64,
    shards: Box<[Shard]>,
    /// The services that have the region.
    services: Box<[ServiceName]>,
    /// Notified of every attempt in the region, so that the health task reads them at once.
    alarm: Arc<Notify>,
}

impl Drill {
    /// A drill that begins now, counted by so many workers.
    pub fn new(
        (region, share, salt): (RegionName, Share, u64),
        services: Vec<ServiceName>,
        workers: usize,
        alarm: Arc<Notify>,
        began: Instant,
    ) -> Self {
        Self {
            region,
            share,
            salt,
            phase: AtomicU8::new(DrillPhase::Before as u8),
            began,
            lost: AtomicU64::new(0),
            detected: AtomicU64::new(0),
            last_tried: AtomicU64::new(0),
            shards: (0..workers.max(1)).map(|_| Shard::new(services.len())).collect(),
            services: services.into(),
            alarm,
        }
    }

    /// The region.
    pub fn region(&self) -> &RegionName {
        &self.region
    }

    /// The share of the clients.
    pub fn share(&self) -> Share {
        self.share
    }

    /// The part that it is in.
    pub fn phase(&self) -> DrillPhase {
        let phase = usize::from(self.phase.load(Relaxed));
        DrillPhase::ALL.get(phase).copied().unwrap_or(DrillPhase::After)
    }

    /// The region is lost from now on.
    pub fn lose(&self, now: Instant) {
        self.lost.store(self.nanos(now), Relaxed);
        self.phase.store(DrillPhase::During as u8, Relaxed);
    }

    /// The region is back.
    pub fn end(&self) {
        self.phase.store(DrillPhase::After as u8, Relaxed);
    }

    /// Its loss was detected, in all services that have it.
    pub fn detected(&self, now: Instant) {
        if self.detected.load(Relaxed) == 0 {
            self.detected.store(self.nanos(now), Relaxed);
        }
    }

    /// How long it took to detect the loss.
    pub fn time_to_detect(&self) -> Option<Duration> {
        self.since_loss(self.detected.load(Relaxed))
    }

    /// How long after the loss the last request began that tried the region; `None` while the loss is not detected.
    pub fn time_to_shift(&self) -> Option<Duration> {
        let detected = self.time_to_detect()?;
        // No request tried it: whoever came was routed past it.
        Some(self.since_loss(self.last_tried.load(Relaxed)).unwrap_or(detected))
    }

    /// The attempts in the region since it was lost, of requests of a service.
    pub fn lost_attempts(&self, service: &ServiceName) -> u64 {
        let index = self.services.iter().position(|it| it == service);
        index.map_or(0, |index| {
            self.shards.iter().map(|shard| shard.lost_attempts(index)).sum()
        })
    }

    /// What was counted in a part.
    pub fn totals(&self, phase: DrillPhase) -> DrillTotals {
        let mut totals = DrillTotals::default();
        for shard in &self.shards {
            shard.add_to(phase as usize, &mut totals);
        }
        totals
    }

    fn nanos(&self, now: Instant) -> u64 {
        (now.saturating_duration_since(self.began).as_nanos() as u64).max(1)
    }

    fn since_loss(&self, nanos: u64) -> Option<Duration> {
        let lost = self.lost.load(Relaxed);
        (nanos != 0 && lost != 0).then(|| Duration::from_nanos(nanos.saturating_sub(lost)))
    }
}

/// A drill in a service that has its region.
#[derive(Clone, Debug)]
pub struct ServiceDrill {
    drill: Arc<Drill>,
    index: usize,
    slot: Slot,
    /// What is known of the gateways, as its clients would see them.
    pub health: ServiceHealth,
}

impl ServiceDrill {
    /// `None` when the drill is not about this service. `health`: the gateways with the region lost.
    pub fn new(drill: &Arc<Drill>, service: &ServiceName, slot: Slot, health: ServiceHealth) -> Option<Self> {
        Some(Self {
            index: drill.services.iter().position(|it| it == service)?,
            drill: Arc::clone(drill),
            slot,
            health,
        })
    }

    /// Whether it is about this client.
    pub fn covers(&self, client: IpAddr) -> bool {
        client_hash(client, self.drill.salt) <= self.drill.share.bound()
    }

    /// Whether a region is lost to its clients now: attempts there fail as if nothing listened.
    pub fn is_lost(&self, slot: Slot) -> bool {
        slot == self.slot && self.drill.phase() == DrillPhase::During
    }

    /// Counts a request of one of its clients.
    pub fn handled(&self, worker: usize, handled: &Handled) {
        let phase = self.drill.phase();
        let lost = match phase {
            DrillPhase::During => handled.attempts.iter().filter(|slot| **slot == self.slot).count() as u64,
            DrillPhase::Before | DrillPhase::After => 0,
        };
        if let Some(shard) = self.drill.shards.get(worker) {
            shard.count(phase as usize, self.index, handled, lost);
        }
        if lost > 0 {
            // Of two workers at once, one may win that is a moment earlier.
            self.drill.last_tried.store(self.drill.nanos(handled.began), Relaxed);
            self.drill.alarm.notify_one();
        }
    }
}
