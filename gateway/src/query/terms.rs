//! Answers questions about the terms of purchases: taxes, deliveries, promotions.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use events::ids::{AccountId, PromotionId};
use events::promotion::PaidBy;
use events::tax::Region;
use projections::terms::{PROMOTIONS_PER_PAGE_MAX, Page, Promotion, ShippingRate, TaxRule};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Params, ask};
use crate::http::App;
use crate::problem::Problem;
use crate::token::Caller;

/// Promotions of a page unless the query says otherwise.
pub(crate) const PROMOTIONS_PER_PAGE: usize = 20;

/// How a region is taxed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct TaxList {
    /// The rules of the region, and of its country if it is a part of one. The region's come before its country's, and the one
    /// for a class before the one for everything.
    taxes: Vec<TaxRule>,
}

/// What a seller takes for delivery.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RateList {
    /// His rates; none: he delivers everywhere for nothing.
    rates: Vec<ShippingRate>,
}

/// A page of promotions, of a seller or of the platform.
#[derive(Serialize, JsonSchema)]
pub(crate) struct PromotionList {
    /// Oldest first. Those with a code are shown to their seller and operators alone; the platform's to operators.
    promotions: Vec<Promotion>,
    /// Give it as `cursor` to get the next page; null: this was the last.
    next_cursor: Option<PromotionId>,
}

/// `GET /v1/taxes`
pub(crate) async fn taxes(
    _caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["region"])?;
    let region: Option<Region> = params.get("region")?;
    let region = region.ok_or_else(|| Problem::query_invalid("name `region`, such as DE or US-CA"))?;
    let found = ask(&app, move |views| views.terms().taxes(&region)).await?;
    Ok(found.map(|taxes| TaxList { taxes }))
}

/// `GET /v1/shipping`
pub(crate) async fn rates(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["seller"])?;
    let seller = params.get::<AccountId>("seller")?.unwrap_or(caller.account);
    let found = ask(&app, move |views| views.terms().rates(seller)).await?;
    Ok(found.map(|rates| RateList { rates }))
}

/// `GET /v1/promotions`
pub(crate) async fn promotions(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["seller", "paid_by", "cursor", "limit"])?;
    let paid_by = params.word::<PaidBy>("paid_by")?;
    let seller: Option<AccountId> = params.get("seller")?;
    let payer = match (paid_by, seller) {
        (Some(PaidBy::Platform), Some(_)) => {
            return Err(Problem::query_invalid("name `seller` or `paid_by=platform`"));
        }
        (Some(PaidBy::Platform), None) => None,
        (Some(PaidBy::Seller) | None, seller) => Some(seller.unwrap_or(caller.account)),
    };
    let (cursor, limit) = params.page::<PromotionId>(PROMOTIONS_PER_PAGE, PROMOTIONS_PER_PAGE_MAX)?;
    let sees_all = payer.map_or(caller.is_operator(), |seller| caller.may_see(seller));
    let found = ask(&app, move |views| views.terms().promotions(payer, cursor, limit)).await?;
    Ok(found.map(|Page { mut promotions, next }| {
        promotions.retain(|promotion| sees_all || promotion.code.is_none());
        PromotionList { promotions, next_cursor: next }
    }))
}
