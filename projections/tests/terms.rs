//! The view of the terms that purchases are priced by, and what an order shows of them.

#![allow(clippy::unwrap_used)] // what a test calls is a test too

mod support;

use events::ids::PromotionId;
use events::ledger::{LedgerAccount, Transfer};
use events::listing::StockReceived;
use events::order::{
    EscrowRefunded, EscrowReleased, LineUnits, ReleaseCondition, Rounding, ShipmentNumber, Shipped,
    ShippingCharge,
};
use events::promotion::{Benefit, Created, Discount, Ended, PaidBy};
use events::rejection::OrderState;
use events::shipping::{Quote, Rate, RateRemoved, RateSet};
use events::tax::{Region, Set, Tax};
use events::{Bps, Event};
use projections::Projections;
use projections::terms::{Page, Promotion, ShippingRate, TaxRule};
use support::{History, START, account, currency, follow, listing, order, place, units, usd};
use uuid::Uuid;

const BUYER: u64 = 1;
const SELLER: u64 = 2;

fn promotion(n: u128) -> PromotionId {
    PromotionId::from_uuid(Uuid::from_u128(n))
}

fn region(code: &str) -> Region {
    code.parse().unwrap()
}

fn bps(n: u32) -> Bps {
    Bps::new(n).unwrap()
}

/// A listing is offered, and on the shelf.
fn offered() -> Vec<Event> {
    let created = events::listing::Created::new(listing(1), usd(1000), account(SELLER), "Tea".to_owned());
    let received = StockReceived { listing: listing(1), location: None, on_hand: 9, quantity: units(9) };
    vec![created.into(), received.into()]
}

fn created(n: u128) -> Created {
    Created {
        code: Some("TEA".parse().unwrap()),
        from: START,
        gives: Benefit::Percent(bps(1000)),
        listings: [listing(1)].into(),
        min_spend: None,
        promotion: promotion(n),
        seller: Some(account(SELLER)),
        title: "Tea time".to_owned(),
        until: Some(START.plus_ms(9)),
        uses: Some(3),
        uses_per_account: None,
    }
}

fn tax_of(minor: i64) -> Tax {
    Tax {
        amount: usd(minor),
        bps: bps(1000),
        inclusive: false,
        region: region("DE"),
        rounding: Rounding::HalfAwayFromZero,
        tax_class: None,
        version: 1,
    }
}

/// An order of one tea at 10.00, less 1.00, with 10 % on top, and 5.50 for delivery, 0.50 of that tax.
fn bought(n: u64, of: u128) -> Vec<Event> {
    let lines = [(listing(1), usd(1000), 1)];
    let mut events = place(order(n), account(BUYER), account(SELLER), None, &lines, START);
    let [Event::OrderPlaced(placed), Event::EscrowHeld(held)] = events.as_mut_slice() else {
        panic!("an order and its escrow: {events:?}");
    };
    placed.lines[0].discounts =
        vec![Discount { amount: usd(100), paid_by: PaidBy::Seller, promotion: promotion(of) }];
    (placed.lines[0].tax, placed.lines[0].total) = (Some(tax_of(90)), usd(990));
    let (method, rate) = ("post".parse().unwrap(), Rate::new(usd(500), None, None).unwrap());
    placed.shipping =
        Some(Quote { method, price: usd(500), rate, tax: Some(tax_of(50)), total: usd(550), version: 1 });
    placed.total = usd(1540);
    held.transfer.amount = usd(1540);
    events
}

async fn views_of(history: &History) -> (tempfile::TempDir, Projections) {
    let dir = tempfile::tempdir().unwrap();
    let views = Projections::open(dir.path()).unwrap();
    follow(&views, history.all()).await;
    (dir, views)
}

#[tokio::test]
async fn taxes_are_shown_by_region_as_they_were_set_last() {
    let mut history = History::default();
    let class = || Some("reduced".parse().unwrap());
    let set = |code: &str, tax_class, rate, version| -> Event {
        Set { bps: bps(rate), inclusive: false, region: region(code), tax_class, version }.into()
    };
    for event in [
        set("US", None, 100, 1),
        set("US-CA", None, 725, 2),
        set("US", class(), 50, 3),
        set("US", None, 200, 4),
    ] {
        history.commanded(account(9), "tax.set", vec![event]);
    }
    let (_dir, views) = views_of(&history).await;
    let rule = |code: &str, tax_class, rate, version| TaxRule {
        region: region(code),
        tax_class,
        bps: bps(rate),
        inclusive: false,
        version,
    };
    let of = |code| views.terms().taxes(&region(code)).unwrap();
    let country = [rule("US", class(), 50, 3), rule("US", None, 200, 4)];
    assert_eq!(of("US"), country);
    assert_eq!(of("US-CA"), [vec![rule("US-CA", None, 725, 2)], country.to_vec()].concat());
    assert_eq!(of("DE"), []);
}

#[tokio::test]
async fn rates_are_shown_until_they_are_removed() {
    let mut history = History::default();
    let (seller, method) = (account(SELLER), || "post".parse().unwrap());
    let set = |to: Option<&str>, minor, version| -> Event {
        let rate = Rate::new(usd(minor), Some(usd(5000)), None).unwrap();
        RateSet { method: method(), rate, region: to.map(region), seller, version }.into()
    };
    let removed =
        RateRemoved { currency: currency("USD"), method: method(), region: None, seller, version: 4 };
    for event in [set(None, 900, 1), set(Some("DE"), 500, 2), set(Some("DE"), 400, 3), removed.into()] {
        history.commanded(seller, "shipping.test", vec![event]);
    }
    let (_dir, views) = views_of(&history).await;
    let rate = ShippingRate {
        method: method(),
        region: Some(region("DE")),
        flat: usd(400),
        free_from: Some(usd(5000)),
        per_unit: None,
        version: 3,
    };
    assert_eq!(views.terms().rates(seller).unwrap(), [rate]);
    assert_eq!(views.terms().rates(account(BUYER)).unwrap(), []);
}

#[tokio::test]
async fn promotions_are_shown_with_their_uses_and_those_that_came_back() {
    let mut history = History::default();
    let (buyer, seller) = (account(BUYER), account(SELLER));
    history
        .commanded(seller, "listing.create", offered())
        .commanded(seller, "promotion.create", vec![created(1).into()])
        .commanded(seller, "promotion.create", vec![Created { code: None, ..created(2) }.into()])
        .commanded(buyer, "order.place", bought(1, 1))
        .commanded(buyer, "order.place", bought(2, 1))
        .commanded(buyer, "order.place", bought(3, 1));
    let (from, to) = (LedgerAccount::Escrow(order(2)), LedgerAccount::Wallet(buyer));
    let refunded = EscrowRefunded {
        buyer,
        closed_as: Some(OrderState::Cancelled),
        order: order(2),
        remaining: None,
        seller,
        transfer: Some(Transfer { amount: usd(1540), from, to }),
    };
    let at = START.plus_ms(5);
    history.commanded(buyer, "order.cancel", vec![refunded.into()]).later(5).commanded(
        seller,
        "promotion.end",
        vec![Ended { promotion: promotion(1), seller: Some(seller) }.into()],
    );
    let (_dir, views) = views_of(&history).await;
    let shown = |n: u128, code: Option<&str>, used, is_ended: bool| Promotion {
        promotion: promotion(n),
        seller: Some(seller),
        paid_by: PaidBy::Seller,
        title: "Tea time".to_owned(),
        gives: Benefit::Percent(bps(1000)),
        code: code.map(|code| code.parse().unwrap()),
        listings: [listing(1)].into(),
        min_spend: None,
        from: START,
        until: Some(START.plus_ms(9)),
        ended_at: is_ended.then_some(at),
        uses: Some(3),
        uses_per_account: None,
        used,
    };
    let (first, second) = (shown(1, Some("TEA"), 2, true), shown(2, None, 0, false));
    let page = |after, limit| views.terms().promotions(Some(seller), after, limit).unwrap();
    let (all, next) = (vec![first.clone(), second.clone()], Some(promotion(1)));
    assert_eq!(page(None, 9), Page { promotions: all, next: None });
    assert_eq!(page(None, 1), Page { promotions: vec![first], next });
    assert_eq!(page(next, 1), Page { promotions: vec![second], next: None });
    assert_eq!(views.terms().promotions(Some(buyer), None, 9).unwrap().promotions, []);
}

#[tokio::test]
async fn an_order_shows_what_made_its_price_and_where_the_taxes_went() {
    let mut history = History::default();
    let (buyer, seller) = (account(BUYER), account(SELLER));
    history
        .commanded(seller, "listing.create", offered())
        .commanded(seller, "promotion.create", vec![created(1).into()])
        .commanded(buyer, "order.place", bought(1, 1));
    let shipped = Shipped {
        carrier: None,
        delivery_due: START.plus_ms(9),
        lines: vec![LineUnits {
            amount: usd(990),
            listing: listing(1),
            locations: vec![],
            quantity: units(1),
            subsidy: None,
            tax: Some(usd(90)),
        }],
        order: order(1),
        shipment: ShipmentNumber::FIRST,
        shipping: Some(ShippingCharge { amount: usd(550), tax: Some(usd(50)) }),
        tracking: None,
    };
    let delivered = events::order::Delivered {
        confirmed_by: events::order::DeliveryProof::Buyer,
        inspection_ends: START,
        order: order(1),
        release_due: None,
        return_by: None,
        shipment: ShipmentNumber::FIRST,
    };
    let from = LedgerAccount::Escrow(order(1));
    let transfer = |minor, to| Transfer { amount: usd(minor), from, to };
    let released = EscrowReleased {
        kept_until: None,
        buyer,
        closed_as: Some(OrderState::Completed),
        condition: ReleaseCondition::BuyerConfirmed,
        order: order(1),
        remaining: None,
        seller,
        shipment: ShipmentNumber::FIRST,
        transfers: vec![
            transfer(1350, LedgerAccount::SellerAvailable(seller)),
            transfer(50, LedgerAccount::PlatformFees),
            transfer(140, LedgerAccount::PlatformTax),
        ],
        with: vec![],
    };
    history.commanded(seller, "order.ship", vec![shipped.into()]).commanded(
        buyer,
        "order.confirm_delivery",
        vec![delivered.into(), released.into()],
    );
    let (_dir, views) = views_of(&history).await;
    let shown = views.orders().order(order(1)).unwrap().unwrap();
    assert_eq!(
        shown.timeline[0].note.as_deref(),
        Some("1.00 USD off, 5.50 USD for delivery (post), 1.40 USD taxes in it")
    );
    assert_eq!((shown.shipping.unwrap().total, shown.shipments[0].amount), (usd(550), usd(1540)));
    let line = &shown.lines[0];
    assert_eq!((line.discounts[0].amount, line.tax.as_ref().unwrap().amount), (usd(100), usd(90)));
    let escrow = shown.escrow;
    assert_eq!((escrow.released, escrow.fees, escrow.taxes, escrow.remaining), (1540, 50, 140, 0));
    let collected = views.ledger().balances(LedgerAccount::PlatformTax).unwrap();
    assert_eq!(collected, [usd(140)]);
}
