use super::*;

fn answerer() -> ProbeAnswerer {
    let regions = ["weu", "eus"].map(RegionName::from).to_vec();
    ProbeAnswerer::new(ProbeTiming::default(), [(ServiceName::from("shop"), regions)])
}

const SHOP: ServiceId = ServiceId(0);

fn alone(own: State) -> GatewayView {
    GatewayView {
        own,
        quorum: QuorumVerdict::Alone,
    }
}

fn quorum(unhealthy: bool) -> GatewayView {
    let votes = if unhealthy { 2 } else { 1 };
    GatewayView {
        own: State::Unhealthy,
        quorum: QuorumVerdict::Counted {
            unhealthy,
            votes,
            of: 3,
        },
    }
}

fn lost() -> GatewayView {
    GatewayView {
        own: State::Unhealthy,
        quorum: QuorumVerdict::Unknown,
    }
}

/// Shows the answerer a sight of the first region at a second, and reads its answer.
fn at(answerer: &mut ProbeAnswerer, began: Instant, second: u64, first: &GatewayView) -> (u16, Reason) {
    let now = began + Duration::from_secs(second);
    let answers = answerer.update(
        now,
        |_, slot| if slot == Slot(0) { first.clone() } else { quorum(false) },
    );
    let answer = answers.region(SHOP, Slot(0), now);
    (answer.status(), answer.reason)
}

#[tokio::test(start_paused = true)]
async fn it_goes_at_once_and_comes_back_slowly() {
    let (mut answerer, began) = (answerer(), Instant::now());
    let bad = Reason::Quorum { votes: 2, of: 3 };
    let steps = [
        (0, quorum(false), (200, Reason::Healthy)),
        (1, quorum(true), (503, bad)),
        (2, quorum(false), (503, Reason::Recovering)),
        (31, quorum(false), (503, Reason::Recovering)),
        (32, quorum(false), (200, Reason::Healthy)),
        (40, quorum(true), (503, bad)),
        (50, quorum(false), (503, Reason::Recovering)),
        // Bad once more: the time starts anew.
        (60, quorum(true), (503, bad)),
        (61, quorum(false), (503, Reason::Recovering)),
        (85, quorum(false), (503, Reason::Recovering)),
        (91, quorum(false), (200, Reason::Healthy)),
    ];
    for (second, sight, expected) in steps {
        assert_eq!(at(&mut answerer, began, second, &sight), expected, "at {second} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspicion_has_to_last_when_the_operator_wants_so() {
    let timing = ProbeTiming {
        unhealthy_after: Duration::from_secs(5),
        ..ProbeTiming::default()
    };
    let began = Instant::now();
    let mut answerer = ProbeAnswerer::new(timing, [(ServiceName::from("shop"), vec![RegionName::from("weu")])]);
    assert_eq!(at(&mut answerer, began, 0, &quorum(true)), (200, Reason::Suspected));
    assert_eq!(at(&mut answerer, began, 4, &quorum(true)), (200, Reason::Suspected));
    assert_eq!(at(&mut answerer, began, 5, &quorum(true)).0, 503);
}

#[tokio::test(start_paused = true)]
async fn without_a_view_the_answer_is_200() {
    let (mut answerer, began) = (answerer(), Instant::now());
    assert_eq!(
        at(&mut answerer, began, 0, &alone(State::Unknown)),
        (200, Reason::Unknown)
    );
    assert_eq!(at(&mut answerer, began, 1, &quorum(true)).0, 503);
    // The quorum is lost: its last word is not held against anybody, whatever we see ourselves.
    assert_eq!(at(&mut answerer, began, 2, &lost()), (200, Reason::NoQuorum));
    let answers = answerer.update(began, |_, _| quorum(true));
    assert_eq!(answers.region(ServiceId(7), Slot(0), began).status(), 200);
    assert_eq!(answers.region(SHOP, Slot(9), began).status(), 200);
}

#[tokio::test(start_paused = true)]
async fn an_old_view_is_no_view() {
    let (mut answerer, began) = (answerer(), Instant::now());
    let answers = answerer.update(began, |_, _| quorum(true));
    let stale = ProbeTiming::default().stale_after;
    assert_eq!(answers.region(SHOP, Slot(0), began + stale).status(), 503);
    let late = began + stale + Duration::from_millis(1);
    assert_eq!(answers.region(SHOP, Slot(0), late), Answer::healthy(Reason::Stale));
    assert_eq!(answers.service(SHOP, late), Answer::healthy(Reason::Stale));
}

#[tokio::test(start_paused = true)]
async fn alone_the_own_view_counts_and_a_drain_counts_always() {
    let (mut answerer, began) = (answerer(), Instant::now());
    assert_eq!(
        at(&mut answerer, began, 0, &alone(State::Healthy)),
        (200, Reason::Healthy)
    );
    assert_eq!(
        at(&mut answerer, began, 1, &alone(State::Warming)),
        (200, Reason::Healthy)
    );
    assert_eq!(
        at(&mut answerer, began, 2, &alone(State::Unhealthy)),
        (503, Reason::OwnView)
    );
    let draining = GatewayView {
        own: State::Draining,
        quorum: QuorumVerdict::Counted {
            unhealthy: false,
            votes: 0,
            of: 3,
        },
    };
    assert_eq!(at(&mut answerer, began, 60, &draining), (503, Reason::Draining));
}

#[tokio::test(start_paused = true)]
async fn a_service_is_fit_while_any_region_is() {
    let (mut answerer, began) = (answerer(), Instant::now());
    let one = answerer.update(began, |_, slot| quorum(slot == Slot(0)));
    assert_eq!(one.service(SHOP, began).status(), 200);
    let none = answerer.update(began, |_, _| quorum(true));
    assert_eq!(none.service(SHOP, began), Answer::unhealthy(Reason::NoRegion));
    let text = none.explain(SHOP, began);
    assert!(
        text.starts_with("shop: 503, no healthy region (view of 0ns ago)\n"),
        "{text}"
    );
    assert!(text.contains("  weu: 503, unhealthy by 2 of 3 votes\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_state_of_a_gateway_is_kept_over_a_reconfiguration() {
    let (mut answerer, began) = (answerer(), Instant::now());
    at(&mut answerer, began, 0, &quorum(true));
    let regions = ["eus", "weu"].map(RegionName::from).to_vec();
    let other = (ServiceName::from("blog"), vec![RegionName::from("weu")]);
    answerer.reconfigure(ProbeTiming::default(), [other, (ServiceName::from("shop"), regions)]);
    // All look well now; only the one that was bad has to prove it.
    let answers = answerer.update(began + Duration::from_secs(1), |_, _| quorum(false));
    let now = began + Duration::from_secs(1);
    let told: Vec<_> = answers
        .each(now)
        .map(|service| {
            let regions = service
                .regions
                .map(|(region, answer)| (region.to_string(), answer.status()));
            (
                service.name.to_string(),
                service.any.status(),
                regions.collect::<Vec<_>>(),
            )
        })
        .collect();
    let region = |name: &str, status| (name.to_owned(), status);
    assert_eq!(
        told,
        [
            ("blog".to_owned(), 200, vec![region("weu", 200)]),
            ("shop".to_owned(), 200, vec![region("eus", 200), region("weu", 503)]),
        ]
    );
    let shop = answers.service_named("shop").unwrap();
    assert_eq!((shop, answers.region_named(shop, "weu")), (ServiceId(1), Some(Slot(1))));
    assert_eq!(
        (answers.service_named("none"), answers.region_named(shop, "none")),
        (None, None)
    );
}
