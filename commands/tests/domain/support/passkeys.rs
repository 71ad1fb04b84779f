//! Passkeys of people, and what they approve.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commands::Command;
use commands::command::{EnrollPasskey, RemovePasskey};
use commands::crypto::SigningKey;
use events::Hash;
use events::account::Algorithm;
use events::step_up::{Assertion, Base64Url, CredentialId};
use serde_json::json;

use super::Actor;

/// Where the pages of the market come from.
pub const ORIGIN: &str = "https://market.example";
/// The domain that its passkeys are made for.
pub const DOMAIN: &str = "market.example";

/// A passkey, made by nothing but these tests.
pub struct Authenticator {
    pub key: SigningKey,
    algorithm: Algorithm,
}

/// What of an approval is to be otherwise.
#[derive(Clone)]
pub struct Ceremony {
    pub kind: &'static str,
    pub origin: &'static str,
    pub domain: &'static str,
    pub flags: u8,
    pub count: u32,
    pub is_cross_origin: bool,
}

pub const GOOD: Ceremony = Ceremony {
    kind: "webauthn.get",
    origin: ORIGIN,
    domain: DOMAIN,
    flags: 0b101,
    count: 0,
    is_cross_origin: false,
};

impl Authenticator {
    pub fn new(algorithm: Algorithm, seed: u8) -> Authenticator {
        Authenticator { key: SigningKey::from_seed(algorithm, [seed; 32]).unwrap(), algorithm }
    }

    pub fn credential(&self) -> CredentialId {
        URL_SAFE_NO_PAD.encode(self.key.id().0).parse().unwrap()
    }

    pub fn enroll(&self) -> Command {
        EnrollPasskey { credential: self.credential(), key: self.key.public() }.into()
    }

    pub fn remove(&self, account: Option<Actor>) -> Command {
        RemovePasskey { account: account.map(Actor::account), credential: self.credential() }.into()
    }

    pub fn approve(&self, challenge: Hash, ceremony: &Ceremony) -> Assertion {
        self.approve_bytes(challenge.as_bytes(), ceremony)
    }

    pub fn approve_bytes(&self, challenge: &[u8], ceremony: &Ceremony) -> Assertion {
        let mut data = Hash::of(ceremony.domain.as_bytes()).as_bytes().to_vec();
        data.push(ceremony.flags);
        data.extend(ceremony.count.to_be_bytes());
        let client = json!({
            "type": ceremony.kind,
            "challenge": URL_SAFE_NO_PAD.encode(challenge),
            "origin": ceremony.origin,
            "crossOrigin": ceremony.is_cross_origin,
            "other_keys_can_be_added_here": "do not compare clientDataJSON against a template",
        });
        let client = client.to_string().into_bytes();
        let mut message = data.clone();
        message.extend(Hash::of(&client).as_bytes());
        let signature = self.key.sign(&message);
        let signature = match self.algorithm {
            Algorithm::EdDsa => signature.to_vec(),
            Algorithm::Es256 => {
                p256::ecdsa::Signature::from_slice(&signature).unwrap().to_der().as_bytes().to_vec()
            }
        };
        Assertion {
            authenticator_data: Base64Url(data),
            client_data: Base64Url(client),
            credential: self.credential(),
            signature: Base64Url(signature),
        }
    }
}
