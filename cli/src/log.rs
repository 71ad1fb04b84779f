//! Reading the log in a data folder, also while another process writes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use engine::log::segment::SegmentLog;
use engine::log::{EventLog, ReadError};
use events::metadata::EVENTS_PER_COMMIT_MAX;
use events::{Commit, Event, Position, Recorded};
use futures::StreamExt;
use serde::Serialize;
use serde_json::value::RawValue;

/// Where a market's data is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DataArgs {
    /// The folder of the market's data.
    #[arg(long, default_value = "./data", value_name = "DIR")]
    pub(crate) data: PathBuf,
}

/// Opens the log in a data folder to read it.
pub(crate) fn open(data: &Path) -> anyhow::Result<SegmentLog> {
    SegmentLog::open_reader(data).with_context(|| {
        format!(
            "no log can be read in {}: name the folder that `skylink up` uses with --data",
            data.display()
        )
    })
}

/// Finds the position of the first event of the commit that holds `position`.
pub(crate) async fn commit_start(log: &SegmentLog, position: Position) -> anyhow::Result<Position> {
    let position = position.max(1);
    for back in 0..EVENTS_PER_COMMIT_MAX as u64 {
        let Some(start) = position.checked_sub(back).filter(|start| *start > 0) else { break };
        match log.read(start).next().await {
            Some(Err(ReadError::NotACommit { .. })) => {}
            Some(Err(ReadError::Beyond { head, .. })) => {
                bail!("position {position} is beyond the end of the log, which is {head}: name a lower one")
            }
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(_)) | None => return Ok(start),
        }
    }
    bail!("no commit holds position {position}: check the log with `skylink verify`")
}

/// Finds a type of events by its name, with or without its version.
pub(crate) fn event_type(name: &str) -> Result<String, String> {
    let known = Event::TYPES.iter().find(|known| {
        **known == name || known.rsplit_once(".v").is_some_and(|(unversioned, _)| unversioned == name)
    });
    known
        .map(|known| (*known).to_owned())
        .ok_or_else(|| format!("there is no such type of event; there are: {}", Event::TYPES.join(", ")))
}

/// An event as one line of JSON.
#[derive(Serialize)]
struct EventLine<'a> {
    position: Position,
    metadata: &'a events::metadata::Metadata,
    payload: &'a RawValue,
}

/// How events are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A line for people.
    Text,
    /// An object for programs.
    Json,
}

/// Prints an event.
pub(crate) fn print(
    output: &mut crate::output::Output,
    recorded: &Recorded,
    form: Form,
) -> anyhow::Result<()> {
    let payload = std::str::from_utf8(&recorded.payload_json).context("a payload is not UTF-8")?;
    let metadata = &recorded.metadata;
    match form {
        Form::Json => {
            let payload: &RawValue = serde_json::from_str(payload)?;
            output.json(&EventLine { position: recorded.position, metadata, payload })
        }
        Form::Text => {
            let subject = metadata.subject.as_deref().unwrap_or("-");
            let summary = crate::tail::summary(&recorded.event);
            let (position, time, name) = (recorded.position, metadata.time, &metadata.type_name);
            Ok(output.line(format_args!("{position:>8}  {time}  {name:<24}  {subject:<36}  {summary}"))?)
        }
    }
}

/// Takes the next commit of a stream.
pub(crate) fn next(commit: Result<Arc<Commit>, ReadError>) -> anyhow::Result<Arc<Commit>> {
    commit.context("the log can't be read further")
}
