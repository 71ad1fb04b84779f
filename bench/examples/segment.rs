//! Runs the segment benchmark alone, for profiling.

use bench::segment::{Plan, run};
use events::account::Algorithm;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let orders = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let algorithm = match std::env::args().nth(2).as_deref() {
        Some("ES256") => Algorithm::Es256,
        _ => Algorithm::EdDsa,
    };
    let dir = tempfile::tempdir()?;
    let plan =
        Plan { buyers: 10_000, listings: 1_000, orders, steady_per_second: 1_000, steady_s: 10, algorithm };
    let figures = run(dir.path(), plan).await?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    println!("peak RSS {} MB", bench::machine::peak_rss_mb());
    Ok(())
}
