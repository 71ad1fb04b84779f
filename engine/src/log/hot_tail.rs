//! The last commits of a log in memory, so that those who follow it closely need neither its disk nor its broker.
//!
//! The log that owns a tail pushes what became durable; [`HotTail::follow`] gives a follower the commits from
//! here while its position is inside, and from the log's own reading while it is behind, without gap or double.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use events::{Commit, Head, Position};
use futures::StreamExt;
use futures::stream;
use tokio::sync::watch;

use super::{CommitStream, ReadError, resumed};

/// Most events that a tail keeps: some seconds of a busy market, some tens of MB.
pub const HOT_TAIL_EVENTS_MAX: usize = 8192;

/// Most commits that a follower takes at once, so that it holds the lock for microseconds.
const COMMITS_PER_TAKE_MAX: usize = 64;

/// The last commits of a log, and its head.
pub struct HotTail {
    kept: Mutex<Kept>,
    head: watch::Sender<Head>,
}

#[derive(Default)]
struct Kept {
    commits: VecDeque<Arc<Commit>>,
    events: usize,
    /// Why nothing can follow.
    failure: Option<ReadError>,
}

/// What a tail holds from a position on.
enum Found {
    /// These commits, the first of them at the position.
    Commits(VecDeque<Arc<Commit>>),
    /// Nothing yet: the position is right behind the head.
    NothingYet,
    /// The tail begins later; the log has to be read.
    Older,
}

impl HotTail {
    /// Makes an empty tail of a log that ends at `head`.
    pub fn new(head: Head) -> Self {
        HotTail { kept: Mutex::default(), head: watch::Sender::new(head) }
    }

    /// Takes commits that have become durable, in the order of the log, and wakes the followers.
    ///
    /// # Panics
    /// If they do not stand right behind the head.
    pub fn push(&self, commits: &[Arc<Commit>]) {
        let Some(first) = commits.first() else { return };
        let fits = first.first_position() == self.head().position + 1;
        assert!(fits && self.offer(commits), "a tail is fed without gap or double");
    }

    /// Takes those of `commits`, which are durable and in the order of the log, that stand behind the head, and wakes the
    /// followers. With a gap before them it takes nothing, and says so by `false`. For a log that is fed from two sides:
    /// what one has brought, the other brings in vain.
    pub fn offer(&self, commits: &[Arc<Commit>]) -> bool {
        let mut kept = self.lock();
        let head = self.head().position;
        let known = commits.partition_point(|commit| commit.first_position() <= head);
        let (Some(first), Some(last)) = (commits.get(known), commits.last()) else { return true };
        if first.first_position() != head + 1 {
            return false;
        }
        for commit in &commits[known..] {
            kept.events += commit.events().len();
            kept.commits.push_back(Arc::clone(commit));
        }
        while kept.events > HOT_TAIL_EVENTS_MAX
            && let Some(oldest) = kept.commits.pop_front()
        {
            kept.events -= oldest.events().len();
        }
        // Under the lock, so that whoever sees the head finds its commits too.
        self.head.send_replace(last.head());
        true
    }

    /// Moves the head without the commits before it, which then have to be read from the log. For a log whose
    /// end was found out in another way than by appending to it.
    pub fn skip_to(&self, head: Head) {
        let mut kept = self.lock();
        *kept = Kept::default();
        self.head.send_replace(head);
    }

    /// Tells the followers that nothing can follow: each that comes to the head gets this error.
    pub fn fail(&self, error: ReadError) {
        self.lock().failure = Some(error);
        self.head.send_modify(|_| ());
    }

    /// Gives the head of what is durable.
    pub fn head(&self) -> Head {
        *self.head.borrow()
    }

    /// Gives a receiver that sees every change of the head.
    pub fn subscribe(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// Gives the commit that begins at `first`, if the tail still holds it.
    pub fn commit(&self, first: Position) -> Option<Arc<Commit>> {
        let kept = self.lock();
        let at = kept.commits.binary_search_by_key(&first, |commit| commit.first_position()).ok()?;
        kept.commits.get(at).cloned()
    }

    /// Follows the log from `from` on. `read` is the log's own reading, used while the follower is behind what
    /// the tail holds.
    pub fn follow<R>(self: Arc<Self>, from: Position, read: R) -> CommitStream
    where
        R: Fn(Position) -> CommitStream + Clone + Send + 'static,
    {
        // Who comes again has been given what stands before.
        resumed(from, move |next| Arc::clone(&self).follow_while_readable(next, next > from, read.clone()))
    }

    fn follow_while_readable<R>(self: Arc<Self>, from: Position, is_under_way: bool, read: R) -> CommitStream
    where
        R: Fn(Position) -> CommitStream + Send + 'static,
    {
        let follower = Follower {
            changes: self.subscribe(),
            tail: self,
            read,
            next: from,
            is_under_way,
            taken: VecDeque::new(),
            reading: None,
        };
        stream::unfold(Some(follower), |follower| async move {
            let mut follower = follower?;
            match follower.next().await {
                Ok(commit) => Some((Ok(commit), Some(follower))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics between two changes that belong together.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, from: Position) -> Result<Found, ReadError> {
        let kept = self.lock();
        let head = self.head().position;
        if from > head {
            return match &kept.failure {
                Some(failure) => Err(failure.again(from)),
                None if from > head + 1 => Err(ReadError::Beyond { from, head }),
                None => Ok(Found::NothingYet),
            };
        }
        match kept.commits.front() {
            Some(oldest) if oldest.first_position() <= from => {}
            _ => return Ok(Found::Older),
        }
        let at = kept
            .commits
            .binary_search_by_key(&from, |commit| commit.first_position())
            .map_err(|_| ReadError::NotACommit { from })?;
        Ok(Found::Commits(kept.commits.iter().skip(at).take(COMMITS_PER_TAKE_MAX).cloned().collect()))
    }
}

struct Follower<R> {
    tail: Arc<HotTail>,
    changes: watch::Receiver<Head>,
    read: R,
    /// Where the next commit begins.
    next: Position,
    /// It was given what stands before; so a commit does begin there, or will.
    is_under_way: bool,
    taken: VecDeque<Arc<Commit>>,
    reading: Option<CommitStream>,
}

impl<R: Fn(Position) -> CommitStream + Send> Follower<R> {
    async fn next(&mut self) -> Result<Arc<Commit>, ReadError> {
        loop {
            if let Some(commit) = self.taken.pop_front() {
                return Ok(self.give(commit));
            }
            if let Some(reading) = &mut self.reading {
                match reading.next().await {
                    Some(commit) => return Ok(self.give(commit?)),
                    None => self.reading = None,
                }
            }
            // Marked as seen before looking, so that no change between looking and waiting is missed.
            self.changes.borrow_and_update();
            let found = match self.tail.find(self.next) {
                // What was read may be further on than what the tail has heard of, if another process appends.
                Err(ReadError::Beyond { .. }) if self.is_under_way => Found::NothingYet,
                found => found?,
            };
            match found {
                Found::Commits(commits) => self.taken = commits,
                Found::Older => self.reading = Some((self.read)(self.next)),
                Found::NothingYet => {
                    self.changes.changed().await.expect("this follower holds the tail, which is the sender");
                }
            }
        }
    }

    fn give(&mut self, commit: Arc<Commit>) -> Arc<Commit> {
        self.next = commit.head().position + 1;
        self.is_under_way = true;
        commit
    }
}
