//! The market's own keys. At most two are live at once: the present one, which signs receipts, and for an overlap the one before
//! it. Both sign checkpoints.
//!
//! A new key is announced in the log. The key before it signs the announcement, so that who trusts one key of a market can
//! follow to the present one with nothing else; and the new one signs it too, which shows that it is the market's.

use events::account::PublicKey;
use events::ids::{KeyId, MarketName};
use events::market::{KeyAnnounced, KeyRetired};
use events::rejection::MarketKeyProblem;
use events::{Event, Recorded, Rejection, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::{RetireMarketKey, RotateMarketKey};
use crate::crypto::{KeyError, SigningKey, VerifyingKey};
use crate::jws::{self, Jws};
use crate::market::Market;

/// `typ` of the word that one key of a market follows another.
pub const MARKET_KEY_TYP: &str = "skylink-market-key+jws";
/// Form of that word (`v`).
const ANNOUNCEMENT_VERSION: u8 = 1;

/// A key of a market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketKey {
    /// The word that announced it; none: the market was opened with it.
    pub announced: Option<Announcement>,
    /// Since when it signs.
    pub from: Timestamp,
    /// The key.
    pub key: PublicKey,
    /// Until when it signed; none: it is live.
    pub until: Option<Timestamp>,
}

/// Every key that a market had, oldest first; only the last two can be live.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MarketKeys {
    keys: Vec<MarketKey>,
}

impl MarketKeys {
    /// Says that a market begins with a key.
    pub fn beginning(key: PublicKey, from: Timestamp) -> MarketKeys {
        MarketKeys { keys: vec![MarketKey { announced: None, from, key, until: None }] }
    }

    /// Folds one event; those that are not about keys change nothing.
    pub fn evolve(&mut self, recorded: &Recorded) {
        let time = recorded.metadata.time;
        match &recorded.event {
            Event::MarketOpened(opened) => *self = MarketKeys::beginning(opened.receipt_key, time),
            Event::MarketKeyAnnounced(event) => {
                let KeyAnnounced { announcement, key, proof, .. } = event.clone();
                let announced = Some(Announcement { announcement, proof });
                self.keys.push(MarketKey { announced, from: time, key, until: None });
            }
            Event::MarketKeyRetired(event) => {
                let retired = self.keys.iter_mut().find(|known| known.key.id() == event.key);
                retired.expect("only a key of the market is retired").until = Some(time);
            }
            _ => {}
        }
    }

    /// Gives every key, oldest first.
    pub fn all(&self) -> &[MarketKey] {
        &self.keys
    }

    /// Gives the keys that are live, the present one first.
    pub fn live(&self) -> impl Iterator<Item = &MarketKey> {
        self.keys.iter().rev().filter(|known| known.until.is_none())
    }

    /// Gives the key that receipts are signed with; none before the market was opened.
    pub fn current(&self) -> Option<&MarketKey> {
        self.keys.last()
    }

    /// Gives the words that lead from the first key to the present one, in order.
    pub fn announcements(&self) -> impl Iterator<Item = &Announcement> {
        self.keys.iter().filter_map(|known| known.announced.as_ref())
    }
}

/// The word that one key of a market follows another, signed by both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// Signed with the key before: a compact JWS.
    pub announcement: String,
    /// The same, signed with the new key.
    pub proof: String,
}

/// What both keys sign.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    aud: MarketName,
    key: PublicKey,
    previous: KeyId,
    v: u8,
}

/// Why a word does not show that one key follows another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnnouncementError {
    /// It is not of its form.
    #[error("the announcement of a market's key can't be read: {rule}")]
    Malformed {
        /// The rule it breaks.
        rule: String,
    },
    /// It is about another market.
    #[error("the announcement of a key is for another market")]
    OtherMarket,
    /// The key before has not signed it.
    #[error("the announcement of a key is not signed with the key before it: somebody has forged it")]
    NotAnnounced,
    /// The new key has not signed it.
    #[error("the announced key has not signed its own announcement")]
    NotProven,
    /// The same key has announced two others.
    #[error("key {previous} has announced two others: it is not known which one is the market's")]
    Forked {
        /// The key that announced them.
        previous: KeyId,
    },
}

impl Announcement {
    /// Has both keys sign that `new` follows `previous`.
    pub fn sign(market: &MarketName, previous: &SigningKey, new: &SigningKey) -> Announcement {
        let statement = Statement {
            aud: market.clone(),
            key: new.public(),
            previous: previous.id(),
            v: ANNOUNCEMENT_VERSION,
        };
        let signed = |key| jws::sign(MARKET_KEY_TYP, &statement, key);
        Announcement { announcement: signed(previous), proof: signed(new) }
    }

    /// Tells which key is said to have signed it, without checking anything.
    fn claimed_previous(&self) -> Option<KeyId> {
        jws::claimed_key(&self.announcement)
    }

    /// Checks it with the key before, and gives the new one.
    pub fn check(
        &self,
        market: &MarketName,
        previous: &VerifyingKey,
    ) -> Result<VerifyingKey, AnnouncementError> {
        let announced = read(&self.announcement, previous, AnnouncementError::NotAnnounced)?;
        if announced.aud != *market {
            return Err(AnnouncementError::OtherMarket);
        }
        if announced.previous != previous.id() {
            return Err(AnnouncementError::NotAnnounced);
        }
        let malformed = |error: KeyError| AnnouncementError::Malformed { rule: error.to_string() };
        let new = VerifyingKey::new(&announced.key).map_err(malformed)?;
        let proven = read(&self.proof, &new, AnnouncementError::NotProven)?;
        if proven == announced { Ok(new) } else { Err(AnnouncementError::NotProven) }
    }
}

/// Reads a word that must be signed with `key`; `otherwise` says that it is not.
fn read(
    text: &str,
    key: &VerifyingKey,
    otherwise: AnnouncementError,
) -> Result<Statement, AnnouncementError> {
    let malformed = |rule: String| AnnouncementError::Malformed { rule };
    let jws = Jws::read(text, MARKET_KEY_TYP).map_err(|error| malformed(error.to_string()))?;
    if jws.key != key.id() || jws.algorithm != key.algorithm() || jws.check(key).is_err() {
        return Err(otherwise);
    }
    let payload = jws.payload().map_err(|error| malformed(error.to_string()))?;
    let statement = Statement::deserialize(&payload).map_err(|error| malformed(error.to_string()))?;
    if statement.v != ANNOUNCEMENT_VERSION {
        return Err(malformed(format!("`v` must be {ANNOUNCEMENT_VERSION}")));
    }
    Ok(statement)
}

/// Adds to keys that are trusted those that follow them, by announcements in the order of the log. Those that begin at a key
/// that is not trusted are passed over: they show nothing.
pub fn follow(
    keys: &mut Vec<VerifyingKey>,
    market: &MarketName,
    announcements: &[Announcement],
) -> Result<(), AnnouncementError> {
    let mut followed: Vec<(KeyId, KeyId)> = Vec::new();
    for announcement in announcements {
        let claimed = announcement.claimed_previous();
        let Some(previous) = keys.iter().find(|key| Some(key.id()) == claimed) else { continue };
        let (previous, new) = (previous.id(), announcement.check(market, previous)?);
        if followed.iter().any(|(before, after)| *before == previous && *after != new.id()) {
            return Err(AnnouncementError::Forked { previous });
        }
        followed.push((previous, new.id()));
        if keys.iter().all(|key| key.id() != new.id()) {
            keys.push(new);
        }
    }
    Ok(())
}

fn rejected<T>(problem: MarketKeyProblem) -> Result<T, Vec<Rejection>> {
    Err(vec![Rejection::MarketKey { problem }])
}

/// Decides that the market takes a new key. The announcement of its present key changes nothing when it comes again.
pub(crate) fn decide_rotate(
    market: &Market,
    command: &RotateMarketKey,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let RotateMarketKey { announcement, proof } = command.clone();
    let announcement = Announcement { announcement, proof };
    let (name, keys) = (&market.opened().market, &market.keys);
    let current = keys.current().expect("a market was opened with a key");
    if current.announced.as_ref() == Some(&announcement) {
        return Ok(vec![]);
    }
    let previous = VerifyingKey::new(&current.key);
    let checked = match &previous {
        Ok(previous) => announcement.check(name, previous),
        Err(error) => Err(AnnouncementError::Malformed { rule: error.to_string() }),
    };
    let previous = current.key.id();
    let new = match checked {
        Ok(new) => new,
        Err(AnnouncementError::Malformed { rule }) => return rejected(MarketKeyProblem::Malformed { rule }),
        Err(AnnouncementError::OtherMarket) => return rejected(MarketKeyProblem::OtherMarket),
        Err(AnnouncementError::NotProven) => return rejected(MarketKeyProblem::NotProven),
        Err(AnnouncementError::NotAnnounced | AnnouncementError::Forked { .. }) => {
            return rejected(MarketKeyProblem::NotAnnounced { current: previous });
        }
    };
    if keys.all().iter().any(|known| known.key == *new.public()) {
        return rejected(MarketKeyProblem::Used { key: new.id() });
    }
    if let Some(other) = keys.live().nth(1) {
        return rejected(MarketKeyProblem::StillLive { previous: other.key.id() });
    }
    let Announcement { announcement, proof } = announcement;
    Ok(vec![KeyAnnounced { announcement, key: *new.public(), previous, proof }.into()])
}

/// Decides that the key before the present one is retired. One that is retired already stays so.
pub(crate) fn decide_retire(
    market: &Market,
    command: &RetireMarketKey,
) -> Result<Vec<Event>, Vec<Rejection>> {
    let key = command.key;
    let known = market.keys.all().iter().find(|known| known.key.id() == key);
    match known {
        Some(known) if known.until.is_some() => Ok(vec![]),
        Some(known) if Some(known) != market.keys.current() => Ok(vec![KeyRetired { key }.into()]),
        _ => rejected(MarketKeyProblem::NotPrevious { key }),
    }
}
