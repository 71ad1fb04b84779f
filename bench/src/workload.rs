//! People, listings and what they order: keys of one algorithm, listings drawn by Zipf's law.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use commands::command::{
    CreateListing, FundWallet, OrderLine, PaymentMethod, PlaceOrder, ReceiveStock, Text,
};
use events::account::{Algorithm, Role};
use events::ids::{ListingId, MarketName};
use events::{Currency, Money, Quantity};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use crate::person::Person;

/// Exponent of Zipf's law; about 1 is what shops see.
const ZIPF_EXPONENT: f64 = 1.0;
/// Listings of one seller.
pub(crate) const LISTINGS_PER_SELLER: usize = 10;
/// From how many listings on each gets its stock once instead of five times.
const MANY_LISTINGS: usize = 10_000;
/// Commands that are signed by one thread at a time.
const SIGN_CHUNK: usize = 2_000;

/// A signed command and whose key signed it, for the floor.
pub struct Signed {
    /// The compact JWS.
    pub bytes: Bytes,
    /// The place of the key among the buyers.
    pub buyer: usize,
}

/// A town of buyers and sellers.
pub struct Town {
    /// The buyers.
    pub buyers: Vec<Person>,
    /// The sellers, each of the next [`LISTINGS_PER_SELLER`] listings.
    pub sellers: Vec<Person>,
    pub(crate) listings: Vec<(ListingId, Money)>,
    /// Running sums of the weights by which listings are drawn.
    zipf: Vec<f64>,
    /// What each listing is called, by its place.
    title: fn(usize) -> String,
}

impl Town {
    /// Makes a town.
    pub fn new(market: &MarketName, algorithm: Algorithm, buyers: usize, listings: usize, seed: u64) -> Town {
        let mut rng = StdRng::seed_from_u64(seed);
        let usd: Currency = "USD".parse().expect("USD is a currency");
        let buyers = (0..buyers).map(|_| Person::new(market, algorithm, &mut rng)).collect();
        let sellers = (0..listings.div_ceil(LISTINGS_PER_SELLER))
            .map(|_| Person::new(market, algorithm, &mut rng))
            .collect();
        let listings = (0..listings)
            .map(|_| (ListingId::from_uuid(Uuid::now_v7()), Money::new(rng.random_range(199..20_000), usd)))
            .collect::<Vec<_>>();
        let mut sum = 0.0;
        let zipf = (1..=listings.len())
            .map(|rank| {
                sum += (rank as f64).powf(-ZIPF_EXPONENT);
                sum
            })
            .collect();
        Town { buyers, sellers, listings, zipf, title: |n| format!("Listing {n}") }
    }

    /// Calls the listings otherwise.
    pub fn entitled(self, title: fn(usize) -> String) -> Town {
        Town { title, ..self }
    }

    /// Gives a listing by its place.
    pub fn listing(&self, n: usize) -> ListingId {
        self.listings[n].0
    }

    /// Signs what founds the town, in rounds: each needs the one before to be decided.
    pub fn founding(&self, registrar: &Person, provider: &Person) -> Vec<Vec<Bytes>> {
        let people = || {
            let buyers = self.buyers.iter().map(|person| (person, Role::Buyer));
            let sellers = self.sellers.iter().map(|person| (person, Role::Seller));
            buyers.chain(sellers).chain([(provider, Role::Provider)])
        };
        let register = |person: &Person, role| registrar.sign(person.account_registration(role));
        let enrol = |person: &Person| registrar.sign(person.device_registration());
        let fund = |person: &Person| {
            // Half of the money there can be, in equal parts: enough for any number of orders a run can make, and it leaves the
            // room that the market keeps for what it may have to post later.
            let minor = Money::MINOR_MAX / 2 / self.buyers.len() as i64;
            let amount = Money::new(minor, self.listings[0].1.currency);
            let reference = Text::try_from(format!("bench {}", person.account())).expect("a short text");
            provider.sign(FundWallet { account: person.account(), amount, reference })
        };
        let offer = |(n, (listing, price)): (usize, &(ListingId, Money))| {
            let title = Text::try_from((self.title)(n)).expect("a short text");
            let command = CreateListing::new(*listing, *price, title);
            self.sellers[n / LISTINGS_PER_SELLER].sign(command)
        };
        let stock = |(n, (listing, _)): (usize, &(ListingId, Money))| {
            let quantity = Quantity::new(Quantity::MAX).expect("the largest quantity is one");
            self.sellers[n / LISTINGS_PER_SELLER].sign(ReceiveStock {
                listing: *listing,
                location: None,
                quantity,
            })
        };
        let mut rounds = vec![people().map(|(person, role)| register(person, role)).collect::<Vec<_>>()];
        rounds.push(people().map(|(person, _)| enrol(person)).collect());
        let wallets = self.buyers.iter().map(fund);
        rounds.push(wallets.chain(self.listings.iter().enumerate().map(offer)).collect());
        // Enough for millions of orders of the most popular listing; of many listings, each is ordered less.
        let times = if self.listings.len() > MANY_LISTINGS { 1 } else { 5 };
        for _ in 0..times {
            rounds.push(self.listings.iter().enumerate().map(stock).collect());
        }
        rounds
    }

    /// Draws a listing, by its place.
    pub(crate) fn draw(&self, rng: &mut StdRng) -> usize {
        let total = self.zipf.last().copied().unwrap_or(1.0);
        let at = rng.random_range(0.0..total);
        self.zipf.partition_point(|sum| *sum <= at).min(self.listings.len() - 1)
    }

    fn order(&self, rng: &mut StdRng) -> Signed {
        let buyer = rng.random_range(0..self.buyers.len());
        let mut wanted = BTreeMap::new();
        // Two orders in three are of one line, as in the CDNOW purchases; the others of two.
        let lines = if rng.random_range(0..3) == 0 { 2 } else { 1 };
        while wanted.len() < lines {
            let (listing, price) = self.listings[self.draw(rng)];
            wanted.insert(listing, (price, rng.random_range(1..=3u32)));
        }
        let mut total = 0;
        let lines = wanted.into_iter().map(|(listing, (price, units))| {
            total += price.minor * i64::from(units);
            OrderLine { listing, quantity: Quantity::new(units).expect("1 to 3 is a quantity"), quote: None }
        });
        let lines = lines.collect();
        let total = Money::new(total, self.listings[0].1.currency);
        let command = PlaceOrder::new(lines, PaymentMethod::Wallet, total);
        Signed { bytes: self.buyers[buyer].sign(command), buyer }
    }

    /// Signs orders on all cores.
    pub fn orders(self: &Arc<Self>, count: usize, seed: u64) -> Vec<Signed> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let chunks = count.div_ceil(SIGN_CHUNK);
        let mut parts: Vec<(usize, Vec<Signed>)> = std::thread::scope(|scope| {
            let signer = |thread: usize| {
                let mine = (thread..chunks).step_by(threads);
                mine.map(|chunk| {
                    let mut rng = StdRng::seed_from_u64(seed ^ chunk as u64);
                    let size = SIGN_CHUNK.min(count - chunk * SIGN_CHUNK);
                    (chunk, (0..size).map(|_| self.order(&mut rng)).collect())
                })
                .collect::<Vec<_>>()
            };
            let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || signer(thread))).collect();
            handles.into_iter().flat_map(|handle| handle.join().expect("signing does not panic")).collect()
        });
        parts.sort_unstable_by_key(|(chunk, _)| *chunk);
        parts.into_iter().flat_map(|(_, part)| part).collect()
    }
}
