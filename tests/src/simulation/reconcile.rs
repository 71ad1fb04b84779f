//! Operators of a simulated market compare what its provider says with the ledger, and deal with what differs. The files are made
//! up: a report is the operator's word, and the market has only to remember it as it should.

use commands::Command;
use commands::command::{FoundBreak, ReportReconciliation, ResolveBreak};
use events::reconciliation::{Difference, MovementKind, Total};
use events::{Hash, Timestamp};
use rand::RngExt;
use rand::rngs::StdRng;

use super::people::{OPERATORS, PROVIDER, Person, Sight, text, usd};

/// How many files there are: some are reported again.
const FILES: u8 = 40;
/// How many movements differ in all of them together.
const REFERENCES: u32 = 12;

/// An operator reports a file, or says that a break is dealt with.
pub(super) fn wish(rng: &mut StdRng, sight: &Sight<'_>) -> (Person, Command) {
    let operator = OPERATORS[rng.random_range(0..OPERATORS.len())];
    let open: Vec<u64> = sight.market.breaks.open().collect();
    if !open.is_empty() && rng.random_ratio(1, 2) {
        let number = if rng.random_ratio(1, 8) { 404 } else { open[rng.random_range(0..open.len())] };
        return (operator, ResolveBreak { number, reason: text("asked the provider") }.into());
    }
    let breaks: Vec<FoundBreak> = (0..rng.random_range(0..4)).map(|_| found(rng, sight.now)).collect();
    let total = Total { fees: usd(1), ours: usd(rng.random_range(0..900)), theirs: usd(900) };
    let report = ReportReconciliation {
        breaks: breaks.try_into().expect("they are few"),
        compared_to: sight.market.position.saturating_sub(rng.random_range(0..3)),
        file: Hash::of(&[rng.random_range(0..FILES)]),
        from: Timestamp::from_ms(0),
        in_flight: 0,
        matched: 3,
        provider: PROVIDER.account(),
        totals: vec![total].try_into().expect("it is one"),
        unlisted: 0,
        until: Timestamp::from_ms(1),
    };
    (operator, report.into())
}

fn found(rng: &mut StdRng, at: Timestamp) -> FoundBreak {
    let (ours, theirs) = (usd(rng.random_range(1..400)), usd(rng.random_range(1..400)));
    let difference = match rng.random_range(0..4) {
        0 => Difference::MissingInLedger { theirs },
        1 => Difference::MissingAtProvider { ours },
        2 => Difference::DuplicateAtProvider { theirs },
        // Sometimes they are the same, and it is rejected.
        _ => Difference::AmountDiffers { ours, theirs },
    };
    let reference = text(&format!("r{}", rng.random_range(0..REFERENCES)));
    FoundBreak { at, difference, kind: MovementKind::Payment, position: None, reference }
}
