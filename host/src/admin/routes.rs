//! The routes of the administration.

use super::Caller;
use super::access::{Access, Scope};
use super::answer::{Answer, Failure, json, typed, with_status};
use super::audit::Action;
use super::backend::{AdminBackend, OrderError, PluginAction, Readiness, StatusSnapshot};
use super::drills;
use super::events;
use super::explain;
use super::guard;
use super::history;
use super::learned;
use super::metrics;
use super::plugins;
use super::query::parameters;
use super::tokens::Grant;
use super::view::attention::Attention;
use super::view::instances::{Instance, Instances};
use super::view::map::Map;
use super::view::plugins::Plugins;
use super::view::ready::Ready;
use super::view::regions::Regions;
use super::view::{Drained, FailedBack, Reloaded};
use crate::telemetry::exposition::Format;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode, request};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use portolan_core::id::{PluginName, RegionName};
use std::borrow::Cow;
use std::time::{Instant, SystemTime};

/// The page of the dashboard, in one piece. It fetches everything it shows from here.
const DASHBOARD: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<style>\n",
    include_str!("dashboard/style.css"),
    "</style>\n",
    include_str!("dashboard/page.html"),
    "<script>\n",
    include_str!("dashboard/lib.js"),
    include_str!("dashboard/map.js"),
    include_str!("dashboard/graphs.js"),
    include_str!("dashboard/events.js"),
    include_str!("dashboard/regions.js"),
    include_str!("dashboard/plugins.js"),
    include_str!("dashboard/front-door.js"),
    include_str!("dashboard/instances.js"),
    include_str!("dashboard/explain.js"),
    include_str!("dashboard/main.js"),
    "</script>\n</body>\n</html>\n",
);

/// The resources, as listed by the error for unknown paths.
const PATHS: [&str; 33] = [
    "GET /",
    "GET /livez",
    "GET /readyz",
    "GET /metrics",
    "GET /api/v1/regions",
    "GET /api/v1/map?service=",
    "GET /api/v1/plugins",
    "GET /api/v1/events?since=&wait=",
    "GET /api/v1/attention",
    "GET /api/v1/history?since=",
    "GET /api/v1/traffic?service=",
    "GET /api/v1/config",
    "GET /api/v1/front-door",
    "GET /api/v1/explain?ip=&host=&path=&method=&header=&certificate_subject=&certificate_san=&why_not=",
    "GET /api/v1/explain?request=&why_not=",
    "GET /api/v1/requests?failed=&limit=",
    "GET /api/v1/instance",
    "GET /api/v1/instances",
    "POST /api/v1/regions/{region}/drain",
    "POST /api/v1/regions/{region}/undrain",
    "POST /api/v1/regions/{region}/failback",
    "GET /api/v1/drill",
    "POST /api/v1/drill?lose=&share=&for=&baseline=&abort_if=&min_regions=&reason=&author=",
    "POST /api/v1/drill/renew",
    "POST /api/v1/drill/stop",
    "POST /api/v1/plugins/{plugin}/deploy?stage=&share=&reason=&author=",
    "POST /api/v1/plugins/{plugin}/promote?full=&force=&reason=&author=",
    "POST /api/v1/plugins/{plugin}/rollback",
    "POST /api/v1/plugins/{plugin}/rollforward",
    "POST /api/v1/plugins/{plugin}/off",
    "POST /api/v1/plugins/{plugin}/on",
    "POST /api/v1/reload?force=&reason=",
    "POST /api/v1/round-trips",
];

/// What can be asked for where only probes and scrapers ask.
const PROBE_PATHS: [&str; 3] = ["GET /livez", "GET /readyz", "GET /metrics"];

/// A resource.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Resource {
    Dashboard,
    Livez,
    Readyz,
    Metrics,
    Regions,
    Map,
    Plugins,
    Config,
    FrontDoor,
    Explain,
    Requests,
    Instance,
    Instances,
    Drain(RegionName, bool),
    FailBack(RegionName),
    Drill,
    RenewDrill,
    StopDrill,
    Plugin(PluginName, PluginAction),
    Events,
    Attention,
    History,
    Traffic,
    RoundTrips,
    Reload,
}

impl Resource {
    fn find(path: &str) -> Option<Self> {
        let mut segments = path.strip_prefix('/')?.split('/').map(decoded);
        let segments: [Option<Cow<'_, str>>; 6] = std::array::from_fn(|_| segments.next());
        match segments.each_ref().map(Option::as_deref) {
            [Some(""), None, ..] => Some(Self::Dashboard),
            [Some("livez"), None, ..] => Some(Self::Livez),
            [Some("readyz"), None, ..] => Some(Self::Readyz),
            [Some("metrics"), None, ..] => Some(Self::Metrics),
            [Some("api"), Some("v1"), Some("regions"), None, ..] => Some(Self::Regions),
            [Some("api"), Some("v1"), Some("map"), None, ..] => Some(Self::Map),
            [Some("api"), Some("v1"), Some("plugins"), None, ..] => Some(Self::Plugins),
            [Some("api"), Some("v1"), Some("events"), None, ..] => Some(Self::Events),
            [Some("api"), Some("v1"), Some("attention"), None, ..] => Some(Self::Attention),
            [Some("api"), Some("v1"), Some("history"), None, ..] => Some(Self::History),
            [Some("api"), Some("v1"), Some("traffic"), None, ..] => Some(Self::Traffic),
            [Some("api"), Some("v1"), Some("config"), None, ..] => Some(Self::Config),
            [Some("api"), Some("v1"), Some("front-door"), None, ..] => Some(Self::FrontDoor),
            [Some("api"), Some("v1"), Some("explain"), None, ..] => Some(Self::Explain),
            [Some("api"), Some("v1"), Some("requests"), None, ..] => Some(Self::Requests),
            [Some("api"), Some("v1"), Some("reload"), None, ..] => Some(Self::Reload),
            [Some("api"), Some("v1"), Some("instance"), None, ..] => Some(Self::Instance),
            [Some("api"), Some("v1"), Some("instances"), None, ..] => Some(Self::Instances),
            [Some("api"), Some("v1"), Some("round-trips"), None, ..] => Some(Self::RoundTrips),
            [Some("api"), Some("v1"), Some("drill"), None, ..] => Some(Self::Drill),
            [Some("api"), Some("v1"), Some("drill"), Some("renew"), None, ..] => Some(Self::RenewDrill),
            [Some("api"), Some("v1"), Some("drill"), Some("stop"), None, ..] => Some(Self::StopDrill),
            [
                Some("api"),
                Some("v1"),
                Some("regions"),
                Some(region),
                Some("drain"),
                None,
            ] => Some(Self::Drain(region.into(), true)),
            [
                Some("api"),
                Some("v1"),
                Some("regions"),
                Some(region),
                Some("undrain"),
                None,
            ] => Some(Self::Drain(region.into(), false)),
            [
                Some("api"),
                Some("v1"),
                Some("regions"),
                Some(region),
                Some("failback"),
                None,
            ] => Some(Self::FailBack(region.into())),
            [Some("api"), Some("v1"), Some("plugins"), Some(plugin), Some(word), None] => {
                let (_, action) = PluginAction::ALL.into_iter().find(|(name, _)| *name == word)?;
                Some(Self::Plugin(plugin.into(), action))
            }
            _ => None,
        }
    }

    fn is_probe(&self) -> bool {
        matches!(self, Self::Livez | Self::Readyz | Self::Metrics)
    }

    /// Whether no token is asked for: it says nothing but that the instance is there. The dashboard is a page that asks for the rest
    /// with the token that it is given.
    fn is_open(&self) -> bool {
        matches!(self, Self::Livez | Self::Readyz | Self::Dashboard)
    }

    fn is_order(&self) -> bool {
        matches!(
            self,
            Self::Drain(..)
                | Self::FailBack(..)
                | Self::RenewDrill
                | Self::StopDrill
                | Self::Plugin(..)
                | Self::Reload
                | Self::RoundTrips
        )
    }

    /// What an operator asks for, and to what; `None` for what only reads, for reports, and for what keeps a drill going.
    fn action(&self, method: &Method, query: &str) -> Option<String> {
        match self {
            Self::Drill if *method == Method::POST => {
                let value = |wanted: &str| parameters(query).find(|(key, _)| key == wanted);
                let [region, share] = ["lose", "share"].map(|key| value(key).map(|it| it.1.into_owned()));
                Some(format!(
                    "drill {} {}",
                    region.unwrap_or_default(),
                    share.unwrap_or_default()
                ))
            }
            Self::Reload if parameters(query).any(|(key, value)| key == "force" && value == "true") => {
                Some("reload --force".to_owned())
            }
            Self::Reload => Some("reload".to_owned()),
            Self::StopDrill => Some("stop the drill".to_owned()),
            Self::Drain(region, true) => Some(format!("drain {region}")),
            Self::Drain(region, false) => Some(format!("undrain {region}")),
            Self::FailBack(region) => Some(format!("failback {region}")),
            Self::Plugin(plugin, action) => {
                let (word, _) = PluginAction::ALL.into_iter().find(|(_, known)| known == action)?;
                Some(format!("{word} {plugin}"))
            }
            _ => None,
        }
    }
}

fn decoded(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

/// Answers one request.
pub(super) async fn answer(
    instance: &dyn AdminBackend,
    access: &Access,
    caller: &Caller,
    request: &request::Parts,
    body: Incoming,
) -> Answer {
    if let Err(rejection) = guard::check(&request.method, &request.headers, access) {
        return Failure::new(rejection).answer(StatusCode::FORBIDDEN);
    }
    let only_probes = access.scope() == Scope::Probes;
    let found = Resource::find(request.uri.path()).filter(|resource| resource.is_probe() || !only_probes);
    let Some(resource) = found else {
        let known: &[&str] = if only_probes { &PROBE_PATHS } else { &PATHS };
        return Failure::new(format!("there is nothing at {}", request.uri.path()))
            .known(known)
            .answer(StatusCode::NOT_FOUND);
    };
    // What shows the drill begins one, too.
    let begins_drill = resource == Resource::Drill && request.method == Method::POST;
    let is_order = resource.is_order() || begins_drill;
    let (fits, allowed) = if is_order {
        (request.method == Method::POST, "POST")
    } else {
        (matches!(request.method, Method::GET | Method::HEAD), "GET, HEAD")
    };
    if !fits {
        let failure = Failure::new(format!("{} is not for {}", request.method, request.uri.path()));
        let mut answer = failure
            .hint(format!("use {allowed}"))
            .answer(StatusCode::METHOD_NOT_ALLOWED);
        answer
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static(allowed));
        return answer;
    }
    let query = request.uri.query().unwrap_or_default();
    let mut action = resource
        .action(&request.method, query)
        .map(|what| Action::new(what, caller, query));
    // A client certificate allows everything.
    if !resource.is_open()
        && !caller.has_certificate
        && let Some(tokens) = access.tokens()
    {
        let authorization = request.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        match tokens.grant(authorization, is_order) {
            Grant::Allowed => {
                action = action.map(|action| action.with_token("admin.token_file"));
            }
            Grant::Unauthorized => return unauthorized(),
            Grant::ReadOnly => {
                let answer = Failure::new("this token is for reading only")
                    .hint("use the token of admin.token_file")
                    .answer(StatusCode::FORBIDDEN);
                if let Some(action) = action {
                    action.with_token("admin.read_token_file").ended(instance, &answer);
                }
                return answer;
            }
        }
    }
    let answer = match resource {
        Resource::Dashboard => typed("text/html; charset=utf-8", DASHBOARD),
        Resource::Livez => livez(instance),
        Resource::Readyz => readyz(instance),
        Resource::Metrics => {
            let accept = request.headers.get(header::ACCEPT);
            let format = Format::accepted(accept.and_then(|value| value.to_str().ok()).unwrap_or_default());
            let text = metrics::exposition(&instance.snapshot(), instance.readiness(), format).into_text();
            let mut answer = typed(format.media_type(), text);
            let headers = answer.headers_mut();
            headers.insert(header::VARY, HeaderValue::from_static("accept"));
            answer
        }
        Resource::Regions => json(&Regions::of(&instance.snapshot())),
        Resource::Map => map(instance, query),
        Resource::Plugins => {
            let collected = instance.traffic().collected(Instant::now());
            json(&Plugins::of(&instance.snapshot(), &collected))
        }
        Resource::Attention => json(&Attention::of(&instance.snapshot(), Instant::now(), SystemTime::now())),
        Resource::History => history::history(instance, query),
        Resource::Traffic => history::traffic(instance, query),
        Resource::Config => json(&instance.configuration()),
        Resource::FrontDoor => front_door(instance),
        Resource::Explain => explain::explain(instance, query),
        Resource::Instance => json(&Instance::of(instance)),
        Resource::Instances => json(&instances(instance)),
        Resource::Requests => explain::requests(instance, query),
        Resource::Drain(region, drained) => drain(instance, region, drained, &caller.name).await,
        Resource::Drill if begins_drill => drills::begin(instance, caller, query),
        Resource::Drill => drills::shown(instance.drill(false)),
        Resource::RenewDrill => drills::shown(instance.drill(true)),
        Resource::StopDrill => drills::stop(instance),
        Resource::FailBack(region) => fail_back(instance, region, &caller.name).await,
        Resource::Plugin(plugin, action) => plugins::order(instance, caller, (plugin, action), query, body).await,
        Resource::Events => events::events(instance, query).await,
        Resource::Reload => reload(instance, query).await,
        Resource::RoundTrips => learned::report(instance, body).await,
    };
    if let Some(action) = action {
        action.ended(instance, &answer);
    }
    answer
}

fn unauthorized() -> Answer {
    let mut answer = Failure::new("a token is needed")
        .hint("send Authorization: Bearer TOKEN, with the content of admin.token_file; the command line has --token-file FILE")
        .answer(StatusCode::UNAUTHORIZED);
    let scheme = HeaderValue::from_static("Bearer realm=\"portolan\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    answer
}

/// Alive while every task runs or is being restarted; if one keeps failing, the process should be restarted.
fn livez(instance: &dyn AdminBackend) -> Answer {
    let tasks = instance.tasks();
    let mut failed = tasks
        .iter()
        .filter(|task| task.failed)
        .map(|task| task.name.as_str())
        .peekable();
    if failed.peek().is_none() {
        return typed("text/plain; charset=utf-8", "ok\n");
    }
    let text = failed
        .map(|task| format!("task {task} keeps failing\n"))
        .collect::<String>();
    with_status(
        StatusCode::SERVICE_UNAVAILABLE,
        typed("text/plain; charset=utf-8", text),
    )
}

/// Ready until the program is about to stop. What was rejected or is stale is in the body only: a cause that instances share
/// must not take all of them out.
fn readyz(instance: &dyn AdminBackend) -> Answer {
    let readiness = instance.readiness();
    let status = match readiness {
        Readiness::Ready => StatusCode::OK,
        Readiness::LameDuck | Readiness::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    with_status(status, json(&Ready::of(&instance.snapshot(), readiness)))
}

fn map(instance: &dyn AdminBackend, query: &str) -> Answer {
    let snapshot = instance.snapshot();
    let service = parameters(query).find(|(key, _)| key == "service");
    let service = service.as_ref().map(|(_, value)| value.as_ref());
    match Map::of(&snapshot, &instance.places(), service) {
        Some(map) => json(&map),
        None => history::no_service(&snapshot, service),
    }
}

fn front_door(instance: &dyn AdminBackend) -> Answer {
    match instance.snapshot().front_door {
        Some(notice) => json(&notice.view()),
        None => Failure::new("Front Door is not configured")
            .hint("add a section front_door to the configuration")
            .answer(StatusCode::NOT_FOUND),
    }
}

async fn drain(instance: &dyn AdminBackend, region: RegionName, drained: bool, from: &str) -> Answer {
    let snapshot = instance.snapshot();
    let known = region_names(&snapshot);
    // What was drained before can be brought back, also while the configuration does not have it.
    if !known.contains(&region) && !snapshot.drains.contains_key(&region) {
        return Failure::new(format!("no service has a region {region}"))
            .known(known)
            .answer(StatusCode::NOT_FOUND);
    }
    match instance.drain(region.clone(), drained, from.to_owned()).await {
        Ok(()) => {
            tracing::info!(%region, drained, from, "region drained or undrained by an operator");
            json(&Drained {
                region: region.to_string(),
                drained,
            })
        }
        Err(error) => Failure::of_order(&error),
    }
}

async fn fail_back(instance: &dyn AdminBackend, region: RegionName, from: &str) -> Answer {
    match instance.fail_back(region.clone(), from.to_owned()).await {
        Ok(()) => json(&FailedBack {
            region: region.to_string(),
        }),
        Err(error @ OrderError::Unknown(_)) => Failure::new(error)
            .known(region_names(&instance.snapshot()))
            .answer(StatusCode::NOT_FOUND),
        Err(error) => Failure::of_order(&error),
    }
}

/// This instance and its peers.
fn instances(instance: &dyn AdminBackend) -> Instances {
    Instances::of(Instance::of(instance), &instance.peers().all(), SystemTime::now())
}

async fn reload(instance: &dyn AdminBackend, query: &str) -> Answer {
    let mut force = false;
    for (key, value) in parameters(query) {
        match (&*key, &*value) {
            ("force", "true") => force = true,
            ("force", "false") | ("reason" | "author", _) => {}
            ("force", value) => {
                return Failure::new(format!("force={value} is neither true nor false"))
                    .answer(StatusCode::BAD_REQUEST);
            }
            (other, _) => {
                return Failure::new(format!("there is no parameter {other:?}"))
                    .known(["force", "reason", "author"])
                    .answer(StatusCode::BAD_REQUEST);
            }
        }
    }
    match instance.reload(force).await {
        Ok(()) => json(&Reloaded { reloaded: true }),
        Err(error) => Failure::of_order(&error),
    }
}

fn region_names(snapshot: &StatusSnapshot) -> Vec<RegionName> {
    let gateways = snapshot.config.services().iter().flat_map(|service| service.gateways());
    let mut names: Vec<_> = gateways.map(|gateway| gateway.region.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
