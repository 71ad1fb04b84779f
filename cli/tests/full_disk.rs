//! The whole process on a real disk that is full: what it says, how it ends, and that nothing receipted is lost.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]
#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::sync::Arc;

use commands::receipt::Receipt;
use common::Cli;
use engine::clock::WallClock;
use engine::processor::StopReason;
use gateway::node::{Node, NodeConfig, REGISTRAR_KEY};
use reqwest::StatusCode;
use serde_json::Value;
use tests::history::History;
use tests::log_contract::{market, read_all};
use tests::small_disk::SmallDisk;
use tests::town::{Person, Town, new_id};

/// More numbers than the registrar has used when the town is founded.
const FIRST_FREE_SEQ: u64 = 1_000;
/// How many orders a disk can't hold that is full but for some kilobytes.
const ORDERS_MAX: usize = 2_000;

async fn start(data: &Path) -> Node {
    Node::start(NodeConfig::new(market(), data.to_owned()), Arc::new(WallClock)).await.unwrap()
}

/// Orders over HTTP, one after the other, until a disk is full; tells what was answered last, if anything was.
async fn order_until_full(url: &str, town: &Town, history: &mut History) -> Option<Value> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for n in 0..ORDERS_MAX {
        let id = new_id();
        let signed = town.buyers[n % town.buyers.len()].sign_as(id, town.order(1));
        history.send(id, signed.clone());
        let request = http.post(format!("{url}/v1/commands")).header("content-type", "application/jose");
        let answer = request.body(signed).send().await.ok()?;
        let (status, text) = (answer.status(), answer.text().await.ok()?);
        if status != StatusCode::OK {
            return serde_json::from_str(&text).ok();
        }
        history.tell(Receipt::from_json(text.as_bytes()).unwrap().receipt);
    }
    panic!("the disk is never full");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_market_with_a_clear_word_and_no_order_is_lost() {
    let (cli, disk) = (Cli::new(), SmallDisk::new(16).unwrap());
    let data = disk.path().join("data");
    let up = || cli.up(&["--data", data.to_str().unwrap()]);
    up().interrupt();
    let node = start(&data).await;
    let registrar = node.keys().get(REGISTRAR_KEY).unwrap();
    let registrar = Person::from_stored(&market(), &registrar, FIRST_FREE_SEQ);
    let town = Town::found(&node.handle(), registrar, 4, 1_000_000).await;
    assert_eq!(node.shutdown().await, StopReason::Shutdown);

    let (market_runs, mut history) = (up(), History::default());
    disk.fill(200_000).unwrap();
    // It may end before its last answer has left. An answer that it gives is never a "no".
    let last = order_until_full(&market_runs.url(), &town, &mut history).await;
    assert!(last.is_none_or(|problem| problem["code"] == "outcome_unknown"));
    let (status, said) = market_runs.wait();
    assert_eq!(status.code(), Some(2), "{said}");
    for part in ["the market stopped", "No space left on device", "mend the cause and restart"] {
        assert!(said.lines().last().is_some_and(|line| line.contains(part)), "{part}: {said}");
    }
    let (_, told) = history.counts();
    assert!(told > 0, "something was bought");

    // As long as it is full it ends again, and again says why.
    disk.fill(0).unwrap();
    let (_, said) = cli.ends(2, &["up", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert!(said.contains("No space left on device"), "{said}");

    disk.free().unwrap();
    let (status, said) = up().interrupt();
    assert_eq!(status.code(), Some(0), "{said}");
    let node = start(&data).await;
    history.ask_again(&node.handle()).await;
    history.check(&read_all(&node.log(), 1).await.unwrap());
    assert_eq!(node.shutdown().await, StopReason::Shutdown);
    cli.ok(&["verify", "--data", data.to_str().unwrap()]);
}
