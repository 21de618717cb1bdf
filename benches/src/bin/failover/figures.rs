//! Computes the figures that are compared with the limits.

use crate::course::Seen;
use crate::fault::{Bar, Fault};
use http::StatusCode;
use portolan_tests::{Came, Sent};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// Answers that take longer count as bad: the usual ones take one or two milliseconds.
const LATE: Duration = Duration::from_millis(100);

/// Longer than anything.
const NEVER: Duration = Duration::MAX;

/// 503 responses come sooner.
const UNAVAILABLE_WITHIN: Duration = Duration::from_millis(1000);

/// What a fault cost.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// `GET`s without a good answer.
    pub(crate) lost_gets: usize,
    /// `POST`s without a good answer.
    pub(crate) lost_posts: usize,
    /// `POST`s that reached gateways more than once.
    pub(crate) twice: usize,
    /// Incomplete answers that looked complete.
    pub(crate) incomplete: usize,
    /// The longest wait of a `GET`, and of a `POST`.
    pub(crate) stall: Duration,
    pub(crate) post_stall: Duration,
    /// Until no new request went to the regions; `None` when that does not apply.
    pub(crate) avoided: Option<Duration>,
    /// Until every answer was good and in time.
    pub(crate) good: Duration,
    /// With all regions down.
    pub(crate) down: Option<Down>,
    /// What lost requests got instead.
    pub(crate) losses: BTreeMap<String, usize>,
    /// See [`Seen::noise`].
    pub(crate) noise: Duration,
}

/// The results of requests while all regions were down.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Down {
    /// Answers to `GET`s other than 503 with `Retry-After`.
    pub(crate) others: usize,
    /// The longest wait for an answer.
    pub(crate) wait: Duration,
    /// From the end of the fault to the first good answer.
    pub(crate) back: Option<Duration>,
}

impl Figures {
    pub(crate) fn of(fault: &Fault, seen: &Seen) -> Self {
        // Requests in flight when the fault began are affected too.
        let affected: Vec<&Sent> = seen.sent.iter().filter(|it| it.due + it.took >= seen.begun).collect();
        let lost = |is_post: bool| {
            affected
                .iter()
                .filter(|it| it.is_post == is_post && !it.is_good())
                .count()
        };
        let stall = |is_post: bool| {
            affected
                .iter()
                .filter(|it| it.is_post == is_post)
                .map(|it| it.took)
                .max()
        };
        let bad = affected.iter().filter(|it| !it.is_good() || it.took > LATE);
        let mut losses = BTreeMap::new();
        for sent in affected.iter().filter(|it| !it.is_good()) {
            *losses.entry(word(sent)).or_default() += 1;
        }
        Self {
            lost_gets: lost(false),
            lost_posts: lost(true),
            twice: twice(seen),
            incomplete: affected.iter().filter(|it| it.came == Came::Incomplete).count(),
            stall: stall(false).unwrap_or_default(),
            post_stall: stall(true).unwrap_or_default(),
            avoided: fault.bar.impact.map(|_| avoided(seen)),
            good: bad.map(|it| since(seen.begun, it.due)).max().unwrap_or_default(),
            down: fault.is_total().then(|| down(fault, seen)),
            losses,
            noise: seen.noise,
        }
    }

    /// The limits that were exceeded, in words.
    pub(crate) fn misses(&self, bar: &Bar) -> Vec<String> {
        let mut misses = Vec::new();
        let down = self.down.unwrap_or_default();
        for (what, found, most) in [
            ("stall", Some(self.stall), bar.stall),
            ("avoided after", self.avoided, bar.impact),
            ("good after", Some(self.good), bar.impact),
            ("503 took", Some(down.wait), bar.unavailable),
            ("back after", Some(down.back.unwrap_or(NEVER)), bar.back),
        ] {
            if let (Some(found), Some(most)) = (found, most)
                && found > most
            {
                misses.push(format!("{what} {} > {} ms", millis(found), millis(most)));
            }
        }
        for (what, found, most) in [
            ("GETs lost", self.lost_gets, bar.lost_gets),
            ("POSTs lost", self.lost_posts, bar.lost_posts),
            ("POSTs twice", self.twice, Some(0)),
            ("incomplete answers that looked complete", self.incomplete, Some(0)),
            ("answers other than 503", down.others, bar.unavailable.map(|_| 0)),
        ] {
            if let Some(most) = most.filter(|most| found > *most) {
                misses.push(format!("{found} {what} > {most}"));
            }
        }
        misses
    }

    /// Whether the only exceeded limit is a stall that scheduling noise explains.
    pub(crate) fn is_noise(&self, bar: &Bar) -> bool {
        let calm = Self {
            stall: self.stall.saturating_sub(self.noise),
            ..self.clone()
        };
        !self.misses(bar).is_empty() && calm.misses(bar).is_empty()
    }
}

/// `POST`s that arrived more than once. What arrived may have been processed.
fn twice(seen: &Seen) -> usize {
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for arrival in &seen.arrivals {
        *counts.entry(arrival.number).or_default() += 1;
    }
    let posts = seen.sent.iter().filter(|it| it.is_post);
    posts
        .filter(|it| counts.get(&it.number).is_some_and(|count| *count > 1))
        .count()
}

/// When the last request during the fault reached an affected region, or could have been sent there.
fn avoided(seen: &Seen) -> Duration {
    let is_affected = |region: &str| seen.regions.contains(&region);
    let during = |at: Instant| at >= seen.begun && at < seen.recovered;
    let arrivals = seen
        .arrivals
        .iter()
        .filter(|it| is_affected(it.region) && during(it.at));
    let last_arrival = arrivals.map(|it| since(seen.begun, it.at)).max().unwrap_or_default();
    let mut eligible_until = Duration::ZERO;
    for (index, (from, out)) in seen.tables.iter().enumerate() {
        let until = seen
            .tables
            .get(index + 1)
            .map_or(seen.recovered, |(next, _)| *next)
            .min(seen.recovered);
        let is_eligible = seen.regions.iter().any(|region| !out.iter().any(|out| out == region));
        if is_eligible && *from < seen.recovered && until > seen.begun {
            eligible_until = eligible_until.max(since(seen.begun, until));
        }
    }
    last_arrival.max(eligible_until)
}

fn down(fault: &Fault, seen: &Seen) -> Down {
    let known = seen.begun + fault.bar.known.unwrap_or_default();
    let meanwhile = || {
        let sent = seen.sent.iter().filter(|it| it.due >= known);
        // Requests in flight when the regions recovered may be answered by them.
        sent.filter(|it| it.due + UNAVAILABLE_WITHIN < seen.recovered)
    };
    let is_unavailable = |sent: &&Sent| {
        matches!(
            sent.came,
            Came::Status {
                status: StatusCode::SERVICE_UNAVAILABLE,
                retry_after: true
            }
        )
    };
    let goods = seen
        .sent
        .iter()
        .filter(|it| it.is_good() && it.due + it.took >= seen.recovered);
    Down {
        others: meanwhile().filter(|it| !it.is_post && !is_unavailable(it)).count(),
        wait: meanwhile().map(|it| it.took).max().unwrap_or_default(),
        back: goods.map(|it| since(seen.recovered, it.due + it.took)).min(),
    }
}

/// Milliseconds, with a tenth where that matters.
pub(crate) fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    if millis < 50.0 && millis.fract() > 0.05 {
        format!("{millis:.1}")
    } else {
        format!("{millis:.0}")
    }
}

fn since(begun: Instant, at: Instant) -> Duration {
    at.saturating_duration_since(begun)
}

fn word(sent: &Sent) -> String {
    let method = if sent.is_post { "POST" } else { "GET" };
    match &sent.came {
        Came::Answer(region) => format!("{method} answered by {region}"),
        Came::Status { status, .. } => format!("{method} {}", status.as_u16()),
        Came::Incomplete => format!("{method} incomplete answer"),
        Came::Broken(why) => format!("{method} {why}"),
    }
}
