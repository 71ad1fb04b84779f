//! Pages for people. What is here now is the first page for operators; their whole console and the shoppers' storefront are to
//! stand on the same ground: [`shell`] frames a page, [`session`] knows who looks, [`assets`] are what pages are made of,
//! [`board`] gathers the numbers that [`home`] shows and [`live`] keeps new, [`feed`] lists the last of them, and [`order`] is an
//! order's page.
//!
//! A page's cookie is good for pages alone: `/v1` takes tokens and signed commands, so no other site can have a browser do
//! anything there.

mod assets;
mod board;
mod chart;
mod feed;
mod home;
mod live;
mod order;
mod session;
mod shell;
mod words;

use std::sync::Arc;

use axum::Form;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Json};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::assets::serve as asset;
pub use self::board::BOARD_AGE_MAX;
pub(crate) use self::board::Board;
pub use self::feed::EVENTS_KEPT;
use self::feed::Filter;
pub use self::live::PAGES_LIVE_MAX;
pub(crate) use self::live::follow;
pub(crate) use self::order::{find as find_order, show as order};
pub(crate) use self::session::Sessions;
pub use self::session::{CODE_TIME_MAX, CODES_MAX, SESSION_TIME_MAX, SESSIONS_MAX};
use self::session::{Visitor, is_of_this_site};
use self::shell::Page;
use crate::health::readiness;
use crate::http::{App, Peer};
use crate::problem::Problem;
use crate::routes::routes;
use crate::token::Holder;

/// `GET /`
pub(crate) async fn home(
    visitor: Visitor,
    State(app): State<Arc<App>>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Response {
    let market = &app.gateway.market;
    match &visitor {
        Visitor::Operator(operator) => {
            let numbers = app.board.numbers(&app).await;
            let filter = filter.map(|Query(filter)| filter).unwrap_or_default().checked();
            let found = app.board.events(&app, &filter).await;
            let (title, body) = ("Now", home::page(&numbers, &found, &filter));
            let live = Some("/console/live".to_owned());
            Page { market, title, operator: Some(operator), live, body }.into_response()
        }
        Visitor::Anybody => {
            let body = home::welcome(&readiness(&app).await, how_to_sign_in(&app, None));
            Page { market, title: "Welcome", operator: None, live: None, body }.into_response()
        }
    }
}

/// A code that signs a browser in.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SignInCode {
    /// Give it to the form at `/sign-in`, or open `/sign-in#<code>`.
    code: String,
    /// How long it is good, in seconds; it is good once.
    expires_in: u64,
}

/// `POST /v1/sign-in-codes`
pub(crate) async fn give_code(holder: Holder, State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let is_operator = holder.caller(&app)?.is_some_and(|caller| caller.is_operator());
    if !is_operator {
        return Err(Problem::forbidden("the pages are for operators"));
    }
    let code = SignInCode { code: app.sessions.code(holder), expires_in: CODE_TIME_MAX.as_secs() };
    Ok(Json(code).into_response())
}

/// `GET /sign-in`
pub(crate) async fn sign_in_page(State(app): State<Arc<App>>) -> Response {
    sign_in_with(&app, None)
}

fn sign_in_with(app: &App, wrong: Option<&str>) -> Response {
    let body = html! { h1 { "Sign in" } (how_to_sign_in(app, wrong)) };
    Page { market: &app.gateway.market, title: "Sign in", operator: None, live: None, body }.into_response()
}

fn how_to_sign_in(app: &App, wrong: Option<&str>) -> Markup {
    let market = &app.gateway.market;
    html! {
        section.sign-in aria-labelledby="h-sign-in" {
            h2 id="h-sign-in" { "For operators" }
            ol {
                li { "Where the operator's key is, run" pre { code { "skylink console --market " (market) } } }
                li { "Open the address that it prints, or give the code here. It is good once, for " (CODE_TIME_MAX.as_secs()) " s." }
            }
            form method="post" action="/sign-in" data-sign-in {
                label for="code" { "Code" }
                input id="code" name="code" type="text" required autocomplete="off" autocapitalize="off" spellcheck="false"
                    maxlength="64" aria-describedby=[wrong.map(|_| "wrong")] aria-invalid=[wrong.map(|_| "true")];
                button type="submit" { "Sign in" }
                @if let Some(wrong) = wrong { p.wrong id="wrong" role="alert" { (wrong) } }
            }
        }
    }
}

/// What the form for signing in sends.
#[derive(Deserialize)]
pub(crate) struct SignIn {
    code: String,
}

/// `POST /sign-in`
pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    form: Result<Form<SignIn>, FormRejection>,
) -> Response {
    let refused = |status: StatusCode, why: &str| {
        let mut response = sign_in_with(&app, Some(why));
        *response.status_mut() = status;
        response
    };
    if !is_of_this_site(&headers) {
        return refused(StatusCode::FORBIDDEN, "Another site sent this: give the code here yourself.");
    }
    let Ok(Form(SignIn { code })) = form else {
        return refused(StatusCode::BAD_REQUEST, "The form holds no code: give it again.");
    };
    let Some(holder) = app.sessions.use_code(code.trim()) else {
        let why = "This code is not good, or no longer: run `skylink console` again and take the new one.";
        return refused(StatusCode::UNAUTHORIZED, why);
    };
    let cookie = app.sessions.sign_in(holder, is_behind_tls(&app, peer, &headers));
    redirect_with(&cookie)
}

/// `POST /sign-out`
pub(crate) async fn sign_out(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Response {
    if !is_of_this_site(&headers) {
        return Redirect::to("/").into_response();
    }
    let cookie = app.sessions.sign_out(&headers, is_behind_tls(&app, peer, &headers));
    redirect_with(&cookie)
}

/// Sends a browser to the first page with a cookie.
fn redirect_with(cookie: &str) -> Response {
    let mut response = Redirect::to("/").into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(cookie) = cookie.parse() {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

fn is_behind_tls(app: &App, peer: Option<Extension<Peer>>, headers: &HeaderMap) -> bool {
    let peer = peer.map(|Extension(Peer(address))| address);
    app.gateway.limits.client(peer, headers).is_some_and(|client| client.is_behind_tls())
}

/// `GET /interface`
pub(crate) async fn interface(visitor: Visitor, State(app): State<Arc<App>>) -> Response {
    let operator = match &visitor {
        Visitor::Operator(operator) => Some(operator),
        Visitor::Anybody => None,
    };
    let body = html! {
        h1 { "Interface" }
        p.lead {
            "What programs can ask of market " strong { (app.gateway.market) } ". " a href="/openapi.json" { "openapi.json" }
            " says all of it: every parameter, answer and problem."
        }
        div.wide tabindex="0" role="region" aria-label="Paths" {
            table.paths {
                thead { tr { th scope="col" { "Path" } th scope="col" { "For" } } }
                tbody {
                    @for route in routes() {
                        @let method = route.method.to_uppercase();
                        @let is_link = route.method == "get" && !route.path.contains('{') && !route.path.starts_with("/v1");
                        tr {
                            td { (method) " " @if is_link { a href=(route.path) { code { (route.path) } } } @else { code { (route.path) } } }
                            td { (route.summary) }
                        }
                    }
                }
            }
        }
    };
    Page { market: &app.gateway.market, title: "Interface", operator, live: None, body }.into_response()
}
