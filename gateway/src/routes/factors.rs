//! Routes of second factors and of signing in.

use axum::routing::delete;
use serde_json::json;

use super::route::{NeedOfToken, Route, Takes, json_of, schema_of, uuid, view};
use crate::problem::{
    APP_UNKNOWN, CODE_WRONG, FORBIDDEN, NOT_FOUND, PASSWORD_LENGTH, QUERY_INVALID, SIGN_IN_FAILED,
    SIGN_IN_LOCKED, TOKEN_EXPIRED, TOKEN_INVALID, TOKEN_MISSING, TOO_MANY_SESSIONS, UNAVAILABLE,
    VIEWS_BEHIND,
};
use crate::query::factors::{self, AppSecret, FactorList, FirstCode, KeptApp};
use crate::sessions::{
    self, Credentials, EndedSession, KeptPassword, NewPassword, SessionList, SessionToken,
};

pub(super) fn factors() -> Vec<Route> {
    let list = Route::get(
        "/v1/accounts/{account}/factors",
        "The second factors of your account, and when each was used",
        factors::factors,
    )
    .question()
    .in_path(
        "account",
        "`me`; or the account, which for operators may be anybody's",
        json!({"oneOf": [uuid(), {"const": "me"}]}),
    )
    .problems([NOT_FOUND])
    .answers(view::<FactorList>());
    let token = [TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, UNAVAILABLE];
    let mut begin =
        Route::post("/v1/factors/app", "Get a secret for an app that makes codes", factors::begin)
            .problems(token)
            .answers(json_of::<AppSecret>());
    begin.token = NeedOfToken::Always;
    let token = [TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, UNAVAILABLE];
    let mut confirm = Route::post(
        "/v1/factors/app/confirm",
        "Show the first code of an app, so that its secret is kept and it can be enrolled",
        factors::confirm,
    )
    .body_problems()
    .problems(token)
    .problems([APP_UNKNOWN, CODE_WRONG, QUERY_INVALID, VIEWS_BEHIND])
    .answers(json_of::<KeptApp>());
    confirm.token = NeedOfToken::Always;
    confirm.takes = Some(Takes::Json(
        schema_of::<FirstCode>,
        "`step_up.enroll_totp` enrolls the app afterwards, see docs/step-up.md.",
    ));
    vec![list, begin, confirm]
}

pub(super) fn sign_in() -> Vec<Route> {
    let token = [TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, UNAVAILABLE, VIEWS_BEHIND];
    let mut password = Route::post(
        "/v1/sign-in/password",
        "Give a password, so that it is kept as what it is checked with and can be set",
        sessions::keep_password,
    )
    .body_problems()
    .problems(token)
    .problems([FORBIDDEN, PASSWORD_LENGTH, QUERY_INVALID])
    .answers(json_of::<KeptPassword>());
    password.token = NeedOfToken::Always;
    password.takes = Some(Takes::Json(
        schema_of::<NewPassword>,
        "`sign_in.set_password` sets it afterwards, see docs/accounts.md.",
    ));
    let mut begin = Route::post("/v1/sessions", "Sign in with a password", sessions::sign_in)
        .body_problems()
        .problems([
            QUERY_INVALID,
            SIGN_IN_FAILED,
            SIGN_IN_LOCKED,
            TOO_MANY_SESSIONS,
            UNAVAILABLE,
            VIEWS_BEHIND,
        ])
        .answers(json_of::<SessionToken>());
    begin.takes = Some(Takes::Json(schema_of::<Credentials>, "Signs in without a device, for queries."));
    let list = Route::get("/v1/sessions", "Your sessions that go on", sessions::sessions)
        .question()
        .problems([NOT_FOUND])
        .answers(view::<SessionList>());
    let token = [TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, UNAVAILABLE, VIEWS_BEHIND];
    let mut end = Route::new("delete", "/v1/sessions/{session}", "End a session", delete(sessions::end))
        .in_path("session", "The session, or `this`", json!({"oneOf": [uuid(), {"const": "this"}]}))
        .problems(token)
        .problems([FORBIDDEN, NOT_FOUND])
        .answers(json_of::<EndedSession>());
    end.token = NeedOfToken::Always;
    vec![password, begin, list, end]
}
