//! Checkpoints: how many events a market's log has and the root of the Merkle tree over them, signed by the market. Whoever has two
//! of them can have it proven that the one only appends to the other.
//!
//! They are signed notes as C2SP's `signed-note` and `tlog-checkpoint` say, so that any program for such logs reads them:
//!
//! ```text
//! skylink/main                                          the origin: which log it is
//! 1234                                                  how many events it has
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=          the root of their tree
//! commit 6b86b273…                                      the hash of the last commit, which chains the log
//!
//! — skylink/main Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp…    the market's signature, and perhaps those of witnesses
//! ```

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::account::PublicKey;
use events::hash::Hasher;
use events::ids::MarketName;
use events::{Hash, Head, Position};

use crate::crypto::{SigningKey, VerifyingKey};

/// What the origin of a market's checkpoints begins with; its name follows.
const ORIGIN: &str = "skylink/";
/// What the line with the hash of the last commit begins with.
const COMMIT: &str = "commit ";
/// What a line of a signature begins with: an em dash and a space.
const SIGNATURE: &str = "\u{2014} ";
/// How signed notes name Ed25519.
const ED25519: u8 = 1;
/// Most bytes of a note.
pub const NOTE_BYTES_MAX: usize = 16 * 1024;

/// How far a market's log goes, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The market.
    pub market: MarketName,
    /// Its last event, and the hash of its last commit.
    pub head: Head,
    /// The root of the tree over its events.
    pub root: Hash,
}

/// Why a note is no checkpoint of a market.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is no signed note, or none of a checkpoint.
    #[error("this is no checkpoint: {rule}")]
    Malformed {
        /// The rule it breaks.
        rule: &'static str,
    },
    /// It is of another log.
    #[error("the checkpoint is one of `{origin}`, not of this market")]
    OtherLog {
        /// Of which log it is.
        origin: String,
    },
    /// The market's key has not signed it.
    #[error("the checkpoint is not signed with the market's key")]
    NotSigned,
    /// The market's signature is wrong.
    #[error("the market's signature under the checkpoint is wrong")]
    SignatureWrong,
    /// Notes have no form for keys of this kind.
    #[error("checkpoints are signed with Ed25519, and the market's key is another one")]
    KeyKind,
}

/// Names the log of a market, as its checkpoints do.
pub fn origin(market: &MarketName) -> String {
    format!("{ORIGIN}{market}")
}

/// Gives the market's key in the form in which programs for signed notes take it.
pub fn verifier_key(market: &MarketName, key: &PublicKey) -> Result<String, CheckpointError> {
    let (name, key) = (origin(market), ed25519(key)?);
    let encoded = STANDARD.encode([&[ED25519], key.as_slice()].concat());
    Ok(format!("{name}+{}+{encoded}", hex::encode(key_id(&name, &key))))
}

/// Parts what is signed from the signatures.
fn parts(note: &str) -> Result<(&str, &str), CheckpointError> {
    let malformed = |rule| CheckpointError::Malformed { rule };
    if note.len() > NOTE_BYTES_MAX {
        return Err(malformed("it is larger than 16 KiB"));
    }
    let (text, signatures) =
        note.split_once("\n\n").ok_or(malformed("an empty line parts what is signed from signatures"))?;
    Ok((&note[..=text.len()], signatures))
}

impl Checkpoint {
    /// Signs it as a note.
    pub fn sign(&self, key: &SigningKey) -> Result<String, CheckpointError> {
        self.sign_with(&[key])
    }

    /// Signs it as a note, with each key that can sign one; there must be such a key.
    pub fn sign_with(&self, keys: &[&SigningKey]) -> Result<String, CheckpointError> {
        let (name, text) = (origin(&self.market), self.text());
        let mut note = format!("{text}\n");
        let before = note.len();
        for key in keys {
            let Ok(public) = ed25519(&key.public()) else { continue };
            let signature = [&key_id(&name, &public), key.sign(text.as_bytes()).as_slice()].concat();
            note.push_str(&format!("{SIGNATURE}{name} {}\n", STANDARD.encode(signature)));
        }
        if note.len() > before { Ok(note) } else { Err(CheckpointError::KeyKind) }
    }

    /// Reads a note, and checks that the market has signed it. Signatures of others are passed over.
    pub fn read(note: &str, market: &MarketName, key: &VerifyingKey) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::read_with(note, market, std::slice::from_ref(key))
    }

    /// Reads a note, and checks that one of the market's keys has signed it, and that none of those signatures is wrong.
    /// Signatures of others are passed over.
    pub fn read_with(
        note: &str,
        market: &MarketName,
        keys: &[VerifyingKey],
    ) -> Result<Checkpoint, CheckpointError> {
        let (text, signatures) = parts(note)?;
        let name = origin(market);
        let known = keys.iter().filter_map(|key| Some((key_id(&name, &ed25519(key.public()).ok()?), key)));
        let known: Vec<([u8; 4], &VerifyingKey)> = known.collect();
        if known.is_empty() {
            return Err(CheckpointError::KeyKind);
        }
        let checkpoint = Checkpoint::from_text(text, market)?;
        let malformed = |rule| CheckpointError::Malformed { rule };
        let signatures = signatures.strip_suffix('\n').ok_or(malformed("its last line has no end"))?;
        let mut is_signed = false;
        for line in signatures.split('\n') {
            let signature = line.strip_prefix(SIGNATURE).and_then(|line| line.split_once(' '));
            let (signer, encoded) = signature.ok_or(malformed("a line of a signature can't be read"))?;
            let bytes = STANDARD.decode(encoded).map_err(|_| malformed("a signature is no base64"))?;
            let (id, signature) =
                bytes.split_first_chunk::<4>().ok_or(malformed("a signature is too short"))?;
            let Some((_, key)) = known.iter().find(|(known, _)| signer == name && known == id) else {
                continue;
            };
            key.verify(text.as_bytes(), signature).map_err(|_| CheckpointError::SignatureWrong)?;
            is_signed = true;
        }
        if is_signed { Ok(checkpoint) } else { Err(CheckpointError::NotSigned) }
    }

    /// Reads what a note says without checking who has signed it.
    pub fn claimed(note: &str, market: &MarketName) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::from_text(parts(note)?.0, market)
    }

    fn text(&self) -> String {
        let Head { position, hash } = self.head;
        let (origin, root) = (origin(&self.market), STANDARD.encode(self.root.as_bytes()));
        format!("{origin}\n{position}\n{root}\n{COMMIT}{hash}\n")
    }

    fn from_text(text: &str, market: &MarketName) -> Result<Checkpoint, CheckpointError> {
        let malformed = |rule| CheckpointError::Malformed { rule };
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        let [found, size, root, commit] = lines[..] else {
            return Err(malformed("it has four lines: the origin, the size, the root and the last commit"));
        };
        if found != origin(market) {
            return Err(CheckpointError::OtherLog { origin: found.chars().take(128).collect() });
        }
        let position = Position::from_str(size).map_err(|_| malformed("the size is no number"))?;
        let root = STANDARD.decode(root).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let root = Hash::from_bytes(root.ok_or(malformed("the root is no hash in base64"))?);
        let hash = commit.strip_prefix(COMMIT).and_then(|hash| hash.parse().ok());
        let hash = hash.ok_or(malformed("the last commit is no hash"))?;
        let checkpoint = Checkpoint { market: market.clone(), head: Head { position, hash }, root };
        // One spelling: a size with a zero before it, or base64 with other bits at its end, would be another note.
        if checkpoint.text() == text {
            Ok(checkpoint)
        } else {
            Err(malformed("it is spelled in another way"))
        }
    }
}

fn ed25519(key: &PublicKey) -> Result<[u8; 32], CheckpointError> {
    match key {
        PublicKey::Ed25519(key) => Ok(*key),
        PublicKey::P256(..) => Err(CheckpointError::KeyKind),
    }
}

/// Gives the four bytes by which a line of a signature says whose it is.
fn key_id(name: &str, key: &[u8; 32]) -> [u8; 4] {
    let mut hasher = Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(&[b'\n', ED25519]);
    hasher.update(key);
    let hash = hasher.finish();
    let [a, b, c, d, ..] = *hash.as_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use events::account::Algorithm;

    use super::*;

    fn key(algorithm: Algorithm, seed: u8) -> SigningKey {
        SigningKey::from_seed(algorithm, [seed; 32]).unwrap()
    }

    fn verifier(seed: u8) -> VerifyingKey {
        VerifyingKey::new(&key(Algorithm::EdDsa, seed).public()).unwrap()
    }

    fn market() -> MarketName {
        "main".parse().unwrap()
    }

    fn checkpoint() -> Checkpoint {
        let head = Head { position: 1234, hash: Hash::of(b"commit") };
        Checkpoint { market: market(), head, root: Hash::of(b"root") }
    }

    fn signed() -> String {
        checkpoint().sign(&key(Algorithm::EdDsa, 7)).unwrap()
    }

    #[test]
    fn a_checkpoint_is_read_with_the_markets_key_and_no_other() {
        let read = |note: &str| Checkpoint::read(note, &market(), &verifier(7));
        assert_eq!(read(&signed()), Ok(checkpoint()));
        let witnessed = format!("{}\u{2014} witness.example/w AAAAAAAA\n", signed());
        assert_eq!(read(&witnessed), Ok(checkpoint()), "others may sign too");
        let other = Checkpoint::read(&signed(), &market(), &verifier(8));
        assert_eq!(other, Err(CheckpointError::NotSigned));
        let elsewhere = Checkpoint::read(&signed(), &"other".parse().unwrap(), &verifier(7));
        assert_eq!(elsewhere, Err(CheckpointError::OtherLog { origin: "skylink/main".to_owned() }));
        assert_eq!(checkpoint().sign(&key(Algorithm::Es256, 7)), Err(CheckpointError::KeyKind));
    }

    #[test]
    fn a_note_of_which_any_byte_is_changed_is_no_checkpoint() {
        let note = signed();
        for at in 0..note.len() {
            for with in [b'0', b'A', b'\n', b' '] {
                let mut bytes = note.clone().into_bytes();
                if bytes[at] == with {
                    continue;
                }
                bytes[at] = with;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                assert!(Checkpoint::read(&changed, &market(), &verifier(7)).is_err(), "{changed}");
            }
            let cut = note.get(..at);
            assert!(cut.is_none_or(|cut| Checkpoint::read(cut, &market(), &verifier(7)).is_err()), "{cut:?}");
        }
    }

    #[test]
    fn the_key_is_given_as_programs_for_notes_take_it() {
        let vkey = verifier_key(&market(), &key(Algorithm::EdDsa, 7).public()).unwrap();
        let (name, rest) = vkey.split_once('+').unwrap();
        let (id, encoded) = rest.split_once('+').unwrap();
        assert_eq!(name, "skylink/main");
        let bytes = STANDARD.decode(encoded).unwrap();
        assert_eq!((bytes[0], bytes.len()), (ED25519, 33));
        let line = signed().lines().last().unwrap().rsplit_once(' ').unwrap().1.to_owned();
        assert_eq!(hex::encode(&STANDARD.decode(line).unwrap()[..4]), id);
    }
}
