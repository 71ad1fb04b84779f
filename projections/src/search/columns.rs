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

/// What a search reads of a listing.
#[derive(Default)]
pub(super) struct Cell {
    price_minor: AtomicI64,
    available: AtomicU64,
    orders: AtomicU64,
    /// Three letters of a currency; 0: the listing is not known yet.
    currency: AtomicU32,
    /// Which seller: his place among the sellers.
    seller: AtomicU32,
    /// Whether it can be bought, its seller and its stock aside.
    is_active: AtomicBool,
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

type Chunk = [Cell];

/// The numbers of every listing, by the number of the listing.
#[derive(Default)]
pub(super) struct Columns {
    /// Only grows, a chunk at a time.
    chunks: RwLock<Arc<Vec<Arc<Chunk>>>>,
    /// Whether each seller may sell; only grows.
    sellers: RwLock<Arc<Vec<Arc<AtomicBool>>>>,
    /// The listing of each number; only grows.
    listings: RwLock<Vec<ListingId>>,
    /// The place of each seller, and who stands at each.
    places: RwLock<(HashMap<AccountId, u32>, Vec<AccountId>)>,
}

/// The columns as they are when a search begins; their numbers go on changing.
pub(super) struct View {
    chunks: Arc<Vec<Arc<Chunk>>>,
    sellers: Arc<Vec<Arc<AtomicBool>>>,
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
    /// Takes in how a listing stands.
    pub(super) fn store(&self, offer: &Offer, orders: u64) {
        let listing = &offer.listing;
        let number = offer.words.number;
        let seller = self.seller(listing.seller, !offer.is_seller_suspended);
        self.name(number, listing.listing);
        let chunk = self.chunk_of(number);
        let cell = &chunk[number as usize % CHUNK];
        cell.price_minor.store(listing.price.minor, Ordering::Relaxed);
        cell.available.store(listing.stock.available(), Ordering::Relaxed);
        cell.orders.store(orders, Ordering::Relaxed);
        cell.seller.store(seller, Ordering::Relaxed);
        let is_active = listing.status() == ListingStatus::Active;
        cell.is_active.store(is_active, Ordering::Relaxed);
        // Last: from here on the listing is known.
        cell.currency.store(code_of(listing.price.currency), Ordering::Release);
    }

    /// Takes in whether a seller may sell.
    pub(super) fn store_standing(&self, seller: AccountId, may_sell: bool) {
        // Of an account without listings nothing need be known.
        if let Some(place) = self.place_of(seller) {
            let sellers = self.sellers.read().unwrap_or_else(PoisonError::into_inner);
            sellers[place as usize].store(may_sell, Ordering::Relaxed);
        }
    }

    /// Finds a seller's place; none: he has no listings.
    pub(super) fn place_of(&self, seller: AccountId) -> Option<u32> {
        self.places.read().unwrap_or_else(PoisonError::into_inner).0.get(&seller).copied()
    }

    /// Gives the seller at a place.
    pub(super) fn seller_at(&self, place: u32) -> Option<AccountId> {
        self.places.read().unwrap_or_else(PoisonError::into_inner).1.get(place as usize).copied()
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
        let sellers = Arc::clone(&self.sellers.read().unwrap_or_else(PoisonError::into_inner));
        View { chunks, sellers }
    }

    fn seller(&self, seller: AccountId, may_sell: bool) -> u32 {
        // The view has one follower: nobody adds a seller meanwhile.
        if let Some(place) = self.place_of(seller) {
            let sellers = self.sellers.read().unwrap_or_else(PoisonError::into_inner);
            sellers[place as usize].store(may_sell, Ordering::Relaxed);
            return place;
        }
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        let mut sellers = self.sellers.write().unwrap_or_else(PoisonError::into_inner);
        let place =
            u32::try_from(sellers.len()).expect("there are fewer sellers than listings can be counted");
        Arc::make_mut(&mut sellers).push(Arc::new(AtomicBool::new(may_sell)));
        places.0.insert(seller, place);
        places.1.push(seller);
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
            grown.push((0..CHUNK).map(|_| Cell::default()).collect());
        }
        Arc::clone(&grown[at])
    }
}

impl View {
    /// Gives how many sellers there are; each has a place below.
    pub(super) fn sellers(&self) -> usize {
        self.sellers.len()
    }

    /// Gives below which number all listings are.
    pub(super) fn listings(&self) -> u32 {
        u32::try_from(self.chunks.len() * CHUNK).expect("listings are numbered with 32 bits")
    }

    /// Gives the numbers of a listing that can be bought if it is in stock; none: it can't, or is not known yet.
    pub(super) fn of_sold(&self, number: u32) -> Option<Numbers> {
        let cell = self.chunks.get(number as usize / CHUNK)?.get(number as usize % CHUNK)?;
        let currency = cell.currency.load(Ordering::Acquire);
        let seller = cell.seller.load(Ordering::Relaxed);
        let is_sold = currency != 0
            && cell.is_active.load(Ordering::Relaxed)
            && self.sellers.get(seller as usize)?.load(Ordering::Relaxed);
        is_sold.then(|| Numbers {
            price_minor: cell.price_minor.load(Ordering::Relaxed),
            available: cell.available.load(Ordering::Relaxed),
            orders: cell.orders.load(Ordering::Relaxed),
            currency,
            seller,
        })
    }
}
