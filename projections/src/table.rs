//! Tables inside a view's tree: typed keys and values, and the write-back cache that a fold works on.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::marker::PhantomData;

use events::ids::{
    AccountId, CartId, ListingId, OrderGroupId, OrderId, PaymentId, PayoutId, PromotionId, WebhookId,
};
use events::order::OrderNumber;
use events::{Hash as Sha256, Head};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sled::{Batch, IVec, Tree};

use crate::block::{self, Changes, Place};
use crate::view::ViewError;

/// Keys that one generation of a table's cache holds; a table keeps at most two generations.
pub(crate) const CACHED_KEYS_MAX: usize = 16_384;

/// The key of a view's checkpoint. No table has this prefix.
pub(crate) const CHECKPOINT_KEY: [u8; 1] = [0];

/// What stands in a table is found by such a key. Keys of one table have one length, or begin with their length's
/// cause, so that no key is the beginning of another.
pub(crate) trait Key: Clone + Eq + Hash {
    /// Writes the key so that bytes sort as keys shall.
    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! uuid_keys {
    ($($id:ty),*) => {$(
        impl Key for $id {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.uuid().as_bytes());
            }
        }
    )*};
}

uuid_keys!(AccountId, CartId, ListingId, OrderGroupId, OrderId, PaymentId, PayoutId, PromotionId, WebhookId);

impl Key for OrderNumber {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.get().to_be_bytes());
    }
}

impl Key for () {
    fn write(&self, _: &mut Vec<u8>) {}
}

impl Key for i64 {
    /// Flips the sign, so that moments before 1970 sort before those after.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(*self as u64 ^ (1 << 63)).to_be_bytes());
    }
}

impl Key for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
}

/// Reads what [`Key::write`] wrote for a `u64`.
pub(crate) fn read_u64(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?))
}

/// Reads what [`Key::write`] wrote for an `i64`.
pub(crate) fn read_i64(bytes: &[u8]) -> Option<i64> {
    let bytes: [u8; 8] = bytes.get(..8)?.try_into().ok()?;
    Some((u64::from_be_bytes(bytes) ^ (1 << 63)) as i64)
}

/// Reads a UUID from the end of a key.
pub(crate) fn read_uuid(bytes: &[u8]) -> Option<uuid::Uuid> {
    uuid::Uuid::from_slice(bytes.get(..16)?).ok()
}

impl Key for u32 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
}

impl Key for u8 {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }
}

impl<A: Key, B: Key> Key for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }
}

/// Writes a value that stands alone: its version, then bincode.
pub(crate) fn encode(version: u8, value: &impl Serialize, out: &mut Vec<u8>) {
    out.push(version);
    encode_row(value, out);
}

/// Reads a value that stands alone.
pub(crate) fn decode<V: DeserializeOwned>(version: u8, bytes: &[u8]) -> Result<V, ViewError> {
    match bytes.split_first() {
        Some((first, rest)) if *first == version => decode_row(rest),
        _ => Err(ViewError::Damaged { source: "it has another version".into() }),
    }
}

/// Writes a row's value in bincode; its version stands at its block.
fn encode_row(value: &impl Serialize, out: &mut Vec<u8>) {
    bincode::serde::encode_into_std_write(value, out, bincode::config::standard())
        .expect("a view's values are plain data, and a vector can always grow");
}

fn decode_row<V: DeserializeOwned>(bytes: &[u8]) -> Result<V, ViewError> {
    let (value, _) = bincode::serde::decode_from_slice(bytes, bincode::config::standard())
        .map_err(|source| ViewError::Damaged { source: source.into() })?;
    Ok(value)
}

/// Reads how far a tree has read the log. `None` when it was written in another version.
pub(crate) fn read_checkpoint(tree: &Tree, version: u8) -> Result<Option<Head>, sled::Error> {
    Ok(match tree.get(CHECKPOINT_KEY)? {
        None => tree.is_empty().then_some(Head::EMPTY),
        Some(bytes) => decode(version, &bytes).ok(),
    })
}

/// Puts a checkpoint into a batch.
pub(crate) fn write_checkpoint(batch: &mut Batch, version: u8, head: Head) {
    let mut value = Vec::with_capacity(48);
    encode(version, &head, &mut value);
    batch.insert(&CHECKPOINT_KEY, value);
}

/// Hashes all rows that a tree holds, in key order.
pub(crate) fn content_hash(tree: &Tree) -> Result<Sha256, sled::Error> {
    let mut hasher = events::hash::Hasher::new();
    for pair in tree.iter() {
        let (key, block) = pair?;
        if key.as_ref() != CHECKPOINT_KEY {
            block::hash(key[0], &block, &mut hasher);
        }
    }
    Ok(hasher.finish())
}

/// Gives how many rows each table of a view's tree has, and the bytes that they take, by the first byte of their keys.
///
/// Public for `examples/rows.rs` alone.
#[doc(hidden)]
pub fn sizes(tree: &Tree) -> Result<BTreeMap<u8, (u64, u64)>, ViewError> {
    let mut sizes = BTreeMap::new();
    for pair in tree.iter() {
        let (key, block) = pair?;
        if key.as_ref() == CHECKPOINT_KEY {
            continue;
        }
        let (rows, bytes): &mut (u64, u64) = sizes.entry(key[0]).or_default();
        for size in block::row_sizes(&block) {
            (*rows, *bytes) = (*rows + 1, *bytes + size? as u64);
        }
    }
    Ok(sizes)
}

/// Where a table stands in its view's tree and how it is written.
pub(crate) struct Layout<K, V> {
    place: Place,
    of: PhantomData<fn(K) -> V>,
}

impl<K: Key, V: Serialize + DeserializeOwned> Layout<K, V> {
    /// Names a table by the first byte of its keys, which is not zero, and its view's version.
    pub(crate) const fn new(prefix: u8, version: u8) -> Self {
        assert!(prefix != CHECKPOINT_KEY[0], "the prefix zero is the checkpoint's");
        Layout { place: Place { prefix, version }, of: PhantomData }
    }

    /// Reads one value.
    pub(crate) fn get(&self, tree: &Tree, key: &K) -> Result<Option<V>, ViewError> {
        block::get(self.place, tree, &bytes_of(key))?.map(|value| decode_row(&value)).transpose()
    }

    /// Reads the values whose keys begin with `start`, in key order, each with the rest of its key.
    pub(crate) fn scan(
        &self,
        tree: &Tree,
        start: &impl Key,
    ) -> impl Iterator<Item = Result<(IVec, V), ViewError>> {
        self.scan_bytes(tree, bytes_of(start), bytes_of(start))
    }

    /// Reads the values from key `from` on whose keys begin with `start`, in key order, each with the rest of its key.
    pub(crate) fn scan_from<S: Key>(
        &self,
        tree: &Tree,
        start: &S,
        from: &K,
    ) -> impl Iterator<Item = Result<(IVec, V), ViewError>> + use<K, V, S> {
        self.scan_bytes(tree, bytes_of(start), bytes_of(from))
    }

    fn scan_bytes(
        &self,
        tree: &Tree,
        start: Vec<u8>,
        from: Vec<u8>,
    ) -> impl Iterator<Item = Result<(IVec, V), ViewError>> + use<K, V> {
        let strip = start.len();
        let rows = block::scan(self.place, tree, from);
        pairs_while(rows, strip, move |key| key.starts_with(&start))
    }

    /// Reads the values from key `from` to before key `to`, each with its key behind the first `strip` bytes.
    pub(crate) fn range(
        &self,
        tree: &Tree,
        from: &K,
        to: &K,
        strip: usize,
    ) -> impl Iterator<Item = Result<(IVec, V), ViewError>> {
        let (from, to) = (bytes_of(from), bytes_of(to));
        let rows = block::scan(self.place, tree, from);
        pairs_while(rows, strip, move |key| *key < *to)
    }
}

fn bytes_of(key: &impl Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(48);
    key.write(&mut bytes);
    bytes
}

/// Reads rows until a key no longer belongs to what was asked for.
fn pairs_while<V: DeserializeOwned>(
    rows: impl Iterator<Item = Result<(IVec, IVec), ViewError>>,
    strip: usize,
    belongs: impl Fn(&[u8]) -> bool,
) -> impl Iterator<Item = Result<(IVec, V), ViewError>> {
    let rows = rows.take_while(move |row| row.as_ref().map_or(true, |(key, _)| belongs(key)));
    rows.map(move |row| {
        let (key, value) = row?;
        Ok((key.subslice(strip, key.len() - strip), decode_row(&value)?))
    })
}

struct Cached<V> {
    value: Option<V>,
    is_dirty: bool,
}

/// A table as a fold changes it: what is touched is read once, kept decoded, and written once per batch.
pub(crate) struct Table<K, V> {
    layout: Layout<K, V>,
    changes: Changes,
    young: HashMap<K, Cached<V>>,
    old: HashMap<K, Cached<V>>,
    dirty: Vec<K>,
}

impl<K: Key, V: Serialize + DeserializeOwned> Table<K, V> {
    /// Starts with an empty cache.
    pub(crate) fn new(layout: Layout<K, V>) -> Self {
        Table {
            layout,
            changes: Changes::default(),
            young: HashMap::new(),
            old: HashMap::new(),
            dirty: Vec::new(),
        }
    }

    /// Gives the value to change; it will be written with the batch.
    pub(crate) fn entry(&mut self, tree: &Tree, key: &K) -> Result<&mut Option<V>, ViewError> {
        self.load(tree, key)?;
        let cached = self.young.get_mut(key).expect("it was put there above");
        if !cached.is_dirty {
            cached.is_dirty = true;
            self.dirty.push(key.clone());
        }
        Ok(&mut cached.value)
    }

    /// Gives the value as it is.
    pub(crate) fn look(&mut self, tree: &Tree, key: &K) -> Result<&Option<V>, ViewError> {
        self.load(tree, key)?;
        Ok(&self.young.get(key).expect("it was put there above").value)
    }

    /// Takes a value out. Where there is none, nothing is written.
    pub(crate) fn take(&mut self, tree: &Tree, key: &K) -> Result<Option<V>, ViewError> {
        self.load(tree, key)?;
        let is_there = self.young.get(key).is_some_and(|cached| cached.value.is_some());
        if is_there { Ok(self.entry(tree, key)?.take()) } else { Ok(None) }
    }

    /// Sees to it that the value is in the cache, among the young.
    fn load(&mut self, tree: &Tree, key: &K) -> Result<(), ViewError> {
        if !self.young.contains_key(key) {
            let cached = match self.old.remove(key) {
                Some(cached) => cached,
                None => Cached { value: self.layout.get(tree, key)?, is_dirty: false },
            };
            self.young.insert(key.clone(), cached);
        }
        Ok(())
    }

    /// Sets a value without reading what stood there; none removes it.
    pub(crate) fn set(&mut self, key: K, value: Option<V>) {
        self.old.remove(&key);
        let was_dirty = self.young.get(&key).is_some_and(|cached| cached.is_dirty);
        if !was_dirty {
            self.dirty.push(key.clone());
        }
        self.young.insert(key, Cached { value, is_dirty: true });
    }

    /// Gives the keys of what was touched since the last call of [`Table::write`].
    pub(crate) fn dirty(&self) -> &[K] {
        &self.dirty
    }

    /// Puts all that was touched since the last call into `batch`.
    pub(crate) fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        for key in self.dirty.drain(..) {
            let cached = self.young.get_mut(&key).expect("what is dirty stays young until it is written");
            cached.is_dirty = false;
            let value = cached.value.as_ref();
            let encode = |out: &mut Vec<u8>| value.map(|value| encode_row(value, out)).is_some();
            self.changes.push(|out| key.write(out), encode);
        }
        if self.young.len() > CACHED_KEYS_MAX {
            // The room of the older generation is used again: a map that grows anew each time copies all of it.
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.changes.write(self.layout.place, tree, batch)
    }
}

/// Rows that a fold adds and never looks at again: they wait for their batch and are not kept.
pub(crate) struct Additions<K, V> {
    layout: Layout<K, V>,
    changes: Changes,
}

impl<K: Key, V: Serialize + DeserializeOwned> Additions<K, V> {
    /// Starts with none.
    pub(crate) fn new(layout: Layout<K, V>) -> Self {
        Additions { layout, changes: Changes::default() }
    }

    /// Adds a row. A key is added once.
    pub(crate) fn add(&mut self, key: &K, value: &V) {
        let encode = |out: &mut Vec<u8>| {
            encode_row(value, out);
            true
        };
        self.changes.push(|out| key.write(out), encode);
    }

    /// Puts all that was added since the last call into `batch`.
    pub(crate) fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        self.changes.write(self.layout.place, tree, batch)
    }
}

/// Rows without a value, each of which is put in and taken out by turns. What comes and goes within a batch costs no write, and
/// nothing is read or kept.
pub(crate) struct Marks<K> {
    layout: Layout<K, ()>,
    changes: Changes,
    /// What becomes of rows with the batch: put in, or taken out.
    turned: HashMap<K, bool>,
}

impl<K: Key> Marks<K> {
    /// Starts with none turned.
    pub(crate) fn new(layout: Layout<K, ()>) -> Self {
        Marks { layout, changes: Changes::default(), turned: HashMap::new() }
    }

    /// Puts in a row that is not there.
    pub(crate) fn put(&mut self, key: K) {
        self.turn(key, true);
    }

    /// Takes out a row that is there.
    pub(crate) fn take(&mut self, key: K) {
        self.turn(key, false);
    }

    fn turn(&mut self, key: K, is_put: bool) {
        // Turned twice it is as it was.
        match self.turned.entry(key) {
            Entry::Vacant(entry) => _ = entry.insert(is_put),
            Entry::Occupied(entry) => {
                let was_put = entry.remove();
                assert!(was_put != is_put, "a row is put in where it is not, and taken out where it is");
            }
        }
    }

    /// Puts all that was turned since the last call into `batch`.
    pub(crate) fn write(&mut self, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        for (key, is_put) in self.turned.drain() {
            // A row without a value is written as nothing.
            self.changes.push(|out| key.write(out), |_| is_put);
        }
        self.changes.write(self.layout.place, tree, batch)
    }
}
