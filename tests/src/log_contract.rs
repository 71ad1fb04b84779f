//! The contract of [`EventLog`], as one suite that runs over every implementation.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::log::{AppendError, CommitStream, EVENTS_PER_APPEND_MAX, EventLog, ReadError};
use events::account::{Registered, Role};
use events::commit::{ChainError, Seal};
use events::ids::{AccountId, CommitId, MarketName, WriterId};
use events::metadata::{Cause, EVENTS_PER_COMMIT_MAX};
use events::{Commit, Event, Head, Position, Timestamp};
use futures::{StreamExt, TryStreamExt};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// How long a log may take to give what it has; only a broken one needs it.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an append is repeated; a cluster that lost its leader needs up to 9 s for the next.
const APPEND_TIME_MAX: Duration = Duration::from_secs(60);

/// Pause before an append is repeated.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Makes logs of one implementation.
#[async_trait]
pub trait LogFactory: Send + Sync {
    /// Makes the place of a new, empty log.
    async fn home(&self) -> Box<dyn LogHome>;
}

/// Where one log lives, whether it is open or not.
#[async_trait]
pub trait LogHome: Send + Sync {
    /// Opens the log to write it, anew after every handle of it was dropped.
    async fn open(&self) -> Arc<dyn EventLog>;

    /// Gives a second handle of the log that `first` is one of; both may append.
    async fn second(&self, first: &Arc<dyn EventLog>) -> Arc<dyn EventLog>;

    /// Puts a commit at the log's end past all checks, while no handle of it is open.
    async fn forge(&self, commit: Arc<Commit>);
}

/// The market that all these logs are of.
pub fn market() -> MarketName {
    "main".parse().expect("it is a market's name")
}

/// Makes the commit of `writer` behind `head` with `count` small events.
pub fn commit_by(writer: u128, head: Head, count: usize) -> Arc<Commit> {
    let writer = WriterId::from_uuid(Uuid::from_u128(writer));
    let time = Timestamp::from_ms(1_753_783_200_000 + head.position as i64);
    let registered = |n: u64| -> Event {
        let account = AccountId::from_uuid(Uuid::from_u128(u128::from(head.position + 1 + n)));
        Registered { account, roles: [Role::Buyer].into() }.into()
    };
    let seal = Seal {
        id: CommitId::derive(writer, head.position + 1, time),
        market: market(),
        time,
        cause: Cause::Writer(writer),
        traceparent: None,
    };
    Arc::new(Commit::seal(head, seal, (0..count as u64).map(registered).collect()))
}

/// Makes commits behind `head` with as many events as `counts` say.
pub fn commits(head: Head, counts: &[usize]) -> Vec<Arc<Commit>> {
    let mut head = head;
    let next = |count: &usize| {
        let commit = commit_by(1, head, *count);
        head = commit.head();
        commit
    };
    counts.iter().map(next).collect()
}

/// Gives the head behind the last of `commits`.
pub fn head_of(commits: &[Arc<Commit>]) -> Head {
    commits.last().map_or(Head::EMPTY, |commit| commit.head())
}

/// Appends as the engine's writer does: again while the outcome is unknown, as it is while a cluster elects a leader or one
/// of its brokers has not heard of a new stream. A conflict behind that with the same commits means that they are stored.
pub async fn append(log: &dyn EventLog, expected: Head, commits: &[Arc<Commit>]) -> Result<(), AppendError> {
    let deadline = Instant::now() + APPEND_TIME_MAX;
    let mut was_unknown = false;
    loop {
        match log.append(expected, commits).await {
            Err(AppendError::Unknown(_)) if Instant::now() < deadline => was_unknown = true,
            Err(AppendError::Conflict { .. }) if was_unknown => {
                let there = log.commit(expected.position + 1).await;
                let is_stored = matches!(there, Ok(Some(there)) if there.id() == commits[0].id());
                return if is_stored {
                    Ok(())
                } else {
                    Err(AppendError::Conflict { expected: expected.position })
                };
            }
            known => return known,
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Reads all that `log` gives from `from` on.
pub async fn read_all(log: &Arc<dyn EventLog>, from: Position) -> Result<Vec<Arc<Commit>>, ReadError> {
    tokio::time::timeout(PATIENCE, log.read(from).try_collect()).await.expect("reading ends")
}

/// Takes the next `count` commits of a stream that follows.
pub async fn take(stream: &mut CommitStream, count: usize) -> Vec<Arc<Commit>> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let next = tokio::time::timeout(PATIENCE, stream.next()).await.expect("a follower is woken");
        taken.push(next.expect("following never ends").expect("the log is sound"));
    }
    taken
}

/// Runs the whole contract over the logs that `factory` makes.
pub async fn contract(factory: impl LogFactory) {
    an_empty_log_has_nothing(&*factory.home().await).await;
    what_is_appended_is_read_in_order(&*factory.home().await).await;
    reading_starts_at_any_commit_and_nowhere_else(&*factory.home().await).await;
    one_commit_is_read_alone(&*factory.home().await).await;
    what_is_prepared_is_stored_by_its_append_only(&*factory.home().await).await;
    what_is_prepared_while_an_append_is_under_way_waits_for_its_own(&*factory.home().await).await;
    a_conflict_stores_nothing(&*factory.home().await).await;
    repeating_an_append_is_harmless(&*factory.home().await).await;
    a_foreign_append_is_a_conflict(&*factory.home().await).await;
    the_largest_commits_and_groups_are_whole(&*factory.home().await).await;
    reading_ends_at_the_head_of_the_call(&*factory.home().await).await;
    following_sees_what_comes_later(&*factory.home().await).await;
    following_sees_what_another_appends(&*factory.home().await).await;
    many_follow_from_anywhere(&*factory.home().await).await;
    following_starts_only_where_reading_does(&*factory.home().await).await;
    reopening_keeps_everything(&*factory.home().await).await;
    a_broken_chain_is_found(&*factory.home().await).await;
}

async fn an_empty_log_has_nothing(home: &dyn LogHome) {
    let log = home.open().await;
    assert_eq!(log.head().await.expect("the head is known"), Head::EMPTY);
    assert_eq!(read_all(&log, 1).await.expect("an empty log can be read"), []);
    assert!(matches!(read_all(&log, 2).await, Err(ReadError::Beyond { from: 2, head: 0 })));
    append(&*log, Head::EMPTY, &[]).await.expect("nothing can be appended anywhere");
    assert_eq!(log.head().await.expect("the head is known"), Head::EMPTY);
}

async fn what_is_appended_is_read_in_order(home: &dyn LogHome) {
    let log = home.open().await;
    let all = commits(Head::EMPTY, &[1, 3, 2, 1, 5]);
    append(&*log, Head::EMPTY, &all[..3]).await.expect("the head is right");
    append(&*log, head_of(&all[..3]), &all[3..]).await.expect("the head is right");
    assert_eq!(log.head().await.expect("the head is known"), head_of(&all));
    assert_eq!(read_all(&log, 1).await.expect("the log is sound"), all);
}

async fn reading_starts_at_any_commit_and_nowhere_else(home: &dyn LogHome) {
    let log = home.open().await;
    let all = commits(Head::EMPTY, &[1, 3, 2, 1, 5]);
    append(&*log, Head::EMPTY, &all[..4]).await.expect("the head is right");
    append(&*log, head_of(&all[..4]), &all[4..]).await.expect("the head is right");
    for from in 0..=16 {
        let read = read_all(&log, from).await;
        match all.iter().position(|commit| commit.first_position() == from) {
            Some(at) => assert_eq!(read.expect("a commit begins here"), all[at..], "from {from}"),
            None if from == 13 => assert_eq!(read.expect("it is right behind the head"), []),
            None if from > 13 => {
                assert!(matches!(read, Err(ReadError::Beyond { head: 12, .. })), "from {from}: {read:?}");
            }
            None => {
                assert!(matches!(read, Err(ReadError::NotACommit { .. })), "from {from}: {read:?}");
            }
        }
    }
}

async fn one_commit_is_read_alone(home: &dyn LogHome) {
    let log = home.open().await;
    let all = commits(Head::EMPTY, &[1, 3, 2, 1, 5]);
    append(&*log, Head::EMPTY, &all[..4]).await.expect("the head is right");
    append(&*log, head_of(&all[..4]), &all[4..]).await.expect("the head is right");
    drop(log);
    // Opened anew, so that nothing is in memory.
    let log = home.open().await;
    for first in 0..=16 {
        let found = log.commit(first).await;
        match all.iter().find(|commit| commit.first_position() == first) {
            Some(commit) => assert_eq!(found.expect("a commit begins here").as_ref(), Some(commit)),
            None if first > 12 => assert_eq!(found.expect("the log ends before"), None, "from {first}"),
            None => assert!(matches!(found, Err(ReadError::NotACommit { .. })), "from {first}: {found:?}"),
        }
    }
}

async fn what_is_prepared_is_stored_by_its_append_only(home: &dyn LogHome) {
    let log = home.open().await;
    let all = commits(Head::EMPTY, &[2, 3, 1, 2, 4, 2]);
    let (first, second) = (head_of(&all[..3]), head_of(&all[..5]));
    log.prepare(Head::EMPTY, &all[..2]).await;
    assert_eq!(log.head().await.expect("the head is known"), Head::EMPTY);
    assert_eq!(read_all(&log, 1).await.expect("the log is sound"), []);
    append(&*log, Head::EMPTY, &all[..3]).await.expect("more came than was prepared");
    log.prepare(first, &all[3..5]).await;
    append(&*log, first, &all[3..5]).await.expect("just what was prepared came");
    let other = commit_by(2, second, 3);
    log.prepare(second, &[other]).await;
    append(&*log, second, &all[5..]).await.expect("something else came than was prepared");
    assert_eq!(read_all(&log, 1).await.expect("the log is sound"), all);

    let (head, two) = (head_of(&all), home.second(&log).await);
    let (ours, theirs) = (commit_by(1, head, 2), commit_by(2, head, 2));
    log.prepare(head, std::slice::from_ref(&ours)).await;
    append(&*two, head, std::slice::from_ref(&theirs))
        .await
        .expect("what is prepared keeps nobody from writing");
    let refused = append(&*log, head, &[ours]).await;
    assert!(matches!(refused, Err(AppendError::Conflict { .. })), "{refused:?}");
    assert_eq!(read_all(&two, 13 + 2).await.expect("the log is sound"), [theirs]);
}

async fn what_is_prepared_while_an_append_is_under_way_waits_for_its_own(home: &dyn LogHome) {
    let log = home.open().await;
    let all = commits(Head::EMPTY, &[2, 3, 2]);
    let first = head_of(&all[..1]);
    log.prepare(first, &all[1..2]).await;
    assert_eq!(log.head().await.expect("the head is known"), Head::EMPTY);
    append(&*log, Head::EMPTY, &all[..1]).await.expect("what is prepared for the next is not in the way");
    // As after a lost answer.
    let again = append(&*log, Head::EMPTY, &all[..1]).await;
    assert!(matches!(again, Err(AppendError::Conflict { .. })), "{again:?}");
    append(&*log, first, &all[1..]).await.expect("it was prepared for");
    assert_eq!(read_all(&log, 1).await.expect("the log is sound"), all);
}

async fn a_conflict_stores_nothing(home: &dyn LogHome) {
    let log = home.open().await;
    let first = commits(Head::EMPTY, &[2]);
    append(&*log, Head::EMPTY, &first).await.expect("the head is right");
    let other = commit_by(2, Head::EMPTY, 3);
    let conflict = append(&*log, Head::EMPTY, &[Arc::clone(&other)]).await;
    assert!(matches!(conflict, Err(AppendError::Conflict { expected: 0 })), "{conflict:?}");
    let ahead = commits(other.head(), &[1, 1]);
    let conflict = append(&*log, other.head(), &ahead).await;
    assert!(matches!(conflict, Err(AppendError::Conflict { expected: 3 })), "{conflict:?}");
    assert_eq!(read_all(&log, 1).await.expect("the log is sound"), first);
    let next = commits(head_of(&first), &[1]);
    append(&*log, head_of(&first), &next).await.expect("a conflict does not stop the log");
}

async fn repeating_an_append_is_harmless(home: &dyn LogHome) {
    let log = home.open().await;
    let all = commits(Head::EMPTY, &[1, 2]);
    append(&*log, Head::EMPTY, &all[..1]).await.expect("the head is right");
    append(&*log, head_of(&all[..1]), &all[1..]).await.expect("the head is right");
    let again = append(&*log, head_of(&all[..1]), &all[1..]).await;
    assert!(matches!(again, Err(AppendError::Conflict { expected: 1 })), "{again:?}");
    assert_eq!(read_all(&log, 1).await.expect("the log is sound"), all);
}

async fn a_foreign_append_is_a_conflict(home: &dyn LogHome) {
    let ours = home.open().await;
    let theirs = home.second(&ours).await;
    let before = commits(Head::EMPTY, &[1]);
    append(&*ours, Head::EMPTY, &before).await.expect("the head is right");
    let head = head_of(&before);
    let foreign = commit_by(2, head, 2);
    append(&*theirs, head, &[Arc::clone(&foreign)]).await.expect("the head is right");
    let conflict = append(&*ours, head, &[commit_by(1, head, 1)]).await;
    assert!(matches!(conflict, Err(AppendError::Conflict { expected: 1 })), "{conflict:?}");
    assert_eq!(read_all(&ours, 2).await.expect("the log is sound"), [Arc::clone(&foreign)]);
    assert_eq!(ours.head().await.expect("the head is known"), foreign.head());
}

async fn the_largest_commits_and_groups_are_whole(home: &dyn LogHome) {
    let log = home.open().await;
    let rest = EVENTS_PER_APPEND_MAX - 2 * EVENTS_PER_COMMIT_MAX;
    let largest = commits(Head::EMPTY, &[EVENTS_PER_COMMIT_MAX, EVENTS_PER_COMMIT_MAX, rest]);
    append(&*log, Head::EMPTY, &largest).await.expect("as many events as an append may have");
    let head = head_of(&largest);
    let many = commits(head, &vec![1; EVENTS_PER_APPEND_MAX]);
    append(&*log, head, &many).await.expect("as many commits as an append may have");
    let all = [largest, many].concat();
    assert_eq!(read_all(&log, 1).await.expect("the log is sound"), all);
    assert_eq!(read_all(&log, 401).await.expect("the log is sound"), all[1..]);
    assert_eq!(read_all(&log, 1500).await.expect("the log is sound"), all[502..]);
}

async fn reading_ends_at_the_head_of_the_call(home: &dyn LogHome) {
    let log = home.open().await;
    let all = commits(Head::EMPTY, &[2, 2]);
    append(&*log, Head::EMPTY, &all[..1]).await.expect("the head is right");
    let mut reading = log.read(1);
    let first = reading.try_next().await.expect("the log is sound");
    append(&*log, head_of(&all[..1]), &all[1..]).await.expect("the head is right");
    assert_eq!(first.as_ref(), all.first());
    assert_eq!(reading.try_next().await.expect("the log is sound"), None);
}

async fn following_sees_what_comes_later(home: &dyn LogHome) {
    let log = home.open().await;
    let mut early = log.follow(1);
    let waiting = tokio::spawn(async move {
        let taken = take(&mut early, 4).await;
        (taken, early)
    });
    let all = commits(Head::EMPTY, &[1, 2, 1, 3, 1]);
    append(&*log, Head::EMPTY, &all[..1]).await.expect("the head is right");
    append(&*log, head_of(&all[..1]), &all[1..3]).await.expect("the head is right");
    append(&*log, head_of(&all[..3]), &all[3..4]).await.expect("the head is right");
    let (taken, mut early) = waiting.await.expect("the follower does not panic");
    assert_eq!(taken, all[..4]);
    append(&*log, head_of(&all[..4]), &all[4..]).await.expect("the head is right");
    assert_eq!(take(&mut early, 1).await, all[4..]);
    assert_eq!(take(&mut log.follow(5), 2).await, all[3..]);
}

async fn following_sees_what_another_appends(home: &dyn LogHome) {
    let ours = home.open().await;
    let theirs = home.second(&ours).await;
    let all = commits(Head::EMPTY, &[1, 2, 1, 2]);
    let (mut early, mut late) = (ours.follow(1), theirs.follow(1));
    for at in 0..all.len() {
        let log = if at % 2 == 0 { &ours } else { &theirs };
        append(&**log, head_of(&all[..at]), &all[at..=at]).await.expect("the head is right");
    }
    assert_eq!(take(&mut early, all.len()).await, all);
    assert_eq!(take(&mut late, all.len()).await, all);
}

async fn many_follow_from_anywhere(home: &dyn LogHome) {
    let log = home.open().await;
    let all = commits(Head::EMPTY, &[3; 60]);
    append(&*log, Head::EMPTY, &all[..20]).await.expect("the head is right");
    let followers: Vec<_> = (0..20)
        .map(|n| {
            let mut stream = log.follow(1 + 3 * n as u64);
            tokio::spawn(async move { (n, take(&mut stream, 60 - n).await) })
        })
        .collect();
    for at in 20..60 {
        append(&*log, head_of(&all[..at]), &all[at..=at]).await.expect("the head is right");
    }
    for follower in followers {
        let (n, taken) = follower.await.expect("a follower does not panic");
        assert_eq!(taken, all[n..], "follower from commit {n}");
    }
}

async fn following_starts_only_where_reading_does(home: &dyn LogHome) {
    let log = home.open().await;
    let all = commits(Head::EMPTY, &[3]);
    append(&*log, Head::EMPTY, &all).await.expect("the head is right");
    let inside = log.follow(2).next().await;
    assert!(matches!(inside, Some(Err(ReadError::NotACommit { from: 2 }))), "{inside:?}");
    let mut stream = log.follow(5);
    let beyond = stream.next().await;
    assert!(matches!(beyond, Some(Err(ReadError::Beyond { from: 5, head: 3 }))), "{beyond:?}");
    assert!(stream.next().await.is_none(), "a stream ends after its first error");
}

async fn reopening_keeps_everything(home: &dyn LogHome) {
    let all = commits(Head::EMPTY, &[2, 1, 4, 1]);
    for at in 0..all.len() {
        let log = home.open().await;
        assert_eq!(log.head().await.expect("the head is known"), head_of(&all[..at]));
        assert_eq!(read_all(&log, 1).await.expect("the log is sound"), all[..at]);
        append(&*log, head_of(&all[..at]), &all[at..=at]).await.expect("the head is right");
    }
    let log = home.open().await;
    assert_eq!(take(&mut log.follow(1), 4).await, all);
    assert_eq!(read_all(&log, 3).await.expect("the log is sound"), all[1..]);
}

async fn a_broken_chain_is_found(home: &dyn LogHome) {
    let all = commits(Head::EMPTY, &[1, 2]);
    {
        let log = home.open().await;
        append(&*log, Head::EMPTY, &all).await.expect("the head is right");
    }
    // It stands at the right position but behind another history.
    let other = commits(Head { hash: all[0].head().hash, ..head_of(&all) }, &[2]);
    home.forge(Arc::clone(&other[0])).await;
    let log = home.open().await;
    let mut reading = log.read(1);
    for commit in &all {
        assert_eq!(reading.try_next().await.expect("what stands before is sound").as_ref(), Some(commit));
    }
    let found = reading.next().await;
    let is_broken = matches!(found, Some(Err(ReadError::Chain(ChainError::Broken { position: 4, .. }))));
    assert!(is_broken, "{found:?}");
    assert!(reading.next().await.is_none(), "a stream ends after its first error");
}
