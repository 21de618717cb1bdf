use super::*;

fn name(text: &str) -> VantageName {
    VantageName::new(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_vote_says_how_long_and_comes_back_the_same() {
    let since = Instant::now();
    let view = [RegionHealth {
        region: "weu".into(),
        state: State::Unhealthy,
        since,
        evidence: "probe timed out".to_owned(),
    }];
    let now = since + Duration::from_millis(90_500);
    let vote = Vote::of(
        &name("eus"),
        7,
        &view,
        now,
        "2026-11-20T10:00:00Z".to_owned(),
        &VoteTiming::default(),
    );
    assert_eq!(vote.regions[&RegionName::from("weu")].held_ms, 90_500);
    let bytes = serde_json::to_vec(&vote).unwrap();
    assert_eq!(Vote::parse(&name("eus"), &bytes).unwrap(), vote);
    assert!(matches!(
        Vote::parse(&name("sea"), &bytes),
        Err(VoteError::Misplaced(..))
    ));
    for garbage in ["", "{}", "[1,2]", "\u{0}"] {
        assert!(Vote::parse(&name("eus"), garbage.as_bytes()).is_err(), "{garbage:?}");
    }
}

#[test]
fn no_vote_counts_longer_than_the_longest() {
    let mut vote = Vote {
        vantage: name("eus"),
        seq: 1,
        written_at: "2099-01-01T00:00:00Z".to_owned(),
        valid_for_s: 30,
        regions: BTreeMap::new(),
    };
    let secs = Duration::from_secs;
    assert!(vote.counts(secs(30)) && !vote.counts(secs(31)));
    vote.valid_for_s = u64::MAX;
    assert!(vote.counts(secs(600)) && !vote.counts(secs(601)));
}

#[test]
fn words_that_are_not_known_are_no_opinion() {
    let opinion = |state: &str| {
        let state = state.to_owned();
        let evidence = String::new();
        Opinion {
            state,
            held_ms: 0,
            evidence,
        }
        .state()
    };
    assert_eq!(opinion("unhealthy"), State::Unhealthy);
    assert_eq!(opinion("on fire"), State::Unknown);
}
