//! What differs between providers' files and the ledger, as operators see it.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use events::reconciliation::{Break, Difference, MovementKind, OpenedBreak, Reported, Resolved};
use events::{Event, Hash};
use projections::Projections;
use projections::payment::{BreakState, Resolution};
use support::{History, START, account, follow, usd};

const PROVIDER: u64 = 99;
const OPERATOR: u64 = 98;

fn reported(numbers: std::ops::RangeInclusive<u64>) -> Event {
    let opened = numbers.map(|number| OpenedBreak {
        found: Break {
            at: START,
            difference: Difference::MissingInLedger { theirs: usd(number as i64) },
            kind: MovementKind::Payment,
            position: None,
            reference: format!("r{number}"),
        },
        number,
    });
    Reported {
        already_open: 0,
        by: account(OPERATOR),
        compared_to: 1,
        file: Hash::ZERO,
        from: START,
        in_flight: 0,
        matched: 0,
        opened: opened.collect(),
        provider: account(PROVIDER),
        totals: Vec::new(),
        unlisted: 0,
        until: START.plus_ms(1),
    }
    .into()
}

fn resolved(number: u64) -> Event {
    let (by, provider, reason) = (account(OPERATOR), account(PROVIDER), format!("because of {number}"));
    Resolved { by, number, provider, reason }.into()
}

fn numbers(
    views: &Projections,
    state: BreakState,
    before: Option<u64>,
    limit: usize,
) -> (Vec<u64>, Option<u64>) {
    let page = views.payments().breaks(state, before, limit).unwrap();
    (page.breaks.iter().map(|one| one.number).collect(), page.next)
}

#[tokio::test]
async fn breaks_are_listed_by_whether_they_are_open_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    let mut history = History::default();
    let empty = (vec![], None);
    assert_eq!(numbers(&views, BreakState::Open, None, 9), empty);
    let by = account(OPERATOR);
    history
        .commanded(by, "reconciliation.report", vec![reported(1..=3)])
        .commanded(by, "reconciliation.report", vec![reported(4..=5)])
        .commanded(by, "reconciliation.resolve", vec![resolved(2)])
        .commanded(by, "reconciliation.resolve", vec![resolved(5)]);
    follow(&views, history.after(0)).await;
    assert_eq!(numbers(&views, BreakState::Open, None, 9), (vec![4, 3, 1], None));
    assert_eq!(numbers(&views, BreakState::Resolved, None, 9), (vec![5, 2], None));
    // Several of one position are on several pages.
    assert_eq!(numbers(&views, BreakState::Open, None, 2), (vec![4, 3], Some(3)));
    assert_eq!(numbers(&views, BreakState::Open, Some(3), 2), (vec![1], None));
    assert_eq!(views.payments().open_breaks().unwrap(), 3);
    let shown = views.payments().breaks(BreakState::Resolved, Some(3), 1).unwrap().breaks.remove(0);
    let resolution = shown.resolution.as_ref().unwrap();
    let Resolution { by, reason, resolved_at } = resolution;
    assert_eq!((*by, reason.as_str()), (account(OPERATOR), "because of 2"));
    assert!(*resolved_at >= shown.opened_at);
    assert_eq!((shown.reference.as_str(), shown.provider), ("r2", account(PROVIDER)));
}
