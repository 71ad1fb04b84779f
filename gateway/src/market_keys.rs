//! The market's own keys: those that are live, those that were, and what leads from one to the next. All of it is public.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use commands::checkpoint::verifier_key;
use commands::market_key::{Announcement, MarketKey};
use events::Timestamp;
use events::account::Algorithm;
use events::ids::KeyId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::http::App;
use crate::problem::Problem;

/// A set of keys (RFC 7517).
#[derive(Serialize, JsonSchema)]
pub(crate) struct KeySet {
    /// The keys of the market that are live, at most two: first the one that signs receipts, then the one before it.
    keys: Vec<Jwk>,
}

/// Every key of the market, and what leads from its first to its present one.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AllKeys {
    /// The words that lead from each key to the next, oldest first, each signed with both: who trusts one key of the market can
    /// follow them to the present one.
    announcements: Vec<Announcement>,
    /// The keys that are live, at most two: first the one that signs receipts, then the one before it.
    keys: Vec<Jwk>,
    /// The live keys in the form that programs for signed notes take, in the same order; none of a key that is not Ed25519.
    notes: Vec<String>,
    /// The keys that were live, newest first. What they signed while they were still holds.
    retired: Vec<Jwk>,
}

/// A public key as a JWK.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Jwk {
    kty: String,
    crv: String,
    x: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    /// The RFC 7638 thumbprint of the key.
    kid: KeyId,
    alg: Algorithm,
    /// `sig`
    #[serde(rename = "use")]
    used_for: String,
    /// Since when it signs, in milliseconds since 1970.
    from: Timestamp,
    /// Until when it signed; absent: it is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

impl Jwk {
    fn of(known: &MarketKey) -> Result<Jwk, Problem> {
        let MarketKey { from, ref key, until, .. } = *known;
        let mut jwk = json!(key);
        jwk["kid"] = json!(key.id());
        jwk["alg"] = json!(key.algorithm());
        jwk["use"] = "sig".into();
        jwk["from"] = json!(from);
        let jwk: Result<Jwk, _> = serde_json::from_value(jwk);
        let jwk = jwk.map_err(|_| Problem::unavailable("the key can't be shown"))?;
        Ok(Jwk { until, ..jwk })
    }
}

/// `GET /.well-known/jwks.json`
pub(crate) async fn jwks(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let known = app.gateway.market_keys.all();
    let keys = known.live().map(Jwk::of).collect::<Result<_, Problem>>()?;
    Ok(axum::Json(KeySet { keys }).into_response())
}

/// `GET /log/keys`
pub(crate) async fn keys(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let known = app.gateway.market_keys.all();
    let retired = known.all().iter().rev().filter(|known| known.until.is_some());
    let all = AllKeys {
        announcements: known.announcements().cloned().collect(),
        keys: known.live().map(Jwk::of).collect::<Result<_, Problem>>()?,
        notes: known.live().filter_map(|known| verifier_key(&app.gateway.market, &known.key).ok()).collect(),
        retired: retired.map(Jwk::of).collect::<Result<_, Problem>>()?,
    };
    Ok(axum::Json(all).into_response())
}
