//! Notifications over HTTP: the key that browsers subscribe with, and how somebody's devices are told. They are changed by signed commands.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use events::Timestamp;
use events::ids::{AccountId, PushSubscriptionId};
use events::push::Channel;
use projections::ViewError;
use projections::account::Preferences;
use schemars::JsonSchema;
use serde::Serialize;

use super::outbox::Last;
use crate::http::App;
use crate::problem::Problem;
use crate::query::{Params, PathParts, ask};
use crate::token::Caller;

/// What browsers subscribe with.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PushKey {
    /// The market's key for Web Push: a point of P-256, uncompressed, in base64url. It is what `pushManager.subscribe` takes as
    /// `applicationServerKey`.
    application_server_key: String,
    /// By which services this market reaches devices. Those of another may subscribe and are told nothing.
    channels: Vec<Channel>,
}

/// `GET /v1/push/key`
pub(crate) async fn key(params: Params, State(app): State<Arc<App>>) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    let push = app
        .gateway
        .push
        .as_ref()
        .ok_or_else(|| Problem::not_found("key: this market sends no notifications"))?;
    let application_server_key = push.shared.public_key.clone();
    Ok(axum::Json(PushKey { application_server_key, channels: push.shared.channels() }))
}

/// How somebody is told what happens.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownPush {
    /// Who.
    account: AccountId,
    /// What he wants.
    preferences: Preferences,
    /// His devices, by the ids of their subscriptions.
    subscriptions: Vec<ShownSubscription>,
}

/// A device that is told.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownSubscription {
    /// The subscription.
    subscription: PushSubscriptionId,
    /// By which service it is reached.
    channel: Channel,
    /// Whether this process sends by that service; where it does not, the device is told nothing.
    is_served: bool,
    /// When it began.
    subscribed_at: Timestamp,
    /// What this process sent to it last; null: nothing yet.
    last: Option<Last>,
}

/// `GET /v1/accounts/{account}/push`
pub(crate) async fn push(
    caller: Caller,
    PathParts(account): PathParts<String>,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    let account = caller.account_named(&account)?;
    let sending = app.gateway.push.clone();
    let found = ask(&app, move |views| -> Result<_, ViewError> {
        if !caller.may_see(account) || views.accounts().account(account)?.is_none() {
            return Ok(None);
        }
        let known = views.accounts().push(account)?.unwrap_or_default();
        let shown = known.subscriptions.into_iter().map(|(subscription, row)| {
            let last = match &sending {
                Some(push) => push.shared.outbox.last(subscription)?,
                None => None,
            };
            let (channel, subscribed_at) = (row.channel, row.since);
            let is_served = sending.as_ref().is_some_and(|push| push.shared.service(channel).is_some());
            Ok(ShownSubscription { subscription, channel, is_served, subscribed_at, last })
        });
        let subscriptions = shown.collect::<Result<_, ViewError>>()?;
        Ok(Some(ShownPush { account, preferences: known.preferences, subscriptions }))
    });
    found.await?.filter("account", |found| found)
}
