//! Protection from replays, and the memory that makes retries harmless. All of it is folded from the log, so a
//! restart forgets nothing.
//!
//! Replay and retry are two things. A *replay* sends the same signed bytes again: the key's sequence window and its
//! nonces refuse it. A *retry* asks for the same wish again, signed anew under the same command id: it gets the
//! first outcome, for ever. What is too old to be kept in memory is in an index on disk; [`Recent::may_be_forgotten`]
//! tells when that has to be asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use events::hash::Hasher;
use events::ids::{AccountId, CommandId, KeyId, Nonce};
use events::metadata::CommandStamp;
use events::{Hash, Position, Timestamp};
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// How far ahead of the server a device's clock may be.
pub const CLOCK_SKEW_MS: i64 = 30_000;
/// How old a command may be when it is decided.
pub const FRESHNESS_MS: i64 = 120_000;
/// How far a sequence number may jump beyond the highest one used.
pub const SEQ_JUMP_MAX: u64 = 1 << 20;
/// How many sequence numbers behind the highest one used are still told apart.
pub const SEQ_WINDOW: u64 = 1024;
/// Most nonces that are remembered at once; while there are so many, new commands are answered `busy`. That is 27,962
/// commands a second for as long as a nonce is remembered, in about 160 MB.
pub const NONCES_MAX: usize = 1 << 22;
/// How many commands are kept in memory; older ones are in the index. That is 34,952 commands a second for as long as
/// an id may be ahead of its time: below that rate, a new command never has to ask the index whether it is new.
pub const RECENT_COMMANDS_MAX: usize = 1 << 20;

const WINDOW_WORDS: usize = (SEQ_WINDOW / 64) as usize;

/// The sequence numbers a key has used: the sliding window of RFC 4303 §3.4.3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct SeqWindow {
    /// The highest number used; none yet: no number was.
    high: Option<u64>,
    /// Bit `n % SEQ_WINDOW` says whether number `n` was used, for the numbers of the window.
    used: [u64; WINDOW_WORDS],
}

impl SeqWindow {
    /// Checks that `seq` was not used and is in reach.
    pub fn check(&self, seq: u64) -> Result<(), Refusal> {
        let Some(high) = self.high else { return Ok(()) };
        if seq > high {
            return if seq - high > SEQ_JUMP_MAX { Err(Refusal::SeqJump { high }) } else { Ok(()) };
        }
        if high - seq >= SEQ_WINDOW {
            return Err(Refusal::SeqTooOld { high });
        }
        if self.is_used(seq) { Err(Refusal::SeqReplayed { high }) } else { Ok(()) }
    }

    /// Marks `seq` as used.
    pub(crate) fn use_up(&mut self, seq: u64) {
        let high = self.high.unwrap_or(seq);
        if seq > high {
            // The numbers between fall into the window unused; a jump past the window clears it whole.
            for skipped in (high + 1..=seq).take(SEQ_WINDOW as usize) {
                self.set(skipped, false);
            }
            if seq - high > SEQ_WINDOW {
                self.used = [0; WINDOW_WORDS];
            }
        }
        self.high = Some(high.max(seq));
        self.set(seq, true);
    }

    fn is_used(&self, seq: u64) -> bool {
        let bit = seq % SEQ_WINDOW;
        self.used[(bit / 64) as usize] & (1 << (bit % 64)) != 0
    }

    fn set(&mut self, seq: u64, used: bool) {
        let bit = seq % SEQ_WINDOW;
        let word = &mut self.used[(bit / 64) as usize];
        if used {
            *word |= 1 << (bit % 64);
        } else {
            *word &= !(1 << (bit % 64));
        }
    }
}

/// The nonces that could still be replayed: those of commands that may still be fresh.
///
/// Kept are 64 bits of SHA-256(key id ‖ nonce), in all 30 to 46 bytes for each. A command whose 64 bits another one
/// has is refused as if its nonce were used, and passes when it is signed again: one in 2^42 at the bound, which is
/// one in five years of the highest rate. Nobody can bring that upon another's command without knowing its nonce
/// before it is decided and then trying 2^64 of his own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Nonces {
    used: BTreeSet<u64>,
    /// In the order they were used, to be forgotten in that order.
    by_time: VecDeque<(Timestamp, u64)>,
}

impl Nonces {
    /// Checks that the key has not used the nonce, and that one more can be remembered.
    pub fn check(&self, key: KeyId, nonce: Nonce, now: Timestamp) -> Result<(), Refusal> {
        if self.used.contains(&mark(key, nonce)) {
            return Err(Refusal::NonceReused);
        }
        let oldest_leaves = self.by_time.front().is_some_and(|(used_at, _)| is_forgotten(*used_at, now));
        if self.used.len() < NONCES_MAX || oldest_leaves { Ok(()) } else { Err(Refusal::Busy) }
    }

    pub(crate) fn use_up(&mut self, key: KeyId, nonce: Nonce, now: Timestamp) {
        while let Some((used_at, old)) = self.by_time.front().copied()
            && is_forgotten(used_at, now)
        {
            self.used.remove(&old);
            self.by_time.pop_front();
        }
        let mark = mark(key, nonce);
        if self.used.insert(mark) {
            self.by_time.push_back((now, mark));
        }
    }
}

fn mark(key: KeyId, nonce: Nonce) -> u64 {
    let mut hasher = Hasher::new();
    hasher.update(&key.0);
    hasher.update(&nonce.0);
    let hash = hasher.finish();
    let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash has more than 8 bytes");
    u64::from_be_bytes(*first)
}

/// A command accepted now was signed at most [`CLOCK_SKEW_MS`] in the future and ends [`FRESHNESS_MS`] later. One that a second
/// factor approves lives longer than its nonce is remembered: its id is known for ever, and its bytes are a retry.
fn is_forgotten(used_at: Timestamp, now: Timestamp) -> bool {
    now.ms_since(used_at) > FRESHNESS_MS + CLOCK_SKEW_MS
}

/// A command that was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// What was wished.
    pub fingerprint: Hash,
    /// Where its commit begins.
    pub position: Position,
}

/// The last [`RECENT_COMMANDS_MAX`] commands that were decided.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Recent {
    by_id: BTreeMap<(CommandId, AccountId), Decided>,
    in_order: VecDeque<(CommandId, AccountId, Timestamp)>,
    /// When the last forgotten command was decided; none yet: nothing is forgotten.
    forgotten_until: Option<Timestamp>,
}

impl Recent {
    /// Finds a command.
    pub fn find(&self, account: AccountId, command: CommandId) -> Option<Decided> {
        self.by_id.get(&(command, account)).copied()
    }

    /// Tells whether a command that is not found here may have been decided and forgotten. A command's id carries
    /// the time it was made and is refused from the future, so an id made after the last forgotten decision (and
    /// the skew of clocks) can't be among the forgotten.
    pub fn may_be_forgotten(&self, command: CommandId) -> bool {
        match (self.forgotten_until, command.time()) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(until), Some(made)) => made <= until.plus_ms(CLOCK_SKEW_MS),
        }
    }

    /// Adds a command and gives the position of the one that is forgotten for it, if any.
    pub(crate) fn remember(
        &mut self,
        stamp: &CommandStamp,
        position: Position,
        now: Timestamp,
    ) -> Option<Position> {
        let id = (stamp.command, stamp.account);
        self.by_id.insert(id, Decided { fingerprint: stamp.fingerprint, position });
        self.in_order.push_back((id.0, id.1, now));
        if self.in_order.len() <= RECENT_COMMANDS_MAX {
            return None;
        }
        let (command, account, decided_at) = self.in_order.pop_front()?;
        self.forgotten_until = Some(decided_at);
        self.by_id.remove(&(command, account)).map(|decided| decided.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_is_good_once_and_only_within_the_window() {
        let mut window = SeqWindow::default();
        for seq in [5, 7, 6, 1000] {
            assert_eq!(window.check(seq), Ok(()));
            window.use_up(seq);
            assert_eq!(
                window.check(seq),
                Err(Refusal::SeqReplayed { high: seq.max(if seq == 6 { 7 } else { seq }) })
            );
        }
        window.use_up(2000);
        assert_eq!(window.check(1000), Err(Refusal::SeqReplayed { high: 2000 }));
        assert_eq!(window.check(977), Ok(()));
        assert_eq!(window.check(976), Err(Refusal::SeqTooOld { high: 2000 }));
        assert_eq!(window.check(2000 + SEQ_JUMP_MAX), Ok(()));
        assert_eq!(window.check(2001 + SEQ_JUMP_MAX), Err(Refusal::SeqJump { high: 2000 }));
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_set_of_all_numbers_used(steps in proptest::collection::vec(0u64..6000, 1..200)) {
            let mut window = SeqWindow::default();
            let mut used = BTreeSet::new();
            for seq in steps {
                let high = used.last().copied();
                let fresh = high.is_none_or(|high: u64| seq > high || (high - seq < SEQ_WINDOW && !used.contains(&seq)));
                prop_assert_eq!(window.check(seq).is_ok(), fresh, "seq {} after {:?}", seq, high);
                if fresh {
                    window.use_up(seq);
                    used.insert(seq);
                }
            }
        }
    }

    #[test]
    fn a_nonce_is_remembered_as_long_as_its_command_could_be_fresh() {
        let (key, nonce) = (KeyId([1; 32]), Nonce([2; 16]));
        let mut nonces = Nonces::default();
        let start = Timestamp::from_ms(1_000_000);
        let (last, after) = (FRESHNESS_MS + CLOCK_SKEW_MS, FRESHNESS_MS + CLOCK_SKEW_MS + 1);
        nonces.use_up(key, nonce, start);
        assert_eq!(nonces.check(key, nonce, start), Err(Refusal::NonceReused));
        assert_eq!(nonces.check(KeyId([9; 32]), nonce, start), Ok(()));
        nonces.use_up(key, Nonce([3; 16]), start.plus_ms(last));
        assert_eq!(nonces.check(key, nonce, start.plus_ms(last)), Err(Refusal::NonceReused));
        nonces.use_up(key, Nonce([4; 16]), start.plus_ms(after));
        assert_eq!(nonces.check(key, nonce, start.plus_ms(after)), Ok(()));
    }
}
