//! A real engine on real files: what it promises when people race and retry, and when disks and operators go wrong.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use commands::Refusal;
use commands::receipt::Outcome;
use engine::Reply;
use engine::clock::WallClock;
use engine::index::Index;
use engine::log::segment::SegmentLog;
use engine::processor::StopReason;
use engine::snapshot::Snapshots;
use events::{Head, Rejection};
use futures::TryStreamExt;
use gateway::node::{Node, NodeConfig, NodeError, REGISTRAR_KEY};
use tempfile::TempDir;
use tests::files::copy_folder;
use tests::log_contract::{market, read_all};
use tests::town::{Person, Town, fold, new_id, outcomes_of, receipt, submit};

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
    copy_folder(&segments(dir.path()), copy.path()).unwrap();
    let node = start(dir.path()).await;
    receipt(submit(&node.handle(), town.buyers[0].sign(town.order(1))).await);
    stop(node).await;
    fs::remove_dir_all(segments(dir.path())).unwrap();
    copy_folder(copy.path(), &segments(dir.path())).unwrap();
    // Each kind of what was derived notices by itself.
    for left in ["index", "snapshots", "views"] {
        let only = TempDir::new().unwrap();
        copy_folder(&dir.path().join("keys"), &only.path().join("keys")).unwrap();
        copy_folder(&segments(dir.path()), &segments(only.path())).unwrap();
        copy_folder(&dir.path().join(left), &only.path().join(left)).unwrap();
        let error = try_start(only.path()).await.err().unwrap_or_else(|| panic!("{left} did not notice"));
        let error = chain(&error);
        assert!(error.contains("restored or truncated") && error.contains("restore"), "{left}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_log_is_refused_by_an_index_that_is_damaged_too() {
    let (dir, copy) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let node = start(dir.path()).await;
    let town = Town::found(&node.handle(), registrar(&node), 1, 10).await;
    stop(node).await;
    copy_folder(dir.path(), copy.path()).unwrap();
    let node = start(dir.path()).await;
    receipt(submit(&node.handle(), town.buyers[0].sign(town.order(1))).await);
    let log = node.log();
    stop(node).await;
    let (newest, end) = (TempDir::new().unwrap(), log.head().await.unwrap());
    drop(log);
    copy_folder(&segments(dir.path()), &segments(newest.path())).unwrap();
    copy_folder(&copy.path().join("keys"), &newest.path().join("keys")).unwrap();
    // All older but the index, which is damaged.
    let folder = copy.path().join("index");
    fs::remove_dir_all(&folder).unwrap();
    copy_folder(&dir.path().join("index"), &folder).unwrap();
    let size = fs::metadata(folder.join("db")).unwrap().len() as usize;
    fs::write(folder.join("db"), vec![0xa5; size]).unwrap();
    let index = Index::open(&folder).unwrap();
    assert_eq!(index.covered(), Head::EMPTY, "it is built again");
    assert_eq!(index.seen(), end);
    drop(index);
    let error = chain(&try_start(copy.path()).await.err().expect("it is older"));
    assert!(error.contains("restored or truncated"), "{error}");
    // It may have covered the older log since; the newest is what it wants still.
    copy_folder(&folder, &newest.path().join("index")).unwrap();
    stop(start(newest.path()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_of_the_same_length_is_refused() {
    let (ours, theirs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    stop(start(ours.path()).await).await;
    copy_folder(&ours.path().join("keys"), &theirs.path().join("keys")).unwrap();
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
    copy_folder(&segments(theirs.path()), &segments(ours.path())).unwrap();
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
    let (_, first) = asked.swap_remove(0);
    assert!(matches!(first.await, Ok(Reply::Receipt(_))), "they are being answered");
    let log = node.log();
    stop(node).await;
    let commits = read_all(&log, 1).await.unwrap();
    for (id, mut reply) in asked {
        // Answered by the time that the shutdown is over, and not a moment later, when the process may be gone.
        match reply.try_recv() {
            Ok(Reply::Receipt(receipt)) => assert_eq!(outcomes_of(&commits, id), [receipt.receipt]),
            Ok(Reply::Undecided) | Err(_) => {
                assert_eq!(outcomes_of(&commits, id), [], "what is decided is answered");
            }
            Ok(Reply::Refused(refusal)) => panic!("{refusal}"),
        }
    }
    let late = submit(&handle, town.buyers[0].sign(town.order(1))).await;
    assert!(matches!(late, Reply::Undecided), "{late:?}");
}
