//! Routes of signing in without a device, and of sessions.

use axum::routing::delete;
use serde_json::json;

use super::route::{NeedOfToken, Route, Takes, json_of, schema_of, uuid, view};
use crate::problem::{
    DEVICE_REFUSED, ERASED, FORBIDDEN, NOT_FOUND, PASSWORD_LENGTH, QUERY_INVALID, SIGN_IN_AGAIN,
    SIGN_IN_FAILED, SIGN_IN_LOCKED, TOKEN_EXPIRED, TOKEN_INVALID, TOKEN_MISSING, UNAVAILABLE, VIEWS_BEHIND,
};
use crate::sessions::{self, EndedSession, SessionList};
use crate::sign_in::devices::{self, NewDevice, RegisteredDevice};
use crate::sign_in::{self, Credentials, KeptPassword, NewPassword, SessionToken, SignInChallenge};

pub(super) fn sign_in() -> Vec<Route> {
    let token = [TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, ERASED, UNAVAILABLE, VIEWS_BEHIND];
    let mut password = Route::post(
        "/v1/sign-in/password",
        "Give a password, so that it is kept as what it is checked with and can be set",
        sign_in::keep_password,
    )
    .body_problems()
    .problems(token)
    .problems([FORBIDDEN, PASSWORD_LENGTH, QUERY_INVALID])
    .answers(json_of::<KeptPassword>());
    password.token = NeedOfToken::Always;
    password.takes = Some(Takes::Json(
        schema_of::<NewPassword>,
        "`sign_in.set_password` sets it afterwards, see docs/sign-in.md.",
    ));
    let challenge = Route::post(
        "/v1/sign-in/challenges",
        "Get what a passkey is to sign for signing in",
        sign_in::give_challenge,
    )
    .problems([UNAVAILABLE])
    .answers(json_of::<SignInChallenge>());
    let mut begin = Route::post("/v1/sessions", "Sign in with a password or a passkey", sign_in::sign_in)
        .parameter(
            "header",
            "Skylink-Step-Up",
            "The passkey's approval; with a password the second factor that `mfa_required` asked for, see docs/sign-in.md",
            json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,8192}$"}),
        )
        .body_problems()
        .problems([QUERY_INVALID, SIGN_IN_FAILED, SIGN_IN_LOCKED, UNAVAILABLE, VIEWS_BEHIND])
        .answers(json_of::<SessionToken>());
    begin.takes = Some(Takes::Json(schema_of::<Credentials>, "Signs in without a device, for queries."));
    let list = Route::get("/v1/accounts/{account}/sessions", "Your sessions that go on", sessions::sessions)
        .question()
        .in_path(
            "account",
            "`me`; or the account, which for operators may be anybody's",
            json!({"oneOf": [uuid(), {"const": "me"}]}),
        )
        .problems([NOT_FOUND])
        .answers(view::<SessionList>());
    let token = [TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, ERASED, UNAVAILABLE, VIEWS_BEHIND];
    let mut end = Route::new("delete", "/v1/sessions/{session}", "End a session", delete(sessions::end))
        .in_path("session", "The session, or `this`", json!({"oneOf": [uuid(), {"const": "this"}]}))
        .problems(token)
        .problems([NOT_FOUND])
        .answers(json_of::<EndedSession>());
    end.token = NeedOfToken::Always;
    let token = [TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, ERASED, UNAVAILABLE, VIEWS_BEHIND];
    let mut device = Route::post(
        "/v1/devices",
        "Register a device in a session begun with a passkey or a code",
        devices::register,
    )
    .body_problems()
    .problems(token)
    .problems([DEVICE_REFUSED, FORBIDDEN, QUERY_INVALID, SIGN_IN_AGAIN])
    .answers(json_of::<RegisteredDevice>());
    device.token = NeedOfToken::Always;
    device.takes = Some(Takes::Json(
        schema_of::<NewDevice>,
        "The registrar's key signs `device.register` for it, see docs/sign-in.md.",
    ));
    vec![password, challenge, begin, list, end, device]
}
