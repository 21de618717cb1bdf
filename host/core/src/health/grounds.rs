//! What an ejection is based on, so that it can be taken back: requests that had failed may turn out to fail everywhere.

use super::outlier::{Detector, Fault, Support};
use super::traffic::Traffic;
use crate::config::OutlierDetection;
use std::time::Instant;

/// What an ejection is based on.
#[derive(Clone, Debug)]
pub(super) struct Grounds {
    /// The traffic when it began, and the failures of requests that were in flight then.
    detector: Detector,
    support: Support,
    begun: Instant,
}

impl Grounds {
    /// `None` when the fault does not come from failures of requests.
    pub(super) fn of(fault: Fault, detector: &Detector, support: Support, now: Instant) -> Option<Self> {
        fault.is_of_failures().then(|| Self {
            detector: detector.clone(),
            support,
            begun: now,
        })
    }

    /// Whether the ejection would not have begun without what is disputed by now. `traffic` came since the last reading.
    pub(super) fn is_refuted(&mut self, traffic: &Traffic, limits: &OutlierDetection) -> bool {
        // What succeeds after the ejection does not refute it.
        self.detector.add(&traffic.without_successes(), limits, self.begun);
        traffic.disputed > 0 && self.detector.failure(limits, self.support, self.begun).is_none()
    }

    /// The traffic until now.
    pub(super) fn into_detector(self) -> Detector {
        self.detector
    }
}
