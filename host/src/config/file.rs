//! The file as a whole.

use super::access_log::AccessLogShape;
use super::admin::{self, AdminSection};
use super::compound::{At, Named, NonEmpty, OneOrMore};
use super::document::{Content, Node};
use super::error::Mistakes;
use super::front_door::FrontDoorSection;
use super::geo::GeoSection;
use super::limits::OverloadSection;
use super::listeners::{self, ListenerSection, NameServer};
use super::plugins::{self, PluginSection};
use super::quantities::{H, Time};
use super::reference::page;
use super::regions::{LocationSection, Places};
use super::registries::{self, KeysSection, RegistrySection};
use super::routes::{self, Assumed, RouteSection};
use super::schema::with_variables;
use super::section::section;
use super::services::{self, ServiceSection};
use super::settings::{Configuration, Fixed, GeoSettings, Settings};
use super::shape::Shape;
use super::telemetry::TelemetrySection;
use super::values::{FilePath, Percent, Whole};
use portolan_core::config::Config;
use portolan_core::geo::Point;
use portolan_core::id::RegionName;
use serde_json::{Value, json};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DEFAULT_LAME_DUCK: Duration = Duration::from_secs(5);
const DEFAULT_DRAIN_TIME: Duration = Duration::from_secs(30);

section! {
    /// The configuration of Portolan.
    File {
        /// Where clients connect.
        required listeners: NonEmpty<ListenerSection>,
        /// Where administration, metrics and the dashboard listen. Default: 127.0.0.1:9900.
        optional admin: AdminSection,
        /// How many worker threads serve requests. Default: as many as there are cores.
        optional workers: Whole<1, 1024>,
        /// Where this instance is: a region, or a place. Clients of unknown location are assumed to be there.
        optional here: At<Here>,
        /// Where locations of addresses come from. Default: the embedded table.
        optional geo: GeoSection,
        /// Name servers, asked in this order for names as they are written. Default: those of /etc/resolv.conf, after /etc/hosts.
        optional resolvers: NonEmpty<NameServer>,
        /// What this instance is called in Via (RFC 9110, section 7.6.3): a request that comes back to it is answered with 508.
        /// Instances that stand for one another may share a name; instances behind one another must not. Default: portolan-
        /// and a random number.
        optional via: At<String>,
        /// The services that routes select: regions with a gateway each, and the policies to choose among them.
        required services: At<Named<ServiceSection>>,
        /// Routes to services. The most specific host wins, then the longest path, then the one with the most conditions.
        required routes: NonEmpty<RouteSection>,
        /// Load shedding: how many requests are worked on at a time, and which are answered with 503 first. Default: no limit.
        optional overload: OverloadSection,
        /// Keys of affinity cookies, shared by instances that stand for one another: a line for each, of 32 random bytes in base64, such as
        /// `openssl rand -base64 32` writes. The first one signs, all verify. Watched for changes. Default: a random one, which ends with
        /// the process.
        optional affinity_keys: At<FilePath>,
        /// Routing plugins, used by policies.
        optional plugins: Named<PluginSection>,
        /// Registries that plugins come from.
        optional registries: NonEmpty<RegistrySection>,
        /// Who must have signed every plugin from a registry. Plugins in files are trusted as this file is. Default: nobody.
        optional require_signature: KeysSection,
        /// What is published to Azure Front Door. Default: nothing.
        optional front_door: FrontDoorSection,
        /// Where one line for each request goes, and what it looks like. Default: JSON, to stdout.
        optional access_log: AccessLogShape,
        /// Traces, and what is sent to a collector of OpenTelemetry. Default: nothing.
        optional telemetry: TelemetrySection,
        /// How long /readyz and probe paths answer 503 while connections are still accepted, after SIGTERM: time for
        /// load balancers to notice. Default: 5s.
        optional lame_duck: Time<0, { H }>,
        /// How long running requests then have to end. Default: 30s.
        optional drain_time: Time<0, { H }>,
        /// How many of the clients a new configuration or location database may move to other regions. One that would move more is rejected,
        /// until `portolan reload --force`. The clients of the last minutes are decided by both, with the same health; where those
        /// are fewer than 100, made-up ones from all of the IPv4 address space are. The routes of a service count alike, each by the
        /// plainest request that it is for. Default: no limit.
        optional max_shift: Percent,
        /// More files with parts of the configuration, such as conf.d/*.yaml: their listeners and routes follow those before, their services
        /// and plugins are added, and what else they have must not be elsewhere. * and ? stand for parts of a file's name, never for
        /// a dot at its beginning; the files are taken in the order of their names. Paths in them are relative to this file, as all are.
        /// Watched for changes.
        optional include: OneOrMore<At<String>>,
    }
}

/// The JSON Schema (2020-12) of the configuration file, as text.
pub fn schema() -> String {
    let mut schema = File::schema();
    with_variables(&mut schema);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "Portolan".into();
    format!("{schema:#}\n")
}

/// The reference of every key, as a page of Markdown.
pub fn reference() -> String {
    page(&File::schema())
}

impl File {
    /// Checks what the sections say of one another. `None` only when something has been reported.
    pub(super) fn configuration(&self, folder: &Path, mistakes: &mut Mistakes<'_>) -> Option<Configuration> {
        // Everything is read before the first `?`, so that everything is checked.
        let admin = match &self.admin {
            Some(section) => section.settings(folder, mistakes),
            None => Some(admin::default()),
        };
        let peers = match &self.admin {
            Some(section) => section.peers(folder, mistakes),
            None => Some(Vec::new()),
        };
        let listeners = self.listeners.as_ref().and_then(|all| {
            let admin = self.admin.iter().flat_map(AdminSection::addresses);
            listeners::settings(all, admin, folder, mistakes)
        });
        let via = listeners::pseudonym(self.via.as_ref(), mistakes);
        let name_servers = self
            .resolvers
            .as_ref()
            .map(|servers| servers.iter().map(|server| server.0).collect::<Arc<[_]>>());
        let (keys, servers) = (self.require_signature.as_ref(), name_servers.clone());
        let registries = registries::settings(self.registries.as_ref(), keys, servers, folder, mistakes);
        let plugins = plugins::settings(self.plugins.as_ref(), &registries, folder, mistakes);
        let places = services::places(self.services.as_ref(), mistakes);
        let mut services = self
            .services
            .as_ref()
            .and_then(|all| services::settings(all, self.plugins.as_ref(), &places, mistakes));
        let routes = self
            .routes
            .as_ref()
            .and_then(|all| routes::settings(all, self.services.as_ref(), self.assumed(), mistakes));
        if let (Some(services), Some(sections), Some((routes, _))) = (&mut services, &self.services, &routes) {
            services::set_probe_hosts(services, sections, routes, mistakes);
            let listeners = self.listeners.iter().flat_map(|all| all.iter());
            let listeners: Vec<_> = listeners.filter_map(|it| Some(it.address?.0)).collect();
            services::check_steering(sections, routes, &listeners, mistakes);
        }
        let upstream_tls = match (&services, &self.services) {
            (Some(services), Some(sections)) => services::upstream_tls(services, sections, folder, mistakes),
            _ => Default::default(),
        };
        let overload = match &self.overload {
            Some(section) => section.settings().map(Some),
            None => Some(None),
        };
        let here = match &self.here {
            Some(here) => here.settings(&places, mistakes).map(Some),
            None => Some(None),
        };
        let front_door = match &self.front_door {
            Some(section) => {
                let here = self.here.as_ref().and_then(At::region);
                let (services, here) = (self.services.as_ref(), here.as_ref());
                section.settings(services, here, &places, folder, mistakes).map(Some)
            }
            None => Some(None),
        };
        let geo = match &self.geo {
            Some(section) => section.settings(folder, &places, mistakes),
            None => Some(GeoSettings::default()),
        };
        let learned = match self.geo.as_ref().and_then(|geo| geo.learned.as_ref()) {
            Some(section) => {
                let has_region = self.here.as_ref().and_then(At::region).is_some();
                section.settings(has_region, mistakes).map(Some)
            }
            None => Some(None),
        };
        let telemetry = self.telemetry.as_ref();
        let telemetry = telemetry
            .map(|section| section.settings(folder, mistakes))
            .unwrap_or_default();
        self.warn_of_unused_plugins(mistakes);
        self.warn_of_affinity_keys(mistakes);

        let (here, fallback) = here?.unwrap_or_default();
        let admin = admin?;
        let admin_tls = admin.tls.clone();
        let fixed = Fixed {
            admin,
            workers: self.workers.and_then(|workers| NonZeroUsize::new(workers.0 as usize)),
            access_log: self
                .access_log
                .as_ref()
                .map(|log| log.settings(folder, mistakes))
                .unwrap_or_default(),
        };
        let (routes, policies) = routes?;
        let settings = Settings {
            listeners: listeners?,
            here,
            geo: geo?,
            learned: learned?.map(Arc::new),
            resolvers: name_servers,
            via: via?,
            plugins: plugins?,
            upstream_tls,
            admin_tls,
            front_door: front_door?.map(Arc::new),
            lame_duck: self.lame_duck.map_or(DEFAULT_LAME_DUCK, |time| time.0),
            drain_time: self.drain_time.map_or(DEFAULT_DRAIN_TIME, |time| time.0),
            peers: peers?,
            max_shift: self.max_shift.map(|share| share.0),
            overload: overload?,
            telemetry,
            affinity_keys: self.affinity_keys.as_ref().map(|path| path.within(folder)),
            // The routes were made of these services' indexes, so they lead somewhere.
            routing: Arc::new(Config::new(services?, routes, fallback).ok()?.with_policies(policies)),
            written: Value::Null,
            sources: Arc::default(),
        };
        Some(Configuration {
            fixed,
            settings,
            warnings: Vec::new(),
        })
    }

    fn warn_of_affinity_keys(&self, mistakes: &mut Mistakes<'_>) {
        let services = self.services.iter().flat_map(|services| &services.0);
        let mut sections = services.filter_map(|(_, service)| service.as_ref()?.affinity.as_ref());
        let cookie = sections.find(|section| section.cookie.is_some());
        match (cookie, &self.affinity_keys) {
            (Some(section), None) => mistakes.warn(
                section.at,
                "its cookies are signed with a key of this process, which other instances and the next start do not know: set affinity_keys",
            ),
            (None, Some(keys)) => mistakes.warn(keys.id, "has no effect: no service has affinity by a cookie"),
            _ => {}
        }
    }

    /// What routes need elsewhere in the file.
    fn assumed(&self) -> Assumed {
        let mut listeners = self.listeners.iter().flat_map(|listeners| listeners.iter());
        Assumed {
            has_systems: self.geo.as_ref().is_some_and(GeoSection::has_systems),
            has_overload: self.overload.is_some(),
            has_certificates: listeners
                .any(|listener| listener.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())),
        }
    }

    fn warn_of_unused_plugins(&self, mistakes: &mut Mistakes<'_>) {
        let services = self.services.iter().flat_map(|services| &services.0);
        let used: Vec<_> = services.filter_map(|(_, service)| service.as_ref()?.plugin()).collect();
        for (name, _) in self.plugins.iter().flat_map(|plugins| &plugins.0) {
            if !used.contains(&name.as_str()) {
                mistakes.warn(name.id, "no service's policy names this plugin");
            }
        }
    }
}

/// Where this instance is: the name of a region, or `{ latitude, longitude }`.
#[derive(Debug)]
pub(super) enum Here {
    Region(String),
    Location(LocationSection),
}

impl At<Here> {
    /// The name of the region, where it is one.
    fn region(&self) -> Option<At<String>> {
        match &self.value {
            Here::Region(name) => Some(At {
                value: name.clone(),
                id: self.id,
            }),
            Here::Location(_) => None,
        }
    }

    fn settings(&self, places: &Places, mistakes: &mut Mistakes<'_>) -> Option<(Option<RegionName>, Option<Point>)> {
        match &self.value {
            Here::Region(name) => {
                let point = places.find(name, self.id, mistakes)?;
                Some((Some(RegionName::new(name.as_str())), Some(point)))
            }
            Here::Location(location) => Some((None, Some(location.point()?))),
        }
    }
}

impl Shape for Here {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match node.content() {
            Content::Map(_) => LocationSection::read(node, mistakes).map(Self::Location),
            _ => String::read(node, mistakes).map(Self::Region),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [String::schema(), LocationSection::schema()] })
    }
}
