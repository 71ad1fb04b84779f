//! How often somebody may ask: token buckets, of which a bounded number is remembered; and how many commands a key may give, whichever way
//! they come.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use commands::Refusal;
use commands::envelope::claimed_key;
use events::ids::KeyId;
use tokio::time::Instant;

/// How long's worth somebody may ask for at once who has asked for nothing for as long.
pub const BURST: Duration = Duration::from_secs(5);
/// Most addresses, keys or accounts that a table remembers. Of those who were not seen for so many others, or half of them,
/// nothing is remembered, as if they had never asked.
pub const REMEMBERED_MAX: usize = 1 << 17;

/// Says when to come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    by: &'static str,
    wait: Duration,
}

impl TooMany {
    /// Tells who has asked too much: an `address`, a `key` or an `account`.
    pub fn by(&self) -> &'static str {
        self.by
    }

    /// Tells when to come again, in seconds. A part of a second is a second: who comes too early is told the same again.
    pub fn wait_s(&self) -> u64 {
        self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0)
    }
}

/// The buckets of those who were seen last: at most [`REMEMBERED_MAX`], in two generations. When the younger one is full it
/// becomes the older one, and that is forgotten.
///
/// A bucket is the moment at which it is full again: each request moves it on by what one takes to come back.
pub struct Table<K> {
    by: &'static str,
    interval: Duration,
    half: usize,
    buckets: Mutex<Generations<K>>,
}

struct Generations<K> {
    young: HashMap<K, Instant>,
    old: HashMap<K, Instant>,
}

/// Tells of nobody who is in it.
impl<K> fmt::Debug for Table<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("by", &self.by)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

impl<K: Copy + Eq + Hash> Table<K> {
    /// Begins with nobody known, each of whom may ask so often a second; `by` says what they are.
    pub fn new(by: &'static str, per_second: u32) -> Self {
        Table::with_room(by, per_second, REMEMBERED_MAX)
    }

    fn with_room(by: &'static str, per_second: u32, remembered_max: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new() };
        let interval = Duration::from_secs(1) / per_second.max(1);
        Table { by, interval, half: remembered_max / 2, buckets: Mutex::new(generations) }
    }

    /// Takes one request out of a bucket, if it has one.
    pub fn take(&self, key: K) -> Result<(), TooMany> {
        self.with(key, |full_at, now| {
            self.has_one(*full_at, now)?;
            *full_at = (*full_at).max(now) + self.interval;
            Ok(())
        })
    }

    /// Tells whether a bucket has a request.
    pub fn check(&self, key: K) -> Result<(), TooMany> {
        self.with(key, |full_at, now| self.has_one(*full_at, now))
    }

    /// Takes requests out of a bucket, whether it has them or not: but nobody owes more than it can hold.
    pub fn charge(&self, key: K, cost: u32) {
        self.with(key, |full_at, now| {
            *full_at = ((*full_at).max(now) + self.interval * cost).min(now + 2 * BURST);
        });
    }

    fn has_one(&self, full_at: Instant, now: Instant) -> Result<(), TooMany> {
        let taken = full_at.saturating_duration_since(now) + self.interval;
        // A rate of less than one in a burst lets one through at a time.
        let wait = taken.saturating_sub(BURST.max(self.interval));
        if wait.is_zero() { Ok(()) } else { Err(TooMany { by: self.by, wait }) }
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

/// How many commands each key has given. One table for all ways in: a key that is told to wait over one is told so over the other.
///
/// A command is counted when its signature was found to hold, so nobody is held up by others who name his key.
#[derive(Debug)]
pub struct CommandRates {
    keys: Table<KeyId>,
}

impl CommandRates {
    /// Lets each key give so many a second.
    pub fn new(per_second: u32) -> Self {
        CommandRates { keys: Table::new("key", per_second) }
    }

    /// Asks whether the key that a command names may give another, before anything of it is checked. Nothing is counted.
    ///
    /// # Errors
    /// [`Refusal::RateLimited`], which costs this process next to nothing.
    pub fn check(&self, bytes: &[u8]) -> Result<(), Refusal> {
        claimed_key(bytes).map_or(Ok(()), |key| self.keys.check(key).map_err(refuse))
    }

    /// Counts a command that a key has signed.
    ///
    /// # Errors
    /// [`Refusal::RateLimited`], if it is one too many.
    pub fn take(&self, key: KeyId) -> Result<(), Refusal> {
        self.keys.take(key).map_err(refuse)
    }
}

fn refuse(too_many: TooMany) -> Refusal {
    metrics::counter!("skylink_rate_limited_total", "by" => too_many.by).increment(1);
    Refusal::RateLimited { retry_after_s: too_many.wait_s() }
}

#[cfg(test)]
mod tests {
    use commands::crypto::SigningKey;
    use events::account::Algorithm;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_its_burst_and_then_its_rate() {
        let table = Table::new("key", 10);
        let burst = 10 * BURST.as_secs() as usize;
        for _ in 0..burst {
            assert_eq!(table.take(1), Ok(()));
        }
        let told = table.take(1).unwrap_err();
        assert_eq!((told.wait, told.wait_s()), (Duration::from_millis(100), 1));
        assert_eq!(table.take(2), Ok(()), "others are not held up");
        tokio::time::advance(told.wait).await;
        assert_eq!(table.take(1), Ok(()), "who comes when he was told is taken");
        assert!(table.take(1).is_err());
        tokio::time::advance(Duration::from_secs(3600)).await;
        let taken = (0..2 * burst).filter(|_| table.take(1).is_ok()).count();
        assert_eq!(taken, burst, "nobody saves up more than a burst");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_charged_more_than_he_has_waits_longer_but_never_for_ever() {
        let table = Table::new("address", 1);
        for _ in 0..1000 {
            table.charge(1, 10);
        }
        let told = table.check(1).unwrap_err();
        assert_eq!(told.wait, BURST + Duration::from_secs(1));
        tokio::time::advance(told.wait).await;
        assert_eq!(table.check(1), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_remembers_those_who_come_and_has_a_bound() {
        let table = Table::with_room("address", 1, 100);
        for _ in 0..BURST.as_secs() {
            table.take(0).unwrap();
        }
        for other in 1..10_000 {
            table.take(other).unwrap();
            assert!(table.take(0).is_err(), "who goes on asking is not forgotten for {other} others");
            let buckets = table.buckets.lock().unwrap();
            assert!(buckets.young.len() + buckets.old.len() <= 100);
        }
        for other in 10_000..10_200 {
            table.take(other).unwrap();
        }
        assert_eq!(table.take(0), Ok(()), "who was away is new");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_held_up_by_who_names_his_key() {
        let rates = CommandRates::new(1);
        let key = SigningKey::from_seed(Algorithm::EdDsa, [1; 32]).unwrap().id();
        let named = format!(r#"{{"keyId":"{key}"}}"#);
        for _ in 0..100 {
            assert_eq!(rates.check(named.as_bytes()), Ok(()));
        }
        for _ in 0..BURST.as_secs() {
            rates.take(key).unwrap();
        }
        let told = Err(Refusal::RateLimited { retry_after_s: 1 });
        assert_eq!((rates.check(named.as_bytes()), rates.take(key)), (told.clone(), told));
        assert_eq!(rates.check(b"nonsense"), Ok(()), "what names no key is refused by whoever reads it");
    }
}
