//! Commands over NATS.

use anyhow::{Context, bail};
use commands::Refusal;
use commands::command::COMMAND_BYTES_MAX;
use commands::market_key::Announcement;
use engine::nats_commands::{CommandSender, Outgoing, SendError};
use events::ids::MarketName;
use gateway::nats::{Connection, Role};

use crate::signing::{Signed, Wish};

use super::{ANSWER_TIME_MAX, Answer, MarketArgs, announcements, understand_reply};

/// A market's commands on a NATS server.
pub(crate) struct NatsClient {
    sender: CommandSender,
    connection: Connection,
    market: MarketName,
    url: String,
}

impl NatsClient {
    /// Connects, and listens for receipts.
    pub(super) async fn open(url: &str, arguments: &MarketArgs) -> anyhow::Result<NatsClient> {
        let market = arguments.market.clone();
        let connection = arguments.nats.connect(url, Role::Gateway).await?;
        let opening = CommandSender::open(connection.client().clone(), market.clone());
        let sender = connection.unless_refused(opening).await??;
        Ok(NatsClient { sender, connection, market, url: url.to_owned() })
    }

    /// Gives the server's URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Asks for the words that lead from each key of the market to the next.
    pub(super) async fn announcements(&self) -> anyhow::Result<Vec<Announcement>> {
        let asking = self.sender.ask_keys(ANSWER_TIME_MAX);
        let told = self.connection.unless_refused(asking).await?;
        let told = told.with_context(|| format!("the market's keys can't be asked for at {}", self.url))?;
        announcements(&serde_json::from_slice(&told).context("what came for the market's keys is no JSON")?)
    }

    /// Sends a signed command.
    pub(super) async fn send(
        &self,
        signed: &Signed,
        wish: &Wish,
        step_up: Option<String>,
    ) -> anyhow::Result<Answer> {
        if !wish.personal.is_empty() {
            bail!(
                "what is personal goes over HTTP only, since a broker may store it: name the gateway with --url"
            );
        }
        let name = wish.command.name();
        let command = Outgoing {
            name: name.to_owned(),
            payload: signed.bytes.clone().into(),
            step_up,
            traceparent: None,
        };
        let sending = self.sender.send(command, ANSWER_TIME_MAX);
        let sent = match self.connection.unless_refused(sending).await {
            Ok(sent) => sent,
            // Where only the receipt was refused, the command may be decided.
            Err(refused) => return Ok(Answer::Unknown { why: refused.to_string() }),
        };
        let body = match sent {
            Ok(body) => body,
            Err(SendError::Busy) => return Ok(Answer::refused(&Refusal::Busy)),
            Err(SendError::NoSuchCommand) => {
                return Ok(Answer::refused(&Refusal::CmdUnknown { name: name.to_owned() }));
            }
            Err(SendError::TooLarge) => {
                let (size, max) = (signed.bytes.len(), COMMAND_BYTES_MAX);
                return Ok(Answer::refused(&Refusal::TooLarge { size, max }));
            }
            Err(error @ SendError::Unavailable(_)) => {
                return Err(error).with_context(|| {
                    format!(
                        "nobody takes commands for market {} at {}: start the market with `skylink up --nats`, or \
                         name another with --market; nothing was sent",
                        self.market, self.url
                    )
                });
            }
            Err(SendError::Unknown) => {
                let why = format!("there was no receipt within {} s", ANSWER_TIME_MAX.as_secs());
                return Ok(Answer::Unknown { why });
            }
            Err(error @ SendError::Closed) => return Ok(Answer::Unknown { why: error.to_string() }),
        };
        let no_reply = || Answer::Unknown { why: "the answer was no receipt".to_owned() };
        Ok(understand_reply(&body).unwrap_or_else(no_reply))
    }
}
