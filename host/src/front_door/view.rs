//! `GET /api/v1/front-door`.

use super::Snapshot;
use portolan_azure::probe::{Answer, ProbeAnswers};
use portolan_azure::publisher::status::View;
use portolan_azure::settings::Mode;
use serde::{Deserialize, Serialize};
use std::fmt;
use tokio::time::Instant;

/// Front Door as administration shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FrontDoorView {
    /// The publisher's status.
    #[serde(flatten)]
    pub publisher: PublisherView,
    /// The answers to probes.
    pub probes: ProbesView,
}

/// The publisher's status.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PublisherView {
    /// A Front Door is configured. With the mode off, it is not read.
    Described {
        /// The service whose regions are published.
        service: String,
        /// The rest.
        #[serde(flatten)]
        view: Box<View>,
    },
    /// None is configured.
    Undescribed {
        /// `off`.
        mode: String,
    },
}

/// The answers to probes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbesView {
    /// The path below which probes are answered.
    pub path: String,
    /// Age of the view that they were prepared from, in seconds.
    pub age_s: f64,
    /// The services in configured order.
    pub services: Vec<ServiceProbes>,
}

/// The answers for one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceProbes {
    /// The service.
    pub service: String,
    /// Whether any of its regions is healthy.
    #[serde(flatten)]
    pub any: AnswerView,
    /// Its regions in configured order.
    pub regions: Vec<RegionProbe>,
}

/// The answer for one region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegionProbe {
    /// The region.
    pub region: String,
    /// Whether it is healthy.
    #[serde(flatten)]
    pub answer: AnswerView,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerView {
    /// 200 or 503.
    pub status: u16,
    /// Why, as text.
    pub reason: String,
}

impl Snapshot {
    /// The snapshot as it is served.
    pub fn view(&self) -> FrontDoorView {
        let publication = self.settings.publication.as_ref();
        FrontDoorView {
            publisher: match publication.zip(self.status.as_ref()) {
                Some((publication, status)) => PublisherView::Described {
                    service: publication.service.to_string(),
                    view: Box::new(status.view()),
                },
                None => PublisherView::Undescribed {
                    mode: Mode::Off.as_str().into(),
                },
            },
            probes: probes(&self.settings.path, &self.answers, Instant::now()),
        }
    }
}

fn probes(path: &str, answers: &ProbeAnswers, now: Instant) -> ProbesView {
    let services = answers.each(now).map(|service| ServiceProbes {
        service: service.name.to_string(),
        any: service.any.into(),
        regions: service
            .regions
            .map(|(region, answer)| RegionProbe {
                region: region.to_string(),
                answer: answer.into(),
            })
            .collect(),
    });
    ProbesView {
        path: path.into(),
        age_s: answers.age(now).as_secs_f64(),
        services: services.collect(),
    }
}

impl From<Answer> for AnswerView {
    fn from(answer: Answer) -> Self {
        Self {
            status: answer.status(),
            reason: answer.reason.to_string(),
        }
    }
}

/// For the command line.
impl fmt::Display for FrontDoorView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.publisher {
            PublisherView::Described { view, .. } => view.fmt(f)?,
            PublisherView::Undescribed { mode } => writeln!(f, "front door ({mode}): only probes are answered")?,
        }
        writeln!(f, "probes     {}", self.probes.path)?;
        for service in &self.probes.services {
            let AnswerView { status, reason } = &service.any;
            writeln!(f, "  {}  {status}, {reason}", service.service)?;
            for region in &service.regions {
                let AnswerView { status, reason } = &region.answer;
                writeln!(f, "    {}  {status}, {reason}", region.region)?;
            }
        }
        Ok(())
    }
}
