//! What the view of carts shows of a cart's whole life.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use events::account::Role;
use events::cart::{
    Abandoned, Frozen, ItemAdded, KeptPrice, MergePolicy, MergeSource, Merged, MergedLine, Migrated,
    MovedBack, Named, Restored, RestoredLine, SavedForLater, Shared, Unfrozen, Unshared,
};
use events::ids::{AccountId, ReservationId};
use events::listing::{Created, StockReceived};
use events::metadata::Waiting;
use events::reservation::{Allowed, Expired, Extended, Released, Reserved, TakenUp};
use events::{Event, Money, Timestamp};
use projections::Projections;
use projections::cart::{Cart, CartState, LineProblem, PriceChange, Reservation, SavedLine};
use support::{History, account, cart, follow, listing, order, place, units, usd};

/// Lists two things of which 5 are in stock: number 0 for 5 dollars and number 1 for 7.
fn shop() -> History {
    let mut history = History::default();
    let seller = account(100);
    for (n, minor) in [(0, 500), (1, 700)] {
        let (id, price) = (listing(n), usd(minor));
        let created = Created::new(id, price, seller, format!("thing {n}"));
        let received = StockReceived { listing: id, location: None, on_hand: 5, quantity: units(5) };
        history.commanded(seller, "listing.create", vec![created.into()]);
        history.commanded(seller, "stock.receive", vec![received.into()]);
    }
    history
}

fn add(history: &mut History, who: u64, of: u64, (n, quantity): (u64, u32), seen: Money, version: u64) {
    let added = ItemAdded {
        account: account(who),
        added: units(quantity),
        by: None,
        cart: cart(of),
        listing: listing(n),
        listing_version: 1,
        quantity: units(quantity),
        unit_price: seen,
        version,
    };
    history.commanded(account(who), "cart.add", vec![added.into()]);
}

async fn followed(history: &History, check: impl FnOnce(&Projections)) {
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    follow(&views, history.all()).await;
    check(&views);
}

/// Reads an account's cart with every line as (listing, units, price seen).
fn active(views: &Projections, of: AccountId) -> (Cart, Vec<(u64, u32, i64)>) {
    let shown = views.carts().active(of).unwrap().unwrap();
    let number = |id| (0..10).find(|n| listing(*n) == id).unwrap();
    let lines = shown.lines.iter();
    let lines =
        lines.map(|line| (number(line.listing), line.quantity.get(), line.unit_price_seen.minor)).collect();
    (shown, lines)
}

#[tokio::test]
async fn a_saved_line_is_in_no_total_and_is_shown_with_what_its_owner_saw() {
    let mut history = shop();
    let (who, listing) = (account(1), listing(0));
    add(&mut history, 1, 1, (0, 2), usd(450), 1);
    add(&mut history, 1, 1, (1, 1), usd(700), 2);
    let saved = SavedForLater { account: who, cart: cart(1), listing, quantity: units(2), version: 3 };
    history.commanded(who, "cart.save_for_later", vec![saved.into()]);
    let line = SavedLine {
        listing,
        title: "thing 0".to_owned(),
        seller: account(100),
        quantity: units(2),
        unit_price_seen: usd(450),
        current_price: usd(500),
    };
    followed(&history, |views| {
        let (shown, lines) = active(views, who);
        assert_eq!((lines, shown.total, shown.version), (vec![(1, 1, 700)], Some(usd(700)), 3));
        assert_eq!((shown.price_changed, shown.saved), (vec![], vec![line.clone()]));
        assert_eq!(views.carts().saved(who).unwrap(), [line]);
    })
    .await;
    // It outlasts the cart, and opens another one.
    let abandoned = Abandoned { account: who, cart: cart(1), version: 4 };
    history.due(Waiting::CartIdle { account: who }, vec![abandoned.into()]);
    let back = MovedBack { account: who, cart: cart(2), listing, quantity: units(2), version: 1 };
    history.commanded(who, "cart.move_back", vec![back.into()]);
    followed(&history, |views| {
        let gone = views.carts().cart(cart(1)).unwrap().unwrap();
        assert_eq!((gone.state, gone.saved), (CartState::Abandoned, vec![]));
        let (shown, lines) = active(views, who);
        assert_eq!((shown.cart, lines), (cart(2), vec![(0, 2, 450)]));
        assert_eq!(shown.price_changed, [PriceChange { listing, old: usd(450), new: usd(500) }]);
        assert_eq!(views.carts().saved(who).unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_frozen_cart_shows_until_when_and_which_prices_it_keeps() {
    let mut history = shop();
    let (who, until) = (account(1), Timestamp::from_ms(history.now.ms() + 1000));
    add(&mut history, 1, 1, (0, 6), usd(500), 1);
    let prices = vec![KeptPrice { listing: listing(0), listing_version: 1, unit_price: usd(400) }];
    let frozen = Frozen { account: who, cart: cart(1), prices, until, version: 2 };
    history.commanded(who, "cart.freeze", vec![frozen.into()]);
    followed(&history, |views| {
        let (shown, _) = active(views, who);
        assert_eq!((shown.state, shown.total), (CartState::Frozen { until }, Some(usd(2400))));
        assert_eq!(shown.lines[0].kept_price, Some(usd(400)));
        assert_eq!(shown.price_changed, [PriceChange { listing: listing(0), old: usd(500), new: usd(400) }]);
        assert_eq!(
            shown.lines[0].problems,
            [LineProblem::InsufficientStock { requested: 6, available: 5 }],
            "it reserves nothing"
        );
    })
    .await;
    let unfrozen = Unfrozen { account: who, cart: cart(1), version: 3 };
    history.due(Waiting::CartFrozenUntil { account: who }, vec![unfrozen.into()]);
    followed(&history, |views| {
        let (shown, _) = active(views, who);
        assert_eq!((shown.state, shown.total, shown.version), (CartState::Active, Some(usd(3000)), 3));
        assert_eq!((shown.lines[0].kept_price, shown.price_changed), (None, vec![]));
    })
    .await;
}

#[tokio::test]
async fn a_merged_cart_is_gone_and_its_lines_keep_the_price_that_was_seen() {
    let mut history = shop();
    let (buyer, guest) = (account(1), account(2));
    add(&mut history, 1, 1, (0, 2), usd(500), 1);
    add(&mut history, 2, 2, (0, 3), usd(480), 1);
    add(&mut history, 2, 2, (1, 1), usd(690), 2);
    let line = |n, from, had, result| MergedLine {
        from: units(from),
        had,
        listing: listing(n),
        result: units(result),
    };
    let merged = Merged {
        account: buyer,
        cart: cart(1),
        lines: vec![line(0, 3, Some(units(2)), 3), line(1, 1, None, 1)],
        policy: MergePolicy::Max,
        source: MergeSource { account: guest, cart: cart(2), version: 3 },
        version: 2,
    };
    history.commanded(buyer, "cart.merge", vec![merged.into()]);
    followed(&history, |views| {
        let (shown, lines) = active(views, buyer);
        assert_eq!((shown.version, lines), (2, vec![(0, 3, 500), (1, 1, 690)]));
        assert_eq!(shown.price_changed, [PriceChange { listing: listing(1), old: usd(690), new: usd(700) }]);
        let source = views.carts().cart(cart(2)).unwrap().unwrap();
        assert_eq!((source.state, source.version), (CartState::Merged { into: cart(1) }, 3));
        assert_eq!(views.carts().active(guest).unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_restored_cart_has_the_lines_of_the_one_that_became_orders() {
    let mut history = shop();
    let who = account(1);
    add(&mut history, 1, 1, (0, 2), usd(480), 1);
    let mut events =
        place(order(1), who, account(100), Some(cart(1)), &[(listing(0), usd(500), 2)], history.now);
    events.push(Migrated { account: who, cart: cart(1), orders: vec![order(1)], version: 2 }.into());
    history.commanded(who, "cart.migrate", events);
    let lines = vec![RestoredLine { listing: listing(0), quantity: units(2) }];
    let restored = Restored { account: who, cart: cart(2), from: cart(1), lines, version: 1 };
    history.commanded(who, "cart.restore", vec![Event::from(restored)]);
    followed(&history, |views| {
        let (shown, lines) = active(views, who);
        assert_eq!((shown.cart, shown.state, lines), (cart(2), CartState::Active, vec![(0, 2, 480)]));
        let migrated = views.carts().cart(cart(1)).unwrap().unwrap();
        assert_eq!(migrated.state, CartState::Migrated { orders: vec![order(1)] });
        let opened = views.analytics().funnel().unwrap().carts_opened;
        assert_eq!(opened, 2);
    })
    .await;
}

#[tokio::test]
async fn what_a_buyer_has_set_aside_is_shown_to_him_and_is_no_problem_of_his_cart() {
    let mut history = shop();
    let (who, seller, thing) = (account(1), account(100), listing(0));
    let reservation = ReservationId::from_uuid(uuid::Uuid::from_u128(7));
    let expires_at = Timestamp::from_ms(900_000);
    let allowed = Allowed { for_ms: 900_000, listing: thing, units: 4 };
    history.commanded(seller, "stock.allow_reservations", vec![allowed.into()]);
    let quantity = units(4);
    let made = Reserved { account: who, expires_at, listing: thing, quantity, reservation, seller };
    history.commanded(who, "stock.reserve", vec![made.into()]);
    add(&mut history, 1, 1, (0, 5), usd(500), 1);
    add(&mut history, 2, 2, (0, 2), usd(500), 1);
    let until = Timestamp::from_ms(950_000);
    let extended = Extended { account: who, expires_at: until, listing: thing, reservation, seller };
    history.commanded(who, "stock.extend_reservation", vec![extended.into()]);
    let shown = |left: u32| Reservation {
        reservation,
        listing: thing,
        seller,
        quantity: units(left),
        expires_at: until,
    };
    let stock = |views: &Projections| {
        let stock = views.listings().listing(thing).unwrap().unwrap().listing.stock;
        (stock.reserved, stock.set_aside, stock.available())
    };
    followed(&history, |views| {
        assert_eq!(views.carts().reservations(who).unwrap(), [shown(4)]);
        assert_eq!(stock(views), (4, 4, 1));
        assert_eq!(active(views, who).0.problems, []);
        let [problem] = &active(views, account(2)).0.problems[..] else { panic!("one problem is expected") };
        assert_eq!(problem.problem, LineProblem::InsufficientStock { requested: 2, available: 1 });
        let listing = views.listings().listing(thing).unwrap().unwrap().listing;
        assert_eq!(listing.reservable.map(|terms| (terms.units, terms.for_ms)), Some((4, 900_000)));
    })
    .await;
    let number = order(1);
    let mut placed = place(number, who, seller, None, &[(thing, usd(500), 3)], history.now);
    let taken = TakenUp {
        account: who,
        left: 1,
        listing: thing,
        order: number,
        quantity: units(3),
        reservation,
        seller,
    };
    placed.push(taken.into());
    history.commanded(who, "order.place", placed);
    followed(&history, |views| {
        assert_eq!(views.carts().reservations(who).unwrap(), [shown(1)]);
        assert_eq!(stock(views), (4, 1, 1));
    })
    .await;
    let (listing, quantity) = (thing, units(1));
    let expired = Expired { account: who, listing, quantity, reservation, seller };
    history.due(Waiting::ReservationExpires { reservation }, vec![expired.into()]);
    let (other, by) = (ReservationId::from_uuid(uuid::Uuid::from_u128(8)), Role::Buyer);
    let made = Reserved { account: who, expires_at, listing, quantity, reservation: other, seller };
    let released = Released { account: who, by, listing, quantity, reservation: other, seller };
    let off = Allowed { for_ms: 900_000, listing, units: 0 };
    for (asker, event) in [(who, Event::from(made)), (who, released.into()), (seller, off.into())] {
        history.commanded(asker, "stock.reserve", vec![event]);
    }
    followed(&history, |views| {
        assert_eq!(views.carts().reservations(who).unwrap(), []);
        assert_eq!(stock(views), (3, 0, 2));
        assert_eq!(views.listings().listing(thing).unwrap().unwrap().listing.reservable, None);
    })
    .await;
}

#[tokio::test]
async fn a_cart_shows_its_name_and_whom_it_is_shared_with_and_to_them_nothing_that_is_saved() {
    let mut history = shop();
    let (who, cart, other) = (account(1), cart(1), account(2));
    add(&mut history, 1, 1, (0, 2), usd(500), 1);
    add(&mut history, 1, 1, (1, 1), usd(700), 2);
    let saved = SavedForLater { account: who, cart, listing: listing(0), quantity: units(2), version: 3 };
    let named = Named { account: who, cart, name: Some("Office".to_owned()), version: 4 };
    history.commanded(who, "cart.save_for_later", vec![saved.into()]).commanded(
        who,
        "cart.name",
        vec![named.into()],
    );
    let since = history.head().position + 1;
    for (with, version) in [(other, 5), (account(3), 6)] {
        history.commanded(who, "cart.share", vec![Shared { account: who, cart, version, with }.into()]);
    }
    followed(&history, |views| {
        let shown = || views.carts().cart(cart).unwrap().unwrap();
        assert_eq!((shown().name.as_deref(), shown().version), (Some("Office"), 6));
        assert_eq!(shown().shared_with, [other, account(3)]);
        assert_eq!(shown().seen_by(who, false), Some(shown()));
        let told = shown().seen_by(other, false).unwrap();
        assert_eq!((told.saved.len(), shown().saved.len()), (0, 1));
        assert_eq!(told.lines, shown().lines);
        assert_eq!(shown().seen_by(account(4), false), None);
        assert_eq!(shown().seen_by(account(4), true), Some(shown()));
        let shared = |with| views.carts().shared_with(with, None, 9).unwrap();
        let one = &shared(other).carts[0];
        assert_eq!((one.cart, one.account, one.name.as_deref()), (cart, who, Some("Office")));
        assert_eq!((one.version, one.lines, shared(account(3)).carts.len()), (6, 1, 1));
        assert_eq!(shared(who).carts, []);
        let was_shared = |with, at| views.carts().was_shared_with(cart, with, at).unwrap();
        assert!(was_shared(other, since) && !was_shared(other, since - 1) && !was_shared(who, since));
    })
    .await;
    let unshared = Unshared { account: who, by: None, cart, version: 7, with: other };
    let until = history.head().position + 1;
    let unnamed = Named { account: who, cart, name: None, version: 8 };
    history.commanded(who, "cart.unshare", vec![unshared.into()]).commanded(
        who,
        "cart.name",
        vec![unnamed.into()],
    );
    followed(&history, |views| {
        let shown = views.carts().cart(cart).unwrap().unwrap();
        assert_eq!((shown.name.as_deref(), &shown.shared_with[..]), (None, &[account(3)][..]));
        assert_eq!(shown.seen_by(other, false), None);
        let shared = |with| views.carts().shared_with(with, None, 9).unwrap().carts.len();
        assert_eq!((shared(other), shared(account(3))), (0, 1));
        let was_shared = |with, at| views.carts().was_shared_with(cart, with, at).unwrap();
        assert!(was_shared(other, since) && was_shared(other, until) && !was_shared(other, until + 1));
        assert!(was_shared(account(3), until + 1));
    })
    .await;
    // What became of it is still seen, and it is shared no longer.
    history.commanded(who, "cart.abandon", vec![Abandoned { account: who, cart, version: 9 }.into()]);
    followed(&history, |views| {
        assert_eq!(views.carts().shared_with(account(3), None, 9).unwrap().carts, []);
        assert!(views.carts().was_shared_with(cart, account(3), until + 2).unwrap());
    })
    .await;
}

#[tokio::test]
async fn carts_that_others_share_are_listed_page_by_page() {
    let (mut history, member) = (History::default(), account(2));
    for n in 1..=3 {
        let (owner, cart) = (account(10 + n), cart(n));
        add(&mut history, 10 + n, n, (0, 1), usd(700), 1);
        let shared = Shared { account: owner, cart, version: 2, with: member };
        history.commanded(owner, "cart.share", vec![shared.into()]);
    }
    followed(&history, |views| {
        let page = |after, limit| {
            let page = views.carts().shared_with(member, after, limit).unwrap();
            (page.carts.iter().map(|shown| shown.cart).collect::<Vec<_>>(), page.next)
        };
        assert_eq!(page(None, 2), (vec![cart(1), cart(2)], Some(cart(2))));
        assert_eq!(page(Some(cart(2)), 2), (vec![cart(3)], None));
        assert_eq!(page(Some(cart(3)), 2), (vec![], None));
    })
    .await;
}
