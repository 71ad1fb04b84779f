//! Two processes of one market on a real broker: one writes, one stands by, and never do two.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use commands::Refusal;
use engine::clock::WallClock;
use engine::log::jetstream::{JetStreamLog, StreamOptions};
use engine::log::tailed::TailedLog;
use engine::processor::StopReason;
use engine::{EngineHandle, Reply, Status};
use events::Head;
use gateway::node::{Node, NodeConfig, StandbyNode};
use reqwest::StatusCode;
use tempfile::TempDir;
use tests::engines::Keys;
use tests::http::{readiness, serve};
use tests::log_contract::market;
use tests::nats::NatsServer;
use tests::town::{Town, new_id, receipt, submit};

/// How long a process may take to follow or to notice; only a broken one needs it.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(folder: &Path) -> NodeConfig {
    NodeConfig { verify_threads: 2, ..NodeConfig::new(market(), folder.to_owned()) }
}

/// Gives a second process the keys of the first.
fn copy_keys(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("keys")).unwrap();
    for entry in std::fs::read_dir(from.join("keys")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join("keys").join(entry.file_name())).unwrap();
    }
}

/// Waits until a process that stands by has folded the log up to a head.
async fn followed(handle: &EngineHandle, head: Head) {
    let mut status = handle.status();
    let followed = status.wait_for(|status| *status == Status::StandingBy(head));
    tokio::time::timeout(PATIENCE, followed).await.expect("a standby follows").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_answers_queries_and_takes_over_with_nothing_left_to_fold() {
    let server = NatsServer::start().await.unwrap();
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let first = Node::start_on_nats(config(folders[0].path()), server.for_nodes(), Arc::new(WallClock)).await;
    let first = first.unwrap();
    let keys = Keys::of(first.keys());
    copy_keys(folders[0].path(), folders[1].path());
    let second =
        StandbyNode::start_on_nats(config(folders[1].path()), server.for_nodes(), Arc::new(WallClock));
    let second = second.await.unwrap();
    let handle = second.handle();

    let town = Town::found(&first.handle(), keys.registrar(), 2, 1_000).await;
    let (buyer, id) = (&town.buyers[0], new_id());
    let signed = buyer.sign_as(id, town.order(1));
    let told = receipt(submit(&first.handle(), signed.clone()).await).receipt;
    let head = first.log().head().await.unwrap();
    followed(&handle, head).await;

    // What the first has decided, the second knows: in its views, and by command id.
    second.projections().wait_for(head.position, PATIENCE).await.unwrap();
    first.projections().wait_for(head.position, PATIENCE).await.unwrap();
    let [theirs, ours] =
        [&first.projections(), &second.projections()].map(|views| views.ledger().account(buyer.account()));
    assert_eq!(ours.unwrap(), theirs.unwrap());
    let found = handle.receipt(buyer.account(), id).await.unwrap().map(receipt);
    assert_eq!(found.map(|found| found.receipt), Some(told.clone()));
    let refused = submit(&handle, buyer.sign(town.order(1))).await;
    assert!(matches!(refused, Reply::Refused(Refusal::Busy)), "{refused:?}");
    let address = serve(second.gateway(Arc::new(WallClock), None)).await;
    let (status, ready) = readiness(&address).await;
    assert_eq!((status, &ready["state"]), (StatusCode::SERVICE_UNAVAILABLE, &"standby".into()), "{ready}");

    assert_eq!(first.shutdown().await, StopReason::Shutdown);
    let second =
        tokio::time::timeout(PATIENCE, second.take_over()).await.expect("a standby takes over").unwrap();
    assert_eq!(second.taken_behind(), 0, "all was folded while it stood by");
    let (status, ready) = readiness(&address).await;
    assert_eq!((status, &ready["state"]), (StatusCode::OK, &"writing".into()), "{ready}");
    let again = receipt(submit(&second.handle(), signed).await);
    assert_eq!((again.receipt, again.replayed), (told, true));
    receipt(submit(&second.handle(), town.buyers[1].sign(town.order(1))).await);
    assert_eq!(second.shutdown().await, StopReason::Shutdown);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_writer_steps_down_when_another_begins_on_the_same_broker() {
    let server = NatsServer::start().await.unwrap();
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let first = Node::start_on_nats(config(folders[0].path()), server.for_nodes(), Arc::new(WallClock)).await;
    let first = first.unwrap();
    let (keys, handle) = (Keys::of(first.keys()), first.handle());
    let address = serve(first.gateway(Arc::new(WallClock), None)).await;
    let (status, ready) = readiness(&address).await;
    assert_eq!((status, &ready["state"]), (StatusCode::OK, &"writing".into()), "{ready}");

    // As after a pause of the first, when the broker has long given the market to the second.
    let client = async_nats::connect(server.url()).await.unwrap();
    let log = TailedLog::new(JetStreamLog::open(client, market(), StreamOptions::replicas(1)).await.unwrap())
        .await
        .unwrap();
    let second = keys.start(folders[1].path(), Arc::new(log)).await;

    let stopped = tokio::time::timeout(PATIENCE, handle.stopped()).await.expect("the first notices");
    assert_eq!(stopped, StopReason::Fenced { epoch: Some(2) });
    let reply = submit(&handle, keys.registrar().sign(commands::command::ClearCart::default())).await;
    assert!(matches!(reply, Reply::Undecided), "{reply:?}");
    let (status, ready) = readiness(&address).await;
    assert_eq!((status, &ready["state"]), (StatusCode::SERVICE_UNAVAILABLE, &"stopped".into()), "{ready}");
    Town::found(&second.handle(), keys.registrar(), 1, 1).await;
    drop(handle);
    assert_eq!(first.shutdown().await, StopReason::Fenced { epoch: Some(2) });
    assert_eq!(second.shutdown().await, StopReason::Shutdown);
}
