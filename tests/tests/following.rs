//! Whoever follows a log goes on after a time in which it could not be read, and is told of damage once and for all.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use engine::log::hot_tail::{HOT_TAIL_EVENTS_MAX, HotTail};
use engine::log::memory::{Fault, MemoryLog};
use engine::log::tailed::TailedLog;
use engine::log::{AppendError, CommitStream, EVENTS_PER_APPEND_MAX, EventLog, ReadError};
use events::{Commit, Head, Position};
use futures::StreamExt;
use tests::log_contract::{commit_by, commits, head_of, read_all, take};

/// Puts a log out of reach, and gives what to wait for until somebody has found it so.
fn put_out_of_reach(log: &MemoryLog) -> impl Future<Output = ()> + use<> {
    log.set_out_of_reach(true);
    let mut missed = log.missed();
    missed.borrow_and_update();
    async move { missed.changed().await.unwrap() }
}

#[tokio::test]
async fn a_follower_goes_on_from_where_it_was_when_the_log_can_be_read_again() {
    let log = MemoryLog::new();
    let all = commits(Head::EMPTY, &[1, 2, 1, 3, 1, 2]);
    log.append(Head::EMPTY, &all[..2]).await.unwrap();
    let mut followed = log.follow(1);
    assert_eq!(take(&mut followed, 2).await, all[..2]);
    for at in [2, 4] {
        let missed = put_out_of_reach(&log);
        let taking = tokio::spawn(async move { (take(&mut followed, 2).await, followed) });
        log.append(head_of(&all[..at]), &all[at..at + 2]).await.unwrap();
        missed.await;
        log.set_out_of_reach(false);
        let (taken, stream) = taking.await.unwrap();
        assert_eq!(taken, all[at..at + 2]);
        followed = stream;
    }
}

#[tokio::test]
async fn a_follower_may_begin_while_the_log_cannot_be_read() {
    let memory = MemoryLog::new();
    let all = commits(Head::EMPTY, &[1, 2, 1]);
    memory.append(Head::EMPTY, &all).await.unwrap();
    let tailed: Arc<dyn EventLog> = Arc::new(TailedLog::new(memory.clone()).await.unwrap());
    for log in [Arc::new(memory.clone()) as Arc<dyn EventLog>, tailed] {
        memory.set_out_of_reach(true);
        assert!(matches!(read_all(&log, 1).await, Err(ReadError::Unavailable(_))), "a reader is told");
        assert!(matches!(log.head().await, Err(ReadError::Unavailable(_))));
        let missed = put_out_of_reach(&memory);
        let mut followed = log.follow(1);
        let taking = tokio::spawn(async move { take(&mut followed, 3).await });
        missed.await;
        memory.set_out_of_reach(false);
        assert_eq!(taking.await.unwrap(), all);
    }
}

#[tokio::test]
async fn a_follower_that_has_read_further_than_the_tail_has_heard_waits_for_it() {
    let memory = MemoryLog::new();
    let all = commits(Head::EMPTY, &[1, 2, 1, 3]);
    memory.append(Head::EMPTY, &all[..3]).await.unwrap();
    // As for a process that begins while another one writes.
    let tail = Arc::new(HotTail::new(all[0].head()));
    let read = {
        let memory = memory.clone();
        move |from| memory.read(from)
    };
    let mut followed = Arc::clone(&tail).follow(1, read.clone());
    assert_eq!(take(&mut followed, 3).await, all[..3]);
    assert!(futures::poll!(followed.next()).is_pending(), "what comes next is waited for");
    assert!(tail.offer(&all[1..3]) && tail.offer(&all[3..]));
    assert_eq!(take(&mut followed, 1).await, all[3..]);
    let mut beyond = Arc::clone(&tail).follow(9, read);
    assert!(matches!(beyond.next().await, Some(Err(ReadError::Beyond { from: 9, head: 7 }))));
}

#[tokio::test]
async fn a_follower_ahead_of_a_tail_that_fails_is_told_too() {
    let memory = MemoryLog::new();
    let all = commits(Head::EMPTY, &[1, 2, 1]);
    memory.append(Head::EMPTY, &all).await.unwrap();
    let tail = Arc::new(HotTail::new(all[0].head()));
    let mut followed = Arc::clone(&tail).follow(1, move |from| memory.read(from));
    assert_eq!(take(&mut followed, 3).await, all);
    tail.fail(ReadError::Damaged { place: "sequence 5".to_owned(), source: "it is missing".into() });
    assert!(matches!(followed.next().await, Some(Err(ReadError::Damaged { .. }))));
}

#[tokio::test]
async fn a_broken_chain_behind_an_interruption_is_final() {
    let memory = MemoryLog::new();
    let all = commits(Head::EMPTY, &[1, 2]);
    memory.append(Head::EMPTY, &all).await.unwrap();
    let tailed = TailedLog::new(memory.clone()).await.unwrap();
    let mut both = [memory.follow(1), tailed.follow(1)];
    for followed in &mut both {
        assert_eq!(take(followed, 2).await, all);
    }
    let missed = put_out_of_reach(&memory);
    // It stands at the right position, but behind another history.
    let other = Head { hash: all[0].head().hash, ..head_of(&all) };
    memory.append_foreign(commit_by(2, other, 1));
    let following = both.map(|mut followed| tokio::spawn(async move { (followed.next().await, followed) }));
    missed.await;
    memory.set_out_of_reach(false);
    for following in following {
        let (found, mut followed) = following.await.unwrap();
        assert!(
            matches!(found, Some(Err(ReadError::Chain(_)))),
            "what does not follow is not given: {found:?}"
        );
        assert!(followed.next().await.is_none(), "a stream ends after its first error");
    }
}

/// A log in memory that counts the commits that are read from it, and not followed.
struct CountedReads {
    log: MemoryLog,
    read: Arc<AtomicUsize>,
}

#[async_trait]
impl EventLog for CountedReads {
    async fn append(&self, expected: Head, commits: &[Arc<Commit>]) -> Result<(), AppendError> {
        self.log.append(expected, commits).await
    }

    async fn head(&self) -> Result<Head, ReadError> {
        self.log.head().await
    }

    fn read(&self, from: Position) -> CommitStream {
        let read = Arc::clone(&self.read);
        self.log
            .read(from)
            .inspect(move |_| {
                read.fetch_add(1, Ordering::SeqCst);
            })
            .boxed()
    }

    fn follow(&self, from: Position) -> CommitStream {
        self.log.follow(from)
    }
}

#[tokio::test]
async fn a_follower_slower_than_the_tail_reads_the_log_and_comes_back_without_gap_or_double() {
    let read = Arc::new(AtomicUsize::new(0));
    let counted = CountedReads { log: MemoryLog::new(), read: Arc::clone(&read) };
    let log = TailedLog::new(counted).await.unwrap();
    let mut slow = log.follow(1);
    let mut quick = log.follow(1);
    let first = commits(Head::EMPTY, &[1]);
    log.append(Head::EMPTY, &first).await.unwrap();
    assert_eq!(take(&mut slow, 1).await, first);
    assert_eq!(take(&mut quick, 1).await, first);
    // More than the tail holds, while one of the two does not look.
    let (mut head, mut missed) = (head_of(&first), Vec::new());
    for _ in 0..=2 * HOT_TAIL_EVENTS_MAX / EVENTS_PER_APPEND_MAX {
        let group = commits(head, &[EVENTS_PER_APPEND_MAX / 4; 4]);
        log.append(head, &group).await.unwrap();
        assert_eq!(take(&mut quick, group.len()).await, group);
        head = head_of(&group);
        missed.extend(group);
    }
    assert_eq!(read.load(Ordering::SeqCst), 0, "who keeps up reads from memory only");
    assert_eq!(take(&mut slow, missed.len()).await, missed);
    assert!(read.load(Ordering::SeqCst) > 0, "who was left behind reads the log");
    let before = read.load(Ordering::SeqCst);
    let last = commits(head, &[2, 1]);
    log.append(head, &last).await.unwrap();
    assert_eq!(take(&mut slow, 2).await, last);
    assert_eq!(take(&mut quick, 2).await, last);
    assert_eq!(read.load(Ordering::SeqCst), before, "and is back in memory afterwards");
}

#[tokio::test]
async fn all_followers_see_what_another_process_appends() {
    let memory = MemoryLog::new();
    let log = TailedLog::new(memory.clone()).await.unwrap();
    let all = commits(Head::EMPTY, &[1, 2, 1, 1]);
    let mut followed = [log.follow(1), log.follow(1)];
    memory.append(Head::EMPTY, &all[..2]).await.unwrap();
    for followed in &mut followed {
        assert_eq!(take(followed, 2).await, all[..2]);
    }
    // Then this process goes on behind it, and then the other again.
    log.append(head_of(&all[..2]), &all[2..3]).await.unwrap();
    memory.append(head_of(&all[..3]), &all[3..]).await.unwrap();
    for followed in &mut followed {
        assert_eq!(take(followed, 2).await, all[2..]);
    }
}

#[tokio::test]
async fn each_injected_fault_does_what_it_says() {
    let log = MemoryLog::new();
    let all = commits(Head::EMPTY, &[1, 1, 1, 1]);
    let head = |count: usize| head_of(&all[..count]);
    for fault in [Fault::Spared, Fault::AnswerLost, Fault::RequestLost, Fault::Failed] {
        log.inject(fault);
    }
    log.append(head(0), &all[..1]).await.unwrap();
    assert_eq!(log.head().await.unwrap(), head(1));

    let lost = log.append(head(1), &all[1..2]).await;
    assert!(matches!(lost, Err(AppendError::Unknown(_))), "{lost:?}");
    assert_eq!(log.head().await.unwrap(), head(2), "it was stored though nobody was told");

    let lost = log.append(head(2), &all[2..3]).await;
    assert!(matches!(lost, Err(AppendError::Unknown(_))), "{lost:?}");
    assert_eq!(log.head().await.unwrap(), head(2), "it never arrived");

    for _ in 0..2 {
        let failed = log.append(head(2), &all[2..3]).await;
        assert!(matches!(failed, Err(AppendError::Failed(_))), "nothing is stored from then on: {failed:?}");
    }
    assert_eq!(log.head().await.unwrap(), head(2));
    log.restart();
    log.append(head(2), &all[2..]).await.unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log);
    assert_eq!(read_all(&log, 1).await.unwrap(), all);
}
