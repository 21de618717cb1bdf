//! How far a gateway is on its way back, so that another process can go on from there.

use super::Gateway;
use crate::health::criteria::Criteria;
use crate::health::hold::Hold;
use crate::health::kept::Progress;
use crate::health::slow_start::SlowStart;
use std::time::Instant;

impl Gateway {
    /// How far it is on its way back; `None` when it is not, or nothing is to be kept of that.
    pub(in crate::health) fn progress(&self, criteria: &Criteria, now: Instant) -> Option<Progress> {
        if self.drained {
            return None;
        }
        if let Some(hold) = &self.hold {
            let healthy_for = hold.healthy_for(now);
            return Some(Progress::Held { healthy_for });
        }
        if self.is_out() {
            return criteria.failback.waits().then_some(Progress::Unhealthy);
        }
        let slow_start = self.slow_start.as_ref()?;
        Some(Progress::Warming {
            warming_for: slow_start.elapsed(now),
        })
    }

    /// Goes on from there: nothing has been observed of it yet. One of which it is not known that it has recovered waits from now on,
    /// unless its probes fail.
    pub(in crate::health) fn resume(&mut self, progress: Progress, criteria: &Criteria, now: Instant) {
        if self.drained {
            return;
        }
        let ago = |time| now.checked_sub(time).unwrap_or(now);
        match progress {
            Progress::Unhealthy => self.hold = Hold::new(&criteria.failback, now),
            Progress::Held { healthy_for } => self.hold = Hold::new(&criteria.failback, ago(healthy_for)),
            Progress::Warming { warming_for } => {
                let mut slow_start = SlowStart::new(ago(warming_for));
                let is_over = slow_start.advance(criteria.slow_start, now);
                self.slow_start = (!is_over).then_some(slow_start);
            }
        }
    }
}
