//! What the views show of orders that are changed after they were placed.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use events::Event;
use events::account::Role;
use events::ids::ChangeId;
use events::ledger::{LedgerAccount, Transfer};
use events::listing::{Created, StockReceived};
use events::location::Located;
use events::metadata::Waiting;
use events::order::change::{
    ChangeDeclined, ChangeLapsed, ChangeProposed, Changed, DifferenceDue, LapseReason,
};
use events::order::{
    Cancelled, CancelledBy, EscrowHeld, EscrowRefunded, FeeQuote, Line, LinePrice, LineUnits, Rounding,
};
use projections::Projections;
use projections::order::{Actor, Order, OrderStatus, Step};
use support::{History, START, account, follow, listing, order, place, units, usd};
use uuid::Uuid;

const SELLER: u64 = 100;
const CHANGE: ChangeId = ChangeId::from_uuid(Uuid::from_u128(0xC4A6));

fn fee(minor: i64) -> FeeQuote {
    let rounding = Rounding::HalfAwayFromZero;
    FeeQuote { amount: usd(minor), bps: 250, fixed_minor: 0, max_minor: None, min_minor: None, rounding }
}

/// Two things at 5 dollars that are sold, ten of each.
fn shop() -> History {
    let mut history = History::default();
    for n in 0..2 {
        let created = Created::new(listing(n), usd(500), account(SELLER), "thing".into());
        let received =
            StockReceived { listing: listing(n), location: None, on_hand: 10, quantity: units(10) };
        history.commanded(account(SELLER), "listing.create", vec![created.into()]).commanded(
            account(SELLER),
            "stock.receive",
            vec![received.into()],
        );
    }
    let bought = place(order(1), account(1), account(SELLER), None, &[(listing(0), usd(500), 4)], START);
    history.commanded(account(1), "order.place", bought);
    history
}

fn added(n: u64, quantity: u32, each: i64, locations: Vec<Located>) -> Line {
    Line {
        discounts: vec![],
        final_sale: false,
        listing: listing(n),
        listing_version: 2,
        locations,
        price: LinePrice::Unit(usd(each)),
        quantity: units(quantity),
        tax: None,
        total: usd(each * i64::from(quantity)),
    }
}

fn removed() -> Vec<LineUnits> {
    let (amount, quantity) = (usd(1000), units(2));
    vec![LineUnits { amount, listing: listing(0), locations: vec![], quantity, subsidy: None, tax: None }]
}

fn proposed(added: Vec<Line>, removed: Vec<LineUnits>, due: DifferenceDue, total: i64) -> Event {
    ChangeProposed {
        added,
        by: Role::Buyer,
        change: CHANGE,
        due,
        expires_at: START.plus_ms(9),
        fee: fee(65),
        max_difference: None,
        order: order(1),
        reason: Some("a party".into()),
        removed,
        total: usd(total),
    }
    .into()
}

fn changed(added: Vec<Line>, due: DifferenceDue, total: i64) -> Event {
    Changed {
        added,
        by: Role::Seller,
        change: CHANGE,
        due,
        fee: fee(65),
        order: order(1),
        ship_by: START.plus_ms(99),
        total: usd(total),
        version: 2,
    }
    .into()
}

fn moved(minor: i64) -> [Transfer; 2] {
    let (wallet, escrow) = (LedgerAccount::Wallet(account(1)), LedgerAccount::Escrow(order(1)));
    [
        Transfer { amount: usd(minor), from: wallet, to: escrow },
        Transfer { amount: usd(minor), from: escrow, to: wallet },
    ]
}

async fn views(history: &History) -> (tempfile::TempDir, Projections) {
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    follow(&views, history.all()).await;
    (dir, views)
}

fn shown(views: &Projections) -> Order {
    views.orders().order(order(1)).unwrap().unwrap()
}

#[tokio::test]
async fn a_proposal_is_shown_with_what_it_would_cost_until_it_is_answered() {
    let mut history = shop();
    let due = DifferenceDue::Refund(usd(400));
    let event = proposed(vec![added(1, 1, 600, vec![])], removed(), due, 2600);
    history.commanded(account(1), "order.propose_change", vec![event.clone()]);
    let (_dir, seen) = views(&history).await;
    let open = shown(&seen).change.unwrap();
    assert_eq!(
        (open.change, open.by, open.due, open.expires_at),
        (CHANGE, Role::Buyer, due, START.plus_ms(9))
    );
    assert_eq!((open.added[0].listing, open.added[0].units.total), (listing(1), usd(600)));
    assert_eq!((open.removed[0].quantity, open.removed[0].amount), (units(2), usd(1000)));
    assert_eq!(shown(&seen).version, 1);
    let stock = seen.listings().listing(listing(1)).unwrap().unwrap().listing.stock;
    assert_eq!(stock.reserved, 0, "nothing is reserved for a proposal");

    let declined =
        ChangeDeclined { by: Role::Seller, change: CHANGE, order: order(1), reason: Some("packed".into()) };
    history.commanded(account(SELLER), "order.decline_change", vec![declined.into()]);
    history.commanded(account(1), "order.propose_change", vec![event]);
    let lapsed = ChangeLapsed { change: CHANGE, order: order(1), why: LapseReason::Deadline };
    history.due(Waiting::ChangeExpires { order: order(1) }, vec![lapsed.into()]);
    let (_dir, seen) = views(&history).await;
    let order = shown(&seen);
    assert_eq!((order.change, order.version, order.versions), (None, 1, vec![]));
    let told = order.timeline.iter().skip(2);
    let told: Vec<_> = told.map(|entry| (entry.step, entry.role, entry.reason.as_deref())).collect();
    assert_eq!(
        told,
        [
            (Step::ChangeProposed, Some(Role::Buyer), Some("a party")),
            (Step::ChangeDeclined, Some(Role::Seller), Some("packed")),
            (Step::ChangeProposed, Some(Role::Buyer), Some("a party")),
            (Step::ChangeLapsed, None, None),
        ]
    );
    assert!(matches!(order.timeline.last().unwrap().actor, Actor::Deadline(_)));
    assert_eq!(order.timeline.last().unwrap().note.as_deref(), Some("nobody answered in time"));
}

#[tokio::test]
async fn a_changed_order_shows_what_it_is_and_what_it_was() {
    let mut history = shop();
    let due = DifferenceDue::Refund(usd(400));
    let more = || vec![added(1, 1, 600, vec![])];
    history.commanded(account(1), "order.propose_change", vec![proposed(more(), removed(), due, 2600)]);
    let [held, refunded] = [moved(600)[0], moved(1000)[1]];
    let cancelled = Cancelled {
        by: CancelledBy::Change,
        lines: removed(),
        order: order(1),
        reason: None,
        shipping: None,
        uncharged: None,
    };
    let back = EscrowRefunded {
        buyer: account(1),
        closed_as: None,
        order: order(1),
        remaining: Some(usd(1000)),
        seller: account(SELLER),
        transfer: Some(refunded),
    };
    let paid = EscrowHeld { order: order(1), release: None, transfer: held };
    let events = vec![changed(more(), due, 2600), cancelled.into(), back.into(), paid.into()];
    history.commanded(account(SELLER), "order.accept_change", events);
    let (_dir, seen) = views(&history).await;
    let order = shown(&seen);
    assert_eq!(
        (order.state, order.version, order.total, order.fee),
        (OrderStatus::Placed, 2, usd(2600), usd(65))
    );
    assert_eq!((order.ship_by, order.change.as_ref()), (START.plus_ms(99), None));
    let lines: Vec<_> =
        order.lines.iter().map(|line| (line.listing, line.quantity.get(), line.cancelled)).collect();
    assert_eq!(lines, [(listing(0), 4, 2), (listing(1), 1, 0)]);
    assert_eq!((order.escrow.held, order.escrow.refunded, order.escrow.remaining), (2600, 1000, 1600));
    let [before] = order.versions.as_slice() else { panic!("{:?}", order.versions) };
    assert_eq!(
        (before.version, before.change, before.accepted_by, before.due),
        (1, CHANGE, Role::Seller, due)
    );
    assert_eq!((before.total, before.lines.len(), before.lines[0].cancelled), (usd(2000), 1, 0));
    let note = &order.timeline.iter().find(|entry| entry.step == Step::Changed).unwrap().note;
    assert_eq!(note.as_deref(), Some("version 2: 4.00 USD less"));

    let reserved =
        [0, 1].map(|n| seen.listings().listing(listing(n)).unwrap().unwrap().listing.stock.reserved);
    assert_eq!(reserved, [2, 1]);
    let sold = seen.analytics().seller(account(SELLER)).unwrap();
    assert_eq!((sold.orders, sold.units, sold.cancelled_units, sold.money[0].gmv), (1, 5, 2, 2600));
    let sold = seen.analytics().listing(listing(1)).unwrap();
    assert_eq!((sold.orders, sold.units, sold.money[0].gmv), (1, 1, 600));
}

#[tokio::test]
async fn units_that_are_added_to_a_line_keep_their_own_price() {
    let mut history = shop();
    let due = DifferenceDue::Collect(usd(1200));
    let more = |locations| vec![added(0, 2, 600, locations)];
    history.commanded(account(1), "order.propose_change", vec![proposed(more(vec![]), vec![], due, 3200)]);
    let paid = EscrowHeld { order: order(1), release: None, transfer: moved(1200)[0] };
    let events = vec![changed(more(vec![]), due, 3200), paid.into()];
    history.commanded(account(SELLER), "order.accept_change", events);
    let (_dir, seen) = views(&history).await;
    let line = &shown(&seen).lines[0];
    assert_eq!((line.quantity, line.unit_price, line.total), (units(6), Some(usd(500)), usd(3200)));
    let added: Vec<_> = line.added.iter().map(|more| (more.quantity, more.unit_price, more.total)).collect();
    assert_eq!(added, [(units(2), Some(usd(600)), usd(1200))]);
    let stock = seen.listings().listing(listing(0)).unwrap().unwrap().listing.stock;
    assert_eq!(stock.reserved, 6);
}
