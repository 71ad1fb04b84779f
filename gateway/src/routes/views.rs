//! What operators do to views.

use axum::http::StatusCode;
use axum::routing::delete;

use super::route::{NeedOfToken, Route, Takes, json_of, schema_of};
use crate::problem::{
    FORBIDDEN, NOT_FOUND, QUERY_INVALID, REBUILD_RUNNING, TOKEN_EXPIRED, TOKEN_INVALID, TOKEN_MISSING,
    UNAVAILABLE,
};
use crate::rebuild::{self, RebuildRequest, ShownRebuild, ViewList};

/// Where a rebuild is asked for and cancelled.
const REBUILD_PATH: &str = "/v1/views/rebuild";

pub(super) fn views() -> Vec<Route> {
    let list = Route::get(
        "/v1/views",
        "The views of this process, and the rebuild of some; for operators",
        rebuild::views,
    )
    .answers(json_of::<ViewList>());
    let mut begin = Route::post(
        REBUILD_PATH,
        "Build views again from the log beside the live ones, and have them take the place; for operators",
        rebuild::begin,
    )
    .body_problems()
    .problems([QUERY_INVALID, REBUILD_RUNNING]);
    begin.answers.push((StatusCode::ACCEPTED, json_of::<ShownRebuild>()));
    begin.takes = Some(Takes::Json(
        schema_of::<RebuildRequest>,
        "It goes on when this is answered: `GET /v1/views` says how far it is, see docs/views.md.",
    ));
    let cancel = Route::new(
        "delete",
        REBUILD_PATH,
        "Give up the rebuild that runs, and leave the views as they are; for operators",
        delete(rebuild::cancel),
    )
    .problems([NOT_FOUND])
    .answers(json_of::<ShownRebuild>());
    [list, begin, cancel].into_iter().map(for_operators).collect()
}

fn for_operators(mut route: Route) -> Route {
    route.token = NeedOfToken::Always;
    route.problems([TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, FORBIDDEN, UNAVAILABLE])
}
