//! Answers what else somebody may want.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use events::Money;
use events::ids::{AccountId, ListingId};
use events::search::Category;
use projections::recommendation::{RECOMMENDED_MAX, Reason, Recommended as Found, SOURCES_MAX};
use schemars::JsonSchema;
use serde::Serialize;

use crate::dify::CANDIDATES;
use crate::http::App;
use crate::problem::Problem;
use crate::query::{Params, ask};
use crate::token::Caller;

/// Listings that are recommended unless the query says otherwise.
pub(crate) const RECOMMENDED: usize = 10;
/// Listings that are suggested beside the results of a search.
const SUGGESTED: usize = 5;

/// What somebody may want, what he does the most first.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Recommendations {
    /// Who put them in order.
    ordered_by: OrderedBy,
    /// Listings that can be bought now.
    recommendations: Vec<Recommended>,
}

/// Who put recommendations in order.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderedBy {
    /// The market, by what is ordered.
    Market,
    /// A language model, of what the market recommends.
    Dify,
}

/// A listing that somebody may want.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Recommended {
    /// The listing.
    listing: ListingId,
    /// Who sells.
    seller: AccountId,
    /// What it is.
    title: String,
    /// Price of one unit, as it is now.
    price: Money,
    /// How many units can be ordered now.
    available: u64,
    /// Why.
    reason: Reason,
}

impl From<Found> for Recommended {
    fn from(Found { offer, reason }: Found) -> Recommended {
        let listing = offer.listing;
        Recommended {
            available: listing.stock.available(),
            listing: listing.listing,
            seller: listing.seller,
            title: listing.title,
            price: listing.price,
            reason,
        }
    }
}

fn shown(found: Vec<Found>, ordered_by: OrderedBy) -> Recommendations {
    Recommendations { ordered_by, recommendations: found.into_iter().map(Recommended::from).collect() }
}

/// Puts what is recommended to an account in the order of a language model, where one is asked and answers.
async fn put_in_order(app: &App, account: AccountId, found: &mut [Found]) -> OrderedBy {
    let Some(ranking) = &app.gateway.dify.ranking else { return OrderedBy::Market };
    if found.len() < 2 {
        return OrderedBy::Market;
    }
    match ranking.put_in_order(account, found).await {
        Ok(()) => OrderedBy::Dify,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "recommendations stand in the market's own order: Dify did not help");
            OrderedBy::Market
        }
    }
}

/// Reads the listings that something is to belong to.
fn listings(params: &Params) -> Result<Vec<ListingId>, Problem> {
    let wrong =
        || Problem::query_invalid(format!("`listings` is 1 to {SOURCES_MAX} ids with commas between"));
    let text = params.text("listings").ok_or_else(wrong)?;
    let listings: Result<Vec<ListingId>, _> = text.split(',').take(SOURCES_MAX + 1).map(str::parse).collect();
    listings.ok().filter(|listings| listings.len() <= SOURCES_MAX).ok_or_else(wrong)
}

/// Gives what an account may want beside what it looked for; of nobody, what is ordered of late.
pub(crate) async fn suggested(
    app: &Arc<App>,
    account: Option<AccountId>,
) -> Result<Vec<Recommended>, Problem> {
    let now = app.gateway.clock.now();
    let found = ask(app, move |views| match account {
        Some(account) => views.recommendations().for_you(account, now, SUGGESTED),
        None => views.recommendations().popular(None, now, SUGGESTED),
    });
    Ok(found.await?.found.into_iter().map(Recommended::from).collect())
}

/// `GET /v1/recommendations/bought-with`
pub(crate) async fn bought_with(
    _: Option<Caller>,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["listings", "limit"])?;
    let listings = listings(&params)?;
    let limit = params.limit(RECOMMENDED, RECOMMENDED_MAX)?;
    let found = ask(&app, move |views| views.recommendations().bought_with(&listings, limit)).await?;
    Ok(found.map(|found| shown(found, OrderedBy::Market)))
}

/// `GET /v1/recommendations/for-you`
pub(crate) async fn for_you(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["limit"])?;
    let limit = params.limit(RECOMMENDED, RECOMMENDED_MAX)?;
    let now = app.gateway.clock.now();
    let account = caller.account;
    // More than are asked for: the last of them may be what he wants the most.
    let count = if app.gateway.dify.ranking.is_some() { limit.max(CANDIDATES) } else { limit };
    let mut found = ask(&app, move |views| views.recommendations().for_you(account, now, count)).await?;
    let ordered_by = put_in_order(&app, account, &mut found.found).await;
    found.found.truncate(limit);
    Ok(found.map(|found| shown(found, ordered_by)))
}

/// `GET /v1/recommendations/popular`
pub(crate) async fn popular(
    _: Option<Caller>,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["category", "limit"])?;
    let category: Option<Category> = params.get("category")?;
    let limit = params.limit(RECOMMENDED, RECOMMENDED_MAX)?;
    let now = app.gateway.clock.now();
    let found = ask(&app, move |views| views.recommendations().popular(category.as_ref(), now, limit));
    let found = found.await?;
    Ok(found.map(|found| shown(found, OrderedBy::Market)))
}
