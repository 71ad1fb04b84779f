//! How a table's rows stand in sled: many in one value, in key order, as a leaf of a tree holds them.
//!
//! sled copies a node of up to 32 keys for each of a batch's writes, so what a batch costs is the number of keys it
//! writes, hardly their length. A block is about a kilobyte of rows under the lowest key that it may hold; what a batch
//! changes of a block is written at once. Where blocks begin depends on how the log was cut into batches, so nothing
//! may be read into it: [`hash`] knows rows only.

use std::iter::Peekable;
use std::ops::Range;

use events::hash::Hasher;
use sled::{Batch, IVec, Tree};

use crate::view::ViewError;

/// Bytes from which on a block is cut in two. More would copy more for one changed row, fewer would make more keys.
const BLOCK_BYTES_MAX: usize = 1024;
/// Bytes before a row: the length of its key (u16) and of its value (u32), big-endian.
const ROW_HEAD_BYTES: usize = 6;

/// One table's place in a tree: the first byte of its keys, and the first byte of its blocks.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The first byte of its keys.
    pub(crate) prefix: u8,
    /// The version of its view's values, which each block begins with.
    pub(crate) version: u8,
}

/// Rows to be written: each is named once, with its value or none to remove it.
#[derive(Default)]
pub(crate) struct Changes {
    bytes: Vec<u8>,
    rows: Vec<(Range<usize>, Option<Range<usize>>)>,
}

type Row<'a> = (&'a [u8], &'a [u8]);

impl Changes {
    /// Adds a row: `key` writes its key, `value` its value and tells whether there is one.
    pub(crate) fn push(&mut self, key: impl FnOnce(&mut Vec<u8>), value: impl FnOnce(&mut Vec<u8>) -> bool) {
        let start = self.bytes.len();
        key(&mut self.bytes);
        let middle = self.bytes.len();
        let is_there = value(&mut self.bytes);
        self.rows.push((start..middle, is_there.then_some(middle..self.bytes.len())));
    }

    /// Puts all blocks that change into `batch`, and forgets the rows. The tree must be as the last batch left it.
    pub(crate) fn write(&mut self, place: Place, tree: &Tree, batch: &mut Batch) -> Result<(), ViewError> {
        let Changes { bytes, rows } = self;
        rows.sort_unstable_by(|(one, _), (other, _)| bytes[one.clone()].cmp(&bytes[other.clone()]));
        let changes =
            rows.iter().map(|(key, value)| (&bytes[key.clone()], value.clone().map(|at| &bytes[at])));
        let mut changes = changes.peekable();
        while let Some((key, _)) = changes.peek() {
            let found = block_of(place, tree, key)?;
            let (start, block) = found.unwrap_or_else(|| (IVec::from(&[place.prefix]), IVec::default()));
            let end = tree.get_gt(&start)?.and_then(|(key, _)| (key[0] == place.prefix).then_some(key));
            let merged = merge(rows_of(place, &block)?, &mut changes, end.as_ref().map(|end| &end[1..]))?;
            write_blocks(place, start, &merged, batch);
        }
        bytes.clear();
        rows.clear();
        Ok(())
    }
}

/// Merges a block's rows with the changes before key `end`.
fn merge<'a, 'c: 'a>(
    rows: Rows<'a>,
    changes: &mut Peekable<impl Iterator<Item = (&'c [u8], Option<&'c [u8]>)>>,
    end: Option<&[u8]>,
) -> Result<Vec<Row<'a>>, ViewError> {
    let mut merged = Vec::with_capacity(64);
    let put = |merged: &mut Vec<Row<'a>>, (key, value): (&'a [u8], Option<&'a [u8]>)| {
        merged.extend(value.map(|value| (key, value)));
    };
    for row in rows {
        let row = row?;
        while let Some(change) = changes.next_if(|(key, _)| *key < row.0) {
            put(&mut merged, change);
        }
        match changes.next_if(|(key, _)| *key == row.0) {
            Some(change) => put(&mut merged, change),
            None => merged.push(row),
        }
    }
    while let Some(change) = changes.next_if(|(key, _)| end.is_none_or(|end| *key < end)) {
        put(&mut merged, change);
    }
    Ok(merged)
}

/// Puts rows into as few blocks of about the same size as they need, the first of them at `start`.
fn write_blocks(place: Place, start: IVec, rows: &[Row<'_>], batch: &mut Batch) {
    if rows.is_empty() {
        return batch.remove(start);
    }
    let total: usize = rows.iter().map(row_size).sum();
    let blocks = total.div_ceil(BLOCK_BYTES_MAX);
    let wanted = total.div_ceil(blocks);
    let mut key = start;
    let mut block = vec![place.version];
    for row in rows {
        if block.len() > 1 && block.len() + row_size(row) / 2 > wanted {
            batch.insert(key, block.as_slice());
            key = [&[place.prefix], row.0].concat().into();
            block.truncate(1);
        }
        let (key_length, value_length) = (u16::try_from(row.0.len()), u32::try_from(row.1.len()));
        block.extend_from_slice(&key_length.expect("keys are ids, numbers and short names").to_be_bytes());
        block.extend_from_slice(&value_length.expect("no value has gigabytes").to_be_bytes());
        block.extend_from_slice(row.0);
        block.extend_from_slice(row.1);
    }
    batch.insert(key, block);
}

/// Finds the block that a row with this key stands in, if it is there: the last that begins at or before it.
fn block_of(place: Place, tree: &Tree, key: &[u8]) -> Result<Option<(IVec, IVec)>, ViewError> {
    let (first, last) = ([place.prefix], [&[place.prefix], key].concat());
    Ok(tree.range(first.as_slice()..=last.as_slice()).next_back().transpose()?)
}

/// Reads one row's value.
pub(crate) fn get(place: Place, tree: &Tree, key: &[u8]) -> Result<Option<IVec>, ViewError> {
    let Some((_, block)) = block_of(place, tree, key)? else { return Ok(None) };
    let mut rows = rows_of(place, &block)?;
    while let Some(row) = rows.next() {
        let (found, value) = row?;
        if found == key {
            return Ok(Some(block.subslice(rows.at - value.len(), value.len())));
        }
    }
    Ok(None)
}

/// Reads the rows from `key` on to the table's end, in key order.
pub(crate) fn scan(
    place: Place,
    tree: &Tree,
    key: Vec<u8>,
) -> impl Iterator<Item = Result<(IVec, IVec), ViewError>> + use<> {
    let (start, failed) = match block_of(place, tree, &key) {
        Ok(Some((start, _))) => (start, None),
        Ok(None) => (IVec::from(&[place.prefix]), None),
        Err(error) => (IVec::from(&[place.prefix]), Some(error)),
    };
    let blocks = tree.range(start..);
    let rows = Scan { place, blocks, block: IVec::default(), at: 0, from: key };
    failed.map(Err).into_iter().chain(rows)
}

/// Rows of a table, read block by block.
struct Scan {
    place: Place,
    blocks: sled::Iter,
    block: IVec,
    at: usize,
    from: Vec<u8>,
}

impl Scan {
    /// Gives the next row, `None` at the end of the table.
    fn row(&mut self) -> Result<Option<(IVec, IVec)>, ViewError> {
        loop {
            let mut rows = Rows { block: &self.block, at: self.at };
            if let Some(row) = rows.next() {
                let (key, value) = row?;
                self.at = rows.at;
                if *key < *self.from {
                    continue;
                }
                let value_at = self.at - value.len();
                let key = self.block.subslice(value_at - key.len(), key.len());
                return Ok(Some((key, self.block.subslice(value_at, value.len()))));
            }
            let Some((key, block)) = self.blocks.next().transpose()? else { return Ok(None) };
            if key[0] != self.place.prefix {
                return Ok(None);
            }
            self.at = rows_of(self.place, &block)?.at;
            self.block = block;
        }
    }
}

impl Iterator for Scan {
    type Item = Result<(IVec, IVec), ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.row().transpose()
    }
}

/// Hashes a block's rows, wherever blocks begin and end. One that can't be read is hashed as it is, which no sound one
/// comes to.
pub(crate) fn hash(prefix: u8, block: &[u8], hasher: &mut Hasher) {
    let rows: Result<Vec<Row<'_>>, ViewError> = Rows { block, at: 1 }.collect();
    match rows {
        Ok(rows) => {
            for (key, value) in rows {
                hasher.update(&[prefix]);
                for part in [key, value] {
                    hasher.update(&(part.len() as u64).to_be_bytes());
                    hasher.update(part);
                }
            }
        }
        Err(_) => hasher.update(block),
    }
}

/// Gives the bytes that each row of a block takes, what says where it ends among them.
pub(crate) fn row_sizes(block: &[u8]) -> impl Iterator<Item = Result<usize, ViewError>> {
    Rows { block, at: 1 }.map(|row| row.map(|row| row_size(&row)))
}

fn row_size((key, value): &Row<'_>) -> usize {
    ROW_HEAD_BYTES + key.len() + value.len()
}

/// Reads a block's rows; those of no block are none.
fn rows_of(place: Place, block: &[u8]) -> Result<Rows<'_>, ViewError> {
    match block.first() {
        Some(version) if *version != place.version => Err(damaged("it has another version")),
        _ => Ok(Rows { block, at: 1 }),
    }
}

/// The rows of a block from a place on.
struct Rows<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Rows<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.block.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn row(&mut self) -> Option<Row<'a>> {
        let key_length = u16::from_be_bytes(self.take(2)?.try_into().ok()?);
        let value_length = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        let key = self.take(usize::from(key_length))?;
        let value = self.take(usize::try_from(value_length).ok()?)?;
        Some((key, value))
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<Row<'a>, ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.block.len() {
            return None;
        }
        let row = self.row();
        if row.is_none() {
            self.at = self.block.len();
        }
        Some(row.ok_or_else(|| damaged("it ends in a row")))
    }
}

fn damaged(what: &'static str) -> ViewError {
    ViewError::Damaged { source: what.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const PLACE: Place = Place { prefix: b'm', version: 1 };

    type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

    /// Keys of few bytes, so that many meet; values from nothing to more than a block.
    fn batches() -> impl Strategy<Value = Vec<BTreeMap<Vec<u8>, Option<usize>>>> {
        let key = prop::collection::vec(0..6u8, 0..4);
        let length = prop_oneof![3 => 0..100usize, 1 => 0..2 * BLOCK_BYTES_MAX];
        let batch = prop::collection::btree_map(key, prop::option::weighted(0.7, length), 0..40);
        prop::collection::vec(batch, 1..12)
    }

    fn write(tree: &Tree, place: Place, rows: &BTreeMap<Vec<u8>, Option<usize>>) {
        let mut changes = Changes::default();
        for (key, length) in rows.iter().rev() {
            let value = |out: &mut Vec<u8>| length.map(|length| out.resize(out.len() + length, 7)).is_some();
            changes.push(|out| out.extend_from_slice(key), value);
        }
        let mut batch = Batch::default();
        changes.write(place, tree, &mut batch).expect("a sound table can be written");
        tree.apply_batch(batch).expect("a temporary store takes a batch");
    }

    fn read(tree: &Tree, from: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let rows = scan(PLACE, tree, from.to_vec()).map(|row| row.expect("a sound table can be read"));
        rows.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    fn hash_of(tree: &Tree) -> events::Hash {
        let mut hasher = Hasher::new();
        for pair in tree.iter() {
            let (key, block) = pair.expect("a temporary store can be read");
            hash(key[0], &block, &mut hasher);
        }
        hasher.finish()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_table_holds_what_a_map_holds_however_it_was_cut(batches in batches(), from in prop::collection::vec(0..6u8, 0..4)) {
            let db = sled::Config::new().temporary(true).open().expect("a temporary store can be opened");
            let (tree, at_once) = (db.open_tree("many").expect("a tree"), db.open_tree("one").expect("a tree"));
            // Neighbours on both sides, which must stay as they are.
            let others = [Place { prefix: b'l', version: 1 }, Place { prefix: b'n', version: 1 }];
            for place in others {
                write(&tree, place, &BTreeMap::from([(vec![3], Some(5))]));
                write(&at_once, place, &BTreeMap::from([(vec![3], Some(5))]));
            }
            let mut expected = Rows::new();
            for batch in &batches {
                write(&tree, PLACE, batch);
                for (key, length) in batch {
                    expected.remove(key);
                    expected.extend(length.map(|length| (key.clone(), vec![7; length])));
                }
                let found: Rows = read(&tree, &[]).into_iter().collect();
                prop_assert_eq!(&found, &expected);
            }
            for key in batches.iter().flat_map(BTreeMap::keys) {
                let found = get(PLACE, &tree, key).expect("a sound table can be read");
                prop_assert_eq!(found.map(|value| value.to_vec()), expected.get(key).cloned());
            }
            let behind: Vec<_> = expected.range(from.clone()..).map(|(k, v)| (k.clone(), v.clone())).collect();
            prop_assert_eq!(read(&tree, &from), behind);
            write(&at_once, PLACE, &expected.iter().map(|(key, value)| (key.clone(), Some(value.len()))).collect());
            prop_assert_eq!(hash_of(&tree), hash_of(&at_once), "where blocks begin is not in the hash");
        }
    }

    #[test]
    fn many_small_rows_need_few_keys() {
        let db = sled::Config::new().temporary(true).open().expect("a temporary store can be opened");
        let rows = (0..10_000u32).map(|n| (n.to_be_bytes().to_vec(), Some(20)));
        let rows: Vec<_> = rows.collect();
        for part in rows.chunks(100) {
            write(&db, PLACE, &part.iter().cloned().collect());
        }
        assert_eq!(read(&db, &[]).len(), 10_000);
        // 30 bytes a row, 34 rows a block when it is full.
        assert!(db.len() < 600, "{} keys", db.len());
        let gone = (0..10_000u32).map(|n| (n.to_be_bytes().to_vec(), None));
        write(&db, PLACE, &gone.collect());
        assert!(db.is_empty(), "no empty block stays");
    }
}
