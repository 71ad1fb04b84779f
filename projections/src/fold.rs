//! Folding groups of commits into one generation of a view.

use std::sync::Arc;

use events::commit::ChainError;
use events::{Commit, Head, Position};
use sled::Batch;

use crate::store::Generation;
use crate::view::{Fold, Touched, ViewError, ViewName};

/// Says that a log does not go on where a view stopped reading: it was restored from an older copy, truncated, or is
/// another market's. The operator either puts back the log the view has read, or deletes the view to have it built
/// from this log.
#[derive(Debug, thiserror::Error)]
#[error(
    "the log does not extend what view `{view}` has read up to position {}: it was restored or truncated below \
     that, or is another log. Put back the log that was there, or delete the views to build them from this one",
    checkpoint.position
)]
pub struct LogMismatch {
    /// The view.
    pub view: ViewName,
    /// How far it has read, and what.
    pub checkpoint: Head,
    /// What was found instead: the log's head, or the commit that does not fit.
    pub found: Head,
    /// How the commit breaks the chain, where one was at hand.
    #[source]
    pub chain: Option<ChainError>,
}

/// Why a group of commits was not taken in.
#[derive(Debug)]
pub(crate) enum FoldError {
    Mismatch(Box<LogMismatch>),
    View(ViewError),
}

/// A view being folded: what is cached of one generation.
pub(crate) struct Folder {
    view: ViewName,
    generation: Generation,
    fold: Box<dyn Fold>,
}

impl Folder {
    /// Starts on `generation` with nothing cached.
    pub(crate) fn new(view: ViewName, generation: Generation) -> Self {
        Folder { view, generation, fold: view.fold() }
    }

    /// Gives the generation with how far it was folded.
    pub(crate) fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Gives the generation back.
    pub(crate) fn into_generation(self) -> Generation {
        self.generation
    }

    /// Folds the commits that the view has not read yet. The batch must be written to the generation's tree, and
    /// after an error the folder must not be used again. `None`: there was nothing new.
    pub(crate) fn fold(&mut self, commits: &[Arc<Commit>]) -> Result<Option<(Batch, Head)>, FoldError> {
        let before = self.generation.head;
        for commit in commits {
            if !self.is_next(commit).map_err(FoldError::Mismatch)? {
                continue;
            }
            self.fold.apply(&self.generation.tree, commit).map_err(FoldError::View)?;
            self.generation.head = commit.head();
        }
        if self.generation.head == before {
            return Ok(None);
        }
        let mut batch = Batch::default();
        self.fold.write(&self.generation.tree, &mut batch).map_err(FoldError::View)?;
        Ok(Some((batch, self.generation.head)))
    }

    /// Gives what the last batch changed of what the search follows.
    pub(crate) fn take_touched(&mut self) -> Touched {
        self.fold.take_touched()
    }

    /// Tells whether a commit is the next to fold (true) or was folded before (false).
    fn is_next(&self, commit: &Commit) -> Result<bool, Box<LogMismatch>> {
        let checkpoint = self.generation.head;
        let found = commit.head();
        if found.position < checkpoint.position || found == checkpoint {
            return Ok(false);
        }
        let mismatch = |chain| Box::new(LogMismatch { view: self.view, checkpoint, found, chain });
        if found.position == checkpoint.position {
            return Err(mismatch(None));
        }
        commit.check_follows(checkpoint).map_err(|chain| mismatch(Some(chain)))?;
        Ok(true)
    }
}

/// Counts the events of `commits` behind `position`.
pub(crate) fn events_behind(commits: &[Arc<Commit>], position: Position) -> u64 {
    commits.last().map_or(0, |last| last.head().position.saturating_sub(position))
}
