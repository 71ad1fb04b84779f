//! Views built again from the log while the market goes on, for operators who doubt what a view says.
//!
//! A rebuild reads the log once for all views that are asked for. Each new view stands beside the live one until both have read
//! the same; then the contents of both are hashed, and the new one takes the place (see [`Projections::rebuild`]).
//!
//! [`Projections::rebuild`]: projections::Projections::rebuild

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use events::ids::AccountId;
use events::{Hash, Position, Timestamp, with_causes};
use futures::StreamExt;
use projections::{RebuildError, Rebuilt, ViewName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use crate::http::App;
use crate::past::left_s;
use crate::problem::{NOT_FOUND, Problem, REBUILD_RUNNING};
use crate::submit::read_json;
use crate::token::Caller;

/// How long who cancels waits for the end.
const CANCEL_TIME_MAX: Duration = Duration::from_secs(5);

/// The rebuild that runs, or the last one that did.
#[derive(Default)]
pub(crate) struct Rebuilds {
    last: Mutex<Option<Run>>,
}

/// One rebuild.
struct Run {
    views: Vec<ViewName>,
    by: AccountId,
    begun_at: Timestamp,
    begun: Instant,
    /// How far the log was read.
    read: Arc<AtomicU64>,
    /// Gone once it was cancelled. A rebuild ends with it, so none outlives the server.
    cancel: Option<oneshot::Sender<()>>,
    ended: watch::Receiver<Option<Ended>>,
}

/// How a rebuild has ended.
#[derive(Debug, Clone)]
struct Ended {
    at: Timestamp,
    took: Duration,
    outcome: Outcome,
}

#[derive(Debug, Clone)]
enum Outcome {
    Done(Vec<Rebuilt>),
    Cancelled,
    Failed(String),
}

/// The views of this process, and the rebuild of some.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ViewList {
    /// Where the log ends that the views follow, as far as this process knows.
    head: Position,
    /// Each view.
    views: Vec<ShownView>,
    /// The rebuild that runs, or the last one since this process began; null: there was none.
    rebuild: Option<ShownRebuild>,
}

/// A view.
#[derive(Serialize, JsonSchema)]
struct ShownView {
    /// Its name.
    view: ViewName,
    /// How far it has read the log.
    position: Position,
    /// How many events it has yet to read.
    behind: u64,
    /// Why it has stopped, while the others go on; null: it has not.
    stopped: Option<String>,
}

/// Where a rebuild stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RebuildState {
    /// It goes on.
    Running,
    /// The new views are live.
    Done,
    /// An operator has ended it: the views are as they were.
    Cancelled,
    /// It could not be done, and `why` says why: the views are as they were.
    Failed,
}

/// A rebuild of views.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ShownRebuild {
    /// What is built again.
    pub(crate) views: Vec<ViewName>,
    /// Where it stands.
    pub(crate) state: RebuildState,
    /// Who asked for it.
    pub(crate) by: AccountId,
    /// When it began.
    pub(crate) begun_at: Timestamp,
    /// When it ended; null: it goes on.
    pub(crate) ended_at: Option<Timestamp>,
    /// How far it has read the log.
    pub(crate) read: Position,
    /// How far it has to read: to where the live views stand.
    pub(crate) of: Position,
    /// How many events it reads in a second; null: nobody knows yet.
    pub(crate) events_per_s: Option<u64>,
    /// About how long it still takes, in seconds; null: it has ended, or nobody knows yet.
    pub(crate) left_s: Option<u64>,
    /// What was found, once it is done.
    pub(crate) found: Vec<FoundView>,
    /// Why it failed.
    pub(crate) why: Option<String>,
}

/// What a rebuild found of a view.
#[derive(Serialize, JsonSchema)]
pub(crate) struct FoundView {
    /// Its name.
    pub(crate) view: ViewName,
    /// Where both views stood when they were compared.
    pub(crate) position: Position,
    /// Whether the view was what the log says. If not it was damaged or made by a defect, and is mended now: report it.
    pub(crate) was_equal: bool,
    /// Hash of all that it held before.
    pub(crate) live_hash: Hash,
    /// Hash of all that it holds now.
    pub(crate) rebuilt_hash: Hash,
}

/// What is to be built again.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RebuildRequest {
    /// Names of views; all if it is absent or empty.
    #[serde(default)]
    views: Vec<ViewName>,
}

impl Rebuilds {
    fn lock(&self) -> MutexGuard<'_, Option<Run>> {
        // What is guarded is replaced whole.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives where the rebuild stands that runs, or the last one did; none: there was none.
    pub(crate) fn shown(&self, app: &App) -> Option<ShownRebuild> {
        let of = *app.gateway.projections.applied().borrow();
        self.lock().as_ref().map(|run| run.shown(of))
    }
}

impl Run {
    fn is_running(&self) -> bool {
        self.ended.borrow().is_none()
    }

    fn shown(&self, of: Position) -> ShownRebuild {
        let ended = self.ended.borrow().clone();
        let read = self.read.load(Ordering::Relaxed);
        let took = ended.as_ref().map_or_else(|| self.begun.elapsed(), |ended| ended.took);
        let per_s = u128::from(read) * 1000 / took.as_millis().max(1);
        let (state, found, why) = match ended.as_ref().map(|ended| &ended.outcome) {
            None => (RebuildState::Running, &[][..], None),
            Some(Outcome::Done(found)) => (RebuildState::Done, &found[..], None),
            Some(Outcome::Cancelled) => (RebuildState::Cancelled, &[][..], None),
            Some(Outcome::Failed(why)) => (RebuildState::Failed, &[][..], Some(why.clone())),
        };
        ShownRebuild {
            views: self.views.clone(),
            state,
            by: self.by,
            begun_at: self.begun_at,
            ended_at: ended.as_ref().map(|ended| ended.at),
            read,
            of: of.max(read),
            events_per_s: (read > 0).then(|| u64::try_from(per_s).unwrap_or(u64::MAX)),
            left_s: (ended.is_none() && read > 0).then(|| left_s(took, read, of)),
            found: found.iter().map(FoundView::of).collect(),
            why,
        }
    }
}

impl FoundView {
    fn of(found: &Rebuilt) -> FoundView {
        FoundView {
            view: found.view,
            position: found.head.position,
            was_equal: found.is_equal(),
            live_hash: found.live_hash,
            rebuilt_hash: found.rebuilt_hash,
        }
    }
}

fn check_operator(caller: &Caller) -> Result<(), Problem> {
    if caller.is_operator() {
        Ok(())
    } else {
        Err(Problem::forbidden("views are for operators to look after"))
    }
}

/// `GET /v1/views`
pub(crate) async fn views(caller: Caller, State(app): State<Arc<App>>) -> Result<Json<ViewList>, Problem> {
    check_operator(&caller)?;
    let views = &app.gateway.projections;
    let durable = app.gateway.status.borrow().head().map_or(0, |head| head.position);
    let positions: Vec<_> = ViewName::ALL.into_iter().map(|view| (view, views.head(view).position)).collect();
    let head = positions.iter().map(|(_, position)| *position).fold(durable, Position::max);
    let shown = |(view, position)| ShownView {
        view,
        position,
        behind: head - position,
        stopped: views.stopped(view),
    };
    let views = positions.into_iter().map(shown).collect();
    Ok(Json(ViewList { head, views, rebuild: app.rebuilds.shown(&app) }))
}

/// `POST /v1/views/rebuild`
pub(crate) async fn begin(
    caller: Caller,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    check_operator(&caller)?;
    let bytes = read_json(&headers, body).await?;
    let RebuildRequest { mut views } = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::query_invalid(format!("send {{\"views\": [\"orders\"]}}: {error}")))?;
    views.sort_unstable();
    views.dedup();
    if views.is_empty() {
        views = ViewName::ALL.to_vec();
    }
    let of = *app.gateway.projections.applied().borrow();
    let mut last = app.rebuilds.lock();
    if last.as_ref().is_some_and(Run::is_running) {
        let detail = "one rebuild runs at a time: wait for it or cancel it, see GET /v1/views";
        return Err(Problem::new(&REBUILD_RUNNING, detail));
    }
    let shown = last.insert(run(&app, views, caller.account)).shown(of);
    Ok((StatusCode::ACCEPTED, Json(shown)))
}

/// `DELETE /v1/views/rebuild`
pub(crate) async fn cancel(
    caller: Caller,
    State(app): State<Arc<App>>,
) -> Result<Json<ShownRebuild>, Problem> {
    check_operator(&caller)?;
    let mut ended = {
        let mut last = app.rebuilds.lock();
        let run = last.as_mut().filter(|run| run.is_running()).ok_or_else(nothing_runs)?;
        run.cancel = None;
        run.ended.clone()
    };
    // What is under way is folded to its end first; who asked sees it end, or sees that it still runs.
    let _ = tokio::time::timeout(CANCEL_TIME_MAX, ended.wait_for(Option::is_some)).await;
    app.rebuilds.shown(&app).map(Json).ok_or_else(nothing_runs)
}

fn nothing_runs() -> Problem {
    Problem::new(&NOT_FOUND, "no rebuild runs: there is nothing to give up")
}

/// Begins to build views again.
fn run(app: &App, views: Vec<ViewName>, by: AccountId) -> Run {
    let (cancel, cancelled) = oneshot::channel::<()>();
    let (end, ended) = watch::channel(None);
    let (read, begun, clock) = (Arc::new(AtomicU64::new(0)), Instant::now(), Arc::clone(&app.gateway.clock));
    let begun_at = clock.now();
    let run = Run {
        views: views.clone(),
        by,
        begun_at,
        begun,
        read: Arc::clone(&read),
        cancel: Some(cancel),
        ended,
    };
    let commits = app.gateway.log.follow(1).inspect(move |commit| {
        if let Ok(commit) = commit {
            read.store(commit.head().position, Ordering::Relaxed);
        }
    });
    let projections = app.gateway.projections.clone();
    tracing::info!(?views, %by, "views are built again");
    tokio::spawn(async move {
        let outcome = match projections.rebuild(&views, commits.take_until(cancelled)).await {
            Ok(found) => Outcome::Done(found),
            // A log that is followed has no end but that.
            Err(RebuildError::Short { .. }) => Outcome::Cancelled,
            Err(error) => Outcome::Failed(with_causes(&error)),
        };
        tracing::info!(?views, ?outcome, "a rebuild of views has ended");
        end.send_replace(Some(Ended { at: clock.now(), took: begun.elapsed(), outcome }));
    });
    run
}
