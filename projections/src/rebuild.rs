//! Building a view again from zero, beside the live one, which goes on serving and following the log meanwhile.

use std::sync::Arc;

use events::{Commit, Hash, Head};
use futures::{Stream, StreamExt};
use serde::Serialize;

use crate::fold::{FoldError, Folder, LogMismatch};
use crate::runner::{COMMITS_PER_BATCH_MAX, Exclusive, Inner, Projections, blocking};
use crate::table;
use crate::view::{ViewError, ViewName};

/// What a rebuild has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// The view.
    pub view: ViewName,
    /// Where both stood when they were compared.
    pub head: Head,
    /// Hash of what the view held before.
    pub live_hash: Hash,
    /// Hash of what the log says it must hold, which it holds now.
    pub rebuilt_hash: Hash,
}

impl Rebuilt {
    /// Tells whether the view was what the log says. If not, it was damaged or folded by a defect, and is mended now.
    pub fn is_equal(&self) -> bool {
        self.live_hash == self.rebuilt_hash
    }
}

/// Why a view was not rebuilt. The live one is untouched.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError<E: std::error::Error + 'static> {
    /// The log could not be read. Try again.
    #[error("the log could not be read further; the view is as it was")]
    Log(#[source] E),
    /// The log ended before the live view's checkpoint: give a stream that follows the log, or the log was truncated.
    #[error(
        "the log ended at position {}, before the live view's {}; the view is as it was",
        reached.position,
        live.position
    )]
    Short {
        /// Where the log ended.
        reached: Head,
        /// Where the live view stands.
        live: Head,
    },
    /// The log is not one that starts at its beginning, its chain is broken, or the live view has read another.
    #[error(transparent)]
    Mismatch(#[from] Box<LogMismatch>),
    /// The view can't be folded or stored.
    #[error("the view can't be built; it is as it was")]
    View(#[from] ViewError),
    /// The view is being rebuilt already; wait for that.
    #[error("the view is being rebuilt already")]
    AlreadyRunning,
}

/// What came of folding a chunk.
enum Progress {
    /// The log goes on.
    Behind(Folder),
    /// The new generation is live.
    Swapped(Rebuilt),
}

impl Projections {
    /// Builds `view` again from `stream`, which begins at the log's first position, and swaps it in as soon as it
    /// stands where the live one stands. Before the swap the contents of both are hashed at that same position:
    /// equal hashes prove that the view was the fold of its log.
    ///
    /// [`Projections::run`] may go on meanwhile; the stream must then be one that follows the log, not one that ends
    /// at a head the live view has passed. One rebuild of a view at a time.
    pub async fn rebuild<S, E>(&self, view: ViewName, stream: S) -> Result<Rebuilt, RebuildError<E>>
    where
        S: Stream<Item = Result<Arc<Commit>, E>>,
        E: std::error::Error + 'static,
    {
        let right = Exclusive::start(&self.inner, Some(view)).ok_or(RebuildError::AlreadyRunning)?;
        let mut chunks = std::pin::pin!(stream.ready_chunks(COMMITS_PER_BATCH_MAX));
        let (inner, held) = (Arc::clone(&self.inner), Arc::clone(&right));
        let mut progress = blocking(move || {
            let _held = held;
            let folder = Folder::new(view, inner.store.next_generation(view)?);
            inner.advance(view, folder, &[])
        })
        .await;
        loop {
            let folder = match progress.map_err(RebuildError::from_fold)? {
                Progress::Swapped(rebuilt) => return Ok(rebuilt),
                Progress::Behind(folder) => folder,
            };
            let Some(chunk) = chunks.next().await else {
                return Err(self.give_up(view, folder).await);
            };
            let (commits, failure) = whole_until_error(chunk);
            if let Some(error) = failure {
                self.give_up::<E>(view, folder).await;
                return Err(RebuildError::Log(error));
            }
            let (inner, held) = (Arc::clone(&self.inner), Arc::clone(&right));
            progress = blocking(move || {
                let _held = held;
                inner.advance(view, folder, &commits)
            })
            .await;
        }
    }

    async fn give_up<E: std::error::Error + 'static>(
        &self,
        view: ViewName,
        folder: Folder,
    ) -> RebuildError<E> {
        let inner = Arc::clone(&self.inner);
        let (reached, live) = (folder.generation().head, self.head(view));
        match blocking(move || inner.store.discard(view, folder.into_generation())).await {
            Ok(()) => RebuildError::Short { reached, live },
            Err(error) => error.into(),
        }
    }
}

impl<E: std::error::Error + 'static> RebuildError<E> {
    fn from_fold(error: FoldError) -> Self {
        match error {
            FoldError::Mismatch(mismatch) => mismatch.into(),
            FoldError::View(error) => error.into(),
        }
    }
}

impl From<ViewError> for FoldError {
    fn from(error: ViewError) -> Self {
        FoldError::View(error)
    }
}

impl Inner {
    /// Folds `commits` into the new generation, and swaps where it meets the live one.
    fn advance(
        &self,
        view: ViewName,
        mut folder: Folder,
        mut commits: &[Arc<Commit>],
    ) -> Result<Progress, FoldError> {
        // Each turn either takes commits from the slice or ends the loop.
        loop {
            if let Some(rebuilt) = self.try_swap(view, &folder)? {
                return Ok(Progress::Swapped(rebuilt));
            }
            if commits.is_empty() {
                return Ok(Progress::Behind(folder));
            }
            // Never beyond the live view: the two must meet at one position to be compared.
            let live = self.store.slot(view).read().head.position;
            let count = commits.iter().take_while(|commit| commit.head().position <= live).count();
            if count == 0 {
                // The live view stands inside this commit, or will take it in a moment; it ends at commits only.
                let found = commits[0].head();
                let checkpoint = self.store.slot(view).read().head;
                if checkpoint.position >= found.position {
                    continue;
                }
                return Err(FoldError::Mismatch(Box::new(LogMismatch {
                    view,
                    checkpoint,
                    found,
                    chain: None,
                })));
            }
            let (now, later) = commits.split_at(count);
            if let Some((mut batch, head)) = folder.fold(now)? {
                table::write_checkpoint(&mut batch, view.version(), head);
                folder.generation().tree.apply_batch(batch).map_err(ViewError::from)?;
            }
            commits = later;
        }
    }

    /// Swaps if both generations stand at the same position.
    fn try_swap(&self, view: ViewName, folder: &Folder) -> Result<Option<Rebuilt>, FoldError> {
        let slot = self.store.slot(view);
        let _writer = slot.write();
        let live = slot.read().head;
        let rebuilt = folder.generation();
        if rebuilt.head.position != live.position {
            return Ok(None);
        }
        if rebuilt.head != live {
            let found = rebuilt.head;
            return Err(FoldError::Mismatch(Box::new(LogMismatch {
                view,
                checkpoint: live,
                found,
                chain: None,
            })));
        }
        let (_, live_hash) = self.store.content_hash(view)?;
        let rebuilt_hash = table::content_hash(&rebuilt.tree).map_err(ViewError::from)?;
        if live_hash == rebuilt_hash {
            tracing::info!(%view, position = live.position, "the view was rebuilt and is equal");
        } else {
            tracing::warn!(%view, position = live.position, "the view differed from its log and is mended");
        }
        self.store.swap(view, rebuilt.clone())?;
        if let Some(search) = self.search.get() {
            search.look_again();
        }
        Ok(Some(Rebuilt { view, head: live, live_hash, rebuilt_hash }))
    }
}

/// Splits a chunk into the commits before the first error, and that error.
fn whole_until_error<E>(chunk: Vec<Result<Arc<Commit>, E>>) -> (Vec<Arc<Commit>>, Option<E>) {
    let mut commits = Vec::with_capacity(chunk.len());
    for commit in chunk {
        match commit {
            Ok(commit) => commits.push(commit),
            Err(error) => return (commits, Some(error)),
        }
    }
    (commits, None)
}
