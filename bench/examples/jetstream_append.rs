//! Measures appends to the log on JetStream against bare atomic batches of the same bytes.
//!
//! Needs a broker that holds nothing dear: it writes the market `bench` and deletes its stream before and after.
//!
//!     nats-server -c nats.conf
//!     cargo run --release -p bench --example jetstream_append

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_nats::{Client, HeaderMap, jetstream};
use clap::Parser;
use engine::log::jetstream::JetStreamLog;
use engine::log::{EVENTS_PER_APPEND_MAX, EventLog};
use events::commit::Seal;
use events::ids::{AccountId, CommandId, CommitId, DeviceId, KeyId, MarketName, Nonce, WriterId};
use events::metadata::{Cause, CommandStamp};
use events::{Commit, Event, Hash, Head, Timestamp, wire};
use hdrhistogram::Histogram;
use uuid::Uuid;

/// Appends made and not counted before each measurement.
const WARM_UP: usize = 5;

/// Longest append that the histogram can hold, in microseconds.
const LATENCY_US_MAX: u64 = 60_000_000;

#[derive(Parser)]
struct Arguments {
    /// The broker.
    #[arg(long, default_value = "nats://127.0.0.1:4222")]
    server: String,
    /// Copies of the stream.
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// Full groups to append.
    #[arg(long, default_value_t = 100)]
    groups: usize,
    /// Single events to append.
    #[arg(long, default_value_t = 1000)]
    singles: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let client = async_nats::connect(&arguments.server).await?;
    let context = jetstream::new(client.clone());
    let stream = wire::event_stream(&market()?);
    // There is none at the first run.
    let _ = context.delete_stream(&stream).await;
    let log = JetStreamLog::open(client.clone(), market()?, arguments.replicas).await?;
    let mut out = std::io::stdout().lock();

    let mut head = Head::EMPTY;
    let groups = prepare(&mut head, arguments.groups + WARM_UP, EVENTS_PER_APPEND_MAX)?;
    let bytes: usize = groups[0].iter().flat_map(|commit| commit.events()).map(size).sum();
    writeln!(out, "{} bytes an event, headers included", bytes / EVENTS_PER_APPEND_MAX)?;
    let ours = measure(&log, Head::EMPTY, &groups).await?;
    report(&mut out, "append of 1000 events", &ours, EVENTS_PER_APPEND_MAX)?;

    let singles = prepare(&mut head, arguments.singles + WARM_UP, 1)?;
    let one = measure(&log, groups.last().and_then(|g| g.last()).context("groups")?.head(), &singles).await?;
    report(&mut out, "append of 1 event", &one, 1)?;

    let raw = measure_raw(&client, &groups).await?;
    report(&mut out, "bare batch of 1000", &raw, EVENTS_PER_APPEND_MAX)?;
    context.delete_stream(&stream).await?;
    Ok(())
}

fn market() -> Result<MarketName> {
    Ok("bench".parse()?)
}

/// Makes groups of commits of one event each, with a signed command in front.
fn prepare(head: &mut Head, groups: usize, size: usize) -> Result<Vec<Vec<Arc<Commit>>>> {
    let writer = WriterId::from_uuid(Uuid::from_u128(9));
    let time = Timestamp::from_ms(1_753_783_200_000);
    let market = market()?;
    let mut next = || {
        let stamp = CommandStamp {
            account: AccountId::from_uuid(Uuid::from_u128(1)),
            command: CommandId::from_uuid(Uuid::from_u128(head.position.into())),
            device: DeviceId::from_uuid(Uuid::from_u128(3)),
            fingerprint: Hash::of(b"wish"),
            key: KeyId([1; 32]),
            name: "order.place".into(),
            nonce: Nonce([2; 16]),
            seq: head.position,
            signed: "x".repeat(300),
        };
        let cause = Cause::Command(Box::new(stamp));
        let id = CommitId::derive(writer, head.position, time);
        let seal = Seal { id, market: market.clone(), time, cause, traceparent: None };
        let account = AccountId::from_uuid(Uuid::from_u128(head.position.into()));
        let event = Event::from(events::account::Registered {
            account,
            roles: [events::account::Role::Buyer].into(),
        });
        let commit = Commit::seal(*head, seal, vec![event]);
        *head = commit.head();
        Arc::new(commit)
    };
    Ok((0..groups).map(|_| (0..size).map(|_| next()).collect()).collect())
}

fn size(event: &events::Recorded) -> usize {
    let headers = wire::to_headers(&event.metadata);
    event.payload_json.len() + headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>()
}

async fn measure(log: &JetStreamLog, mut head: Head, groups: &[Vec<Arc<Commit>>]) -> Result<Histogram<u64>> {
    let mut latencies = Histogram::new_with_max(LATENCY_US_MAX, 3)?;
    for (n, group) in groups.iter().enumerate() {
        let begin = Instant::now();
        log.append(head, group).await?;
        if n >= WARM_UP {
            latencies.record(begin.elapsed().as_micros() as u64)?;
        }
        head = group.last().context("a group is not empty")?.head();
    }
    Ok(latencies)
}

/// Publishes the same bytes with headers made beforehand: what the broker and the connection alone need.
async fn measure_raw(client: &Client, groups: &[Vec<Arc<Commit>>]) -> Result<Histogram<u64>> {
    let context = jetstream::new(client.clone());
    let mut stream = context.get_stream(wire::event_stream(&market()?)).await?.cached_info().config.clone();
    context.delete_stream(&stream.name).await?;
    stream.description = None;
    context.create_stream(stream).await?;
    let mut latencies = Histogram::new_with_max(LATENCY_US_MAX, 3)?;
    for (n, group) in groups.iter().enumerate() {
        let mut messages = raw_messages(group, n)?;
        let (subject, headers, payload) = messages.pop().context("a group is not empty")?;
        let begin = Instant::now();
        for (subject, headers, payload) in messages {
            client.publish_with_headers(subject, headers, payload).await?;
        }
        let answer = client.request_with_headers(subject, headers, payload).await?;
        let elapsed = begin.elapsed();
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload)?;
        ensure!(answer["error"].is_null(), "{answer}");
        if n >= WARM_UP {
            latencies.record(elapsed.as_micros() as u64)?;
        }
    }
    Ok(latencies)
}

type RawMessage = (String, HeaderMap, bytes::Bytes);

fn raw_messages(group: &[Arc<Commit>], batch: usize) -> Result<Vec<RawMessage>> {
    let events: Vec<_> = group.iter().flat_map(|commit| commit.events()).collect();
    let market = market()?;
    let messages = events.iter().enumerate().map(|(n, event)| {
        let mut headers = HeaderMap::new();
        for (name, value) in wire::to_headers(&event.metadata) {
            headers.insert(name, value);
        }
        headers.insert("Nats-Batch-Id", format!("raw-{batch}"));
        headers.insert("Nats-Batch-Sequence", (n + 1).to_string());
        if n + 1 == events.len() {
            headers.insert("Nats-Batch-Commit", "1");
        }
        let subject = wire::event_subject(&market, &event.metadata.type_name);
        (subject, headers, event.payload_json.clone().into())
    });
    Ok(messages.collect())
}

fn report(out: &mut impl Write, what: &str, latencies: &Histogram<u64>, events: usize) -> Result<()> {
    let total_us: u64 = latencies.iter_recorded().map(|v| v.value_iterated_to() * v.count_at_value()).sum();
    let per_second = latencies.len() * events as u64 * 1_000_000 / total_us.max(1);
    let at = |quantile| Duration::from_micros(latencies.value_at_quantile(quantile));
    writeln!(out, "{what}: {per_second} events/s, p50 {:?}, p99 {:?}", at(0.5), at(0.99))?;
    Ok(())
}
