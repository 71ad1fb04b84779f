//! Why the market refused a command: one name per rule. The names are stored in the log and are stable.

mod accounts;
mod chargebacks;
mod code;
mod devices;
mod factors;
mod market_keys;
mod parts;
mod privacy;
mod push;
mod reconciliation;
mod returns;
mod risk;
mod sign_in;
mod webhooks;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::code::named;

pub use self::accounts::AccountRejection;
pub use self::chargebacks::{ChargebackRejection, ChargebackState};
pub use self::devices::DeviceRejection;
pub use self::factors::FactorRejection;
pub use self::market_keys::MarketKeyProblem;
pub use self::parts::{CouponProblem, ExchangeField, OrderState, PaymentState, PayoutEnd, QuoteField};
pub use self::privacy::{Open, PrivacyRejection};
pub use self::push::PushRejection;
pub use self::reconciliation::ReconciliationProblem;
pub use self::returns::{ReturnRejection, ReturnState};
pub use self::risk::RiskRejection;
pub use self::sign_in::SignInRejection;
pub use self::webhooks::WebhookRejection;

use crate::account::{Role, Tier};
use crate::escrow::FreezeReason;
use crate::escrow::rule::ReleaseRule;
use crate::ids::{
    AccountId, CartId, DeviceId, ListingId, OrderId, PaymentId, PayoutId, PromotionId, ReservationId,
};
use crate::listing::ListingStatus;
use crate::location::Location;
use crate::money::{Currency, Money, Quantity};
use crate::order::ShipmentNumber;
use crate::order::change::{ChangeProblem, LineChangeProblem};
use crate::order::hold::HoldReason;
use crate::promotion::CouponCode;
use crate::shipping::Method;
use crate::stock::AdjustmentReason;
use crate::tax::Region;
use crate::time::Timestamp;

/// A broken rule, with what its reader needs to do better.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Rejection {
    // Versions.
    /// The command named a version that is no longer the current one.
    #[error("{what} is at version {current}, the command expected {expected}: read it again")]
    StaleVersion {
        /// What was named in `if`.
        what: String,
        /// The version named.
        expected: u64,
        /// The version it has.
        current: u64,
    },

    // Accounts.
    /// The account is registered already.
    #[error("account {account} is registered already, with other roles")]
    AccountExists {
        /// The account.
        account: AccountId,
    },
    /// There is no such account.
    #[error("account {account} is not registered")]
    AccountUnknown {
        /// The account.
        account: AccountId,
    },
    /// An account needs at least one role, and none that only the market itself can have.
    #[error("an account can't be registered with these roles")]
    RolesNotAllowed,
    /// One account can't have both roles.
    #[error("one account can't be {role:?} and {other:?}: register another account for the second role")]
    RolesConflict {
        /// One role.
        role: Role,
        /// The role that can't be held beside it.
        other: Role,
    },
    /// The device is registered already, with another key or for another account.
    #[error("device {device} is registered already, with another key or for another account")]
    DeviceExists {
        /// The device.
        device: DeviceId,
    },
    /// The key belongs to another device.
    #[error("this key belongs to another device")]
    KeyInUse,
    /// The account has as many devices as it may.
    #[error("an account may have {max} devices")]
    TooManyDevices {
        /// The limit.
        max: u32,
    },
    /// The named account lacks a role.
    #[error("account {account} is no {role:?}")]
    RoleMissing {
        /// The account.
        account: AccountId,
        /// The role it lacks.
        role: Role,
    },

    // Listings and stock.
    /// The listing exists already.
    #[error("listing {listing} exists already")]
    ListingExists {
        /// The listing.
        listing: ListingId,
    },
    /// There is no such listing.
    #[error("there is no listing {listing}")]
    ListingUnknown {
        /// The listing.
        listing: ListingId,
    },
    /// Only the seller of a listing may do this.
    #[error("listing {listing} belongs to another seller")]
    NotYourListing {
        /// The listing.
        listing: ListingId,
    },
    /// A price must be more than nothing.
    #[error("a price must be more than zero")]
    PriceNotPositive,
    /// Stock would exceed what can be counted.
    #[error("listing {listing} can't hold more than {max} units")]
    StockOverflow {
        /// The listing.
        listing: ListingId,
        /// The limit.
        max: u64,
    },
    /// Not enough units are free.
    #[error("listing {listing}: {requested} units asked, {available} available")]
    InsufficientStock {
        /// The listing.
        listing: ListingId,
        /// Units asked for.
        requested: u64,
        /// Units free.
        available: u64,
    },
    /// Nobody buys from himself.
    #[error("listing {listing} is your own")]
    SelfPurchase {
        /// The listing.
        listing: ListingId,
    },

    /// The listing can't be bought as it stands, or its seller can't do this with it any more.
    #[error("listing {listing} is {status}")]
    ListingUnavailable {
        /// The listing.
        listing: ListingId,
        /// Why not.
        status: ListingStatus,
    },
    /// An operator forbade the seller to sell.
    #[error("the seller of listing {listing} is suspended")]
    SellerSuspended {
        /// The listing.
        listing: ListingId,
        /// Who sells it.
        seller: AccountId,
    },
    /// Only accounts that an operator has cleared may buy the listing.
    #[error("listing {listing} is restricted: an operator must clear your account for such goods")]
    ClearanceMissing {
        /// The listing.
        listing: ListingId,
    },
    /// The least that an order may have is more than the most.
    #[error("an order can't have {min} units at least and {max} at most")]
    LimitsContradict {
        /// At least.
        min: Quantity,
        /// At most.
        max: Quantity,
    },
    /// A variant can't have variants.
    #[error("listing {listing} is itself a variant: name the one that it is a variant of")]
    VariantOfVariant {
        /// The variant.
        listing: ListingId,
    },
    /// Two variants of one listing have the same attributes.
    #[error("listing {listing} is the variant with these attributes")]
    VariantExists {
        /// The variant that has them.
        listing: ListingId,
    },
    /// For this reason units can only come, or only go.
    #[error("`delta` has the wrong sign: what is {reason} can't be such a change of the stock")]
    AdjustmentDirection {
        /// The reason given.
        reason: AdjustmentReason,
    },
    /// Units are expected in the past, or too far ahead.
    #[error("units can be expected until {latest} and not in the past, not at {due}")]
    DueOutOfRange {
        /// The time named.
        due: Timestamp,
        /// The last time that can be named now.
        latest: Timestamp,
    },
    /// Units of the listing are expected at as many times as may be.
    #[error("units of listing {listing} can be expected at {max} times: change one of them")]
    TooManyExpected {
        /// The listing.
        listing: ListingId,
        /// The limit.
        max: u32,
    },

    // Locations and reservations.
    /// Stock of the listing is at as many named locations as may be.
    #[error("listing {listing} can have stock at {max} named locations: name one of those")]
    TooManyLocations {
        /// The listing.
        listing: ListingId,
        /// The limit.
        max: u32,
    },
    /// Units can't be moved to where they are.
    #[error("`from` and `to` are the same: units of listing {listing} move from one location to another")]
    SameLocation {
        /// The listing.
        listing: ListingId,
    },
    /// Not enough units that may be taken are at the location.
    #[error("listing {listing}: {requested} units asked, {available} available at {}", named(location))]
    InsufficientAtLocation {
        /// The listing.
        listing: ListingId,
        /// The location; absent: no named one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<Location>,
        /// Units asked for.
        requested: u64,
        /// Units that may be taken there.
        available: u64,
    },
    /// No unit of the order that is left is reserved at the location.
    #[error("nothing that is left of order {order} is to be shipped from {location}: name the lines")]
    NothingAtLocation {
        /// The order.
        order: OrderId,
        /// The location.
        location: Location,
    },
    /// The seller lets nobody reserve units of the listing.
    #[error("units of listing {listing} can't be reserved: order them")]
    ReservationsOff {
        /// The listing.
        listing: ListingId,
    },
    /// A buyer may reserve fewer units of the listing.
    #[error("a buyer may reserve {max} units of listing {listing} at most")]
    ReservationLimit {
        /// The listing.
        listing: ListingId,
        /// The most units.
        max: u64,
    },
    /// The buyer has units of the listing set aside already.
    #[error(
        "you have reserved units of listing {listing} ({reservation}): order them, extend their time, or release them first"
    )]
    ReservationExists {
        /// The listing.
        listing: ListingId,
        /// What is reserved already.
        reservation: ReservationId,
    },
    /// The buyer has as many open reservations as he may.
    #[error("an account may have {max} open reservations: order one, release one, or wait until one expires")]
    TooManyReservations {
        /// The limit.
        max: u32,
    },
    /// There is no such reservation, or not any more.
    #[error("there is no open reservation {reservation}: it was ordered, released, or its time is over")]
    ReservationUnknown {
        /// The reservation.
        reservation: ReservationId,
    },
    /// The reservation is another buyer's.
    #[error("reservation {reservation} is another buyer's")]
    NotYourReservation {
        /// The reservation.
        reservation: ReservationId,
    },
    /// The reservation lasts as long as one may.
    #[error("reservation {reservation} can't last longer than until {latest}: order the units before")]
    ReservationLongest {
        /// When it expires.
        latest: Timestamp,
        /// The reservation.
        reservation: ReservationId,
    },

    // Prices.
    /// The quote is for another listing, quantity, buyer or seller.
    #[error("the quote for listing {listing} does not fit the line: {field} differs")]
    QuoteMismatch {
        /// The line's listing.
        listing: ListingId,
        /// What differs.
        field: QuoteField,
    },
    /// The quote is no longer good.
    #[error("the quote for listing {listing} ended at {expired}: ask the seller for a new one")]
    QuoteExpired {
        /// The line's listing.
        listing: ListingId,
        /// When it ended.
        expired: Timestamp,
    },
    /// The order costs more than the buyer signed.
    #[error("the order costs {actual}, the signed total is {signed}")]
    TotalMismatch {
        /// What the buyer signed.
        signed: Money,
        /// What it costs.
        actual: Money,
    },
    /// Lines of two currencies can't be one order.
    #[error("listing {listing} is priced in {found}, not in {expected}")]
    CurrencyMismatch {
        /// The line's listing.
        listing: ListingId,
        /// The currency of the signed total, of the cart, or of the listing so far.
        expected: Currency,
        /// The currency of the listing.
        found: Currency,
    },
    /// A sum is larger than 2^53 − 1 minor units, or all money of the currency together would be.
    #[error("the amount, or all money of its currency together, would be larger than can be kept")]
    AmountOverflow,
    /// An amount must be more than nothing.
    #[error("the amount must be more than zero")]
    AmountNotPositive,

    // Checkout.
    /// What is bought is taxed, or costs to be delivered, by where it goes.
    #[error("it must be known where this is delivered: name `delivery.region`")]
    AddressRequired,
    /// The seller does not deliver there, or not like this.
    #[error(
        "seller {seller} does not deliver to {region}{}: choose another method or leave the seller's lines out",
        .method.as_ref().map(|method| format!(" by {method}")).unwrap_or_default()
    )]
    DeliveryUnavailable {
        /// The method named; absent: the seller has none for the region.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        method: Option<Method>,
        /// Where to.
        region: Region,
        /// Who sells.
        seller: AccountId,
    },
    /// The coupon gives nothing on this purchase.
    #[error("coupon {coupon} can't be used: {problem}")]
    CouponInvalid {
        /// Its code.
        coupon: CouponCode,
        /// Why not.
        problem: CouponProblem,
    },
    /// The coupon was used as often as it may be.
    #[error("coupon {coupon} was used as often as it may be{}", if *.by_account { " by this account" } else { "" })]
    CouponExhausted {
        /// Whether by this account; else by all together.
        by_account: bool,
        /// Its code.
        coupon: CouponCode,
    },
    /// A running promotion has this code.
    #[error("coupon {coupon} belongs to promotion {promotion}: choose another code, or end that promotion")]
    CouponTaken {
        /// The code.
        coupon: CouponCode,
        /// Whose it is.
        promotion: PromotionId,
    },
    /// There is no such promotion, or it has ended long ago.
    #[error("there is no promotion {promotion}, or not any more: see GET /v1/promotions")]
    PromotionUnknown {
        /// The promotion.
        promotion: PromotionId,
    },
    /// The promotion belongs to another seller.
    #[error("promotion {promotion} belongs to another seller, who alone ends it, or an operator")]
    NotYourPromotion {
        /// The promotion.
        promotion: PromotionId,
    },
    /// The promotion would end before it begins, or has ended already.
    #[error("a promotion must end behind its beginning and behind now")]
    PromotionPeriod,
    /// A limit of each account is kept only where there is one of all.
    #[error("`uses_per_account` needs `uses`, which must be at least as much and at most {max}")]
    PromotionUses {
        /// The most.
        max: u32,
    },
    /// The seller has as many promotions as he may.
    #[error("a seller may have {max} promotions: end one")]
    TooManyPromotions {
        /// The limit.
        max: u32,
    },
    /// The seller has as many rates of delivery as he may.
    #[error("a seller may have {max} rates: remove one")]
    TooManyRates {
        /// The limit.
        max: u32,
    },
    /// The market has as many tax rules as it may.
    #[error("a market may have {max} tax rules: change one that there is")]
    TooManyTaxRules {
        /// The limit.
        max: u32,
    },
    /// It must be known better who the buyer is before he buys so much.
    #[error(
        "{total} is more than {limit}, the most for tier {tier}: have your identity verified for a higher tier"
    )]
    KycRequired {
        /// The most that the account may buy.
        limit: Money,
        /// The tier it has.
        tier: Tier,
        /// What it wants to buy, with what it bought that day where that is limited.
        total: Money,
    },
    /// Nobody may buy so much.
    #[error("{total} is more than {limit}, the most {}: buy less{}", if *.per_day { "in one day of UTC" } else { "in one checkout" }, if *.per_day { ", or tomorrow" } else { "" })]
    PurchaseLimit {
        /// The most that the account may buy.
        limit: Money,
        /// Whether that is for a day; else for a checkout.
        per_day: bool,
        /// What it wants to buy, with what it bought that day where that is limited.
        total: Money,
    },

    // Wallets and payments.
    /// The wallet holds too little.
    #[error("the wallet holds {available}, and {required} are to be paid from it")]
    InsufficientFunds {
        /// What the wallet holds.
        available: Money,
        /// What is needed.
        required: Money,
    },

    /// The provider has used the reference before.
    #[error(
        "reference `{reference}` was used at position {first} of the log: that payment is credited, or that exchange made. Another one needs a reference of its own"
    )]
    ReferenceUsed {
        /// The reference.
        reference: String,
        /// Position of the event that used it.
        first: u64,
    },
    /// There is no such payment.
    #[error("there is no payment {payment}")]
    PaymentUnknown {
        /// The payment.
        payment: PaymentId,
    },
    /// The payment belongs to others.
    #[error("payment {payment} is not yours to change")]
    NotYourPayment {
        /// The payment.
        payment: PaymentId,
    },
    /// The payment is in a state in which this can't happen.
    #[error("payment {payment} is {state:?}")]
    PaymentState {
        /// The payment.
        payment: PaymentId,
        /// Its state.
        state: PaymentState,
    },
    /// What a provider reports, or is asked to give back, is more than there is, or in another currency.
    #[error("payment {payment} allows {most} at most, not {amount}")]
    PaymentAmount {
        /// The payment.
        payment: PaymentId,
        /// What was named.
        amount: Money,
        /// The most that it can be.
        most: Money,
    },
    /// A payment for the order is under way already.
    #[error(
        "payment {payment} for order {order} is under way: wait for it, or give it up with payment.cancel"
    )]
    PaymentUnderWay {
        /// The order.
        order: OrderId,
        /// The payment.
        payment: PaymentId,
    },
    /// The escrow that is to be set up is not that of the order.
    #[error("the escrow of order {order} takes {amount} of buyer {buyer} for seller {seller}")]
    EscrowMismatch {
        /// What the order costs.
        amount: Money,
        /// Who buys.
        buyer: AccountId,
        /// The order.
        order: OrderId,
        /// Who sells.
        seller: AccountId,
    },
    /// What the wallet is to pay of an order is in another currency than the order.
    #[error("the wallet's part is in {found}, the order in {expected}")]
    TenderCurrency {
        /// The order's currency.
        expected: Currency,
        /// The currency of the wallet's part.
        found: Currency,
    },
    /// The account has as many payments under way as it may.
    #[error(
        "an account may have {max} payments, refunds and payouts under way: wait for one, or cancel a payment"
    )]
    TooManyPayments {
        /// The limit.
        max: u32,
    },

    /// There is no such payout.
    #[error("there is no payout {payout}")]
    PayoutUnknown {
        /// The payout.
        payout: PayoutId,
    },
    /// The seller has the money of the payout again, so that it can't have been paid.
    #[error("payout {payout} is {state:?}: the seller has its money again; look at the provider's own pages")]
    PayoutState {
        /// The payout.
        payout: PayoutId,
        /// How it ended.
        state: PayoutEnd,
    },
    /// The payout was asked of another provider.
    #[error("payout {payout} is not yours to report")]
    NotYourPayout {
        /// The payout.
        payout: PayoutId,
    },
    /// A provider's file, or a break between it and the ledger, can't be dealt with like this.
    #[error("{problem}")]
    Reconciliation {
        /// What is wrong.
        problem: ReconciliationProblem,
    },
    /// The market's own key can't be changed like this.
    #[error("{problem}")]
    MarketKey {
        /// What is wrong.
        problem: MarketKeyProblem,
    },
    /// The seller has earned too little that was not paid out.
    #[error("{available} can be paid out, not {amount}")]
    PayoutAmount {
        /// What was asked for.
        amount: Money,
        /// What there is.
        available: Money,
    },

    // Carts.
    /// There is no such cart.
    #[error("there is no cart {cart}")]
    CartUnknown {
        /// The cart.
        cart: CartId,
    },
    /// The account has no cart to change.
    #[error("there is no active cart")]
    CartMissing,
    /// The cart has no lines.
    #[error("the cart is empty")]
    CartEmpty,
    /// The listing is in no line of the cart.
    #[error("listing {listing} is not in the cart")]
    NotInCart {
        /// The listing.
        listing: ListingId,
    },
    /// The cart has as many lines as it may.
    #[error("a cart may have {max} lines")]
    TooManyLines {
        /// The limit.
        max: u32,
    },
    /// The line has more units than it may, or fewer.
    #[error("a line of listing {listing} may have {} to {max} units", .min.unwrap_or(1))]
    QuantityLimit {
        /// The listing.
        listing: ListingId,
        /// The most.
        max: u32,
        /// The fewest; absent: one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<u32>,
    },
    /// The listing is not among the lines saved for later.
    #[error("listing {listing} is not saved for later")]
    NotSaved {
        /// The listing.
        listing: ListingId,
    },
    /// As many lines are saved for later as may be.
    #[error("{max} lines may be saved for later: move one back first")]
    TooManySaved {
        /// The limit.
        max: u32,
    },
    /// The cart is frozen.
    #[error("the cart is frozen until {until}: unfreeze it first")]
    CartFrozen {
        /// Until when.
        until: Timestamp,
    },
    /// A cart can't be frozen until then.
    #[error("a cart is frozen until a time that is still to come, and until {latest} at the latest")]
    FreezeTime {
        /// The latest time that is possible now.
        latest: Timestamp,
    },
    /// The claim was made for another account.
    #[error("the claim to cart {cart} names another account: its owner has to sign one for yours")]
    ClaimForAnother {
        /// The cart.
        cart: CartId,
    },
    /// The claim is no longer good.
    #[error("the claim to cart {cart} ended at {expired}: its owner has to sign a new one")]
    ClaimExpired {
        /// The cart.
        cart: CartId,
        /// When it ended.
        expired: Timestamp,
    },
    /// A cart can't be merged into itself, nor shared with its owner.
    #[error("cart {cart} is your own: you have it already")]
    OwnCart {
        /// The cart.
        cart: CartId,
    },
    /// The account shares no cart with the one that asks.
    #[error("account {account} shares no cart with you: ask its owner to share it, or fill your own")]
    CartNotShared {
        /// The account.
        account: AccountId,
    },
    /// A cart is shared with as many accounts as may be.
    #[error("a cart may be shared with {max} accounts: share it with one less first")]
    TooManyMembers {
        /// The limit.
        max: u32,
    },
    /// The cart was merged into one of another account.
    #[error("cart {cart} was merged into the cart of another account, and is gone")]
    CartMergedElsewhere {
        /// The cart.
        cart: CartId,
    },
    /// There is an active cart with lines.
    #[error("cart {cart} has lines: buy it, save them for later or clear it first")]
    CartNotEmpty {
        /// The active cart.
        cart: CartId,
    },
    /// The cart's lines are not remembered.
    #[error("only the last cart that became orders is remembered, and that is not cart {cart}")]
    CartForgotten {
        /// The cart.
        cart: CartId,
    },
    /// A listing stands in two lines.
    #[error("listing {listing} stands in two lines: make it one")]
    DuplicateLine {
        /// The listing.
        listing: ListingId,
    },
    /// A command about lines names none.
    #[error("at least one line must be named")]
    LinesEmpty,

    // Orders.
    /// There is no such order.
    #[error("there is no order {order}")]
    OrderUnknown {
        /// The order.
        order: OrderId,
    },
    /// The order belongs to others.
    #[error("order {order} is not yours to change")]
    NotYourOrder {
        /// The order.
        order: OrderId,
    },
    /// The order is in a state in which this can't happen.
    #[error("order {order} is {state:?}")]
    OrderState {
        /// The order.
        order: OrderId,
        /// Its state.
        state: OrderState,
    },
    /// A part of the order is shipped: it can't be cancelled as a whole.
    #[error(
        "a part of order {order} is shipped: name the lines to cancel, {left} units are left to be cancelled"
    )]
    PartlyShipped {
        /// The order.
        order: OrderId,
        /// Units that are neither shipped nor cancelled.
        left: u64,
    },
    /// The listing is in no line of the order.
    #[error("listing {listing} is not in order {order}")]
    NotInOrder {
        /// The order.
        order: OrderId,
        /// The listing.
        listing: ListingId,
    },
    /// Fewer units of the line are neither shipped nor cancelled.
    #[error(
        "order {order}, listing {listing}: {requested} units asked, {left} are neither shipped nor cancelled"
    )]
    TooManyUnits {
        /// The order.
        order: OrderId,
        /// The line's listing.
        listing: ListingId,
        /// Units asked for.
        requested: u32,
        /// Units left.
        left: u32,
    },
    /// The order has as many shipments as it may, and this one would leave units behind.
    #[error("an order may have {max} shipments: ship all that is left in the last one")]
    TooManyShipments {
        /// The limit.
        max: u32,
    },
    /// The order waits for its seller's word.
    #[error(
        "order {order} waits for its seller to accept or decline it until {accept_by}: until then it is not shipped, and \
         only its buyer or an operator cancels it"
    )]
    NotAccepted {
        /// Until when it waits.
        accept_by: Timestamp,
        /// The order.
        order: OrderId,
    },
    /// The order does not wait for its seller's word, or not any more.
    #[error("order {order} is accepted: cancel (`order.cancel`) what of it can't be shipped")]
    AlreadyAccepted {
        /// The order.
        order: OrderId,
    },
    /// A shipment holds less than is to be given back, or another currency.
    #[error(
        "shipment {shipment} of order {order} can give back {most} at most, not {amount}: what its seller was paid is not \
         there any more"
    )]
    RefundAmount {
        /// What was named.
        amount: Money,
        /// The most that it can be.
        most: Money,
        /// The order.
        order: OrderId,
        /// The shipment.
        shipment: ShipmentNumber,
    },
    /// The order has no shipment of this number.
    #[error("order {order} has {shipments} shipments, none of number {shipment}")]
    ShipmentUnknown {
        /// The order.
        order: OrderId,
        /// The number named.
        shipment: ShipmentNumber,
        /// How many shipments it has.
        shipments: u32,
    },

    /// The order is not changed so.
    #[error("order {order}: {problem}")]
    OrderChange {
        /// The order.
        order: OrderId,
        /// Why.
        problem: ChangeProblem,
    },
    /// A line of the order is not changed so.
    #[error("order {order}, listing {listing}: {problem}")]
    LineChange {
        /// The order.
        order: OrderId,
        /// What is bought in the line.
        listing: ListingId,
        /// Why.
        problem: LineChangeProblem,
    },

    // Holds and frozen money.
    /// Operators stopped the order.
    #[error(
        "order {order} is on hold ({reason}): nothing of it moves until two operators have lifted the hold"
    )]
    OrderOnHold {
        /// The order.
        order: OrderId,
        /// Why it is on hold.
        reason: HoldReason,
    },
    /// The same operator can't ask and agree.
    #[error("you asked for this yourself: it takes another operator to agree about order {order}")]
    FourEyes {
        /// The order.
        order: OrderId,
    },
    /// Money of the shipment is frozen.
    #[error("money of shipment {shipment} of order {order} is frozen: it must be unfrozen or settled first")]
    ShipmentFrozen {
        /// The order.
        order: OrderId,
        /// The shipment.
        shipment: ShipmentNumber,
    },
    /// Nothing of the shipment's money is frozen.
    #[error("no money of shipment {shipment} of order {order} is frozen")]
    ShipmentNotFrozen {
        /// The order.
        order: OrderId,
        /// The shipment.
        shipment: ShipmentNumber,
    },
    /// The shipment's money has left the escrow.
    #[error("shipment {shipment} of order {order} is paid already: nothing of its money is in escrow")]
    ShipmentPaid {
        /// The order.
        order: OrderId,
        /// The shipment.
        shipment: ShipmentNumber,
    },
    /// The buyer had money of the shipment frozen before.
    #[error("you had money of shipment {shipment} of order {order} frozen before: ask an operator")]
    ClaimedBefore {
        /// The order.
        order: OrderId,
        /// The shipment.
        shipment: ShipmentNumber,
    },
    /// For this reason this can't be frozen.
    #[error(
        "money can't be frozen as `{reason}` here: buyers claim what has arrived as not_as_described and anything as \
         not_received, operators may do both and `operator`"
    )]
    FreezeReasonDenied {
        /// The reason given.
        reason: FreezeReason,
    },
    /// More would be frozen than is there, or nothing.
    #[error("of shipment {shipment} of order {order} can be frozen {most} at most, and more than nothing")]
    FreezeAmount {
        /// The order.
        order: OrderId,
        /// The shipment.
        shipment: ShipmentNumber,
        /// What of its money is in escrow.
        most: Money,
    },
    /// The rule of the escrow does not ask for this word.
    #[error(
        "the rule by which the money of order {order} is released does not ask for this word. An operator can freeze it, \
         and settle"
    )]
    ReleaseNotAsked {
        /// The order.
        order: OrderId,
    },
    /// What both sides get is not what is frozen.
    #[error("to_seller and to_buyer must be {frozen} together, in its currency and neither below zero")]
    SettlementAmount {
        /// The order.
        order: OrderId,
        /// What is frozen.
        frozen: Money,
    },

    // Currencies, and rules of release.
    /// The offer is not what the buyer asks for, or not what its own rate makes.
    #[error("the offer to exchange does not fit: {field}. Ask the provider for another one")]
    ExchangeMismatch {
        /// What does not fit.
        field: ExchangeField,
    },
    /// The offer is no longer good.
    #[error("the offer to exchange ended at {expired}: ask the provider for a new one")]
    ExchangeExpired {
        /// When it ended.
        expired: Timestamp,
    },
    /// What is charged when the goods leave is of one seller.
    #[error(
        "these are {sellers} sellers' goods, and only one seller's are charged when they leave: buy of each by himself, or \
         leave `capture` out"
    )]
    OneSellerOnShip {
        /// How many sellers there are.
        sellers: u32,
    },
    /// What the provider holds for the order is not taken yet.
    #[error(
        "order {order} is not charged yet: say that it is about to leave (`order.ready`), and ship when it is paid"
    )]
    NotCharged {
        /// The order.
        order: OrderId,
    },
    /// A listing's rule is, with the market's own, larger than a rule may be.
    #[error(
        "the release rule of listing {listing} is too large: with the market's own it may have {} conditions, {} deep",
        ReleaseRule::NODES_MAX,
        ReleaseRule::DEPTH_MAX
    )]
    ReleaseRuleTooLarge {
        /// The listing.
        listing: ListingId,
    },
    /// The rules of these listings are, with the market's own, more than one order may have.
    #[error("these listings of seller {seller} have too many release rules for one order: order them apart")]
    TooManyReleaseRules {
        /// Who sells them.
        seller: AccountId,
    },

    // Returns and chargebacks. What has no tag of its own stands last.
    /// A rule of returns.
    #[error(transparent)]
    #[serde(untagged)]
    Return(#[from] ReturnRejection),
    /// A rule of devices.
    #[error(transparent)]
    #[serde(untagged)]
    Device(#[from] DeviceRejection),
    /// A rule of erasure.
    #[error(transparent)]
    #[serde(untagged)]
    Privacy(#[from] PrivacyRejection),
    /// A rule of chargebacks and debts.
    #[error(transparent)]
    #[serde(untagged)]
    Chargeback(#[from] ChargebackRejection),
    /// A rule of an account's standing.
    #[error(transparent)]
    #[serde(untagged)]
    Account(#[from] AccountRejection),
    /// A rule of risk.
    #[error(transparent)]
    #[serde(untagged)]
    Risk(#[from] RiskRejection),
    /// A rule of codes.
    #[error(transparent)]
    #[serde(untagged)]
    Factor(#[from] FactorRejection),
    /// A rule of signing in.
    #[error(transparent)]
    #[serde(untagged)]
    SignIn(#[from] SignInRejection),
    /// A rule of webhooks.
    #[error(transparent)]
    #[serde(untagged)]
    Webhook(#[from] WebhookRejection),
    /// A rule of notifications.
    #[error(transparent)]
    #[serde(untagged)]
    Push(#[from] PushRejection),
}
