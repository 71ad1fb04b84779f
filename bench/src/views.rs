//! How fast the views read a log that is there already, and how long it takes to build them again beside a running market.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use engine::log::EventLog;
use gateway::node::Node;
use projections::{Projections, Rebuilt, ViewName};
use serde::Serialize;

/// How long the views may take.
const CATCH_UP_MAX: Duration = Duration::from_secs(600);

/// Builds all views of a log in an empty folder and gives events per second.
pub async fn events_per_s(dir: &Path, log: Arc<dyn EventLog>) -> anyhow::Result<f64> {
    let views = Projections::open(dir)?;
    let head = log.head().await?;
    let started = Instant::now();
    let commits = log.read(1);
    views.run(commits, std::future::pending()).await.context("the views stopped")?;
    views.wait_for(head.position, CATCH_UP_MAX).await?;
    Ok(head.position as f64 / started.elapsed().as_secs_f64())
}

/// What it took to build all views again.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Rebuild {
    /// Events of the log when they took the place of the live ones.
    pub events: u64,
    /// How long it took.
    pub seconds: f64,
}

impl Rebuild {
    /// Gives how many events each view took in, in a second.
    pub fn events_per_s(&self) -> f64 {
        self.events as f64 / self.seconds
    }
}

/// Builds all views of a running market again.
pub async fn rebuild(node: &Node) -> anyhow::Result<Rebuild> {
    let started = Instant::now();
    let rebuilt = node.projections().rebuild(&ViewName::ALL, node.log().follow(1)).await?;
    ensure!(rebuilt.iter().all(Rebuilt::is_equal), "a view was not what the log says: {rebuilt:?}");
    let events = rebuilt.iter().map(|rebuilt| rebuilt.head.position).min().unwrap_or(0);
    Ok(Rebuild { events, seconds: started.elapsed().as_secs_f64() })
}
