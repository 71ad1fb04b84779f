//! Folds a log for a subcommand that asks something of the state behind it.

use std::sync::Arc;

use anyhow::bail;
use events::{Commit, Head};
use tokio::runtime::Runtime;

use super::{AuditError, Fold, audit, is_wrong};
use crate::log::{Bound, Log};
use crate::output::{paragraph, talk};
use crate::verify::progress_bar;

/// Folds a log as far as `bound` says and checks it, with a bar where a terminal is; `each` is called with the state behind
/// every commit. What is wrong with the log is said, and none is given.
pub(crate) fn fold_log(
    runtime: &Runtime,
    log: &Log,
    bound: Bound,
    each: impl FnMut(&Fold, &Arc<Commit>) -> anyhow::Result<()>,
) -> anyhow::Result<Option<Fold>> {
    let end = match runtime.block_on(log.events().head()) {
        Ok(Head { position, .. }) => position,
        Err(error) if is_wrong(&error) => return Ok(tell_wrong(error.into())),
        Err(error) => return Err(error.into()),
    };
    if let Some(to) = bound.position.filter(|to| *to > end) {
        bail!("position {to} is beyond the end of the log, which is {end}: name a lower one");
    }
    let _context = runtime.enter();
    let progress = progress_bar(bound.position.unwrap_or(end));
    let mut each = each;
    let folded = audit(runtime.handle(), &log.market(), bound.of(log.events().read(1)), |fold, commit| {
        progress.set_position(fold.head().position);
        each(fold, commit)
    });
    progress.finish_and_clear();
    match folded {
        Ok(fold) => Ok(Some(fold)),
        Err(AuditError::Caller(error)) => Err(error),
        Err(error) if error.is_wrong() => Ok(tell_wrong(error)),
        Err(error) => Err(error.into()),
    }
}

fn tell_wrong(error: AuditError) -> Option<Fold> {
    talk(format_args!("WRONG: {}", paragraph(&error.into())));
    None
}
