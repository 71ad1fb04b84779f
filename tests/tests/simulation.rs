//! Runs the simulated market under many seeds. `SKYLINK_SIM_SEEDS=5000` runs more of them, `SKYLINK_SIM_SEED=17` one.

use std::collections::BTreeMap;
use std::panic;

use tests::simulation::{Tally, run};

const SEEDS: u64 = 600;

/// What must happen to money somewhere in so many runs.
const MONEY: [&str; 69] = [
    "payment.requested.v1",
    "payment.action_required.v1",
    "payment.authorized.v1",
    "payment.capture_requested.v1",
    "payment.captured.v1",
    "payment.failed.v1",
    "payment.void_requested.v1",
    "payment.voided.v1",
    "payment.refund_requested.v1",
    "payment.refunded.v1",
    "payment.refund_failed.v1",
    "payout.requested.v1",
    "payout.paid.v1",
    "payout.failed.v1",
    "reconciliation.reported.v1",
    "reconciliation.resolved.v1",
    "order.authorized.v1",
    "order.paid.v1",
    "order.held.v1",
    "order.unhold_requested.v1",
    "order.unheld.v1",
    "order.refunded.v1",
    "order.risk_cleared.v1",
    "order.change_proposed.v1",
    "order.change_declined.v1",
    "order.change_withdrawn.v1",
    "order.change_lapsed.v1",
    "order.changed.v1",
    "escrow.frozen.v1",
    "escrow.unfrozen.v1",
    "escrow.settlement_proposed.v1",
    "escrow.settled.v1",
    "escrow.release_scheduled.v1",
    "escrow.milestone_signed.v1",
    "return.requested.v1",
    "return.approved.v1",
    "return.rejected.v1",
    "return.appealed.v1",
    "return.sent.v1",
    "return.received.v1",
    "return.refunded.v1",
    "return.ended.v1",
    "order.closed.v1",
    "stock.reserved.v1",
    "stock.reservation_extended.v1",
    "stock.reservation_released.v1",
    "stock.reservation_expired.v1",
    "stock.reservation_taken_up.v1",
    "wallet.exchanged.v1",
    "chargeback.inquired.v1",
    "chargeback.inquiry_closed.v1",
    "chargeback.opened.v1",
    "chargeback.updated.v1",
    "chargeback.evidence_submitted.v1",
    "chargeback.accepted.v1",
    "chargeback.past_due.v1",
    "chargeback.fee_charged.v1",
    "chargeback.won.v1",
    "chargeback.lost.v1",
    "order.resumed.v1",
    "order.charged_back.v1",
    "wallet.repaid.v1",
    "debt.write_off_proposed.v1",
    "debt.written_off.v1",
    "risk.rules_proposed.v1",
    "risk.rules_set.v1",
    "order.risk_assessed.v1",
    "order.review_opened.v1",
    "order.review_decided.v1",
];

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {value}")))
}

#[test]
fn every_promise_holds_whatever_goes_wrong() {
    let seeds = match number("SKYLINK_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SKYLINK_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let is_full = seeds.end - seeds.start >= SEEDS;
    let (mut tally, mut seen) = (Tally::default(), BTreeMap::from(MONEY.map(|name| (name, 0))));
    for seed in seeds {
        match panic::catch_unwind(|| run(seed)) {
            Ok(one) => {
                tally.add(one.tally);
                let events = one.log.iter().flat_map(|commit| commit.events());
                for recorded in events {
                    seen.entry(recorded.event.type_name()).and_modify(|count| *count += 1);
                }
            }
            Err(broken) => {
                println!("seed {seed} breaks a promise; run it alone with SKYLINK_SIM_SEED={seed}");
                panic::resume_unwind(broken);
            }
        }
    }
    println!("{tally:?}\n{seen:?}");
    if is_full {
        check_that_much_happened(tally);
        assert!(seen.values().all(|count| *count > 0), "something never happened to money: {seen:?}");
    }
}

/// What never happens is not tested.
fn check_that_much_happened(tally: Tally) {
    let Tally { commits, deadlines, decided, repeats, refusals, undecided, unknown, .. } = tally;
    let Tally { late_appends, own_conflicts, fenced, failed, crashes, from_snapshot, .. } = tally;
    let Tally { look_ups, bad_look_ups, full_groups, replaced, jumps, .. } = tally;
    let Tally { grown_while_prepared, prepared_under_way, .. } = tally;
    let counts = [commits, deadlines, decided, repeats, refusals, undecided, unknown, late_appends];
    let more = [own_conflicts, fenced, failed, crashes, from_snapshot, look_ups, bad_look_ups, full_groups];
    let most = [replaced, jumps, grown_while_prepared, prepared_under_way];
    assert!(
        counts.into_iter().chain(more).chain(most).all(|count| count > 0),
        "something never happened: {tally:?}"
    );
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    assert_eq!(run(3), run(3));
}
