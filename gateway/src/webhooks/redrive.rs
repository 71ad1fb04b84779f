//! Redrives letters: the lanes that somebody asked for are told from their first letters on, each in its order, until they are empty or
//! the address refuses one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use events::webhook::DisabledBecause;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use projections::webhook::Webhook;

use super::letters::{Letter, LetterError, Marked};
use super::message::Rendered;
use super::tell::{End, failed};
use super::{Delivery, JITTER_MAX, NotTried, Shared};
use crate::past::commit_holding;
use crate::reporter::VIEWS_TIME_MAX;

/// Most lanes of one address that are redriven at once, each with one letter under way.
pub const LANES_PER_WEBHOOK_MAX: usize = 8;
/// Most letters of all addresses that are under way at once.
pub const LETTERS_SENT_MAX: usize = 64;
/// How long it takes until lanes are tried again when something is missing here, in seconds.
const MISSING_S: u64 = 60;

/// What came of redriving a lane.
enum LaneEnd {
    /// It is empty, or its first letter was refused.
    Over,
    /// The address does not take anything now: no lane of it goes on.
    Failing {
        /// How many seconds it asks to be left alone.
        after_s: Option<u64>,
    },
    /// Nobody is there any more.
    Gone,
}

/// What redrives the letters of one address.
pub(super) struct Redriver {
    pub(super) shared: Arc<Shared>,
    pub(super) row: Webhook,
}

impl Redriver {
    /// Redrives whatever lanes somebody asks for, for ever.
    pub(super) async fn run(self) -> End {
        match self.redrive().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn redrive(&self) -> Result<std::convert::Infallible, End> {
        let (webhook, letters) = (self.row.webhook, &self.shared.store.letters);
        let mut asked = self.shared.redrives.subscribe();
        // How often in a row nothing was taken.
        let mut failures: u32 = 0;
        loop {
            asked.borrow_and_update();
            let lanes = letters.marked(webhook).map_err(failed)?;
            if lanes.is_empty() {
                failures = 0;
                asked.changed().await.map_err(failed)?;
                continue;
            }
            let outcome = self.round(lanes).await;
            // Whoever waits for room has some.
            self.shared.redrives.send_modify(|turn| *turn += 1);
            let after_s = match outcome? {
                LaneEnd::Over => {
                    failures = 0;
                    continue;
                }
                LaneEnd::Failing { after_s } => after_s,
                LaneEnd::Gone => return Err(self.shared.disable(&self.row, DisabledBecause::Gone).await),
            };
            failures = failures.saturating_add(1);
            if failures >= self.shared.config.attempts_max {
                tracing::warn!(%webhook, "a webhook's letters are redriven no more: it takes nothing");
                letters.unmark_all(webhook).map_err(failed)?;
                self.shared.redrives.send_modify(|turn| *turn += 1);
                continue;
            }
            let jitter = rand::random_range(0..=JITTER_MAX);
            let ms = self.shared.config.wait_ms(failures, jitter, after_s);
            tokio::time::sleep(self.shared.clock.wait_for(ms)).await;
        }
    }

    /// Redrives lanes, some at once, until each is over, or the address takes nothing.
    async fn round(&self, lanes: Vec<Marked>) -> Result<LaneEnd, End> {
        let is_stopped = AtomicBool::new(false);
        // In boxes, since the compiler can't tell otherwise that they may go from thread to thread.
        let lanes: Vec<BoxFuture<'_, Result<LaneEnd, End>>> =
            lanes.iter().map(|lane| self.lane(lane, &is_stopped).boxed()).collect();
        let mut ends = stream::iter(lanes).buffer_unordered(LANES_PER_WEBHOOK_MAX);
        let mut worst = LaneEnd::Over;
        while let Some(end) = ends.next().await {
            let end = end.inspect_err(|_| is_stopped.store(true, Ordering::Relaxed))?;
            if !matches!(end, LaneEnd::Over) {
                is_stopped.store(true, Ordering::Relaxed);
                if !matches!(worst, LaneEnd::Gone) {
                    worst = end;
                }
            }
        }
        Ok(worst)
    }

    /// Redrives a lane, letter by letter.
    async fn lane(&self, marked: &Marked, is_stopped: &AtomicBool) -> Result<LaneEnd, End> {
        let shared = &self.shared;
        let (webhook, letters) = (self.row.webhook, &shared.store.letters);
        // What was said of its letters before somebody asked counts.
        shared.projections.wait_for(marked.views, VIEWS_TIME_MAX).await.map_err(failed)?;
        loop {
            let _permit = shared.sending.acquire().await.map_err(failed)?;
            if is_stopped.load(Ordering::Relaxed) {
                break;
            }
            let Some(letter) = letters.first(webhook, &marked.lane).map_err(failed)? else { break };
            let commit = commit_holding(shared.log.as_ref(), letter.position).await.map_err(failed)?;
            let commit = commit.ok_or_else(|| failed("the log lacks the event of a letter"))?;
            let recorded = commit.events().iter().find(|recorded| recorded.position == letter.position);
            let recorded = recorded.ok_or_else(|| failed("the log lacks the event of a letter"))?;
            let message = match shared.render(&self.row, &commit, recorded).await.map_err(failed)? {
                Rendered::Message(message) => message,
                Rendered::Dropped(_) => {
                    letters.remove(webhook, &letter).map_err(failed)?;
                    continue;
                }
                Rendered::Not(error) => {
                    let letter = Letter { error, ..letter };
                    letters.keep(webhook, &letter, true).map_err(failed)?;
                    break;
                }
            };
            let (delivery, attempt) = match shared.attempt(&self.row, &message, true).await {
                Ok(tried) => tried,
                Err(error @ (NotTried::NoSecret | NotTried::NoCertificates)) => {
                    tracing::warn!(%webhook, error = &error as &dyn std::error::Error, "a webhook's letters wait");
                    return Ok(LaneEnd::Failing { after_s: Some(MISSING_S) });
                }
                Err(error) => return Err(failed(error)),
            };
            let attempts = letter.attempts.saturating_add(1);
            match delivery {
                Delivery::Taken => letters.remove(webhook, &letter).map_err(failed)?,
                Delivery::Refused => {
                    let letter = letter.tried(LetterError::Refused, &attempt, attempts);
                    letters.keep(webhook, &letter, true).map_err(failed)?;
                    break;
                }
                Delivery::Failed { after_s } => {
                    let letter = letter.tried(LetterError::Failed, &attempt, attempts);
                    letters.keep(webhook, &letter, false).map_err(failed)?;
                    return Ok(LaneEnd::Failing { after_s });
                }
                Delivery::Gone => return Ok(LaneEnd::Gone),
            }
        }
        Ok(LaneEnd::Over)
    }
}
