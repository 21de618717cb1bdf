use super::*;
use crate::names::VantageName;
use crate::vote::{Opinion, Vote};
use proptest::prelude::*;

fn name(text: &str) -> VantageName {
    VantageName::new(text).unwrap()
}

fn three() -> Electorate {
    electorate(&["weu", "eus", "sea"])
}

fn electorate(names: &[&str]) -> Electorate {
    let vantages: Vec<_> = names.iter().map(|text| Vantage::named(name(text))).collect();
    Electorate::new(&vantages, Duration::from_secs(300))
}

/// A ballot of `vantage` with `state` for every region since `held` seconds, written `age` seconds ago.
fn cast(vantage: &str, said: &[(&str, State, u64)], age: u64) -> (VantageName, Ballot) {
    let vote = Vote {
        vantage: name(vantage),
        seq: 1,
        written_at: String::new(),
        valid_for_s: 30,
        doubted: false,
        doubt_ended_ms: None,
        settled_ms: None,
        regions: said
            .iter()
            .map(|(region, state, held)| {
                let opinion = Opinion {
                    state: state.as_str().to_owned(),
                    held_ms: held * 1000,
                    evidence: String::new(),
                };
                (RegionName::from(*region), opinion)
            })
            .collect(),
    };
    let age = Duration::from_secs(age);
    (name(vantage), Ballot::Cast { vote, age })
}

fn tally(electorate: &Electorate, ballots: impl IntoIterator<Item = (VantageName, Ballot)>) -> Tally {
    let regions = ["weu", "eus", "sea"].map(RegionName::from);
    electorate.tally(regions, &ballots.into_iter().collect())
}

fn bad(tally: &Tally, region: &str) -> Option<u64> {
    let said = tally.regions[&RegionName::from(region)];
    said.unhealthy.agreed_for.map(|agreed| agreed.as_secs())
}

use State::{Draining, Healthy, Unhealthy, Unknown};

#[test]
fn a_region_is_unhealthy_by_a_majority_with_two_votes_from_outside() {
    let cases: [(&str, [Option<State>; 3], bool); 7] = [
        ("both outsiders", [None, Some(Unhealthy), Some(Unhealthy)], true),
        ("everybody", [Some(Unhealthy); 3], true),
        (
            "itself and one outsider",
            [Some(Unhealthy), Some(Unhealthy), Some(Healthy)],
            false,
        ),
        ("itself alone", [Some(Unhealthy), None, None], false),
        ("one outsider", [Some(Healthy), Some(Unhealthy), Some(Healthy)], false),
        (
            "outsiders who do not know",
            [Some(Unhealthy), Some(Unknown), Some(Unhealthy)],
            false,
        ),
        (
            "outsiders, against its own word",
            [Some(Healthy), Some(Unhealthy), Some(Unhealthy)],
            true,
        ),
    ];
    for (who, says, expected) in cases {
        let ballots = ["weu", "eus", "sea"]
            .into_iter()
            .zip(says)
            .filter_map(|(vantage, state)| Some(cast(vantage, &[("weu", state?, 60)], 0)));
        assert_eq!(bad(&tally(&three(), ballots), "weu").is_some(), expected, "{who}");
    }
}

#[test]
fn the_agreement_is_as_old_as_the_vote_that_completed_it() {
    let counted = tally(
        &three(),
        [
            cast("weu", &[("weu", Unhealthy, 500)], 1),
            cast("eus", &[("weu", Unhealthy, 200)], 4),
            cast("sea", &[("weu", Unhealthy, 300)], 2),
        ],
    );
    // The vote from inside the region comes first and does not complete it: the second one from outside does.
    assert_eq!(bad(&counted, "weu"), Some(204));
}

#[test]
fn old_votes_do_not_count_and_a_missing_vote_is_an_abstention() {
    let counted = tally(
        &three(),
        [
            cast("eus", &[("weu", Unhealthy, 60)], 30),
            cast("sea", &[("weu", Unhealthy, 60)], 31),
        ],
    );
    assert_eq!((counted.live, counted.is_quorate()), (1, false));
    assert_eq!(bad(&counted, "weu"), None);
    let (invalid, strange) = (name("weu"), cast("stranger", &[("weu", Unhealthy, 60)], 0));
    let counted = tally(&three(), [(invalid, Ballot::Invalid("x".to_owned())), strange]);
    assert_eq!(counted.live, 0);
}

#[test]
fn one_vantage_is_its_own_quorum_and_two_can_hardly_agree() {
    let alone = electorate(&["weu"]);
    assert_eq!(
        bad(&tally(&alone, [cast("weu", &[("weu", Unhealthy, 9)], 0)]), "weu"),
        Some(9)
    );

    let two = electorate(&["weu", "eus"]);
    let both = ["weu", "eus"].map(|vantage| cast(vantage, &[("weu", Unhealthy, 9), ("sea", Unhealthy, 9)], 0));
    let counted = tally(&two, both);
    assert_eq!((bad(&counted, "weu"), bad(&counted, "sea")), (None, Some(9)));
}

/// Two vantages that lost their network do not outvote the third.
#[test]
fn a_vote_that_is_doubted_abstains() {
    let doubted = |vantage: &str| {
        let (name, ballot) = cast(
            vantage,
            &["weu", "eus", "sea"].map(|region| (region, Unhealthy, 600)),
            0,
        );
        let Ballot::Cast { mut vote, age } = ballot else {
            unreachable!()
        };
        vote.doubted = true;
        (name, Ballot::Cast { vote, age })
    };
    let well = cast("sea", &["weu", "eus", "sea"].map(|region| (region, Healthy, 600)), 0);
    let counted = tally(&three(), [doubted("weu"), doubted("eus"), well]);
    assert_eq!((counted.live, counted.doubted, counted.is_quorate()), (1, 2, false));
    assert!(counted.regions.values().all(|region| region.unhealthy.votes == 0));
}

#[test]
fn a_drain_needs_a_majority_and_no_outside_votes() {
    let counted = tally(
        &three(),
        ["weu", "eus"].map(|vantage| cast(vantage, &[("weu", Draining, 1)], 0)),
    );
    assert!(counted.regions[&RegionName::from("weu")].draining.agreed_for.is_some());
    let counted = tally(&three(), [cast("weu", &[("weu", Draining, 1)], 0)]);
    assert!(counted.regions[&RegionName::from("weu")].draining.agreed_for.is_none());
}

proptest! {
    /// One more vote that agrees never shortens the agreement, and never ends it.
    #[test]
    fn more_votes_never_weaken_an_agreement(
        held in prop::collection::vec((0_u64..600, any::<bool>()), 1..7),
        enough in 1_usize..4,
        outsiders in 0_usize..3,
    ) {
        let sorted = |votes: &[(u64, bool)]| {
            let mut votes: Vec<_> = votes.iter().map(|(held, out)| (Duration::from_secs(*held), *out)).collect();
            votes.sort_unstable_by(|a, b| b.cmp(a));
            votes
        };
        let fewer = agreed_for(&sorted(&held[1..]), enough, outsiders);
        let more = agreed_for(&sorted(&held), enough, outsiders);
        prop_assert!(more >= fewer, "{more:?} {fewer:?}");
    }
}
