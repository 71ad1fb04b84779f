//! A real engine by clocks that are set: a jump ahead decides nothing, and what is moved on purpose decides at once.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use commands::Refusal;
use engine::clock::{Clock, ManualClock, WallClock};
use engine::log::EventLog;
use engine::log::memory::MemoryLog;
use engine::processor::{DEADLINES_GRACE_MS, StopReason};
use engine::{Engine, EngineHandle, Reply, Status};
use events::market::Deadlines;
use events::metadata::Cause;
use events::{Commit, Timestamp};
use futures::{StreamExt, TryStreamExt};
use tempfile::TempDir;
use tests::engines::Keys;
use tests::town::{Town, receipt, submit};

/// The machine's clock, set ahead by so many ms.
#[derive(Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        WallClock.now().plus_ms(self.0.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Option<Duration> {
        WallClock.elapsed()
    }
}

async fn start(keys: &Keys, dir: &TempDir, log: &MemoryLog, clock: Arc<dyn Clock>) -> Engine {
    let standby = keys.stand_by(dir.path(), Arc::new(log.clone()), clock).await.unwrap();
    standby.take_over().await.unwrap()
}

fn status(handle: &EngineHandle) -> Status {
    handle.status().borrow().clone()
}

async fn all(log: &MemoryLog) -> Vec<Arc<Commit>> {
    log.read(1).try_collect().await.unwrap()
}

/// Waits for the first commit that a deadline caused.
async fn first_deadline(log: &MemoryLog) -> Arc<Commit> {
    let deadlines = log.follow(1).map(Result::unwrap).filter(|commit| {
        let is_one = matches!(commit.start().cause, Cause::Deadline(_));
        async move { is_one }
    });
    let first = std::pin::pin!(deadlines).next().await;
    first.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_decides_nothing_until_it_is_back_or_confirmed_by_a_restart() {
    let (dir, keys, log, clock) =
        (TempDir::new().unwrap(), Keys::new(), MemoryLog::new(), Arc::new(Ahead::default()));
    let engine = start(&keys, &dir, &log, clock.clone()).await;
    let handle = engine.handle();
    let town = Town::found(&handle, keys.registrar(), 1, 10).await;
    let buyer = &town.buyers[0];
    receipt(submit(&handle, buyer.sign(town.order(1))).await);
    let before = all(&log).await;

    // Later than any deadline of the order.
    let jump_ms = Deadlines::default().ship_by_ms() + 86_400_000;
    clock.0.store(jump_ms, Ordering::SeqCst);
    handle.tick().await;
    let doubted = status(&handle);
    let Status::ClockDoubted { head, ahead_ms } = doubted else { panic!("{doubted:?}") };
    assert_eq!(head, before.last().unwrap().head());
    assert!((ahead_ms - jump_ms).abs() < 60_000, "{ahead_ms}");
    let refused = submit(&handle, buyer.sign(town.order(1))).await;
    assert!(matches!(refused, Reply::Refused(Refusal::Busy)), "{refused:?}");
    assert_eq!(all(&log).await, before, "nothing is decided by a clock that nobody believes");

    clock.0.store(0, Ordering::SeqCst);
    handle.tick().await;
    assert!(matches!(status(&handle), Status::Writing(_)));
    receipt(submit(&handle, buyer.sign(town.order(1))).await);

    // The same jump once more, but now it is right, and an operator restarts.
    clock.0.store(jump_ms, Ordering::SeqCst);
    handle.tick().await;
    assert!(matches!(status(&handle), Status::ClockDoubted { .. }));
    drop(handle);
    assert_eq!(engine.shutdown().await, StopReason::Shutdown);
    let engine = start(&keys, &dir, &log, clock.clone()).await;
    clock.0.fetch_add(DEADLINES_GRACE_MS, Ordering::SeqCst);
    let confirmed = WallClock.now().plus_ms(jump_ms);
    engine.handle().tick().await;
    assert!(first_deadline(&log).await.events()[0].metadata.time >= confirmed);
    assert_eq!(engine.shutdown().await, StopReason::Shutdown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_while_an_engine_stands_by_is_doubted_when_it_takes_over() {
    let (dir, keys, log, clock) =
        (TempDir::new().unwrap(), Keys::new(), MemoryLog::new(), Arc::new(Ahead::default()));
    let standby = keys.stand_by(dir.path(), Arc::new(log.clone()), clock.clone()).await.unwrap();
    clock.0.store(86_400_000, Ordering::SeqCst);
    let engine = standby.take_over().await.unwrap();
    engine.handle().tick().await;
    assert!(matches!(status(&engine.handle()), Status::ClockDoubted { .. }));
    let started = all(&log).await.pop().unwrap();
    assert!(
        started.events()[0].metadata.time <= WallClock.now(),
        "the writer starts at the time it believes"
    );
    assert_eq!(engine.shutdown().await, StopReason::Shutdown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_returns_when_the_writer_has_looked_at_a_clock_that_was_moved() {
    let (dir, keys, log, clock) =
        (TempDir::new().unwrap(), Keys::new(), MemoryLog::new(), Arc::new(ManualClock::new(WallClock.now())));
    let engine = start(&keys, &dir, &log, clock.clone()).await;
    let handle = engine.handle();
    let town = Town::found(&handle, keys.registrar(), 1, 10).await;
    receipt(submit(&handle, town.buyers[0].sign(town.order(1))).await);
    let due = WallClock.now().plus_ms(Deadlines::default().ship_by_ms() + 60_000);
    // The second move must not be what the first tick sees.
    for at in [due, due.plus_ms(86_400_000)] {
        clock.advance_to(at);
        handle.tick().await;
    }
    assert_eq!(first_deadline(&log).await.events()[0].metadata.time, due);
    drop(handle);
    assert_eq!(engine.shutdown().await, StopReason::Shutdown);
}
