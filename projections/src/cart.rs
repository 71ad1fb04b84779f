//! Carts: what is in them, and what is wrong with it now; and what buyers have set aside before they order it.

mod fold;
mod shared;

use events::ids::{AccountId, CartId, ListingId, OrderId, ReservationId};
use events::listing::ListingStatus;
use events::promotion::CouponCode;
use events::{Currency, Money, Position, Quantity, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::Tree;

pub(crate) use self::fold::CartFold;
pub use self::shared::{SHARED_PER_PAGE_MAX, SharedCart, SharedPage};
use crate::listing::{Listing, Rows};
use crate::store::Slot;
use crate::table::Layout;
use crate::view::ViewError;

/// The version of this view's values; to be raised with every change of them or of what they mean.
pub(crate) const VERSION: u8 = 9;

/// A cart, with today's prices and problems beside what the buyer saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cart {
    /// The cart.
    pub cart: CartId,
    /// Whose it is.
    pub account: AccountId,
    /// What its owner calls it.
    pub name: Option<String>,
    /// Who sees it and changes its lines beside its owner, while it can be changed; who saw it goes on seeing it.
    pub shared_with: Vec<AccountId>,
    /// Counts the cart's events from 1; a command may name it in `if`.
    pub version: u64,
    /// Whether it can be changed.
    pub state: CartState,
    /// When it was last changed.
    pub changed_at: Timestamp,
    /// The coupon that it is bought with; a preview tells what it gives.
    pub coupon: Option<CouponCode>,
    /// What is in it, in the order it was put in.
    pub lines: Vec<CartLine>,
    /// Sum of the lines at the prices they would be bought at; none when the cart is empty or no order could have this sum.
    pub total: Option<Money>,
    /// All problems of all lines: none means that an order for `total` would be accepted now, if the buyer can pay it.
    pub problems: Vec<CartProblem>,
    /// The lines that would be bought at another price than the owner saw.
    pub price_changed: Vec<PriceChange>,
    /// What its owner saved for later: in no total. A cart that can't be changed any more tells none, nor does one of another.
    pub saved: Vec<SavedLine>,
}

/// Whether a cart can be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CartState {
    /// It can.
    Active,
    /// Not before it is unfrozen, or its time is over; its prices are kept.
    Frozen {
        /// Until when.
        until: Timestamp,
    },
    /// It became these orders.
    Migrated {
        /// One per seller.
        orders: Vec<OrderId>,
    },
    /// Another account's cart took its lines.
    Merged {
        /// That cart.
        into: CartId,
    },
    /// Nobody touched it for long.
    Abandoned,
}

impl Cart {
    /// Gives the cart as an account sees it that is its owner or has a right to see everything, or that it is shared with, who is
    /// told nothing of what its owner saved; none to others.
    pub fn seen_by(self, account: AccountId, sees_all: bool) -> Option<Cart> {
        if sees_all || account == self.account {
            return Some(self);
        }
        self.shared_with.contains(&account).then(|| Cart { saved: Vec::new(), ..self })
    }
}

impl CartState {
    /// Tells whether it is the cart that its owner fills and buys.
    pub const fn is_current(&self) -> bool {
        matches!(self, CartState::Active | CartState::Frozen { .. })
    }
}

/// One line of a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CartLine {
    /// What is wanted.
    pub listing: ListingId,
    /// What it is.
    pub title: String,
    /// Whether its seller takes nothing of it back after it was delivered, where the market offers returns.
    pub final_sale: bool,
    /// Who sells it.
    pub seller: AccountId,
    /// How many units.
    pub quantity: Quantity,
    /// Price of one unit when it was last added.
    pub unit_price_seen: Money,
    /// Version of the listing when it was last added.
    pub listing_version: u32,
    /// Price of one unit now.
    pub current_price: Money,
    /// Version of the listing now.
    pub current_version: u32,
    /// Price of one unit that the frozen cart keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_price: Option<Money>,
    /// What is wrong with it.
    pub problems: Vec<LineProblem>,
}

impl CartLine {
    /// Gives the price of one unit that it would be bought at.
    fn price(&self) -> Money {
        self.kept_price.unwrap_or(self.current_price)
    }
}

/// A line saved for later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SavedLine {
    /// What is wanted later.
    pub listing: ListingId,
    /// What it is.
    pub title: String,
    /// Who sells it.
    pub seller: AccountId,
    /// How many units.
    pub quantity: Quantity,
    /// Price of one unit when it was last added to a cart.
    pub unit_price_seen: Money,
    /// Price of one unit now.
    pub current_price: Money,
}

/// A line that would be bought at another price than its owner saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PriceChange {
    /// The line's listing.
    pub listing: ListingId,
    /// Price of one unit when it was last added.
    pub old: Money,
    /// Price of one unit now.
    pub new: Money,
}

/// What is wrong with a line of a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum LineProblem {
    /// The line is in another currency than the first one of the cart.
    CurrencyMismatch {
        /// The currency of the first line.
        expected: Currency,
        /// The currency of this line.
        found: Currency,
    },
    /// The listing can't be bought as it stands.
    ListingUnavailable {
        /// Why not.
        status: ListingStatus,
    },
    /// Its seller may not sell.
    SellerSuspended,
    /// An order may have other numbers of units.
    QuantityLimit {
        /// The fewest.
        min: u32,
        /// The most.
        max: u32,
    },
    /// The buyer is not cleared for restricted goods, and this is one.
    ClearanceMissing,
    /// Fewer units are free than wanted.
    InsufficientStock {
        /// Units wanted.
        requested: u64,
        /// Units free, with those that the buyer has set aside.
        available: u64,
    },
}

/// A problem with the line it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CartProblem {
    /// The line's listing.
    pub listing: ListingId,
    /// What is wrong.
    #[serde(flatten)]
    pub problem: LineProblem,
}

/// Units that a buyer has set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reservation {
    /// The reservation.
    pub reservation: ReservationId,
    /// What is set aside.
    pub listing: ListingId,
    /// Who sells it.
    pub seller: AccountId,
    /// How many units are left of it.
    pub quantity: Quantity,
    /// When they are free again.
    pub expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct StoredCart {
    account: AccountId,
    name: Option<String>,
    members: Vec<Member>,
    version: u64,
    state: CartState,
    changed_at: Timestamp,
    coupon: Option<CouponCode>,
    lines: Vec<StoredLine>,
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredLine {
    listing: ListingId,
    quantity: Quantity,
    unit_price_seen: Money,
    listing_version: u32,
    kept_price: Option<Money>,
}

/// An account that a cart is shared with, or was.
#[derive(Serialize, Deserialize)]
struct Member {
    account: AccountId,
    /// Since which event.
    since: Position,
    /// Up to which event; none: it is.
    until: Option<Position>,
}

impl StoredCart {
    /// Gives whom it is shared with.
    fn members(&self) -> impl Iterator<Item = AccountId> + '_ {
        self.members.iter().filter(|member| member.until.is_none()).map(|member| member.account)
    }

    /// Takes a line out.
    fn take(&mut self, listing: ListingId) -> Option<StoredLine> {
        let at = self.lines.iter().position(|line| line.listing == listing)?;
        Some(self.lines.remove(at))
    }

    /// Sets a line's quantity. A line that was not there is put in as `new` says, and its owner saw what that says.
    fn set(&mut self, quantity: Quantity, new: StoredLine) {
        match self.lines.iter_mut().find(|line| line.listing == new.listing) {
            Some(line) => line.quantity = quantity,
            None => self.lines.push(StoredLine { quantity, ..new }),
        }
    }
}

const CARTS: Layout<CartId, StoredCart> = Layout::new(b'c', VERSION);
const ACTIVE: Layout<AccountId, CartId> = Layout::new(b'a', VERSION);
const SAVED: Layout<AccountId, Vec<StoredLine>> = Layout::new(b'v', VERSION);
const RESERVED: Layout<AccountId, Vec<Reservation>> = Layout::new(b'o', VERSION);
const ROWS: Rows = Rows::new(VERSION);

/// Answers about carts.
#[derive(Clone, Copy)]
pub struct Carts<'a>(&'a Slot);

impl<'a> Carts<'a> {
    pub(crate) fn new(slot: &'a Slot) -> Self {
        Carts(slot)
    }

    /// Gives the cart that an account can change, if it has one.
    pub fn active(&self, account: AccountId) -> Result<Option<Cart>, ViewError> {
        let live = self.0.ask()?;
        match ACTIVE.get(&live.tree, &account)? {
            Some(cart) => read_cart(&live.tree, cart),
            None => Ok(None),
        }
    }

    /// Gives a cart, also one that has become orders.
    pub fn cart(&self, cart: CartId) -> Result<Option<Cart>, ViewError> {
        read_cart(&self.0.ask()?.tree, cart)
    }

    /// Gives what an account saved for later.
    pub fn saved(&self, account: AccountId) -> Result<Vec<SavedLine>, ViewError> {
        read_saved(&self.0.ask()?.tree, account)
    }

    /// Gives what an account has set aside, the oldest first.
    pub fn reservations(&self, account: AccountId) -> Result<Vec<Reservation>, ViewError> {
        Ok(RESERVED.get(&self.0.ask()?.tree, &account)?.unwrap_or_default())
    }
}

fn read_listing(tree: &Tree, listing: ListingId) -> Result<Listing, ViewError> {
    ROWS.listing(tree, listing)?.ok_or_else(|| ViewError::Damaged {
        source: format!("listing {listing}, which stands in a cart, is not there").into(),
    })
}

fn read_saved(tree: &Tree, account: AccountId) -> Result<Vec<SavedLine>, ViewError> {
    let lines = SAVED.get(tree, &account)?.unwrap_or_default().into_iter().map(|line| {
        let listing = read_listing(tree, line.listing)?;
        Ok(SavedLine {
            listing: line.listing,
            title: listing.title,
            seller: listing.seller,
            quantity: line.quantity,
            unit_price_seen: line.unit_price_seen,
            current_price: listing.price,
        })
    });
    lines.collect()
}

fn read_cart(tree: &Tree, cart: CartId) -> Result<Option<Cart>, ViewError> {
    let Some(stored) = CARTS.get(tree, &cart)? else { return Ok(None) };
    // What can't be bought any more has no problem with it either.
    let is_current = stored.state.is_current();
    let is_cleared = ROWS.standing(tree, stored.account)?.is_cleared;
    let reserved = RESERVED.get(tree, &stored.account)?.unwrap_or_default();
    let mut lines: Vec<CartLine> = Vec::with_capacity(stored.lines.len());
    let shared_with = stored.members().collect();
    for line in stored.lines {
        let listing = read_listing(tree, line.listing)?;
        let mut line = CartLine {
            listing: line.listing,
            title: listing.title.clone(),
            final_sale: listing.is_final,
            seller: listing.seller,
            quantity: line.quantity,
            unit_price_seen: line.unit_price_seen,
            listing_version: line.listing_version,
            current_price: listing.price,
            current_version: listing.version,
            kept_price: line.kept_price,
            problems: Vec::new(),
        };
        if is_current {
            let currency = lines.first().unwrap_or(&line).price().currency;
            let may_sell = ROWS.standing(tree, listing.seller)?.may_sell();
            let own = reserved.iter().find(|reserved| reserved.listing == line.listing);
            let own = own.map_or(0, |own| u64::from(own.quantity.get()));
            let available = listing.stock.available_to(own);
            line.problems = problems_of(&line, currency, &listing, may_sell, is_cleared, available);
        }
        lines.push(line);
    }
    let problems = lines.iter().flat_map(|line| {
        let listing = line.listing;
        line.problems.iter().map(move |problem| CartProblem { listing, problem: problem.clone() })
    });
    let changed = lines.iter().filter(|line| is_current && line.price() != line.unit_price_seen);
    let price_changed = changed.map(|line| PriceChange {
        listing: line.listing,
        old: line.unit_price_seen,
        new: line.price(),
    });
    Ok(Some(Cart {
        cart,
        account: stored.account,
        name: stored.name,
        shared_with,
        version: stored.version,
        changed_at: stored.changed_at,
        coupon: stored.coupon,
        total: total_of(&lines),
        problems: problems.collect(),
        price_changed: price_changed.collect(),
        saved: if is_current { read_saved(tree, stored.account)? } else { Vec::new() },
        state: stored.state,
        lines,
    }))
}

fn problems_of(
    line: &CartLine,
    expected: Currency,
    listing: &Listing,
    may_sell: bool,
    is_cleared: bool,
    available: u64,
) -> Vec<LineProblem> {
    let mut problems = Vec::new();
    let found = line.price().currency;
    if found != expected {
        problems.push(LineProblem::CurrencyMismatch { expected, found });
    }
    let status = listing.status();
    if status != ListingStatus::Active {
        problems.push(LineProblem::ListingUnavailable { status });
    }
    if !may_sell {
        problems.push(LineProblem::SellerSuspended);
    }
    let (min, max) = listing.limits;
    if !(min..=max).contains(&line.quantity.get()) {
        problems.push(LineProblem::QuantityLimit { min, max });
    }
    let requested = u64::from(line.quantity.get());
    if requested > available {
        problems.push(LineProblem::InsufficientStock { requested, available });
    }
    if listing.is_restricted && !is_cleared {
        problems.push(LineProblem::ClearanceMissing);
    }
    problems
}

fn total_of(lines: &[CartLine]) -> Option<Money> {
    let mut totals = lines.iter().map(|line| line.price().checked_mul(line.quantity));
    let first = totals.next()?.ok()?;
    totals.try_fold(first, |sum, total| sum.checked_add(total.ok()?).ok())
}
