//! What banks dispute, for those whom it is about.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use events::Position;
use events::ids::ChargebackId;
use projections::payment::{CHARGEBACKS_PER_PAGE_MAX, Chargeback, ChargebackFilter, ChargebackPage};
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::App;
use crate::problem::Problem;
use crate::query::{Params, PathParts, ask, id_of};
use crate::token::Caller;

/// Chargebacks of a page unless the query says otherwise.
pub(crate) const CHARGEBACKS_PER_PAGE: usize = 20;

/// Some chargebacks, newest first.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ChargebackList {
    /// The chargebacks.
    chargebacks: Vec<Chargeback>,
    /// Pass it as `cursor` to get the next page; null: this was the last.
    next_cursor: Option<Position>,
}

/// `GET /v1/chargebacks`
pub(crate) async fn chargebacks(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["cursor", "limit", "state"])?;
    let filter: ChargebackFilter = params.word("state")?.unwrap_or_default();
    let (cursor, limit) = params.page::<Position>(CHARGEBACKS_PER_PAGE, CHARGEBACKS_PER_PAGE_MAX)?;
    let found = ask(&app, move |views| -> Result<_, projections::ViewError> {
        let payments = views.payments();
        let ChargebackPage { chargebacks, next } = if caller.is_operator() {
            payments.chargebacks(filter, cursor, limit)?
        } else {
            payments.chargebacks_of(caller.account, filter, cursor, limit)?
        };
        let chargebacks = chargebacks.into_iter().map(|one| shown(&caller, one)).collect();
        Ok(ChargebackList { chargebacks, next_cursor: next })
    });
    found.await
}

/// `GET /v1/chargebacks/{id}`
pub(crate) async fn chargeback(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    PathParts(id): PathParts<String>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    let id: ChargebackId = id_of(&id, "chargeback")?;
    let found = ask(&app, move |views| views.payments().chargeback(id)).await?;
    found.filter("chargeback", |one| one.filter(|one| may_see(&caller, one)).map(|one| shown(&caller, one)))
}

/// Tells whether a chargeback is about what somebody sold, or paid.
fn may_see(caller: &Caller, one: &Chargeback) -> bool {
    caller.may_see(one.account) || one.orders.iter().any(|order| order.seller == caller.account)
}

/// Leaves out what is none of the caller's: others' orders, what they gave as evidence, and what it cost the platform.
pub(crate) fn shown(caller: &Caller, mut one: Chargeback) -> Chargeback {
    if caller.is_operator() {
        return one;
    }
    let is_only_his = one.orders.iter().all(|order| order.seller == caller.account);
    if one.account != caller.account {
        one.orders.retain(|order| order.seller == caller.account);
    }
    if !is_only_his {
        one.evidence = None;
    }
    (one.fee, one.advanced) = (None, None);
    one
}
