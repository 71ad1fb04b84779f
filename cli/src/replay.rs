//! `skylink replay`: prints a range of a log, feeds it into an empty folder, or shows the state at a moment of it.

mod feed;
mod state;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use engine::log::EventLog;
use events::metadata::Cause;
use events::{Commit, Position, Recorded, Timestamp};
use futures::StreamExt;
use uuid::Uuid;

use crate::Verdict;
use crate::log::{self, Bound, Form, LogArgs};
use crate::output::Output;

use self::state::Show;

/// Print a range of a log, feed it into an empty folder, or show the state at a moment of it.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    log: LogArgs,
    /// From this position on.
    #[arg(long, value_name = "POSITION")]
    from: Option<Position>,
    /// Up to this position, and with it.
    #[arg(long, value_name = "POSITION")]
    to: Option<Position>,
    /// Only events of this type, such as order.placed; may be given more than once.
    #[arg(long = "type", value_name = "TYPE", value_parser = log::event_type)]
    types: Vec<String>,
    /// Only what names this id: of an account, order, cart, listing, device, command or commit.
    #[arg(long, value_name = "UUID")]
    id: Option<Uuid>,
    /// Not before this time, such as 2025-07-29T10:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339)]
    since: Option<Timestamp>,
    /// Not after this time.
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339)]
    until: Option<Timestamp>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Check the log from its beginning up to --to or --until and write it into this empty data folder.
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Fold the log up to this position or time, checking it, and show the state there.
    #[arg(long, value_name = "POSITION|TIME", requires = "show", conflicts_with_all = ["from", "to", "types", "id", "since", "until", "into"])]
    at: Option<Moment>,
    /// What of the state: order:ID, account:ID, listing:ID or ledger.
    #[arg(long, value_name = "WHAT", requires = "at")]
    show: Option<Show>,
}

/// A moment in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Position(Position),
    Time(Timestamp),
}

impl FromStr for Moment {
    type Err = String;
    fn from_str(text: &str) -> Result<Moment, String> {
        let position = text.parse().map(Moment::Position);
        position.or_else(|_| Timestamp::parse_rfc3339(text).map(Moment::Time)).map_err(|_| {
            "a moment is a position such as 4711 or a time such as 2025-07-29T10:00:00Z".to_owned()
        })
    }
}

/// Replays.
pub(crate) fn run(arguments: ReplayArgs) -> anyhow::Result<Verdict> {
    if let Some(into) = &arguments.into {
        check_is_prefix(&arguments)?;
        feed::check_is_empty(into)?;
    }
    let runtime = crate::runtime()?;
    let log = runtime.block_on(log::open(&arguments.log))?;
    if let (Some(moment), Some(show)) = (arguments.at, &arguments.show) {
        return state::run(&runtime, &log, moment, show);
    }
    if let Some(into) = &arguments.into {
        let bound = Bound { position: arguments.to, time: arguments.until };
        return feed::run(&runtime, &log, bound, into);
    }
    runtime.block_on(print(log.events(), &arguments))
}

/// Only a log's beginning can be fed into another.
fn check_is_prefix(arguments: &ReplayArgs) -> anyhow::Result<()> {
    let skips = [
        ("--from", arguments.from.is_some_and(|from| from > 1)),
        ("--since", arguments.since.is_some()),
        ("--type", !arguments.types.is_empty()),
        ("--id", arguments.id.is_some()),
    ];
    if let Some((option, _)) = skips.into_iter().find(|(_, given)| *given) {
        bail!(
            "{option} can't be used with --into: each event depends on all before it, and its commit holds the hash of \
             the one before, so only the whole log or its beginning can be written anew. Use --to or --until to end early"
        );
    }
    Ok(())
}

async fn print(log: &dyn EventLog, arguments: &ReplayArgs) -> anyhow::Result<Verdict> {
    let from = arguments.from.unwrap_or(1).max(1);
    let start = log::commit_start(log, from).await?;
    let form = if arguments.json { Form::Json } else { Form::Text };
    let mut output = Output::stdout();
    let mut commits = log.read(start);
    while let Some(commit) = commits.next().await {
        let commit = match log::next(commit) {
            Ok(commit) => commit,
            Err(error) => {
                output.flush()?;
                return Err(error);
            }
        };
        let is_behind = arguments.to.is_some_and(|to| commit.first_position() > to)
            || arguments.until.is_some_and(|until| commit.time() > until);
        if is_behind {
            break;
        }
        for recorded in commit.events().iter().filter(|recorded| arguments.wants(&commit, recorded, from)) {
            log::print(&mut output, recorded, form)?;
        }
    }
    output.flush()?;
    Ok(Verdict::Done)
}

impl ReplayArgs {
    fn wants(&self, commit: &Arc<Commit>, recorded: &Recorded, from: Position) -> bool {
        recorded.position >= from
            && self.to.is_none_or(|to| recorded.position <= to)
            && self.since.is_none_or(|since| commit.time() >= since)
            && (self.types.is_empty()
                || self.types.iter().any(|wanted| log::is_of_type(&recorded.metadata.type_name, wanted)))
            && self.id.is_none_or(|id| names(commit, recorded, id))
    }
}

/// Tells whether an event, or the command that caused it, names an id.
fn names(commit: &Commit, recorded: &Recorded, id: Uuid) -> bool {
    let by_cause = match &commit.start().cause {
        Cause::Command(stamp) => {
            [stamp.account.uuid(), stamp.command.uuid(), stamp.device.uuid()].contains(&id)
        }
        Cause::Deadline(deadline) => deadline.waiting.subject() == id,
        Cause::Writer(writer) => writer.uuid() == id,
    };
    let text = id.to_string();
    let in_payload = || recorded.payload_json.windows(text.len()).any(|window| window == text.as_bytes());
    by_cause
        || commit.id().uuid() == id
        || recorded.metadata.subject.as_deref() == Some(text.as_str())
        || in_payload()
}
