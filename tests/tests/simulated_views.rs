//! The views of random histories hold what the market holds: histories of a market in which everything goes wrong, with cards,
//! exchanges, reservations, holds and disputes in them.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use commands::Market;
use commands::order::{self, ReturnStage, Stage};
use commands::payment::{self, Ending};
use events::account::Role;
use events::ids::{AccountId, OrderId};
use events::ledger::LedgerAccount;
use events::metadata::Cause;
use events::order::ShipmentNumber;
use events::order::hold::HoldReason;
use events::{Commit, Event, Timestamp};
use futures::StreamExt;
use projections::Projections;
use projections::cart::CartState;
use projections::order::{Order, OrderAxis, SellerTask, ShipmentState};
use projections::payment::{PaymentStage, PayoutState, RefundState};
use tests::simulation::{Run, run};

/// How many random histories are followed.
const SEEDS: u64 = 24;

fn followed(log: &[Arc<Commit>]) -> (tempfile::TempDir, Projections) {
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = futures::stream::iter(log.to_vec()).map(Ok::<_, Infallible>);
    runtime.block_on(views.run(stream, std::future::pending())).unwrap();
    (dir, views)
}

fn check_ledger(market: &Market, views: &Projections) {
    let ledger = views.ledger();
    let mut open = BTreeMap::<_, u64>::new();
    for (account, balance) in market.ledger.balances() {
        assert_eq!(ledger.balance(account, balance.currency).unwrap(), balance, "{account}");
        *open.entry(balance.currency).or_default() += u64::from(balance.minor != 0);
    }
    for sum in ledger.trial_balance().unwrap() {
        assert_eq!((sum.sum, sum.accounts), (0, open.remove(&sum.currency).unwrap_or(0)));
    }
    assert!(open.values().all(|accounts| *accounts == 0), "the view has all accounts");
    let mut pending = BTreeMap::<_, i64>::new();
    for (_, transfer) in market.ledger.pending() {
        *pending.entry((transfer.to, transfer.amount.currency)).or_default() += transfer.amount.minor;
    }
    for ((account, currency), minor) in pending {
        let LedgerAccount::Wallet(owner) = account else { panic!("{account} waits for a card") };
        let shown = ledger.account(owner).unwrap().wallet_pending;
        assert!(shown.iter().any(|money| (money.currency, money.minor) == (currency, minor)), "{shown:?}");
    }
}

fn check_order(id: OrderId, open: &order::Order, market: &Market, shown: &Order) {
    let escrow = open.escrow;
    assert_eq!(
        [shown.escrow.held, shown.escrow.released, shown.escrow.fees, shown.escrow.taxes],
        [escrow.funded, escrow.released + escrow.fees + escrow.taxes, escrow.fees, escrow.taxes]
    );
    assert_eq!(
        [shown.escrow.refunded, shown.escrow.frozen, shown.escrow.remaining],
        [escrow.refunded, escrow.frozen, escrow.remaining()]
    );
    assert_eq!(
        (shown.buyer, shown.seller, shown.total, shown.closed_as),
        (open.buyer, open.seller, open.total, None)
    );
    let held = open.hold.as_ref().and_then(|hold| match (hold.by_operators, hold.review) {
        (Some(hold), _) => Some((hold.reason, hold.lift_requested_by.is_some())),
        (None, Some(_)) => Some((HoldReason::RiskReview, false)),
        (None, None) => None,
    });
    assert_eq!(shown.hold.map(|hold| (hold.reason, hold.is_lift_requested)), held);
    let since = open.hold.as_ref().map(|hold| hold.since);
    assert_eq!(shown.stopped_since.or(shown.hold.map(|hold| hold.since)), since);
    let accept_by = match open.stage {
        Stage::AwaitingSeller { accept_by } => Some(accept_by),
        Stage::Authorized { accept_by } => accept_by,
        Stage::AwaitingPayment { .. } | Stage::Confirmed => None,
    };
    assert_eq!((shown.accept_by, shown.ship_by), (accept_by, open.ship_by), "order {id}");
    let card = open.card.as_ref().map(|card| (card.payment, card.amount_minor, card.uncharged_minor));
    let paid = shown.payment.map(|due| (due.payment, due.amount.minor, due.uncharged.minor));
    assert_eq!(paid, card);
    assert_eq!(shown.payment.is_some_and(|due| !due.is_paid), open.is_unpaid());
    let is_cleared = open.extras.as_ref().is_some_and(|extras| extras.is_risk_cleared);
    assert_eq!(shown.is_risk_cleared, is_cleared);
    let version = open.changes().map_or(1, |changes| changes.version);
    assert_eq!((shown.version, shown.versions.len() as u32 + 1), (version, version));
    let proposed = open.open_change().map(|open| (open.change, open.by, open.expires_at, open.due));
    let told = shown.change.as_ref().map(|open| (open.change, open.by, open.expires_at, open.due));
    assert_eq!(told, proposed, "order {id}");
    assert_eq!(shown.fee.minor, open.fee_minor);
    assert_eq!(shown.lines.len(), open.lines.len());
    check_returns(id, market, shown);
    for (line, shown) in open.lines.iter().zip(&shown.lines) {
        let counters = [line.ordered, line.cancelled, line.shipped, line.delivered];
        assert_eq!([shown.quantity.get(), shown.cancelled, shown.shipped, shown.delivered], counters);
        assert_eq!((shown.listing, shown.total.minor), (line.listing, line.total_minor));
    }
    assert_eq!(shown.shipments.len(), open.shipments.len());
    for (known, shown) in open.shipments.iter().zip(&shown.shipments) {
        let frozen = known.frozen().map(|frozen| (frozen.amount_minor, frozen.by, frozen.due));
        let told = shown.frozen.as_ref().map(|frozen| (frozen.amount.minor, frozen.by, frozen.due));
        assert_eq!(told, frozen);
        match known.state {
            order::ShipmentState::InTransit { delivery_due, .. } => {
                assert_eq!((shown.state, shown.delivery_due), (ShipmentState::InTransit, delivery_due));
            }
            order::ShipmentState::Inspection { inspection_ends } => {
                assert_eq!(shown.state, ShipmentState::Inspection);
                assert_eq!(shown.inspection_ends, Some(inspection_ends), "order {id}");
                assert_eq!(shown.release_due, known.pending.as_ref().map(|pending| pending.due));
            }
            order::ShipmentState::Accepted => {
                assert!(matches!(shown.state, ShipmentState::Accepted | ShipmentState::Settled));
            }
        }
    }
}

/// What of an order may come back, and does, is shown as the market knows it.
fn check_returns(id: OrderId, market: &Market, shown: &Order) {
    let Some(known) = market.orders.returns().of(id) else { return assert!(shown.returns.is_empty()) };
    assert_eq!(shown.returns.len(), known.asked as usize);
    let back = known.back.to_buyer + known.back.to_platform;
    assert_eq!((shown.escrow.returned, shown.escrow.subsidy_back), (back, known.back.to_platform));
    let told = shown.returns.iter().filter(|one| one.is_open());
    let told: Vec<_> = told.map(|one| (one.shipment, one.number, one.amount.minor, one.due)).collect();
    let mut open: Vec<_> =
        known.open().map(|(n, open)| (n, open.number, open.amount_minor, Some(open.stage.due()))).collect();
    open.sort_by_key(|(_, number, ..)| *number);
    assert_eq!(told, open, "order {id}");
    for (sold, shipment) in known.shipments.iter().zip(&shown.shipments) {
        assert_eq!(shipment.return_by, sold.return_by, "order {id}");
    }
    let requested: u64 = shown.lines.iter().map(|line| u64::from(line.return_requested)).sum();
    let units = known.open().flat_map(|(_, open)| &open.lines).map(|line| u64::from(line.units));
    assert_eq!(requested, units.sum::<u64>());
    // An order that waits for nothing else says so.
    let is_done = matches!(shown.axes.order, OrderAxis::Returnable { .. });
    assert!(!is_done || known.closes_at.is_some() || shown.hold.is_some(), "order {id}");
}

/// What an order wants of its seller, as the market knows it; of some payments the view alone knows until when they can be taken.
fn seller_tasks(
    id: OrderId,
    open: &order::Order,
    market: &Market,
    shown: &Order,
) -> Vec<(SellerTask, Timestamp)> {
    if open.hold.is_some() {
        return vec![];
    }
    let mut tasks = Vec::new();
    if open.lines.iter().any(|line| line.ordered > line.cancelled + line.shipped) {
        match open.stage {
            Stage::AwaitingPayment { .. } => {}
            Stage::AwaitingSeller { accept_by } | Stage::Authorized { accept_by: Some(accept_by) } => {
                tasks.push((SellerTask::Accept, accept_by));
            }
            Stage::Authorized { accept_by: None } => {
                let capture_by = shown.payment.and_then(|due| due.capture_by).unwrap();
                tasks.push((SellerTask::MakeReady, capture_by.min(open.ship_by)));
            }
            Stage::Confirmed => tasks.push((SellerTask::Ship, open.ship_by)),
        }
    }
    let change = open.open_change().filter(|change| change.by == Role::Buyer);
    tasks.extend(change.map(|change| (SellerTask::AnswerChange, change.expires_at)));
    let mut returning = BTreeSet::new();
    for (shipment, open) in market.orders.returns().of(id).iter().flat_map(|known| known.open()) {
        returning.insert(shipment);
        match open.stage {
            ReturnStage::Requested { answer_by } => tasks.push((SellerTask::AnswerReturn, answer_by)),
            ReturnStage::Sent { inspect_by } => tasks.push((SellerTask::InspectReturn, inspect_by)),
            _ => {}
        }
    }
    for (n, shipment) in open.shipments.iter().enumerate() {
        if let Some(frozen) = shipment.frozen().filter(|_| !returning.contains(&ShipmentNumber::after(n))) {
            tasks.push((SellerTask::Dispute, frozen.due));
        }
    }
    tasks
}

/// Every seller is told of all that the market waits for him to do, and of nothing else.
fn check_desks(run: &Run, views: &Projections, seen: &mut BTreeSet<SellerTask>) {
    let mut expected: BTreeMap<AccountId, BTreeMap<_, Timestamp>> = BTreeMap::new();
    for (id, open) in run.market.orders.iter() {
        let shown = views.orders().order(*id).unwrap().unwrap();
        let desk = expected.entry(open.seller).or_default();
        for (task, due) in seller_tasks(*id, open, &run.market, &shown) {
            let first = desk.entry((*id, task)).or_insert(due);
            *first = due.min(*first);
        }
    }
    for (seller, expected) in expected {
        let (mut found, mut behind) = (BTreeMap::new(), None);
        loop {
            let page = views.orders().desk(seller, None, behind, 3).unwrap();
            found.extend(page.tasks.iter().map(|one| ((one.order, one.task), one.due)));
            behind = page.next;
            if behind.is_none() {
                break;
            }
        }
        seen.extend(found.keys().map(|(_, task)| *task));
        assert_eq!(found, expected, "seller {seller}");
    }
}

fn check_orders(run: &Run, views: &Projections) {
    for (id, open) in run.market.orders.iter() {
        check_order(*id, open, &run.market, &views.orders().order(*id).unwrap().unwrap());
    }
    let events = || run.log.iter().flat_map(|commit| commit.events());
    for end in events().filter_map(|recorded| recorded.event.order_end()) {
        let shown = views.orders().order(end.order).unwrap().unwrap();
        assert_eq!((shown.closed_as, shown.escrow.remaining, shown.escrow.frozen), (Some(end.state), 0, 0));
        let went = shown.escrow.released + shown.escrow.refunded;
        assert_eq!(went, shown.escrow.held, "a closed order holds nothing");
    }
    // Who did something is told, and as what.
    for commit in &run.log {
        let Cause::Command(stamp) = &commit.start().cause else { continue };
        for recorded in commit.events() {
            let order = match &recorded.event {
                Event::OrderHeld(held) => held.order,
                Event::RiskCleared(cleared) => cleared.order,
                _ => continue,
            };
            let shown = views.orders().order(order).unwrap().unwrap();
            let entry = shown.timeline.iter().find(|entry| entry.position == recorded.position).unwrap();
            assert_eq!((entry.role, entry.command), (Some(Role::Operator), Some(stamp.command)));
        }
    }
}

fn check_payments(market: &Market, views: &Projections) {
    let shown = |id| views.payments().payment(id).unwrap().unwrap();
    for (id, open) in market.payments.open() {
        let payment = shown(*id);
        assert_eq!((payment.account, payment.amount), (open.account, open.amount));
        let is_told = match (&open.stage, &payment.state) {
            (payment::Stage::Requested { expires_at, .. }, PaymentStage::Requested { expires_at: told })
            | (
                payment::Stage::ActionRequired { expires_at, .. },
                PaymentStage::ActionRequired { expires_at: told, .. },
            ) => expires_at == told,
            (
                payment::Stage::Authorized { amount, capture_before, .. },
                PaymentStage::Authorized { amount: told, capture_before: until },
            ) => (amount, capture_before) == (told, until),
            (payment::Stage::Voiding { because }, PaymentStage::Voiding { because: told }) => because == told,
            _ => false,
        };
        assert!(is_told, "{:?} is shown as {:?}", open.stage, payment.state);
    }
    for (id, refund) in market.payments.refunds() {
        let told = &shown(refund.payment).refunds[id];
        assert_eq!((told.amount, &told.state), (refund.amount, &RefundState::Requested));
    }
    for (id, open) in market.payouts.open() {
        let payout = views.payments().payout(*id).unwrap().unwrap();
        assert_eq!((payout.account, payout.amount), (open.account, open.amount));
        assert!(!matches!(payout.state, PayoutState::Paid { .. } | PayoutState::Failed { .. }));
    }
}

/// Every payment that ended, as the market remembers it.
fn check_endings(run: &Run, views: &Projections) {
    for recorded in run.log.iter().flat_map(|commit| commit.events()) {
        let Event::PaymentRequested(requested) = &recorded.event else { continue };
        let Some(closed) = run.market.payments.recently_closed(requested.payment) else { continue };
        let payment = views.payments().payment(requested.payment).unwrap().unwrap();
        match &closed.ending {
            Ending::Captured { captured, refunded_minor, .. } => {
                assert!(matches!(payment.state, PaymentStage::Captured | PaymentStage::Refunded));
                assert_eq!(payment.captured, *captured);
                let under_way = payment.refunds.values().filter(|one| one.state == RefundState::Requested);
                let under_way: i64 = under_way.map(|refund| refund.amount.minor).sum();
                assert_eq!(payment.refunded.minor + under_way, *refunded_minor);
            }
            Ending::Failed { .. } => assert!(matches!(payment.state, PaymentStage::Failed { .. })),
            Ending::Voided { .. } => assert!(matches!(payment.state, PaymentStage::Voided { .. })),
        }
    }
}

fn check_goods(run: &Run, views: &Projections) {
    for (id, listing) in run.market.listings.iter() {
        let shown = views.listings().listing(*id).unwrap().unwrap().listing;
        assert_eq!((shown.price, shown.version), (listing.price, listing.version));
        assert_eq!(shown.stock, listing.stock, "listing {id}");
        let terms = listing.reservable.as_ref().map(|terms| terms.units);
        assert_eq!(shown.reservable.map(|terms| terms.units), terms);
    }
    let accounts: BTreeSet<_> = run.market.accounts.keys().map(|key| key.account).collect();
    for id in accounts {
        let (account, carts) = (run.market.accounts.get(id).unwrap(), views.carts());
        let shown = carts.active(id).unwrap();
        let lines = |lines: Vec<_>| lines.into_iter().collect::<BTreeMap<_, u32>>();
        let cart = account.cart.as_ref().map(|cart| {
            let units = cart.lines.iter().map(|(listing, quantity)| (*listing, quantity.get()));
            (cart.id, cart.version, lines(units.collect()), cart.frozen.as_ref().map(|frozen| frozen.until))
        });
        let shown = shown.map(|cart| {
            let units = cart.lines.iter().map(|line| (line.listing, line.quantity.get()));
            let until = match cart.state {
                CartState::Frozen { until } => Some(until),
                _ => None,
            };
            (cart.cart, cart.version, lines(units.collect()), until)
        });
        assert_eq!(shown, cart);
        let own = run.market.reservations.iter().filter(|(_, known)| known.account == id);
        let own: BTreeMap<_, _> =
            own.map(|(id, known)| (*id, (known.quantity, known.expires_at, known.listing))).collect();
        let shown = carts.reservations(id).unwrap().into_iter();
        let shown = shown.map(|one| (one.reservation, (one.quantity, one.expires_at, one.listing)));
        assert_eq!(shown.collect::<BTreeMap<_, _>>(), own);
    }
}

#[test]
fn every_view_holds_what_the_market_holds() {
    let mut tasks = BTreeSet::new();
    for seed in 0..SEEDS {
        let run = run(seed);
        let (_dir, views) = followed(&run.log);
        check_desks(&run, &views, &mut tasks);
        check_ledger(&run.market, &views);
        check_orders(&run, &views);
        check_payments(&run.market, &views);
        check_endings(&run, &views);
        check_goods(&run, &views);
    }
    assert!(tasks.contains(&SellerTask::Ship) && tasks.len() > 3, "the histories have tasks: {tasks:?}");
}
