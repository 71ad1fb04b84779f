//! Signing in without a device: passwords, and sessions that give access tokens for queries. What happens is told to the market with signed
//! commands of the registrar, so it stands in the log.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use commands::Command;
use commands::command::{EndSession, ReportSignInFailed, StartSession};
use commands::receipt::Outcome;
use commands::sign_in::SESSION_MS_MAX;
use engine::passwords::PasswordError;
use engine::vault::Zeroizing;
use engine::{Beside, Reply};
use events::Timestamp;
use events::ids::{AccountId, CommandId, PasswordId, SessionId};
use projections::ViewError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::http::App;
use crate::node::REGISTRAR_KEY;
use crate::problem::{
    FORBIDDEN, PASSWORD_LENGTH, Problem, SIGN_IN_FAILED, SIGN_IN_LOCKED, TOO_MANY_SESSIONS,
};
use crate::query::factors::{JSON_TYPES, check_writing};
use crate::query::{Params, PathParts, VIEWS_TIME_MAX, ask, id_of};
use crate::submit::{RECEIPT_TIME_MAX, check_content_type, read_body};
use crate::token::{By, Caller};

/// When an account that was given too many passwords comes again, in seconds.
const PASSWORDS_AGAIN_S: u64 = 3600;

/// A new password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// It has at least 10 characters and at most 256 bytes.
    password: String,
}

/// A password that is kept: it can be set.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct KeptPassword {
    /// Its id: `sign_in.set_password` names it.
    password: PasswordId,
}

/// Who signs in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// The account.
    account: AccountId,
    /// Its password.
    password: String,
}

/// A session that has begun.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SessionToken {
    /// The session.
    session: SessionId,
    /// Send it as `Authorization: Bearer <token>`.
    access_token: String,
    /// `Bearer`
    token_type: &'static str,
    /// How long it is good at the most, in seconds; after half an hour without a question it ends before.
    expires_in: i64,
    /// Until when, in RFC 3339.
    expires_at: String,
    /// Who asks with it.
    account: AccountId,
}

/// The sessions of an account.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SessionList {
    /// Whose they are.
    account: AccountId,
    /// Whether it has a password.
    has_password: bool,
    /// Each that goes on, in the order of their ids.
    sessions: Vec<ShownSession>,
}

/// A session.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownSession {
    /// Its id.
    session: SessionId,
    /// Since when it is there.
    since: Timestamp,
    /// When it ends at the latest.
    until: Timestamp,
    /// Whether it is the one that asks.
    is_this: bool,
}

/// A session that has ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EndedSession {
    /// The session.
    session: SessionId,
}

async fn json<T: serde::de::DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    form: &'static str,
) -> Result<T, Problem> {
    check_content_type(headers, &JSON_TYPES)?;
    let bytes = read_body(headers, body).await?;
    // What it holds is not repeated: it may be a password.
    serde_json::from_slice(&bytes).map_err(|_| Problem::query_invalid(format!("send {form}")))
}

/// Has the registrar tell the market something, and says whether it was accepted.
async fn tell(app: &App, command: impl Into<Command>) -> Result<bool, Problem> {
    let command = command.into();
    let (store, market, now) =
        (app.gateway.store.clone(), app.gateway.market.clone(), app.gateway.clock.now());
    let sign = move || {
        let registrar = store.get(REGISTRAR_KEY)?;
        let id = CommandId::from_uuid(Uuid::now_v7());
        store.sign(&registrar, &market, with_time(id, now), command, now)
    };
    let failed = |error: &(dyn std::error::Error + 'static)| {
        tracing::error!(error, "who signs in can't be told to the market");
        Problem::unavailable("nobody can sign in now; the operator has been told")
    };
    let signed = tokio::task::spawn_blocking(sign).await.map_err(|error| failed(&error))?;
    let signed = signed.map_err(|error| failed(&error))?;
    let sent = app.gateway.commands.send(signed, None, Beside::default());
    match tokio::time::timeout(RECEIPT_TIME_MAX, sent).await {
        Ok(Reply::Receipt(receipt)) => Ok(receipt.receipt.outcome != Outcome::Rejected),
        Ok(Reply::Refused(refusal)) => Err(refusal.into()),
        Ok(Reply::Undecided) | Err(_) => {
            Err(Problem::unavailable("whether the market knows of it is not known: try again in a moment"))
        }
    }
}

/// Gives a command's id the market's time.
fn with_time(id: CommandId, now: Timestamp) -> CommandId {
    let mut bytes = *id.uuid().as_bytes();
    bytes[..6].copy_from_slice(&now.ms().to_be_bytes()[2..]);
    CommandId::from_uuid(Uuid::from_bytes(bytes))
}

/// Waits until the views have read all that is durable.
async fn caught_up(app: &App) -> Result<(), Problem> {
    let durable = app.gateway.status.borrow().head().map_or(0, |head| head.position);
    Ok(app.gateway.projections.wait_for(durable, VIEWS_TIME_MAX).await?)
}

/// `POST /v1/sign-in/password`
pub(crate) async fn keep_password(
    caller: Caller,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if matches!(caller.by, By::Session(..)) {
        return Err(Problem::forbidden("a password is given with a token of a device"));
    }
    let NewPassword { password } = json(&headers, body, "{\"password\": \"…\"}").await?;
    let password = Zeroizing::new(password);
    check_writing(&app)?;
    caught_up(&app).await?;
    let named = app.gateway.projections.accounts().sign_in(caller.account)?.and_then(|known| known.password);
    let (passwords, now) = (&app.gateway.passwords, app.gateway.clock.now());
    let password = passwords.keep(caller.account, password, named, now).await?;
    Ok(axum::Json(KeptPassword { password }).into_response())
}

/// `POST /v1/sessions`
pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let form = "{\"account\": \"…\", \"password\": \"…\"}";
    let Credentials { account, password } = json(&headers, body, form).await?;
    let text = Zeroizing::new(password);
    check_writing(&app)?;
    caught_up(&app).await?;
    let known = app.gateway.projections.accounts().sign_in(account)?.unwrap_or_default();
    let now = app.gateway.clock.now();
    if let Some(until) = known.locked_until.filter(|until| now < *until) {
        let detail = format!("wrong passwords were tried: nobody can sign in to this account until {until}");
        return Err(Problem::new(&SIGN_IN_LOCKED, detail));
    }
    let failed = || Problem::new(&SIGN_IN_FAILED, "there is no such account, or this is not its password");
    // Where there is none, that takes as long.
    let is_right = app.gateway.passwords.is_right(account, known.password, text).await?;
    let Some(password) = known.password else { return Err(failed()) };
    if !is_right {
        tell(&app, ReportSignInFailed { account, password }).await?;
        return Err(failed());
    }
    let now = app.gateway.clock.now();
    let (session, until) = (SessionId::from_uuid(Uuid::now_v7()), now.plus_ms(SESSION_MS_MAX));
    // What the market says no to is what it knows better: a lock, another password, too many sessions.
    if !tell(&app, StartSession { account, password, session, until }).await? {
        let detail = "the account has as many sessions as it may, or its password was changed: try again";
        return Err(Problem::new(&TOO_MANY_SESSIONS, detail));
    }
    caught_up(&app).await?;
    let token = app.tokens.of_session(account, session, until, now);
    let access_token =
        token.ok_or_else(|| Problem::unavailable("too many are signed in: try again later"))?;
    let answer = SessionToken {
        session,
        access_token,
        token_type: "Bearer",
        expires_in: until.ms_since(now) / 1000,
        expires_at: until.to_string(),
        account,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(answer)).into_response())
}

/// `GET /v1/sessions`
pub(crate) async fn sessions(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    let (account, now) = (caller.account, app.gateway.clock.now());
    let found = ask(&app, move |views| Ok::<_, ViewError>(views.accounts().sign_in(account)?)).await?;
    found.filter("account", |known| {
        let known = known.unwrap_or_default();
        let live = known.sessions.iter().filter(|(_, (_, until))| now < *until);
        let is_this = |session| matches!(caller.by, By::Session(own, _) if own == session);
        let sessions = live.map(|(session, (since, until))| ShownSession {
            session: *session,
            since: *since,
            until: *until,
            is_this: is_this(*session),
        });
        Some(SessionList { account, has_password: known.password.is_some(), sessions: sessions.collect() })
    })
}

/// `DELETE /v1/sessions/{session}`
pub(crate) async fn end(
    caller: Caller,
    PathParts(session): PathParts<String>,
    State(app): State<Arc<App>>,
) -> Result<Response, Problem> {
    let session: SessionId = match (session.as_str(), caller.by) {
        ("this", By::Session(own, _)) => own,
        (id, _) => id_of(id, "session")?,
    };
    check_writing(&app)?;
    let known = app.gateway.projections.accounts().sign_in(caller.account)?.unwrap_or_default();
    if !known.is_live(session, app.gateway.clock.now()) {
        return Err(Problem::not_found("session"));
    }
    if !tell(&app, EndSession { account: Some(caller.account), session }).await? {
        return Err(Problem::new(&FORBIDDEN, "the market does not end this session"));
    }
    caught_up(&app).await?;
    Ok(axum::Json(EndedSession { session }).into_response())
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Problem {
        match error {
            PasswordError::Length => Problem::new(&PASSWORD_LENGTH, error.to_string()),
            PasswordError::TooMany => Problem::rate_limited("account", PASSWORDS_AGAIN_S),
            PasswordError::Busy => Problem::unavailable(error.to_string()),
            PasswordError::Vault(_) | PasswordError::Damaged => {
                tracing::error!(error = &error as &dyn std::error::Error, "a password can't be looked at");
                Problem::unavailable("passwords can't be looked at now; the operator has been told")
            }
        }
    }
}
