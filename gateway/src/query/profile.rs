//! What is personal of an account: for its owner, and for operators.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commands::Refusal;
use commands::personal::{Personal, profile_name};
use engine::vault::{Vault, VaultError};
use events::Hash;
use events::ids::AccountId;
use events::privacy::ProfileField;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Answer, Params, PathParts, ask};
use crate::http::App;
use crate::problem::Problem;
use crate::token::Caller;

/// What an account has told of whose it is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Profile {
    /// Whose it is.
    account: AccountId,
    /// Each field that is not empty.
    fields: BTreeMap<ProfileField, Told>,
}

/// What is in a field.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Told {
    /// As it stands in the log: SHA-256 of the salt's bytes and the value's.
    hash: Hash,
    /// The salt in base64url; null: the value is not stored here.
    salt: Option<String>,
    /// The value; null: it is not stored here, since the vault is another host's or was lost.
    value: Option<String>,
}

/// `GET /v1/accounts/{account}/profile`
pub(crate) async fn profile(
    caller: Caller,
    PathParts(account): PathParts<String>,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    let account = caller.account_named(&account)?;
    let found = ask(&app, move |views| views.accounts().account(account)).await?;
    let Answer { position, found: known } =
        found.filter("account", |known| known.filter(|_| caller.may_see(account)))?;
    if known.is_erased {
        return Err(Refusal::Erased.into());
    }
    let vault = app.gateway.vault.clone();
    let read = move || {
        let told = known.profile.into_iter().map(|(field, hash)| {
            let value =
                vault.as_ref().map(|vault| stored(vault, account, field, hash)).transpose()?.flatten();
            Ok((field, tell(hash, value)))
        });
        told.collect::<Result<BTreeMap<_, _>, VaultError>>()
    };
    let fields = match tokio::task::spawn_blocking(read).await {
        Ok(Ok(fields)) => fields,
        // It was erased since the views were asked.
        Ok(Err(VaultError::Erased { .. })) => return Err(Refusal::Erased.into()),
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "what is personal can't be read");
            return Err(Problem::unavailable("the profile can't be read now; its operator has been told"));
        }
        Err(_) => return Err(Problem::unavailable("the profile can't be read now")),
    };
    let answer = Answer { position, found: Profile { account, fields } };
    Ok(([(header::CACHE_CONTROL, "no-store")], answer))
}

fn stored(
    vault: &Vault,
    account: AccountId,
    field: ProfileField,
    hash: Hash,
) -> Result<Option<Personal>, VaultError> {
    let value = vault.get(account, &profile_name(field, hash))?;
    Ok(value.and_then(|value| Personal::from_bytes(&value)))
}

fn tell(hash: Hash, value: Option<Personal>) -> Told {
    let salt = value.as_ref().map(|value| URL_SAFE_NO_PAD.encode(value.salt));
    Told { hash, salt, value: value.and_then(|value| String::from_utf8(value.value).ok()) }
}
