//! Reading commits: a short-lived pull consumer from a start sequence, made anew from the next sequence whenever
//! it fails. A consumer may show the first events of a batch before the last, so a commit is given when it is whole.

use std::sync::Arc;
use std::time::Duration;

use async_nats::header::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream as JetStream};
use async_nats::jetstream::{self, ErrorCode};
use events::commit::Stored;
use events::ids::MarketName;
use events::metadata::Metadata;
use events::{Commit, Head, Position, wire};
use futures::{StreamExt, stream};
use tokio::time::Instant;

use crate::log::{CommitStream, ReadError};

/// Messages asked for at a time; bounds what a slow reader holds in memory.
const MESSAGES_PER_PULL: usize = 500;

/// How often the broker says that it is still there when nothing is written. Missing two counts as a lost consumer.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long one pull stays open at the broker.
const PULL_EXPIRES: Duration = Duration::from_secs(30);

/// How long the broker keeps a consumer whose reader is gone.
const CONSUMER_IDLE_MAX: Duration = Duration::from_secs(30);

/// Messages of one commit that are asked for at once.
const GETS_AT_ONCE_MAX: usize = 16;

/// Pause before a lost consumer is made anew, from the second failure in a row.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// How long a reader up to the head goes on without a message before it gives up. A cluster that lost a leader needs up
/// to 9 s for the next; a follower has no such bound.
const READ_WAIT_MAX: Duration = Duration::from_secs(25);

/// After how long it is said that a reader gets nothing: more than a restart of a broker takes.
const WARN_AFTER: Duration = Duration::from_secs(5);

/// How long a message that stands in the stream may stay away before the reader asks for it by its sequence.
const STALL_MAX: Duration = Duration::from_secs(10);

/// How often a consumer may skip a message that stands in the stream before the stream counts as damaged.
const SKIPS_MAX: u32 = 3;

/// Where a reader ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Behind the first commit.
    Commit,
    /// Behind the last commit at the time of the call.
    HeadNow,
    /// Nowhere.
    Never,
}

/// Where commits are read from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) context: jetstream::Context,
    pub(super) stream: JetStream<()>,
    pub(super) market: MarketName,
}

impl Source {
    fn name(&self) -> String {
        wire::event_stream(&self.market)
    }

    /// Gives the last sequence of the stream; 0 if it holds nothing.
    pub(super) async fn end(&self) -> Result<Position, ReadError> {
        let info = self.stream.get_info().await.map_err(|e| ReadError::Unavailable(e.into()))?;
        Ok(info.state.last_sequence)
    }

    /// Gives the position of the first event of the commit that the event at `position` belongs to.
    pub(super) async fn first_of_commit_at(&self, position: Position) -> Result<Position, ReadError> {
        let Some(message) = self.get(position).await? else {
            return Err(self.missing(position));
        };
        let metadata = self.metadata(position, &message.subject, &message.headers)?;
        position
            .checked_sub(u64::from(metadata.index))
            .ok_or_else(|| damaged(&self.name(), position, "its commit would begin before the stream"))
    }

    /// Gives the commit that begins at `first`, by asking for its messages; nothing, if the stream ends before.
    pub(super) async fn commit(&self, first: Position) -> Result<Option<Arc<Commit>>, ReadError> {
        if first == 0 {
            return Err(ReadError::NotACommit { from: first });
        }
        let Some((metadata, stored)) = self.event(first).await? else {
            let end = self.end().await?;
            return if first > end { Ok(None) } else { Err(self.missing(first)) };
        };
        if metadata.index != 0 {
            return Err(ReadError::NotACommit { from: first });
        }
        let mut events = vec![stored];
        let rest = first + 1..first + u64::from(metadata.count);
        let get = |position| async move { self.event(position).await?.ok_or_else(|| self.missing(position)) };
        let mut rest = stream::iter(rest).map(get).buffered(GETS_AT_ONCE_MAX);
        while let Some(event) = rest.next().await {
            events.push(event?.1);
        }
        Ok(Some(Arc::new(Commit::from_stored(first, events)?)))
    }

    fn missing(&self, position: Position) -> ReadError {
        damaged(&self.name(), position, "the message is missing")
    }

    async fn event(&self, position: Position) -> Result<Option<(Metadata, Stored)>, ReadError> {
        let Some(message) = self.get(position).await? else { return Ok(None) };
        let metadata = self.metadata(position, &message.subject, &message.headers)?;
        let metadata_json =
            serde_json::to_vec(&metadata).expect("metadata holds nothing that JSON can't say");
        Ok(Some((metadata, Stored { metadata_json, payload_json: message.payload.to_vec() })))
    }

    /// Asks the stream's leader for one message.
    async fn get(&self, position: Position) -> Result<Option<jetstream::message::StreamMessage>, ReadError> {
        match self.stream.get_raw_message(position).await {
            Ok(message) => Ok(Some(message)),
            Err(error) => match error.kind() {
                RawMessageErrorKind::NoMessageFound => Ok(None),
                RawMessageErrorKind::JetStream(source)
                    if source.error_code() == ErrorCode::NO_MESSAGE_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(ReadError::Unavailable(error.into())),
            },
        }
    }

    fn metadata(
        &self,
        position: Position,
        subject: &str,
        headers: &HeaderMap,
    ) -> Result<Metadata, ReadError> {
        let metadata = wire::from_headers(|name| headers.get(name).map(|value| value.as_str()))
            .map_err(|error| damaged(&self.name(), position, error))?;
        if metadata.market != self.market {
            return Err(damaged(&self.name(), position, "it is an event of another market"));
        }
        if subject != wire::event_subject(&self.market, &metadata.type_name) {
            return Err(damaged(&self.name(), position, "it stands on another event's subject"));
        }
        Ok(metadata)
    }

    /// Gives the commits from `from` on.
    pub(super) fn commits(self, from: Position, end: End) -> CommitStream {
        let reader = Reader {
            source: self,
            from,
            end,
            last: Position::MAX,
            next: from,
            partial: Vec::new(),
            missing: 0,
            previous: None,
            consumer: None,
            trouble: None,
            skips: 0,
            stage: Stage::Before,
        };
        stream::unfold(reader, |mut reader| async move {
            let item = reader.next_commit().await?;
            if item.is_err() {
                reader.finish().await;
            }
            Some((item, reader))
        })
        .boxed()
    }
}

/// Says that the stream does not hold what it must.
pub(super) fn damaged(
    stream: &str,
    position: Position,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ReadError {
    ReadError::Damaged { place: format!("stream {stream}, sequence {position}"), source: source.into() }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Before,
    Reading,
    Ended,
}

struct Reader {
    source: Source,
    from: Position,
    end: End,
    /// Where the stream ended at the call; what is read behind it completes the last commit.
    last: Position,
    /// The sequence of the message that comes next.
    next: Position,
    /// The first events of a commit whose last has not come yet.
    partial: Vec<Stored>,
    /// How many events that commit still lacks.
    missing: u16,
    previous: Option<Head>,
    consumer: Option<Consumer>,
    /// What goes wrong since the last message.
    trouble: Option<Trouble>,
    skips: u32,
    stage: Stage,
}

/// Failures in a row.
struct Trouble {
    since: Instant,
    is_told: bool,
}

struct Consumer {
    name: String,
    messages: pull::Stream,
}

/// What came of waiting for the next message.
enum Arrival {
    Message(Box<jetstream::Message>),
    /// The consumer does not work any more.
    Lost(Box<dyn std::error::Error + Send + Sync>),
    /// Nothing came although something stands there.
    Stalled,
}

impl Reader {
    async fn next_commit(&mut self) -> Option<Result<Arc<Commit>, ReadError>> {
        if self.stage == Stage::Before {
            if let Err(error) = self.begin().await {
                return Some(Err(error));
            }
            self.stage = Stage::Reading;
        }
        loop {
            let is_behind_end = match self.end {
                End::Commit => self.previous.is_some(),
                End::HeadNow => self.next > self.last && self.partial.is_empty(),
                End::Never => false,
            };
            if is_behind_end || self.stage == Stage::Ended {
                self.finish().await;
                return None;
            }
            match self.step().await {
                Ok(Some(commit)) => return Some(Ok(commit)),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Learns where the stream ends and whether `from` can be read.
    async fn begin(&mut self) -> Result<(), ReadError> {
        self.last = loop {
            match self.source.end().await {
                Ok(last) => break last,
                Err(ReadError::Unavailable(cause)) => self.wait_after(cause).await?,
                Err(damage) => return Err(damage),
            }
        };
        self.trouble = None;
        let (from, head) = (self.from, self.last);
        if from > head.saturating_add(1) {
            return Err(ReadError::Beyond { from, head });
        }
        if from == 0 {
            return Err(ReadError::NotACommit { from });
        }
        Ok(())
    }

    /// Takes one message; gives a commit when it was the last of one.
    async fn step(&mut self) -> Result<Option<Arc<Commit>>, ReadError> {
        match self.arrival().await {
            Arrival::Message(message) => self.take(*message).await,
            Arrival::Lost(cause) => {
                self.drop_consumer().await;
                self.wait_after(cause).await?;
                Ok(None)
            }
            Arrival::Stalled => {
                self.explain_absence().await?;
                Ok(None)
            }
        }
    }

    async fn arrival(&mut self) -> Arrival {
        let mut consumer = match self.consumer.take() {
            Some(consumer) => consumer,
            None => match self.create_consumer().await {
                Ok(consumer) => consumer,
                Err(cause) => return Arrival::Lost(cause),
            },
        };
        // Behind the known end nobody can say whether a message is late, unless it completes a commit.
        let is_due = self.next <= self.last || !self.partial.is_empty();
        let next = if is_due {
            tokio::time::timeout(STALL_MAX, consumer.messages.next()).await
        } else {
            Ok(consumer.messages.next().await)
        };
        self.consumer = Some(consumer);
        match next {
            Ok(Some(Ok(message))) => Arrival::Message(Box::new(message)),
            Ok(Some(Err(error))) => Arrival::Lost(error.into()),
            Ok(None) => Arrival::Lost("the consumer's messages ended".into()),
            Err(_) => Arrival::Stalled,
        }
    }

    async fn create_consumer(&self) -> Result<Consumer, Box<dyn std::error::Error + Send + Sync>> {
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.next },
            ack_policy: AckPolicy::None,
            inactive_threshold: CONSUMER_IDLE_MAX,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = self.source.stream.create_consumer(config).await?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(MESSAGES_PER_PULL)
            .heartbeat(HEARTBEAT)
            .expires(PULL_EXPIRES)
            .messages()
            .await?;
        Ok(Consumer { name: consumer.cached_info().name.clone(), messages })
    }

    async fn take(&mut self, message: jetstream::Message) -> Result<Option<Arc<Commit>>, ReadError> {
        let sequence = match message.info() {
            Ok(info) => info.stream_sequence,
            Err(error) => return Err(damaged(&self.source.name(), self.next, error)),
        };
        if sequence < self.next {
            return Ok(None);
        }
        if sequence > self.next {
            self.explain_absence().await?;
            return Ok(None);
        }
        self.trouble = None;
        self.skips = 0;
        let no_headers = HeaderMap::new();
        let headers = message.headers.as_ref().unwrap_or(&no_headers);
        let metadata = self.source.metadata(sequence, &message.subject, headers)?;
        self.next += 1;
        self.assemble(sequence, metadata, message.payload.to_vec())
    }

    fn assemble(
        &mut self,
        position: Position,
        metadata: Metadata,
        payload_json: Vec<u8>,
    ) -> Result<Option<Arc<Commit>>, ReadError> {
        if self.partial.is_empty() {
            if metadata.index != 0 && position == self.from {
                return Err(ReadError::NotACommit { from: position });
            }
            self.missing = metadata.count;
        }
        let metadata_json =
            serde_json::to_vec(&metadata).expect("metadata holds nothing that JSON can't say");
        self.partial.push(Stored { metadata_json, payload_json });
        // A commit of no events can't be: it is found out when the commit is read.
        self.missing = self.missing.saturating_sub(1);
        if self.missing > 0 {
            return Ok(None);
        }
        let stored = std::mem::take(&mut self.partial);
        let first = position + 1 - stored.len() as u64;
        let commit = Commit::from_stored(first, stored)?;
        if let Some(previous) = self.previous {
            commit.check_follows(previous)?;
        } else if first == 1 {
            commit.check_follows(Head::EMPTY)?;
        }
        self.previous = Some(commit.head());
        Ok(Some(Arc::new(commit)))
    }

    /// Finds out why the next message does not come: it is gone, which is damage, or only this consumer lost it.
    async fn explain_absence(&mut self) -> Result<(), ReadError> {
        self.drop_consumer().await;
        match self.source.get(self.next).await {
            Ok(None) if self.partial.is_empty() => Err(self.source.missing(self.next)),
            Ok(None) => match self.source.end().await {
                Ok(end) if end < self.next => {
                    let first = self.next - self.partial.len() as u64;
                    Err(ReadError::Unfinished { stream: self.source.name(), first, end })
                }
                Ok(_) => Err(self.source.missing(self.next)),
                Err(ReadError::Unavailable(cause)) => self.wait_after(cause).await,
                Err(damage) => Err(damage),
            },
            Ok(Some(_)) if self.skips >= SKIPS_MAX => {
                Err(damaged(&self.source.name(), self.next, "no consumer is given the message"))
            }
            Ok(Some(_)) => {
                self.skips += 1;
                Ok(())
            }
            Err(ReadError::Unavailable(cause)) => self.wait_after(cause).await,
            Err(damage) => Err(damage),
        }
    }

    /// Waits a moment before the next try, or gives up.
    async fn wait_after(&mut self, cause: Box<dyn std::error::Error + Send + Sync>) -> Result<(), ReadError> {
        tracing::debug!(stream = self.source.name(), next = self.next, %cause, "reading is interrupted");
        let Some(trouble) = &mut self.trouble else {
            // The first try after a failure is at once.
            self.trouble = Some(Trouble { since: Instant::now(), is_told: false });
            return Ok(());
        };
        let lasts = trouble.since.elapsed();
        if lasts > WARN_AFTER && !trouble.is_told {
            tracing::warn!(stream = self.source.name(), next = self.next, %cause, "the log can't be read now");
            trouble.is_told = true;
        }
        if self.end != End::Never && lasts > READ_WAIT_MAX {
            return Err(ReadError::Unavailable(cause));
        }
        tokio::time::sleep(RETRY_PAUSE).await;
        Ok(())
    }

    async fn drop_consumer(&mut self) {
        if let Some(Consumer { name, messages }) = self.consumer.take() {
            drop(messages);
            // The broker removes it by itself when this does not get through.
            if let Err(error) = self.source.stream.delete_consumer(&name).await {
                tracing::debug!(name, %error, "a reader's consumer was not removed");
            }
        }
    }

    async fn finish(&mut self) {
        self.stage = Stage::Ended;
        self.drop_consumer().await;
    }
}
