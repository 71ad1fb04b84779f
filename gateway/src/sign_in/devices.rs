//! A device from a session: whoever has just shown a passkey, or a code with the password, is who the account belongs to, and the registrar vouches
//! for the key that he brings. That is how somebody comes back who has lost all of his devices.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use commands::command::{DEVICE_NAME_LENGTH_MAX, RegisterDevice, Text};
use commands::envelope::check_new_key;
use events::account::PublicKey;
use events::ids::{AccountId, DeviceId, KeyId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Told, caught_up, json, tell};
use crate::http::App;
use crate::problem::{DEVICE_REFUSED, Problem, SIGN_IN_AGAIN};
use crate::query::factors::check_writing;
use crate::token::{By, Caller};

/// How long after its begin a session is good for a device, in ms.
pub const DEVICE_MS: i64 = 600_000;

/// A device to be registered.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDevice {
    /// Its id, a new one.
    device: DeviceId,
    /// Its public key.
    key: PublicKey,
    /// What it is called; a kind of device rather than a person.
    name: Option<Text<DEVICE_NAME_LENGTH_MAX>>,
    /// The key's word that it is to be this device's: a compact JWS of a proof of possession, see docs/accounts.md.
    proof: String,
}

/// A device that is registered: its key signs commands.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RegisteredDevice {
    /// Whose it is.
    account: AccountId,
    /// Its id.
    device: DeviceId,
    /// Its key.
    key: KeyId,
}

/// `POST /v1/devices`
pub(crate) async fn register(
    caller: Caller,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let By::Session(session, _) = caller.by else {
        return Err(Problem::forbidden(
            "a device enrolls another with `device.enroll`; this takes a session",
        ));
    };
    let form = "{\"device\": \"…\", \"key\": {…}, \"proof\": \"…\"}";
    let NewDevice { device, key, name, proof } = json(&headers, body, form).await?;
    check_writing(&app)?;
    let account = caller.account;
    let known = app.gateway.projections.accounts().sign_in(account)?.unwrap_or_default();
    let now = app.gateway.clock.now();
    let begun = known.sessions.get(&session).filter(|session| session.factor.is_some());
    if begun.is_none_or(|begun| now.ms_since(begun.since) >= DEVICE_MS) {
        let detail = "a device is registered within 10 minutes of signing in with a passkey, or with the password and a code";
        return Err(Problem::new(&SIGN_IN_AGAIN, detail));
    }
    check_new_key(&key, Some(&proof), account, device, &app.gateway.market)?;
    let command = RegisterDevice { account, device, key, name, proof: Some(proof), scope: None };
    if let Told::Rejected(reasons) = tell(&app, command).await? {
        let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        return Err(Problem::new(&DEVICE_REFUSED, reasons.join("; ")));
    }
    caught_up(&app).await?;
    Ok(axum::Json(RegisteredDevice { account, device, key: key.id() }).into_response())
}
