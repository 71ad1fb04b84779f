//! Carts filled over HTTP at a steady rate, and how soon a stream of events tells of it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use commands::command::AddToCart;
use commands::receipt::ReceiptVerifier;
use engine::clock::{Clock, WallClock};
use events::account::{Algorithm, Role};
use events::{Quantity, Timestamp};
use futures::StreamExt;
use gateway::node::{Node, NodeConfig, RECEIPT_KEY, REGISTRAR_KEY};
use hdrhistogram::Histogram;
use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::{Client, StatusCode};
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::load::{self, wait_until};
use crate::person::Person;
use crate::segment::{CATCH_UP_MAX, found};
use crate::workload::Town;

/// Buyers: so many that none acts again before he was answered.
const BUYERS: usize = 10_000;
const LISTINGS: usize = 1_000;
/// Most requests that wait for their answers; more means that the market can't keep up.
const WAITING_MAX: usize = 4_096;
/// How long a token is good, in seconds: longer than any run.
const TOKEN_TTL_S: u64 = 3_600;

/// What was measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figures {
    /// Requests a second, each adding to a cart.
    pub per_second: u32,
    /// Requests that were answered; each was accepted.
    pub answered: usize,
    /// From when a request should have been sent to its whole answer: half were within this.
    pub p50_ms: f64,
    /// 99 of a hundred were within this.
    pub p99_ms: f64,
    /// Events that the stream told of.
    pub streamed: usize,
    /// From when an event was decided, before it was durable, to when the stream's reader has it: half were within this.
    pub stream_p50_ms: f64,
    /// 99 of a hundred were within this.
    pub stream_p99_ms: f64,
}

/// Measures on a new market in `dir`, over its gateway on this machine.
pub async fn run(dir: &Path, per_second: u32, seconds: u32) -> anyhow::Result<Figures> {
    let config = NodeConfig::new("bench".parse()?, dir.to_owned());
    let town = Arc::new(Town::new(&config.market, Algorithm::EdDsa, BUYERS, LISTINGS, 12));
    let node = Node::start(config, Arc::new(WallClock)).await?;
    let mut verifier = ReceiptVerifier::new(&node.keys().get(RECEIPT_KEY)?.public())?;
    found(&node, &town, &mut verifier).await?;
    // In the founding the registrar signs twice for each of these and for a provider.
    let registrar_seq = 2 * (town.buyers.len() + town.sellers.len() + 1) as u64 + 1;
    let operator = operator(&node, registrar_seq, &mut verifier).await?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let (stop, stopped) = oneshot::channel::<()>();
    let gateway = node.gateway(Arc::new(WallClock), None);
    let server = tokio::spawn(gateway::serve(listener, gateway, async { drop(stopped.await) }));
    let http = Client::builder().no_proxy().pool_max_idle_per_host(WAITING_MAX).build()?;

    let token = http.post(format!("{url}/v1/tokens")).body(operator.token_request(TOKEN_TTL_S));
    let token: Value = token.header("content-type", "application/jose").send().await?.json().await?;
    let token = token["access_token"].as_str().context("the operator gets a token")?;
    let count = (per_second * seconds) as usize;
    let stream = http.get(format!("{url}/v1/stream")).bearer_auth(token).send().await?;
    ensure!(stream.status() == StatusCode::OK, "the stream is not given: {}", stream.status());
    let reader = tokio::spawn(read(stream, count));

    let requests = town.cart_fillings(count);
    let latency_us = open_loop(&http, &format!("{url}/v1/commands"), requests, per_second).await?;
    let delay_ms =
        tokio::time::timeout(CATCH_UP_MAX, reader).await.context("the stream told too little")???;
    drop(http);
    let _ = stop.send(());
    server.await??;
    node.shutdown().await;
    let ms = |quantile| latency_us.value_at_quantile(quantile) as f64 / 1000.0;
    Ok(Figures {
        per_second,
        answered: count,
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        streamed: delay_ms.len() as usize,
        stream_p50_ms: delay_ms.value_at_quantile(0.5) as f64,
        stream_p99_ms: delay_ms.value_at_quantile(0.99) as f64,
    })
}

/// Registers somebody who sees all events.
async fn operator(node: &Node, registrar_seq: u64, verifier: &mut ReceiptVerifier) -> anyhow::Result<Person> {
    let registrar = Person::from_stored(node.market(), &node.keys().get(REGISTRAR_KEY)?, registrar_seq);
    let operator = Person::new(node.market(), Algorithm::EdDsa, &mut StdRng::seed_from_u64(13));
    let account = registrar.sign(operator.account_registration(Role::Operator));
    for round in [account, registrar.sign(operator.device_registration())] {
        let seen = load::saturate(&node.handle(), verifier, vec![round], 1).await?;
        seen.check_accepted()?;
        node.projections().wait_for(seen.position, CATCH_UP_MAX).await?;
    }
    Ok(operator)
}

impl Town {
    /// Signs commands that each add something to a cart, buyer after buyer.
    fn cart_fillings(&self, count: usize) -> Vec<Bytes> {
        let mut rng = StdRng::seed_from_u64(14);
        let buyers = self.buyers.iter().cycle().take(count);
        buyers
            .map(|buyer| {
                let quantity = Quantity::new(1).expect("1 is a quantity");
                buyer.sign(AddToCart { listing: self.listings[self.draw(&mut rng)].0, owner: None, quantity })
            })
            .collect()
    }
}

/// Sends at a steady rate, whatever comes back; gives how long answers took, in microseconds.
async fn open_loop(
    http: &Client,
    url: &str,
    requests: Vec<Bytes>,
    per_second: u32,
) -> anyhow::Result<Histogram<u64>> {
    let (mut waiting, mut latency_us) = (JoinSet::new(), Histogram::new(3)?);
    let started = Instant::now();
    for (n, bytes) in (0u32..).zip(requests) {
        let intended = started + Duration::from_secs(1) * n / per_second;
        wait_until(intended).await;
        while let Some(answered) = waiting.try_join_next() {
            latency_us.record(answered??)?;
        }
        ensure!(waiting.len() < WAITING_MAX, "the market can't keep up with {per_second} requests a second");
        let request = http.post(url).header("content-type", "application/jose").body(bytes);
        waiting.spawn(async move {
            let answer = request.send().await?;
            let (status, body) = (answer.status(), answer.bytes().await?);
            if status != StatusCode::OK {
                bail!("a cart was not filled: {status} {}", String::from_utf8_lossy(&body));
            }
            Ok(intended.elapsed().as_micros() as u64)
        });
    }
    while let Some(answered) = waiting.join_next().await {
        latency_us.record(answered??)?;
    }
    Ok(latency_us)
}

/// Reads a stream until it has told of so many commands; gives how old events were when they came, in milliseconds.
async fn read(stream: reqwest::Response, count: usize) -> anyhow::Result<Histogram<u64>> {
    let (mut chunks, mut text) = (stream.bytes_stream(), String::new());
    let (mut told, mut delay_ms) = (0, Histogram::new(3)?);
    while told < count {
        let chunk = chunks.next().await.context("the stream ended")??;
        let now = WallClock.now();
        text.push_str(std::str::from_utf8(&chunk).context("the stream is text")?);
        while let Some((event, rest)) = text.split_once("\n\n") {
            if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                let data: Value = serde_json::from_str(data)?;
                if data["type"] == "cart.item_added.v1" {
                    let time = data["time"].as_str().context("an event has a time")?;
                    let time = Timestamp::parse_rfc3339(time).map_err(|error| anyhow::anyhow!("{error}"))?;
                    delay_ms.record(u64::try_from(now.ms_since(time)).unwrap_or(0))?;
                    told += 1;
                }
            }
            text = rest.to_owned();
        }
    }
    Ok(delay_ms)
}
