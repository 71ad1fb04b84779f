//! Bringing commands to their market and waiting for their receipts: what a gateway does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::connection::State;
use async_nats::header::HeaderMap;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::{ErrorCode, publish::PublishAck};
use async_nats::{Client, Request, Subscriber};
use bytes::Bytes;
use events::ids::MarketName;
use events::wire;
use futures::StreamExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::{KEYS, PROBE, RECEIPT_TO, STEP_UP, TRACEPARENT};

/// Most commands of one sender that wait for their receipts: as many as an engine is given before it has answered.
/// One more is told that the market is busy.
pub const WAITING_MAX: usize = 4096;

/// How long the connection may take to pass on the subscription for receipts.
const SUBSCRIBE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long the broker may take to confirm that it holds the command. Then it is waited for the receipt all the same.
const BUFFERED_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a receipt is waited for before its command is sent again.
const REPEAT_AFTER: Duration = Duration::from_secs(2);

/// A signed command on its way to the market.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its name, such as `order.place`.
    pub name: String,
    /// The signed bytes.
    pub payload: Bytes,
    /// The second factor to be shown beside it, if any, as the header is written.
    pub step_up: Option<String>,
    /// W3C trace context, if any.
    pub traceparent: Option<String>,
}

/// Why there is no receipt; says what the sender does next.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is no such command; nothing was sent.
    #[error("there is no command of this name")]
    NoSuchCommand,
    /// It is larger than the broker takes; nothing was sent.
    #[error("the command is too large")]
    TooLarge,
    /// The market, or this sender, has as much waiting as it takes; the command is not among it.
    #[error("the market is busy: send the same command again after a moment")]
    Busy,
    /// No broker took the command.
    #[error("the market can't be reached: send the same command again")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The receipt did not come in time. The command may be decided already, or later; this is never a "no".
    #[error(
        "the outcome is unknown: ask for the receipt by the command's id, or send the same command again"
    )]
    Unknown,
    /// The connection was closed for good before the receipt came. The outcome is as unknown as in
    /// [`SendError::Unknown`], and this sender gets no more receipts.
    #[error(
        "the connection to the broker was closed and the outcome is unknown: connect anew, then send the same command again"
    )]
    Closed,
}

/// Why the connection is of no use now.
#[derive(Debug, thiserror::Error)]
#[error("there is no connection to the broker now")]
struct NotConnected;

/// Sends commands to one market and receives their receipts, many at a time, for as long as the gateway lives.
///
/// Receipts come to one subscription, made before the first command is sent: over several brokers, word of a
/// subscription travels beside a command, and one made for each command would often be late. Where a receipt is lost
/// all the same, its command is sent again.
#[derive(Debug)]
pub struct CommandSender {
    client: Client,
    market: MarketName,
    /// The subject of this sender's receipts, without their last token, which tells the commands apart.
    inbox: String,
    waiting: Arc<Mutex<Waiting>>,
    receiving: JoinHandle<()>,
}

impl CommandSender {
    /// Subscribes to the receipts of commands for `market`, below the inbox prefix of `client`.
    pub async fn open(client: Client, market: MarketName) -> Result<Self, SendError> {
        let unavailable = |cause: Box<dyn std::error::Error + Send + Sync>| SendError::Unavailable(cause);
        let inbox = client.new_inbox();
        let subscribing = client.subscribe(format!("{inbox}.*"));
        let receipts = subscribing.await.map_err(|error| unavailable(error.into()))?;
        let flushed = timeout(SUBSCRIBE_WAIT_MAX, client.flush()).await;
        flushed.map_err(|_| unavailable(NotConnected.into()))?.map_err(|error| unavailable(error.into()))?;
        let waiting = Arc::default();
        let receiving = tokio::spawn(receive(receipts, Arc::clone(&waiting)));
        Ok(Self { client, market, inbox, waiting, receiving })
    }

    /// Sends a command and gives what comes back within `wait`: the receipt, or a refusal as JSON. Neither is checked.
    ///
    /// The command is sent again every [`REPEAT_AFTER`] until its receipt comes: harmless, as it has the same id. That
    /// covers a connection that is lost and comes back, too.
    pub async fn send(&self, command: Outgoing, wait: Duration) -> Result<Bytes, SendError> {
        let is_name = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.');
        let is_tokens = command.name.split('.').all(|token| !token.is_empty());
        if command.name == PROBE || !is_tokens || !command.name.bytes().all(is_name) {
            return Err(SendError::NoSuchCommand);
        }
        let deadline = Instant::now() + wait;
        // Before the command, so that its receipt finds somebody.
        let mut place = Place::take(&self.waiting)?;
        // What is sent without a connection waits in this process, and its sender would not learn that.
        if self.client.connection_state() != State::Connected {
            return Err(SendError::Unavailable(NotConnected.into()));
        }
        let sent = self.send_until_answered(&command, &mut place);
        timeout_at(deadline, sent).await.unwrap_or(Err(SendError::Unknown))
    }

    /// Asks the market what leads from each of its keys to the next, and gives `{"announcements": [{"announcement", "proof"}]}`, of
    /// which nothing is checked: see [`commands::market_key::follow`].
    pub async fn ask_keys(&self, wait: Duration) -> Result<Bytes, SendError> {
        let name = KEYS.to_owned();
        self.send(Outgoing { name, payload: Bytes::new(), step_up: None, traceparent: None }, wait).await
    }

    async fn send_until_answered(&self, command: &Outgoing, place: &mut Place) -> Result<Bytes, SendError> {
        let inbox = format!("{}.{}", self.inbox, place.number);
        let mut was_taken = false;
        loop {
            let again = Instant::now() + REPEAT_AFTER;
            // The receipt may be faster than the broker's confirmation, and makes it superfluous.
            tokio::select! {
                biased;
                answer = &mut place.answer => return answer.map_err(|_| SendError::Closed),
                done = buffer(&self.client, &self.market, command, &inbox) => match done {
                    Ok(()) => was_taken = true,
                    // What was taken once may be decided, whatever became of its repetition.
                    Err(_) if was_taken => {}
                    Err(error) => return Err(error),
                },
            }
            if let Ok(answer) = timeout_at(again, &mut place.answer).await {
                return answer.map_err(|_| SendError::Closed);
            }
        }
    }
}

impl Drop for CommandSender {
    fn drop(&mut self) {
        self.receiving.abort();
    }
}

/// The commands that wait for their receipts.
#[derive(Debug, Default)]
struct Waiting {
    /// The number of the next command; never used twice, so that a late receipt finds nobody.
    next: u64,
    by_number: HashMap<u64, oneshot::Sender<Bytes>>,
    is_closed: bool,
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    // Nothing panics between two changes that belong together.
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives each receipt to whoever waits for it, until the connection is closed for good.
async fn receive(mut receipts: Subscriber, waiting: Arc<Mutex<Waiting>>) {
    while let Some(message) = receipts.next().await {
        let number = message.subject.rsplit('.').next().and_then(|token| token.parse::<u64>().ok());
        let taker = number.and_then(|number| lock(&waiting).by_number.remove(&number));
        if let Some(taker) = taker {
            // Its sender may have given up.
            let _ = taker.send(message.payload);
        }
    }
    let mut waiting = lock(&waiting);
    waiting.is_closed = true;
    waiting.by_number.clear();
}

/// A command's place among those that wait; given back when it is dropped.
struct Place {
    number: u64,
    answer: oneshot::Receiver<Bytes>,
    waiting: Arc<Mutex<Waiting>>,
}

impl Place {
    fn take(waiting: &Arc<Mutex<Waiting>>) -> Result<Self, SendError> {
        let mut all = lock(waiting);
        if all.is_closed {
            return Err(SendError::Closed);
        }
        if all.by_number.len() >= WAITING_MAX {
            return Err(SendError::Busy);
        }
        let number = all.next;
        all.next += 1;
        let (taker, answer) = oneshot::channel();
        all.by_number.insert(number, taker);
        Ok(Self { number, answer, waiting: Arc::clone(waiting) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.waiting).by_number.remove(&self.number);
    }
}

/// Hands the command to the broker. That no answer came is no error: it may be there.
async fn buffer(
    client: &Client,
    market: &MarketName,
    command: &Outgoing,
    inbox: &str,
) -> Result<(), SendError> {
    let mut headers = HeaderMap::new();
    headers.insert(RECEIPT_TO, inbox);
    for (name, value) in [(TRACEPARENT, &command.traceparent), (STEP_UP, &command.step_up)] {
        if let Some(value) = value.as_deref().and_then(|v| v.parse::<async_nats::HeaderValue>().ok()) {
            headers.insert(name, value);
        }
    }
    let request =
        Request::new().headers(headers).payload(command.payload.clone()).timeout(Some(BUFFERED_WAIT_MAX));
    let answer = match client.send_request(wire::command_subject(market, &command.name), request).await {
        Ok(answer) => answer,
        Err(error) => {
            return match error.kind() {
                RequestErrorKind::TimedOut => Ok(()),
                RequestErrorKind::MaxPayloadExceeded => Err(SendError::TooLarge),
                RequestErrorKind::InvalidSubject => Err(SendError::NoSuchCommand),
                RequestErrorKind::NoResponders => Err(SendError::Unavailable(error.into())),
                RequestErrorKind::Other => Err(SendError::Unknown),
            };
        }
    };
    match serde_json::from_slice::<Response<PublishAck>>(&answer.payload) {
        Ok(Response::Ok(_)) => Ok(()),
        Ok(Response::Err { error }) => Err(match error.error_code() {
            ErrorCode::STREAM_STORE_FAILED | ErrorCode::STREAM_TOO_MANY_REQUESTS => SendError::Busy,
            ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => SendError::TooLarge,
            _ => SendError::Unavailable(error.into()),
        }),
        Err(_) => Err(SendError::Unknown),
    }
}
