//! A seller's desk: what he is to do and until when, what he has earned, and what of it is on its way to him.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use events::Money;
use events::ids::AccountId;
use projections::order::{DeskCursor, DeskTask, ORDERS_PER_PAGE_MAX, SellerTask, TaskCount};
use projections::payment::{Chargeback, Payout};
use projections::{Projections, ViewError};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Params, PathParts, ask_as_of};
use crate::chargebacks;
use crate::http::App;
use crate::problem::Problem;
use crate::token::Caller;

/// Tasks of a page unless the query says otherwise.
pub(crate) const TASKS_PER_PAGE: usize = 20;
/// How many payouts are shown; `/v1/payouts` has all of them.
const PAYOUTS_SHOWN: usize = 5;

/// What a seller is to do, and what he has earned.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Desk {
    /// Whose it is.
    account: AccountId,
    /// How many orders want what of him.
    counts: Vec<TaskCount>,
    /// What he is to do, the most urgent first.
    tasks: Vec<DeskTask>,
    /// Give it as `cursor` to get the next page of tasks; null: this was the last.
    next_cursor: Option<String>,
    /// What banks dispute of what he alone sold, and wait for his answer; the most urgent first.
    chargebacks: Vec<Chargeback>,
    /// What he has earned and may be paid out; one entry per currency that is not zero, here and below.
    available: Vec<Money>,
    /// What of his earnings is kept for some time before it may be paid out.
    reserve: Vec<Money>,
    /// What he owes, below zero by that: what he earns next repays it first.
    receivable: Vec<Money>,
    /// His newest payouts.
    payouts: Vec<Payout>,
}

/// `GET /v1/sellers/{account}/desk`
pub(crate) async fn desk(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    PathParts(account): PathParts<String>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["as_of", "cursor", "limit", "task"])?;
    let account = caller.account_named(&account)?;
    if !caller.may_see(account) {
        return Err(Problem::not_found("account"));
    }
    let task: Option<SellerTask> = params.word("task")?;
    let (cursor, limit) = params.page::<DeskCursor>(TASKS_PER_PAGE, ORDERS_PER_PAGE_MAX)?;
    let sees_all = caller.clone();
    let question = move |views: &Projections| -> Result<Desk, ViewError> {
        let (orders, payments) = (views.orders(), views.payments());
        let page = orders.desk(account, task, cursor, limit)?;
        let balances = views.ledger().account(account)?;
        let waiting = payments.chargebacks_to_answer(account)?;
        Ok(Desk {
            account,
            counts: orders.desk_counts(account)?,
            tasks: page.tasks,
            next_cursor: page.next.map(|next| next.to_string()),
            chargebacks: waiting.into_iter().map(|one| chargebacks::shown(&sees_all, one)).collect(),
            available: balances.seller_available,
            reserve: balances.seller_reserve,
            receivable: balances.seller_receivable,
            payouts: payments.payouts(account, None, PAYOUTS_SHOWN)?.payouts,
        })
    };
    ask_as_of(&caller, &params, &app, question).await
}
