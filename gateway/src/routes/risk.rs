//! What operators ask about risk.

use projections::risk::{OrderRisk, REVIEWS_PER_PAGE_MAX};
use serde_json::json;

use super::route::{Route, uuid, view};
use crate::dify::Analysis;
use crate::problem::{FORBIDDEN, NO_ANALYSIS, NOT_FOUND};
use crate::query::risk::{self, REVIEWS_PER_PAGE, ReviewList};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/risk/reviews",
            "Orders whose risk somebody is to look at, the most urgent first; for operators",
            risk::reviews,
        )
        .question()
        .query(
            "state",
            "Those that are open, or those that were decided, the last first",
            json!({"type": "string", "enum": ["open", "decided"], "default": "open"}),
        )
        .paged(uuid(), REVIEWS_PER_PAGE, REVIEWS_PER_PAGE_MAX)
        .problems([FORBIDDEN])
        .answers(view::<ReviewList>()),
        Route::get(
            "/v1/orders/{id}/risk",
            "How the purchase of an order was judged, and its review; for operators",
            risk::order,
        )
        .question()
        .in_path("id", "The order", uuid())
        .problems([FORBIDDEN, NOT_FOUND])
        .answers(view::<OrderRisk>()),
        Route::get(
            "/v1/orders/{id}/risk/analysis",
            "What a language model says of an order's risk, which decides nothing; for operators",
            risk::analysis,
        )
        .question()
        .in_path("id", "The order", uuid())
        .problems([FORBIDDEN, NO_ANALYSIS, NOT_FOUND])
        .answers(view::<Analysis>()),
    ]
}
