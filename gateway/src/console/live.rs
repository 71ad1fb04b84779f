//! What is new on the first page, second by second: server-sent events with the parts that changed, as the server writes them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sse, Sse as Stream};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::{Map, json};
use tokio::sync::OwnedSemaphorePermit;

use super::board::BOARD_AGE_MAX;
use super::feed::{self, Filter};
use super::home;
use super::session::Visitor;
use crate::http::App;
use crate::problem::{Problem, STREAMS_FULL};

/// Most pages that are kept new at once; one more shows what was when it was loaded, and says so.
pub const PAGES_LIVE_MAX: usize = 64;
/// How often a page is told what is new. It says that it has lost its connection when it has heard nothing for five times as long.
pub(super) const LIVE_INTERVAL: Duration = BOARD_AGE_MAX;

/// One page.
struct Follower {
    app: Arc<App>,
    /// Its cookies: whether it may see this is asked each time.
    headers: HeaderMap,
    filter: Filter,
    /// What it shows.
    shown: HashMap<&'static str, String>,
    is_begun: bool,
    _permit: OwnedSemaphorePermit,
}

/// `GET /console/live`
pub(crate) async fn follow(
    visitor: Visitor,
    State(app): State<Arc<App>>,
    filter: Result<Query<Filter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if matches!(visitor, Visitor::Anybody) {
        return Err(Problem::forbidden("only who has signed in as an operator is told this"));
    }
    let full = |_| {
        let detail =
            format!("{PAGES_LIVE_MAX} pages are kept new, as many as may be: close one that nobody looks at");
        Problem::new(&STREAMS_FULL, detail)
    };
    let permit = Arc::clone(&app.pages_live).try_acquire_owned().map_err(full)?;
    let filter = filter.map(|Query(filter)| filter).unwrap_or_default().checked();
    let follower = Follower { app, headers, filter, shown: HashMap::new(), is_begun: false, _permit: permit };
    let news = stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        let (news, goes_on) = follower.next().await;
        Some((Ok::<_, Infallible>(news), goes_on.then_some(follower)))
    });
    // A page that reads slowly is told less often: what is new is looked for when there is room for it.
    Ok(Stream::new(news).into_response())
}

impl Follower {
    /// Waits for its time, and tells what is new; and whether there is more to come.
    async fn next(&mut self) -> (Sse, bool) {
        if std::mem::replace(&mut self.is_begun, true) {
            tokio::time::sleep(LIVE_INTERVAL).await;
        }
        if !matches!(Visitor::of(&self.app, &self.headers), Ok(Visitor::Operator(_))) {
            return (Sse::default().event("signed-out").data("sign in again"), false);
        }
        let numbers = self.app.board.numbers(&self.app).await;
        let found = self.app.board.events(&self.app, &self.filter).await;
        let mut parts = home::parts(&numbers);
        parts.push(("events", feed::list(&found, &self.filter)));
        let mut changed = Map::new();
        for (name, markup) in parts {
            let markup = markup.into_string();
            if self.shown.get(name) != Some(&markup) {
                changed.insert(name.to_owned(), markup.clone().into());
                self.shown.insert(name, markup);
            }
        }
        let news = json!({
            "at": home::time(numbers.at).into_string(),
            "parts": changed,
            "points": home::points(&numbers.pace),
        });
        (Sse::default().event("news").data(news.to_string()), true)
    }
}
