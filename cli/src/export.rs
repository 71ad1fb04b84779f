//! `skylink export`: the events of a log, or the money that they moved, as a Parquet file for programs that analyse.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use events::{Head, Position, Timestamp};
use futures::StreamExt;

use crate::Verdict;
use crate::log::{self, Bound, LogArgs};
use crate::output::talk;

mod table;

use self::table::{Rows, Table};

/// Write the events of a log, or the money that they moved, to a Parquet file (docs/export.md).
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

async fn write(arguments: &ExportArgs, part: &Path) -> anyhow::Result<(u64, Head)> {
    let log = log::open(&arguments.log).await?;
    let log = log.events();
    let start = log::commit_start(log, arguments.from.max(1)).await?;
    let bound = Bound { position: arguments.to, time: arguments.until };
    let mut commits = bound.of(log.read(start));
    let file = File::create(part)
        .with_context(|| format!("{} can't be made: name another file with --parquet", part.display()))?;
    let rows = match arguments.rows {
        What::Events => Rows::events(),
        What::Transfers => Rows::transfers(),
    };
    let mut table = Table::begin(BufWriter::new(file), rows)?;
    let mut head = Head::EMPTY;
    while let Some(commit) = commits.next().await {
        let commit = commit?;
        if head != Head::EMPTY {
            commit.check_follows(head)?;
        }
        table.add(&commit)?;
        head = commit.head();
    }
    Ok((table.end()?, head))
}
