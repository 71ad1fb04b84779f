//! Clients that order over NATS, with nothing but a connection and what the README tells: publish, wait at an inbox,
//! publish the same again. They go on whatever becomes of the engine and the broker.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use async_nats::{HeaderMap, Message};
use commands::Refusal;
use engine::Reply;
use engine::nats_commands::RECEIPT_TO;
use events::ids::{CommandId, MarketName};
use events::wire;
use futures::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::history::History;
use crate::pace::Pace;
use crate::town::{Town, new_id};

/// How many clients there are, each with a connection and a history of its own.
const CLIENTS: usize = 4;

/// How long a client waits for a receipt before it publishes the same command again. As long as the broker, which
/// delivers what an engine has left unanswered once more by then.
const REPEAT_AFTER: Duration = Duration::from_secs(5);

/// What the clients have done so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    /// Orders sent, without repetitions.
    pub sent: u64,
    /// Receipts seen, without repetitions.
    pub told: u64,
}

/// Clients at work.
pub struct NatsClients {
    done: watch::Receiver<Done>,
    stop: watch::Sender<bool>,
    clients: JoinSet<Result<History>>,
}

impl NatsClients {
    /// Lets the buyers of a town order, together `per_second`; each client has an equal share of both.
    pub async fn start(url: &str, market: &MarketName, town: &Arc<Town>, per_second: u64) -> Result<Self> {
        let (done_in, done) = watch::channel(Done::default());
        let (done_in, (stop, stopped)) = (Arc::new(done_in), watch::channel(false));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let connection = async_nats::connect(url).await?;
            let client = Client {
                inbox: connection.new_inbox(),
                connection,
                subject: wire::command_subject(market, "order.place"),
                town: Arc::clone(town),
                number,
                history: History::default(),
                waiting: VecDeque::new(),
                done: Arc::clone(&done_in),
            };
            clients.spawn(client.run(per_second / CLIENTS as u64, stopped.clone()));
        }
        Ok(NatsClients { done, stop, clients })
    }

    /// Tells what they have done so far.
    pub fn done(&self) -> Done {
        *self.done.borrow()
    }

    /// Waits until `enough` holds of what they have done.
    pub async fn wait_for(&mut self, enough: impl Fn(&Done) -> bool) -> Result<()> {
        tokio::select! {
            // The clients end only with an error, as long as they are not told to.
            Some(ended) = self.clients.join_next() => match ended? {
                Ok(_) => anyhow::bail!("a client ended"),
                Err(error) => Err(error),
            },
            enough = self.done.wait_for(|done| enough(done)) => enough.map(|_| ()).context("the clients ended"),
        }
    }

    /// Lets them order no more, waits until all have their receipts, and gives what they have seen.
    pub async fn finish(mut self) -> Result<History> {
        self.stop.send_replace(true);
        let mut history = History::default();
        while let Some(ended) = self.clients.join_next().await {
            history.join(ended??);
        }
        Ok(history)
    }
}

struct Client {
    connection: async_nats::Client,
    subject: String,
    inbox: String,
    town: Arc<Town>,
    number: usize,
    history: History,
    /// Orders that may still have no receipt, and when each was published last; the oldest first.
    waiting: VecDeque<(Instant, CommandId)>,
    done: Arc<watch::Sender<Done>>,
}

impl Client {
    async fn run(mut self, per_second: u64, stopped: watch::Receiver<bool>) -> Result<History> {
        let mut answers = self.connection.subscribe(format!("{}.*", self.inbox)).await?;
        let mut pace = Pace::new(per_second);
        loop {
            tokio::select! {
                due = pace.due() => {
                    if !*stopped.borrow() {
                        for _ in 0..due {
                            self.order().await?;
                        }
                    } else if self.history.counts().0 == self.history.counts().1 {
                        return Ok(self.history);
                    }
                    self.repeat().await?;
                }
                answer = answers.next() => self.hear(&answer.context("the inbox is open")?).await?,
            }
        }
    }

    async fn order(&mut self) -> Result<()> {
        let id = new_id();
        self.sign(id);
        self.publish(id).await?;
        self.done.send_modify(|done| done.sent += 1);
        Ok(())
    }

    /// Signs an order, at first or anew; the same id is always the same buyer's.
    fn sign(&mut self, id: CommandId) {
        let mine = self.town.buyers.len() / CLIENTS;
        let nth = id.uuid().as_u128() as usize % mine;
        let buyer = &self.town.buyers[self.number * mine + nth];
        self.history.send(id, buyer.sign_as(id, self.town.order(1)));
    }

    /// Publishes again what has waited too long.
    async fn repeat(&mut self) -> Result<()> {
        while let Some((published, id)) = self.waiting.front().copied()
            && (published.elapsed() > REPEAT_AFTER || self.history.was_told(id))
        {
            self.waiting.pop_front();
            if !self.history.was_told(id) {
                self.publish(id).await?;
            }
        }
        Ok(())
    }

    async fn publish(&mut self, id: CommandId) -> Result<()> {
        let signed = self.history.signed(id).context("it was signed")?.clone();
        let mut headers = HeaderMap::new();
        headers.insert(RECEIPT_TO, format!("{}.{id}", self.inbox).as_str());
        self.connection.publish_with_headers(self.subject.clone(), headers, signed).await?;
        self.waiting.push_back((Instant::now(), id));
        Ok(())
    }

    async fn hear(&mut self, answer: &Message) -> Result<()> {
        match Reply::from_json(&answer.payload) {
            Some(Reply::Receipt(receipt)) => {
                let (_, before) = self.history.counts();
                self.history.tell(receipt.receipt);
                let (_, after) = self.history.counts();
                self.done.send_modify(|done| done.told += (after - before) as u64);
            }
            Some(Reply::Undecided) => {}
            // It waited too long for an engine. What it says is to be done: sign again under the same id.
            Some(Reply::Refused(Refusal::Stale { .. } | Refusal::SeqTooOld { .. })) => {
                let id: CommandId = answer.subject.rsplit('.').next().context("it has an end")?.parse()?;
                if !self.history.was_told(id) {
                    self.sign(id);
                    self.publish(id).await?;
                }
            }
            other => bail!("an order got {other:?}"),
        }
        Ok(())
    }
}
