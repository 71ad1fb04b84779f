//! Receiving commands, and learning whether this process owns the market.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, PriorityPolicy, pull};
use async_nats::jetstream::context::CreateStreamErrorKind;
use async_nats::jetstream::{self, AckKind, ErrorCode, stream};
use bytes::Bytes;
use events::ids::MarketName;
use events::wire;
use futures::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::log::jetstream::{is_passing, open_patiently};

use super::{Inbox, PERSONAL, PROBE, RECEIPT_TO, STEP_UP, has_header, stream_config, traceparent};

/// The consumer that all engines of a market share.
const CONSUMER: &str = "engine";

/// The group of that consumer within which one client is pinned.
const GROUP: &str = "writer";

/// How long the pinned engine may be silent before the broker pins another.
const PIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one pull stays open: well below the time-out, or the pin would be lost between two pulls.
const PULL_EXPIRES: Duration = Duration::from_secs(2);

/// How often the broker says that it is still there.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// How long a delivered command may stay unanswered before it is delivered again.
const ACK_WAIT: Duration = Duration::from_secs(5);

/// Commands that may be delivered and not answered: what the verifiers and two groups hold.
const UNANSWERED_MAX: i64 = 4096;

/// How long a command for which there was no room stays away.
const BUSY_PAUSE: Duration = Duration::from_millis(250);

/// Commands asked for at a time, and waiting in this process for the engine to take them.
const MESSAGES_PER_PULL: usize = 500;

/// How often the broker is asked who is pinned. Twice within the pin's time-out, so that a lost market is noticed
/// before the next owner has been pinned for long.
const OWNERSHIP_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Pause before a lost consumer is opened again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// How long the broker may take to answer a question.
const API_WAIT_MAX: Duration = Duration::from_secs(5);

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Whether the broker gives the market's commands to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// It does. Another may believe the same for a moment: the log's expected position decides.
    Owned,
    /// It does not, not yet, or not any more.
    Lost,
}

/// Why commands can't be received.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The broker does not answer, or not yet, or too few of a cluster are there for the copies that are wanted.
    #[error(
        "the broker can't be reached or is not ready: see that it runs, with all of its cluster, then try again"
    )]
    Unavailable(#[source] Cause),
    /// The broker will not have the stream or its consumer.
    #[error("the broker refuses stream {stream} or its consumer: mend the cause and start again")]
    Refused {
        /// The stream.
        stream: String,
        /// What the broker says.
        source: Cause,
    },
}

/// A command as it arrived. Nothing of it is checked.
#[derive(Debug)]
pub struct CommandMessage {
    /// The name that its subject gives it, such as `order.place`.
    pub name: String,
    /// The signed bytes.
    pub payload: Bytes,
    /// Where its sender wants the receipt, if it is a subject that a stranger may choose.
    pub reply_to: Option<Inbox>,
    /// The second factor that came beside it, if any. It is not signed by the device.
    pub step_up: Option<String>,
    /// Whether something personal came beside it, which it must not.
    pub has_personal: bool,
    /// W3C trace context, if any.
    pub traceparent: Option<String>,
    message: jetstream::Message,
}

impl CommandMessage {
    /// Tells the broker that the command is decided and durable, and its receipt sent. If this is lost, the
    /// command comes again.
    pub async fn ack(&self) -> Result<(), SettleError> {
        self.settle(AckKind::Ack).await
    }

    /// Gives the command back undecided: it is delivered again at once, to whoever owns the market then.
    pub async fn nak(&self) -> Result<(), SettleError> {
        self.settle(AckKind::Nak(None)).await
    }

    /// Gives the command back since there is no room for it now: it is delivered again after [`BUSY_PAUSE`].
    pub async fn nak_busy(&self) -> Result<(), SettleError> {
        self.settle(AckKind::Nak(Some(BUSY_PAUSE))).await
    }

    /// Tells the broker that the command will never be decided.
    pub async fn term(&self) -> Result<(), SettleError> {
        self.settle(AckKind::Term).await
    }

    async fn settle(&self, kind: AckKind) -> Result<(), SettleError> {
        self.message.ack_with(kind).await.map_err(SettleError)
    }
}

/// The broker was not told what became of a command.
#[derive(Debug, thiserror::Error)]
#[error("the broker was not told: it will deliver the command again")]
pub struct SettleError(#[source] Cause);

/// The commands of a market, as long as this process owns it.
///
/// It receives in the background and stops when it is dropped; commands that were not acknowledged are then
/// delivered again.
#[derive(Debug)]
pub struct CommandSource {
    messages: mpsc::Receiver<CommandMessage>,
    ownership: watch::Receiver<Ownership>,
    receiving: JoinHandle<()>,
    client: Client,
}

impl CommandSource {
    /// Opens the market's command stream, creating it with `replicas` copies if there is none, and begins to wait
    /// for the market.
    pub async fn open(client: Client, market: MarketName, replicas: usize) -> Result<Self, OpenError> {
        let mut context = jetstream::new(client.clone());
        context.set_timeout(API_WAIT_MAX);
        let (ownership_sender, ownership) = watch::channel(Ownership::Lost);
        let (sender, messages) = mpsc::channel(MESSAGES_PER_PULL);
        let connection = client.clone();
        let receiver =
            Receiver { client, context, market, replicas, sender, ownership: ownership_sender, pin: None };
        let opened =
            open_patiently(|| receiver.open(), |error| matches!(error, OpenError::Unavailable(_))).await?;
        let receiving = tokio::spawn(async move { receiver.run(opened).await });
        Ok(Self { messages, ownership, receiving, client: connection })
    }

    /// Gives the next command; waits while there is none or another process owns the market.
    pub async fn next(&mut self) -> Option<CommandMessage> {
        self.messages.recv().await
    }

    /// Gives the commands as a stream.
    pub fn messages(&mut self) -> impl futures::Stream<Item = CommandMessage> + '_ {
        futures::stream::poll_fn(|context| self.messages.poll_recv(context))
    }

    /// Waits until all acknowledgements have left this process. A connection that is dropped before forgets the
    /// rest, and their commands come again.
    pub async fn flush(&self) -> Result<(), SettleError> {
        self.client.flush().await.map_err(|error| SettleError(error.into()))
    }

    /// Gives a receiver that sees every change of ownership; it begins with [`Ownership::Lost`].
    pub fn ownership(&self) -> watch::Receiver<Ownership> {
        self.ownership.clone()
    }
}

impl Drop for CommandSource {
    fn drop(&mut self) {
        self.receiving.abort();
    }
}

struct Opened {
    consumer: jetstream::consumer::Consumer<pull::Config>,
    messages: pull::Stream,
}

struct Receiver {
    client: Client,
    context: jetstream::Context,
    market: MarketName,
    replicas: usize,
    sender: mpsc::Sender<CommandMessage>,
    ownership: watch::Sender<Ownership>,
    /// What the broker called this client when it last delivered to it.
    pin: Option<String>,
}

impl Receiver {
    async fn open(&self) -> Result<Opened, OpenError> {
        let stream = self.open_stream().await?;
        let config = pull::Config {
            durable_name: Some(CONSUMER.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: UNANSWERED_MAX,
            priority_policy: PriorityPolicy::PinnedClient,
            priority_groups: vec![GROUP.to_owned()],
            priority_timeout: PIN_TIMEOUT,
            ..pull::Config::default()
        };
        let refused =
            |source: Cause| OpenError::Refused { stream: wire::command_stream(&self.market), source };
        let consumer = stream.create_consumer(config).await.map_err(|error| match error.kind() {
            stream::ConsumerErrorKind::JetStream(source) if !is_passing(source.error_code()) => {
                refused(error.into())
            }
            _ => OpenError::Unavailable(error.into()),
        })?;
        let messages = consumer
            .stream()
            .group(GROUP)
            .max_messages_per_batch(MESSAGES_PER_PULL)
            .expires(PULL_EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(|error| OpenError::Unavailable(error.into()))?;
        Ok(Opened { consumer, messages })
    }

    async fn open_stream(&self) -> Result<stream::Stream<()>, OpenError> {
        let config = stream_config(&self.market, self.replicas);
        let name = config.name.clone();
        match self.context.create_stream(config).await {
            Ok(_) => {}
            Err(error) => match error.kind() {
                // It may stand under other settings: an operator chose them, and a buffer promises nothing.
                CreateStreamErrorKind::JetStream(source)
                    if source.error_code() == ErrorCode::STREAM_NAME_EXIST => {}
                CreateStreamErrorKind::JetStream(source) if !is_passing(source.error_code()) => {
                    return Err(OpenError::Refused { stream: name, source: source.into() });
                }
                _ => return Err(OpenError::Unavailable(error.into())),
            },
        }
        self.context.get_stream_no_info(name).await.map_err(|error| OpenError::Unavailable(error.into()))
    }

    /// Receives until the source is dropped.
    async fn run(mut self, opened: Opened) {
        let mut opened = Some(opened);
        while !self.sender.is_closed() {
            let current = match opened.take() {
                Some(opened) => Ok(opened),
                None => self.open().await,
            };
            let cause: Cause = match current {
                Ok(current) => self.receive(current).await,
                Err(error) => error.into(),
            };
            self.lose();
            tracing::debug!(market = %self.market, %cause, "receiving commands is interrupted");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Receives until the consumer fails; says why it did.
    async fn receive(&mut self, opened: Opened) -> Cause {
        let Opened { consumer, mut messages } = opened;
        self.probe().await;
        let mut check = tokio::time::interval(OWNERSHIP_CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut confirmed = Instant::now();
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(Ok(message)) => {
                        confirmed = Instant::now();
                        if let Err(closed) = self.take(message).await {
                            return closed;
                        }
                    }
                    // The pulls go on by themselves; ownership is checked below.
                    Some(Err(error)) if error.kind() == pull::MessagesErrorKind::MissingHeartbeat => {}
                    Some(Err(error)) => return error.into(),
                    None => return "the consumer's messages ended".into(),
                },
                _ = check.tick() => match self.check_pin(&consumer).await {
                    Ok(()) => confirmed = Instant::now(),
                    Err(error) if confirmed.elapsed() > PIN_TIMEOUT => return error,
                    Err(_) => {}
                },
            }
        }
    }

    async fn take(&mut self, message: jetstream::Message) -> Result<(), Cause> {
        let headers = message.headers.as_ref();
        let header = |name: &str| headers.and_then(|headers| headers.get_last(name)).map(|v| v.as_str());
        if let Some(pin) = header(async_nats::header::NATS_PIN_ID.as_ref()) {
            self.pin = Some(pin.to_owned());
        }
        // Only the pinned client is delivered to.
        self.ownership.send_if_modified(|now| std::mem::replace(now, Ownership::Owned) != Ownership::Owned);
        let prefix = wire::command_subject(&self.market, "");
        let name = message.subject.strip_prefix(&prefix).unwrap_or(&message.subject).to_owned();
        if name == PROBE {
            return message.ack().await;
        }
        let command = CommandMessage {
            name,
            payload: message.payload.clone(),
            reply_to: header(RECEIPT_TO).and_then(Inbox::parse),
            step_up: header(STEP_UP).map(str::to_owned),
            has_personal: headers.is_some_and(|headers| has_header(headers, PERSONAL)),
            traceparent: headers.and_then(traceparent),
            message,
        };
        self.sender.send(command).await.map_err(|_| "the source was dropped".into())
    }

    /// Asks the broker who is pinned, and for the market when nobody is: it pins only when it delivers.
    async fn check_pin(
        &mut self,
        consumer: &jetstream::consumer::Consumer<pull::Config>,
    ) -> Result<(), Cause> {
        let info = consumer.get_info().await?;
        let pinned = info
            .priority_groups
            .into_iter()
            .find(|group| group.group == GROUP)
            .and_then(|group| group.pinned_client_id)
            .filter(|id| !id.is_empty());
        match pinned {
            None => {
                self.lose();
                self.probe().await;
            }
            Some(id) if self.pin.as_ref() == Some(&id) => {}
            Some(_) => self.lose(),
        }
        Ok(())
    }

    fn lose(&mut self) {
        self.pin = None;
        self.ownership.send_if_modified(|now| std::mem::replace(now, Ownership::Lost) != Ownership::Lost);
    }

    async fn probe(&self) {
        let subject = wire::command_subject(&self.market, PROBE);
        if let Err(error) = self.client.publish(subject, Bytes::new()).await {
            tracing::debug!(%error, "the probe was not sent; the next check sends another");
        }
    }
}
