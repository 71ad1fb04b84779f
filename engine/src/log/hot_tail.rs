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

use super::{CommitStream, ReadError};

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
        let Some(last) = commits.last() else { return };
        let mut kept = self.lock();
        assert_eq!(
            commits[0].first_position(),
            self.head().position + 1,
            "a tail is fed without gap or double"
        );
        for commit in commits {
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
    }

    /// Moves the head without the commits before it, which then have to be read from the log. For a log whose
    /// end was found out in another way than by appending to it.
    pub fn skip_to(&self, head: Head) {
        let mut kept = self.lock();
        *kept = Kept::default();
        self.head.send_replace(head);
    }

    /// Gives the head of what is durable.
    pub fn head(&self) -> Head {
        *self.head.borrow()
    }

    /// Gives a receiver that sees every change of the head.
    pub fn subscribe(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// Follows the log from `from` on. `read` is the log's own reading, used while the follower is behind what
    /// the tail holds.
    pub fn follow<R>(self: Arc<Self>, from: Position, read: R) -> CommitStream
    where
        R: Fn(Position) -> CommitStream + Send + 'static,
    {
        let follower = Follower {
            changes: self.subscribe(),
            tail: self,
            read,
            next: from,
            last: None,
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
        if from > head + 1 {
            return Err(ReadError::Beyond { from, head });
        }
        if from == head + 1 {
            return Ok(Found::NothingYet);
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
    /// The head behind the commit given last.
    last: Option<Head>,
    taken: VecDeque<Arc<Commit>>,
    reading: Option<CommitStream>,
}

impl<R: Fn(Position) -> CommitStream + Send> Follower<R> {
    async fn next(&mut self) -> Result<Arc<Commit>, ReadError> {
        loop {
            if let Some(commit) = self.taken.pop_front() {
                return self.give(commit);
            }
            if let Some(reading) = &mut self.reading {
                match reading.next().await {
                    Some(commit) => return self.give(commit?),
                    None => self.reading = None,
                }
            }
            // Marked as seen before looking, so that no change between looking and waiting is missed.
            self.changes.borrow_and_update();
            match self.tail.find(self.next)? {
                Found::Commits(commits) => self.taken = commits,
                Found::Older => self.reading = Some((self.read)(self.next)),
                Found::NothingYet => {
                    self.changes.changed().await.expect("this follower holds the tail, which is the sender");
                }
            }
        }
    }

    fn give(&mut self, commit: Arc<Commit>) -> Result<Arc<Commit>, ReadError> {
        if let Some(last) = self.last {
            commit.check_follows(last)?;
        }
        let head = commit.head();
        self.next = head.position + 1;
        self.last = Some(head);
        Ok(commit)
    }
}
