//! Building views again from zero, beside the live ones, which go on serving and following the log meanwhile.

use std::sync::Arc;

use events::{Commit, Hash, Head};
use serde::Serialize;
use tokio_stream::{Stream, StreamExt as _};

use crate::fold::{FoldError, Folder, LogMismatch};
use crate::runner::{
    COMMITS_PER_BATCH_MAX, Exclusive, GATHER_TIME, Inner, Projections, blocking, side_by_side,
};
use crate::table;
use crate::view::{ViewError, ViewName};

/// What a rebuild has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// The view.
    pub view: ViewName,
    /// Where both stood when they were compared; of a view that had stopped, where the new one stands.
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

/// Why views were not rebuilt. Each is what it was, or the fold of the log already.
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
    /// A view is being rebuilt already; wait for that.
    #[error("the view `{0}` is being rebuilt already")]
    AlreadyRunning(ViewName),
}

/// A view that is built again.
struct Building {
    view: ViewName,
    folder: Folder,
    /// What was found when it took the live one's place.
    rebuilt: Option<Rebuilt>,
}

impl Projections {
    /// Builds `views` again in one pass over `stream`, which begins at the log's first position, and swaps each in as soon
    /// as it stands where the live one stands. Before the swap the contents of both are hashed at that same position:
    /// equal hashes prove that the view was the fold of its log.
    ///
    /// [`Projections::run`] may go on meanwhile; the stream must then be one that follows the log, not one that ends
    /// at a head the live views have passed. One rebuild of a view at a time. A stream that ends early gives the rebuild up:
    /// what was swapped by then is live, of the others nothing is left.
    pub async fn rebuild<S, E>(&self, views: &[ViewName], stream: S) -> Result<Vec<Rebuilt>, RebuildError<E>>
    where
        S: Stream<Item = Result<Arc<Commit>, E>>,
        E: std::error::Error + 'static,
    {
        let right = |view: &ViewName| {
            Exclusive::start(&self.inner, Some(*view)).ok_or(RebuildError::AlreadyRunning(*view))
        };
        let rights = Arc::new(views.iter().map(right).collect::<Result<Vec<_>, _>>()?);
        let views = views.to_vec();
        let mut chunks = std::pin::pin!(stream.chunks_timeout(COMMITS_PER_BATCH_MAX, GATHER_TIME));
        let (inner, held) = (Arc::clone(&self.inner), Arc::clone(&rights));
        let (mut building, mut folded) = blocking(move || {
            let _held = held;
            let mut building = Vec::with_capacity(views.len());
            for view in views {
                match inner.store.next_generation(view) {
                    Ok(next) => {
                        building.push(Building { view, folder: Folder::new(view, next), rebuilt: None });
                    }
                    Err(error) => return (building, Err(error.into())),
                }
            }
            let folded = inner.advance_all(&mut building, &[]);
            (building, folded)
        })
        .await;
        // What is read while what was read before is folded.
        let mut ahead = None;
        loop {
            if let Err(error) = folded {
                self.give_up(building).await?;
                return Err(RebuildError::from_fold(error));
            }
            let behind = building.iter().find(|building| building.rebuilt.is_none());
            let Some((reached, live)) =
                behind.map(|behind| (behind.folder.generation().head, self.head(behind.view)))
            else {
                return Ok(building.into_iter().filter_map(|building| building.rebuilt).collect());
            };
            let next = match ahead.take() {
                Some(next) => next,
                None => chunks.next().await,
            };
            let Some(chunk) = next else {
                self.give_up(building).await?;
                return Err(RebuildError::Short { reached, live });
            };
            let (commits, failure) = whole_until_error(chunk);
            if let Some(error) = failure {
                self.give_up(building).await?;
                return Err(RebuildError::Log(error));
            }
            let (inner, held) = (Arc::clone(&self.inner), Arc::clone(&rights));
            let mut folding = std::pin::pin!(blocking(move || {
                let _held = held;
                let folded = inner.advance_all(&mut building, &commits);
                (building, folded)
            }));
            (building, folded) = loop {
                tokio::select! {
                    biased;
                    folded = &mut folding => break folded,
                    next = chunks.next(), if ahead.is_none() => ahead = Some(next),
                }
            };
        }
    }

    /// Drops what was built and did not become live.
    async fn give_up(&self, building: Vec<Building>) -> Result<(), ViewError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let mut unfinished = building.into_iter().filter(|building| building.rebuilt.is_none());
            unfinished.try_for_each(|left| inner.store.discard(left.view, left.folder.into_generation()))
        })
        .await
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
    /// Folds `commits` into all that is not live yet.
    fn advance_all(&self, building: &mut [Building], commits: &[Arc<Commit>]) -> Result<(), FoldError> {
        let unfinished = building.iter_mut().filter(|building| building.rebuilt.is_none());
        side_by_side(unfinished, self.threads_for(commits), |building| {
            building.rebuilt = self.advance(building.view, &mut building.folder, commits)?;
            Ok(())
        })
    }

    /// Folds `commits` into the new generation, and swaps where it meets the live one; `None`: it is behind that.
    fn advance(
        &self,
        view: ViewName,
        folder: &mut Folder,
        mut commits: &[Arc<Commit>],
    ) -> Result<Option<Rebuilt>, FoldError> {
        // Each turn either takes commits from the slice or ends the loop.
        loop {
            if let Some(rebuilt) = self.try_swap(view, folder)? {
                return Ok(Some(rebuilt));
            }
            if commits.is_empty() {
                return Ok(None);
            }
            // Never beyond the live view: the two must meet at one position to be compared. One that has stopped is met where the
            // others are, so that the new one goes on with them.
            let live = self.store.slot(view).read().passed().position;
            let count = commits.iter().take_while(|commit| commit.head().position <= live).count();
            if count == 0 {
                // The live view stands inside this commit, or will take it in a moment; it ends at commits only.
                let found = commits[0].head();
                let checkpoint = self.store.slot(view).read().passed();
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
        let live = slot.read().passed();
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
        if slot.read().stopped.is_some() {
            tracing::warn!(%view, position = live.position, "the view had stopped and goes on");
        } else if live_hash == rebuilt_hash {
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
