//! Signing in without a device, with a password or a passkey. Whoever does gets a session ([`crate::sessions`]). What happens is told to the
//! market with signed commands of the registrar, so it stands in the log; what nobody has proven is not.

mod challenges;
pub(crate) mod devices;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commands::command::{ReportSignInFailed, StartSession};
use commands::receipt::Outcome;
use commands::refusal::HasFactors;
use commands::sign_in::SESSION_MS_MAX;
use commands::step_up::{Shown, challenge_of, is_signed_by, read_header};
use commands::{Command, Refusal};
use engine::passwords::PasswordError;
use engine::vault::Zeroizing;
use engine::{Beside, Reply};
use events::ids::{AccountId, CommandId, PasswordId, SessionId};
use events::rejection::{FactorRejection, SignInRejection};
use events::step_up::{FactorKind, StepUp, TotpShown};
use events::{Rejection, Timestamp};
use projections::account::{Factors, SignIn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::challenges::ChallengeError;
pub(crate) use self::challenges::Challenges;
pub use self::challenges::{CHALLENGE_MS, CHALLENGES_USED_MAX, CHALLENGES_USED_PER_ACCOUNT_MAX};
pub use self::devices::DEVICE_MS;
use crate::http::App;
use crate::node::REGISTRAR_KEY;
use crate::problem::{PASSWORD_LENGTH, Problem, SIGN_IN_FAILED, SIGN_IN_LOCKED};
use crate::query::VIEWS_TIME_MAX;
use crate::query::factors::check_writing;
use crate::submit::{RECEIPT_TIME_MAX, STEP_UP_HEADER, read_json, text_of};
use crate::token::Caller;

/// When an account that has signed in too often by passkey comes again, in seconds.
const CHALLENGES_AGAIN_S: u64 = CHALLENGE_MS as u64 / 1000;
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

/// What a passkey is to sign.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SignInChallenge {
    /// In base64url without padding; it is good once.
    challenge: String,
    /// Until when, in RFC 3339.
    expires_at: String,
}

/// Who signs in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// The account.
    account: AccountId,
    /// Its password; absent: a passkey is shown.
    password: Option<String>,
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

/// What the market makes of what it was told.
pub(crate) enum Told {
    Accepted,
    Rejected(Vec<Rejection>),
}

/// Reads a body that holds a secret, or somebody's word.
async fn json<T: serde::de::DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    form: &'static str,
) -> Result<T, Problem> {
    let bytes = read_json(headers, body).await?;
    // What it holds is not repeated: it may be a password.
    serde_json::from_slice(&bytes).map_err(|_| Problem::query_invalid(format!("send {form}")))
}

/// Has the registrar tell the market something.
pub(crate) async fn tell(app: &App, command: impl Into<Command>) -> Result<Told, Problem> {
    let command = command.into();
    let (store, market, now) =
        (app.gateway.store.clone(), app.gateway.market.clone(), app.gateway.clock.now());
    let sign = move || {
        let registrar = store.get(REGISTRAR_KEY)?;
        let id = CommandId::from_uuid(with_time(Uuid::now_v7(), now));
        store.sign(&registrar, &market, id, command, now)
    };
    let failed = |error: &(dyn std::error::Error + 'static)| {
        tracing::error!(error, "who signs in can't be told to the market");
        Problem::unavailable("nobody can sign in or out now; the operator has been told")
    };
    let signed = tokio::task::spawn_blocking(sign).await.map_err(|error| failed(&error))?;
    let signed = signed.map_err(|error| failed(&error))?;
    let sent = app.gateway.commands.send(signed, None, Beside::default());
    match tokio::time::timeout(RECEIPT_TIME_MAX, sent).await {
        Ok(Reply::Receipt(receipt)) => Ok(match receipt.receipt.outcome {
            Outcome::Accepted | Outcome::Unchanged => Told::Accepted,
            Outcome::Rejected => Told::Rejected(receipt.receipt.reasons),
        }),
        Ok(Reply::Refused(Refusal::Busy)) => Err(Refusal::Busy.into()),
        // It is the registrar who is refused, and not who signs in.
        Ok(Reply::Refused(refusal)) => Err(failed(&refusal)),
        Ok(Reply::Undecided) | Err(_) => {
            Err(Problem::unavailable("whether the market knows of it is not known: try again in a moment"))
        }
    }
}

/// Gives an id the market's time.
fn with_time(id: Uuid, now: Timestamp) -> Uuid {
    let mut bytes = *id.as_bytes();
    bytes[..6].copy_from_slice(&now.ms().to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

/// Waits until the views have read all that is durable.
pub(crate) async fn caught_up(app: &App) -> Result<(), Problem> {
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
    caller.check_device()?;
    let NewPassword { password } = json(&headers, body, "{\"password\": \"…\"}").await?;
    let password = Zeroizing::new(password);
    check_writing(&app)?;
    caught_up(&app).await?;
    let named = app.gateway.projections.accounts().sign_in(caller.account)?.and_then(|known| known.password);
    let (passwords, now) = (&app.gateway.passwords, app.gateway.clock.now());
    let password = passwords.keep(caller.account, password, named, now).await?;
    Ok(axum::Json(KeptPassword { password }).into_response())
}

/// `POST /v1/sign-in/challenges`
pub(crate) async fn give_challenge(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    check_writing(&app)?;
    let (challenge, until) = new_challenge(&app);
    let answer = SignInChallenge { challenge, expires_at: until.to_string() };
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(answer)).into_response())
}

fn new_challenge(app: &App) -> (String, Timestamp) {
    let (challenge, until) = app.challenges.give(app.gateway.clock.now());
    (URL_SAFE_NO_PAD.encode(challenge), until)
}

fn failed() -> Problem {
    Problem::new(&SIGN_IN_FAILED, "there is no such account, or what was sent does not open it")
}

fn locked(until: Timestamp, now: Timestamp) -> Problem {
    let detail = format!("wrong passwords were tried: none is looked at until {until}");
    let seconds = u64::try_from(until.ms_since(now)).unwrap_or_default().div_ceil(1000);
    Problem::new(&SIGN_IN_LOCKED, detail).retrying_after(seconds)
}

/// `POST /v1/sessions`
pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let form = "{\"account\": \"…\", \"password\": \"…\"}";
    let Credentials { account, password } = json(&headers, body, form).await?;
    let text = password.map(Zeroizing::new);
    let shown = text_of(&headers, &STEP_UP_HEADER).as_deref().map(read_header).transpose()?;
    check_writing(&app)?;
    caught_up(&app).await?;
    let accounts = app.gateway.projections.accounts();
    let factors = accounts.factors(account)?.unwrap_or_default();
    let password = match text {
        Some(text) => {
            let known = accounts.sign_in(account)?.unwrap_or_default();
            Some(check_password(&app, account, &known, text).await?)
        }
        None => None,
    };
    let shown = match shown.map(|shown| *shown) {
        Some(Shown::Webauthn(assertion)) => {
            let now = app.gateway.clock.now();
            let challenge = challenge_of(&assertion).ok_or_else(failed)?;
            let challenge = app.challenges.check(&challenge, now)?;
            // Whether it also counts is decided by the market; whose it is not writes nothing into the log.
            let key = factors.passkeys.get(&assertion.credential).map(|passkey| passkey.key);
            if !key.is_some_and(|key| is_signed_by(&assertion, &key)) {
                return Err(failed());
            }
            app.challenges.use_up(challenge, account, now)?;
            Some(StepUp::Webauthn(assertion))
        }
        _ if password.is_none() => {
            let told = "without a password a passkey's approval stands in `Skylink-Step-Up`";
            return Err(Problem::query_invalid(told));
        }
        Some(Shown::Recovery(code)) => Some(StepUp::Recovery(code)),
        Some(Shown::Totp(code)) => {
            let (authenticator, now) = (code.authenticator, app.gateway.clock.now());
            let secrets = Arc::clone(&app.gateway.secrets);
            let step = move || secrets.step(account, authenticator, &code.code, now);
            let step = tokio::task::spawn_blocking(step).await;
            let step = step.map_err(|_| Problem::unavailable("the code can't be looked at: try again"))??;
            let step = step.ok_or_else(|| Problem::query_invalid("the account has no such app"))?;
            Some(StepUp::Totp(TotpShown { authenticator, step }))
        }
        None if has_some(&factors) => return Err(second_factor_needed(&app, &factors)),
        None => None,
    };
    begin(&app, account, password, shown).await
}

/// Checks a password. That it was wrong is told to the market, which counts.
async fn check_password(
    app: &App,
    account: AccountId,
    known: &SignIn,
    text: Zeroizing<String>,
) -> Result<PasswordId, Problem> {
    let now = app.gateway.clock.now();
    if let Some(until) = known.locked_until.filter(|until| now < *until) {
        return Err(locked(until, now));
    }
    // Where there is none, that takes as long.
    let is_right = app.gateway.passwords.is_right(account, known.password, text).await?;
    let password = known.password.ok_or_else(failed)?;
    if is_right {
        return Ok(password);
    }
    match tell(app, ReportSignInFailed { account, password }).await? {
        Told::Accepted => Err(failed()),
        Told::Rejected(reasons) => Err(refused(&reasons, app.gateway.clock.now())),
    }
}

fn has_some(factors: &Factors) -> bool {
    !factors.passkeys.is_empty() || factors.app.is_some() || !factors.recovery.is_empty()
}

/// Says which second factors there are, to who knows the password.
fn second_factor_needed(app: &App, factors: &Factors) -> Problem {
    let (challenge, _) = new_challenge(app);
    let kinds = [
        (!factors.passkeys.is_empty(), FactorKind::Webauthn),
        (factors.app.is_some(), FactorKind::Totp),
        (!factors.recovery.is_empty(), FactorKind::Recovery),
    ];
    let has = HasFactors {
        app: factors.app.map(|(authenticator, _)| authenticator),
        factors: kinds.into_iter().filter_map(|(has, kind)| has.then_some(kind)).collect(),
    };
    Refusal::MfaRequired {
        challenge: challenge.into(),
        credentials: factors.passkeys.keys().cloned().collect(),
        has: Box::new(has),
        problem: "send the same again with a second factor in `Skylink-Step-Up`".into(),
        relying_party: None,
        rule: "an account that has a second factor is signed in to with it".into(),
    }
    .into()
}

/// Tells what the market has against it. What somebody could have known without it is told; the rest is one answer.
fn refused(reasons: &[Rejection], now: Timestamp) -> Problem {
    match reasons.first() {
        Some(Rejection::SignIn(SignInRejection::SignInLocked { until, .. })) => locked(*until, now),
        Some(Rejection::SignIn(reason @ SignInRejection::SecondFactorRefused { .. })) => {
            Problem::new(&SIGN_IN_FAILED, reason.to_string())
        }
        Some(Rejection::Factor(reason @ FactorRejection::CodeWrong { .. })) => {
            Problem::new(&SIGN_IN_FAILED, reason.to_string())
        }
        _ => failed(),
    }
}

/// Begins a session, unless the market does not take what was shown.
async fn begin(
    app: &App,
    account: AccountId,
    password: Option<PasswordId>,
    shown: Option<StepUp>,
) -> Result<Response, Problem> {
    let now = app.gateway.clock.now();
    let session = SessionId::from_uuid(with_time(Uuid::now_v7(), now));
    let until = now.plus_ms(SESSION_MS_MAX);
    let start = StartSession { account, session, until, password, shown, nonce: None };
    if let Told::Rejected(reasons) = tell(app, start).await? {
        return Err(refused(&reasons, app.gateway.clock.now()));
    }
    caught_up(app).await?;
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

impl From<ChallengeError> for Problem {
    fn from(error: ChallengeError) -> Problem {
        match error {
            ChallengeError::Foreign | ChallengeError::Over | ChallengeError::Used => {
                Problem::new(&SIGN_IN_FAILED, error.to_string())
            }
            ChallengeError::TooMany => Problem::rate_limited("account", CHALLENGES_AGAIN_S),
            ChallengeError::Full => Problem::unavailable(error.to_string()),
        }
    }
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
