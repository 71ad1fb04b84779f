//! A node sells on while its broker is killed and comes back beneath it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use commands::receipt::ReceiptBody;
use engine::clock::WallClock;
use engine::processor::StopReason;
use gateway::node::{NatsConfig, Node, NodeConfig, REGISTRAR_KEY};
use tempfile::TempDir;
use tests::history::History;
use tests::log_contract::read_all;
use tests::nats::NatsServer;
use tests::town::{Person, Town, receipt, submit};
use tokio::sync::mpsc;

const BUYERS: usize = 8;
/// Receipts that are waited for between two deaths of the broker.
const RECEIPTS_BETWEEN: usize = 40;
/// How long those may take; only a market that does not go on needs it.
const GOES_ON_WAIT_MAX: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_and_comes_back_costs_no_order() {
    let (folder, mut server) = (TempDir::new().unwrap(), NatsServer::start().await.unwrap());
    let config =
        NodeConfig { verify_threads: 2, ..NodeConfig::new("main".parse().unwrap(), folder.path().into()) };
    let nats = NatsConfig { url: server.url(), replicas: 1, monitor_url: Some(server.monitor_url()) };
    let node = Node::start_on_nats(config, nats, Arc::new(WallClock)).await.unwrap();
    let registrar = node.keys().get(REGISTRAR_KEY).unwrap();
    let registrar = Person::from_stored(node.market(), &registrar, 1);
    let town = Arc::new(Town::found(&node.handle(), registrar, BUYERS, 1_000_000).await);
    let stop = Arc::new(AtomicBool::new(false));
    let (told, mut receipts) = mpsc::unbounded_channel();
    let buyers: Vec<_> = (0..BUYERS)
        .map(|buyer| {
            let (engine, town, stop, told) = (node.handle(), town.clone(), stop.clone(), told.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let signed = town.buyers[buyer].sign(town.order(1));
                    let receipt = receipt(submit(&engine, signed.clone()).await);
                    told.send((signed, receipt.receipt)).unwrap();
                }
            })
        })
        .collect();
    drop(told);
    let mut history = History::default();
    let mut note = |(signed, body): (Bytes, ReceiptBody)| {
        history.send(body.command, signed);
        history.tell(body);
    };
    for death in 0..4 {
        for _ in 0..RECEIPTS_BETWEEN {
            let told = tokio::time::timeout(GOES_ON_WAIT_MAX, receipts.recv()).await;
            note(told.unwrap_or_else(|_| panic!("the market stands still after death {death}")).unwrap());
        }
        if death < 3 {
            server.kill().unwrap();
            server.restart().await.unwrap();
        }
    }
    stop.store(true, Ordering::Relaxed);
    for buyer in buyers {
        buyer.await.unwrap();
    }
    while let Some(told) = receipts.recv().await {
        note(told);
    }
    history.check(&read_all(&node.log(), 1).await.unwrap());
    // The views go on too: they come up to the log's end.
    let head = node.log().head().await.unwrap();
    node.projections().wait_for(head.position, GOES_ON_WAIT_MAX).await.expect("the views go on");
    assert_eq!(node.shutdown().await, StopReason::Shutdown);
}
