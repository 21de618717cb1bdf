use super::*;

fn name(text: &str) -> VantageName {
    VantageName::new(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_vote_keeps_its_durations_when_written_and_read() {
    let since = Instant::now();
    let view = LocalView {
        regions: vec![RegionHealth {
            region: "weu".into(),
            state: State::Unhealthy,
            since,
            evidence: "probe timed out".to_owned(),
        }],
        isolated: false,
    };
    let seen = Seen {
        view: &view,
        doubt: Doubt::default(),
        settled_for: Some(Duration::from_secs(3)),
    };
    let now = since + Duration::from_millis(90_500);
    let vote = Vote::of(
        &name("eus"),
        7,
        seen,
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
        doubted: false,
        doubt_ended_ms: None,
        settled_ms: None,
        regions: BTreeMap::new(),
    };
    let secs = Duration::from_secs;
    assert!(vote.counts(secs(30)) && !vote.counts(secs(31)));
    vote.valid_for_s = u64::MAX;
    assert!(vote.counts(secs(600)) && !vote.counts(secs(601)));
}

#[test]
fn unknown_states_are_no_opinion() {
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

/// What was found while the writer doubted its view counts from the end of the doubt, and an unhealthy region only when that
/// has lasted.
#[test]
fn observations_from_a_doubt_count_from_its_end() {
    let opinion = |state: State, held: u64| Opinion {
        state: state.as_str().to_owned(),
        held_ms: held * 1000,
        evidence: String::new(),
    };
    let vote = Vote {
        vantage: name("eus"),
        seq: 1,
        written_at: String::new(),
        valid_for_s: 30,
        doubted: false,
        doubt_ended_ms: Some(60_000),
        settled_ms: None,
        regions: BTreeMap::from([
            ("old".into(), opinion(State::Unhealthy, 400)),
            ("new".into(), opinion(State::Unhealthy, 50)),
            ("well".into(), opinion(State::Healthy, 400)),
            ("out".into(), opinion(State::Draining, 400)),
        ]),
    };
    let secs = Duration::from_secs;
    let held = |region: &str, age: u64| vote.held(&region.into(), secs(age), secs(300));
    assert_eq!(held("old", 0), None);
    assert_eq!(held("old", 239), None);
    assert_eq!(held("old", 240), Some((State::Unhealthy, secs(300))));
    assert_eq!(held("new", 2), Some((State::Unhealthy, secs(52))));
    assert_eq!(held("well", 2), Some((State::Healthy, secs(62))));
    assert_eq!(held("out", 2), Some((State::Draining, secs(402))));
    assert_eq!(held("none", 2), None);
}
