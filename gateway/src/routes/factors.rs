//! Routes of second factors.

use super::route::{Route, json_of, view};
use crate::problem::{APP_UNKNOWN, CODE_WRONG, FORBIDDEN, NOT_FOUND, QUERY_INVALID, VIEWS_BEHIND};
use crate::query::factors::{self, AppSecret, FactorList, FirstCode, KeptApp};

pub(super) fn factors() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/accounts/{account}/factors",
            "The second factors of your account, and when each was used",
            factors::factors,
        )
        .question()
        .of_account()
        .problems([NOT_FOUND])
        .answers(view::<FactorList>()),
        Route::post("/v1/factors/app", "Get a secret for an app that makes codes", factors::begin)
            .with_token()
            .problems([FORBIDDEN])
            .answers(json_of::<AppSecret>()),
        Route::post(
            "/v1/factors/app/confirm",
            "Show the first code of an app, so that its secret is kept and it can be enrolled",
            factors::confirm,
        )
        .with_token()
        .takes_json::<FirstCode>("`step_up.enroll_totp` enrolls the app afterwards, see docs/step-up.md.")
        .problems([APP_UNKNOWN, CODE_WRONG, FORBIDDEN, QUERY_INVALID, VIEWS_BEHIND])
        .answers(json_of::<KeptApp>()),
    ]
}
