//! The second factors of an account, and how one gets an app that makes codes.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use engine::Status;
use engine::secrets::SecretError;
use events::Timestamp;
use events::ids::{AccountId, AuthenticatorId};
use events::step_up::CredentialId;
use projections::ViewError;
use projections::account::Used;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Params, PathParts, ask};
use crate::http::App;
use crate::problem::{APP_UNKNOWN, CODE_WRONG, Problem};
use crate::sign_in::caught_up;
use crate::submit::read_json;
use crate::token::Caller;

/// When an account that has got too many secrets comes again, in seconds.
const SECRETS_AGAIN_S: u64 = 3600;

/// The second factors of an account.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FactorList {
    /// Whose they are.
    account: AccountId,
    /// Its passkeys, in the order of their ids.
    passkeys: Vec<ShownPasskey>,
    /// Its app; null: none.
    app: Option<ShownApp>,
    /// Its recovery codes; null: none were enrolled.
    recovery: Option<ShownRecovery>,
    /// When a wrong code was shown last; null: never.
    wrong_at: Option<Timestamp>,
}

/// A passkey.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownPasskey {
    /// Its id.
    credential: CredentialId,
    #[serde(flatten)]
    used: Used,
}

/// An app that makes codes.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownApp {
    /// Its id.
    authenticator: AuthenticatorId,
    #[serde(flatten)]
    used: Used,
}

/// Recovery codes.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownRecovery {
    /// How many were not shown yet.
    left: usize,
    #[serde(flatten)]
    used: Used,
}

/// `GET /v1/accounts/{account}/factors`
pub(crate) async fn factors(
    caller: Caller,
    PathParts(account): PathParts<String>,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    let account = caller.account_named(&account)?;
    let found = ask(&app, move |views| {
        let accounts = views.accounts();
        Ok::<_, ViewError>((accounts.account(account)?.is_some(), accounts.factors(account)?))
    });
    found.await?.filter("account", |(is_there, factors)| {
        if !is_there || !caller.may_see(account) {
            return None;
        }
        let factors = factors.unwrap_or_default();
        let passkeys = factors
            .passkeys
            .into_iter()
            .map(|(credential, passkey)| ShownPasskey { credential, used: passkey.used })
            .collect();
        let left = factors.recovery.len();
        Some(FactorList {
            account,
            passkeys,
            app: factors.app.map(|(authenticator, used)| ShownApp { authenticator, used }),
            recovery: factors.recovery_used.map(|used| ShownRecovery { left, used }),
            wrong_at: factors.wrong_at,
        })
    })
}

/// What an app is given; it is shown once.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AppSecret {
    /// The app's id.
    authenticator: AuthenticatorId,
    /// Its secret, in base32.
    secret: String,
    /// The same as apps read it from a picture.
    uri: String,
    /// Until when its first code is taken, in RFC 3339.
    expires_at: String,
}

/// An app's first code.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FirstCode {
    /// The app's id.
    authenticator: AuthenticatorId,
    /// Its present code.
    #[schemars(regex(pattern = "^[0-9]{6}$"))]
    code: String,
}

/// An app whose secret is kept: it can be enrolled.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct KeptApp {
    /// The app's id: `step_up.enroll_totp` names it.
    authenticator: AuthenticatorId,
}

/// Secrets are given and kept where the market is written: elsewhere nobody would find them.
pub(crate) fn check_writing(app: &App) -> Result<(), Problem> {
    match &*app.gateway.status.borrow() {
        Status::Writing(_) | Status::ClockDoubted { .. } => Ok(()),
        Status::StandingBy(_) | Status::Stopped(_) => {
            Err(Problem::unavailable("this process does not write the market: ask again in a moment"))
        }
    }
}

/// `POST /v1/factors/app`
pub(crate) async fn begin(caller: Caller, State(app): State<Arc<App>>) -> Result<Response, Problem> {
    caller.check_device()?;
    check_writing(&app)?;
    let gateway = &app.gateway;
    let begun = gateway.secrets.begin(caller.account, gateway.clock.now())?;
    let (market, account) = (&gateway.market, caller.account);
    let answer = AppSecret {
        authenticator: begun.authenticator,
        uri: format!(
            "otpauth://totp/{market}:{account}?secret={}&issuer={market}&algorithm=SHA1&digits=6&period=30",
            begun.secret
        ),
        secret: begun.secret,
        expires_at: begun.expires_at.to_string(),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(answer)).into_response())
}

/// `POST /v1/factors/app/confirm`
pub(crate) async fn confirm(
    caller: Caller,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.check_device()?;
    let bytes = read_json(&headers, body).await?;
    let first: FirstCode = serde_json::from_slice(&bytes)
        .map_err(|_| Problem::query_invalid("send {\"authenticator\": \"…\", \"code\": \"6 digits\"}"))?;
    check_writing(&app)?;
    let account = caller.account;
    // What the log names must not be dropped: all that is durable is looked at.
    caught_up(&app).await?;
    let keep = move || {
        let (gateway, FirstCode { authenticator, code }) = (&app.gateway, first);
        let named = gateway.projections.accounts().factors(account)?.and_then(|factors| factors.app);
        let (named, now) = (named.map(|(named, _)| named), gateway.clock.now());
        gateway.secrets.confirm(account, authenticator, &code, named, now)?;
        Ok::<_, Problem>(KeptApp { authenticator })
    };
    let kept = tokio::task::spawn_blocking(keep).await;
    let kept = kept.map_err(|_| Problem::unavailable("the secret could not be kept: try again"))??;
    Ok(axum::Json(kept).into_response())
}

impl From<SecretError> for Problem {
    fn from(error: SecretError) -> Problem {
        match error {
            SecretError::Unknown => Problem::new(&APP_UNKNOWN, error.to_string()),
            SecretError::WrongCode => Problem::new(&CODE_WRONG, error.to_string()),
            SecretError::TooMany => Problem::rate_limited("account", SECRETS_AGAIN_S),
            SecretError::Busy => Problem::unavailable(error.to_string()),
            SecretError::Vault(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a secret can't be kept");
                Problem::unavailable("secrets can't be kept now; the operator has been told")
            }
        }
    }
}
