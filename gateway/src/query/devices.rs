//! The devices of an account.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use events::ids::AccountId;
use projections::ViewError;
use projections::account::{Device, Suspension};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Params, PathParts, ask};
use crate::http::App;
use crate::problem::Problem;
use crate::token::Caller;

/// The devices of an account, revoked ones too.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeviceList {
    /// Whose they are.
    account: AccountId,
    /// Since when and why the account may ask for nothing; null: it may.
    suspended: Option<Suspension>,
    /// Each, in the order of their ids.
    devices: Vec<Device>,
}

/// `GET /v1/accounts/{account}/devices`
pub(crate) async fn devices(
    caller: Caller,
    PathParts(account): PathParts<String>,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    let account = caller.account_named(&account)?;
    let found = ask(&app, move |views| {
        let accounts = views.accounts();
        Ok::<_, ViewError>(accounts.account(account)?.zip(accounts.devices(account)?))
    });
    found.await?.filter("account", |found| {
        let (known, devices) = found.filter(|_| caller.may_see(account))?;
        Some(DeviceList { account, suspended: known.suspended, devices })
    })
}
