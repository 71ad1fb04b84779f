//! `examples/analytics_consumer.py` counts a real log through a durable consumer, and counts nothing twice.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use anyhow::{Context, Result};
use engine::clock::WallClock;
use gateway::node::{Node, NodeConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::engines::Keys;
use tests::log_contract::market;
use tests::nats::NatsServer;
use tests::town::{Town, receipt, submit};

/// Runs the example as its reader does.
async fn consumer(server: &NatsServer, folder: &Path, arguments: &[&str]) -> Result<Output> {
    let packages = std::env::var_os("SKYLINK_NATSPY").context(
        "SKYLINK_NATSPY is not set: run the tests with ./tests/run.sh, or set it to what scripts/get-natspy.sh prints",
    )?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/analytics_consumer.py");
    let mut command = Command::new("python3");
    command.arg(script).args(["--nats", &server.url(), "--market", market().as_str()]).args(arguments);
    command.current_dir(folder).env("PYTHONPATH", packages);
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

/// What it says of all that there is: orders, and minor units ordered, released and given back, over all days.
async fn counted(server: &NatsServer, folder: &Path) -> Result<(u64, Value)> {
    let output = consumer(server, folder, &["--once", "--json"]).await?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout)?;
    let sum = |name: &str| -> i64 {
        said["days"].as_array().unwrap().iter().map(|day| day[name].as_i64().unwrap()).sum()
    };
    let numbers = json!({
        "orders": sum("orders"), "ordered": sum("ordered"), "released": sum("released"), "refunded": sum("refunded"),
    });
    Ok((said["position"].as_u64().context("a position")?, numbers))
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_counted_once_however_often_they_are_delivered() -> Result<()> {
    let server = NatsServer::start().await?;
    let (folder, work) = (TempDir::new()?, TempDir::new()?);
    let config = NodeConfig { verify_threads: 2, ..NodeConfig::new(market(), folder.path().to_owned()) };
    let node = Node::start_on_nats(config, server.for_nodes(), Arc::new(WallClock)).await?;
    let town = Town::found(&node.handle(), Keys::of(node.keys()).registrar(), 1, 100).await;
    let buyer = &town.buyers[0];

    let without = consumer(&server, work.path(), &["--once"]).await?;
    assert_eq!(without.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&without.stderr).contains("make it with --create"));
    assert!(consumer(&server, work.path(), &["--create"]).await?.status.success());

    let mut first = None;
    for units in [1, 2] {
        let placed = receipt(submit(&node.handle(), buyer.sign(town.order(units))).await);
        first.get_or_insert(placed.receipt.command);
    }
    let (before, numbers) = counted(&server, work.path()).await?;
    let price = tests::town::PRICE_MINOR;
    assert_eq!(numbers, json!({"orders": 2, "ordered": 3 * price, "released": 0, "refunded": 0}));

    let cancelled = buyer.sign(town.cancel(buyer, first.context("an order was placed")?));
    receipt(submit(&node.handle(), cancelled).await);
    let all = json!({"orders": 2, "ordered": 3 * price, "released": 0, "refunded": price});
    let (after, numbers) = counted(&server, work.path()).await?;
    assert_eq!(numbers, all);
    assert!(after > before, "{before} {after}");

    // As if nothing had been acknowledged: everything is delivered again.
    let broker = async_nats::jetstream::new(async_nats::connect(server.url()).await?);
    broker.delete_consumer_from_stream("analytics", "EVT_main").await?;
    assert!(consumer(&server, work.path(), &["--create"]).await?.status.success());
    assert_eq!(counted(&server, work.path()).await?, (after, all));
    node.shutdown().await;
    Ok(())
}
