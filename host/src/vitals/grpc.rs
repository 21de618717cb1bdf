//! How calls of gRPC ended.

use super::counter::Tally;
use portolan_core::grpc::GrpcStatus;

/// The end of a call that its gateway ended without a status: the stream was reset, or ended without trailers.
const MISSING: usize = GrpcStatus::ALL.len();

const ENDS: usize = MISSING + 1;

/// Calls by their status. One thread adds.
#[derive(Debug, Default)]
pub struct GrpcTally(Tally<ENDS>);

/// The sum of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrpcCounts([u64; ENDS]);

impl GrpcTally {
    /// A call ended with this status; `None`: without one.
    pub fn count(&self, status: Option<GrpcStatus>) {
        self.0
            .count(status.map_or(MISSING, |status| usize::from(status.code())));
    }
}

impl GrpcCounts {
    /// Adds what was counted.
    pub fn add(&mut self, tally: &GrpcTally) {
        tally.0.add_to(&mut self.0);
    }

    /// The calls by the word for their status, `missing` for those without one. Nothing where there was no call: most
    /// services are not of gRPC.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let is_used = self.0.iter().any(|count| *count > 0);
        let words = GrpcStatus::ALL.map(GrpcStatus::as_str).into_iter().chain(["missing"]);
        words.zip(self.0).filter(move |_| is_used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_their_status() {
        let tallies = [GrpcTally::default(), GrpcTally::default()];
        let mut counts = GrpcCounts::default();
        assert_eq!(counts.iter().count(), 0, "there was no call");
        for status in [Some(GrpcStatus::Unauthenticated), None, Some(GrpcStatus::Ok)] {
            tallies[0].count(status);
        }
        tallies[1].count(None);
        tallies.iter().for_each(|tally| counts.add(tally));
        let counted: Vec<_> = counts.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("ok", 1), ("unauthenticated", 1), ("missing", 2)]);
        assert_eq!(counts.iter().count(), 18);
    }
}
