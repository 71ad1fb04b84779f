//! What is known of a purchase.

use commands::command::{AttestDevice, LabelOrder, ReportedOutcome, Standing};
use events::Hash;
use events::account::Role;
use events::device::AttestationVerdict;
use events::escrow::FreezeReason;
use events::payment::CaptureTime;
use events::risk::Label;
use serde_json::json;

use super::*;
use crate::support::chargebacks::*;
use crate::support::*;

fn attest(actor: Actor, looks: Option<&str>, verdict: AttestationVerdict) -> Command {
    AttestDevice {
        account: actor.account(),
        device: actor.device(),
        evidence: Hash::of(b"statement"),
        fingerprint: looks.map(|looks| Hash::of(looks.as_bytes())),
        format: text("android-key"),
        verdict,
    }
    .into()
}

fn tea(units: u32) -> Command {
    place(&[(TEA, units)], usd(500 * i64::from(units)))
}

/// Buys one tea with a card that its provider knows by a token.
fn by_card(token: &str) -> Command {
    let mut asked = place_captured(CaptureTime::AtOnce, &[(TEA, 1)], usd(500), None);
    if let Command::PlaceOrder(body) = &mut asked
        && let commands::command::PaymentMethod::Tenders(tenders) = &mut body.payment_method
    {
        tenders.provider = method(PROVIDER, token);
    }
    asked
}

#[test]
fn purchases_and_money_are_counted_in_each_window() {
    let mut world = judging(&json!({}));
    world.when(BUYER, tea(1));
    assert_eq!(known(&world, "account.purchases.30d"), None, "without this one");
    world.after(30 * SECOND_MS).when(BUYER, tea(2));
    assert_eq!(known(&world, "account.purchases.1m"), Some(1));
    assert_eq!(known(&world, "device.amount.1m"), Some(500));
    world.after(2 * 60 * SECOND_MS).when(BUYER, tea(1));
    assert_eq!(known(&world, "account.purchases.1m"), None);
    assert_eq!(known(&world, "account.purchases.10m"), Some(2));
    assert_eq!(known(&world, "account.amount.24h"), Some(1500));
    world.after(2 * DAY_MS).when(BUYER, tea(1));
    assert_eq!(known(&world, "account.amount.24h"), None);
    assert_eq!(known(&world, "account.amount.7d"), Some(2000));
    world.after(40 * DAY_MS).when(BUYER, tea(1));
    assert_eq!(known(&world, "account.purchases.30d"), None);
    then_folds_the_same(&world);
}

#[test]
fn what_was_blocked_counts_so_that_trying_again_does_not_help() {
    let mut world = judging(&json!({"rules": [above("often", "block", "account.purchases.1h", 1)]}));
    for outcome in ["order.placed.v1", "order.placed.v1", "command.rejected.v1", "command.rejected.v1"] {
        world.after(SECOND_MS).when(BUYER, tea(1));
        assert_eq!(world.events()[0].type_name(), outcome);
    }
    assert_eq!(known(&world, "account.purchases.1h"), Some(3));
    world.after(2 * 3_600_000).when(BUYER, tea(1));
    assert_eq!(world.events()[0].type_name(), "order.placed.v1");
}

#[test]
fn a_card_is_known_by_its_token_and_by_who_uses_it() {
    let mut world = judging(&json!({}));
    world.when(BUYER, by_card("card_1"));
    let first = assessed(&world).instrument.unwrap();
    assert_eq!(known(&world, "instrument.accounts"), Some(1));
    world.when(OTHER_BUYER, by_card("card_1"));
    assert_eq!(assessed(&world).instrument, Some(first));
    assert_eq!(known(&world, "instrument.accounts"), Some(2));
    assert_eq!(known(&world, "instrument.purchases.1h"), Some(1));
    world.when(BUYER, by_card("card_2"));
    assert_ne!(assessed(&world).instrument, Some(first));
    assert_eq!(known(&world, "account.instruments"), Some(1));
    world.when(BUYER, by_card("card_3"));
    assert_eq!(known(&world, "account.instruments"), Some(2));
}

#[test]
fn declines_are_counted_of_who_pays_and_of_the_card() {
    let mut world = judging(&json!({}));
    world.given(BUYER, by_card("card_1"));
    let refused = ReportedOutcome::Failed { code: text("declined"), retryable: true };
    let payment = world.payment();
    world.given(PROVIDER, report(payment, refused));
    world.when(OTHER_BUYER, by_card("card_1"));
    assert_eq!(known(&world, "instrument.declines.1h"), Some(1));
    assert_eq!(known(&world, "account.declines.1h"), None);
    world.when(BUYER, tea(1));
    assert_eq!(known(&world, "account.declines.1h"), Some(1));
    assert_eq!(known(&world, "instrument.declines.1h"), None, "the wallet is none");
    then_folds_the_same(&world);
}

#[test]
fn devices_that_look_the_same_are_counted_together() {
    let mut world = judging(&json!({}));
    world.when(BUYER, tea(1));
    assert_eq!(known(&world, "device.attestation"), None, "nobody has looked");
    world
        .given(OPERATOR, attest(BUYER, Some("a phone"), AttestationVerdict::Verified))
        .given(OPERATOR, attest(OTHER_BUYER, Some("a phone"), AttestationVerdict::Failed))
        .given(PROVIDER, fund_as("two", OTHER_BUYER, usd(10_000)));
    world.when(BUYER, tea(1));
    assert_eq!(known(&world, "device.attestation"), Some(2));
    assert_eq!(known(&world, "fingerprint.accounts"), Some(1));
    world.when(OTHER_BUYER, tea(1));
    assert_eq!(known(&world, "device.attestation"), Some(0));
    assert_eq!(known(&world, "fingerprint.accounts"), Some(2));
    assert_eq!(known(&world, "fingerprint.purchases.1h"), Some(1));
    // Another statement about the device leaves its fingerprint what it was.
    world.given(REGISTRAR, attest(OTHER_BUYER, None, AttestationVerdict::Unknown));
    world.when(OTHER_BUYER, tea(1));
    assert_eq!(known(&world, "device.attestation"), Some(1));
    assert_eq!(assessed(&world).fingerprint, Some(Hash::of(b"a phone")));
    then_folds_the_same(&world);
}

#[test]
fn a_buyer_who_may_be_the_seller_is_noticed() {
    let mut world = judging(&json!({}));
    world.given(OPERATOR, attest(BUYER, Some("a phone"), AttestationVerdict::Verified));
    world.when(BUYER, tea(1));
    assert_eq!(known(&world, "shared.fingerprint"), Some(0));
    world.given(OPERATOR, attest(SELLER, Some("a phone"), AttestationVerdict::Verified));
    world.when(BUYER, tea(1));
    assert_eq!(known(&world, "shared.fingerprint"), Some(1));
    world.when(BUYER, place(&[(CUP, 1)], usd(300)));
    assert_eq!(known(&world, "shared.fingerprint"), Some(0), "of another seller");
}

#[test]
fn a_seller_who_bought_with_the_same_card_is_noticed() {
    let mut world = judging(&json!({}));
    let merchant = Actor(60);
    world.given(REGISTRAR, register_as(merchant, &[Role::Buyer, Role::Seller]));
    world.given(REGISTRAR, register_device(merchant)).given_listing(merchant, 7, usd(500), 10);
    world.given(merchant, by_card("card_1"));
    let mut theirs = by_card("card_1");
    if let Command::PlaceOrder(body) = &mut theirs {
        body.lines[0].listing = listing(7);
    }
    world.when(BUYER, theirs);
    assert_eq!(known(&world, "shared.instrument"), Some(1));
    world.when(BUYER, by_card("card_1"));
    assert_eq!(known(&world, "shared.instrument"), Some(0));
}

#[test]
fn age_and_tier_and_whether_he_bought_there_before_are_known() {
    let mut world = judging(&json!({}));
    world.given(OPERATOR, verify(BUYER, 2)).after(DAY_MS);
    world.when(BUYER, tea(1));
    assert_eq!(known(&world, "account.tier"), Some(2));
    for age in ["account.age_ms", "device.age_ms", "seller.age_ms"] {
        assert_eq!(known(&world, age), Some(DAY_MS), "{age}");
    }
    assert_eq!(known(&world, "account.devices"), Some(1));
    assert_eq!(known(&world, "account.second_factor"), Some(0));
    assert_eq!(known(&world, "seller.first"), Some(1));
    world.when(BUYER, place(&[(TEA, 1), (CUP, 1)], usd(800)));
    assert_eq!(known(&world, "seller.first"), Some(1));
    assert_eq!(known(&world, "purchase.sellers"), Some(2));
    world.when(BUYER, tea(1));
    assert_eq!(known(&world, "seller.first"), Some(0));
}

#[test]
fn what_is_usual_is_the_median_of_the_last_purchases() {
    let mut world = judging(&json!({}));
    for units in [1, 2, 9] {
        world.when(BUYER, tea(units));
        assert_eq!(known(&world, "purchase.usual_bps"), None, "too few to tell");
    }
    world.when(BUYER, tea(4));
    assert_eq!(known(&world, "purchase.usual_bps"), Some(20_000), "twice what two cost");
}

#[test]
fn chargebacks_labels_and_disputes_are_remembered() {
    let mut world = judging(&json!({}));
    let (payment, order) = world.bought_by_card(&[(TEA, 1)], usd(500), None);
    world.given(PROVIDER, says(payment, usd(500), Standing::NeedsResponse));
    let label = LabelOrder { label: Label::Fraud, note: None, order };
    world.when(OPERATOR, label.clone()).then_types(["order.labelled.v1"]);
    world.given(PROVIDER, fund_as("two", OTHER_BUYER, usd(10_000)));
    let other = world.placed(OTHER_BUYER, tea(1));
    world
        .given(SELLER, ship(other))
        .given(OTHER_BUYER, freeze_money(other, 1, None, FreezeReason::NotReceived));
    world.when(BUYER, by_card("tok_approve"));
    assert_eq!(known(&world, "account.chargebacks"), Some(1));
    assert_eq!(known(&world, "instrument.chargebacks"), Some(1));
    assert_eq!(known(&world, "account.frauds"), Some(1));
    assert_eq!(known(&world, "seller.dispute_bps"), Some(10_000), "two of two");
    then_folds_the_same(&world);
}

#[test]
fn regions_are_counted() {
    let mut world = judging(&json!({}));
    world.when(BUYER, buy(&[(TEA, 1)], None, Some("US-CA"), usd(500)));
    assert_eq!(assessed(&world).region, Some(region("US-CA")));
    world.when(BUYER, buy(&[(TEA, 1)], None, Some("DE"), usd(500)));
    assert_eq!(known(&world, "region.purchases.1h"), None);
    assert_eq!(known(&world, "account.regions"), Some(1));
    world.when(BUYER, buy(&[(TEA, 1)], None, Some("DE"), usd(500)));
    assert_eq!((known(&world, "region.purchases.1h"), known(&world, "account.regions")), (Some(1), Some(2)));
}

#[test]
fn nothing_is_remembered_before_rules_are_proposed() {
    let mut world = shop();
    world.given(BUYER, tea(1));
    assert_eq!(world.market.risk, None);
    in_force(&mut world, &json!({}));
    world.when(BUYER, tea(1));
    assert_eq!(known(&world, "account.purchases.30d"), None);
}

#[test]
fn payments_that_are_asked_for_by_themselves_are_judged_too() {
    let rules =
        [above("cards", "block", "account.declines.1h", 1), above("much", "review", "purchase.amount", 700)];
    let mut world = judging(&json!({"payments": true, "rules": rules}));
    let refused = || ReportedOutcome::Failed { code: text("declined"), retryable: true };
    world.when(BUYER, request(usd(500))).then_types(["payment.requested.v1", "order.risk_assessed.v1"]);
    let payment = world.payment();
    let made = assessed(&world);
    assert_eq!((made.payment, made.orders.len(), made.sellers.len()), (Some(payment), 0, 0));
    world.given(PROVIDER, report(payment, refused()));
    // An order is paid with one card, and anew with the next.
    let order = world.placed(BUYER, by_card("card_1"));
    let payment = world.payment();
    world.given(PROVIDER, report(payment, refused()));
    world.when(BUYER, pay(order)).then_types(["command.rejected.v1", "order.risk_assessed.v1"]);
    let made = assessed(&world);
    assert_eq!((made.orders.as_slice(), made.payment), ([order].as_slice(), Some(world.payment())));
    world.when(BUYER, request(usd(500))).then_types(["command.rejected.v1", "order.risk_assessed.v1"]);
    // None of it is a purchase that tells what is usual.
    world.after(DAY_MS).when(BUYER, tea(1));
    assert_eq!(known(&world, "account.purchases.7d"), Some(4));
    assert_eq!(known(&world, "purchase.usual_bps"), None);
    then_folds_the_same(&world);
}

#[test]
fn payments_are_judged_where_the_rules_say_so() {
    let mut world = judging(&json!({"rules": [above("all", "block", "purchase.amount", 0)]}));
    world.when(BUYER, request(usd(500))).then_types(["payment.requested.v1"]);
    in_force(&mut world, &json!({"payments": true, "rules": [above("all", "block", "purchase.amount", 0)]}));
    world.when(BUYER, request(usd(500))).then_types(["command.rejected.v1", "order.risk_assessed.v1"]);
    assert!(world.market.payments.get(assessed(&world).payment.unwrap()).is_none(), "no provider is asked");
}

#[test]
fn an_order_counts_once_as_a_fraud_and_not_when_it_was_none_after_all() {
    let mut world = judging(&json!({}));
    let (first, second) = (world.placed(BUYER, tea(1)), world.placed(BUYER, tea(1)));
    let label = |order, label| LabelOrder { label, note: None, order };
    for (order, said, frauds) in [
        (first, Label::Fraud, 1),
        (first, Label::Fraud, 1),
        (second, Label::Fraud, 2),
        (first, Label::Good, 1),
        (first, Label::Good, 1),
        (first, Label::Fraud, 2),
    ] {
        world.when(OPERATOR, label(order, said)).then_types(["order.labelled.v1"]);
        world.when(BUYER, tea(1));
        assert_eq!(known(&world, "account.frauds"), Some(frauds), "{order} {said}");
    }
    then_folds_the_same(&world);
}

#[test]
fn an_order_that_is_paid_anew_may_be_reviewed_for_that() {
    let rules = [above("anew", "review", "account.declines.1h", 0)];
    let mut world = judging(&json!({"payments": true, "rules": rules}));
    let order = world.placed(BUYER, by_card("card_1"));
    let payment = world.payment();
    let refused = ReportedOutcome::Failed { code: text("declined"), retryable: true };
    world.given(PROVIDER, report(payment, refused)).given(BUYER, pay(order));
    assert_eq!(assessed(&world).outcome, events::risk::rules::Outcome::Review);
    let payment = world.payment();
    world.given(PROVIDER, report(payment, took("r", usd(500))));
    assert!(world.market.orders.get(order).unwrap().review().is_some());
    then_folds_the_same(&world);
}
