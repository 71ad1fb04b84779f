//! Events as they happen, as server-sent events: to each caller those of his own orders and carts, to operators all.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sse, KeepAlive};
use axum::response::{IntoResponse, Response};
use commands::Refusal;
use engine::Status;
use engine::log::{CommitStream, EventLog};
use events::ids::{AccountId, CommandId, CommitId, KeyId};
use events::metadata::Cause;
use events::{Commit, Event, Position, Recorded};
use futures::StreamExt;
use projections::{Projections, ViewError};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::http::App;
use crate::past::{commit_holding, unreadable};
use crate::problem::{Problem, STREAMS_FULL, TOKEN_INVALID};
use crate::query::Params;
use crate::sight::{Sight, VIEWS_TIME_MAX};
use crate::token::{By, Caller, ENDED};

/// Most streams at once.
pub const STREAMS_MAX: usize = 1024;
/// Most events that wait for one client; one that takes longer than [`SLOW_TIME_MAX`] to make room is dropped.
pub const EVENTS_WAITING_MAX: usize = 256;
/// How long a client may leave its buffer full.
pub const SLOW_TIME_MAX: Duration = Duration::from_secs(10);
/// How often a silent stream says that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

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
    let full = |_| {
        let detail = format!("{STREAMS_MAX} streams are open, as many as may be: try again in a moment");
        Problem::new(&STREAMS_FULL, detail)
    };
    let permit = Arc::clone(&app.streams).try_acquire_owned().map_err(full)?;
    let from = from.max(1);
    let commits = commits_from(app.gateway.log.as_ref(), from).await?;
    // What ended before the first event that is sent is not met on the way.
    app.gateway.projections.wait_for(from - 1, VIEWS_TIME_MAX).await?;
    match standing(&app.gateway.projections, &caller)? {
        Standing::Good => {}
        Standing::Suspended => return Err(Refusal::AccountSuspended.into()),
        Standing::Erased => return Err(Refusal::Erased.into()),
        Standing::Ended => {
            return Err(Problem::new(&TOKEN_INVALID, ENDED));
        }
    }
    let (views, status) = (app.gateway.projections.clone(), app.gateway.status.clone());
    let left = match caller.by {
        By::Key(..) => None,
        By::Session(_, until) => {
            let ms = u64::try_from(until.ms_since(app.gateway.clock.now())).unwrap_or_default();
            Some(Duration::from_millis(ms))
        }
    };
    let (feed, waiting, last_words) = Feed::new(caller, from, views, status, permit)?;
    tokio::spawn(async move {
        match left {
            None => feed.run(commits, last_words, std::future::pending()).await,
            Some(left) => feed.run(commits, last_words, tokio::time::sleep(left)).await,
        }
    });
    Ok(answer(waiting))
}

/// Whether somebody may go on following what happens to him.
enum Standing {
    Good,
    Suspended,
    Erased,
    /// What he asks with.
    Ended,
}

/// Tells how somebody stands now.
fn standing(views: &Projections, caller: &Caller) -> Result<Standing, ViewError> {
    let accounts = views.accounts();
    let is_active = match caller.by {
        By::Key(_, key) => accounts.key(key)?.is_some_and(|owner| owner.is_active),
        // When its time is over the stream ends by itself.
        By::Session(session, _) => {
            accounts.sign_in(caller.account)?.is_some_and(|known| known.sessions.contains_key(&session))
        }
    };
    let known = accounts.account(caller.account)?;
    if known.as_ref().is_some_and(|known| known.is_erased) {
        return Ok(Standing::Erased);
    }
    let is_suspended = known.is_none_or(|known| known.suspended.is_some());
    Ok(match (is_active, is_suspended) {
        (false, _) => Standing::Ended,
        (true, true) => Standing::Suspended,
        (true, false) => Standing::Good,
    })
}

/// Answers with what waits, and with a comment when nothing does.
fn answer(waiting: mpsc::Receiver<Sent>) -> Response {
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("alive");
    axum::response::Sse::new(ReceiverStream::new(waiting)).keep_alive(heartbeat).into_response()
}

/// Follows a log from the commit that holds position `from`.
async fn commits_from(log: &dyn EventLog, from: Position) -> Result<CommitStream, Problem> {
    let head = log.head().await.map_err(unreadable)?.position;
    if from > head.saturating_add(1) {
        return Err(Problem::query_invalid(format!("the log ends at position {head}")));
    }
    let held = commit_holding(log, from).await.map_err(unreadable)?;
    Ok(log.follow(held.map_or(from, |commit| commit.first_position())))
}

/// One client's stream.
struct Feed {
    caller: Caller,
    from: Position,
    sight: Sight,
    status: watch::Receiver<Status>,
    out: mpsc::Sender<Sent>,
    _permit: OwnedSemaphorePermit,
}

impl Feed {
    /// Makes a stream, with what its client reads from and the right to say a last thing.
    fn new(
        caller: Caller,
        from: Position,
        views: Projections,
        status: watch::Receiver<Status>,
        permit: OwnedSemaphorePermit,
    ) -> Result<(Feed, mpsc::Receiver<Sent>, OwnedPermit<Sent>), Problem> {
        // One place more, kept for the last words: a client too slow for its events still learns why they end.
        let (out, waiting) = mpsc::channel(EVENTS_WAITING_MAX + 1);
        let kept = out.clone().try_reserve_owned();
        let last_words = kept.map_err(|_| Problem::unavailable("the stream can't begin: try again"))?;
        let sight = Sight::new(caller.account, caller.is_operator(), views);
        Ok((Feed { caller, from, sight, status, out, _permit: permit }, waiting, last_words))
    }

    /// Sends until there is a reason not to, and then says it.
    async fn run(
        mut self,
        mut commits: CommitStream,
        last_words: OwnedPermit<Sent>,
        is_over: impl Future<Output = ()>,
    ) {
        let mut is_over = std::pin::pin!(is_over);
        let reason = loop {
            let commit = tokio::select! {
                commit = commits.next() => commit,
                () = self.out.closed() => return,
                () = &mut is_over => break "its session is over",
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
        last_words.send(Ok(Sse::default().comment(format!("closed: {reason}"))));
    }

    async fn send(&mut self, commit: &Commit) -> Result<(), &'static str> {
        for recorded in commit.events() {
            if recorded.position < self.from || !self.sight.may_see(commit, recorded).await? {
                continue;
            }
            let shown = cloud_event(commit, recorded)?;
            let sse = Sse::default()
                .id(recorded.position.to_string())
                .event(&shown.type_name)
                .json_data(&shown)
                .map_err(|_| "an event can't be shown")?;
            match tokio::time::timeout(SLOW_TIME_MAX, self.out.send(Ok(sse))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err("the client is gone"),
                Err(_) => return Err("the client is too slow: come back with Last-Event-ID"),
            }
        }
        for recorded in commit.events() {
            let account = self.caller.account;
            let is_key = |key: KeyId| matches!(self.caller.by, By::Key(_, own) if own == key);
            let may_end = match &recorded.event {
                Event::DeviceRevoked(revoked) => is_key(revoked.key),
                Event::DeviceRotated(rotated) => is_key(rotated.replaced),
                Event::SessionEnded(ended) => ended.account == account,
                Event::PasswordSet(set) => set.account == account,
                Event::PasswordRemoved(removed) => removed.account == account,
                Event::PasskeyRemoved(removed) => removed.account == account,
                Event::AccountSuspended(suspended) => suspended.account == account,
                Event::AccountErased(erased) => erased.account == account,
                _ => false,
            };
            if may_end {
                self.check_standing(recorded.position).await?;
            }
        }
        Ok(())
    }

    /// Tells whether the caller's stream goes on, by what stands now: an event that ended another stream long ago, and was taken
    /// back since, ends none.
    async fn check_standing(&self, position: Position) -> Result<(), &'static str> {
        let caller = self.caller.clone();
        match self.sight.ask(position, move |views| standing(views, &caller)).await? {
            Standing::Good => Ok(()),
            Standing::Suspended => Err("the account is suspended"),
            Standing::Erased => Err("the account was erased"),
            Standing::Ended => Err(match self.caller.by {
                By::Key(..) => "its key signs nothing any more",
                By::Session(..) => "its session has ended",
            }),
        }
    }
}

/// An event in the JSON form of CloudEvents 1.0.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CloudEvent {
    /// `1.0`
    specversion: &'static str,
    id: String,
    /// `/markets/<market>`
    source: String,
    /// The versioned type, such as `order.placed.v1`.
    #[serde(rename = "type")]
    type_name: String,
    /// When it was decided, in RFC 3339.
    time: String,
    /// `application/json`
    datacontenttype: &'static str,
    /// The aggregate it belongs to; none for the market's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// Where it stands in the log.
    position: Position,
    /// The commit it is part of.
    commit: CommitId,
    /// Which event of its commit it is, from 0.
    commitindex: u16,
    /// How many events its commit has.
    commitcount: u16,
    /// The signed command that caused it; none for a deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<CommandId>,
    /// What happened: see the schema of its type in `schemas/events`. Of a message to a webhook that has `replacedin`, what somebody
    /// said is sent instead.
    data: Value,
    /// In messages to webhooks: who said what is sent as `data`; absent: nobody, it is as it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    replacedby: Option<AccountId>,
    /// In messages to webhooks: the command in which that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    replacedin: Option<CommandId>,
}

impl CloudEvent {
    /// Shows an event as this program would write it, whatever version it is stored in, with other data if somebody said so.
    pub(crate) fn present(
        commit: &Commit,
        recorded: &Recorded,
        instead: Option<(Value, AccountId, CommandId)>,
    ) -> Result<CloudEvent, &'static str> {
        let (data, by) = match instead {
            Some((data, by, command)) => (data, Some((by, command))),
            None => (data_of(&recorded.event.encode())?, None),
        };
        let mut shown = with_data(commit, recorded, data);
        recorded.event.type_name().clone_into(&mut shown.type_name);
        (shown.replacedby, shown.replacedin) = by.unzip();
        Ok(shown)
    }
}

/// Shows an event.
pub(crate) fn cloud_event(commit: &Commit, recorded: &Recorded) -> Result<CloudEvent, &'static str> {
    Ok(with_data(commit, recorded, data_of(&recorded.payload_json)?))
}

fn data_of(payload: &[u8]) -> Result<Value, &'static str> {
    serde_json::from_slice(payload).map_err(|_| "an event can't be shown")
}

fn with_data(commit: &Commit, recorded: &Recorded, data: Value) -> CloudEvent {
    let metadata = &recorded.metadata;
    let command = match &commit.start().cause {
        Cause::Command(stamp) => Some(stamp.command),
        _ => None,
    };
    CloudEvent {
        specversion: "1.0",
        id: recorded.id(),
        source: format!("/markets/{}", metadata.market),
        type_name: metadata.type_name.clone(),
        time: metadata.time.to_string(),
        datacontenttype: "application/json",
        subject: metadata.subject.clone(),
        position: recorded.position,
        commit: metadata.commit,
        commitindex: metadata.index,
        commitcount: metadata.count,
        command,
        data,
        replacedby: None,
        replacedin: None,
    }
}

#[cfg(test)]
mod tests {
    use events::commit::Seal;
    use events::ids::{AccountId, DeviceId, WriterId};
    use events::listing::StockReceived;
    use events::{Event, Hash, Head, Quantity, Timestamp};
    use tokio::time::Instant;
    use uuid::Uuid;

    use super::*;

    /// Commits of one to three events each, `count` events or a few more.
    fn commits(count: usize) -> Vec<Arc<Commit>> {
        let (mut commits, mut head) = (Vec::new(), Head::EMPTY);
        let listing = events::ids::ListingId::from_uuid(Uuid::from_u128(1));
        let received =
            StockReceived { listing, location: None, on_hand: 1, quantity: Quantity::new(1).unwrap() };
        let writer = WriterId::from_uuid(Uuid::from_u128(2));
        while (head.position as usize) < count {
            let seal = Seal {
                id: CommitId::derive(writer, head.position + 1, Timestamp::from_ms(0)),
                market: "main".parse().unwrap(),
                time: Timestamp::from_ms(0),
                cause: Cause::Writer(writer),
                traceparent: None,
            };
            let events: Vec<Event> = vec![received.clone().into(); 1 + commits.len() % 3];
            let commit = Commit::seal(head, seal, events);
            head = commit.head();
            commits.push(Arc::new(commit));
        }
        commits
    }

    struct Operator {
        dir: tempfile::TempDir,
        status: watch::Sender<Status>,
    }

    impl Operator {
        fn new() -> Self {
            let status = watch::Sender::new(Status::Writing(Head { position: 0, hash: Hash::ZERO }));
            Operator { dir: tempfile::tempdir().unwrap(), status }
        }

        /// Lets an operator follow `commits` from a position, and gives his end of the stream.
        fn follow(&self, from: Position, commits: &[Arc<Commit>]) -> (mpsc::Receiver<Sent>, Task) {
            let account = AccountId::from_uuid(Uuid::from_u128(3));
            let roles = [events::account::Role::Operator].into();
            let by = By::Key(DeviceId::from_uuid(Uuid::from_u128(4)), KeyId([0; 32]));
            let permit = Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap();
            let (feed, waiting, last_words) =
                Feed::new(Caller { account, roles, by }, from, self.views(), self.status.subscribe(), permit)
                    .unwrap();
            let all = futures::stream::iter(commits.to_vec()).map(Ok).chain(futures::stream::pending());
            (waiting, tokio::spawn(feed.run(all.boxed(), last_words, std::future::pending())))
        }

        fn views(&self) -> Projections {
            Projections::open(&self.dir.path().join(Uuid::now_v7().to_string())).unwrap()
        }
    }

    type Task = tokio::task::JoinHandle<()>;

    /// Reads what has been sent so far: the ids of the events, and the last comment.
    async fn read(waiting: mpsc::Receiver<Sent>) -> (Vec<Position>, Option<String>) {
        let text = axum::body::to_bytes(answer(waiting).into_body(), usize::MAX).await.unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
        let comment = text.lines().rfind(|line| line.starts_with(':')).map(str::to_owned);
        (ids.map(|id| id.parse().unwrap()).collect(), comment)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_too_slow_is_told_so_and_goes_on_where_he_was() {
        let operator = Operator::new();
        let commits = commits(3 * EVENTS_WAITING_MAX);
        let head = commits.last().unwrap().head().position;
        let mut read_ids = Vec::new();
        while read_ids.last().is_none_or(|last| *last < head) {
            let from = read_ids.last().map_or(1, |last| last + 1);
            let started = Instant::now();
            let (waiting, task) = operator.follow(from, &commits);
            if head - from < EVENTS_WAITING_MAX as u64 {
                // All that is left fits: this client is not too slow. The engine ends the stream.
                while waiting.len() as u64 <= head - from {
                    tokio::task::yield_now().await;
                }
                let reason = engine::processor::StopReason::Shutdown;
                operator.status.send_replace(Status::Stopped(reason));
                task.await.unwrap();
                let (ids, comment) = read(waiting).await;
                assert_eq!(comment.as_deref(), Some(": closed: the engine has stopped"));
                read_ids.extend(ids);
                continue;
            }
            task.await.unwrap();
            assert_eq!(started.elapsed().as_secs(), SLOW_TIME_MAX.as_secs());
            let (ids, comment) = read(waiting).await;
            assert_eq!(ids.len(), EVENTS_WAITING_MAX);
            let told = ": closed: the client is too slow: come back with Last-Event-ID";
            assert_eq!(comment.as_deref(), Some(told));
            read_ids.extend(ids);
        }
        assert_eq!(read_ids, (1..=head).collect::<Vec<_>>(), "no event is lost, none doubled");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_says_that_it_lives() {
        let operator = Operator::new();
        let (waiting, task) = operator.follow(1, &[]);
        let started = Instant::now();
        let mut chunks = answer(waiting).into_body().into_data_stream();
        for beat in 1..=3 {
            assert_eq!(chunks.next().await.unwrap().unwrap(), ": alive\n\n");
            assert_eq!(started.elapsed().as_secs(), (HEARTBEAT * beat).as_secs());
        }
        // The stream ends with its client.
        drop(chunks);
        task.await.unwrap();
    }
}
