//! Routes about what is personal of accounts.

use serde_json::json;

use super::route::{Route, uuid, view};
use crate::problem::NOT_FOUND;
use crate::query::profile::{self, Profile};

pub(super) fn personal() -> Vec<Route> {
    vec![
        Route::get(
            "/v1/accounts/{account}/profile",
            "What your account has told of whose it is",
            profile::profile,
        )
        .question()
        .in_path(
            "account",
            "`me`; or the account, which for operators may be anybody's",
            json!({"oneOf": [uuid(), {"const": "me"}]}),
        )
        .problems([NOT_FOUND])
        .answers(view::<Profile>()),
    ]
}
