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

use events::account::{Algorithm, PublicKey};
use events::device::{Commands, KeyScope};
use events::ids::{AccountId, CommandId, DeviceId, KeyId, MarketName, Nonce};
use events::metadata::CommandStamp;
use events::{Hash, Money, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::command::{
    COMMAND_BYTES_MAX, CartClaim, Command, DeviceProof, ExchangeQuote, Expected, MigrateCart, PlaceOrder,
    Quote, Verified, VerifiedClaim, VerifiedExchange, VerifiedQuote,
};
use crate::crypto::VerifyingKey;
use crate::jcs;
use crate::jws::Jws;
use crate::refusal::Refusal;
use crate::spelling;

/// `typ` of a signed command.
pub const COMMAND_TYP: &str = "skylink-cmd+jws";
/// `typ` of a seller's quote.
pub const QUOTE_TYP: &str = "skylink-quote+jws";
/// `typ` of a claim to a cart.
pub const CART_CLAIM_TYP: &str = "skylink-cart-claim+jws";
/// `typ` of a provider's offer to exchange.
pub const EXCHANGE_TYP: &str = "skylink-exchange+jws";
/// `typ` of a new key's proof of possession.
pub const DEVICE_PROOF_TYP: &str = "skylink-device+jws";
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

/// Checks a command on its bytes: a compact JWS, or JSON of the flat form (see [`crate::seed_form`]) when it begins
/// with `{`.
pub fn verify(bytes: &[u8], market: &MarketName, keys: &dyn KeyDirectory) -> Result<Envelope, Refusal> {
    if bytes.len() > COMMAND_BYTES_MAX {
        return Err(Refusal::TooLarge { size: bytes.len(), max: COMMAND_BYTES_MAX });
    }
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => Err(Refusal::SigMissing),
        Some(b'{') => crate::seed_form::verify(bytes, market, keys),
        Some(_) => verify_jws(bytes, market, &|name| Command::NAMES.contains(&name), keys),
    }
}

/// Tells which key a command names, without checking anything: whoever sends bytes can name any. Nothing, if it can't be read.
pub fn claimed_key(bytes: &[u8]) -> Option<KeyId> {
    #[derive(serde::Deserialize)]
    struct Flat {
        #[serde(rename = "keyId")]
        key: KeyId,
    }
    let bytes = bytes.get(..bytes.len().min(COMMAND_BYTES_MAX))?.trim_ascii_start();
    if bytes.first() == Some(&b'{') {
        return serde_json::from_slice::<Flat>(bytes).ok().map(|flat| flat.key);
    }
    crate::jws::claimed_key(std::str::from_utf8(bytes).ok()?)
}

/// Checks a compact JWS that asks for something other than a command, such as an access token, under a `name` that no
/// command has: so neither can be replayed as the other.
pub fn verify_request(
    bytes: &[u8],
    market: &MarketName,
    name: &str,
    keys: &dyn KeyDirectory,
) -> Result<Envelope, Refusal> {
    if bytes.len() > COMMAND_BYTES_MAX {
        return Err(Refusal::TooLarge { size: bytes.len(), max: COMMAND_BYTES_MAX });
    }
    verify_jws(bytes, market, &|signed| signed == name && !Command::NAMES.contains(&name), keys)
}

/// Checks a command on its bytes and reads its body. `arrived_as` is the command's name in the subject or URL it
/// arrived on, where that names one.
pub fn verify_command(
    bytes: &[u8],
    market: &MarketName,
    arrived_as: Option<&str>,
    keys: &dyn KeyDirectory,
) -> Result<Verified, Refusal> {
    verify(bytes, market, keys)?.into_command_as(arrived_as, keys)
}

fn verify_jws(
    bytes: &[u8],
    market: &MarketName,
    is_name: &dyn Fn(&str) -> bool,
    keys: &dyn KeyDirectory,
) -> Result<Envelope, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("a compact JWS is ASCII text"))?;
    let jws = Jws::read(text, COMMAND_TYP)?;
    let key = known_key(jws.key, Some(jws.algorithm), keys)?;
    jws.check(&key).map_err(|_| Refusal::SigInvalid)?;
    let Value::Object(payload) = jws.payload()? else {
        return Err(malformed("the payload is not a JSON object"));
    };
    let claims = Claims::read(payload)?;
    claims.check_aud(market)?;
    claims.check_name(is_name)?;
    Ok(claims.into_envelope(jws.key, text.to_owned(), market))
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
    pub(crate) dev: DeviceId,
    pub(crate) exp: Timestamp,
    pub(crate) iat: Timestamp,
    pub(crate) expected: Expected,
    pub(crate) nonce: Nonce,
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
            exp: members.moment("exp")?,
            iat: members.moment("iat")?,
            expected: members.expected("if")?,
            nonce: members.parsed("nonce")?,
            seq: members.seq("seq")?,
            sub: members.parsed("sub")?,
        };
        members.end()?;
        Ok(claims)
    }

    /// Checks that the command is for this market, and is one.
    pub(crate) fn check_target(&self, market: &MarketName) -> Result<(), Refusal> {
        self.check_aud(market)?;
        self.check_name(&|name| Command::NAMES.contains(&name))
    }

    fn check_aud(&self, market: &MarketName) -> Result<(), Refusal> {
        if self.aud == market.as_str() { Ok(()) } else { Err(Refusal::AudMismatch) }
    }

    fn check_name(&self, is_name: &dyn Fn(&str) -> bool) -> Result<(), Refusal> {
        if is_name(&self.cmd) {
            return Ok(());
        }
        Err(Refusal::CmdUnknown { name: self.cmd.chars().take(64).collect() })
    }

    /// Seals what was signed with its fingerprint.
    pub(crate) fn into_envelope(self, key: KeyId, signed: String, market: &MarketName) -> Envelope {
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
            step_up: None,
        };
        Envelope {
            stamp,
            market: market.clone(),
            issued_at: self.iat,
            expires_at: self.exp,
            expected: self.expected,
            body: self.body,
        }
    }

    /// What is wished, without when: the same wish signed again has the same fingerprint.
    fn fingerprint(&self) -> Hash {
        let mut canonical = Vec::with_capacity(1024);
        canonical.extend(b"{\"aud\":");
        jcs::write_plain(&self.aud, &mut canonical);
        canonical.extend(b",\"body\":");
        jcs::write(&self.body, &mut canonical);
        canonical.extend(b",\"cid\":");
        jcs::write_plain(&self.cid, &mut canonical);
        canonical.extend(b",\"cmd\":");
        jcs::write_plain(&self.cmd, &mut canonical);
        if self.expected != Expected::default() {
            canonical.extend(b",\"if\":");
            // Its members stand in the order of their names.
            jcs::write_plain(&self.expected, &mut canonical);
        }
        canonical.extend(b",\"sub\":");
        jcs::write_plain(&self.sub, &mut canonical);
        canonical.push(b'}');
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

    fn moment(&mut self, name: &str) -> Result<Timestamp, Refusal> {
        let ms = self.take(name)?.as_i64();
        ms.map(Timestamp::from_ms)
            .ok_or_else(|| malformed(format!("`{name}` must be milliseconds since 1970")))
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

    /// Reads the expected versions. There is one spelling of expecting nothing: to leave the member out.
    pub(crate) fn expected(&mut self, name: &str) -> Result<Expected, Refusal> {
        let Some(value) = self.0.remove(name) else { return Ok(Expected::default()) };
        let expected = spelling::read(&value).map_err(|rule| malformed(format!("`{name}`: {rule}")))?;
        if expected == Expected::default() {
            return Err(malformed(format!("`{name}` names no version: leave it out")));
        }
        Ok(expected)
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
    /// Reads the body as [`Envelope::into_command`] does, unless the command arrived where another belongs.
    pub fn into_command_as(
        self,
        arrived_as: Option<&str>,
        keys: &dyn KeyDirectory,
    ) -> Result<Verified, Refusal> {
        if arrived_as.is_some_and(|name| name != self.stamp.name) {
            return Err(Refusal::CmdUnknown { name: self.stamp.name });
        }
        self.into_command(keys)
    }

    /// Reads the body and whatever is signed inside it: quotes of sellers, claims to carts, offers to exchange, keys to
    /// be registered.
    pub fn into_command(self, keys: &dyn KeyDirectory) -> Result<Verified, Refusal> {
        let Envelope { stamp, market, issued_at, expires_at, expected, body } = self;
        let command = Command::parse(&stamp.name, &body)?;
        if let Command::PlaceOrder(PlaceOrder { delivery: Some(delivery), .. })
        | Command::MigrateCart(MigrateCart { delivery: Some(delivery), .. }) = &command
        {
            delivery.check_size()?;
        }
        let mut quotes = Vec::new();
        let (mut claim, mut exchange) = (None, None);
        match &command {
            Command::PlaceOrder(order) => {
                order.check_size()?;
                quotes = verify_quotes(order.lines.iter().map(|line| line.quote.as_deref()), &market, keys)?;
            }
            Command::ProposeChange(change) => {
                change.check_size()?;
                quotes = verify_quotes(change.lines.iter().map(|line| line.quote.as_deref()), &market, keys)?;
            }
            Command::MergeCart(merge) => {
                let verified = verify_claim(&merge.claim, &market, keys);
                claim = Some(verified.map_err(|rule| body_invalid(format!("claim: {rule}")))?);
            }
            Command::ExchangeMoney(asked) => {
                let verified = verify_exchange(&asked.quote, &market, keys);
                exchange = Some(verified.map_err(|rule| body_invalid(format!("quote: {rule}")))?);
            }
            Command::MigrateCart(_) if expected.cart.is_none() => {
                return Err(body_invalid(
                    "`if` must name the version of the cart that was seen: read the cart, and sign again",
                ));
            }
            Command::RegisterDevice(body) => {
                check_scope(body.scope.as_ref())?;
                let proof = body.proof.as_deref();
                check_new_key(&body.key, proof, body.account, body.device, &market)?;
            }
            Command::EnrollDevice(body) => {
                check_scope(body.scope.as_ref())?;
                check_new_key(&body.key, Some(&body.proof), stamp.account, body.device, &market)?;
            }
            Command::SetStepUpTerms(body) => {
                crate::step_up::check_terms(&body.terms, Command::NAMES)
                    .map_err(|rule| body_invalid(format!("terms: {rule}")))?;
            }
            Command::SetRiskRules(body) => {
                body.rules.check().map_err(|rule| body_invalid(format!("rules: {rule}")))?;
            }
            Command::EnrollPasskey(body) => {
                VerifyingKey::new(&body.key).map_err(|error| body_invalid(format!("key: {error}")))?;
            }
            Command::RotateDevice(body) => {
                check_new_key(&body.key, Some(&body.proof), stamp.account, stamp.device, &market)?;
            }
            _ => {}
        }
        Ok(Verified { stamp, issued_at, expires_at, expected, command, quotes, claim, exchange })
    }
}

/// Verifies the quotes of lines, in the lines' order.
fn verify_quotes<'a>(
    lines: impl Iterator<Item = Option<&'a str>>,
    market: &MarketName,
    keys: &dyn KeyDirectory,
) -> Result<Vec<Option<VerifiedQuote>>, Refusal> {
    let verified = lines.enumerate().map(|(index, quote)| {
        let quote = quote.map(|text| verify_quote(text, market, keys)).transpose();
        quote.map_err(|rule| body_invalid(format!("lines[{index}].quote: {rule}")))
    });
    verified.collect()
}

/// Checks that a key that is to be registered is one, and that its proof of possession, if there is one, is its own word for just this
/// device.
pub fn check_new_key(
    key: &PublicKey,
    proof: Option<&str>,
    account: AccountId,
    device: DeviceId,
    market: &MarketName,
) -> Result<(), Refusal> {
    let verifying = VerifyingKey::new(key).map_err(|error| body_invalid(format!("key: {error}")))?;
    let Some(proof) = proof else { return Ok(()) };
    let id = verifying.id();
    let only = BTreeMap::from([(id, Arc::new(verifying))]);
    let wrong = |rule: String| body_invalid(format!("proof: {rule}"));
    let (_, said) = verify_inner::<DeviceProof>(proof, DEVICE_PROOF_TYP, &only).map_err(wrong)?;
    check_inner(said.v, &said.aud, market).map_err(wrong)?;
    if (said.account, said.device, said.key) != (account, device, id) {
        return Err(wrong("it names another account, device or key".to_owned()));
    }
    Ok(())
}

/// Checks that a scope says something, and of commands that there are.
fn check_scope(scope: Option<&KeyScope>) -> Result<(), Refusal> {
    let Some(scope) = scope else { return Ok(()) };
    if !scope.is_valid() {
        let rule = format!(
            "scope: name 1 to {} commands or 1 to {} currencies, with 0 to {} minor units each, or leave it out",
            KeyScope::COMMANDS_MAX,
            KeyScope::CURRENCIES_MAX,
            Money::MINOR_MAX
        );
        return Err(body_invalid(rule));
    }
    let is_known = |commands: &&Commands| Command::NAMES.iter().any(|name| commands.has(name));
    match scope.commands.iter().find(|commands| !is_known(commands)) {
        Some(unknown) => Err(body_invalid(format!("scope: there is no command `{unknown}`"))),
        None => Ok(()),
    }
}

fn body_invalid(rule: impl Into<String>) -> Refusal {
    Refusal::BodyInvalid { rule: rule.into() }
}

fn verify_quote(text: &str, market: &MarketName, keys: &dyn KeyDirectory) -> Result<VerifiedQuote, String> {
    let (key, quote) = verify_inner::<Quote>(text, QUOTE_TYP, keys)?;
    check_inner(quote.v, &quote.aud, market)?;
    Ok(VerifiedQuote { key, quote })
}

fn verify_claim(text: &str, market: &MarketName, keys: &dyn KeyDirectory) -> Result<VerifiedClaim, String> {
    let (key, claim) = verify_inner::<CartClaim>(text, CART_CLAIM_TYP, keys)?;
    check_inner(claim.v, &claim.aud, market)?;
    Ok(VerifiedClaim { key, claim })
}

fn verify_exchange(
    text: &str,
    market: &MarketName,
    keys: &dyn KeyDirectory,
) -> Result<VerifiedExchange, String> {
    let (key, quote) = verify_inner::<ExchangeQuote>(text, EXCHANGE_TYP, keys)?;
    check_inner(quote.v, &quote.aud, market)?;
    Ok(VerifiedExchange { key, quote })
}

/// Checks something signed inside a command, and gives the key that signed it.
fn verify_inner<T: DeserializeOwned + Serialize>(
    text: &str,
    typ: &str,
    keys: &dyn KeyDirectory,
) -> Result<(KeyId, T), String> {
    let jws = Jws::read(text, typ).map_err(|error| error.to_string())?;
    let key = known_key(jws.key, Some(jws.algorithm), keys).map_err(|refusal| refusal.to_string())?;
    jws.check(&key).map_err(|error| error.to_string())?;
    let payload = jws.payload().map_err(|error| error.to_string())?;
    Ok((jws.key, spelling::read(&payload)?))
}

fn check_inner(v: u8, aud: &MarketName, market: &MarketName) -> Result<(), String> {
    if v != 1 {
        return Err("`v` must be 1".to_owned());
    }
    if aud != market {
        return Err("it is for another market".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
