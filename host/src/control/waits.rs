//! Regions on their way back, for the next process: those that are unhealthy and will have to wait for their failback, those that wait,
//! and those in slow start. Without this a restart, or an upgrade, would give a region all of its traffic that has not earned it yet.
//!
//! What counts is time in which a process looked at the gateway: each record says how long it has been healthy, by the clock that
//! never jumps, as of the moment when the file was written. The time from there to the start is added only when it is short: in a
//! longer one nobody knows what the gateway did, and a clock that was set shall not end a wait.

use super::last_good::{LastGood, StateError};
use super::moment;
use portolan_core::health::kept::{KeptGateway, Progress};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The longest time without a process that counts.
const GAP: Duration = Duration::from_secs(30);

/// How often what waits is written again, though nothing but time has passed.
const RENEWAL: Duration = Duration::from_secs(10);

/// The shortest time between two writes.
const PAUSE: Duration = Duration::from_secs(1);

/// The file.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    #[serde(with = "moment")]
    written: SystemTime,
    gateways: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    service: String,
    region: String,
    gateway: String,
    #[serde(flatten)]
    progress: ProgressRecord,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum ProgressRecord {
    Unhealthy,
    Held { healthy_for_seconds: f64 },
    Warming { warming_for_seconds: f64 },
}

/// The regions on their way back, as they were last told of. Kept for the next process where there is a state directory.
#[derive(Debug, Default)]
pub struct Waits {
    all: Mutex<Told>,
    /// One save at a time, the latest last.
    saving: Mutex<()>,
    last_good: Option<LastGood>,
}

#[derive(Debug, Default)]
struct Told {
    gateways: Vec<KeptGateway>,
    /// When.
    at: Option<Instant>,
    /// When they were written last, or that was tried.
    tried: Option<Instant>,
    /// The last write failed, or there was none since something changed.
    is_stale: bool,
    /// That a write failed is logged once.
    has_failed: bool,
}

impl Waits {
    /// Those of the last process, where there is a state directory.
    pub fn open(last_good: Option<&LastGood>) -> Self {
        let gateways = last_good.map(|it| read(it, SystemTime::now())).unwrap_or_default();
        let told = Told {
            at: (!gateways.is_empty()).then(Instant::now),
            gateways,
            ..Told::default()
        };
        Self {
            all: Mutex::new(told),
            saving: Mutex::new(()),
            last_good: last_good.cloned(),
        }
    }

    /// All of them, as they are now.
    pub fn all(&self) -> Vec<KeptGateway> {
        let told = self.told();
        let since = told.at.map(|at| at.elapsed()).unwrap_or_default();
        let gateways = told.gateways.iter().cloned();
        gateways
            .map(|gateway| KeptGateway {
                progress: gateway.progress.after(since),
                ..gateway
            })
            .collect()
    }

    /// They are these now. Whether they are to be [saved](Self::save): something changed, or time has passed.
    pub fn tell(&self, gateways: Vec<KeptGateway>, now: Instant) -> bool {
        let mut told = self.told();
        told.is_stale |= differ(&told.gateways, &gateways);
        let goes_on = !gateways.is_empty();
        (told.gateways, told.at) = (gateways, Some(now));
        let tried = told.tried.map(|tried| now.saturating_duration_since(tried));
        let pause = if told.is_stale { PAUSE } else { RENEWAL };
        let is_due = (told.is_stale || goes_on) && tried.is_none_or(|since| since >= pause);
        if is_due {
            told.tried = Some(now);
        }
        is_due && self.last_good.is_some()
    }

    /// Writes them down for the next process, where there is a state directory. While another process is taken over from, that one
    /// writes. Blocks.
    pub fn save(&self) {
        let Some(last_good) = &self.last_good else { return };
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        self.told().is_stale = false;
        let record = Record {
            written: SystemTime::now(),
            gateways: self.all().iter().map(Entry::of).collect(),
        };
        let kept = match serde_json::to_vec_pretty(&record) {
            Ok(bytes) => last_good.keep_waits(&bytes),
            Err(error) => {
                tracing::error!(%error, "failed to write down which regions are on their way back");
                return;
            }
        };
        let mut told = self.told();
        told.is_stale |= kept.is_err();
        match kept {
            Ok(()) => told.has_failed = false,
            Err(StateError::InUse { .. }) => {}
            Err(error) => {
                if !std::mem::replace(&mut told.has_failed, true) {
                    tracing::error!("a restart will not know which regions are on their way back: {error}");
                }
            }
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the last process has written, as of `now`.
fn read(last_good: &LastGood, now: SystemTime) -> Vec<KeptGateway> {
    let Some(bytes) = last_good.waits() else {
        return Vec::new();
    };
    let record: Record = match serde_json::from_slice(&bytes) {
        Ok(record) => record,
        Err(error) => {
            tracing::error!(
                "waits.json of the state directory cannot be read: which regions were on their way back is not known, they get traffic \
                 at once: {error}"
            );
            return Vec::new();
        }
    };
    // One of the future: a clock was set.
    let since = now.duration_since(record.written).ok();
    let since = since.filter(|since| *since <= GAP).unwrap_or_default();
    let gateways: Vec<_> = record.gateways.into_iter().filter_map(|it| it.read(since)).collect();
    for KeptGateway { service, region, .. } in &gateways {
        tracing::info!(%service, %region, "a region is on its way back since before the start");
    }
    gateways
}

impl Entry {
    fn of(gateway: &KeptGateway) -> Self {
        Self {
            service: gateway.service.to_string(),
            region: gateway.region.to_string(),
            gateway: gateway.gateway.clone(),
            progress: match gateway.progress {
                Progress::Unhealthy => ProgressRecord::Unhealthy,
                Progress::Held { healthy_for } => ProgressRecord::Held {
                    healthy_for_seconds: healthy_for.as_secs_f64(),
                },
                Progress::Warming { warming_for } => ProgressRecord::Warming {
                    warming_for_seconds: warming_for.as_secs_f64(),
                },
            },
        }
    }

    /// What it says, so long after it was written. `None` when its time is none.
    fn read(self, since: Duration) -> Option<KeptGateway> {
        let time = |seconds| Duration::try_from_secs_f64(seconds).ok();
        let progress = match self.progress {
            ProgressRecord::Unhealthy => Progress::Unhealthy,
            ProgressRecord::Held { healthy_for_seconds } => Progress::Held {
                healthy_for: time(healthy_for_seconds)?,
            },
            ProgressRecord::Warming { warming_for_seconds } => Progress::Warming {
                warming_for: time(warming_for_seconds)?,
            },
        };
        Some(KeptGateway {
            service: self.service.as_str().into(),
            region: self.region.as_str().into(),
            gateway: self.gateway,
            progress: progress.after(since),
        })
    }
}

/// Whether more happened than that time passed.
fn differ(before: &[KeptGateway], now: &[KeptGateway]) -> bool {
    let same = |(before, now): (&KeptGateway, &KeptGateway)| {
        (&before.service, &before.region, &before.gateway) == (&now.service, &now.region, &now.gateway)
            && !now.progress.differs(before.progress)
    };
    before.len() != now.len() || !before.iter().zip(now).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn gateway(progress: Progress) -> KeptGateway {
        KeptGateway {
            service: "shop".into(),
            region: "westeurope".into(),
            gateway: "http://10.0.0.4".to_owned(),
            progress,
        }
    }

    fn held(healthy_for: Duration) -> KeptGateway {
        gateway(Progress::Held { healthy_for })
    }

    fn kept(folder: &std::path::Path) -> LastGood {
        LastGood::open(folder, false).expect("there")
    }

    #[test]
    fn a_wait_goes_on_after_a_short_restart_and_not_while_nobody_looks() {
        let folder = tempfile::tempdir().expect("a folder");
        let waits = Waits::open(Some(&kept(folder.path())));
        let all = vec![
            held(HOUR),
            gateway(Progress::Unhealthy),
            gateway(Progress::Warming {
                warming_for: Duration::from_secs(3),
            }),
        ];
        assert!(waits.tell(all.clone(), Instant::now()), "to be written");
        waits.save();
        drop(waits);
        let kept = kept(folder.path());
        let after = |seconds: i64| {
            let now = SystemTime::now();
            let seen = match u64::try_from(seconds) {
                Ok(seconds) => now + Duration::from_secs(seconds),
                Err(_) => now - Duration::from_secs(seconds.unsigned_abs()),
            };
            let [first, second, third] = &read(&kept, seen)[..] else {
                panic!("three")
            };
            assert_eq!(second.progress, Progress::Unhealthy);
            assert_eq!(
                (first.region.as_str(), first.gateway.as_str()),
                ("westeurope", "http://10.0.0.4")
            );
            match (first.progress, third.progress) {
                (Progress::Held { healthy_for }, Progress::Warming { warming_for }) => (healthy_for, warming_for),
                other => panic!("{other:?}"),
            }
        };
        let (healthy, warming) = after(20);
        assert!(
            healthy >= HOUR + Duration::from_secs(20) && healthy < HOUR + GAP,
            "{healthy:?}"
        );
        assert!(warming >= Duration::from_secs(23), "{warming:?}");
        // Nobody looked for long, or a clock was set, forward or back.
        for seconds in [31 + 5, 10 * 365 * 24 * 3600, -3600] {
            let (healthy, _) = after(seconds);
            assert!(healthy >= HOUR && healthy < HOUR + PAUSE, "{seconds}: {healthy:?}");
        }
    }

    #[test]
    fn what_changes_is_written_at_once_and_what_goes_on_once_in_a_while() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = kept(folder.path());
        let waits = Waits::open(Some(&kept));
        let begun = Instant::now();
        let tell = |gateways: &[KeptGateway], seconds: u64| {
            let is_due = waits.tell(gateways.to_vec(), begun + Duration::from_secs(seconds));
            if is_due {
                waits.save();
            }
            is_due
        };
        let of = |seconds| [held(Duration::from_secs(seconds))];
        assert!(!tell(&[], 0), "nothing waits");
        assert!(tell(&of(0), 1));
        assert!(!tell(&of(5), 6), "only time has passed");
        assert!(tell(&of(10), 11));
        assert!(tell(&of(0), 13), "a probe failed");
        assert!(tell(&[], 15), "it is back");
        assert!(!tell(&[], 100));
        assert_eq!(read(&kept, SystemTime::now()), []);
    }

    #[test]
    fn without_a_state_directory_nothing_is_written_and_a_bad_file_is_ignored() {
        assert!(!Waits::default().tell(vec![held(HOUR)], Instant::now()));
        let folder = tempfile::tempdir().expect("a folder");
        let kept = kept(folder.path());
        for bad in ["", "{", r#"{ "written": "yesterday", "gateways": [] }"#] {
            kept.keep_waits(bad.as_bytes()).expect("written");
            assert_eq!(Waits::open(Some(&kept)).all(), []);
        }
        let strange = r#"{ "written": "2026-11-01T00:00:00Z", "gateways": [
            { "service": "a", "region": "b", "gateway": "http://c", "state": "held", "healthy_for_seconds": -1 },
            { "service": "a", "region": "b", "gateway": "http://c", "state": "held", "healthy_for_seconds": 1e300 },
            { "service": "a", "region": "b", "gateway": "http://c", "state": "unhealthy" }] }"#;
        kept.keep_waits(strange.as_bytes()).expect("written");
        let all = Waits::open(Some(&kept)).all();
        assert_eq!(all.len(), 1, "{all:?}");
    }
}
