//! Webhooks: tells addresses over HTTP what happens, each in the order of the log, as Standard Webhooks says (docs/webhooks.md).
//!
//! `run` looks after the addresses, and `tell` tells one: it follows the log from where the address stands, and goes on when a
//! message was taken, or is a letter. `letters` keeps on disk what an address was not told, and `redrive` tells it when somebody asks.
//! `progress` keeps how far each is and what was tried; `message` is what is sent. Only the process that writes the market sends; another that takes over begins where the log says that each address was.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use commands::command::ReportWebhook;
use commands::personal::{Personal, webhook_secret, webhook_secret_name};
use engine::clock::Clock;
use engine::log::EventLog;
use engine::vault::{Vault, VaultError, Zeroizing};
use events::ids::WebhookId;
use events::webhook::DisabledBecause;
use events::{Commit, Position, Recorded, Timestamp};
use projections::webhook::{Edit, Webhook};
use projections::{Projections, ViewError};
use tokio::sync::{Notify, Semaphore, watch};

use crate::outside::{Outside, Sent};
use crate::reporter::Reporter;

mod letters;
pub(crate) mod letters_route;
mod message;
mod progress;
mod redrive;
pub(crate) mod route;
mod run;
mod tell;

pub(crate) use self::letters::{Letter, LetterError, LetterFilter};
use self::message::{Message, Rendered};
use self::progress::Store;
pub use self::progress::StoreError;
pub(crate) use self::progress::{Attempt, Progress};
pub use self::redrive::{LANES_PER_WEBHOOK_MAX, LETTERS_SENT_MAX};
use self::tell::{End, failed};

/// Most requests at once that somebody has asked for. What is told by itself is one request to each address, of which there are as many
/// as [`commands::webhook`] allows; so none that is slow holds up another.
pub const AGAIN_MAX: usize = 16;
/// How long a first failure waits to be tried again, and each one behind it; the last again and again. In milliseconds.
const RETRY_MS: [u64; 9] =
    [5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000];
/// How often a message is tried before it becomes a letter: once, and behind each of the waits above.
const ATTEMPTS_MAX: u32 = RETRY_MS.len() as u32 + 1;
/// Most letters of one address.
pub const LETTERS_MAX: u64 = 10_000;
/// Largest message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// How long an address may take nothing until it is told of nothing any more, in milliseconds: 3 days.
const FAILING_MS_MAX: i64 = 3 * 86_400_000;
/// How long one request may take, from the name's look-up to the answer's first line.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(15);
/// By how much a wait is made longer at random at most, in thousandths: so that many who failed at once do not come at once again.
const JITTER_MAX: u64 = 200;

/// How messages are sent.
#[derive(Debug, Clone)]
pub struct WebhooksConfig {
    /// Whether messages may go to this machine and to private networks, and without TLS.
    pub allows_private: bool,
    /// How long a first failure waits to be tried again, and each one behind it; the last again and again. In milliseconds, and never
    /// empty.
    pub retry_ms: Vec<u64>,
    /// How often a message is tried before it becomes a letter, if the address does not answer or asks to try again. At least 1.
    pub attempts_max: u32,
    /// How long an address may take nothing until it is told of nothing any more, in milliseconds.
    pub failing_ms_max: i64,
    /// Most letters of one address. One that would have more is told of nothing any more.
    pub letters_max: u64,
    /// Largest message, in bytes. An event whose message would be larger becomes a letter.
    pub message_bytes_max: usize,
    /// How long one request may take.
    pub request_time_max: Duration,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        WebhooksConfig {
            allows_private: false,
            retry_ms: RETRY_MS.to_vec(),
            attempts_max: ATTEMPTS_MAX,
            failing_ms_max: FAILING_MS_MAX,
            letters_max: LETTERS_MAX,
            message_bytes_max: MESSAGE_BYTES_MAX,
            request_time_max: REQUEST_TIME_MAX,
        }
    }
}

impl WebhooksConfig {
    /// Gives how long it takes until what failed so often is tried again, in milliseconds. `jitter`: by how much longer, in thousandths;
    /// `after_s`: how many seconds the address asks for. That makes it longer, but than the longest there is.
    fn wait_ms(&self, failures: u32, jitter: u64, after_s: Option<u64>) -> u64 {
        let step = usize::try_from(failures).unwrap_or(usize::MAX).saturating_sub(1);
        let longest = self.retry_ms.last().copied().unwrap_or(REQUEST_TIME_MAX_MS);
        let asked = after_s.unwrap_or(0).saturating_mul(1_000);
        let ms = self.retry_ms.get(step).copied().unwrap_or(longest).max(asked).min(longest);
        ms + ms * jitter.min(JITTER_MAX) / 1_000
    }

    /// Gives the longest that anything waits, in milliseconds.
    fn longest_ms(&self) -> u64 {
        self.wait_ms(u32::MAX, JITTER_MAX, None)
    }
}

/// What a configuration without times is taken for.
const REQUEST_TIME_MAX_MS: u64 = 15_000;

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum WebhooksError {
    /// What was sent can't be kept.
    #[error(
        "how far webhooks were told: mend the disk, or delete its folder, and the log says how far they were"
    )]
    Store(#[from] StoreError),
}

/// What tells addresses what happens.
#[derive(Clone)]
pub struct Webhooks {
    shared: Arc<Shared>,
}

struct Shared {
    config: WebhooksConfig,
    store: Store,
    outside: Outside,
    projections: Projections,
    log: Arc<dyn EventLog>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    reporter: OnceLock<Reporter>,
    /// The requests that somebody has asked for.
    again: Semaphore,
    /// The letters that are under way.
    sending: Semaphore,
    /// Counts how often somebody asked for lanes to be redriven, or some were.
    redrives: watch::Sender<u64>,
    /// Something about an address may be otherwise than it was.
    changed: Notify,
}

/// What became of one message.
enum Delivery {
    Taken,
    /// It is not taken, however often it is sent.
    Refused,
    Failed {
        /// How many seconds the address asks to be left alone.
        after_s: Option<u64>,
    },
    /// Nobody is there any more.
    Gone,
}

/// Why a message could not even be tried.
#[derive(Debug, thiserror::Error)]
enum NotTried {
    #[error("as many messages as can be are being sent again: try again in a moment")]
    Busy,
    #[error("the secret is not in this process's vault")]
    NoSecret,
    #[error("the machine has no root certificates")]
    NoCertificates,
    #[error("the vault")]
    Vault(#[from] VaultError),
    #[error("what was sent can't be kept")]
    Store(#[from] StoreError),
}

impl Webhooks {
    /// Opens what is kept in a folder of how far each address was told.
    pub fn open(
        dir: &Path,
        config: WebhooksConfig,
        log: Arc<dyn EventLog>,
        projections: Projections,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
    ) -> Result<Webhooks, WebhooksError> {
        let outside = Outside::new(config.allows_private, config.request_time_max);
        let shared = Shared {
            config,
            store: Store::open(dir)?,
            outside,
            projections,
            log,
            vault,
            clock,
            reporter: OnceLock::new(),
            again: Semaphore::new(AGAIN_MAX),
            sending: Semaphore::new(LETTERS_SENT_MAX),
            redrives: watch::Sender::new(0),
            changed: Notify::new(),
        };
        Ok(Webhooks { shared: Arc::new(shared) })
    }

    /// Gives how far an address was told by this process; none: it has sent it nothing.
    pub(crate) fn progress(&self, webhook: WebhookId) -> Result<Option<Progress>, StoreError> {
        self.shared.store.progress(webhook)
    }

    /// Lists what was tried, the last first: what came before an attempt, or all that is kept.
    pub(crate) fn attempts(
        &self,
        webhook: WebhookId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Attempt>, StoreError> {
        self.shared.store.attempts(webhook, before, limit)
    }

    /// Renders what an address is told of an event now.
    async fn render(&self, row: &Webhook, commit: &Commit, recorded: &Recorded) -> Result<Rendered, String> {
        self.shared.render(row, commit, recorded).await
    }

    /// Sends a message once, now, since somebody has asked for it.
    async fn send_again(&self, row: &Webhook, message: &Message) -> Result<Attempt, NotTried> {
        let _permit = self.shared.again.try_acquire().map_err(|_| NotTried::Busy)?;
        self.shared.attempt(row, message, true).await.map(|(_, attempt)| attempt)
    }

    /// Counts the letters of an address.
    pub(crate) fn letters_of(&self, webhook: WebhookId) -> u64 {
        self.shared.store.letters.count(webhook)
    }

    /// Counts the letters of all addresses.
    pub(crate) fn letters(&self) -> u64 {
        self.shared.store.letters.total()
    }

    /// Lists letters of an address from a position on, each with whether its lane is redriven.
    pub(crate) fn list_letters(
        &self,
        webhook: WebhookId,
        filter: &LetterFilter,
        from: Position,
        limit: usize,
    ) -> Result<Vec<(Letter, bool)>, StoreError> {
        let letters = &self.shared.store.letters;
        let found = letters.list(webhook, filter, from, limit)?;
        found.into_iter().map(|letter| Ok((letter.clone(), letters.is_redriven(webhook, &letter)?))).collect()
    }

    /// Has lanes of an address redriven: those whose first letter is one that is meant. `views`: how far the views must have read the
    /// log before. Gives how many lanes that are, and how many letters they have. Durable when it returns.
    pub(crate) fn redrive(
        &self,
        webhook: WebhookId,
        filter: &LetterFilter,
        views: Position,
    ) -> Result<(u64, u64), StoreError> {
        let marked = self.shared.store.letters.mark(webhook, filter, views)?;
        self.shared.redrives.send_modify(|turn| *turn += 1);
        Ok(marked)
    }

    /// Has an address told again, or for the first time, from a position on.
    pub(crate) fn go_to(&self, row: &Webhook, from: Position) -> Result<(), StoreError> {
        self.shared.store.go_to(row, from.saturating_sub(1))?;
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl Shared {
    /// Renders what an address is told of an event now.
    async fn render(&self, row: &Webhook, commit: &Commit, recorded: &Recorded) -> Result<Rendered, String> {
        let edit = self.edit(row.webhook, recorded.position).await?;
        Ok(Rendered::of(commit, recorded, edit, self.config.message_bytes_max))
    }

    /// Gives what somebody said is sent in place of an event.
    async fn edit(&self, webhook: WebhookId, position: Position) -> Result<Option<Edit>, String> {
        let views = self.projections.clone();
        let looked = tokio::task::spawn_blocking(move || views.webhooks().edit(webhook, position)).await;
        looked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// Gives the last event that an address needs to be told of no more, as another process has to know it that has not its letters:
    /// it tells all from the first of them on again.
    fn done(&self, webhook: WebhookId, position: Position) -> Result<Position, StoreError> {
        let first = self.store.letters.first_position(webhook)?;
        Ok(first.map_or(position, |first| position.min(first.saturating_sub(1))))
    }

    /// Has the log say that an address is told of nothing any more.
    async fn disable(&self, row: &Webhook, because: DisabledBecause) -> End {
        let webhook = row.webhook;
        tracing::warn!(%webhook, ?because, "a webhook takes no messages and is switched off");
        let position =
            self.store.progress(webhook).map(|known| known.map_or(row.reached, |known| known.position));
        let position = match position.and_then(|position| self.done(webhook, position)) {
            Ok(position) => position,
            Err(error) => return failed(error),
        };
        match self.report(ReportWebhook { disabled: Some(because), position, webhook }).await {
            Ok(()) => End::Over,
            Err(why) => End::Failed(why),
        }
    }

    async fn report(&self, report: ReportWebhook) -> Result<(), String> {
        match self.reporter.get() {
            Some(reporter) => reporter.report(report.into(), &self.projections).await,
            None => Err("this process does not write the market".to_owned()),
        }
    }

    /// Sends a message once, and keeps what came of it.
    async fn attempt(
        &self,
        row: &Webhook,
        message: &Message,
        again: bool,
    ) -> Result<(Delivery, Attempt), NotTried> {
        let at = self.clock.now();
        if !self.outside.can_send() {
            return Err(NotTried::NoCertificates);
        }
        let secrets = self.secrets(row, at)?;
        let begun = std::time::Instant::now();
        let headers = message.headers(&secrets, at);
        let sent = self.outside.post(row.url.as_str(), headers, message.body.clone()).await;
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let delivery = match &sent {
            Sent::Answered { status: 200..300, .. } => Delivery::Taken,
            Sent::Answered { status: 410, .. } => Delivery::Gone,
            Sent::Answered { status: 408 | 429, retry_after_s } => {
                Delivery::Failed { after_s: *retry_after_s }
            }
            Sent::Answered { status: 400..500, .. } => Delivery::Refused,
            Sent::Answered { retry_after_s, .. } => Delivery::Failed { after_s: *retry_after_s },
            Sent::Not(_) => Delivery::Failed { after_s: None },
        };
        let outcome = match delivery {
            Delivery::Taken => "taken",
            Delivery::Refused => "refused",
            Delivery::Failed { .. } | Delivery::Gone => "failed",
        };
        metrics::counter!("skylink_webhook_messages_total", "outcome" => outcome).increment(1);
        let attempt = Attempt::new(message, at, took_ms, &sent, again);
        let attempt = self.store.add(row.webhook, attempt)?;
        Ok((delivery, attempt))
    }

    /// Gives the secrets that messages are signed with now, the newest first.
    fn secrets(&self, row: &Webhook, now: Timestamp) -> Result<Vec<Zeroizing<Vec<u8>>>, NotTried> {
        let before = row.replaced.filter(|replaced| now < replaced.until).map(|replaced| replaced.secret);
        let mut secrets = Vec::with_capacity(2);
        for hash in [Some(row.secret), before].into_iter().flatten() {
            let stored = self.vault.get(row.account, &webhook_secret_name(row.webhook, hash))?;
            let bytes = stored.and_then(|stored| webhook_secret(&Personal::from_bytes(&stored)?.value));
            match bytes {
                Some(bytes) => secrets.push(Zeroizing::new(bytes)),
                // The new one has to be there; the one before may have gone.
                None if secrets.is_empty() => return Err(NotTried::NoSecret),
                None => {}
            }
        }
        Ok(secrets)
    }
}

impl From<StoreError> for ViewError {
    fn from(error: StoreError) -> ViewError {
        match error {
            StoreError::Disk(error) => ViewError::Store(error),
            StoreError::Damaged(source) => ViewError::Damaged { source: source.into() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_waits_longer_than_the_one_before_and_the_last_ones_as_long() {
        let config = WebhooksConfig::default();
        let waits: Vec<u64> = (1..=12).map(|failures| config.wait_ms(failures, 0, None)).collect();
        assert_eq!(waits[0], 5_000);
        assert!(waits[..9].is_sorted_by(|one, next| one < next), "{waits:?}");
        assert!(waits[8..].iter().all(|ms| *ms == 28_800_000), "{waits:?}");
        // Jitter makes it longer, by a fifth at most.
        assert_eq!(config.wait_ms(1, 100, None), 5_500);
        assert_eq!(config.wait_ms(1, u64::MAX, None), 6_000);
        // So does the address, within bounds.
        assert_eq!(config.wait_ms(1, 0, Some(60)), 60_000);
        assert_eq!(config.wait_ms(3, 0, Some(60)), 120_000);
        assert_eq!(config.wait_ms(1, 0, Some(u64::MAX)), 28_800_000);
        // An address that is there again within three days is found, though nobody tells.
        assert!(i64::try_from(config.longest_ms()).unwrap() < config.failing_ms_max / 4);
        // So it is while a message is tried as often as one is.
        let all: u64 =
            (1..config.attempts_max).map(|failures| config.wait_ms(failures, JITTER_MAX, None)).sum();
        assert!(i64::try_from(all).unwrap() < config.failing_ms_max / 3, "{all}");
    }
}
