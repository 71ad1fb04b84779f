//! How much one address, one key and one account may ask for: token buckets, of which a bounded number is remembered; and how many
//! connections an address may have.
//!
//! Who asks too much is told when to come again, before anything is decided: it costs the market nothing and the client neither
//! its command's id nor its numbers. A command's key is only charged for commands that it has signed, so nobody is held up by
//! others who name his key.

pub(crate) mod address;
mod connections;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use commands::Refusal;
use events::ids::{AccountId, KeyId};
use tokio::time::Instant;

use self::address::Client;
pub(crate) use self::connections::Place;
use self::connections::{Connections, Full};
pub use self::address::{ForwardedHeader, Proxies, ProxyError, TrustedProxy};
use crate::problem::Problem;

/// How long's worth somebody may ask for at once who has asked for nothing for as long.
pub const BURST: Duration = Duration::from_secs(5);
/// Most addresses, keys or accounts that a table remembers. Of those who were not seen for so many others, or half of them,
/// nothing is remembered, as if they had never asked.
pub const REMEMBERED_MAX: usize = 1 << 17;
/// What a request counts for whose signature or token does not hold: somebody may be trying some.
pub const UNPROVEN_COST: u32 = 10;

/// Connections that one address may have at once, unless another number is asked for: a sixteenth of
/// [`crate::server::CONNECTIONS_MAX`], and enough for an office behind one address.
pub const CONNECTIONS_PER_ADDRESS: u32 = 256;

/// How many requests a second somebody may make, and how many connections he may have; `None`: as many as he likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Everything that comes from one address, except from this machine itself, unless through a trusted proxy.
    pub per_address: Option<u32>,
    /// Commands that one key has signed.
    pub commands_per_key: Option<u32>,
    /// Questions with tokens of one account.
    pub queries_per_account: Option<u32>,
    /// Connections of one address at once, except of this machine itself and of trusted proxies, which carry many clients.
    pub connections_per_address: Option<u32>,
}

/// What is known of who has asked how much.
pub struct Limits {
    proxies: Proxies,
    addresses: Option<Table<Client>>,
    keys: Option<Table<KeyId>>,
    accounts: Option<Table<AccountId>>,
    connections: Option<Connections>,
}

/// Says when to come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany {
    by: &'static str,
    wait: Duration,
}

impl Limits {
    /// Begins to count, with nobody known.
    pub fn new(rates: Rates, proxies: Proxies) -> Limits {
        Limits {
            proxies,
            addresses: rates.per_address.map(Table::new),
            keys: rates.commands_per_key.map(Table::new),
            accounts: rates.queries_per_account.map(Table::new),
            connections: rates.connections_per_address.map(Connections::new),
        }
    }

    /// Lets everybody ask as much as he likes.
    pub fn none() -> Limits {
        Limits::new(Rates::default(), Proxies::default())
    }

    /// Counts a connection until what is given is dropped; none, if this peer's are not counted.
    pub(crate) fn connect(&self, peer: std::net::IpAddr) -> Result<Option<Place>, Full> {
        match (&self.connections, self.proxies.peer(peer)) {
            (Some(connections), Some(client)) => connections.take(client).map(Some),
            _ => Ok(None),
        }
    }

    /// Waits until so many connections are counted at most.
    #[cfg(test)]
    pub(crate) async fn until_connected(&self, at_most: usize) {
        while self.connections.as_ref().is_some_and(|connections| connections.count() > at_most) {
            tokio::task::yield_now().await;
        }
    }

    /// Tells who is at the other end, and whether he came by TLS, as far as a trusted proxy says so.
    pub(crate) fn client(&self, peer: Option<std::net::IpAddr>, headers: &HeaderMap) -> Option<Client> {
        Some(self.proxies.client(peer?, headers))
    }

    /// Counts a request of an address.
    pub(crate) fn take_address(&self, client: Option<&Client>) -> Result<(), TooMany> {
        match (&self.addresses, client) {
            (Some(table), Some(client)) if !client.is_this_machine() => table.take(*client, "address"),
            _ => Ok(()),
        }
    }

    /// Counts against an address that what it sent was not proven.
    pub(crate) fn charge_unproven(&self, client: Option<&Client>, status: StatusCode) {
        if let (Some(table), Some(client), StatusCode::UNAUTHORIZED) = (&self.addresses, client, status)
            && !client.is_this_machine()
        {
            table.charge(*client, UNPROVEN_COST - 1);
        }
    }

    /// Counts a question of an account.
    pub(crate) fn take_account(&self, account: AccountId) -> Result<(), TooMany> {
        self.accounts.as_ref().map_or(Ok(()), |table| table.take(account, "account"))
    }

    /// Asks whether a key may send another command; nothing is counted yet, since anybody can name it.
    pub(crate) fn check_key(&self, bytes: &[u8]) -> Result<Option<KeyId>, TooMany> {
        let Some(table) = &self.keys else { return Ok(None) };
        let Some(key) = commands::envelope::claimed_key(bytes) else { return Ok(None) };
        table.check(key, "key")?;
        Ok(Some(key))
    }

    /// Counts a command against the key that it names, unless the signature was found not to be of it.
    pub(crate) fn charge_key(&self, key: Option<KeyId>, refusal: Option<&Refusal>) {
        let is_unproven = matches!(
            refusal,
            Some(
                Refusal::SigMissing
                    | Refusal::SigMalformed { .. }
                    | Refusal::SigInvalid
                    | Refusal::KidUnknown
                    | Refusal::AlgMismatch
                    | Refusal::TooLarge { .. }
                    | Refusal::Busy
            )
        );
        if let (Some(table), Some(key), false) = (&self.keys, key, is_unproven) {
            table.charge(key, 1);
        }
    }
}

impl From<TooMany> for Problem {
    fn from(TooMany { by, wait }: TooMany) -> Problem {
        metrics::counter!("skylink_rate_limited_total", "by" => by).increment(1);
        // A part of a second is a second: who comes too early is told the same again.
        Problem::rate_limited(by, wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }
}

/// The buckets of those who were seen last: at most [`REMEMBERED_MAX`], in two generations. When the younger one is full it
/// becomes the older one, and that is forgotten.
///
/// A bucket is the moment at which it is full again: each request moves it on by what one takes to come back.
struct Table<K> {
    interval: Duration,
    half: usize,
    buckets: Mutex<Generations<K>>,
}

struct Generations<K> {
    young: HashMap<K, Instant>,
    old: HashMap<K, Instant>,
}

impl<K: Copy + Eq + Hash> Table<K> {
    fn new(per_second: u32) -> Self {
        Table::with_room(per_second, REMEMBERED_MAX)
    }

    fn with_room(per_second: u32, remembered_max: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new() };
        let interval = Duration::from_secs(1) / per_second.max(1);
        Table { interval, half: remembered_max / 2, buckets: Mutex::new(generations) }
    }

    /// Takes one request out of a bucket, if it has one.
    fn take(&self, key: K, by: &'static str) -> Result<(), TooMany> {
        self.with(key, |full_at, now| {
            self.has_one(*full_at, now, by)?;
            *full_at = (*full_at).max(now) + self.interval;
            Ok(())
        })
    }

    /// Tells whether a bucket has a request.
    fn check(&self, key: K, by: &'static str) -> Result<(), TooMany> {
        self.with(key, |full_at, now| self.has_one(*full_at, now, by))
    }

    /// Takes requests out of a bucket, whether it has them or not: but nobody owes more than it can hold.
    fn charge(&self, key: K, cost: u32) {
        self.with(key, |full_at, now| {
            *full_at = ((*full_at).max(now) + self.interval * cost).min(now + 2 * BURST);
        });
    }

    fn has_one(&self, full_at: Instant, now: Instant, by: &'static str) -> Result<(), TooMany> {
        let taken = full_at.saturating_duration_since(now) + self.interval;
        // A rate of less than one in a burst lets one through at a time.
        let wait = taken.saturating_sub(BURST.max(self.interval));
        if wait.is_zero() { Ok(()) } else { Err(TooMany { by, wait }) }
    }

    fn with<T>(&self, key: K, act: impl FnOnce(&mut Instant, Instant) -> T) -> T {
        let now = Instant::now();
        // Nothing panics between two changes that belong together.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Generations { young, old } = &mut *buckets;
        if !young.contains_key(&key) {
            if young.len() >= self.half {
                *old = std::mem::take(young);
            }
            let full_at = old.remove(&key).unwrap_or(now);
            young.insert(key, full_at);
        }
        act(young.get_mut(&key).expect("it was put there if it was not"), now)
    }
}

#[cfg(test)]
mod tests;
