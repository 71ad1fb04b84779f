//! Orders from placement to release or refund.

mod deadlines;

use crate::support::*;
use commands::Refusal;
use commands::command::LINES_MAX;
use events::account::Role;
use events::escrow::FreezeReason;
use events::ledger::{LedgerAccount, Transfer};
use events::market::FeePolicy;
use events::metadata::DeadlineKind;
use events::order::{
    Cancelled, CancelledBy, Delivered, DeliveryProof, EscrowHeld, EscrowRefunded, EscrowReleased, FeeQuote,
    Line, LinePrice, OrderNumber, Placed, ReleaseCondition, Rounding, ShipmentNumber, Shipped,
};
use events::payment::CaptureTime;
use events::rejection::{OrderState, QuoteField};
use events::{Event, Money, Rejection};

/// Two sellers' things, and a buyer with 100 dollars.
fn shop() -> World {
    let mut world = World::new();
    world
        .given_listing(SELLER, TEA, usd(500), 10)
        .given_listing(OTHER_SELLER, POT, usd(2500), 1)
        .given_listing(SELLER, CUP, eur(300), 5)
        .given(PROVIDER, fund(BUYER, usd(10_000)));
    world
}

fn wallet(actor: Actor) -> LedgerAccount {
    LedgerAccount::Wallet(actor.account())
}

fn earned(actor: Actor) -> LedgerAccount {
    LedgerAccount::SellerAvailable(actor.account())
}

#[track_caller]
fn then_balances<const N: usize>(world: &mut World, balances: [(LedgerAccount, i64); N]) {
    for (account, minor) in balances {
        assert_eq!(world.market.ledger.balance(account, usd(0).currency), usd(minor), "{account}");
    }
}

fn no_role() -> Refusal {
    Refusal::ScopeDenied { rule: "the account has no role that may give this command".into() }
}

// Placing.

#[test]
fn an_order_reserves_its_stock_and_its_money_is_held() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    let line = Line {
        discounts: vec![],
        final_sale: false,
        listing: listing(TEA),
        listing_version: 1,
        locations: vec![],
        price: LinePrice::Unit(usd(500)),
        quantity: units(3),
        tax: None,
        total: usd(1500),
    };
    let placed = Placed {
        accept_by: None,
        buyer: BUYER.account(),
        cart: None,
        fee: FeeQuote {
            amount: usd(38),
            bps: 250,
            fixed_minor: 0,
            max_minor: None,
            min_minor: None,
            rounding: Rounding::HalfAwayFromZero,
        },
        group: Some(world.group()),
        lines: vec![line],
        number: Some(OrderNumber::FIRST),
        order,
        payment: None,
        replaces: None,
        seller: SELLER.account(),
        ship_by: START.plus_ms(14 * DAY_MS),
        shipping: None,
        total: usd(1500),
        release: None,
    };
    let transfer = Transfer { amount: usd(1500), from: wallet(BUYER), to: LedgerAccount::Escrow(order) };
    world
        .then_events([placed.into(), EscrowHeld { order, release: None, transfer }.into()])
        .then(|market| {
            let tea = market.listings.get(listing(TEA)).unwrap();
            assert_eq!((tea.stock.on_hand, tea.stock.reserved, tea.available()), (10, 3, 7));
            assert_eq!(market.next_deadline().unwrap().waiting.kind(), DeadlineKind::ShipBy);
        })
        .when_again()
        .then_repeat();
    then_balances(&mut world, [(wallet(BUYER), 8500), (LedgerAccount::Escrow(order), 1500)]);
}

#[test]
fn lines_of_two_sellers_become_two_orders_in_one_commit() {
    let mut world = shop();
    world.given(BUYER, place(&[(POT, 1), (TEA, 2)], usd(3500)));
    let (first, second) = (world.order(0), world.order(1));
    world.then_types(["order.placed.v1", "escrow.held.v1", "order.placed.v1", "escrow.held.v1"]);
    assert_ne!(first, second);
    let sellers = [first, second].map(|id| world.market.orders.get(id).unwrap().seller);
    assert_eq!(sellers, [SELLER.account(), OTHER_SELLER.account()]);
    let escrows = [(LedgerAccount::Escrow(first), 1000), (LedgerAccount::Escrow(second), 2500)];
    then_balances(&mut world, escrows);
    then_balances(&mut world, [(wallet(BUYER), 6500)]);
}

#[test]
fn the_orders_of_a_command_are_a_group_and_each_has_the_markets_next_number() {
    let mut world = shop();
    let named = |world: &World| -> Vec<_> {
        let placed = world.events().iter().filter_map(|event| match event {
            Event::OrderPlaced(placed) => Some((placed.group.unwrap(), placed.number.unwrap().to_string())),
            _ => None,
        });
        placed.collect()
    };
    world.given(BUYER, place(&[(POT, 1), (TEA, 2)], usd(3500)));
    let first = world.group();
    assert_eq!(named(&world), [(first, "1001-9".to_owned()), (first, "1002-4".to_owned())]);
    // What is rejected takes no number.
    world.when(BUYER, place(&[(TEA, 2)], usd(1)));
    world.given(PROVIDER, fund(OTHER_BUYER, usd(500))).given(OTHER_BUYER, add(TEA, 1));
    let cart = world.cart(OTHER_BUYER);
    world.given(OTHER_BUYER, migrate(cart, usd(500)));
    let second = world.group();
    assert_eq!(named(&world), [(second, "1003-5".to_owned())]);
    assert_ne!(first, second);
}

#[test]
fn the_signed_total_is_a_ceiling() {
    for (signed, charged) in
        [(1000, Some(1000)), (1001, Some(1000)), (Money::MINOR_MAX, Some(1000)), (999, None)]
    {
        let mut world = shop();
        world.when(BUYER, place(&[(TEA, 2)], usd(signed)));
        match charged {
            Some(charged) => then_balances(&mut world, [(wallet(BUYER), 10_000 - charged)]),
            None => {
                let reason = Rejection::TotalMismatch { signed: usd(signed), actual: usd(1000) };
                world.then_rejected([reason]);
            }
        }
    }
}

#[test]
fn an_order_has_lines_each_listing_once_and_not_too_many() {
    let lines: Vec<_> = (0..=LINES_MAX as u64).map(|n| (n, 1)).collect();
    shop()
        .when(BUYER, place(&[], usd(1000)))
        .then_rejected([Rejection::LinesEmpty])
        .when(BUYER, place(&[(TEA, 1), (TEA, 1)], usd(1000)))
        .then_rejected([Rejection::DuplicateLine { listing: listing(TEA) }])
        .when(BUYER, place(&lines, usd(1000)))
        .then_rejected([Rejection::TooManyLines { max: LINES_MAX as u32 }]);
}

#[test]
fn every_reason_is_told_at_once() {
    let requested = 11;
    shop().when(BUYER, place(&[(TEA, 11), (99, 1), (CUP, 1)], usd(100))).then_rejected([
        Rejection::InsufficientStock { listing: listing(TEA), requested, available: 10 },
        Rejection::ListingUnknown { listing: listing(99) },
        Rejection::CurrencyMismatch {
            listing: listing(CUP),
            expected: usd(0).currency,
            found: eur(0).currency,
        },
    ]);
    shop().when(BUYER, place(&[(TEA, 30)], usd(100))).then_rejected([
        Rejection::InsufficientStock { listing: listing(TEA), requested: 30, available: 10 },
        Rejection::TotalMismatch { signed: usd(100), actual: usd(15_000) },
        Rejection::InsufficientFunds { available: usd(10_000), required: usd(15_000) },
    ]);
}

#[test]
fn nobody_buys_from_himself() {
    use commands::command::RegisterAccount;
    let trader = Actor(30);
    let roles = [Role::Buyer, Role::Seller].into();
    let mut world = World::new();
    world
        .given(REGISTRAR, RegisterAccount { account: trader.account(), roles }.into())
        .given(REGISTRAR, register_device(trader))
        .given_listing(trader, TEA, usd(500), 1)
        .given(PROVIDER, fund(trader, usd(500)))
        .when(trader, place(&[(TEA, 1)], usd(500)))
        .then_rejected([Rejection::SelfPurchase { listing: listing(TEA) }]);
}

#[test]
fn a_wallet_pays_to_the_last_cent_and_not_beyond() {
    let mut world = shop();
    world.given_listing(SELLER, 4, usd(10_000), 5).given_listing(SELLER, 5, usd(1), 5);
    world
        .given(BUYER, place(&[(4, 1)], usd(10_000)))
        .when(BUYER, place(&[(5, 1)], usd(1)))
        .then_rejected([Rejection::InsufficientFunds { available: usd(0), required: usd(1) }]);
}

#[test]
fn sums_beyond_the_largest_amount_are_refused() {
    let mut world = shop();
    let most = usd(Money::MINOR_MAX);
    world.given_listing(SELLER, 4, most, 9).given_listing(OTHER_SELLER, 5, most, 9);
    for lines in [&[(4, 2)][..], &[(4, 1), (5, 1)]] {
        world.when(BUYER, place(lines, most)).then_rejected([Rejection::AmountOverflow]);
    }
}

#[test]
fn all_the_money_there_can_be_goes_through_two_escrows_to_one_seller() {
    let mut world = World::new();
    world
        .given_listing(SELLER, TEA, usd(Money::MINOR_MAX - 1), 1)
        .given_listing(SELLER, POT, usd(1), 1)
        .given(PROVIDER, fund(BUYER, usd(Money::MINOR_MAX - 1)))
        .given(PROVIDER, fund(OTHER_BUYER, usd(1)));
    let orders = [
        world.placed(BUYER, place(&[(TEA, 1)], usd(Money::MINOR_MAX))),
        world.placed(OTHER_BUYER, place(&[(POT, 1)], usd(1))),
    ];
    for (order, buyer) in orders.into_iter().zip([BUYER, OTHER_BUYER]) {
        world.given(SELLER, ship(order)).given(buyer, confirm(order));
    }
    assert_eq!(world.market.ledger.sums()[&usd(0).currency], 0);
    then_balances(&mut world, [(wallet(BUYER), 0), (wallet(OTHER_BUYER), 0)]);
}

#[test]
fn a_hundred_buyers_want_the_last_one_and_one_gets_it() {
    let mut world = World::new();
    world.given_listing(SELLER, TEA, usd(500), 1);
    let buyers = (100..200).map(Actor);
    for buyer in buyers.clone() {
        world.register(buyer).given(PROVIDER, fund(buyer, usd(500)));
    }
    let mut won = 0;
    for buyer in buyers {
        world.when(buyer, place(&[(TEA, 1)], usd(500)));
        if matches!(world.events()[0], Event::OrderPlaced(_)) {
            won += 1;
        } else {
            let sold_out = Rejection::InsufficientStock { listing: listing(TEA), requested: 1, available: 0 };
            world.then_rejected([sold_out]);
        }
    }
    assert_eq!(won, 1);
}

#[test]
fn only_buyers_buy() {
    for actor in [REGISTRAR, PROVIDER, OPERATOR, SELLER] {
        shop().when(actor, place(&[(TEA, 1)], usd(500))).then_refused(no_role());
    }
}

// Quotes.

#[test]
fn a_quote_sets_the_price_of_its_line_while_it_is_good() {
    let mut world = shop();
    let exp = world.now;
    let cheap = quote(SELLER, BUYER, (TEA, 3), usd(1), exp);
    world.when_quoted([cheap], BUYER, place(&[(TEA, 3)], usd(1)));
    match &world.events()[0] {
        Event::OrderPlaced(placed) => assert_eq!(placed.lines[0].price, LinePrice::Quote),
        other => panic!("{other:?}"),
    }
    then_balances(&mut world, [(wallet(BUYER), 9999)]);
    let late = quote(SELLER, BUYER, (TEA, 3), usd(1), exp);
    world
        .after(1)
        .when_quoted([late], BUYER, place(&[(TEA, 3)], usd(1)))
        .then_rejected([Rejection::QuoteExpired { listing: listing(TEA), expired: exp }]);
}

#[test]
fn a_quote_that_is_for_something_else_is_told_by_what_differs() {
    let good = START.plus_ms(DAY_MS);
    let differs = |field| Rejection::QuoteMismatch { listing: listing(TEA), field };
    for (quoted, field) in [
        (quote(SELLER, BUYER, (CUP, 1), usd(1), good), QuoteField::Listing),
        (quote(SELLER, BUYER, (TEA, 2), usd(1), good), QuoteField::Quantity),
        (quote(SELLER, OTHER_BUYER, (TEA, 1), usd(1), good), QuoteField::Buyer),
        (quote(OTHER_SELLER, BUYER, (TEA, 1), usd(1), good), QuoteField::Seller),
        (quote(BUYER, BUYER, (TEA, 1), usd(1), good), QuoteField::Seller),
        (quote(Actor(77), BUYER, (TEA, 1), usd(1), good), QuoteField::Seller),
    ] {
        shop().when_quoted([quoted], BUYER, place(&[(TEA, 1)], usd(1))).then_rejected([differs(field)]);
    }
    let all_wrong = quote(OTHER_SELLER, OTHER_BUYER, (CUP, 2), usd(1), START.plus_ms(-1));
    shop().when_quoted([all_wrong], BUYER, place(&[(TEA, 1)], usd(1))).then_rejected([
        differs(QuoteField::Listing),
        differs(QuoteField::Quantity),
        differs(QuoteField::Buyer),
        differs(QuoteField::Seller),
        Rejection::QuoteExpired { listing: listing(TEA), expired: START.plus_ms(-1) },
    ]);
}

#[test]
fn a_quote_asks_for_something_and_in_the_orders_currency() {
    let good = START.plus_ms(DAY_MS);
    let quoted = |total: Money| quote(SELLER, BUYER, (TEA, 1), total, good);
    let (expected, found) = (usd(0).currency, eur(0).currency);
    for (total, reason) in [
        (usd(0), Rejection::PriceNotPositive),
        (usd(-5), Rejection::PriceNotPositive),
        (eur(5), Rejection::CurrencyMismatch { listing: listing(TEA), expected, found }),
        (usd(501), Rejection::TotalMismatch { signed: usd(500), actual: usd(501) }),
    ] {
        shop().when_quoted([quoted(total)], BUYER, place(&[(TEA, 1)], usd(500))).then_rejected([reason]);
    }
}

// Carts that become orders.

#[test]
fn a_cart_becomes_orders_and_is_closed_in_the_same_commit() {
    let mut world = shop();
    world.given(BUYER, add(TEA, 2)).given(BUYER, add(POT, 1));
    let cart = world.cart(BUYER);
    world.when(BUYER, migrate(cart, usd(3500))).then_types([
        "order.placed.v1",
        "escrow.held.v1",
        "order.placed.v1",
        "escrow.held.v1",
        "cart.migrated.v1",
    ]);
    let orders = vec![world.order(0), world.order(1)];
    match world.events() {
        [Event::OrderPlaced(placed), .., Event::CartMigrated(migrated)] => {
            assert_eq!(placed.cart, Some(cart));
            assert_eq!((migrated.cart, &migrated.orders, migrated.version), (cart, &orders, 3));
        }
        other => panic!("{other:?}"),
    }
    world
        .when_again()
        .then_repeat()
        .when(BUYER, migrate(cart, usd(3500)))
        .then_unchanged()
        .when(BUYER, set(TEA, 1))
        .then_rejected([Rejection::CartMissing])
        .given(BUYER, add(TEA, 1));
    assert_ne!(world.cart(BUYER), cart, "what comes next is another cart");
}

#[test]
fn a_cart_is_ones_own_and_holds_something() {
    let mut world = shop();
    world.given(BUYER, add(TEA, 1));
    let cart = world.cart(BUYER);
    world
        .when(OTHER_BUYER, migrate(cart, usd(500)))
        .then_rejected([Rejection::CartUnknown { cart }])
        .given(BUYER, clear())
        .when(BUYER, migrate(cart, usd(500)))
        .then_rejected([Rejection::CartEmpty])
        .when(SELLER, migrate(cart, usd(500)))
        .then_refused(no_role());
}

#[test]
fn a_cart_that_can_not_be_bought_stays_as_it_is() {
    let mut world = shop();
    world.given(BUYER, add(TEA, 11));
    let cart = world.cart(BUYER);
    world
        .when(BUYER, migrate(cart, usd(5499)))
        .then_rejected([
            Rejection::InsufficientStock { listing: listing(TEA), requested: 11, available: 10 },
            Rejection::TotalMismatch { signed: usd(5499), actual: usd(5500) },
        ])
        .given(BUYER, set(TEA, 10))
        .when(BUYER, migrate(cart, usd(5000)))
        .then_types(["order.placed.v1", "escrow.held.v1", "cart.migrated.v1"]);
}

#[test]
fn a_hundred_lines_of_a_hundred_sellers_fit_one_commit() {
    let mut world = World::new();
    world.given(PROVIDER, fund(BUYER, usd(100)));
    for n in 0..LINES_MAX as u64 {
        use commands::command::RegisterAccount;
        let seller = Actor(1000 + n as u32);
        let roles = [Role::Seller].into();
        world
            .given(REGISTRAR, RegisterAccount { account: seller.account(), roles }.into())
            .given(REGISTRAR, register_device(seller))
            .given_listing(seller, n, usd(1), 1)
            .given(BUYER, add(n, 1));
    }
    let cart = world.cart(BUYER);
    world.given(BUYER, migrate(cart, usd(100)));
    assert_eq!(world.events().len(), 2 * LINES_MAX + 1);
    assert_eq!(world.market.orders.open_count(), LINES_MAX);
    then_balances(&mut world, [(wallet(BUYER), 0)]);
}

// From the seller to the buyer.

#[test]
fn a_shipped_order_leaves_the_stock_and_is_with_the_carrier() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
    let delivery_due = world.now.plus_ms(14 * DAY_MS);
    let lines = line_units(&[(TEA, 3, usd(1500))]);
    let (carrier, shipment) = (Some("Pigeon".to_owned()), ShipmentNumber::FIRST);
    let shipped = Shipped { carrier, delivery_due, lines, order, shipment, shipping: None, tracking: None };
    world
        .when(SELLER, ship(order))
        .then_events([shipped.into()])
        .then(|market| {
            let tea = market.listings.get(listing(TEA)).unwrap();
            assert_eq!((tea.stock.on_hand, tea.stock.reserved), (7, 0));
        })
        .when_again()
        .then_repeat()
        .when(SELLER, ship(order))
        .then_unchanged();
}

#[test]
fn the_carrier_begins_the_inspection_and_the_buyer_ends_it() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 2)], usd(1000)));
    let inspection_ends = world.now.plus_ms(3 * DAY_MS);
    let confirmed_by = DeliveryProof::Carrier;
    let escrow = LedgerAccount::Escrow(order);
    let shipment = ShipmentNumber::FIRST;
    let released = EscrowReleased {
        kept_until: None,
        buyer: BUYER.account(),
        closed_as: Some(OrderState::Completed),
        condition: ReleaseCondition::BuyerConfirmed,
        order,
        remaining: None,
        seller: SELLER.account(),
        shipment,
        transfers: vec![
            Transfer { amount: usd(975), from: escrow, to: earned(SELLER) },
            Transfer { amount: usd(25), from: escrow, to: LedgerAccount::PlatformFees },
        ],
        with: vec![],
    };
    world
        .given(SELLER, ship(order))
        .when(PROVIDER, confirm(order))
        .then_events([Delivered {
            confirmed_by,
            inspection_ends,
            order,
            release_due: None,
            return_by: None,
            shipment,
        }
        .into()])
        .when_again()
        .then_repeat()
        .when(PROVIDER, confirm(order))
        .then_unchanged()
        .when(BUYER, confirm(order))
        .then_events([released.into()])
        .when_again()
        .then_repeat()
        .when(BUYER, confirm(order))
        .then_unchanged()
        .when(PROVIDER, confirm(order))
        .then_unchanged()
        .when(SELLER, ship(order))
        .then_unchanged();
    then_balances(&mut world, [(escrow, 0), (earned(SELLER), 975), (LedgerAccount::PlatformFees, 25)]);
    assert_eq!(world.market.next_deadline(), None);
}

#[test]
fn a_buyer_who_has_the_goods_releases_the_money_at_once() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 2)], usd(1000)));
    let (confirmed_by, shipment) = (DeliveryProof::Buyer, ShipmentNumber::FIRST);
    let delivered = Delivered {
        confirmed_by,
        inspection_ends: world.now,
        order,
        release_due: None,
        return_by: None,
        shipment,
    };
    world.given(SELLER, ship(order)).when(BUYER, confirm(order));
    world.then_types(["order.delivered.v2", "escrow.released.v2"]);
    assert_eq!(world.events()[0], delivered.into());
}

#[test]
fn fees_take_all_or_nothing_and_no_empty_transfer_is_made() {
    let policy = |bps, fixed_minor, min_minor, max_minor| {
        FeePolicy::new(bps, fixed_minor, min_minor, max_minor).unwrap()
    };
    for (fee, seller, platform) in [
        (policy(0, 0, 0, None), 100, 0),
        (policy(10_000, 0, 0, None), 0, 100),
        (policy(0, 1000, 0, None), 0, 100),
        (policy(0, 0, 30, None), 70, 30),
        (policy(5000, 0, 0, Some(10)), 90, 10),
        (policy(50, 0, 0, None), 99, 1),
        (policy(49, 0, 0, None), 100, 0),
    ] {
        let mut world = World::charging(fee);
        world.given_listing(SELLER, TEA, usd(100), 1).given(PROVIDER, fund(BUYER, usd(100)));
        let order = world.placed(BUYER, place(&[(TEA, 1)], usd(100)));
        world.given(SELLER, ship(order)).given(BUYER, confirm(order));
        then_balances(&mut world, [(earned(SELLER), seller), (LedgerAccount::PlatformFees, platform)]);
    }
}

#[test]
fn an_order_is_changed_only_by_those_it_belongs_to() {
    let mut world = shop();
    let order = world.placed(BUYER, place(&[(TEA, 1)], usd(500)));
    let not_yours = || [Rejection::NotYourOrder { order }];
    for _open_then_closed in 0..2 {
        for (actor, command) in [
            (OTHER_SELLER, ship(order)),
            (OTHER_BUYER, confirm(order)),
            (OTHER_BUYER, cancel(order)),
            (OTHER_SELLER, cancel(order)),
        ] {
            world.when(actor, command).then_rejected(not_yours());
        }
        for (actor, command) in [
            (BUYER, ship(order)),
            (OPERATOR, ship(order)),
            (SELLER, confirm(order)),
            (OPERATOR, confirm(order)),
            (PROVIDER, cancel(order)),
            (REGISTRAR, cancel(order)),
        ] {
            world.when(actor, command).then_refused(no_role());
        }
        world.when(BUYER, cancel(order));
    }
}

#[test]
fn an_order_that_never_was_is_unknown() {
    let order = events::ids::OrderId::derive(BUYER.account(), cid(START, 999), 0);
    for (actor, command) in [
        (SELLER, ship(order)),
        (BUYER, confirm(order)),
        (PROVIDER, confirm(order)),
        (OPERATOR, cancel(order)),
    ] {
        shop().when(actor, command).then_rejected([Rejection::OrderUnknown { order }]);
    }
}

// Ends.

#[test]
fn buyer_seller_and_operator_can_cancel_what_is_not_shipped() {
    for (actor, role) in [(BUYER, Role::Buyer), (SELLER, Role::Seller), (OPERATOR, Role::Operator)] {
        let mut world = shop();
        let order = world.placed(BUYER, place(&[(TEA, 3)], usd(1500)));
        let reason = Some("changed my mind".to_owned());
        let transfer = Transfer { amount: usd(1500), from: LedgerAccount::Escrow(order), to: wallet(BUYER) };
        let (buyer, seller) = (BUYER.account(), SELLER.account());
        let lines = line_units(&[(TEA, 3, usd(1500))]);
        let (closed_as, transfer) = (Some(OrderState::Cancelled), Some(transfer));
        world
            .when(actor, cancel(order))
            .then_events([
                Cancelled {
                    by: CancelledBy::Account(role),
                    lines,
                    order,
                    reason,
                    shipping: None,
                    uncharged: None,
                }
                .into(),
                EscrowRefunded { buyer, closed_as, order, remaining: None, seller, transfer }.into(),
            ])
            .then(|market| {
                assert_eq!(market.listings.get(listing(TEA)).unwrap().available(), 10);
                assert_eq!(market.next_deadline(), None);
            })
            .when_again()
            .then_repeat();
        for actor in [BUYER, SELLER, OPERATOR] {
            world.when(actor, cancel(order)).then_unchanged();
        }
        then_balances(&mut world, [(wallet(BUYER), 10_000), (LedgerAccount::Escrow(order), 0)]);
    }
}

#[test]
fn each_state_allows_what_it_allows() {
    use OrderState::{
        Authorized, AwaitingPayment, Cancelled, Completed, Delivered, Placed, Refunded, Shipped,
    };
    for state in [AwaitingPayment, Authorized, Placed, Shipped, Delivered, Completed, Cancelled, Refunded] {
        let reach = |world: &mut World| {
            let command = match state {
                AwaitingPayment => place_by_card(&[(TEA, 1)], usd(500), None),
                Authorized => place_captured(CaptureTime::OnShip, &[(TEA, 1)], usd(500), None),
                _ => place(&[(TEA, 1)], usd(500)),
            };
            let order = world.placed(BUYER, command);
            match state {
                AwaitingPayment | Placed => {}
                Authorized => {
                    let (payment, until) = (world.payment(), world.now.plus_ms(7 * DAY_MS));
                    world.given(PROVIDER, report(payment, held(usd(500), until)));
                }
                Shipped => {
                    world.given(SELLER, ship(order));
                }
                Delivered => {
                    world.given(SELLER, ship(order)).given(PROVIDER, confirm(order));
                }
                Completed => {
                    world.given(SELLER, ship(order)).given(BUYER, confirm(order));
                }
                Cancelled => {
                    world.given(BUYER, cancel(order));
                }
                OrderState::AwaitingSeller => unreachable!("here orders wait for no seller"),
                Refunded => {
                    world
                        .given(SELLER, ship(order))
                        .given(BUYER, freeze_money(order, 1, None, FreezeReason::NotReceived))
                        .given(OPERATOR, settle(order, 1, usd(0), usd(500)));
                }
            }
            order
        };
        let may_ship = !matches!(state, AwaitingPayment | Authorized | Cancelled | Refunded);
        let may_confirm = !matches!(state, AwaitingPayment | Authorized | Placed | Cancelled | Refunded);
        let may_cancel = matches!(state, AwaitingPayment | Authorized | Placed | Cancelled);
        for (actor, command, may) in [
            (SELLER, ship as fn(_) -> _, may_ship),
            (BUYER, confirm, may_confirm),
            (PROVIDER, confirm, may_confirm),
            (BUYER, cancel, may_cancel),
            (SELLER, cancel, may_cancel),
            (OPERATOR, cancel, may_cancel),
        ] {
            let mut world = shop();
            let order = reach(&mut world);
            world.when(actor, command(order));
            if may {
                assert!(!matches!(world.events(), [Event::CommandRejected(_)]), "{state:?} {command:?}");
            } else if (actor, state) == (SELLER, Authorized) {
                world.then_rejected([Rejection::NotCharged { order }]);
            } else {
                world.then_rejected([Rejection::OrderState { order, state }]);
            }
        }
    }
}
