//! The log on JetStream where brokers die, hang and disagree: nothing acknowledged is lost, nothing is stored twice.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use async_nats::jetstream::{self, stream};
use engine::log::jetstream::{Durability, JetStreamLog, OpenError, StreamOptions, durability};
use engine::log::{AppendError, EventLog, ReadError};
use events::account::{Registered, Role};
use events::commit::Seal;
use events::ids::{AccountId, CommandId, CommitId, DeviceId, KeyId, Nonce, WriterId};
use events::metadata::{Cause, CommandStamp};
use events::{Commit, Event, Hash, Head, Timestamp, wire};
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt};
use tests::forge::{headers_of, publish};
use tests::log_contract::{append, commit_by, market};
use tests::nats::{NatsCluster, NatsServer, connect};
use tokio::time::timeout;
use uuid::Uuid;

/// How long any one test may take; the slowest, which elects a leader, needs about 20 s.
const TEST_TIME_MAX: Duration = Duration::from_secs(120);

/// Commits that a writer makes in the tests where its broker dies under it.
const COMMITS_PER_RUN: u64 = 300;

/// Logs that are made while one of three brokers is silent: enough that it is to lead some of them.
const NEW_LOGS: usize = 8;

/// Tells the writers of this process apart, and the commits that they make.
static WRITERS: AtomicU64 = AtomicU64::new(1);

async fn open(urls: &[String], replicas: usize) -> Result<JetStreamLog> {
    Ok(JetStreamLog::open(connect(urls).await?, market(), StreamOptions::replicas(replicas)).await?)
}

async fn bounded<T>(test: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(TEST_TIME_MAX, test).await.context("the test took too long")?
}

/// Makes commits of its own, each with its number in it.
struct Writer {
    id: WriterId,
    made: u64,
}

impl Writer {
    fn new() -> Self {
        let n = WRITERS.fetch_add(1, Ordering::Relaxed);
        Self { id: WriterId::from_uuid(Uuid::from_u128(n.into())), made: 0 }
    }

    fn commit(&mut self, head: Head, events: usize) -> Arc<Commit> {
        self.commit_for(head, events, Cause::Writer(self.id))
    }

    fn commit_for(&mut self, head: Head, events: usize, cause: Cause) -> Arc<Commit> {
        self.made += 1;
        let time = Timestamp::from_ms(1_753_783_200_000);
        let id = CommitId::derive(self.id, self.made, time);
        let seal = Seal { id, market: market(), time, cause, traceparent: None };
        let registered = (0..events).map(|n| {
            let account = AccountId::from_uuid(Uuid::from_u128(n as u128 + 1));
            Event::from(Registered { account, roles: [Role::Buyer].into() })
        });
        Arc::new(Commit::seal(head, seal, registered.collect()))
    }

    /// Makes commits of `sizes` that follow each other.
    fn group(&mut self, mut head: Head, sizes: &[usize]) -> Vec<Arc<Commit>> {
        let mut group = Vec::new();
        for &size in sizes {
            let commit = self.commit(head, size);
            head = commit.head();
            group.push(commit);
        }
        group
    }
}

async fn read_all(log: &JetStreamLog) -> Result<Vec<Arc<Commit>>> {
    Ok(log.read(1).try_collect().await?)
}

/// Appends groups of one to three commits until `COMMITS_PER_RUN`, telling how many are acknowledged.
async fn write_run(
    log: &JetStreamLog,
    acknowledged: &tokio::sync::watch::Sender<u64>,
) -> Result<Vec<Arc<Commit>>> {
    let mut writer = Writer::new();
    let mut written: Vec<Arc<Commit>> = Vec::new();
    let mut head = log.head().await?;
    while (written.len() as u64) < COMMITS_PER_RUN {
        let sizes: &[usize] = [&[1][..], &[3], &[2, 1, 5]][written.len() % 3];
        let group = writer.group(head, sizes);
        append(log, head, &group).await?;
        head = group.last().context("a group is not empty")?.head();
        written.extend(group);
        acknowledged.send_replace(written.len() as u64);
    }
    Ok(written)
}

#[tokio::test]
async fn commits_are_read_back_bit_for_bit_from_every_beginning() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let log = open(&[server.url()], 1).await?;
        assert_eq!(log.head().await?, Head::EMPTY);
        assert!(read_all(&log).await?.is_empty());

        let mut writer = Writer::new();
        let first = writer.group(Head::EMPTY, &[1]);
        let second = writer.group(first[0].head(), &[400, 400, 200]);
        log.append(Head::EMPTY, &first).await?;
        log.append(first[0].head(), &second).await?;
        let head = second[2].head();
        assert_eq!(head.position, 1001);

        // A process that has not written it itself reads the same.
        let reader = open(&[server.url()], 1).await?;
        assert_eq!(reader.head().await?, head);
        let all: Vec<_> = first.iter().chain(&second).cloned().collect();
        assert_eq!(read_all(&reader).await?, all);
        let from_third: Vec<_> = reader.read(second[1].first_position()).try_collect().await?;
        assert_eq!(from_third, second[1..]);
        assert!(reader.read(1002).try_next().await?.is_none());
        let beyond = reader.read(1003).try_next().await;
        assert!(matches!(beyond, Err(ReadError::Beyond { from: 1003, head: 1001 })), "{beyond:?}");
        for inside in [0, 3, 1001] {
            let error = reader.read(inside).try_next().await;
            assert!(matches!(error, Err(ReadError::NotACommit { from }) if from == inside), "{error:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_event_with_the_largest_signed_command_is_read_back() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let log = open(&[server.url()], 1).await?;
        let stamp = CommandStamp {
            account: AccountId::from_uuid(Uuid::from_u128(1)),
            command: CommandId::from_uuid(Uuid::from_u128(2)),
            device: DeviceId::from_uuid(Uuid::from_u128(3)),
            fingerprint: Hash::of(b"wish"),
            key: KeyId([1; 32]),
            name: "order.place".into(),
            nonce: Nonce([2; 16]),
            seq: 1,
            // 32 KiB of JSON, which becomes a third more in a header.
            signed: format!("{{{}}}", "é\"".repeat(32 * 1024 / 3)),
            step_up: None,
        };
        let commit = Writer::new().commit_for(Head::EMPTY, 2, Cause::Command(Box::new(stamp)));
        log.append(Head::EMPTY, std::slice::from_ref(&commit)).await?;
        assert_eq!(read_all(&log).await?, [commit]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_second_writer_is_fenced_and_so_is_one_with_another_history() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let (one, two) = (open(&[server.url()], 1).await?, open(&[server.url()], 1).await?);
        let first = Writer::new().group(Head::EMPTY, &[1]);
        one.append(Head::EMPTY, &first).await?;
        let head = first[0].head();
        assert_eq!(two.head().await?, head);
        let ours = Writer::new().group(head, &[2]);
        one.append(head, &ours).await?;

        for size in [1, 3] {
            let late = two.append(head, &Writer::new().group(head, &[size])).await;
            assert!(matches!(late, Err(AppendError::Conflict { expected: 1 })), "{late:?}");
        }
        let elsewhere = Head { position: 3, hash: Hash::of(b"another history") };
        let forked = one.append(elsewhere, &Writer::new().group(elsewhere, &[1])).await;
        assert!(matches!(forked, Err(AppendError::Conflict { expected: 3 })), "{forked:?}");
        let ahead = Head { position: 9, hash: Hash::of(b"a future") };
        let early = one.append(ahead, &Writer::new().group(ahead, &[1])).await;
        assert!(matches!(early, Err(AppendError::Conflict { expected: 9 })), "{early:?}");
        assert_eq!(read_all(&two).await?.len(), 2);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_batch_that_a_dead_writer_left_open_is_neither_seen_nor_in_the_way() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let log = open(&[server.url()], 1).await?;
        let dead = connect(&[server.url()]).await?;
        let group = Writer::new().group(Head::EMPTY, &[3]);
        let mut headers = headers_of(&group[0].events()[0]);
        headers.insert("Nats-Batch-Id", "left-open");
        headers.insert("Nats-Batch-Sequence", "1");
        headers.insert("Nats-Expected-Last-Sequence", "0");
        let subject = wire::event_subject(&market(), "account.registered.v1");
        // The first message of a batch is answered with nothing when it is staged.
        let staged = dead.request_with_headers(subject, headers, "{}".into()).await?;
        assert!(staged.payload.is_empty(), "{staged:?}");
        drop(dead);

        assert_eq!(log.head().await?, Head::EMPTY);
        log.append(Head::EMPTY, &group).await?;
        assert_eq!(read_all(&log).await?, group);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_follower_sees_each_commit_once_over_a_crash_of_the_broker() -> Result<()> {
    bounded(async {
        let mut server = NatsServer::start().await?;
        let log = open(&[server.url()], 1).await?;
        let follower = open(&[server.url()], 1).await?.follow(1).take(COMMITS_PER_RUN as usize);
        let following = tokio::spawn(follower.try_collect::<Vec<_>>());
        let (acknowledged, mut progress) = tokio::sync::watch::channel(0);
        let writing = tokio::spawn(async move {
            let written = write_run(&log, &acknowledged).await?;
            anyhow::Ok((log, written))
        });
        for crash_after in [COMMITS_PER_RUN / 4, COMMITS_PER_RUN / 2] {
            progress.wait_for(|&done| done >= crash_after).await?;
            server.kill()?;
            server.restart().await?;
        }
        let (log, written) = writing.await??;
        assert_eq!(read_all(&log).await?, written);
        assert_eq!(following.await??, written[..COMMITS_PER_RUN as usize]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_append_to_a_hung_broker_is_unknown_and_its_repeat_stores_nothing_twice() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let log = open(&[server.url()], 1).await?;
        let mut writer = Writer::new();
        let mut head = Head::EMPTY;
        let mut written = Vec::new();
        for sizes in [&[1][..], &[2, 3]] {
            let group = writer.group(head, sizes);
            // It must know the head, or it would ask the hung broker for it and never send.
            assert_eq!(log.head().await?, head);
            server.pause()?;
            let hung = log.append(head, &group).await;
            server.resume()?;
            assert!(matches!(hung, Err(AppendError::Unknown(_))), "{hung:?}");
            match append(&log, head, &group).await {
                // The hung broker had taken it, or had not; the log itself tells below.
                Ok(()) | Err(AppendError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            // Known means that no later repeat can be stored.
            let again = log.append(head, &group).await;
            assert!(matches!(again, Err(AppendError::Conflict { .. })), "{again:?}");
            head = group.last().context("a group is not empty")?.head();
            written.extend(group);
        }
        assert_eq!(read_all(&log).await?, written);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_death_of_a_leader_loses_nothing_and_doubles_nothing() -> Result<()> {
    bounded(async {
        let mut cluster = NatsCluster::start().await?;
        let log = open(&cluster.urls(), 3).await?;
        let follower = open(&cluster.urls(), 3).await?.follow(1).take(COMMITS_PER_RUN as usize);
        let following = tokio::spawn(follower.try_collect::<Vec<_>>());
        let (acknowledged, mut progress) = tokio::sync::watch::channel(0);
        let writing = tokio::spawn(async move {
            let written = write_run(&log, &acknowledged).await?;
            anyhow::Ok((log, written))
        });
        progress.wait_for(|&done| done >= COMMITS_PER_RUN / 3).await?;
        let leader = cluster.stream_leader("EVT_main").await?;
        cluster.node_mut(leader).kill()?;
        let (log, written) = writing.await??;
        assert_eq!(read_all(&log).await?, written);
        assert_eq!(following.await??, written[..COMMITS_PER_RUN as usize]);
        cluster.node_mut(leader).restart().await?;
        assert_eq!(log.head().await?, written.last().context("commits were written")?.head());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_new_log_waits_until_its_copies_have_a_leader() -> Result<()> {
    bounded(async {
        let cluster = NatsCluster::start().await?;
        let leader = cluster.leader().await?;
        // The broker lets one copy of a new stream ask for votes at once. Where that is the silent one, the others wait
        // for it before they elect among themselves.
        let silent = (leader + 1) % cluster.nodes().len();
        cluster.nodes()[silent].pause()?;
        let client = connect(&[cluster.nodes()[leader].url()]).await?;
        let opened = (0..NEW_LOGS).map(|n| {
            let client = client.clone();
            async move {
                let market = format!("new-{n}").parse()?;
                let log = JetStreamLog::open(client, market, StreamOptions::replicas(3)).await?;
                anyhow::Ok(log.head().await?)
            }
        });
        assert_eq!(join_all(opened).await.into_iter().collect::<Result<Vec<_>>>()?, [Head::EMPTY; NEW_LOGS]);
        cluster.nodes()[silent].resume()
    })
    .await
}

fn fit_config() -> stream::Config {
    stream::Config {
        name: wire::event_stream(&market()),
        subjects: vec![wire::event_subjects(&market())],
        discard: stream::DiscardPolicy::New,
        deny_delete: true,
        deny_purge: true,
        allow_atomic_publish: true,
        ..stream::Config::default()
    }
}

#[tokio::test]
async fn a_stream_that_could_not_keep_the_logs_promises_is_refused_by_name_of_the_setting() -> Result<()> {
    type Spoil = fn(&mut stream::Config);
    let spoilt: [(&str, Spoil); 7] = [
        ("subjects", |c| c.subjects.push("other.>".into())),
        ("storage", |c| c.storage = stream::StorageType::Memory),
        ("discard", |c| c.discard = stream::DiscardPolicy::Old),
        ("deny_delete", |c| c.deny_delete = false),
        ("allow_atomic", |c| c.allow_atomic_publish = false),
        ("max_age", |c| c.max_age = Duration::from_secs(3600)),
        ("max_msgs", |c| c.max_messages = 1_000_000),
    ];
    bounded(async {
        for (field, spoil) in spoilt {
            // A server removes a stream's files after it has answered: one of the same name may be refused until then.
            let server = NatsServer::start().await?;
            let client = connect(&[server.url()]).await?;
            let mut config = fit_config();
            spoil(&mut config);
            jetstream::new(client.clone()).create_stream(config).await?;
            match JetStreamLog::open(client, market(), StreamOptions::replicas(1)).await {
                Err(OpenError::Unfit { source, .. }) => assert_eq!(source.field, field),
                other => bail!("{field}: {other:?}"),
            }
        }
        let server = NatsServer::start().await?;
        let client = connect(&[server.url()]).await?;
        let context = jetstream::new(client.clone());
        context.create_stream(fit_config()).await?;
        match JetStreamLog::open(client.clone(), market(), StreamOptions::replicas(3)).await {
            Err(OpenError::Unfit { source, .. }) => assert_eq!(source.field, "num_replicas"),
            other => bail!("{other:?}"),
        }
        JetStreamLog::open(client, market(), StreamOptions::replicas(1)).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_is_no_event_is_reported_as_damage_at_its_sequence() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let log = open(&[server.url()], 1).await?;
        let group = Writer::new().group(Head::EMPTY, &[2]);
        log.append(Head::EMPTY, &group).await?;
        let context = jetstream::new(connect(&[server.url()]).await?);
        context.publish("evt.main.account.registered", "{}".into()).await?.await?;

        let mut commits = log.read(1);
        assert_eq!(commits.try_next().await?, Some(group[0].clone()));
        let Some(Err(ReadError::Damaged { place, .. })) = commits.next().await else { bail!("not damaged") };
        assert_eq!(place, "stream EVT_main, sequence 3");
        assert!(commits.next().await.is_none());
        assert!(matches!(log.head().await, Err(ReadError::Damaged { .. })));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_reader_makes_no_stream_and_writes_nothing() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let urls = [server.url()];
        let client = connect(&urls).await?;
        let missing = JetStreamLog::open_reader(client.clone(), market()).await;
        ensure!(matches!(missing, Err(OpenError::NoLog { .. })), "{missing:?}");
        ensure!(jetstream::new(client.clone()).get_stream(wire::event_stream(&market())).await.is_err());

        let writer = open(&urls, 1).await?;
        let reader = JetStreamLog::open_reader(client, market()).await?;
        let first = commit_by(1, Head::EMPTY, 2);
        let refused = reader.append(Head::EMPTY, std::slice::from_ref(&first)).await;
        ensure!(matches!(refused, Err(AppendError::Failed(_))), "{refused:?}");
        writer.append(Head::EMPTY, std::slice::from_ref(&first)).await?;
        assert_eq!(reader.head().await?, first.head());
        let read: Vec<_> = reader.read(1).try_collect().await?;
        assert_eq!(read, [first]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_missing_message_is_reported_as_damage_at_its_sequence() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let client = connect(&[server.url()]).await?;
        let context = jetstream::new(client.clone());
        let careless = stream::Config { deny_delete: false, ..fit_config() };
        let stream = context.create_stream(careless).await?;
        let group = Writer::new().group(Head::EMPTY, &[1, 2, 2]);
        for event in group.iter().flat_map(|commit| commit.events()) {
            publish(&context, event).await?;
        }
        let log_is_sound = async || {
            let log = JetStreamLog::open(client.clone(), market(), StreamOptions::replicas(1)).await?;
            anyhow::Ok(read_all(&log).await)
        };
        stream.delete_message(3).await?;
        context.update_stream(fit_config()).await?;
        let error = log_is_sound().await?.unwrap_err();
        let Some(ReadError::Damaged { place, .. }) = error.downcast_ref() else { bail!("{error:#}") };
        assert_eq!(place, "stream EVT_main, sequence 3");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_log_whose_stream_was_deleted_stops_its_writer() -> Result<()> {
    bounded(async {
        let server = NatsServer::start().await?;
        let log = open(&[server.url()], 1).await?;
        let group = Writer::new().group(Head::EMPTY, &[2]);
        log.append(Head::EMPTY, &group).await?;
        let context = jetstream::new(connect(&[server.url()]).await?);
        context.delete_stream("EVT_main").await?;
        let next = Writer::new().group(group[0].head(), &[2]);
        let outcome = log.append(group[0].head(), &next).await;
        assert!(matches!(outcome, Err(AppendError::Failed(_))), "{outcome:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_broker_says_what_its_acknowledgement_is_worth() -> Result<()> {
    bounded(async {
        let synced = NatsServer::start().await?;
        assert_eq!(durability(Some(&synced.monitor_url())).await, Durability::Synced);
        let lazy =
            NatsServer::start_with("jetstream { store_dir: \"./data\", sync_interval: 90s }", &[]).await?;
        let sync_interval = Duration::from_secs(90);
        assert_eq!(durability(Some(&lazy.monitor_url())).await, Durability::NotSynced { sync_interval });
        assert_eq!(durability(None).await, Durability::Unknown);
        drop(lazy);
        Ok(())
    })
    .await
}
