//! Follows the log into the outbox, and sends what is due.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use commands::command::{DropPush, ReportPush};
use commands::personal::{Personal, push_target_name};
use events::ids::AccountId;
use events::{Commit, Hash, Position, Timestamp};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use projections::ViewError;
use projections::account::Subscription;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::outbox::{Last, OutboxError, Progress, Slot, Waiting};
use super::what::{Notice, is_told, notices};
use super::{Notification, Outcome, Push, SENDS_MAX, Shared, WORTH_MS};
use crate::outside::NotSent;
use crate::past::commit_holding;
use crate::reporter::{Reporter, VIEWS_TIME_MAX};

/// How long it takes until what failed in this process is begun again.
const AGAIN: Duration = Duration::from_secs(5);
/// Most commits that are looked at together.
const COMMITS_MAX: usize = 64;
/// After how many events of which nobody is told it is kept how far this is.
const PASSED_EVENTS_MAX: u64 = 1_000;
/// How often the log is told how far this is at most, if anybody was told since: another process would tell them again.
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// How long it takes until it is tried again when how a device is reached is not in this process's vault, in milliseconds.
const MISSING_MS: i64 = 600_000;

/// Why something of this process failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    #[error("the views")]
    Views(#[from] ViewError),
    #[error("{0}")]
    Other(String),
}

fn other(why: impl ToString) -> Failed {
    Failed::Other(why.to_string())
}

impl Push {
    /// Tells devices what happens until it is told to stop. Only the process that writes the market does.
    pub(crate) fn run(&self, reporter: Reporter, mut stop: watch::Receiver<bool>) -> JoinHandle<()> {
        let shared = Arc::clone(&self.shared);
        drop(shared.reporter.set(reporter));
        tokio::spawn(async move {
            // What is under way then is on disk, and is sent again by the next process.
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {}
                () = again_and_again(|| follow(&shared)) => {}
                () = again_and_again(|| send_on(&shared)) => {}
            }
        })
    }
}

/// Does something that has no end, and begins it again in a moment when it fails.
async fn again_and_again<F: Future<Output = Failed>>(begin: impl Fn() -> F) {
    loop {
        let why = begin().await;
        tracing::error!(error = &why as &dyn std::error::Error, "notifications are begun again in a moment");
        tokio::time::sleep(AGAIN).await;
    }
}

async fn follow(shared: &Arc<Shared>) -> Failed {
    match follow_log(shared).await {
        Ok(()) => other("the log ends"),
        Err(why) => why,
    }
}

/// Follows the log from where this process stood, or another one told that it did.
async fn follow_log(shared: &Arc<Shared>) -> Result<(), Failed> {
    let mut progress = begin(shared).await?;
    let from = progress.position + 1;
    let held = commit_holding(shared.log.as_ref(), from).await.map_err(other)?;
    // Behind the log's end there is none yet.
    let from = held.map_or(from, |commit| commit.first_position());
    let mut commits = shared.log.follow(from).ready_chunks(COMMITS_MAX);
    let (mut kept, mut reported_at, mut has_told) = (progress.position, tokio::time::Instant::now(), false);
    loop {
        if let Ok(chunk) = tokio::time::timeout(REPORT_EVERY, commits.next()).await {
            let Some(chunk) = chunk else { return Ok(()) };
            let chunk = chunk.into_iter().collect::<Result<Vec<_>, _>>().map_err(other)?;
            let new = messages(shared, &chunk, progress.position).await?;
            progress.position = chunk.last().map_or(progress.position, |last| last.head().position);
            if !new.is_empty() || progress.position >= kept + PASSED_EVENTS_MAX {
                has_told |= !new.is_empty();
                let left_out = shared.outbox.add(new, &progress)?;
                if left_out > 0 {
                    tracing::warn!(
                        left_out,
                        "the outbox of notifications is full: these are told of nothing"
                    );
                }
                kept = progress.position;
                shared.added.notify_one();
            }
        }
        if has_told && reported_at.elapsed() >= REPORT_EVERY {
            reported_at = tokio::time::Instant::now();
            match report(shared, ReportPush { position: progress.position }).await {
                Ok(()) => (progress.noted, has_told) = (progress.position, false),
                // It is noted the next time.
                Err(why) => tracing::warn!(%why, "how far notifications were made is not noted"),
            }
        }
    }
}

async fn report(shared: &Shared, command: impl Into<commands::Command>) -> Result<(), String> {
    match shared.reporter.get() {
        Some(reporter) => reporter.report(command.into(), &shared.projections).await,
        None => Err("this process does not write the market".to_owned()),
    }
}

/// Says where to begin. Where nobody ever noted anything, nobody was told: it begins at the log's end.
async fn begin(shared: &Arc<Shared>) -> Result<Progress, Failed> {
    let head = shared.log.head().await.map_err(other)?.position;
    shared.projections.wait_for(head, VIEWS_TIME_MAX).await.map_err(other)?;
    let asked = Arc::clone(shared);
    let found = blocking(move || {
        let noted = asked.projections.accounts().push_reached()?;
        Ok::<_, Failed>((asked.outbox.progress()?, noted))
    });
    let (known, noted) = found.await??;
    let mut progress = known.unwrap_or(Progress { position: if noted == 0 { head } else { noted }, noted });
    if noted > progress.noted {
        progress = Progress { position: progress.position.max(noted), noted };
    }
    shared.outbox.add(Vec::new(), &progress)?;
    Ok(progress)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failed> {
    tokio::task::spawn_blocking(work).await.map_err(other)
}

/// Makes what is to be told of some commits, to each device one message.
async fn messages(
    shared: &Arc<Shared>,
    commits: &[Arc<Commit>],
    behind: Position,
) -> Result<Vec<(Slot, Waiting)>, Failed> {
    let is_for_somebody =
        |commit: &&Arc<Commit>| commit.events().iter().any(|recorded| is_told(&recorded.event));
    let told: Vec<_> = commits.iter().filter(is_for_somebody).map(Arc::clone).collect();
    let Some(last) = told.last() else { return Ok(Vec::new()) };
    shared.projections.wait_for(last.head().position, VIEWS_TIME_MAX).await.map_err(other)?;
    let asked = Arc::clone(shared);
    let found = blocking(move || {
        let (views, now) = (&asked.projections, asked.clock.now());
        let mut found = Vec::new();
        for commit in told {
            let worth_until = commit.time().plus_ms(WORTH_MS);
            for recorded in commit.events().iter().filter(|recorded| recorded.position > behind) {
                for notice in notices(views, &commit, &recorded.event)? {
                    let type_name = &recorded.metadata.type_name;
                    let message = message(&notice, type_name, recorded.position, now, worth_until);
                    let push = views.accounts().push(notice.account)?.unwrap_or_default();
                    // Whoever mutes it later is not told either: that is looked at again when it is sent.
                    if push.preferences.muted.contains(&notice.topic) || worth_until <= now {
                        continue;
                    }
                    let collapse = collapse_of(&notice);
                    let reached = push.subscriptions.into_iter();
                    let reached = reached.filter(|(_, row)| asked.service(row.channel).is_some());
                    found.extend(reached.map(|(subscription, _)| {
                        (Slot { account: notice.account, subscription, collapse }, message.clone())
                    }));
                }
            }
        }
        Ok::<_, ViewError>(found)
    });
    Ok(found.await??)
}

fn collapse_of(notice: &Notice) -> [u8; 24] {
    let (kind, id) = &notice.about;
    let hash = Hash::of(format!("{kind}/{id}").as_bytes());
    *hash.as_bytes().first_chunk().expect("24 bytes are fewer than 32")
}

fn message(
    notice: &Notice,
    type_name: &str,
    position: Position,
    due: Timestamp,
    worth_until: Timestamp,
) -> Waiting {
    let (kind, id) = &notice.about;
    Waiting {
        position,
        text: json!({"type": type_name, "position": position, (*kind): id}).to_string(),
        type_name: type_name.to_owned(),
        topic: notice.topic,
        is_urgent: notice.is_urgent,
        due,
        worth_until,
        attempts: 0,
    }
}

async fn send_on(shared: &Arc<Shared>) -> Failed {
    let (mut sending, mut busy) = (FuturesUnordered::new(), BTreeSet::<AccountId>::new());
    loop {
        let room = SENDS_MAX - sending.len();
        let due = match shared.outbox.take_due(shared.clock.now(), room, &busy) {
            Ok(due) => due,
            Err(why) => return why.into(),
        };
        for (slot, waiting) in due {
            busy.insert(slot.account);
            sending.push(async move { (slot, send(shared, slot, waiting).await) });
        }
        metrics::gauge!("skylink_push_waiting").set(shared.outbox.waiting() as f64);
        tokio::select! {
            Some((slot, sent)) = sending.next() => {
                busy.remove(&slot.account);
                if let Err(why) = sent {
                    // It waits on disk, and is sent by the next process at the latest.
                    tracing::error!(error = &why as &dyn std::error::Error, "a notification is not sent");
                }
            }
            () = shared.added.notified() => {}
            () = tokio::time::sleep(shared.config.look_every) => {}
        }
    }
}

/// What a device is to be told now, if anything.
enum Now {
    Send(Subscription),
    Later(Timestamp),
    Never(&'static str),
}

/// Sends a message once, if it is still wanted and not too late, and keeps what came of it.
async fn send(shared: &Arc<Shared>, slot: Slot, waiting: Waiting) -> Result<(), Failed> {
    let now = shared.clock.now();
    let subscription = match wanted(shared, slot, &waiting, now).await? {
        Now::Send(subscription) => subscription,
        Now::Later(due) => {
            return Ok(shared.outbox.put_back(slot, &Waiting { due, ..waiting }, None)?);
        }
        Now::Never(why) => {
            count(why);
            return Ok(shared.outbox.end(slot, &waiting, None)?);
        }
    };
    // An operator may have taken it away meanwhile.
    let Some(service) = shared.service(subscription.channel) else {
        count("not_served");
        return Ok(shared.outbox.end(slot, &waiting, None)?);
    };
    let (vault, name) = (Arc::clone(&shared.vault), push_target_name(slot.subscription, subscription.target));
    let stored = blocking(move || vault.get(slot.account, &name)).await?.map_err(other)?;
    let Some(target) = stored.and_then(|stored| Personal::from_bytes(&stored)) else {
        tracing::warn!(subscription = %slot.subscription, "how a device is reached is not in this process's vault");
        return Ok(shared.outbox.put_back(
            slot,
            &Waiting { due: now.plus_ms(MISSING_MS), ..waiting },
            None,
        )?);
    };
    let ttl_s = u64::try_from(waiting.worth_until.ms_since(now) / 1_000).unwrap_or(0);
    let (text, is_urgent) = (waiting.text.clone(), waiting.is_urgent);
    let notification = Notification { text, collapse: slot.collapse, is_urgent, ttl_s };
    let outcome = service.send(&target.value, &notification).await;
    keep(shared, slot, waiting, now, outcome).await
}

/// Says whether somebody still wants to be told of something, and whether now.
async fn wanted(shared: &Arc<Shared>, slot: Slot, waiting: &Waiting, now: Timestamp) -> Result<Now, Failed> {
    let asked = Arc::clone(shared);
    let found = blocking(move || {
        let accounts = asked.projections.accounts();
        Ok::<_, ViewError>((
            accounts.account(slot.account)?,
            accounts.push(slot.account)?.unwrap_or_default(),
        ))
    });
    let (owner, push) = found.await??;
    let is_there = owner.is_some_and(|owner| owner.suspended.is_none() && !owner.is_erased);
    let Some(subscription) = push.subscriptions.get(&slot.subscription).filter(|_| is_there) else {
        return Ok(Now::Never("unwanted"));
    };
    if push.preferences.muted.contains(&waiting.topic) {
        return Ok(Now::Never("unwanted"));
    }
    let quiet_ms = push.preferences.quiet.as_ref().map_or(0, |quiet| quiet.left_ms(now));
    let due = now.plus_ms(quiet_ms);
    if due >= waiting.worth_until {
        return Ok(Now::Never("expired"));
    }
    Ok(if quiet_ms > 0 { Now::Later(due) } else { Now::Send(*subscription) })
}

async fn keep(
    shared: &Arc<Shared>,
    slot: Slot,
    waiting: Waiting,
    now: Timestamp,
    outcome: Outcome,
) -> Result<(), Failed> {
    let last = |status: Option<u16>, error: Option<NotSent>| Last {
        type_name: waiting.type_name.clone(),
        position: waiting.position,
        time: now,
        status,
        error,
    };
    match outcome {
        Outcome::Taken(status) => {
            count("taken");
            shared.outbox.end(slot, &waiting, Some(&last(Some(status), None)))?;
        }
        Outcome::Refused(status) => {
            count("refused");
            tracing::warn!(subscription = %slot.subscription, ?status, "a service refuses a notification");
            shared.outbox.end(slot, &waiting, Some(&last(status, None)))?;
        }
        Outcome::Gone => {
            count("gone");
            shared.outbox.end(slot, &waiting, None)?;
            shared.outbox.forget(slot.subscription)?;
            let Slot { account, subscription, .. } = slot;
            if let Err(why) = report(shared, DropPush { account, subscription }).await {
                // The next message meets it again.
                tracing::warn!(%subscription, %why, "that a device is gone is not noted");
            }
        }
        Outcome::Again { status, error, after_s } => {
            let tried = usize::try_from(waiting.attempts).unwrap_or(usize::MAX);
            let last = last(status, error);
            let Some(ms) = shared.config.retry_ms.get(tried) else {
                count("given_up");
                return Ok(shared.outbox.end(slot, &waiting, Some(&last))?);
            };
            count("failed");
            let ms = (*ms).max(after_s.unwrap_or(0).saturating_mul(1_000));
            let due = now.plus_ms(i64::try_from(ms).unwrap_or(i64::MAX));
            let waiting = Waiting { due, attempts: waiting.attempts + 1, ..waiting };
            shared.outbox.put_back(slot, &waiting, Some(&last))?;
        }
    }
    Ok(())
}

fn count(outcome: &'static str) {
    metrics::counter!("skylink_push_messages_total", "outcome" => outcome).increment(1);
}
