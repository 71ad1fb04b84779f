//! Signs commands, quotes and claims to carts, as clients do.

use events::Timestamp;
use events::ids::{AccountId, CommandId, DeviceId, MarketName, Nonce};
use serde::Serialize;
use serde_json::Value;

use crate::command::{CartClaim, Command, DeviceProof, ExchangeQuote, Expected, Quote};
use crate::crypto::SigningKey;
use crate::envelope::{
    CART_CLAIM_TYP, COMMAND_TYP, DEVICE_PROOF_TYP, ENVELOPE_VERSION, EXCHANGE_TYP, QUOTE_TYP,
};
use crate::jws;

/// A command before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The market it is for.
    pub market: MarketName,
    /// Who gives it.
    pub account: AccountId,
    /// From which device.
    pub device: DeviceId,
    /// The wish's id: a UUIDv7 made when the person acts, and kept when the wish is signed again.
    pub command_id: CommandId,
    /// The key's next number, up to 2^53 − 1.
    pub seq: u64,
    /// 16 random bytes, new for each signature.
    pub nonce: Nonce,
    /// When it is signed.
    pub issued_at: Timestamp,
    /// When it ends to be good.
    pub expires_at: Timestamp,
    /// The versions it expects.
    pub expected: Expected,
    /// What is asked.
    pub command: Command,
}

#[derive(Serialize)]
struct Payload<'a> {
    aud: &'a MarketName,
    body: Value,
    cid: CommandId,
    cmd: &'a str,
    dev: DeviceId,
    exp: Timestamp,
    iat: Timestamp,
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    expected: Option<Expected>,
    nonce: Nonce,
    seq: u64,
    sub: AccountId,
    v: u64,
}

/// Signs a command as a compact JWS.
pub fn sign(draft: &Draft, key: &SigningKey) -> String {
    sign_as(draft, draft.command.name(), draft.command.body(), key)
}

/// Signs something other than a command, with the ids and times of a draft whose command is not looked at (see
/// [`crate::envelope::verify_request`]).
pub fn sign_request(draft: &Draft, name: &str, body: Value, key: &SigningKey) -> String {
    sign_as(draft, name, body, key)
}

fn sign_as(draft: &Draft, name: &str, body: Value, key: &SigningKey) -> String {
    let payload = Payload {
        aud: &draft.market,
        body,
        cid: draft.command_id,
        cmd: name,
        dev: draft.device,
        exp: draft.expires_at,
        iat: draft.issued_at,
        expected: (draft.expected != Expected::default()).then_some(draft.expected),
        nonce: draft.nonce,
        seq: draft.seq,
        sub: draft.account,
        v: ENVELOPE_VERSION,
    };
    jws::sign(COMMAND_TYP, &payload, key)
}

/// Signs a seller's quote as a compact JWS.
pub fn sign_quote(quote: &Quote, key: &SigningKey) -> String {
    jws::sign(QUOTE_TYP, quote, key)
}

/// Signs a claim to a cart as a compact JWS.
pub fn sign_cart_claim(claim: &CartClaim, key: &SigningKey) -> String {
    jws::sign(CART_CLAIM_TYP, claim, key)
}

/// Signs a provider's offer to exchange as a compact JWS.
pub fn sign_exchange_quote(quote: &ExchangeQuote, key: &SigningKey) -> String {
    jws::sign(EXCHANGE_TYP, quote, key)
}

/// Signs the word that a key is to be a device's, with that key, as a compact JWS.
pub fn prove_device(market: &MarketName, account: AccountId, device: DeviceId, key: &SigningKey) -> String {
    let proof = DeviceProof { account, aud: market.clone(), device, key: key.id(), v: 1 };
    jws::sign(DEVICE_PROOF_TYP, &proof, key)
}

/// Signs a command in the flat form (see [`crate::seed_form`]); `None` if that form does not have the command.
pub fn sign_seed_form(draft: &Draft, key: &SigningKey) -> Option<String> {
    crate::seed_form::sign(draft, key)
}
