use super::*;
use Evidence::*;

fn limits() -> OutlierDetection {
    OutlierDetection::default()
}

fn at(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

/// Readings as (milliseconds since the start, outcomes), and what the last one shows.
type Case = (&'static str, Vec<(u64, Vec<(Evidence, u64)>)>, Option<Fault>);

fn check(cases: Vec<Case>, limits: &OutlierDetection) {
    for (name, readings, expected) in cases {
        let start = Instant::now();
        let mut detector = Detector::new(start);
        let mut fault = None;
        for (millis, outcomes) in readings {
            fault = detector.observe(
                &outcomes.into_iter().collect(),
                limits,
                Support::default(),
                at(start, millis),
            );
        }
        assert_eq!(fault, expected, "{name}");
    }
}

fn repeated(times: u64, step: u64, outcomes: &[(Evidence, u64)]) -> Vec<(u64, Vec<(Evidence, u64)>)> {
    (0..times).map(|time| (time * step, outcomes.to_vec())).collect()
}

#[test]
fn faults_by_what_was_read() {
    check(
        vec![
            ("nothing", vec![(0, vec![])], None),
            ("successes", repeated(500, 5, &[(Success, 1)]), None),
            ("two connection failures", repeated(2, 10, &[(ConnectFailed, 1)]), None),
            (
                "three connection failures",
                repeated(3, 10, &[(ConnectFailed, 1)]),
                Some(Fault::ConnectBurst),
            ),
            (
                "three at once",
                vec![(0, vec![(ConnectFailed, 3)])],
                Some(Fault::ConnectBurst),
            ),
            (
                "three over more than a second",
                repeated(3, 600, &[(ConnectFailed, 1)]),
                None,
            ),
            (
                "an answer between, even a bad one",
                vec![
                    (0, vec![(ConnectFailed, 2)]),
                    (1, vec![(ServerError, 1)]),
                    (2, vec![(ConnectFailed, 2)]),
                ],
                Some(Fault::Consecutive),
            ),
            ("four failures in a row", repeated(4, 700, &[(Reset, 1)]), None),
            (
                "five failures in a row",
                repeated(5, 700, &[(GatewayError, 1)]),
                Some(Fault::Consecutive),
            ),
            (
                "five in a row without an answer",
                repeated(5, 700, &[(Reset, 1)]),
                Some(Fault::Unanswered),
            ),
            (
                "a bad answer among them",
                vec![
                    (0, vec![(Reset, 3)]),
                    (1, vec![(GatewayError, 1)]),
                    (2, vec![(TimedOut, 3)]),
                ],
                Some(Fault::Consecutive),
            ),
            (
                "five of the application",
                repeated(5, 700, &[(ServerError, 1)]),
                Some(Fault::Consecutive),
            ),
            (
                "a success ends the streak",
                vec![
                    (0, vec![(TimedOut, 4)]),
                    (1, vec![(Success, 1)]),
                    (2, vec![(TimedOut, 4)]),
                ],
                None,
            ),
            (
                "a success among them ends it too",
                vec![(0, vec![(TimedOut, 9), (Success, 1)])],
                None,
            ),
            (
                "a failure share of five in a hundred",
                vec![(0, vec![(Success, 95), (GatewayError, 5)])],
                Some(Fault::FailureShare),
            ),
            ("one below it", vec![(0, vec![(Success, 96), (GatewayError, 4)])], None),
            (
                "too few requests for a share",
                vec![(0, vec![(Success, 39), (GatewayError, 10)])],
                None,
            ),
            (
                "errors of the application are not in the share",
                vec![(0, vec![(Success, 50), (ServerError, 50)])],
                None,
            ),
        ],
        &limits(),
    );
}

#[test]
fn overtaken_requests_eject_by_their_share_only() {
    check(
        vec![
            (
                "half of twenty",
                vec![(0, vec![(Success, 10), (Overtaken, 10)])],
                Some(Fault::Latency),
            ),
            ("fewer than half", vec![(0, vec![(Success, 11), (Overtaken, 10)])], None),
            ("nineteen", vec![(0, vec![(Overtaken, 19)])], None),
            ("hundreds in a row, slowly", repeated(300, 110, &[(Overtaken, 1)]), None),
            (
                "as many within the window",
                repeated(20, 100, &[(Overtaken, 1)]),
                Some(Fault::Latency),
            ),
            (
                "what was fast before does not count",
                vec![(0, vec![(Success, 400)]), (1_500, vec![(Overtaken, 20)])],
                Some(Fault::Latency),
            ),
            ("hedges that were not needed", vec![(0, vec![(Cancelled, 100)])], None),
            (
                "they are no failures",
                vec![(0, vec![(Success, 46), (TimedOut, 4), (Overtaken, 40)])],
                Some(Fault::FailureShare),
            ),
            (
                "nor do they end a streak",
                vec![
                    (0, vec![(TimedOut, 4)]),
                    (1, vec![(Overtaken, 4)]),
                    (2, vec![(TimedOut, 1)]),
                ],
                Some(Fault::Unanswered),
            ),
        ],
        &limits(),
    );
    let off = OutlierDetection {
        overtaken_percent: 0,
        ..limits()
    };
    check(vec![("off", vec![(0, vec![(Overtaken, 100)])], None)], &off);
}

#[test]
fn unanswered_requests_eject_by_their_share() {
    let now = Instant::now();
    let observe = |success, unanswered| {
        let mut detector = Detector::new(now);
        let before: Traffic = [(Success, success), (Overtaken, unanswered)].into_iter().collect();
        assert_eq!(detector.observe(&before, &limits(), Support::default(), now), None);
        detector.observe(
            &Traffic::default().with_unanswered(unanswered),
            &limits(),
            Support::default(),
            now,
        )
    };
    assert_eq!(observe(95, 5), Some(Fault::Lost));
    assert_eq!(observe(46, 4), None, "too few of them");
    assert_eq!(observe(100, 5), None, "too small a share");
    assert_eq!(observe(40, 9), None, "too few requests");
}

#[test]
fn limits_of_zero_turn_detection_off() {
    let off = OutlierDetection {
        consecutive_failures: 0,
        failure_percent: 0,
        min_requests: 0,
        overtaken_percent: 0,
        overtaken_min_requests: 0,
        ..limits()
    };
    check(
        vec![
            ("streak", vec![(0, vec![(Reset, 1000)])], None),
            ("share", vec![(0, vec![(Reset, 500), (Success, 500)])], None),
            (
                "a burst of connection failures still counts",
                vec![(0, vec![(ConnectFailed, 3)])],
                Some(Fault::ConnectBurst),
            ),
        ],
        &off,
    );
}

#[test]
fn the_window_slides() {
    let start = Instant::now();
    let mut detector = Detector::new(start);
    let mut observe = |millis, outcomes: &[(Evidence, u64)]| {
        detector.observe(
            &outcomes.iter().copied().collect(),
            &limits(),
            Support::default(),
            at(start, millis),
        )
    };
    assert_eq!(observe(0, &[(Success, 100), (GatewayError, 4)]), None);
    // Two seconds later these four no longer count, and one in fifty is not enough.
    assert_eq!(observe(2_000, &[(Success, 49), (GatewayError, 1)]), None);
    assert_eq!(
        observe(2_500, &[(Success, 1), (GatewayError, 2)]),
        Some(Fault::FailureShare)
    );
}

#[test]
fn disputed_failures_count_when_nothing_speaks_for_the_gateway() {
    let observe = |outcomes: &[(Evidence, u64)], disputed, probed| {
        let support = Support {
            probed,
            ..Support::default()
        };
        let traffic: Traffic = outcomes.iter().copied().collect();
        let now = Instant::now();
        Detector::new(now).observe(&traffic.with_disputed(disputed), &limits(), support, now)
    };
    // Others succeed: only what is not disputed counts.
    let mixed = [(Success, 200), (Reset, 40)];
    assert_eq!(observe(&mixed, 40, false), None);
    assert_eq!(observe(&mixed, 35, false), None);
    assert_eq!(observe(&mixed, 20, false), Some(Fault::FailureShare));
    // There are no others: probes decide, as long as requests are few.
    assert_eq!(observe(&[(Reset, 20)], 20, true), None);
    assert_eq!(observe(&[(Reset, 20)], 20, false), Some(Fault::Unanswered));
    assert_eq!(observe(&[(Reset, 20)], 10, true), Some(Fault::Unanswered));
    assert_eq!(observe(&[(Reset, 50)], 50, true), Some(Fault::Unanswered));
    let support = Support {
        probed: true,
        elsewhere: true,
    };
    let now = Instant::now();
    let traffic: Traffic = [(Reset, 50)].into_iter().collect();
    let fault = Detector::new(now).observe(&traffic.with_disputed(50), &limits(), support, now);
    assert_eq!(fault, None, "others succeed in another region");
    // A failed connection is no request's fault.
    assert_eq!(
        observe(&[(Success, 50), (ConnectFailed, 3)], 3, true),
        None,
        "an answer among them"
    );
    assert_eq!(observe(&[(ConnectFailed, 3)], 3, true), Some(Fault::ConnectBurst));
}

#[test]
fn a_streak_forgets_what_was_disputed_before_it() {
    let start = Instant::now();
    let mut detector = Detector::new(start);
    let mut observe = |millis, outcomes: &[(Evidence, u64)], disputed| {
        let traffic: Traffic = outcomes.iter().copied().collect();
        detector.observe(
            &traffic.with_disputed(disputed),
            &limits(),
            Support::default(),
            at(start, millis),
        )
    };
    assert_eq!(observe(0, &[(GatewayError, 4)], 4), None);
    assert_eq!(observe(10, &[(Success, 1)], 0), None);
    assert_eq!(observe(20, &[(GatewayError, 4)], 0), None);
    assert_eq!(observe(30, &[(GatewayError, 1)], 0), Some(Fault::Consecutive));
}
