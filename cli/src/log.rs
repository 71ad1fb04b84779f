//! Reading the log of a market, in its data folder or on JetStream, also while another process writes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use engine::log::jetstream;
use engine::log::segment::{self, SegmentLog};
use engine::log::{CommitStream, EventLog, ReadError};
use events::ids::MarketName;
use events::metadata::EVENTS_PER_COMMIT_MAX;
use events::{Commit, Event, Position, Recorded, Timestamp};
use futures::StreamExt;
use futures::future::ready;
use gateway::nats::{GuardedLog, OpenError, Role};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::nats::NatsArgs;

/// Where a market's data is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DataArgs {
    /// The folder of the market's data.
    #[arg(long, default_value = "./data", value_name = "DIR")]
    pub(crate) data: PathBuf,
}

/// Where the log is that is read.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) nats: NatsArgs,
    /// The market whose log is read on JetStream. Segment files say themselves whose they are.
    #[arg(long, default_value = "main", requires = "NATS_URL", value_name = "NAME")]
    pub(crate) market: MarketName,
}

/// A log that was opened to be read.
pub(crate) enum Log {
    /// In segment files.
    Segments(SegmentLog),
    /// On JetStream.
    JetStream(Box<GuardedLog>),
}

impl Log {
    /// Gives what events are read from.
    pub(crate) fn events(&self) -> &dyn EventLog {
        match self {
            Log::Segments(log) => log,
            Log::JetStream(log) => log.as_ref(),
        }
    }

    /// Gives the market whose log it is.
    pub(crate) fn market(&self) -> MarketName {
        match self {
            Log::Segments(log) => log.market(),
            Log::JetStream(log) => log.market().clone(),
        }
    }
}

/// How far a log is read. A commit is within as a whole or not at all.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bound {
    pub(crate) position: Option<Position>,
    pub(crate) time: Option<Timestamp>,
}

impl Bound {
    fn includes(&self, commit: &Commit) -> bool {
        self.position.is_none_or(|last| commit.head().position <= last)
            && self.time.is_none_or(|last| commit.time() <= last)
    }

    /// Gives the commits that are within.
    pub(crate) fn of(self, commits: CommitStream) -> CommitStream {
        let included = move |commit: &Result<Arc<Commit>, _>| {
            ready(commit.as_ref().map_or(true, |commit| self.includes(commit)))
        };
        commits.take_while(included).boxed()
    }
}

/// Opens a log to read it: makes nothing, changes nothing, and is in nobody's way.
pub(crate) async fn open(arguments: &LogArgs) -> anyhow::Result<Log> {
    match &arguments.nats.url {
        None => open_segments(arguments),
        Some(url) => open_stream(url, arguments).await,
    }
}

fn open_segments(arguments: &LogArgs) -> anyhow::Result<Log> {
    let data = &arguments.data.data;
    match SegmentLog::open_reader(data) {
        Ok(log) => Ok(Log::Segments(log)),
        // A log that is damaged is told as what it is.
        Err(segment::OpenError::Read(error)) if crate::audit::is_wrong(&error) => Err(error.into()),
        Err(error) => Err(error).with_context(|| {
            format!(
                "no log can be read in {}: name the folder that `skylink up` uses with --data, or the NATS server with \
                 --nats",
                data.display()
            )
        }),
    }
}

async fn open_stream(url: &str, arguments: &LogArgs) -> anyhow::Result<Log> {
    let market = &arguments.market;
    let connection = arguments.nats.connect(url, Role::Reader).await?;
    let opened = GuardedLog::open_reader(connection, market.clone()).await;
    let log = opened.map_err(|error| {
        let next = match &error {
            OpenError::Log(jetstream::OpenError::NoLog { .. }) => {
                "start the market with `skylink up --nats`, or name another with --market"
            }
            OpenError::Log(_) => "see that JetStream is on",
            OpenError::Refused(_) => "read it in the reader's role",
        };
        let said = format!("no log of market {market} can be read at {url}: {next}");
        anyhow::Error::from(error).context(said)
    })?;
    Ok(Log::JetStream(Box::new(log)))
}

/// Gives the time of the last commit of a market in a folder; none, if there is no market in it. What is wrong with its log,
/// who opens it to write tells.
pub(crate) async fn latest_time(data: &Path) -> Option<Timestamp> {
    let log = SegmentLog::open_reader(data).ok()?;
    let head = log.head().await.ok()?;
    let start = commit_start(&log, head.position).await.ok()?;
    let last = log.read(start).next().await?;
    last.ok().map(|commit| commit.time())
}

/// Finds the position of the first event of the commit that holds `position`.
pub(crate) async fn commit_start(log: &dyn EventLog, position: Position) -> anyhow::Result<Position> {
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

/// Takes the name of a type of events, with its version or, which means every version, without.
pub(crate) fn event_type(name: &str) -> Result<String, String> {
    if Event::TYPES.iter().chain(Event::OLDER_TYPES).any(|known| is_of_type(known, name)) {
        return Ok(name.to_owned());
    }
    Err(format!("there is no such type of event; there are: {}", Event::TYPES.join(", ")))
}

/// Tells whether what is stored under a name is of the wanted type.
pub(crate) fn is_of_type(stored: &str, wanted: &str) -> bool {
    stored == wanted || stored.rsplit_once(".v").is_some_and(|(unversioned, _)| unversioned == wanted)
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
