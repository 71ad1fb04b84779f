//! Routes of signing in without a device, and of sessions.

use axum::routing::delete;
use serde_json::json;

use super::route::{Route, json_of, uuid, view};
use crate::problem::{
    DEVICE_REFUSED, FORBIDDEN, NOT_FOUND, PASSWORD_LENGTH, QUERY_INVALID, SIGN_IN_AGAIN, SIGN_IN_FAILED,
    SIGN_IN_LOCKED, UNAVAILABLE, VIEWS_BEHIND,
};
use crate::sessions::{self, EndedSession, SessionList};
use crate::sign_in::devices::{self, NewDevice, RegisteredDevice};
use crate::sign_in::{self, Credentials, KeptPassword, NewPassword, SessionToken, SignInChallenge};

pub(super) fn sign_in() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/sign-in/password",
            "Give a password, so that it is kept as what it is checked with and can be set",
            sign_in::keep_password,
        )
        .with_token()
        .takes_json::<NewPassword>("`sign_in.set_password` sets it afterwards, see docs/sign-in.md.")
        .problems([FORBIDDEN, PASSWORD_LENGTH, QUERY_INVALID, VIEWS_BEHIND])
        .answers(json_of::<KeptPassword>()),
        Route::post(
            "/v1/sign-in/challenges",
            "Get what a passkey is to sign for signing in",
            sign_in::give_challenge,
        )
        .problems([UNAVAILABLE])
        .answers(json_of::<SignInChallenge>()),
        Route::post("/v1/sessions", "Sign in with a password or a passkey", sign_in::sign_in)
            .parameter(
                "header",
                "Skylink-Step-Up",
                "The passkey's approval; with a password the second factor that `mfa_required` asked for, see docs/sign-in.md",
                json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,8192}$"}),
            )
            .takes_json::<Credentials>("Signs in without a device, for queries.")
            .problems([QUERY_INVALID, SIGN_IN_FAILED, SIGN_IN_LOCKED, UNAVAILABLE, VIEWS_BEHIND])
            .answers(json_of::<SessionToken>()),
        Route::get("/v1/accounts/{account}/sessions", "Your sessions that go on", sessions::sessions)
            .question()
            .of_account()
            .problems([NOT_FOUND])
            .answers(view::<SessionList>()),
        Route::new("delete", "/v1/sessions/{session}", "End a session", delete(sessions::end))
            .with_token()
            .in_path("session", "The session, or `this`", json!({"oneOf": [uuid(), {"const": "this"}]}))
            .problems([NOT_FOUND, VIEWS_BEHIND])
            .answers(json_of::<EndedSession>()),
        Route::post(
            "/v1/devices",
            "Register a device in a session begun with a passkey or a code",
            devices::register,
        )
        .with_token()
        .takes_json::<NewDevice>("The registrar's key signs `device.register` for it, see docs/sign-in.md.")
        .problems([DEVICE_REFUSED, FORBIDDEN, QUERY_INVALID, SIGN_IN_AGAIN, VIEWS_BEHIND])
        .answers(json_of::<RegisteredDevice>()),
    ]
}
