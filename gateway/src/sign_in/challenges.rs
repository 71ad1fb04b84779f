//! What passkeys are to sign for somebody to sign in: each is good once and for some minutes, and only at the process that gave it.
//!
//! Nothing is remembered of those that are given: a challenge says until when it is good, and holds the process's own proof that it gave it.
//! So whoever asks for many takes nobody's place. Remembered are those with which somebody signed in, until they are over.
//!
//! ```text
//! challenge   "skylink sign-in" ‖ until when it is good, u64 of ms, big-endian ‖ 16 random bytes ‖ HMAC-SHA256 of all that
//! ```
//!
//! The HMAC's key is the process's own and ends with it, as what was used does: with a key that outlived it, a challenge could be
//! used again after a restart.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use commands::sign_in::CHALLENGE_START;
use events::Timestamp;
use events::ids::AccountId;

/// How long a challenge is good, in ms.
pub const CHALLENGE_MS: i64 = 300_000;
/// Most challenges that are remembered since somebody has signed in with them; while there are as many, nobody else signs in by passkey.
pub const CHALLENGES_USED_MAX: usize = 16_384;
/// Most of them of one account, so that nobody keeps others out with a passkey of his own.
pub const CHALLENGES_USED_PER_ACCOUNT_MAX: usize = 32;

const TIME_BYTES: usize = 8;
const RANDOM_BYTES: usize = 16;
const SIGNED_BYTES: usize = CHALLENGE_START.len() + TIME_BYTES + RANDOM_BYTES;

/// The challenges of one process.
pub(crate) struct Challenges {
    key: hmac::Key,
    /// Those with which somebody has signed in: to which account, and until when they would be good.
    used: Mutex<BTreeMap<Challenge, (AccountId, Timestamp)>>,
}

/// What tells a challenge of this process from its others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Challenge {
    until: Timestamp,
    random: [u8; RANDOM_BYTES],
}

/// Why nobody signs in with a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChallengeError {
    /// This process did not give it: it is made up, or from before a restart, or of another process of the market.
    #[error(
        "the challenge that was signed is none of this process, which may have been restarted: get a new one and have it signed"
    )]
    Foreign,
    /// Its time is over.
    #[error("the challenge that was signed was good for 5 minutes: get a new one and have it signed")]
    Over,
    /// Somebody has signed in with it.
    #[error("somebody has signed in with this challenge already: get a new one and have it signed")]
    Used,
    /// The account has signed in too often.
    #[error("this account has signed in too often: try again in some minutes")]
    TooMany,
    /// So many have signed in that no more can be remembered.
    #[error("too many sign in now: try again in some minutes")]
    Full,
}

impl Challenges {
    /// Begins, with a key that nobody has had before.
    pub(crate) fn new() -> Challenges {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Challenges { key: key.expect("the operating system gives random bytes"), used: Mutex::default() }
    }

    /// Gives a new one, and until when it is good.
    pub(crate) fn give(&self, now: Timestamp) -> (Vec<u8>, Timestamp) {
        let until = now.plus_ms(CHALLENGE_MS);
        let mut random = [0; RANDOM_BYTES];
        SystemRandom::new().fill(&mut random).expect("the operating system gives random bytes");
        let mut bytes = [CHALLENGE_START, &until.ms().to_be_bytes(), &random].concat();
        let proof = hmac::sign(&self.key, &bytes);
        bytes.extend_from_slice(proof.as_ref());
        (bytes, until)
    }

    /// Tells which one it is, if this process gave it and it is still good.
    pub(crate) fn check(&self, given: &[u8], now: Timestamp) -> Result<Challenge, ChallengeError> {
        let (signed, proof) = given.split_at_checked(SIGNED_BYTES).ok_or(ChallengeError::Foreign)?;
        hmac::verify(&self.key, signed, proof).map_err(|_| ChallengeError::Foreign)?;
        let (until, random) = signed[CHALLENGE_START.len()..].split_at(TIME_BYTES);
        let until = i64::from_be_bytes(until.try_into().expect("it was split there"));
        let until = Timestamp::from_ms(until);
        let challenge = Challenge { until, random: random.try_into().expect("it was split there") };
        if until <= now {
            return Err(ChallengeError::Over);
        }
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.contains_key(&challenge) { Err(ChallengeError::Used) } else { Ok(challenge) }
    }

    /// Uses one up, for an account of which a passkey has signed it.
    pub(crate) fn use_up(
        &self,
        challenge: Challenge,
        account: AccountId,
        now: Timestamp,
    ) -> Result<(), ChallengeError> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // They are in the order in which they end.
        while used.first_key_value().is_some_and(|(first, _)| first.until <= now) {
            used.pop_first();
        }
        // Two may have come with the same one at once.
        if used.contains_key(&challenge) {
            return Err(ChallengeError::Used);
        }
        if used.values().filter(|(of, _)| *of == account).count() >= CHALLENGES_USED_PER_ACCOUNT_MAX {
            return Err(ChallengeError::TooMany);
        }
        if used.len() >= CHALLENGES_USED_MAX {
            return Err(ChallengeError::Full);
        }
        used.insert(challenge, (account, challenge.until));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    fn account(n: u128) -> AccountId {
        AccountId::from_uuid(Uuid::from_u128(n))
    }

    #[test]
    fn a_challenge_is_good_once_and_for_some_minutes() {
        let challenges = Challenges::new();
        let ((first, until), (second, _)) = (challenges.give(NOW), challenges.give(NOW));
        assert_ne!(first, second);
        assert!(commands::sign_in::is_challenge(&first));
        assert_eq!(until, NOW.plus_ms(CHALLENGE_MS));
        let last = until.plus_ms(-1);
        let found = challenges.check(&first, last).unwrap();
        assert_eq!(challenges.check(&first, last), Ok(found), "looking at it does not use it up");
        assert_eq!(challenges.use_up(found, account(1), last), Ok(()));
        assert_eq!(challenges.use_up(found, account(1), last), Err(ChallengeError::Used));
        assert_eq!(challenges.check(&first, last), Err(ChallengeError::Used));
        assert!(challenges.check(&second, last).is_ok());
        assert_eq!(challenges.check(&second, until), Err(ChallengeError::Over));
    }

    #[test]
    fn what_another_process_gave_or_somebody_changed_is_foreign() {
        let (challenges, before) = (Challenges::new(), Challenges::new());
        assert_eq!(challenges.check(&before.give(NOW).0, NOW), Err(ChallengeError::Foreign));
        let (given, _) = challenges.give(NOW);
        for at in 0..given.len() {
            let mut changed = given.clone();
            changed[at] ^= 1;
            assert_eq!(challenges.check(&changed, NOW), Err(ChallengeError::Foreign), "byte {at}");
            assert_eq!(challenges.check(&given[..at], NOW), Err(ChallengeError::Foreign), "{at} bytes");
        }
        let longer = [given.as_slice(), &[0]].concat();
        assert_eq!(challenges.check(&longer, NOW), Err(ChallengeError::Foreign));
        assert!(challenges.check(&given, NOW).is_ok());
    }

    #[test]
    fn whoever_asks_for_many_takes_nobodys_place() {
        let challenges = Challenges::new();
        let (mine, _) = challenges.give(NOW);
        for _ in 0..2 * CHALLENGES_USED_MAX {
            challenges.give(NOW);
        }
        let challenge = challenges.check(&mine, NOW).unwrap();
        assert_eq!(challenges.use_up(challenge, account(1), NOW), Ok(()));
        assert_eq!(challenges.used.lock().unwrap().len(), 1);
    }

    #[test]
    fn who_signs_in_takes_a_place_of_his_own_until_the_challenge_would_be_over() {
        let challenges = Challenges::new();
        let sign_in = |n: u128, now: Timestamp| {
            let challenge = challenges.check(&challenges.give(now).0, now).unwrap();
            challenges.use_up(challenge, account(n), now)
        };
        for _ in 0..CHALLENGES_USED_PER_ACCOUNT_MAX {
            assert_eq!(sign_in(1, NOW), Ok(()));
        }
        assert_eq!(sign_in(1, NOW), Err(ChallengeError::TooMany));
        assert_eq!(sign_in(2, NOW), Ok(()), "others are not kept out");
        let later = NOW.plus_ms(CHALLENGE_MS);
        assert_eq!(sign_in(1, later), Ok(()));
        assert_eq!(challenges.used.lock().unwrap().len(), 1, "what is over makes room");
        let mut n = 2;
        while challenges.used.lock().unwrap().len() < CHALLENGES_USED_MAX {
            let until = later.plus_ms(CHALLENGE_MS);
            let random = u128::to_be_bytes(n);
            challenges.used.lock().unwrap().insert(Challenge { until, random }, (account(n), until));
            n += 1;
        }
        assert_eq!(sign_in(n, later), Err(ChallengeError::Full));
    }
}
