//! Answers questions about numbers: operators about the market, sellers about their own sales.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use events::account::Role;
use events::ids::AccountId;
use events::{Currency, Timestamp};
use projections::ViewError;
use projections::analytics::{QueryError, Step, TOP_MAX, TimeRange};
use serde_json::{Value, json};

use crate::http::App;
use crate::problem::Problem;
use crate::query::{Params, ask};
use crate::token::Caller;

/// The time that is asked about unless the query says otherwise, up to now.
const RANGE_MS: i64 = 30 * 86_400_000;
/// Entries of a ranking unless the query says otherwise.
const TOP: usize = 10;

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Problem {
        match error {
            QueryError::View(error) => error.into(),
            QueryError::Range { .. } => Problem::query_invalid(error.to_string()),
        }
    }
}

/// Whose numbers are asked for.
#[derive(Debug, Clone, Copy)]
enum Whose {
    Market,
    Seller(AccountId),
}

fn whose(caller: &Caller, params: &Params) -> Result<Whose, Problem> {
    let seller: Option<AccountId> = params.get("seller")?;
    if caller.is_operator() {
        return Ok(seller.map_or(Whose::Market, Whose::Seller));
    }
    if !caller.roles.contains(&Role::Seller) || seller.is_some_and(|seller| seller != caller.account) {
        return Err(Problem::forbidden("operators see the market's numbers, sellers their own"));
    }
    Ok(Whose::Seller(caller.account))
}

fn operators_only(caller: &Caller) -> Result<(), Problem> {
    if caller.is_operator() { Ok(()) } else { Err(Problem::forbidden("these numbers are for operators")) }
}

fn range(params: &Params, now: Timestamp) -> Result<TimeRange, Problem> {
    let to = params.moment("to")?.unwrap_or(now.plus_ms(1));
    let from = params.moment("from")?.unwrap_or(to.plus_ms(-RANGE_MS));
    Ok(TimeRange { from, to })
}

/// `GET /v1/analytics/summary`
pub(crate) async fn summary(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["from", "to", "seller"])?;
    let (whose, range) = (whose(&caller, &params)?, range(&params, app.gateway.clock.now())?);
    let found = ask(&app, move |views| -> Result<Value, ViewError> {
        Ok(match whose {
            Whose::Market => json!({"range": range, "numbers": views.analytics().summary(range)?}),
            Whose::Seller(seller) => {
                json!({"seller": seller, "since": "opening", "numbers": {"sales": views.analytics().seller(seller)?}})
            }
        })
    });
    found.await
}

/// `GET /v1/analytics/series`
pub(crate) async fn series(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["from", "to", "seller", "step"])?;
    let (whose, range) = (whose(&caller, &params)?, range(&params, app.gateway.clock.now())?);
    let step = params.word("step")?.unwrap_or(Step::Day);
    if matches!(whose, Whose::Seller(_)) && step != Step::Day {
        return Err(Problem::query_invalid("a seller's numbers are kept by `day`"));
    }
    let found = ask(&app, move |views| -> Result<Value, QueryError> {
        Ok(match whose {
            Whose::Market => {
                json!({"range": range, "step": step, "points": views.analytics().series(step, range)?})
            }
            Whose::Seller(seller) => json!({
                "seller": seller, "range": range, "step": step,
                "points": views.analytics().seller_days(seller, range)?,
            }),
        })
    });
    found.await
}

/// `GET /v1/analytics/top`
pub(crate) async fn top(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["of", "currency", "limit"])?;
    operators_only(&caller)?;
    let currency: Currency = params
        .get("currency")?
        .ok_or_else(|| Problem::query_invalid("`currency` is missing, such as USD"))?;
    let limit = params.get("limit")?.unwrap_or(TOP);
    if limit == 0 || limit > TOP_MAX {
        return Err(Problem::query_invalid(format!("`limit` is 1 to {TOP_MAX}")));
    }
    let of_sellers = match params.text("of") {
        None | Some("sellers") => true,
        Some("listings") => false,
        Some(_) => return Err(Problem::query_invalid("`of` is `sellers` or `listings`")),
    };
    let found = ask(&app, move |views| -> Result<Value, ViewError> {
        let analytics = views.analytics();
        Ok(if of_sellers {
            json!({"currency": currency, "sellers": analytics.top_sellers(currency, limit)?})
        } else {
            json!({"currency": currency, "listings": analytics.top_listings(currency, limit)?})
        })
    });
    found.await
}

/// `GET /v1/analytics/funnel`
pub(crate) async fn funnel(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    operators_only(&caller)?;
    ask(&app, |views| views.analytics().funnel()).await
}

/// `GET /v1/analytics/latency`
pub(crate) async fn latency(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    operators_only(&caller)?;
    Ok(ask(&app, |views| views.analytics().latency()).await?.map(|all| json!({ "milestones": all })))
}

/// `GET /v1/analytics/rejections`
pub(crate) async fn rejections(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["from", "to"])?;
    operators_only(&caller)?;
    let range = range(&params, app.gateway.clock.now())?;
    let found = ask(&app, move |views| views.analytics().rejections(range)).await?;
    Ok(found.map(|days| json!({ "range": range, "rejections": days })))
}
