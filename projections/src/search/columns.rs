//! What changes often about listings, in memory: price, stock, standing and how often they were ordered.
//!
//! Each number is an atomic of its own, which the view's follower stores and searches load, so neither waits for the other. A
//! search that runs beside a change may see one number of a listing before the change and one after it; what it shows of a
//! listing it reads from the view.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use events::Currency;
use events::ids::{AccountId, ListingId};
use events::listing::ListingStatus;

use crate::listing::Offer;

/// Listings whose numbers stand together. More would waste memory of a small market, fewer would make more parts.
const CHUNK: usize = 1024;

/// Stands where the listing of a number is not known yet.
const NOBODY: ListingId = ListingId::from_uuid(uuid::Uuid::nil());

/// What a search reads of a listing that it may show.
#[derive(Default)]
struct Cell {
    price_minor: AtomicI64,
    available: AtomicU64,
    orders: AtomicU64,
    /// Three letters of a currency.
    currency: AtomicU32,
    /// Which seller: his place among the sellers.
    seller: AtomicU32,
    /// Whether it can be bought, its seller and its stock aside.
    is_active: AtomicBool,
}

/// The numbers of some listings.
struct Chunk {
    /// Who sells each: his place among the sellers, and one; 0: it can't be bought, its stock aside, or is not known yet. Apart from
    /// the rest, since it is asked of every listing that has the words, and of most of them nothing else is.
    sold_by: Vec<AtomicU32>,
    cells: Vec<Cell>,
}

impl Chunk {
    fn new() -> Chunk {
        let cells = (0..CHUNK).map(|_| Cell::default()).collect();
        Chunk { sold_by: (0..CHUNK).map(|_| AtomicU32::new(0)).collect(), cells }
    }

    /// Says whether a listing can be bought, whose seller may sell or may not.
    fn show(&self, at: usize, seller: u32, may_sell: bool) {
        let is_sold = may_sell && self.cells[at].is_active.load(Ordering::Relaxed);
        // A search that sees this sees the numbers that were stored before.
        self.sold_by[at].store(if is_sold { seller + 1 } else { 0 }, Ordering::Release);
    }
}

/// The numbers of one listing, as one search sees them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) price_minor: i64,
    pub(super) available: u64,
    pub(super) orders: u64,
    pub(super) currency: u32,
    pub(super) seller: u32,
}

/// The numbers of every listing, by the number of the listing.
#[derive(Default)]
pub(super) struct Columns {
    /// Only grows, a chunk at a time.
    chunks: RwLock<Arc<Vec<Arc<Chunk>>>>,
    /// The listing of each number; only grows.
    listings: RwLock<Vec<ListingId>>,
    sellers: RwLock<Sellers>,
}

/// The sellers; only grows.
#[derive(Default)]
struct Sellers {
    places: HashMap<AccountId, u32>,
    /// Who stands at each place.
    accounts: Vec<AccountId>,
}

/// The columns as they are when a search begins; their numbers go on changing.
pub(super) struct View {
    chunks: Arc<Vec<Arc<Chunk>>>,
    /// How many sellers there are.
    sellers: usize,
}

/// Writes a currency as a number.
pub(super) fn code_of(currency: Currency) -> u32 {
    currency.to_string().bytes().fold(0, |code, letter| (code << 8) | u32::from(letter))
}

/// Reads what [`code_of`] has written.
pub(super) fn currency_of(code: u32) -> Option<Currency> {
    let [_, letters @ ..] = code.to_be_bytes();
    std::str::from_utf8(&letters).ok()?.parse().ok()
}

impl Columns {
    /// Takes in how a listing stands. One at a time stores something: whoever changes the view of listings.
    pub(super) fn store(&self, offer: &Offer, orders: u64) {
        let listing = &offer.listing;
        let number = offer.words.number;
        let may_sell = !offer.is_seller_suspended;
        let seller = self.place(listing.seller);
        self.name(number, listing.listing);
        let chunk = self.chunk_of(number);
        let at = number as usize % CHUNK;
        let cell = &chunk.cells[at];
        cell.price_minor.store(listing.price.minor, Ordering::Relaxed);
        cell.available.store(listing.stock.available(), Ordering::Relaxed);
        cell.orders.store(orders, Ordering::Relaxed);
        cell.currency.store(code_of(listing.price.currency), Ordering::Relaxed);
        cell.seller.store(seller, Ordering::Relaxed);
        cell.is_active.store(listing.status() == ListingStatus::Active, Ordering::Relaxed);
        chunk.show(at, seller, may_sell);
    }

    /// Takes in whether a seller may sell.
    pub(super) fn store_standing(&self, seller: AccountId, may_sell: bool) {
        // Of an account without listings nothing need be known.
        let Some(place) = self.place_of(seller) else { return };
        // All listings are gone through, which seldom happens; a search need not look at the seller of each.
        let chunks = Arc::clone(&self.chunks.read().unwrap_or_else(PoisonError::into_inner));
        for chunk in chunks.iter() {
            for (at, cell) in chunk.cells.iter().enumerate() {
                // What is not known yet is not active.
                if cell.seller.load(Ordering::Relaxed) == place {
                    chunk.show(at, place, may_sell);
                }
            }
        }
    }

    /// Finds a seller's place; none: he has no listings.
    pub(super) fn place_of(&self, seller: AccountId) -> Option<u32> {
        self.sellers.read().unwrap_or_else(PoisonError::into_inner).places.get(&seller).copied()
    }

    /// Gives the seller at a place.
    pub(super) fn seller_at(&self, place: u32) -> Option<AccountId> {
        let sellers = self.sellers.read().unwrap_or_else(PoisonError::into_inner);
        sellers.accounts.get(place as usize).copied()
    }

    /// Gives the listing of a number.
    pub(super) fn listing(&self, number: u32) -> Option<ListingId> {
        let listings = self.listings.read().unwrap_or_else(PoisonError::into_inner);
        listings.get(number as usize).copied().filter(|listing| *listing != NOBODY)
    }

    fn name(&self, number: u32, listing: ListingId) {
        if self.listing(number).is_some() {
            return;
        }
        let mut listings = self.listings.write().unwrap_or_else(PoisonError::into_inner);
        let at = number as usize;
        if listings.len() <= at {
            listings.resize(at + 1, NOBODY);
        }
        listings[at] = listing;
    }

    /// Gives the columns for a search.
    pub(super) fn view(&self) -> View {
        let chunks = Arc::clone(&self.chunks.read().unwrap_or_else(PoisonError::into_inner));
        let sellers = self.sellers.read().unwrap_or_else(PoisonError::into_inner).accounts.len();
        View { chunks, sellers }
    }

    /// Gives a seller's place, a new one if he has none.
    fn place(&self, seller: AccountId) -> u32 {
        if let Some(place) = self.place_of(seller) {
            return place;
        }
        let mut sellers = self.sellers.write().unwrap_or_else(PoisonError::into_inner);
        let place = u32::try_from(sellers.accounts.len())
            .expect("there are fewer sellers than listings can be counted");
        sellers.accounts.push(seller);
        sellers.places.insert(seller, place);
        place
    }

    fn chunk_of(&self, number: u32) -> Arc<Chunk> {
        let at = number as usize / CHUNK;
        if let Some(chunk) = self.chunks.read().unwrap_or_else(PoisonError::into_inner).get(at) {
            return Arc::clone(chunk);
        }
        let mut chunks = self.chunks.write().unwrap_or_else(PoisonError::into_inner);
        let grown = Arc::make_mut(&mut chunks);
        while grown.len() <= at {
            grown.push(Arc::new(Chunk::new()));
        }
        Arc::clone(&grown[at])
    }
}

impl View {
    /// Gives how many sellers there are; each has a place below.
    pub(super) fn sellers(&self) -> usize {
        self.sellers
    }

    /// Gives below which number all listings are.
    pub(super) fn listings(&self) -> u32 {
        u32::try_from(self.chunks.len() * CHUNK).expect("listings are numbered with 32 bits")
    }

    /// Gives the place of who sells a listing that can be bought if it is in stock; none: it can't, or is not known yet.
    pub(super) fn seller_of(&self, number: u32) -> Option<u32> {
        let chunk = self.chunks.get(number as usize / CHUNK)?;
        let seller = chunk.sold_by[number as usize % CHUNK].load(Ordering::Acquire).checked_sub(1)?;
        // One who came after the search began is none of its sellers.
        ((seller as usize) < self.sellers).then_some(seller)
    }

    /// Gives the numbers of a listing that `seller` sells.
    pub(super) fn numbers(&self, number: u32, seller: u32) -> Numbers {
        let cell = &self.chunks[number as usize / CHUNK].cells[number as usize % CHUNK];
        Numbers {
            price_minor: cell.price_minor.load(Ordering::Relaxed),
            available: cell.available.load(Ordering::Relaxed),
            orders: cell.orders.load(Ordering::Relaxed),
            currency: cell.currency.load(Ordering::Relaxed),
            seller,
        }
    }
}
