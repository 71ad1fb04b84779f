//! Compact JWS (RFC 7515) with a closed header: exactly `alg`, `kid` and `typ`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::account::Algorithm;
use events::ids::KeyId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crypto::{SIGNATURE_BYTES, SignatureError, SigningKey, VerifyingKey};
use crate::refusal::Refusal;
use crate::{jcs, json};

/// The header of everything that is signed here. A member that could say where to find a key (`jwk`, `jku`, `x5c`) or
/// how else to read the payload (`crit`, `b64`) has no place in it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    kid: KeyId,
    #[serde(borrow)]
    typ: Cow<'a, str>,
}

/// A compact JWS of the right form whose signature is not checked yet.
#[derive(Debug)]
pub(crate) struct Jws<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: KeyId,
    payload: &'a str,
    signature: [u8; SIGNATURE_BYTES],
    signing_input: &'a str,
}

/// Why a text is no compact JWS of the form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwsError {
    #[error("it has no signature")]
    NoSignature,
    #[error("{0}")]
    Malformed(String),
}

impl From<JwsError> for Refusal {
    fn from(error: JwsError) -> Refusal {
        match error {
            JwsError::NoSignature => Refusal::SigMissing,
            JwsError::Malformed(rule) => Refusal::SigMalformed { rule },
        }
    }
}

fn malformed(rule: impl Into<String>) -> JwsError {
    JwsError::Malformed(rule.into())
}

/// Decodes base64url without padding, in its one canonical spelling.
pub(crate) fn decode(what: &str, text: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(text).map_err(|error| format!("{what} is not base64url without padding: {error}"))
}

/// Decodes a signature of 64 bytes.
pub(crate) fn decode_signature(text: &str) -> Result<[u8; SIGNATURE_BYTES], String> {
    let signature = decode("the signature", text)?;
    let size = signature.len();
    signature.try_into().map_err(|_| format!("a signature has {SIGNATURE_BYTES} bytes, this one {size}"))
}

impl<'a> Jws<'a> {
    /// Reads the form and the header.
    pub(crate) fn read(text: &'a str, typ: &str) -> Result<Jws<'a>, JwsError> {
        let Some((header, rest)) = text.split_once('.') else {
            return Err(malformed("a compact JWS has three parts with points between them"));
        };
        let (payload, signature) = rest.split_once('.').unwrap_or((rest, ""));
        if signature.is_empty() {
            return Err(JwsError::NoSignature);
        }
        let signature = decode_signature(signature).map_err(malformed)?;
        let header = decode("the header", header).map_err(malformed)?;
        if header.first() != Some(&b'{') {
            return Err(malformed("the header is not a JSON object"));
        }
        let header: Header<'_> =
            serde_json::from_slice(&header).map_err(|error| malformed(format!("header: {error}")))?;
        if header.typ != typ {
            return Err(malformed(format!("header: `typ` must be `{typ}`")));
        }
        let algorithm = match header.alg.as_ref() {
            "EdDSA" => Algorithm::EdDsa,
            "ES256" => Algorithm::Es256,
            _ => return Err(malformed("header: `alg` must be `EdDSA` or `ES256`")),
        };
        let signing_input = &text[..text.rfind('.').unwrap_or_default()];
        Ok(Jws { algorithm, key: header.kid, payload, signature, signing_input })
    }

    /// Checks the signature. That `key` is the one the header names, and of its algorithm, is for the caller.
    pub(crate) fn check(&self, key: &VerifyingKey) -> Result<(), SignatureError> {
        key.verify(self.signing_input.as_bytes(), &self.signature)
    }

    /// Decodes the payload: the bytes that were signed, and no others.
    pub(crate) fn payload(&self) -> Result<Value, JwsError> {
        let payload = decode("the payload", self.payload).map_err(malformed)?;
        json::parse(&payload).map_err(|error| malformed(format!("payload: {error}")))
    }
}

/// Tells which key the header of a compact JWS names, without checking anything.
pub(crate) fn claimed_key(text: &str) -> Option<KeyId> {
    let header = URL_SAFE_NO_PAD.decode(text.split_once('.')?.0).ok()?;
    serde_json::from_slice::<Header<'_>>(&header).ok().map(|header| header.kid)
}

/// Signs a payload.
pub(crate) fn sign(typ: &str, payload: &impl Serialize, key: &SigningKey) -> String {
    let alg = match key.public().algorithm() {
        Algorithm::EdDsa => "EdDSA",
        Algorithm::Es256 => "ES256",
    };
    let header = Header { alg: alg.into(), kid: key.id(), typ: typ.into() };
    let mut text = URL_SAFE_NO_PAD.encode(jcs::of(&header));
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(jcs::of(payload), &mut text);
    let signature = key.sign(text.as_bytes());
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    text
}
