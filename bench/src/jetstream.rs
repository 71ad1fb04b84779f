//! The whole pipeline over NATS: commands through the command stream, the log on JetStream, receipts to an inbox; and
//! what the broker alone could do with the same events.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use async_nats::{Client, HeaderMap, jetstream};
use bytes::Bytes;
use commands::receipt::{Receipt, ReceiptVerifier};
use engine::clock::WallClock;
use engine::log::EVENTS_PER_APPEND_MAX;
use engine::nats_commands::RECEIPT_TO;
use events::ids::MarketName;
use events::{Recorded, wire};
use futures::StreamExt;
use gateway::node::{NatsConfig, Node, NodeConfig, RECEIPT_KEY};
use serde::Serialize;

use crate::broker::Broker;
use crate::load::{self, IN_FLIGHT_MAX, Seen};
use crate::segment::{Plan, found};
use crate::workload::Town;

/// How long a receipt may take before the run counts as failed.
const RECEIPT_MAX: Duration = Duration::from_secs(30);
/// Batches of the ceiling that are not counted.
const WARM_UP: usize = 5;

/// What was measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figures {
    /// Orders per second, from the first send to the last checked receipt.
    pub orders_per_s: f64,
    /// Orders per second that bare atomic batches of 1,000 of the same events would carry.
    pub ceiling_orders_per_s: f64,
    /// The first over the second.
    pub ceiling_ratio: f64,
    /// Median latency of the steady load.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Orders that were accepted.
    pub accepted: usize,
    /// Orders that were sent.
    pub sent: usize,
}

/// Runs the plan on a new market, with a broker of its own.
pub async fn run(dir: &Path, nats_server: &Path, plan: Plan) -> anyhow::Result<Figures> {
    let broker = Broker::start(nats_server, &dir.join("broker")).await?;
    let config = NodeConfig::new("bench".parse()?, dir.join("node"));
    let market = config.market.clone();
    let town = Arc::new(Town::new(&market, plan.algorithm, plan.buyers, plan.listings, 1));
    let monitor_url = Some(broker.monitor_url.clone());
    let nats = NatsConfig { url: broker.url.clone(), replicas: 1, log_bytes: None, monitor_url };
    let node = Node::start_on_nats(config, nats, Arc::new(WallClock)).await?;
    let mut verifier = ReceiptVerifier::new(&node.keys().get(RECEIPT_KEY)?.public())?;
    found(&node, &town, &mut verifier).await?;

    let client = async_nats::connect(&broker.url).await?;
    let steady = town.orders((plan.steady_per_second * plan.steady_s) as usize, 2);
    let steady = steady.into_iter().map(|order| order.bytes).collect();
    let calm = send(&client, &market, &mut verifier, steady, Some(plan.steady_per_second)).await?;

    let orders = town.orders(plan.orders, 3);
    let orders = orders.into_iter().map(|order| order.bytes).collect();
    let full = send(&client, &market, &mut verifier, orders, None).await?;

    let (events, events_per_order) = written(&node, calm.position, full.position, full.receipts).await?;
    node.shutdown().await;
    let ceiling = ceiling_events_per_s(&client, &market, &events).await? / events_per_order;
    Ok(Figures {
        orders_per_s: full.per_second(),
        ceiling_orders_per_s: ceiling,
        ceiling_ratio: full.per_second() / ceiling,
        p50_ms: calm.latency_ms(0.5),
        p99_ms: calm.latency_ms(0.99),
        accepted: full.accepted,
        sent: full.receipts,
    })
}

/// Publishes commands and checks the receipts that come to the inbox; at a steady rate, or as fast as they are taken.
async fn send(
    client: &Client,
    market: &MarketName,
    verifier: &mut ReceiptVerifier,
    commands: Vec<Bytes>,
    per_second: Option<u32>,
) -> anyhow::Result<Seen> {
    let inbox = client.new_inbox();
    let mut receipts = client.subscribe(format!("{inbox}.*")).await?;
    client.flush().await?;
    let window = if per_second.is_some() { commands.len() } else { IN_FLIGHT_MAX };
    let room = Arc::new(tokio::sync::Semaphore::new(window));
    let (intended_in, mut intended_out) = tokio::sync::mpsc::unbounded_channel();
    let count = commands.len();
    let started = Instant::now();
    let sender = {
        let (client, room, inbox) = (client.clone(), Arc::clone(&room), inbox.clone());
        let subject = wire::command_subject(market, "order.place");
        tokio::spawn(async move {
            for (n, bytes) in commands.into_iter().enumerate() {
                room.acquire().await?.forget();
                let intended = match per_second {
                    Some(rate) => started + Duration::from_secs(1) * n as u32 / rate,
                    None => Instant::now(),
                };
                load::wait_until(intended).await;
                intended_in.send(intended)?;
                let mut headers = HeaderMap::new();
                headers.insert(RECEIPT_TO, format!("{inbox}.{n}"));
                client.publish_with_headers(subject.clone(), headers, bytes).await?;
            }
            anyhow::Ok(())
        })
    };
    let mut intended = Vec::with_capacity(count);
    let mut seen = Seen::nothing()?;
    while seen.receipts < count {
        let message = tokio::time::timeout(RECEIPT_MAX, receipts.next()).await;
        let message = message.with_context(|| format!("{} of {count} receipts came", seen.receipts))?;
        let message = message.context("the connection ended")?;
        let Ok(receipt) = serde_json::from_slice::<Receipt>(&message.payload) else {
            bail!("a command got no receipt: {}", String::from_utf8_lossy(&message.payload));
        };
        verifier.verify(&receipt)?;
        while let Ok(moment) = intended_out.try_recv() {
            intended.push(moment);
        }
        let number: usize = message.subject[inbox.len() + 1..].parse()?;
        let since: &Instant = intended.get(number).context("a receipt for a command that was not sent")?;
        seen.latency_us.record(since.elapsed().as_micros() as u64)?;
        room.add_permits(1);
        seen.count(receipt.receipt);
    }
    seen.elapsed = started.elapsed();
    sender.await??;
    Ok(seen)
}

/// Reads back the events of the full load, and how many an order has.
async fn written(node: &Node, after: u64, upto: u64, orders: usize) -> anyhow::Result<(Vec<Recorded>, f64)> {
    let mut commits = node.log().read(after + 1);
    let mut events = Vec::new();
    while let Some(commit) = commits.next().await {
        events.extend(commit?.events().iter().cloned());
    }
    ensure!(!events.is_empty(), "nothing was written");
    Ok((events, (upto - after) as f64 / orders as f64))
}

/// Publishes the same messages in bare atomic batches, one after another, to a stream of the same settings.
async fn ceiling_events_per_s(
    client: &Client,
    market: &MarketName,
    events: &[Recorded],
) -> anyhow::Result<f64> {
    let context = jetstream::new(client.clone());
    let mut config = context.get_stream(wire::event_stream(market)).await?.cached_info().config.clone();
    config.name = "CEILING".into();
    config.subjects = vec!["ceiling.>".into()];
    context.create_stream(config).await?;
    let batches: Vec<&[Recorded]> = events.chunks_exact(EVENTS_PER_APPEND_MAX).collect();
    ensure!(batches.len() > 2 * WARM_UP, "too few events for the ceiling: send more orders");
    let mut spent = Duration::ZERO;
    for (n, batch) in batches.iter().enumerate() {
        let mut messages =
            batch.iter().enumerate().map(|(k, event)| message(event, n, k)).collect::<Vec<_>>();
        let (subject, headers, payload) = messages.pop().context("a batch is not empty")?;
        let begin = Instant::now();
        for (subject, headers, payload) in messages {
            client.publish_with_headers(subject, headers, payload).await?;
        }
        let answer = client.request_with_headers(subject, headers, payload).await?;
        let answer: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&answer.payload)?;
        ensure!(!answer.contains_key("error"), "{answer:?}");
        if n >= WARM_UP {
            spent += begin.elapsed();
        }
    }
    Ok(((batches.len() - WARM_UP) * EVENTS_PER_APPEND_MAX) as f64 / spent.as_secs_f64())
}

fn message(event: &Recorded, batch: usize, place: usize) -> (String, HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    for (name, value) in wire::to_headers(&event.metadata) {
        headers.insert(name, value);
    }
    headers.insert("Nats-Batch-Id", format!("ceiling-{batch}"));
    headers.insert("Nats-Batch-Sequence", (place + 1).to_string());
    if place + 1 == EVENTS_PER_APPEND_MAX {
        headers.insert("Nats-Batch-Commit", "1");
    }
    let subject = format!("ceiling.{}", event.metadata.type_name.replace(".v1", ""));
    (subject, headers, event.payload_json.clone().into())
}
