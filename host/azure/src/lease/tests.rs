use super::*;

#[tokio::test(start_paused = true)]
async fn a_term_ends_a_margin_before_the_lease_counted_from_the_request() {
    let timing = LeaseTiming::default();
    let asked = Instant::now();
    let term = Term::begun(1, LeaseId::random(), asked, &timing);
    let later = |seconds| asked + Duration::from_secs(seconds);
    assert_eq!(term.left(asked), Some(Duration::from_secs(25)));
    assert_eq!(term.left(later(24)), Some(Duration::from_secs(1)));
    assert_eq!(term.left(later(25)), None);
    assert_eq!(term.left(later(99)), None);
    let renewed = term.renewed(later(10), &timing);
    assert_eq!(renewed.left(later(34)), Some(Duration::from_secs(1)));
    // An answer that comes late does not shorten what a newer one gave.
    assert_eq!(renewed.renewed(later(5), &timing).ends, renewed.ends);
}
