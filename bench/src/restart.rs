//! How long a market with many open orders takes to start again.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use commands::receipt::ReceiptVerifier;
use engine::clock::WallClock;
use events::account::Algorithm;
use gateway::node::{Node, NodeConfig, RECEIPT_KEY};
use serde::Serialize;

use crate::load;
use crate::segment::found;
use crate::workload::Town;

/// Buyers of the market that is started again.
const BUYERS: usize = 2_000;
/// Orders signed at a time, so that none gets stale before it is sent.
pub(crate) const ROUND: usize = 50_000;

/// What was measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figures {
    /// Seconds from nothing to taking commands.
    pub restart_s: f64,
    /// Orders that were open.
    pub open_orders: usize,
    /// Events behind the snapshot.
    pub tail_events: u64,
}

/// Fills a market with `open` orders, lets it write a snapshot, adds orders of two events each until the tail has
/// `tail` events, and measures the next start.
pub async fn run(dir: &Path, open: usize, tail: u64) -> anyhow::Result<Figures> {
    let config = NodeConfig::new("bench".parse()?, dir.to_owned());
    let town = Arc::new(Town::new(&config.market, Algorithm::EdDsa, BUYERS, 1_000, 5));
    let node = Node::start(config.clone(), Arc::new(WallClock)).await?;
    let mut verifier = ReceiptVerifier::new(&node.keys().get(RECEIPT_KEY)?.public())?;
    found(&node, &town, &mut verifier).await?;
    let tail_orders = (tail / 2) as usize;
    place(&node, &town, &mut verifier, open - tail_orders, 11).await?;
    let snapshot = node.log().head().await?;
    node.shutdown().await;
    let node = Node::start(config.clone(), Arc::new(WallClock)).await?;
    place(&node, &town, &mut verifier, tail_orders, 12).await?;
    let end = node.log().head().await?;
    node.shutdown().await;
    remove_newest_snapshot(&dir.join("snapshots"))?;

    let started = Instant::now();
    let node = Node::start(config, Arc::new(WallClock)).await?;
    let restart_s = started.elapsed().as_secs_f64();
    node.shutdown().await;
    Ok(Figures { restart_s, open_orders: open, tail_events: end.position - snapshot.position })
}

/// Places orders that must all be accepted, signed in rounds.
pub(crate) async fn place(
    node: &Node,
    town: &Arc<Town>,
    verifier: &mut ReceiptVerifier,
    orders: usize,
    seed: u64,
) -> anyhow::Result<()> {
    let mut left = orders;
    while left > 0 {
        let count = left.min(ROUND);
        let signed = town.orders(count, seed + left as u64);
        let signed = signed.into_iter().map(|order| order.bytes).collect();
        let seen = load::saturate(&node.handle(), verifier, signed, load::IN_FLIGHT_MAX).await?;
        seen.check_accepted()?;
        left -= count;
    }
    Ok(())
}

/// Leaves the snapshot before it: a market that did not end well has an older one.
fn remove_newest_snapshot(dir: &Path) -> anyhow::Result<()> {
    let entries = fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let newest = entries.iter().map(fs::DirEntry::path).max().context("there is no snapshot")?;
    ensure!(entries.len() > 1, "there is no older snapshot");
    fs::remove_file(newest)?;
    Ok(())
}
