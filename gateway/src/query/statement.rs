//! Answers what an account held at any time, and what changed it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use events::ledger::LedgerAccount;
use events::{Currency, Money, Position};
use projections::ledger::{POSTINGS_PER_PAGE_MAX, Posting, has_statement};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Params, VIEWS_TIME_MAX, ask};
use crate::http::App;
use crate::problem::Problem;
use crate::token::Caller;

/// Postings of a page unless the query says otherwise.
pub(crate) const POSTINGS_PER_PAGE: usize = 20;

/// Postings of an account in one currency.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Statement {
    /// The account.
    account: LedgerAccount,
    /// What it held behind the first posting of this page; zero if there is none.
    balance: Money,
    /// Newest first.
    postings: Vec<Posting>,
    /// Give it as `cursor` to get the next page; null: this was the last.
    next_cursor: Option<String>,
}

/// `GET /v1/wallet/statement`
pub(crate) async fn statement(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["account", "currency", "at", "cursor", "limit"])?;
    let account = params.get("account")?.unwrap_or(LedgerAccount::Wallet(caller.account));
    let currency: Option<Currency> = params.get("currency")?;
    let currency = currency.ok_or_else(|| Problem::query_invalid("name `currency`, such as USD"))?;
    if !has_statement(account) {
        let detail = "an order's and a payout's accounts have no statement: see the order and the payout";
        return Err(Problem::query_invalid(detail));
    }
    let may_see = match account {
        LedgerAccount::Wallet(owner)
        | LedgerAccount::SellerAvailable(owner)
        | LedgerAccount::SellerReserve(owner)
        | LedgerAccount::SellerReceivable(owner)
        | LedgerAccount::BuyerReceivable(owner)
        | LedgerAccount::ProviderFees(owner)
        | LedgerAccount::ProviderChargebacks(owner)
        | LedgerAccount::ProviderClearing(owner) => caller.may_see(owner),
        _ => caller.is_operator(),
    };
    if !may_see {
        return Err(Problem::forbidden("only operators see the accounts of others and of the platform"));
    }
    let at: Option<Position> = params.get("at")?;
    let (cursor, limit) = params.page::<Position>(POSTINGS_PER_PAGE, POSTINGS_PER_PAGE_MAX)?;
    if let Some(at) = at {
        // What will stand there nobody knows yet.
        app.gateway.projections.wait_for(at, VIEWS_TIME_MAX).await?;
    }
    let before = [at.map(|at| at.saturating_add(1)), cursor].into_iter().flatten().min();
    let found = ask(&app, move |views| views.ledger().statement(account, currency, before, limit)).await?;
    Ok(found.map(|page| Statement {
        account,
        balance: page.postings.first().map_or(Money::zero(currency), |newest| newest.balance),
        postings: page.postings,
        next_cursor: page.next.map(|next| next.to_string()),
    }))
}
