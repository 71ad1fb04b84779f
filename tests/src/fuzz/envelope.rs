//! Signed commands: as they arrive, and with a good signature over whatever was signed.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commands::crypto::{SigningKey, VerifyingKey};
use commands::envelope::{COMMAND_TYP, QUOTE_TYP, claimed_key, verify, verify_command, verify_request};
use commands::refusal::Refusal;
use events::account::Algorithm;
use events::ids::{KeyId, MarketName};
use serde_json::{Value, json};

use crate::log_contract::market;

/// The keys of `schemas/signing/keys.json` that the market knows.
static KEYS: LazyLock<[SigningKey; 2]> = LazyLock::new(|| {
    [(Algorithm::EdDsa, 1), (Algorithm::Es256, 2)]
        .map(|(algorithm, seed)| SigningKey::from_seed(algorithm, [seed; 32]).expect("it is a scalar"))
});

static KNOWN: LazyLock<BTreeMap<KeyId, Arc<VerifyingKey>>> = LazyLock::new(|| {
    let known = KEYS.iter().map(|key| {
        let verifying = VerifyingKey::new(&key.public()).expect("it is a good key");
        (key.id(), Arc::new(verifying))
    });
    known.collect()
});

static MARKET: LazyLock<MarketName> = LazyLock::new(market);

/// Whatever arrives is refused, or it is a command that says the same when what the log keeps of it is read again.
pub(super) fn any_bytes(bytes: &[u8]) {
    // What it is refused for is for the vectors to say; here it must be for something.
    let _ = judge(bytes);
    let _ = claimed_key(bytes);
    if let Ok(envelope) = verify_request(bytes, &MARKET, "access.token", &*KNOWN) {
        assert_eq!(envelope.stamp.name, "access.token");
    }
}

fn judge(bytes: &[u8]) -> Result<(), Refusal> {
    let envelope = verify(bytes, &MARKET, &*KNOWN)?;
    let kept = verify(envelope.stamp.signed.as_bytes(), &MARKET, &*KNOWN);
    assert_eq!(kept.as_ref(), Ok(&envelope), "what the log keeps is the command");
    let name = envelope.stamp.name.clone();
    let verified = envelope.into_command(&*KNOWN)?;
    assert_eq!(verified.command.name(), name);
    let elsewhere = verify_command(bytes, &MARKET, Some("no.command"), &*KNOWN);
    assert!(matches!(elsewhere, Err(Refusal::CmdUnknown { .. })));
    Ok(())
}

/// How an input begins that P-256 signs.
const WITH_P256: u8 = 7;

/// Chooses the key that signs by the first byte of an input.
fn key_of(how: u8) -> &'static SigningKey {
    // One of P-256 takes several times as long, so there are fewer of it.
    &KEYS[usize::from(how & WITH_P256 == WITH_P256)]
}

/// The first byte says which key signs and what it says that it signs; the rest is the payload.
pub(super) fn signed_payload(input: &[u8]) {
    let Some((how, payload)) = input.split_first() else { return };
    let key = key_of(*how);
    let typ = if how & 8 == 0 { COMMAND_TYP } else { QUOTE_TYP };
    let text = compact(key, typ, payload);
    let verdict = judge(text.as_bytes());
    assert_eq!(claimed_key(text.as_bytes()), Some(key.id()));
    // The signature is good, so nothing is refused for it.
    assert!(!matches!(verdict, Err(Refusal::SigInvalid | Refusal::KidUnknown | Refusal::AlgMismatch)));
    assert!(typ == COMMAND_TYP || verdict.is_err(), "a quote is no command");
    assert!(verdict.is_err() || strict(payload).is_some(), "JSON of the profile only");
}

fn compact(key: &SigningKey, typ: &str, payload: &[u8]) -> String {
    let alg = match key.public().algorithm() {
        Algorithm::EdDsa => "EdDSA",
        Algorithm::Es256 => "ES256",
    };
    let header = format!(r#"{{"alg":"{alg}","kid":"{}","typ":"{typ}"}}"#, key.id());
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()));
    format!("{input}.{signature}")
}

/// An object of the flat form is signed over its canonical form as another program writes it; so it is never refused for
/// its signature.
pub(super) fn flat_form(input: &[u8]) {
    let Some((how, text)) = input.split_first() else { return };
    let _ = judge(text);
    let key = key_of(*how);
    let Ok(Value::Object(mut object)) = serde_json::from_slice(text) else { return };
    object.remove("signature");
    object.insert("keyId".to_owned(), json!(key.id()));
    let Ok(canonical) = serde_json_canonicalizer::to_string(&object) else { return };
    object.insert("signature".to_owned(), URL_SAFE_NO_PAD.encode(key.sign(canonical.as_bytes())).into());
    let Ok(signed) = serde_json_canonicalizer::to_string(&object) else { return };
    let verdict = judge(signed.as_bytes());
    assert!(!matches!(verdict, Err(Refusal::SigInvalid)), "two canonical forms of {signed}");
}

/// What is JSON of the profile is JSON, and says the same to another parser.
pub(super) fn json(bytes: &[u8]) {
    let Some(value) = strict(bytes) else { return };
    let other: Value = serde_json::from_slice(bytes).expect("what is strict JSON is JSON");
    assert_eq!(value, other);
    let canonical = serde_json_canonicalizer::to_string(&value).expect("it has a canonical form");
    assert_eq!(strict(canonical.as_bytes()), Some(value));
}

fn strict(bytes: &[u8]) -> Option<Value> {
    commands::json::parse(bytes).ok()
}

fn cases() -> impl Iterator<Item = Value> {
    ["accepted.json", "refused.json"].into_iter().flat_map(|name| {
        let path = super::root().join("schemas/signing").join(name);
        let text = std::fs::read_to_string(path).expect("the vectors are part of the project");
        serde_json::from_str::<Vec<Value>>(&text).expect("the vectors are a list")
    })
}

/// The texts of all vectors for signed commands.
pub(super) fn vectors() -> Vec<Vec<u8>> {
    let texts = cases().filter(|case| case["times"].is_null());
    texts.filter_map(|case| Some(case["text"].as_str()?.as_bytes().to_vec())).collect()
}

/// Gives the first byte of an input that is signed as a vector is.
fn how_of(case: &Value) -> u8 {
    if case["key"]["kty"] == "EC" { WITH_P256 } else { 0 }
}

/// The payloads of all vectors, behind how each is signed.
pub(super) fn payloads() -> Vec<Vec<u8>> {
    let payloads = cases().filter_map(|case| {
        let how = how_of(&case);
        Some([&[how], case["payload"].as_str()?.as_bytes()].concat())
    });
    payloads.collect()
}

/// The objects of all vectors of the flat form, behind how each is signed.
pub(super) fn flat_objects() -> Vec<Vec<u8>> {
    let objects = cases().filter_map(|case| {
        let text = case["text"].as_str()?.trim_start();
        let how = how_of(&case);
        text.starts_with('{').then(|| [&[how], text.as_bytes()].concat())
    });
    objects.collect()
}
