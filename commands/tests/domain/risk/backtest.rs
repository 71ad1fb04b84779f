//! Rules that are tried out on a log.

use std::collections::BTreeMap;

use commands::Verified;
use commands::command::{LabelOrder, ReportedOutcome, Standing};
use commands::risk::backtest::{Backtest, Change, Count, Report};
use events::chargeback::ChargebackReason;
use events::ids::{CommandId, OrderId};
use events::metadata::Cause;
use events::risk::Label;
use events::risk::rules::Outcome;
use serde_json::json;

use super::*;
use crate::support::chargebacks::*;
use crate::support::*;

/// A world whose commands are remembered: they are signed nowhere here, so they can't be read out of the log.
struct Remembered {
    world: World,
    signed: BTreeMap<CommandId, Verified>,
}

impl Remembered {
    fn new(world: World) -> Remembered {
        Remembered { world, signed: BTreeMap::new() }
    }

    fn buys(&mut self, buyer: Actor, command: Command) -> OrderId {
        self.asks(buyer, command);
        self.world.order(0)
    }

    fn asks(&mut self, buyer: Actor, command: Command) {
        let verified = self.world.sign(buyer, command);
        self.signed.insert(verified.stamp.command, verified.clone());
        self.world.when_signed(verified);
    }

    fn try_out(&self, changes: &Value) -> Report {
        let mut backtest = Backtest::new(ruleset(changes));
        for commit in &self.world.log {
            let verified = match &commit.start().cause {
                Cause::Command(stamp) => self.signed.get(&stamp.command),
                _ => None,
            };
            backtest.follow(commit, verified);
        }
        backtest.report()
    }
}

fn tea(units: u32) -> Command {
    place(&[(TEA, units)], usd(500 * i64::from(units)))
}

fn count(all: u64, fraud: u64, good: u64) -> Count {
    Count { all, fraud, good }
}

/// Five purchases: two frauds of 5 and 4 units, a good one of 3 and one of 1, and one of 2 that nobody knows of.
fn known() -> Remembered {
    let mut past = Remembered::new(shop());
    let label = |past: &mut Remembered, units, label| {
        let order = past.buys(BUYER, tea(units));
        past.world.given(OPERATOR, LabelOrder { label, note: None, order }.into());
        past.world.after(SECOND_MS);
    };
    label(&mut past, 5, Label::Fraud);
    label(&mut past, 4, Label::Fraud);
    label(&mut past, 3, Label::Good);
    label(&mut past, 1, Label::Good);
    past.buys(BUYER, tea(2));
    past
}

#[test]
fn what_rules_would_have_done_is_held_against_what_purchases_turned_out_to_be() {
    let past = known();
    let rules =
        [above("b", "block", "purchase.amount", 2_000), above("r", "review", "purchase.amount", 1_000)];
    let report = past.try_out(&json!({"rules": rules}));
    assert_eq!(report.purchases, count(5, 2, 2));
    let outcomes = [
        (Outcome::Allow, count(2, 0, 1)),
        (Outcome::Review, count(2, 1, 1)),
        (Outcome::Block, count(1, 1, 0)),
    ];
    assert_eq!(report.outcomes, outcomes.into());
    assert_eq!(
        (report.from(Outcome::Block).precision(), report.recall(Outcome::Block)),
        (Some(1_000), Some(500))
    );
    assert_eq!(
        (report.from(Outcome::Review).precision(), report.recall(Outcome::Review)),
        (Some(666), Some(1_000))
    );
    assert_eq!(report.rules.len(), 2);
    let judged = report.changes.iter().map(|Change { was, would_be, count }| (*was, *would_be, count.all));
    let expected = [(None, Outcome::Allow, 2), (None, Outcome::Review, 2), (None, Outcome::Block, 1)];
    assert!(judged.eq(expected), "nothing was judged then");
    assert_eq!(past.try_out(&json!({"rules": rules})), report, "the same again");
}

#[test]
fn what_nobody_labelled_has_no_precision() {
    let mut past = Remembered::new(shop());
    past.buys(BUYER, tea(1));
    let report = past.try_out(&json!({"rules": [above("b", "block", "purchase.amount", 0)]}));
    assert_eq!((report.from(Outcome::Block).precision(), report.recall(Outcome::Block)), (None, None));
}

#[test]
fn rules_that_are_in_force_all_along_change_nothing() {
    let rules = json!({"rules": [
        above("often", "review", "account.purchases.1h", 1),
        above("too_often", "block", "account.purchases.1h", 3),
        above("new", "allow", "seller.first", 0),
    ]});
    let mut past = Remembered::new(World::new());
    in_force(&mut past.world, &rules);
    past.world
        .given_listing(SELLER, TEA, usd(500), 1_000)
        .given_listing(OTHER_SELLER, CUP, usd(300), 1_000)
        .given(PROVIDER, fund(BUYER, usd(100_000)));
    for n in 0..8 {
        past.buys(BUYER, tea(1));
        past.world.after(SECOND_MS * (1 + 200 * n));
    }
    past.buys(BUYER, place(&[(CUP, 1)], usd(300)));
    let report = past.try_out(&rules);
    assert_eq!(report.changes, []);
    assert_eq!(report.purchases.all, 9);
    assert!(report.outcomes.len() == 3, "something of everything: {:?}", report.outcomes);
    // Others would have let all of them pass.
    let report = past.try_out(&json!({}));
    assert_eq!(report.outcomes, [(Outcome::Allow, count(9, 0, 0))].into());
    assert!(report.changes.iter().all(|change| change.was.is_some() && change.would_be == Outcome::Allow));
}

#[test]
fn a_card_whose_owner_did_not_pay_is_a_fraud_unless_an_operator_knows_better() {
    let mut past = Remembered::new(shop());
    let order = past.buys(BUYER, place_by_card(&[(TEA, 1)], usd(500), None));
    let payment = past.world.payment();
    past.world.given(PROVIDER, report(payment, took("r", usd(500))));
    let mut dispute = disputed(payment, usd(500), Standing::NeedsResponse);
    dispute.reason = ChargebackReason::Unauthorized;
    past.world.given(PROVIDER, dispute.into());
    assert_eq!(past.try_out(&json!({})).purchases, count(1, 1, 0));
    past.world.given(OPERATOR, LabelOrder { label: Label::Good, note: None, order }.into());
    assert_eq!(past.try_out(&json!({})).purchases, count(1, 0, 1));
}

#[test]
fn payments_are_tried_out_where_the_rules_are_about_them() {
    let mut past = Remembered::new(shop());
    past.asks(BUYER, request(usd(5_000)));
    let payment = past.world.payment();
    past.world.given(PROVIDER, report(payment, took("r", usd(5_000))));
    let mut dispute = disputed(payment, usd(5_000), Standing::NeedsResponse);
    dispute.reason = ChargebackReason::Unauthorized;
    past.world.given(PROVIDER, dispute.into());
    // The purchase of an order that is paid anew is one, and so is its second payment.
    let order = past.buys(OTHER_BUYER, place_by_card(&[(TEA, 1)], usd(500), None));
    let refused = ReportedOutcome::Failed { code: text("declined"), retryable: true };
    past.world.given(PROVIDER, report(past.world.payment(), refused));
    past.asks(OTHER_BUYER, pay(order));
    let rules = [above("much", "block", "purchase.amount", 4_000)];
    assert_eq!(past.try_out(&json!({"rules": rules})).outcomes, [(Outcome::Allow, count(1, 0, 0))].into());
    let report = past.try_out(&json!({"payments": true, "rules": rules}));
    assert_eq!(report.outcomes, [(Outcome::Allow, count(2, 0, 0)), (Outcome::Block, count(1, 1, 0))].into());
}

#[test]
fn rules_that_are_only_tried_out_are_told_by_what_they_held_for() {
    let mut shadow = above("s", "block", "purchase.amount", 2_000);
    shadow["shadow"] = true.into();
    let report = known().try_out(&json!({"rules": [shadow]}));
    assert_eq!(report.outcomes, [(Outcome::Allow, count(5, 2, 2))].into());
    assert_eq!(report.rules.values().copied().collect::<Vec<_>>(), [count(1, 1, 0)]);
}
