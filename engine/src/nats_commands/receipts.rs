//! Sending receipts, on a connection that may publish nothing else.

use std::fmt;

use async_nats::Client;
use bytes::Bytes;
use events::ids::{CommandId, MarketName};
use events::wire;

/// Longest inbox subject that is taken, in bytes.
const INBOX_BYTES_MAX: usize = 256;

/// A subject that a stranger may have chosen for his receipt: below `_INBOX.` and without wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Inbox(String);

impl Inbox {
    /// Takes a subject that is one of an inbox; nothing for any other.
    pub fn parse(subject: &str) -> Option<Self> {
        let rest = subject.strip_prefix("_INBOX.")?;
        let fits = subject.len() <= INBOX_BYTES_MAX
            && rest.split('.').all(|token| {
                !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic() && b != b'*' && b != b'>')
            });
        fits.then(|| Inbox(subject.to_owned()))
    }

    /// Gives the subject.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A receipt was not handed to the broker. Its client asks again by command id.
#[derive(Debug, thiserror::Error)]
#[error("the receipt was not sent: its client will ask again")]
pub struct ReceiptError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl From<async_nats::PublishError> for ReceiptError {
    fn from(error: async_nats::PublishError) -> Self {
        ReceiptError(error.into())
    }
}

/// Sends receipts and refusals.
#[derive(Debug, Clone)]
pub struct ReceiptSender {
    client: Client,
    market: MarketName,
}

impl ReceiptSender {
    /// Sends for `market` over `client`, a connection of its own whose role may publish `rcpt.<market>.>` and
    /// `_INBOX.>` and nothing else: where a receipt goes is said in a header that nobody signed.
    pub fn new(client: Client, market: MarketName) -> Self {
        Self { client, market }
    }

    /// Sends the receipt of a decided command to the command's own subject and to the inbox, if one was named.
    pub async fn send_receipt(
        &self,
        command: CommandId,
        inbox: Option<&Inbox>,
        receipt: Bytes,
    ) -> Result<(), ReceiptError> {
        let subject = wire::receipt_subject(&self.market, command);
        self.client.publish(subject, receipt.clone()).await?;
        if let Some(inbox) = inbox {
            self.client.publish(inbox.0.clone(), receipt).await?;
        }
        Ok(())
    }

    /// Sends the refusal of what was not even taken as a command, or the answer to a question. It goes to the inbox only:
    /// before a signature holds, nobody may speak on the subject of a command id.
    pub async fn send_answer(&self, inbox: &Inbox, answer: Bytes) -> Result<(), ReceiptError> {
        self.client.publish(inbox.0.clone(), answer).await?;
        Ok(())
    }

    /// Waits until all that was sent has left this process. A connection that is dropped before forgets the rest.
    pub async fn flush(&self) -> Result<(), ReceiptError> {
        self.client.flush().await.map_err(|error| ReceiptError(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_inboxes_can_be_chosen_by_strangers() {
        for good in ["_INBOX.abc", "_INBOX.gateway.Xy-1.2"] {
            assert_eq!(Inbox::parse(good).unwrap().as_str(), good);
        }
        let long = format!("_INBOX.{}", "x".repeat(INBOX_BYTES_MAX));
        for bad in [
            "",
            "_INBOX",
            "_INBOX.",
            "_INBOX.a..b",
            "_INBOX.>",
            "_INBOX.a.*",
            "_INBOX.a b",
            "evt.main.x",
            "_INBOXES.a",
            &long,
        ] {
            assert_eq!(Inbox::parse(bad), None, "{bad}");
        }
    }
}
