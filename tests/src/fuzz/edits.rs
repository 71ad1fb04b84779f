//! Changes of bytes: those that an input stands for, and random ones.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Most edits that one input stands for.
const EDITS_MAX: usize = 64;

/// Changes `bytes` as `input` says: each four bytes are one edit.
pub(super) fn apply(input: &[u8], bytes: &mut Vec<u8>) {
    for edit in input.as_chunks::<4>().0.iter().take(EDITS_MAX) {
        let [kind, high, low, value] = *edit;
        if bytes.is_empty() {
            return;
        }
        let at = usize::from(u16::from_be_bytes([high, low])) % bytes.len();
        match kind % 6 {
            0 => bytes[at] = value,
            1 => bytes[at] ^= 1 << (value % 8),
            2 => bytes.insert(at, value),
            3 => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            // A piece of up to 255 bytes once more.
            _ => {
                let end = bytes.len().min(at + usize::from(value));
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

/// Texts that parsers of this project look for.
const WORDS: [&str; 24] = [
    "null",
    "true",
    "-0",
    "1e9",
    "0.1",
    "9007199254740992",
    "18446744073709551615",
    "\\ud800",
    "\\u0000",
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    ".",
    "=",
    "\n\n",
    "\u{2014} ",
    "EdDSA",
    "ES256",
    "v1=",
    "2025-07-29T10:00:00Z",
];

/// Makes new inputs out of old ones, the same ones for the same seed.
pub struct Mutator {
    random: StdRng,
}

impl Mutator {
    /// Begins at a seed.
    pub fn new(seed: u64) -> Mutator {
        Mutator { random: StdRng::seed_from_u64(seed) }
    }

    /// Makes an input out of one or two of those that there are.
    ///
    /// # Panics
    /// If there are none.
    pub fn next(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(7) {
                0 if at < bytes.len() => bytes[at] = self.random.random(),
                1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                2 => bytes.insert(at, self.random.random()),
                3 => {
                    let end = bytes.len().min(at + self.below(16));
                    drop(bytes.drain(at..end));
                }
                4 => bytes.truncate(at),
                5 => {
                    let word = WORDS[self.below(WORDS.len())];
                    bytes.splice(at..at, word.bytes());
                }
                _ => {
                    let other = &inputs[self.below(inputs.len())];
                    let from = self.below(other.len() + 1);
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[from..]);
                }
            }
        }
        bytes
    }

    fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }
}
