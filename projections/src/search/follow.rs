//! How the search follows the view of listings: numbers at once, with the view's own batch; words a moment later, on a thread
//! of their own, many in one commit of the index.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use events::Position;
use events::ids::ListingId;
use events::listing::ListingStatus;
use sled::Tree;

use super::index::{Checkpoint, Reader, Writer};
use super::synonyms::Synonyms;
use super::{Inner, SearchState};
use crate::listing::{ROWS, words};
use crate::runner;
use crate::store::Slot;
use crate::view::{Touched, ViewError, ViewName};

/// Least time between two commits of the index, unless somebody waits: each commit makes a segment, and segments are merged.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// Most changes of words that one commit takes in.
const CHANGES_PER_COMMIT_MAX: usize = 16_384;
/// Listings that are read at once while the view's follower waits.
const LISTINGS_PER_READING: usize = 256;

/// What the thread waits for.
#[derive(Default)]
pub(super) struct Signal {
    /// Words changed.
    pub(super) is_behind: bool,
    /// Somebody waits for them.
    pub(super) is_wanted: bool,
    /// The search ends.
    pub(super) is_over: bool,
}

/// Why the index does not follow.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    #[error(transparent)]
    View(#[from] ViewError),
    #[error(
        "the index of words failed: mend the disk and start again; the index can be deleted and is made again"
    )]
    Index(#[from] tantivy::TantivyError),
}

impl Inner {
    /// Takes in what a batch of the view has changed. Called by the view's follower, in the order of the batches, before
    /// anybody is told of the batch.
    pub(crate) fn take(&self, tree: &Tree, touched: &Touched) -> Result<(), ViewError> {
        for listing in &touched.listings {
            if let Some(offer) = ROWS.offer(tree, *listing)? {
                self.columns.store(&offer, words::orders(tree, *listing)?);
            }
        }
        for account in &touched.accounts {
            self.columns.store_standing(*account, ROWS.standing(tree, *account)?.may_sell());
        }
        if touched.synonyms {
            self.take_synonyms(tree)?;
        }
        if touched.words_at > self.changed_at.fetch_max(touched.words_at, Ordering::AcqRel) {
            let mut behind_since = self.behind_since.lock().unwrap_or_else(PoisonError::into_inner);
            behind_since.get_or_insert_with(Instant::now);
            drop(behind_since);
            self.signal(|signal| signal.is_behind = true);
        }
        Ok(())
    }

    fn take_synonyms(&self, tree: &Tree) -> Result<(), ViewError> {
        let known = Arc::new(Synonyms::new(&words::synonyms(tree)?.groups));
        *self.synonyms.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// Has the follower look whether the view is another build.
    pub(crate) fn look_again(&self) {
        self.signal(|signal| signal.is_behind = true);
    }

    fn is_over(&self) -> bool {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner).is_over
    }

    pub(super) fn signal(&self, change: impl FnOnce(&mut Signal)) {
        change(&mut self.signal.lock().unwrap_or_else(PoisonError::into_inner));
        self.signalled.notify_one();
    }

    /// Waits until there is something to do, at least [`COMMIT_EVERY`] behind `last` unless somebody waits. False: the search
    /// is over.
    fn wait(&self, last: Instant) -> bool {
        let mut signal = self.signal.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = COMMIT_EVERY.saturating_sub(last.elapsed());
            if signal.is_over {
                return false;
            }
            if signal.is_wanted || (signal.is_behind && left.is_zero()) {
                (signal.is_wanted, signal.is_behind) = (false, false);
                return true;
            }
            signal = if signal.is_behind {
                let waited = self.signalled.wait_timeout(signal, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else {
                self.signalled.wait(signal).unwrap_or_else(PoisonError::into_inner)
            };
        }
    }
}

/// Follows the view until the search is over.
pub(super) struct Follower {
    pub(super) views: Arc<runner::Inner>,
    pub(super) inner: Arc<Inner>,
    pub(super) writer: Writer,
    pub(super) reader: Reader,
    /// Which build of the view is in the index.
    pub(super) generation: u64,
    /// How far its changes of words are.
    pub(super) indexed: Position,
}

impl Follower {
    pub(super) fn run(mut self) {
        let mut ending =
            Ending { inner: Arc::clone(&self.inner), reason: "its thread was broken off".to_owned() };
        ending.reason = match self.follow() {
            Ok(()) => "it was told to stop".to_owned(),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the search stands still");
                events::with_causes(&error)
            }
        };
        if let Err(error) = self.writer.close() {
            tracing::warn!(%error, "segments of the index of words were not put together");
        }
    }

    fn follow(&mut self) -> Result<(), FollowError> {
        self.fill()?;
        let mut last = Instant::now();
        self.catch_up()?;
        self.publish()?;
        self.inner.state.send_replace(SearchState::Running);
        while self.inner.wait(last) {
            last = Instant::now();
            self.catch_up()?;
        }
        Ok(())
    }

    fn slot(&self) -> &Slot {
        self.views.store.slot(ViewName::Listings)
    }

    /// Reads the numbers of every listing. The view's follower waits a moment at a time, and what it changes meanwhile it
    /// stores itself.
    fn fill(&self) -> Result<(), ViewError> {
        {
            let slot = self.slot();
            let _writer = slot.write();
            self.inner.take_synonyms(&slot.read().tree)?;
        }
        let mut after = None;
        loop {
            let slot = self.slot();
            let _writer = slot.write();
            let tree = &slot.read().tree;
            let some = words::listings_behind(tree, after, LISTINGS_PER_READING)?;
            for listing in &some {
                if let Some(offer) = ROWS.offer(tree, *listing)? {
                    self.inner.columns.store(&offer, words::orders(tree, *listing)?);
                }
            }
            after = some.last().copied();
            if some.len() < LISTINGS_PER_READING || self.inner.is_over() {
                return Ok(());
            }
        }
    }

    /// Takes into the index what has changed in the view.
    fn catch_up(&mut self) -> Result<(), FollowError> {
        loop {
            let (generation, head, changes) = {
                let live = self.slot().read();
                let from = if live.number == self.generation { self.indexed } else { live.head.position };
                (live.number, live.head, words::changed_behind(&live.tree, from, CHANGES_PER_COMMIT_MAX)?)
            };
            if generation != self.generation {
                // The view was built again: so is all that was made of it. Until it is there, the old index answers.
                (self.generation, self.indexed) = (generation, 0);
                self.writer.clear()?;
                self.fill()?;
                continue;
            }
            let Some(&(newest, _)) = changes.last() else {
                self.has_indexed(head.position);
                return Ok(());
            };
            let is_all = changes.len() < CHANGES_PER_COMMIT_MAX;
            let listings: BTreeSet<ListingId> = changes.into_iter().map(|(_, listing)| listing).collect();
            self.put(listings.into_iter().collect())?;
            self.writer.commit(Checkpoint::new(generation, newest, head))?;
            self.inner.changed_at.fetch_max(newest, Ordering::AcqRel);
            self.publish()?;
            self.has_indexed(if is_all { head.position } else { newest });
            if is_all || self.inner.is_over() {
                return Ok(());
            }
        }
    }

    fn put(&self, listings: Vec<ListingId>) -> Result<(), FollowError> {
        for some in listings.chunks(LISTINGS_PER_READING) {
            let offers: Result<Vec<_>, ViewError> = {
                let tree = &self.slot().read().tree;
                some.iter().filter_map(|listing| ROWS.offer(tree, *listing).transpose()).collect()
            };
            for offer in offers? {
                match offer.listing.status() {
                    // For good.
                    ListingStatus::Withdrawn => self.writer.remove(offer.words.number),
                    _ => self.writer.put(&offer)?,
                }
            }
        }
        Ok(())
    }

    /// Lets searches see what was committed.
    fn publish(&mut self) -> Result<(), FollowError> {
        let snapshot = Arc::new(self.reader.snapshot()?);
        metrics::gauge!("skylink_search_segments").set(snapshot.segments.len() as f64);
        let before = {
            let mut published = self.inner.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *published, snapshot)
        };
        // Segments that were put together go with it, which takes a moment that searches need not wait for.
        drop(before);
        Ok(())
    }

    fn has_indexed(&mut self, position: Position) {
        self.indexed = position;
        let mut behind_since = self.inner.behind_since.lock().unwrap_or_else(PoisonError::into_inner);
        let is_behind = self.inner.changed_at.load(Ordering::Acquire) > position;
        *behind_since = is_behind.then(Instant::now);
        drop(behind_since);
        self.inner.indexed.send_replace(position);
    }
}

/// Says why the search ended, when it is dropped: a thread that panics says so too.
struct Ending {
    inner: Arc<Inner>,
    reason: String,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.inner.state.send_replace(SearchState::Stopped(std::mem::take(&mut self.reason)));
    }
}
