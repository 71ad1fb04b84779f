//! Routes of webhooks.

use serde_json::json;

use super::route::{Route, moment, position, uuid, view};
use crate::problem::{ACCOUNT_SUSPENDED, FORBIDDEN, NOT_FOUND, QUERY_INVALID};
use crate::webhooks::letters_route::{
    self, LETTERS_PER_PAGE, LETTERS_PER_PAGE_MAX, LetterList, Redrive, Redriven,
};
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
        .paged(position(), ATTEMPTS_PER_PAGE, ATTEMPTS_PER_PAGE_MAX)
        .problems([NOT_FOUND])
        .answers(view::<AttemptList>()),
        again,
        letters(),
        redrive(),
    ]
}

fn letters() -> Route {
    let errors = json!({
        "type": "string", "enum": ["refused", "failed", "unrenderable", "too_large", "behind"]
    });
    let filter = json!({"type": "string", "pattern": "^(\\*|[a-z_]{1,40}\\.(\\*|[a-z_]{1,40}))$"});
    Route::get(
        "/v1/webhooks/{id}/letters",
        "Events that a webhook was not told of, in the order of the log",
        letters_route::letters,
    )
    .question()
    .in_path("id", "The webhook", uuid())
    .query("subject", "Only those about this", json!({"type": "string"}))
    .query(
        "type",
        "Only those of a type, such as order.placed, or of all that begin so, such as order.*",
        filter,
    )
    .query("error", "Only those that were not told for this reason", errors)
    .query("from", "Only those that are letters since this moment or later", moment())
    .query("to", "Only those that are letters since before this moment", moment())
    .paged(position(), LETTERS_PER_PAGE, LETTERS_PER_PAGE_MAX)
    .problems([NOT_FOUND])
    .answers(view::<LetterList>())
}

fn redrive() -> Route {
    Route::post(
        "/v1/webhooks/{id}/redrive",
        "Tell a webhook of what it was not told, lane by lane, each in its order",
        letters_route::redrive,
    )
    .in_path("id", "The webhook", uuid())
    .with_token()
    .takes_json::<Redrive>("For its owner and for operators, with a token of a device: see docs/webhooks.md.")
    .problems([ACCOUNT_SUSPENDED, FORBIDDEN, NOT_FOUND, QUERY_INVALID])
    .answers(view::<Redriven>())
}
