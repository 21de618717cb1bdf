//! What connections measured: a mean that remembers how much it rests on, and forgets.

/// Round trips of connections between one prefix and one region.
///
/// Means are of logarithms: round trips have long tails, and one client on a bad radio link should not move a prefix by
/// the seconds that it waits. For log-normal values the result is the median.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    weight: f32,
    mean: f32,
    variance: f32,
}

/// The shortest and the longest round trip that counts, in milliseconds; others are taken for these.
const RANGE_MS: (f64, f64) = (0.05, 10_000.0);

impl Estimate {
    /// The most that evidence weighs, in connections: a busy prefix follows a change of its routes within a few hundred
    /// connections, however many there were before.
    pub const MAX_WEIGHT: f32 = 128.0;

    /// What one connection measured, in milliseconds.
    pub fn of(ms: f64) -> Self {
        Self {
            weight: 1.0,
            mean: ms.clamp(RANGE_MS.0, RANGE_MS.1).ln() as f32,
            variance: 0.0,
        }
    }

    /// From its parts: the weight in connections, the median in milliseconds, and the standard deviation as a factor's
    /// logarithm. `None` when they are not numbers, or out of range.
    pub fn from_parts(weight: f32, ms: f64, deviation: f32) -> Option<Self> {
        let fits = weight > 0.0
            && weight <= Self::MAX_WEIGHT
            && (RANGE_MS.0..=RANGE_MS.1).contains(&ms)
            && (0.0..=20.0).contains(&deviation);
        fits.then(|| Self {
            weight,
            variance: deviation * deviation,
            ..Self::of(ms)
        })
    }

    /// The same measured by so many connections, at most [`Estimate::MAX_WEIGHT`]. `None` for none.
    pub fn times(self, connections: u32) -> Option<Self> {
        let weight = (self.weight * connections as f32).min(Self::MAX_WEIGHT);
        (connections > 0).then_some(Self { weight, ..self })
    }

    /// How many connections it rests on; old ones count for less.
    pub fn weight(self) -> f32 {
        self.weight
    }

    /// The median in milliseconds.
    pub fn ms(self) -> f64 {
        f64::from(self.mean).exp()
    }

    /// The standard deviation of the logarithms: 0.5 means that most connections are within a factor of 1.6.
    pub fn deviation(self) -> f32 {
        self.variance.sqrt()
    }

    /// The logarithm of the median.
    pub(super) fn log(self) -> f64 {
        f64::from(self.mean)
    }

    /// Both together: the mean and variance of all (D. H. D. West, "Updating mean and variance estimates", CACM 22(9),
    /// 1979). The order does not matter.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        let weight = self.weight + other.weight;
        if weight <= 0.0 {
            return Self::default();
        }
        let (a, b) = (self.weight / weight, other.weight / weight);
        let apart = self.mean - other.mean;
        Self {
            weight: weight.min(Self::MAX_WEIGHT),
            mean: a * self.mean + b * other.mean,
            variance: a * self.variance + b * other.variance + a * b * apart * apart,
        }
    }

    /// The same with a part of its weight, 0 to 1.
    #[must_use]
    pub fn faded(self, by: f32) -> Self {
        Self {
            weight: self.weight * by,
            ..self
        }
    }
}

/// What is left of evidence after a time, both in seconds: one half per half-life.
pub fn faded_to(age: u64, half_life: u64) -> f32 {
    (-(age as f64) / half_life.max(1) as f64).exp2() as f32
}
