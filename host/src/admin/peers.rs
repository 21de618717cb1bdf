//! The other instances: asked for what they show of themselves, on the control thread.

use crate::config::Peer;
use crate::oci::fetch;
use crate::table::Tables;
use crate::tls::Authorities;
use http::{HeaderValue, Uri};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often they are asked.
const PERIOD: Duration = Duration::from_secs(5);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The longest answer, in bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// What is known of another instance.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Which one.
    pub peer: Peer,
    /// What it said of itself last, as JSON, and when that came.
    pub answer: Option<(Value, SystemTime)>,
    /// Why there was no answer to the last question.
    pub error: Option<String>,
}

/// The other instances, as they answered last.
#[derive(Debug, Default)]
pub struct Peers(Mutex<Vec<PeerStatus>>);

impl Peers {
    /// All of them, in configured order.
    pub fn all(&self) -> Vec<PeerStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks those of the active configuration, until it is dropped.
    pub async fn run(&self, tables: &Tables) {
        let mut looks = interval(PERIOD);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let settings = Arc::clone(&tables.current().settings);
            let before = self.all();
            let mut asked = JoinSet::new();
            for (index, peer) in settings.peers.iter().cloned().enumerate() {
                let known = before.iter().find(|status| status.peer == peer);
                let known = known.and_then(|status| status.answer.clone());
                let name_servers = settings.resolvers.clone();
                asked.spawn_local(async move {
                    let answer = timeout(PATIENCE, ask(&peer, name_servers)).await;
                    (
                        index,
                        PeerStatus::of(peer, answer.unwrap_or_else(|_| Err(too_late())), known),
                    )
                });
            }
            let mut statuses = asked.join_all().await;
            statuses.sort_by_key(|(index, _)| *index);
            let statuses = statuses.into_iter().map(|(_, status)| status).collect();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = statuses;
        }
    }
}

impl PeerStatus {
    /// After this answer. `known`: the one before it, if any.
    fn of(peer: Peer, answer: Result<Value, String>, known: Option<(Value, SystemTime)>) -> Self {
        let (answer, error) = match answer {
            Ok(answer) => (Some((answer, SystemTime::now())), None),
            Err(error) => (known, Some(error)),
        };
        Self { peer, answer, error }
    }
}

fn too_late() -> String {
    format!("no answer within {} s", PATIENCE.as_secs())
}

async fn ask(peer: &Peer, name_servers: Option<Arc<[SocketAddr]>>) -> Result<Value, String> {
    let url: Uri = format!("{}api/v1/instance", peer.url)
        .parse()
        .map_err(|error| format!("{error}"))?;
    let read = |path: &Path| {
        let content = fs::read(path);
        content.map_err(|error| format!("failed to read {}: {error}", path.display()))
    };
    let authorization = match &peer.token_file {
        None => None,
        Some(file) => {
            let token = read(file)?;
            let token = String::from_utf8_lossy(&token);
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(|error| error.to_string())?;
            value.set_sensitive(true);
            Some(value)
        }
    };
    let authorities = match &peer.ca {
        None => None,
        Some(file) => Some(Authorities::of_file(file, &read(file)?).map_err(|error| error.to_string())?),
    };
    let body = fetch(
        &url,
        authorization.as_ref(),
        authorities.as_ref(),
        name_servers,
        MAX_ANSWER,
    )
    .await;
    let body = body.map_err(|error| error.to_string())?;
    serde_json::from_slice(&body).map_err(|error| format!("its answer is not JSON: {error}"))
}
