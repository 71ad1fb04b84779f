//! Who acts in an import: the store's own keys, and a key for each customer.

use std::collections::BTreeMap;
use std::thread;

use commands::crypto::SigningKey;
use engine::keystore::{KeyStore, KeyStoreError, StoredKey};
use events::Timestamp;
use events::account::Algorithm;
use events::hash::Hash;
use events::ids::{AccountId, CommandId, DeviceId, ListingId, Nonce};
use gateway::node::REGISTRAR_KEY;
use uuid::Uuid;

/// The key that all customers' keys are derived from.
pub(crate) const CUSTOMERS_KEY: &str = "cdnow-customers";
/// The payment provider, which is also the carrier.
pub(crate) const PROVIDER_KEY: &str = "cdnow-provider";
/// Shops that share the customers among them.
pub(crate) const SELLERS: usize = 8;

/// Someone who signs.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) account: AccountId,
    pub(crate) device: DeviceId,
    pub(crate) key: SigningKey,
}

impl Person {
    pub(crate) fn of(stored: &StoredKey) -> Person {
        Person { account: stored.account, device: stored.device, key: stored.signing() }
    }
}

/// Everyone who signs in an import.
pub(crate) struct People {
    pub(crate) registrar: Person,
    pub(crate) provider: Person,
    pub(crate) sellers: Vec<Person>,
    pub(crate) listings: Vec<ListingId>,
    /// In the order of their numbers in the file.
    pub(crate) customers: Vec<Person>,
    /// Where in `customers` a number of the file is.
    pub(crate) by_number: BTreeMap<u32, usize>,
}

/// Names a shop's key in the store.
pub(crate) fn seller_key(seller: usize) -> String {
    format!("cdnow-seller-{}", seller + 1)
}

impl People {
    /// Makes or finds every key. Ids carry `time`.
    pub(crate) fn gather(
        keys: &KeyStore,
        numbers: impl Iterator<Item = u32>,
        time: Timestamp,
    ) -> Result<People, KeyStoreError> {
        let by_number: BTreeMap<u32, usize> =
            numbers.collect::<std::collections::BTreeSet<_>>().into_iter().zip(0..).collect();
        let master = keys.get_or_make(CUSTOMERS_KEY)?.signing();
        let provider = Person::of(&keys.get_or_make(PROVIDER_KEY)?);
        let sellers = (0..SELLERS).map(|n| keys.get_or_make(&seller_key(n)).map(|key| Person::of(&key)));
        let sellers: Vec<Person> = sellers.collect::<Result<_, _>>()?;
        let listing = |n: usize| ListingId::from_uuid(id_v7(time, &format!("skylink import listing {n}")));
        Ok(People {
            registrar: Person::of(&keys.get_or_make(REGISTRAR_KEY)?),
            provider,
            sellers,
            listings: (0..SELLERS).map(listing).collect(),
            customers: derive_all(&master, &by_number.keys().copied().collect::<Vec<_>>(), time),
            by_number,
        })
    }

    /// Tells which shop a customer buys in.
    pub(crate) fn shop_of(customer: usize) -> usize {
        customer % SELLERS
    }
}

/// Derives the customers' keys on all cores.
fn derive_all(master: &SigningKey, numbers: &[u32], time: Timestamp) -> Vec<Person> {
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let part = numbers.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let derive = |part: &[u32]| part.iter().map(|n| derive(master, *n, time)).collect::<Vec<_>>();
        let parts: Vec<_> = numbers.chunks(part).map(|part| scope.spawn(move || derive(part))).collect();
        parts.into_iter().flat_map(|part| part.join().expect("deriving a key does not panic")).collect()
    })
}

/// Derives a customer's key: Ed25519 for an even number, P-256 for an odd one. The seed is the hash of a signature
/// with the secret master key, which is deterministic and known to nobody else.
fn derive(master: &SigningKey, number: u32, time: Timestamp) -> Person {
    let algorithm = if number.is_multiple_of(2) { Algorithm::EdDsa } else { Algorithm::Es256 };
    let key = (0u32..).find_map(|attempt| {
        let label = format!("skylink import key of customer {number}, attempt {attempt}");
        let seed = Hash::of(&master.sign(label.as_bytes()));
        SigningKey::from_seed(algorithm, *seed.as_bytes()).ok()
    });
    let key = key.expect("all but one in 2^32 seeds are a key");
    let account = AccountId::from_uuid(id_v7(time, &format!("skylink import account {}", key.id())));
    let device = DeviceId::from_uuid(id_v7(time, &format!("skylink import device {}", key.id())));
    Person { account, device, key }
}

/// Makes a UUIDv7 of a time whose random part is the hash of a label.
pub(crate) fn id_v7(time: Timestamp, label: &str) -> Uuid {
    let hash = Hash::of(label.as_bytes());
    let mut random = [0; 10];
    random.copy_from_slice(&hash.as_bytes()[..10]);
    let ms = u64::try_from(time.ms()).expect("an import's times are after 1970");
    uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid()
}

/// Gives the id of the command that a person gives with a sequence number.
pub(crate) fn command_id(person: &Person, seq: u64, time: Timestamp) -> CommandId {
    CommandId::from_uuid(id_v7(time, &format!("skylink import command {} {seq}", person.key.id())))
}

/// Gives the nonce of that command's one signature: no number is signed twice, so it is as good as a random one.
pub(crate) fn nonce(person: &Person, seq: u64) -> Nonce {
    let hash = Hash::of(format!("skylink import nonce {} {seq}", person.key.id()).as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    Nonce(bytes)
}
