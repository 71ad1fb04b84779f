//! Gives the commands that arrive over NATS to the engine: append, then receipt, then acknowledgement.
//!
//! A command that is refused, one too many of its key too, is told so at its inbox and leaves the stream. It is not held back there until
//! its key may go on: what waits takes a place of those that all senders have together, so one key could stop them all, it grows stale
//! while it waits, and it would come behind what the key signed later. The stream is a buffer; a command is its sender's to keep until
//! there is a receipt.

use std::sync::Arc;

use bytes::Bytes;
use commands::Refusal;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;

use crate::driver::EngineHandle;
use crate::ingress::{Beside, Reply, Way};
use crate::nats_commands::{CommandMessage, CommandSource, KEYS, ReceiptSender, SettleError};
use crate::rates::CommandRates;

/// Serves commands, and counts them with `rates`, until the source ends or `stop` says so. What is under way then is still answered; what the engine
/// leaves undecided is given back to the broker, which delivers it to the market's next owner.
pub async fn serve(
    mut source: CommandSource,
    receipts: ReceiptSender,
    handle: EngineHandle,
    rates: Option<Arc<CommandRates>>,
    mut stop: watch::Receiver<bool>,
) {
    // Bounded by the broker: it delivers no more than the consumer's limit of unanswered commands.
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(()) = under_way.next() => {}
            message = source.next() => match message {
                Some(message) => under_way.push(answer(message, &receipts, &handle, rates.as_ref())),
                None => break,
            },
        }
    }
    while under_way.next().await.is_some() {}
    for flushed in [receipts.flush().await.is_ok(), source.flush().await.is_ok()] {
        if !flushed {
            tracing::warn!("the broker was left before all was told; what it misses it delivers again");
        }
    }
}

async fn answer(
    message: CommandMessage,
    receipts: &ReceiptSender,
    handle: &EngineHandle,
    rates: Option<&Arc<CommandRates>>,
) {
    if let Err(error) = decide(&message, receipts, handle, rates).await {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "a command comes again; it is told apart by its id"
        );
    }
}

async fn decide(
    message: &CommandMessage,
    receipts: &ReceiptSender,
    handle: &EngineHandle,
    rates: Option<&Arc<CommandRates>>,
) -> Result<(), SettleError> {
    if message.name == KEYS {
        tell_keys(message, receipts, handle).await;
        return message.ack().await;
    }
    let name = Some(message.name.clone());
    let beside = Beside {
        step_up: message.step_up.clone(),
        personal: None,
        way: Way::Broker { has_personal: message.has_personal },
        traceparent: message.traceparent.clone(),
        rates: rates.cloned(),
    };
    let reply = handle.submit_with(message.payload.clone(), name, beside).await;
    match &reply {
        Reply::Receipt(receipt) => {
            let json = Bytes::from(reply.to_json());
            let command = receipt.receipt.command;
            if let Err(error) = receipts.send_receipt(command, message.reply_to.as_ref(), json).await {
                tracing::warn!(error = &error as &dyn std::error::Error, %command, "a receipt was not sent");
            }
            message.ack().await
        }
        Reply::Undecided => message.nak().await,
        Reply::Refused(Refusal::Busy) => message.nak_busy().await,
        Reply::Refused(_) => {
            if let Some(inbox) = &message.reply_to
                && let Err(error) = receipts.send_answer(inbox, Bytes::from(reply.to_json())).await
            {
                tracing::warn!(error = &error as &dyn std::error::Error, "a refusal was not sent");
            }
            message.term().await
        }
    }
}

/// Tells whoever asks what leads from each of the market's keys to the next. Nobody has to believe it: the words are signed.
async fn tell_keys(message: &CommandMessage, receipts: &ReceiptSender, handle: &EngineHandle) {
    let Some(inbox) = &message.reply_to else { return };
    let keys = handle.market_keys().all();
    let announcements: Vec<_> = keys.announcements().collect();
    let told = serde_json::json!({ "announcements": announcements }).to_string();
    if let Err(error) = receipts.send_answer(inbox, Bytes::from(told)).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the market's keys were not told");
    }
}
