//! Checks who signed a command, on its bytes alone: no state of the market is needed, so it runs on every core.
//!
//! The order of the checks is fixed: 1 size and shape; 2 the header, nothing but what is allowed; 3 the key is known
//! and of the algorithm named; 4 the signature; 5 the signed bytes are decoded; 6 market and command are the right
//! ones. Whether the key is still active, the command fresh and its numbers unused depends on the market's state, and
//! is asked there.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use events::account::Algorithm;
use events::ids::{AccountId, CommandId, KeyId, MarketName};
use events::metadata::CommandStamp;
use events::{Hash, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::command::{COMMAND_BYTES_MAX, Command, Expected, Quote, Verified, VerifiedQuote};
use crate::crypto::VerifyingKey;
use crate::jws::Jws;
use crate::refusal::Refusal;

/// `typ` of a signed command.
pub const COMMAND_TYP: &str = "skylink-cmd+jws";
/// `typ` of a seller's quote.
pub const QUOTE_TYP: &str = "skylink-quote+jws";
/// Form of the envelope (`v`).
pub const ENVELOPE_VERSION: u64 = 1;

/// Knows the public keys that were ever registered in a market.
pub trait KeyDirectory {
    /// Gives a key, active or not: whether it is active is asked later, at a position of the log.
    fn key(&self, id: KeyId) -> Option<Arc<VerifyingKey>>;
}

impl KeyDirectory for BTreeMap<KeyId, Arc<VerifyingKey>> {
    fn key(&self, id: KeyId) -> Option<Arc<VerifyingKey>> {
        self.get(&id).cloned()
    }
}

/// A command whose signature holds, its body not understood yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Who, with which key, under which ids, and the signed bytes. `stamp.name` is a command's name.
    pub stamp: CommandStamp,
    /// The market it is for (`aud`).
    pub market: MarketName,
    /// When it was signed (`iat`).
    pub issued_at: Timestamp,
    /// When it ends to be good (`exp`).
    pub expires_at: Timestamp,
    /// The versions it expects (`if`).
    pub expected: Expected,
    /// What is asked: a JSON object.
    pub body: Value,
}

/// Checks a command on its bytes: a compact JWS, or JSON of the flat form when it begins
/// with `{`.
pub fn verify(bytes: &[u8], market: &MarketName, keys: &dyn KeyDirectory) -> Result<Envelope, Refusal> {
    if bytes.len() > COMMAND_BYTES_MAX {
        return Err(Refusal::TooLarge { size: bytes.len(), max: COMMAND_BYTES_MAX });
    }
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => Err(Refusal::SigMissing),
        Some(_) => verify_jws(bytes, market, keys),
    }
}

/// Checks a command on its bytes and reads its body. `arrived_as` is the command's name in the subject or URL it
/// arrived on, where that names one.
pub fn verify_command(
    bytes: &[u8],
    market: &MarketName,
    arrived_as: Option<&str>,
    keys: &dyn KeyDirectory,
) -> Result<Verified, Refusal> {
    let envelope = verify(bytes, market, keys)?;
    if arrived_as.is_some_and(|name| name != envelope.stamp.name) {
        return Err(Refusal::CmdUnknown { name: envelope.stamp.name });
    }
    envelope.into_command(keys)
}

fn verify_jws(bytes: &[u8], market: &MarketName, keys: &dyn KeyDirectory) -> Result<Envelope, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("a compact JWS is ASCII text"))?;
    let jws = Jws::read(text, COMMAND_TYP)?;
    let key = known_key(jws.key, Some(jws.algorithm), keys)?;
    jws.check(&key).map_err(|_| Refusal::SigInvalid)?;
    let Value::Object(payload) = jws.payload()? else {
        return Err(malformed("the payload is not a JSON object"));
    };
    Claims::read(payload)?.into_envelope(jws.key, text.to_owned(), market)
}

pub(crate) fn malformed(rule: impl Into<String>) -> Refusal {
    Refusal::SigMalformed { rule: rule.into() }
}

/// Finds a key and checks that it signs as the header says.
pub(crate) fn known_key(
    id: KeyId,
    algorithm: Option<Algorithm>,
    keys: &dyn KeyDirectory,
) -> Result<Arc<VerifyingKey>, Refusal> {
    let key = keys.key(id).ok_or(Refusal::KidUnknown)?;
    if algorithm.is_some_and(|named| named != key.algorithm()) {
        return Err(Refusal::AlgMismatch);
    }
    Ok(key)
}

/// What was signed, member by member; `aud` and `cmd` not compared with anything yet.
pub(crate) struct Claims {
    pub(crate) aud: String,
    pub(crate) body: Value,
    pub(crate) cid: CommandId,
    pub(crate) cmd: String,
    pub(crate) dev: events::ids::DeviceId,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    /// As it was written: the fingerprint tells an empty object from none.
    pub(crate) expected: Option<Value>,
    pub(crate) nonce: events::ids::Nonce,
    pub(crate) seq: u64,
    pub(crate) sub: AccountId,
}

impl Claims {
    fn read(payload: Map<String, Value>) -> Result<Claims, Refusal> {
        let mut members = Members(payload);
        if members.take("v")?.as_u64() != Some(ENVELOPE_VERSION) {
            return Err(malformed("`v` must be 1"));
        }
        let claims = Claims {
            aud: members.text("aud")?,
            body: members.take("body")?,
            cid: members.command_id("cid")?,
            cmd: members.text("cmd")?,
            dev: members.parsed("dev")?,
            exp: members.integer("exp")?,
            iat: members.integer("iat")?,
            expected: members.0.remove("if"),
            nonce: members.parsed("nonce")?,
            seq: members.seq("seq")?,
            sub: members.parsed("sub")?,
        };
        members.end()?;
        Ok(claims)
    }

    /// Compares market and name, and seals what was signed with its fingerprint.
    pub(crate) fn into_envelope(
        self,
        key: KeyId,
        signed: String,
        market: &MarketName,
    ) -> Result<Envelope, Refusal> {
        let expected = match &self.expected {
            Some(value @ Value::Object(_)) => {
                Expected::deserialize(value).map_err(|error| malformed(format!("`if`: {error}")))?
            }
            Some(_) => return Err(malformed("`if` must be an object")),
            None => Expected::default(),
        };
        if self.aud != market.as_str() {
            return Err(Refusal::AudMismatch);
        }
        if !Command::NAMES.contains(&self.cmd.as_str()) {
            return Err(Refusal::CmdUnknown { name: self.cmd.chars().take(64).collect() });
        }
        let fingerprint = self.fingerprint();
        let stamp = CommandStamp {
            account: self.sub,
            command: self.cid,
            device: self.dev,
            fingerprint,
            key,
            name: self.cmd,
            nonce: self.nonce,
            seq: self.seq,
            signed,
        };
        Ok(Envelope {
            stamp,
            market: market.clone(),
            issued_at: Timestamp::from_ms(self.iat),
            expires_at: Timestamp::from_ms(self.exp),
            expected,
            body: self.body,
        })
    }

    /// What is wished, without when: the same wish signed again has the same fingerprint.
    fn fingerprint(&self) -> Hash {
        #[derive(Serialize)]
        struct Wish<'a> {
            aud: &'a str,
            body: &'a Value,
            cid: CommandId,
            cmd: &'a str,
            #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
            expected: &'a Option<Value>,
            sub: AccountId,
        }
        let Claims { aud, body, cid, cmd, expected, sub, .. } = self;
        let wish = Wish { aud, body, cid: *cid, cmd, expected, sub: *sub };
        let canonical =
            serde_json_canonicalizer::to_vec(&wish).expect("what was read from JSON can be written as JSON");
        Hash::of(&canonical)
    }
}

/// The members of a signed object, taken out one by one; none may be left.
pub(crate) struct Members(pub(crate) Map<String, Value>);

impl Members {
    pub(crate) fn take(&mut self, name: &str) -> Result<Value, Refusal> {
        self.0.remove(name).ok_or_else(|| malformed(format!("`{name}` is missing")))
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<String, Refusal> {
        match self.take(name)? {
            Value::String(text) => Ok(text),
            _ => Err(malformed(format!("`{name}` must be a text"))),
        }
    }

    pub(crate) fn integer(&mut self, name: &str) -> Result<i64, Refusal> {
        self.take(name)?.as_i64().ok_or_else(|| malformed(format!("`{name}` must be a whole number")))
    }

    pub(crate) fn seq(&mut self, name: &str) -> Result<u64, Refusal> {
        self.take(name)?.as_u64().ok_or_else(|| malformed(format!("`{name}` must be 0 to 9007199254740991")))
    }

    /// Reads an id in its one canonical spelling, so that nothing has two names.
    pub(crate) fn parsed<T: FromStr<Err: Display> + Display>(&mut self, name: &str) -> Result<T, Refusal> {
        let text = self.text(name)?;
        let value: T = text.parse().map_err(|error| malformed(format!("`{name}`: {error}")))?;
        if value.to_string() != text {
            return Err(malformed(format!("`{name}` must be spelled `{value}`")));
        }
        Ok(value)
    }

    pub(crate) fn command_id(&mut self, name: &str) -> Result<CommandId, Refusal> {
        let id: CommandId = self.parsed(name)?;
        let is_rfc_9562 = id.uuid().get_variant() == uuid::Variant::RFC4122;
        if id.time().is_none() || !is_rfc_9562 {
            return Err(malformed(format!("`{name}` must be a UUIDv7")));
        }
        Ok(id)
    }

    pub(crate) fn end(&self) -> Result<(), Refusal> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => {
                let name: String = name.chars().take(64).collect();
                Err(malformed(format!("member `{name}` has no place here")))
            }
        }
    }
}

impl Envelope {
    /// Reads the body and whatever is signed inside it: quotes of sellers, keys to be registered.
    pub fn into_command(self, keys: &dyn KeyDirectory) -> Result<Verified, Refusal> {
        let Envelope { stamp, market, issued_at, expires_at, expected, body } = self;
        if !body.is_object() {
            return Err(Refusal::BodyInvalid { rule: "the body must be a JSON object".to_owned() });
        }
        let command = Command::parse(&stamp.name, &body)?;
        let mut quotes = Vec::new();
        match &command {
            Command::PlaceOrder(order) => {
                for (index, line) in order.lines.iter().enumerate() {
                    let quote = line.quote.as_deref().map(|text| verify_quote(text, &market, keys));
                    quotes.push(quote.transpose().map_err(|rule| Refusal::BodyInvalid {
                        rule: format!("lines[{index}].quote: {rule}"),
                    })?);
                }
            }
            Command::RegisterDevice(device) => {
                VerifyingKey::new(&device.key)
                    .map_err(|error| Refusal::BodyInvalid { rule: format!("key: {error}") })?;
            }
            _ => {}
        }
        Ok(Verified { stamp, issued_at, expires_at, expected, command, quotes })
    }
}

fn verify_quote(text: &str, market: &MarketName, keys: &dyn KeyDirectory) -> Result<VerifiedQuote, String> {
    let jws = Jws::read(text, QUOTE_TYP).map_err(|error| error.to_string())?;
    let key = known_key(jws.key, Some(jws.algorithm), keys).map_err(|refusal| refusal.to_string())?;
    jws.check(&key).map_err(|error| error.to_string())?;
    let payload = jws.payload().map_err(|error| error.to_string())?;
    if !payload.is_object() {
        return Err("the payload is not a JSON object".to_owned());
    }
    let quote = Quote::deserialize(&payload).map_err(|error| error.to_string())?;
    if quote.v != 1 {
        return Err("`v` must be 1".to_owned());
    }
    if quote.aud != *market {
        return Err("it is for another market".to_owned());
    }
    Ok(VerifiedQuote { key: jws.key, quote })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use events::account::Algorithm;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::crypto::SigningKey;
    use crate::sign::{Draft, sign, sign_quote};

    const CID: &str = "0190b5a0-7c00-7000-8000-000000000001";
    const LISTING: &str = "0190b5a0-7c00-7000-8000-0000000000c1";

    fn market() -> MarketName {
        "main".parse().unwrap()
    }

    fn key(algorithm: Algorithm, seed: u8) -> SigningKey {
        SigningKey::from_seed(algorithm, [seed; 32]).unwrap()
    }

    fn directory(keys: &[&SigningKey]) -> BTreeMap<KeyId, Arc<VerifyingKey>> {
        keys.iter().map(|key| (key.id(), Arc::new(VerifyingKey::new(&key.public()).unwrap()))).collect()
    }

    fn draft(name: &str, body: Value) -> Draft {
        Draft {
            market: market(),
            account: "0190b5a0-7c00-7000-8000-0000000000a1".parse().unwrap(),
            device: "0190b5a0-7c00-7000-8000-0000000000d1".parse().unwrap(),
            command_id: CID.parse().unwrap(),
            seq: 7,
            nonce: "AAECAwQFBgcICQoLDA0ODw".parse().unwrap(),
            issued_at: Timestamp::from_ms(1_753_783_200_000),
            expires_at: Timestamp::from_ms(1_753_783_260_000),
            expected: Expected::default(),
            command: Command::parse(name, &body).unwrap(),
        }
    }

    fn add_to_cart() -> Draft {
        draft("cart.add", json!({"listing": LISTING, "quantity": 2}))
    }

    fn place_order(quote: Option<String>) -> Draft {
        let mut line = json!({"listing": LISTING, "quantity": 2});
        if let Some(quote) = quote {
            line["quote"] = quote.into();
        }
        let total = json!({"minor": 9999, "currency": "USD"});
        draft("order.place", json!({"lines": [line], "payment_method": "wallet", "total": total}))
    }

    fn quote() -> Quote {
        let quote = json!({
            "v": 1, "aud": "main", "buyer": "0190b5a0-7c00-7000-8000-0000000000a1", "exp": 1_753_783_260_000u64,
            "listing": LISTING, "quantity": 2, "total": {"minor": 9000, "currency": "USD"},
        });
        Quote::deserialize(&quote).unwrap()
    }

    fn both() -> [SigningKey; 2] {
        [key(Algorithm::EdDsa, 1), key(Algorithm::Es256, 1)]
    }

    #[test]
    fn a_command_signed_with_either_algorithm_is_read_back_whole() {
        for key in both() {
            let draft = Draft { expected: Expected { cart: Some(3), listing: None }, ..add_to_cart() };
            let signed = sign(&draft, &key);
            let verified =
                verify_command(signed.as_bytes(), &market(), Some("cart.add"), &directory(&[&key])).unwrap();
            assert_eq!(verified.command, draft.command);
            assert_eq!(verified.expected, draft.expected);
            assert_eq!((verified.issued_at, verified.expires_at), (draft.issued_at, draft.expires_at));
            assert_eq!(verified.quotes, []);
            let stamp = verified.stamp;
            assert_eq!(
                (stamp.account, stamp.device, stamp.command),
                (draft.account, draft.device, draft.command_id)
            );
            assert_eq!((stamp.seq, stamp.nonce, stamp.key), (7, draft.nonce, key.id()));
            assert_eq!((stamp.name.as_str(), stamp.signed), ("cart.add", signed));
        }
    }

    fn fingerprint(draft: &Draft) -> Hash {
        let key = key(Algorithm::EdDsa, 1);
        verify(sign(draft, &key).as_bytes(), &market(), &directory(&[&key])).unwrap().stamp.fingerprint
    }

    #[test]
    fn the_fingerprint_is_of_the_wish_and_not_of_its_signing() {
        let first = add_to_cart();
        let canonical = format!(
            r#"{{"aud":"main","body":{{"listing":"{LISTING}","quantity":2}},"cid":"{CID}","cmd":"cart.add","sub":"0190b5a0-7c00-7000-8000-0000000000a1"}}"#
        );
        assert_eq!(fingerprint(&first), Hash::of(canonical.as_bytes()));
        let again = Draft {
            seq: 8,
            nonce: events::ids::Nonce([9; 16]),
            issued_at: Timestamp::from_ms(1),
            expires_at: Timestamp::from_ms(2),
            ..first.clone()
        };
        assert_eq!(fingerprint(&again), fingerprint(&first));
        let expecting = Draft { expected: Expected { cart: Some(1), listing: None }, ..first.clone() };
        let more = draft("cart.add", json!({"listing": LISTING, "quantity": 3}));
        for other in [expecting, more] {
            assert_ne!(fingerprint(&other), fingerprint(&first));
        }
    }

    #[test]
    fn checks_come_in_their_order() {
        let (known, stranger) = (key(Algorithm::EdDsa, 1), key(Algorithm::EdDsa, 2));
        let keys = directory(&[&known]);
        let elsewhere: MarketName = "elsewhere".parse().unwrap();
        let code = |text: &str, market: &MarketName, name: Option<&str>| {
            verify_command(text.as_bytes(), market, name, &keys).unwrap_err().code()
        };
        let good = sign(&add_to_cart(), &known);
        let (head, _) = good.rsplit_once('.').unwrap();
        let (_, other) = sign(&place_order(None), &known)
            .rsplit_once('.')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        assert_eq!(code(&"x".repeat(COMMAND_BYTES_MAX + 1), &market(), None), "too_large");
        assert_eq!(code("", &market(), None), "sig_missing");
        assert_eq!(code(head, &market(), None), "sig_missing");
        assert_eq!(code(&format!("{head}.AAAA"), &market(), None), "sig_malformed");
        assert_eq!(code(&sign(&add_to_cart(), &stranger), &elsewhere, None), "kid_unknown");
        assert_eq!(code(&format!("{head}.{other}"), &elsewhere, None), "sig_invalid");
        assert_eq!(code(&good, &elsewhere, Some("cart.remove")), "aud_mismatch");
        assert_eq!(code(&good, &market(), Some("cart.remove")), "cmd_unknown");
    }

    #[test]
    fn the_algorithm_is_pinned_to_the_key() {
        let (ed, es) = (key(Algorithm::EdDsa, 1), key(Algorithm::Es256, 1));
        let header = format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"{COMMAND_TYP}"}}"#, es.id());
        let signed = sign(&add_to_cart(), &ed);
        let (_, rest) = signed.split_once('.').unwrap();
        let text = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header));
        let refusal = verify(text.as_bytes(), &market(), &directory(&[&ed, &es])).unwrap_err();
        assert_eq!(refusal, Refusal::AlgMismatch);
    }

    #[test]
    fn a_sellers_quote_is_checked_with_the_order_and_named_by_its_line_when_it_fails() {
        let (buyer, seller) = (key(Algorithm::EdDsa, 1), key(Algorithm::Es256, 2));
        let keys = directory(&[&buyer, &seller]);
        let place = |quote: String| {
            verify_command(sign(&place_order(Some(quote)), &buyer).as_bytes(), &market(), None, &keys)
        };
        let verified = place(sign_quote(&quote(), &seller)).unwrap();
        assert_eq!(verified.quotes, [Some(VerifiedQuote { key: seller.id(), quote: quote() })]);
        let elsewhere = Quote { aud: "elsewhere".parse().unwrap(), ..quote() };
        let newer = Quote { v: 2, ..quote() };
        let good = sign_quote(&quote(), &seller);
        let (head, _) = good.rsplit_once('.').unwrap();
        let longer = sign_quote(&Quote { exp: Timestamp::from_ms(i64::MAX >> 11), ..quote() }, &seller);
        let (_, other_signature) = longer.rsplit_once('.').unwrap();
        for bad in [
            sign_quote(&elsewhere, &seller),
            sign_quote(&newer, &seller),
            sign_quote(&quote(), &key(Algorithm::EdDsa, 9)),
            sign(&add_to_cart(), &seller),
            format!("{head}.{other_signature}"),
            "cheap".to_owned(),
        ] {
            let Err(Refusal::BodyInvalid { rule }) = place(bad.clone()) else { panic!("{bad} was taken") };
            assert!(rule.starts_with("lines[0].quote: "), "{rule}");
        }
        let plain = sign(&place_order(None), &buyer);
        assert_eq!(verify_command(plain.as_bytes(), &market(), None, &keys).unwrap().quotes, [None]);
    }

    #[test]
    fn a_device_with_a_weak_key_is_refused() {
        let registrar = key(Algorithm::EdDsa, 1);
        let weak = events::account::PublicKey::Ed25519([0; 32]);
        let body = json!({"account": CID, "device": CID, "key": weak});
        let signed = sign(&draft("device.register", body), &registrar);
        let refusal =
            verify_command(signed.as_bytes(), &market(), None, &directory(&[&registrar])).unwrap_err();
        assert_eq!(
            refusal,
            Refusal::BodyInvalid { rule: "key: the key is weak: it has a small order".into() }
        );
    }

    proptest! {
        #[test]
        fn no_bytes_pass_or_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let key = key(Algorithm::EdDsa, 1);
            prop_assert!(verify(&bytes, &market(), &directory(&[&key])).is_err());
        }

        #[test]
        fn a_changed_byte_never_passes(at in any::<prop::sample::Index>(), to in any::<u8>(), es256 in any::<bool>()) {
            let key = &both()[usize::from(es256)];
            let good = sign(&place_order(None), key).into_bytes();
            let mut bytes = good.clone();
            let at = at.index(bytes.len());
            bytes[at] = to;
            let verdict = verify(&bytes, &market(), &directory(&[key]));
            prop_assert_eq!(verdict.is_ok(), bytes == good);
        }

        #[test]
        fn a_shortened_command_never_passes(end in any::<prop::sample::Index>()) {
            let key = key(Algorithm::EdDsa, 1);
            let good = sign(&place_order(None), &key).into_bytes();
            let end = end.index(good.len());
            prop_assert!(verify(&good[..end], &market(), &directory(&[&key])).is_err());
        }
    }
}
