use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A step in a lease's life; ids are "a" and "b".
#[derive(Debug, Clone)]
enum Step {
    Acquire(&'static str, Term),
    Renew(&'static str),
    Change(&'static str, &'static str),
    Release(&'static str),
    Break(Option<u32>),
    Write(Option<&'static str>),
    Read(Option<&'static str>),
    Pass(u64),
}

use Step::*;

const TERM: Term = Term::Seconds(15);

struct Run {
    lease: Lease,
    now: SystemTime,
}

impl Run {
    fn new() -> Run {
        Run {
            lease: Lease::default(),
            now: SystemTime::UNIX_EPOCH,
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), StorageError> {
        let Run { lease, now } = self;
        match step.clone() {
            Acquire(id, term) => lease.acquire(id.to_owned(), term, *now, SECOND),
            Renew(id) => lease.renew(id, *now, SECOND),
            Change(id, to) => lease.change(id, to.to_owned(), *now),
            Release(id) => lease.release(id),
            Break(period) => lease.break_off(period, *now, SECOND).map(|_| ()),
            Write(id) => lease.allow_write(id, *now),
            Read(id) => lease.allow_read(id, *now),
            Pass(seconds) => {
                *now += Duration::from_secs(seconds);
                Ok(())
            }
        }
    }
}

/// Steps that lead to a state.
fn road_to(state: LeaseState) -> Vec<Step> {
    match state {
        LeaseState::Available => vec![],
        LeaseState::Leased => vec![Acquire("a", TERM)],
        LeaseState::Expired => vec![Acquire("a", TERM), Pass(15)],
        LeaseState::Breaking => vec![Acquire("a", TERM), Break(None)],
        LeaseState::Broken => vec![Acquire("a", TERM), Break(Some(0))],
    }
}

/// The table "Outcomes of lease operations by lease state" of the service's documentation, with the codes measured.
#[test]
fn every_operation_has_its_outcome_in_every_state() {
    use LeaseState::*;
    let none = LEASE_NOT_PRESENT;
    let mismatch = LEASE_ID_MISMATCH;
    let missing = LEASE_ID_MISSING;
    let other = LEASE_ID_MISMATCH_WITH_BLOB;
    // Columns: available, leased (a), expired (a), breaking (a), broken (a). Ok is the state that follows.
    let table: [(Step, [Result<LeaseState, StorageError>; 5]); 14] = [
        (
            Acquire("a", TERM),
            [
                Ok(Leased),
                Ok(Leased),
                Ok(Leased),
                Err(LEASE_BREAKING_NOT_ACQUIRED),
                Ok(Leased),
            ],
        ),
        (
            Acquire("b", TERM),
            [
                Ok(Leased),
                Err(LEASE_ALREADY_PRESENT),
                Ok(Leased),
                Err(LEASE_ALREADY_PRESENT),
                Ok(Leased),
            ],
        ),
        (
            Renew("a"),
            [
                Err(mismatch),
                Ok(Leased),
                Ok(Leased),
                Err(LEASE_BROKEN_NOT_RENEWED),
                Err(LEASE_BROKEN_NOT_RENEWED),
            ],
        ),
        (
            Renew("b"),
            [
                Err(mismatch),
                Err(mismatch),
                Err(mismatch),
                Err(mismatch),
                Err(mismatch),
            ],
        ),
        (
            Change("a", "b"),
            [
                Err(none),
                Ok(Leased),
                Err(none),
                Err(LEASE_BREAKING_NOT_CHANGED),
                Err(none),
            ],
        ),
        (
            Change("b", "c"),
            [Err(none), Err(mismatch), Err(none), Err(mismatch), Err(none)],
        ),
        (
            Change("b", "a"),
            [Err(none), Ok(Leased), Err(none), Err(mismatch), Err(none)],
        ),
        (
            Release("a"),
            [
                Err(mismatch),
                Ok(Available),
                Ok(Available),
                Ok(Available),
                Ok(Available),
            ],
        ),
        (
            Release("b"),
            [
                Err(mismatch),
                Err(mismatch),
                Err(mismatch),
                Err(mismatch),
                Err(mismatch),
            ],
        ),
        (
            Break(Some(0)),
            [Err(none), Ok(Broken), Ok(Broken), Ok(Broken), Ok(Broken)],
        ),
        (
            Break(None),
            [Err(none), Ok(Breaking), Ok(Broken), Ok(Breaking), Ok(Broken)],
        ),
        (
            Write(None),
            [Ok(Available), Err(missing), Ok(Available), Err(missing), Ok(Available)],
        ),
        (
            Write(Some("a")),
            [
                Err(LEASE_LOST),
                Ok(Leased),
                Err(LEASE_LOST),
                Ok(Breaking),
                Err(LEASE_LOST),
            ],
        ),
        (
            Write(Some("b")),
            [
                Err(LEASE_LOST),
                Err(other),
                Err(LEASE_LOST),
                Err(other),
                Err(LEASE_LOST),
            ],
        ),
    ];
    for (step, outcomes) in table {
        for (state, expected) in [Available, Leased, Expired, Breaking, Broken].into_iter().zip(outcomes) {
            let mut run = Run::new();
            road_to(state).iter().for_each(|step| run.step(step).unwrap());
            assert_eq!(run.lease.state(run.now), state);
            let outcome = run.step(&step).map(|()| run.lease.state(run.now));
            assert_eq!(outcome, expected, "{step:?} when {state:?}");
            let after = outcome.unwrap_or(state);
            assert_eq!(
                run.lease.state(run.now),
                after,
                "a rejection changes nothing: {step:?} when {state:?}"
            );
        }
    }
}

#[test]
fn reads_need_no_lease_but_a_lease_they_name_must_be_held() {
    let cases = [
        (LeaseState::Available, None, Ok(())),
        (LeaseState::Leased, None, Ok(())),
        (LeaseState::Leased, Some("A"), Ok(())),
        (LeaseState::Leased, Some("b"), Err(LEASE_ID_MISMATCH_WITH_BLOB)),
        (LeaseState::Available, Some("a"), Err(LEASE_LOST)),
        (LeaseState::Expired, Some("a"), Err(LEASE_LOST)),
    ];
    for (state, id, expected) in cases {
        let mut run = Run::new();
        road_to(state).iter().for_each(|step| run.step(step).unwrap());
        assert_eq!(run.step(&Read(id)), expected, "{id:?} when {state:?}");
    }
}

#[test]
fn a_lease_lasts_exactly_its_term_and_a_renewal_starts_it_anew() {
    let mut run = Run::new();
    run.step(&Acquire("a", TERM)).unwrap();
    run.step(&Pass(14)).unwrap();
    run.step(&Renew("a")).unwrap();
    run.step(&Pass(14)).unwrap();
    assert_eq!(run.lease.state(run.now), LeaseState::Leased);
    run.step(&Pass(1)).unwrap();
    assert_eq!(run.lease.state(run.now), LeaseState::Expired);
    run.step(&Acquire("b", TERM)).unwrap();
    assert_eq!(run.step(&Renew("a")), Err(LEASE_ID_MISMATCH));
}

#[test]
fn a_write_ends_what_is_left_of_an_expired_lease() {
    let mut run = Run::new();
    road_to(LeaseState::Expired)
        .iter()
        .for_each(|step| run.step(step).unwrap());
    run.step(&Write(None)).unwrap();
    assert_eq!(run.step(&Renew("a")), Err(LEASE_ID_MISMATCH));
}

#[test]
fn breaking_takes_the_shorter_of_the_period_and_what_is_left() {
    let cases = [(None, 10), (Some(3), 3), (Some(60), 10), (Some(0), 0)];
    for (period, left) in cases {
        let mut lease = Lease::default();
        let now = SystemTime::UNIX_EPOCH;
        lease.acquire("a".to_owned(), TERM, now, SECOND).unwrap();
        assert_eq!(
            lease.break_off(period, now + SECOND * 5, SECOND),
            Ok(left),
            "{period:?}"
        );
        // A second break may only bring the end nearer.
        if left > 0 {
            assert_eq!(lease.break_off(Some(2), now + SECOND * 5, SECOND), Ok(2));
            assert_eq!(lease.break_off(Some(60), now + SECOND * 5, SECOND), Ok(2));
        }
    }
    let mut endless = Lease::default();
    endless
        .acquire("a".to_owned(), Term::Infinite, SystemTime::UNIX_EPOCH, SECOND)
        .unwrap();
    assert_eq!(endless.kind(), Some("infinite"));
    assert_eq!(
        endless.clone().break_off(Some(7), SystemTime::UNIX_EPOCH, SECOND),
        Ok(7)
    );
    assert_eq!(
        endless.clone().break_off(Some(61), SystemTime::UNIX_EPOCH, SECOND),
        Err(INVALID_HEADER)
    );
    assert_eq!(endless.break_off(None, SystemTime::UNIX_EPOCH, SECOND), Ok(0));
    assert_eq!(endless.state(SystemTime::UNIX_EPOCH), LeaseState::Broken);
}

#[test]
fn terms_are_15_to_60_seconds_or_without_end() {
    let cases = [
        ("15", Ok(TERM)),
        ("60", Ok(Term::Seconds(60))),
        ("-1", Ok(Term::Infinite)),
        ("14", Err(INVALID_HEADER)),
        ("61", Err(INVALID_HEADER)),
        ("0", Err(INVALID_HEADER)),
        ("", Err(INVALID_HEADER)),
        ("x", Err(INVALID_HEADER)),
    ];
    for (text, expected) in cases {
        assert_eq!(Term::parse(text), expected, "{text}");
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = || prop::sample::select(vec!["a", "b"]);
    let step = prop_oneof![
        (
            id(),
            prop::sample::select(vec![TERM, Term::Seconds(60), Term::Infinite])
        )
            .prop_map(|(i, t)| Acquire(i, t)),
        id().prop_map(Renew),
        (id(), id()).prop_map(|(from, to)| Change(from, to)),
        id().prop_map(Release),
        prop::option::of(0_u32..=60).prop_map(Break),
        prop::option::of(id()).prop_map(Write),
        (0_u64..40).prop_map(Pass),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    /// Whatever happens: while one id holds the lease, no other can take, renew or release it, or write.
    #[test]
    fn a_held_lease_excludes_the_other(steps in steps()) {
        let mut run = Run::new();
        for step in steps {
            let _ = run.step(&step);
            if run.lease.state(run.now) == LeaseState::Leased {
                let other = if run.lease.id() == Some("a") { "b" } else { "a" };
                for step in [Acquire(other, TERM), Renew(other), Release(other), Write(Some(other)), Write(None)] {
                    let mut trial = Run { lease: run.lease.clone(), now: run.now };
                    prop_assert!(trial.step(&step).is_err());
                    prop_assert_eq!(&trial.lease, &run.lease);
                }
            }
        }
    }
}
