//! Commands over a real broker: delivered until acknowledged, to one engine at a time, answered only where allowed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use async_nats::connection::State;
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use commands::command::SetProfile;
use commands::personal::{Personal, SALT_BYTES, write_header};
use commands::{Command, Refusal};
use engine::Reply;
use engine::clock::WallClock;
use engine::nats_commands::{
    CommandMessage, CommandSender, CommandSource, Inbox, Outgoing, Ownership, PERSONAL, RECEIPT_TO,
    ReceiptSender, SendError, WAITING_MAX,
};
use events::ids::CommandId;
use events::privacy::ProfileField;
use events::wire;
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use gateway::limits::{BURST, Limits, Proxies, Rates};
use gateway::node::{Node, NodeConfig};
use tempfile::TempDir;
use tests::engines::Keys;
use tests::log_contract::market;
use tests::nats::{NatsCluster, NatsServer, connect};
use tests::town::{Town, receipt, submit};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

/// How long any one test may take; the slowest waits until a pin has timed out.
const TEST_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a receipt is waited for that will come.
const RECEIPT_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a receipt is waited for that will not come.
const NO_RECEIPT_WAIT: Duration = Duration::from_millis(300);

/// Commands that one gateway has under way at once.
const CONCURRENT: u128 = 500;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

async fn bounded<T>(test: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(TEST_TIME_MAX, test).await.context("the test took too long")?
}

async fn sender(client: &Client) -> Result<CommandSender> {
    Ok(CommandSender::open(client.clone(), market()).await?)
}

fn id(n: u128) -> CommandId {
    CommandId::from_uuid(Uuid::from_u128(n))
}

fn order(n: u128) -> Outgoing {
    Outgoing {
        name: "order.place".into(),
        payload: format!("command {n}").into(),
        step_up: None,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    }
}

async fn owned(ownership: &mut watch::Receiver<Ownership>) -> Result<()> {
    ownership.wait_for(|&now| now == Ownership::Owned).await?;
    Ok(())
}

async fn next(source: &mut CommandSource) -> Result<CommandMessage> {
    source.next().await.context("a source never ends")
}

/// Answers every command with a receipt, a repeated one with the same, as an engine does; never ends by itself.
async fn answer(mut source: CommandSource, receipts: ReceiptSender) -> Result<()> {
    loop {
        let command = next(&mut source).await?;
        ensure!(command.name == "order.place", "{command:?}");
        let number = std::str::from_utf8(&command.payload)?.trim_start_matches("command ").parse()?;
        receipts.send_receipt(id(number), command.reply_to.as_ref(), command.payload.clone()).await?;
        command.ack().await?;
    }
}

#[tokio::test]
async fn a_command_is_answered_with_its_receipt_and_leaves_the_stream() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let urls = [server.url()];
        round_trips(&urls, 1).await
    })
    .await
}

#[tokio::test]
async fn three_brokers_carry_commands_in_memory() -> Result<()> {
    bounded(async {
        let cluster = NatsCluster::start().await?;
        round_trips(&cluster.urls(), 3).await
    })
    .await
}

async fn round_trips(urls: &[String], replicas: usize) -> Result<()> {
    let source = CommandSource::open(connect(urls).await?, market(), replicas).await?;
    // No command was sent yet: the probe alone shows it.
    owned(&mut source.ownership()).await?;
    let receipts = ReceiptSender::new(connect(urls).await?, market());
    let engine = tokio::spawn(answer(source, receipts));
    let gateway = connect(urls).await?;
    let sender = sender(&gateway).await?;
    // Somebody else may listen for the receipt of a command that he knows by its id.
    let mut others = gateway.subscribe(wire::receipt_subject(&market(), id(1))).await?;
    for n in 1..=3 {
        let receipt = sender.send(order(n), RECEIPT_WAIT_MAX).await;
        let receipt = receipt.with_context(|| format!("command {n}"))?;
        assert_eq!(receipt, format!("command {n}"));
    }
    assert_eq!(others.next().await.context("the subscription ended")?.payload, "command 1");
    let sent = (10..10 + CONCURRENT).map(|n| {
        let sending = sender.send(order(n), RECEIPT_WAIT_MAX);
        async move { (n, sending.await) }
    });
    for (n, receipt) in join_all(sent).await {
        assert_eq!(receipt.with_context(|| format!("command {n}"))?, format!("command {n}"));
    }
    let left = async_nats::jetstream::new(gateway).get_stream("CMD_main").await?;
    // The acknowledgements are on their way when the receipts have come.
    while left.get_info().await?.state.messages > 0 {
        sleep(POLL_INTERVAL).await;
    }
    engine.abort();
    Ok(())
}

#[tokio::test]
async fn without_an_engine_the_outcome_is_unknown_and_the_command_waits() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let urls = [server.url()];
        let gateway = connect(&urls).await?;
        let sender = sender(&gateway).await?;
        let nowhere = sender.send(order(1), RECEIPT_WAIT_MAX).await;
        assert!(matches!(nowhere, Err(SendError::Unavailable(_))), "{nowhere:?}");

        drop(CommandSource::open(connect(&urls).await?, market(), 1).await?);
        let unanswered = sender.send(order(1), NO_RECEIPT_WAIT).await;
        assert!(matches!(unanswered, Err(SendError::Unknown)), "{unanswered:?}");

        let mut source = CommandSource::open(connect(&urls).await?, market(), 1).await?;
        let command = next(&mut source).await?;
        assert_eq!(command.payload, "command 1");
        assert_eq!(command.traceparent, order(1).traceparent);
        command.nak().await?;
        let again = next(&mut source).await?;
        assert_eq!(again.payload, "command 1");
        again.term().await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn one_engine_owns_the_market_and_the_other_takes_over() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let urls = [server.url()];
        let mut first = CommandSource::open(connect(&urls).await?, market(), 1).await?;
        owned(&mut first.ownership()).await?;
        let mut second = CommandSource::open(connect(&urls).await?, market(), 1).await?;
        let sender = sender(&connect(&urls).await?).await?;
        for n in 1..=20 {
            let sent = sender.send(order(n), Duration::from_millis(20)).await;
            assert!(matches!(sent, Err(SendError::Unknown)), "{sent:?}");
            let command = next(&mut first).await?;
            assert_eq!(command.payload, format!("command {n}"));
            if n < 20 {
                command.ack().await?;
            }
        }
        assert_eq!(*second.ownership().borrow(), Ownership::Lost);
        // The twentieth was not acknowledged: the next owner gets it, as soon as the broker gives up the first.
        drop(first);
        owned(&mut second.ownership()).await?;
        assert_eq!(next(&mut second).await?.payload, "command 20");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_engine_whose_broker_is_gone_does_not_own_the_market_until_it_is_back() -> Result<()> {
    bounded(async {
        let mut server = NatsServer::start().await?;
        let urls = [server.url()];
        let mut source = CommandSource::open(connect(&urls).await?, market(), 1).await?;
        let mut ownership = source.ownership();
        owned(&mut ownership).await?;
        server.kill()?;
        ownership.wait_for(|&now| now == Ownership::Lost).await?;
        server.restart().await?;
        owned(&mut ownership).await?;
        let sender = sender(&connect(&urls).await?).await?;
        let sent = sender.send(order(1), NO_RECEIPT_WAIT).await;
        assert!(matches!(sent, Err(SendError::Unknown)), "{sent:?}");
        assert_eq!(next(&mut source).await?.payload, "command 1");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_full_buffer_is_busy_and_a_large_command_is_too_large() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let urls = [server.url()];
        drop(CommandSource::open(connect(&urls).await?, market(), 1).await?);
        let gateway = connect(&urls).await?;
        let sender = sender(&gateway).await?;
        let large = Outgoing { payload: vec![b'x'; 65 * 1024].into(), ..order(1) };
        let refused = sender.send(large, RECEIPT_WAIT_MAX).await;
        assert!(matches!(refused, Err(SendError::TooLarge)), "{refused:?}");

        let filling = Bytes::from(vec![b'x'; 60 * 1024]);
        let context = async_nats::jetstream::new(gateway.clone());
        let deadline = Instant::now() + RECEIPT_WAIT_MAX;
        loop {
            ensure!(Instant::now() < deadline, "the buffer has no bound");
            let sent =
                join_all((0..100).map(|_| async {
                    context.publish("cmd.main.order.place", filling.clone()).await?.await
                }))
                .await;
            if sent.iter().any(Result::is_err) {
                break;
            }
        }
        let large = Outgoing { payload: filling, ..order(1) };
        let refused = sender.send(large, RECEIPT_WAIT_MAX).await;
        assert!(matches!(refused, Err(SendError::Busy)), "{refused:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_sender_has_a_bound_of_commands_that_wait_and_gives_their_places_back() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let urls = [server.url()];
        drop(CommandSource::open(connect(&urls).await?, market(), 1).await?);
        let sender = sender(&connect(&urls).await?).await?;
        let numbers = 0..WAITING_MAX as u128 + 1;
        let mut sent: FuturesUnordered<_> =
            numbers.map(|n| sender.send(order(n), RECEIPT_WAIT_MAX)).collect();
        // Nobody answers, so the first to end is the one that found no place.
        let first = sent.next().await.context("something was sent")?;
        assert!(matches!(first, Err(SendError::Busy)), "{first:?}");
        drop(sent);
        let unanswered = sender.send(order(1), NO_RECEIPT_WAIT).await;
        assert!(matches!(unanswered, Err(SendError::Unknown)), "{unanswered:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_command_under_way_gets_its_receipt_over_a_broker_that_comes_back() -> Result<()> {
    bounded(async {
        let mut server = NatsServer::start().await?;
        let urls = [server.url()];
        let mut source = CommandSource::open(connect(&urls).await?, market(), 1).await?;
        let receipts = ReceiptSender::new(connect(&urls).await?, market());
        let gateway = connect(&urls).await?;
        let sender = sender(&gateway).await?;
        let under_way = sender.send(order(1), RECEIPT_WAIT_MAX);
        let outage = async {
            // It was taken, and is lost with the broker's memory.
            next(&mut source).await?;
            server.kill()?;
            while gateway.connection_state() == State::Connected {
                sleep(POLL_INTERVAL).await;
            }
            let refused = sender.send(order(2), RECEIPT_WAIT_MAX).await;
            assert!(matches!(refused, Err(SendError::Unavailable(_))), "{refused:?}");
            server.restart().await?;
            answer(source, receipts).await
        };
        tokio::select! {
            receipt = under_way => assert_eq!(receipt?, "command 1"),
            ended = outage => bail!("the engine ended: {ended:?}"),
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_connection_that_is_closed_for_good_is_told_to_all_who_wait() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let urls = [server.url()];
        let mut source = CommandSource::open(connect(&urls).await?, market(), 1).await?;
        let gateway = connect(&urls).await?;
        let sender = sender(&gateway).await?;
        let closing = async {
            next(&mut source).await?;
            gateway.drain().await.map_err(anyhow::Error::from)
        };
        let (waiting, closed) = tokio::join!(sender.send(order(1), RECEIPT_WAIT_MAX), closing);
        closed?;
        assert!(matches!(waiting, Err(SendError::Closed)), "{waiting:?}");
        let later = sender.send(order(2), RECEIPT_WAIT_MAX).await;
        assert!(matches!(later, Err(SendError::Closed)), "{later:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_stranger_can_choose_an_inbox_only_and_no_name_of_ours() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let urls = [server.url()];
        let mut source = CommandSource::open(connect(&urls).await?, market(), 1).await?;
        let client = connect(&urls).await?;
        for (subject, taken) in [
            ("evt.main.order.placed", None),
            ("_INBOX.mine", Inbox::parse("_INBOX.mine")),
            ("_INBOX.>", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RECEIPT_TO, subject);
            client.publish_with_headers("cmd.main.order.place", headers, "{}".into()).await?;
            let command = next(&mut source).await?;
            assert_eq!(command.reply_to, taken, "{subject}");
            command.ack().await?;
        }
        let sender = sender(&client).await?;
        for name in ["engine.probe", "order.*", "order place", "", "order.", "order\r\n.place"] {
            let named = Outgoing { name: name.into(), ..order(1) };
            let refused = sender.send(named, RECEIPT_WAIT_MAX).await;
            if !matches!(refused, Err(SendError::NoSuchCommand)) {
                bail!("{name}: {refused:?}");
            }
        }
        Ok(())
    })
    .await
}

/// A profile's value, as it would go over HTTP.
const EMAIL: &str = "alice@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_personal_is_refused_over_nats_and_taken_over_http() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let folder = TempDir::new()?;
        let config = NodeConfig { verify_threads: 1, ..NodeConfig::new(market(), folder.path().to_owned()) };
        let node = Node::start_on_nats(config, server.for_nodes(), Arc::new(WallClock)).await?;
        let town = Town::found(&node.handle(), Keys::of(node.keys()).registrar(), 1, 1).await;
        let email = Personal { salt: [7; SALT_BYTES], value: EMAIL.as_bytes().to_vec() };
        let fields = [(ProfileField::Email, Some(email.hash()))].into();
        let signed = town.buyers[0].sign(Command::from(SetProfile { fields }));
        let client = connect(&[server.url()]).await?;

        // Without the value, it is said where the value may be sent.
        let sender = sender(&client).await?;
        let command = Outgoing {
            name: "account.set_profile".into(),
            payload: signed.clone(),
            step_up: None,
            traceparent: None,
        };
        let answer = sender.send(command.clone(), RECEIPT_WAIT_MAX).await?;
        let told = String::from_utf8(answer.to_vec())?;
        ensure!(told.contains(r#""code":"personal_over_http""#), "{told}");

        // With it, however the header is written, the same, and nothing is stored.
        let mut answers = client.subscribe("_INBOX.mine").await?;
        for name in [PERSONAL, "skylink-personal"] {
            let mut headers = HeaderMap::new();
            headers.insert(RECEIPT_TO, "_INBOX.mine");
            headers.insert(name, write_header([&email]).as_str());
            client.publish_with_headers("cmd.main.account.set_profile", headers, signed.clone()).await?;
            let told = answers.next().await.context("an answer comes")?;
            let reply = Reply::from_json(&told.payload).context("an engine replies")?;
            ensure!(matches!(reply, Reply::Refused(Refusal::PersonalOverHttp)), "{reply:?}");
        }
        let answer = sender.send(command.clone(), RECEIPT_WAIT_MAX).await?;
        let reply = Reply::from_json(&answer).context("an engine replies")?;
        ensure!(matches!(reply, Reply::Refused(Refusal::PersonalOverHttp)), "{reply:?}");

        // The same bytes go on over HTTP; once the value is stored, over NATS too.
        let (url, http) =
            (tests::http::serve(node.gateway(Arc::new(WallClock), None)).await, reqwest::Client::new());
        let post = http.post(format!("{url}/v1/commands")).header("content-type", "application/jose");
        let post = post.header(PERSONAL, write_header([&email])).body(signed);
        ensure!(post.send().await?.status().as_u16() == 200);
        let answer = sender.send(command, RECEIPT_WAIT_MAX).await?;
        ensure!(receipt(Reply::from_json(&answer).context("an engine replies")?).replayed);
        node.shutdown().await;
        Ok(())
    })
    .await
}

/// How many commands a key gives at once over each way: so many more than a burst of one a second that it does not matter how slow this
/// machine is.
const CROWD: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_gives_too_much_is_told_so_over_every_way_and_loses_nothing() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let folder = TempDir::new()?;
        let rates = Rates { commands_per_key: Some(1), ..Rates::default() };
        let limits = Arc::new(Limits::new(rates, Proxies::default()));
        let config =
            NodeConfig { verify_threads: 2, limits, ..NodeConfig::new(market(), folder.path().to_owned()) };
        let node = Node::start_on_nats(config, server.for_nodes(), Arc::new(WallClock)).await?;
        let town = Town::found(&node.handle(), Keys::of(node.keys()).registrar(), 2, 1_000).await;
        let (alice, bob) = (&town.buyers[0], &town.buyers[1]);
        let sender = sender(&connect(&[server.url()]).await?).await?;
        let over_nats = async |signed: Bytes| {
            let command =
                Outgoing { name: "order.place".into(), payload: signed, step_up: None, traceparent: None };
            let answer = sender.send(command, RECEIPT_WAIT_MAX).await?;
            Reply::from_json(&answer).context("an engine replies")
        };
        let (url, http) =
            (tests::http::serve(node.gateway(Arc::new(WallClock), None)).await, reqwest::Client::new());
        let over_http = async |signed: Bytes| {
            let post = http.post(format!("{url}/v1/commands")).header("content-type", "application/jose");
            anyhow::Ok(post.body(signed).send().await?.status().as_u16())
        };

        // Who names her key takes nothing from her.
        let orders: Vec<Bytes> = (0..2 * CROWD).map(|_| alice.sign(town.order(1))).collect();
        let forged = orders.iter().map(|signed| {
            let end = signed.len() - 20;
            over_nats([&signed[..end], b"AAAAAAAAAAAAAAAAAAAA"].concat().into())
        });
        for reply in join_all(forged).await {
            assert!(matches!(reply?, Reply::Refused(Refusal::SigInvalid)));
        }

        let begun = Instant::now();
        let (first, second) = orders.split_at(CROWD);
        let (replies, statuses) = tokio::join!(
            join_all(first.iter().map(|signed| over_nats(signed.clone()))),
            join_all(second.iter().map(|signed| over_http(signed.clone()))),
        );
        let (mut taken, mut turned_away) = (0, None);
        for (signed, reply) in first.iter().zip(replies) {
            match reply? {
                Reply::Receipt(_) => taken += 1,
                Reply::Refused(Refusal::RateLimited { retry_after_s }) => {
                    assert!((1..=BURST.as_secs() + 1).contains(&retry_after_s), "{retry_after_s}");
                    turned_away = Some(signed);
                }
                other => bail!("{other:?}"),
            }
        }
        for status in statuses {
            match status? {
                200 => taken += 1,
                429 => {}
                other => bail!("{other}"),
            }
        }
        // Both ways are counted together.
        let most = BURST.as_secs() + begun.elapsed().as_secs() + 1;
        assert!((BURST.as_secs()..=most).contains(&taken), "{taken} of {most}");
        assert!(matches!(over_nats(bob.sign(town.order(1))).await?, Reply::Receipt(_)), "others are heard");

        // What was turned away left the stream, and has used up neither its id nor its number.
        let stream =
            async_nats::jetstream::new(connect(&[server.url()]).await?).get_stream("CMD_main").await?;
        while stream.get_info().await?.state.messages > 0 {
            sleep(POLL_INTERVAL).await;
        }
        let turned_away = turned_away.context("a key has a limit")?;
        let decided = receipt(submit(&node.handle(), turned_away.clone()).await);
        assert!(!decided.replayed && decided.receipt.reasons.is_empty(), "{decided:?}");
        node.shutdown().await;
        Ok(())
    })
    .await
}
