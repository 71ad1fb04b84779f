//! Returns that wait: a seller's, and those that an operator is to decide about.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use events::ids::AccountId;
use events::rejection::ReturnState;

use super::{Params, ask};
use crate::http::App;
use crate::problem::Problem;
use crate::token::Caller;

/// `GET /v1/returns`
pub(crate) async fn returns(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["state", "account"])?;
    let state: Option<ReturnState> = params.word("state")?;
    if matches!(state, Some(ReturnState::Refunded | ReturnState::Ended)) {
        return Err(Problem::query_invalid("`state` is one that waits: what has ended stands in its order"));
    }
    let account = params.get::<AccountId>("account")?;
    if account.is_some_and(|account| !caller.may_see(account)) {
        return Err(Problem::forbidden("only operators list the returns of others"));
    }
    let every = caller.is_operator() && account.is_none();
    if every && state.is_some_and(|state| state != ReturnState::Appealed) {
        return Err(Problem::query_invalid(
            "name an `account`: of all sellers only `appealed` ones are listed",
        ));
    }
    let seller = account.unwrap_or(caller.account);
    ask(&app, move |views| match every {
        true => views.orders().appealed_returns(),
        false => views.orders().open_returns(seller, state),
    })
    .await
}
