//! Money in dispute: it is set apart, its shipment's time stands still, and it leaves the dispute whole.

use crate::support::suspended::*;
use crate::support::*;
use commands::Refusal;
use events::account::Role;
use events::escrow::{self, FreezeReason, Settled, SettledBy, SettlementProposed, Unfrozen};
use events::ids::OrderId;
use events::ledger::{LedgerAccount, Transfer};
use events::market::EscrowTerms;
use events::metadata::{DeadlineStamp, Waiting};
use events::order::ShipmentNumber;
use events::rejection::OrderState;
use events::{Event, Money, Rejection};

const LATE: FreezeReason = FreezeReason::NotReceived;
const BAD: FreezeReason = FreezeReason::NotAsDescribed;

/// A unit for 5 dollars that travels since the beginning, and another one that is left.
fn shipped() -> (World, OrderId) {
    shipped_in(World::new())
}

fn shipped_in(mut world: World) -> (World, OrderId) {
    world.given_listing(SELLER, TEA, usd(500), 10).given(PROVIDER, fund(BUYER, usd(10_000)));
    let order = world.placed(BUYER, place(&[(TEA, 2)], usd(1000)));
    world.given(SELLER, ship_units(order, &[(TEA, 1)]));
    (world, order)
}

fn transfer(minor: i64, from: LedgerAccount, to: LedgerAccount) -> Transfer {
    Transfer { amount: usd(minor), from, to }
}

fn wallet() -> LedgerAccount {
    LedgerAccount::Wallet(BUYER.account())
}

fn earned() -> LedgerAccount {
    LedgerAccount::SellerAvailable(SELLER.account())
}

#[track_caller]
fn then_balances<const N: usize>(world: &World, balances: [(LedgerAccount, i64); N]) {
    for (account, minor) in balances {
        assert_eq!(world.market.ledger.balance(account, usd(0).currency), usd(minor), "{account}");
    }
}

fn waits(world: &World) -> Vec<DeadlineStamp> {
    world.market.orders.iter().flat_map(|(id, order)| order.deadlines(*id)).collect()
}

const FIRST: ShipmentNumber = ShipmentNumber::FIRST;

#[test]
fn frozen_money_is_set_apart_and_its_shipment_stands_still() {
    let (mut world, order) = shipped();
    let (escrow, dispute) = (LedgerAccount::Escrow(order), LedgerAccount::Dispute(order));
    let due = world.now.plus_ms(60 * DAY_MS);
    let frozen = escrow::Frozen {
        by: Role::Buyer,
        due,
        note: None,
        order,
        reason: LATE,
        remaining: Some(usd(500)),
        shipment: FIRST,
        subsidy: None,
        tax: None,
        transfer: transfer(500, escrow, dispute),
    };
    world
        .when(BUYER, freeze_money(order, 1, None, LATE))
        .then_events([frozen.into()])
        .when_again()
        .then_repeat()
        .when(BUYER, freeze_money(order, 1, None, LATE))
        .then_rejected([Rejection::ShipmentFrozen { order, shipment: FIRST }]);
    then_balances(&world, [(escrow, 500), (dispute, 500), (wallet(), 9000)]);
    let expires = DeadlineStamp { due, waiting: Waiting::FreezeExpires { order, shipment: FIRST } };
    assert_eq!(waits(&world)[1..], [expires]);
    // What is not frozen goes on.
    world
        .when(BUYER, confirm(order))
        .then_rejected([Rejection::ShipmentFrozen { order, shipment: FIRST }])
        .given(SELLER, ship(order))
        .when(BUYER, confirm(order))
        .then_types(["order.delivered.v2", "escrow.released.v2"]);
    then_balances(&world, [(escrow, 0), (dispute, 500), (earned(), 487)]);
    assert_eq!(world.market.orders.open_count(), 1, "it waits for a decision");
}

#[test]
fn nobody_decides_and_the_buyer_has_it_back() {
    let (mut world, order) = shipped();
    world.given(BUYER, cancel_units(order, &[(TEA, 1)])).given(BUYER, freeze_money(order, 1, None, LATE));
    let settled = Settled {
        kept_until: None,
        buyer: BUYER.account(),
        by: SettledBy::Deadline,
        closed_as: Some(OrderState::Refunded),
        deadline: None,
        note: None,
        order,
        remaining: None,
        seller: SELLER.account(),
        shipment: FIRST,
        transfers: vec![transfer(500, LedgerAccount::Dispute(order), wallet())],
    };
    world.when_deadline().then_events([settled.into()]);
    assert_eq!(world.now, START.plus_ms(60 * DAY_MS));
    then_balances(&world, [(wallet(), 10_000), (LedgerAccount::Dispute(order), 0)]);
    let state = OrderState::Refunded;
    assert_eq!(world.market.orders.recently_closed(order).unwrap().state, state);
    assert_eq!(world.market.next_deadline(), None);
    for (actor, command) in [
        (BUYER, freeze_money(order, 1, None, LATE)),
        (BUYER, unfreeze_money(order, 1)),
        (OPERATOR, settle(order, 1, usd(0), usd(500))),
    ] {
        world.when(actor, command).then_rejected([Rejection::OrderState { order, state }]);
    }
}

#[test]
fn the_time_there_is_to_decide_is_the_markets() {
    let terms = EscrowTerms::new(0, 5 * DAY_MS).unwrap();
    let (mut world, order) = shipped_in(World::on(Terms { escrow: Some(terms), ..Terms::default() }));
    world.given(BUYER, freeze_money(order, 1, None, LATE)).when_deadline().then_types(["escrow.settled.v1"]);
    assert_eq!(world.now, START.plus_ms(5 * DAY_MS));
}

#[test]
fn an_operator_splits_frozen_money_and_the_fee_is_that_of_the_sellers_part() {
    let (mut world, order) = shipped();
    let dispute = LedgerAccount::Dispute(order);
    world.given(BUYER, freeze_money(order, 1, None, LATE));
    let wrong = |world: &mut World, to_seller: Money, to_buyer: Money| {
        world
            .when(OPERATOR, settle(order, 1, to_seller, to_buyer))
            .then_rejected([Rejection::SettlementAmount { order, frozen: usd(500) }]);
    };
    wrong(&mut world, usd(300), usd(199));
    wrong(&mut world, usd(501), usd(-1));
    wrong(&mut world, usd(300), eur(200));
    let settled = Settled {
        kept_until: None,
        buyer: BUYER.account(),
        by: SettledBy::Operator,
        closed_as: None,
        deadline: None,
        note: Some("as agreed".to_owned()),
        order,
        remaining: Some(usd(500)),
        seller: SELLER.account(),
        shipment: FIRST,
        // The fee of the whole, 1,000, is 25: of 300 it is 7.5.
        transfers: vec![
            transfer(292, dispute, earned()),
            transfer(8, dispute, LedgerAccount::PlatformFees),
            transfer(200, dispute, wallet()),
        ],
    };
    world
        .when(OPERATOR, settle(order, 1, usd(300), usd(200)))
        .then_events([settled.into()])
        .when_again()
        .then_repeat()
        .when(OPERATOR, settle(order, 1, usd(300), usd(200)))
        .then_rejected([Rejection::ShipmentNotFrozen { order, shipment: FIRST }])
        .when(BUYER, freeze_money(order, 1, None, LATE))
        .then_rejected([Rejection::ShipmentPaid { order, shipment: FIRST }])
        .when(BUYER, confirm(order))
        .then_unchanged()
        .given(SELLER, ship(order))
        .given(BUYER, confirm(order));
    // 800 were released in all, and the fee on that is 20.
    then_balances(
        &world,
        [(earned(), 780), (LedgerAccount::PlatformFees, 20), (wallet(), 9200), (dispute, 0)],
    );
    assert_eq!(world.market.orders.recently_closed(order).unwrap().state, OrderState::Completed);
}

#[test]
fn above_the_markets_limit_a_second_operator_must_decide_the_same() {
    let terms = EscrowTerms::new(499, DAY_MS).unwrap();
    let (mut world, order) = shipped_in(World::on(Terms { escrow: Some(terms), ..Terms::default() }));
    world.given(BUYER, freeze_money(order, 1, None, LATE));
    let decision = |seller: i64| settle(order, 1, usd(seller), usd(500 - seller));
    let proposed = |by: Actor, seller: i64| -> Event {
        let (note, to_buyer, to_seller) = ("as agreed".to_owned(), usd(500 - seller), usd(seller));
        SettlementProposed { by: by.account(), note, order, shipment: FIRST, to_buyer, to_seller }.into()
    };
    world
        .when(OPERATOR, decision(500))
        .then_events([proposed(OPERATOR, 500)])
        .when_again()
        .then_repeat()
        .when(OPERATOR, decision(500))
        .then_rejected([Rejection::FourEyes { order }])
        .when(OTHER_OPERATOR, decision(400))
        .then_events([proposed(OTHER_OPERATOR, 400)])
        .when(OTHER_OPERATOR, decision(400))
        .then_rejected([Rejection::FourEyes { order }])
        .when(OPERATOR, decision(400));
    match world.events() {
        [Event::EscrowSettled(settled)] => {
            assert_eq!(settled.by, SettledBy::TwoOperators { proposed_by: OTHER_OPERATOR.account() });
        }
        other => panic!("{other:?}"),
    }
    then_balances(&world, [(wallet(), 9100), (LedgerAccount::Dispute(order), 0)]);
    // 499 and less one decides alone.
    world
        .given(SELLER, ship(order))
        .given(BUYER, freeze_money(order, 2, Some(usd(499)), LATE))
        .when(OPERATOR, settle(order, 2, usd(499), usd(0)))
        .then_types(["escrow.settled.v1"]);
}

#[test]
fn a_suspended_operator_is_none_of_the_two_who_settle() {
    let frozen = || {
        let terms = EscrowTerms::new(499, DAY_MS).unwrap();
        let (mut world, order) = shipped_in(World::on(Terms { escrow: Some(terms), ..Terms::default() }));
        world.given(BUYER, freeze_money(order, 1, None, LATE));
        let command = settle(order, 1, usd(400), usd(100));
        let (proposed, done) = ("escrow.settlement_proposed.v1", "escrow.settled.v1");
        (world, ByTwo { command, proposed, alone: Rejection::FourEyes { order }, done })
    };
    let (mut world, settle) = frozen();
    settle.needs_two_who_are_not_suspended(&mut world);
    let (mut world, settle) = frozen();
    settle.counts_again_after_a_reinstatement(&mut world);
}

#[test]
fn a_buyer_takes_his_claim_back_and_the_time_that_was_left_goes_on() {
    let (mut world, order) = shipped();
    let (escrow, dispute) = (LedgerAccount::Escrow(order), LedgerAccount::Dispute(order));
    world
        .given(PROVIDER, confirm(order))
        .after(DAY_MS)
        .given(BUYER, freeze_money(order, 1, None, BAD))
        .after(5 * DAY_MS);
    let due = START.plus_ms(8 * DAY_MS);
    let unfrozen = Unfrozen {
        by: Role::Buyer,
        deadline: DeadlineStamp { due, waiting: Waiting::InspectionEnds { order, shipment: FIRST } },
        order,
        shipment: FIRST,
        transfer: transfer(500, dispute, escrow),
    };
    world
        .when(BUYER, unfreeze_money(order, 1))
        .then_events([unfrozen.into()])
        .when_again()
        .then_repeat()
        .when(BUYER, unfreeze_money(order, 1))
        .then_rejected([Rejection::ShipmentNotFrozen { order, shipment: FIRST }])
        .when(BUYER, freeze_money(order, 1, None, BAD))
        .then_rejected([Rejection::ClaimedBefore { order, shipment: FIRST }])
        .given(OPERATOR, freeze_money(order, 1, None, FreezeReason::Operator))
        .when(BUYER, unfreeze_money(order, 1))
        .then_rejected([Rejection::NotYourOrder { order }])
        .given(OPERATOR, unfreeze_money(order, 1));
    then_balances(&world, [(escrow, 1000), (dispute, 0)]);
    world.when_deadline().then_types(["escrow.released.v2"]);
    assert_eq!(world.now, due);
}

#[test]
fn a_part_is_frozen_and_the_rest_goes_on_when_it_is_settled() {
    let (mut world, order) = shipped();
    let (escrow, dispute) = (LedgerAccount::Escrow(order), LedgerAccount::Dispute(order));
    world.given(PROVIDER, confirm(order)).after(DAY_MS);
    for minor in [0, -1, 501] {
        let most = usd(500);
        world
            .when(BUYER, freeze_money(order, 1, Some(usd(minor)), BAD))
            .then_rejected([Rejection::FreezeAmount { order, shipment: FIRST, most }]);
    }
    world.given(BUYER, freeze_money(order, 1, Some(usd(200)), BAD)).after(10 * DAY_MS);
    then_balances(&world, [(escrow, 800), (dispute, 200)]);
    world.when(OPERATOR, settle(order, 1, usd(0), usd(200)));
    let due = START.plus_ms(13 * DAY_MS);
    match world.events() {
        [Event::EscrowSettled(settled)] => {
            let waiting = Waiting::InspectionEnds { order, shipment: FIRST };
            assert_eq!(settled.deadline, Some(DeadlineStamp { due, waiting }));
            assert_eq!(settled.remaining, Some(usd(800)));
        }
        other => panic!("{other:?}"),
    }
    world.when_deadline().then_types(["escrow.released.v2"]);
    assert_eq!(world.now, due);
    then_balances(&world, [(escrow, 500), (dispute, 0), (earned(), 292), (LedgerAccount::PlatformFees, 8)]);
}

#[test]
fn the_carriers_word_counts_while_money_is_frozen_and_the_inspection_waits() {
    let (mut world, order) = shipped();
    world
        .given(BUYER, freeze_money(order, 1, None, LATE))
        .after(DAY_MS)
        .given(PROVIDER, confirm(order))
        .after(DAY_MS)
        .when(OPERATOR, unfreeze_money(order, 1));
    let due = world.now.plus_ms(3 * DAY_MS);
    let inspection = DeadlineStamp { due, waiting: Waiting::InspectionEnds { order, shipment: FIRST } };
    assert_eq!(waits(&world)[1], inspection, "nothing of it had passed");
}

#[test]
fn who_may_freeze_what_and_why() {
    let (mut world, order) = shipped();
    let denied = |reason| Rejection::FreezeReasonDenied { reason };
    world
        .when(BUYER, freeze_money(order, 1, None, BAD))
        .then_rejected([denied(BAD)])
        .when(BUYER, freeze_money(order, 1, None, FreezeReason::Operator))
        .then_rejected([denied(FreezeReason::Operator)])
        .when(BUYER, freeze_money(order, 2, None, LATE))
        .then_rejected([Rejection::ShipmentUnknown { order, shipment: shipment(2), shipments: 1 }]);
    for command in [freeze_money(order, 1, None, LATE), unfreeze_money(order, 1)] {
        world.when(OTHER_BUYER, command).then_rejected([Rejection::NotYourOrder { order }]);
    }
    let scope = Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() };
    for (actor, command) in [
        (SELLER, freeze_money(order, 1, None, LATE)),
        (SELLER, unfreeze_money(order, 1)),
        (BUYER, settle(order, 1, usd(0), usd(500))),
    ] {
        world.when(actor, command).then_refused(scope.clone());
    }
    let unknown = OrderId::derive(BUYER.account(), cid(START, 0), 0);
    world
        .when(BUYER, freeze_money(unknown, 1, None, LATE))
        .then_rejected([Rejection::OrderUnknown { order: unknown }])
        .when(OPERATOR, settle(order, 1, usd(500), usd(0)))
        .then_rejected([Rejection::ShipmentNotFrozen { order, shipment: FIRST }])
        .when(OPERATOR, unfreeze_money(order, 1))
        .then_rejected([Rejection::ShipmentNotFrozen { order, shipment: FIRST }])
        .given(OPERATOR, freeze_money(order, 1, None, BAD));
}

#[test]
fn the_tax_in_frozen_money_goes_with_it() {
    let mut world = World::new();
    world
        .given_listing(SELLER, TEA, usd(500), 10)
        .given(PROVIDER, fund(BUYER, usd(10_000)))
        .given(OPERATOR, tax("DE", None, 2000));
    let order = world.placed(BUYER, buy(&[(TEA, 2)], None, Some("DE"), usd(1200)));
    world
        .given(SELLER, ship_units(order, &[(TEA, 1)]))
        .when(BUYER, freeze_money(order, 1, Some(usd(300)), LATE));
    let taxes = |world: &World| match world.events() {
        [Event::EscrowFrozen(frozen)] => frozen.tax.map(|tax| tax.minor),
        other => panic!("{other:?}"),
    };
    assert_eq!(taxes(&world), Some(50));
    let shipment = |world: &World| {
        let shipment = &world.market.orders.get(order).unwrap().shipments[0];
        (shipment.amount_minor, shipment.tax_minor)
    };
    assert_eq!(shipment(&world), (300, 50));
    world.given(BUYER, unfreeze_money(order, 1));
    assert_eq!(shipment(&world), (600, 100));
    world.when(OPERATOR, freeze_money(order, 1, None, FreezeReason::Operator));
    assert_eq!(taxes(&world), Some(100));
    // Of three dollars fifty cents are tax, and of the rest the seller has 2.44.
    world.given(OPERATOR, settle(order, 1, usd(300), usd(300)));
    then_balances(
        &world,
        [
            (earned(), 244),
            (LedgerAccount::PlatformFees, 6),
            (LedgerAccount::PlatformTax, 50),
            (wallet(), 10_000 - 1200 + 300),
            (LedgerAccount::Dispute(order), 0),
            (LedgerAccount::Escrow(order), 600),
        ],
    );
}

#[test]
fn what_a_card_had_paid_of_frozen_money_goes_back_to_the_card() {
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(500), 10);
    let back = |world: &World| match world.events() {
        [Event::EscrowSettled(_), Event::RefundRequested(requested)] => requested.transfer.amount,
        other => panic!("{other:?}"),
    };
    let order = world.placed(BUYER, place_by_card(&[(TEA, 2)], usd(1000), None));
    let payment = world.payment();
    world
        .given(PROVIDER, report(payment, took("r", usd(1000))))
        .given(SELLER, ship(order))
        .given(BUYER, freeze_money(order, 1, Some(usd(400)), LATE))
        .given(OPERATOR, settle(order, 1, usd(100), usd(300)));
    assert_eq!(back(&world), usd(300));
    world.given(OPERATOR, freeze_money(order, 1, None, FreezeReason::Operator)).when_deadline();
    assert_eq!(back(&world), usd(600));
    then_balances(&world, [(wallet(), 0), (LedgerAccount::RefundsPayable, 900)]);
}

#[test]
fn what_is_frozen_is_not_given_back_and_what_is_not_frozen_may_be() {
    let (mut world, order) = shipped();
    let most = |minor| Rejection::RefundAmount { amount: usd(400), most: usd(minor), order, shipment: FIRST };
    world
        .given(BUYER, freeze_money(order, 1, Some(usd(200)), LATE))
        .when(SELLER, refund(order, 1, usd(400)))
        .then_rejected([most(300)])
        .given(SELLER, refund(order, 1, usd(300)))
        .given(OPERATOR, settle(order, 1, usd(200), usd(0)))
        .when(SELLER, refund(order, 1, usd(400)))
        .then_rejected([most(0)]);
    then_balances(&world, [(wallet(), 9300), (LedgerAccount::Escrow(order), 500)]);
}
