//! Alerts in the log: when one has lasted, and when it has cleared.

use portolan_azure::publisher::status::Status;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// An alert that clears within this time is not logged: at the start there are no votes yet.
const LASTING: Duration = Duration::from_secs(10);

/// The alerts that are raised.
#[derive(Debug, Default)]
pub(super) struct AlertLog(BTreeMap<Cow<'static, str>, Alarm>);

#[derive(Debug)]
struct Alarm {
    since: Instant,
    logged: bool,
}

impl AlertLog {
    /// Logs alerts that have lasted, and logged ones that have cleared.
    pub(super) fn note(&mut self, status: Option<&Status>, now: Instant) {
        let alerts = status.map(Status::alerts).unwrap_or_default();
        self.0.retain(|code, alarm| {
            let stays = alerts.iter().any(|alert| alert.code == *code);
            if !stays && alarm.logged {
                tracing::info!(%code, "Front Door alert cleared");
            }
            stays
        });
        for alert in alerts {
            let alarm = self.0.entry(alert.code.clone()).or_insert(Alarm {
                since: now,
                logged: false,
            });
            if !alarm.logged && now.saturating_duration_since(alarm.since) >= LASTING {
                alarm.logged = true;
                tracing::warn!(code = %alert.code, "Front Door: {}", alert.text);
            }
        }
    }
}
