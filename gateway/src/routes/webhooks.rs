//! Routes of webhooks.

use super::route::{NeedOfToken, Route, Takes, schema_of, uuid, view};
use crate::problem::{
    FORBIDDEN, NOT_FOUND, QUERY_INVALID, TOKEN_EXPIRED, TOKEN_INVALID, TOKEN_MISSING, UNAVAILABLE,
};
use crate::webhooks::route::{
    self, ATTEMPTS_PER_PAGE, ATTEMPTS_PER_PAGE_MAX, AttemptList, ShownWebhook, TellAgain, ToldAgain,
    WebhookList,
};

pub(super) fn webhooks() -> Vec<Route> {
    let mut again = Route::post(
        "/v1/webhooks/{id}/again",
        "Tell a webhook again from a position on, or send it one message again",
        route::again,
    )
    .in_path("id", "The webhook", uuid())
    .body_problems()
    .problems([TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, UNAVAILABLE, NOT_FOUND, QUERY_INVALID])
    .answers(view::<ToldAgain>());
    again.token = NeedOfToken::Always;
    again.takes = Some(Takes::Json(schema_of::<TellAgain>, "For its owner alone, see docs/webhooks.md."));
    vec![
        Route::get("/v1/webhooks", "Your webhooks, and how each stands", route::webhooks)
            .question()
            .query("account", "Whose, for operators", uuid())
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
