//! Commands and values in few characters.

use commands::Command;
use commands::command::{
    AddToCart, CancelOrder, CancelPayment, ClearCart, ConfirmDelivery, CreateListing, FundWallet,
    MigrateCart, OrderLine, PaymentMethod, PlaceOrder, ProviderMethod, Quote, ReceiveStock, RefundPayment,
    RegisterAccount, RegisterDevice, RemoveFromCart, ReportedOutcome, RequestPayment, SetCartQuantity,
    ShipOrder, VerifiedQuote,
};
use events::ids::{CartId, ListingId, OrderId, PaymentId};
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
    CreateListing { listing: listing(n), price, title: text("A thing") }.into()
}

pub fn receive(n: u64, quantity: u32) -> Command {
    ReceiveStock { listing: listing(n), quantity: units(quantity) }.into()
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
    ShipOrder { carrier: Some(text("Pigeon")), order, tracking: None }.into()
}

pub fn confirm(order: OrderId) -> Command {
    ConfirmDelivery { order }.into()
}

pub fn cancel(order: OrderId) -> Command {
    CancelOrder { order, reason: Some(text("changed my mind")) }.into()
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
