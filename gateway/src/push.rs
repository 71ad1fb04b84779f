//! Notifications: tells people's devices that something happened to what is theirs (docs/push.md). It says no more than what and of which
//! order, payment or payout; the rest is asked for by whoever has the right to.
//!
//! `run` follows the log and puts into the outbox what is to be told, and sends what is due. `what` says whom an event is told to; `outbox`
//! keeps on disk how far that is and what waits; each service that reaches devices is a [`PushService`]: `web`, `fcm` and `apns`. Only the
//! process that writes the market sends; another that takes over begins where the log says that this one was.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use commands::crypto::SigningKey;
use engine::clock::{Clock, WallClock};
use engine::log::EventLog;
use engine::vault::Vault;
use events::push::Channel;
use projections::{Projections, ViewError};
use tokio::sync::Notify;

mod apns;
mod encrypt;
mod fcm;
mod jwt;
mod link;
mod outbox;
pub(crate) mod route;
mod run;
mod web;
mod what;

use self::apns::Apns;
pub use self::apns::{APNS_URL, ApnsConfig, ApnsNames};
use self::fcm::Fcm;
pub use self::fcm::{FCM_URL, FcmConfig};
pub use self::link::{Roots, SetUpError};
use self::outbox::Outbox;
pub use self::outbox::OutboxError;
use self::web::WebPush;
use crate::outside::NotSent;
use crate::reporter::Reporter;

/// Most messages that wait at once. Whoever is told of more is not told of what comes then.
pub const WAITING_MAX: usize = 100_000;
/// Most requests at once, one to each account.
pub const SENDS_MAX: usize = 64;
/// How long a first failure waits to be tried again, and each one behind it; then it is given up. In milliseconds.
const RETRY_MS: [u64; 5] = [30_000, 120_000, 600_000, 3_600_000, 14_400_000];
/// How long a message is worth to be told, from when the thing happened: a day, in milliseconds.
pub const WORTH_MS: i64 = 86_400_000;
/// How long one request may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(15);
/// How often it is looked for what is due, at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How notifications are sent.
#[derive(Clone)]
pub struct PushConfig {
    /// Whom a service asks when something is wrong with what it is sent: `mailto:…` or `https://…`.
    pub contact: String,
    /// Whether messages may go to this machine and to private networks, and without TLS.
    pub allows_private: bool,
    /// How FCM is asked; none: its devices are told nothing.
    pub fcm: Option<FcmConfig>,
    /// How APNs is asked; none: its devices are told nothing.
    pub apns: Option<ApnsConfig>,
    /// The world's clock, by which FCM and APNs judge who asks. The market's may run faster.
    pub world: Arc<dyn Clock>,
    /// How long a first failure waits to be tried again, and each one behind it; then it is given up. In milliseconds.
    pub retry_ms: Vec<u64>,
    /// How long one request may take.
    pub request_time_max: Duration,
    /// How often it is looked for what is due, at least.
    pub look_every: Duration,
}

impl std::fmt::Debug for PushConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("PushConfig");
        shown.field("contact", &self.contact).field("fcm", &self.fcm).field("apns", &self.apns);
        shown.finish_non_exhaustive()
    }
}

impl PushConfig {
    /// Sets it up with the defaults: browsers alone are told.
    pub fn new(contact: String) -> PushConfig {
        PushConfig {
            contact,
            allows_private: false,
            fcm: None,
            apns: None,
            world: Arc::new(WallClock),
            retry_ms: RETRY_MS.to_vec(),
            request_time_max: REQUEST_TIME_MAX,
            look_every: LOOK_EVERY,
        }
    }
}

/// What one device is told.
pub(crate) struct Notification {
    /// What is told, in JSON.
    text: String,
    /// Messages of one collapse take each other's place, the newest stays.
    collapse: [u8; 24],
    /// Whether a device that sleeps is woken.
    is_urgent: bool,
    /// How long it is worth to be told yet, in seconds.
    ttl_s: u64,
}

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The service has it.
    Taken(u16),
    /// There is no such device any more, or it can't be reached at all.
    Gone,
    /// It may be taken later.
    Again {
        /// The status of the answer, if there was one.
        status: Option<u16>,
        /// Why there was none.
        error: Option<NotSent>,
        /// How many seconds the service wants to be left alone.
        after_s: Option<u64>,
    },
    /// It is not taken, and would not be later.
    Refused(Option<u16>),
}

impl From<NotSent> for Outcome {
    fn from(error: NotSent) -> Outcome {
        Outcome::Again { status: None, error: Some(error), after_s: None }
    }
}

/// A service by which devices are reached.
#[async_trait]
pub(crate) trait PushService: Send + Sync {
    /// Which one it is.
    fn channel(&self) -> Channel;

    /// Sends a message once to a device, of which it is known how it is reached.
    async fn send(&self, target: &[u8], notification: &Notification) -> Outcome;
}

/// What tells devices.
#[derive(Clone)]
pub struct Push {
    shared: Arc<Shared>,
}

struct Shared {
    config: PushConfig,
    outbox: Outbox,
    services: Vec<Box<dyn PushService>>,
    /// The key that browsers are told, as they take it.
    public_key: String,
    projections: Projections,
    log: Arc<dyn EventLog>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    reporter: OnceLock<Reporter>,
    /// Something waits that did not.
    added: Notify,
}

impl From<OutboxError> for ViewError {
    fn from(error: OutboxError) -> ViewError {
        match error {
            OutboxError::Disk(error) => ViewError::Store(error),
            OutboxError::Damaged(source) => ViewError::Damaged { source: source.into() },
        }
    }
}

impl Push {
    /// Opens what is kept in a folder of what waits. `key`: one of P-256, by which services know the market.
    pub fn open(
        dir: &Path,
        config: PushConfig,
        key: SigningKey,
        log: Arc<dyn EventLog>,
        projections: Projections,
        vault: Arc<Vault>,
        clock: Arc<dyn Clock>,
    ) -> Result<Push, OutboxError> {
        let public_key = web::public_key(&key);
        let time_max = config.request_time_max;
        let web = WebPush::new(key, config.contact.clone(), config.allows_private, time_max);
        let mut services: Vec<Box<dyn PushService>> = vec![Box::new(web)];
        if let Some(fcm) = config.fcm.clone() {
            services.push(Box::new(Fcm::new(fcm, time_max, Arc::clone(&config.world))));
        }
        if let Some(apns) = config.apns.clone() {
            services.push(Box::new(Apns::new(apns, time_max, Arc::clone(&config.world))));
        }
        let shared = Shared {
            config,
            outbox: Outbox::open(dir)?,
            services,
            public_key,
            projections,
            log,
            vault,
            clock,
            reporter: OnceLock::new(),
            added: Notify::new(),
        };
        Ok(Push { shared: Arc::new(shared) })
    }
}

impl Shared {
    /// Gives what reaches devices of a channel, if this market sends by it.
    fn service(&self, channel: Channel) -> Option<&dyn PushService> {
        self.services.iter().find(|service| service.channel() == channel).map(AsRef::as_ref)
    }

    /// Lists by which services this market sends.
    fn channels(&self) -> Vec<Channel> {
        self.services.iter().map(|service| service.channel()).collect()
    }
}
