//! Signing wishes with stored keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use commands::Command;
use commands::command::{ClearCart, Expected};
use commands::crypto::VerifyingKey;
use commands::personal::Personal;
use commands::sign::{Draft, sign, sign_request, sign_seed_form};
use engine::keystore::{KeyStore, StoredKey};
use events::ids::{CommandId, MarketName};
use events::{Hash, Timestamp};
use gateway::token::TOKEN_REQUEST;
use serde_json::json;
use uuid::Uuid;

/// What somebody wishes, before it is signed. Signed again, it is still the same wish.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// The command.
    pub(crate) command: Command,
    /// Its id.
    pub(crate) command_id: CommandId,
    /// The versions it expects.
    pub(crate) expected: Expected,
    /// What is personal and goes beside it.
    pub(crate) personal: Vec<Personal>,
}

impl Wish {
    /// Makes a wish with an id of its own.
    pub(crate) fn new(command: impl Into<Command>) -> Wish {
        let command_id = CommandId::from_uuid(Uuid::now_v7());
        Wish { command: command.into(), command_id, expected: Expected::default(), personal: Vec::new() }
    }
}

/// The two forms of a signed command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A compact JWS.
    Jws,
    /// One flat JSON object with its signature.
    Flat,
}

/// A signed wish.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    /// What is sent.
    pub(crate) bytes: String,
    /// What a receipt must say of it.
    pub(crate) fingerprint: Hash,
}

/// Signs a wish: takes the key's next number and a new nonce. `now` is the market's time.
pub(crate) fn sign_wish(
    store: &KeyStore,
    key: &StoredKey,
    market: &MarketName,
    wish: &Wish,
    form: Form,
    now: Timestamp,
) -> anyhow::Result<Signed> {
    let draft = draft(store, key, market, wish, now)?;
    let bytes = match form {
        Form::Jws => sign(&draft, &key.signing()),
        Form::Flat => sign_seed_form(&draft, &key.signing()).with_context(|| {
            format!("the flat form has no command `{}`: leave out --seed-form", wish.command.name())
        })?,
    };
    // What the market will check is checked here first, with the same code.
    let verifying = VerifyingKey::new(&key.public())?;
    let directory = BTreeMap::from([(verifying.id(), Arc::new(verifying))]);
    let envelope = commands::envelope::verify(bytes.as_bytes(), market, &directory)
        .context("the market would not take this command")?;
    Ok(Signed { fingerprint: envelope.stamp.fingerprint, bytes })
}

/// Signs the request for an access token that is good for some seconds.
pub(crate) fn sign_token_request(
    store: &KeyStore,
    key: &StoredKey,
    market: &MarketName,
    ttl_s: u64,
    now: Timestamp,
) -> anyhow::Result<String> {
    // A request has what a command has, but for the command.
    let draft = draft(store, key, market, &Wish::new(ClearCart::default()), now)?;
    Ok(sign_request(&draft, TOKEN_REQUEST, json!({ "ttl_s": ttl_s }), &key.signing()))
}

fn draft(
    store: &KeyStore,
    key: &StoredKey,
    market: &MarketName,
    wish: &Wish,
    now: Timestamp,
) -> anyhow::Result<Draft> {
    let draft = store.draft(key, market, wish.command_id, wish.command.clone(), now)?;
    Ok(Draft { expected: wish.expected, ..draft })
}
