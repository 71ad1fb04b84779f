//! The market's own keys: those whose secret this process has, and which of them are live.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use commands::crypto::SigningKey;
use commands::market_key::MarketKeys;
use events::account::PublicKey;
use events::ids::KeyId;
use events::{Commit, Position, Timestamp};

use crate::keystore::{KeyStore, KeyStoreError, StoredKey};

/// What the key that a market is opened with is called in the key store. Those that follow are `market-2`, `market-3`, ….
pub const MARKET_KEY: &str = "market";

/// Gives the number of a market's key from its name in the key store: 1 for the first; none, if it is called like none.
pub fn number_of(name: &str) -> Option<u32> {
    if name == MARKET_KEY {
        return Some(1);
    }
    let number = name.strip_prefix(MARKET_KEY)?.strip_prefix('-')?;
    number.parse().ok().filter(|parsed: &u32| *parsed > 1 && parsed.to_string() == number)
}

/// Gives the name in the key store of a market's key with a number.
pub fn name_of(number: u32) -> String {
    if number <= 1 { MARKET_KEY.to_owned() } else { format!("{MARKET_KEY}-{number}") }
}

/// Gives the market's keys of a key store with their numbers, the oldest first.
pub fn stored(store: &KeyStore) -> Result<Vec<(u32, StoredKey)>, KeyStoreError> {
    let names = store.names()?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| Ok((number, store.get(&name_of(number))?))).collect()
}

/// The market's keys whose secret this process has.
#[derive(Default)]
pub struct MarketKeyRing {
    store: Option<KeyStore>,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    keys: BTreeMap<KeyId, Arc<SigningKey>>,
    /// Those that are not there; they are not looked for again.
    missing: BTreeSet<KeyId>,
}

impl MarketKeyRing {
    /// Takes keys, and none besides.
    pub fn of(keys: impl IntoIterator<Item = SigningKey>) -> MarketKeyRing {
        let keys = keys.into_iter().map(|key| (key.id(), Arc::new(key))).collect();
        MarketKeyRing { store: None, found: Mutex::new(Found { keys, missing: BTreeSet::new() }) }
    }

    /// Takes those of a key store, now and when the log names one that was put there later.
    pub fn in_store(store: KeyStore) -> MarketKeyRing {
        MarketKeyRing { store: Some(store), found: Mutex::default() }
    }

    /// Gives a key, if it is there. One that is not there when it is first asked for is not found later on either.
    pub fn get(&self, id: KeyId) -> Option<Arc<SigningKey>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = found.keys.get(&id) {
            return Some(Arc::clone(key));
        }
        if found.missing.contains(&id) {
            return None;
        }
        match self.store.as_ref().map_or(Ok(Vec::new()), stored) {
            Ok(keys) => {
                let keys = keys.into_iter().map(|(_, key)| key.signing());
                found.keys.extend(keys.map(|key| (key.id(), Arc::new(key))));
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the market's keys can't be read");
            }
        }
        let key = found.keys.get(&id).cloned();
        if key.is_none() {
            tracing::error!(%id, "a key of this market is not in the key store: copy its file there and restart");
            found.missing.insert(id);
        }
        key
    }
}

impl fmt::Debug for MarketKeyRing {
    /// Names the keys and shows no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("MarketKeyRing").field("keys", &found.keys.keys()).finish_non_exhaustive()
    }
}

/// Which keys the market has, as far as the log was read here, and what signs with them.
#[derive(Debug)]
pub struct LiveKeys {
    ring: MarketKeyRing,
    known: RwLock<Known>,
}

#[derive(Debug)]
struct Known {
    /// Up to where in the log they are known.
    position: Position,
    keys: Arc<MarketKeys>,
}

impl LiveKeys {
    /// Begins with the keys at a position of the log; `opened` is what an empty log will be opened with.
    pub(crate) fn new(
        ring: MarketKeyRing,
        keys: &MarketKeys,
        position: Position,
        opened: PublicKey,
    ) -> LiveKeys {
        let keys = match keys.current() {
            Some(_) => keys.clone(),
            None => MarketKeys::beginning(opened, Timestamp::from_ms(0)),
        };
        LiveKeys { ring, known: RwLock::new(Known { position, keys: Arc::new(keys) }) }
    }

    /// Takes a commit that is durable; one that was taken before changes nothing.
    pub(crate) fn take(&self, commit: &Commit) {
        use events::Event::{MarketKeyAnnounced, MarketKeyRetired, MarketOpened};
        let is_about_keys = |recorded: &&events::Recorded| {
            matches!(recorded.event, MarketOpened(_) | MarketKeyAnnounced(_) | MarketKeyRetired(_))
        };
        for recorded in commit.events().iter().filter(is_about_keys) {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            if recorded.position > known.position {
                Arc::make_mut(&mut known.keys).evolve(recorded);
                known.position = recorded.position;
            }
        }
    }

    /// Gives every key that the market has or had.
    pub fn all(&self) -> Arc<MarketKeys> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner).keys)
    }

    /// Gives the market's present key.
    pub fn current(&self) -> PublicKey {
        self.all().current().expect("it begins with a key").key
    }

    /// Gives what signs receipts: the newest live key whose secret is here. While two are live that may be the older one.
    pub(crate) fn signer(&self) -> Option<Arc<SigningKey>> {
        self.all().live().find_map(|known| self.ring.get(known.key.id()))
    }

    /// Gives what signs checkpoints: every key that is live at a state of the market and whose secret is here.
    pub(crate) fn signers(&self, keys: &MarketKeys) -> Vec<Arc<SigningKey>> {
        keys.live().filter_map(|known| self.ring.get(known.key.id())).collect()
    }

    /// Tells whether a live key of a state of the market is here.
    pub(crate) fn can_sign(&self, keys: &MarketKeys) -> bool {
        keys.live().any(|known| self.ring.get(known.key.id()).is_some())
    }
}

#[cfg(test)]
mod tests {
    use events::account::Algorithm;
    use events::commit::Seal;
    use events::ids::{CommitId, WriterId};
    use events::market::{KeyAnnounced, KeyRetired};
    use events::metadata::Cause;
    use events::{Event, Head};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn keys_of_a_market_are_called_by_number() {
        for (name, number) in
            [("market", Some(1)), ("market-2", Some(2)), ("market-12", Some(12)), ("market-1", None)]
        {
            assert_eq!(number_of(name), number, "{name}");
        }
        for other in ["market-02", "market-x", "market-", "marketing", "registrar"] {
            assert_eq!(number_of(other), None, "{other}");
        }
        assert_eq!((name_of(1), name_of(3)), ("market".to_owned(), "market-3".to_owned()));
    }

    fn commit(head: Head, event: Event) -> Commit {
        let writer = WriterId::from_uuid(Uuid::from_u128(1));
        let seal = Seal {
            id: CommitId::derive(writer, head.position + 1, Timestamp::from_ms(7)),
            market: "main".parse().unwrap(),
            time: Timestamp::from_ms(7),
            cause: Cause::Writer(writer),
            traceparent: None,
        };
        Commit::seal(head, seal, vec![event])
    }

    #[test]
    fn the_older_live_key_signs_where_the_new_one_is_not_until_it_is_retired() {
        let [first, second] = [1, 2].map(|n| SigningKey::from_seed(Algorithm::EdDsa, [n; 32]).unwrap());
        let (old, new) = (first.id(), second.id());
        let announced = KeyAnnounced {
            announcement: String::new(),
            key: second.public(),
            previous: old,
            proof: String::new(),
        };
        let announced = commit(Head::EMPTY, announced.into());
        let retired = commit(announced.head(), KeyRetired { key: old }.into());
        let opened = first.public();
        let lacking = LiveKeys::new(MarketKeyRing::of([first]), &MarketKeys::default(), 0, opened);
        let first = SigningKey::from_seed(Algorithm::EdDsa, [1; 32]).unwrap();
        let having = LiveKeys::new(MarketKeyRing::of([first, second]), &MarketKeys::default(), 0, opened);
        let signer = |keys: &LiveKeys| keys.signer().map(|key| key.id());
        let signers =
            |keys: &LiveKeys| keys.signers(&keys.all()).iter().map(|key| key.id()).collect::<Vec<_>>();
        assert_eq!((signer(&lacking), signer(&having)), (Some(old), Some(old)));
        for keys in [&lacking, &having] {
            // The second time changes nothing.
            keys.take(&announced);
            keys.take(&announced);
            assert_eq!((keys.current().id(), keys.all().all().len()), (new, 2));
        }
        assert_eq!((signer(&lacking), signers(&lacking)), (Some(old), vec![old]));
        assert_eq!((signer(&having), signers(&having)), (Some(new), vec![new, old]));
        lacking.take(&retired);
        having.take(&retired);
        assert_eq!((signer(&lacking), lacking.can_sign(&lacking.all())), (None, false));
        assert_eq!((signer(&having), signers(&having)), (Some(new), vec![new]));
    }

    #[test]
    fn a_key_that_is_put_into_the_store_is_found_when_the_log_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::open(dir.path()).unwrap();
        let first = store.make("market", Algorithm::EdDsa, None).unwrap().public().id();
        let ring = MarketKeyRing::in_store(store.clone());
        assert_eq!(ring.get(first).unwrap().id(), first);
        let second = store.make("market-2", Algorithm::EdDsa, None).unwrap().public().id();
        assert_eq!(ring.get(second).unwrap().id(), second);
        assert!(ring.get(KeyId([7; 32])).is_none());
        let numbers: Vec<u32> = stored(&store).unwrap().into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [1, 2]);
    }
}
