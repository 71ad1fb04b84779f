//! The language-neutral vectors in `schemas/signing`: made here, kept as files, and checked on each run.

#![allow(clippy::unwrap_used, reason = "a vector that can't be made or read fails the test")]

mod vectors {
    pub(crate) mod accepted;
    pub(crate) mod case;
    pub(crate) mod crafted;
    pub(crate) mod refused;
}

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use commands::crypto::VerifyingKey;
use commands::envelope::{self, verify_command};
use events::account::PublicKey;
use events::ids::KeyId;
use serde_json::Value;

use vectors::case::{Case, keys, market};
use vectors::{accepted, refused};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas/signing").join(name)
}

/// Compares a file with what the code makes now, or writes it when asked to.
fn golden(name: &str, made: &Value) {
    let text = format!("{made:#}\n");
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(path(name), &text).unwrap();
    }
    assert!(read(name) == *made, "{name} is not what the code makes: see its README");
}

fn read(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

fn known_keys() -> BTreeMap<KeyId, Arc<VerifyingKey>> {
    let file = read("keys.json");
    let known = file.as_array().unwrap().iter().filter(|key| key["known"] == true);
    known
        .map(|key| {
            let public: PublicKey = serde_json::from_value(key["jwk"].clone()).unwrap();
            assert_eq!(key["kid"], public.id().to_string());
            (public.id(), Arc::new(VerifyingKey::new(&public).unwrap()))
        })
        .collect()
}

/// Gives the verdict, and the fingerprint if the command is accepted.
fn judge(case: &Value) -> (String, Option<String>) {
    let times = case["times"].as_u64().unwrap_or(1);
    let text = case["text"].as_str().unwrap().repeat(times as usize);
    match verify_command(text.as_bytes(), &market(), case["arrived_as"].as_str(), &known_keys()) {
        Ok(verified) => ("accepted".to_owned(), Some(verified.stamp.fingerprint.to_string())),
        Err(refusal) => (refusal.code().to_owned(), None),
    }
}

fn made(cases: Vec<Case>) -> Value {
    let with_fingerprint = |case: Case| {
        let mut value = case.to_json();
        if let (_, Some(fingerprint)) = judge(&value) {
            value["fingerprint"] = fingerprint.into();
        }
        value
    };
    cases.into_iter().map(with_fingerprint).collect()
}

#[test]
fn the_files_are_what_the_code_makes_and_every_verdict_holds() {
    golden("keys.json", &keys());
    golden("accepted.json", &made(accepted::cases()));
    golden("refused.json", &made(refused::cases()));
    for file in ["accepted.json", "refused.json"] {
        let mut names = BTreeSet::new();
        for case in read(file).as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "two cases are named `{name}`");
            let (verdict, fingerprint) = judge(case);
            assert_eq!(verdict, case["verdict"].as_str().unwrap(), "{name}");
            assert_eq!(verdict == "accepted", file == "accepted.json", "{name}");
            assert_eq!(fingerprint.as_deref(), case["fingerprint"].as_str(), "{name}");
        }
    }
}

#[test]
fn there_are_cases_for_every_refusal_that_needs_no_state() {
    let file = read("refused.json");
    let codes: BTreeSet<&str> =
        file.as_array().unwrap().iter().map(|case| case["verdict"].as_str().unwrap()).collect();
    let expected = [
        "too_large",
        "sig_missing",
        "sig_malformed",
        "kid_unknown",
        "alg_mismatch",
        "sig_invalid",
        "aud_mismatch",
        "cmd_unknown",
        "body_invalid",
    ];
    assert_eq!(codes, BTreeSet::from(expected));
    let count = |is: &dyn Fn(&Value) -> bool| file.as_array().unwrap().iter().filter(|case| is(case)).count();
    for kty in ["OKP", "EC"] {
        let jws = count(&|case| case["key"]["kty"] == kty && case["signing_input"].is_string());
        let flat = count(&|case| case["key"]["kty"] == kty && case["canonical"].is_string());
        assert!(jws >= 80 && flat >= 20, "{jws} and {flat} cases that a key of {kty} signed");
    }
    assert!(read("accepted.json").as_array().unwrap().len() >= 12);
}

#[test]
fn a_retry_of_a_wish_has_its_fingerprint_whatever_signs_it_and_in_whichever_form() {
    let file = read("accepted.json");
    let of = |name: &str| {
        let case = file.as_array().unwrap().iter().find(|case| case["name"] == name).expect(name);
        case["fingerprint"].as_str().unwrap().to_owned()
    };
    let wish = of("EdDSA");
    for name in ["ES256", "ES256, s replaced by n - s", "signed again with new numbers", "flat form, EdDSA"] {
        assert_eq!(of(name), wish, "{name}");
    }
    assert_ne!(of("expects versions"), wish);
}

#[test]
fn the_types_in_the_vectors_are_those_of_the_envelope() {
    assert_eq!(envelope::COMMAND_TYP, vectors::case::TYP);
    assert_eq!(envelope::QUOTE_TYP, vectors::case::QUOTE_TYP);
    assert_eq!(envelope::CART_CLAIM_TYP, vectors::case::CART_CLAIM_TYP);
    assert_eq!(envelope::EXCHANGE_TYP, vectors::case::EXCHANGE_TYP);
}
