//! Bringing a command to its market and waiting for the receipt: what a gateway does.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::header::HeaderMap;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::{ErrorCode, publish::PublishAck};
use async_nats::{Client, Request};
use bytes::Bytes;
use events::ids::{CommandId, MarketName};
use events::wire;
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::{PROBE, RECEIPT_TO, TRACEPARENT};

/// How long the broker may take to confirm that it holds the command. Then it is waited for the receipt all the same.
const BUFFERED_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a receipt is waited for before its command is sent again.
const REPEAT_AFTER: Duration = Duration::from_secs(2);

/// A signed command on its way to the market.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its name, such as `order.place`.
    pub name: String,
    /// Its id: where the receipt will be published.
    pub command: CommandId,
    /// The signed bytes.
    pub payload: Bytes,
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
    /// The market has as much waiting as it takes; the command is not among it.
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
}

/// Sends a command to its market and gives what comes back within `wait`: the receipt, or a refusal as JSON.
///
/// The command is sent again every [`REPEAT_AFTER`] until its receipt comes: harmless, as it has the same id.
pub async fn send_command(
    client: &Client,
    market: &MarketName,
    command: Outgoing,
    wait: Duration,
) -> Result<Bytes, SendError> {
    let is_name = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.');
    let is_tokens = command.name.split('.').all(|token| !token.is_empty());
    if command.name == PROBE || !is_tokens || !command.name.bytes().all(is_name) {
        return Err(SendError::NoSuchCommand);
    }
    let deadline = Instant::now() + wait;
    let send = async {
        let unavailable = |error: async_nats::SubscribeError| SendError::Unavailable(error.into());
        // Both before the command, so that no receipt can be missed.
        let inbox = client.new_inbox();
        let direct = client.subscribe(inbox.clone()).await.map_err(unavailable)?;
        let receipts = wire::receipt_subject(market, command.command);
        let published = client.subscribe(receipts).await.map_err(unavailable)?;
        let mut answers = futures::stream::select(direct, published);
        // A receipt that nobody listened to yet is lost: over several brokers, word of a subscription travels beside
        // the command, not before it. So the command is repeated until its receipt comes, which is harmless.
        let mut was_taken = false;
        loop {
            let again = Instant::now() + REPEAT_AFTER;
            let buffered = buffer(client, market, &command, &inbox);
            tokio::pin!(buffered);
            // The receipt may be faster than the broker's confirmation, and makes it superfluous.
            tokio::select! {
                biased;
                Some(answer) = answers.next() => return Ok(answer.payload),
                done = &mut buffered => match done {
                    Ok(()) => was_taken = true,
                    // What was taken once may be decided, whatever became of its repetition.
                    Err(_) if was_taken => {}
                    Err(error) => return Err(error),
                },
            }
            match timeout_at(again, answers.next()).await {
                Ok(Some(answer)) => return Ok(answer.payload),
                Ok(None) => return Err(SendError::Unknown),
                Err(_) => {}
            }
        }
    };
    timeout_at(deadline, send).await.unwrap_or(Err(SendError::Unknown))
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
    if let Some(traceparent) =
        command.traceparent.as_deref().and_then(|t| t.parse::<async_nats::HeaderValue>().ok())
    {
        headers.insert(TRACEPARENT, traceparent);
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
