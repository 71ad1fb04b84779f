//! What a passkey signed, checked as WebAuthn Level 2, §7.2 says, on its bytes and the state alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::Hash;
use events::account::PublicKey;
use events::step_up::{Assertion, StepUpTerms};
use serde::Deserialize;

use super::Passkey;
use crate::crypto::VerifyingKey;

/// The person touched the authenticator (UP).
const PRESENT: u8 = 1;
/// The authenticator knows that it was its owner, by his finger or a PIN (UV).
const VERIFIED: u8 = 1 << 2;

/// What the browser says of the ceremony (§5.8.1). It may say more, which is not looked at.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin", default)]
    is_cross_origin: bool,
}

/// Checks that a passkey approved just this challenge, in this market, with its owner there. Says what is wrong.
pub(super) fn check(
    assertion: &Assertion,
    passkey: &Passkey,
    terms: &StepUpTerms,
    challenge: &[u8],
) -> Result<(), &'static str> {
    if !assertion.fits() {
        return Err("its parts are none of a passkey's approval");
    }
    let client: ClientData =
        serde_json::from_slice(&assertion.client_data.0).map_err(|_| "its client data can't be read")?;
    if client.kind != "webauthn.get" {
        return Err("it approves something else than a command: its type must be webauthn.get");
    }
    if client.challenge != URL_SAFE_NO_PAD.encode(challenge) {
        return Err("it approves another command: have this one's challenge signed");
    }
    let is_here = terms.origins.iter().any(|origin| origin.as_str() == client.origin);
    if !is_here || client.is_cross_origin {
        return Err("it was given on a page that is none of this market's");
    }
    let data = &assertion.authenticator_data.0;
    if data[..32] != Hash::of(terms.relying_party.as_str().as_bytes()).as_bytes()[..] {
        return Err("it was made for another domain");
    }
    let flags = data[32];
    if flags & PRESENT == 0 || flags & VERIFIED == 0 {
        return Err("the authenticator does not say that its owner was there: ask for user verification");
    }
    let count = assertion.sign_count();
    if (count != 0 || passkey.sign_count != 0) && count <= passkey.sign_count {
        return Err("the passkey has signed more than this says: it may have been copied");
    }
    check_signature(assertion, &passkey.key).ok_or("its signature is wrong")
}

/// Reads which challenge was approved.
pub(super) fn challenge_of(assertion: &Assertion) -> Option<Vec<u8>> {
    let client: ClientData = serde_json::from_slice(&assertion.client_data.0).ok()?;
    URL_SAFE_NO_PAD.decode(client.challenge).ok()
}

pub(super) fn check_signature(assertion: &Assertion, key: &PublicKey) -> Option<()> {
    let mut message = assertion.authenticator_data.0.clone();
    message.extend(Hash::of(&assertion.client_data.0).as_bytes());
    let verifying = VerifyingKey::new(key).ok()?;
    let given = &assertion.signature.0;
    match key {
        PublicKey::Ed25519(_) => verifying.verify(&message, given).ok(),
        PublicKey::P256(..) => {
            let fixed = p256::ecdsa::Signature::from_der(given).ok()?.to_bytes();
            verifying.verify(&message, &fixed).ok()
        }
    }
}
