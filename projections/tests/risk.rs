//! How purchases were judged, and the queue of reviews, as operators see them.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use std::collections::BTreeMap;

use events::device::Commands;
use events::ids::{AccountId, DeviceId, OrderId, PaymentId};
use events::listing::{Created, StockReceived};
use events::risk::rules::{Outcome, Verdict};
use events::risk::{Assessed, Label, Labelled, ReviewClaimed, ReviewDecided, ReviewOpened};
use events::{Event, Timestamp};
use projections::Projections;
use projections::risk::{OrderRisk, ReviewState};
use support::{History, START, account, follow, listing, order, place, units, usd};

const SELLER: u64 = 100;
const OPERATOR: u64 = 98;
const HOUR_MS: i64 = 3_600_000;

fn operator() -> AccountId {
    account(OPERATOR)
}

fn shop() -> History {
    let mut history = History::default();
    let created = Created::new(listing(0), usd(500), account(SELLER), "thing".into());
    let received =
        StockReceived { listing: listing(0), location: None, on_hand: 1_000, quantity: units(1_000) };
    history.commanded(account(SELLER), "listing.create", vec![created.into()]).commanded(
        account(SELLER),
        "stock.receive",
        vec![received.into()],
    );
    history
}

fn assessed(orders: Vec<OrderId>, outcome: Outcome) -> Assessed {
    Assessed {
        account: account(1),
        amount: usd(500),
        by_score: Outcome::Allow,
        contributions: Vec::new(),
        device: DeviceId::from_uuid(uuid::Uuid::nil()),
        features: BTreeMap::from([("purchase.amount".parse().unwrap(), 500)]),
        fingerprint: None,
        instrument: None,
        matched: None,
        orders,
        outcome,
        payment: None,
        region: None,
        rules: 1,
        score: 7,
        sellers: [account(SELLER)].into(),
        shadow: Vec::new(),
        stepped_up: false,
    }
}

/// A purchase of one order that waits for its review until a moment.
fn reviewed(history: &mut History, n: u64, due: Timestamp) {
    let mut events = place(order(n), account(1), account(SELLER), None, &[(listing(0), usd(500), 1)], due);
    events.push(assessed(vec![order(n)], Outcome::Review).into());
    let (orders, sla_by, then) = (vec![order(n)], due.plus_ms(-HOUR_MS), Verdict::Decline);
    events.push(ReviewOpened { due, orders, sla_by, then }.into());
    history.commanded(account(1), "order.place", events);
}

fn decided(n: u64, by: Option<AccountId>, verdict: Verdict) -> Event {
    ReviewDecided { by, deadlines: Vec::new(), order: order(n), verdict }.into()
}

fn listed(
    views: &Projections,
    state: ReviewState,
    behind: Option<u64>,
    limit: usize,
) -> (Vec<OrderId>, Option<OrderId>) {
    let page = views.risk().reviews(state, behind.map(order), limit).unwrap();
    (page.reviews.iter().map(|one| one.order).collect(), page.next)
}

fn risk_of(views: &Projections, n: u64) -> Option<OrderRisk> {
    views.risk().order(order(n)).unwrap()
}

#[tokio::test]
async fn open_reviews_are_listed_by_when_they_are_due_and_decided_ones_by_when_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    let mut history = shop();
    for (n, hours) in [(1, 9), (2, 3), (3, 6), (4, 3)] {
        reviewed(&mut history, n, START.plus_ms(hours * HOUR_MS));
    }
    follow(&views, history.after(0)).await;
    let all: Vec<OrderId> = [2, 4, 3, 1].map(order).into();
    assert_eq!(listed(&views, ReviewState::Open, None, 9), (all, None));
    // Two that are due at once are on two pages.
    assert_eq!(listed(&views, ReviewState::Open, None, 1), (vec![order(2)], Some(order(2))));
    assert_eq!(listed(&views, ReviewState::Open, Some(2), 2), (vec![order(4), order(3)], Some(order(3))));
    assert_eq!(listed(&views, ReviewState::Open, Some(3), 2), (vec![order(1)], None));
    assert_eq!(listed(&views, ReviewState::Decided, None, 9), (vec![], None));

    let before = history.head().position;
    let until = START.plus_ms(HOUR_MS);
    history.commanded(
        operator(),
        "risk.claim",
        vec![ReviewClaimed { by: operator(), order: order(3), until }.into()],
    );
    history.commanded(operator(), "risk.decide", vec![decided(3, Some(operator()), Verdict::Approve)]);
    history.later(10).commanded(operator(), "risk.decide", vec![decided(2, None, Verdict::Decline)]);
    follow(&views, history.after(before)).await;
    assert_eq!(listed(&views, ReviewState::Open, None, 9), (vec![order(4), order(1)], None));
    assert_eq!(listed(&views, ReviewState::Decided, None, 9), (vec![order(2), order(3)], None));
    assert_eq!(listed(&views, ReviewState::Decided, Some(2), 9), (vec![order(3)], None));
    // Whoever was at an order that was decided meanwhile goes on behind it.
    assert_eq!(listed(&views, ReviewState::Open, Some(3), 9), (vec![order(1)], None));

    let one = risk_of(&views, 3).unwrap();
    let review = one.review.unwrap();
    assert_eq!((review.claimed_by, review.claimed_until), (Some(operator()), Some(until)));
    assert_eq!((review.decided_by, review.verdict), (Some(operator()), Some(Verdict::Approve)));
    assert!(review.decided_at.unwrap() >= review.opened_at);
    assert_eq!(risk_of(&views, 2).unwrap().review.unwrap().decided_by, None, "nobody did in time");
}

/// A payment that is judged by itself, for these orders.
fn payment(n: u128, orders: Vec<OrderId>, outcome: Outcome) -> Event {
    let payment = Some(PaymentId::from_uuid(uuid::Uuid::from_u128(n)));
    Assessed { payment, ..assessed(orders, outcome) }.into()
}

#[tokio::test]
async fn an_order_that_is_paid_anew_is_told_of_as_it_was_judged_last_and_keeps_what_was_known_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    let mut history = shop();
    let due = START.plus_ms(3 * HOUR_MS);
    reviewed(&mut history, 1, due);
    reviewed(&mut history, 2, due);
    history.commanded(operator(), "risk.decide", vec![decided(1, Some(operator()), Verdict::Approve)]);
    let labelled =
        Labelled { buyer: account(1), by: operator(), label: Label::Good, note: None, order: order(1) };
    history.commanded(operator(), "risk.label", vec![labelled.into()]);
    // Money for a wallet is for no order, and asked for by nobody.
    history.commanded(account(1), "payment.request", vec![payment(1, vec![], Outcome::Review)]);
    follow(&views, history.after(0)).await;
    assert_eq!(listed(&views, ReviewState::Decided, None, 9), (vec![order(1)], None));

    let before = history.head().position;
    let (orders, sla_by, then) = (vec![order(1)], due, Verdict::Decline);
    let opened = ReviewOpened { due, orders, sla_by, then };
    let again = vec![payment(2, vec![order(1)], Outcome::Review), opened.into()];
    history.commanded(account(1), "order.pay", again);
    follow(&views, history.after(before)).await;
    assert_eq!(listed(&views, ReviewState::Open, None, 9).0.len(), 2);
    assert_eq!(listed(&views, ReviewState::Decided, None, 9), (vec![], None), "it is open again");
    let one = risk_of(&views, 1).unwrap();
    assert!(one.position > before && one.assessed.payment.is_some());
    assert_eq!(one.label.unwrap().label, Label::Good);
    assert_eq!(one.review.unwrap().verdict, None);

    let before = history.head().position;
    history.commanded(operator(), "risk.decide", vec![decided(1, Some(operator()), Verdict::Approve)]);
    follow(&views, history.after(before)).await;
    assert_eq!(listed(&views, ReviewState::Open, None, 9), (vec![order(2)], None));
    assert_eq!(listed(&views, ReviewState::Decided, None, 9), (vec![order(1)], None));
}

#[tokio::test]
async fn what_was_made_of_a_purchase_is_told_of_each_of_its_orders_and_of_one_that_was_blocked() {
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    let mut history = shop();
    let mut events = Vec::new();
    for n in [1, 2] {
        let line = (listing(0), usd(500), 1);
        events.extend(place(order(n), account(1), account(SELLER), None, &[line], START));
    }
    let made = assessed(vec![order(1), order(2)], Outcome::Allow);
    events.push(made.clone().into());
    history.commanded(account(1), "order.place", events);
    let command: Commands = "order.place".parse().unwrap();
    let rejected = events::command::Rejected { command: command.to_string(), reasons: Vec::new() };
    let blocked = assessed(vec![order(3)], Outcome::Block);
    history.commanded(account(1), "order.place", vec![rejected.into(), blocked.clone().into()]);
    let label = |n, label| {
        let (buyer, by, note) = (account(1), operator(), Some("a note".to_owned()));
        vec![Labelled { buyer, by, label, note, order: order(n) }.into()]
    };
    history
        .commanded(operator(), "risk.label", label(1, Label::Fraud))
        .commanded(operator(), "risk.label", label(1, Label::Good))
        .commanded(operator(), "risk.label", label(9, Label::Good));
    follow(&views, history.after(0)).await;
    let (first, second) = (risk_of(&views, 1).unwrap(), risk_of(&views, 2).unwrap());
    assert_eq!((&first.assessed, &second.assessed), (&made, &made));
    assert_eq!((first.position, first.review, second.label), (second.position, None, None));
    let label = first.label.unwrap();
    assert_eq!((label.label, label.by, label.note.as_deref()), (Label::Good, operator(), Some("a note")));
    assert_eq!(risk_of(&views, 3).unwrap().assessed, blocked);
    assert_eq!(risk_of(&views, 9), None, "it was never judged");
}
