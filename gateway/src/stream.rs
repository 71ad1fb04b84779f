//! Events as they happen, as server-sent events: to each caller those of his own orders and carts, to operators all.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sse, KeepAlive};
use axum::response::{IntoResponse, Response};
use engine::Status;
use engine::log::{CommitStream, EventLog, ReadError};
use events::ids::AccountId;
use events::metadata::{Cause, EVENTS_PER_COMMIT_MAX};
use events::{Commit, Event, Position, Recorded};
use futures::StreamExt;
use projections::Projections;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::http::App;
use crate::problem::Problem;
use crate::query::Params;
use crate::token::Caller;

/// Most streams at once.
pub const STREAMS_MAX: usize = 1024;
/// Most events that wait for one client; one that takes longer than [`SLOW_TIME_MAX`] to make room is dropped.
const EVENTS_WAITING_MAX: usize = 256;
/// How long a client may leave its buffer full.
const SLOW_TIME_MAX: Duration = Duration::from_secs(10);
/// How often a silent stream says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long an event waits for the views, which tell whose order it is about.
const VIEWS_TIME_MAX: Duration = Duration::from_secs(10);

type Sent = Result<Sse, Infallible>;

/// `GET /v1/stream`
pub(crate) async fn stream(
    caller: Caller,
    params: Params,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    params.only(&["from"])?;
    let resumed = match headers.get("last-event-id").map(|value| value.to_str().map(str::parse::<Position>)) {
        None => None,
        Some(Ok(Ok(last))) => Some(last.saturating_add(1)),
        Some(_) => return Err(Problem::query_invalid("`Last-Event-ID` is a position")),
    };
    let from = match resumed.or(params.get("from")?) {
        Some(from) => from,
        None => app.gateway.projections.applied().borrow().saturating_add(1),
    };
    let full = |_| Problem::unavailable("as many streams are open as may be: try again in a moment");
    let permit = Arc::clone(&app.streams).try_acquire_owned().map_err(full)?;
    let commits = commits_from(app.gateway.log.as_ref(), from.max(1)).await?;
    let (out, waiting) = mpsc::channel(EVENTS_WAITING_MAX);
    let feed = Feed {
        caller,
        from,
        views: app.gateway.projections.clone(),
        status: app.gateway.status.clone(),
        out,
        _permit: permit,
    };
    tokio::spawn(feed.run(commits));
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("alive");
    Ok(axum::response::Sse::new(ReceiverStream::new(waiting)).keep_alive(heartbeat).into_response())
}

/// Follows a log from the commit that holds position `from`.
async fn commits_from(log: &dyn EventLog, from: Position) -> Result<CommitStream, Problem> {
    let head = log.head().await.map_err(unreadable)?.position;
    if from > head.saturating_add(1) {
        return Err(Problem::query_invalid(format!("the log ends at position {head}")));
    }
    let lowest = from.saturating_sub(EVENTS_PER_COMMIT_MAX as u64).max(1);
    for start in (lowest..=from).rev() {
        match log.read(start).next().await {
            Some(Err(ReadError::NotACommit { .. })) => {}
            Some(Err(ReadError::Beyond { .. })) | Some(Ok(_)) | None => return Ok(log.follow(start)),
            Some(Err(error)) => return Err(unreadable(error)),
        }
    }
    Err(Problem::query_invalid("no event stands at this position"))
}

fn unreadable(error: ReadError) -> Problem {
    tracing::error!(error = &error as &dyn std::error::Error, "a stream can't read the log");
    Problem::unavailable("the log can't be read now")
}

/// One client's stream.
struct Feed {
    caller: Caller,
    from: Position,
    views: Projections,
    status: watch::Receiver<Status>,
    out: mpsc::Sender<Sent>,
    _permit: OwnedSemaphorePermit,
}

impl Feed {
    async fn run(mut self, mut commits: CommitStream) {
        let last_words = loop {
            let commit = tokio::select! {
                commit = commits.next() => commit,
                () = self.out.closed() => return,
                _ = self.status.wait_for(|status| matches!(status, Status::Stopped(_))) => break "the engine has stopped",
            };
            match commit {
                Some(Ok(commit)) => {
                    if let Err(why) = self.send(&commit).await {
                        break why;
                    }
                }
                Some(Err(error)) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "a stream can't go on");
                    break "the log can't be read further";
                }
                None => break "the log ends",
            }
        };
        // The buffer of a slow client may be full still: then it gets no last words, and comes back with its last id.
        let last = self.out.send(Ok(Sse::default().comment(format!("closed: {last_words}"))));
        let _ = tokio::time::timeout(SLOW_TIME_MAX, last).await;
    }

    async fn send(&self, commit: &Commit) -> Result<(), &'static str> {
        for recorded in commit.events() {
            if recorded.position < self.from || !self.may_see(commit, recorded).await? {
                continue;
            }
            let sse = Sse::default()
                .id(recorded.position.to_string())
                .event(recorded.metadata.type_name.clone())
                .data(cloud_event(commit, recorded)?.to_string());
            match tokio::time::timeout(SLOW_TIME_MAX, self.out.send(Ok(sse))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err("the client is gone"),
                Err(_) => return Err("the client is too slow: come back with Last-Event-ID"),
            }
        }
        Ok(())
    }

    /// Tells whether an event is about something of the caller's.
    async fn may_see(&self, commit: &Commit, recorded: &Recorded) -> Result<bool, &'static str> {
        if self.caller.is_operator() {
            return Ok(true);
        }
        if let Cause::Command(stamp) = &commit.start().cause
            && stamp.account == self.caller.account
        {
            return Ok(true);
        }
        let order = match &recorded.event {
            Event::OrderPlaced(placed) => return Ok(self.is_one(&[placed.buyer, placed.seller])),
            Event::EscrowReleased(released) => return Ok(self.is_one(&[released.buyer, released.seller])),
            Event::EscrowRefunded(refunded) => return Ok(self.is_one(&[refunded.buyer, refunded.seller])),
            Event::WalletFunded(funded) => return Ok(self.is_one(&[funded.account])),
            Event::EscrowHeld(held) => held.order,
            Event::OrderShipped(shipped) => shipped.order,
            Event::OrderDelivered(delivered) => delivered.order,
            Event::OrderCancelled(cancelled) => cancelled.order,
            _ => return Ok(false),
        };
        let late = |_| "the views are too far behind: come back with Last-Event-ID";
        self.views.wait_for(recorded.position, VIEWS_TIME_MAX).await.map_err(late)?;
        let views = self.views.clone();
        let found = tokio::task::spawn_blocking(move || views.orders().order(order)).await;
        match found {
            Ok(Ok(order)) => Ok(order.is_some_and(|order| self.is_one(&[order.buyer, order.seller]))),
            _ => Err("the views can't answer"),
        }
    }

    fn is_one(&self, accounts: &[AccountId]) -> bool {
        accounts.contains(&self.caller.account)
    }
}

/// Shows an event in the JSON form of CloudEvents 1.0.
fn cloud_event(commit: &Commit, recorded: &Recorded) -> Result<Value, &'static str> {
    let data: Value =
        serde_json::from_slice(&recorded.payload_json).map_err(|_| "an event can't be shown")?;
    let metadata = &recorded.metadata;
    let mut event = json!({
        "specversion": "1.0",
        "id": recorded.id(),
        "source": format!("/markets/{}", metadata.market),
        "type": metadata.type_name,
        "time": metadata.time.to_string(),
        "datacontenttype": "application/json",
        "position": recorded.position,
        "commit": metadata.commit,
        "commitindex": metadata.index,
        "commitcount": metadata.count,
        "data": data,
    });
    if let Some(subject) = &metadata.subject {
        event["subject"] = subject.as_str().into();
    }
    if let Cause::Command(stamp) = &commit.start().cause {
        event["command"] = json!(stamp.command);
    }
    Ok(event)
}
