//! Tries on a real server what each role of `nats-roles.conf` may and may not do.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use async_nats::jetstream::{self, stream};
use async_nats::{Client, ConnectOptions, Event};
use bytes::Bytes;
use commands::receipt::Outcome;
use engine::Reply;
use engine::clock::WallClock;
use engine::log::EventLog;
use engine::nats_commands::{CommandSender, Outgoing};
use engine::processor::StopReason;
use futures::{FutureExt, StreamExt, TryStreamExt};
use gateway::nats::access::{make_nkey, public_nkey};
use gateway::nats::{Access, ConnectError, Connection, Denied, GuardedLog, OpenError, Refused, Role};
use gateway::node::{NatsConfig, Node, NodeAccess, NodeConfig, NodeError};
use nkeys::KeyPair;
use tempfile::TempDir;
use tests::engines::Keys;
use tests::log_contract::market;
use tests::nats::NatsServer;
use tests::town::{Town, receipt};
use tokio::sync::mpsc;
use tokio::time::timeout;

const ROLES: &str = include_str!("../../nats-roles.conf");

/// How long the server may take to deliver or refuse one message.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long any one test may take; only a refusal that is not noticed needs it.
const TEST_TIME_MAX: Duration = Duration::from_secs(60);

/// Pause before the same is published again to somebody whose subscription may be on its way.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(20);

/// Refusals that may wait to be read; one is read for each message sent.
const REFUSALS_MAX: usize = 64;

/// A server with roles, and the folder with the key of each.
struct Market {
    server: NatsServer,
    folder: TempDir,
}

/// One role's connection and what the server refused it.
struct Party {
    client: Client,
    refusals: mpsc::Receiver<String>,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Delivered,
    Barred,
}
use Verdict::{Barred, Delivered};

impl Market {
    async fn start() -> Result<Self> {
        let folder = TempDir::new()?;
        let mut environment = Vec::new();
        for name in ["SYSTEM", "OPERATOR", "ENGINE", "RECEIPTS", "GATEWAY", "READER", "ANALYTICS"] {
            let public = make_nkey(&folder.path().join(name))?.context("each role has a key of its own")?;
            environment.push((format!("SKYLINK_NATS_{name}"), public));
        }
        let environment: Vec<_> =
            environment.iter().map(|(name, key)| (name.as_str(), key.as_str())).collect();
        Ok(Self { server: NatsServer::start_with(ROLES, &environment).await?, folder })
    }

    /// Gives the file with the key of a role.
    fn key(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Connects as `name`, with the inbox that belongs to the role, by nothing of ours.
    async fn connect(&self, name: &str) -> Result<Party> {
        let seed = std::fs::read_to_string(self.key(name))?;
        let (refused, refusals) = mpsc::channel(REFUSALS_MAX);
        let client = ConnectOptions::with_nkey(seed.trim().to_owned())
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
        Ok(Party { client, refusals })
    }

    /// Gives what lets in somebody who has the key of `name`.
    fn access(&self, name: &str) -> Access {
        Access { nkey: Some(self.key(name)), ..Access::default() }
    }

    /// Connects as the program does in `role`, with the key of `name`.
    async fn open(&self, role: Role, name: &str) -> Result<Connection, ConnectError> {
        Connection::open(&self.server.url(), role, &self.access(name)).await
    }

    /// Starts a node with the keys of two roles; it has to be given the market first.
    async fn node(&self, folder: &TempDir, engine: &str, receipts: &str) -> Result<Node, NodeError> {
        let access = NodeAccess { engine: self.access(engine), receipts: self.access(receipts) };
        let config = NodeConfig::new(market(), folder.path().to_owned());
        let config = NodeConfig { verify_threads: 2, access, ..config };
        let nats = NatsConfig { monitor_url: None, ..self.server.for_nodes() };
        Node::start_on_nats(config, nats, Arc::new(WallClock)).await
    }
}

/// Sends an order as a gateway does, and gives what comes back.
async fn order(gateway: &Connection, sender: &CommandSender, signed: Bytes) -> Result<Reply> {
    let command =
        Outgoing { name: "order.place".to_owned(), payload: signed, step_up: None, traceparent: None };
    let body = gateway.unless_refused(sender.send(command, TEST_TIME_MAX)).await??;
    Reply::from_json(&body).context("an engine answers")
}

/// Fails a test that waits for what was refused.
async fn bounded<T>(test: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(TEST_TIME_MAX, test).await.context("something was refused, and nobody noticed")?
}

impl Party {
    fn jetstream(&self) -> jetstream::Context {
        jetstream::new(self.client.clone())
    }

    /// Subscribes to `subject` and reports whether what is published there arrives.
    async fn try_subscribe(&mut self, subject: &str, publisher: &Client) -> Result<Verdict> {
        let mut subscribed = self.client.subscribe(subject.to_owned()).await?;
        self.client.flush().await?;
        let concrete = subject.replace('>', "a");
        // Only a refusal or a message ends this: the subscription may be on its way when the first is published.
        let mut again = tokio::time::interval(PUBLISH_INTERVAL);
        let deadline = tokio::time::sleep(ANSWER_MAX);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                message = subscribed.next() => return message.map(|_| Delivered).context("it was cut off"),
                refusal = self.refusals.recv() => {
                    check_is_about(&refusal.context("the connection has ended")?, subject)?;
                    return Ok(Barred);
                }
                _ = again.tick() => publisher.publish(concrete.clone(), Bytes::new()).await?,
                () = &mut deadline => bail!("{subject} was neither given nor refused"),
            }
        }
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
                check_is_about(&refusal.context("the connection has ended")?, subject)?;
                Barred
            }
            () = tokio::time::sleep(ANSWER_MAX) => bail!("{subject} was neither delivered nor refused"),
        };
        Ok(verdict)
    }
}

fn check_is_about(refusal: &str, subject: &str) -> Result<()> {
    let refusal = refusal.to_lowercase();
    let is_about = refusal.contains("permissions violation") && refusal.contains(&subject.to_lowercase());
    ensure!(is_about, "an error about something else: {refusal}");
    Ok(())
}

fn stream_on(name: &str, subject: &str) -> stream::Config {
    stream::Config { name: name.into(), subjects: vec![subject.into()], ..stream::Config::default() }
}

#[tokio::test]
async fn each_role_publishes_only_what_is_its_own() -> Result<()> {
    let market = Market::start().await?;
    let operator = market.connect("OPERATOR").await?;
    let matrix = [
        ("ENGINE", "evt.main.order.placed", Delivered),
        ("ENGINE", "evt.other.order.placed", Barred),
        ("ENGINE", "cmd.main.order.place", Barred),
        ("ENGINE", "cmd.main.engine.probe", Delivered),
        ("ENGINE", "_INBOX.gateway.a", Barred),
        ("ENGINE", "$JS.API.STREAM.DELETE.EVT_main", Barred),
        ("ENGINE", "$JS.API.STREAM.PURGE.EVT_main", Barred),
        ("ENGINE", "$JS.API.STREAM.UPDATE.EVT_main", Barred),
        ("ENGINE", "$JS.API.STREAM.MSG.DELETE.EVT_main", Barred),
        ("ENGINE", "rcpt.main.a", Barred),
        ("ENGINE", "$JS.API.CONSUMER.CREATE.CMD_main", Barred),
        ("ENGINE", "$JS.API.CONSUMER.CREATE.CMD_main.other", Barred),
        ("ENGINE", "$JS.API.CONSUMER.MSG.NEXT.CMD_main.other", Barred),
        ("ENGINE", "$JS.API.CONSUMER.DELETE.CMD_main.engine", Barred),
        ("ENGINE", "$JS.API.CONSUMER.CREATE.EVT_main.stays", Barred),
        ("ENGINE", "$JS.ACK.CMD_main.other.a", Barred),
        ("RECEIPTS", "rcpt.main.a", Delivered),
        ("RECEIPTS", "_INBOX.gateway.a", Delivered),
        ("RECEIPTS", "evt.main.order.placed", Barred),
        ("RECEIPTS", "cmd.main.order.place", Barred),
        ("RECEIPTS", "rcpt.other.a", Barred),
        ("RECEIPTS", "$JS.API.STREAM.DELETE.EVT_main", Barred),
        ("RECEIPTS", "$JS.API.STREAM.INFO.EVT_main", Barred),
        ("GATEWAY", "cmd.main.order.place", Delivered),
        ("GATEWAY", "cmd.other.order.place", Barred),
        ("GATEWAY", "evt.main.order.placed", Barred),
        ("GATEWAY", "rcpt.main.a", Barred),
        ("GATEWAY", "_INBOX.gateway.a", Barred),
        ("GATEWAY", "$JS.API.STREAM.DELETE.CMD_main", Barred),
        ("GATEWAY", "$JS.API.STREAM.INFO.CMD_main", Barred),
        ("GATEWAY", "$JS.API.CONSUMER.MSG.NEXT.CMD_main.engine", Barred),
        ("GATEWAY", "$JS.ACK.CMD_main.engine.a", Barred),
        ("READER", "evt.main.order.placed", Barred),
        ("READER", "cmd.main.order.place", Barred),
        ("READER", "rcpt.main.a", Barred),
        ("READER", "_INBOX.gateway.a", Barred),
        ("READER", "$JS.API.CONSUMER.CREATE.EVT_main.stays", Barred),
        ("READER", "$JS.API.CONSUMER.DURABLE.CREATE.EVT_main.stays", Barred),
        ("READER", "$JS.API.CONSUMER.CREATE.EVT_other", Barred),
        ("READER", "$JS.API.CONSUMER.CREATE.CMD_main", Barred),
        ("READER", "$JS.API.CONSUMER.MSG.NEXT.CMD_main.engine", Barred),
        ("READER", "$JS.API.CONSUMER.DELETE.CMD_main.engine", Barred),
        ("READER", "$JS.API.CONSUMER.NAMES.EVT_main", Barred),
        ("READER", "$JS.API.STREAM.CREATE.EVT_main", Barred),
        ("READER", "$JS.API.STREAM.UPDATE.EVT_main", Barred),
        ("READER", "$JS.API.STREAM.PURGE.EVT_main", Barred),
        ("READER", "$JS.API.STREAM.DELETE.EVT_main", Barred),
        ("READER", "$JS.API.STREAM.MSG.DELETE.EVT_main", Barred),
        ("READER", "$JS.API.STREAM.MSG.GET.CMD_main", Barred),
        ("READER", "$JS.API.STREAM.NAMES", Barred),
        ("ANALYTICS", "$JS.API.CONSUMER.MSG.NEXT.EVT_main.analytics", Delivered),
        ("ANALYTICS", "$JS.ACK.EVT_main.analytics.a", Delivered),
        ("ANALYTICS", "$JS.API.CONSUMER.MSG.NEXT.EVT_main.other", Barred),
        ("ANALYTICS", "$JS.ACK.EVT_main.other.a", Barred),
        ("ANALYTICS", "$JS.ACK.CMD_main.engine.a", Barred),
        ("ANALYTICS", "$JS.API.CONSUMER.CREATE.EVT_main", Barred),
        ("ANALYTICS", "$JS.API.CONSUMER.CREATE.EVT_main.analytics", Barred),
        ("ANALYTICS", "$JS.API.CONSUMER.DURABLE.CREATE.EVT_main.analytics", Barred),
        ("ANALYTICS", "$JS.API.CONSUMER.DELETE.EVT_main.analytics", Barred),
        ("ANALYTICS", "$JS.API.STREAM.INFO.EVT_main", Barred),
        ("ANALYTICS", "$JS.API.STREAM.MSG.GET.EVT_main", Barred),
        ("ANALYTICS", "$JS.API.DIRECT.GET.EVT_main", Barred),
        ("ANALYTICS", "evt.main.order.placed", Barred),
        ("ANALYTICS", "cmd.main.order.place", Barred),
        ("ANALYTICS", "rcpt.main.a", Barred),
        ("ANALYTICS", "_INBOX.gateway.a", Barred),
    ];
    for (role, subject, expected) in matrix {
        let verdict = market.connect(role).await?.try_publish(subject, &operator.client).await?;
        assert_eq!(verdict, expected, "{role} publishing to {subject}");
    }
    Ok(())
}

#[tokio::test]
async fn each_role_hears_only_what_is_meant_for_it() -> Result<()> {
    let market = Market::start().await?;
    let operator = market.connect("OPERATOR").await?;
    let matrix = [
        ("ENGINE", "_INBOX.engine.>", Delivered),
        ("ENGINE", "_INBOX.gateway.>", Barred),
        ("ENGINE", "cmd.main.>", Barred),
        ("ENGINE", "rcpt.main.>", Barred),
        ("RECEIPTS", "_INBOX.receipts.>", Barred),
        ("RECEIPTS", "rcpt.main.>", Barred),
        ("RECEIPTS", "cmd.main.>", Barred),
        ("GATEWAY", "_INBOX.gateway.>", Delivered),
        ("GATEWAY", "rcpt.main.>", Delivered),
        ("GATEWAY", "_INBOX.engine.>", Barred),
        ("GATEWAY", "cmd.main.>", Barred),
        ("GATEWAY", "evt.main.>", Barred),
        ("READER", "_INBOX.reader.>", Delivered),
        ("READER", "_INBOX.gateway.>", Barred),
        ("READER", "evt.main.>", Barred),
        ("READER", "cmd.main.>", Barred),
        ("READER", "rcpt.main.>", Barred),
        ("ANALYTICS", "_INBOX.analytics.>", Delivered),
        ("ANALYTICS", "_INBOX.reader.>", Barred),
        ("ANALYTICS", "evt.main.>", Barred),
        ("ANALYTICS", "cmd.main.>", Barred),
    ];
    for (role, subject, expected) in matrix {
        let verdict = market.connect(role).await?.try_subscribe(subject, &operator.client).await?;
        assert_eq!(verdict, expected, "{role} subscribing to {subject}");
    }
    Ok(())
}

#[tokio::test]
async fn a_readers_consumer_neither_stays_nor_writes_history() -> Result<()> {
    let market = Market::start().await?;
    let operator = market.connect("OPERATOR").await?.jetstream();
    operator.create_stream(stream_on("EVT_main", "evt.main.>")).await?;
    let reader = market.connect("READER").await?.jetstream();
    let subject = "CONSUMER.CREATE.EVT_main".to_owned();
    for (config, reason) in [
        (serde_json::json!({ "durable_name": "stays", "ack_policy": "none" }), "ephemeral"),
        (serde_json::json!({ "deliver_subject": "evt.main.order.placed", "ack_policy": "none" }), "cycle"),
    ] {
        let wish = serde_json::json!({ "stream_name": "EVT_main", "config": config });
        let answer: serde_json::Value = reader.request(subject.clone(), &wish).await?;
        let said = answer["error"]["description"].as_str().with_context(|| answer.to_string())?;
        assert!(said.contains(reason), "{said}");
    }
    let consumers = operator.get_stream("EVT_main").await?.get_info().await?.state.consumer_count;
    assert_eq!(consumers, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_and_read_by_the_program_in_its_roles() -> Result<()> {
    bounded(async {
        let mut market = Market::start().await?;
        let folder = TempDir::new()?;
        let node = market.node(&folder, "ENGINE", "RECEIPTS").await?;
        let town = Town::found(&node.handle(), Keys::of(node.keys()).registrar(), 1, 100).await;
        let buyer = &town.buyers[0];
        let gateway = market.open(Role::Gateway, "GATEWAY").await?;
        let sender = CommandSender::open(gateway.client().clone(), tests::log_contract::market()).await?;
        let placed = receipt(order(&gateway, &sender, buyer.sign(town.order(1))).await?);
        let keys = gateway.unless_refused(sender.ask_keys(TEST_TIME_MAX)).await??;
        assert_eq!(keys, r#"{"announcements":[]}"#, "a gateway may ask for them, and there was no rotation");
        assert_eq!(placed.receipt.outcome, Outcome::Accepted);

        let reader = market.open(Role::Reader, "READER").await?;
        let log = GuardedLog::open_reader(reader.clone(), tests::log_contract::market()).await?;
        let head = node.log().head().await?;
        assert_eq!(log.head().await?, head);
        let read: Vec<_> = log.read(1).try_collect().await?;
        assert_eq!(read, node.log().read(1).try_collect::<Vec<_>>().await?);
        assert_eq!(log.commit(1).await?.as_ref(), read.first());

        // All of them look after their consumers and subscriptions when the broker comes back.
        let mut following = log.follow(head.position + 1);
        market.server.restart().await?;
        let wish = buyer.sign(town.order(2));
        let again = loop {
            // Until its connection is back, a gateway sends nothing.
            match order(&gateway, &sender, wish.clone()).await {
                Ok(reply) => break receipt(reply),
                Err(error) if error.is::<engine::nats_commands::SendError>() => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PUBLISH_INTERVAL).await;
        };
        assert_eq!(again.receipt.outcome, Outcome::Accepted);
        let followed = following.next().await.context("a follower goes on")??;
        assert_eq!(followed.first_position(), head.position + 1);

        for connection in [&gateway, &reader] {
            assert_eq!(connection.refused().now_or_never(), None);
        }
        assert_eq!(node.unless_refused(pending::<()>()).now_or_never(), None);
        assert_eq!(node.shutdown().await, StopReason::Shutdown);

        // And once more, where the streams are there.
        let node = market.node(&folder, "ENGINE", "RECEIPTS").await?;
        let third = receipt(order(&gateway, &sender, buyer.sign(town.order(3))).await?);
        assert_eq!(third.receipt.outcome, Outcome::Accepted);
        assert_eq!(node.unless_refused(pending::<()>()).now_or_never(), None);
        assert_eq!(node.shutdown().await, StopReason::Shutdown);
        Ok(())
    })
    .await
}

/// Checks that a refusal says who is refused what.
fn check_refusal(refused: &Refused, market: &Market, name: &str, denied: &Denied) -> Result<()> {
    assert_eq!(refused.denied(), denied);
    let (said, public) = (refused.to_string(), public_nkey(&market.key(name))?);
    ensure!(said.contains(&public) && said.contains("nkey, or allow the role"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_with_the_key_of_another_role_is_told_what_it_may_not() -> Result<()> {
    bounded(async {
        let market = Market::start().await?;
        let main = tests::log_contract::market;
        let publish = |subject: &str| Denied::Publish(subject.to_owned());

        let reader = Access { inbox: Some("_INBOX.gateway".to_owned()), ..market.access("GATEWAY") };
        let reader = Connection::open(&market.server.url(), Role::Reader, &reader).await?;
        let Err(OpenError::Refused(refused)) = GuardedLog::open_reader(reader, main()).await else {
            bail!("a gateway reads the log")
        };
        check_refusal(&refused, &market, "GATEWAY", &publish("$JS.API.STREAM.INFO.EVT_main"))?;

        // With the prefix of its own role's inbox, the answer would not come.
        let reader = market.open(Role::Reader, "GATEWAY").await?;
        let Err(OpenError::Refused(refused)) = GuardedLog::open_reader(reader, main()).await else {
            bail!("a gateway reads the log")
        };
        assert!(matches!(refused.denied(), Denied::Subscribe(inbox) if inbox.starts_with("_INBOX.reader.")));
        assert!(refused.to_string().contains("--nats-inbox"), "{refused}");

        let engine = Access { inbox: Some("_INBOX.reader".to_owned()), ..market.access("READER") };
        let access = NodeAccess { engine, receipts: market.access("RECEIPTS") };
        let folder = TempDir::new()?;
        let config = NodeConfig { access, ..NodeConfig::new(main(), folder.path().to_owned()) };
        let nats = NatsConfig { monitor_url: None, ..market.server.for_nodes() };
        let Err(NodeError::Refused(refused)) = Node::start_on_nats(config, nats, Arc::new(WallClock)).await
        else {
            bail!("a reader makes streams")
        };
        check_refusal(&refused, &market, "READER", &publish("$JS.API.STREAM.CREATE.EVT_main"))?;

        let folder = TempDir::new()?;
        let node = market.node(&folder, "ENGINE", "GATEWAY").await?;
        let town = Town::found(&node.handle(), Keys::of(node.keys()).registrar(), 1, 100).await;
        let gateway = market.open(Role::Gateway, "GATEWAY").await?;
        let sender = CommandSender::open(gateway.client().clone(), main()).await?;
        let wish = town.buyers[0].sign(town.order(1));
        let refused = tokio::select! {
            refused = node.unless_refused(pending::<()>()) => refused.unwrap_err(),
            sent = order(&gateway, &sender, wish.clone()) => bail!("a gateway makes a receipt: {sent:?}"),
        };
        assert!(matches!(refused.denied(), Denied::Publish(subject) if subject.starts_with("rcpt.main.")));
        assert!(refused.to_string().contains("--nats-receipts-nkey"), "{refused}");

        let gateway = Access { inbox: Some("_INBOX.reader".to_owned()), ..market.access("READER") };
        let gateway = Connection::open(&market.server.url(), Role::Gateway, &gateway).await?;
        let sender = CommandSender::open(gateway.client().clone(), main()).await?;
        let refused = order(&gateway, &sender, wish).await.unwrap_err();
        let refused = refused.downcast_ref::<Refused>().context("it was not refused")?;
        check_refusal(refused, &market, "READER", &publish("cmd.main.order.place"))?;
        node.shutdown().await;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_learns_that_its_key_was_taken_from_it() -> Result<()> {
    bounded(async {
        let market = Market::start().await?;
        let folder = TempDir::new()?;
        let node = market.node(&folder, "ENGINE", "RECEIPTS").await?;
        // The operator gives the role to another key.
        let without = ROLES.replace("$SKYLINK_NATS_ENGINE", &KeyPair::new_user().public_key());
        market.server.reconfigure(&without)?;
        let refused = timeout(ANSWER_MAX, node.unless_refused(pending::<()>())).await;
        let refused = refused.with_context(|| market.server.log())?.unwrap_err();
        assert!(matches!(refused.denied(), Denied::Stay(_)), "{refused}");
        assert!(refused.to_string().contains(&public_nkey(&market.key("ENGINE"))?), "{refused}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn stranger_is_not_let_in() -> Result<()> {
    let market = Market::start().await?;
    let open = async |access| Connection::open(&market.server.url(), Role::Reader, &access).await;

    let unnamed = open(Access::default()).await.unwrap_err();
    assert!(matches!(unnamed, ConnectError::NotLetIn { .. }), "{unnamed:?}");
    assert!(unnamed.to_string().contains("without an nkey"), "{unnamed}");
    let own = market.folder.path().join("stranger");
    let public = make_nkey(&own)?.context("it is new")?;
    let stranger = open(Access { nkey: Some(own), ..Access::default() }).await.unwrap_err();
    assert!(matches!(stranger, ConnectError::NotLetIn { .. }), "{stranger:?}");
    assert!(stranger.to_string().contains(&public), "{stranger}");
    Ok(())
}
