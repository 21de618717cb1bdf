use super::*;
use crate::origin::Members;

fn at(seconds: i64) -> StoreTime {
    StoreTime(seconds * 1000)
}

fn change(region: &str, was: Intent, intent: Intent) -> Change {
    let state = OriginState::default().demoted();
    Change {
        region: region.into(),
        origin: format!("o-{region}"),
        was,
        intent,
        state,
        from: Members::default(),
        set: Members::from(state),
    }
}

fn demote(region: &str) -> Change {
    change(region, Intent::Baseline, Intent::Demoted)
}

fn begun(changes: Vec<Change>) -> Ledger {
    let mut ledger = Ledger {
        last_change: Some(at(1)),
        ..Ledger::default()
    };
    ledger.begin(changes, &Timing::default(), at(5000));
    ledger
}

fn under_way(mut ledger: Ledger, carried: usize) -> Ledger {
    ledger.pending.as_mut().unwrap().carried = carried;
    ledger
}

fn intent(ledger: &Ledger, region: &str) -> Option<Intent> {
    ledger.intents.get(&RegionName::from(region)).copied()
}

#[test]
fn a_change_set_is_persisted_before_it_is_sent() {
    let ledger = begun(vec![demote("a"), change("b", Intent::Demoted, Intent::Baseline)]);
    assert_eq!(intent(&ledger, "a"), Some(Intent::Demoted));
    assert_eq!(intent(&ledger, "b"), Some(Intent::Baseline));
    assert_eq!(ledger.last_change, Some(at(5000)));
    assert_eq!(ledger.demotions.len(), 1);
    let text = serde_json::to_string(&ledger).unwrap();
    assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
}

#[test]
fn a_change_that_was_not_accepted_is_undone() {
    let mut ledger = under_way(begun(vec![demote("a")]), 1);
    ledger.fail(
        Failure::NotAccepted,
        Remedy::Soon(None),
        "429".to_owned(),
        &Timing::default(),
        at(5001),
    );
    assert_eq!(intent(&ledger, "a"), Some(Intent::Baseline));
    assert_eq!(ledger.last_change, Some(at(1)));
    assert!(ledger.demotions.is_empty() && ledger.pending.is_none());
    assert_eq!(ledger.retry_at, Some(at(5011)));
    assert_eq!((ledger.failures, ledger.last_error.as_deref()), (1, Some("429")));
}

#[test]
fn what_failed_is_undone_but_counts_for_spacing_and_what_is_overdue_is_kept() {
    let timing = Timing::default();
    let mut failed = under_way(begun(vec![demote("a")]), 1);
    failed.fail(Failure::Failed, Remedy::Slowly, String::new(), &timing, at(5001));
    assert_eq!(
        (intent(&failed, "a"), failed.last_change),
        (Some(Intent::Baseline), Some(at(5000)))
    );
    let mut overdue = under_way(begun(vec![demote("a")]), 1);
    overdue.fail(Failure::Overdue, Remedy::Slowly, String::new(), &timing, at(9000));
    assert_eq!(
        (intent(&overdue, "a"), overdue.demotions.len()),
        (Some(Intent::Demoted), 1)
    );
}

#[test]
fn the_rest_goes_on_only_while_it_is_wanted() {
    let changes = vec![demote("a"), demote("b"), demote("c")];
    let mut ledger = under_way(begun(changes.clone()), 1);
    assert!(ledger.advance(&changes[2..]));
    let pending = ledger.pending.clone().unwrap();
    assert_eq!((pending.done, pending.left()), (1, &changes[2..]));
    assert_eq!(intent(&ledger, "b"), Some(Intent::Baseline));
    assert_eq!(
        ledger.published.keys().map(RegionName::as_str).collect::<Vec<_>>(),
        ["a"]
    );
    assert_eq!(
        ledger.demotions.iter().map(|d| d.region.as_str()).collect::<Vec<_>>(),
        ["a", "c"]
    );
    let mut ledger = under_way(ledger, 1);
    assert!(!ledger.advance(&[]));
    assert!(ledger.pending.is_none());
}

#[test]
fn a_new_leader_waits_for_the_request_in_progress_only() {
    let holder = || VantageName::new("weu").unwrap();
    let mut ledger = under_way(begun(vec![demote("a"), demote("b")]), 1);
    ledger.take_over(holder());
    assert_eq!(ledger.epoch, 1);
    assert_eq!(ledger.pending.as_ref().unwrap().changes, [demote("a")]);
    assert_eq!(intent(&ledger, "b"), Some(Intent::Baseline));
    // The last leader wrote it down and died before it sent anything.
    let mut ledger = begun(vec![demote("a")]);
    ledger.take_over(holder());
    assert!(ledger.pending.is_none() && ledger.demotions.is_empty());
    assert_eq!(intent(&ledger, "a"), Some(Intent::Baseline));
}

#[test]
fn a_ledger_of_another_version_is_read_as_far_as_it_goes() {
    let ledger: Ledger = serde_json::from_str(r#"{"epoch":7,"later":true}"#).unwrap();
    assert_eq!(ledger.epoch, 7);
    assert_eq!(StoreTime(1_700_000_000_500).to_string(), "2023-11-14T22:13:20Z");
}

#[test]
fn a_clock_that_was_set_back_leaves_nothing_in_the_future() {
    let timing = Timing::default();
    let mut ledger = under_way(begun(vec![demote("a")]), 1);
    ledger.retry_at = Some(at(1_000_000));
    let before = ledger.clone();
    ledger.clamp_to_clock(at(5000), &timing);
    let retry_most = StoreTime(at(5000).0 + timing.retry_most.as_millis() as i64);
    assert_eq!(ledger.retry_at, Some(retry_most));
    ledger.clamp_to_clock(at(4000), &timing);
    assert_eq!(ledger.last_change, Some(at(4000)));
    assert_eq!(ledger.demotions[0].at, at(4000));
    // What belongs together stays so: the change set can still be undone.
    ledger.fail(
        Failure::NotAccepted,
        Remedy::Soon(None),
        String::new(),
        &timing,
        at(4001),
    );
    assert_eq!((ledger.demotions.len(), ledger.last_change), (0, Some(at(1))));
    let mut untouched = before.clone();
    untouched.retry_at = Some(at(6000));
    let same = untouched.clone();
    untouched.clamp_to_clock(at(5001), &timing);
    assert_eq!(untouched, same);
}
