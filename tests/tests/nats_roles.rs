//! Tries on a real server what each role of `nats-roles.conf` may and may not do.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_nats::jetstream::{self, AckKind, consumer, stream};
use async_nats::{Client, ConnectOptions, Event};
use bytes::Bytes;
use engine::log::EventLog;
use engine::log::jetstream::{JetStreamLog, StreamOptions};
use engine::nats_commands::{CommandSender, CommandSource, Outgoing, Ownership, ReceiptSender};
use events::Head;
use events::ids::{CommandId, MarketName};
use futures::{StreamExt, TryStreamExt};
use nkeys::KeyPair;
use tests::log_contract::commit_by;
use tests::nats::NatsServer;
use tokio::sync::mpsc;
use tokio::time::timeout;
use uuid::Uuid;

const ROLES: &str = include_str!("../../nats-roles.conf");

/// How long the server may take to deliver or refuse one message.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long the engine's whole way may take; where a permission is missing it would wait for ever.
const ENGINE_TIME_MAX: Duration = Duration::from_secs(60);

/// Refusals that may wait to be read; one is read for each message sent.
const REFUSALS_MAX: usize = 64;

/// A server with roles, and the private key of each.
struct Market {
    server: NatsServer,
    keys: Vec<(&'static str, KeyPair)>,
}

/// One role's connection and what the server refused it.
struct Role {
    client: Client,
    refusals: mpsc::Receiver<String>,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Delivered,
    Refused,
}
use Verdict::{Delivered, Refused};

impl Market {
    async fn start() -> Result<Self> {
        let names = ["SYSTEM", "OPERATOR", "ENGINE", "RECEIPTS", "GATEWAY", "READER"];
        let keys: Vec<_> = names.into_iter().map(|name| (name, KeyPair::new_user())).collect();
        let environment: Vec<_> =
            keys.iter().map(|(name, key)| (format!("SKYLINK_NATS_{name}"), key.public_key())).collect();
        let environment: Vec<_> =
            environment.iter().map(|(name, key)| (name.as_str(), key.as_str())).collect();
        Ok(Self { server: NatsServer::start_with(ROLES, &environment).await?, keys })
    }

    /// Connects as `name`, with the inbox that belongs to the role.
    async fn connect(&self, name: &str) -> Result<Role> {
        let (_, key) = self.keys.iter().find(|(role, _)| *role == name).context("no such role")?;
        let (refused, refusals) = mpsc::channel(REFUSALS_MAX);
        let client = ConnectOptions::with_nkey(key.seed()?)
            .custom_inbox_prefix(format!("_INBOX.{}", name.to_lowercase()))
            .event_callback(move |event| {
                let refused = refused.clone();
                async move {
                    if let Event::ServerError(error) = event {
                        // Nobody reads a full queue any more: the test has failed already.
                        let _ = refused.try_send(error.to_string());
                    }
                }
            })
            .connect(self.server.url())
            .await?;
        Ok(Role { client, refusals })
    }
}

impl Role {
    fn jetstream(&self) -> jetstream::Context {
        jetstream::new(self.client.clone())
    }

    /// Publishes to `subject` and reports whether it reached `observer`, who is subscribed to it.
    async fn try_publish(&mut self, subject: &str, observer: &Client) -> Result<Verdict> {
        let mut observed = observer.subscribe(subject.to_owned()).await?;
        // A round trip: the subscription has been taken before anything is published.
        observer.request("$SYS.REQ.USER.INFO", Bytes::new()).await?;
        self.client.publish(subject.to_owned(), Bytes::new()).await?;
        let verdict = tokio::select! {
            message = observed.next() => message.map(|_| Delivered).context("the observer was cut off")?,
            refusal = self.refusals.recv() => {
                let refusal = refusal.context("the connection has ended")?.to_lowercase();
                if !(refusal.contains("permissions violation") && refusal.contains(&subject.to_lowercase())) {
                    bail!("an error about something else: {refusal}");
                }
                Refused
            }
            () = tokio::time::sleep(ANSWER_MAX) => bail!("{subject} was neither delivered nor refused"),
        };
        Ok(verdict)
    }
}

fn stream_on(name: &str, subject: &str) -> stream::Config {
    stream::Config { name: name.into(), subjects: vec![subject.into()], ..stream::Config::default() }
}

async fn next_of(consumer: &consumer::PullConsumer) -> Result<jetstream::Message> {
    let mut messages = consumer.messages().await?;
    let message = timeout(ANSWER_MAX, messages.next()).await.context("no message came")?;
    Ok(message.context("the consumer ended")??)
}

#[tokio::test]
async fn each_role_publishes_only_what_is_its_own() -> Result<()> {
    let market = Market::start().await?;
    let operator = market.connect("OPERATOR").await?;
    let matrix = [
        ("ENGINE", "evt.main.order.placed", Delivered),
        ("ENGINE", "evt.other.order.placed", Refused),
        ("ENGINE", "cmd.main.order.place", Refused),
        ("ENGINE", "cmd.main.engine.probe", Delivered),
        ("ENGINE", "_INBOX.gateway.a", Refused),
        ("ENGINE", "$JS.API.STREAM.DELETE.EVT_main", Refused),
        ("ENGINE", "$JS.API.STREAM.PURGE.EVT_main", Refused),
        ("ENGINE", "$JS.API.STREAM.UPDATE.EVT_main", Refused),
        ("ENGINE", "$JS.API.STREAM.MSG.DELETE.EVT_main", Refused),
        ("RECEIPTS", "rcpt.main.a", Delivered),
        ("RECEIPTS", "_INBOX.gateway.a", Delivered),
        ("RECEIPTS", "evt.main.order.placed", Refused),
        ("RECEIPTS", "cmd.main.order.place", Refused),
        ("RECEIPTS", "$JS.API.STREAM.DELETE.EVT_main", Refused),
        ("GATEWAY", "cmd.main.order.place", Delivered),
        ("GATEWAY", "cmd.other.order.place", Refused),
        ("GATEWAY", "evt.main.order.placed", Refused),
        ("GATEWAY", "rcpt.main.a", Refused),
        ("GATEWAY", "$JS.API.STREAM.DELETE.CMD_main", Refused),
        ("READER", "evt.main.order.placed", Refused),
        ("READER", "cmd.main.order.place", Refused),
        ("READER", "$JS.API.CONSUMER.CREATE.EVT_main.other", Refused),
        ("READER", "$JS.API.CONSUMER.MSG.NEXT.EVT_main.other", Refused),
    ];
    for (role, subject, expected) in matrix {
        let verdict = market.connect(role).await?.try_publish(subject, &operator.client).await?;
        assert_eq!(verdict, expected, "{role} publishing to {subject}");
    }
    Ok(())
}

#[tokio::test]
async fn roles_suffice_for_a_command_its_event_and_its_receipt() -> Result<()> {
    let market = Market::start().await?;
    let engine = market.connect("ENGINE").await?.jetstream();
    let log = engine.get_or_create_stream(stream_on("EVT_main", "evt.main.>")).await?;
    let commands = engine.get_or_create_stream(stream_on("CMD_main", "cmd.main.>")).await?;
    let durable = consumer::pull::Config { durable_name: Some("engine".into()), ..Default::default() };
    let arriving = commands.create_consumer(durable).await?;

    // The gateway hands a command in and waits for the receipt in its inbox.
    let gateway = market.connect("GATEWAY").await?;
    let inbox = gateway.client.new_inbox();
    let mut receipts = gateway.client.subscribe(inbox.clone()).await?;
    gateway.jetstream().publish("cmd.main.order.place", "place".into()).await?.await?;

    // The engine takes it, writes the event, reads it back and answers on its second connection.
    let command = next_of(&arriving).await?;
    assert_eq!(command.payload, "place");
    command.double_ack_with(AckKind::Ack).await.map_err(anyhow::Error::msg)?;
    engine.publish("evt.main.order.placed", "placed".into()).await?.await?;
    let ordered = log.create_consumer(consumer::pull::OrderedConfig::default()).await?;
    let event = timeout(ANSWER_MAX, ordered.messages().await?.next())
        .await
        .context("the log was not read")?
        .context("no event")??;
    assert_eq!(event.payload, "placed");
    let answering = market.connect("RECEIPTS").await?;
    answering.client.publish(inbox, "accepted".into()).await?;
    let receipt = timeout(ANSWER_MAX, receipts.next())
        .await
        .context("the receipt did not come")?
        .context("no receipt")?;
    assert_eq!(receipt.payload, "accepted");

    // The operator lets a reader follow.
    let operator = market.connect("OPERATOR").await?.jetstream();
    let durable = consumer::pull::Config { durable_name: Some("reader".into()), ..Default::default() };
    operator.create_consumer_on_stream(durable, "EVT_main").await?;
    let reader = market.connect("READER").await?.jetstream();
    let following: consumer::PullConsumer = reader.get_consumer_from_stream("reader", "EVT_main").await?;
    let event = next_of(&following).await?;
    assert_eq!(event.payload, "placed");
    event.double_ack_with(AckKind::Ack).await.map_err(anyhow::Error::msg)
}

#[tokio::test]
async fn the_engine_itself_needs_no_more_than_its_roles() -> Result<()> {
    timeout(ENGINE_TIME_MAX, async {
        let market = Market::start().await?;
        let main: MarketName = "main".parse()?;
        let engine = market.connect("ENGINE").await?;
        let log = JetStreamLog::open(engine.client.clone(), main.clone(), StreamOptions::replicas(1)).await?;
        let mut source = CommandSource::open(engine.client, main.clone(), 1).await?;
        source.ownership().wait_for(|&now| now == Ownership::Owned).await?;
        let receipts = ReceiptSender::new(market.connect("RECEIPTS").await?.client, main.clone());

        let gateway = market.connect("GATEWAY").await?;
        let id = CommandId::from_uuid(Uuid::from_u128(1));
        let command = Outgoing { name: "order.place".into(), payload: "place".into(), traceparent: None };
        let sender = CommandSender::open(gateway.client.clone(), main.clone()).await?;
        let sending = tokio::spawn(async move { sender.send(command, ANSWER_MAX).await });
        let arrived = source.next().await.context("no command")?;
        let commit = commit_by(1, Head::EMPTY, 2);
        log.append(Head::EMPTY, std::slice::from_ref(&commit)).await?;
        receipts.send_receipt(id, arrived.reply_to.as_ref(), "accepted".into()).await?;
        arrived.ack().await?;
        assert_eq!(sending.await??, "accepted");

        let reopened =
            JetStreamLog::open(market.connect("ENGINE").await?.client, main, StreamOptions::replicas(1))
                .await?;
        assert_eq!(reopened.head().await?, commit.head());
        let read: Vec<_> = reopened.read(1).try_collect().await?;
        assert_eq!(read, [commit]);
        Ok(())
    })
    .await
    .context("something was not allowed")?
}

#[tokio::test]
async fn stranger_is_not_let_in() -> Result<()> {
    let market = Market::start().await?;

    assert!(async_nats::connect(market.server.url()).await.is_err(), "no key");
    let stranger = ConnectOptions::with_nkey(KeyPair::new_user().seed()?);
    assert!(stranger.connect(market.server.url()).await.is_err(), "an unknown key");
    Ok(())
}
