//! Commands over a real broker: delivered until acknowledged, to one engine at a time, answered only where allowed.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use async_nats::HeaderMap;
use bytes::Bytes;
use engine::nats_commands::{
    CommandMessage, CommandSource, Inbox, Outgoing, Ownership, RECEIPT_TO, ReceiptSender, SendError,
    send_command,
};
use events::ids::CommandId;
use tests::log_contract::market;
use tests::nats::{NatsCluster, NatsServer, connect};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

/// How long any one test may take; the slowest waits until a pin has timed out.
const TEST_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a receipt is waited for that will come.
const RECEIPT_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a receipt is waited for that will not come.
const NO_RECEIPT_WAIT: Duration = Duration::from_millis(300);

const POLL_INTERVAL: Duration = Duration::from_millis(20);

async fn bounded<T>(test: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(TEST_TIME_MAX, test).await.context("the test took too long")?
}

fn order(n: u128) -> Outgoing {
    Outgoing {
        name: "order.place".into(),
        command: CommandId::from_uuid(Uuid::from_u128(n)),
        payload: format!("command {n}").into(),
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
        let id = CommandId::from_uuid(Uuid::from_u128(number));
        receipts.send_receipt(id, command.reply_to.as_ref(), command.payload.clone()).await?;
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
    for n in 1..=3 {
        let receipt = send_command(&gateway, &market(), order(n), RECEIPT_WAIT_MAX).await;
        let receipt = receipt.with_context(|| format!("command {n}"))?;
        assert_eq!(receipt, format!("command {n}"));
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
        let nowhere = send_command(&gateway, &market(), order(1), RECEIPT_WAIT_MAX).await;
        assert!(matches!(nowhere, Err(SendError::Unavailable(_))), "{nowhere:?}");

        drop(CommandSource::open(connect(&urls).await?, market(), 1).await?);
        let unanswered = send_command(&gateway, &market(), order(1), NO_RECEIPT_WAIT).await;
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
        let gateway = connect(&urls).await?;
        for n in 1..=20 {
            let sent = send_command(&gateway, &market(), order(n), Duration::from_millis(20)).await;
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
        let gateway = connect(&urls).await?;
        let sent = send_command(&gateway, &market(), order(1), NO_RECEIPT_WAIT).await;
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
        let large = Outgoing { payload: vec![b'x'; 65 * 1024].into(), ..order(1) };
        let refused = send_command(&gateway, &market(), large, RECEIPT_WAIT_MAX).await;
        assert!(matches!(refused, Err(SendError::TooLarge)), "{refused:?}");

        let filling = Bytes::from(vec![b'x'; 60 * 1024]);
        let context = async_nats::jetstream::new(gateway.clone());
        let deadline = Instant::now() + RECEIPT_WAIT_MAX;
        loop {
            ensure!(Instant::now() < deadline, "the buffer has no bound");
            let sent =
                futures::future::join_all((0..100).map(|_| async {
                    context.publish("cmd.main.order.place", filling.clone()).await?.await
                }))
                .await;
            if sent.iter().any(Result::is_err) {
                break;
            }
        }
        let large = Outgoing { payload: filling, ..order(1) };
        let refused = send_command(&gateway, &market(), large, RECEIPT_WAIT_MAX).await;
        assert!(matches!(refused, Err(SendError::Busy)), "{refused:?}");
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
        for name in ["engine.probe", "order.*", "order place", "", "order.", "order\r\n.place"] {
            let named = Outgoing { name: name.into(), ..order(1) };
            let refused = send_command(&client, &market(), named, RECEIPT_WAIT_MAX).await;
            if !matches!(refused, Err(SendError::NoSuchCommand)) {
                bail!("{name}: {refused:?}");
            }
        }
        Ok(())
    })
    .await
}
