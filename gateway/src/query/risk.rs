//! How purchases were judged, for operators.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use events::ids::OrderId;
use events::with_causes;
use projections::ViewError;
use projections::risk::{OrderRisk, REVIEWS_PER_PAGE_MAX, ReviewPage, ReviewState};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Params, PathParts, ask, id_of};
use crate::http::App;
use crate::problem::{NO_ANALYSIS, Problem};
use crate::token::Caller;

/// Reviews of a page unless the query says otherwise.
pub(crate) const REVIEWS_PER_PAGE: usize = 20;

/// Some reviews: of open ones the most urgent first, of decided ones the last first.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ReviewList {
    /// The reviews.
    reviews: Vec<OrderRisk>,
    /// Pass it as `cursor` to get the next page; null: this was the last.
    next_cursor: Option<OrderId>,
}

/// `GET /v1/risk/reviews`
pub(crate) async fn reviews(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&["cursor", "limit", "state"])?;
    if !caller.is_operator() {
        return Err(Problem::forbidden("reviews of risk are for operators"));
    }
    let state: ReviewState = params.word("state")?.unwrap_or_default();
    let (cursor, limit) = params.page::<OrderId>(REVIEWS_PER_PAGE, REVIEWS_PER_PAGE_MAX)?;
    let found = ask(&app, move |views| -> Result<_, ViewError> {
        let ReviewPage { reviews, next } = views.risk().reviews(state, cursor, limit)?;
        Ok(ReviewList { reviews, next_cursor: next })
    });
    found.await
}

/// `GET /v1/orders/{id}/risk/analysis`
pub(crate) async fn analysis(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    PathParts(id): PathParts<String>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    if !caller.is_operator() {
        return Err(Problem::forbidden("how purchases are judged is for operators"));
    }
    let id: OrderId = id_of(&id, "order")?;
    let found = ask(&app, move |views| views.risk().order(id)).await?.found;
    let Some(risk) = found else { return Err(Problem::not_found("order's risk")) };
    let Some(application) = &app.gateway.dify.analysis else {
        return Err(Problem::new(
            &NO_ANALYSIS,
            "no language model is asked about risk here: see docs/dify.md",
        ));
    };
    application.analyse(&risk).await.map(axum::Json).map_err(|error| {
        let told = with_causes(&error);
        tracing::warn!(error = told, "no analysis of an order's risk: Dify did not help");
        Problem::new(&NO_ANALYSIS, format!("there is no analysis now, decide without it: {told}"))
    })
}

/// `GET /v1/orders/{id}/risk`
pub(crate) async fn order(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    PathParts(id): PathParts<String>,
) -> Result<impl IntoResponse, Problem> {
    params.only(&[])?;
    if !caller.is_operator() {
        return Err(Problem::forbidden("how purchases are judged is for operators"));
    }
    let id: OrderId = id_of(&id, "order")?;
    let found = ask(&app, move |views| views.risk().order(id)).await?;
    found.filter("order's risk", |found| found)
}
