//! `skylink export`: the events of a log, the money that they moved, or numbers over time, as a Parquet file for programs that analyse.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use engine::log::CommitStream;
use events::{Commit, Head, Position, Recorded, Timestamp};
use futures::StreamExt;
use projections::analytics::{NumbersOfLog, Step};

use crate::Verdict;
use crate::log::{self, Bound, LogArgs};
use crate::output::talk;

mod rows;
mod table;

use self::table::{Group, Table};

/// How many commits are counted together.
const COMMITS_AT_ONCE: usize = 512;

/// Write the events of a log, the money that they moved, or numbers over time, to a Parquet file (docs/export.md).
///
/// The log is read as it is; `skylink verify` checks it. The file is there when all of it is.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    log: LogArgs,
    /// The file to write, which must not be there yet.
    #[arg(long, value_name = "FILE")]
    parquet: PathBuf,
    /// What each row is.
    #[arg(long, value_enum, default_value_t = What::Events)]
    rows: What,
    /// Begin with the commit that holds this position.
    #[arg(long, default_value_t = 1, value_name = "POSITION")]
    from: Position,
    /// Up to this position, and with it.
    #[arg(long, value_name = "POSITION")]
    to: Option<Position>,
    /// Not after this time, such as 2025-07-29T10:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339)]
    until: Option<Timestamp>,
}

/// What the rows of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// One for each event.
    Events,
    /// One for each transfer between two accounts of the ledger.
    Transfers,
    /// One for each number of an hour: what happened in the market.
    Hours,
    /// One for each number of a day: what happened in the market, to each seller and listing, and why commands were refused.
    Days,
}

/// Writes the file.
pub(crate) fn run(arguments: &ExportArgs) -> anyhow::Result<Verdict> {
    let path = &arguments.parquet;
    if path.exists() {
        bail!("{} is there already: name another file with --parquet, or delete that one", path.display());
    }
    let part = part_of(path);
    let written = crate::runtime()?.block_on(write(arguments, &part));
    let (rows, head) = written.inspect_err(|_| drop(fs::remove_file(&part)))?;
    fs::rename(&part, path).with_context(|| format!("{} can't be made", path.display()))?;
    talk(format_args!("{rows} rows, up to position {}, are in {}.", head.position, path.display()));
    Ok(Verdict::Done)
}

/// Gives what a file is called until it is whole.
fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// Writes the file to where it stands until it is whole. Gives how many rows it has, and up to where the log was read.
async fn write(arguments: &ExportArgs, part: &Path) -> anyhow::Result<(u64, Head)> {
    let log = log::open(&arguments.log).await?;
    let log = log.events();
    let start = log::commit_start(log, arguments.from.max(1)).await?;
    let bound = Bound { position: arguments.to, time: arguments.until };
    let commits = bound.of(log.read(start));
    let file = File::create(part)
        .with_context(|| format!("{} can't be made: name another file with --parquet", part.display()))?;
    let out = BufWriter::new(file);
    let (table, head) = match arguments.rows {
        What::Events => each_event(commits, out, &rows::event_columns(), rows::event).await?,
        What::Transfers => each_event(commits, out, &rows::transfer_columns(), rows::transfers).await?,
        What::Hours | What::Days => {
            if start > 1 {
                bail!(
                    "numbers are counted from the beginning of the log: leave --from out, and pick by `start`"
                );
            }
            let step = if arguments.rows == What::Hours { Step::Hour } else { Step::Day };
            let beside = part.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let dir = tempfile::Builder::new().prefix(".export-").tempdir_in(beside)?;
            each_number(commits, out, step, &dir.path().join("numbers")).await?
        }
    };
    let (rows, out) = table.end()?;
    let file = out.into_inner().context("the file can't be written: see that there is room")?;
    file.sync_all().context("the file can't be written: see that there is room")?;
    Ok((rows, head))
}

type Out = BufWriter<File>;

async fn each_event(
    mut commits: CommitStream,
    out: Out,
    columns: &str,
    add: fn(&Commit, &Recorded, &mut Group),
) -> anyhow::Result<(Table<Out>, Head)> {
    let mut table = Table::begin(out, columns)?;
    let mut head = Head::EMPTY;
    while let Some(commit) = commits.next().await {
        let commit = log::next(commit)?;
        for recorded in commit.events() {
            add(&commit, recorded, table.group());
            table.added()?;
        }
        head = commit.head();
    }
    Ok((table, head))
}

/// Counts all of a log in a folder that goes again, and writes what was counted.
async fn each_number(
    commits: CommitStream,
    out: Out,
    step: Step,
    dir: &Path,
) -> anyhow::Result<(Table<Out>, Head)> {
    let mut table = Table::begin(out, &rows::number_columns())?;
    let mut numbers = NumbersOfLog::begin(dir)?;
    let mut head = Head::EMPTY;
    let mut chunks = commits.chunks(COMMITS_AT_ONCE);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.into_iter().map(log::next).collect::<anyhow::Result<Vec<_>>>()?;
        numbers.add(&chunk)?;
        head = chunk.last().map_or(head, |last| last.head());
    }
    for row in numbers.rows(step) {
        rows::numbers(&row?, table.group())?;
        table.added()?;
    }
    Ok((table, head))
}
