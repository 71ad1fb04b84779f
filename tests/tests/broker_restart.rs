//! A node sells on while its broker is killed and comes back beneath it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use commands::receipt::ReceiptBody;
use engine::clock::WallClock;
use engine::processor::StopReason;
use futures::StreamExt;
use gateway::health::install_metrics;
use gateway::node::{Node, NodeConfig, REGISTRAR_KEY};
use tempfile::TempDir;
use tests::history::History;
use tests::http::{readiness, serve};
use tests::log_contract::read_all;
use tests::nats::NatsServer;
use tests::town::{Person, Town, new_id, receipt, submit};
use tokio::sync::mpsc;

const BUYERS: usize = 8;
/// Receipts that are waited for between two deaths of the broker.
const RECEIPTS_BETWEEN: usize = 40;
/// How long those may take; only a market that does not go on needs it.
const GOES_ON_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often the metrics are looked at.
const METRICS_POLL: Duration = Duration::from_millis(100);

async fn start(folder: &Path, server: &NatsServer) -> Node {
    let config = NodeConfig { verify_threads: 2, ..NodeConfig::new("main".parse().unwrap(), folder.into()) };
    let nats = server.for_nodes();
    Node::start_on_nats(config, nats, Arc::new(WallClock)).await.unwrap()
}

fn registrar(node: &Node) -> Person {
    Person::from_stored(node.market(), &node.keys().get(REGISTRAR_KEY).unwrap(), 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_and_comes_back_costs_no_order() {
    let (folder, mut server) = (TempDir::new().unwrap(), NatsServer::start().await.unwrap());
    let node = start(folder.path(), &server).await;
    let town = Arc::new(Town::found(&node.handle(), registrar(&node), BUYERS, 1_000_000).await);
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

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_outlasts_a_broker_that_is_away_for_longer_than_a_reader_waits() {
    let metrics = install_metrics().unwrap();
    let (folder, mut server) = (TempDir::new().unwrap(), NatsServer::start().await.unwrap());
    let node = start(folder.path(), &server).await;
    let town = Town::found(&node.handle(), registrar(&node), 1, 10).await;
    assert_eq!(node.shutdown().await, StopReason::Shutdown);
    // Started anew, it has nothing of the past in memory: who follows from the beginning has to read it.
    let node = start(folder.path(), &server).await;
    let before = read_all(&node.log(), 1).await.unwrap();
    let address = serve(node.gateway(Arc::new(WallClock), None)).await;

    server.kill().unwrap();
    let (log, count) = (node.log(), before.len() + 1);
    let following = tokio::spawn(async move { log.follow(1).take(count).collect::<Vec<_>>().await });
    let both_wait = async {
        // The follower, and the node's own look for what others append.
        while !metrics.render().contains("\nskylink_log_followers_waiting 2\n") {
            tokio::time::sleep(METRICS_POLL).await;
        }
    };
    tokio::time::timeout(GOES_ON_WAIT_MAX, both_wait).await.expect("it is counted who waits");
    let (status, ready) = readiness(&address).await;
    assert_eq!(status.as_u16(), 503, "{ready}");
    assert!(ready["reasons"][0].as_str().unwrap().contains("the log"), "{ready}");

    server.restart().await.unwrap();
    let id = new_id();
    let ordered = receipt(submit(&node.handle(), town.buyers[0].sign_as(id, town.order(1))).await).receipt;
    let followed = tokio::time::timeout(GOES_ON_WAIT_MAX, following).await.expect("it goes on").unwrap();
    let followed: Vec<_> = followed.into_iter().map(Result::unwrap).collect();
    assert_eq!(followed[..before.len()], before);
    assert_eq!(followed.last().unwrap().first_position(), ordered.events[0].position);
    // The views and the index go on too.
    node.projections().wait_for(ordered.position, GOES_ON_WAIT_MAX).await.unwrap();
    let found = node.handle().receipt(town.buyers[0].account(), id).await.unwrap().map(receipt);
    assert_eq!(found.map(|found| found.receipt), Some(ordered));
    assert_eq!(readiness(&address).await.0.as_u16(), 200);
    assert_eq!(node.shutdown().await, StopReason::Shutdown);
}
