//! Listings: what is offered on which terms, whether it can be bought, and what is in stock.
//!
//! | question | key | size of a row |
//! |---|---|---|
//! | a listing | listing | about 120 bytes, with its title and attributes |
//! | a seller's listings, by id | seller, listing | 32 bytes, nothing but its key |
//! | whether an account is suspended, or cleared for restricted goods | account, where something was ever said of it | 18 bytes |
//! | what a listing is found by besides its title ([`words`]) | listing | what its seller says of it, 40 bytes if he says nothing |
//! | which listings' words changed, in the order of the changes | position of the event | 24 bytes |
//! | which words mean the same | only one | what an operator says, at most 32 KB |
//! | how often a listing was ordered | listing | 18 bytes |
//! | what an order not yet shipped has reserved | order | 36 bytes and more for each further line |
//!
//! Carts tell what is wrong with their lines now, and so hold the same rows of listings, folded by the same code, at
//! their own checkpoint.

use events::escrow::rule::ReleaseRule;
use events::ids::{AccountId, ListingId, OrderId};
use events::listing::{Created, ListingStatus, TaxClass, Updated, Variant};
use events::order::change::Changed;
use events::order::{LineUnits, Placed};
use events::reservation::{Allowed, Reserved};
use events::returns::replacement::ReplacementUnits;
use events::stock::Stock;
use events::{Commit, Event, Money, Position, Quantity, Recorded};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};
use uuid::Uuid;

use self::words::{Words, WordsFold};
use crate::store::Slot;
use crate::table::{Additions, Layout, Table, read_uuid};
use crate::view::{Fold, Touched, ViewError};

pub mod words;

/// The version of this view's values; to be raised with every change of them or of what they mean.
pub(crate) const VERSION: u8 = 6;

/// Most listings in one page of a list.
pub const LISTINGS_PER_PAGE_MAX: usize = 100;

/// A listing with its stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The listing.
    pub listing: ListingId,
    /// Who sells.
    pub seller: AccountId,
    /// What it is.
    pub title: String,
    /// Price of one unit.
    pub price: Money,
    /// Counts the changes of the listing from 1.
    pub version: u32,
    /// The fewest and the most units that an order may have of it.
    pub limits: (u32, u32),
    /// Whether only accounts that are cleared for it may buy it.
    pub is_restricted: bool,
    /// Whether its seller takes nothing of it back after it was delivered.
    pub is_final: bool,
    /// How it is taxed.
    pub tax_class: Option<TaxClass>,
    /// The listing it is a variant of, and what sets it apart.
    pub variant: Option<Variant>,
    /// Whether its seller sells none for the time being.
    pub is_paused: bool,
    /// Whether its seller sells none any more.
    pub is_withdrawn: bool,
    /// Why an operator forbids that it is sold, if one does.
    pub blocked: Option<String>,
    /// What is in stock.
    pub stock: Stock,
    /// How buyers may set units aside before they order them; none: they may not.
    pub reservable: Option<Reservable>,
    /// What sets its money free besides what the market asks for.
    pub release: Option<ReleaseRule>,
}

/// How buyers may set units of a listing aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reservable {
    /// The most units of one buyer.
    pub units: u64,
    /// For how long, in milliseconds.
    pub for_ms: i64,
}

impl Listing {
    fn new(event: &Created) -> Self {
        Listing {
            listing: event.listing,
            seller: event.seller,
            title: event.title.clone(),
            price: event.price,
            version: event.version,
            limits: event.limits.unwrap_or_default().range(),
            is_restricted: event.restricted,
            is_final: event.final_sale,
            tax_class: event.tax_class.clone(),
            variant: event.variant.clone(),
            is_paused: false,
            is_withdrawn: false,
            blocked: None,
            stock: Stock::default(),
            reservable: None,
            release: event.release.clone(),
        }
    }

    fn update(&mut self, event: &Updated) {
        let Updated { final_sale, limits, listing: _, price, restricted, tax_class, title, version, release } =
            event;
        self.version = *version;
        self.limits = limits.map_or(self.limits, |limits| limits.range());
        self.price = price.unwrap_or(self.price);
        self.is_final = final_sale.unwrap_or(self.is_final);
        self.is_restricted = restricted.unwrap_or(self.is_restricted);
        if tax_class.is_some() {
            self.tax_class.clone_from(tax_class);
        }
        if let Some(title) = title {
            self.title.clone_from(title);
        }
        if release.is_some() {
            self.release.clone_from(release);
        }
    }

    /// Tells whether it can be bought, its seller and its stock aside.
    pub fn status(&self) -> ListingStatus {
        if self.is_withdrawn {
            ListingStatus::Withdrawn
        } else if self.blocked.is_some() {
            ListingStatus::Blocked
        } else if self.is_paused {
            ListingStatus::Paused
        } else {
            ListingStatus::Active
        }
    }
}

/// What an operator has said of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// It may ask for nothing.
    pub is_suspended: bool,
    /// It may not sell.
    pub is_seller_suspended: bool,
    /// It may buy restricted goods.
    pub is_cleared: bool,
}

impl Standing {
    /// Tells whether others may buy from it.
    pub const fn may_sell(self) -> bool {
        !self.is_seller_suspended && !self.is_suspended
    }
}

/// A listing and whether its seller may sell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The listing.
    pub listing: Listing,
    /// Whether its seller may not sell.
    pub is_seller_suspended: bool,
    /// What it is found by besides its title.
    pub words: Words,
}

/// Some listings of a seller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order of their ids.
    pub offers: Vec<Offer>,
    /// Pass it as `after` to get the next page; none: this was the last.
    pub next: Option<ListingId>,
}

type Reservation = Vec<(ListingId, Quantity)>;

/// Listings, standings and reservations in the tree of a view.
pub(crate) struct Rows {
    listings: Layout<ListingId, Listing>,
    standings: Layout<AccountId, Standing>,
    reserved: Layout<OrderId, Reservation>,
}

impl Rows {
    pub(crate) const fn new(version: u8) -> Self {
        Rows {
            listings: Layout::new(b'l', version),
            standings: Layout::new(b's', version),
            reserved: Layout::new(b'r', version),
        }
    }

    pub(crate) fn listing(&self, tree: &Tree, listing: ListingId) -> Result<Option<Listing>, ViewError> {
        self.listings.get(tree, &listing)
    }

    pub(crate) fn standing(&self, tree: &Tree, account: AccountId) -> Result<Standing, ViewError> {
        Ok(self.standings.get(tree, &account)?.unwrap_or_default())
    }

    /// Gives a listing of the view's own tree: carts keep no words.
    pub(crate) fn offer(&self, tree: &Tree, listing: ListingId) -> Result<Option<Offer>, ViewError> {
        let Some(listing) = self.listing(tree, listing)? else { return Ok(None) };
        let is_seller_suspended = !self.standing(tree, listing.seller)?.may_sell();
        let words = words::words(tree, listing.listing)?.ok_or_else(|| ViewError::Damaged {
            source: format!("listing {} is there, but not what it is found by", listing.listing).into(),
        })?;
        Ok(Some(Offer { listing, is_seller_suspended, words }))
    }
}

/// The rows of this view.
pub(crate) const ROWS: Rows = Rows::new(VERSION);
const BY_SELLER: Layout<(AccountId, ListingId), ()> = Layout::new(b'i', VERSION);

/// Answers about listings.
#[derive(Clone, Copy)]
pub struct Listings<'a>(&'a Slot);

impl<'a> Listings<'a> {
    pub(crate) fn new(slot: &'a Slot) -> Self {
        Listings(slot)
    }

    /// Gives a listing.
    pub fn listing(&self, listing: ListingId) -> Result<Option<Offer>, ViewError> {
        ROWS.offer(&self.0.ask()?.tree, listing)
    }

    /// Tells what an operator has said of an account.
    pub fn standing(&self, account: AccountId) -> Result<Standing, ViewError> {
        ROWS.standing(&self.0.ask()?.tree, account)
    }

    /// Lists a seller's listings by id: those behind `after`, or all. A page has at most `limit` listings, and never
    /// more than [`LISTINGS_PER_PAGE_MAX`].
    pub fn list(&self, seller: AccountId, after: Option<ListingId>, limit: usize) -> Result<Page, ViewError> {
        let limit = limit.clamp(1, LISTINGS_PER_PAGE_MAX);
        let live = self.0.ask()?;
        let from = (seller, after.unwrap_or(ListingId::from_uuid(Uuid::nil())));
        let mut page = Page { offers: Vec::with_capacity(limit), next: None };
        for row in BY_SELLER.scan_from(&live.tree, &seller, &from) {
            let id = read_uuid(&row?.0).map(ListingId::from_uuid);
            let id = id.ok_or_else(|| ViewError::Damaged { source: "a list's key is too short".into() })?;
            if after == Some(id) {
                continue;
            }
            if page.offers.len() == limit {
                page.next = page.offers.last().map(|offer| offer.listing.listing);
                break;
            }
            page.offers.push(ROWS.offer(&live.tree, id)?.ok_or_else(|| ViewError::Damaged {
                source: format!("listing {id} is listed, but is not there").into(),
            })?);
        }
        Ok(page)
    }
}

/// How a view follows what happens to listings and their stock.
pub(crate) struct Catalogue {
    listings: Table<ListingId, Listing>,
    standings: Table<AccountId, Standing>,
    reserved: Table<OrderId, Reservation>,
}

impl Catalogue {
    pub(crate) fn new(rows: Rows) -> Self {
        Catalogue {
            listings: Table::new(rows.listings),
            standings: Table::new(rows.standings),
            reserved: Table::new(rows.reserved),
        }
    }

    pub(crate) fn apply(&mut self, tree: &Tree, recorded: &Recorded) -> Result<(), ViewError> {
        let at = recorded.position;
        match &recorded.event {
            Event::ListingCreated(e) => self.listings.set(e.listing, Some(Listing::new(e))),
            Event::ListingUpdated(e) => self.listing(tree, e.listing, at)?.update(e),
            Event::ListingPaused(e) => self.listing(tree, e.listing, at)?.is_paused = true,
            Event::ListingResumed(e) => self.listing(tree, e.listing, at)?.is_paused = false,
            Event::ListingWithdrawn(e) => self.listing(tree, e.listing, at)?.is_withdrawn = true,
            Event::ListingBlocked(e) => {
                self.listing(tree, e.listing, at)?.blocked = Some(e.reason.clone());
            }
            Event::ListingUnblocked(e) => self.listing(tree, e.listing, at)?.blocked = None,
            Event::SellerSuspended(e) => self.standing(tree, e.account)?.is_seller_suspended = true,
            Event::SellerReinstated(e) => self.standing(tree, e.account)?.is_seller_suspended = false,
            Event::AccountSuspended(e) => self.standing(tree, e.account)?.is_suspended = true,
            Event::AccountReinstated(e) => self.standing(tree, e.account)?.is_suspended = false,
            Event::ClearanceGranted(e) => self.standing(tree, e.account)?.is_cleared = true,
            Event::ClearanceRevoked(e) => self.standing(tree, e.account)?.is_cleared = false,
            Event::StockReceived(e) => self.stock(tree, e.listing, at, |stock| stock.received(e))?,
            Event::StockAdjusted(e) => self.stock(tree, e.listing, at, |stock| stock.adjusted(e))?,
            Event::StockSafetySet(e) => self.stock(tree, e.listing, at, |stock| stock.safety_set(e))?,
            Event::StockMoved(e) => self.stock(tree, e.listing, at, |stock| stock.moved(e))?,
            Event::StockBackorderLimitSet(e) => {
                self.listing(tree, e.listing, at)?.stock.backorder_limit = e.units;
            }
            Event::StockExpected(e) => self.listing(tree, e.listing, at)?.stock.expected(e),
            Event::ReservationsAllowed(e) => {
                let Allowed { for_ms, listing, units } = *e;
                let reservable = (units > 0).then_some(Reservable { units, for_ms });
                self.listing(tree, listing, at)?.reservable = reservable;
            }
            Event::StockReserved(e) => self.set_aside(tree, e, at)?,
            Event::ReservationReleased(e) => self.end_set_aside(tree, e.listing, e.quantity, at)?,
            Event::ReservationExpired(e) => self.end_set_aside(tree, e.listing, e.quantity, at)?,
            // The order, which stands before it, has reserved all of its units.
            Event::ReservationTakenUp(e) => self.end_set_aside(tree, e.listing, e.quantity, at)?,
            Event::OrderPlaced(e) => self.reserve(tree, e, at)?,
            Event::OrderChanged(e) => self.reserve_more(tree, e, at)?,
            Event::OrderReallocated(e) => {
                for units in &e.units {
                    self.stock(tree, units.listing, at, |stock| stock.reallocate(units))?;
                }
            }
            Event::ReturnReceived(e) => {
                for units in &e.lines {
                    self.stock(tree, units.listing, at, |stock| stock.take_back(units, e.location.as_ref()))?;
                }
            }
            Event::ReplacementReserved(e) => {
                for ReplacementUnits { listing, locations, quantity } in &e.lines {
                    let units = u64::from(quantity.get());
                    self.stock(tree, *listing, at, |stock| stock.reserve(units, locations))?;
                }
            }
            Event::ReplacementGivenUp(e) => {
                for ReplacementUnits { listing, locations, quantity } in &e.freed {
                    let units = u64::from(quantity.get());
                    self.stock(tree, *listing, at, |stock| stock.unreserve(units, locations))?;
                }
            }
            Event::OrderShipped(e) => self.end_reservation(tree, e.order, &e.lines, true, at)?,
            Event::OrderCancelled(e) => self.end_reservation(tree, e.order, &e.lines, false, at)?,
            _ => {}
        }
        Ok(())
    }

    /// Gives the listings and the accounts of which something changed since the last writing.
    fn dirty(&self) -> (&[ListingId], &[AccountId]) {
        (self.listings.dirty(), self.standings.dirty())
    }

    pub(crate) fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.listings.write(tree, batch)?;
        self.standings.write(tree, batch)?;
        self.reserved.write(tree, batch)
    }

    fn listing(
        &mut self,
        tree: &Tree,
        listing: ListingId,
        position: Position,
    ) -> Result<&mut Listing, ViewError> {
        let found = self.listings.entry(tree, &listing)?.as_mut();
        found.ok_or_else(|| ViewError::unknown(format_args!("listing {listing}"), position))
    }

    /// Changes what is in stock of a listing.
    fn stock(
        &mut self,
        tree: &Tree,
        listing: ListingId,
        position: Position,
        change: impl FnOnce(&mut Stock) -> Option<()>,
    ) -> Result<(), ViewError> {
        let stock = &mut self.listing(tree, listing, position)?.stock;
        change(stock).ok_or(ViewError::overflow("what is in stock", position))
    }

    fn standing(&mut self, tree: &Tree, account: AccountId) -> Result<&mut Standing, ViewError> {
        Ok(self.standings.entry(tree, &account)?.get_or_insert_default())
    }

    fn set_aside(&mut self, tree: &Tree, event: &Reserved, position: Position) -> Result<(), ViewError> {
        let units = u64::from(event.quantity.get());
        self.stock(tree, event.listing, position, |stock| {
            stock.set_aside = stock.set_aside.checked_add(units)?;
            stock.reserve(units, &[])
        })
    }

    fn end_set_aside(
        &mut self,
        tree: &Tree,
        listing: ListingId,
        quantity: Quantity,
        position: Position,
    ) -> Result<(), ViewError> {
        let units = u64::from(quantity.get());
        self.stock(tree, listing, position, |stock| {
            stock.set_aside = stock.set_aside.checked_sub(units)?;
            stock.unreserve(units, &[])
        })
    }

    fn reserve(&mut self, tree: &Tree, placed: &Placed, position: Position) -> Result<(), ViewError> {
        let mut reservation = Vec::with_capacity(placed.lines.len());
        for line in &placed.lines {
            // A replacement takes over what was reserved for it.
            if placed.replaces.is_none() {
                let units = u64::from(line.quantity.get());
                self.stock(tree, line.listing, position, |stock| stock.reserve(units, &line.locations))?;
            }
            reservation.push((line.listing, line.quantity));
        }
        self.reserved.set(placed.order, Some(reservation));
        Ok(())
    }

    /// Reserves units that a change adds to an order.
    fn reserve_more(&mut self, tree: &Tree, changed: &Changed, position: Position) -> Result<(), ViewError> {
        for line in &changed.added {
            let units = u64::from(line.quantity.get());
            self.stock(tree, line.listing, position, |stock| stock.reserve(units, &line.locations))?;
            let reservation = self.reserved.entry(tree, &changed.order)?.get_or_insert_default();
            match reservation.iter_mut().find(|(listing, _)| *listing == line.listing) {
                Some((_, reserved)) => {
                    let more = reserved.checked_add(line.quantity).ok();
                    *reserved = more.ok_or(ViewError::overflow("what an order reserves", position))?;
                }
                None => reservation.push((line.listing, line.quantity)),
            }
        }
        Ok(())
    }

    /// Takes units out of an order's reservation: those named or, where none is named, which only events of the first
    /// version do, all that are left. Shipped units leave the stock with it.
    fn end_reservation(
        &mut self,
        tree: &Tree,
        order: OrderId,
        named: &[LineUnits],
        is_shipped: bool,
        position: Position,
    ) -> Result<(), ViewError> {
        let missing = || ViewError::unknown(format_args!("a reservation of order {order}"), position);
        let found = self.reserved.entry(tree, &order)?;
        let ended = if named.is_empty() {
            found.take().ok_or_else(missing)?
        } else {
            let reservation = found.as_mut().ok_or_else(missing)?;
            for units in named {
                let (at, (_, left)) = (0..)
                    .zip(&*reservation)
                    .find(|(_, (listing, _))| *listing == units.listing)
                    .ok_or_else(missing)?;
                let left = left.get().checked_sub(units.quantity.get()).ok_or_else(missing)?;
                match Quantity::new(left) {
                    Ok(left) => reservation[at].1 = left,
                    Err(_) => drop(reservation.remove(at)),
                }
            }
            if reservation.is_empty() {
                *found = None;
            }
            named.iter().map(|units| (units.listing, units.quantity)).collect()
        };
        for (n, (listing, quantity)) in ended.into_iter().enumerate() {
            let units = u64::from(quantity.get());
            let locations = named.get(n).map_or(&[][..], |units| &units.locations);
            self.stock(tree, listing, position, |stock| match is_shipped {
                true => stock.ship(units, locations),
                false => stock.unreserve(units, locations),
            })?;
        }
        Ok(())
    }
}

/// How the view follows the log.
pub(crate) struct ListingFold {
    catalogue: Catalogue,
    by_seller: Additions<(AccountId, ListingId), ()>,
    words: WordsFold,
    touched: Touched,
}

impl ListingFold {
    pub(crate) fn new() -> Self {
        ListingFold {
            catalogue: Catalogue::new(ROWS),
            by_seller: Additions::new(BY_SELLER),
            words: WordsFold::new(),
            touched: Touched::default(),
        }
    }
}

impl Fold for ListingFold {
    fn apply(&mut self, tree: &Tree, commit: &Commit) -> Result<(), ViewError> {
        for recorded in commit.events() {
            if let Event::ListingCreated(created) = &recorded.event {
                self.by_seller.add(&(created.seller, created.listing), &());
            }
            self.catalogue.apply(tree, recorded)?;
            self.words.apply(tree, recorded)?;
        }
        Ok(())
    }

    fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        let (listings, accounts) = self.catalogue.dirty();
        let listings = listings.iter().chain(self.words.ordered()).copied().collect();
        let words_at = self.words.newest_change();
        let synonyms = self.words.has_new_synonyms();
        self.touched = Touched { listings, accounts: accounts.to_vec(), synonyms, words_at };
        self.catalogue.write(tree, batch)?;
        self.words.write(tree, batch)?;
        self.by_seller.write(tree, batch)
    }

    fn take_touched(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }
}
