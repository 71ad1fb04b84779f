//! Access tokens for queries: got with a request signed by a device's key, good for an hour at most, and known only
//! to the gateway that gave them. A command never needs one: it is signed itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use axum::body::Body;
use axum::extract::{FromRequestParts, OptionalFromRequestParts, State};
use axum::http::HeaderMap;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use commands::Refusal;
use commands::envelope::{Envelope, verify_request};
use commands::replay::{CLOCK_SKEW_MS, FRESHNESS_MS};
use events::Timestamp;
use events::account::Role;
use events::ids::{AccountId, DeviceId, KeyId, Nonce, SessionId};
use projections::account::Account;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::App;
use crate::problem::{Problem, TOKEN_EXPIRED, TOKEN_INVALID, TOKEN_MISSING};
use crate::query::{VIEWS_TIME_MAX, id_of};
use crate::submit::{JWS_TYPES, check_content_type, read_body};

/// The name (`cmd`) of a request for a token. No command has it.
pub const TOKEN_REQUEST: &str = "token.issue";
/// Longest that a token is good, in seconds.
pub const TOKEN_TTL_S_MAX: u64 = 3600;
/// Most nonces of token requests that are remembered. When all are of requests that could still be repeated, no
/// further token is given until one is not: forgetting would allow a replay.
pub const NONCES_MAX: usize = 65_536;
/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    ttl_s: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    account: AccountId,
    by: By,
    exp: Timestamp,
}

/// By what a token was got, and ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum By {
    /// By a key of a device.
    Key(DeviceId, KeyId),
    /// By signing in, until when at the latest.
    Session(SessionId, Timestamp),
}

/// What is told when that has ended.
pub(crate) const ENDED: &str = "what the token was got by, a key or a session, is no longer its account's";
const DEVICE_NEEDED: &str = "this takes a token of a device, from POST /v1/tokens";
/// What an account may do in a session, if it may do it at all.
const SESSION_ROLES: [Role; 2] = [Role::Buyer, Role::Seller];
/// How long a session may be without a question, in ms.
pub const SESSION_IDLE_MS: i64 = 1_800_000;
/// Most sessions that tokens of this process are good for.
pub const SESSIONS_SEEN_MAX: usize = 65_536;

/// An access token (the members of RFC 6749, and whose it is).
#[derive(Serialize, JsonSchema)]
pub(crate) struct Token {
    /// Send it as `Authorization: Bearer <token>`.
    access_token: String,
    /// `Bearer`
    token_type: &'static str,
    /// How long it is good, in seconds.
    expires_in: u64,
    /// Until when, in RFC 3339.
    expires_at: String,
    /// Who asks with it.
    account: AccountId,
    /// What he may do now; each request is judged by the roles of its own time.
    roles: BTreeSet<Role>,
}

/// Who asks. The roles are those of the log when he asks, not of when the token was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) account: AccountId,
    pub(crate) roles: BTreeSet<Role>,
    /// By what his token was got.
    pub(crate) by: By,
}

impl Caller {
    pub(crate) fn is_operator(&self) -> bool {
        self.roles.contains(&Role::Operator)
    }

    /// Refuses who asks in a session where a device is needed.
    pub(crate) fn check_device(&self) -> Result<(), Problem> {
        match self.by {
            By::Key(..) => Ok(()),
            By::Session(..) => Err(Problem::forbidden(DEVICE_NEEDED)),
        }
    }

    /// Reads whose something is, as a path names it: `me`, or an account's id.
    pub(crate) fn account_named(&self, text: &str) -> Result<AccountId, Problem> {
        if text == "me" { Ok(self.account) } else { id_of(text, "account") }
    }

    /// Tells whether he may see what belongs to an account.
    pub(crate) fn may_see(&self, account: AccountId) -> bool {
        self.account == account || self.is_operator()
    }
}

/// The key that somebody has proven to have, with whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) account: AccountId,
    pub(crate) device: DeviceId,
    pub(crate) key: KeyId,
}

impl Holder {
    /// Tells who that is now; none, if the key is no longer that of its account. The question counts as one of the account's.
    pub(crate) fn caller(&self, app: &App) -> Result<Option<Caller>, Problem> {
        let accounts = app.gateway.projections.accounts();
        let Some(account) = unless_erased(app, self.account)? else { return Ok(None) };
        let Some(owner) = accounts.key(self.key)? else { return Ok(None) };
        if !owner.is_active || (owner.account, owner.device) != (self.account, self.device) {
            return Ok(None);
        }
        app.gateway.limits.take_account(self.account)?;
        let by = By::Key(self.device, self.key);
        Ok(Some(Caller { account: self.account, roles: account.roles, by }))
    }
}

/// Tells who asks in a session; none, if it has ended. What operators may do takes a key, whatever else the account is.
fn caller_in_session(
    app: &App,
    account: AccountId,
    session: SessionId,
    until: Timestamp,
) -> Result<Option<Caller>, Problem> {
    let Some(known) = unless_erased(app, account)? else { return Ok(None) };
    let now = app.gateway.clock.now();
    let sign_in = app.gateway.projections.accounts().sign_in(account)?;
    if !sign_in.is_some_and(|sign_in| sign_in.is_live(session, now)) {
        return Ok(None);
    }
    if !app.tokens.is_awake(session, now) {
        let detail = "the session asked nothing for too long: sign in again";
        return Err(Problem::new(&TOKEN_EXPIRED, detail));
    }
    app.gateway.limits.take_account(account)?;
    let roles = known.roles.into_iter().filter(|role| SESSION_ROLES.contains(role)).collect();
    Ok(Some(Caller { account, roles, by: By::Session(session, until) }))
}

fn unless_erased(app: &App, account: AccountId) -> Result<Option<Account>, Problem> {
    match app.gateway.projections.accounts().account(account)? {
        Some(known) if known.is_erased => Err(Refusal::Erased.into()),
        known => Ok(known),
    }
}

/// Makes and checks tokens with a key that lives as long as the process.
pub(crate) struct Tokens {
    key: hmac::Key,
    nonces: Mutex<Nonces>,
    /// When each session last asked something.
    seen: Mutex<BTreeMap<SessionId, Timestamp>>,
}

#[derive(Default)]
struct Nonces {
    used: BTreeSet<(KeyId, Nonce)>,
    by_time: VecDeque<(Timestamp, KeyId, Nonce)>,
}

impl Nonces {
    fn use_up(&mut self, key: KeyId, nonce: Nonce, now: Timestamp) -> Result<(), Refusal> {
        while let Some((used_at, old_key, old_nonce)) = self.by_time.front().copied()
            && now.ms_since(used_at) > FRESHNESS_MS + CLOCK_SKEW_MS
        {
            self.used.remove(&(old_key, old_nonce));
            self.by_time.pop_front();
        }
        if self.used.contains(&(key, nonce)) {
            return Err(Refusal::NonceReused);
        }
        if self.used.len() >= NONCES_MAX {
            return Err(Refusal::Busy);
        }
        self.used.insert((key, nonce));
        self.by_time.push_back((now, key, nonce));
        Ok(())
    }
}

impl Tokens {
    pub(crate) fn new() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .expect("the operating system gives random bytes");
        Tokens { key, nonces: Mutex::default(), seen: Mutex::default() }
    }

    /// Gives a token for a session that begins now; none, if there are too many already.
    pub(crate) fn of_session(
        &self,
        account: AccountId,
        session: SessionId,
        until: Timestamp,
        now: Timestamp,
    ) -> Option<String> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= SESSIONS_SEEN_MAX {
            seen.retain(|_, last| now.ms_since(*last) < SESSION_IDLE_MS);
        }
        if seen.len() >= SESSIONS_SEEN_MAX {
            return None;
        }
        seen.insert(session, now);
        Some(self.seal(&Claims { account, by: By::Session(session, until), exp: until }))
    }

    /// Notes that a session asks something, unless it did not for too long.
    fn is_awake(&self, session: SessionId, now: Timestamp) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get_mut(&session) {
            Some(last) if now.ms_since(*last) < SESSION_IDLE_MS => {
                *last = now;
                true
            }
            _ => {
                seen.remove(&session);
                false
            }
        }
    }

    fn seal(&self, claims: &Claims) -> String {
        let payload = serde_json::to_vec(claims).expect("ids and times can always be written as JSON");
        let tag = hmac::sign(&self.key, &payload);
        format!("{}.{}", URL_SAFE_NO_PAD.encode(payload), URL_SAFE_NO_PAD.encode(tag))
    }

    fn open(&self, token: &str, now: Timestamp) -> Result<Claims, Problem> {
        let invalid = || Problem::new(&TOKEN_INVALID, "the token is none of this gateway: get a new one");
        if token.len() > TOKEN_BYTES_MAX {
            return Err(invalid());
        }
        let (payload, tag) = token.split_once('.').ok_or_else(invalid)?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid());
        let (payload, tag) = (decode(payload)?, decode(tag)?);
        hmac::verify(&self.key, &payload, &tag).map_err(|_| invalid())?;
        let claims: Claims = serde_json::from_slice(&payload).map_err(|_| invalid())?;
        if now >= claims.exp {
            return Err(Problem::new(&TOKEN_EXPIRED, "the token has expired: get a new one"));
        }
        Ok(claims)
    }
}

/// Checks what the writer checks of a command: fresh, and the key that of the account and device.
fn check_fresh(envelope: &Envelope, now: Timestamp) -> Result<(), Refusal> {
    if envelope.issued_at.ms_since(now) > CLOCK_SKEW_MS {
        return Err(Refusal::FromFuture { server_time: now });
    }
    if now > envelope.expires_at.min(envelope.issued_at.plus_ms(FRESHNESS_MS)) {
        return Err(Refusal::Stale { server_time: now });
    }
    Ok(())
}

/// `POST /v1/tokens`
pub(crate) async fn issue(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    check_content_type(&headers, &JWS_TYPES)?;
    let bytes = read_body(&headers, body).await?;
    let gateway = &app.gateway;
    let envelope = verify_request(&bytes, &gateway.market, TOKEN_REQUEST, gateway.keys.as_ref())?;
    let now = gateway.clock.now();
    check_fresh(&envelope, now)?;
    let (key, account, device) = (envelope.stamp.key, envelope.stamp.account, envelope.stamp.device);
    let views = &gateway.projections;
    let owner = match views.accounts().key(key)? {
        Some(owner) => owner,
        // The writer knows it; if it was registered a moment ago, the views have not read that yet.
        None => {
            let durable = gateway.status.borrow().head().map_or(0, |head| head.position);
            views.wait_for(durable, VIEWS_TIME_MAX).await?;
            views.accounts().key(key)?.ok_or(Refusal::KidUnknown)?
        }
    };
    if (owner.account, owner.device) != (account, device) {
        let rule = "the key is not that of this account and device";
        return Err(Refusal::ScopeDenied { rule: rule.into() }.into());
    }
    let known = views.accounts().account(account)?;
    if known.as_ref().is_some_and(|known| known.is_erased) {
        return Err(Refusal::Erased.into());
    }
    if !owner.is_active {
        return Err(Refusal::KidRevoked.into());
    }
    let roles = known.map(|known| known.roles).unwrap_or_default();
    let wanted: Wanted = serde_json::from_value(envelope.body)
        .map_err(|error| Refusal::BodyInvalid { rule: error.to_string() })?;
    if wanted.ttl_s == 0 || wanted.ttl_s > TOKEN_TTL_S_MAX {
        let rule = format!("`ttl_s` must be 1 to {TOKEN_TTL_S_MAX}");
        return Err(Refusal::BodyInvalid { rule }.into());
    }
    let nonces = app.tokens.nonces.lock();
    nonces.unwrap_or_else(PoisonError::into_inner).use_up(key, envelope.stamp.nonce, now)?;
    let ttl_ms = i64::try_from(wanted.ttl_s).unwrap_or_default() * 1000;
    let exp = now.plus_ms(ttl_ms);
    let token = app.tokens.seal(&Claims { account, by: By::Key(device, key), exp });
    let answer = Token {
        access_token: token,
        token_type: "Bearer",
        expires_in: wanted.ttl_s,
        expires_at: exp.to_string(),
        account,
        roles,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(answer)).into_response())
}

/// Reads the token of a request.
fn claims_of(parts: &Parts, app: &App) -> Result<Claims, Problem> {
    let missing =
        || Problem::new(&TOKEN_MISSING, "send `Authorization: Bearer` with a token from POST /v1/tokens");
    let text = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = text.and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    app.tokens.open(token.trim(), app.gateway.clock.now())
}

/// For what takes a device: a session is not enough.
impl FromRequestParts<Arc<App>> for Holder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Holder, Problem> {
        let Claims { account, by, .. } = claims_of(parts, app)?;
        match by {
            By::Key(device, key) => Ok(Holder { account, device, key }),
            By::Session(..) => Err(Problem::forbidden(DEVICE_NEEDED)),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Caller, Problem> {
        let Claims { account, by, .. } = claims_of(parts, app)?;
        let found = match by {
            By::Key(device, key) => Holder { account, device, key }.caller(app)?,
            By::Session(session, until) => caller_in_session(app, account, session, until)?,
        };
        found.ok_or_else(|| Problem::new(&TOKEN_INVALID, ENDED))
    }
}

/// Where anybody may ask: nobody in particular does who sends no token.
impl OptionalFromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Option<Caller>, Problem> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(None);
        }
        <Caller as FromRequestParts<Arc<App>>>::from_request_parts(parts, app).await.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_forgotten_only_when_their_request_can_not_come_again() {
        let (key, start) = (KeyId([1; 32]), Timestamp::from_ms(1_000_000));
        let nonce = |n: u32| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            Nonce(bytes)
        };
        let mut nonces = Nonces::default();
        for n in 0..NONCES_MAX as u32 {
            assert_eq!(nonces.use_up(key, nonce(n), start), Ok(()));
        }
        let later = start.plus_ms(FRESHNESS_MS + CLOCK_SKEW_MS);
        assert_eq!(nonces.use_up(key, nonce(0), later), Err(Refusal::NonceReused));
        assert_eq!(nonces.use_up(key, nonce(u32::MAX), later), Err(Refusal::Busy));
        assert_eq!(nonces.use_up(key, nonce(u32::MAX), later.plus_ms(1)), Ok(()));
    }

    #[test]
    fn a_token_holds_only_where_it_was_made_unchanged_and_in_time() {
        let tokens = Tokens::new();
        let exp = Timestamp::from_ms(5_000);
        let claims = Claims {
            account: AccountId::from_uuid(uuid::Uuid::from_u128(1)),
            by: By::Key(DeviceId::from_uuid(uuid::Uuid::from_u128(2)), KeyId([3; 32])),
            exp,
        };
        let token = tokens.seal(&claims);
        assert_eq!(tokens.open(&token, exp.plus_ms(-1)).unwrap(), claims);
        assert!(tokens.open(&token, exp).is_err());
        assert!(Tokens::new().open(&token, exp.plus_ms(-1)).is_err());
        let (payload, tag) = token.split_once('.').unwrap();
        let other = tokens.seal(&Claims { exp: exp.plus_ms(1), ..claims });
        let (other_payload, _) = other.split_once('.').unwrap();
        for bad in
            [format!("{other_payload}.{tag}"), format!("{payload}."), payload.to_owned(), String::new()]
        {
            assert!(tokens.open(&bad, exp.plus_ms(-1)).is_err(), "{bad}");
        }
    }
}
