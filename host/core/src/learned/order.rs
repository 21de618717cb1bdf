//! What evidence means for an order of regions.
//!
//! Geography gives an estimate for every region, connections give measurements for some. Both are joined by confidence.
//! An order changes only between regions that have evidence, and only for a gain that is worth it: where nothing was
//! measured, and where the measurements agree with geography, it is exactly what it was.

use super::estimate::Estimate;
use crate::id::Slot;

/// How many connections the estimate from geography is worth.
///
/// With a normal prior the mean is weighted by precision, and the prior counts as sigma²/tau² observations (Gelman and
/// others, "Bayesian Data Analysis", section 2.5): sigma is the spread of connections within a prefix, tau the error of
/// the prior. Both are of the same order, a factor of about 1.5. Two keeps the first connections from deciding alone.
pub const PRIOR_WEIGHT: f64 = 2.0;

/// Evidence of less than this many connections changes nothing.
pub const LEAST_EVIDENCE: f32 = 3.0;

/// A region has to be better by so many milliseconds, and by this part of the other, to come before it.
const LEAST_GAIN: (f64, f64) = (10.0, 0.1);

/// What access networks add to the way between places: about 10 ms (fibre) to 45 ms (DSL), as the FCC's reports
/// "Measuring Broadband America" have it. A round trip that is longer than geography says by more than this, and by more
/// than half, casts doubt on the geography of the prefix.
const ACCESS_MS: f64 = 45.0;
const DOUBTFUL: f64 = 1.5;

/// A few connections that agree by accident are not as sure as they look. Doubt has to be beyond two standard errors.
const LEAST_DEVIATION: f32 = 0.3;

/// How evidence is used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Terms {
    /// The share of requests of a doubtful prefix that goes to regions without evidence, 0 to 1.
    pub explore: f64,
}

/// One region of a service, for one prefix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The round trip by geography, in milliseconds.
    pub prior_ms: f64,
    /// What connections measured.
    pub evidence: Option<Estimate>,
}

impl Comparison {
    /// Both joined by confidence, in milliseconds: the weighted mean of logarithms. The more evidence, the nearer to it.
    pub fn joined_ms(&self) -> f64 {
        let Some(evidence) = self.evidence else {
            return self.prior_ms;
        };
        let weight = f64::from(evidence.weight());
        // A round trip of nothing has no logarithm.
        let prior = self.prior_ms.max(0.1).ln();
        ((PRIOR_WEIGHT * prior + weight * evidence.log()) / (PRIOR_WEIGHT + weight)).exp()
    }

    /// Whether there is enough evidence to act by.
    pub fn is_measured(&self) -> bool {
        self.evidence
            .is_some_and(|evidence| evidence.weight() >= LEAST_EVIDENCE)
    }

    /// Whether the measurements say that geography is wrong.
    fn contradicts(&self) -> bool {
        let measured = self.evidence.filter(|_| self.is_measured());
        measured.is_some_and(|it| {
            let error = f64::from(it.deviation().max(LEAST_DEVIATION)) / f64::from(it.weight()).sqrt();
            it.log() - 2.0 * error > (self.prior_ms + ACCESS_MS).max(DOUBTFUL * self.prior_ms).ln()
        })
    }
}

/// The order that follows from evidence, and the region to be explored; `None` when both are what they were without.
///
/// `row` is the order by geography, `priority` the failover level of a slot: evidence never changes levels. Measured
/// regions change places with one another only.
pub fn order(
    row: &[Slot],
    priority: impl Fn(Slot) -> u8,
    of: impl Fn(Slot) -> Comparison,
    terms: Terms,
) -> Option<(Vec<Slot>, Option<Slot>)> {
    let first = *row.first()?;
    // Geography that is wrong of one region says nothing of the others either: they are compared by evidence alone.
    let is_doubtful = of(first).contradicts();
    let ms = |slot: Slot| match (is_doubtful, of(slot)) {
        (true, Comparison { evidence: Some(it), .. }) => it.ms(),
        (_, comparison) => comparison.joined_ms(),
    };
    let is_measured = |slot: Slot| of(slot).is_measured();
    let mut order = row.to_vec();
    let mut is_other = false;
    for level in order.chunk_by_mut(|a, b| priority(*a) == priority(*b)) {
        is_other |= reorder(level, is_measured, ms);
    }
    let unknown = |slot: &&Slot| priority(**slot) == priority(first) && !is_measured(**slot);
    let explores = is_doubtful && terms.explore > 0.0;
    let explored = row.iter().filter(|_| explores).find(unknown).copied();
    (is_other || explored.is_some()).then_some((order, explored))
}

/// Moves measured regions among the places that they have. Whether any is worth it.
fn reorder(level: &mut [Slot], is_measured: impl Fn(Slot) -> bool, ms: impl Fn(Slot) -> f64) -> bool {
    let places: Vec<usize> = (0..level.len()).filter(|at| is_measured(level[*at])).collect();
    let mut measured: Vec<Slot> = places.iter().map(|at| level[*at]).collect();
    let Some(first) = measured.first().map(|slot| ms(*slot)) else {
        return false;
    };
    // A stable sort: equals keep the order by geography.
    measured.sort_by(|a, b| ms(*a).total_cmp(&ms(*b)));
    let best = measured.first().map_or(f64::INFINITY, |slot| ms(*slot));
    let (least, part) = LEAST_GAIN;
    if first - best < f64::max(least, part * first) {
        return false;
    }
    for (at, slot) in places.into_iter().zip(measured) {
        level[at] = slot;
    }
    true
}
