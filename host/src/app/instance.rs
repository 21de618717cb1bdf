//! The running program, as its administration sees it.

use crate::admin::instance::{
    ExplainError, Explained, GeoPicture, LoadPicture, Ordered, OrderError, Picture, PluginPicture, Question,
    ServicePicture,
};
use crate::admin::instance::Instance as Administered;
use crate::chance::Chance;
use crate::config::{PluginSource, Settings};
use crate::control::health;
use crate::control::reload::{Order, RollBackError};
use crate::control::status::{Kind, Status};
use crate::decide::{self, Inquiry};
use crate::plugin::{PluginEngine, PluginWorker};
use crate::table::{RoutingTable, Tables};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::ServiceVitals;
use http::Version;
use portolan_core::geo::Place;
use portolan_core::id::{PluginName, RegionName};
use portolan_core::identity::{ClientIdentity, IdentitySource};
use portolan_core::route;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{mpsc, oneshot};

/// Everything that administration needs: what to look at, and whom to give orders.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) started: SystemTime,
    pub(super) tables: Arc<Tables>,
    pub(super) status: Arc<Status>,
    pub(super) access_log: Option<Arc<AccessLog>>,
    pub(super) unrouted: Arc<ServiceVitals>,
    /// Plugin instances for questions, so that no worker's are used for them.
    pub(super) plugins: Mutex<PluginWorker>,
    pub(super) reload: mpsc::Sender<Order>,
    pub(super) health: mpsc::Sender<health::Order>,
}

impl Instance {
    fn decide(&self, table: &RoutingTable, question: &Question) -> Result<Explained, ExplainError> {
        let routed = table.route(&question.host, &question.path);
        let routed = routed.ok_or_else(|| ExplainError::NoRoute { host: question.host.clone(), path: question.path.clone() })?;
        let host = route::without_port(&question.host).to_ascii_lowercase();
        let inquiry = Inquiry {
            client: ClientIdentity { addr: question.ip.to_canonical(), source: IdentitySource::Peer },
            method: &question.method,
            version: Version::HTTP_11,
            host: &host,
            path: &question.path,
            headers: &question.headers,
            roll: Chance::new().roll(),
            now: Instant::now(),
        };
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let decision = decide::decide(table, routed, &inquiry, &mut plugins);
        let round_trips = portolan_geo::azure::round_trips();
        let said = decide::said(&decision, routed);
        let explanation = decision.explain(table.config(), routed.service, routed.health, round_trips, said);
        Ok(Explained { decision, explanation })
    }
}

impl Administered for Instance {
    fn picture(&self) -> Picture {
        let table = self.tables.current();
        let info = table.geo.places.info();
        Picture {
            started: self.started,
            generation: table.generation,
            config: Arc::clone(&table.settings.routing),
            health: Arc::clone(&table.health),
            services: table
                .services
                .iter()
                .map(|entry| ServicePicture {
                    vitals: Arc::clone(&entry.vitals),
                    gateways: entry.gateways.iter().map(|target| Arc::clone(&target.vitals)).collect(),
                    chart: Arc::clone(&entry.chart),
                })
                .collect(),
            unrouted: Arc::clone(&self.unrouted),
            geo: GeoPicture {
                database: info.database.clone(),
                built: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(info.built)),
                networks: info.networks,
                attribution: info.attribution.clone(),
            },
            plugins: self.status.plugins(),
            loads: Kind::ALL.map(|kind| self.load(kind)).to_vec(),
            access_log: self.access_log.as_ref().map(|log| log.lines()),
        }
    }

    fn places(&self) -> Vec<Place> {
        self.tables.current().geo.places.places().to_vec()
    }

    fn configuration(&self) -> serde_json::Value {
        self.tables.current().settings.written.clone()
    }

    fn missing(&self) -> Vec<&'static str> {
        // The administration starts when everything else has.
        Vec::new()
    }

    fn explain(&self, question: &Question) -> Result<Explained, ExplainError> {
        self.decide(&self.tables.current(), question)
    }

    fn drain(&self, region: RegionName, drained: bool) -> Ordered<'_, ()> {
        todo!()
    }

    fn roll_back(&self, plugin: PluginName) -> Ordered<'_, String> {
        todo!()
    }
}
