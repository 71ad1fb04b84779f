//! Routes of notifications.

use super::route::{Route, json_of, view};
use crate::problem::{NOT_FOUND, QUERY_INVALID};
use crate::push::route::{self, PushKey, ShownPush};

pub(super) fn push() -> Vec<Route> {
    vec![
        Route::get("/v1/push/key", "The key that browsers subscribe with", route::key)
            .problems([NOT_FOUND, QUERY_INVALID])
            .answers(json_of::<PushKey>()),
        Route::get("/v1/accounts/{account}/push", "How somebody is told what happens", route::push)
            .question()
            .of_account()
            .problems([NOT_FOUND])
            .answers(view::<ShownPush>()),
    ]
}
