//! Tells one address what happens, message by message in the order of the log. What it does not take becomes a letter, and so does all
//! of the same subject behind it.

use std::sync::Arc;
use std::time::Duration;

use commands::command::ReportWebhook;
use events::webhook::DisabledBecause;
use events::{Commit, Position, Recorded, Timestamp};
use futures::StreamExt;
use projections::webhook::Webhook;

use super::letters::{Letter, LetterError, Parked};
use super::message::Rendered;
use super::progress::{Progress, StoreError};
use super::{Delivery, JITTER_MAX, NotTried, Shared};
use crate::past::commit_holding;
use crate::sight::Sight;

/// From how many events on it is noted in the log how far an address was told, so that another process would tell it again of no more.
const REPORT_EVENTS: u64 = 1_000;
/// How often that is noted at most, in milliseconds.
const REPORT_MS: i64 = 60_000;
/// After how many events that an address is not told of it is kept how far it is.
const PASSED_EVENTS_MAX: u64 = 1_000;
/// How long it takes until it is tried again when something is missing here, in milliseconds.
const MISSING_MS: u64 = 60_000;

/// Why telling an address ended.
pub(super) enum End {
    /// It is to go elsewhere, or the log says that it is told of nothing any more.
    Over,
    /// Something of this process failed; it is begun again.
    Failed(String),
}

/// What tells one address.
pub(super) struct Teller {
    shared: Arc<Shared>,
    row: Webhook,
    sight: Sight,
    progress: Progress,
    kept: Position,
    reported_at: Timestamp,
    /// How far another process told it.
    told_elsewhere: Option<Position>,
}

impl Teller {
    /// Begins where an address stands. `is_operator`: its owner sees everything.
    pub(super) fn new(
        shared: Arc<Shared>,
        row: Webhook,
        is_operator: bool,
        known: Option<Progress>,
    ) -> Teller {
        let progress = begin(&row, known);
        let told_elsewhere = known.is_some_and(|known| row.reached > known.noted).then_some(row.reached);
        let sight = Sight::new(row.account, is_operator, shared.projections.clone());
        let reported_at = shared.clock.now();
        Teller { shared, row, sight, progress, kept: progress.position, reported_at, told_elsewhere }
    }

    pub(super) async fn run(mut self) -> End {
        match self.tell().await {
            Ok(()) => End::Over,
            Err(end) => end,
        }
    }

    async fn tell(&mut self) -> Result<(), End> {
        if let Some(told) = self.told_elsewhere {
            // Another process has these letters, or has told of them.
            self.shared.store.letters.remove_range(self.row.webhook, 0..=told, None).map_err(failed)?;
        }
        self.keep()?;
        let from = self.progress.position + 1;
        let held = commit_holding(self.shared.log.as_ref(), from).await;
        // Behind the log's end there is none yet.
        let from = held.map_err(failed)?.map_or(from, |commit| commit.first_position());
        let mut commits = self.shared.log.follow(from);
        while let Some(commit) = commits.next().await {
            let commit = commit.map_err(failed)?;
            for recorded in commit.events() {
                if recorded.position > self.progress.position {
                    self.next(&commit, recorded).await?;
                }
            }
            self.report_now_and_then().await;
        }
        Err(End::Failed("the log ends".to_owned()))
    }

    async fn next(&mut self, commit: &Commit, recorded: &Recorded) -> Result<(), End> {
        let is_asked_for = self.row.types.iter().any(|filter| filter.holds(&recorded.metadata.type_name));
        if is_asked_for && self.sight.may_see(commit, recorded).await.map_err(failed)? {
            let behind = Letter::new(recorded, LetterError::Behind, self.shared.clock.now());
            if self.park_behind(&behind).await? {
                return Ok(());
            }
            if let Some(letter) = self.deliver(commit, recorded).await? {
                return self.park(&letter).await;
            }
        }
        self.progress.position = recorded.position;
        if is_asked_for || self.progress.position >= self.kept + PASSED_EVENTS_MAX {
            self.keep()?;
        }
        Ok(())
    }

    /// Tells of an event until it is taken, and gives the letter that it becomes if it is not.
    async fn deliver(&mut self, commit: &Commit, recorded: &Recorded) -> Result<Option<Letter>, End> {
        loop {
            self.wait().await;
            // What is sent in its place may have been said meanwhile.
            let message = match self.shared.render(&self.row, commit, recorded).await.map_err(failed)? {
                Rendered::Message(message) => message,
                Rendered::Dropped(_) => {
                    (self.progress.failures, self.progress.next_at) = (0, None);
                    return Ok(None);
                }
                Rendered::Not(error) => {
                    (self.progress.failures, self.progress.next_at) = (0, None);
                    return Ok(Some(Letter::new(recorded, error, self.shared.clock.now())));
                }
            };
            let (delivery, attempt) = match self.shared.attempt(&self.row, &message, false).await {
                Ok(tried) => tried,
                // That is not its fault, and not counted.
                Err(error @ (NotTried::NoSecret | NotTried::NoCertificates)) => {
                    tracing::warn!(webhook = %self.row.webhook, error = &error as &dyn std::error::Error, "a webhook waits");
                    tokio::time::sleep(Duration::from_millis(MISSING_MS)).await;
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            let now = self.shared.clock.now();
            let attempts = self.progress.failures.saturating_add(1);
            let letter = |error| Letter::new(recorded, error, now).tried(error, &attempt, attempts);
            let after_s = match delivery {
                Delivery::Taken => {
                    self.progress = lives(self.progress);
                    return Ok(None);
                }
                // Whoever says no is there.
                Delivery::Refused => {
                    self.progress = lives(self.progress);
                    return Ok(Some(letter(LetterError::Refused)));
                }
                Delivery::Gone => {
                    self.fails(now, attempts)?;
                    return Err(self.shared.disable(&self.row, DisabledBecause::Gone).await);
                }
                Delivery::Failed { after_s } => after_s,
            };
            let since = *self.progress.failing_since.get_or_insert(now);
            // One failure after a long silence says little.
            let is_over = attempts > 1 && now.ms_since(since) >= self.shared.config.failing_ms_max;
            if !is_over && attempts >= self.shared.config.attempts_max {
                // Since when nothing was taken is remembered: the next one tells whether it is the message or the address.
                (self.progress.failures, self.progress.next_at) = (0, None);
                return Ok(Some(letter(LetterError::Failed)));
            }
            let jitter = rand::random_range(0..=JITTER_MAX);
            let ms = self.shared.config.wait_ms(attempts, jitter, after_s);
            self.progress.next_at = (!is_over).then(|| now.plus_ms(i64::try_from(ms).unwrap_or(i64::MAX)));
            self.fails(now, attempts)?;
            if is_over {
                return Err(self.shared.disable(&self.row, DisabledBecause::Failing).await);
            }
        }
    }

    /// Keeps how often in a row the next message was not taken.
    fn fails(&mut self, now: Timestamp, failures: u32) -> Result<(), End> {
        self.progress.failing_since.get_or_insert(now);
        self.progress.failures = failures;
        self.keep()
    }

    /// Makes an event a letter if it has to wait behind another one, and goes on behind it. Tells whether it did.
    async fn park_behind(&mut self, letter: &Letter) -> Result<bool, End> {
        let (webhook, max) = (self.row.webhook, self.shared.config.letters_max);
        let progress = Progress { position: letter.position, ..self.progress };
        let shared = Arc::clone(&self.shared);
        let park = || shared.store.letters.park_behind(webhook, letter, &progress, max).transpose();
        match self.with_room(park).await? {
            Some(()) => {
                self.goes_on(progress);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Makes an event a letter, and goes on behind it.
    async fn park(&mut self, letter: &Letter) -> Result<(), End> {
        let (webhook, max) = (self.row.webhook, self.shared.config.letters_max);
        let progress = Progress { position: letter.position, ..self.progress };
        let shared = Arc::clone(&self.shared);
        let park = || Some(shared.store.letters.park(webhook, letter, &progress, max));
        self.with_room(park).await?;
        self.goes_on(progress);
        Ok(())
    }

    fn goes_on(&mut self, progress: Progress) {
        (self.progress, self.kept) = (progress, progress.position);
    }

    /// Parks something, once there is room: while letters are redriven there may be some soon. None: it is not to be parked.
    async fn with_room(
        &self,
        park: impl Fn() -> Option<Result<Parked, StoreError>>,
    ) -> Result<Option<()>, End> {
        let mut redrives = self.shared.redrives.subscribe();
        loop {
            redrives.borrow_and_update();
            match park().transpose().map_err(failed)? {
                None => return Ok(None),
                Some(Parked::Done) => return Ok(Some(())),
                Some(Parked::Over) => return Err(End::Over),
                Some(Parked::Full) => {}
            }
            if self.shared.store.letters.marked(self.row.webhook).map_err(failed)?.is_empty() {
                return Err(self.shared.disable(&self.row, DisabledBecause::TooManyLetters).await);
            }
            redrives.changed().await.map_err(failed)?;
        }
    }

    /// Waits until the next message may be tried.
    async fn wait(&self) {
        let clock = &self.shared.clock;
        let Some(next_at) = self.progress.next_at else { return };
        let ms = u64::try_from(next_at.ms_since(clock.now())).unwrap_or(0);
        // A clock that was set back must not make it longer than it ever is.
        let ms = ms.min(self.shared.config.longest_ms());
        tokio::time::sleep(clock.wait_for(ms)).await;
    }

    fn keep(&mut self) -> Result<(), End> {
        self.kept = self.progress.position;
        match self.shared.store.keep(self.row.webhook, &self.progress) {
            Ok(true) => Ok(()),
            Ok(false) => Err(End::Over),
            Err(error) => Err(failed(error)),
        }
    }

    async fn report_now_and_then(&mut self) {
        let (now, webhook) = (self.shared.clock.now(), self.row.webhook);
        let least = self.progress.noted + REPORT_EVENTS;
        if now.ms_since(self.reported_at) < REPORT_MS || self.progress.position < least {
            return;
        }
        self.reported_at = now;
        let position = match self.shared.done(webhook, self.progress.position) {
            Ok(position) if position < least => return,
            Ok(position) => position,
            Err(error) => {
                tracing::warn!(%webhook, %error, "how far a webhook was told is not noted");
                return;
            }
        };
        match self.shared.report(ReportWebhook { disabled: None, position, webhook }).await {
            Ok(()) => self.progress.noted = position,
            // It is noted the next time.
            Err(why) => tracing::warn!(%webhook, %why, "how far a webhook was told is not noted"),
        }
    }
}

/// Gives how far an address is that has just answered.
fn lives(progress: Progress) -> Progress {
    let Progress { position, turn, heard, noted, .. } = progress;
    Progress { position, turn, heard, noted, ..Progress::default() }
}

/// Gives where an address stands: where this process left it, or where another one told the log that it was.
fn begin(row: &Webhook, known: Option<Progress>) -> Progress {
    let mut progress = known.unwrap_or_default();
    if row.reached > progress.noted {
        progress.position = progress.position.max(row.reached);
        progress.noted = row.reached;
    }
    // Its owner has said something: it is tried at once.
    if row.changed_at > progress.heard {
        progress.heard = row.changed_at;
        (progress.failures, progress.failing_since, progress.next_at) = (0, None, None);
    }
    progress
}

pub(super) fn failed(why: impl ToString) -> End {
    End::Failed(why.to_string())
}

#[cfg(test)]
mod tests {
    use events::ids::{AccountId, WebhookId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_address_goes_on_where_it_was_or_where_another_process_left_it() {
        let mut row = Webhook {
            webhook: WebhookId::from_uuid(Uuid::nil()),
            account: AccountId::from_uuid(Uuid::nil()),
            url: "https://a.example".parse().unwrap(),
            types: ["*".parse().unwrap()].into(),
            on: true,
            disabled: None,
            secret: events::Hash::ZERO,
            replaced: None,
            reached: 10,
            registered_at: Timestamp::from_ms(0),
            changed_at: 10,
        };
        let new = begin(&row, None);
        assert_eq!((new.position, new.noted), (10, 10), "it is told of what comes behind its registration");
        let failing = Progress { position: 50, failures: 3, next_at: Some(Timestamp::from_ms(9)), ..new };
        assert_eq!(begin(&row, Some(failing)), failing);
        // Its owner had it go back; what the log says is older.
        let back = Progress { position: 4, turn: 1, ..failing };
        assert_eq!(begin(&row, Some(back)).position, 4);
        // Another process told it more, and its owner switched it on again.
        (row.reached, row.changed_at) = (80, 81);
        let begun = begin(&row, Some(failing));
        assert_eq!((begun.position, begun.failures, begun.next_at), (80, 0, None));
    }
}
