//! Payments and payouts through providers: what there is to pay through, how each stands, what differs between providers' files
//! and the ledger, and where providers tell that something happened.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use engine::effects::MessageError;
use events::Position;
use events::ids::{AccountId, PaymentId, PayoutId};
use projections::payment::{
    BREAKS_PER_PAGE_MAX, BreakPage, BreakState, PAYOUTS_PER_PAGE_MAX, Payout, PayoutPage, ReconciliationBreak,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::App;
use crate::problem::{MESSAGE_REFUSED, Problem};
use crate::query::{Params, PathParts, ask, id_of};
use crate::submit::read_body;
use crate::token::Caller;

/// What can be paid through.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ProviderList {
    /// The providers of this process.
    providers: Vec<ProviderName>,
}

/// A provider that can be paid through.
#[derive(Serialize, JsonSchema)]
struct ProviderName {
    /// Its name.
    name: &'static str,
    /// Its account: `method.provider` of the command `payment.request`.
    account: AccountId,
}

/// `GET /v1/providers`
pub(crate) async fn providers(State(app): State<Arc<App>>) -> Response {
    let providers = app.gateway.effects.providers();
    let providers = providers.map(|(name, account)| ProviderName { name, account }).collect();
    axum::Json(ProviderList { providers }).into_response()
}

/// `GET /v1/payments/{id}`
pub(crate) async fn payment(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    PathParts(id): PathParts<String>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    let id: PaymentId = id_of(&id, "payment")?;
    let found = ask(&app, move |views| views.payments().payment(id)).await?;
    found.filter("payment", |payment| payment.filter(|payment| caller.may_see(payment.account)))
}

/// Payouts of a page unless the query says otherwise.
pub(crate) const PAYOUTS_PER_PAGE: usize = 20;

/// Some payouts, newest first.
#[derive(Serialize, JsonSchema)]
pub(crate) struct PayoutList {
    /// The payouts.
    payouts: Vec<Payout>,
    /// Pass it as `cursor` to get the next page; null: this was the last.
    next_cursor: Option<Position>,
}

/// `GET /v1/payouts`
pub(crate) async fn payouts(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["account", "cursor", "limit"])?;
    let account = params.get::<AccountId>("account")?.unwrap_or(caller.account);
    if !caller.may_see(account) {
        return Err(Problem::forbidden("only operators list the payouts of others"));
    }
    let (cursor, limit) = params.page::<Position>(PAYOUTS_PER_PAGE, PAYOUTS_PER_PAGE_MAX)?;
    let found = ask(&app, move |views| -> Result<_, projections::ViewError> {
        let PayoutPage { payouts, next } = views.payments().payouts(account, cursor, limit)?;
        Ok(PayoutList { payouts, next_cursor: next })
    });
    found.await
}

/// `GET /v1/payouts/{id}`
pub(crate) async fn payout(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    PathParts(id): PathParts<String>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    let id: PayoutId = id_of(&id, "payout")?;
    let found = ask(&app, move |views| views.payments().payout(id)).await?;
    found.filter("payout", |payout| payout.filter(|payout| caller.may_see(payout.account)))
}

/// Breaks of a page unless the query says otherwise.
pub(crate) const BREAKS_PER_PAGE: usize = 20;

/// Some breaks, newest first.
#[derive(Serialize, JsonSchema)]
pub(crate) struct BreakList {
    /// The breaks.
    breaks: Vec<ReconciliationBreak>,
    /// Pass it as `cursor` to get the next page; null: this was the last.
    next_cursor: Option<u64>,
}

/// `GET /v1/reconciliation/breaks`
pub(crate) async fn breaks(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["cursor", "limit", "state"])?;
    if !caller.is_operator() {
        return Err(Problem::forbidden("what differs between providers and the ledger is for operators"));
    }
    let state: BreakState = params.word("state")?.unwrap_or_default();
    let (cursor, limit) = params.page::<u64>(BREAKS_PER_PAGE, BREAKS_PER_PAGE_MAX)?;
    let found = ask(&app, move |views| -> Result<_, projections::ViewError> {
        let BreakPage { breaks, next } = views.payments().breaks(state, cursor, limit)?;
        Ok(BreakList { breaks, next_cursor: next })
    });
    found.await
}

/// Says that a provider's message is settled.
#[derive(Serialize, JsonSchema)]
pub(crate) struct MessageTaken {
    /// Always true.
    taken: bool,
}

/// `POST /v1/providers/{provider}/webhooks`
pub(crate) async fn message(
    State(app): State<Arc<App>>,
    PathParts(provider): PathParts<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_body(&headers, body).await?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    match app.gateway.effects.take_message(&provider, &header, &body).await {
        Ok(()) => Ok(axum::Json(MessageTaken { taken: true }).into_response()),
        Err(MessageError::UnknownProvider) => Err(Problem::not_found("provider")),
        Err(MessageError::Refused(why)) => Err(Problem::new(&MESSAGE_REFUSED, why.to_string())),
        Err(error @ MessageError::Unsettled) => Err(Problem::unavailable(error.to_string())),
    }
}
