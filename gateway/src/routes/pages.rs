//! The routes of pages for people.

use axum::http::StatusCode;
use serde_json::json;

use super::route::{Content, Route, json_of};
use crate::console::{self, SignInCode};
use crate::problem::{FORBIDDEN, NOT_FOUND, STREAMS_FULL, UNAVAILABLE};

/// A page.
const PAGE: Content = Content::Text("text/html");

pub(super) fn pages() -> Vec<Route> {
    let page = |route: Route| route.problems([UNAVAILABLE]).answers(PAGE);
    let mut sign_in = Route::post("/sign-in", "Sign a browser in with a code", console::sign_in);
    let refused = [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
    sign_in.answers.extend(refused.map(|status| (status, PAGE)));
    let codes = Route::post(
        "/v1/sign-in-codes",
        "Get a code, good once and for a moment, that signs an operator's browser in",
        console::give_code,
    )
    .with_token()
    .problems([FORBIDDEN])
    .answers(json_of::<SignInCode>());
    let find = Route::get("/console/orders", "Find an order's page", console::find_order).query(
        "id",
        "Its id, or its number with its check digit",
        json!({"type": "string"}),
    );
    let mut order = Route::get(
        "/console/orders/{id}",
        "An order's page, for operators who have signed in",
        console::order,
    )
    .in_path("id", "Its id, or its number with its check digit", json!({"type": "string"}));
    order.answers.push((StatusCode::NOT_FOUND, PAGE));
    vec![
        page(Route::get(
            "/",
            "How the market is, for people; the numbers for operators who have signed in",
            console::home,
        )),
        page(Route::get("/interface", "What programs can ask for, for people", console::interface)),
        Route::get("/sign-in", "Where an operator signs a browser in", console::sign_in_page).answers(PAGE),
        went_on(sign_in),
        went_on(Route::post("/sign-out", "Sign a browser out", console::sign_out)),
        codes,
        page(went_on(find)),
        page(went_on(order)),
        Route::get(
            "/console/live",
            "What is new on the first page (server-sent events), for who has signed in",
            console::follow,
        )
        .problems([FORBIDDEN, STREAMS_FULL, UNAVAILABLE])
        .answers(Content::Text("text/event-stream")),
        asset(),
    ]
}

/// Says that a browser is sent to another page.
fn went_on(mut route: Route) -> Route {
    route.answers.push((StatusCode::SEE_OTHER, Content::Elsewhere));
    route
}

fn asset() -> Route {
    let mut route = Route::get("/assets/{digest}/{name}", "A file that pages are made of", console::asset)
        .in_path("digest", "The digest of its content", json!({"type": "string"}))
        .in_path("name", "Its name", json!({"type": "string"}))
        .problems([NOT_FOUND]);
    for status in [StatusCode::OK, StatusCode::NOT_MODIFIED] {
        for media_type in ["text/css", "text/javascript", "image/svg+xml"] {
            route.answers.push((status, Content::Text(media_type)));
        }
    }
    route
}
