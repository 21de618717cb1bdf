use super::*;
use crate::ledger::Pending;

fn at(seconds: i64) -> StoreTime {
    StoreTime(seconds * 1000)
}

fn ledger(last_change: Option<i64>, retry_at: Option<i64>) -> Ledger {
    Ledger {
        last_change: last_change.map(at),
        retry_at: retry_at.map(at),
        ..Ledger::default()
    }
}

#[test]
fn what_a_change_set_waits_for() {
    let timing = Timing::default();
    let now = at(10_000);
    let wait = |ledger: &Ledger, busy, haste| wait(ledger, busy, &timing, haste, now);
    let never = Haste::Never;
    assert_eq!(wait(&ledger(None, None), false, never), None);
    assert_eq!(
        wait(&ledger(Some(9_000), None), false, never),
        Some(Wait::Spacing(at(10_200)))
    );
    assert_eq!(wait(&ledger(Some(8_800), None), false, never), None);
    assert_eq!(
        wait(&ledger(None, Some(10_001)), false, never),
        Some(Wait::Backoff(at(10_001)))
    );
    assert_eq!(wait(&ledger(None, Some(10_000)), false, never), None);
    assert_eq!(wait(&ledger(Some(9_999), Some(20_000)), false, Haste::Now), None);
    assert_eq!(wait(&ledger(None, None), true, Haste::Now), Some(Wait::Busy));
    let mut under_way = ledger(None, None);
    under_way.pending = Some(Pending {
        changes: Vec::new(),
        done: 0,
        carried: 0,
        operation: None,
        started: at(0),
        previous: None,
    });
    assert_eq!(wait(&under_way, false, Haste::Now), Some(Wait::InFlight));
}
