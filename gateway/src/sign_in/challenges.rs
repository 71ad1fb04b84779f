//! What passkeys are to sign for somebody to sign in: each is given once, is good once and for some minutes, and is known only to the process
//! that gave it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use commands::sign_in::challenge;
use events::ids::Nonce;
use events::{Hash, Timestamp};

/// How long a challenge is good, in ms.
pub const CHALLENGE_MS: i64 = 300_000;
/// Most challenges that wait to be signed; while there are as many, no further one is given.
pub const CHALLENGES_MAX: usize = 16_384;

/// The challenges of one process.
#[derive(Default)]
pub(crate) struct Challenges {
    /// What each was made of, and until when it is good.
    waiting: Mutex<BTreeMap<Hash, (Nonce, Timestamp)>>,
}

impl Challenges {
    /// Gives a new one, and until when it is good; none, if too many wait.
    pub(crate) fn give(&self, now: Timestamp) -> Option<(Hash, Timestamp)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= CHALLENGES_MAX {
            waiting.retain(|_, (_, until)| now < *until);
        }
        if waiting.len() >= CHALLENGES_MAX {
            return None;
        }
        let mut nonce = Nonce([0; 16]);
        SystemRandom::new().fill(&mut nonce.0).expect("the operating system gives random bytes");
        let until = now.plus_ms(CHALLENGE_MS);
        let given = challenge(nonce);
        waiting.insert(given, (nonce, until));
        Some((given, until))
    }

    /// Uses one up, and gives what it was made of; none, if it is not good.
    pub(crate) fn take(&self, given: Hash, now: Timestamp) -> Option<Nonce> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (nonce, until) = waiting.remove(&given)?;
        (now < until).then_some(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_good_once_and_for_some_minutes() {
        let (challenges, now) = (Challenges::default(), Timestamp::from_ms(1_000_000));
        let (first, until) = challenges.give(now).unwrap();
        let (second, _) = challenges.give(now).unwrap();
        assert_ne!(first, second);
        assert_eq!(until, now.plus_ms(CHALLENGE_MS));
        assert_eq!(challenges.take(first, until.plus_ms(-1)).map(challenge), Some(first));
        assert_eq!(challenges.take(first, now), None, "it was used");
        assert_eq!(challenges.take(second, until), None, "it is too late");
        assert_eq!(challenges.take(second, now), None, "and was thrown away");
    }

    #[test]
    fn so_many_wait_and_no_more_until_they_are_over() {
        let (challenges, now) = (Challenges::default(), Timestamp::from_ms(1_000_000));
        for _ in 0..CHALLENGES_MAX {
            challenges.give(now).unwrap();
        }
        assert_eq!(challenges.give(now.plus_ms(CHALLENGE_MS - 1)), None);
        assert!(challenges.give(now.plus_ms(CHALLENGE_MS)).is_some());
    }
}
