//! How fast the views read a log that is there already.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use engine::log::EventLog;
use projections::Projections;

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
