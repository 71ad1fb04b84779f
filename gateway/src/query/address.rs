//! Addresses that only sellers can read: with which key they are encrypted, and where an order goes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commands::Refusal;
use commands::personal::{Personal, address_name};
use engine::vault::VaultError;
use events::Hash;
use events::ids::{AccountId, CommandId, OrderId};
use events::privacy::EncryptionKey;
use projections::account::SealedAddress;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Answer, Params, PathParts, ask, id_of};
use crate::http::App;
use crate::problem::Problem;
use crate::token::Caller;

/// With which key addresses are encrypted to a seller.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SellerKey {
    /// The seller.
    account: AccountId,
    /// An X25519 public key; null: he takes no encrypted addresses.
    key: Option<EncryptionKey>,
}

/// Where an order goes. It is opened with the seller's private key, by HPKE (RFC 9180: base mode, DHKEM(X25519, HKDF-SHA256),
/// HKDF-SHA256, ChaCha20Poly1305), with `skylink address 1` as info and `<market>/<seller>/<command>` as additional data.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OrderAddress {
    /// The order.
    order: OrderId,
    /// Who buys.
    buyer: AccountId,
    /// Who sells, and can read it.
    seller: AccountId,
    /// The command that it was bought with.
    command: CommandId,
    /// As it stands in the log: SHA-256 of the salt's bytes and of what was encrypted.
    hash: Hash,
    /// The seller's key that it was encrypted with.
    key: EncryptionKey,
    /// The salt in base64url; null: the address is not stored here.
    salt: Option<String>,
    /// The encapsulated key and what was encrypted, in base64url; null: it is not stored here, since the vault is another host's or
    /// was lost.
    sealed: Option<String>,
}

/// `GET /v1/accounts/{account}/encryption-key`
pub(crate) async fn encryption_key(
    _caller: Caller,
    PathParts(account): PathParts<String>,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    let account: AccountId = id_of(&account, "account")?;
    let found = ask(&app, move |views| views.accounts().account(account)).await?;
    found.filter("account", |known| Some(SellerKey { account, key: known?.encryption_key }))
}

/// `GET /v1/orders/{id}/address`
pub(crate) async fn address(
    caller: Caller,
    PathParts(order): PathParts<String>,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    let order: OrderId = id_of(&order, "order")?;
    let found = ask(&app, move |views| views.accounts().sealed_address(order)).await?;
    let Answer { position, found } = found.filter("address", |address| {
        address.filter(|address| [address.buyer, address.seller].contains(&caller.account))
    })?;
    let SealedAddress { buyer, seller, command, hash, key } = found;
    let vault = app.gateway.vault.clone();
    let read = move || vault.map(|vault| vault.get(buyer, &address_name(hash))).transpose();
    let stored = match tokio::task::spawn_blocking(read).await {
        Ok(Ok(stored)) => stored.flatten().and_then(|value| Personal::from_bytes(&value)),
        Ok(Err(VaultError::Erased { .. })) => return Err(Refusal::Erased.into()),
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "an address can't be read");
            return Err(Problem::unavailable("the address can't be read now; its operator has been told"));
        }
        Err(_) => return Err(Problem::unavailable("the address can't be read now")),
    };
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (salt, sealed) = stored.map(|stored| (encode(&stored.salt), encode(&stored.value))).unzip();
    let found = OrderAddress { order, buyer, seller, command, hash, key, salt, sealed };
    Ok(([(header::CACHE_CONTROL, "no-store")], Answer { position, found }))
}
