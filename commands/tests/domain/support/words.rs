//! Commands and values in few characters.

use std::collections::{BTreeMap, BTreeSet};

use commands::command::{
    AcceptOrder, AddToCart, AdjustStock, AllowReservations, ApplyCoupon, AskedVariant, BlockListing,
    CancelOrder, CancelPayment, CartClaim, ClearCart, ClearRisk, ConfirmDelivery, CreateListing,
    CreatePromotion, DeclineOrder, Delivery, EndPromotion, ExchangeMoney, ExchangeQuote, ExpectStock,
    ExtendReservation, FoundBreak, FreezeCart, FreezeEscrow, FundWallet, GrantClearance, HoldOrder,
    LeaveCart, LineQuantity, MergeCart, MigrateCart, MoveBack, MoveStock, NameCart, OrderLine, PauseListing,
    PayOrder, PaymentMethod, PayoutOutcome, PlaceOrder, ProviderMethod, Quote, ReadyOrder, ReceiveStock,
    RefundOrder, RefundPayment, RegisterAccount, RegisterDevice, ReinstateSeller, ReleaseEscrow,
    ReleaseReservation, RemoveCoupon, RemoveFromCart, RemoveShippingRate, ReportPayment, ReportPayout,
    ReportReconciliation, ReportedOutcome, RequestPayment, RequestPayout, ReserveStock, ResolveBreak,
    RestoreCart, ResumeListing, RevokeClearance, SaveForLater, SetBackorderLimit, SetCartQuantity,
    SetSafetyStock, SetShippingRate, SetTax, SetUpEscrow, SettleEscrow, ShareCart, ShipOrder, SignMilestone,
    SuspendSeller, Tenders, UnblockListing, UnfreezeCart, UnfreezeEscrow, UnholdOrder, UnshareCart,
    UpdateListing, VerifiedClaim, VerifiedExchange, VerifiedQuote, VerifyAccount, WithdrawListing,
};
use commands::payment::{Effect, Wish};
use commands::{Command, Market};
use events::account::{Role, Tier};
use events::cart::MergePolicy;
use events::escrow::FreezeReason;
use events::escrow::milestone::Milestone;
use events::escrow::rule::{Condition, ReleaseRule};
use events::exchange::Rate as ExchangeRate;
use events::ids::{CartId, ListingId, OrderId, PaymentId, PayoutId, PromotionId, ReservationId};
use events::listing::Limits;
use events::location::Located;
use events::order::hold::HoldReason;
use events::order::{LineUnits, ShipmentNumber};
use events::payment::CaptureTime;
use events::promotion::{Benefit, PaidBy};
use events::reconciliation::{Difference, MovementKind};
use events::shipping::Rate;
use events::stock::AdjustmentReason;
use events::tax::Region;
use events::{Bps, Hash, Money, Quantity, Timestamp};
use uuid::Uuid;

use super::Actor;

/// Listings by number.
pub const TEA: u64 = 1;
pub const POT: u64 = 2;
pub const CUP: u64 = 3;

pub fn usd(minor: i64) -> Money {
    Money::new(minor, "USD".parse().unwrap())
}

pub fn eur(minor: i64) -> Money {
    Money::new(minor, "EUR".parse().unwrap())
}

pub fn units(n: u32) -> Quantity {
    Quantity::new(n).unwrap()
}

pub fn listing(n: u64) -> ListingId {
    ListingId::from_uuid(Uuid::from_u128(0x1157_0000_0000 | u128::from(n)))
}

pub fn text<const MAX: usize>(text: &str) -> commands::command::Text<MAX> {
    text.to_owned().try_into().unwrap()
}

pub fn register(actor: Actor) -> Command {
    RegisterAccount { account: actor.account(), roles: actor.roles() }.into()
}

/// Registers somebody in other roles than he usually has.
pub fn register_as(actor: Actor, roles: &[Role]) -> Command {
    RegisterAccount { account: actor.account(), roles: roles.iter().copied().collect() }.into()
}

pub fn register_device(actor: Actor) -> Command {
    RegisterDevice::new(actor.account(), actor.device(), actor.key()).into()
}

pub fn create_listing(n: u64, price: Money) -> Command {
    CreateListing::new(listing(n), price, text("A thing")).into()
}

pub fn receive(n: u64, quantity: u32) -> Command {
    ReceiveStock { listing: listing(n), location: None, quantity: units(quantity) }.into()
}

/// Lets each buyer reserve so many units for a quarter of an hour.
pub fn allow_reservations(n: u64, most: u64) -> Command {
    AllowReservations { for_ms: None, listing: listing(n), units: most.try_into().unwrap() }.into()
}

pub fn allow_reservations_for(n: u64, most: u64, ms: i64) -> Command {
    let for_ms = Some(ms.try_into().unwrap());
    AllowReservations { for_ms, listing: listing(n), units: most.try_into().unwrap() }.into()
}

pub fn reserve(n: u64, quantity: u32) -> Command {
    ReserveStock { listing: listing(n), quantity: units(quantity) }.into()
}

pub fn extend(reservation: ReservationId) -> Command {
    ExtendReservation { reservation }.into()
}

pub fn release_reservation(reservation: ReservationId) -> Command {
    ReleaseReservation { reservation }.into()
}

/// Offers a variant of listing `of` with these attributes.
pub fn create_variant(n: u64, of: u64, attributes: &[(&str, &str)]) -> Command {
    let by_name: BTreeMap<String, String> =
        attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let variant = AskedVariant { attributes: by_name.try_into().unwrap(), of: listing(of) };
    let plain = CreateListing::new(listing(n), usd(500), text("A thing"));
    CreateListing { variant: Some(variant), ..plain }.into()
}

/// A wish that changes nothing of a listing; a test sets what it wants.
pub fn update(n: u64) -> UpdateListing {
    UpdateListing {
        limits: None,
        listing: listing(n),
        price: None,
        final_sale: None,
        restricted: None,
        tax_class: None,
        title: None,
        release: None,
    }
}

/// A thing whose money is released by a rule of its own.
pub fn create_with_rule(n: u64, price: Money, rule: &Condition) -> Command {
    let release = Some(ReleaseRule::new(rule.clone()).unwrap());
    CreateListing { release, ..CreateListing::new(listing(n), price, text("A thing")) }.into()
}

pub fn limits(min: Option<u32>, max: Option<u32>) -> Limits {
    Limits { max: max.map(units), min: min.map(units) }
}

pub fn pause(n: u64) -> Command {
    PauseListing { listing: listing(n) }.into()
}

pub fn resume(n: u64) -> Command {
    ResumeListing { listing: listing(n) }.into()
}

pub fn withdraw(n: u64) -> Command {
    WithdrawListing { listing: listing(n) }.into()
}

pub fn block(n: u64) -> Command {
    BlockListing { listing: listing(n), reason: text("counterfeit") }.into()
}

pub fn unblock(n: u64) -> Command {
    UnblockListing { listing: listing(n), reason: text("it is genuine") }.into()
}

pub fn suspend(seller: Actor) -> Command {
    SuspendSeller { account: seller.account(), reason: text("complaints") }.into()
}

pub fn reinstate(seller: Actor) -> Command {
    ReinstateSeller { account: seller.account(), reason: text("settled") }.into()
}

pub fn grant_clearance(buyer: Actor) -> Command {
    GrantClearance { account: buyer.account(), reason: text("of age") }.into()
}

pub fn revoke_clearance(buyer: Actor) -> Command {
    RevokeClearance { account: buyer.account(), reason: text("forged papers") }.into()
}

pub fn verify(buyer: Actor, tier: u32) -> Command {
    VerifyAccount { account: buyer.account(), tier: Tier::new(tier).unwrap() }.into()
}

pub fn region(code: &str) -> Region {
    code.parse().unwrap()
}

/// Taxes what goes to a region, on top of prices.
pub fn tax(code: &str, class: Option<&str>, bps: u32) -> Command {
    let tax_class = class.map(|class| class.parse().unwrap());
    SetTax { bps: Bps::new(bps).unwrap(), inclusive: false, region: region(code), tax_class }.into()
}

/// Says that prices hold the tax on what goes to a region.
pub fn tax_inside(code: &str, bps: u32) -> Command {
    let bps = Bps::new(bps).unwrap();
    SetTax { bps, inclusive: true, region: region(code), tax_class: None }.into()
}

pub fn rate(flat: i64, free_from: Option<i64>, per_unit: Option<i64>) -> Rate {
    Rate::new(usd(flat), free_from.map(usd), per_unit.map(usd)).unwrap()
}

/// Delivers to a region, or everywhere.
pub fn set_rate(method: &str, to: Option<&str>, rate: Rate) -> Command {
    SetShippingRate { method: method.parse().unwrap(), rate, region: to.map(region) }.into()
}

pub fn remove_rate(method: &str, to: Option<&str>) -> Command {
    let currency = usd(0).currency;
    RemoveShippingRate { currency, method: method.parse().unwrap(), region: to.map(region) }.into()
}

/// A promotion of everything, for everybody, for ever; a test sets what it wants.
pub fn promotion(gives: Benefit) -> CreatePromotion {
    CreatePromotion {
        code: None,
        from: None,
        gives,
        listings: BTreeSet::new(),
        min_spend: None,
        paid_by: PaidBy::Seller,
        title: text("Sale"),
        until: None,
        uses: None,
        uses_per_account: None,
    }
}

/// A promotion of everything that everybody sells, which the platform pays.
pub fn platform_promotion(gives: Benefit) -> CreatePromotion {
    CreatePromotion { paid_by: PaidBy::Platform, ..promotion(gives) }
}

pub fn percent(bps: u32) -> Benefit {
    Benefit::Percent(Bps::new(bps).unwrap())
}

/// A coupon that so many orders may have.
pub fn coupon(code: &str, gives: Benefit, uses: Option<u32>) -> Command {
    CreatePromotion { code: Some(code.parse().unwrap()), uses, ..promotion(gives) }.into()
}

pub fn apply_coupon(code: &str) -> Command {
    ApplyCoupon { coupon: code.parse().unwrap() }.into()
}

pub fn remove_coupon() -> Command {
    RemoveCoupon {}.into()
}

pub fn end(promotion: PromotionId) -> Command {
    EndPromotion { promotion }.into()
}

/// Delivers to a region by the cheapest methods.
pub fn to(code: &str) -> Option<Delivery> {
    Some(Delivery::to(region(code)))
}

/// Buys (listing, units) for at most `total`, with a coupon, delivered to a region.
pub fn buy(lines: &[(u64, u32)], coupon: Option<&str>, code: Option<&str>, total: Money) -> Command {
    let Command::PlaceOrder(order) = place(lines, total) else { unreachable!() };
    let coupon = coupon.map(|code| code.parse().unwrap());
    PlaceOrder { coupon, delivery: code.and_then(to), ..order }.into()
}

pub fn adjust(n: u64, delta: i64, reason: AdjustmentReason) -> Command {
    AdjustStock { delta: delta.try_into().unwrap(), listing: listing(n), location: None, reason }.into()
}

/// Says where something happens to stock: a command about stock, with its location.
pub fn at(location: &str, command: Command) -> Command {
    let location = Some(location.parse().unwrap());
    match command {
        Command::ReceiveStock(command) => ReceiveStock { location, ..command }.into(),
        Command::AdjustStock(command) => AdjustStock { location, ..command }.into(),
        Command::SetSafetyStock(command) => SetSafetyStock { location, ..command }.into(),
        Command::ExpectStock(command) => ExpectStock { location, ..command }.into(),
        Command::ShipOrder(command) => ShipOrder { from: location, ..command }.into(),
        other => panic!("{} has no location", other.name()),
    }
}

/// Moves units from one location to another; an empty name is none.
pub fn move_stock(n: u64, quantity: u32, from: &str, to: &str) -> Command {
    let named = |name: &str| (!name.is_empty()).then(|| name.parse().unwrap());
    MoveStock { from: named(from), listing: listing(n), quantity: units(quantity), to: named(to) }.into()
}

/// Units at locations, by their names.
pub fn located(named: &[(&str, u32)]) -> Vec<Located> {
    named
        .iter()
        .map(|(name, quantity)| Located { location: name.parse().unwrap(), quantity: units(*quantity) })
        .collect()
}

pub fn set_safety(n: u64, units: u64) -> Command {
    SetSafetyStock { listing: listing(n), location: None, units: units.try_into().unwrap() }.into()
}

pub fn set_backorder_limit(n: u64, units: u64) -> Command {
    SetBackorderLimit { listing: listing(n), units: units.try_into().unwrap() }.into()
}

pub fn expect(n: u64, quantity: u64, due: Timestamp) -> Command {
    ExpectStock { due, listing: listing(n), location: None, quantity: quantity.try_into().unwrap() }.into()
}

/// Credits a payment whose reference says whom and how much, so that another one has another.
pub fn fund(actor: Actor, amount: Money) -> Command {
    fund_as(&format!("{} gets {amount}", actor.0), actor, amount)
}

pub fn fund_as(reference: &str, actor: Actor, amount: Money) -> Command {
    FundWallet { account: actor.account(), amount, reference: text(reference) }.into()
}

pub fn add(n: u64, quantity: u32) -> Command {
    AddToCart { listing: listing(n), owner: None, quantity: units(quantity) }.into()
}

/// Puts something into the cart that its owner shares.
pub fn add_to(owner: Actor, n: u64, quantity: u32) -> Command {
    AddToCart { listing: listing(n), owner: Some(owner.account()), quantity: units(quantity) }.into()
}

pub fn name_cart(name: Option<&str>) -> Command {
    NameCart { name: name.map(text) }.into()
}

pub fn share(cart: CartId, with: Actor) -> Command {
    ShareCart { cart, with: with.account() }.into()
}

/// Leaves the cart that somebody shares.
pub fn leave(owner: Actor) -> Command {
    LeaveCart { owner: owner.account() }.into()
}

pub fn unshare(cart: CartId, with: Actor) -> Command {
    UnshareCart { cart, with: with.account() }.into()
}

pub fn set(n: u64, quantity: u32) -> Command {
    SetCartQuantity { listing: listing(n), owner: None, quantity: units(quantity) }.into()
}

pub fn remove(n: u64) -> Command {
    RemoveFromCart { listing: listing(n), owner: None }.into()
}

pub fn clear() -> Command {
    ClearCart::default().into()
}

pub fn save(n: u64) -> Command {
    SaveForLater { listing: listing(n) }.into()
}

pub fn move_back(n: u64) -> Command {
    MoveBack { listing: listing(n) }.into()
}

pub fn freeze(until: Timestamp) -> Command {
    FreezeCart { until }.into()
}

pub fn unfreeze() -> Command {
    UnfreezeCart {}.into()
}

pub fn restore(cart: CartId) -> Command {
    RestoreCart { cart }.into()
}

/// Merges by a claim that stands beside the command here.
pub fn merge(policy: MergePolicy) -> Command {
    MergeCart { claim: "claim".to_owned(), policy }.into()
}

/// The word of a cart's owner that another may merge it.
pub fn claim(owner: Actor, cart: CartId, to: Actor, exp: Timestamp) -> VerifiedClaim {
    let claim = CartClaim { aud: "main".parse().unwrap(), cart, exp, to: to.account(), v: 1 };
    VerifiedClaim { key: owner.key().id(), claim }
}

pub fn migrate(cart: CartId, total: Money) -> Command {
    MigrateCart::new(cart, PaymentMethod::Wallet, total).into()
}

/// Buys (listing, units) for at most `total`.
pub fn place(lines: &[(u64, u32)], total: Money) -> Command {
    let line = |(n, quantity): &(u64, u32)| OrderLine {
        listing: listing(*n),
        quantity: units(*quantity),
        quote: None,
    };
    let lines = lines.iter().map(line).collect();
    PlaceOrder::new(lines, PaymentMethod::Wallet, total).into()
}

pub fn set_up(order: OrderId, buyer: Actor, seller: Actor, amount: Money) -> Command {
    SetUpEscrow { amount, buyer: buyer.account(), order, seller: seller.account() }.into()
}

pub fn accept(order: OrderId) -> Command {
    AcceptOrder { order }.into()
}

pub fn decline(order: OrderId) -> Command {
    DeclineOrder { order, reason: text("broken on the shelf") }.into()
}

/// Buys (listing, units) for at most `total` through [`super::PROVIDER`], and a part of it from the wallet.
pub fn place_by_card(lines: &[(u64, u32)], total: Money, wallet: Option<Money>) -> Command {
    place_with(by_provider(super::PROVIDER, wallet), lines, total)
}

pub fn place_with(payment_method: PaymentMethod, lines: &[(u64, u32)], total: Money) -> Command {
    match place(lines, total) {
        Command::PlaceOrder(asked) => PlaceOrder { payment_method, ..asked }.into(),
        other => panic!("no order: {other:?}"),
    }
}

pub fn by_provider(provider: Actor, wallet: Option<Money>) -> PaymentMethod {
    capturing(provider, CaptureTime::AtOnce, wallet)
}

pub fn method(provider: Actor, token: &str) -> ProviderMethod {
    ProviderMethod { provider: provider.account(), token: text(token) }
}

/// Buys through [`super::PROVIDER`], who is to take the money when it is told here.
pub fn place_captured(
    capture: CaptureTime,
    lines: &[(u64, u32)],
    total: Money,
    wallet: Option<Money>,
) -> Command {
    place_with(capturing(super::PROVIDER, capture, wallet), lines, total)
}

pub fn capturing(provider: Actor, capture: CaptureTime, wallet: Option<Money>) -> PaymentMethod {
    PaymentMethod::Tenders(Tenders { capture, provider: method(provider, "tok_approve"), wallet })
}

/// Says that an order is about to leave.
pub fn ready(order: OrderId) -> Command {
    ReadyOrder { order }.into()
}

/// Pays an order anew.
pub fn pay(order: OrderId) -> Command {
    PayOrder { method: method(super::PROVIDER, "tok_other"), order }.into()
}

pub fn ship(order: OrderId) -> Command {
    ShipOrder { carrier: Some(text("Pigeon")), from: None, lines: None, order, tracking: None }.into()
}

/// Ships (listing, units) of an order.
pub fn ship_units(order: OrderId, lines: &[(u64, u32)]) -> Command {
    ShipOrder { carrier: None, from: None, lines: Some(line_quantities(lines)), order, tracking: None }.into()
}

pub fn confirm(order: OrderId) -> Command {
    ConfirmDelivery { order, shipment: None }.into()
}

/// Confirms an order's `n`-th shipment, counted from 1.
pub fn confirm_shipment(order: OrderId, n: u32) -> Command {
    ConfirmDelivery { order, shipment: Some(shipment(n)) }.into()
}

pub fn cancel(order: OrderId) -> Command {
    CancelOrder { lines: None, order, reason: Some(text("changed my mind")) }.into()
}

/// Cancels (listing, units) of an order.
pub fn cancel_units(order: OrderId, lines: &[(u64, u32)]) -> Command {
    CancelOrder { lines: Some(line_quantities(lines)), order, reason: None }.into()
}

/// Gives back a part of an order's `n`-th shipment, counted from 1.
pub fn refund(order: OrderId, n: u32, amount: Money) -> Command {
    RefundOrder { amount, order, reason: text("scratched"), shipment: shipment(n) }.into()
}

pub fn hold(order: OrderId, reason: HoldReason) -> Command {
    HoldOrder { note: text("look at it"), order, reason }.into()
}

pub fn unhold(order: OrderId) -> Command {
    UnholdOrder { order }.into()
}

/// Has all money of an order's `n`-th shipment frozen, or some of it.
pub fn freeze_money(order: OrderId, n: u32, amount: Option<Money>, reason: FreezeReason) -> Command {
    FreezeEscrow { amount, note: None, order, reason, shipment: shipment(n) }.into()
}

pub fn unfreeze_money(order: OrderId, n: u32) -> Command {
    UnfreezeEscrow { order, shipment: shipment(n) }.into()
}

pub fn settle(order: OrderId, n: u32, to_seller: Money, to_buyer: Money) -> Command {
    SettleEscrow { note: text("as agreed"), order, shipment: shipment(n), to_buyer, to_seller }.into()
}

pub fn release(order: OrderId, n: u32) -> Command {
    ReleaseEscrow { order, shipment: shipment(n) }.into()
}

pub fn sign_milestone(order: OrderId, n: u32, number: u8) -> Command {
    SignMilestone { milestone: milestone(number), order, shipment: shipment(n) }.into()
}

pub fn clear_risk(order: OrderId) -> Command {
    ClearRisk { note: Some(text("known for years")), order }.into()
}

/// Reports a file of a provider's, with payments that the ledger knows otherwise, by number, and by how much.
pub fn compared(provider: Actor, file: u32, breaks: &[(u8, i64)]) -> Command {
    let found = |(number, minor): &(u8, i64)| FoundBreak {
        at: super::START,
        difference: Difference::AmountDiffers { ours: usd(0), theirs: usd(*minor) },
        kind: MovementKind::Payment,
        position: None,
        reference: text(&format!("r{number}")),
    };
    ReportReconciliation {
        breaks: breaks.iter().map(found).collect::<Vec<_>>().try_into().unwrap(),
        compared_to: 2,
        file: Hash::of(&file.to_be_bytes()),
        from: super::START.plus_ms(-1),
        in_flight: 0,
        matched: 0,
        provider: provider.account(),
        totals: Vec::new().try_into().unwrap(),
        unlisted: 0,
        until: super::START,
    }
    .into()
}

pub fn resolve_break(number: u64) -> Command {
    ResolveBreak { number, reason: text("asked the provider") }.into()
}

pub fn milestone(number: u8) -> Milestone {
    Milestone::new(number).unwrap()
}

/// Gives the number of the `n`-th shipment, counted from 1.
pub fn shipment(n: u32) -> ShipmentNumber {
    ShipmentNumber::after(n as usize - 1)
}

/// (Listing, units, what they cost).
pub fn line_units(lines: &[(u64, u32, Money)]) -> Vec<LineUnits> {
    let line = |(n, quantity, amount): &(u64, u32, Money)| LineUnits {
        amount: *amount,
        listing: listing(*n),
        locations: vec![],
        quantity: units(*quantity),
        subsidy: None,
        tax: None,
    };
    lines.iter().map(line).collect()
}

fn line_quantities(lines: &[(u64, u32)]) -> Vec<LineQuantity> {
    lines
        .iter()
        .map(|(n, quantity)| LineQuantity { listing: listing(*n), quantity: units(*quantity) })
        .collect()
}

/// A seller's offer for a line.
pub fn quote(seller: Actor, buyer: Actor, line: (u64, u32), total: Money, exp: Timestamp) -> VerifiedQuote {
    let (n, quantity) = line;
    let quote = Quote {
        aud: "main".parse().unwrap(),
        buyer: buyer.account(),
        exp,
        listing: listing(n),
        quantity: units(quantity),
        total,
        v: 1,
    };
    VerifiedQuote { key: seller.key().id(), quote }
}

/// Asks [`super::PROVIDER`] for money.
pub fn request(amount: Money) -> Command {
    request_from(super::PROVIDER, amount, "tok_approve")
}

pub fn request_from(provider: Actor, amount: Money, token: &str) -> Command {
    RequestPayment { amount, method: method(provider, token) }.into()
}

pub fn give_up(payment: PaymentId) -> Command {
    CancelPayment { payment }.into()
}

pub fn give_back(payment: PaymentId, amount: Money) -> Command {
    RefundPayment { amount, payment }.into()
}

/// Says that money was taken.
pub fn took(reference: &str, amount: Money) -> ReportedOutcome {
    ReportedOutcome::Captured { amount, reference: text(reference) }
}

/// Gives what providers are asked for about payments.
pub fn wishes_of(market: &Market) -> Vec<Wish> {
    let wishes = market.effects().into_iter().filter_map(|(_, effect)| match effect {
        Effect::Payment(effect) => Some(effect.wish),
        Effect::Payout(_) | Effect::Chargeback(_) => None,
    });
    wishes.collect()
}

/// Asks [`super::PROVIDER`] to pay out.
pub fn pay_out(amount: Money) -> Command {
    RequestPayout { amount, to: method(super::PROVIDER, "acct_1") }.into()
}

/// Lets the provider report something of a payout.
pub fn report_payout(payout: PayoutId, outcome: PayoutOutcome) -> Command {
    ReportPayout { outcome, payout }.into()
}

/// Lets the provider report something.
pub fn report(payment: PaymentId, outcome: ReportedOutcome) -> Command {
    ReportPayment { outcome, payment }.into()
}

/// Says that money is held.
pub fn held(amount: Money, capture_before: Timestamp) -> ReportedOutcome {
    ReportedOutcome::Authorized { amount, capture_before, reference: text("r") }
}

/// Changes money by an offer that stands beside the command here.
pub fn exchange(from: Money, at_least: Money) -> Command {
    ExchangeMoney { at_least, from, quote: "offer".to_owned() }.into()
}

/// A provider's offer to change money of a wallet, at the rate that the two amounts make.
pub fn offer(provider: Actor, buyer: Actor, [from, to]: [Money; 2], reference: &str) -> ExchangeQuote {
    ExchangeQuote {
        account: buyer.account(),
        aud: "main".parse().unwrap(),
        exp: super::START.plus_ms(super::DAY_MS),
        from,
        provider: provider.account(),
        rate: ExchangeRate { for_minor: from.minor, gives_minor: to.minor },
        reference: text(reference),
        to,
        v: 1,
    }
}

pub fn signed_by(actor: Actor, quote: ExchangeQuote) -> VerifiedExchange {
    VerifiedExchange { key: actor.key().id(), quote }
}
