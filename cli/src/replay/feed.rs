//! Feeding the beginning of a log into an empty folder: the same commits, each checked and decided again.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use engine::log::segment::{SegmentLog, SegmentOptions};
use engine::log::{EventLog, ReadError};
use events::{Commit, Head, Position};
use tokio::runtime::{Handle, Runtime};

use crate::Verdict;
use crate::audit::{AuditError, audit};
use crate::log::{Bound, Log};
use crate::output::{paragraph, talk};
use crate::verify::progress_bar;

/// Events after which what was checked is written.
const EVENTS_PER_APPEND: usize = 512;

pub(super) fn run(runtime: &Runtime, log: &Log, bound: Bound, into: &Path) -> anyhow::Result<Verdict> {
    let _context = runtime.enter();
    let end = match runtime.block_on(log.events().head()) {
        Ok(end) => end.position,
        Err(error @ ReadError::Unavailable(_)) => return Err(error.into()),
        // What is wrong with the end is told where it is met; what stands before is saved.
        Err(_) => Position::MAX,
    };
    if let Some(to) = bound.position.filter(|to| *to > end) {
        bail!("position {to} is beyond the end of the log, which is {end}: name a lower one");
    }
    let copy = SegmentLog::open_writer(into, log.market(), None, SegmentOptions::default())
        .with_context(|| format!("no log can be made in {}", into.display()))?;
    let mut feeding = Feeding { copy, head: Head::EMPTY, waiting: Vec::new(), events: 0 };
    let progress = progress_bar(bound.position.unwrap_or(end));
    let commits = bound.of(log.events().read(1));
    let outcome = audit(runtime.handle(), &log.market(), commits, |fold, commit| {
        progress.set_position(fold.head().position);
        feeding.add(runtime.handle(), commit)
    });
    progress.finish_and_clear();
    // What was good is written even when something behind it is not.
    feeding.write(runtime.handle())?;
    let head = feeding.head;
    match outcome {
        Ok(fold) => {
            let counts = fold.counts();
            talk(format_args!(
                "{} events of {} commits were checked and written to {}, up to position {} with hash {}. To run it, copy the folder \
                 of keys beside it.",
                counts.events,
                counts.commits,
                into.display(),
                head.position,
                head.hash
            ));
            Ok(Verdict::Done)
        }
        Err(error) if error.is_wrong() => {
            let error: anyhow::Error = error.into();
            talk(format_args!("WRONG: {}. Written up to position {}.", paragraph(&error), head.position));
            Ok(Verdict::FoundWrong)
        }
        Err(AuditError::Caller(error)) => Err(error),
        Err(error) => Err(error.into()),
    }
}

/// Refuses a folder that holds anything: a log is written anew from its beginning.
pub(super) fn check_is_empty(into: &Path) -> anyhow::Result<()> {
    let mut entries = match std::fs::read_dir(into) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("{} can't be used", into.display()))?,
    };
    if entries.next().is_some() {
        bail!("{} is not empty: name a folder that is, or one that is not there yet", into.display());
    }
    Ok(())
}

/// The log that is written.
struct Feeding {
    copy: SegmentLog,
    head: Head,
    waiting: Vec<Arc<Commit>>,
    events: usize,
}

impl Feeding {
    fn add(&mut self, runtime: &Handle, commit: &Arc<Commit>) -> anyhow::Result<()> {
        self.events += commit.events().len();
        self.waiting.push(Arc::clone(commit));
        if self.events >= EVENTS_PER_APPEND { self.write(runtime) } else { Ok(()) }
    }

    fn write(&mut self, runtime: &Handle) -> anyhow::Result<()> {
        let Some(last) = self.waiting.last() else { return Ok(()) };
        let head = last.head();
        runtime.block_on(self.copy.append(self.head, &self.waiting)).context("the copy can't be written")?;
        self.head = head;
        self.waiting.clear();
        self.events = 0;
        Ok(())
    }
}
