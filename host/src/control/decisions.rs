//! The decision log: what was decided of the last sampled requests, and of those that failed or were tried more than once.

use crate::record::{DecidedRecord, DecisionRecord};
use portolan_core::config::{Config, Service};
use portolan_core::decision::policy_name;
use portolan_core::geo::Point;
use portolan_core::health::{GatewayHealth, HealthView};
use portolan_core::id::{Generation, RegionName, ServiceId};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many of each kind are kept.
const KEPT: usize = 4096;

/// A request as it is kept, without the tables that it was decided by.
#[derive(Clone, Debug)]
pub struct Logged {
    /// What happened.
    pub record: DecisionRecord,
    /// The service as it was; `None` for what was rejected before a decision.
    pub scene: Option<Arc<Scene>>,
    /// One line why its regions were in their order.
    pub because: String,
    /// The plugin's name for its reason.
    pub plugin_reason: Option<String>,
}

/// A service in one routing table.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The table.
    pub generation: Generation,
    /// Its name.
    pub service: String,
    /// How its regions are ordered.
    pub policy: String,
    /// Where this instance is.
    pub here: Option<Point>,
    /// Its gateways, in slot order.
    pub gateways: Vec<SceneGateway>,
    id: ServiceId,
}

/// A gateway in one routing table.
#[derive(Clone, Debug)]
pub struct SceneGateway {
    /// Its region.
    pub region: RegionName,
    /// Where that is.
    pub point: Point,
    /// Its failover level.
    pub priority: u8,
    /// Its weight under the policy `weighted`.
    pub weight: u32,
    /// Its limit.
    pub max_requests: Option<u32>,
    /// What was known of it.
    pub health: GatewayHealth,
}

/// The last decisions. Shared by the task that collects them and the administration.
#[derive(Debug, Default)]
pub struct DecisionLog(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    sampled: VecDeque<Arc<Logged>>,
    failed: VecDeque<Arc<Logged>>,
    /// Those of the newest table.
    scenes: Vec<Arc<Scene>>,
}

impl DecisionLog {
    /// Adds what workers kept. `reason` gives the name that the plugin of a service has for a reason that it gave for a client.
    pub fn add(
        &self,
        records: impl IntoIterator<Item = DecisionRecord>,
        reason: impl Fn(&str, IpAddr, u16) -> Option<String>,
    ) {
        let mut kept = self.kept();
        for mut record in records {
            // An entry must not keep a configuration alive.
            let under = record.decided.as_mut().and_then(|decided| decided.under.take());
            let described = record
                .decided
                .as_ref()
                .zip(under.as_ref())
                .and_then(|(decided, under)| {
                    let service = under.0.service(decided.service)?;
                    let code = decided.cause.by.plugin_reason();
                    let name = code.and_then(|code| reason(service.name.as_str(), record.client.addr, code));
                    let because = decided.cause.reason(service, name.as_deref()).to_string();
                    Some((kept.scene(decided, under, service), because, name))
                });
            let (scene, because, plugin_reason) = match described {
                Some((scene, because, name)) => (Some(scene), because, name),
                None => (None, String::new(), None),
            };
            let list = match record.has_failed {
                true => &mut kept.failed,
                false => &mut kept.sampled,
            };
            if list.len() >= KEPT {
                list.pop_front();
            }
            list.push_back(Arc::new(Logged {
                record,
                scene,
                because,
                plugin_reason,
            }));
        }
    }

    /// The request of this id, the last one of several.
    pub fn find(&self, id: &str) -> Option<Arc<Logged>> {
        let kept = self.kept();
        let is_it = |logged: &&Arc<Logged>| logged.record.id.as_str() == id;
        let failed = kept.failed.iter().rev().find(is_it);
        failed.or_else(|| kept.sampled.iter().rev().find(is_it)).cloned()
    }

    /// The last requests, newest first: those that failed or were tried more than once, or all.
    pub fn last(&self, most: usize, only_failed: bool) -> Vec<Arc<Logged>> {
        let kept = self.kept();
        let sampled = kept.sampled.iter().rev().take(if only_failed { 0 } else { most });
        let mut last: Vec<_> = kept.failed.iter().rev().take(most).chain(sampled).cloned().collect();
        last.sort_by_key(|logged| std::cmp::Reverse(logged.record.at));
        last.truncate(most);
        last
    }

    /// Services and clients of the sampled requests.
    pub fn clients(&self) -> Vec<(String, IpAddr)> {
        let kept = self.kept();
        let sampled = kept.sampled.iter();
        let clients = sampled.filter_map(|it| Some((it.scene.as_ref()?.service.clone(), it.record.client.addr)));
        clients.collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// The service of a decision as it was.
    fn scene(
        &mut self,
        decided: &DecidedRecord,
        (config, health): &(Arc<Config>, Arc<HealthView>),
        service: &Service,
    ) -> Arc<Scene> {
        let is_it = |scene: &&Arc<Scene>| scene.generation == decided.generation && scene.id == decided.service;
        if let Some(scene) = self.scenes.iter().find(is_it) {
            return Arc::clone(scene);
        }
        let health = health.service(decided.service);
        let gateways = service.slots().iter().filter_map(|slot| {
            let gateway = service.gateway(slot)?;
            Some(SceneGateway {
                region: gateway.region.clone(),
                point: gateway.point,
                priority: gateway.priority,
                weight: gateway.weight,
                max_requests: gateway.max_requests,
                health: health.map_or_else(GatewayHealth::default, |health| health.gateway(slot)),
            })
        });
        let scene = Arc::new(Scene {
            generation: decided.generation,
            service: service.name.to_string(),
            policy: policy_name(service),
            here: config.fallback(),
            gateways: gateways.collect(),
            id: decided.service,
        });
        let newest = self.scenes.first().map(|scene| scene.generation);
        if newest.is_none_or(|newest| newest < decided.generation) {
            self.scenes.clear();
        }
        if newest.is_none_or(|newest| newest <= decided.generation) {
            self.scenes.push(Arc::clone(&scene));
        }
        scene
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request_id::RequestId;
    use crate::vitals::RequestOutcome;
    use portolan_core::candidates;
    use portolan_core::config::{Gateway, GatewayAddress, ServiceParts};
    use portolan_core::decision::{Decision, RankedBy};
    use portolan_core::geo::{Country, Location, Place, PlaceId};
    use portolan_core::health::{Evidence, ServiceHealth};
    use portolan_core::id::Slot;
    use portolan_core::identity::ClientIdentity;
    use portolan_core::rank::Ranking;
    use portolan_core::route::Routes;
    use portolan_core::slots::Slots;
    use std::net::Ipv4Addr;
    use std::time::{Duration, SystemTime};

    /// A request to the first of two regions, which failed or not.
    fn record(id: u64, has_failed: bool) -> DecisionRecord {
        let gateways = ["westeurope", "eastus2"].map(|region| {
            Gateway::new(
                region.into(),
                Point::new(0.0, 0.0).expect("a point"),
                GatewayAddress::http(Ipv4Addr::LOCALHOST, 80),
            )
        });
        let service = Service::new(ServiceParts::new("shop", gateways.to_vec())).expect("a service");
        let health = ServiceHealth::unknown(2);
        let client = ClientIdentity::peer(IpAddr::V4(Ipv4Addr::new(81, 2, 69, 142)));
        let decision = Decision {
            session: None,
            generation: Generation(7),
            client,
            location: Location {
                id: PlaceId(1),
                place: Place::default(),
            },
            service: ServiceId(0),
            candidates: candidates::gather(&service, &health, Country::UNKNOWN, Slots::EMPTY),
            ranking: [Slot(0), Slot(1)].into_iter().collect::<Ranking>(),
            by: RankedBy::Policy,
            roll: 0,
        };
        let config = Config::new(vec![service], Routes::default(), None).expect("a configuration");
        DecisionRecord {
            at: SystemTime::now(),
            id: RequestId::made([0, id]),
            client,
            country: Country::UNKNOWN,
            point: None,
            decided: Some(DecidedRecord {
                generation: decision.generation,
                service: ServiceId(0),
                under: Some((Arc::new(config), Arc::new(HealthView::new(vec![health])))),
                cause: decision.cause(),
                order: decision.ranking.order().iter().copied().collect(),
                took: Duration::from_micros(2),
                seen_by: Default::default(),
            }),
            attempts: [(Slot(0), Evidence::TimedOut)].into_iter().collect(),
            answered_by: None,
            withheld: None,
            status: None,
            outcome: RequestOutcome::Success,
            reason: None,
            first_byte: None,
            total: Duration::from_millis(3),
            has_failed,
        }
    }

    #[test]
    fn a_request_is_found_by_its_id_and_keeps_no_configuration_alive() {
        let log = DecisionLog::default();
        log.add([record(1, false), record(2, true)], |_, _, _| None);
        let logged = log.find("00000000000000000000000000000002").expect("kept");
        let scene = logged.scene.as_ref().expect("a decision");
        let regions: Vec<_> = scene.gateways.iter().map(|gateway| gateway.region.as_str()).collect();
        assert_eq!(
            (scene.service.as_str(), regions),
            ("shop", vec!["westeurope", "eastus2"])
        );
        assert!(logged.because.starts_with("latency"), "{}", logged.because);
        assert!(
            logged
                .record
                .decided
                .as_ref()
                .is_some_and(|decided| decided.under.is_none())
        );
        assert!(log.find("00000000000000000000000000000003").is_none());
        assert_eq!(
            (
                log.last(10, true).len(),
                log.last(10, false).len(),
                log.last(1, false).len()
            ),
            (1, 2, 1)
        );
        assert_eq!(log.clients().len(), 1, "the sampled ones stand for all");
    }

    #[test]
    fn the_oldest_of_a_kind_make_room_and_not_those_of_the_other() {
        let log = DecisionLog::default();
        log.add([record(1, true)], |_, _, _| None);
        log.add((2..KEPT as u64 + 10).map(|id| record(id, false)), |_, _, _| None);
        assert!(log.find("00000000000000000000000000000001").is_some());
        assert!(log.find("00000000000000000000000000000002").is_none());
        assert_eq!(log.clients().len(), KEPT);
    }
}
