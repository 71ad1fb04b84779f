//! A real engine on real files: what it promises when people race and retry, and when disks and operators go wrong.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use commands::crypto::SigningKey;
use commands::receipt::{Outcome, ReceiptBody};
use commands::{Market, Question, Refusal};
use engine::clock::WallClock;
use engine::index::{Index, IndexError};
use engine::log::EventLog;
use engine::log::memory::{Fault, MemoryLog};
use engine::log::segment::{SegmentLog, SegmentOptions};
use engine::processor::{StopReason, WriterConfig};
use engine::snapshot::Snapshots;
use engine::{Engine, EngineConfig, Prepared, Reply, StartError, Status};
use events::account::Algorithm;
use events::ids::{AccountId, CommandId, DeviceId, MarketName, WriterId};
use events::market::{Deadlines, FeePolicy, Opened, Registrar};
use events::metadata::Cause;
use events::{Commit, Head, Rejection};
use futures::TryStreamExt;
use gateway::node::{Node, NodeConfig, NodeError, REGISTRAR_KEY};
use tempfile::TempDir;
use tests::log_contract::read_all;
use tests::sim_disk::{DiskFault, SimDisk, Survival};
use tests::town::{Person, Town, new_id, receipt, submit};
use uuid::Uuid;

fn market() -> MarketName {
    "main".parse().unwrap()
}

async fn try_start(dir: &Path) -> Result<Node, NodeError> {
    let config = NodeConfig { verify_threads: 2, ..NodeConfig::new(market(), dir.to_owned()) };
    Node::start(config, Arc::new(WallClock)).await
}

async fn start(dir: &Path) -> Node {
    try_start(dir).await.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn registrar(node: &Node) -> Person {
    let stored = node.keys().get(REGISTRAR_KEY).unwrap();
    Person::from_stored(&market(), &stored, 1)
}

async fn stop(node: Node) {
    assert_eq!(node.shutdown().await, StopReason::Shutdown);
}

fn fold(commits: &[Arc<Commit>]) -> Market {
    let mut market = Market::new();
    let mut head = Head::EMPTY;
    for commit in commits {
        commit.check_follows(head).unwrap();
        market.evolve_commit(commit);
        head = commit.head();
    }
    assert!(market.ledger.sums().values().all(|sum| *sum == 0));
    market
}

fn outcomes_of(commits: &[Arc<Commit>], id: CommandId) -> Vec<ReceiptBody> {
    let bodies = commits.iter().filter_map(|commit| ReceiptBody::of(commit));
    bodies.filter(|body| body.command == id).collect()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn segments(dir: &Path) -> PathBuf {
    SegmentLog::segments_folder(dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_unit_is_sold_once_however_many_want_it() {
    const BUYERS: usize = 100;
    let dir = TempDir::new().unwrap();
    let node = start(dir.path()).await;
    let town = Town::found(&node.handle(), registrar(&node), BUYERS, 1).await;
    let handle = node.handle();
    let asked = town.buyers.iter().map(|buyer| submit(&handle, buyer.sign(town.order(1))));
    let mut accepted = 0;
    for reply in futures::future::join_all(asked).await {
        let body = receipt(reply).receipt;
        match body.outcome {
            Outcome::Accepted => accepted += 1,
            _ => assert!(matches!(body.reasons[..], [Rejection::InsufficientStock { .. }]), "{body:?}"),
        }
    }
    assert_eq!(accepted, 1);
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_before_gets_its_first_outcome_even_from_a_rebuilt_folder() {
    let dir = TempDir::new().unwrap();
    let mut node = start(dir.path()).await;
    let town = Town::found(&node.handle(), registrar(&node), 1, 10).await;
    let (buyer, id) = (&town.buyers[0], new_id());
    let signed = buyer.sign_as(id, town.order(2));
    let first = receipt(submit(&node.handle(), signed.clone()).await);
    assert!(!first.replayed);
    // As it is, after a restart with everything, with a log only, and with everything again.
    for derived in [&[][..], &[], &["index", "snapshots", "views"], &[]] {
        let handle = node.handle();
        for again in [signed.clone(), buyer.sign_as(id, town.order(2))] {
            let again = receipt(submit(&handle, again).await);
            assert_eq!((again.receipt, again.replayed), (first.receipt.clone(), true));
        }
        let other = submit(&handle, buyer.sign_as(id, town.order(3))).await;
        assert!(matches!(other, Reply::Refused(Refusal::CommandConflict)), "{other:?}");
        let found = handle.receipt(buyer.account(), id).await.unwrap().map(receipt);
        assert_eq!(found.map(|found| found.receipt), Some(first.receipt.clone()));
        drop(handle);
        stop(node).await;
        for folder in derived {
            fs::remove_dir_all(dir.path().join(folder)).unwrap();
        }
        node = start(dir.path()).await;
    }
    let commits = read_all(&node.log(), 1).await.unwrap();
    assert_eq!(outcomes_of(&commits, id), [first.receipt]);
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_and_what_follows_it_is_the_fold_of_the_log() {
    let dir = TempDir::new().unwrap();
    let snapshots = || Snapshots::new(dir.path().join("snapshots")).load_latest();
    let node = start(dir.path()).await;
    let town = Town::found(&node.handle(), registrar(&node), 3, 100).await;
    stop(node).await;
    let (old, _) = snapshots().expect("a shutdown writes a snapshot");
    for _ in 0..2 {
        let node = start(dir.path()).await;
        for buyer in &town.buyers {
            let id = new_id();
            receipt(submit(&node.handle(), buyer.sign_as(id, town.order(2))).await);
            receipt(submit(&node.handle(), buyer.sign(town.cancel(buyer, id))).await);
        }
        let log = node.log();
        stop(node).await;
        let (head, market) = snapshots().expect("a shutdown writes a snapshot");
        let commits = read_all(&log, 1).await.unwrap();
        assert!(head.position > old.position);
        assert_eq!(head, log.head().await.unwrap());
        assert!(market == fold(&commits), "the second fold, begun at a snapshot, is the fold of the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_log_is_refused() {
    let (dir, copy) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let node = start(dir.path()).await;
    let town = Town::found(&node.handle(), registrar(&node), 1, 10).await;
    stop(node).await;
    copy_folder(&segments(dir.path()), copy.path());
    let node = start(dir.path()).await;
    receipt(submit(&node.handle(), town.buyers[0].sign(town.order(1))).await);
    stop(node).await;
    fs::remove_dir_all(segments(dir.path())).unwrap();
    copy_folder(copy.path(), &segments(dir.path()));
    // Each kind of what was derived notices by itself.
    for left in ["index", "snapshots", "views"] {
        let only = TempDir::new().unwrap();
        copy_folder(&dir.path().join("keys"), &only.path().join("keys"));
        copy_folder(&segments(dir.path()), &segments(only.path()));
        copy_all(&dir.path().join(left), &only.path().join(left));
        let error = try_start(only.path()).await.err().unwrap_or_else(|| panic!("{left} did not notice"));
        let error = chain(&error);
        assert!(error.contains("restored or truncated") && error.contains("restore"), "{left}: {error}");
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_of_the_same_length_is_refused() {
    let (ours, theirs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    stop(start(ours.path()).await).await;
    copy_folder(&ours.path().join("keys"), &theirs.path().join("keys"));
    let mut heads = Vec::new();
    for dir in [&ours, &theirs] {
        if dir.path() == theirs.path() {
            stop(start(dir.path()).await).await;
        }
        let node = start(dir.path()).await;
        Town::found(&node.handle(), registrar(&node), 1, 10).await;
        heads.push(node.log().head().await.unwrap());
        stop(node).await;
    }
    assert_eq!(heads[0].position, heads[1].position);
    assert_ne!(heads[0].hash, heads[1].hash);
    fs::remove_dir_all(segments(ours.path())).unwrap();
    copy_folder(&segments(theirs.path()), &segments(ours.path()));
    let error = chain(&try_start(ours.path()).await.err().expect("it is another log"));
    assert!(error.contains("restored or truncated"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_one_node() {
    let dir = TempDir::new().unwrap();
    let node = start(dir.path()).await;
    let error = chain(&try_start(dir.path()).await.err().expect("only one may"));
    assert!(error.contains("another process"), "{error}");
    assert!(!error.contains("delete"), "what another process uses must not be deleted: {error}");
    // The first one does not notice.
    Town::found(&node.handle(), registrar(&node), 1, 1).await;
    stop(node).await;
    stop(start(dir.path()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_named_with_its_file_and_place() {
    let dir = TempDir::new().unwrap();
    let node = start(dir.path()).await;
    Town::found(&node.handle(), registrar(&node), 3, 10).await;
    stop(node).await;
    let path = fs::read_dir(segments(dir.path())).unwrap().map(|entry| entry.unwrap().path());
    let path = path.filter(|path| path.extension().is_some_and(|ext| ext == "seg")).min().unwrap();
    let whole = fs::read(&path).unwrap();
    for part in 1..8 {
        let mut flipped = whole.clone();
        flipped[whole.len() * part / 8] ^= 4;
        fs::write(&path, flipped).unwrap();
        let error = match try_start(dir.path()).await {
            Err(error) => chain(&error),
            // What lies behind the snapshot is not read at the start, but whoever reads it is told.
            Ok(node) => {
                let read: Result<Vec<_>, _> = node.log().read(1).try_collect().await;
                let error = chain(&read.expect_err("damage is never passed over"));
                fs::write(&path, &whole).unwrap();
                drop(node.shutdown().await);
                error
            }
        };
        assert!(error.contains(&*path.file_name().unwrap().to_string_lossy()), "{error}");
        assert!(error.contains("at byte"), "{error}");
        fs::write(&path, &whole).unwrap();
    }
    stop(start(dir.path()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_answers_everything_under_way() {
    let dir = TempDir::new().unwrap();
    let node = start(dir.path()).await;
    let town = Town::found(&node.handle(), registrar(&node), 4, 1_000).await;
    let handle = node.handle();
    let mut asked = Vec::new();
    for n in 0..400 {
        let (buyer, id) = (&town.buyers[n % 4], new_id());
        asked.push((id, handle.enqueue(buyer.sign_as(id, town.order(1)), None, None).unwrap()));
    }
    let log = node.log();
    stop(node).await;
    let commits = read_all(&log, 1).await.unwrap();
    let mut told = 0;
    for (id, reply) in asked {
        // A channel that closes without a word is what `submit` calls undecided.
        match reply.await.unwrap_or(Reply::Undecided) {
            Reply::Receipt(receipt) => {
                told += 1;
                assert_eq!(outcomes_of(&commits, id), [receipt.receipt]);
            }
            Reply::Undecided => assert_eq!(outcomes_of(&commits, id), [], "what is decided is answered"),
            Reply::Refused(refusal) => panic!("{refusal}"),
        }
    }
    println!("{told} of 400 were decided before the shutdown");
    let late = submit(&handle, town.buyers[0].sign(town.order(1))).await;
    assert!(matches!(late, Reply::Undecided), "{late:?}");
}

/// Starts engines over any log, with the same keys each time.
struct Keys {
    receipt_seed: [u8; 32],
    registrar_seed: [u8; 32],
    account: AccountId,
    device: DeviceId,
}

fn key(seed: [u8; 32]) -> SigningKey {
    SigningKey::from_seed(Algorithm::EdDsa, seed).unwrap()
}

impl Keys {
    fn new() -> Keys {
        let (account, device) = (AccountId::from_uuid(Uuid::now_v7()), DeviceId::from_uuid(Uuid::now_v7()));
        Keys { receipt_seed: rand::random(), registrar_seed: rand::random(), account, device }
    }

    fn registrar(&self) -> Person {
        Person::with_key(&market(), self.account, self.device, key(self.registrar_seed))
    }

    async fn start(&self, dir: &Path, log: Arc<dyn EventLog>) -> Engine {
        self.try_start(dir, log).await.unwrap()
    }

    async fn try_start(&self, dir: &Path, log: Arc<dyn EventLog>) -> Result<Engine, StartError> {
        let opened = Opened {
            deadlines: Deadlines::default(),
            fee: FeePolicy { bps: 250, fixed_minor: 0, max_minor: None, min_minor: 0 },
            market: market(),
            registrar: Registrar {
                account: self.account,
                device: self.device,
                key: key(self.registrar_seed).public(),
            },
            receipt_key: key(self.receipt_seed).public(),
        };
        let writer = WriterId::from_uuid(Uuid::now_v7());
        let writer = WriterConfig { market: market(), writer, version: "test".to_owned(), opened };
        let config = EngineConfig { writer, receipt_key: key(self.receipt_seed), verify_threads: 2 };
        Engine::start(Prepared::open(dir).unwrap(), config, log, Arc::new(WallClock)).await
    }
}

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
    let question = Question { covering: 0, command: (buyer.account(), id), order: Some(order) };
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
        // The snapshot is made that of a market which has forgotten all commands so far, as after 2^18 more of them.
        let snapshots = Snapshots::new(dir.path().join("snapshots"));
        let (head, mut state) = snapshots.load_latest().unwrap();
        let until = state.time.ms();
        let memory = format!(r#"{{"by_id":{{}},"in_order":[],"forgotten_until":{until}}}"#);
        state.recent = serde_json::from_str(&memory).unwrap();
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
        let new = receipt(submit(&handle, buyer.sign(town.order(1))).await);
        assert_eq!((new.receipt.outcome, new.replayed), (Outcome::Accepted, false));
        drop(handle);
        assert_eq!(engine.shutdown().await, StopReason::Shutdown);
    }
    let commits: Vec<_> = log.read(1).try_collect().await.unwrap();
    assert_eq!(outcomes_of(&commits, id), [first]);
}
