//! Carts: what is in them, and what is wrong with it now.

use events::ids::{AccountId, CartId, ListingId, OrderId};
use events::listing::ListingStatus;
use events::{Commit, Event, Money, Position, Quantity, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use crate::listing::{Catalogue, Listing, Rows};
use crate::store::Slot;
use crate::table::{Layout, Table};
use crate::view::{Fold, ViewError};

/// The version of this view's values; to be raised with every change of them or of what they mean.
pub(crate) const VERSION: u8 = 2;

/// A cart, with today's prices and problems beside what the buyer saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cart {
    /// The cart.
    pub cart: CartId,
    /// Whose it is.
    pub account: AccountId,
    /// Counts the cart's events from 1; a command may name it in `if`.
    pub version: u64,
    /// Whether it can be changed.
    pub state: CartState,
    /// When it was last changed.
    pub changed_at: Timestamp,
    /// What is in it, in the order it was put in.
    pub lines: Vec<CartLine>,
    /// Sum of the lines at today's prices; none when the cart is empty or no order could have this sum.
    pub total: Option<Money>,
    /// All problems of all lines: none means that an order for `total` would be accepted now.
    pub problems: Vec<CartProblem>,
}

/// Whether a cart can be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CartState {
    /// It can.
    Active,
    /// It became these orders.
    Migrated {
        /// One per seller.
        orders: Vec<OrderId>,
    },
}

/// One line of a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CartLine {
    /// What is wanted.
    pub listing: ListingId,
    /// What it is.
    pub title: String,
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
    /// What is wrong with it.
    pub problems: Vec<LineProblem>,
}

/// What is wrong with a line of a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum LineProblem {
    /// The listing has another price than when it was added.
    PriceChanged {
        /// Then.
        seen: Money,
        /// Now.
        current: Money,
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
        /// Units free.
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

#[derive(Serialize, Deserialize)]
struct StoredCart {
    account: AccountId,
    version: u64,
    state: CartState,
    changed_at: Timestamp,
    lines: Vec<StoredLine>,
}

#[derive(Serialize, Deserialize)]
struct StoredLine {
    listing: ListingId,
    quantity: Quantity,
    unit_price_seen: Money,
    listing_version: u32,
}

const CARTS: Layout<CartId, StoredCart> = Layout::new(b'c', VERSION);
const ACTIVE: Layout<AccountId, CartId> = Layout::new(b'a', VERSION);
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
        let live = self.0.read();
        match ACTIVE.get(&live.tree, &account)? {
            Some(cart) => read_cart(&live.tree, cart),
            None => Ok(None),
        }
    }

    /// Gives a cart, also one that has become orders.
    pub fn cart(&self, cart: CartId) -> Result<Option<Cart>, ViewError> {
        read_cart(&self.0.read().tree, cart)
    }
}

fn read_cart(tree: &Tree, cart: CartId) -> Result<Option<Cart>, ViewError> {
    let Some(stored) = CARTS.get(tree, &cart)? else { return Ok(None) };
    let is_active = stored.state == CartState::Active;
    let is_cleared = ROWS.standing(tree, stored.account)?.is_cleared;
    let mut lines = Vec::with_capacity(stored.lines.len());
    for line in stored.lines {
        let listing = ROWS.listing(tree, line.listing)?.ok_or_else(|| ViewError::Damaged {
            source: format!("listing {} of cart {cart} is not there", line.listing).into(),
        })?;
        // What became an order has been bought at its price: nothing is wrong with it any more.
        let problems = if is_active {
            let is_suspended = ROWS.standing(tree, listing.seller)?.is_suspended;
            problems_of(&line, &listing, is_suspended, is_cleared)
        } else {
            Vec::new()
        };
        lines.push(CartLine {
            listing: line.listing,
            title: listing.title,
            seller: listing.seller,
            quantity: line.quantity,
            unit_price_seen: line.unit_price_seen,
            listing_version: line.listing_version,
            current_price: listing.price,
            current_version: listing.version,
            problems,
        });
    }
    let problems = lines.iter().flat_map(|line| {
        let listing = line.listing;
        line.problems.iter().map(move |problem| CartProblem { listing, problem: problem.clone() })
    });
    Ok(Some(Cart {
        cart,
        account: stored.account,
        version: stored.version,
        state: stored.state,
        changed_at: stored.changed_at,
        total: total_of(&lines),
        problems: problems.collect(),
        lines,
    }))
}

fn problems_of(
    line: &StoredLine,
    listing: &Listing,
    is_suspended: bool,
    is_cleared: bool,
) -> Vec<LineProblem> {
    let mut problems = Vec::new();
    if listing.price != line.unit_price_seen {
        problems.push(LineProblem::PriceChanged { seen: line.unit_price_seen, current: listing.price });
    }
    let status = listing.status();
    if status != ListingStatus::Active {
        problems.push(LineProblem::ListingUnavailable { status });
    }
    if is_suspended {
        problems.push(LineProblem::SellerSuspended);
    }
    let (min, max) = listing.limits;
    if !(min..=max).contains(&line.quantity.get()) {
        problems.push(LineProblem::QuantityLimit { min, max });
    }
    let (requested, available) = (u64::from(line.quantity.get()), listing.stock.available());
    if requested > available {
        problems.push(LineProblem::InsufficientStock { requested, available });
    }
    if listing.is_restricted && !is_cleared {
        problems.push(LineProblem::ClearanceMissing);
    }
    problems
}

fn total_of(lines: &[CartLine]) -> Option<Money> {
    let mut totals = lines.iter().map(|line| line.current_price.checked_mul(line.quantity));
    let first = totals.next()?.ok()?;
    totals.try_fold(first, |sum, total| sum.checked_add(total.ok()?).ok())
}

/// How the view follows the log.
pub(crate) struct CartFold {
    carts: Table<CartId, StoredCart>,
    active: Table<AccountId, CartId>,
    catalogue: Catalogue,
}

impl CartFold {
    pub(crate) fn new() -> Self {
        CartFold { carts: Table::new(CARTS), active: Table::new(ACTIVE), catalogue: Catalogue::new(ROWS) }
    }

    fn add_item(
        &mut self,
        tree: &Tree,
        event: &events::cart::ItemAdded,
        time: Timestamp,
    ) -> Result<(), ViewError> {
        let line = StoredLine {
            listing: event.listing,
            quantity: event.quantity,
            unit_price_seen: event.unit_price,
            listing_version: event.listing_version,
        };
        let found = self.carts.entry(tree, &event.cart)?;
        if found.is_none() {
            self.active.set(event.account, Some(event.cart));
        }
        let cart = found.get_or_insert_with(|| StoredCart {
            account: event.account,
            version: 0,
            state: CartState::Active,
            changed_at: time,
            lines: Vec::new(),
        });
        (cart.version, cart.changed_at) = (event.version, time);
        match cart.lines.iter_mut().find(|known| known.listing == line.listing) {
            Some(known) => *known = line,
            None => cart.lines.push(line),
        }
        Ok(())
    }

    fn change_cart(
        &mut self,
        tree: &Tree,
        (cart, version): (CartId, u64),
        (position, time): (Position, Timestamp),
        change: impl FnOnce(&mut StoredCart),
    ) -> Result<(), ViewError> {
        let found = self.carts.entry(tree, &cart)?.as_mut();
        let cart = found.ok_or_else(|| ViewError::unknown(format_args!("cart {cart}"), position))?;
        (cart.version, cart.changed_at) = (version, time);
        change(cart);
        Ok(())
    }
}

impl Fold for CartFold {
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError> {
        for recorded in commit.events() {
            self.catalogue.apply(tree, recorded)?;
            let at = (recorded.position, recorded.metadata.time);
            match &recorded.event {
                Event::CartItemAdded(e) => self.add_item(tree, e, at.1)?,
                Event::CartQuantitySet(e) => {
                    self.change_cart(tree, (e.cart, e.version), at, |cart| {
                        let mut lines = cart.lines.iter_mut();
                        if let Some(line) = lines.find(|line| line.listing == e.listing) {
                            line.quantity = e.quantity;
                        }
                    })?;
                }
                Event::CartItemRemoved(e) => {
                    self.change_cart(tree, (e.cart, e.version), at, |cart| {
                        cart.lines.retain(|line| line.listing != e.listing);
                    })?;
                }
                Event::CartCleared(e) => {
                    self.change_cart(tree, (e.cart, e.version), at, |cart| cart.lines.clear())?;
                }
                Event::CartMigrated(e) => {
                    self.active.set(e.account, None);
                    self.change_cart(tree, (e.cart, e.version), at, |cart| {
                        cart.state = CartState::Migrated { orders: e.orders.clone() };
                    })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.carts.write(tree, batch)?;
        self.active.write(tree, batch)?;
        self.catalogue.write(tree, batch)
    }
}
