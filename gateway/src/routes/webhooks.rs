//! Routes of webhooks.

use serde_json::json;

use super::route::{Route, uuid, view};
use crate::problem::{ACCOUNT_SUSPENDED, FORBIDDEN, NOT_FOUND, QUERY_INVALID};
use crate::webhooks::route::{
    self, ATTEMPTS_PER_PAGE, ATTEMPTS_PER_PAGE_MAX, AttemptList, ShownWebhook, TellAgain, ToldAgain,
    WebhookList,
};

pub(super) fn webhooks() -> Vec<Route> {
    let again = Route::post(
        "/v1/webhooks/{id}/again",
        "Tell a webhook again from a position on, or send it one message again",
        route::again,
    )
    .in_path("id", "The webhook", uuid())
    .with_token()
    .takes_json::<TellAgain>(
        "For its owner and for operators, with a token of a device: see docs/webhooks.md.",
    )
    .problems([ACCOUNT_SUSPENDED, FORBIDDEN, NOT_FOUND, QUERY_INVALID])
    .answers(view::<ToldAgain>());
    vec![
        Route::get("/v1/webhooks", "Your webhooks, and how each stands", route::webhooks)
            .question()
            .query("account", "Whose, for operators", uuid())
            .query("all", "For operators: everybody's", json!({"type": "boolean", "default": false}))
            .problems([FORBIDDEN])
            .answers(view::<WebhookList>()),
        Route::get("/v1/webhooks/{id}", "A webhook, and how it stands", route::webhook)
            .question()
            .in_path("id", "The webhook", uuid())
            .problems([NOT_FOUND])
            .answers(view::<ShownWebhook>()),
        Route::get(
            "/v1/webhooks/{id}/attempts",
            "What was sent to a webhook, the last first",
            route::attempts,
        )
        .question()
        .in_path("id", "The webhook", uuid())
        .paged(super::route::position(), ATTEMPTS_PER_PAGE, ATTEMPTS_PER_PAGE_MAX)
        .problems([NOT_FOUND])
        .answers(view::<AttemptList>()),
        again,
    ]
}
