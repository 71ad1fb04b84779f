//! What operators do to views.

use axum::http::StatusCode;
use axum::routing::delete;

use super::route::{Route, json_of};
use crate::problem::{FORBIDDEN, NOT_FOUND, QUERY_INVALID, REBUILD_RUNNING};
use crate::rebuild::{self, RebuildRequest, ShownRebuild, ViewList};

/// Where a rebuild is asked for and cancelled.
const REBUILD_PATH: &str = "/v1/views/rebuild";

pub(super) fn views() -> Vec<Route> {
    let mut begin = Route::post(
        REBUILD_PATH,
        "Build views again from the log beside the live ones, and have them take the place; for operators",
        rebuild::begin,
    )
    .with_token()
    .takes_json::<RebuildRequest>(
        "It goes on when this is answered: `GET /v1/views` says how far it is, see docs/views.md.",
    )
    .problems([FORBIDDEN, QUERY_INVALID, REBUILD_RUNNING]);
    begin.answers.push((StatusCode::ACCEPTED, json_of::<ShownRebuild>()));
    vec![
        Route::get(
            "/v1/views",
            "The views of this process, and the rebuild of some; for operators",
            rebuild::views,
        )
        .with_token()
        .problems([FORBIDDEN])
        .answers(json_of::<ViewList>()),
        begin,
        Route::new(
            "delete",
            REBUILD_PATH,
            "Give up the rebuild that runs, and leave the views as they are; for operators",
            delete(rebuild::cancel),
        )
        .with_token()
        .problems([FORBIDDEN, NOT_FOUND])
        .answers(json_of::<ShownRebuild>()),
    ]
}
