//! SHA-256 hashes, and the Merkle tree hash of RFC 6962 that receipts are proven with.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// A SHA-256 hash; 64 hexadecimal digits in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What the first commit of a log names as its predecessor.
    pub const ZERO: Hash = Hash([0; 32]);

    /// Takes the 32 bytes of a hash.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Hash(bytes)
    }

    /// Gives the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Hash {
        Hash(Sha256::digest(bytes).into())
    }
}

/// Hashes what is given in several pieces.
#[derive(Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Starts an empty hash.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Ends the hash.
    pub fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}

impl Hash {
    /// Writes the 64 digits into `text`.
    fn write_to(self, text: &mut [u8; 64]) -> &str {
        hex::encode_to_slice(self.0, text).expect("32 bytes are 64 digits");
        std::str::from_utf8(text).expect("digits are ASCII")
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.write_to(&mut [0; 64]))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// Says that a text is not a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hash must be 64 hexadecimal digits")]
pub struct HashError;

impl FromStr for Hash {
    type Err = HashError;
    fn from_str(text: &str) -> Result<Self, HashError> {
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| HashError)?;
        Ok(Hash(bytes))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            // A receipt has a dozen of them, and each would go through the formatting machinery.
            serializer.serialize_str(self.write_to(&mut [0; 64]))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Hash)
        }
    }
}

impl JsonSchema for Hash {
    fn schema_name() -> Cow<'static, str> {
        "Hash".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-9a-f]{64}$"})
    }
}

/// Hashes one leaf as RFC 6962 does: `SHA-256(0x00 ‖ data)`.
pub fn leaf_hash(data: &[u8]) -> Hash {
    let mut hasher = Hasher::new();
    hasher.update(&[0x00]);
    hasher.update(data);
    hasher.finish()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Hasher::new();
    hasher.update(&[0x01]);
    hasher.update(&left.0);
    hasher.update(&right.0);
    hasher.finish()
}

/// A Merkle tree over a bounded list of leaf hashes, with its inner nodes kept so that every leaf's inclusion
/// path is a walk, not a recomputation. The shape is RFC 6962's.
pub struct MerkleTree {
    /// `levels[0]` are the leaves; each next level pairs the one below, an odd last node moves up unchanged.
    levels: Vec<Vec<Hash>>,
}

impl MerkleTree {
    /// Builds the tree. The root of no leaves is SHA-256 of nothing, as in RFC 6962.
    pub fn new(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last()
            && below.len() > 1
        {
            let above = below
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => node_hash(left, right),
                    odd => odd[0],
                })
                .collect();
            levels.push(above);
        }
        MerkleTree { levels }
    }

    /// Gives the root.
    pub fn root(&self) -> Hash {
        self.levels.last().and_then(|top| top.first()).copied().unwrap_or_else(|| Hash::of(b""))
    }

    /// Gives the sibling hashes from the leaf at `index` up to the root.
    ///
    /// # Panics
    /// If there is no such leaf.
    pub fn path(&self, index: usize) -> Vec<Hash> {
        assert!(index < self.levels[0].len(), "a path is asked only for a leaf of the tree");
        let mut path = Vec::with_capacity(self.levels.len());
        let mut at = index;
        for level in &self.levels[..self.levels.len() - 1] {
            if let Some(sibling) = level.get(at ^ 1) {
                path.push(*sibling);
            }
            at /= 2;
        }
        path
    }
}

/// Computes the root of a tree of which leaves come one by one, and keeps no more of them than it needs: the roots of the largest
/// whole subtrees, from the left.
#[derive(Debug, Clone, Default)]
pub struct GrowingTree {
    subtrees: Vec<Hash>,
    size: u64,
}

impl GrowingTree {
    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        // As many subtrees end here as the size has ones at its end in binary.
        for _ in 0..self.size.trailing_ones() {
            let left = self.subtrees.pop().expect("each one in the size is a subtree");
            node = node_hash(&left, &node);
        }
        self.subtrees.push(node);
        self.size += 1;
    }

    /// Gives how many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Gives the root.
    pub fn root(&self) -> Hash {
        let joined = self.subtrees.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or_else(|| Hash::of(b""))
    }
}

/// Computes the root that `leaf` at `index` of `size` leaves and its inclusion `path` lead to (RFC 9162 §2.1.3.2).
/// `None` when the path's length does not fit the position.
pub fn root_from_path(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 6962 §2.1, word for word and slow.
    fn reference_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::of(b""),
            [one] => *one,
            many => {
                let mut split = 1;
                while split * 2 < many.len() {
                    split *= 2;
                }
                node_hash(&reference_root(&many[..split]), &reference_root(&many[split..]))
            }
        }
    }

    fn leaves(count: u32) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    #[test]
    fn the_tree_has_rfc_6962_shape_and_every_path_leads_to_its_root() {
        for count in 0..70 {
            let leaves = leaves(count);
            let tree = MerkleTree::new(leaves.clone());
            assert_eq!(tree.root(), reference_root(&leaves), "{count} leaves");
            let mut growing = GrowingTree::default();
            leaves.iter().for_each(|leaf| growing.push(*leaf));
            assert_eq!((growing.root(), growing.size()), (tree.root(), u64::from(count)));
            for (index, leaf) in leaves.iter().enumerate() {
                let root = root_from_path(*leaf, index as u64, u64::from(count), &tree.path(index));
                assert_eq!(root, Some(tree.root()), "leaf {index} of {count}");
            }
        }
    }

    #[test]
    fn a_path_proves_neither_another_leaf_nor_another_place() {
        let leaves = leaves(13);
        let tree = MerkleTree::new(leaves.clone());
        for index in 0..13u64 {
            let path = tree.path(index as usize);
            for other in 0..16u64 {
                let root = root_from_path(leaves[index as usize], other, 13, &path);
                assert_eq!(root == Some(tree.root()), other == index, "leaf {index} claimed at {other}");
            }
            assert_ne!(root_from_path(leaf_hash(b"forged"), index, 13, &path), Some(tree.root()));
            let mut longer = path.clone();
            longer.push(Hash::ZERO);
            assert_ne!(root_from_path(leaves[index as usize], index, 13, &longer), Some(tree.root()));
            assert_ne!(root_from_path(leaves[index as usize], index, 13, &path[1..]), Some(tree.root()));
        }
    }
}
