//! The whole pipeline on the segment log, views running.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use commands::receipt::ReceiptVerifier;
use engine::clock::WallClock;
use events::account::Algorithm;
use gateway::node::{Node, NodeConfig, RECEIPT_KEY, REGISTRAR_KEY};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Serialize;

use crate::load::{self, Seen};
use crate::person::Person;
use crate::views::Rebuild;
use crate::workload::Town;
use crate::{floor, views};

/// How long the views may take to catch up when the load has ended.
pub(crate) const CATCH_UP_MAX: Duration = Duration::from_secs(600);

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Keys of buyers.
    pub buyers: usize,
    /// Listings.
    pub listings: usize,
    /// Orders sent as fast as they are taken.
    pub orders: usize,
    /// Orders per second of the steady load.
    pub steady_per_second: u32,
    /// Seconds of the steady load.
    pub steady_s: u32,
    /// How the keys sign.
    pub algorithm: Algorithm,
}

/// What was measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figures {
    /// Signatures per second on all cores, nothing else done.
    pub crypto_floor_per_s: f64,
    /// Orders per second, from the first send to the last checked receipt.
    pub orders_per_s: f64,
    /// Orders per second until the views have read them too.
    pub orders_with_views_per_s: f64,
    /// `orders_per_s` over the floor.
    pub floor_ratio: f64,
    /// Median latency of the steady load.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Orders that were accepted.
    pub accepted: usize,
    /// Orders that were sent.
    pub sent: usize,
    /// Events per second that all views read of the finished log.
    pub projection_events_per_s: f64,
    /// All views built again, beside the steady load.
    pub rebuild: Rebuild,
}

/// Founds a town in a running market.
pub async fn found(node: &Node, town: &Town, verifier: &mut ReceiptVerifier) -> anyhow::Result<()> {
    let registrar = Person::from_stored(node.market(), &node.keys().get(REGISTRAR_KEY)?, 1);
    let provider = Person::new(node.market(), Algorithm::EdDsa, &mut StdRng::seed_from_u64(7));
    for round in town.founding(&registrar, &provider) {
        let seen = load::saturate(&node.handle(), verifier, round, load::FOUNDING_IN_FLIGHT_MAX).await?;
        seen.check_accepted()?;
    }
    Ok(())
}

/// Runs the plan on a new market in an empty folder.
pub async fn run(dir: &Path, plan: Plan) -> anyhow::Result<Figures> {
    let config = NodeConfig::new("bench".parse()?, dir.to_owned());
    let town = Arc::new(Town::new(&config.market, plan.algorithm, plan.buyers, plan.listings, 1));
    let node = Node::start(config, Arc::new(WallClock)).await?;
    let mut verifier = ReceiptVerifier::new(&node.keys().get(RECEIPT_KEY)?.public())?;
    found(&node, &town, &mut verifier).await?;

    let steady = town.orders((plan.steady_per_second * plan.steady_s) as usize, 2);
    let steady = steady.into_iter().map(|order| order.bytes).collect();
    let calm = load::open_loop(&node.handle(), &mut verifier, steady, plan.steady_per_second).await?;

    let orders = town.orders(plan.orders, 3);
    let floor_now = floor::per_second(&town, &orders);
    let orders = orders.into_iter().map(|order| order.bytes).collect();
    let started = Instant::now();
    let full: Seen = load::saturate(&node.handle(), &mut verifier, orders, load::IN_FLIGHT_MAX).await?;
    node.projections().wait_for(full.position, CATCH_UP_MAX).await?;
    let with_views = started.elapsed();
    let projection_events_per_s = views::events_per_s(&dir.join("views-anew"), node.log()).await?;
    let rebuild = rebuild_beside_load(&node, &mut verifier, &town, plan).await?;
    node.shutdown().await;
    Ok(Figures {
        crypto_floor_per_s: floor_now,
        orders_per_s: full.per_second(),
        orders_with_views_per_s: full.receipts as f64 / with_views.as_secs_f64(),
        floor_ratio: full.per_second() / floor_now,
        p50_ms: calm.latency_ms(0.5),
        p99_ms: calm.latency_ms(0.99),
        accepted: full.accepted,
        sent: full.receipts,
        projection_events_per_s,
        rebuild,
    })
}

/// Builds all views again while orders come at the steady rate.
async fn rebuild_beside_load(
    node: &Node,
    verifier: &mut ReceiptVerifier,
    town: &Arc<Town>,
    plan: Plan,
) -> anyhow::Result<Rebuild> {
    let (handle, mut rebuild) = (node.handle(), std::pin::pin!(views::rebuild(node)));
    for seed in 4.. {
        let orders = town.orders((plan.steady_per_second * plan.steady_s) as usize, seed);
        let orders = orders.into_iter().map(|order| order.bytes).collect();
        tokio::select! {
            rebuilt = &mut rebuild => return rebuilt,
            seen = load::open_loop(&handle, verifier, orders, plan.steady_per_second) => seen?.check_accepted()?,
        }
    }
    rebuild.await
}
