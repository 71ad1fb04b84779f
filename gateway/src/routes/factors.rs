//! Routes of second factors.

use serde_json::json;

use super::route::{NeedOfToken, Route, Takes, json_of, schema_of, uuid, view};
use crate::problem::{
    APP_UNKNOWN, CODE_WRONG, FORBIDDEN, NOT_FOUND, QUERY_INVALID, TOKEN_EXPIRED, TOKEN_INVALID,
    TOKEN_MISSING, UNAVAILABLE, VIEWS_BEHIND,
};
use crate::query::factors::{self, AppSecret, FactorList, FirstCode, KeptApp};

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
    let token = [TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, FORBIDDEN, UNAVAILABLE];
    let mut begin =
        Route::post("/v1/factors/app", "Get a secret for an app that makes codes", factors::begin)
            .problems(token)
            .answers(json_of::<AppSecret>());
    begin.token = NeedOfToken::Always;
    let token = [TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, FORBIDDEN, UNAVAILABLE];
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
