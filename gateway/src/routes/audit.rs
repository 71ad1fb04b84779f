//! What operators ask about who did what.

use projections::audit::ACTS_PER_PAGE_MAX;
use serde_json::json;

use super::route::{Route, json_of, moment, position, uuid};
use crate::problem::FORBIDDEN;
use crate::query::audit::{self, ACTS_PER_PAGE, ActList};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/audit",
            "Who did what and when, with the signed commands, the newest first; for operators",
            audit::acts,
        )
        .question()
        .query("actor", "Only what this account asked for", uuid())
        .query(
            "subject",
            "Only what is about this: the id of an account, a device, an order, a listing, …",
            json!({"type": "string"}),
        )
        .query(
            "kind",
            "Without `actor` and `subject`: what operators did, what was done about keys, sign-ins and standing, or what was sent to webhooks in place of events",
            json!({"type": "string", "enum": ["staff", "access", "letters"], "default": "staff"}),
        )
        .query("from", "From this moment on", moment())
        .query("to", "Before this moment", moment())
        .paged(position(), ACTS_PER_PAGE, ACTS_PER_PAGE_MAX)
        .problems([FORBIDDEN])
        .answers(json_of::<ActList>()),
    ]
}
