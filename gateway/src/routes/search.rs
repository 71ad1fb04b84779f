//! The routes of the search.

use projections::search::{
    ATTRIBUTE_FILTERS_MAX, HITS_PER_PAGE_MAX, SUGGESTIONS_MAX, TEXT_LENGTH_MAX, WORDS_MAX,
};
use serde_json::json;

use super::route::{Route, uuid, view};
use crate::problem::{FORBIDDEN, SEARCH_BUSY};
use crate::search::{self, HITS_PER_PAGE, MarketplaceResult, SUGGESTIONS, SearchResult, SuggestionList};

pub(super) fn routes() -> Vec<Route> {
    let text = json!({
        "type": "string",
        "maxLength": TEXT_LENGTH_MAX,
        "description": format!("at most {WORDS_MAX} words"),
    });
    let about = "Words that every result has; the last may be the beginning of one";
    let plain = Route::get("/v1/search", "Look for listings", search::search).query("q", about, text.clone());
    let seed = Route::get("/api/marketplace/search", "Look for listings", search::marketplace)
        .query("query", about, text)
        .query(
            "filters",
            "The filters below in one JSON object, `attributes` among them; what stands beside it goes before it",
            json!({"type": "string"}),
        )
        .query("user_id", "Your account, which the token tells", uuid())
        .query("device_id", "Your device, which the token tells", uuid())
        .problems([FORBIDDEN]);
    let suggest =
        Route::get("/v1/search/suggest", "What a text that is being typed may become", search::suggest)
            .open_question()
            .query(
                "q",
                "What is typed so far; the last word is completed",
                json!({"type": "string", "maxLength": TEXT_LENGTH_MAX}),
            )
            .limit(SUGGESTIONS, SUGGESTIONS_MAX)
            .problems([SEARCH_BUSY])
            .answers(view::<SuggestionList>());
    let plain = filtered(plain).answers(view::<SearchResult>());
    let seed = filtered(seed).answers(view::<MarketplaceResult>());
    vec![plain, seed, suggest]
}

fn filtered(route: Route) -> Route {
    let minor = || json!({"type": "integer"});
    route
        .open_question()
        .query("seller", "Only what this seller sells", uuid())
        .query(
            "category",
            "Only what belongs to this category or one within it",
            json!({"type": "string", "examples": ["kitchen/tea"]}),
        )
        .query("tag", "Only what bears this tag", json!({"type": "string"}))
        .query(
            "attribute",
            "Only what has these attributes, as `attribute[colour]=red`",
            json!({
                "type": "object",
                "additionalProperties": {"type": "string"},
                "maxProperties": ATTRIBUTE_FILTERS_MAX,
            }),
        )
        .query("currency", "Only what is priced in this currency", json!({"type": "string", "pattern": "^[A-Z]{3}$"}))
        .query("price_min", "Only at this price or above, in minor units of `currency`", minor())
        .query("price_max", "Only at this price or below, in minor units of `currency`", minor())
        .query("in_stock", "`true`: only what can be ordered now", json!({"type": "boolean", "default": false}))
        .query(
            "sort",
            "In which order; by `relevance` where there are words, else the `newest` first. By price only with `currency`",
            json!({"type": "string", "enum": ["relevance", "price", "price_desc", "newest", "popular"]}),
        )
        .query(
            "personal",
            "`false`: what you bought of late does not move what fits about as well; without a token it never does",
            json!({"type": "boolean", "default": true}),
        )
        .query("facets", "`true`: count what the results can be filtered by further", json!({"type": "boolean", "default": false}))
        .query("cursor", "`next_cursor` of the page before", json!({"type": "string"}))
        .limit(HITS_PER_PAGE, HITS_PER_PAGE_MAX)
        .problems([SEARCH_BUSY])
}
