//! The log on a JetStream that is full: batches are stored whole or not at all, and what else happened is told.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use async_nats::jetstream::{self, stream};
use engine::log::jetstream::{JetStreamLog, StreamOptions};
use engine::log::{AppendError, EventLog, ReadError};
use events::{Commit, Head, wire};
use futures::StreamExt;
use tests::forge::publish;
use tests::log_contract::{commits, head_of, market, read_all};
use tests::nats::{NatsCluster, NatsServer, connect};

/// Bytes that the full streams of these tests may have.
const MAX_BYTES: u64 = 300_000;
/// Appends that such a stream can't hold.
const APPENDS_MAX: usize = 2_000;

async fn open(urls: &[String], options: StreamOptions) -> Result<Arc<dyn EventLog>> {
    Ok(Arc::new(JetStreamLog::open(connect(urls).await?, market(), options).await?))
}

/// Appends batches of so many events until one is refused; gives what was acknowledged, and the batch that was not.
async fn fill(
    log: &dyn EventLog,
    events: usize,
    ahead: bool,
) -> Result<(Vec<Arc<Commit>>, Vec<Arc<Commit>>)> {
    let mut stored = Vec::new();
    for _ in 0..APPENDS_MAX {
        let sizes: Vec<_> = [events / 2, events - events / 2].into_iter().filter(|size| *size > 0).collect();
        let head = stored.last().map_or(Head::EMPTY, |commit: &Arc<Commit>| commit.head());
        let group = commits(head, &sizes);
        if ahead {
            log.prepare(head, &group[..1]).await;
        }
        match log.append(head, &group).await {
            Ok(()) => stored.extend(group),
            Err(AppendError::Failed(error)) => {
                ensure!(error.to_string().contains("maximum bytes"), "{error}");
                return Ok((stored, group));
            }
            Err(error) => bail!(error),
        }
    }
    bail!("the stream is never full")
}

/// Fills streams by batches of several sizes, and looks what is in them.
async fn check_whole_batches(urls: &[String], replicas: usize) -> Result<()> {
    let context = jetstream::new(connect(urls).await?);
    let options = StreamOptions { replicas, max_bytes: Some(MAX_BYTES) };
    for (events, ahead) in [(1, false), (2, false), (5, true), (40, false), (150, true), (800, false)] {
        let log = open(urls, options).await?;
        let (mut stored, refused) = fill(log.as_ref(), events, ahead).await?;
        ensure!(events > 150 || !stored.is_empty(), "there was room for some of {events} events");
        // Whoever opens it next finds what was acknowledged and no more.
        let log = open(urls, options).await?;
        assert_eq!(log.head().await?, head_of(&stored), "batches of {events}");
        assert_eq!(read_all(&log, 1).await?, stored, "batches of {events}");
        let name = wire::event_stream(&market());
        let config = context.get_stream(&name).await?.cached_info().config.clone();
        context.update_stream(stream::Config { max_bytes: -1, ..config }).await?;
        log.append(head_of(&stored), &refused).await?;
        stored.extend(refused);
        assert_eq!(read_all(&log, 1).await?, stored, "with room it goes on");
        context.delete_stream(&name).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_full_stream_refuses_batches_of_every_size_whole() -> Result<()> {
    let server = NatsServer::start().await?;
    check_whole_batches(&[server.url()], 1).await
}

#[tokio::test]
async fn a_full_stream_on_three_brokers_refuses_batches_of_every_size_whole() -> Result<()> {
    let cluster = NatsCluster::start().await?;
    check_whole_batches(&cluster.urls(), 3).await
}

#[tokio::test]
async fn a_stream_that_could_fill_its_store_is_told_apart() -> Result<()> {
    let account = "accounts { A { jetstream { max_file: 50000000 }, users: [ { user: a, password: a } ] } }
        no_auth_user: a";
    let (plain, limited) = (NatsServer::start().await?, NatsServer::start_with(account, &[]).await?);
    let could_fill = async |server: &NatsServer, max_bytes: Option<u64>, monitor: Option<&str>| {
        let client = connect(&[server.url()]).await?;
        let options = StreamOptions { replicas: 1, max_bytes };
        let log = JetStreamLog::open(client.clone(), market(), options).await?;
        let store = log.store_it_could_fill(monitor).await?;
        jetstream::new(client).delete_stream(wire::event_stream(&market())).await?;
        anyhow::Ok(store)
    };
    let monitor = plain.monitor_url();
    ensure!(
        could_fill(&plain, None, Some(&monitor)).await?.context("nats.conf has a limit")? > 1_000_000_000
    );
    assert_eq!(could_fill(&plain, None, None).await?, None, "nobody told");
    assert_eq!(could_fill(&plain, Some(MAX_BYTES), Some(&monitor)).await?, None);
    assert_eq!(could_fill(&limited, None, None).await?, Some(50_000_000));
    assert_eq!(could_fill(&limited, None, Some(&limited.monitor_url())).await?, Some(50_000_000));
    assert_eq!(could_fill(&limited, Some(MAX_BYTES), None).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_log_that_ends_inside_a_commit_names_it_and_says_what_to_do() -> Result<()> {
    let server = NatsServer::start().await?;
    let log = open(&[server.url()], StreamOptions::replicas(1)).await?;
    let all = commits(Head::EMPTY, &[2, 3, 1]);
    let context = jetstream::new(connect(&[server.url()]).await?);
    let publish_some = async |commit: &Commit, from: usize, to: usize| -> Result<()> {
        for event in &commit.events()[from..to] {
            publish(&context, event).await?;
        }
        Ok(())
    };
    publish_some(&all[0], 0, 2).await?;
    publish_some(&all[1], 0, 2).await?;

    let mut read = log.read(1);
    assert_eq!(read.next().await.transpose()?.as_ref(), Some(&all[0]));
    for error in [read.next().await.context("it goes on")?.err(), log.head().await.err()] {
        let error = error.context("it ends inside a commit")?;
        ensure!(matches!(&error, ReadError::Unfinished { first: 3, end: 4, .. }), "{error:?}");
        let told = error.to_string();
        ensure!(told.contains("EVT_main") && told.contains("skylink replay --into"), "{told}");
    }
    ensure!(read.next().await.is_none());
    // Were it not the end, the commit would be damage.
    publish_some(&all[2], 0, 1).await?;
    let error = read_all(&log, 1).await.err().context("it is damaged")?;
    ensure!(!matches!(error, ReadError::Unfinished { .. }), "{error:?}");
    Ok(())
}
