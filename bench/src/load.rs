//! Sends signed commands through a running market and checks every receipt, as their senders would.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use commands::receipt::{Outcome, ReceiptBody, ReceiptVerifier};
use engine::{EngineHandle, Reply};
use hdrhistogram::Histogram;
use tokio::sync::{mpsc, oneshot};

/// Most commands of a saturating load that wait for their receipts.
pub const IN_FLIGHT_MAX: usize = 4_096;
/// Most commands of a founding that wait for their receipts. One key signs many of these, and cores that check
/// signatures may change their order by as many as wait: that must stay within the window of sequence numbers.
pub const FOUNDING_IN_FLIGHT_MAX: usize = commands::replay::SEQ_WINDOW as usize / 2;
/// Most commands of an open load that wait for their receipts; more means that the market can't keep up.
const BACKLOG_MAX: usize = 100_000;
/// How often a full market is tried again while it is filled.
const BUSY_TRIES_MAX: u32 = 10_000;

/// What a load saw.
pub struct Seen {
    /// Receipts that were checked.
    pub receipts: usize,
    /// Of these, accepted ones.
    pub accepted: usize,
    /// From the first intended send to the last checked receipt.
    pub elapsed: Duration,
    /// From intended send to checked receipt, in microseconds.
    pub latency_us: Histogram<u64>,
    /// Position of the last receipt.
    pub position: u64,
    /// The first receipt of something that was not accepted.
    pub not_accepted: Option<Box<ReceiptBody>>,
}

impl Seen {
    /// Starts with nothing seen.
    pub fn nothing() -> anyhow::Result<Seen> {
        let latency_us = Histogram::new(3).context("three digits are possible")?;
        let elapsed = Duration::ZERO;
        Ok(Seen { receipts: 0, accepted: 0, elapsed, latency_us, position: 0, not_accepted: None })
    }

    /// Counts a receipt.
    pub fn count(&mut self, receipt: ReceiptBody) {
        self.receipts += 1;
        self.position = self.position.max(receipt.position);
        if receipt.outcome == Outcome::Accepted {
            self.accepted += 1;
        } else if self.not_accepted.is_none() {
            self.not_accepted = Some(Box::new(receipt));
        }
    }

    /// Makes sure that everything was accepted: a load is made so that it is.
    pub fn check_accepted(&self) -> anyhow::Result<()> {
        let Some(first) = &self.not_accepted else { return Ok(()) };
        let wrong = self.receipts - self.accepted;
        bail!("{wrong} of {} commands were not accepted, the first: {first:?}", self.receipts)
    }

    /// Gives receipts per second.
    pub fn per_second(&self) -> f64 {
        self.receipts as f64 / self.elapsed.as_secs_f64()
    }

    /// Gives a quantile of the latency in milliseconds.
    pub fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency_us.value_at_quantile(quantile) as f64 / 1000.0
    }
}

struct Sent {
    intended: Instant,
    reply: oneshot::Receiver<Reply>,
}

/// Sends everything as fast as the market takes it, with at most `in_flight` waiting.
pub async fn saturate(
    handle: &EngineHandle,
    verifier: &mut ReceiptVerifier,
    commands: Vec<Bytes>,
    in_flight: usize,
) -> anyhow::Result<Seen> {
    let (sent_in, sent) = mpsc::channel(in_flight);
    let handle = handle.clone();
    let started = Instant::now();
    let sender = tokio::spawn(async move {
        for bytes in commands {
            let intended = Instant::now();
            let reply = enqueue(&handle, bytes).await?;
            if sent_in.send(Sent { intended, reply }).await.is_err() {
                break;
            }
        }
        anyhow::Ok(())
    });
    let seen = collect(started, sent, verifier).await?;
    sender.await??;
    Ok(seen)
}

/// Sends at a steady rate, whatever comes back: a command is sent when it is due, and its latency counts from then.
pub async fn open_loop(
    handle: &EngineHandle,
    verifier: &mut ReceiptVerifier,
    commands: Vec<Bytes>,
    per_second: u32,
) -> anyhow::Result<Seen> {
    let (sent_in, sent) = mpsc::channel(BACKLOG_MAX);
    let handle = handle.clone();
    let started = Instant::now();
    let sender = tokio::spawn(async move {
        for (n, bytes) in (0u32..).zip(commands) {
            let intended = started + Duration::from_secs(1) * n / per_second;
            wait_until(intended).await;
            let reply = match handle.enqueue(bytes, None, None) {
                Ok(reply) => reply,
                Err(reply) => bail!("the market did not take a command: {reply:?}"),
            };
            sent_in.try_send(Sent { intended, reply }).context("the market can't keep up with the rate")?;
        }
        Ok(())
    });
    let seen = collect(started, sent, verifier).await?;
    sender.await??;
    Ok(seen)
}

/// Waits for a moment, and not at all for one that is past: a timer of tokio takes a millisecond even then.
pub(crate) async fn wait_until(moment: Instant) {
    if moment > Instant::now() {
        tokio::time::sleep_until(moment.into()).await;
    }
}

async fn enqueue(handle: &EngineHandle, bytes: Bytes) -> anyhow::Result<oneshot::Receiver<Reply>> {
    for _ in 0..BUSY_TRIES_MAX {
        match handle.enqueue(bytes.clone(), None, None) {
            Ok(reply) => return Ok(reply),
            Err(Reply::Refused(commands::Refusal::Busy)) => {
                tokio::time::sleep(Duration::from_millis(1)).await
            }
            Err(reply) => bail!("the market did not take a command: {reply:?}"),
        }
    }
    bail!("the market stayed busy")
}

async fn collect(
    started: Instant,
    mut sent: mpsc::Receiver<Sent>,
    verifier: &mut ReceiptVerifier,
) -> anyhow::Result<Seen> {
    let mut seen = Seen::nothing()?;
    while let Some(Sent { intended, reply }) = sent.recv().await {
        let receipt = match reply.await {
            Ok(Reply::Receipt(receipt)) => receipt,
            Ok(other) => bail!("a command got no receipt: {other:?}"),
            Err(_) => bail!("the market ended"),
        };
        verifier.verify(&receipt)?;
        seen.latency_us.record(intended.elapsed().as_micros() as u64)?;
        seen.count(receipt.receipt);
    }
    seen.elapsed = started.elapsed();
    Ok(seen)
}
