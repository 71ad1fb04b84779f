//! The market as it was: views that hold the log up to a position and no further, for operators who ask `as_of`.
//!
//! They are folded from the log's beginning by the same code as the live views, beside those, in a folder that goes when they do.
//! So what they answer is what was answered then, but for what a newer program words otherwise. It takes as long as a rebuild of
//! all views up to there; whoever asks meanwhile is told how far it is.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::log::{EventLog, ReadError};
use events::metadata::EVENTS_PER_COMMIT_MAX;
use events::{Commit, Position, Timestamp};
use futures::{StreamExt, future};
use projections::Projections;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::http::App;
use crate::problem::{PAST_BUILDING, Problem};
use crate::query::Params;
use crate::token::Caller;

/// Most pasts that are kept, each as large as the live views were then. The one that was not asked for the longest makes room.
pub const PASTS_MAX: usize = 2;
/// How long a question waits for its past.
const PAST_TIME_MAX: Duration = Duration::from_secs(2);
/// When to come again, in seconds, while nobody knows how long it takes.
const RETRY_AFTER_S: u64 = 5;

/// A moment of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// All that was decided up to this position.
    Position(Position),
    /// All that was decided up to this time.
    Time(Timestamp),
}

/// A position in digits, or a time in RFC 3339.
impl FromStr for AsOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_position = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_position {
            return text.parse().map(AsOf::Position).map_err(|error| format!("it is no position: {error}"));
        }
        let time = Timestamp::parse_rfc3339(text);
        time.map(AsOf::Time)
            .map_err(|error| format!("it is neither a position nor a time in RFC 3339: {error}"))
    }
}

/// The pasts of one market that are kept.
pub struct Past {
    dir: PathBuf,
    log: Arc<dyn EventLog>,
    /// The one that was asked for last stands last.
    kept: Mutex<VecDeque<Kept>>,
    /// One is built at a time.
    builder: Arc<Semaphore>,
}

struct Kept {
    position: Position,
    build: watch::Receiver<Build>,
    begun: Instant,
    task: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How far a past is.
#[derive(Clone)]
enum Build {
    Waiting,
    Running(Projections),
    Done(Projections),
    Failed(Arc<str>),
}

impl Build {
    fn has_ended(&self) -> bool {
        matches!(self, Build::Done(_) | Build::Failed(_))
    }
}

impl fmt::Debug for Past {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Past").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Past {
    /// Builds pasts of a log below a folder, which is emptied: whatever is there was left behind by a process that was killed.
    pub async fn new(dir: PathBuf, log: Arc<dyn EventLog>) -> Past {
        // It may hold as much as two sets of views, and takes its time.
        let left_behind = dir.clone();
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(left_behind)).await;
        if let Err(error) = removed.expect("removing a folder does not panic")
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %dir.display(), %error, "views of the past can't be removed: remove the folder by hand");
        }
        Past { dir, log, kept: Mutex::default(), builder: Arc::new(Semaphore::new(1)) }
    }

    /// Gives the views as they were at a position where a commit ends, when they are there soon.
    async fn views(&self, position: Position) -> Result<Projections, Problem> {
        let (mut build, begun) = self.kept_or_begun(position)?;
        let ended = async { build.wait_for(Build::has_ended).await.map(|ended| ended.clone()) };
        let ended = tokio::time::timeout(PAST_TIME_MAX, ended).await;
        let build = match ended {
            Ok(Ok(ended)) => ended,
            // Its task is gone.
            Ok(Err(_)) => Build::Failed("it was given up".into()),
            Err(_) => build.borrow().clone(),
        };
        match build {
            Build::Done(views) => Ok(views),
            Build::Failed(why) => {
                self.lock().retain(|kept| kept.position != position);
                Err(Problem::unavailable(format!(
                    "the views as of position {position} can't be built: {why}"
                )))
            }
            Build::Waiting => Err(building("another past is being built first".to_owned(), RETRY_AFTER_S)),
            Build::Running(views) => {
                let applied = *views.applied().borrow();
                let left_s = left_s(begun.elapsed(), applied, position);
                let detail = format!("the views as of position {position} have read up to {applied}");
                Err(building(detail, left_s))
            }
        }
    }

    fn kept_or_begun(&self, position: Position) -> Result<(watch::Receiver<Build>, Instant), Problem> {
        let mut kept = self.lock();
        if let Some(at) = kept.iter().position(|kept| kept.position == position) {
            let found = kept.remove(at).expect("it was found there");
            let known = (found.build.clone(), found.begun);
            kept.push_back(found);
            return Ok(known);
        }
        if kept.len() == PASTS_MAX {
            let Some(oldest) = kept.iter().position(|kept| kept.build.borrow().has_ended()) else {
                let detail = format!("{PASTS_MAX} pasts are being built, as many as are kept");
                return Err(building(detail, RETRY_AFTER_S));
            };
            kept.remove(oldest);
        }
        let (sender, build) = watch::channel(Build::Waiting);
        let dir = self.dir.join(uuid::Uuid::now_v7().to_string());
        let task = tokio::spawn(build_up_to(
            position,
            dir,
            Arc::clone(&self.log),
            Arc::clone(&self.builder),
            sender,
        ));
        let begun = Instant::now();
        kept.push_back(Kept { position, build: build.clone(), begun, task });
        Ok((build, begun))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        // A panic of a holder leaves one past more or less, which is no harm.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn building(detail: String, retry_after_s: u64) -> Problem {
    Problem::new(&PAST_BUILDING, format!("{detail}: ask again in {retry_after_s} s"))
        .retrying_after(retry_after_s)
}

/// Estimates how long it takes from `applied` to `wanted`, in seconds, by how long it took until there.
pub(crate) fn left_s(elapsed: Duration, applied: Position, wanted: Position) -> u64 {
    if applied == 0 {
        return RETRY_AFTER_S;
    }
    let left_ms = elapsed.as_millis() * u128::from(wanted.saturating_sub(applied)) / u128::from(applied);
    u64::try_from(left_ms.div_ceil(1000)).unwrap_or(u64::MAX).max(1)
}

async fn build_up_to(
    position: Position,
    dir: PathBuf,
    log: Arc<dyn EventLog>,
    builder: Arc<Semaphore>,
    progress: watch::Sender<Build>,
) {
    let built = async {
        let _turn = builder.acquire().await.map_err(|error| error.to_string())?;
        let opened = tokio::task::spawn_blocking(move || Projections::open_temporary(&dir)).await;
        let views = opened.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        progress.send_replace(Build::Running(views.clone()));
        let is_up_to = |read: &Result<Arc<Commit>, ReadError>| match read {
            Ok(commit) => commit.head().position <= position,
            Err(_) => true,
        };
        let commits = log.read(1).take_while(move |read| future::ready(is_up_to(read)));
        views.run(commits, future::pending()).await.map_err(|error| error.to_string())?;
        match *views.applied().borrow() {
            applied if applied == position => {}
            applied => return Err(format!("the log ended at position {applied}")),
        }
        Ok(views)
    };
    let outcome = match built.await {
        Ok(views) => Build::Done(views),
        Err(why) => {
            tracing::error!(position, %why, "views of the past can't be built");
            Build::Failed(why.into())
        }
    };
    progress.send_replace(outcome);
}

/// Gives the views that a question is for: as they were, if it says `as_of`, which is for operators; else those that there are.
pub(crate) async fn views_for(caller: &Caller, params: &Params, app: &App) -> Result<Projections, Problem> {
    match params.as_of("as_of")? {
        None => Ok(app.gateway.projections.clone()),
        Some(as_of) => views_as_of(caller, as_of, app).await,
    }
}

/// Gives the views as they were.
pub(crate) async fn views_as_of(caller: &Caller, as_of: AsOf, app: &App) -> Result<Projections, Problem> {
    if !caller.is_operator() {
        return Err(Problem::forbidden("the past is for operators"));
    }
    let position = position_of(app.gateway.log.as_ref(), as_of).await?;
    app.gateway.past.views(position).await
}

/// Finds the last commit of the past that is asked for, and gives where it ends.
async fn position_of(log: &dyn EventLog, as_of: AsOf) -> Result<Position, Problem> {
    match end_of(log, as_of).await? {
        0 => Err(Problem::query_invalid("the market had not begun then")),
        end => Ok(end),
    }
}

/// Gives where the last commit of a past ends; 0: the market had not begun then.
pub(crate) async fn end_of(log: &dyn EventLog, as_of: AsOf) -> Result<Position, Problem> {
    let head = log.head().await.map_err(unreadable)?.position;
    let (mut lowest, mut highest) = match as_of {
        AsOf::Position(position) if position > head => {
            return Err(Problem::query_invalid(format!("the log ends at position {head}")));
        }
        AsOf::Position(position) => (0, position),
        AsOf::Time(_) => (0, head),
    };
    let is_past = |commit: &Commit| match as_of {
        AsOf::Position(position) => commit.head().position <= position,
        AsOf::Time(time) => commit.events()[0].metadata.time <= time,
    };
    // All up to `lowest` belongs to the past, and nothing behind `highest` does. A commit is there whole or not at all.
    while lowest < highest {
        let middle = match as_of {
            AsOf::Position(_) => highest,
            AsOf::Time(_) => lowest + (highest - lowest).div_ceil(2),
        };
        let commit = commit_holding(log, middle)
            .await
            .map_err(unreadable)?
            .ok_or_else(|| Problem::unavailable(format!("the log has no commit at position {middle}")))?;
        if is_past(&commit) {
            lowest = commit.head().position;
        } else {
            highest = commit.first_position() - 1;
        }
    }
    Ok(lowest)
}

/// Gives when a moment of the log was: where a position is named, the time of the last commit up to there.
pub(crate) async fn time_of(log: &dyn EventLog, as_of: AsOf) -> Result<Timestamp, Problem> {
    if let AsOf::Time(time) = as_of {
        return Ok(time);
    }
    let end = position_of(log, as_of).await?;
    let commit = commit_holding(log, end).await.map_err(unreadable)?;
    let missing = || Problem::unavailable(format!("the log has no commit at position {end}"));
    Ok(commit.ok_or_else(missing)?.time())
}

/// Finds the commit that holds a position; none: the log ends before it.
pub(crate) async fn commit_holding(
    log: &dyn EventLog,
    position: Position,
) -> Result<Option<Arc<Commit>>, ReadError> {
    let lowest = position.saturating_sub(EVENTS_PER_COMMIT_MAX as u64).max(1);
    for start in (lowest..=position).rev() {
        match log.commit(start).await {
            Err(ReadError::NotACommit { .. }) => {}
            found => return found,
        }
    }
    Err(ReadError::NotACommit { from: position })
}

pub(crate) fn unreadable(error: ReadError) -> Problem {
    tracing::error!(error = &error as &dyn std::error::Error, "the log can't be read for a question");
    Problem::unavailable("the log can't be read now")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_position_or_a_time() {
        assert_eq!("17".parse(), Ok(AsOf::Position(17)));
        let time = Timestamp::from_ms(1_753_783_200_000);
        assert_eq!("2025-07-29T10:00:00Z".parse(), Ok(AsOf::Time(time)));
        for wrong in ["", "-1", "1.5", "yesterday", "99999999999999999999"] {
            assert!(wrong.parse::<AsOf>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_left_is_told_by_what_was_done() {
        assert_eq!(left_s(Duration::from_secs(2), 0, 100), RETRY_AFTER_S);
        assert_eq!(left_s(Duration::from_secs(2), 50, 100), 2);
        assert_eq!(left_s(Duration::from_secs(2), 10, 100), 18);
        assert_eq!(left_s(Duration::from_secs(2), 99, 100), 1);
    }
}
