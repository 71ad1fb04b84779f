//! The tasks between a writer and its log: one makes groups durable, one watches for other writers. If either ends badly,
//! the market stops, since the writer would wait for ever or go on unwarned.

use std::sync::Arc;
use std::time::Duration;

use events::ids::WriterId;
use events::{Commit, Event, Head, with_causes};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;

use crate::driver::ToWriter;
use crate::ingress::ReplyTo;
use crate::log::{AppendError, EventLog};
use crate::pace::Pace;
use crate::processor::Wake;

/// Most wishes that wait: an append, and the preparation for the next.
pub(crate) const WISHES_MAX: usize = 2;

/// How long the appender waits before it tries an append with unknown outcome again.
pub(crate) const APPEND_PAUSE: Duration = Duration::from_millis(100);

/// What is wanted of the log, with the head that the commits stand behind.
pub(crate) enum ToLog {
    /// Prepare for an append that begins with these commits.
    Prepare(Head, Vec<Arc<Commit>>),
    /// Append them.
    Append(Head, Vec<Arc<Commit>>),
    /// The same once more, after a pause.
    AppendAgain(Head, Vec<Arc<Commit>>),
}

/// Starts to make groups durable.
pub(crate) fn spawn(
    log: Arc<dyn EventLog>,
    wishes: mpsc::Receiver<ToLog>,
    pace: &Arc<Pace>,
    wakes: &mpsc::Sender<ToWriter>,
) {
    let appending = tokio::spawn(append(log, wishes, Arc::clone(pace), wakes.clone()));
    tokio::spawn(stop_with(appending, "the appender", wakes.downgrade()));
}

/// Starts to watch for another writer behind `begin`, the head that this one begins at: a writer that appends nothing would
/// go on answering from what it knew. That another can write at all is no matter of trust: the log's expected head keeps
/// two from deciding.
pub(crate) fn watch_for_others(
    log: &Arc<dyn EventLog>,
    begin: Head,
    own: WriterId,
    wakes: &mpsc::Sender<ToWriter>,
) {
    let mut commits = log.follow(begin.position + 1);
    let to_writer = wakes.downgrade();
    let watching = async move {
        while let Some(commit) = commits.next().await {
            let wake = match commit {
                Ok(commit) => match another_start(&commit, own) {
                    None => continue,
                    Some(epoch) => Wake::Replaced { epoch },
                },
                Err(error) => Wake::Failed(with_causes(&error)),
            };
            tell(&to_writer, wake).await;
            return;
        }
    };
    tokio::spawn(stop_with(tokio::spawn(watching), "the watch for other writers", wakes.downgrade()));
}

/// Gives the number of a writer other than `own` that starts with this commit: every writer's first does.
fn another_start(commit: &Commit, own: WriterId) -> Option<u64> {
    commit.events().iter().find_map(|recorded| match &recorded.event {
        Event::WriterStarted(started) if started.writer != own => Some(started.epoch),
        _ => None,
    })
}

/// Stops the market if a task ends badly.
pub(crate) async fn stop_with(
    task: tokio::task::JoinHandle<()>,
    what: &'static str,
    wakes: mpsc::WeakSender<ToWriter>,
) {
    if task.await.is_err() {
        tell(&wakes, Wake::Failed(format!("{what} ended badly; its last words are on standard error"))).await;
    }
}

async fn tell(wakes: &mpsc::WeakSender<ToWriter>, wake: Wake<ReplyTo>) {
    if let Some(wakes) = wakes.upgrade() {
        // A writer that has ended needs to hear nothing.
        let _ = wakes.send(wake.into()).await;
    }
}

/// Makes groups durable, one at a time, and has the log prepare for the next meanwhile.
async fn append(
    log: Arc<dyn EventLog>,
    mut wishes: mpsc::Receiver<ToLog>,
    pace: Arc<Pace>,
    wakes: mpsc::Sender<ToWriter>,
) {
    let mut under_way = FuturesUnordered::new();
    loop {
        let wake = tokio::select! {
            // What is under way goes on before a new wish begins: the log gets them in the writer's order.
            biased;
            Some(wake) = under_way.next() => wake,
            wish = wishes.recv() => match wish {
                Some(wish) => {
                    under_way.push(fulfil(log.as_ref(), &pace, wish));
                    continue;
                }
                None => return,
            },
        };
        if wakes.send(wake.into()).await.is_err() {
            return;
        }
    }
}

async fn fulfil(log: &dyn EventLog, pace: &Pace, wish: ToLog) -> Wake<ReplyTo> {
    match wish {
        ToLog::Prepare(expected, commits) => {
            log.prepare(expected, &commits).await;
            Wake::Prepared
        }
        ToLog::Append(expected, commits) => append_group(log, pace, expected, &commits).await,
        ToLog::AppendAgain(expected, commits) => {
            tokio::time::sleep(APPEND_PAUSE).await;
            append_group(log, pace, expected, &commits).await
        }
    }
}

async fn append_group(
    log: &dyn EventLog,
    pace: &Pace,
    expected: Head,
    commits: &[Arc<Commit>],
) -> Wake<ReplyTo> {
    let started = std::time::Instant::now();
    let outcome = log.append(expected, commits).await;
    let elapsed = started.elapsed();
    metrics::histogram!("skylink_append_seconds").record(elapsed.as_secs_f64());
    tracing::debug!(commits = commits.len(), elapsed_us = elapsed.as_micros() as u64, "appended");
    match outcome {
        Ok(()) => {
            pace.appended(elapsed);
            Wake::Appended
        }
        Err(AppendError::Conflict { .. }) => Wake::AppendConflict,
        Err(error @ AppendError::Unknown(_)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the append is tried again");
            Wake::AppendUnknown
        }
        Err(error @ AppendError::Failed(_)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the market stops");
            Wake::Failed(with_causes(&error))
        }
    }
}
