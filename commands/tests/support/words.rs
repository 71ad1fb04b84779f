//! Commands and values in few characters.

use std::collections::BTreeMap;

use commands::Command;
use commands::command::{
    AddToCart, AdjustStock, AskedVariant, BlockListing, CancelOrder, CancelPayment, ClearCart,
    ConfirmDelivery, CreateListing, ExpectStock, FreezeEscrow, FundWallet, GrantClearance, HoldOrder,
    LineQuantity, MigrateCart, OrderLine, PauseListing, PaymentMethod, PlaceOrder, ProviderMethod, Quote,
    ReceiveStock, RefundPayment, RegisterAccount, RegisterDevice, ReinstateSeller, ReleaseEscrow,
    RemoveFromCart, ReportedOutcome, RequestPayment, ResumeListing, RevokeClearance, SetBackorderLimit,
    SetCartQuantity, SetSafetyStock, SettleEscrow, ShipOrder, SuspendSeller, UnblockListing, UnfreezeEscrow,
    UnholdOrder, UpdateListing, VerifiedQuote, WithdrawListing,
};
use events::escrow::FreezeReason;
use events::ids::{CartId, ListingId, OrderId, PaymentId};
use events::listing::Limits;
use events::order::hold::HoldReason;
use events::order::{LineUnits, ShipmentNumber};
use events::stock::AdjustmentReason;
use events::{Money, Quantity, Timestamp};
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

pub fn register_device(actor: Actor) -> Command {
    RegisterDevice { account: actor.account(), device: actor.device(), key: actor.key() }.into()
}

pub fn create_listing(n: u64, price: Money) -> Command {
    CreateListing::new(listing(n), price, text("A thing")).into()
}

pub fn receive(n: u64, quantity: u32) -> Command {
    ReceiveStock { listing: listing(n), quantity: units(quantity) }.into()
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
        restricted: None,
        tax_class: None,
        title: None,
    }
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

pub fn adjust(n: u64, delta: i64, reason: AdjustmentReason) -> Command {
    AdjustStock { delta: delta.try_into().unwrap(), listing: listing(n), reason }.into()
}

pub fn set_safety(n: u64, units: u64) -> Command {
    SetSafetyStock { listing: listing(n), units: units.try_into().unwrap() }.into()
}

pub fn set_backorder_limit(n: u64, units: u64) -> Command {
    SetBackorderLimit { listing: listing(n), units: units.try_into().unwrap() }.into()
}

pub fn expect(n: u64, quantity: u64, due: Timestamp) -> Command {
    ExpectStock { due, listing: listing(n), quantity: quantity.try_into().unwrap() }.into()
}

/// Credits a payment whose reference says whom and how much, so that another one has another.
pub fn fund(actor: Actor, amount: Money) -> Command {
    fund_as(&format!("{} gets {amount}", actor.0), actor, amount)
}

pub fn fund_as(reference: &str, actor: Actor, amount: Money) -> Command {
    FundWallet { account: actor.account(), amount, reference: text(reference) }.into()
}

pub fn add(n: u64, quantity: u32) -> Command {
    AddToCart { listing: listing(n), quantity: units(quantity) }.into()
}

pub fn set(n: u64, quantity: u32) -> Command {
    SetCartQuantity { listing: listing(n), quantity: units(quantity) }.into()
}

pub fn remove(n: u64) -> Command {
    RemoveFromCart { listing: listing(n) }.into()
}

pub fn clear() -> Command {
    ClearCart {}.into()
}

pub fn migrate(cart: CartId, total: Money) -> Command {
    MigrateCart { cart, payment_method: PaymentMethod::Wallet, total }.into()
}

/// Buys (listing, units) for at most `total`.
pub fn place(lines: &[(u64, u32)], total: Money) -> Command {
    let line = |(n, quantity): &(u64, u32)| OrderLine {
        listing: listing(*n),
        quantity: units(*quantity),
        quote: None,
    };
    let lines = lines.iter().map(line).collect();
    PlaceOrder { lines, payment_method: PaymentMethod::Wallet, total }.into()
}

pub fn ship(order: OrderId) -> Command {
    ShipOrder { carrier: Some(text("Pigeon")), lines: None, order, tracking: None }.into()
}

/// Ships (listing, units) of an order.
pub fn ship_units(order: OrderId, lines: &[(u64, u32)]) -> Command {
    ShipOrder { carrier: None, lines: Some(line_quantities(lines)), order, tracking: None }.into()
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

pub fn hold(order: OrderId, reason: HoldReason) -> Command {
    HoldOrder { note: text("look at it"), order, reason }.into()
}

pub fn unhold(order: OrderId) -> Command {
    UnholdOrder { order }.into()
}

/// Has all money of an order's `n`-th shipment frozen, or some of it.
pub fn freeze(order: OrderId, n: u32, amount: Option<Money>, reason: FreezeReason) -> Command {
    FreezeEscrow { amount, note: None, order, reason, shipment: shipment(n) }.into()
}

pub fn unfreeze(order: OrderId, n: u32) -> Command {
    UnfreezeEscrow { order, shipment: shipment(n) }.into()
}

pub fn settle(order: OrderId, n: u32, to_seller: Money, to_buyer: Money) -> Command {
    SettleEscrow { note: text("as agreed"), order, shipment: shipment(n), to_buyer, to_seller }.into()
}

pub fn release(order: OrderId, n: u32) -> Command {
    ReleaseEscrow { order, shipment: shipment(n) }.into()
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
        quantity: units(*quantity),
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
    let method = ProviderMethod { provider: provider.account(), token: text(token) };
    RequestPayment { amount, method }.into()
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
