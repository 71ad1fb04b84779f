//! Runs the JetStream benchmark alone, for profiling: `jetstream PATH-OF-NATS-SERVER [ORDERS]`.

use std::path::PathBuf;

use anyhow::Context;
use bench::jetstream::run;
use bench::segment::Plan;
use events::account::Algorithm;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let server = PathBuf::from(arguments.next().context("say where nats-server is")?);
    let orders = arguments.next().map_or(Ok(50_000), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    let algorithm = Algorithm::EdDsa;
    let plan =
        Plan { buyers: 10_000, listings: 1_000, orders, steady_per_second: 1_000, steady_s: 10, algorithm };
    let figures = run(dir.path(), &server, plan).await?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    Ok(())
}
