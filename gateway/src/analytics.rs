//! Answers questions about numbers: operators about the market, sellers about their own sales.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use events::account::Role;
use events::ids::{AccountId, ListingId};
use events::{Currency, Timestamp};
use projections::analytics::{
    Activity, Latency, ListingSales, Point, QueryError, Rank, RejectionCount, Sales, Step, TOP_MAX, TimeRange,
};
use projections::order::Escrows;
use projections::{Projections, ViewError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::App;
use crate::past::time_of;
use crate::problem::Problem;
use crate::query::{Params, ask_as_of};
use crate::token::Caller;

/// The time that is asked about unless the query says otherwise, up to now.
const RANGE_MS: i64 = 30 * 86_400_000;
/// Entries of a ranking unless the query says otherwise.
pub(crate) const TOP: usize = 10;

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
    Listing(ListingId),
}

/// Says whose numbers are asked for, if the caller may see them; a listing's owner is looked up later.
fn whose(caller: &Caller, params: &Params) -> Result<Whose, Problem> {
    let (seller, listing) = (params.get("seller")?, params.get("listing")?);
    if seller.is_some() && listing.is_some() {
        return Err(Problem::query_invalid("give `seller` or `listing`, not both"));
    }
    if caller.is_operator() {
        let of_seller = seller.map_or(Whose::Market, Whose::Seller);
        return Ok(listing.map_or(of_seller, Whose::Listing));
    }
    if !caller.roles.contains(&Role::Seller) || seller.is_some_and(|seller| seller != caller.account) {
        return Err(Problem::forbidden("operators see the market's numbers, sellers their own"));
    }
    Ok(listing.map_or(Whose::Seller(caller.account), Whose::Listing))
}

/// Checks that a listing is there and the caller's to see.
fn check_listing(views: &Projections, caller: &Caller, listing: ListingId) -> Result<(), Problem> {
    let found = views.listings().listing(listing)?;
    let is_seen = found.is_some_and(|offer| caller.may_see(offer.listing.seller));
    if is_seen { Ok(()) } else { Err(Problem::not_found("listing")) }
}

fn operators_only(caller: &Caller) -> Result<(), Problem> {
    if caller.is_operator() { Ok(()) } else { Err(Problem::forbidden("these numbers are for operators")) }
}

fn range(params: &Params, now: Timestamp) -> Result<TimeRange, Problem> {
    let to = params.moment("to")?.unwrap_or(now.plus_ms(1));
    let from = params.moment("from")?.unwrap_or(to.plus_ms(-RANGE_MS));
    Ok(TimeRange { from, to })
}

/// What happened in a time in the market, or since it opened to a seller or listing.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Summary {
    /// The market's.
    Market { range: TimeRange, numbers: Activity },
    /// A seller's.
    Seller { seller: AccountId, since: Since, numbers: SellerNumbers },
    /// A listing's.
    Listing { listing: ListingId, since: Since, numbers: ListingSales },
}

/// Since when numbers are counted.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Since {
    /// Since the market opened.
    Opening,
}

/// A seller's numbers.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SellerNumbers {
    sales: Sales,
}

/// `GET /v1/analytics/summary`
pub(crate) async fn summary(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["from", "to", "seller", "listing", "as_of"])?;
    let question = SummaryQuestion::read(&caller, &params, app.gateway.clock.now())?;
    ask_as_of(&caller, &params, &app, move |views| question.answer(views)).await
}

/// Whose numbers of which time are asked for, by somebody who may see them.
#[derive(Debug, Clone)]
pub(crate) struct SummaryQuestion {
    caller: Caller,
    whose: Whose,
    range: TimeRange,
}

impl SummaryQuestion {
    pub(crate) fn read(caller: &Caller, params: &Params, now: Timestamp) -> Result<Self, Problem> {
        Ok(SummaryQuestion {
            caller: caller.clone(),
            whose: whose(caller, params)?,
            range: range(params, now)?,
        })
    }

    pub(crate) fn answer(&self, views: &Projections) -> Result<Summary, Problem> {
        let (analytics, since, range) = (views.analytics(), Since::Opening, self.range);
        Ok(match self.whose {
            Whose::Market => Summary::Market { range, numbers: analytics.summary(range)? },
            Whose::Seller(seller) => {
                let numbers = SellerNumbers { sales: analytics.seller(seller)? };
                Summary::Seller { seller, since, numbers }
            }
            Whose::Listing(listing) => {
                check_listing(views, &self.caller, listing)?;
                Summary::Listing { listing, since, numbers: analytics.listing(listing)? }
            }
        })
    }
}

/// What happened step by step. A seller's and a listing's steps without sales are left out.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Series {
    /// The market's.
    Market { range: TimeRange, step: Step, points: Vec<Point<Activity>> },
    /// A seller's.
    Seller { seller: AccountId, range: TimeRange, step: Step, points: Vec<Point<Sales>> },
    /// A listing's.
    Listing { listing: ListingId, range: TimeRange, step: Step, points: Vec<Point<ListingSales>> },
}

/// `GET /v1/analytics/series`
pub(crate) async fn series(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["from", "to", "seller", "listing", "step", "as_of"])?;
    let (whose, range) = (whose(&caller, &params)?, range(&params, app.gateway.clock.now())?);
    let step = params.word("step")?.unwrap_or(Step::Day);
    if !matches!(whose, Whose::Market) && step != Step::Day {
        return Err(Problem::query_invalid("a seller's and a listing's numbers are kept by `day`"));
    }
    let seen_by = caller.clone();
    let found = ask_as_of(&caller, &params, &app, move |views| -> Result<Series, Problem> {
        let analytics = views.analytics();
        Ok(match whose {
            Whose::Market => Series::Market { range, step, points: analytics.series(step, range)? },
            Whose::Seller(seller) => {
                Series::Seller { seller, range, step, points: analytics.seller_days(seller, range)? }
            }
            Whose::Listing(listing) => {
                check_listing(views, &seen_by, listing)?;
                Series::Listing { listing, range, step, points: analytics.listing_days(listing, range)? }
            }
        })
    });
    found.await
}

/// The best by what was ordered of them in a currency, first the best.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Top {
    /// Sellers.
    Sellers { currency: Currency, sellers: Vec<Rank<AccountId, Sales>> },
    /// Listings.
    Listings { currency: Currency, listings: Vec<Rank<ListingId, ListingSales>> },
}

/// `GET /v1/analytics/top`
pub(crate) async fn top(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["of", "currency", "limit", "as_of"])?;
    operators_only(&caller)?;
    let currency: Currency = params
        .get("currency")?
        .ok_or_else(|| Problem::query_invalid("`currency` is missing, such as USD"))?;
    let limit = params.limit(TOP, TOP_MAX)?;
    let of_sellers = match params.text("of") {
        None | Some("sellers") => true,
        Some("listings") => false,
        Some(_) => return Err(Problem::query_invalid("`of` is `sellers` or `listings`")),
    };
    let found = ask_as_of(&caller, &params, &app, move |views| -> Result<Top, ViewError> {
        let analytics = views.analytics();
        Ok(if of_sellers {
            Top::Sellers { currency, sellers: analytics.top_sellers(currency, limit)? }
        } else {
            Top::Listings { currency, listings: analytics.top_listings(currency, limit)? }
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
    params.only(&["as_of"])?;
    operators_only(&caller)?;
    ask_as_of(&caller, &params, &app, |views| views.analytics().funnel()).await
}

/// How long orders take.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Latencies {
    /// From being placed to each milestone.
    milestones: Vec<Latency>,
}

/// `GET /v1/analytics/latency`
pub(crate) async fn latency(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["as_of"])?;
    operators_only(&caller)?;
    let found = ask_as_of(&caller, &params, &app, |views| views.analytics().latency()).await?;
    Ok(found.map(|milestones| Latencies { milestones }))
}

/// What is held in escrow.
#[derive(Serialize, JsonSchema)]
pub(crate) struct EscrowAges {
    /// When: ages are counted up to it.
    time: Timestamp,
    /// By currency; one in which nothing is held is left out.
    escrows: Vec<Escrows>,
}

/// `GET /v1/analytics/escrows`
pub(crate) async fn escrows(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["as_of"])?;
    operators_only(&caller)?;
    let now = app.gateway.clock.now();
    let time = match params.as_of("as_of")? {
        None => now,
        Some(as_of) => time_of(app.gateway.log.as_ref(), as_of).await?.min(now),
    };
    let found = ask_as_of(&caller, &params, &app, move |views| views.orders().escrows(time)).await?;
    Ok(found.map(|escrows| EscrowAges { time, escrows }))
}

/// Why commands were rejected.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Rejections {
    /// When.
    range: TimeRange,
    /// How often for which reason on which day.
    rejections: Vec<RejectionCount>,
}

/// `GET /v1/analytics/rejections`
pub(crate) async fn rejections(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["from", "to", "as_of"])?;
    operators_only(&caller)?;
    let range = range(&params, app.gateway.clock.now())?;
    let found = ask_as_of(&caller, &params, &app, move |views| views.analytics().rejections(range)).await?;
    Ok(found.map(|rejections| Rejections { range, rejections }))
}
