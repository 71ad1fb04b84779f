//! Carts: what a buyer or a guest means to buy. They reserve nothing.

mod aside;
mod coupon;
mod freeze;
mod merge;
mod past;
mod team;

use std::collections::BTreeMap;

use events::cart::{Abandoned, Cleared, ItemAdded, ItemRemoved, KeptPrice, QuantitySet, Unfrozen};
use events::ids::{AccountId, CartId, CommandId, ListingId};
use events::metadata::{DeadlineStamp, Waiting};
use events::promotion::CouponCode;
use events::{Currency, Event, Money, Quantity, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::aside::{SAVED_MAX, SavedLine};
pub(crate) use self::aside::{decide_move_back, decide_save};
pub(crate) use self::coupon::{decide_apply_coupon, decide_remove_coupon};
pub use self::freeze::FREEZE_MS_MAX;
pub(crate) use self::freeze::{decide_freeze, decide_unfreeze};
pub use self::merge::MergedCart;
pub(crate) use self::merge::decide_merge;
pub use self::past::MigratedCart;
pub(crate) use self::past::decide_restore;
use self::team::{Filled, filled};
pub use self::team::{MEMBERS_MAX, Team};
pub(crate) use self::team::{decide_leave, decide_name, decide_share, decide_unshare, version};
use crate::account::Account;
use crate::command::{AddToCart, ClearCart, LINES_MAX, PaymentMethod, RemoveFromCart, SetCartQuantity};
use crate::listing::check_sale;
use crate::market::Market;
use crate::validate::{AskedLine, Purchase};

/// The active cart of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cart {
    /// The cart.
    pub id: CartId,
    /// Counts its events from 1.
    pub version: u64,
    /// The currency of all its lines; none while it has no lines.
    pub currency: Option<Currency>,
    /// Units by listing; at most [`LINES_MAX`] lines.
    pub lines: BTreeMap<ListingId, Quantity>,
    /// When it is abandoned, unless it is touched or frozen before.
    pub idle_until: Timestamp,
    /// Kept as it is, if it is frozen.
    pub frozen: Option<Box<FrozenLines>>,
    /// The coupon that it is bought with.
    pub coupon: Option<CouponCode>,
    /// Its name, and who fills it with its owner; most carts have neither.
    pub team: Option<Box<Team>>,
}

/// What a frozen cart keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenLines {
    /// Until when.
    pub until: Timestamp,
    /// The price of each line.
    pub prices: BTreeMap<ListingId, KeptPrice>,
}

impl Cart {
    fn new(id: CartId) -> Self {
        let (lines, idle_until) = (BTreeMap::new(), Timestamp::from_ms(0));
        Cart { id, version: 0, currency: None, lines, idle_until, frozen: None, coupon: None, team: None }
    }

    /// Gives the one deadline it waits for.
    pub fn deadline(&self, account: AccountId) -> DeadlineStamp {
        match &self.frozen {
            Some(frozen) => {
                DeadlineStamp { due: frozen.until, waiting: Waiting::CartFrozenUntil { account } }
            }
            None => DeadlineStamp { due: self.idle_until, waiting: Waiting::CartIdle { account } },
        }
    }

    /// Gives the price of a line that the cart keeps, if it is frozen.
    fn kept_price(&self, listing: ListingId) -> Option<KeptPrice> {
        self.frozen.as_ref()?.prices.get(&listing).copied()
    }

    /// Gives what its owner buys with it, for `signed_total` at most, with its coupon.
    pub(crate) fn purchase<'a>(
        &'a self,
        buyer: AccountId,
        method: &'a PaymentMethod,
        signed_total: Money,
    ) -> Purchase<'a> {
        let lines = self.lines.iter().map(|(listing, quantity)| AskedLine {
            before: 0,
            listing: *listing,
            quantity: *quantity,
            quote: None,
            kept: self.kept_price(*listing),
        });
        let (coupon, lines) = (self.coupon.as_ref(), lines.collect());
        Purchase { buyer, coupon, delivery: None, lines, method, signed_total }
    }

    /// Says why it can't be edited now, if it can't.
    fn frozen_reason(&self) -> Option<Rejection> {
        self.frozen.as_ref().map(|frozen| Rejection::CartFrozen { until: frozen.until })
    }

    fn check_editable(&self) -> Result<(), Vec<Rejection>> {
        self.frozen_reason().map_or(Ok(()), |reason| Err(vec![reason]))
    }

    fn take_line(&mut self, listing: ListingId) {
        self.lines.remove(&listing);
        if self.lines.is_empty() {
            self.currency = None;
        }
    }
}

impl Account {
    /// Gives the active cart at a new version; the first event of a cart opens it.
    fn cart_at(&mut self, id: CartId, version: u64) -> &mut Cart {
        let cart = self.cart.get_or_insert_with(|| Box::new(Cart::new(id)));
        cart.version = version;
        cart
    }
}

impl Market {
    /// Folds what happened to the cart of an account, and moves the cart's one deadline.
    fn change_cart(&mut self, account: AccountId, change: impl FnOnce(&mut Account)) {
        let idle_until = self.time.plus_ms(self.deadlines().cart_idle_ms());
        let owner = self.accounts.by_id.get_mut(&account);
        let owner = owner.expect("a cart's event follows its account's registration");
        let before = owner.cart.as_ref().map(|cart| cart.deadline(account));
        change(owner);
        let after = owner.cart.as_mut().map(|cart| {
            cart.idle_until = idle_until;
            cart.deadline(account)
        });
        if before != after {
            before.map(|deadline| self.waiting.remove(&deadline));
            after.map(|deadline| self.waiting.insert(deadline));
        }
    }

    pub(crate) fn item_added(&mut self, event: &ItemAdded) {
        self.change_cart(event.account, |owner| {
            let cart = owner.cart_at(event.cart, event.version);
            cart.lines.insert(event.listing, event.quantity);
            cart.currency = Some(event.unit_price.currency);
        });
    }

    pub(crate) fn quantity_set(&mut self, event: &QuantitySet) {
        self.change_cart(event.account, |owner| {
            owner.cart_at(event.cart, event.version).lines.insert(event.listing, event.quantity);
        });
    }

    pub(crate) fn item_removed(&mut self, event: &ItemRemoved) {
        self.change_cart(event.account, |owner| {
            owner.cart_at(event.cart, event.version).take_line(event.listing);
        });
    }

    pub(crate) fn cleared(&mut self, event: &Cleared) {
        self.change_cart(event.account, |owner| {
            let cart = owner.cart_at(event.cart, event.version);
            cart.lines.clear();
            cart.currency = None;
        });
    }

    pub(crate) fn cart_abandoned(&mut self, event: &Abandoned) {
        self.change_cart(event.account, |owner| owner.cart = None);
    }
}

/// Decides what becomes of a cart whose deadline is due.
///
/// # Panics
/// If the cart does not wait for it: [`Market::next_deadline`] gives only those that are waited for.
pub(crate) fn decide_deadline(market: &Market, account: AccountId, deadline: DeadlineStamp) -> Vec<Event> {
    let cart = active(market, account).expect("a deadline leaves with its cart");
    assert_eq!(cart.deadline(account), deadline, "a deadline leaves with the state that waited for it");
    let (cart, version, is_frozen) = (cart.id, cart.version + 1, cart.frozen.is_some());
    if is_frozen {
        vec![Unfrozen { account, cart, version }.into()]
    } else {
        vec![Abandoned { account, cart, version }.into()]
    }
}

fn active(market: &Market, account: AccountId) -> Option<&Cart> {
    market.accounts.get(account)?.cart.as_deref()
}

pub(crate) fn decide_add(
    market: &Market,
    account: AccountId,
    command_id: CommandId,
    command: &AddToCart,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let AddToCart { listing: id, owner, quantity } = *command;
    let Filled { owner, cart, by } = filled(market, account, owner)?;
    let Some(listing) = market.listings.get(id) else {
        return Err(vec![Rejection::ListingUnknown { listing: id }]);
    };
    let mut reasons = Vec::new();
    check_sale(market, id, listing, &mut reasons);
    reasons.extend(cart.and_then(Cart::frozen_reason));
    if listing.seller == owner {
        reasons.push(Rejection::SelfPurchase { listing: id });
    }
    let sum = put(cart, id, quantity, listing.price.currency, reasons)?;
    let added = ItemAdded {
        account: owner,
        added: quantity,
        by,
        cart: cart.map_or_else(|| CartId::derive(account, command_id), |cart| cart.id),
        listing: id,
        listing_version: listing.version,
        quantity: sum,
        unit_price: listing.price,
        version: cart.map_or(0, |cart| cart.version) + 1,
    };
    Ok(vec![added.into()])
}

/// Gives how many units a line has when some more are put into a cart, or what stands against that beside the `reasons` that
/// are known.
fn put(
    cart: Option<&Cart>,
    listing: ListingId,
    quantity: Quantity,
    currency: Currency,
    mut reasons: Vec<Rejection>,
) -> Result<Quantity, Vec<Rejection>> {
    let line = cart.and_then(|cart| cart.lines.get(&listing)).copied();
    if line.is_none() && cart.is_some_and(|cart| cart.lines.len() >= LINES_MAX) {
        reasons.push(Rejection::TooManyLines { max: LINES_MAX as u32 });
    }
    if let Some(expected) = cart.and_then(|cart| cart.currency)
        && expected != currency
    {
        reasons.push(Rejection::CurrencyMismatch { listing, expected, found: currency });
    }
    sum(line, quantity, listing, reasons)
}

/// Adds units to those that are there, or gives what stands against it beside the `reasons` that are known.
fn sum(
    there: Option<Quantity>,
    more: Quantity,
    listing: ListingId,
    mut reasons: Vec<Rejection>,
) -> Result<Quantity, Vec<Rejection>> {
    let sum = there.map_or(Ok(more), |there| there.checked_add(more));
    if sum.is_err() {
        reasons.push(Rejection::QuantityLimit { listing, max: Quantity::MAX, min: None });
    }
    sum.ok().filter(|_| reasons.is_empty()).ok_or(reasons)
}

pub(crate) fn decide_set(
    market: &Market,
    account: AccountId,
    command: &SetCartQuantity,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let SetCartQuantity { listing, owner, quantity } = *command;
    let Filled { owner: account, cart, by } = filled(market, account, owner)?;
    let cart = cart.ok_or_else(|| vec![Rejection::CartMissing])?;
    match cart.lines.get(&listing) {
        None => Err(vec![Rejection::NotInCart { listing }]),
        Some(known) if *known == quantity => Ok(vec![]),
        Some(_) => {
            cart.check_editable()?;
            let (cart, version) = (cart.id, cart.version + 1);
            Ok(vec![QuantitySet { account, by, cart, listing, quantity, version }.into()])
        }
    }
}

pub(crate) fn decide_remove(
    market: &Market,
    account: AccountId,
    command: &RemoveFromCart,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let RemoveFromCart { listing, owner } = *command;
    let Filled { owner: account, cart, by } = filled(market, account, owner)?;
    match cart {
        Some(cart) if cart.lines.contains_key(&listing) => {
            cart.check_editable()?;
            let (cart, version) = (cart.id, cart.version + 1);
            Ok(vec![ItemRemoved { account, by, cart, listing, version }.into()])
        }
        // What shall be gone is not there: the wish is fact.
        _ => Ok(vec![]),
    }
}

pub(crate) fn decide_clear(
    market: &Market,
    account: AccountId,
    command: &ClearCart,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let Filled { owner: account, cart, by } = filled(market, account, command.owner)?;
    match cart {
        Some(cart) if !cart.lines.is_empty() => {
            cart.check_editable()?;
            Ok(vec![Cleared { account, by, cart: cart.id, version: cart.version + 1 }.into()])
        }
        _ => Ok(vec![]),
    }
}
