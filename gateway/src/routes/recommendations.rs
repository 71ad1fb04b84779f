//! The routes of what else somebody may want.

use projections::recommendation::{RECOMMENDED_MAX, SOURCES_MAX};
use serde_json::json;

use super::route::{Route, view};
use crate::recommendations::{self, RECOMMENDED, Recommendations};

pub(super) fn routes() -> Vec<Route> {
    let listings = json!({
        "type": "string",
        "description": format!("1 to {SOURCES_MAX} ids with commas between"),
    });
    vec![
        Route::get(
            "/v1/recommendations/bought-with",
            "What is bought together with some listings",
            recommendations::bought_with,
        )
        .open_question()
        .query("listings", "The listings, such as those of a cart; must be named", listings)
        .limit(RECOMMENDED, RECOMMENDED_MAX)
        .answers(view::<Recommendations>()),
        Route::get(
            "/v1/recommendations/for-you",
            "What belongs to what you bought of late and have in your cart, and behind it what is ordered of late",
            recommendations::for_you,
        )
        .question()
        .limit(RECOMMENDED, RECOMMENDED_MAX)
        .answers(view::<Recommendations>()),
        Route::get(
            "/v1/recommendations/popular",
            "What is ordered the most of late",
            recommendations::popular,
        )
        .open_question()
        .query(
            "category",
            "Only what belongs to this category or one within it",
            json!({"type": "string", "examples": ["kitchen/tea"]}),
        )
        .limit(RECOMMENDED, RECOMMENDED_MAX)
        .answers(view::<Recommendations>()),
    ]
}
