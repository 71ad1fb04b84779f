//! A real engine over logs that go wrong: full disks, lost answers, another writer, and what only the index knows.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use commands::funding::CreditId;
use commands::receipt::Outcome;
use commands::{Question, Refusal};
use engine::index::{Index, IndexError};
use engine::log::EventLog;
use engine::log::memory::{Fault, MemoryLog};
use engine::log::segment::{SegmentLog, SegmentOptions};
use engine::processor::StopReason;
use engine::snapshot::Snapshots;
use engine::{Reply, StartError, Status};
use events::metadata::Cause;
use events::{Event, Rejection};
use futures::TryStreamExt;
use tempfile::TempDir;
use tests::engines::Keys;
use tests::log_contract::market;
use tests::sim_disk::{DiskFault, SimDisk, Survival};
use tests::town::{Town, fold, new_id, outcomes_of, receipt, submit};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_the_market_and_loses_nothing() {
    let (dir, keys, disk) = (TempDir::new().unwrap(), Keys::new(), SimDisk::new());
    let open = || {
        let options = SegmentOptions { disk: Arc::new(disk.clone()), ..SegmentOptions::default() };
        Arc::new(SegmentLog::open_writer(Path::new("log"), market(), None, options).unwrap())
    };
    let log = open();
    let engine = keys.start(dir.path(), Arc::clone(&log) as Arc<dyn EventLog>).await;
    let town = Town::found(&engine.handle(), keys.registrar(), 4, 10_000).await;
    // One of the two is a write, the other the sync behind it.
    disk.fail_in(10, DiskFault::FullAfter(100));
    disk.fail_in(11, DiskFault::FullAfter(100));
    let mut told = Vec::new();
    let mut asked = 0;
    while !matches!(*engine.handle().status().borrow(), Status::Stopped(_)) {
        asked += 1;
        assert!(asked < 10_000, "the disk is never full");
        let (buyer, id) = (&town.buyers[asked % 4], new_id());
        match submit(&engine.handle(), buyer.sign_as(id, town.order(1))).await {
            Reply::Receipt(receipt) => told.push((id, receipt.receipt)),
            Reply::Undecided => break,
            Reply::Refused(refusal) => panic!("{refusal}"),
        }
    }
    assert!(!told.is_empty());
    let reason = engine.shutdown().await;
    assert!(matches!(&reason, StopReason::Failed(_)), "{reason:?}");
    drop(log);
    disk.crash(Survival::Everything);
    let log = open();
    let engine = keys.start(dir.path(), Arc::clone(&log) as Arc<dyn EventLog>).await;
    receipt(submit(&engine.handle(), town.buyers[0].sign(town.order(1))).await);
    assert_eq!(engine.shutdown().await, StopReason::Shutdown);
    let commits: Vec<_> = log.read(1).try_collect().await.unwrap();
    fold(&commits);
    for (id, body) in told {
        assert_eq!(outcomes_of(&commits, id), [body]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_or_request_gives_one_outcome() {
    let (dir, keys, log) = (TempDir::new().unwrap(), Keys::new(), MemoryLog::new());
    let engine = keys.start(dir.path(), Arc::new(log.clone())).await;
    let town = Town::found(&engine.handle(), keys.registrar(), 1, 1_000).await;
    let faults = [&[Fault::AnswerLost][..], &[Fault::RequestLost], &[Fault::RequestLost, Fault::AnswerLost]];
    for faults in faults {
        for fault in faults {
            log.inject(*fault);
        }
        let id = new_id();
        let body = receipt(submit(&engine.handle(), town.buyers[0].sign_as(id, town.order(1))).await).receipt;
        let commits: Vec<_> = log.read(1).try_collect().await.unwrap();
        assert_eq!(outcomes_of(&commits, id), [body], "{faults:?}");
    }
    assert_eq!(engine.shutdown().await, StopReason::Shutdown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_meets_another_stops_and_answers_nothing_as_decided() {
    let (dirs, keys, log) =
        ([TempDir::new().unwrap(), TempDir::new().unwrap()], Keys::new(), MemoryLog::new());
    let old = keys.start(dirs[0].path(), Arc::new(log.clone())).await;
    let town = Town::found(&old.handle(), keys.registrar(), 1, 10).await;
    let new = keys.start(dirs[1].path(), Arc::new(log.clone())).await;
    let id = new_id();
    let signed = town.buyers[0].sign_as(id, town.order(1));
    let reply = submit(&old.handle(), signed.clone()).await;
    assert!(matches!(reply, Reply::Undecided), "{reply:?}");
    assert_eq!(old.shutdown().await, StopReason::Fenced { epoch: Some(2) });
    let body = receipt(submit(&new.handle(), signed).await).receipt;
    assert_eq!(new.shutdown().await, StopReason::Shutdown);
    let commits: Vec<_> = log.read(1).try_collect().await.unwrap();
    assert_eq!(outcomes_of(&commits, id), [body]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_finds_what_is_old_and_refuses_another_log() {
    let (dir, keys, log) = (TempDir::new().unwrap(), Keys::new(), MemoryLog::new());
    let engine = keys.start(dir.path(), Arc::new(log.clone())).await;
    let town = Town::found(&engine.handle(), keys.registrar(), 1, 10).await;
    let (buyer, id) = (&town.buyers[0], new_id());
    let ordered = receipt(submit(&engine.handle(), buyer.sign_as(id, town.order(1))).await).receipt;
    receipt(submit(&engine.handle(), buyer.sign(town.cancel(buyer, id))).await);
    assert_eq!(engine.shutdown().await, StopReason::Shutdown);
    let commits: Vec<_> = log.read(1).try_collect().await.unwrap();
    let place = TempDir::new().unwrap();
    let index = Index::open(place.path()).unwrap();
    let order = events::ids::OrderId::derive(buyer.account(), id, 0);
    let command = (buyer.account(), id);
    let question = Question { covering: 0, command, order: Some(order), credit: None, payment: None };
    assert_eq!(index.look_up(&question).unwrap(), commands::Facts::default());
    index.apply(&commits[..3]).unwrap();
    // Nothing that does not follow is taken, and what was taken stays.
    let gap = index.apply(&commits[4..]).unwrap_err();
    assert!(matches!(gap, IndexError::Foreign { .. }), "{gap:?}");
    assert_eq!(index.covered(), commits[2].head());
    index.apply(&commits[3..]).unwrap();
    index.flush().unwrap();
    drop(index);
    let index = Index::open(place.path()).unwrap();
    assert_eq!(index.covered(), commits.last().unwrap().head());
    let facts = index.look_up(&question).unwrap();
    assert_eq!(facts.covered, index.covered().position);
    assert_eq!(facts.command.map(|found| found.position), Some(ordered.events[0].position));
    assert!(facts.closed_orders.contains_key(&order));
    for commit in &commits {
        if let Cause::Command(stamp) = &commit.start().cause {
            let found = index.find_command(stamp.account, stamp.command).unwrap();
            assert_eq!(found, Some(commit.first_position()));
        }
        for recorded in commit.events() {
            let Event::WalletFunded(funded) = &recorded.event else { continue };
            let asked = Question { credit: Some(CreditId::credited(funded)), ..question.clone() };
            assert_eq!(index.look_up(&asked).unwrap().credit, Some(recorded.position));
        }
    }
    assert_eq!(index.find_command(buyer.account(), new_id()).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_cannot_be_rebuilt_ends_the_start() {
    let (dir, keys, log) = (TempDir::new().unwrap(), Keys::new(), MemoryLog::new());
    let engine = keys.start(dir.path(), Arc::new(log.clone())).await;
    Town::found(&engine.handle(), keys.registrar(), 1, 10).await;
    assert_eq!(engine.shutdown().await, StopReason::Shutdown);
    // A snapshot whose memory has forgotten all, no index, and a log with a hole before the snapshot.
    let snapshots = Snapshots::new(dir.path().join("snapshots"));
    let (head, mut state) = snapshots.load_latest().unwrap();
    state.forgotten = head.position;
    snapshots.save(head, &state).unwrap();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let commits: Vec<_> = log.read(1).try_collect().await.unwrap();
    let holed = MemoryLog::new();
    for commit in commits.iter().take(2).chain(&commits[3..]) {
        holed.append_foreign(Arc::clone(commit));
    }
    let started = keys.try_start(dir.path(), Arc::new(holed));
    let started = tokio::time::timeout(Duration::from_secs(30), started).await.expect("a start ends");
    match started.err() {
        Some(StartError::Stopped(StopReason::Failed(cause))) => assert!(cause.contains("chain"), "{cause}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_memory_has_forgotten_is_answered_from_the_index() {
    let (dir, keys, log) = (TempDir::new().unwrap(), Keys::new(), MemoryLog::new());
    let engine = keys.start(dir.path(), Arc::new(log.clone())).await;
    let town = Town::found(&engine.handle(), keys.registrar(), 1, 10).await;
    let (buyer, id) = (&town.buyers[0], new_id());
    let signed = buyer.sign_as(id, town.order(1));
    let first = receipt(submit(&engine.handle(), signed.clone()).await).receipt;
    assert_eq!(engine.shutdown().await, StopReason::Shutdown);
    for has_index in [true, false] {
        // The snapshot is made that of a market which has forgotten all commands and payments so far, as after many
        // more of them.
        let snapshots = Snapshots::new(dir.path().join("snapshots"));
        let (head, mut state) = snapshots.load_latest().unwrap();
        let until = state.time.ms();
        let memory = format!(r#"{{"by_id":{{}},"in_order":[],"forgotten_until":{until}}}"#);
        state.recent = serde_json::from_str(&memory).unwrap();
        let memory = r#"{"credited_at":{},"in_order":[],"has_forgotten":true}"#;
        state.credits = serde_json::from_str(memory).unwrap();
        state.forgotten = head.position;
        snapshots.save(head, &state).unwrap();
        if !has_index {
            fs::remove_dir_all(dir.path().join("index")).unwrap();
        }
        let engine = keys.start(dir.path(), Arc::new(log.clone())).await;
        let handle = engine.handle();
        for again in [signed.clone(), buyer.sign_as(id, town.order(1))] {
            let again = receipt(submit(&handle, again).await);
            assert_eq!((&again.receipt, again.replayed), (&first, true));
        }
        let other = submit(&handle, buyer.sign_as(id, town.order(2))).await;
        assert!(matches!(other, Reply::Refused(Refusal::CommandConflict)), "{other:?}");
        let paid = receipt(submit(&handle, town.pay(buyer)).await).receipt;
        assert!(matches!(paid.reasons[..], [Rejection::ReferenceUsed { .. }]), "{paid:?}");
        let new = receipt(submit(&handle, buyer.sign(town.order(1))).await);
        assert_eq!((new.receipt.outcome, new.replayed), (Outcome::Accepted, false));
        drop(handle);
        assert_eq!(engine.shutdown().await, StopReason::Shutdown);
    }
    let commits: Vec<_> = log.read(1).try_collect().await.unwrap();
    assert_eq!(outcomes_of(&commits, id), [first]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_writer_stops_when_another_begins() {
    let (dirs, keys, log) =
        ([TempDir::new().unwrap(), TempDir::new().unwrap()], Keys::new(), MemoryLog::new());
    let old = keys.start(dirs[0].path(), Arc::new(log.clone())).await;
    let new = keys.start(dirs[1].path(), Arc::new(log.clone())).await;
    let handle = old.handle();
    // Nothing was asked of it, so it has met nobody at the log's end.
    assert_eq!(handle.stopped().await, StopReason::Fenced { epoch: Some(2) });
    let reply = submit(&handle, keys.registrar().sign(commands::command::ClearCart::default())).await;
    assert!(matches!(reply, Reply::Undecided), "{reply:?}");
    assert_eq!(old.shutdown().await, StopReason::Fenced { epoch: Some(2) });
    assert_eq!(new.shutdown().await, StopReason::Shutdown);
}
