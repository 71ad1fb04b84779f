//! What open orders cost in memory: of the whole process, and of one fold of the market by itself.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, ensure};
use commands::Market;
use commands::receipt::ReceiptVerifier;
use engine::clock::WallClock;
use engine::log::EventLog;
use engine::log::segment::SegmentLog;
use events::account::Algorithm;
use futures::StreamExt;
use gateway::node::{Node, NodeConfig, RECEIPT_KEY};
use serde::{Deserialize, Serialize};

use crate::restart::{ROUND, place};
use crate::segment::found;
use crate::workload::Town;
use crate::{decide, machine};

/// Buyers of the market; few, so that what is counted are orders.
const BUYERS: usize = 2_000;

/// What was measured. Of every order placed, all are open.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Orders that were placed.
    pub orders: usize,
    /// Memory before the first order, the load's own buffers used and freed once.
    pub rss_before_mb: u64,
    /// Memory after the last order, the load's buffers freed and the views there.
    pub rss_after_mb: u64,
    /// The difference for each order: both folds, and the caches as full as they got.
    pub bytes_per_order: u64,
    /// One fold of the market by itself, in a process of its own. A running market has two: the writer's and the
    /// keeper's.
    pub market: MarketFigures,
    /// The writer's and the keeper's fold together.
    pub two_folds_mb: u64,
    /// The rest of the difference: pages of index and views, what the views' folds keep, the tail of the log, and
    /// what the allocator holds free.
    pub caches_mb: u64,
}

/// What one fold of the market takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MarketFigures {
    /// All of it.
    pub mb: u64,
    /// Of it, what protects from replays and makes retries harmless; bounded by number and time, not by orders.
    pub guards_mb: u64,
    /// Without these, for each open order.
    pub bytes_per_order: u64,
    /// What decisions take in it.
    pub decisions: Vec<decide::Figures>,
}

/// Places `orders` orders on a new market in `dir`. `program` is the one that runs, and answers to
/// `bench --market-of DIR` with [`market_of`].
pub async fn run(dir: &Path, orders: usize, program: &Path) -> anyhow::Result<Figures> {
    let (before, after) = fill(dir, orders).await?;

    let asked = Command::new(program).args(["bench", "--market-of"]).arg(dir).output()?;
    ensure!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    let market: MarketFigures = serde_json::from_slice(&asked.stdout).context("it answers in JSON")?;
    std::fs::remove_dir_all(dir).context("the market of this stage is not needed any more")?;
    let grown = after.saturating_sub(before);
    Ok(Figures {
        orders,
        rss_before_mb: before >> 20,
        rss_after_mb: after >> 20,
        bytes_per_order: grown / orders.max(1) as u64,
        two_folds_mb: 2 * market.mb,
        caches_mb: (grown >> 20).saturating_sub(2 * market.mb),
        market,
    })
}

/// Places `orders` orders on a new market in `dir`, and gives the memory of the process before and behind that.
pub async fn fill(dir: &Path, orders: usize) -> anyhow::Result<(u64, u64)> {
    let config = NodeConfig::new("bench".parse()?, dir.to_owned());
    let town = Arc::new(Town::new(&config.market, Algorithm::EdDsa, BUYERS, 1_000, 6));
    let node = Node::start(config, Arc::new(WallClock)).await?;
    let mut verifier = ReceiptVerifier::new(&node.keys().get(RECEIPT_KEY)?.public())?;
    found(&node, &town, &mut verifier).await?;
    // A round that is signed and never sent: what a load leaves with the allocator then stands in both figures.
    drop(town.orders(ROUND.min(orders), 21));
    let before = machine::rss_bytes();
    place(&node, &town, &mut verifier, orders, 22).await?;
    let head = node.log().head().await?;
    node.projections().wait_for(head.position, crate::segment::CATCH_UP_MAX).await?;
    let after = machine::rss_bytes();
    node.shutdown().await;
    Ok((before, after))
}

/// Folds the market of a log.
pub async fn fold(dir: &Path) -> anyhow::Result<Market> {
    let log = SegmentLog::open_reader(dir)?;
    let mut market = Market::new();
    let mut commits = log.read(1);
    while let Some(commit) = commits.next().await {
        market.evolve_commit(commit?.as_ref());
    }
    Ok(market)
}

/// Folds the market of a log in a process that has done nothing else, and tells what that took, and what it takes to decide
/// something in it.
pub async fn market_of(dir: &Path) -> anyhow::Result<MarketFigures> {
    let before = machine::rss_bytes();
    let market = fold(dir).await?;
    let folded = machine::rss_bytes();
    // A copy has the size of what is copied, and nothing is free that it could be put into.
    let copy = (market.nonces.clone(), market.recent.clone());
    let guards = machine::rss_bytes().saturating_sub(folded);
    drop(copy);
    let all = folded.saturating_sub(before);
    let orders = market.orders.open_count().max(1) as u64;
    Ok(MarketFigures {
        mb: all >> 20,
        guards_mb: guards >> 20,
        bytes_per_order: all.saturating_sub(guards) / orders,
        decisions: decide::measure(&market)?,
    })
}
