//! Webhooks: tells addresses over HTTP what happens, each in the order of the log, as Standard Webhooks says (docs/webhooks.md).
//!
//! `run` looks after the addresses, and `tell` tells one: it follows the log from where the address stands, and goes on only when a
//! message was taken. `progress` keeps on disk how far each is and what was tried; `message` is what
//! is sent. Only the process that writes the market sends; another that takes over begins where the log says that each address was.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use commands::personal::{Personal, webhook_secret, webhook_secret_name};
use engine::clock::Clock;
use engine::log::EventLog;
use engine::vault::{Vault, VaultError, Zeroizing};
use events::ids::WebhookId;
use events::{Position, Timestamp};
use projections::webhook::Webhook;
use projections::{Projections, ViewError};
use tokio::sync::{Notify, Semaphore};

use crate::outside::{Outside, Sent};
use crate::reporter::Reporter;

mod message;
mod progress;
pub(crate) mod route;
mod run;
mod tell;

use self::message::Message;
use self::progress::Store;
pub use self::progress::StoreError;
pub(crate) use self::progress::{Attempt, Progress};

/// Most requests at once that somebody has asked for. What is told by itself is one request to each address, of which there are as many
/// as [`commands::webhook`] allows; so none that is slow holds up another.
pub const AGAIN_MAX: usize = 16;
/// How long a first failure waits to be tried again, and each one behind it; the last again and again. In milliseconds.
const RETRY_MS: [u64; 9] =
    [5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000];
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
    /// How long an address may take nothing until it is told of nothing any more, in milliseconds.
    pub failing_ms_max: i64,
    /// How long one request may take.
    pub request_time_max: Duration,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        WebhooksConfig {
            allows_private: false,
            retry_ms: RETRY_MS.to_vec(),
            failing_ms_max: FAILING_MS_MAX,
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
    /// Something about an address may be otherwise than it was.
    changed: Notify,
}

/// What became of one message.
enum Delivery {
    Taken,
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

    /// Sends a message once, now, since somebody has asked for it.
    async fn send_again(&self, row: &Webhook, message: &Message) -> Result<Attempt, NotTried> {
        let _permit = self.shared.again.try_acquire().map_err(|_| NotTried::Busy)?;
        self.shared.attempt(row, message, true).await.map(|(_, attempt)| attempt)
    }

    /// Has an address told again, or for the first time, from a position on.
    pub(crate) fn go_to(&self, row: &Webhook, from: Position) -> Result<(), StoreError> {
        self.shared.store.go_to(row, from.saturating_sub(1))?;
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl Shared {
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
            Sent::Answered { retry_after_s, .. } => Delivery::Failed { after_s: *retry_after_s },
            Sent::Not(_) => Delivery::Failed { after_s: None },
        };
        let outcome = if matches!(delivery, Delivery::Taken) { "taken" } else { "failed" };
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
    }
}
