//! Every view equals what a naive look at the whole history says.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use std::collections::{BTreeMap, BTreeSet};

use events::account::Role;
use events::ids::{AccountId, CartId, OrderId};
use events::ledger::{LedgerAccount, Transfer};
use events::listing::{ListingStatus, WalletFunded};
use events::metadata::Cause;
use events::order::Placed;
use events::stock::Stock;
use events::{Commit, Event, Timestamp};
use projections::Projections;
use projections::audit::{ActKind, ActsOf};
use projections::cart::{CartState, LineProblem, PriceChange};
use projections::ledger::has_statement;
use projections::order::{
    Actor, DeskTask, ESCROW_AGE_BOUNDS_MS, EscrowAxis, EscrowState, ORDERS_LOOKED_AT_MAX,
    ORDERS_PER_PAGE_MAX, OrderFilter, OrderStatus, SellerTask, Side, TASKS_COUNTED_MAX,
};
use proptest::prelude::*;
use support::market::{BERLIN, BUYERS, OPERATOR, SELLERS, history_of, wishes};
use support::{History, account, follow, naive};
use tempfile::TempDir;

async fn followed(history: &History) -> (TempDir, Projections) {
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    follow(&views, history.all()).await;
    (dir, views)
}

fn with_views(history: &History, check: impl FnOnce(&Projections)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_dir, views) = runtime.block_on(followed(history));
    check(&views);
}

fn check_orders(history: &History, views: &Projections) {
    for (recorded, placed) in naive::placed(history) {
        let order = views.orders().order(placed.order).unwrap().unwrap();
        assert_eq!(order.state, naive::state(history, placed));
        assert_eq!((order.buyer, order.seller, order.total), (placed.buyer, placed.seller, placed.total));
        assert_eq!(order.position(), Some(recorded.position));
        let about = naive::about(history, placed.order);
        let timeline: Vec<_> = order.timeline.iter().map(|e| (e.position, e.time)).collect();
        let expected: Vec<_> = about.iter().map(|e| (e.position, e.metadata.time)).collect();
        assert_eq!(timeline, expected);
        let steps = order.timeline.iter().map(|e| serde_json::to_value(e.step).unwrap());
        for (step, event) in steps.zip(&about) {
            let (unversioned, _) = event.metadata.type_name.rsplit_once(".v").unwrap();
            assert_eq!(step.as_str().unwrap(), unversioned);
        }
        let held = naive::balances(history)
            .get(&(LedgerAccount::Escrow(placed.order), placed.total.currency))
            .copied();
        let frozen = naive::balances(history)
            .get(&(LedgerAccount::Dispute(placed.order), placed.total.currency))
            .copied();
        assert_eq!(order.escrow.frozen, frozen.unwrap_or(0));
        let of_shipments = order.shipments.iter().filter_map(|shipment| shipment.frozen.as_ref());
        assert_eq!(order.escrow.frozen, of_shipments.map(|frozen| frozen.amount.minor).sum::<i64>());
        let went = order.escrow.released + order.escrow.refunded + order.escrow.frozen;
        assert_eq!(Some(order.escrow.held - went), held);
        assert_eq!(Some(order.escrow.remaining), held);
        assert_eq!(order.number, placed.number.map(|number| number.to_string()));
        if let Some(number) = placed.number {
            assert_eq!(views.orders().numbered(number).unwrap(), Some(order.clone()));
        }
        for (entry, recorded) in order.timeline.iter().zip(&about) {
            match &recorded.event {
                Event::OrderCancelled(e) => assert_eq!(entry.reason, e.reason),
                Event::OrderRefunded(e) => assert_eq!(entry.reason.as_deref(), Some(e.reason.as_str())),
                Event::EscrowFrozen(e) => assert_eq!(entry.reason, e.note),
                Event::EscrowSettled(e) => assert_eq!(entry.reason, e.note),
                _ => {}
            }
        }
        let roles = order.timeline.iter().filter_map(|entry| match entry.actor {
            Actor::Account(account) => Some((entry.role, account)),
            _ => None,
        });
        for (role, account) in roles {
            let expected = match account {
                buyer if buyer == placed.buyer => Role::Buyer,
                seller if seller == placed.seller => Role::Seller,
                _ => Role::Operator,
            };
            assert_eq!(role, Some(expected));
        }
        let moved = naive::moved(history, placed);
        assert_eq!(order.closed_at.is_some(), moved.is_closed);
        for line in &order.lines {
            let counted = [&moved.cancelled, &moved.shipped, &moved.delivered]
                .map(|units| naive::count_of(units, line.listing));
            assert_eq!([line.cancelled, line.shipped, line.delivered].map(u64::from), counted);
        }
        for shipment in &order.shipments {
            let shipped = naive::shipped_in(history, placed, shipment.shipment);
            let cost: i64 = shipped.iter().map(|(_, _, minor)| minor).sum();
            assert_eq!(shipment.amount.minor, cost);
            let given_back = about.iter().map(|recorded| match &recorded.event {
                Event::OrderRefunded(e) if e.shipment == shipment.shipment => e.amount.minor,
                _ => 0,
            });
            assert_eq!(shipment.refunded, given_back.sum::<i64>());
            let lines = shipment.lines.iter().map(|line| (line.listing, u64::from(line.quantity.get())));
            let expected = shipped.iter().map(|(listing, units, _)| (*listing, *units));
            assert_eq!(Vec::from_iter(lines), Vec::from_iter(expected));
        }
    }
}

/// What each ledger account of an order holds stands in one state and at one age, and nothing else does.
fn check_escrows(history: &History, views: &Projections) {
    let balances = naive::balances(history);
    let Some(last) = naive::events(history).last() else { return };
    let last = last.metadata.time;
    for now in [last, last.plus_ms(5 * 86_400_000), last.plus_ms(90 * 86_400_000)] {
        let mut expected: BTreeMap<_, (u64, i64)> = BTreeMap::new();
        for (_, placed) in naive::placed(history) {
            let currency = placed.total.currency;
            let of = [LedgerAccount::Escrow(placed.order), LedgerAccount::Dispute(placed.order)];
            let held = of.map(|account| balances.get(&(account, currency)).copied().unwrap_or(0));
            let held: i64 = held.iter().sum();
            if held == 0 {
                continue;
            }
            let is_begin = |event: &Event| matches!(event, Event::EscrowHeld(_) | Event::EscrowSubsidized(_));
            let about = naive::about(history, placed.order);
            let begun = about.iter().find(|recorded| is_begin(&recorded.event)).unwrap().metadata.time;
            let hour = Timestamp::from_ms(begun.ms().div_euclid(3_600_000) * 3_600_000);
            let age = ESCROW_AGE_BOUNDS_MS.iter().filter(|bound| **bound <= now.ms_since(hour)).count();
            let state = match views.orders().order(placed.order).unwrap().unwrap().axes.escrow {
                EscrowAxis::Created => EscrowState::AwaitingPayment,
                EscrowAxis::Funded { .. } => EscrowState::ToShip,
                EscrowAxis::InDelivery { .. } => EscrowState::InDelivery,
                EscrowAxis::Inspection { .. } => EscrowState::Inspection,
                EscrowAxis::Disputed { .. } => EscrowState::Disputed,
                EscrowAxis::Returning { .. } => EscrowState::Returning,
                other => panic!("{other:?} holds {held}"),
            };
            let (orders, sum) = expected.entry((currency, state, age)).or_default();
            (*orders, *sum) = (*orders + 1, *sum + held);
        }
        let escrows = views.orders().escrows(now).unwrap();
        let mut found = BTreeMap::new();
        for of_currency in &escrows {
            for in_state in &of_currency.states {
                assert_eq!(in_state.ages.iter().map(|age| age.orders).sum::<u64>(), in_state.orders);
                assert_eq!(in_state.ages.iter().map(|age| age.held).sum::<i64>(), in_state.held);
                assert!(in_state.oldest_since >= of_currency.oldest_since);
                for (at, age) in in_state.ages.iter().enumerate().filter(|(_, age)| age.orders > 0) {
                    found.insert((of_currency.currency, in_state.state, at), (age.orders, age.held));
                }
            }
            assert_eq!(of_currency.states.iter().map(|state| state.held).sum::<i64>(), of_currency.held);
            assert_eq!(of_currency.states.iter().map(|state| state.orders).sum::<u64>(), of_currency.orders);
        }
        assert_eq!(found, expected);
    }
}

fn check_groups(history: &History, views: &Projections) {
    let mut groups: BTreeMap<_, Vec<&Placed>> = BTreeMap::new();
    for (_, placed) in naive::placed(history) {
        groups.entry(placed.group).or_default().push(placed);
    }
    // What was bought before there were groups is in none.
    groups.remove(&None);
    for (id, placed) in groups {
        let group = views.orders().group(id.unwrap()).unwrap().unwrap();
        let ids: Vec<_> = placed.iter().map(|placed| placed.order).collect();
        assert_eq!(group.orders.iter().map(|order| order.order).collect::<Vec<_>>(), ids);
        assert_eq!(group.total.minor, placed.iter().map(|placed| placed.total.minor).sum::<i64>());
        let held = placed.iter().map(|placed| {
            let account = (LedgerAccount::Escrow(placed.order), placed.total.currency);
            naive::balances(history).get(&account).copied().unwrap_or(0)
        });
        assert_eq!(group.escrow.remaining, held.sum::<i64>());
        assert_eq!(group.state, naive::state_of_all(history, &placed));
    }
}

/// Lists all orders of one side of an account, page by page.
fn listed(
    views: &Projections,
    side: Side,
    who: AccountId,
    filter: OrderFilter,
    limit: usize,
) -> Vec<OrderId> {
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = views.orders().list(side, who, filter, before, limit).unwrap();
        assert!(page.orders.len() <= limit.min(ORDERS_PER_PAGE_MAX));
        listed.extend(page.orders.iter().map(|order| order.order));
        assert!(before.is_none() || page.next.is_none() || page.next < before, "it goes on");
        before = page.next;
        if before.is_none() {
            return listed;
        }
    }
}

fn check_lists(history: &History, views: &Projections, limit: usize) {
    let sides = (0..BUYERS).map(|n| (Side::Buyer, account(n)));
    for (side, who) in sides.chain((100..100 + SELLERS).map(|n| (Side::Seller, account(n)))) {
        let is_of = |id: AccountId| id == who;
        let own = naive::placed(history).into_iter().rev().map(|(_, placed)| placed);
        let own: Vec<_> = own
            .filter(|placed| is_of(if side == Side::Buyer { placed.buyer } else { placed.seller }))
            .collect();
        let state = OrderFilter::State(OrderStatus::Placed);
        for filter in [OrderFilter::All, OrderFilter::Open, OrderFilter::Ended, state] {
            let is_wanted = |placed: &&&Placed| match filter {
                OrderFilter::All => true,
                OrderFilter::Open => !naive::moved(history, placed).is_closed,
                OrderFilter::Ended => naive::moved(history, placed).is_closed,
                OrderFilter::State(state) => naive::state(history, placed) == state,
            };
            let expected: Vec<_> = own.iter().filter(is_wanted).map(|placed| placed.order).collect();
            assert_eq!(listed(views, side, who, filter, limit), expected, "{filter:?}");
        }
    }
}

fn check_desks(history: &History, views: &Projections, limit: usize) {
    for seller in (100..100 + SELLERS).map(account) {
        let mut expected = BTreeSet::new();
        for (_, placed) in naive::placed(history).into_iter().filter(|(_, placed)| placed.seller == seller) {
            let tasks = naive::seller_tasks(history, placed);
            expected.extend(tasks.into_iter().map(|(task, due)| (due, task, placed.order)));
        }
        for wanted in SellerTask::ALL.map(Some).into_iter().chain([None]) {
            let (mut listed, mut behind) = (Vec::new(), None);
            for _ in 0..=expected.len() {
                let page = views.orders().desk(seller, wanted, behind, limit).unwrap();
                assert!(page.tasks.len() <= limit);
                listed.extend(page.tasks.iter().map(|one| (one.due, one.task, one.order)));
                for task in page.tasks {
                    check_task(history, &task);
                }
                behind = page.next;
                if behind.is_none() {
                    break;
                }
            }
            let expected = expected.iter().filter(|(_, task, _)| wanted.is_none_or(|wanted| wanted == *task));
            assert_eq!(listed, expected.copied().collect::<Vec<_>>());
        }
        let mut counts = BTreeMap::new();
        for (due, task, _) in &expected {
            counts.entry(*task).or_insert((0, *due)).0 += 1;
        }
        let found = views.orders().desk_counts(seller).unwrap();
        let found = found.into_iter().map(|count| (count.task, (count.orders, count.due)));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), counts);
    }
}

/// What a task names is what is left of its order, or in dispute.
fn check_task(history: &History, task: &DeskTask) {
    let mut placed = naive::placed(history).into_iter().map(|(_, placed)| placed);
    let placed = placed.find(|placed| placed.order == task.order).unwrap();
    let moved = naive::moved(history, placed);
    let left = placed.lines.iter().map(|line| {
        let gone =
            naive::count_of(&moved.shipped, line.listing) + naive::count_of(&moved.cancelled, line.listing);
        (line.listing, u64::from(line.quantity.get()) - gone)
    });
    let left: Vec<_> = left.filter(|(_, units)| *units > 0 && task.task != SellerTask::Dispute).collect();
    let shown = task.lines.iter().map(|line| (line.listing, u64::from(line.quantity.get())));
    assert_eq!(shown.collect::<Vec<_>>(), left);
    assert_eq!(task.shipments.is_empty(), task.task != SellerTask::Dispute);
    assert_eq!(
        (task.buyer, task.total, task.state),
        (placed.buyer, placed.total, naive::state(history, placed))
    );
}

/// What operators did and what is about access is found, by whom and about what it was, and nothing else.
fn check_acts(history: &History, views: &Projections, limit: usize) {
    let listed = |of: ActsOf, from: u64, before: Option<u64>| {
        let (mut listed, mut before) = (Vec::new(), before);
        loop {
            let page = views.audit().acts(&of, from, before, limit).unwrap();
            assert!(page.positions.len() <= limit);
            listed.extend(page.positions);
            before = page.next;
            if before.is_none() {
                return listed;
            }
        }
    };
    let actor = |commit: &Commit| match &commit.start().cause {
        Cause::Command(stamp) => Some(stamp.account),
        _ => None,
    };
    let operators = [OPERATOR, OPERATOR - 1].map(account);
    let is_staff = |commit: &Commit| actor(commit).is_some_and(|actor| operators.contains(&actor));
    let of_access = ["account.registered.v1", "account.suspended.v1", "account.reinstated.v1"];
    let is_access = |commit: &Commit| {
        commit.events().iter().any(|recorded| of_access.contains(&recorded.event.type_name()))
    };
    let subjects = |commit: &Commit| {
        commit.events().iter().filter_map(|recorded| recorded.event.subject()).collect::<BTreeSet<_>>()
    };
    let acts: Vec<_> =
        history.commits.iter().rev().filter(|commit| is_staff(commit) || is_access(commit)).collect();
    let positions = |is_wanted: &dyn Fn(&Commit) -> bool| {
        let wanted = acts.iter().filter(|commit| is_wanted(commit));
        wanted.map(|commit| commit.first_position()).collect::<Vec<_>>()
    };
    assert_eq!(listed(ActsOf::Kind(ActKind::Staff), 0, None), positions(&is_staff));
    let access = positions(&is_access);
    assert_eq!(listed(ActsOf::Kind(ActKind::Access), 0, None), access);
    // Between two positions, of which the first is told and the second is not.
    let (newest, oldest) = (access[0], access[access.len() / 2]);
    let between: Vec<_> =
        access.iter().copied().filter(|position| (oldest..newest).contains(position)).collect();
    assert_eq!(listed(ActsOf::Kind(ActKind::Access), oldest, Some(newest)), between);
    for who in (0..BUYERS).chain(90..100 + SELLERS).map(account) {
        let his = positions(&|commit| actor(commit) == Some(who));
        assert_eq!(listed(ActsOf::Actor(who), 0, None), his);
    }
    for subject in acts.iter().flat_map(|commit| subjects(commit)) {
        let about = positions(&|commit| subjects(commit).contains(&subject));
        assert_eq!(listed(ActsOf::Subject(subject), 0, None), about);
    }
    assert_eq!(listed(ActsOf::Subject("nothing".into()), 0, None), [] as [u64; 0]);
}

fn check_ledger(history: &History, views: &Projections) {
    for ((account, currency), minor) in naive::balances(history) {
        assert_eq!(views.ledger().balance(account, currency).unwrap().minor, minor, "{account}");
        let is_listed = views.ledger().balances(account).unwrap().iter().any(|m| m.currency == currency);
        assert_eq!(is_listed, minor != 0);
    }
    let sums = views.ledger().trial_balance().unwrap();
    assert!(sums.iter().all(|sum| sum.sum == 0), "{sums:?}");
    let currencies = naive::currencies(history);
    assert_eq!(sums.iter().map(|sum| sum.currency).collect::<Vec<_>>(), Vec::from_iter(currencies));
    let open = naive::balances(history).into_values().filter(|minor| *minor != 0).count() as u64;
    assert_eq!(sums.iter().map(|sum| sum.accounts).sum::<u64>(), open);
}

/// Checks that each posting of a lasting account is listed once, with what the account held from then on, and that what it held at
/// any position is found.
fn check_statements(history: &History, views: &Projections, limit: usize) {
    let ledger = views.ledger();
    for (account, currency) in naive::balances(history).into_keys() {
        let (mut expected, mut balance) = (Vec::new(), 0);
        for recorded in naive::events(history) {
            let moved = naive::moved_by(&recorded.event, account, currency);
            if moved != 0 && has_statement(account) {
                balance += moved;
                expected.push((recorded.position, recorded.metadata.time, moved, balance));
            }
        }
        expected.reverse();
        let (mut listed, mut before) = (Vec::new(), None);
        for _ in 0..=expected.len() {
            let page = ledger.statement(account, currency, before, limit).unwrap();
            assert!(page.postings.len() <= limit);
            listed.extend(page.postings);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        let shown = listed.iter().map(|one| (one.position, one.time, one.amount.minor, one.balance.minor));
        assert_eq!(Vec::from_iter(shown), expected, "{account}");
        for (n, (position, ..)) in expected.iter().enumerate() {
            for (before, then) in [(*position, expected.get(n + 1)), (position + 1, expected.get(n))] {
                let page = ledger.statement(account, currency, Some(before), 1).unwrap();
                let held = page.postings.first().map(|one| one.balance.minor);
                assert_eq!(held, then.map(|(.., balance)| *balance));
            }
        }
        if let Some(newest) = listed.first() {
            assert_eq!(ledger.balance(account, currency).unwrap(), newest.balance);
        }
    }
}

fn check_carts(history: &History, views: &Projections) {
    let mut shared = BTreeMap::<_, BTreeSet<CartId>>::new();
    for (id, owner) in naive::carts(history) {
        let cart = views.carts().cart(id).unwrap().unwrap();
        assert_eq!(cart.version, naive::about(history, id).len() as u64);
        let lines: Vec<_> =
            cart.lines.iter().map(|l| (l.listing, l.quantity.get(), l.unit_price_seen)).collect();
        assert_eq!(lines, naive::cart_lines(history, id));
        let members = naive::cart_members(history, id);
        assert_eq!(cart.shared_with, members);
        if cart.state == CartState::Active {
            members.into_iter().for_each(|member| _ = shared.entry(member).or_default().insert(id));
        }
        let migrated = naive::about(history, id).into_iter().find_map(|e| match &e.event {
            Event::CartMigrated(e) => Some(e.orders.clone()),
            _ => None,
        });
        match migrated {
            Some(orders) => {
                assert_eq!(cart.state, CartState::Migrated { orders });
                assert!(cart.problems.is_empty());
            }
            None => {
                assert_eq!(cart.state, CartState::Active);
                assert_eq!(views.carts().active(owner).unwrap(), Some(cart.clone()));
                check_problems(history, &cart);
            }
        }
    }
    for member in (0..BUYERS).map(account) {
        let listed = views.carts().shared_with(member, None, 100).unwrap();
        let carts: BTreeSet<CartId> = listed.carts.iter().map(|cart| cart.cart).collect();
        assert_eq!(carts, shared.remove(&member).unwrap_or_default());
    }
}

fn check_listings(history: &History, views: &Projections, limit: usize) {
    let created = naive::events(history).filter_map(|event| match &event.event {
        Event::ListingCreated(created) => Some((created.seller, created.listing)),
        _ => None,
    });
    let created: Vec<_> = created.collect();
    for (seller, id) in &created {
        let offer = views.listings().listing(*id).unwrap().unwrap();
        let listing = &offer.listing;
        let whole = Stock { locations: listing.stock.locations.clone(), ..naive::stock(history, *id) };
        assert_eq!(listing.stock, whole);
        let berlin = listing.stock.at(Some(&BERLIN.parse().unwrap()));
        assert_eq!((berlin.on_hand, berlin.reserved), naive::in_berlin(history, *id));
        let terms = naive::terms(history, *id);
        assert_eq!(
            (listing.price, listing.version, listing.limits),
            (terms.price, terms.version, terms.limits)
        );
        assert_eq!((&listing.title, listing.is_restricted), (&terms.title, terms.is_restricted));
        assert_eq!(listing.release, terms.release);
        assert_eq!((listing.seller, listing.status()), (*seller, naive::status(history, *id)));
        assert_eq!(offer.is_seller_suspended, naive::standing(history, *seller).0);
    }
    for n in 100..100 + SELLERS {
        let mut listed = Vec::new();
        let mut after = None;
        for _ in 0..=created.len() {
            let page = views.listings().list(account(n), after, limit).unwrap();
            assert!(page.offers.len() <= limit);
            listed.extend(page.offers.iter().map(|offer| offer.listing.listing));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let own = created.iter().filter(|(seller, _)| *seller == account(n));
        let mut own: Vec<_> = own.map(|(_, listing)| *listing).collect();
        own.sort();
        assert_eq!(listed, own);
    }
}

fn check_problems(history: &History, cart: &projections::cart::Cart) {
    let (mut expected, mut changed) = (Vec::new(), Vec::new());
    for line in &cart.lines {
        if line.unit_price_seen != line.current_price {
            let (old, new) = (line.unit_price_seen, line.current_price);
            changed.push(PriceChange { listing: line.listing, old, new });
        }
        let (expected_currency, found) = (cart.lines[0].current_price.currency, line.current_price.currency);
        if found != expected_currency {
            let expected_one = LineProblem::CurrencyMismatch { expected: expected_currency, found };
            expected.push((line.listing, expected_one));
        }
        let status = naive::status(history, line.listing);
        if status != ListingStatus::Active {
            expected.push((line.listing, LineProblem::ListingUnavailable { status }));
        }
        if naive::standing(history, line.seller).0 {
            expected.push((line.listing, LineProblem::SellerSuspended));
        }
        let terms = naive::terms(history, line.listing);
        let (min, max) = terms.limits;
        if line.quantity.get() < min || line.quantity.get() > max {
            expected.push((line.listing, LineProblem::QuantityLimit { min, max }));
        }
        let (requested, stock) = (u64::from(line.quantity.get()), naive::stock(history, line.listing));
        let sold = stock.reserved + stock.safety;
        let available = (stock.on_hand + stock.backorder_limit).saturating_sub(sold);
        if requested > available {
            expected.push((line.listing, LineProblem::InsufficientStock { requested, available }));
        }
        if terms.is_restricted && !naive::standing(history, cart.account).1 {
            expected.push((line.listing, LineProblem::ClearanceMissing));
        }
    }
    let problems: Vec<_> = cart.problems.iter().map(|p| (p.listing, p.problem.clone())).collect();
    assert_eq!(problems, expected);
    assert_eq!(cart.price_changed, changed);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_view_equals_a_naive_look_at_the_history(wishes in wishes(120), limit in 1usize..5) {
        let history = history_of(&wishes);
        with_views(&history, |views| {
            check_orders(&history, views);
            check_escrows(&history, views);
            check_groups(&history, views);
            check_lists(&history, views, limit);
            check_desks(&history, views, limit);
            check_acts(&history, views, limit);
            check_ledger(&history, views);
            check_statements(&history, views, limit);
            check_carts(&history, views);
            check_listings(&history, views, limit);
        });
    }
}

#[test]
fn statements_of_many_postings_are_found_at_any_position() {
    let mut history = History::default();
    for n in 0..200 {
        let (owner, from) = (account(n % 3 / 2), LedgerAccount::ProviderClearing(account(99)));
        let transfer = Transfer { amount: support::usd(5), from, to: LedgerAccount::Wallet(owner) };
        let funded = WalletFunded { account: owner, reference: format!("pay-{n}"), transfer };
        history.commanded(account(99), "wallet.fund", vec![funded.into()]);
    }
    with_views(&history, |views| check_statements(&history, views, 7));
}

#[test]
fn lists_longer_than_a_chunk_are_paged_through_whole() {
    let mut history = History::default();
    let seller = account(100);
    let created = events::listing::Created::new(support::listing(0), support::usd(5), seller, "thing".into());
    history.commanded(seller, "listing.create", vec![created.into()]);
    for n in 0..301 {
        let buyer = account(n % 2);
        let lines = [(support::listing(0), support::usd(5), 1)];
        let placed = support::place(support::order(n), buyer, seller, None, &lines, history.now);
        history.commanded(buyer, "order.place", placed);
    }
    with_views(&history, |views| {
        for limit in [1, 7, 64, 100, 1000] {
            check_lists(&history, views, limit);
        }
    });
}

#[test]
fn a_list_of_what_few_orders_are_looks_at_so_many_for_one_page_and_goes_on_behind_them() {
    let mut history = History::default();
    let (seller, buyer) = (account(100), account(0));
    let created = events::listing::Created::new(support::listing(0), support::usd(5), seller, "thing".into());
    history.commanded(seller, "listing.create", vec![created.into()]);
    let orders = ORDERS_LOOKED_AT_MAX as u64 + 500;
    for n in 0..orders {
        let lines = [(support::listing(0), support::usd(5), 1)];
        let placed = support::place(support::order(n), buyer, seller, None, &lines, history.now);
        history.commanded(buyer, "order.place", placed);
    }
    let held = events::order::hold::Held {
        by: account(98),
        note: "why".into(),
        order: support::order(0),
        reason: events::order::hold::HoldReason::Compliance,
    };
    history.commanded(account(98), "order.hold", vec![held.into()]);
    with_views(&history, |views| {
        let filter = OrderFilter::State(OrderStatus::OnHold);
        let page = views.orders().list(Side::Buyer, buyer, filter, None, 20).unwrap();
        assert_eq!((page.orders.len(), page.next.is_some()), (0, true));
        assert_eq!(listed(views, Side::Buyer, buyer, filter, 20), [support::order(0)]);
        let counted = views.orders().desk_counts(seller).unwrap();
        let [ship] = counted.as_slice() else { panic!("one sort of task: {counted:?}") };
        assert_eq!((ship.task, ship.orders, ship.is_more), (SellerTask::Ship, TASKS_COUNTED_MAX, true));
    });
}
