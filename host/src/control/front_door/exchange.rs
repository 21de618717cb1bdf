//! Exchanges learned round trips with the other vantages: each writes what it has learned itself as a blob of the shared
//! store, and reads the others'.

use crate::learned::{Learned, now, stored};
use portolan_azure::names::VantageName;
use portolan_azure::settings::Settings;
use portolan_azure::store::{Blob, Store, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

/// How often: routes change in minutes at most, and evidence in hours.
const EVERY: Duration = Duration::from_secs(30);

/// A running exchange, which ends when it is dropped.
#[derive(Debug)]
pub(super) struct Exchange(JoinHandle<()>);

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Exchange {
    /// Starts it: nothing is written or read while nothing is learned.
    pub(super) fn start(settings: &Settings, store: Arc<dyn Store>, learned: Arc<Learned>) -> Self {
        let others = settings.vantages.iter().map(|vantage| vantage.name.clone());
        let mut exchanging = Exchanging {
            own: settings.vantage.clone(),
            others: others.filter(|name| *name != settings.vantage).collect(),
            patience: settings.timing.request_timeout,
            store,
            learned,
            complaints: BTreeMap::new(),
        };
        Self(tokio::spawn(async move {
            loop {
                exchanging.exchange().await;
                tokio::time::sleep(EVERY).await;
            }
        }))
    }
}

#[derive(Debug)]
struct Exchanging {
    own: VantageName,
    others: Vec<VantageName>,
    /// How long a call to the store may take.
    patience: Duration,
    store: Arc<dyn Store>,
    learned: Arc<Learned>,
    /// What was last logged of a vantage, so that it is logged once.
    complaints: BTreeMap<VantageName, String>,
}

impl Exchanging {
    /// Writes what this instance has learned and reads what others have.
    async fn exchange(&mut self) {
        let Some(bytes) = self.learned.export().filter(|_| !self.others.is_empty()) else {
            return;
        };
        let blob = Blob::RoundTrips(self.own.clone());
        let written = timeout(self.patience, self.store.write(&blob, bytes, None)).await;
        let own = self.own.clone();
        self.note(&own, within(self.patience, written).map_err(|error| error.to_string()));
        for other in self.others.clone() {
            let read = self.read(&other).await;
            self.note(&other, read);
        }
    }

    /// Reads what another vantage has learned. What cannot be understood is ignored: what it wrote before does not count either.
    async fn read(&mut self, other: &VantageName) -> Result<(), String> {
        let blob = Blob::RoundTrips(other.clone());
        let read = timeout(self.patience, self.store.read(&blob)).await;
        // What was read before counts, and fades.
        let read = within(self.patience, read).map_err(|error| error.to_string())?;
        let name: Arc<str> = other.as_str().into();
        let Some(found) = read.found else {
            self.learned.replace(&name, None);
            return Ok(());
        };
        // Read again although it may be the same: the store's times are whole seconds.
        let foreign = spawn_blocking(move || stored::read(&found.bytes, now())).await;
        let (foreign, result) = match foreign.map_err(|error| error.to_string()) {
            Ok(Ok(foreign)) => (Some(foreign), Ok(())),
            Ok(Err(error)) => (None, Err(format!("its blob is ignored: {error}"))),
            Err(error) => (None, Err(error)),
        };
        self.learned.replace(&name, foreign);
        result
    }

    fn note(&mut self, vantage: &VantageName, result: Result<(), String>) {
        match result {
            Ok(()) => {
                self.complaints.remove(vantage);
            }
            Err(why) => {
                if self.complaints.get(vantage) != Some(&why) {
                    tracing::warn!(%vantage, "failed to exchange learned round trips: {why}");
                }
                self.complaints.insert(vantage.clone(), why);
            }
        }
    }
}

fn within<T>(
    patience: Duration,
    called: Result<Result<T, StoreError>, tokio::time::error::Elapsed>,
) -> Result<T, StoreError> {
    called.unwrap_or_else(|_| Err(StoreError::Unavailable(format!("no answer within {patience:?}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LearnedSettings;
    use crate::learned::{Sample, Source};
    use portolan_azure::store::MemoryStore;
    use portolan_core::learned::{Estimate, Prefix};
    use portolan_core::networks::Networks;
    use std::net::IpAddr;

    fn learned() -> Arc<Learned> {
        let learned = Arc::new(Learned::default());
        learned.configure(
            Some(&Arc::new(LearnedSettings {
                max_prefixes: 64,
                half_life: Duration::from_secs(86_400),
                explore: 0.0,
                exclude: Networks::default(),
            })),
            1,
        );
        learned
    }

    fn name(name: &str) -> VantageName {
        VantageName::new(name).expect("a name")
    }

    fn exchanging(own: &str, store: &Arc<MemoryStore>, learned: &Arc<Learned>) -> Exchanging {
        let all = ["asia", "europe"].map(name);
        Exchanging {
            own: name(own),
            others: all.into_iter().filter(|other| other.as_str() != own).collect(),
            patience: Duration::from_secs(1),
            store: Arc::clone(store) as Arc<dyn Store>,
            learned: Arc::clone(learned),
            complaints: BTreeMap::new(),
        }
    }

    fn client() -> IpAddr {
        "203.0.113.7".parse().expect("an address")
    }

    fn sample(ms: f64) -> Sample {
        Sample {
            prefix: Prefix::of(client()).expect("global"),
            estimate: Estimate::of(ms),
        }
    }

    #[tokio::test]
    async fn instances_learn_from_each_other_and_nothing_twice() {
        let store = Arc::new(MemoryStore::default());
        let (asia, europe) = (learned(), learned());
        asia.add(&"southeastasia".into(), [sample(8.0)], Source::Connection);
        europe.add(&"westeurope".into(), [sample(180.0)], Source::Connection);
        let mut both = [exchanging("asia", &store, &asia), exchanging("europe", &store, &europe)];
        for _ in 0..5 {
            for one in &mut both {
                one.exchange().await;
            }
        }
        let known = |learned: &Learned| {
            let known = learned.of(client()).into_iter();
            known
                .map(|it| {
                    (
                        it.region.to_string(),
                        it.estimate.ms().round(),
                        it.estimate.weight().round(),
                    )
                })
                .collect::<Vec<_>>()
        };
        let expected = [
            ("southeastasia".to_owned(), 8.0, 1.0),
            ("westeurope".to_owned(), 180.0, 1.0),
        ];
        assert_eq!(known(&asia), expected);
        assert_eq!(known(&europe), expected);
    }

    #[tokio::test]
    async fn a_corrupt_blob_is_ignored_and_so_is_what_it_replaced() {
        let store = Arc::new(MemoryStore::default());
        let (asia, europe) = (learned(), learned());
        asia.add(&"southeastasia".into(), [sample(8.0)], Source::Connection);
        let mut writer = exchanging("asia", &store, &asia);
        let mut reader = exchanging("europe", &store, &europe);
        writer.exchange().await;
        reader.exchange().await;
        assert_eq!(europe.of(client()).len(), 1);
        let blob = Blob::RoundTrips(name("asia"));
        for bytes in [&b"{"[..], b"\xff\xfe", br#"{"version":9,"regions":[],"records":[]}"#] {
            store.write(&blob, bytes.to_vec(), None).await.expect("written");
            reader.exchange().await;
            assert!(europe.of(client()).is_empty());
            let complaint = reader.complaints.get(&name("asia")).expect("a complaint");
            assert!(complaint.contains("ignored"), "{complaint}");
        }
        writer.exchange().await;
        reader.exchange().await;
        assert_eq!(europe.of(client()).len(), 1);
        assert!(reader.complaints.is_empty());
    }

    #[tokio::test]
    async fn nothing_is_written_while_nothing_is_learned() {
        let store = Arc::new(MemoryStore::default());
        let off = Arc::new(Learned::default());
        exchanging("asia", &store, &off).exchange().await;
        let read = store.read(&Blob::RoundTrips(name("asia"))).await.expect("read");
        assert_eq!(read.found, None);
    }
}
