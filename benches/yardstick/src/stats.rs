//! Medians and their confidence intervals, without assumptions on the distribution of noise.

/// How sure an interval is.
const CONFIDENCE: f64 = 0.95;

/// The median of several numbers; NaN of none.
pub fn median(numbers: &[f64]) -> f64 {
    let sorted = sorted(numbers);
    match sorted.len() {
        0 => f64::NAN,
        count => (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0,
    }
}

/// An interval that covers the median of what was sampled with 95 % confidence or more, from the order of the samples alone
/// (sign test). `None` for fewer than six samples, of which no interval is that sure.
pub fn interval(numbers: &[f64]) -> Option<(f64, f64)> {
    let rank = rank(numbers.len())?;
    let sorted = sorted(numbers);
    Some((sorted[rank], sorted[sorted.len() - 1 - rank]))
}

/// How many samples can be left out at either end.
fn rank(count: usize) -> Option<usize> {
    let mut outside = 0.0;
    // The probability that exactly `left_out` of `count` samples are below the median.
    let mut exactly = 0.5_f64.powi(i32::try_from(count).ok()?);
    let mut rank = None;
    for left_out in 0..count / 2 {
        outside += 2.0 * exactly;
        if 1.0 - outside < CONFIDENCE {
            break;
        }
        rank = Some(left_out);
        exactly *= (count - left_out) as f64 / (left_out + 1) as f64;
    }
    rank
}

fn sorted(numbers: &[f64]) -> Vec<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// How one contender compares with another over all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Fewer than six rounds.
    TooFewRounds,
    /// The interval of the ratio does not contain 1.
    Differs,
    /// The interval contains 1 and reaches at most so far from it (0.01: 1 %).
    SameWithin(f64),
    /// The interval contains 1 and reaches so far from it, more than was asked for.
    TooNoisy(f64),
}

/// Judges ratios, one of each round. `resolution` is the difference that matters (0.02: 2 %).
pub fn judge(ratios: &[f64], resolution: f64) -> Verdict {
    let Some((low, high)) = interval(ratios) else {
        return Verdict::TooFewRounds;
    };
    let reach = (1.0 - low).max(high - 1.0);
    match () {
        () if low > 1.0 || high < 1.0 => Verdict::Differs,
        () if reach <= resolution => Verdict::SameWithin(reach),
        () => Verdict::TooNoisy(reach),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_even_and_odd_counts() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    /// The usual table of the sign test: for 6, 9, 12 and 20 samples, leave out 0, 1, 2 and 5 at either end.
    #[test]
    fn intervals_leave_out_as_many_as_the_sign_test() {
        assert_eq!((0..6).filter_map(rank).count(), 0);
        assert_eq!(
            [6, 8, 9, 12, 20].map(rank),
            [Some(0), Some(0), Some(1), Some(2), Some(5)]
        );
        let samples: Vec<f64> = (1..=9).map(f64::from).collect();
        assert_eq!(interval(&samples), Some((2.0, 8.0)));
    }

    #[test]
    fn verdicts() {
        let around = |middle: f64, spread: f64| [-1.0, 1.0, -0.5, 0.5, -0.2, 0.2].map(|it| middle + it * spread);
        assert_eq!(judge(&[1.0; 5], 0.02), Verdict::TooFewRounds);
        assert_eq!(judge(&around(1.05, 0.02), 0.02), Verdict::Differs);
        assert_eq!(judge(&around(0.95, 0.02), 0.02), Verdict::Differs);
        assert!(matches!(judge(&around(1.0, 0.01), 0.02), Verdict::SameWithin(reach) if (reach - 0.01).abs() < 1e-9));
        assert!(matches!(judge(&around(1.0, 0.05), 0.02), Verdict::TooNoisy(reach) if (reach - 0.05).abs() < 1e-9));
    }
}
