//! A part of an engine that panics stops the market: it does not go on unheard, unindexed or unwarned.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use engine::log::memory::MemoryLog;
use engine::log::{AppendError, CommitStream, EventLog, ReadError};
use engine::processor::StopReason;
use engine::{Engine, Reply};
use events::{Commit, Head, Position};
use futures::StreamExt;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tempfile::TempDir;
use tests::engines::Keys;
use tests::town::{Town, submit};

/// A log in memory beneath which the program goes wrong when it is told to.
#[derive(Clone, Default)]
struct Trap {
    log: MemoryLog,
    in_append: Arc<AtomicBool>,
    in_keeper: Arc<AtomicBool>,
    in_other_followers: Arc<AtomicBool>,
}

#[async_trait]
impl EventLog for Trap {
    async fn append(&self, expected: Head, commits: &[Arc<Commit>]) -> Result<(), AppendError> {
        assert!(!self.in_append.load(Ordering::SeqCst), "the trap of the appender");
        self.log.append(expected, commits).await
    }

    async fn head(&self) -> Result<Head, ReadError> {
        self.log.head().await
    }

    fn read(&self, from: Position) -> CommitStream {
        self.log.read(from)
    }

    fn follow(&self, from: Position) -> CommitStream {
        let trap = self.clone();
        let spring = move |_: &_| {
            let is_keeper = std::thread::current().name() == Some("keeper");
            let trap = if is_keeper { &trap.in_keeper } else { &trap.in_other_followers };
            assert!(!trap.load(Ordering::SeqCst), "the trap of a follower");
        };
        self.log.follow(from).inspect(spring).boxed()
    }
}

struct Market {
    trap: Trap,
    engine: Engine,
    town: Town,
    _dir: TempDir,
}

async fn open() -> Market {
    let (dir, keys, trap) = (TempDir::new().unwrap(), Keys::new(), Trap::default());
    let engine = keys.start(dir.path(), Arc::new(trap.clone())).await;
    let town = Town::found(&engine.handle(), keys.registrar(), 1, 10).await;
    Market { trap, engine, town, _dir: dir }
}

impl Market {
    /// Orders something, and gives the reply and why the market ended.
    async fn order_until_the_end(self) -> (Reply, String) {
        let handle = self.engine.handle();
        let reply = submit(&handle, self.town.buyers[0].sign(self.town.order(1))).await;
        let reason = handle.stopped().await;
        let late = submit(&handle, self.town.buyers[0].sign(self.town.order(1))).await;
        assert!(matches!(late, Reply::Undecided), "{late:?}");
        drop(handle);
        assert_eq!(self.engine.shutdown().await, reason);
        match reason {
            StopReason::Failed(cause) => (reply, cause),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appender_that_panics_stops_the_market() {
    let market = open().await;
    market.trap.in_append.store(true, Ordering::SeqCst);
    let (reply, cause) = market.order_until_the_end().await;
    assert!(matches!(reply, Reply::Undecided), "{reply:?}");
    assert!(cause.contains("the appender ended badly"), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_panics_stops_the_market() {
    let market = open().await;
    market.trap.in_keeper.store(true, Ordering::SeqCst);
    let (_, cause) = market.order_until_the_end().await;
    assert!(cause.contains("the keeper ended badly"), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_for_other_writers_that_panics_stops_the_market() {
    let market = open().await;
    market.trap.in_other_followers.store(true, Ordering::SeqCst);
    let (_, cause) = market.order_until_the_end().await;
    assert!(cause.contains("the watch for other writers ended badly"), "{cause}");
}

/// Panics in the answerer, and in no other test of this file: nothing else counts commands, and none of them is rejected.
struct TrapOfRejections;

impl Recorder for TrapOfRejections {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let is_rejection = key.labels().any(|label| label.value() == "rejected");
        assert!(!(is_rejection && key.name() == "skylink_commands_total"), "the trap of the answerer");
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answerer_that_panics_stops_the_market() {
    metrics::set_global_recorder(TrapOfRejections).expect("nobody else in this process records");
    let market = open().await;
    let more_than_there_is = market.town.buyers[0].sign(market.town.order(1_000));
    let reply = submit(&market.engine.handle(), more_than_there_is).await;
    assert!(matches!(reply, Reply::Undecided), "what could not be answered is not known: {reply:?}");
    let (reply, cause) = market.order_until_the_end().await;
    assert!(matches!(reply, Reply::Undecided), "{reply:?}");
    assert!(cause.contains("the answerer ended badly"), "{cause}");
}
