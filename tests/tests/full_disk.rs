//! Real disks that are full: each of what a market keeps on disk, on a small file system of its own, and a broker
//! whose store is full. The whole process on a full disk is in `cli/tests/full_disk.rs`.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::clock::WallClock;
use engine::processor::StopReason;
use engine::{Reply, StartError, Status};
use gateway::node::{Node, NodeConfig, NodeError, REGISTRAR_KEY};
use projections::{Projections, ViewName};
use tempfile::TempDir;
use tests::history::History;
use tests::log_contract::{market, read_all};
use tests::nats::NatsServer;
use tests::small_disk::SmallDisk;
use tests::town::{Person, Town, new_id, submit};
use tokio::time::timeout;

/// How long the views may take to come up to the log; only views that stand still need it.
const VIEWS_WAIT_MAX: Duration = Duration::from_secs(60);
/// How many orders a disk can't hold that is full but for a few kilobytes.
const ORDERS_MAX: usize = 20_000;
/// Orders that are under way at a time.
const ORDERS_AT_ONCE: usize = 64;

fn config(folder: &Path) -> NodeConfig {
    NodeConfig { verify_threads: 2, ..NodeConfig::new(market(), folder.to_owned()) }
}

async fn start(folder: &Path) -> Node {
    Node::start(config(folder), Arc::new(WallClock)).await.unwrap()
}

async fn found(node: &Node) -> Town {
    let registrar = node.keys().get(REGISTRAR_KEY).unwrap();
    Town::found(&node.handle(), Person::from_stored(&market(), &registrar, 1), 8, 1_000_000).await
}

/// Orders some at a time, until the market stops or so many were ordered. What is not decided is no refusal.
async fn order(node: &Node, town: &Town, history: &mut History, most: usize) {
    let handle = node.handle();
    for _ in 0..most / ORDERS_AT_ONCE {
        if matches!(*handle.status().borrow(), Status::Stopped(_)) {
            return;
        }
        let orders = (0..ORDERS_AT_ONCE).map(|n| {
            let id = new_id();
            let signed = town.buyers[n % town.buyers.len()].sign_as(id, town.order(1));
            history.send(id, signed.clone());
            submit(&handle, signed)
        });
        for reply in futures::future::join_all(orders.collect::<Vec<_>>()).await {
            match reply {
                Reply::Receipt(receipt) => history.tell(receipt.receipt),
                Reply::Undecided => {}
                Reply::Refused(refusal) => panic!("{refusal}"),
            }
        }
    }
}

/// Asks for all again, and checks the log and that every view is its fold.
async fn check(node: Node, mut history: History) {
    history.ask_again(&node.handle()).await;
    let log = node.log();
    let head = log.head().await.unwrap();
    node.projections().wait_for(head.position, VIEWS_WAIT_MAX).await.unwrap();
    history.check(&read_all(&log, 1).await.unwrap());
    let anew = TempDir::new().unwrap();
    let views = Projections::open(anew.path()).unwrap();
    views.run(log.read(1), std::future::pending()).await.unwrap();
    for view in ViewName::ALL {
        assert_eq!(
            node.projections().content_hash(view).unwrap(),
            views.content_hash(view).unwrap(),
            "{view}"
        );
    }
    assert_eq!(node.shutdown().await, StopReason::Shutdown);
}

/// A market of which one folder lies on a disk of its own.
async fn with_folder_on(disk: &SmallDisk, folder: &Path, name: &str) -> Node {
    fs::create_dir(disk.path().join(name)).unwrap();
    symlink(disk.path().join(name), folder.join(name)).unwrap();
    start(folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_on_a_full_disk_stops_the_market_and_goes_on_when_there_is_room() {
    let (disk, folder, mut history) =
        (SmallDisk::new(8).unwrap(), TempDir::new().unwrap(), History::default());
    let node = with_folder_on(&disk, folder.path(), "segments").await;
    let town = found(&node).await;
    order(&node, &town, &mut history, 640).await;
    // Room for the first orders, even if all that are under way at a time are appended together.
    disk.fill(400_000).unwrap();
    order(&node, &town, &mut history, ORDERS_MAX).await;
    let reason = node.shutdown().await;
    let StopReason::Failed(cause) = &reason else { panic!("{reason:?}") };
    assert!(cause.contains("No space left on device") && cause.contains("mend the cause"), "{cause}");
    let (sent, told) = history.counts();
    assert!(640 < told && told < sent, "{told} of {sent}");
    disk.free().unwrap();
    check(start(folder.path()).await, history).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_on_a_full_disk_stops_the_market_and_is_whole_when_there_is_room() {
    let (disk, folder, mut history) =
        (SmallDisk::new(8).unwrap(), TempDir::new().unwrap(), History::default());
    let node = with_folder_on(&disk, folder.path(), "index").await;
    let town = found(&node).await;
    disk.fill(0).unwrap();
    order(&node, &town, &mut history, ORDERS_MAX).await;
    let reason = node.shutdown().await;
    let StopReason::Failed(cause) = &reason else { panic!("{reason:?}") };
    assert!(cause.contains("index") && cause.contains("No space left on device"), "{cause}");
    disk.free().unwrap();
    check(start(folder.path()).await, history).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn views_on_a_full_disk_stand_still_and_are_whole_when_there_is_room() {
    let (disk, folder, mut history) =
        (SmallDisk::new(48).unwrap(), TempDir::new().unwrap(), History::default());
    let node = with_folder_on(&disk, folder.path(), "views").await;
    let town = found(&node).await;
    disk.fill(0).unwrap();
    order(&node, &town, &mut history, 1_280).await;
    assert_eq!(history.counts(), (1_280, 1_280), "the market sells on without its views");
    let head = node.log().head().await.unwrap();
    assert!(node.projections().checkpoint().position < head.position);
    assert_eq!(node.shutdown().await, StopReason::Shutdown);
    disk.free().unwrap();
    check(start(folder.path()).await, history).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_finds_no_room_is_only_missed_by_the_next_start() {
    let (disk, folder, mut history) =
        (SmallDisk::new(8).unwrap(), TempDir::new().unwrap(), History::default());
    let node = with_folder_on(&disk, folder.path(), "snapshots").await;
    let town = found(&node).await;
    order(&node, &town, &mut history, 640).await;
    disk.fill(0).unwrap();
    assert_eq!(node.shutdown().await, StopReason::Shutdown);
    let snapshots = || engine::snapshot::Snapshots::new(folder.path().join("snapshots")).load_latest();
    assert!(snapshots().is_none());
    let node = start(folder.path()).await;
    order(&node, &town, &mut history, 640).await;
    disk.free().unwrap();
    check(node, history).await;
    assert!(snapshots().is_some());
}

/// Sets how many bytes the stream of the log may have.
async fn limit_stream(server: &NatsServer, max_bytes: i64) {
    let context = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let stream = context.get_stream("EVT_main").await.unwrap();
    let config = async_nats::jetstream::stream::Config { max_bytes, ..stream.cached_info().config.clone() };
    context.update_stream(config).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_full_stops_the_market_and_loses_nothing() {
    let (folder, mut history) = (TempDir::new().unwrap(), History::default());
    let server = NatsServer::start().await.unwrap();
    let nats = server.for_nodes();
    let start = || Node::start_on_nats(config(folder.path()), nats.clone(), Arc::new(WallClock));
    let node = start().await.unwrap();
    let town = found(&node).await;
    limit_stream(&server, 2_000_000).await;
    order(&node, &town, &mut history, ORDERS_MAX).await;
    let reason = node.shutdown().await;
    let StopReason::Failed(cause) = &reason else { panic!("{reason:?}") };
    assert!(cause.contains("maximum bytes exceeded") && cause.contains("mend the cause"), "{cause}");
    let (sent, told) = history.counts();
    assert!(0 < told && told < sent, "{told} of {sent}");
    // As long as it is full it says so again. What holds less than there is has not even room for a small append.
    limit_stream(&server, 1_000_000).await;
    let NodeError::Engine(StartError::Stopped(reason)) = start().await.err().unwrap() else {
        panic!("another error");
    };
    assert!(reason.to_string().contains("maximum bytes exceeded"), "{reason}");
    limit_stream(&server, -1).await;
    let node = timeout(VIEWS_WAIT_MAX, start()).await.expect("a start ends").unwrap();
    check(node, history).await;
}
